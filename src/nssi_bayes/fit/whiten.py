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
from scipy import sparse
from scipy.optimize import minimize

__all__ = ["Coordinates", "find_coordinates"]

_STEP: Final = 1e-4
_SMALLEST: Final = 0.1
_LARGEST: Final = 1e6
"""Eigenvalues of the curvature are kept in this range (directions without curvature)."""
_SMALL: Final = 0.01
"""Elements of the root, relative to its diagonal, that are left out."""
_ROUND: Final = 0.2
_LEAST: Final = 1e-4
"""Curvature that needs no mending, as a logarithm, and the least that is mended."""
_ITERATIONS: Final = 2
_FIRST_SCALE: Final = 3.0
_SCALE_RANGE: Final = (0.5, 10.0)
"""EM steps for the scales; where they start and stay, in fifths of the prior scale."""

type Array = np.ndarray[Any, Any]
type ValueAndGradient = Callable[[Array], tuple[float, Array]]


@dataclass(frozen=True)
class Coordinates:
    """An affine map x = `mode` + R (I + V diag(`gain`) V') y.

    The factor of y is nearly a square root of the inverse curvature: R is its symmetric root without
    what is small in it, and what that costs is mended in the directions V where it shows.
    A dense root would take longer than the density and its gradient.

    Parameters
    ----------
    mode : numpy.ndarray
        A typical point [x].
    root : scipy.sparse.csr_array
        R, symmetric [x, x].
    directions : numpy.ndarray
        V, orthonormal [x, direction].
    gain : numpy.ndarray
        [direction].
    """

    mode: Array
    root: sparse.csr_array
    directions: Array
    gain: Array

    def to_x(self, y: Array) -> Array:
        """Map positions [..., y] to the model's vector [..., x]."""
        return self.mode + (self.root @ self._mended(y).T).T

    def pull_back(self, density: ValueAndGradient) -> ValueAndGradient:
        """Return the log-density of y and its gradient (up to a constant)."""

        def of_y(y: Array) -> tuple[float, Array]:
            value, gradient = density(self.mode + self.root @ self._mended(y))
            return value, self._mended(self.root @ gradient)

        return of_y

    def _mended(self, y: Array) -> Array:
        return y + ((y @ self.directions) * self.gain) @ self.directions.T


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
        values = np.clip(values, _SMALLEST, _LARGEST)
        root = vectors / np.sqrt(values)
        if iteration < _ITERATIONS:
            variance = np.zeros(len(point))
            variance[rest] = (root**2).sum(axis=1)
            point[scales] = _updated_scales(point, variance, scales, scaled)
    near, directions, gain = _thinned(values, vectors)
    whole = np.eye(len(point))
    whole[np.ix_(rest, rest)] = near
    wide = np.zeros((len(point), len(gain)))
    wide[rest] = directions
    return Coordinates(point, sparse.csr_array(whole), wide, gain)


def _thinned(values: Array, vectors: Array) -> tuple[Array, Array, Array]:
    """Return the symmetric root of an inverse without its small elements, and how to mend that.

    What is left of the curvature W = R H R is 1 in most directions; in those where it is not, the
    gain of the direction is 1 / sqrt(eigenvalue) - 1.
    """
    root = (vectors / np.sqrt(values)) @ vectors.T
    size = np.sqrt(np.diag(root))
    near = np.where(np.abs(root) > _SMALL * np.outer(size, size), root, 0.0)
    left = near @ vectors
    eigenvalues, directions = np.linalg.eigh((left * values) @ left.T)
    eigenvalues = np.maximum(eigenvalues, _LEAST)
    kept = np.abs(np.log(eigenvalues)) > _ROUND
    return near, directions[:, kept], 1 / np.sqrt(eigenvalues[kept]) - 1


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
