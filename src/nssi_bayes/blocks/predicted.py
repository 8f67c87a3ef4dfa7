"""An outcome that is not Gaussian, in NumPy: its curve by the predictor, and slopes by the parameters.

Given functions and factors the predictor is known. Where factors are integrated out, it is normal given
the functions: `Predictor` is how it depends on them, with what is left. A count behind a hurdle has two
predictors, that of any and that of the count, which are then jointly normal.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from scipy.special import logsumexp

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.neural import shared
from nssi_bayes.families import bernoulli, hurdle_negative_binomial, negative_binomial, ordinal
from nssi_bayes.integrate.curve import Curve, nothing, value
from nssi_bayes.integrate.quadrature import normal_rule

__all__ = [
    "Axes", "Observed", "Predictor", "given_functions", "is_curved", "on_axes", "rests", "simulate",
]  # fmt: skip

_NODES: Final = {0: 1, 1: 31, 2: 15}
"""Over what factors leave of the predictors given the functions, by the number of axes."""
_LEAST: Final = 1e-30

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


class Predictor(NamedTuple):
    """The linear predictors of everyone, or the derivatives by their parts.

    Parameters
    ----------
    mean : numpy.ndarray
        Where factors and functions are 0 [predictor, `participant`].
    common : numpy.ndarray
        Loadings on the factors, the same for all [predictor, `factor`].
    own : numpy.ndarray
        Loadings on the functions [predictor, `function`, `participant`].
    spread : numpy.ndarray, optional
        Loadings on standard normal rests, which are what factors that were integrated out leave
        [predictor, rest, `participant`]. Of one predictor there is one rest, and its loading the sd; of a
        single factor it has the sign of the slope, so that it is smooth where the slope is 0. Of two
        predictors there are as many rests as factors, which is smooth everywhere: the root of a
        covariance of two would not be where their slopes are parallel.
    """

    mean: Array
    common: Array
    own: Array
    spread: Array | None = None

    def given_functions(self, swept: Array) -> Predictor:
        """Integrate the factors out: x* given the functions is normal.

        Parameters
        ----------
        swept : numpy.ndarray
            What `folding.eliminate` left of M over (factors, functions, -1) [latent, latent, person].

        Returns
        -------
        Predictor
            Without loadings on factors.
        """
        count = self.common.shape[1]
        onto = np.einsum("kp,pai->kai", self.common, swept[:count, count:])
        if len(self.common) > 1:
            spread = np.einsum("kp,ipr->kri", self.common, _root(swept, count))
        else:
            spread = (self._sign() * np.sqrt(self._variance(swept)))[None, :count]
        return Predictor(self.mean + onto[:, -1], self.common[:, :0], self.own - onto[:, :-1], spread)

    def given_functions_back(self, by: Predictor, swept: Array, by_matrix: Array) -> Predictor:
        """Pull derivatives by what `given_functions` returned back to this predictor, and to M.

        Parameters
        ----------
        by : Predictor
            Derivatives by mean, loadings on functions and spread.
        swept : numpy.ndarray
            As there.
        by_matrix : numpy.ndarray
            Derivative by M, symmetric [latent, latent, person]; added to.

        Returns
        -------
        Predictor
            Derivatives by mean and loadings.
        """
        count = self.common.shape[1]
        inverse, onto = -swept[:count, :count], swept[:count, count:]
        by_onto = np.concatenate([-by.own, by.mean[:, None]], axis=1)
        by_common = np.einsum("pai,kai->kp", onto, by_onto)
        across = np.einsum("pri,kr,kai->pai", inverse, self.common, by_onto)
        inside = np.einsum("pai,rai->pri", across, onto)
        if by.spread is not None and count:
            further = self._rests_back if len(self.common) > 1 else self._rest_back
            more, within = further(by.spread, swept)
            by_common, inside = by_common + more, inside + within
        by_matrix[:count, :count] -= 0.5 * (inside + inside.transpose(1, 0, 2))
        by_matrix[:count, count:] += 0.5 * across
        by_matrix[count:, :count] += 0.5 * across.transpose(1, 0, 2)
        return Predictor(by.mean, by_common, by.own)

    def _rest_back(self, by_spread: Array, swept: Array) -> tuple[Array, Array]:
        """Return the derivatives by loadings and M of what comes through the one rest."""
        count = self.common.shape[1]
        half = by_spread[0, 0] * self._sign()
        by_variance = half / (2 * np.sqrt(np.maximum(self._variance(swept)[0], _LEAST)))
        toward = -np.einsum("pri,r->pi", swept[:count, :count], self.common[0])
        return (2 * toward @ by_variance)[None], by_variance * toward[:, None] * toward[None]

    def _rests_back(self, by_spread: Array, swept: Array) -> tuple[Array, Array]:
        """Return the same of several rests: the root of M's inverse C, C = L L', pulled back."""
        count = self.common.shape[1]
        root = _root(swept, count)
        by_root = np.einsum("kp,kri->ipr", self.common, by_spread)
        half = np.tril(np.swapaxes(root, 1, 2) @ by_root)
        half[:, np.arange(count), np.arange(count)] *= 0.5
        # by C it is L^-T half L^-1 (Murray 2016, arXiv 1602.07527), and by M -C (that) C
        within = root @ half @ np.swapaxes(root, 1, 2)
        return np.einsum("ipr,kri->kp", root, by_spread), within.transpose(1, 2, 0)

    def _sign(self) -> float:
        return float(np.sign(self.common[0, 0]) or 1.0) if self.common.shape[1] == 1 else 1.0

    def _variance(self, swept: Array) -> Array:
        count = self.common.shape[1]
        found = -np.einsum("kp,pri,kr->ki", self.common, swept[:count, :count], self.common)
        return np.maximum(found, 0.0)


def _root(swept: Array, count: int) -> Array:
    """Return the lower root of the factors' covariance given functions and data [`participant`, ...]."""
    covariance = -swept[:count, :count].transpose(2, 0, 1)
    try:
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:  # where a trajectory ends nothing is finite
        return np.full(covariance.shape, np.nan)


class Axes(NamedTuple):
    """What the predictors hold beside the functions, on as few axes as there can be.

    Parameters
    ----------
    mean : numpy.ndarray
        [predictor, `participant`].
    own : numpy.ndarray
        [predictor, `participant`, `function`].
    spread : numpy.ndarray
        [predictor, axis, `participant`]. Of two predictors the first is on the last axis alone, and 0
        where the person's curve of it is.
    """

    mean: Array
    own: Array
    spread: Array


def on_axes(predictor: Predictor, curves: list[Curve]) -> Axes:
    """Put the rests of predictors on at most as many axes as there are predictors.

    Parameters
    ----------
    predictor : Predictor
        The factors integrated out.
    curves : list of Curve
        Of each predictor [`participant`].

    Returns
    -------
    Axes
        Of the same joint distribution of the predictors.
    """
    mean, _, own, left = predictor
    load = np.ascontiguousarray(own.transpose(0, 2, 1))
    if left is None or len(mean) == 1 or left.shape[1] < len(mean):
        return Axes(mean, load, np.zeros((len(mean), 0, mean.shape[1])) if left is None else left)
    counted = left[1] * (curves[1].over > 0)  # who has none has no count to predict
    first = np.sqrt((left[0] ** 2).sum(axis=0))
    shared = (counted * left[0]).sum(axis=0) / np.maximum(first, _LEAST)
    rest = np.sqrt(np.maximum((counted**2).sum(axis=0) - shared**2, 0.0))
    return Axes(mean, load, np.array([[np.zeros_like(first), first], [rest, shared]]))


def is_curved(design: Design, names: Any) -> bool:
    """Return whether a model of these parameters has an outcome that does not fold into the Gaussian."""
    return "w" in names and design.outcome_family != n.GAUSSIAN


def rests(design: Design, names: Any) -> int:
    """Return how many standard normal rests of a person the predictors of a model's outcome have.

    A single predictor has one, two have as many as there are factors and, where latent activation is a
    predictor, residual factors of it.
    """
    latents = len(design.coords[n.FACTOR]) + shared(names, design)
    if not is_curved(design, names):
        return 0
    return latents if design.outcome_family == n.HURDLE else min(latents, 1)


class Observed:
    """What was observed of an outcome that is not Gaussian.

    Parameters
    ----------
    design : Design
        The data.
    """

    def __init__(self, design: Design) -> None:
        self.family, self.seen = design.outcome_family, np.asarray(design.outcome_seen)
        self.value = np.asarray(design.outcome)[self.seen]
        exposure = np.ones(len(self.seen)) if design.outcome_exposure is None else design.outcome_exposure
        self.exposure = np.asarray(exposure)[self.seen]

        self.any = self.seen & (np.asarray(design.outcome) > 0)
        self._some = self.value > 0

    def curve(self, theta: Theta) -> Curve:
        """Return everybody's curve by the one predictor, 0 of those without the outcome [`participant`]."""
        (found,) = self.curves(theta)
        return found

    def curves(self, theta: Theta) -> list[Curve]:
        """Return everybody's curves by each of the predictors, 0 where they say nothing [`participant`]."""
        if self.family == n.BERNOULLI:
            return [_wide(bernoulli.curve(self.value), self.seen)]
        if self.family == n.ORDINAL:
            return [_wide(ordinal.curve(self.value, theta["outcome_probability"]), self.seen)]
        size = float(theta["dispersion"])
        if self.family == n.NEGATIVE_BINOMIAL:
            return [_wide(negative_binomial.curve(self.value, self.exposure, size), self.seen)]
        counted = self.value[self._some], self.exposure[self._some]
        behind = hurdle_negative_binomial.curve(*counted, size)
        return [_wide(bernoulli.curve(self._some.astype(float)), self.seen), _wide(behind, self.any)]

    def slopes(self, theta: Theta, predictors: Array) -> Theta:
        """Return the derivative of the log-likelihood by the parameters of the family, by name."""
        mu = predictors[-1, self.seen]
        if self.family == n.HURDLE:
            counted, size = (self.value[self._some], self.exposure[self._some]), float(theta["dispersion"])
            by = hurdle_negative_binomial.by_dispersion(*counted, size, mu[self._some])
            return {"dispersion": by.sum()}
        if self.family == n.NEGATIVE_BINOMIAL:
            size = float(theta["dispersion"])
            by = negative_binomial.by_dispersion(self.value, self.exposure, size, mu)
            return {"dispersion": by.sum()}
        if self.family == n.ORDINAL:
            return {"outcome_probability": ordinal.curve_back(self.value, theta["outcome_probability"], mu)}
        return {}

    def slopes_through(self, theta: Theta, by_upper: Array, by_lower: Array, by_power: Array) -> Theta:
        """Return the same from derivatives by U, V and power [`participant`], and of the curves' constants.

        U is exp(`at`) of the curve, V exp(`below`), and the power that of the term in which they stand.
        """
        upper, lower, power = by_upper[self.seen], by_lower[self.seen], by_power[self.seen]
        if self.family == n.NEGATIVE_BINOMIAL:
            size = float(theta["dispersion"])
            return {"dispersion": negative_binomial.through(self.value, self.exposure, size, (upper, power))}
        if self.family == n.ORDINAL:
            probability = theta["outcome_probability"]
            return {"outcome_probability": ordinal.through(self.value, probability, upper, lower)}
        return {}


def _wide(curve: Curve, who: Array) -> Curve:
    """Return curves of everybody, of those of some."""
    whole = nothing(who.shape)
    for there, part in zip(whole, curve, strict=True):
        there[who] = part
    return whole


def given_functions(curves: list[Curve], predictor: Predictor, eta: Array) -> Array:
    """Return the log-likelihood of one person's outcome at some values of the functions.

    Parameters
    ----------
    curves : list of Curve
        Of one person, of each predictor [`participant`].
    predictor : Predictor
        Of this person, the factors integrated out.
    eta : numpy.ndarray
        Functions [value, `function`].

    Returns
    -------
    numpy.ndarray
        Nats [value].
    """
    mean, own, spread = on_axes(predictor, curves)
    position, weight = normal_rule(_NODES[spread.shape[1]])
    places, weights = np.zeros((0, 1)), np.ones(1)
    for _ in range(spread.shape[1]):
        old = np.repeat(places, len(position), axis=1)
        places = np.concatenate([old, np.tile(position, len(weights))[None]])
        weights = np.outer(weights, weight).ravel()
    mu = mean[:, :1] + own[:, 0] @ eta.T
    moved = mu[:, :, None] + (spread[:, :, 0] @ places)[:, None]
    both = sum(value(one, mu[:, :, None])[:, :, 0] for one, mu in zip(curves, moved, strict=True))
    return np.asarray(logsumexp(both, axis=1, b=weights))


def simulate(theta: Theta, design: Design, rng: np.random.Generator, predictors: list[Array]) -> Array:
    """Draw an outcome for each of the predictors [`participant`], also where it was not observed."""
    predictor = predictors[-1]
    if design.outcome_family == n.BERNOULLI:
        return bernoulli.simulate(rng, predictor)
    if design.outcome_family in n.COUNTS:
        exposure = np.ones(len(predictor)) if design.outcome_exposure is None else design.outcome_exposure
        size = float(theta["dispersion"])
        if design.outcome_family == n.HURDLE:
            return hurdle_negative_binomial.simulate(rng, (predictors[0], predictor), exposure, size)
        return negative_binomial.simulate(rng, predictor, exposure, size)
    if design.outcome_family == n.ORDINAL:
        return ordinal.simulate(rng, theta["outcome_probability"], predictor).astype(float)
    return predictor + rng.standard_normal(len(predictor)) * theta["sigma_outcome"]
