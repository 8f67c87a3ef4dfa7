"""Draws moved to where they would be without one person, before anybody is left out for real.

Importance sampling that adapts itself (Paananen, Piironen, Bürkner & Vehtari 2021,
10.1007/s11222-020-09982-2): every second draw of the posterior is moved by an affine map, both halves
together are a mixture whose density is known, and the weights of that mixture are smoothed (PSIS).
A person's likelihood changes along a few directions only, and there the map matches mean and covariance;
along a thousand others, moments by weights would be noise. The first map is that of the quadratic whose
mean slope and curvature are those of the likelihood over the draws (Stein's identity), so that it does not
rest on the weights that failed; further ones match weighted moments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from arviz_stats.base import array_stats
from scipy.special import logsumexp

__all__ = ["Draws", "Moved", "move"]

_MORE: Final = 2
"""Maps by weighted moments, after the first."""
_DIRECTIONS: Final = 8
_SLOPES: Final = 400
"""Draws at which slopes are taken, about."""
_LEAST: Final = 0.2
"""Precision along a direction that is left at least, in units of the posterior's."""

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Draws:
    """Draws of a posterior that is nearly round.

    Parameters
    ----------
    position : numpy.ndarray
        [sample, coordinate].
    log_density : numpy.ndarray
        At them, up to a constant [sample].
    log_density_of : callable
        Positions [sample, coordinate] to the same.
    """

    position: Array
    log_density: Array
    log_density_of: Callable[[Array], Array]


@dataclass(frozen=True)
class Moved:
    """Draws and their weights for the posterior without one person.

    Parameters
    ----------
    position : numpy.ndarray
        [sample, coordinate].
    log_weight : numpy.ndarray
        Smoothed, with sum 1 [sample].
    k_hat : float
        Of the weights.
    """

    position: Array
    log_weight: Array
    k_hat: float


def move(
    draws: Draws,
    log_likelihood: Callable[[Array], Array],
    slope: Callable[[Array], Array],
    *,
    limit: float,
    r_eff: float = 1.0,
) -> Moved:
    """Move draws until the weights that leave one person out can be believed, or no longer gain.

    Parameters
    ----------
    draws : Draws
        Of the posterior of everybody.
    log_likelihood : callable
        Of the person who is left out: positions [sample, coordinate] to [sample], nats.
    slope : callable
        Its derivative at one position [coordinate].
    limit : float
        k-hat at which to stop.
    r_eff : float
        Effective draws a draw.

    Returns
    -------
    Moved
        Of the smallest k-hat that was found.
    """
    centre = draws.position.mean(axis=0)
    some = draws.position[:: max(1, len(draws.position) // _SLOPES)]
    slopes = np.stack([slope(one) for one in some])
    directions = np.linalg.svd(slopes, full_matrices=False)[2][:_DIRECTIONS].T
    along = (draws.position - centre) @ directions
    mean, covariance = _of_quadratic(along, (some - centre) @ directions, slopes @ directions)

    def by(mean: Array, covariance: Array) -> Moved:
        root = np.linalg.cholesky(covariance) @ np.linalg.inv(np.linalg.cholesky(_covariance(along)))
        return _split(draws, log_likelihood, _Map(centre, directions, mean, root), r_eff)

    best = by(mean, covariance)
    for _ in range(_MORE):
        if best.k_hat <= limit:
            break
        at, weight = (best.position - centre) @ directions, np.exp(best.log_weight)
        mean = weight @ at
        found = by(mean, (at - mean).T @ (weight[:, None] * (at - mean)))
        if not found.k_hat < best.k_hat:
            break
        best = found
    return best


def _covariance(values: Array) -> Array:
    return np.atleast_2d(np.cov(values.T))


def _of_quadratic(along: Array, some: Array, slopes: Array) -> tuple[Array, Array]:
    """Return mean and covariance without the quadratic that has these slopes on average."""
    covariance = _covariance(along)
    bend = np.linalg.solve(_covariance(some), (some - some.mean(axis=0)).T @ slopes / (len(some) - 1))
    root = np.linalg.cholesky(covariance)
    values, vectors = np.linalg.eigh(root.T @ (bend + bend.T) @ root / 2)
    wide = root @ vectors / np.sqrt(np.maximum(1 + values, _LEAST))
    found = wide @ wide.T
    return -found @ slopes.mean(axis=0), found


@dataclass(frozen=True)
class _Map:
    """z to mean + root z, along some orthonormal directions."""

    centre: Array
    directions: Array
    mean: Array
    root: Array

    def forward(self, position: Array) -> Array:
        z = (position - self.centre) @ self.directions
        return np.asarray(position + (z @ self.root.T + self.mean - z) @ self.directions.T)

    def backward(self, position: Array) -> Array:
        z = (position - self.centre) @ self.directions
        return np.asarray(
            position + (np.linalg.solve(self.root, (z - self.mean).T).T - z) @ self.directions.T
        )


def _split(draws: Draws, log_likelihood: Callable[[Array], Array], by: _Map, r_eff: float) -> Moved:
    moved = np.arange(len(draws.position)) % 2 == 0
    position, here = draws.position.copy(), draws.log_density.copy()
    position[moved] = by.forward(draws.position[moved])
    here[moved] = draws.log_density_of(position[moved])
    before = draws.log_density.copy()  # the density at what the map takes to `position`
    before[~moved] = draws.log_density_of(by.backward(draws.position[~moved]))
    mixture = np.logaddexp(here, before - np.linalg.slogdet(by.root)[1])
    ratio = here - mixture - log_likelihood(position)
    ratio = np.where(np.isfinite(ratio), ratio, -np.inf)
    log_weight, k_hat = array_stats.psislw(-ratio, r_eff=r_eff)
    return Moved(position, log_weight - logsumexp(log_weight), float(k_hat))
