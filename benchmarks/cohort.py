"""A synthetic cohort of any size, without files: who was asked, scanned and diagnosed, and where.

Its values say nothing (noise); calibration and tests put values from the joint model in the places
where the cohort has some (`blocks.generate`). Diagnoses are multi-label, a third with two or more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.atlases import read_atlas
from nssi_bayes.instruments import read_instrument
from nssi_bayes.schema import VARIABLES

__all__ = ["add_scores", "add_terms", "isas", "make_cohort"]

_SHARE: Final = {"mood": 0.4, "bipolar": 0.12, "eating": 0.15, "borderline": 0.2, "anxiety": 0.13}
_CENTRED: Final = (
    n.COVARIATE_VALUE,
    n.FACTOR_SCORE,
    n.ACTIVATION,
    n.CONNECTIVITY,
    n.QUALITY,
    n.MOTION,
    n.OUTCOME_VALUE,
)

type Array = np.ndarray[Any, Any]


def isas() -> dict[str, tuple[int, ...]]:
    """Return the items of each ISAS subscale, by number."""
    return dict(read_instrument("isas").subscales)


def make_cohort(
    rng: np.random.Generator,
    participants: int,
    *,
    subscales: Mapping[str, Sequence[int]],
    categories: int = 3,
    reliability: Mapping[str, float],
    scanned: float = 0.0,
    missing: float = 0.02,
) -> xr.Dataset:
    """Draw a cohort whose shape is that of the demo.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    participants : int
        Number of people.
    subscales : mapping
        Item numbers by subscale.
    categories : int
        Of every item.
    reliability : mapping
        Factors and their reliability.
    scanned : float
        Share of people with activation of the atlas's regions; 0: no regions at all.
    missing : float
        Share of responses and factor scores that are missing.

    Returns
    -------
    xarray.Dataset
        Satisfies the schema.
    """
    items = [(f"isas_{i:02d}", name) for name, numbers in subscales.items() for i in numbers]
    response = rng.integers(0, categories, (participants, len(items))).astype(float)
    response[rng.random(response.shape) < missing] = np.nan
    factor = rng.standard_normal((participants, len(reliability)))
    factor[rng.random(factor.shape) < missing] = np.nan
    cohort = xr.Dataset(
        coords={
            n.PARTICIPANT: np.array([f"sub-{i:04d}" for i in range(participants)], dtype=object),
            n.ITEM: [label for label, _ in items],
            n.ITEM_SUBSCALE: (n.ITEM, [name for _, name in items]),
            n.ITEM_INSTRUMENT: (n.ITEM, ["isas"] * len(items)),
            n.ITEM_CATEGORIES: (n.ITEM, [categories] * len(items)),
            n.DISORDER: list(_SHARE),
            n.COVARIATE: ["age", "sex"],
            n.FACTOR: list(reliability),
            n.OUTCOME: ["severity"],
        },
        attrs={"study": "calibration", "synthetic": 1, "title": "Synthetic: invented people"},
    )
    values = {
        n.RESPONSE: response,
        n.DIAGNOSIS: _diagnoses(rng, participants),
        n.SITE_OF: rng.permutation(np.array(["A", "B", "C"])[np.arange(participants) % 3]),
        n.COVARIATE_VALUE: rng.standard_normal((participants, 2)),
        n.FACTOR_SCORE: factor,
        n.FACTOR_RELIABILITY: np.array(list(reliability.values())),
        n.OUTCOME_VALUE: rng.standard_normal((participants, 1)),
    }
    if scanned:
        cohort = cohort.assign_coords(read_atlas("nssi_spheres").coords())
        values |= _scans(rng, participants, cohort.sizes[n.ROI], scanned)
        cohort = cohort.assign_coords(_edge_coords())
        values |= _edges(rng, values[n.MOTION], cohort.sizes[n.EDGE])
    for name, value in values.items():
        cohort[name] = (VARIABLES[name].dims, value, {"units": VARIABLES[name].unit})
        if name in _CENTRED:
            shape = value.shape[1:]
            for suffix, constant in ((n.CENTER, np.zeros(shape)), (n.SCALE, np.ones(shape))):
                cohort[name + suffix] = (VARIABLES[name].dims[1:], constant)
    return cohort


def add_terms(cohort: xr.Dataset, rng: np.random.Generator, *, unknown: float = 0.1) -> xr.Dataset:
    """Add a treatment that half of the people have, a dose, and what the outcome was before.

    Parameters
    ----------
    cohort : xarray.Dataset
        From `make_cohort`, with one outcome of any family.
    rng : numpy.random.Generator
        Source of randomness.
    unknown : float
        Share of people of whom the outcome before is not known.

    Returns
    -------
    xarray.Dataset
        Satisfies the schema.
    """
    people = cohort.sizes[n.PARTICIPANT]
    before = cohort[[v for v in cohort if n.OUTCOME in cohort[v].dims]].assign_coords({n.OUTCOME: ["before"]})
    value = np.where(rng.random((people, 1)) < unknown, np.nan, rng.standard_normal((people, 1)))
    before[n.OUTCOME_VALUE] = before[n.OUTCOME_VALUE].copy(data=value)
    if n.OUTCOME_FAMILY in cohort.coords:
        families = {n.OUTCOME_FAMILY: (n.OUTCOME, [n.GAUSSIAN]), n.OUTCOME_CATEGORIES: (n.OUTCOME, [0])}
        before = before.assign_coords(families)
    both = xr.concat([cohort[list(before)], before], dim=n.OUTCOME)
    whole = cohort.drop_dims(n.OUTCOME).merge(both)
    rule = VARIABLES[n.TREATMENT_VALUE]
    given = np.stack([rng.permutation(people) % 2, rng.integers(0, 4, people) / 2], axis=1)
    whole = whole.assign_coords(
        {n.TREATMENT: ["therapy", "dose"], n.OUTCOME_BASELINE: (n.OUTCOME, ["before", ""])}
    )
    whole[n.TREATMENT_VALUE] = (rule.dims, given.astype(float), {"units": rule.unit})
    return whole


def add_scores(
    cohort: xr.Dataset, labels: Sequence[str], value: Array, *, center: Array | None = None
) -> xr.Dataset:
    """Add continuous indicators to a cohort.

    Parameters
    ----------
    cohort : xarray.Dataset
        From `make_cohort`.
    labels : sequence of str
        Their names.
    value : numpy.ndarray
        [`participant`, `score`], NaN where missing.
    center : numpy.ndarray, optional
        What `value` is to be centred by; nothing by default.

    Returns
    -------
    xarray.Dataset
        Satisfies the schema.
    """
    rule = VARIABLES[n.SCORE_VALUE]
    center = np.zeros(len(labels)) if center is None else center
    cohort = cohort.assign_coords({n.SCORE: list(labels)})
    cohort[n.SCORE_VALUE] = (rule.dims, value - center, {"units": rule.unit})
    for suffix, constant in ((n.CENTER, center), (n.SCALE, np.ones(len(labels)))):
        cohort[n.SCORE_VALUE + suffix] = ((n.SCORE,), constant, {"units": "original"})
    return cohort


def _diagnoses(rng: np.random.Generator, participants: int) -> Array:
    """One diagnosis for everyone, a second for a third of them [`participant`, `disorder`]."""
    share = np.array(list(_SHARE.values()))
    found = np.zeros((participants, len(share)), dtype=np.int64)
    own = np.searchsorted(np.cumsum(share), rng.permutation((np.arange(participants) + 0.5) / participants))
    found[np.arange(participants), own] = 1
    for person in np.flatnonzero(rng.random(participants) < 1 / 3):
        weight = share * (1 - found[person])
        found[person, rng.choice(len(share), p=weight / weight.sum())] = 1
    return found


def _scans(rng: np.random.Generator, participants: int, regions: int, scanned: float) -> dict[str, Array]:
    activation = rng.standard_normal((participants, regions))
    error = rng.uniform(0.2, 0.5, (participants, regions))
    motion = rng.standard_normal(participants)
    away = rng.permutation(participants)[round(scanned * participants) :]
    activation[rng.random(activation.shape) < 0.01] = np.nan
    activation[away] = np.nan
    motion[away] = np.nan
    error[np.isnan(activation)] = np.nan
    return {
        n.ACTIVATION: activation,
        n.ACTIVATION_SE: error,
        n.ACTIVATION_COVERAGE: np.where(np.isnan(activation), np.nan, 1.0),
        n.MOTION: motion,
    }


def _edge_coords() -> dict[str, Any]:
    """Labels, regions, networks and places of the default edges."""
    atlas = read_atlas("nssi_spheres")
    at = {label: r for r, label in enumerate(atlas.labels)}
    ends = np.array([sorted(at[r] for r in edge.split(n.EDGE_SEPARATOR)) for edge in atlas.edges])
    labels, networks = np.array(atlas.labels), np.array([r.network for r in atlas.regions])
    names = [labels[ends[:, side]] for side in (0, 1)]
    pairs = [n.EDGE_SEPARATOR.join(sorted(pair)) for pair in networks[ends].tolist()]
    found: dict[str, Any] = {
        n.EDGE: [f"{a}{n.EDGE_SEPARATOR}{b}" for a, b in zip(*names, strict=True)],
        n.EDGE_NETWORK: (n.EDGE, pairs),
        n.EDGE_A: (n.EDGE, names[0]),
        n.EDGE_B: (n.EDGE, names[1]),
        n.QUALITY_MEASURE: ["connectivity_motion"],
    }
    for side, coords in ((0, n.EDGE_COORDS[3:6]), (1, n.EDGE_COORDS[6:])):
        found |= {c: (n.EDGE, atlas.centres[ends[:, side], axis]) for axis, c in enumerate(coords)}
    return found


def _edges(rng: np.random.Generator, motion: Array, edges: int) -> dict[str, Array]:
    value = rng.standard_normal((len(motion), edges))
    error = rng.uniform(0.4, 0.9, value.shape)
    value[rng.random(value.shape) < 0.01] = np.nan
    value[np.isnan(motion)] = np.nan
    error[np.isnan(value)] = np.nan
    return {
        n.CONNECTIVITY: value,
        n.CONNECTIVITY_SE: error,
        n.CONNECTIVITY_FRAMES: np.where(np.isnan(value), np.nan, 1 / error**2 + 3),
        n.QUALITY: (motion + 0.3 * rng.standard_normal(len(motion)))[:, None],
    }
