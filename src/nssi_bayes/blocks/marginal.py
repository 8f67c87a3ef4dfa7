"""The person's likelihood as it is computed in bulk: Gaussian parts by JAX, the integral by the kernel.

The same numbers as `joint.log_likelihood`, of which it is the fast form: `gaussian_part` makes what
the kernel takes, and `log_likelihood` puts both together for many draws.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nssi_bayes.blocks import joint, measurement
from nssi_bayes.blocks.design import Design
from nssi_bayes.families import ordinal
from nssi_bayes.integrate import quadrature
from nssi_bayes.integrate.gaussian import log_integral
from nssi_bayes.integrate.kernel import Arrangement, arrange, value_and_gradient
from nssi_bayes.integrate.quadrature import Moments

__all__ = [
    "GaussianPart",
    "arrangement_of",
    "evaluate",
    "fine_grid",
    "gaussian_part",
    "places_of",
    "sampling_grid",
]

_FEW: Final[dict[str, Any]] = {"order": 8, "curve_nodes": 17}
_CHUNK: Final = 50

type Array = np.ndarray[Any, Any]


class GaussianPart(NamedTuple):
    """What the kernel takes, and the log-density that it does not see.

    Parameters
    ----------
    constant : array
        [`participant`].
    matrix : array
        [`participant`, `function` + 1, `function` + 1].
    tables : ordinal.Table
        Constants by response [`indicator`, response].
    loading : array
        [`indicator`].
    gamma : array
        [`testlet`].
    """

    constant: Any
    matrix: Any
    tables: ordinal.Table
    loading: Any
    gamma: Any


def sampling_grid(functions: int) -> dict[str, Any]:
    """Return the settings of `quadrature.make_grid` for the sampler.

    Five nodes an axis are enough for loadings up to about 3. Items that are steeper need more, and
    where there are one or two functions 64 nodes cost less than the 125 of three.

    Parameters
    ----------
    functions : int
        Number of functions.

    Returns
    -------
    dict
        Its keyword arguments.
    """
    return dict(_FEW) if functions <= 2 else {"order": 5, "curve_nodes": 11}


def fine_grid(functions: int) -> dict[str, Any]:
    """Return the settings of `quadrature.make_grid` for scores, which are differences of small numbers.

    Parameters
    ----------
    functions : int
        Number of functions.

    Returns
    -------
    dict
        Its keyword arguments.
    """
    return dict(_FEW) if functions <= 2 else {"order": 7, "curve_nodes": 15}


def gaussian_part(
    theta: dict[str, Any], design: Design, *, include: Sequence[str] = joint.BLOCKS
) -> GaussianPart:
    """Return everything of a person's likelihood but the integral over the functions.

    Parameters
    ----------
    theta : dict of str to array
        One value of every parameter.
    design : Design
        The data.
    include : sequence of str
        Blocks whose data count, items among them.

    Returns
    -------
    GaussianPart
        JAX arrays.
    """
    prior = joint.functions_given(theta, design, include)
    return GaussianPart(
        prior.constant,
        prior.matrix,
        measurement.tables(theta, design),
        theta["lambda"],
        theta.get("gamma", jnp.zeros(0)),
    )


def places_of(design: Design) -> Array:
    """Return where in a raveled table each response stands [`participant`, `indicator`]."""
    response = np.asarray(design.response)
    return response + np.arange(response.shape[1]) * (max(design.category_groups) + 1)


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
    theta: dict[str, Array], design: Design, *, include: Sequence[str], grid: dict[str, Any]
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
        From `sampling_grid` or `fine_grid`.

    Returns
    -------
    Moments
        Log-likelihood [sample, `participant`], mean and covariance of the functions.
    """
    size = len(next(iter(theta.values())))
    people, functions = design.diagnosis.shape[0], len(design.plain_of)
    found = Moments(
        np.empty((size, people)),
        np.full((size, people, functions), np.nan),
        np.full((size, people, functions, functions), np.nan),
    )
    chunks = [slice(a, min(a + _CHUNK, size)) for a in range(0, size, _CHUNK)]
    with_items = "items" in include
    step = _with_items(design, include, grid) if with_items else _without_items(design, include)

    def fill(chunk: slice) -> None:
        draws = {name: jnp.asarray(_filled(v[chunk])) for name, v in theta.items()}
        for whole, part in zip(found, step(draws, chunk.stop - chunk.start), strict=True):
            if part is not None:
                whole[chunk] = part

    fill(chunks[0])
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(fill, chunks[1:]))
    return found


def _without_items(design: Design, include: Sequence[str]) -> Any:
    many = jax.jit(jax.vmap(lambda t: log_integral(joint.functions_given(t, design, include))))

    def step(draws: dict[str, Any], count: int) -> tuple[Array, None, None]:
        return np.asarray(many(draws))[:count], None, None

    return step


def _with_items(design: Design, include: Sequence[str], grid: dict[str, Any]) -> Any:
    arrangement, places = arrangement_of(design, grid), places_of(design)
    many = jax.jit(jax.vmap(lambda t: gaussian_part(t, design, include=include)))

    def step(draws: dict[str, Any], count: int) -> tuple[Array, Array, Array]:
        part = jax.tree.map(np.asarray, many(draws))
        values, moment = [], []
        for s in range(count):
            one = jax.tree.map(lambda v, s=s: v[s], part)
            upper, lower, gap = (table.ravel()[places] for table in one.tables)
            value, d_matrix, *_ = value_and_gradient(
                one.matrix, upper, lower, one.loading, one.gamma, arrangement
            )
            values.append(one.constant + gap.sum(axis=1) + value)
            moment.append(-2 * d_matrix)  # E[u u'] of u = (functions, -1)
        second = np.stack(moment)
        mean = -second[:, :, :-1, -1]
        covariance = second[:, :, :-1, :-1] - mean[..., :, None] * mean[..., None, :]
        return np.stack(values), mean, covariance

    return step


def _filled(values: Array) -> Array:
    """Fill the last chunk up with copies, so that one compiled function serves all."""
    return np.concatenate([values, np.repeat(values[-1:], _CHUNK - len(values), axis=0)])
