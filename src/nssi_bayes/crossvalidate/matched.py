"""People over the k-hat limit, scored by draws that are moved to where they would be without them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from scipy.special import logsumexp

from nssi_bayes import names as n
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.labelled import theta_of
from nssi_bayes.build import Built
from nssi_bayes.check import scores
from nssi_bayes.compare import k_hat_limit
from nssi_bayes.crossvalidate.moments import Draws, move
from nssi_bayes.crossvalidate.refit import Sets, sets_of
from nssi_bayes.fit.chains import typical_coordinates
from nssi_bayes.fit.density import compile_density, likelihood_of, unconstrained

__all__ = ["Matched", "can_match", "matched"]

_DRAWS: Final = 2000
"""At most so many draws of the posterior are moved."""

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Matched:
    """One person's scores by moved draws.

    Parameters
    ----------
    elpd : dict of str to float
        By name of a score, all with the same weights, nats.
    mcse : float
        Monte Carlo standard error of the total, nats.
    k_hat, limit : float
        Of the weights, and what it may be.
    """

    elpd: dict[str, float]
    mcse: float
    k_hat: float
    limit: float

    @property
    def believed(self) -> bool:
        """Whether the scores may be used."""
        return bool(self.k_hat <= self.limit and np.isfinite(list(self.elpd.values())).all())


def can_match(built: Built) -> bool:
    """Return whether a person's likelihood is stated alone.

    It is not where functions are sampled, nor on a ladder of groups with continuous indicators, which
    enters by sums over people.
    """
    return not built.explicit and not (len(built.design.group_of) and built.design.coords[n.SCORE])


def matched(built: Built, posterior: xr.Dataset, people: Array) -> Iterator[Matched]:
    """Score people by draws that are moved.

    Parameters
    ----------
    built : Built
        The model of everybody, of which `can_match` is true.
    posterior : xarray.Dataset
        Its draws, as `fit` wrote them.
    people : numpy.ndarray
        Positions of those who are left out one by one.

    Yields
    ------
    Matched
        In their order.
    """
    chains = posterior.sizes[n.CHAIN]
    every = -(-chains * posterior.sizes[n.DRAW] // _DRAWS)
    theta = theta_of(posterior.isel({n.DRAW: slice(None, None, every)}), built.parameters)
    coordinates, density = typical_coordinates(built), compile_density(built)
    of_y = coordinates.pull_back(density.value_and_gradient)
    correlated = [p.name for p in built.parameters if p.is_correlation]
    blocks = joint.blocks_of(built.design)

    def log_density(y: Array) -> Array:
        return np.array([of_y(one)[0] for one in y])

    def sets_at(y: Array, person: int, *, last: bool) -> Sets:
        values = density.constrain(coordinates.to_x(y))
        values |= {name: np.linalg.cholesky(values[name]) for name in correlated}
        return sets_of(values, built.design, np.array([person]), last=last)

    position = coordinates.of_x(unconstrained(built, theta))
    draws = Draws(position, log_density(position), log_density)
    limit = k_hat_limit(len(position))
    for person in people.tolist():
        alone = likelihood_of(built, np.array([person]))

        def total(y: Array, person: int = person) -> Array:
            return sets_at(y, person, last=True)[tuple(blocks)][:, 0]

        def slope(y: Array, alone: Any = alone) -> Array:
            return coordinates.slope(alone, y)

        r_eff = _efficiency(total(position), chains)
        moved = move(draws, total, slope, limit=limit, r_eff=r_eff)
        values = sets_at(moved.position, person, last=False)
        means = {k: float(logsumexp(moved.log_weight + v[:, 0])) for k, v in values.items()} | {(): 0.0}
        elpd = {
            name: means[after] - means[before] for name, (before, after) in scores.steps_of(blocks).items()
        }
        away = np.exp(moved.log_weight) * np.expm1(values[tuple(blocks)][:, 0] - means[tuple(blocks)])
        yield Matched(elpd, float(np.sqrt((away**2).sum() / r_eff)), moved.k_hat, limit)


def _efficiency(log_likelihood: Array, chains: int) -> float:
    """Return effective draws a draw of a likelihood [sample]."""
    shaped = np.exp(log_likelihood - log_likelihood.max()).reshape(chains, -1)
    return float(np.clip(array_stats.ess(shaped, method="mean") / len(log_likelihood), 1e-3, 1.0))
