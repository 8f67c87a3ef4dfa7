"""Negative binomial counts with a log link and an exposure: rate = exposure exp(predictor).

Given the predictor a person's rate varies by a gamma factor of mean 1 and sd `dispersion`, so that
Var(y) = rate + dispersion^2 rate^2 (NB2; Cameron & Trivedi 2013, 10.1017/CBO9781139013567, 3.3); 0 is
Poisson. With s = dispersion^2

    P(y) = prod_{k < y} (1 + k s) rate^y / y! (1 + s rate)^-(y + 1 / s)

in which nothing cancels as s goes to 0, where gamma functions of 1 / s would.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from scipy.special import expit, gammaln

from nssi_bayes.integrate.curve import Curve

__all__ = ["by_dispersion", "curve", "none_by_s", "simulate", "through"]

_SMALL: Final = 1e-3
"""s rate below which a difference of two nearly equal numbers is written as a series."""

type Array = np.ndarray[Any, Any]


def curve(y: Array, exposure: Array, dispersion: float) -> Curve:
    """Return the log-probability of each count by its predictor.

    Parameters
    ----------
    y : numpy.ndarray
        Counts, 0 or more.
    exposure : numpy.ndarray
        How long, or over how much, each was counted; over 0.
    dispersion : float
        Sd of the factor of the rate, over 0.

    Returns
    -------
    Curve
        The predictor is the logarithm of the rate per unit of exposure.
    """
    s = dispersion**2
    whole, none = np.asarray(y, dtype=float), np.zeros(np.shape(y))
    constant = _products(np.log1p(s * _below(whole)), whole) - gammaln(whole + 1.0)
    log_exposure = np.log(exposure)
    constant = constant + whole * log_exposure
    return Curve(whole, whole + 1.0 / s, log_exposure + np.log(s), none, none, constant, none)


def by_dispersion(y: Array, exposure: Array, dispersion: float, predictor: Array) -> Array:
    """Return the derivative of the log-probability by the dispersion.

    Parameters
    ----------
    y, exposure : numpy.ndarray
        As in `curve`.
    dispersion : float
        As there.
    predictor : numpy.ndarray
        Logarithm of the rate per unit of exposure.

    Returns
    -------
    numpy.ndarray
        Nats per unit of the dispersion.
    """
    s = dispersion**2
    whole = np.asarray(y, dtype=float)
    log_x = np.log(s) + np.log(exposure) + predictor
    below = _below(whole)
    by_s = _products(below / (1.0 + s * below), whole) + none_by_s(log_x, s)
    return 2.0 * dispersion * (by_s - whole * expit(log_x) / s)


def none_by_s(log_x: Array, s: float) -> Array:
    """Return the derivative of log P(0) = -log(1 + s rate) / s by s.

    Parameters
    ----------
    log_x : numpy.ndarray
        Logarithm of s rate, which may be beyond any number.
    s : float
        dispersion^2.

    Returns
    -------
    numpy.ndarray
        Nats per unit of s.
    """
    x = np.exp(np.minimum(log_x, 0.0))
    near = (x / s) ** 2 * (1 / 2 - x * (2 / 3 - x * (3 / 4 - x * 4 / 5)))
    far = (np.logaddexp(0.0, log_x) - expit(log_x)) / s**2
    return np.where(x < _SMALL, near, far)


def through(y: Array, exposure: Array, dispersion: float, by: tuple[Array, Array]) -> Array:
    """Return the derivative of a log-likelihood by the dispersion, through the constants of the curves.

    Parameters
    ----------
    y, exposure : numpy.ndarray
        As in `curve`.
    dispersion : float
        As there.
    by : tuple of numpy.ndarray
        Derivatives by exp(at) and by `over`; those by the constants are 1.

    Returns
    -------
    numpy.ndarray
        Nats per unit of the dispersion, a scalar, of all counts together. Rounding leaves 1e-16 /
        dispersion^3 of each, which is little by the logarithm of the dispersion, which is sampled.
    """
    s = dispersion**2
    whole, below = np.asarray(y, dtype=float), _below(np.asarray(y, dtype=float))
    of_constant = _products(below / (1.0 + s * below), whole)
    return np.asarray(2.0 * dispersion * (of_constant + by[0] * exposure - by[1] / s**2).sum())


def simulate(rng: np.random.Generator, predictor: Array, exposure: Array, dispersion: float) -> Array:
    """Draw a count for each predictor (log rate per unit of exposure)."""
    s = max(dispersion**2, 1e-12)
    rate = exposure * np.exp(np.minimum(predictor, 30.0))  # a prior's far tail has no such counts
    return rng.poisson(np.minimum(rate * rng.gamma(1.0 / s, s, np.shape(rate)), 1e15)).astype(float)


def _below(y: Array) -> Array:
    """Return 0, 1, ... below the largest count."""
    return np.arange(int(y.max(initial=0.0)), dtype=float)


def _products(terms: Array, y: Array) -> Array:
    """Return the sum of the first y terms for each y."""
    return np.concatenate([[0.0], np.cumsum(terms)])[y.astype(int)]
