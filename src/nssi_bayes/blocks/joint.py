"""The joint model of one person's data: the blocks put together, the person integrated out.

Given the parameters, factors x*, residual factors and functions of a person are jointly Gaussian;
Gaussian data (factor scores, activation, outcome) fold into that in closed form, and the ordinal
items are integrated by quadrature over what they measure, the axes: the functions and, before them,
factors with items of their own, whose items are data of the block ``factors``. One function serves the
sampler, the pointwise scores and their blocks, and new people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks import (
    connectivity,
    continuous,
    factors,
    groups,
    measurement,
    neural,
    outcomes,
    structure,
)  # fmt: skip
from nssi_bayes.blocks.beside import FLOOR, NEWTON_BESIDE, grid_beside, stands_beside
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.parameter import Parameter
from nssi_bayes.blocks.predicted import is_curved
from nssi_bayes.integrate import quadrature, sinh_arcsinh
from nssi_bayes.integrate.gaussian import LOG_2PI, Quadratic, add, eliminate, log_integral
from nssi_bayes.integrate.gaussian import moments as gaussian_moments
from nssi_bayes.spec import JointSpec, Prior

__all__ = [
    "BLOCKS",
    "blocks_of",
    "counted",
    "factors_given",
    "given_axes",
    "log_joint",
    "log_likelihood",
    "parameters",
    "person_moments",
    "predictor",
]

BLOCKS: Final = ("factors", "items", "activation", "connectivity", "outcome")
"""Blocks of a person's data, in the order in which they are conditioned on each other."""

type Theta = dict[str, Any]


def parameters(spec: JointSpec, design: Design, priors: dict[str, Prior]) -> list[Parameter]:
    """Declare every parameter of a joint model, scales before what they scale."""
    return [
        *structure.parameters(spec, design, priors),
        *groups.parameters(spec, design, priors),
        *factors.parameters(design, priors),
        *measurement.parameters(spec, design, priors),
        *continuous.parameters(spec, design, priors),
        *neural.parameters(spec, design, priors),
        *connectivity.parameters(spec, design, priors),
        *outcomes.parameters(spec, design, priors),
    ]


def blocks_of(design: Design) -> list[str]:
    """Return the blocks that the model observes, in order."""
    has = {
        "factors": bool(design.coords[n.FACTOR]),
        "items": True,
        "activation": len(design.scanned) > 0,
        "connectivity": len(design.connected) > 0,
        "outcome": bool(design.outcome_seen.any()),
    }
    return [block for block in BLOCKS if has[block]]


def counted(design: Design, include: Iterable[str]) -> np.ndarray[Any, Any]:
    """Return 1 for each indicator whose block counts, else 0: items of a factor are of ``factors``."""
    include = set(include)
    of_factors = design.function_of < len(design.item_factors)
    return np.where(of_factors, "factors" in include, "items" in include).astype(float)


def functions_given(
    theta: Theta, design: Design, include: Iterable[str], *, keep_factors: bool = False
) -> Quadratic:
    """Return the density of each person's axes and Gaussian data, factors with scores integrated out.

    Parameters
    ----------
    theta : dict of str to array
        One value of every parameter.
    design : Design
        The data.
    include : iterable of str
        Blocks whose data count; the others are as if missing.
    keep_factors : bool
        Whether factors with scores stay, too.

    Returns
    -------
    Quadratic
        Over the axes (factors with items, functions), or over all factors and functions and, before them,
        residual factors of activation on which the outcome loads.
    """
    include = set(include)
    whole = (groups if design.coords[n.GROUP] else structure).quadratic(theta, design)
    if design.coords[n.FACTOR]:
        whole = add(whole, factors.quadratic(theta, design))
        if "factors" in include:
            whole = add(whole, factors.observed(design))
    if "items" in include and design.coords[n.SCORE]:
        whole = add(whole, continuous.observed(theta, design))
    residual = neural.shared(theta, design)
    if residual:
        whole = _behind_residual(whole, residual)
    if "outcome" in include and "sigma_outcome" in theta:
        whole = add(whole, outcomes.observed(theta, design))
    images = {"activation": (neural, design.scanned), "connectivity": (connectivity, design.connected)}
    seen = [own for name, own in images.items() if name in include and len(own[1])]
    apart = "epsilon" in theta and bool(seen)
    if apart:
        whole = _among(whole, design, 0)
    for block, who in seen:
        scans = block.observed(theta, design)
        if residual and block is connectivity:
            scans = _behind(scans, residual)
        if apart:
            scans = _among(scans, design, 1)
        whole = Quadratic(whole.matrix.at[who].add(scans.matrix), whole.constant.at[who].add(scans.constant))
    return eliminate(whole, 0 if keep_factors else residual + len(design.scored_factors))


def _behind(form: Quadratic, residual: int) -> Quadratic:
    """Put a form over (factors, functions) behind residual factors of which it says nothing."""
    size = form.matrix.shape[1] + residual
    matrix = jnp.zeros((len(form.matrix), size, size)).at[:, residual:, residual:].set(form.matrix)
    return Quadratic(matrix, form.constant)


def _behind_residual(form: Quadratic, residual: int) -> Quadratic:
    """Put a form over (factors, functions) behind residual factors, which are standard normal."""
    found, own = _behind(form, residual), np.arange(residual)
    return Quadratic(found.matrix.at[:, own, own].set(1.0), found.constant - 0.5 * residual * LOG_2PI)


def _among(form: Quadratic, design: Design, which: int) -> Quadratic:
    """Put a form over (factors, functions) among factors, what is Gaussian, and functions skewed from it."""
    functions, factors = (len(design.coords[d]) for d in (n.FUNCTION, n.FACTOR))
    own = sinh_arcsinh.places(factors, functions)[which]
    matrix = jnp.zeros((len(form.matrix), own[-1] + 1, own[-1] + 1))
    return Quadratic(matrix.at[:, own[:, None], own].set(form.matrix), form.constant)


def factors_given(
    theta: Theta, design: Design, *, include: Iterable[str] = ("factors",)
) -> tuple[Any, Any, Any]:
    """Return what axes and Gaussian data say of each person's true factors, of those with scores.

    Parameters
    ----------
    theta : dict of str to array
        One value of every parameter.
    design : Design
        The data, with factors.
    include : iterable of str
        Blocks whose data count.

    Returns
    -------
    tuple of array
        Mean where all axes are 0 [`participant`, scored factor], its change with the axes
        [`participant`, scored factor, axis], and covariance [`participant`, scored factor, scored factor].
    """
    mean, onto, covariance = given_axes(theta, design, include)
    first = neural.shared(theta, design)
    return mean[:, first:], onto[:, first:], covariance[:, first:, first:]


def given_axes(theta: Theta, design: Design, include: Iterable[str]) -> tuple[Any, Any, Any]:
    """Return the same of residual factors that the outcome loads on, too, and factors with scores.

    Parameters
    ----------
    theta : dict of str to array
        One value of every parameter.
    design : Design
        The data.
    include : iterable of str
        Blocks whose data count.

    Returns
    -------
    tuple of array
        As `factors_given`, residual factors first.
    """
    matrix = functions_given(theta, design, include, keep_factors=True).matrix
    count = neural.shared(theta, design) + len(design.scored_factors)
    covariance = jnp.linalg.inv(matrix[:, :count, :count])
    mean = (covariance @ matrix[:, :count, -1:])[..., 0]
    return mean, -covariance @ matrix[:, :count, count:-1], covariance


def log_likelihood(
    theta: Theta, design: Design, grid: quadrature.Grid, *, include: Sequence[str] = BLOCKS
) -> Any:
    """Return log p(data of person i in the blocks | theta), the person integrated out.

    Parameters
    ----------
    theta : dict of str to array
        One value of every parameter.
    design : Design
        The data.
    grid : Grid
        Of the quadrature.
    include : sequence of str
        Blocks whose data count.

    Returns
    -------
    array
        [`participant`], nats.

    Raises
    ------
    ValueError
        If the outcome is not Gaussian and stands beside too many functions or not all other data, or
        images beside functions that are skewed; `marginal.evaluate` integrates them.
    """
    if is_curved(design, theta) and "outcome" in include:
        return _beside(theta, design, include)
    prior = functions_given(theta, design, include)
    if prior.matrix.shape[1] > grid.functions + 1:
        raise ValueError("images are not Gaussian beside functions that are skewed")
    count = counted(design, include)
    if not count.any():
        return log_integral(prior)
    items = measurement.Items(theta, design, counted=count, testlet_nodes=grid.testlet_nodes)
    return quadrature.integrate(prior, items, grid) + items.log_gap


@dataclass(frozen=True)
class _WithOutcome:
    """Items, and an outcome as the one indicator of one function more."""

    items: measurement.Items
    outcome: Callable[[Any], Any]

    @property
    def steepest(self) -> Any:
        found = self.items.steepest
        return jnp.concatenate([found, jnp.ones_like(found[:, :1])], axis=1)

    def curve(self, function: int, points: Any) -> Any:
        if function < len(self.items.design.plain_of):
            return self.items.curve(function, points)
        return jax.vmap(self.outcome, 1, 1)(points)

    def slope(self, points: Any) -> tuple[Any, Any]:
        def first_of(mu: Any) -> Any:
            return jax.grad(lambda v: self.outcome(v).sum())(mu)

        mu = points[:, -1]
        first, second = jax.jvp(first_of, (mu,), (jnp.ones_like(mu),))
        both = zip(self.items.slope(points[:, :-1]), (first[:, None], -second[:, None]), strict=True)
        first, second = (jnp.concatenate(pair, axis=1) for pair in both)
        return first, second


def _beside(theta: Theta, design: Design, include: Sequence[str]) -> Any:
    """Integrate an outcome as the one indicator of one function more."""
    if not stands_beside(design, theta) or not set(blocks_of(design)) <= set(include):
        raise ValueError("an outcome that is not Gaussian does not separate by function")
    prior, items = functions_given(theta, design, include), measurement.Items(theta, design)
    functions, people = len(design.coords[n.FUNCTION]), len(design.diagnosis)
    origin = jnp.zeros((people, functions))
    mean, spread = predictor(theta, design, origin)
    own = [predictor(theta, design, origin.at[:, f].set(1.0))[0] - mean for f in range(functions)]
    row = jnp.stack([*(-one[0] for one in own), jnp.ones(people), mean[0]], axis=1)
    variance = FLOOR + (spread[0] ** 2).sum(axis=0)
    keep = np.r_[:functions, functions + 1]
    whole = row[:, :, None] * row[:, None, :] / variance[:, None, None]
    whole = whole.at[:, keep[:, None], keep].add(prior.matrix)

    def outcome(mu: Any) -> Any:
        return outcomes.log_probability(theta, design, mu[None])

    joined = Quadratic(whole, prior.constant - 0.5 * (jnp.log(variance) + LOG_2PI))
    grid = quadrature.make_grid(functions + 1, **grid_beside(functions))
    both = _WithOutcome(items, outcome)
    return quadrature.integrate(joined, both, grid, newton=NEWTON_BESIDE) + items.log_gap


def person_moments(theta: Theta, design: Design, grid: quadrature.Grid) -> quadrature.Moments:
    """Return mean and covariance of each person's axes given all of the person's data.

    Of functions that are skewed, those of what is Gaussian; `marginal.evaluate` has their own.
    """
    prior = functions_given(theta, design, BLOCKS)
    if not design.coords[n.INDICATOR]:
        return quadrature.Moments(log_integral(prior), *gaussian_moments(prior.matrix))
    items = measurement.Items(theta, design, testlet_nodes=grid.testlet_nodes)
    found = quadrature.moments(prior, items, grid)
    return found._replace(log_integral=found.log_integral + items.log_gap)


def predictor(theta: Theta, design: Design, eta: Any) -> tuple[Any, Any]:
    """Return the outcome's predictors given the functions and all Gaussian data.

    Parameters
    ----------
    theta : dict of str to array
        One value of every parameter.
    design : Design
        The data.
    eta : array
        Functions [`participant`, `function`].

    Returns
    -------
    tuple of array
        Mean [predictor, `participant`] and loadings on standard normal rests [predictor, rest,
        `participant`]: of one predictor its sd, of a single factor with the sign of its slope; of two as
        many as there are factors.
    """
    said = outcomes.linear(theta, design)
    slope = said.with_residual
    count = slope.shape[1]
    own = jnp.broadcast_to(said.own, (len(eta), len(slope), eta.shape[1]))
    mean = (said.mean + jnp.einsum("ikf,if->ik", own, eta)).T
    if not count:
        return mean, jnp.zeros((len(mean), 0, len(eta)))
    constant, onto, left = given_axes(theta, design, BLOCKS)
    factor = constant + (onto @ eta[:, :, None])[:, :, 0]
    if len(mean) > 1:
        spread = jnp.einsum("kp,ipr->kri", slope, jnp.linalg.cholesky(left))
    else:
        sign = jnp.where(slope[0, 0] < 0, -1.0, 1.0) if count == 1 else 1.0
        spread = sign * jnp.sqrt(jnp.einsum("kp,ipr,kr->ki", slope, left, slope))[:, None]
    return mean + slope @ factor.T, spread


def log_joint(theta: Theta, design: Design, eta: Any, *, testlet: Any = None, rest: Any = None) -> Any:
    """Return log p(data of person i, eta_i | theta): the explicit route, nothing of eta integrated.

    Parameters
    ----------
    theta : dict of str to array
        One value of every parameter.
    design : Design
        The data.
    eta : array
        Axes [`participant`, axis], residual sd: factors with items, and functions.
    testlet : array, optional
        Residual factors of items [`participant`, `testlet`], which are part of the density then; they
        are integrated out otherwise, which needs items of one function each.
    rest : array, optional
        What factors that are integrated out leave of the predictors of an outcome that is not Gaussian,
        standard normal [`participant`, rest]: part of the density then.

    Returns
    -------
    array
        [`participant`], nats.
    """
    prior = functions_given(theta, design, BLOCKS)
    both = [eta]
    if prior.matrix.shape[1] > eta.shape[1] + 1:
        shape = sinh_arcsinh.shape_of(theta["epsilon"], theta["tailweight"], xp=jnp)
        both.append(sinh_arcsinh.transform(eta, shape, xp=jnp))
    whole = jnp.concatenate([*both, -jnp.ones_like(eta[:, :1])], axis=1)
    quadratic = (whole[:, None, :] @ prior.matrix @ whole[:, :, None])[:, 0, 0]
    gaussian = prior.constant - 0.5 * quadratic
    if rest is not None:
        mean, spread = predictor(theta, design, eta)
        mu = mean + jnp.einsum("kri,ir->ki", spread, rest)
        gaussian = gaussian + outcomes.log_probability(theta, design, mu)
        gaussian = gaussian - 0.5 * (rest**2 + LOG_2PI).sum(axis=1)
    if not design.coords[n.INDICATOR]:
        return gaussian
    items = measurement.Items(theta, design)
    if testlet is not None:
        own = -0.5 * (testlet**2 + LOG_2PI).sum(axis=1)
        return gaussian + items.jointly(eta, testlet) + own + items.log_gap
    curves = sum(items.curve(f, eta[:, [f]])[:, 0] for f in range(eta.shape[1]))
    return gaussian + curves + items.log_gap
