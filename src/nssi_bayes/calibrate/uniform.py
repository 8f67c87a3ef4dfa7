"""Are ranks uniform? Simultaneous bands for their ECDF, and exact probabilities.

If the truth is one more draw of the posterior, its rank among L draws is uniform on 0 to L, and
the number of R ranks below j is binomial with probability j / (L + 1), for every j at once. The
smallest two-sided pointwise probability over j is the statistic gamma; its distribution under
uniformity is computed exactly, by carrying the distribution of the count from point to point inside
the pointwise bounds (Säilynoja, Bürkner & Vehtari 2022, 10.1007/s11222-022-10090-6, second
algorithm). ArviZ simulates the same bands; with hundreds of quantities the levels that are asked for
are too small for that.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
from scipy.special import gammaln
from scipy.stats import binom

__all__ = ["band", "counts", "exceedance", "p_values", "statistic"]

_GRID: Final = np.concatenate([np.geomspace(1e-12, 1e-5, 36), np.geomspace(1.1e-5, 1.0, 160)])
"""Values of gamma for which the probability is computed; between two, that of the larger is taken."""

type Array = np.ndarray[Any, Any]


def counts(ranks: Array, draws: int) -> Array:
    """Return how many ranks lie below 1, ..., `draws` [..., point] of ranks [..., replication]."""
    points = np.arange(1, draws + 1)
    return (np.asarray(ranks)[..., :, None] < points).sum(axis=-2)


def statistic(ranks: Array, draws: int) -> Array:
    """Return gamma, twice the smallest pointwise tail probability.

    Parameters
    ----------
    ranks : numpy.ndarray
        Whole numbers from 0 to `draws` [..., replication].
    draws : int
        How many draws the truth is ranked among.

    Returns
    -------
    numpy.ndarray
        [...], between 0 and 1.
    """
    size = np.shape(ranks)[-1]
    below, share = counts(ranks, draws), np.arange(1, draws + 1) / (draws + 1)
    table = binom.cdf(np.arange(-1, size + 1)[:, None], size, share)  # row c + 1: at most c
    at = np.arange(draws)
    tail = np.minimum(table[below + 1, at], 1 - table[below, at])
    return np.minimum(2 * tail.min(axis=-1), 1.0)


def exceedance(gamma: float, size: int, draws: int) -> float:
    """Return the probability that uniform ranks give a statistic of `gamma` or less.

    Parameters
    ----------
    gamma : float
        From `statistic`.
    size : int
        Replications.
    draws : int
        How many draws the truth is ranked among.

    Returns
    -------
    float
        Exact, up to rounding.
    """
    low, high = _bounds(gamma, size, draws)
    log_factorial = gammaln(np.arange(size + 2) + 1.0)
    chance, start = np.ones(1), 0
    for j in range(draws):
        step = 1 / (draws + 1 - j)  # of those not yet counted, this share falls below the next point
        before = np.arange(start, start + len(chance))
        after = np.arange(low[j], high[j] + 1)
        if len(after) == 0:
            return 1.0
        added = after[None, :] - before[:, None]
        left = size - before[:, None]
        valid = (added >= 0) & (added <= left)
        n_added = np.where(valid, added, 0)
        log_mass = (
            log_factorial[left] - log_factorial[n_added] - log_factorial[left - n_added]
            + n_added * np.log(step) + (left - n_added) * np.log1p(-step)
        )  # fmt: skip
        chance, start = chance @ np.where(valid, np.exp(log_mass), 0.0), int(low[j])
    return float(np.clip(1 - chance.sum(), 0.0, 1.0))


def _bounds(gamma: float, size: int, draws: int) -> tuple[Array, Array]:
    """Return the smallest and largest count at each point whose two-sided probability is over gamma."""
    share = np.arange(1, draws + 1) / (draws + 1)
    table = binom.cdf(np.arange(-1, size + 1)[:, None], size, share)
    inside = (2 * table[1:] > gamma) & (2 * (1 - table[:-1]) > gamma)
    some = inside.any(axis=0)
    low = np.where(some, inside.argmax(axis=0), 1)
    return low, np.where(some, size - inside[::-1].argmax(axis=0), 0)


@cache
def _table(size: int, draws: int) -> Array:
    return np.array([exceedance(float(g), size, draws) for g in _GRID])


def p_values(ranks: Array, draws: int) -> Array:
    """Return the probability of ranks that are as far from uniform, by quantity.

    Parameters
    ----------
    ranks : numpy.ndarray
        [quantity, replication].
    draws : int
        How many draws the truth is ranked among.

    Returns
    -------
    numpy.ndarray
        [quantity].
    """
    known = _table(np.shape(ranks)[-1], draws)
    return known[np.searchsorted(_GRID, np.minimum(statistic(ranks, draws), 1.0))]


def band(size: int, draws: int, level: float) -> tuple[Array, Array]:
    """Return the band that holds the whole ECDF of uniform ranks with probability 1 - `level` or more.

    Parameters
    ----------
    size : int
        Replications.
    draws : int
        How many draws the truth is ranked among.
    level : float
        Probability that any point leaves the band.

    Returns
    -------
    tuple of numpy.ndarray
        Lowest and highest share of ranks below 1, ..., `draws`.
    """
    known = _table(size, draws)
    allowed = np.flatnonzero(known <= level)
    gamma = float(_GRID[allowed[-1]]) if len(allowed) else 0.0
    low, high = _bounds(gamma, size, draws)
    return low / size, high / size
