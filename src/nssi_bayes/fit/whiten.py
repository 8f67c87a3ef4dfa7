"""Mode and curvature of a model, and the coordinates in which its posterior is nearly round.

Regression coefficients of regions that share residual variance are correlated a posteriori far
beyond what a diagonal mass matrix can undo. The curvature at the mode is known before sampling
starts; NUTS then walks in x = mode + T y, where the posterior of y is close to N(0, I).

What a scale multiplies is wide where the scale is small and narrow where it is large, as far as data
speak of it. `Conditional` takes that out, so that a scale is not held in place by its many effects. The
local scales of a horseshoe go from next to nothing to large, and their effects with them. `Conditional`
sees one effect at a time; where effects are correlated, all else still moves with a scale, which a shear
takes out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit

from nssi_bayes.fit.wall import HIGH, Wall

__all__ = ["Coordinates", "Scaled", "find_coordinates"]

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
_SCALE_SD: Final = 2.0
"""EM steps for the scales; where they start and stay, and how wide they are taken to be, in fifths of
the prior scale."""

_FAR: Final = 5.0
"""Posterior sds that all else may move with a scale; where it is more, or no number, the way is not straight
(functions that are sampled, at a point where a residual sd is nothing), and nothing is taken out."""
_HELD_SD: Final = 0.3
_LOCAL_SD: Final = 1.2
_SLAB_SD: Final = 0.4
"""How wide the logarithms of local scales and of the slab's sd are taken to be."""

type Array = np.ndarray[Any, Any]
type ValueAndGradient = Callable[[Array], tuple[float, Array]]


class Scaled(NamedTuple):
    """One element of a scale, and what it multiplies.

    Parameters
    ----------
    scale : int
        Position of its coordinate: by softplus; with a slab, by its logarithm.
    members : numpy.ndarray
        Positions of the standardised effects.
    slab : int
        Position of the logarithm of the slab's sd; -1 if there is none.
    """

    scale: int
    members: Array
    slab: int = -1


@dataclass(frozen=True)
class Conditional:
    """Standardised effects z as mean and sd given their scale, times coordinates that have neither.

    With prior N(0, 1) and an effect scale z that data say to be t with precision k, z given the scale
    has variance 1 / (1 + k scale^2) and mean k scale t times that. Both are taken relative to those at
    the typical point, where the map is the identity. An element at a time; what effects have in common
    is left to the coordinates of all.

    Parameters
    ----------
    at, owner, slab : numpy.ndarray
        Positions of the effects, of each one's scale (by softplus, or with a slab by its logarithm), and
        of the logarithm of the slab's sd; -1: there is none.
    information : numpy.ndarray
        Precision from data, in units of the prior's, at the typical point.
    centre, scale : numpy.ndarray
        Effect and scale at the typical point.
    wall : Wall
        Scales whose own coordinate is another.
    """

    at: Array
    owner: Array
    slab: Array
    information: Array
    centre: Array
    scale: Array
    wall: Wall

    def forward(self, x: Array) -> tuple[Array, float, Callable[[Array], Array]]:
        """Return the model's vector, the log-volume, and the pull-back of slopes.

        Parameters
        ----------
        x : numpy.ndarray
            Scales in their own coordinate, effects in those of this map [x].

        Returns
        -------
        tuple
            [x]; nats; a function from slopes by the model's vector to slopes by `x`, the volume's
            among them.
        """
        x, log_volume, before_wall = self.wall.forward(x)
        size, by_owner, by_slab = _sizes(x, self.owner, self.slab)
        ratio = size / self.scale
        seen = self.information
        precision = 1.0 + seen * ratio**2
        narrow = np.sqrt((1.0 + seen) / precision)
        away = x[self.at] - self.centre
        found = x.copy()
        found[self.at] = self.centre * ratio * (1.0 + seen) / precision + narrow * away

        def pull_back(slope: Array) -> Array:
            own = slope[self.at]
            narrowing = -seen * ratio / precision
            shift = self.centre * (1.0 + seen) * (1.0 - seen * ratio**2) / precision**2
            by_ratio = own * (shift + narrow * narrowing * away) + narrowing
            by_size = by_ratio / self.scale
            result = slope + np.bincount(self.owner, by_size * by_owner, len(slope))
            if (self.slab >= 0).any():
                result += np.bincount(np.maximum(self.slab, 0), by_size * by_slab, len(slope))
            result[self.at] = own * narrow
            return before_wall(result)

        return found, log_volume + float(np.log(narrow).sum()), pull_back

    def backward(self, x: Array) -> Array:
        """Return what `forward` takes to the model's vector `x`."""
        ratio = _sizes(x, self.owner, self.slab)[0] / self.scale
        precision = 1.0 + self.information * ratio**2
        narrow = np.sqrt((1.0 + self.information) / precision)
        found = x.copy()
        middle = self.centre * ratio * (1.0 + self.information) / precision
        found[self.at] = self.centre + (x[self.at] - middle) / narrow
        return self.wall.backward(found)


@dataclass(frozen=True)
class Coordinates:
    """An affine map of y, `mode` + R (I + V diag(`gain`) V') y + S y[`scales`], then `conditional`.

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
    conditional : Conditional
        Effects given their scales.
    scales : numpy.ndarray
        Positions of the scales [scale].
    shear : numpy.ndarray
        S, how all else moves with them; zero in their own rows [x, scale].
    """

    mode: Array
    root: sparse.csr_array
    directions: Array
    gain: Array
    conditional: Conditional
    scales: Array
    shear: Array

    @property
    def log_volume(self) -> float:
        """Of the affine part; that of `conditional` is in `pull_back`."""
        return float(np.linalg.slogdet(self.root.toarray())[1] + np.log1p(self.gain).sum())

    def to_x(self, y: Array) -> Array:
        """Map positions [draw, y] to the model's vector [draw, x]."""
        near = self.mode + (self.root @ self._mended(y).T).T + y[:, self.scales] @ self.shear.T
        return np.stack([self.conditional.forward(one)[0] for one in near])

    def of_x(self, x: Array) -> Array:
        """Map the model's vectors [draw, x] to positions [draw, y]."""
        near, root = np.stack([self.conditional.backward(one) for one in x]) - self.mode, self.root.toarray()
        near -= (near[:, self.scales] / np.diag(root)[self.scales]) @ self.shear.T
        along = np.linalg.solve(root, near.T).T
        return np.asarray(
            along - ((along @ self.directions) * (self.gain / (1 + self.gain))) @ self.directions.T
        )

    def pull_back(self, density: ValueAndGradient) -> ValueAndGradient:
        """Return the log-density of y and its gradient (up to a constant)."""

        def of_y(y: Array) -> tuple[float, Array]:
            x, log_volume, pull_back = self.conditional.forward(self._near(y))
            value, gradient = density(x)
            return value + log_volume, self._back(pull_back(gradient))

        return of_y

    def slope(self, function: ValueAndGradient, y: Array) -> Array:
        """Return the derivative by y [y] of a function of the model's vector, which is no density."""
        x, _, pull_back = self.conditional.forward(self._near(y))
        of_volume = pull_back(np.zeros(len(x)))
        return self._back(pull_back(function(x)[1]) - of_volume)

    def _near(self, y: Array) -> Array:
        return np.asarray(self.mode + self.root @ self._mended(y) + self.shear @ y[self.scales])

    def _back(self, slope: Array) -> Array:
        """Return slopes by y from those by what `_near` returns."""
        found = self._mended(self.root @ slope)
        found[self.scales] += slope @ self.shear
        return found

    def _mended(self, y: Array) -> Array:
        return y + ((y @ self.directions) * self.gain) @ self.directions.T


def _sizes(x: Array, owner: Array, slab: Array) -> tuple[Array, Array, Array]:
    """Return what multiplies effects, and its derivatives by the coordinates of scale and slab."""
    within = slab >= 0
    if not within.any():
        return np.logaddexp(0.0, x[owner]), expit(x[owner]), np.zeros(len(owner))
    scale = np.where(within, np.exp(x[owner]), np.logaddexp(0.0, x[owner]))
    by_x = np.where(within, scale, expit(x[owner]))
    flat = np.where(within, np.exp(-2 * x[slab]), 0.0)  # slab^-2
    size = (scale**-2 + flat) ** -0.5
    return size, (size / scale) ** 3 * by_x, size**3 * flat


def find_coordinates(
    density: ValueAndGradient, start: Array, *, scaled: Sequence[Scaled], held: Sequence[int] = ()
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
    scaled : sequence of Scaled
        From `Density`.
    held : sequence of int
        Positions that stay where they begin, as far as the typical point goes.

    Returns
    -------
    Coordinates
        Typical point and transform.
    """
    plain = [one for one in scaled if one.slab < 0]
    local = sorted({one.scale for one in scaled if one.slab >= 0})
    slabs = sorted({one.slab for one in scaled if one.slab >= 0})
    scales = np.array(sorted({one.scale for one in plain}), dtype=int)
    rest = np.setdiff1d(np.arange(len(start)), [*scales, *held])
    point = start.copy()
    point[scales] = _FIRST_SCALE
    for iteration in range(_ITERATIONS + 1):
        point[rest] = _mode(density, point, rest)
        if iteration == _ITERATIONS:  # these are at their mode, and have coordinates of their own
            rest = np.setdiff1d(rest, [*local, *slabs])
        values, vectors = np.linalg.eigh(_curvature(density, point, rest))
        values = np.clip(values, _SMALLEST, _LARGEST)
        variance = np.ones(len(point))
        variance[rest] = ((vectors / np.sqrt(values)) ** 2).sum(axis=1)
        if iteration < _ITERATIONS:
            point[scales] = _updated_scales(point, variance, scales, plain)
    near, directions, gain = _thinned(values, vectors)
    whole = _SCALE_SD * np.eye(len(point))
    for those, sd in ((list(held), _HELD_SD), (local, _LOCAL_SD), (slabs, _SLAB_SD)):
        whole[those, those] = sd
    whole[np.ix_(rest, rest)] = near
    wide = np.zeros((len(point), len(gain)))
    wide[rest] = directions
    conditional, shear = _conditional(point, variance, scaled), np.zeros((len(point), len(scales)))
    moved = vectors.T @ _moved(density, conditional, point, scales)[rest] / np.sqrt(values)[:, None]
    moved[:, ~(_SCALE_SD * np.linalg.norm(moved, axis=0) < _FAR)] = 0.0
    shear[rest] = _SCALE_SD * (vectors / np.sqrt(values)) @ moved
    return Coordinates(point, sparse.csr_array(whole), wide, gain, conditional, scales, shear)


def _moved(density: ValueAndGradient, conditional: Conditional, point: Array, scales: Array) -> Array:
    """Return how slopes change with a scale, half an sd to both sides of the typical point [x, scale]."""

    def slope(scale: int, step: float) -> Array:
        there = point.copy()
        there[scale] += step
        x, _, pull_back = conditional.forward(there)
        return pull_back(density(x)[1])

    half = _SCALE_SD / 2
    found = [(slope(scale, half) - slope(scale, -half)) / (2 * half) for scale in scales]
    return np.array(found).reshape(-1, len(point)).T


def _conditional(point: Array, variance: Array, scaled: Sequence[Scaled]) -> Conditional:
    at = np.concatenate([np.zeros(0, int), *(one.members for one in scaled)])
    owner, slab = (
        np.concatenate([np.zeros(0, int), *(np.full(len(one.members), one[k]) for one in scaled)])
        for k in (0, 2)
    )
    information = np.maximum(1.0 / variance[at] - 1.0, 0.0)
    height = np.bincount(owner, (slab < 0) * 0.5 * information * point[at] ** 2, len(point))
    walled = np.flatnonzero(height > HIGH)
    wall = Wall(walled, point[walled])
    return Conditional(at, owner, slab, information, point[at], _sizes(point, owner, slab)[0], wall)


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


def _updated_scales(point: Array, variance: Array, scales: Array, scaled: Sequence[Scaled]) -> Array:
    """One EM step for each scale, in its softplus coordinate."""
    moved = []
    for scale in scales:
        members = np.concatenate([one.members for one in scaled if one.scale == scale])
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
