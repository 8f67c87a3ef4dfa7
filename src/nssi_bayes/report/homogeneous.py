"""What a heterogeneity scale would look like if nothing varied: tau beside a homogeneous world.

With four or five disorders the posterior of tau stays away from zero whatever the data say, because its
prior does and because estimates scatter. So the same cohort is imagined with all true effects equal: the
information that the data held on the effects is recovered from the posterior (Gaussian, along its own
axes), estimates are drawn around zero with exactly that much information, and tau is inferred from each as
it was from the real ones.

References
----------
Gelman (2006), Prior distributions for variance parameters in hierarchical models. doi:10.1214/06-BA117A
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

__all__ = ["Homogeneous", "homogeneous_world"]

_WORLDS: Final = 400
_GRID: Final = 120
_STEPS: Final = 60  # of the bisection
_MOST: Final = 1e8  # precision of an effect that is known exactly

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Homogeneous:
    """The posterior mean of tau, here and where nothing varies.

    Parameters
    ----------
    observed : float
        Posterior mean of tau by the same approximation as the worlds.
    low, high : float
        Ends of what the posterior mean is in a homogeneous world, equal-tailed.
    mean : float
        Its mean over homogeneous worlds.
    p_larger : float
        Share of homogeneous worlds whose posterior mean is at least the one observed.
    error : float
        `observed` less the posterior mean of the draws: how good the approximation is.
    """

    observed: float
    low: float
    high: float
    mean: float
    p_larger: float
    error: float


def homogeneous_world(
    effects: Array, tau: Array, *, prior_sigma: float, content: float, seed: int
) -> Homogeneous:
    """Compare tau with what it would be in a homogeneous world.

    Parameters
    ----------
    effects : numpy.ndarray
        Draws of effects that sum to zero over disorders [draw, `disorder`, ...]; what further axes
        hold shares the scale.
    tau : numpy.ndarray
        Draws of the scale [draw].
    prior_sigma : float
        Scale of tau's half-normal prior.
    content : float
        Content of the interval over worlds.
    seed : int
        Of the worlds.

    Returns
    -------
    Homogeneous
        Both, on the scale of the posterior mean of tau.

    Raises
    ------
    ValueError
        If there are fewer than two disorders or draws.
    """
    if effects.shape[1] < 2 or len(effects) < 2:
        raise ValueError("two disorders and two draws are needed")
    coordinates = _free(effects)
    precision, estimate = _information(coordinates, tau)
    grid = np.linspace(0, 4 * prior_sigma, _GRID + 1)[1:] - 2 * prior_sigma / _GRID
    rng = np.random.default_rng(seed)
    worlds = rng.standard_normal((_WORLDS, len(precision))) / np.sqrt(precision)
    means = _posterior_mean(worlds, precision, grid, prior_sigma)
    observed = float(_posterior_mean(estimate[None], precision, grid, prior_sigma)[0])
    low, high = np.quantile(means, [(1 - content) / 2, (1 + content) / 2])
    return Homogeneous(
        observed,
        float(low),
        float(high),
        float(means.mean()),
        float((means >= observed).mean()),
        observed - float(tau.mean()),
    )


def _free(effects: Array) -> Array:
    """Return effects along their own axes of the space in which they sum to zero [draw, coordinate]."""
    count = effects.shape[1]
    basis = np.linalg.svd(np.eye(count) - 1 / count)[0][:, : count - 1]
    flat = np.einsum("sk...,kj->sj...", effects, basis).reshape(len(effects), -1)
    axes = np.linalg.eigh(np.cov(flat, rowvar=False).reshape(flat.shape[1], -1))[1]
    return flat @ axes


def _information(coordinates: Array, tau: Array) -> tuple[Array, Array]:
    """Return precision and place of the likelihood along each coordinate, from posterior mean and variance.

    Given tau a coordinate is Gaussian with precision ``l + 1 / tau^2`` and mean ``l a / (l + 1 / tau^2)``;
    `l` and `a` are those under which the mixture over tau has the mean and the variance of the draws.
    """
    mean, variance = coordinates.mean(axis=0), coordinates.var(axis=0)
    inverse = 1 / np.maximum(tau, 1e-6)[:, None] ** 2
    low, high = np.full(len(mean), -16.0), np.full(len(mean), np.log(_MOST))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        share = np.exp(middle) / (np.exp(middle) + inverse)
        place = mean / share.mean(axis=0)
        wide = (1 / (np.exp(middle) + inverse)).mean(axis=0) + (share * place).var(axis=0) > variance
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    precision = np.exp((low + high) / 2)
    return precision, mean / (precision / (precision + inverse)).mean(axis=0)


def _posterior_mean(estimates: Array, precision: Array, grid: Array, prior_sigma: float) -> Array:
    """Return the posterior mean of tau for each row of estimates, on a grid."""
    variance = 1 / precision + grid[:, None] ** 2
    log_weight = -0.5 * (
        (estimates**2) @ (1 / variance).T + np.log(variance).sum(axis=1) + (grid / prior_sigma) ** 2
    )
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return np.asarray(weight @ grid / weight.sum(axis=1))
