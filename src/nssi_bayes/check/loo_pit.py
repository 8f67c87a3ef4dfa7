"""LOO-PIT: where each person lies in what the model says of them from everybody else.

A person's functions and factors are drawn anew, as of any new person, and draws of the parameters have
the weights of leaving this person out, with all data (PSIS, `scores.leave_out`). Of a right model these
places are uniform; where people of the data were fitted closely, places that leave nobody out would lie
too near the middle. Places between equal values (sum scores, counts) are drawn evenly (Czado, Gneiting
& Held 2009, 10.1111/j.1541-0420.2009.01191.x), and a person's own value counts as one more draw of
average weight, so that with equal weights the places are exactly those of ranks.

Places of different people rest on nearly the same data and are not independent; uniformity is judged by
order statistics combined after Cauchy (POT-C; Tesso & Vehtari 2026, arXiv:2603.02928), as ArviZ does for
LOO-PIT, and not by leaving the simultaneous band, which supposes independence and is drawn for the eye.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from arviz_stats.base import array_stats
from arviz_stats.ecdf_utils import get_pointwise_confidence_band, simulate_confidence_bands
from scipy.stats import binom

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.check.statistics import person_columns
from nssi_bayes.compare import FAILED_SHARE

__all__ = ["ABOUT", "NAME", "LeftOut", "Places", "columns_of", "compare"]

NAME: Final = "loo_pit"
ABOUT: Final = (
    "where people lie in what everybody else says of them: sum scores, factors, outcome, regions; people "
    "left out by PSIS, places uniform if the model is right"
)
_POINTS: Final = np.arange(1, 20) / 20
"""Where curves are drawn."""
_BAND: Final = 0.95
_SIMULATIONS: Final = 1000
_FEWEST: Final = 20
"""People of a column that is judged."""
_WORST: Final = 8

type Array = np.ndarray[Any, Any]


class LeftOut(NamedTuple):
    """Weights of leaving each person out.

    Parameters
    ----------
    draws : numpy.ndarray
        Positions of the draws whose data are compared.
    log_weight : numpy.ndarray
        Of these draws [`participant`, chosen sample], smoothed.
    k_hat : numpy.ndarray
        [`participant`].
    limit : float
        Over which the weights of a person are not to be believed.
    """

    draws: Array
    log_weight: Array
    k_hat: Array
    limit: float

    @classmethod
    def nobody(cls, draws: Array, people: int) -> LeftOut:
        """Return equal weights, with which everybody stays in."""
        return cls(draws, np.zeros((people, len(draws))), np.zeros(people), np.inf)

    @property
    def over(self) -> Array:
        """Who is over the limit, or has no k-hat at all [`participant`]."""
        return np.asarray(~(self.k_hat <= self.limit))


def columns_of(design: Design) -> tuple[list[str], Array]:
    """Return what a person has one number of [`participant`, column]; NaN where it is missing.

    Parameters
    ----------
    design : Design
        The data.

    Returns
    -------
    tuple
        Labels, and values in single precision, in which equal sums of answers are equal.
    """
    labels, columns = person_columns(design)
    if len(design.scanned):
        regions = np.full((len(columns), design.activation.shape[1]), np.nan)
        regions[design.scanned] = np.where(design.activation_seen, design.activation, np.nan)
        labels = [*labels, *(f"activation {r}" for r in design.coords[n.ROI])]
        columns = np.concatenate([columns, regions], axis=1)
    return labels, columns.astype(np.float32)


class Places:
    """Places of people among data that are drawn one after the other, which are not kept.

    Parameters
    ----------
    own : numpy.ndarray
        Observed [`participant`, column]; NaN where it is missing.
    left_out : LeftOut
        Whose weights count.
    """

    def __init__(self, own: Array, left_out: LeftOut) -> None:
        self._own = own
        weight = np.exp(left_out.log_weight - left_out.log_weight.max(axis=1, keepdims=True))
        self._weight = weight / weight.sum(axis=1, keepdims=True)
        self._below, self._equal = np.zeros((2, *own.shape))

    def add(self, s: int, drawn: Array) -> None:
        """Take in the data that the `s`-th of the chosen draws gave [`participant`, column]."""
        weight = self._weight[:, [s]]
        self._below += weight * (drawn < self._own)
        self._equal += weight * (drawn == self._own)

    def values(self, rng: np.random.Generator) -> Array:
        """Return the places, between 0 and 1 [`participant`, column]; NaN where nothing was observed."""
        own = (self._weight**2).sum(axis=1, keepdims=True)  # of equal weights one in so many draws
        spread = rng.uniform(size=self._own.shape) * (self._equal + own)
        return np.where(np.isfinite(self._own), (self._below + spread) / (1 + own), np.nan)


def compare(
    values: Array, labels: list[str], over: Array, *, min_cell: int
) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    """Judge whether places are uniform, column by column and all together.

    Parameters
    ----------
    values : numpy.ndarray
        From `Places.values` [`participant`, column].
    labels : list of str
        Of the columns.
    over : numpy.ndarray
        Who is over the k-hat limit [`participant`].
    min_cell : int
        Shares that fewer people stand behind are not printed, nor columns of fewer people.

    Returns
    -------
    tuple or None
        A check as in ``predictive_checks.json``, with `unreliable`, the columns of which too many people are
        over the limit to be judged, and without a verdict (`passed` None) where these are all; and a curve
        a column. None where no column has enough people.
    """
    curves = [
        _curve(label, own[seen], float(over[seen].mean()), min_cell)
        for label, own in zip(labels, values.T, strict=True)
        if (seen := np.isfinite(own)).sum() >= max(min_cell, _FEWEST)
    ]
    if not curves:
        return None
    unreliable = [c["column"] for c in curves if not c["reliable"]]
    judged = [c for c in curves if c["reliable"]]
    rows = judged or curves
    told = [c["worst"] for c in sorted(rows, key=lambda c: c["p"]) if c["worst"]]
    z = np.array([w["z"] for w in told])
    found = {
        "name": NAME, "about": ABOUT, "elements": len(rows), "told": len(told),
        "p": min(1.0, len(rows) * min(c["p"] for c in rows)),
        "largest_z": float(np.abs(z).max()) if told else None,
        "mean_square_z": float((z**2).mean()) if told else None,
        "outside_90": sum(c["p"] < 0.1 for c in rows),
        "worst": told[:_WORST],
        "unreliable": unreliable, **({} if judged else {"passed": None}),
    }  # fmt: skip
    return found, [{k: v for k, v in c.items() if k != "worst"} for c in curves]


def _curve(label: str, places: Array, over: float, min_cell: int) -> dict[str, Any]:
    """Return the ECDF of a column less the diagonal, with its band, and where it is farthest off."""
    size = len(places)
    count = np.searchsorted(np.sort(places), _POINTS, side="right")
    z = (count / size - _POINTS) / np.sqrt(_POINTS * (1 - _POINTS) / size)
    shown = _enough(count, size, min_cell)
    worst = None
    if len(shown):
        at = int(shown[np.argmax(np.abs(z[shown]))])
        ends = binom.ppf([0.05, 0.95], size, _POINTS[at]) / size
        worst = {
            "element": f"{label}: share below {_POINTS[at]:.2f}", "z": float(z[at]),
            "observed": float(count[at] / size), "expected": float(_POINTS[at]),
            "low": float(ends[0]), "high": float(ends[1]),
        }  # fmt: skip
    low, high = _band(size)
    return {
        "column": label, "p": float(array_stats.uniformity_test(places, method="pot_c")[0]),
        "reliable": over <= FAILED_SHARE, "place": _POINTS[shown],
        "difference": (count / size - _POINTS)[shown],
        "low": (low - _POINTS)[shown], "high": (high - _POINTS)[shown], "worst": worst,
    }  # fmt: skip


def _enough(count: Array, size: int, min_cell: int) -> Array:
    """Return the points of a curve between any two of which, and outside, enough people lie."""
    found, last = [], 0
    for i, c in enumerate(count):
        if c - last >= min_cell and size - c >= min_cell:
            found.append(i)
            last = int(c)
    return np.array(found, dtype=int)


@cache
def _band(size: int) -> tuple[Array, Array]:
    """Return the simultaneous band of the ECDF of so many independent places, at `_POINTS`."""
    rng = np.random.default_rng(size)
    level = simulate_confidence_bands(size, 1, _POINTS, _BAND, _SIMULATIONS, rng)
    return get_pointwise_confidence_band(level, size, _POINTS)
