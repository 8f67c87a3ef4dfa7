"""Bernoulli with a logit link: P(y = 1) = logistic(predictor)."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from nssi_bayes.integrate.curve import Curve

__all__ = ["curve", "simulate"]

type Array = np.ndarray[Any, Any]


def curve(y: Array) -> Curve:
    """Return the log-probability of each value by its predictor.

    Parameters
    ----------
    y : numpy.ndarray
        0 or 1.

    Returns
    -------
    Curve
        -log(1 + exp(mu)) for a 0 and -log(1 + exp(-mu)) for a 1, which do not cancel in the tails.
    """
    one, none = np.asarray(y, dtype=float), np.zeros(np.shape(y))
    return Curve(none, 1.0 - one, none, one, none, none, none)


def simulate(rng: np.random.Generator, predictor: Array) -> Array:
    """Draw 0 or 1 for each predictor (logits)."""
    return (rng.random(np.shape(predictor)) < expit(predictor)).astype(float)
