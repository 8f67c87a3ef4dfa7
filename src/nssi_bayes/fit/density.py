"""The log-density of a model and its gradient, as functions of one unconstrained vector.

Priors and transforms are those of the PyMC model, all parameters of a family at once
(`unconstrained`); a person's Gaussian data are folded in by compiled loops (`blocks.compiled`), and
the integral over the functions is the kernel's. `reference` is the same density as the PyMC model
states it; this form compiles once for all models (what it costs: docs/sampler.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nssi_bayes.blocks.answers import Answers
from nssi_bayes.blocks.compiled import Part, Slots, compile_people
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.marginal import arrangement_of, grid_settings
from nssi_bayes.build import Built
from nssi_bayes.fit import explicit
from nssi_bayes.fit.unconstrained import Unconstrained
from nssi_bayes.integrate.kernel import value_and_gradient as kernel

__all__ = ["Density", "compile_density"]

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
    scaled : list of tuple
        For each element of a scale parameter: its position in the vector, and the positions of
        the standardised coordinates that it multiplies.
    """

    size: int
    value_and_gradient: ValueAndGradient
    constrain: Callable[[Array], dict[str, Array]]
    start: Array
    scaled: list[tuple[int, Array]]


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
    correlated = [p.name for p in built.parameters if p.family == "lkj"]

    def constrain(x: Array) -> dict[str, Array]:
        found = slots.named(np.stack([free(one[: free.size])[1] for one in x]))
        return found | {name: found[name] @ np.swapaxes(found[name], 1, 2) for name in correlated}

    if built.spec.explicit:  # functions are sampled: there is no integral
        latents = explicit.Latents.of(built.design)
        start = np.concatenate([free.start, np.zeros(latents.size)])
        return Density(len(start), explicit.density(free, slots, built.design), constrain, start, free.scaled)
    density = _with_kernel(free, slots, built.design)
    return Density(free.size, density, constrain, free.start, free.scaled)


def _with_kernel(free: Unconstrained, slots: Slots, design: Design) -> ValueAndGradient:
    grid = grid_settings(len(design.plain_of))
    arrangement, answers = arrangement_of(design, grid), Answers(design)
    people = compile_people(design, slots)
    ones = np.ones(len(design.diagnosis))

    @np.errstate(all="ignore")  # a trajectory may end where nothing is finite: the sampler sees it
    def value_and_gradient(x: Array) -> tuple[float, Array]:
        log_prior, theta, to_x = free(x)
        part, to_theta = people(theta)
        constants = answers.constants(part)
        value, d_matrix, d_upper, d_lower, d_loading, d_gamma = kernel(
            part.matrix, *constants, part.loading, part.gamma, arrangement
        )
        counts = answers.counts
        total = log_prior + part.constant.sum() + (counts * part.log_gap).sum() + value.sum()
        by_upper, by_lower, by_shift = answers.back(part, constants, (d_upper, d_lower))
        by = Part(ones, d_matrix, by_upper, by_lower, counts, d_loading, d_gamma, shift=by_shift)
        return float(total), to_x(to_theta(by))

    return value_and_gradient
