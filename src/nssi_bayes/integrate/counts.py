"""Repeated counts of a person, the person's effect and those of single occasions integrated out.

    y_it ~ count(exp(mu_it + b_i + e_it)),    b_i ~ N(0, person_sd^2),    e_it ~ N(0, occasion_sd^2)

Given b_i the occasions are independent, so the integral over 1 + T effects is one over b_i of a product
of integrals over one e_it each. Both are adaptive Gauss-Hermite sums (Pinheiro & Bates 1995,
10.1080/10618600.1995.10474663): nodes around the mode, scaled by the curvature there. The mode over
e_it is closed (Corless et al. 1996, 10.1007/BF02124750), that over b_i is found by Newton steps on a
concave curve. NumPy only; nothing here is a gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.special import gammaln, logsumexp, wrightomega

__all__ = ["Counts", "draw_effects", "log_likelihood"]

NODES: Final = 21
"""Of the sum over a person's effect."""
INNER: Final = 21
"""Of the sum over an occasion's effect."""
_NEWTON: Final = 60
_LARGEST: Final = 2.0
"""Newton steps are clipped to this, on the log scale."""
_CLOSE: Final = 1e-7
_AT_ONCE: Final = 500_000
"""Numbers of the largest array."""
_REACH: Final = 6.0
"""Half-width of the grid that effects are drawn from, in sd at the mode."""
_POINTS: Final = 41

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Counts:
    """Repeated counts, and what they are expected to be, at draws of the parameters.

    Parameters
    ----------
    count : numpy.ndarray
        [`participant`, occasion]; NaN where a person was not seen.
    predictor : numpy.ndarray
        mu: log of the expected count without effects, exposure included [sample, `participant`, occasion].
    person_sd : numpy.ndarray
        Of the person's effect [sample], log.
    occasion_sd : numpy.ndarray, optional
        Of the effect of each occasion [sample], log; without it there is none.
    size : numpy.ndarray, optional
        Of a negative binomial [sample], Var = mean + mean^2 / size; Poisson without it.
    """

    count: Array
    predictor: Array
    person_sd: Array
    occasion_sd: Array | None = None
    size: Array | None = None

    def __post_init__(self) -> None:
        if self.occasion_sd is not None and self.size is not None:
            raise ValueError("a negative binomial has no effect of each occasion: two words for the same")

    def some(self, samples: slice) -> Counts:
        """Return the same at some of the draws."""
        parts = (None if v is None else v[samples] for v in (self.occasion_sd, self.size))
        return Counts(self.count, self.predictor[samples], self.person_sd[samples], *parts)

    def given(self, effect: Array) -> Array:
        """Return log p(y_it | b_i), e_it integrated out, with a node axis last.

        Parameters
        ----------
        effect : numpy.ndarray
            b_i [sample, `participant`, node].

        Returns
        -------
        numpy.ndarray
            [sample, `participant`, occasion, node]; 0 where nobody was seen.
        """
        eta = self.predictor[..., None] + effect[:, :, None, :]
        if self.occasion_sd is None:
            return np.where(self._seen, self.log_count(eta), 0.0)
        mode, sd = self.mode_of_occasion(eta)
        variance = _along(self.occasion_sd, eta.ndim) ** 2
        rate = 1 / sd**2 - 1 / variance
        total = np.zeros(eta.shape)
        # the integrand over its height at the mode, where its slope is 0: y falls out
        for node, log_weight in zip(*_rule(INNER), strict=True):
            h = sd * node
            total += np.exp(rate * (h - np.expm1(h)) - 0.5 * h**2 / variance + log_weight)
        peak = self.log_count(eta + mode) - 0.5 * mode**2 / variance
        whole = peak + np.log(total * sd) - 0.5 * np.log(2 * np.pi * variance)
        return np.where(self._seen, whole, 0.0)

    def mode(self) -> tuple[Array, Array]:
        """Return the mode of each person's effect and the sd that its curvature tells.

        Returns
        -------
        tuple of numpy.ndarray
            [sample, `participant`]; with effects of occasions these are at the modes of them, which is
            near enough to place nodes.

        Raises
        ------
        FloatingPointError
            If the steps do not end: a parameter is not finite.
        """
        precision = 1 / self.person_sd[:, None] ** 2
        b = np.zeros(self.predictor.shape[:2])
        for _ in range(_NEWTON):
            slope, bend = self._slopes(self.predictor + b[..., None])
            step = (slope - b * precision) / (bend + precision)
            b = b + np.clip(step, -_LARGEST, _LARGEST)
            if np.abs(step).max(initial=0.0) < _CLOSE:
                _, bend = self._slopes(self.predictor + b[..., None])
                return b, 1 / np.sqrt(bend + precision)
        raise FloatingPointError("the mode of a person's effect was not found; is a draw not finite?")

    @property
    def _seen(self) -> Array:
        return np.isfinite(self.count)[..., None]

    def _slopes(self, eta: Array) -> tuple[Array, Array]:
        """Return first and negative second derivative by b, summed over occasions."""
        y, seen = np.nan_to_num(self.count), np.isfinite(self.count)
        if self.size is not None:
            size = _along(self.size, 3)
            share = 1 / (1 + size * np.exp(-eta))
            slope, bend = y - (y + size) * share, (y + size) * share * (1 - share)
        elif self.occasion_sd is not None:
            mode, sd = self.mode_of_occasion(eta[..., None])
            variance = _along(self.occasion_sd, 3) ** 2
            slope, rate = mode[..., 0] / variance, 1 / sd[..., 0] ** 2 - 1 / variance
            bend = rate / (1 + variance * rate)
        else:
            bend = np.exp(eta)
            slope = y - bend
        return (slope * seen).sum(axis=2), (bend * seen).sum(axis=2)

    def mode_of_occasion(self, eta: Array) -> tuple[Array, Array]:
        """Return where y e - exp(eta + e) - e^2 / (2 sd^2) is highest, and the sd that its curvature tells.

        Parameters
        ----------
        eta : numpy.ndarray
            mu + b [sample, `participant`, occasion, node].

        Returns
        -------
        tuple of numpy.ndarray
            Of the shape of `eta`.
        """
        variance = _along(self.occasion_sd, eta.ndim) ** 2
        y = np.nan_to_num(self.count)[..., None]
        omega = wrightomega(np.log(variance) + eta + y * variance)  # variance x rate at the mode
        return y * variance - omega, np.sqrt(variance / (1 + omega))

    def log_count(self, eta: Array) -> Array:
        """Return the log-probability of every count by the log of what is expected.

        Parameters
        ----------
        eta : numpy.ndarray
            mu + b + e [sample, `participant`, occasion, node].

        Returns
        -------
        numpy.ndarray
            Of the shape of `eta`.
        """
        y = np.nan_to_num(self.count)[..., None]
        if self.size is None:
            return y * eta - np.exp(eta) - gammaln(y + 1)
        size = _along(self.size, eta.ndim)
        whole = np.logaddexp(np.log(size), eta)
        ways = gammaln(y + size) - gammaln(size) - gammaln(y + 1)
        return ways + size * (np.log(size) - whole) + y * (eta - whole)


def log_likelihood(counts: Counts) -> Array:
    """Return log p(all counts of a person | parameters), all effects integrated out.

    Parameters
    ----------
    counts : Counts
        The data, and parameters at draws.

    Returns
    -------
    numpy.ndarray
        [sample, `participant`], nats; 0 for who was never seen. Against dense quadrature within 1e-6
        for sds up to 1, and within 1e-4 up to 2, people with counts of 0 alone included.

    References
    ----------
    Merkle, Furr & Rabe-Hesketh (2019), 10.1007/s11336-019-09679-0: why the effects of who is left out
    must not have seen their own data.
    """
    return np.concatenate([_whole(part) for part in _parts(counts)])


def _whole(counts: Counts) -> Array:
    mode, sd = counts.mode()
    nodes, log_weights = _rule(NODES)
    b = mode[..., None] + sd[..., None] * nodes
    variance = counts.person_sd[:, None, None] ** 2
    prior = -0.5 * b**2 / variance - 0.5 * np.log(2 * np.pi * variance)
    return logsumexp(counts.given(b).sum(axis=2) + prior + log_weights, axis=2) + np.log(sd)


def draw_effects(counts: Counts, rng: np.random.Generator) -> Array:
    """Draw mu + b + e of every occasion, given the person's counts and the parameters.

    Parameters
    ----------
    counts : Counts
        The data, and parameters at draws.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Log of the expected count, effects included [sample, `participant`, occasion]. With draws of the
        parameters from their posterior these are draws of what a sampler of all effects would walk.
    """
    return np.concatenate([_drawn(part, rng) for part in _parts(counts)])


def _drawn(counts: Counts, rng: np.random.Generator) -> Array:
    mode, sd = counts.mode()
    grid = np.linspace(-_REACH, _REACH, _POINTS)
    b = mode[..., None] + sd[..., None] * grid
    density = counts.given(b).sum(axis=2) - 0.5 * b**2 / counts.person_sd[:, None, None] ** 2
    effect = mode + sd * _inverse(density, grid, rng)
    eta = counts.predictor + effect[..., None]
    if counts.occasion_sd is None:
        return eta
    centre, width = counts.mode_of_occasion(eta[..., None])
    e = centre + width * grid
    variance = _along(counts.occasion_sd, 4) ** 2
    density = counts.log_count(eta[..., None] + e) - 0.5 * e**2 / variance
    own = centre[..., 0] + width[..., 0] * _inverse(density, grid, rng)
    # who was not seen has no counts to inform the effect
    fresh = _along(counts.occasion_sd, 3) * rng.standard_normal(eta.shape)
    return eta + np.where(np.isfinite(counts.count), own, fresh)


def _inverse(log_density: Array, grid: Array, rng: np.random.Generator) -> Array:
    """Draw one point from each piecewise linear density along the last axis."""
    density = np.exp(log_density - log_density.max(axis=-1, keepdims=True))
    mass = (density[..., 1:] + density[..., :-1]) / 2
    below = np.concatenate([np.zeros((*mass.shape[:-1], 1)), np.cumsum(mass, axis=-1)], axis=-1)
    wanted = rng.random(below.shape[:-1]) * below[..., -1]
    cell = np.clip((below <= wanted[..., None]).sum(axis=-1) - 1, 0, mass.shape[-1] - 1)[..., None]

    def at(values: Array, index: Array) -> Array:
        return np.take_along_axis(values, index, axis=-1)[..., 0]

    left, right = at(density, cell), at(density, cell + 1)
    # within a cell: left t + (right - left) t^2 / 2 = rest, in a form that does not cancel
    rest = wanted - at(below, cell)
    root = np.sqrt(np.maximum(left**2 + 2 * (right - left) * rest, 0.0))
    step = 2 * rest / np.maximum(left + root, np.finfo(float).tiny)
    return grid[cell[..., 0]] + (grid[1] - grid[0]) * np.clip(step, 0.0, 1.0)


def _parts(counts: Counts) -> Iterator[Counts]:
    """Yield the draws in parts whose arrays are of moderate size."""
    each = counts.count.size * max(NODES, _POINTS)
    step = max(1, _AT_ONCE // max(each, 1))
    for start in range(0, len(counts.predictor), step):
        yield counts.some(slice(start, start + step))


def _rule(order: int) -> tuple[Array, Array]:
    """Return standard normal nodes, and log weights for an integral by Lebesgue measure."""
    nodes, weights = hermegauss(order)
    return nodes, np.log(weights) + 0.5 * nodes**2


def _along(values: Array | None, ndim: int) -> Array:
    """Let values by sample stand along the first of `ndim` axes."""
    return np.asarray(values).reshape(-1, *[1] * (ndim - 1))
