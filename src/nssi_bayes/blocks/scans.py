"""Images of a cohort as arrays and labels for the blocks: regional activation and edges."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.spec import JointSpec

__all__ = ["columns_of", "labels_of", "make_edges", "make_scans"]

SMALLEST_NETWORK: Final = 3
"""Regions that a network, or edges that a region, needs for a residual factor of its own."""
EDGE_MOTION: Final = "connectivity_motion"

type Array = np.ndarray[Any, Any]


def labels_of(cohort: xr.Dataset, dim: str) -> list[Any]:
    """Return the labels of a dim, none where the cohort lacks it."""
    return [str(v) for v in cohort[dim].to_numpy()] if dim in cohort.dims else []


def columns_of(cohort: xr.Dataset, variable: str, dim: str, labels: Any, people: int) -> Array:
    """Return the columns `labels` of a variable [`participant`, column]."""
    if not len(labels):
        return np.zeros((people, 0))
    return cohort[variable].sel({dim: list(labels)}).to_numpy().astype(float)


def make_scans(cohort: xr.Dataset, spec: JointSpec) -> dict[str, Any]:
    """Return the fields of `Design` for regional activation, and coords."""
    if spec.neural is None:
        return _no_scans()
    value = cohort[n.ACTIVATION].to_numpy().astype(float)
    scanned = np.flatnonzero(np.isfinite(value).any(axis=1))
    value, se = value[scanned], cohort[n.ACTIVATION_SE].to_numpy().astype(float)[scanned]
    motion = cohort[n.MOTION].to_numpy().astype(float) if n.MOTION in cohort else None
    confounds, confound = _confounds(cohort, motion, scanned)
    rois = labels_of(cohort, n.ROI)
    network = cohort[n.ROI_NETWORK].to_numpy().astype(str)
    networks = sorted(set(network))
    big = [w for w in networks if (network == w).sum() >= SMALLEST_NETWORK]
    member = network[:, None] == np.array(big, dtype=str)[None, :]
    return {
        "coords": {
            n.ROI: rois,
            n.NETWORK: networks,
            n.BIG_NETWORK: big,
            n.CONFOUND: confounds,
        },
        "scanned": scanned,
        "activation": np.nan_to_num(value),
        "activation_se": np.where(np.isfinite(value), se, 0.0),
        "activation_seen": np.isfinite(value),
        "confound": confound,
        "partner": _partners(rois, cohort[n.ROI_HEMISPHERE].to_numpy().astype(str)),
        "network_of": np.array([networks.index(w) for w in network]),
        "big_network": member.astype(float),
    }


def _no_scans() -> dict[str, Any]:
    empty = np.zeros((0, 0))
    return {
        "coords": {n.ROI: [], n.NETWORK: [], n.BIG_NETWORK: [], n.CONFOUND: []},
        "scanned": np.zeros(0, dtype=int),
        "activation": empty,
        "activation_se": empty,
        "activation_seen": empty.astype(bool),
        "confound": empty,
        "partner": np.zeros(0, dtype=int),
        "network_of": np.zeros(0, dtype=int),
        "big_network": empty,
    }


def _partners(rois: list[str], hemisphere: Array) -> Array:
    """Position of the region of the same name in the other hemisphere, or -1."""
    place = {roi: r for r, roi in enumerate(rois)}
    found = np.full(len(rois), -1)
    for r, (roi, side) in enumerate(zip(rois, hemisphere, strict=True)):
        if side in ("L", "R"):
            other = "R" if side == "L" else "L"
            found[r] = place.get(roi.removesuffix(f"_{side}") + f"_{other}", -1)
    return found


def _confounds(cohort: xr.Dataset, motion: Array | None, who: Array) -> tuple[list[str], Array]:
    """Labels and values of motion, where it is known, and covariates; unknown motion is average."""
    labels = labels_of(cohort, n.COVARIATE)
    values = columns_of(cohort, n.COVARIATE_VALUE, n.COVARIATE, labels, cohort.sizes[n.PARTICIPANT])[who]
    if motion is None or not np.isfinite(motion[who]).any():
        return labels, values
    return [n.MOTION, *labels], np.concatenate([np.nan_to_num(motion[who, None]), values], axis=1)


def make_edges(cohort: xr.Dataset, spec: JointSpec) -> dict[str, Any]:
    """Return the fields of `Design` for connectivity, and coords."""
    if spec.connectivity is None:
        return _no_edges()
    value = cohort[n.CONNECTIVITY].to_numpy().astype(float)
    who = np.flatnonzero(np.isfinite(value).any(axis=1))
    value, se = value[who], cohort[n.CONNECTIVITY_SE].to_numpy().astype(float)[who]
    motion = None
    if n.QUALITY in cohort and EDGE_MOTION in labels_of(cohort, n.QUALITY_MEASURE):
        motion = cohort[n.QUALITY].sel({n.QUALITY_MEASURE: EDGE_MOTION}).to_numpy().astype(float)
    confounds, confound = _confounds(cohort, motion, who)
    ends = [cohort[end].to_numpy().astype(str) for end in (n.EDGE_A, n.EDGE_B)]
    regions = sorted({str(r) for end in ends for r in end})
    joins = sum((end[:, None] == np.array(regions)[None, :]).astype(float) for end in ends)
    hub = np.asarray(joins).sum(axis=0) >= SMALLEST_NETWORK
    pair = cohort[n.EDGE_NETWORK].to_numpy().astype(str)
    pairs = sorted(set(pair))
    return {
        "coords": {
            n.EDGE: labels_of(cohort, n.EDGE),
            n.NETWORK_PAIR: pairs,
            n.EDGE_REGION: regions,
            n.HUB: [r for r, is_hub in zip(regions, hub, strict=True) if is_hub],
            n.CONFOUND_EDGE: confounds,
        },
        "connected": who,
        "connectivity": np.nan_to_num(value),
        "connectivity_se": np.where(np.isfinite(value), se, 0.0),
        "connectivity_seen": np.isfinite(value),
        "confound_edge": confound,
        "edge_ends": np.asarray(joins),
        "hub": np.asarray(joins)[:, hub],
        "pair_of": np.array([pairs.index(p) for p in pair]),
    }


def _no_edges() -> dict[str, Any]:
    empty = np.zeros((0, 0))
    dims = (n.EDGE, n.NETWORK_PAIR, n.EDGE_REGION, n.HUB, n.CONFOUND_EDGE)
    return {
        "coords": {dim: [] for dim in dims},
        "connected": np.zeros(0, dtype=int),
        "connectivity": empty,
        "connectivity_se": empty,
        "connectivity_seen": empty.astype(bool),
        "confound_edge": empty,
        "edge_ends": empty,
        "hub": empty,
        "pair_of": np.zeros(0, dtype=int),
    }
