"""A normal in the round coordinates of `whiten`, as near to the posterior as it comes in seconds.

The mode of hundreds of dimensions is not where their mean is: the centre is where the average slope over
the normal is 0, on a few draws that stay the same (Giordano et al. 2024, JMLR 25:18): first over the
standard normal, then over the one with the curvature that is found there. How good this is, k-hat of
the importance weights tells (Vehtari et al. 2024, JMLR 25:72; Yao et al. 2018, arXiv:1802.02538).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from arviz_stats.base import array_stats
from scipy.optimize import minimize

from nssi_bayes.fit.density import Density
from nssi_bayes.fit.whiten import find_coordinates

__all__ = ["LARGEST_K_HAT", "Approximation", "approximate"]

LARGEST_K_HAT: Final = 0.7
_STEP: Final = 1e-4
_CURVATURE: Final = (0.05, 1e4)
"""In round coordinates it should be 1; what is beyond these is taken for them."""
_PAIRS: Final = 16
_NEVER: Final = 1e10

type Array = np.ndarray[Any, Any]


class Approximation(NamedTuple):
    """Draws from a normal approximation.

    Parameters
    ----------
    values : dict of str to numpy.ndarray
        By parameter [`draw`, ...].
    log_weight : numpy.ndarray
        Smoothed, summing to 1 as weights [`draw`].
    k_hat : float
        Of the raw weights; infinite where no draw has a finite density.
    """

    values: dict[str, Array]
    log_weight: Array
    k_hat: float

    @property
    def weighted(self) -> bool:
        """Whether the weights may be used."""
        return self.k_hat <= LARGEST_K_HAT


def approximate(density: Density, rng: np.random.Generator, draws: int) -> Approximation:
    """Draw from a normal approximation, and weigh the draws.

    Parameters
    ----------
    density : Density
        The compiled model.
    rng : numpy.random.Generator
        Source of randomness.
    draws : int
        How many.

    Returns
    -------
    Approximation
        Draws and what they are worth.
    """
    coordinates = find_coordinates(density.value_and_gradient, density.start, scaled=density.scaled)
    of_y = coordinates.pull_back(density.value_and_gradient)
    size = density.size
    half = rng.standard_normal((_PAIRS, size))
    around = np.concatenate([half, -half])
    first = _centre(of_y, around, np.zeros(size))
    root = _root(of_y, first)
    centre = _centre(of_y, around @ root.T, first)
    z = rng.standard_normal((draws, size))
    y = centre + z @ root.T
    log_ratio = np.array([of_y(one)[0] for one in y]) + 0.5 * (z**2).sum(axis=1)
    log_weight, k_hat = _smoothed(log_ratio)
    return Approximation(density.constrain(coordinates.to_x(y)), log_weight, k_hat)


def _centre(of_y: Any, around: Array, start: Array) -> Array:
    """Return the point with the largest log-density on average over `around` it [draw, y]."""

    def loss(point: Array) -> tuple[float, Array]:
        total, slope = 0.0, np.zeros_like(point)
        for step in around:
            value, gradient = of_y(point + step)
            if not (np.isfinite(value) and np.isfinite(gradient).all()):
                return _NEVER, np.zeros_like(point)
            total, slope = total + value, slope + gradient
        return -total / len(around), -slope / len(around)

    options = {"maxiter": 50, "maxcor": 30, "ftol": 1e-6}
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x)


def _root(of_y: Any, centre: Array) -> Array:
    """Return a square root of the inverse curvature at the centre, by differences of the slope."""
    here = of_y(centre)[1]
    curvature = np.stack([(here - of_y(centre + s)[1]) / _STEP for s in _STEP * np.eye(len(centre))])
    values, vectors = np.linalg.eigh((curvature + curvature.T) / 2)
    return vectors / np.sqrt(np.clip(values, *_CURVATURE))


def _smoothed(log_ratio: Array) -> tuple[Array, float]:
    """Return Pareto-smoothed log-weights and k-hat; a draw of no density has no weight."""
    finite = np.isfinite(log_ratio)
    if not finite.any():
        return np.full(len(log_ratio), -np.log(len(log_ratio))), float("inf")
    lowest = log_ratio[finite].min() - _NEVER
    log_weight, k_hat = array_stats.psislw(-np.where(finite, log_ratio, lowest))  # of inverse ratios
    log_weight = log_weight - np.logaddexp.reduce(log_weight)
    return log_weight, float(k_hat)
