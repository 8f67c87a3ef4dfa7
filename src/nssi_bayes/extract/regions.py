"""Regional means with standard errors and coverage, and how runs of one person are combined."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from nssi_bayes.atlases import Voxels
from nssi_bayes.atlases.images import Opened, voxels_on

if TYPE_CHECKING:
    import numpy.typing as npt

    type Array = npt.NDArray[np.float64]

__all__ = ["Grids", "combined", "regional_effects", "reliability"]


class Grids:
    """The atlas' voxels on every grid that was met, each computed once.

    Parameters
    ----------
    opened : Opened
        The atlas.
    """

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self._known: dict[bytes, Voxels] = {}
        self._lock = threading.Lock()

    def on(self, shape: tuple[int, int, int], *, affine: Array) -> Voxels:
        """Return the voxels on one grid."""
        key = np.array(shape).tobytes() + affine.tobytes()
        with self._lock:
            if key not in self._known:
                self._known[key] = voxels_on(self.opened, shape, affine=affine)
            return self._known[key]


def regional_effects(
    effect: Array, variance: Array | None, *, regions: Voxels, min_coverage: float
) -> tuple[Array, Array, Array]:
    """Return effect, standard error and coverage of each region of one person.

    A voxel has data when its effect is finite and its variance is finite and positive (a map may
    be NaN or 0 outside the brain). The effect is the weighted mean over voxels with data. Errors
    within a region are taken to be perfectly correlated. Smoothness of first-level maps (6 to 10 mm)
    is of the size of a sphere, and the correlation is not in the files; so the standard error is the
    root of the mean variance, which is conservative: any weaker correlation makes it smaller,
    by up to the root of the number of voxels if there were none.

    Parameters
    ----------
    effect : numpy.ndarray
        Map of one person on the grid of `regions`, in raw units.
    variance : numpy.ndarray or None
        Its variance; None for t and z maps, whose standard error is 1 by their scale.
    regions : Voxels
        Voxels by region.
    min_coverage : float
        A region with data in a smaller share of its voxels is missing.

    Returns
    -------
    tuple of numpy.ndarray
        Effect, standard error (NaN where missing) and coverage, each (`roi`,).
    """
    effect = effect.ravel()
    variance = None if variance is None else variance.ravel()
    values = np.full((3, len(regions.voxels)), np.nan)
    for r, (voxels, weight) in enumerate(zip(regions.voxels, regions.weight, strict=True)):
        inside = effect[voxels].astype(float)
        error = np.ones(len(voxels)) if variance is None else variance[voxels].astype(float)
        has_data = np.isfinite(inside) & np.isfinite(error) & (error > 0)
        if variance is None:
            has_data &= inside != 0  # a t or z map is 0 outside the brain
        seen = weight[has_data]
        values[2, r] = seen.sum() / regions.size[r]
        if has_data.any() and values[2, r] >= min_coverage:
            alike = seen.min() == seen.max()
            values[0, r] = _mean(inside[has_data], None if alike else seen)
            values[1, r] = np.sqrt(_mean(error[has_data], None if alike else seen))
    return values[0], values[1], values[2]


def _mean(values: Array, weight: Array | None) -> float:
    return float(values.mean() if weight is None else weight @ values / weight.sum())


def combined(value: Array, error: Array) -> tuple[Array, Array]:
    """Combine runs of one person by fixed effects, weights the inverse of the squared error.

    Parameters
    ----------
    value, error : numpy.ndarray
        (run, ...); NaN where a run has nothing.

    Returns
    -------
    tuple of numpy.ndarray
        Value and standard error (...); NaN where no run has anything.
    """
    if len(value) == 1:
        return value[0], error[0]
    has_data = np.isfinite(value) & np.isfinite(error)
    weight = np.where(has_data, 1 / np.where(has_data, error, 1.0) ** 2, 0.0)
    total = weight.sum(axis=0)
    seen = total > 0
    safe = np.where(seen, total, 1.0)
    mean = (weight * np.where(has_data, value, 0.0)).sum(axis=0) / safe
    return np.where(seen, mean, np.nan), np.where(seen, 1 / np.sqrt(safe), np.nan)


def reliability(value: Array) -> tuple[Array, npt.NDArray[np.intp]]:
    """Return the intraclass correlation of one run, ICC(1,1), of each column.

    It is reported beside the effects, never added to a standard error. People are compared as they
    are: where sites differ in level, the correlation over all sites is higher than within one.

    Parameters
    ----------
    value : numpy.ndarray
        (run, `participant`, column); NaN where a person has no such run. Runs need not be the same
        ones: who has one alone says nothing.

    Returns
    -------
    tuple of numpy.ndarray
        ICC of one run, NaN with fewer than 3 people, and the people with two runs or more; (column,).

    References
    ----------
    Shrout & Fleiss 1979, 10.1037/0033-2909.86.2.420; for unequal numbers of runs Donner 1986,
    10.2307/1403259.
    """
    seen = np.isfinite(value)
    runs = seen.sum(axis=0)
    seen = seen & (runs > 1)
    runs = np.where(runs > 1, runs, 0)
    people, total = (runs > 0).sum(axis=0), runs.sum(axis=0)
    usable = people >= 3
    n, all_runs = np.where(usable, people, 3), np.where(usable, total, 6)
    known = np.where(seen, value, 0.0)
    mean = known.sum(axis=0) / np.maximum(runs, 1)
    grand = known.sum(axis=(0, 1)) / all_runs
    between = (runs * (mean - grand) ** 2).sum(axis=0) / (n - 1)
    within = (np.where(seen, value - mean, 0.0) ** 2).sum(axis=(0, 1)) / (all_runs - n)
    typical = (all_runs - (runs**2).sum(axis=0) / all_runs) / (n - 1)
    spread = between + (typical - 1) * within
    enough = usable & (spread > 0)
    return np.where(enough, (between - within) / np.where(enough, spread, 1.0), np.nan), people
