"""Regions, edges and the quality of images as columns of the cohort."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.assemble.columns import pooled_within_sd, varies
from nssi_bayes.schema import VARIABLES

if TYPE_CHECKING:
    import numpy.typing as npt

    type Array = npt.NDArray[np.float64]

__all__ = ["Columns", "add_edges", "add_quality", "add_regions"]

_REGION: Final = (n.ROI_NETWORK, n.ROI_HEMISPHERE, n.ROI_X, n.ROI_Y, n.ROI_Z, n.ROI_RADIUS)


class Columns(Protocol):
    """What is needed of the maker of the cohort."""

    dataset: xr.Dataset
    activation: xr.Dataset
    connectivity: xr.Dataset
    site: npt.NDArray[np.str_]
    problems: list[str]

    def note(self, column: str, rule: str, *, read: int, missing: int = 0, changed: int = 0,
             dropped: int = 0, note: str = "") -> None:  # fmt: skip
        """Add a row to the audit."""
        ...

    def standardise(self, variable: str, dim: str, labels: list[str], *, values: Array) -> Array:
        """Add centred and scaled columns; return the scale."""
        ...


def _put(maker: Columns, variable: str, dims: tuple[Any, ...], values: Any) -> None:
    rule = VARIABLES[variable]
    maker.dataset[variable] = (dims, values, {"units": rule.unit, "long_name": rule.meaning})


def _usable(maker: Columns, values: Array, labels: list[str], *, one: str) -> npt.NDArray[np.bool_]:
    """Say which columns vary within sites, and note the others."""
    usable = varies(values, pooled_within_sd(values, maker.site))
    for label in np.array(labels)[~usable]:
        maker.note(str(label), f"{one} varies within sites", read=len(values), dropped=1,
                   note=f"{one} left out: too few people have it")  # fmt: skip
    return usable


def add_regions(maker: Columns) -> None:
    """Add regions that can be scaled, and motion where anybody's is known."""
    scans = maker.activation
    labels = [str(roi) for roi in scans[n.ROI].to_numpy()]
    usable = _usable(maker, scans[n.ACTIVATION].to_numpy(), labels, one="a region")
    if not usable.any():
        return
    kept = scans.isel({n.ROI: usable})
    labels = [str(roi) for roi in kept[n.ROI].to_numpy()]
    scale = maker.standardise(n.ACTIVATION, n.ROI, labels, values=kept[n.ACTIVATION].to_numpy())
    dims = (n.PARTICIPANT, n.ROI)
    _put(maker, n.ACTIVATION_SE, dims, kept[n.ACTIVATION_SE].to_numpy() / scale)
    _put(maker, n.ACTIVATION_COVERAGE, dims, kept[n.ACTIVATION_COVERAGE].to_numpy())
    if n.ACTIVATION_RELIABILITY in kept:
        _put_reliability(maker, n.ACTIVATION_RELIABILITY, kept)
    maker.dataset = maker.dataset.assign_coords({c: kept[c] for c in _REGION})
    _tell(maker, n.ACTIVATION, kept)
    _add_motion(maker, kept[n.MOTION].to_numpy())


def _put_reliability(maker: Columns, variable: str, scans: xr.Dataset) -> None:
    """Add a reliability with the people behind it, or with its source."""
    _put(maker, variable, scans[variable].dims, scans[variable].to_numpy())
    told = scans[variable].attrs
    maker.dataset[variable].attrs |= {key: told[key] for key in ("people", "declared") if key in told}


def _tell(maker: Columns, block: str, scans: xr.Dataset) -> None:
    """Add how the images of a block were read: attributes that begin with its name."""
    of_cohort = ("study", "synthetic")
    maker.dataset.attrs |= {f"{block}_{k}": v for k, v in scans.attrs.items() if k not in of_cohort}


def _add_motion(maker: Columns, motion: Array) -> None:
    if not np.isfinite(motion).any():
        return
    scale = pooled_within_sd(motion[:, None], maker.site)
    if not varies(motion[:, None], scale)[0]:
        maker.problems.append("motion does not vary within sites")
        return
    center = np.nanmean(motion)
    unit = {"units": "mm"}
    _put(maker, n.MOTION, (n.PARTICIPANT,), (motion - center) / scale[0])
    maker.dataset[n.MOTION + n.CENTER] = ((), center, unit)
    maker.dataset[n.MOTION + n.SCALE] = ((), scale[0], unit)


def add_edges(maker: Columns) -> None:
    """Add edges that can be scaled, with standard errors on the same scale."""
    scans = maker.connectivity
    labels = [str(edge) for edge in scans[n.EDGE].to_numpy()]
    usable = _usable(maker, scans[n.CONNECTIVITY].to_numpy(), labels, one="an edge")
    if not usable.any():
        return
    kept = scans.isel({n.EDGE: usable})
    labels = [str(edge) for edge in kept[n.EDGE].to_numpy()]
    scale = maker.standardise(n.CONNECTIVITY, n.EDGE, labels, values=kept[n.CONNECTIVITY].to_numpy())
    dims = (n.PARTICIPANT, n.EDGE)
    _put(maker, n.CONNECTIVITY_SE, dims, kept[n.CONNECTIVITY_SE].to_numpy() / scale)
    _put(maker, n.CONNECTIVITY_FRAMES, dims, kept[n.CONNECTIVITY_FRAMES].to_numpy())
    if n.CONNECTIVITY_RELIABILITY in kept:
        _put_reliability(maker, n.CONNECTIVITY_RELIABILITY, kept)
    maker.dataset = maker.dataset.assign_coords({c: kept[c] for c in n.EDGE_COORDS})
    _tell(maker, n.CONNECTIVITY, kept)


def add_quality(maker: Columns) -> None:
    """Add the quality of images as covariates, and who stands apart; nobody is dropped for it."""
    measures: dict[str, Array] = {}
    if maker.activation[n.ACTIVATION_COVERAGE].size:
        measures["activation_coverage"] = maker.activation[n.ACTIVATION_COVERAGE].mean(n.ROI).to_numpy()
    if n.QUALITY in maker.connectivity:
        quality = maker.connectivity[n.QUALITY]
        measures |= {str(m): quality.sel({n.QUALITY_MEASURE: m}).to_numpy()
                     for m in quality[n.QUALITY_MEASURE].to_numpy()}  # fmt: skip
    if not measures:
        return
    values = np.column_stack(list(measures.values()))
    usable = varies(values, pooled_within_sd(values, maker.site))
    if usable.any():
        labels = [label for label, use in zip(measures, usable, strict=True) if use]
        maker.standardise(n.QUALITY, n.QUALITY_MEASURE, labels, values=values[:, usable])
    parts = [part[n.OUTLYING] for part in (maker.activation, maker.connectivity) if n.OUTLYING in part]
    if parts:
        apart = np.any([np.nan_to_num(part.to_numpy()) > 0 for part in parts], axis=0)
        _put(maker, n.OUTLYING, (n.PARTICIPANT,), apart.astype("int8"))
