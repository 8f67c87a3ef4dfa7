"""The log-density of a model and its gradient, as functions of one unconstrained vector.

Priors and transforms come from the PyMC model, compiled to JAX, and so does all of a person's data
that is Gaussian; the integral over the functions is the kernel's. `reference` is the same density
as the PyMC model itself states it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.model.transform.optimization import freeze_dims_and_data
from pytensor.graph import clone_replace

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.marginal import (
    GaussianPart,
    arrangement_of,
    gaussian_part,
    places_of,
    sampling_grid,
)
from nssi_bayes.build import Built
from nssi_bayes.integrate.kernel import value_and_gradient as kernel

__all__ = ["Density", "compile_density", "reference"]

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
    model = freeze_dims_and_data(built.model)
    point = model.initial_point()
    joined, pieces, start = _unpack(model, point)
    roots = [f"{p.name}_root" if p.family == "lkj" else p.name for p in built.parameters]
    names = [p.name for p in built.parameters]
    prior = _jax(model, joined, pieces, [model.logp(vars=model.free_RVs)], names=roots)
    expand = _jax(model, joined, pieces, [], names=names)
    many = jax.jit(jax.vmap(expand))

    def constrain(x: Array) -> dict[str, Array]:
        return {name: np.asarray(v) for name, v in zip(names, many(x), strict=True)}

    def gaussian(x: Any) -> Any:
        log_prior, *values = prior(x)
        theta = dict(zip(names, values, strict=True))
        part = gaussian_part(theta, built.design)
        return part._replace(constant=log_prior + part.constant.sum())

    explicit = "eta" in model.named_vars  # functions are sampled: there is no integral
    density = reference(built) if explicit else _with_kernel(gaussian, built.design, start)
    return Density(len(start), density, constrain, start, _scaled(built, model, point))


def reference(built: Built) -> ValueAndGradient:
    """Compile the density as the PyMC model states it (slower; the kernel's oracle).

    Parameters
    ----------
    built : Built
        The model.

    Returns
    -------
    callable
        Vector to log-density and gradient.
    """
    model = freeze_dims_and_data(built.model)
    joined, pieces, _ = _unpack(model, model.initial_point())
    logp = _jax(model, joined, pieces, [model.logp()], names=[])
    both = jax.jit(jax.value_and_grad(lambda x: logp(x)[0]))

    def value_and_gradient(x: Array) -> tuple[float, Array]:
        value, gradient = both(x)
        return float(value), np.asarray(gradient)

    return value_and_gradient


def _with_kernel(gaussian: Callable[[Any], GaussianPart], design: Design, start: Array) -> ValueAndGradient:
    """Put both together; one flat vector goes each way, because every array that crosses costs."""
    grid = sampling_grid(len(design.plain_of))
    arrangement, places = arrangement_of(design, grid), places_of(design)
    size = len(design.coords[n.INDICATOR]) * (max(design.category_groups) + 1)
    people, functions = design.diagnosis.shape[0], len(design.plain_of)
    indicators, gammas = places.shape[1], len(design.coords[n.TESTLET])
    counts = np.bincount(places.ravel(), minlength=size)
    edges = np.cumsum([1, people * (functions + 1) ** 2, size, size, indicators])

    def flat(x: Any) -> Any:
        constant, matrix, tables, loading, gamma = gaussian(x)
        constant = constant + counts @ tables.log_gap.ravel()
        given = (constant, matrix, tables.upper, tables.lower, loading, gamma)
        return jnp.concatenate([v.ravel() for v in given])

    forward = jax.jit(flat)
    # runs the forward part again: handing its residuals over costs more than it saves
    backward = jax.jit(lambda x, slopes: jax.vjp(flat, x)[1](slopes)[0])
    with ThreadPoolExecutor(2) as pool:  # compile both, side by side
        calls = pool.submit(forward, start), pool.submit(backward, start, np.zeros(edges[-1] + gammas))
        _ = [call.result() for call in calls]

    def value_and_gradient(x: Array) -> tuple[float, Array]:
        constant, matrix, upper, lower, loading, gamma = np.split(np.asarray(forward(x)), edges)
        matrix = matrix.reshape(people, functions + 1, functions + 1)
        value, d_matrix, d_upper, d_lower, d_loading, d_gamma = kernel(
            matrix, upper[places], lower[places], loading, gamma, arrangement
        )
        d_tables = (np.bincount(places.ravel(), d.ravel(), size) for d in (d_upper, d_lower))
        slopes = np.concatenate([[1.0], d_matrix.ravel(), *d_tables, d_loading, d_gamma])
        return float(constant[0]) + float(value.sum()), np.asarray(backward(x, slopes))

    return value_and_gradient


def _unpack(model: pm.Model, point: dict[str, Array]) -> tuple[Any, dict[Any, Any], Array]:
    """One vector for all value variables: the vector, their pieces of it, and a start."""
    values = [model.rvs_to_values[rv] for rv in model.free_RVs]
    start = np.concatenate([np.ravel(point[v.name]) for v in values]).astype(float)
    joined = pt.vector("joined", shape=start.shape, dtype="float64")
    pieces, first = {}, 0
    for value in values:
        shape = point[value.name].shape
        last = first + int(np.prod(shape))
        pieces[value] = joined[first:last].reshape(shape).astype(value.dtype)
        first = last
    return joined, pieces, start


def _jax(
    model: pm.Model, joined: Any, pieces: dict[Any, Any], outputs: list[Any], *, names: list[str]
) -> Callable[[Any], Any]:
    """Compile `outputs` and the named variables of `model` to a JAX function of the vector."""
    named = model.replace_rvs_by_values([model[name] for name in names])
    with model:
        compiled = pm.compile([joined], clone_replace([*outputs, *named], pieces), mode="JAX")
    return compiled.vm.jit_fn


def _scaled(built: Built, model: pm.Model, point: dict[str, Array]) -> list[tuple[int, Array]]:
    """Match each element of a scale with the coordinates it multiplies."""
    places, start = {}, 0
    for rv in model.free_RVs:
        shape = point[model.rvs_to_values[rv].name].shape
        length = int(np.prod(shape))
        places[rv.name] = np.arange(start, start + length).reshape(shape)
        start += length
    found = []
    for p in built.parameters:
        if p.scale is None:
            continue
        owner, raw = places[f"{p.scale}_raw"], places[f"{p.name}_raw"]
        which = np.broadcast_to(p.aligned_scale(owner) if p.scale_dims else owner, raw.shape)
        found += [(int(one), raw[which == one]) for one in owner.ravel()]
    return found
