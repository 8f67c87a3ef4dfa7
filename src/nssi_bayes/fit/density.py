"""The log-density of a model and its gradient, as functions of one unconstrained vector.

Priors and transforms are those of the PyMC model, all parameters of a family at once
(`unconstrained`). What is left is chosen by structure:

- ordinal indicators: a person's Gaussian data are folded in by compiled loops (`blocks.compiled`), and
  the integral over the functions is the kernel's;
- continuous indicators alone: the same, and the integral is in closed form;
- people who differ in nothing but data and what is missing: sums of cross-products (`blocks.sums`).

`reference` is the same density as the PyMC model states it; this form compiles once for all models
(what it costs: docs/sampler.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.answers import Answers
from nssi_bayes.blocks.beside import Beside, Indicator, extend, extend_back, grid_beside, stands_beside
from nssi_bayes.blocks.compiled import Part, compile_people
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.marginal import arrangement_of, grid_settings, integrate_gaussian
from nssi_bayes.blocks.measurement import FINE_TESTLET_NODES
from nssi_bayes.blocks.patterns import Patterns
from nssi_bayes.blocks.people import few
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.blocks.sums import Sums, persons
from nssi_bayes.build import Built
from nssi_bayes.fit import explicit
from nssi_bayes.fit.unconstrained import Unconstrained
from nssi_bayes.fit.whiten import Scaled
from nssi_bayes.integrate.gaussian import moments
from nssi_bayes.integrate.kernel import value_and_gradient_raised as kernel_raised
from nssi_bayes.spec import MOST_BESIDE

__all__ = ["Density", "compile_density", "likelihood_of", "unconstrained"]

_RESIDUALS: Final = ("sigma", "sigma_edge", "sigma_score", "sigma_outcome")
"""Residual sds of what is Gaussian and depends on the functions."""
_LOG: Final = logging.getLogger(__name__)

type Array = np.ndarray[Any, Any]
type ValueAndGradient = Callable[[Array], tuple[float, Array]]


@dataclass(frozen=True)
class Density:
    """A compiled model.

    Parameters
    ----------
    size : int
        Length of the unconstrained vector.
    value_and_gradient : callable
        Vector to log-density and gradient.
    constrain : callable
        Vectors [draw, size] to values by name [draw, ...] of all parameters.
    start : numpy.ndarray
        A point of finite density.
    scaled : list of Scaled
        Elements of scale parameters, and the standardised coordinates that they multiply.
    held : tuple of int
        Positions of correlations of functions, or factors, that are sampled, and of sds of residuals
        beside these: their joint mode is at a correlation of 1 and a residual sd of 0, without bound (a
        person's functions can meet a Gaussian outcome exactly), and says nothing of where the posterior is.
    """

    size: int
    value_and_gradient: ValueAndGradient
    constrain: Callable[[Array], dict[str, Array]]
    start: Array
    scaled: list[Scaled]
    held: tuple[int, ...] = ()


def compile_density(built: Built) -> Density:
    """Compile log-density, gradient and constraining transform of a model.

    Parameters
    ----------
    built : Built
        The model.

    Returns
    -------
    Density
        Functions of one vector.
    """
    slots = Slots({p.name: p.shape(built.design.coords) for p in built.parameters})
    free = Unconstrained(built.parameters, slots)
    correlated = [p.name for p in built.parameters if p.is_correlation]

    def constrain(x: Array) -> dict[str, Array]:
        found = slots.named(np.stack([free(one[: free.size])[1] for one in x]))
        return found | {name: found[name] @ np.swapaxes(found[name], 1, 2) for name in correlated}

    if built.explicit:  # functions are sampled: there is no integral
        _LOG.info("the explicit route: %s; functions are sampled", _why(built))
        latents = explicit.Latents.of(built.design, slots.where)
        start = np.concatenate([free.start, np.zeros(latents.size)])
        correlated_factors = free.positions("Omega_x") if len(built.design.item_factors) > 1 else ()
        residuals = [at for name in _RESIDUALS for at in free.positions(name)]
        density = explicit.density(free, slots, built.design)
        return Density(
            len(start),
            density,
            constrain,
            start,
            free.scaled,
            (*free.positions("Omega"), *free.positions("g"), *correlated_factors, *residuals),
        )
    reason = persons(built.design, slots.shapes)
    if reason is None:
        _LOG.info("people enter by sums of cross-products: they differ in data and in what is missing")
        density = _with_sums(free, Sums(built.design, slots))
    else:
        _LOG.debug("people enter one by one: %s", reason)
        if stands_beside(built.design, slots.where):
            _LOG.info(
                "the marginal route: the outcome is %s, and its predictor one more function of one indicator",
                built.design.outcome_family.replace("_", " "),
            )
        density = _one_by_one(free, slots, built.design, fine=built.fine)
    return Density(free.size, density, constrain, free.start, free.scaled)


def _why(built: Built) -> str:
    """Say why functions are sampled: as asked, by what items measure, or by an outcome."""
    spec, design = built.spec, built.design
    if spec.route == "explicit":
        return "as the spec asks"
    if not spec.separable:
        return "items measure several functions at once"
    if spec.explicit:
        return "images are linear in functions that are not Gaussian"
    family = design.outcome_family.replace("_", " ")
    said = f"the outcome is {family}, which goes with all functions at once, and with "
    if design.outcome_family == n.HURDLE:
        return f"{said}two predictors"
    return f"{said}more than {MOST_BESIDE} of them the integral has too many axes"


def unconstrained(built: Built, theta: dict[str, Array]) -> Array:
    """Return the vectors [draw, size] whose parameters these are, the inverse of `Density.constrain`.

    Parameters
    ----------
    built : Built
        The model, its functions integrated out.
    theta : dict of str to numpy.ndarray
        Draws [draw, ...] by parameter; a correlation matrix as its Cholesky factor.
    """
    slots = Slots({p.name: p.shape(built.design.coords) for p in built.parameters})
    free = Unconstrained(built.parameters, slots)
    return np.stack([free.invert(one) for one in slots.joined(theta)])


def likelihood_of(built: Built, people: Array) -> ValueAndGradient:
    """Return the log-likelihood of some people of a model, their functions integrated out.

    Parameters
    ----------
    built : Built
        The model, of everybody.
    people : numpy.ndarray
        Their positions.

    Returns
    -------
    callable
        From the model's vector to the value and its gradient, without priors.
    """
    slots = Slots({p.name: p.shape(built.design.coords) for p in built.parameters})
    free = Unconstrained(built.parameters, slots)
    density, none = _one_by_one(free, slots, few(built.design, people), fine=built.fine), np.zeros(slots.size)

    def value_and_gradient(x: Array) -> tuple[float, Array]:
        value, gradient = density(x)
        log_prior, _, to_x = free(x)
        return value - log_prior, gradient - to_x(none)

    return value_and_gradient


def _one_by_one(free: Unconstrained, slots: Slots, design: Design, *, fine: bool) -> ValueAndGradient:
    if stands_beside(design, slots.where):
        return _with_outcome(free, slots, design, fine=fine)
    if not design.coords[n.INDICATOR]:
        return _with_people(free, slots, design)
    grid = grid_settings(len(design.plain_of), fine=fine, skewed="epsilon" in slots.where)
    return _with_kernel(free, slots, design, grid=grid)


def _with_sums(free: Unconstrained, sums: Sums) -> ValueAndGradient:
    @np.errstate(all="ignore")
    def value_and_gradient(x: Array) -> tuple[float, Array]:
        log_prior, theta, to_x = free(x)
        value, slope = sums.value_and_gradient(theta)
        return log_prior + value, to_x(slope)

    return value_and_gradient


def _with_people(free: Unconstrained, slots: Slots, design: Design) -> ValueAndGradient:
    """Return the density of people whose data are all Gaussian."""
    people, none = compile_people(design, slots), np.zeros(0)
    ones = np.ones(len(design.diagnosis))

    @np.errstate(all="ignore")
    def value_and_gradient(x: Array) -> tuple[float, Array]:
        log_prior, theta, to_x = free(x)
        part, to_theta = people(theta)
        mean, covariance = moments(part.matrix)
        point = np.concatenate([mean, -np.ones((len(mean), 1))], axis=1)
        by_matrix = -0.5 * point[:, :, None] * point[:, None, :]
        by_matrix[:, :-1, :-1] -= 0.5 * covariance
        value = log_prior + float((part.constant + integrate_gaussian(part.matrix)).sum())
        table = np.zeros((0, part.upper.shape[1]))
        return value, to_x(to_theta(Part(ones, by_matrix, table, table, table, none, none)))

    return value_and_gradient


def _with_outcome(free: Unconstrained, slots: Slots, design: Design, *, fine: bool) -> ValueAndGradient:
    """Return the density of items and, beside them, an outcome that is not Gaussian."""
    grid = grid_beside(len(design.plain_of)) | ({"testlet_nodes": FINE_TESTLET_NODES} if fine else {})
    arrangement = arrangement_of(design, grid, beside=True)
    answers, outcome = Answers(design), Beside(design, slots)
    people = compile_people(design, slots)
    ones = np.ones(len(design.diagnosis))

    @np.errstate(all="ignore")
    def value_and_gradient(x: Array) -> tuple[float, Array]:
        log_prior, theta, to_x = free(x)
        part, to_theta = people(theta)
        if part.predictor is None:
            raise ValueError("the model has no outcome that stands beside its items")
        whole, constant, row = extend(part.matrix, part.predictor)
        upper, lower = answers.constants(part)
        own, said = outcome.at(theta)
        value, d_whole, d_upper, d_lower, d_loading, d_gamma, d_power = kernel_raised(
            whole,
            np.concatenate([upper, own.upper[:, None]], axis=1),
            np.concatenate([lower, own.lower[:, None]], axis=1),
            np.append(part.loading, 1.0),
            part.gamma,
            arrangement,
            own.tail,
        )
        counts = answers.counts
        total = log_prior + said + (part.constant + constant + value).sum() + (counts * part.log_gap).sum()
        d_matrix, back = extend_back(d_whole, row, part.predictor)
        by_items = np.ascontiguousarray(d_upper[:, :-1]), np.ascontiguousarray(d_lower[:, :-1])
        by_upper, by_lower, by_shift = answers.back(part, (upper, lower), by_items)
        by = Part(ones, d_matrix, by_upper, by_lower, counts, d_loading[:-1], d_gamma,
                  shift=by_shift, predictor=back)  # fmt: skip
        by_own = outcome.back(theta, Indicator(d_upper[:, -1], d_lower[:, -1], d_power))
        return float(total), to_x(to_theta(by) + by_own)

    return value_and_gradient


def _with_kernel(
    free: Unconstrained, slots: Slots, design: Design, *, grid: dict[str, Any]
) -> ValueAndGradient:
    patterns, answers = Patterns(design, arrangement_of(design, grid)), Answers(design)
    people = compile_people(design, slots)
    ones = np.ones(len(design.diagnosis))

    @np.errstate(all="ignore")  # a trajectory may end where nothing is finite: the sampler sees it
    def value_and_gradient(x: Array) -> tuple[float, Array]:
        log_prior, theta, to_x = free(x)
        part, to_theta = people(theta)
        constants = answers.constants(part)
        found = patterns.value_and_gradient(part, *constants)
        value, d_matrix, d_upper, d_lower, d_loading, d_gamma, d_shape = found
        counts = answers.counts
        total = log_prior + part.constant.sum() + (counts * part.log_gap).sum() + value.sum()
        by_upper, by_lower, by_shift = answers.back(part, constants, (d_upper, d_lower))
        by = Part(ones, d_matrix, by_upper, by_lower, counts, d_loading, d_gamma,
                  shift=by_shift, shape=d_shape)  # fmt: skip
        return float(total), to_x(to_theta(by))

    return value_and_gradient
