"""A prior from published estimates: the meta-analytic-predictive prior, exact, and robust.

Estimates y_i of effects theta_i ~ N(beta, tau^2), with beta ~ N(mu, sigma^2) and tau half-normal, foresee
the effect of a study that is not among them (Neuenschwander et al. 2010, 10.1177/1740774509356002). Given
tau all is normal, so tau alone is integrated, by Gauss-Legendre quadrature; for counts beta and every
theta_i are, too. No chain is run and nothing is drawn.

What is foreseen is written as a mixture of a few normals, and a part of it is given to what was known
before any study (Schmidli et al. 2014, 10.1111/biom.12242): where the data disagree with the literature,
that part takes over.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi, sqrt
from typing import Any, Final

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, gammaln, ndtr

from nssi_bayes.priors.studies import Published

__all__ = ["Foreseen", "Mixture", "as_yaml", "foresee", "informative"]

_TAUS: Final = 80
_LARGEST_TAU: Final = 5.0
"""Nodes of tau, and how far they reach, in scales of its prior."""
_REACH: Final = 8.0
_FINEST: Final = 0.7
_MOST: Final = 2001
"""Grids of beta and theta reach as many sd, in steps of that share of the smallest sd; at most so many."""
_NOTHING: Final = 1e-12
_CELLS: Final = 800
_COMPONENTS: Final = 4
_ENOUGH: Final = 1e-3
"""A mixture has as few normals as lose less than this, in nats, and no more than four."""
_STEPS: Final = 3000

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Foreseen:
    """The effect of a new study, as many weighted normals, and the heterogeneity behind it.

    Parameters
    ----------
    weight, mean, sd : numpy.ndarray
        Of the normals [node]; an `sd` may be nearly 0.
    tau : tuple of float
        Posterior mean and sd of the heterogeneity.
    """

    weight: Array
    mean: Array
    sd: Array
    tau: tuple[float, float]

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and sd."""
        mean = float(self.weight @ self.mean)
        return mean, float(np.sqrt(self.weight @ (self.sd**2 + (self.mean - mean) ** 2)))

    def below(self, value: Any) -> Array:
        """Return the probability of an effect below each of `value`."""
        return np.array([self.weight @ ndtr((v - self.mean) / self.sd) for v in np.atleast_1d(value)])

    def quantile(self, probability: float) -> float:
        """Return the effect that a new study's is below with this probability."""
        mean, sd = self.moments
        ends = mean - 12 * sd, mean + 12 * sd
        return float(brentq(lambda v: self.below(v)[0] - probability, *ends))

    def of_events(self) -> tuple[float, float]:
        """Return mean and sd of the probability of an event, where effects are logits."""
        mean, sd = self.moments
        edge = np.linspace(mean - 10 * sd, mean + 10 * sd, 4001)
        mass, middle = np.diff(self.below(edge)), expit((edge[1:] + edge[:-1]) / 2)
        average = mass @ middle
        return float(average), float(np.sqrt(mass @ (middle - average) ** 2))


@dataclass(frozen=True)
class Mixture:
    """A few normals.

    Parameters
    ----------
    weight, mu, sigma : tuple of float
        Of each [component]; weights sum to 1.
    lost : float
        Kullback-Leibler divergence from what was approximated, nats.
    """

    weight: tuple[float, ...]
    mu: tuple[float, ...]
    sigma: tuple[float, ...]
    lost: float


def foresee(published: Published) -> Foreseen:
    """Integrate over heterogeneity and mean.

    Parameters
    ----------
    published : Published
        The estimates, and what was believed before them.

    Returns
    -------
    Foreseen
        The effect of a new study.
    """
    node, width = np.polynomial.legendre.leggauss(_TAUS)
    u = (node + 1) / 2  # tau by its root: nodes are dense near 0
    tau = _LARGEST_TAU * published.heterogeneity * u**2
    log_prior = np.log(width * u) - 0.5 * (tau / published.heterogeneity) ** 2
    if not published.counted:
        log_weight, mean, variance = _normal(published, tau)
        return _foreseen(log_prior + log_weight, mean, np.sqrt(variance + tau**2), tau)
    log_weight, beta = _binomial(published, tau)
    shape = log_weight.shape
    whole = (log_prior[:, None] + log_weight).ravel()
    tau, beta = (np.broadcast_to(v, shape).ravel() for v in (tau[:, None], beta))
    return _foreseen(whole, beta, tau, tau)


def _foreseen(log_weight: Array, mean: Array, sd: Array, tau: Array) -> Foreseen:
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    average = float(weight @ tau)
    spread = float(np.sqrt(weight @ (tau - average) ** 2))
    kept = weight > _NOTHING
    weight = weight[kept] / weight[kept].sum()
    return Foreseen(weight, mean[kept], np.maximum(sd[kept], 1e-9), (average, spread))


def _normal(published: Published, tau: Array) -> tuple[Array, Array, Array]:
    """Return log p(y | tau), and mean and variance of beta given y and tau."""
    y, se = published.estimates
    precision = 1 / (se**2 + tau[:, None] ** 2)
    total = precision.sum(axis=1) + 1 / published.sigma**2
    mean = (precision @ y + published.mu / published.sigma**2) / total
    squares = (precision * y**2).sum(axis=1) + published.mu**2 / published.sigma**2 - total * mean**2
    log_weight = 0.5 * (np.log(precision).sum(axis=1) - np.log(total) - squares)
    return log_weight, mean, 1 / total


def _binomial(published: Published, tau: Array) -> tuple[Array, Array]:
    """Return log p(y, beta | tau) [tau, beta], and the grid of beta, in logits."""
    events, people = published.events
    share = (events + 0.5) / (people + 1)
    centre, se = np.log(share / (1 - share)), 1 / np.sqrt((people + 1) * share * (1 - share))
    far = _REACH * (published.heterogeneity + se.max())
    low = max(published.mu - _REACH * published.sigma, float(centre.min()) - far)
    high = min(published.mu + _REACH * published.sigma, float(centre.max()) + far)
    finest = _FINEST * min(published.sigma, 1 / sqrt(float((1 / se**2).sum())))
    beta = np.linspace(low, high, _count(high - low, finest))
    prior = -0.5 * ((beta - published.mu) / published.sigma) ** 2
    constant = gammaln(people + 1) - gammaln(events + 1) - gammaln(people - events + 1)
    found = np.empty((len(tau), len(beta)))
    for a, one in enumerate(tau):
        z = np.linspace(-_REACH, _REACH, _count(2 * _REACH, min(_FINEST, _FINEST * float(se.min()) / one)))
        mass = np.log(z[1] - z[0]) - 0.5 * z**2 - 0.5 * log(2 * pi)
        total = prior.copy()
        for r, n, c in zip(events, people, constant, strict=True):
            theta = beta[:, None] + one * z
            each = c + r * theta - n * np.logaddexp(0.0, theta) + mass
            most = each.max(axis=1)
            total += most + np.log(np.exp(each - most[:, None]).sum(axis=1))
        found[a] = total
    return found, beta


def _count(length: float, step: float) -> int:
    return int(min(_MOST, max(41, 2 * int(np.ceil(length / step / 2)) + 1)))


def informative(foreseen: Foreseen, published: Published) -> Mixture:
    """Write what is foreseen as a mixture, a part of it what was known before any study.

    Parameters
    ----------
    foreseen : Foreseen
        From `foresee`.
    published : Published
        The share of the robust part, and the priors that make it: of a study when nothing is known the
        mean is that of beta, and the variance that of beta and the mean square of tau.

    Returns
    -------
    Mixture
        Its last component is the robust one; `lost` is that of the others.
    """
    mean, sd = foreseen.moments
    edge = np.linspace(mean - 8 * sd, mean + 8 * sd, _CELLS + 1)
    mass, middle = np.diff(foreseen.below(edge)), (edge[1:] + edge[:-1]) / 2
    mass = np.maximum(mass, 1e-300) / mass.sum()
    for count in range(1, _COMPONENTS + 1):
        weight, mu, sigma, lost = _fewer(mass, middle, edge, count)
        if lost < _ENOUGH:
            break
    order = np.argsort(-weight)
    before = sqrt(published.sigma**2 + published.heterogeneity**2)
    share = published.robust
    parts = [(1 - share) * weight[order], mu[order], sigma[order]]
    if share > 0:
        parts = [np.append(p, v) for p, v in zip(parts, (share, published.mu, before), strict=True)]
    weights, means, sds = (tuple(float(v) for v in p) for p in parts)
    return Mixture(weights, means, sds, lost)


def _fewer(mass: Array, at: Array, edge: Array, count: int) -> tuple[Array, Array, Array, float]:
    """Fit a mixture to a density on a grid by expectation and maximisation; nothing is random."""
    mean = mass @ at
    spread = np.sqrt(mass @ (at - mean) ** 2)
    weight = np.full(count, 1 / count)
    mu, sigma = (
        np.full(count, mean),
        spread * np.geomspace(0.5, 2.0, count) if count > 1 else spread * np.ones(1),
    )
    mu = mu + 0.1 * spread * np.linspace(-1, 1, count) if count > 1 else mu
    for _ in range(_STEPS):
        log_part = np.log(weight) - np.log(sigma) - 0.5 * ((at[:, None] - mu) / sigma) ** 2
        most = log_part.max(axis=1, keepdims=True)
        part = np.exp(log_part - most)
        part *= (mass / part.sum(axis=1))[:, None]
        old = mu
        weight = part.sum(axis=0)
        mu = part.T @ at / weight
        sigma = np.sqrt((part * (at[:, None] - mu) ** 2).sum(axis=0) / weight)
        if np.abs(mu - old).max() < 1e-8 * spread:
            break
    own = (np.diff(ndtr((edge[:, None] - mu) / sigma), axis=0) * weight).sum(axis=1)
    own = np.maximum(own, 1e-300)
    return weight, mu, sigma, float(mass @ (np.log(mass) - np.log(own)))


def as_yaml(published: Published) -> str:
    """Return a prior as an entry of a prior set, and as `priors` of a spec takes it.

    Parameters
    ----------
    published : Published
        The estimates.

    Returns
    -------
    str
        YAML, what was found in comments above it.
    """
    foreseen = foresee(published)
    mixture = informative(foreseen, published)
    mean, sd = foreseen.moments
    count = len(published.studies)
    many = f"{count} {'study' if count == 1 else 'studies'}"
    low, high = foreseen.quantile(0.025), foreseen.quantile(0.975)
    ends = f"95 % [{low:.3f}, {high:.3f}]"
    lines = [
        f"# {many}; of a new one mean {mean:.3f}, sd {sd:.3f}, {ends}",
        f"# sd between studies: {foreseen.tau[0]:.3f} (sd {foreseen.tau[1]:.3f})",
    ]
    if published.counted:
        average, spread = foreseen.of_events()
        ends = f"[{expit(low):.3f}, {expit(high):.3f}]"
        lines.append(f"# as a probability {average:.3f} (sd {spread:.3f}) {ends}")
    if published.robust:
        lines.append(f"# the last component, {published.robust:g}, is what was known before any study")
    parts = {"weights": mixture.weight, "mus": mixture.mu, "sigmas": mixture.sigma}
    rounded = [f"{k}: [{', '.join(f'{v:.4f}' for v in _to_one(k, values))}]" for k, values in parts.items()]
    name = published.parameter or "parameter"
    return "\n".join([*lines, f"{name}: {{family: mixture, {', '.join(rounded)}}}"]) + "\n"


def _to_one(what: str, values: tuple[float, ...]) -> list[float]:
    """Round to what is printed, so that printed weights sum to 1."""
    found = [round(v, 4) for v in values]
    if what == "weights":
        found[0] = round(1 - sum(found[1:]), 4)
    return found
