"""An outcome beside the items: its predictor as one more function, which one indicator measures.

An outcome that is a yes, a count or a category is an item of loading 1 of its predictor: U and V are those
of a category, and a negative binomial count is a "no" to the power y + 1 / dispersion^2, tilted by y. The
predictor is normal given the functions, so that (functions, predictor) are jointly normal and the integral
separates: the kernel of the items takes one axis more. Where nothing of the predictor is left but the
functions it would have no variance; it gets `FLOOR`, which changes a person's log-likelihood by less than
FLOOR times the curvature of the outcome's (of a Poisson count y).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.predicted import Observed, Predictor, is_curved
from nssi_bayes.integrate.gaussian import LOG_2PI
from nssi_bayes.integrate.quadrature import Newton
from nssi_bayes.spec import MOST_BESIDE

if TYPE_CHECKING:
    from nssi_bayes.blocks.compiled import Slots

__all__ = [
    "FLOOR",
    "LEAST_DISPERSION",
    "NEWTON_BESIDE",
    "Beside",
    "Indicator",
    "extend",
    "extend_back",
    "grid_beside",
    "stands_beside",
]

FLOOR: Final = 1e-5
"""Least variance of the predictor given the functions."""
LEAST_DISPERSION: Final = 1e-4
"""Counts of less are Poisson to y^2 1e-8; (1 + s rate)^(1 / s) would be 1 where 1 + s rate rounds to 1, and
the density without bound."""
NEWTON_BESIDE: Final = Newton(12, np.inf)
"""Damped: where the predictor changes by several units with a function, and for large counts, whole steps
jump over the mode, and steps that are clipped by function leave the predictor behind."""
_GRIDS: Final = {
    1: {"order": 8, "curve_nodes": 17},
    2: {"order": 7, "curve_nodes": 15},
    3: {"order": 5, "curve_nodes": 11},
}
"""By number of functions; with four axes 5 nodes each are 625."""

type Array = np.ndarray[Any, Any]


class Indicator(NamedTuple):
    """The indicator that the outcome is, of loading 1, or derivatives by its parts.

    Parameters
    ----------
    upper, lower : numpy.ndarray
        U and V of the responses, as of items; both 0 if missing [`participant`].
    tail : numpy.ndarray
        As in `kernel.value_and_gradient_raised`; of derivatives the one by the power [`participant`, ...].
    """

    upper: Array
    lower: Array
    tail: Array


class Beside:
    """The outcome of a design as an indicator.

    Parameters
    ----------
    design : Design
        The data.
    slots : Slots
        Where the parameters stand.
    """

    def __init__(self, design: Design, slots: Slots) -> None:
        self._observed, self._slots = Observed(design), slots

    def at(self, theta: Array) -> tuple[Indicator, float]:
        """Return the indicator at parameters [slot], and what of the log-likelihood has no predictor."""
        curve = self._observed.curve(self._named(theta))
        upper, lower = (
            np.where(power > 0, np.exp(place), 0.0)
            for power, place in ((curve.over, curve.at), (curve.under, curve.below))
        )
        power = np.maximum(curve.over, curve.under)  # which is 1, or that of the only term
        return Indicator(upper, lower, np.stack([curve.slope, power], axis=1)), float(curve.constant.sum())

    def back(self, theta: Array, by: Indicator) -> Array:
        """Pull derivatives by U, V and power back to the parameters of the family [slot]."""
        found = np.zeros(self._slots.size)
        slopes = self._observed.slopes_through(self._named(theta), by.upper, by.lower, by.tail)
        for name, slope in slopes.items():
            found[self._slots.where[name]] = slope
        if "dispersion" in slopes and theta[self._slots.where["dispersion"]] < LEAST_DISPERSION:
            found[self._slots.where["dispersion"]] = 0.0
        return found

    def _named(self, theta: Array) -> dict[str, Array]:
        named = self._slots.named(theta)
        if "dispersion" in named:
            named["dispersion"] = np.maximum(named["dispersion"], LEAST_DISPERSION)
        return named


def stands_beside(design: Design, names: Any) -> bool:
    """Return whether a model's outcome is integrated beside its items."""
    return (
        is_curved(design, names)
        and design.outcome_family != n.HURDLE  # which has two predictors
        and len(design.coords[n.FUNCTION]) <= MOST_BESIDE
        and bool(design.coords[n.INDICATOR])
    )


def grid_beside(functions: int) -> dict[str, int]:
    """Return the settings of `quadrature.make_grid` for functions and the predictor."""
    return _GRIDS[functions]


def extend(matrix: Array, predictor: Predictor) -> tuple[Array, Array, Array]:
    """Add the predictor behind the functions.

    Parameters
    ----------
    matrix : numpy.ndarray
        M over (functions, -1) [`participant`, latent, latent].
    predictor : Predictor
        The factors integrated out.

    Returns
    -------
    tuple of numpy.ndarray
        M over (functions, predictor, -1); the constant of the predictor's density [`participant`]; and
        its residual (functions, predictor, -1) [`participant`, latent], for `extend_back`.
    """
    people, size = matrix.shape[0], matrix.shape[1]
    variance = _variance(predictor)
    row = np.concatenate([-predictor.own[0].T, np.ones((people, 1)), predictor.mean[0][:, None]], axis=1)
    whole = row[:, :, None] * row[:, None, :] / variance[:, None, None]
    keep = np.r_[: size - 1, size]
    whole[:, keep[:, None], keep] += matrix
    return whole, -0.5 * (np.log(variance) + LOG_2PI), row


def extend_back(by_whole: Array, row: Array, predictor: Predictor) -> tuple[Array, Predictor]:
    """Pull the derivative by the larger M back.

    Parameters
    ----------
    by_whole : numpy.ndarray
        Symmetric [`participant`, latent, latent].
    row : numpy.ndarray
        From `extend`.
    predictor : Predictor
        As there.

    Returns
    -------
    tuple
        Derivative by M over (functions, -1), and by the predictor, its constant included.
    """
    spread, size = predictor.spread, row.shape[1]
    variance = _variance(predictor)
    pulled = np.einsum("iab,ib->ia", by_whole, row) / variance[:, None]
    by_row = 2 * pulled
    by_variance = -(row * pulled).sum(axis=1) / variance - 0.5 / variance
    by_spread = None if spread is None else 2 * spread * by_variance
    keep = np.r_[: size - 2, size - 1]
    mean, own = (np.ascontiguousarray(v)[None] for v in (by_row[:, -1], -by_row[:, : size - 2].T))
    back = Predictor(mean, predictor.common, own, by_spread)
    return np.ascontiguousarray(by_whole[:, keep[:, None], keep]), back


def _variance(predictor: Predictor) -> Array:
    """Return that of the predictor given the functions [`participant`]."""
    left = 0.0 if predictor.spread is None else (predictor.spread[0] ** 2).sum(axis=0)
    return np.asarray(FLOOR + left + np.zeros(predictor.mean.shape[1]))
