"""The log-density of a model and its gradient, as functions of one unconstrained vector.

Priors and transforms come from the PyMC model, compiled to JAX, and so does all of a person's data
that is Gaussian; the integral over the functions is the kernel's. `reference` is the same density
as the PyMC model itself states it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.model.transform.optimization import freeze_dims_and_data
from pytensor.graph import clone_replace

from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.marginal import SAMPLING_GRID, arrangement_of, gaussian_part
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
    joined, pieces, start = _unpack(model)
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
        constant, *rest = gaussian_part(theta, built.design)
        return log_prior + constant.sum(), *rest

    explicit = "eta" in model.named_vars  # functions are sampled: there is no integral
    density = reference(built) if explicit else _with_kernel(gaussian, built.design)
    return Density(len(start), density, constrain, start, _scaled(built, model))


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
    joined, pieces, _ = _unpack(model)
    logp = _jax(model, joined, pieces, [model.logp()], names=[])
    both = jax.jit(jax.value_and_grad(lambda x: logp(x)[0]))

    def value_and_gradient(x: Array) -> tuple[float, Array]:
        value, gradient = both(x)
        return float(value), np.asarray(gradient)

    return value_and_gradient


def _with_kernel(gaussian: Callable[[Any], Any], design: Design) -> ValueAndGradient:
    arrangement = arrangement_of(design, SAMPLING_GRID)
    forward = jax.jit(gaussian)
    # runs the forward part again: handing its residuals over costs more than it saves
    backward = jax.jit(lambda x, slopes: jax.vjp(gaussian, x)[1]((1.0, *slopes))[0])

    def value_and_gradient(x: Array) -> tuple[float, Array]:
        constant, *inputs = forward(x)
        matrix, upper, lower, loading, gamma = (np.asarray(v) for v in inputs)
        value, *slopes = kernel(matrix, upper, lower, loading, gamma, arrangement)
        return float(constant) + float(value.sum()), np.asarray(backward(x, tuple(slopes)))

    return value_and_gradient


def _unpack(model: pm.Model) -> tuple[Any, dict[Any, Any], Array]:
    """One vector for all value variables: the vector, their pieces of it, and a start."""
    point = model.initial_point()
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


def _scaled(built: Built, model: pm.Model) -> list[tuple[int, Array]]:
    """Match each element of a scale with the coordinates it multiplies."""
    point, places, start = model.initial_point(), {}, 0
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
