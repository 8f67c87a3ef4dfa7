"""Mode and curvature of a model, and the coordinates in which its posterior is nearly round.

Regression coefficients of regions that share residual variance are correlated a posteriori far
beyond what a diagonal mass matrix can undo. The curvature at the mode is known before sampling
starts; NUTS then walks in x = mode + T y, where the posterior of y is close to N(0, I).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.optimize import minimize

__all__ = ["Coordinates", "find_coordinates"]

_STEP: Final = 1e-4
_SMALLEST: Final = 0.1
_LARGEST: Final = 1e6
"""Eigenvalues of the curvature are kept in this range (directions without curvature)."""
_ITERATIONS: Final = 2
_FIRST_SCALE: Final = 3.0
_SCALE_RANGE: Final = (0.5, 10.0)
"""EM steps for the scales; where they start and stay, in fifths of the prior scale."""

type Array = np.ndarray[Any, Any]
type ValueAndGradient = Callable[[Array], tuple[float, Array]]


@dataclass(frozen=True)
class Coordinates:
    """An affine map x = `mode` + `transform` y.

    Parameters
    ----------
    mode : numpy.ndarray
        A typical point [x].
    transform : numpy.ndarray
        Square root of the inverse curvature [x, y].
    """

    mode: Array
    transform: Array

    def pull_back(self, density: ValueAndGradient) -> ValueAndGradient:
        """Return the log-density of y and its gradient (up to a constant)."""

        def of_y(y: Array) -> tuple[float, Array]:
            value, gradient = density(self.mode + self.transform @ y)
            return value, gradient @ self.transform

        return of_y


def find_coordinates(
    density: ValueAndGradient, start: Array, *, scaled: list[tuple[int, Array]]
) -> Coordinates:
    """Find a typical point and the curvature there.

    The joint mode of scales and what they scale lies at scales that are far too large. Scales are
    therefore moved by EM (the expected square of the standardised coordinates under the Gaussian
    approximation at the mode of everything else), and keep a coordinate of their own.

    Parameters
    ----------
    density : callable
        Vector to log-density and gradient.
    start : numpy.ndarray
        Where to begin.
    scaled : list of tuple
        From `Density`.

    Returns
    -------
    Coordinates
        Typical point and transform.
    """
    scales = np.array(sorted({one for one, _ in scaled}), dtype=int)
    rest = np.setdiff1d(np.arange(len(start)), scales)
    point = start.copy()
    point[scales] = _FIRST_SCALE
    for iteration in range(_ITERATIONS + 1):
        point[rest] = _mode(density, point, rest)
        values, vectors = np.linalg.eigh(_curvature(density, point, rest))
        root = vectors / np.sqrt(np.clip(values, _SMALLEST, _LARGEST))
        if iteration < _ITERATIONS:
            variance = np.zeros(len(point))
            variance[rest] = (root**2).sum(axis=1)
            point[scales] = _updated_scales(point, variance, scales, scaled)
    transform = np.zeros((len(point), len(point)))
    transform[np.ix_(rest, rest)] = root
    transform[scales, scales] = 1.0
    return Coordinates(point, transform)


def _updated_scales(point: Array, variance: Array, scales: Array, scaled: list[tuple[int, Array]]) -> Array:
    """One EM step for each scale, in its softplus coordinate."""
    moved = []
    for scale in scales:
        members = np.concatenate([raw for one, raw in scaled if one == scale])
        factor = np.sqrt(np.mean(point[members] ** 2 + variance[members]))
        value = np.clip(np.log1p(np.exp(point[scale])) * factor, *_SCALE_RANGE)
        moved.append(np.log(np.expm1(value)))
    return np.array(moved)


def _mode(density: ValueAndGradient, point: Array, free: Array) -> Array:
    """Maximise over the `free` elements."""
    whole = point.copy()

    def loss(x: Array) -> tuple[float, Array]:
        whole[free] = x
        value, gradient = density(whole)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return 1e10, np.zeros_like(x)
        return -value, -gradient[free]

    options = {"maxiter": 1000, "maxfun": 1500, "maxcor": 30, "ftol": 1e-9}
    return np.asarray(minimize(loss, point[free], jac=True, method="L-BFGS-B", options=options).x)


def _curvature(density: ValueAndGradient, point: Array, free: Array) -> Array:
    """Negative Hessian over the `free` elements, by forward differences of the gradient."""
    here = density(point)[1]

    def row(a: int) -> Array:
        step = np.zeros(len(point))
        step[a] = _STEP
        return (here - density(point + step)[1])[free] / _STEP

    found = np.stack([row(a) for a in free])
    return (found + found.T) / 2
