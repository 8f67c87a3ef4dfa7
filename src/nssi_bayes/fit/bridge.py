"""Ratios of normalising constants: how well a model foresees a group, or all data from its prior alone.

The bridge of Meng & Wong (1996, Statistica Sinica 6:831), which is Bennett's acceptance ratio: where
draws of two densities are there, the ratio of their constants follows from how each looks from the
draws of the other. For a group of people the two are the posteriors with it and without it; a mean
over draws without the group would rest on its few luckiest draws. For a marginal likelihood they are
the posterior, in the coordinates of `whiten`, moved and scaled to be round and made symmetric
(warp-III: Meng & Schilling 2002, 10.1198/106186002457; Gronau et al. 2020, 10.18637/jss.v092.i10),
and a normal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from arviz_stats.base import array_stats
from scipy.special import expit, logsumexp
from sklearn.covariance import LedoitWolf

from nssi_bayes.build import Built
from nssi_bayes.fit.chains import open_chains, typical_coordinates
from nssi_bayes.fit.density import compile_density
from nssi_bayes.spec import Sampler

__all__ = ["Marginal", "log_constant", "log_marginal", "log_ratio"]

_ITERATIONS: Final = 1000
_CLOSE: Final = 1e-10
_PROPOSALS: Final = 2000

type Array = np.ndarray[Any, Any]


class Marginal(NamedTuple):
    """A log marginal likelihood, and the health of the chains that it rests on.

    Parameters
    ----------
    value, mcse : float
        Nats, and their Monte Carlo standard error.
    max_rhat : float
        Over the coordinates of the sampler; NaN if there is none.
    divergences : int
        Of all chains.
    """

    value: float
    mcse: float
    max_rhat: float
    divergences: int


def log_ratio(without: Array, everybody: Array) -> tuple[float, float]:
    """Return log p(group | everybody else) and its Monte Carlo standard error.

    Parameters
    ----------
    without : numpy.ndarray
        Log-likelihood of the group at draws that never saw it [`chain`, `draw`], nats.
    everybody : numpy.ndarray
        The same at draws that did [`chain`, `draw`].

    Returns
    -------
    tuple of float
        Nats. The error is that of Frühwirth-Schnatter (2004, 10.1111/j.1368-423X.2004.00125.x), with
        effective numbers of draws; infinite where the two sets of draws do not overlap.
    """
    sizes = [float(array_stats.ess(d, method="mean")) for d in (without, everybody)]
    share = np.log(sizes) - np.log(sum(sizes))  # of draws without and with the group
    outside, inside = without.ravel(), everybody.ravel()
    log_r = float(np.median(inside))
    for _ in range(_ITERATIONS):
        # the optimal bridge between p0 and p1 = p0 e^l / r
        above = logsumexp(outside - np.logaddexp(share[1] + outside, share[0] + log_r)) - np.log(len(outside))
        below = logsumexp(-np.logaddexp(share[1] + inside, share[0] + log_r)) - np.log(len(inside))
        new = float(above - below)
        if abs(new - log_r) < _CLOSE:
            break
        log_r = new
    # f = p1 / (s1 p1 + s0 p0) at draws of p0, and p0 / (s1 p1 + s0 p0) at draws of p1
    odds = share[1] - share[0]
    f = expit(odds + without - log_r)
    g = expit(-(odds + everybody - log_r))
    variance = _relative(f) + _relative(g)
    return log_r, float(np.sqrt(variance))


def log_constant(
    log_density: Callable[[Array], float], draws: Array, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the logarithm of the integral of a density, and its Monte Carlo standard error.

    Parameters
    ----------
    log_density : callable
        Of a vector, without any constant left out.
    draws : numpy.ndarray
        From it [`chain`, `draw`, element]. The first half of every chain shapes the normal.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    tuple of float
        Nats.
    """
    half = draws.shape[1] // 2
    shaping, kept = draws[:, :half].reshape(-1, draws.shape[2]), draws[:, half:]
    fitted = LedoitWolf().fit(shaping)
    centre, root = fitted.location_, np.linalg.cholesky(fitted.covariance_)
    log_volume = float(np.log(np.diag(root)).sum())
    size = draws.shape[2]

    def against_normal(z: Array) -> float:
        step = root @ z
        both = np.logaddexp(log_density(centre + step), log_density(centre - step)) - np.log(2)
        return float(both) + log_volume + 0.5 * float(z @ z) + 0.5 * size * float(np.log(2 * np.pi))

    z_kept = np.linalg.solve(root, (kept - centre).reshape(-1, size).T).T
    z_kept *= rng.choice([-1.0, 1.0], len(z_kept))[:, None]  # the symmetric density's own draws
    z_new = rng.standard_normal((_PROPOSALS, size))
    inside = np.array([against_normal(z) for z in z_kept]).reshape(kept.shape[:2])
    outside = np.array([against_normal(z) for z in z_new])[None]
    return log_ratio(np.nan_to_num(outside, nan=-np.inf), inside)


def log_marginal(built: Built, sampler: Sampler, seeds: np.random.SeedSequence) -> Marginal:
    """Return the log marginal likelihood of a model.

    Parameters
    ----------
    built : Built
        The model.
    sampler : Sampler
        Of the draws that the bridge stands on.
    seeds : numpy.random.SeedSequence
        Source of every random number.

    Returns
    -------
    Marginal
        Of priors, transforms and integrals with all their constants.
    """
    for_chains, for_bridge = seeds.spawn(2)
    with open_chains(built, sampler) as opened:
        chains = opened.run(sampler, for_chains.spawn(sampler.chains), fine=built.fine)
    coordinates, density = typical_coordinates(built), compile_density(built)
    of_y = coordinates.pull_back(density.value_and_gradient)
    y = np.stack([c.position for c in chains])
    found, error = log_constant(lambda one: of_y(one)[0], y, np.random.default_rng(for_bridge))
    divergences = sum(int(c.statistics["diverging"].sum()) for c in chains)
    max_rhat = float(np.max(array_stats.rhat(np.moveaxis(y, -1, 0))))
    return Marginal(found + coordinates.log_volume, error, max_rhat, divergences)


def _relative(values: Array) -> float:
    """Return the squared relative error of a mean of correlated draws."""
    mean = float(values.mean())
    if mean <= 0:
        return float("inf")
    if np.ptp(values) == 0:
        return 0.0
    values = values / mean  # whose square may be too small for a number
    return float(values.var()) / float(array_stats.ess(values, method="mean"))
