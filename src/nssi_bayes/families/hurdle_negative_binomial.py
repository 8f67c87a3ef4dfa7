"""Hurdle negative binomial: whether there is any, and how many of those who have any.

    P(0) = 1 - p,    P(y) = p NB(y) / (1 - NB(0)) for y > 0,    p = logistic(some)

NB is the negative binomial of `families.negative_binomial`, rate = exposure exp(count). Each part has a
predictor of its own (Mullahy 1986, 10.1016/0304-4076(86)90002-3; Cameron & Trivedi 2013,
10.1017/CBO9781139013567, 4.3). Given these the likelihood is one of a yes times one of a truncated count.

Exposure is in the rate alone. Mullahy's binary part is that of a count, P(0) = exp(-rate), whose
complementary log-log link a log exposure would enter as an offset; a logit has no such scale. p is the
probability of any while a person was observed. Where people were observed for very unequal times, let
its logarithm be a covariate, which both parts have, or take ``negative_binomial``.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from scipy.special import expit

from nssi_bayes.families import negative_binomial
from nssi_bayes.integrate.curve import Curve

__all__ = ["by_dispersion", "curve", "simulate"]

_ALMOST_ONE: Final = 1.0 - 1e-15
_TINY: Final = 1e-300

type Array = np.ndarray[Any, Any]


def curve(y: Array, exposure: Array, dispersion: float) -> Curve:
    """Return the log-probability of each count over 0, given that it is over 0, by its predictor.

    Parameters
    ----------
    y : numpy.ndarray
        Counts, 1 or more.
    exposure : numpy.ndarray
        How long, or over how much, each was counted; over 0.
    dispersion : float
        Sd of the factor of the rate, over 0.

    Returns
    -------
    Curve
        The predictor is the logarithm of the rate per unit of exposure, before zeros are cut off.
    """
    whole = negative_binomial.curve(y, exposure, dispersion)
    return whole._replace(cut=np.full(np.shape(whole.slope), dispersion**-2.0))


def by_dispersion(y: Array, exposure: Array, dispersion: float, predictor: Array) -> Array:
    """Return the derivative of the same by the dispersion.

    Parameters
    ----------
    y, exposure : numpy.ndarray
        As in `curve`.
    dispersion : float
        As there.
    predictor : numpy.ndarray
        As there.

    Returns
    -------
    numpy.ndarray
        Nats per unit of the dispersion.
    """
    s = dispersion**2
    log_x = np.log(s) + np.log(exposure) + predictor
    hazard = (
        np.logaddexp(0.0, log_x) / s
    )  # P(0) = exp(-hazard), whose slope by s is that over the odds of any
    odds = np.expm1(np.minimum(np.maximum(hazard, _TINY), 700.0))
    cut_off = 2.0 * dispersion * negative_binomial.none_by_s(log_x, s) / odds
    return negative_binomial.by_dispersion(y, exposure, dispersion, predictor) + cut_off


def simulate(
    rng: np.random.Generator, predictor: tuple[Array, Array], exposure: Array, dispersion: float
) -> Array:
    """Draw a count for each pair of predictors, without rejection.

    A negative binomial is a Poisson number of logarithmic ones at the points of a Poisson process of length
    log(1 + s rate) / s (Quenouille 1949, Biometrics 5, 162). Of those over 0 the first point is exponential,
    cut off at that length, and what comes behind it a negative binomial of the length that is left.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    predictor : tuple of numpy.ndarray
        Of any (logits), and of the count (log rate per unit of exposure).
    exposure : numpy.ndarray
        Over 0.
    dispersion : float
        As in `curve`.

    Returns
    -------
    numpy.ndarray
        Counts.
    """
    some, count = predictor
    s = max(dispersion**2, 1e-12)
    # a prior's far tails have no such counts, and under them everybody who has any has one
    x = s * exposure * np.exp(np.clip(count, -300.0, 30.0))
    hazard = np.log1p(x) / s
    at = -np.log1p(rng.random(np.shape(x)) * np.expm1(-hazard))
    first = rng.logseries(np.minimum(x / (1.0 + x), _ALMOST_ONE))
    shape = np.maximum((hazard - at) / np.log1p(x), _TINY)
    rest = rng.poisson(np.minimum(x * rng.gamma(shape), 1e15))
    return np.where(rng.random(np.shape(x)) < expit(some), first + rest, 0).astype(float)
