"""A yes or no beside the items: its predictor as one more function, which one indicator measures.

A logistic outcome given its predictor is a two-category item of loading 1. The predictor is normal given
the functions, so that (functions, predictor) are jointly normal and the integral separates: the kernel of
the items takes one axis more. Where nothing of the predictor is left but the functions it would have no
variance; it gets `FLOOR`, whose blur of the logistic curve is a factor of 1 + FLOOR / 6 of its slope.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.predicted import Predictor, is_curved
from nssi_bayes.integrate.gaussian import LOG_2PI
from nssi_bayes.integrate.quadrature import Newton
from nssi_bayes.spec import MOST_BESIDE

__all__ = [
    "FLOOR",
    "NEWTON_BESIDE",
    "UNIT",
    "Beside",
    "extend",
    "extend_back",
    "grid_beside",
    "stands_beside",
]

FLOOR: Final = 1e-4
"""Least variance, squared logits."""
UNIT: Final = 16.0
"""Logits: what the predictor is divided by. Steps to the mode are clipped, and where functions move the
predictor has to follow at once, in sds of it that may be tiny."""
NEWTON_BESIDE: Final = Newton(20, 0.3)
"""Where the predictor changes by several logits with a function, longer steps jump over the mode."""
_GRIDS: Final = {
    1: {"order": 8, "curve_nodes": 17},
    2: {"order": 7, "curve_nodes": 15},
    3: {"order": 5, "curve_nodes": 11},
}
"""By number of functions; with four axes 5 nodes each are 625."""

type Array = np.ndarray[Any, Any]


class Beside(NamedTuple):
    """The indicator that the outcome is; its loading is `UNIT`.

    Parameters
    ----------
    upper, lower : numpy.ndarray
        U and V of the responses, as of items; both 0 if missing [`participant`, 1].
    """

    upper: Array
    lower: Array

    @classmethod
    def of(cls, design: Design) -> Beside:
        """Take the outcome of a design."""
        seen, y = np.asarray(design.outcome_seen, dtype=float), np.asarray(design.outcome, dtype=float)
        return cls((seen * (1 - y))[:, None], (seen * y)[:, None])


def stands_beside(design: Design, names: Any) -> bool:
    """Return whether a model's outcome is integrated beside its items."""
    return (
        is_curved(design, names)
        and design.outcome_family == n.BERNOULLI
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
    whole_row = [-predictor.own.T / UNIT, np.ones((people, 1)), predictor.mean[:, None] / UNIT]
    row = np.concatenate(whole_row, axis=1)
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
    by_row = 2 * pulled / UNIT
    by_variance = -(row * pulled).sum(axis=1) / variance - 0.5 / variance
    by_spread = None if spread is None else 2 * spread * by_variance / UNIT**2
    keep = np.r_[: size - 2, size - 1]
    mean, own = (np.ascontiguousarray(v) for v in (by_row[:, -1], -by_row[:, : size - 2].T))
    back = Predictor(mean, predictor.common, own, by_spread)
    return np.ascontiguousarray(by_whole[:, keep[:, None], keep]), back


def _variance(predictor: Predictor) -> Array:
    """Return that of the predictor given the functions, in squares of `UNIT` [`participant`]."""
    left = np.zeros(len(predictor.mean)) if predictor.spread is None else predictor.spread**2
    return np.asarray((FLOOR + left) / UNIT**2)
