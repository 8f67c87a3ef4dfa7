"""The log-likelihood of one observation as a function of its linear predictor mu.

    slope mu - over log(1 + exp(mu + at)) - under log(1 + exp(below - mu)) + constant

Bernoulli, negative binomial and cumulative-logit outcomes all have this shape, which is concave: what
integrates or samples an outcome needs to know no more of its family. Nothing overflows or cancels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit

__all__ = ["Curve", "derivatives", "nothing", "value"]

type Array = np.ndarray[Any, Any]


class Curve(NamedTuple):
    """Constants of the curves of some observations, arrays of one shape.

    Parameters
    ----------
    slope, over, at, under, below, constant : numpy.ndarray
        As in the formula; ``under`` and ``over`` are 0 or more, and 0 where the term is missing.
    """

    slope: Array
    over: Array
    at: Array
    under: Array
    below: Array
    constant: Array


def nothing(shape: tuple[int, ...]) -> Curve:
    """Return curves that are 0 everywhere: nothing was observed."""
    return Curve(*(np.zeros(shape) for _ in Curve._fields))


def value(curve: Curve, predictor: Array) -> Array:
    """Return the log-likelihood at predictors of the curves' shape, nats."""
    rising = curve.over * np.logaddexp(0.0, predictor + curve.at)
    falling = curve.under * np.logaddexp(0.0, curve.below - predictor)
    return curve.slope * predictor - rising - falling + curve.constant


def derivatives(curve: Curve, predictor: Array) -> tuple[Array, Array]:
    """Return first derivative and negative second derivative by the predictor."""
    high, low = expit(predictor + curve.at), expit(curve.below - predictor)
    first = curve.slope - curve.over * high + curve.under * low
    return first, curve.over * high * (1 - high) + curve.under * low * (1 - low)
