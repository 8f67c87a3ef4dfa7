"""The person's likelihood as it is computed in bulk, the same numbers as `joint.log_likelihood`.

`compiled` makes what the kernel takes, and `evaluate` puts both together for many draws.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks import measurement
from nssi_bayes.blocks.compiled import Part, Slots, compile_people
from nssi_bayes.blocks.design import Design
from nssi_bayes.integrate import jointly, quadrature
from nssi_bayes.integrate.gaussian import LOG_2PI
from nssi_bayes.integrate.kernel import Arrangement, arrange, value_and_moments
from nssi_bayes.integrate.quadrature import Moments

__all__ = [
    "all_loadings",
    "arrangement_of",
    "biased",
    "evaluate",
    "grid_settings",
    "places_of",
    "unbiased",
]

type Array = np.ndarray[Any, Any]


def grid_settings(functions: int, *, fine: bool = False) -> dict[str, Any]:
    """Return the settings of `quadrature.make_grid`.

    Five nodes an axis are enough for loadings up to about 3. Items that are steeper need more, and
    where there are one or two functions 64 nodes cost less than the 125 of three.

    Parameters
    ----------
    functions : int
        Number of functions.
    fine : bool
        For scores, which are differences of small numbers; else for the sampler.

    Returns
    -------
    dict
        Its keyword arguments.
    """
    if functions <= 2:
        return {"order": 8, "curve_nodes": 17}
    return {"order": 7, "curve_nodes": 15} if fine else {"order": 5, "curve_nodes": 11}


def places_of(design: Design) -> Array:
    """Return where in a raveled table each response stands [`participant`, `indicator`]."""
    response = np.asarray(design.response)
    return response + np.arange(response.shape[1]) * (max(design.category_groups) + 1)


def all_loadings(part: Part, design: Design) -> Array:
    """Return the loadings on every function [`indicator`, `function`]."""
    found = np.zeros((len(part.loading), len(design.coords[n.FUNCTION])))
    found[np.arange(len(part.loading)), design.function_of] = part.loading
    if part.further is not None:
        found[design.further_indicator, design.further_function] = part.further
    return found


def biased(part: Part, places: Array, design: Design) -> tuple[Array, Array, Array | None]:
    """Return U and V of every response, moved by bias, and the odds that moved them.

    Parameters
    ----------
    part : Part
        From `compile_people`.
    places : numpy.ndarray
        From `places_of`.
    design : Design
        Which indicators are biased.

    Returns
    -------
    tuple
        U and V [`participant`, `indicator`]; odds [`participant`, biased indicator], or None.
    """
    upper, lower = part.upper.ravel()[places], part.lower.ravel()[places]
    if part.shift is None:
        return upper, lower, None
    odds = np.exp(part.shift)
    upper[:, design.biased] *= odds
    lower[:, design.biased] /= odds
    return upper, lower, odds


def unbiased(
    by_upper: Array, by_lower: Array, upper: Array, lower: Array, odds: Array | None, design: Design
) -> tuple[Array, Array, Array | None]:
    """Pull derivatives by U and V back to those without bias, and to the shifts."""
    if odds is None:
        return by_upper, by_lower, None
    moved = design.biased
    by_shift = by_upper[:, moved] * upper[:, moved] - by_lower[:, moved] * lower[:, moved]
    by_upper[:, moved] *= odds
    by_lower[:, moved] /= odds
    return by_upper, by_lower, by_shift


def arrangement_of(design: Design, grid: dict[str, Any]) -> Arrangement:
    """Return the kernel's constants for a design and the settings of a grid."""
    return arrange(
        design.function_of,
        design.testlet_of,
        grid=quadrature.make_grid(len(design.plain_of), **grid),
        testlet_nodes=measurement.TESTLET_NODES,
        position_nodes=measurement.POSITION_NODES,
    )


def evaluate(
    theta: dict[str, Array],
    design: Design,
    *,
    include: Sequence[str],
    grid: dict[str, Any],
    moments: bool = True,
) -> Moments:
    """Return log-likelihood and moments of every person at many draws of the parameters.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter.
    design : Design
        The data.
    include : sequence of str
        Blocks whose data count. Without items there are no moments, and they are NaN.
    grid : dict
        From `grid_settings`.
    moments : bool
        Whether mean and covariance are wanted; they are NaN otherwise, too.

    Returns
    -------
    Moments
        Log-likelihood [sample, `participant`], mean and covariance of the functions.
    """
    slots = Slots({name: np.shape(draws)[1:] for name, draws in theta.items()})
    vectors = slots.joined(theta)
    people, functions = design.diagnosis.shape[0], len(design.plain_of)
    found = Moments(
        np.empty((len(vectors), people)),
        np.full((len(vectors), people, functions), np.nan),
        np.full((len(vectors), people, functions, functions), np.nan),
    )
    part_of = compile_people(design, slots, include=include)
    places = places_of(design)
    integrate = _integrator(design, grid, moments=moments)

    def fill(s: int) -> None:
        part, _ = part_of(vectors[s])
        if "items" not in include:
            found.log_integral[s] = part.constant + _log_integral(part.matrix)
            return
        upper, lower, _ = biased(part, places, design)
        value, mean, covariance = integrate(part, upper, lower)
        found.log_integral[s] = part.constant + part.log_gap.ravel()[places].sum(axis=1) + value
        if moments:
            found.mean[s], found.covariance[s] = mean, covariance

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(fill, range(len(vectors))))
    return found


def _integrator(
    design: Design, grid: dict[str, Any], *, moments: bool
) -> Callable[[Part, Array, Array], tuple[Array, Array, Array]]:
    """Return what integrates items over the functions: by function, or jointly where they share items."""
    if design.further_indicator is not None:
        nodes = jointly.make_nodes(quadrature.make_grid(len(design.plain_of), **grid))
        rule = quadrature.normal_rule(measurement.FINE_TESTLET_NODES)

        def jointly_integrated(part: Part, upper: Array, lower: Array) -> tuple[Array, Array, Array]:
            loading = all_loadings(part, design)
            items = jointly.Items(upper, lower, loading, part.gamma, design.testlet_of, *rule)
            return jointly.integrate(part.matrix, items, *nodes)

        return jointly_integrated
    arrangement = arrangement_of(design, grid)

    def by_function(part: Part, upper: Array, lower: Array) -> tuple[Array, Array, Array]:
        value, d_matrix = value_and_moments(
            part.matrix, upper, lower, part.loading, part.gamma, arrangement, moments=moments
        )
        second = -2 * d_matrix  # E[u u'] of u = (functions, -1)
        mean = -second[:, :-1, -1]
        return value, mean, second[:, :-1, :-1] - mean[:, :, None] * mean[:, None, :]

    return by_function


def _log_integral(matrix: Array) -> Array:
    """Integrate exp(-u'Mu/2), u = (functions, -1), over the functions [`participant`]."""
    precision, information = matrix[:, :-1, :-1], matrix[:, :-1, -1]
    fitted = np.linalg.solve(precision, information[:, :, None])[:, :, 0]
    constant = precision.shape[1] * LOG_2PI - np.linalg.slogdet(precision)[1]
    return 0.5 * (constant + (information * fitted).sum(axis=1) - matrix[:, -1, -1])
