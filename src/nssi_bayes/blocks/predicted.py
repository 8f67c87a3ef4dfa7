"""An outcome that is not Gaussian, in NumPy: its curve by the predictor, and slopes by the parameters.

Given functions and factors the predictor is known. Where factors are integrated out, it is normal given
the functions: `Predictor` is how it depends on them, with the variance that is left.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from scipy.special import logsumexp

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.families import bernoulli, negative_binomial, ordinal
from nssi_bayes.integrate.curve import Curve, nothing, value
from nssi_bayes.integrate.quadrature import normal_rule

__all__ = ["Observed", "Predictor", "given_functions", "is_curved", "simulate"]

_NODES: Final = 31
"""Over what factors leave of a predictor given the functions."""
_LEAST: Final = 1e-30

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


class Predictor(NamedTuple):
    """The linear predictor of everyone, or the derivatives by its parts.

    Parameters
    ----------
    mean : numpy.ndarray
        Where factors and functions are 0 [`participant`].
    common : numpy.ndarray
        Loadings on the factors, the same for all [`factor`].
    own : numpy.ndarray
        Loadings on the functions [`function`, `participant`].
    spread : numpy.ndarray, optional
        Sd of what factors that were integrated out leave [`participant`]; of a single factor with the
        sign of its slope, so that it is smooth where the slope is 0.
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
        count = len(self.common)
        onto = np.einsum("p,pai->ai", self.common, swept[:count, count:])
        spread = self._sign() * np.sqrt(self._variance(swept))
        return Predictor(self.mean + onto[-1], self.common[:0], self.own - onto[:-1], spread)

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
        count = len(self.common)
        inverse, onto = -swept[:count, :count], swept[:count, count:]
        by_onto = np.concatenate([-by.own, by.mean[None]])
        half = 0.0 if by.spread is None else by.spread * self._sign()
        by_variance = half / (2 * np.sqrt(np.maximum(self._variance(swept), _LEAST)))
        across = np.einsum("pri,r,ai->pai", inverse, self.common, by_onto)
        toward = np.einsum("pri,r->pi", inverse, self.common)
        inside = np.einsum("pai,rai->pri", across, onto) + by_variance * toward[:, None] * toward[None]
        by_matrix[:count, :count] -= 0.5 * (inside + inside.transpose(1, 0, 2))
        by_matrix[:count, count:] += 0.5 * across
        by_matrix[count:, :count] += 0.5 * across.transpose(1, 0, 2)
        by_common = np.einsum("pai,ai->p", onto, by_onto) + 2 * toward @ by_variance
        return Predictor(by.mean, by_common, by.own)

    def _sign(self) -> float:
        return float(np.sign(self.common[0]) or 1.0) if len(self.common) == 1 else 1.0

    def _variance(self, swept: Array) -> Array:
        count = len(self.common)
        found = -np.einsum("p,pri,r->i", self.common, swept[:count, :count], self.common)
        return np.maximum(found, 0.0)


def is_curved(design: Design, names: Any) -> bool:
    """Return whether a model of these parameters has an outcome that does not fold into the Gaussian."""
    return "w" in names and design.outcome_family != n.GAUSSIAN


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

    def curve(self, theta: Theta) -> Curve:
        """Return everybody's curve by the predictor, 0 of those without the outcome [`participant`]."""
        if self.family == n.BERNOULLI:
            found = bernoulli.curve(self.value)
        elif self.family == n.NEGATIVE_BINOMIAL:
            found = negative_binomial.curve(self.value, self.exposure, float(theta["dispersion"]))
        else:
            found = ordinal.curve(self.value, theta["outcome_probability"])
        whole = nothing(self.seen.shape)
        for there, part in zip(whole, found, strict=True):
            there[self.seen] = part
        return whole

    def slopes(self, theta: Theta, predictor: Array) -> Theta:
        """Return the derivative of the log-likelihood by the parameters of the family, by name."""
        mu = predictor[self.seen]
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


def given_functions(curve: Curve, predictor: Predictor, eta: Array) -> Array:
    """Return the log-likelihood of one person's outcome at some values of the functions.

    Parameters
    ----------
    curve : Curve
        Of one person [`participant`].
    predictor : Predictor
        Of this person, the factors integrated out.
    eta : numpy.ndarray
        Functions [value, `function`].

    Returns
    -------
    numpy.ndarray
        Nats [value].
    """
    position, weight = normal_rule(_NODES)
    spread = 0.0 if predictor.spread is None else float(predictor.spread[0])
    mu = predictor.mean[0] + eta @ predictor.own[:, 0]
    both = value(curve, (mu[:, None] + spread * position)[:, :, None])[:, :, 0]
    return logsumexp(both, axis=1, b=weight)


def simulate(theta: Theta, design: Design, rng: np.random.Generator, predictor: Array) -> Array:
    """Draw an outcome for each predictor [`participant`], also where it was not observed."""
    if design.outcome_family == n.BERNOULLI:
        return bernoulli.simulate(rng, predictor)
    if design.outcome_family == n.NEGATIVE_BINOMIAL:
        exposure = np.ones(len(predictor)) if design.outcome_exposure is None else design.outcome_exposure
        return negative_binomial.simulate(rng, predictor, exposure, float(theta["dispersion"]))
    if design.outcome_family == n.ORDINAL:
        return ordinal.simulate(rng, theta["outcome_probability"], predictor).astype(float)
    return predictor + rng.standard_normal(len(predictor)) * theta["sigma_outcome"]
