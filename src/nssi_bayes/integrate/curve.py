"""The log-likelihood of one observation as a function of its linear predictor mu.

    slope mu - over log(1 + exp(mu + at)) - under log(1 + exp(below - mu)) + constant

Bernoulli, negative binomial and cumulative-logit outcomes all have this shape, which is concave: what
integrates or samples an outcome needs to know no more of its family. Nothing overflows or cancels. A
count of which only those over 0 are in has one term more, -log(1 - P(0)), with
P(0) = (1 + exp(mu + at))^-cut; it is not concave far above where the count would have been likely.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from scipy.special import expit

__all__ = ["FAR", "SMALL", "Curve", "Outcome", "derivatives", "log_any", "no_outcome", "nothing", "value"]

FAR: Final = -36.0
"""Place under which log(1 + exp(place)) is exp(place) to rounding."""
SMALL: Final = 1e-8
"""Hazard h under which log(1 - exp(-h)) is log(h) - h / 2 to rounding."""
_LARGE: Final = 700.0
_TINY: Final = 1e-300

type Array = np.ndarray[Any, Any]


class Curve(NamedTuple):
    """Constants of the curves of some observations, arrays of one shape.

    Parameters
    ----------
    slope, over, at, under, below, constant, cut : numpy.ndarray
        As in the formula; ``under``, ``over`` and ``cut`` are 0 or more, and 0 where the term is missing.
    """

    slope: Array
    over: Array
    at: Array
    under: Array
    below: Array
    constant: Array
    cut: Array


def nothing(shape: tuple[int, ...]) -> Curve:
    """Return curves that are 0 everywhere: nothing was observed."""
    return Curve(*(np.zeros(shape) for _ in Curve._fields))


class Outcome(NamedTuple):
    """An outcome of everybody at one value of the parameters; no people: there is none.

    Parameters
    ----------
    mean, load, spread : numpy.ndarray
        A predictor is mean + load . functions + spread . z, z ~ N(0, 1): [predictor, `participant`],
        [predictor, `participant`, `function`], [predictor, axis, `participant`]. There are up to two
        axes; of two the first is nested in the second.
    curve : Curve
        Of each predictor [predictor, `participant`].
    position, log_weight : numpy.ndarray
        One axis of the rule, over z.
    """

    mean: Array
    load: Array
    spread: Array
    curve: Curve
    position: Array
    log_weight: Array


def no_outcome(functions: int) -> Outcome:
    """Return the outcome of a model that has none, or whose outcome is Gaussian."""
    shape, rule = (0, 0), np.zeros(0)
    load, spread = np.zeros((*shape, functions)), np.zeros((*shape, 0))
    return Outcome(np.zeros(shape), load, spread, nothing(shape), rule, rule)


def value(curve: Curve, predictor: Array) -> Array:
    """Return the log-likelihood at predictors of the curves' shape, nats."""
    rising = curve.over * np.logaddexp(0.0, predictor + curve.at)
    falling = curve.under * np.logaddexp(0.0, curve.below - predictor)
    found = curve.slope * predictor - rising - falling + curve.constant
    return found - log_any(predictor + curve.at, curve.cut) if np.any(curve.cut) else found


def derivatives(curve: Curve, predictor: Array) -> tuple[Array, Array]:
    """Return first derivative and negative second derivative by the predictor."""
    high, low = expit(predictor + curve.at), expit(curve.below - predictor)
    first = curve.slope - curve.over * high + curve.under * low
    second = curve.over * high * (1 - high) + curve.under * low * (1 - low)
    if not np.any(curve.cut):
        return first, second
    slope, bend = _log_any_slopes(predictor + curve.at, curve.cut)
    return first - slope, second + bend


def log_any(place: Array, cut: Array) -> Array:
    """Return log(1 - (1 + exp(place))^-cut), and 0 where `cut` is 0.

    Parameters
    ----------
    place, cut : numpy.ndarray
        ``mu + at`` and ``cut`` of some curves.

    Returns
    -------
    numpy.ndarray
        Log-probability of a count over 0, nats; `place` + log(`cut`) far below, where 1 - P(0) would cancel.
    """
    size, rise = np.where(cut > 0, cut, 1.0), np.logaddexp(0.0, place)
    hazard = size * rise
    exact = np.log(-np.expm1(-np.maximum(hazard, _TINY)))
    low = np.where(place < FAR, place, np.log(np.maximum(rise, _TINY))) + np.log(size) - 0.5 * hazard
    return np.where(cut > 0, np.where(hazard < SMALL, low, exact), 0.0)


def _log_any_slopes(place: Array, cut: Array) -> tuple[Array, Array]:
    """Return first and second derivative of `log_any` by its place."""
    hazard = np.maximum(cut * np.logaddexp(0.0, place), _TINY)
    share = expit(place)
    rate = np.where(place < FAR, 1.0, share / np.maximum(np.logaddexp(0.0, place), _TINY))
    first = np.where(hazard > _LARGE, 0.0, rate * hazard / np.expm1(np.minimum(hazard, _LARGE)))
    second = first * (1.0 - share - rate * hazard / -np.expm1(-hazard))
    return np.where(cut > 0, first, 0.0), np.where(cut > 0, second, 0.0)
