"""Cumulative logit (graded response, Samejima 1969): P(y <= c) = logistic(kappa_c - predictor).

Any number of categories; categories that nobody used are included. Thresholds are written by the
category probabilities p of a person whose predictor is 0, kappa_c = logit(p_0 + ... + p_c), so
that a Dirichlet prior on p is the induced-Dirichlet prior on kappa. With U = exp(-kappa_y),
V = exp(kappa_{y-1}) and E = exp(predictor)

    P(y) = p_y / (upper tail of p at y x lower tail of p at y) / ((1 + E U) (1 + V / E))

which does not cancel in the tails, needs one exponential, and is 1 for U = V = 0 (missing).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nssi_bayes.integrate.compiling import compiled
from nssi_bayes.integrate.curve import Curve

__all__ = [
    "Table",
    "category_probability",
    "curve",
    "curve_back",
    "derivatives",
    "log_probability",
    "look_up",
    "rescale",
    "rescale_back",
    "rescaled",
    "simulate",
    "stack",
    "table",
    "tabulate",
    "tabulate_back",
    "through",
]


_FAR: Final = 0.7
"""Distance of two thresholds from which on their difference has all digits; below, that of U V and 1 has."""


class Table(NamedTuple):
    """U, V and the part of the log-probability free of the predictor, by response.

    Parameters
    ----------
    upper, lower, log_gap : array
        [`indicator`, response]; the last column stands for "missing".
    """

    upper: Any
    lower: Any
    log_gap: Any


def table(probability: Any, columns: int) -> Table:
    """Tabulate one group of indicators with equally many categories.

    Parameters
    ----------
    probability : array
        Category probabilities where the predictor is 0 [`indicator`, category]; rows sum to 1.
    columns : int
        Width of the result: the largest number of categories of any indicator, plus one.

    Returns
    -------
    Table
        [`indicator`, columns].
    """
    below = jnp.cumsum(probability, axis=1)
    above = jnp.cumsum(probability[:, ::-1], axis=1)[:, ::-1]
    edge = jnp.zeros((probability.shape[0], 1))
    upper = jnp.concatenate([above[:, 1:] / below[:, :-1], edge], axis=1)
    lower = jnp.concatenate([edge, below[:, :-1] / above[:, 1:]], axis=1)
    gap = jnp.log(probability) - jnp.log(above) - jnp.log(below)
    gap = gap.at[:, 0].set(0 * gap[:, 0] - jnp.log(above[:, 0]))
    gap = gap.at[:, -1].set(0 * gap[:, -1] - jnp.log(below[:, -1]))
    empty = [(0, 0), (0, columns - probability.shape[1])]
    return Table(jnp.pad(upper, empty), jnp.pad(lower, empty), jnp.pad(gap, empty))


def stack(tables: list[Table], order: np.ndarray[Any, Any]) -> Table:
    """Join the tables of all groups and put the indicators in order."""
    return Table(*(jnp.concatenate(parts, axis=0)[order] for parts in zip(*tables, strict=True)))


def rescaled(given: Table, shift: Any, scale: Any) -> Table:
    """Return the constants of thresholds (kappa - shift) / scale, from those of kappa.

    Parameters
    ----------
    given : Table
        [`indicator`, response].
    shift, scale : array
        Logits, and a factor above 0 [`indicator`].

    Returns
    -------
    Table
        U^(1/s) exp(nu/s), V^(1/s) exp(-nu/s), and log(1 - U V) of these, which is 0 at both ends.
    """
    nu, s = shift[:, None], scale[:, None]
    over, under = given.upper > 0, given.lower > 0
    log_upper = jnp.log(jnp.where(over, given.upper, 1.0))
    log_lower = jnp.log(jnp.where(under, given.lower, 1.0))
    upper = jnp.where(over, jnp.exp((log_upper + nu) / s), 0.0)
    lower = jnp.where(under, jnp.exp((log_lower - nu) / s), 0.0)
    between = over & under
    far = between & (log_upper + log_lower < -_FAR)
    near = jnp.where(between & ~far, given.log_gap, -1.0)
    apart = jnp.where(far, -log_upper - log_lower, -jnp.log1p(-jnp.exp(near)))
    gap = jnp.log(-jnp.expm1(-apart / s))
    return Table(upper, lower, jnp.where(between, gap, given.log_gap))


def rescale(
    given: tuple[Any, Any, Any], shift: np.ndarray[Any, Any], scale: np.ndarray[Any, Any]
) -> tuple[Any, Any, Any]:
    """Return what `rescaled` does (NumPy)."""
    upper, lower, gap = given
    nu, s, apart = shift[:, None], scale[:, None], _apart(given)
    with np.errstate(divide="ignore"):
        return (
            np.exp((np.log(upper) + nu) / s),
            np.exp((np.log(lower) - nu) / s),
            np.where(np.isfinite(apart), np.log(-np.expm1(-apart / s)), gap),
        )


def rescale_back(
    given: tuple[Any, Any, Any],
    scale: np.ndarray[Any, Any],
    made: tuple[Any, Any, Any],
    by: tuple[Any, Any, Any],
) -> tuple[tuple[Any, Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Pull derivatives by what `rescale` made of `given` back to its arguments.

    Parameters
    ----------
    given : tuple of numpy.ndarray
        U, V and the rest [`indicator`, response].
    scale : numpy.ndarray
        [`indicator`].
    made : tuple of numpy.ndarray
        What `rescale` returned.
    by : tuple of numpy.ndarray
        Derivatives by `made`.

    Returns
    -------
    tuple
        Derivatives by `given`, and by shift and scale [`indicator`].
    """
    upper, lower, gap = given
    s, apart = scale[:, None], _apart(given)
    over, under, between = upper > 0, lower > 0, np.isfinite(apart)
    whole = np.where(between, apart, 1.0)
    by_apart = np.where(between, by[2] / np.expm1(whole / s) / s, 0.0)
    # thresholds above and below the response, times s
    above = np.where(over, -by[0] * made[0], 0.0)
    below = np.where(under, by[1] * made[1], 0.0)
    with np.errstate(divide="ignore"):
        at_above, at_below = (
            np.where(there, np.log(v), 0.0) for there, v in ((over, made[0]), (under, made[1]))
        )
    far = between & (whole > _FAR)
    through = np.where(far, by_apart, 0.0)
    by_upper = (-above / s - through) / np.where(over, upper, 1.0)
    by_lower = (below / s - through) / np.where(under, lower, 1.0)
    ratio = np.exp(np.where(between & ~far, gap, -1.0))
    by_gap = np.where(far, 0.0, np.where(between, by_apart * ratio / (1 - ratio), by[2]))
    by_shift = (-(above + below) / s).sum(axis=1)
    by_scale = ((above * at_above - below * at_below - by_apart * whole) / s).sum(axis=1)
    return (by_upper, by_lower, by_gap), by_shift, by_scale


def _apart(given: tuple[Any, Any, Any]) -> np.ndarray[Any, Any]:
    """Return the distance of the two thresholds of a response, infinite at both ends."""
    upper, lower, gap = given
    between = (upper > 0) & (lower > 0)
    far = -np.log(np.where(between, upper, 1.0)) - np.log(np.where(between, lower, 1.0))
    near = -np.log1p(-np.exp(np.where(between & (far <= _FAR), gap, -1.0)))
    return np.where(between, np.where(far > _FAR, far, near), np.inf)


@compiled
def tabulate(probability: Any, start: Any, categories: Any, columns: int) -> tuple[Any, Any, Any]:
    """Tabulate all indicators, compiled by Numba: `table`, whatever their numbers of categories.

    Parameters
    ----------
    probability : numpy.ndarray
        Category probabilities of all indicators, one after the other.
    start, categories : numpy.ndarray
        Where an indicator's begin, and how many there are [`indicator`].
    columns : int
        As in `table`.

    Returns
    -------
    tuple of numpy.ndarray
        U, V and the rest, as in `Table` [`indicator`, response].
    """
    upper, lower = np.zeros((len(start), columns)), np.zeros((len(start), columns))
    gap = np.zeros((len(start), columns))
    for j in range(len(start)):
        last = categories[j] - 1
        p = probability[start[j] : start[j] + last + 1]
        below, above = np.cumsum(p), np.cumsum(p[::-1])[::-1]
        for c in range(last):
            upper[j, c] = above[c + 1] / below[c]
            lower[j, c + 1] = below[c] / above[c + 1]
        for c in range(1, last):
            gap[j, c] = np.log(p[c]) - np.log(above[c]) - np.log(below[c])
        gap[j, 0] = -np.log(above[0])
        gap[j, last] = -np.log(below[last])
    return upper, lower, gap


@compiled
def tabulate_back(
    probability: Any, start: Any, categories: Any, by_upper: Any, by_lower: Any, by_gap: Any, found: Any
) -> None:
    """Add the derivative by the probabilities to `found`, which is as long as `probability`."""
    for j in range(len(start)):
        last = categories[j] - 1
        p = probability[start[j] : start[j] + last + 1]
        below, above = np.cumsum(p), np.cumsum(p[::-1])[::-1]
        by_below, by_above = np.zeros(last + 1), np.zeros(last + 1)
        for c in range(last):
            by_above[c + 1] += by_upper[j, c] / below[c] - by_lower[j, c + 1] * below[c] / above[c + 1] ** 2
            by_below[c] += by_lower[j, c + 1] / above[c + 1] - by_upper[j, c] * above[c + 1] / below[c] ** 2
        for c in range(1, last):
            found[start[j] + c] += by_gap[j, c] / p[c]
            by_above[c] -= by_gap[j, c] / above[c]
            by_below[c] -= by_gap[j, c] / below[c]
        by_above[0] -= by_gap[j, 0] / above[0]
        by_below[last] -= by_gap[j, last] / below[last]
        one, other = np.cumsum(by_above), np.cumsum(by_below[::-1])[::-1]
        for c in range(last + 1):
            found[start[j] + c] += one[c] + other[c]


def curve(y: np.ndarray[Any, Any], probability: np.ndarray[Any, Any]) -> Curve:
    """Return the log-probability of each category of one measure by its predictor (NumPy).

    Parameters
    ----------
    y : numpy.ndarray
        Categories from 0.
    probability : numpy.ndarray
        Category probabilities where the predictor is 0 [category].

    Returns
    -------
    Curve
        Of the shape of `y`.
    """
    upper, lower, gap = (part[0][y.astype(int)] for part in _of_one(probability))
    none = np.zeros(y.shape)
    with np.errstate(divide="ignore"):
        at, below = (np.where(part > 0, np.log(part), 0.0) for part in (upper, lower))
    return Curve(none, (upper > 0).astype(float), at, (lower > 0).astype(float), below, gap, none)


def curve_back(
    y: np.ndarray[Any, Any], probability: np.ndarray[Any, Any], predictor: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return the derivative of the summed log-probability by the category probabilities [category]."""
    chosen, (upper, lower, _) = y.astype(int), _of_one(probability)
    odds = np.exp(predictor)
    by_upper = -odds / (1.0 + odds * upper[0][chosen])
    return through(y, probability, by_upper, -1.0 / (odds + lower[0][chosen]))


def through(
    y: np.ndarray[Any, Any],
    probability: np.ndarray[Any, Any],
    by_upper: np.ndarray[Any, Any],
    by_lower: np.ndarray[Any, Any],
) -> np.ndarray[Any, Any]:
    """Return the same derivative from those by U and V of each response, and of the gaps [category]."""
    size, chosen = len(probability), y.astype(int)
    one, two, three = (
        np.bincount(chosen, values, size + 1)[None] for values in (by_upper, by_lower, np.ones(len(chosen)))
    )
    found = np.zeros(size)
    start, count = np.zeros(1, int), np.full(1, size)
    tabulate_back(np.ascontiguousarray(probability), start, count, one, two, three, found)
    return found


def _of_one(probability: np.ndarray[Any, Any]) -> Any:
    size = len(probability)
    return tabulate(np.ascontiguousarray(probability), np.zeros(1, int), np.full(1, size), size + 1)


def look_up(tables: Table, response: Any) -> Table:
    """Return the constants of each response.

    Parameters
    ----------
    tables : Table
        [`indicator`, response], or [`participant`, `indicator`, response] where people's differ.
    response : integer array
        Category from 0 [`participant`, `indicator`]; missing is the last column of `tables`.

    Returns
    -------
    Table
        [`participant`, `indicator`].
    """
    chosen = jax.nn.one_hot(response, tables.upper.shape[-1], dtype=tables.upper.dtype)
    along = "ijc,jc->ij" if tables.upper.ndim == 2 else "ijc,ijc->ij"
    return Table(*(jnp.einsum(along, chosen, part) for part in tables))


def log_probability(upper: Any, lower: Any, predictor: Any) -> Any:
    """Return log P(y) without `log_gap`, at predictors that broadcast against the constants."""
    odds = jnp.exp(predictor)
    return -jnp.log(1 + upper * lower + odds * upper + lower / odds)


def derivatives(upper: Any, lower: Any, predictor: Any) -> tuple[Any, Any]:
    """Return first derivative and negative second derivative of log P by the predictor."""
    odds = jnp.exp(predictor)
    over, under = odds * upper, lower / odds
    over, under = over / (1 + over), under / (1 + under)
    return under - over, under * (1 - under) + over * (1 - over)


def category_probability(
    probability: np.ndarray[Any, Any], predictor: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return the probability of every category (NumPy).

    Parameters
    ----------
    probability : numpy.ndarray
        Category probabilities of one indicator where the predictor is 0 [category].
    predictor : numpy.ndarray
        Any shape, logits.

    Returns
    -------
    numpy.ndarray
        ``predictor.shape + (category,)``; sums to 1.
    """
    below = np.cumsum(probability)[:-1]
    kappa = np.log(below) - np.log(np.cumsum(probability[::-1])[::-1][1:])
    cumulative = 1 / (1 + np.exp(-np.clip(kappa - predictor[..., None], -500, 500)))
    edges = np.zeros((*predictor.shape, 1))
    return np.diff(np.concatenate([edges, cumulative, edges + 1], axis=-1), axis=-1)


def simulate(
    rng: np.random.Generator, probability: np.ndarray[Any, Any], predictor: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Draw the categories of one indicator (NumPy).

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    probability : numpy.ndarray
        Category probabilities where the predictor is 0 [category].
    predictor : numpy.ndarray
        Any shape, logits.

    Returns
    -------
    numpy.ndarray
        Categories from 0, the shape of `predictor`.
    """
    cumulative = np.cumsum(category_probability(probability, predictor), axis=-1)
    return (rng.random(predictor.shape)[..., None] > cumulative[..., :-1]).sum(axis=-1)
