"""Mixtures of normals: a prior from the literature, with a part for what the literature does not know."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["log_density"]

type Array = np.ndarray[Any, Any]

_LOG_2PI = float(np.log(2 * np.pi))


def log_density(x: Array, weights: Any, mu: Any, sigma: Any) -> tuple[Array, Array]:
    """Return the log-density of each element, and its slope.

    Parameters
    ----------
    x : numpy.ndarray
        Any shape [...].
    weights, mu, sigma : numpy.ndarray
        Of the components, last; broadcast against [..., component].

    Returns
    -------
    tuple of numpy.ndarray
        Nats, and their derivative by `x` [...].
    """
    away = (x[..., None] - mu) / sigma
    each = np.log(weights) - np.log(sigma) - 0.5 * away**2 - 0.5 * _LOG_2PI
    most = each.max(axis=-1, keepdims=True)
    part = np.exp(each - most)
    total = part.sum(axis=-1)
    return most[..., 0] + np.log(total), -(part * away / sigma).sum(axis=-1) / total
