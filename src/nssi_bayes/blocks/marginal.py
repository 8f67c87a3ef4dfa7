"""The person's likelihood as it is computed in bulk, the same numbers as `joint.log_likelihood`.

`compiled` makes what the kernel takes, and `evaluate` puts both together for many draws. Where all
indicators are continuous there is no integral left to approximate, and no kernel is compiled; where
people differ in nothing but data and what is missing, `sums` needs not even the people.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from nssi_bayes.blocks import joint, measurement
from nssi_bayes.blocks.answers import Answers, all_loadings
from nssi_bayes.blocks.beside import NEWTON_BESIDE
from nssi_bayes.blocks.compiled import Part, People, compile_people
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.patterns import Patterns
from nssi_bayes.blocks.predicted import Observed, is_curved, on_axes
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.blocks.sums import Sums, persons
from nssi_bayes.integrate import jointly, quadrature
from nssi_bayes.integrate.curve import Curve
from nssi_bayes.integrate.gaussian import LOG_2PI
from nssi_bayes.integrate.gaussian import moments as gaussian_moments
from nssi_bayes.integrate.kernel import Arrangement, arrange
from nssi_bayes.integrate.quadrature import Moments

__all__ = [
    "arrangement_of",
    "evaluate",
    "grid_settings",
    "integrate_gaussian",
    "of_functions",
]

_SKEWED_ORDER: Final = {1: 15, 2: 15, 3: 9}
"""Nodes an axis for scores of so many skewed functions, more than the sampler's."""

type Array = np.ndarray[Any, Any]


def grid_settings(functions: int, *, fine: bool = False, skewed: bool = False) -> dict[str, Any]:
    """Return the settings of `quadrature.make_grid`.

    Five nodes an axis are enough for loadings up to about 3. Items that are steeper need more, and
    where there are one or two functions 64 nodes cost less than the 125 of three.

    Parameters
    ----------
    functions : int
        Number of functions and of factors that items measure: the axes.
    fine : bool
        For scores, which are differences of small numbers; else for the sampler.
    skewed : bool
        Whether functions are skewed, and integrands farther from Gaussian: of three functions the error of
        40 people's sum has an sd over draws of .2 nats with five nodes an axis, of .06 with seven.

    Returns
    -------
    dict
        Its keyword arguments.
    """
    if skewed and functions <= 2:
        found = {"order": 12, "curve_nodes": 25}
    elif functions <= 2 or (skewed and fine):
        found = {"order": 8, "curve_nodes": 17}
    else:
        found = {"order": 7, "curve_nodes": 15} if fine or skewed else {"order": 5, "curve_nodes": 11}
    return found | ({"testlet_nodes": measurement.FINE_TESTLET_NODES} if fine else {})


def arrangement_of(design: Design, grid: dict[str, Any], *, beside: bool = False) -> Arrangement:
    """Return the kernel's constants for a design and the settings of a grid.

    With `beside` an outcome stands behind the items, and measures one function more.
    """
    functions = len(design.axes)
    points = quadrature.make_grid(functions + beside, **grid)
    found = arrange(
        np.append(design.function_of, functions) if beside else design.function_of,
        np.append(design.testlet_of, -1) if beside else design.testlet_of,
        grid=points,
        testlet_nodes=points.testlet_nodes,
        position_nodes=measurement.POSITION_NODES,
    )
    if not beside:
        return found
    return found._replace(newton_steps=NEWTON_BESIDE.steps, largest_step=NEWTON_BESIDE.largest, raised=True)


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
        Blocks whose data count.
    grid : dict
        From `grid_settings`.
    moments : bool
        Whether mean and covariance are wanted; they are NaN otherwise, too.

    Returns
    -------
    Moments
        Log-likelihood [sample, `participant`], mean and covariance of the axes: of the functions and, before
        them, factors with items (`of_functions` takes the functions alone).
    """
    slots = Slots({name: np.shape(draws)[1:] for name, draws in theta.items()})
    vectors = slots.joined(theta)
    people, functions = design.diagnosis.shape[0], len(design.plain_of)
    found = _unknown((len(vectors), people, functions, functions), moments=moments)
    if persons(design, slots.shapes) is None:
        _by_sums(Sums(design, slots, include=include), vectors, found, moments=moments)
        return found
    part_of = compile_people(design, slots, include=include)
    curved, skewed = "outcome" in include and is_curved(design, slots.where), "epsilon" in theta
    count = joint.counted(design, include)
    alone = not count.any()
    if alone and not curved and not (skewed and moments):
        _in_closed_form(part_of, vectors, found, moments=moments)
        return found
    answers = Answers(design)
    observed = Observed(design) if curved else None
    integrate = _integrator(design, grid, observed, skewed=skewed, moments=moments)

    def fill(s: int) -> None:
        part, _ = part_of(vectors[s])
        curves = [] if observed is None else observed.curves(slots.named(vectors[s]))
        upper, lower = answers.constants(part)
        value, mean, covariance = integrate(part, count * upper, count * lower, curves)
        found.log_integral[s] = part.constant + answers.log_gap(part, count) + value
        if moments:
            found.mean[s], found.covariance[s] = mean, covariance

    _in_parallel(fill, len(vectors))
    return found


def _unknown(shape: tuple[int, int, int, int], *, moments: bool) -> Moments:
    """Return room to be filled in; what is not wanted takes none."""
    mean, covariance = (
        np.full(s, np.nan) if moments else np.broadcast_to(np.nan, s) for s in (shape[:3], shape)
    )
    return Moments(np.empty(shape[:2]), mean, covariance)


def of_functions(moments: Moments, design: Design) -> Moments:
    """Return moments of the functions alone, without those of factors that items measure.

    Parameters
    ----------
    moments : Moments
        From `evaluate`.
    design : Design
        Of the same model.
    """
    first = len(design.item_factors)
    return moments._replace(
        mean=moments.mean[..., first:], covariance=moments.covariance[..., first:, first:]
    )


type Integrator = Callable[[Part, Array, Array, list[Curve]], tuple[Array, Array, Array]]


def _integrator(
    design: Design, grid: dict[str, Any], observed: Observed | None, *, skewed: bool, moments: bool
) -> Integrator:
    """Return what integrates over the functions: by function, or jointly where that does not do."""
    if skewed or observed is not None or design.further_indicator is not None:
        return _jointly(design, grid, skewed=skewed)
    return _by_function(design, grid, moments=moments)


def _jointly(design: Design, grid: dict[str, Any], *, skewed: bool) -> Integrator:
    """Return what integrates over all functions at once: they share data, or are skewed.

    The kernel has moments of what is Gaussian, not of what it is skewed to.
    """
    functions = len(design.plain_of)
    if skewed:
        grid = {**grid, "order": max(grid["order"], _SKEWED_ORDER.get(functions, 0))}
    points = quadrature.make_grid(functions, **grid)
    nodes = jointly.make_nodes(points)
    rule = quadrature.normal_rule(max(points.testlet_nodes, measurement.FINE_TESTLET_NODES))
    straight = np.zeros((0, 4))

    def integrate(part: Part, upper: Array, lower: Array, curves: list[Curve]) -> tuple[Array, Array, Array]:
        loading, shape = all_loadings(part, design)[0], straight if part.shape is None else part.shape
        items = jointly.Items(upper, lower, loading, part.gamma, design.testlet_of, *rule, shape)
        outcome = jointly.no_outcome(functions)
        if curves and part.predictor is not None:
            stacked = Curve(*(np.array(fields) for fields in zip(*curves, strict=True)))
            axes = on_axes(part.predictor, curves)
            outcome = jointly.Outcome(*axes, stacked, points.nodes, points.log_weights)
        found: tuple[Array, Array, Array] = jointly.integrate(part.matrix, items, outcome, *nodes)
        return found

    return integrate


def _by_function(design: Design, grid: dict[str, Any], *, moments: bool) -> Integrator:
    """Return what integrates function by function."""
    patterns = Patterns(design, arrangement_of(design, grid))

    def integrate(part: Part, upper: Array, lower: Array, _: list[Curve]) -> tuple[Array, Array, Array]:
        value, d_matrix = patterns.value_and_moments(part, upper, lower, moments=moments)
        second = -2 * d_matrix  # E[u u'] of u = (functions, -1)
        mean = -second[:, :-1, -1]
        return value, mean, second[:, :-1, :-1] - mean[:, :, None] * mean[:, None, :]

    return integrate


def _by_sums(sums: Sums, vectors: Array, found: Moments, *, moments: bool) -> None:
    def fill(s: int) -> None:
        found.log_integral[s], mean, covariance = sums.each(vectors[s])
        if moments:
            found.mean[s], found.covariance[s] = mean, covariance

    _in_parallel(fill, len(vectors))


def _in_closed_form(part_of: People, vectors: Array, found: Moments, *, moments: bool) -> None:
    def fill(s: int) -> None:
        part, _ = part_of(vectors[s])
        found.log_integral[s] = part.constant + integrate_gaussian(part.matrix)
        if moments:
            found.mean[s], found.covariance[s] = gaussian_moments(part.matrix)

    _in_parallel(fill, len(vectors))


def _in_parallel(fill: Callable[[int], None], count: int) -> None:
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(fill, range(count)))


def integrate_gaussian(matrix: Array) -> Array:
    """Integrate exp(-u'Mu/2), u = (functions, -1), over the functions [`participant`]."""
    precision, information = matrix[:, :-1, :-1], matrix[:, :-1, -1]
    fitted = np.linalg.solve(precision, information[:, :, None])[:, :, 0]
    constant = precision.shape[1] * LOG_2PI - np.linalg.slogdet(precision)[1]
    return 0.5 * (constant + (information * fitted).sum(axis=1) - matrix[:, -1, -1])
