"""Functions that are skewed or heavy-tailed: a sinh-arcsinh transform of what is Gaussian, axis by axis.

    eta = (s(e) - m) / v,      s(e) = sinh((asinh(e) + epsilon) / delta)

with m and v mean and sd of s(Z), Z ~ N(0, 1) (Jones & Pewsey 2009, 10.1093/biomet/asp053). epsilon is the
direction of the skewness, and tails are heavier than normal for delta < 1. With epsilon = 0 and delta = 1
eta is e. s rises everywhere, so that each axis keeps its order, and items still separate by function.

A transform is held as a row (epsilon, 1 / delta, m, 1 / v) a function. Moments are sums over equal steps
of Z, exact to the last digits for a function as smooth as this one (its nearest singularity is at i).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

__all__ = [
    "invert", "places", "shape_back", "shape_of", "skewness", "slopes", "slopes_by_shape", "transform",
]  # fmt: skip

type Array = np.ndarray[Any, Any]

_Z: Final = np.arange(-60, 61) * 0.2
_WEIGHT: Final = np.exp(-0.5 * _Z**2) / np.exp(-0.5 * _Z**2).sum()


def transform(e: Any, shape: Any, *, xp: Any = np) -> Any:
    """Return the functions.

    Parameters
    ----------
    e : array
        What is Gaussian [..., `function`].
    shape : array
        From `shape_of` [`function`, 4].
    xp : module
        ``numpy`` or ``jax.numpy``.

    Returns
    -------
    array
        [..., `function`].
    """
    epsilon, rate, mean, over = (shape[:, c] for c in range(4))
    return (xp.sinh((xp.arcsinh(e) + epsilon) * rate) - mean) * over


def invert(eta: Array, shape: Array) -> tuple[Array, Array]:
    """Return what is Gaussian [..., `function`], and the logarithm of its slope by the functions."""
    epsilon, rate, mean, over = shape.T
    s = eta / over + mean
    angle = np.arcsinh(s) / rate - epsilon
    log_cosh = np.logaddexp(angle, -angle) - np.log(2)
    return np.sinh(angle), log_cosh - np.log(rate * over) - 0.5 * np.log1p(s**2)


def slopes(e: Any, shape: Any, *, xp: Any = np) -> tuple[Any, Any]:
    """Return first and second derivative of the functions by what is Gaussian [..., `function`]."""
    epsilon, rate, _, over = (shape[:, c] for c in range(4))
    angle, square = (xp.arcsinh(e) + epsilon) * rate, 1.0 + e**2
    first = xp.cosh(angle) * rate / xp.sqrt(square)
    return first * over, (xp.sinh(angle) * rate**2 - first * e) / square * over


def slopes_by_shape(e: Array, shape: Array, by_eta: Array) -> Array:
    """Return the derivative by `shape` from that by the functions [..., `function`], which is summed."""
    epsilon, rate, _, over = shape.T
    moved = np.arcsinh(e) + epsilon
    rising = np.cosh(moved * rate) * over
    parts = rising * rate, rising * moved, np.broadcast_to(-over, e.shape), transform(e, shape) / over
    return np.stack([(by_eta * p).reshape(-1, len(shape)).sum(axis=0) for p in parts], axis=1)


def shape_of(epsilon: Any, delta: Any, *, xp: Any = np) -> Any:
    """Return the rows (epsilon, 1 / delta, m, 1 / v) of functions [`function`, 4]."""
    s = xp.sinh((np.arcsinh(_Z)[:, None] + epsilon) / delta)
    mean = _WEIGHT @ s
    return xp.stack([epsilon, 1.0 / delta, mean, (_WEIGHT @ (s - mean) ** 2) ** -0.5], axis=1)


def shape_back(epsilon: Array, delta: Array, by_shape: Array) -> tuple[Array, Array]:
    """Return the derivatives by epsilon and delta from those by the rows of `shape_of`."""
    moved = np.arcsinh(_Z)[:, None] + epsilon
    s, rising = np.sinh(moved / delta), np.cosh(moved / delta)
    centred = s - _WEIGHT @ s
    over = (_WEIGHT @ centred**2) ** -0.5
    by_epsilon, by_rate, by_mean, by_over = by_shape.T
    by_delta = -by_rate / delta**2
    found = []
    for direct, by_s in ((by_epsilon, rising / delta), (by_delta, -rising * moved / delta**2)):
        by_sd = -(over**3) * (_WEIGHT @ (centred * by_s))
        found.append(direct + by_mean * (_WEIGHT @ by_s) + by_over * by_sd)
    return found[0], found[1]


def places(factors: int, functions: int) -> tuple[Array, Array]:
    """Return where (factors, what is Gaussian, -1) and (factors, functions, -1) stand among all of these."""
    latent, last = factors + np.arange(functions), factors + 2 * functions
    return np.r_[:factors, latent, last], np.r_[:factors, latent + functions, last]


def skewness(epsilon: Array, delta: Array) -> tuple[Array, Array]:
    """Return skewness and excess kurtosis of the function of an average person [...]."""
    s = np.sinh((np.arcsinh(_Z) + np.asarray(epsilon)[..., None]) / np.asarray(delta)[..., None])
    centred = s - (s @ _WEIGHT)[..., None]
    sd = np.sqrt(centred**2 @ _WEIGHT)
    return centred**3 @ _WEIGHT / sd**3, centred**4 @ _WEIGHT / sd**4 - 3.0
