"""Cumulative logit (graded response, Samejima 1969): P(y <= c) = logistic(kappa_c - predictor).

Any number of categories; categories that nobody used are included.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pytensor.tensor as pt

__all__ = ["FAR", "bounds", "category_probability", "derivatives", "log_gap",
           "log_probability", "pad_thresholds", "simulate"]

FAR: Final = 40.0
"""Logits that stand for infinity: logistic(-40) = 4e-18."""


def pad_thresholds(kappa: Any, columns: int) -> Any:
    """Surround one group's thresholds with -FAR and +FAR, up to a common width.

    Parameters
    ----------
    kappa : tensor
        Thresholds [`indicator`, category - 1], increasing, in logits.
    columns : int
        Width of the result: the largest number of categories of any indicator, plus one.

    Returns
    -------
    tensor
        [`indicator`, columns].
    """
    rows = kappa.shape[0]
    left = pt.full((rows, 1), -FAR)
    right = pt.full((rows, columns - 1 - kappa.shape[1]), FAR)
    return pt.concatenate([left, kappa, right], axis=1)


def bounds(padded: Any, response: Any) -> tuple[Any, Any]:
    """Return the thresholds above and below each response.

    Parameters
    ----------
    padded : tensor
        From `pad_thresholds` [`indicator`, columns].
    response : integer tensor
        Categories from 0 [`participant`, `indicator`].

    Returns
    -------
    tuple of tensor
        Upper and lower bound [`participant`, `indicator`], logits.
    """
    columns = pt.arange(padded.shape[0])[None, :]
    return padded[columns, response + 1], padded[columns, response]


def log_gap(upper: Any, lower: Any) -> Any:
    """Return log(1 - exp(lower - upper)), the part of the log-probability free of the predictor."""
    return pt.log1mexp(lower - upper)


def log_probability(upper: Any, lower: Any, predictor: Any) -> Any:
    """Return log P(y) without `log_gap`: log logistic(upper - p) + log logistic(p - lower).

    The difference of two logistics is their product times (1 - exp(lower - upper)), which does
    not cancel in the tails.
    """
    return -pt.softplus(predictor - upper) - pt.softplus(lower - predictor)


def derivatives(upper: Any, lower: Any, predictor: Any) -> tuple[Any, Any]:
    """Return first derivative and negative second derivative of log P by the predictor."""
    below = pt.sigmoid(lower - predictor)
    above = pt.sigmoid(predictor - upper)
    return below - above, below * (1 - below) + above * (1 - above)


def category_probability(
    thresholds: np.ndarray[Any, Any], predictor: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return the probability of every category (NumPy).

    Parameters
    ----------
    thresholds : numpy.ndarray
        Padded thresholds of one indicator [columns].
    predictor : numpy.ndarray
        Any shape, logits.

    Returns
    -------
    numpy.ndarray
        ``predictor.shape + (columns - 1,)``; sums to 1.
    """
    cumulative = 1 / (1 + np.exp(-np.clip(thresholds - predictor[..., None], -500, 500)))
    return np.diff(cumulative, axis=-1)


def simulate(
    rng: np.random.Generator, padded: np.ndarray[Any, Any], predictor: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Draw categories.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    padded : numpy.ndarray
        Thresholds [`indicator`, columns] from `pad_thresholds`.
    predictor : numpy.ndarray
        [`participant`, `indicator`], logits.

    Returns
    -------
    numpy.ndarray
        Categories from 0 [`participant`, `indicator`].
    """
    latent = predictor + rng.logistic(size=predictor.shape)
    return (latent[:, :, None] > padded[None, :, 1:-1]).sum(axis=2)
