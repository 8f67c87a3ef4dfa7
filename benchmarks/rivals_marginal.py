"""The reference problem in Stan with people integrated out: the data of `rival_marginal.stan`.

Where nodes stand is decided before, as a user would after a pilot: around the mean of each person's
functions at a typical point, along the Cholesky factor of their covariance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.polynomial import chebyshev
from numpy.polynomial.hermite_e import hermegauss
from rivals_elsewhere import stan_data
from rivals_problem import Point, as_sampled, log_jacobian

from nssi_bayes.blocks import joint, marginal
from nssi_bayes.blocks.compiled import Slots
from nssi_bayes.build import Built
from nssi_bayes.fit.chains import typical_coordinates
from nssi_bayes.fit.density import compile_density
from nssi_bayes.fit.unconstrained import Unconstrained

__all__ = ["FINE", "MARGINAL", "marginal_data", "marginal_points", "marginal_start"]

MARGINAL: Final = Path(__file__).with_name("rival_marginal.stan")
ORDER: Final = 5
CURVE: Final = 11
"""Nodes an axis and points of a curve, those of our own sampler for three functions."""
FINE: Final = {"order": 9, "curve": 21}
"""For a comparison of densities."""
_NEAR: Final = 0.05
_SHARED: Final = (
    "diagnosis", "burden", "covariate", "site", "function_of", "scan_person", "network_of", "confound",
    "B_mu", "B_sigma",
)  # fmt: skip

type Array = np.ndarray[Any, Any]


def marginal_data(built: Built, *, order: int = ORDER, curve: int = CURVE) -> dict[str, Any]:
    """Return the data of the Stan program.

    Parameters
    ----------
    built : Built
        The model.
    order, curve : int
        Nodes an axis and points of a curve.
    """
    d = built.design
    given = stan_data(built, centred=False)
    sizes = ("people", "functions", "factors", "disorders", "covariates", "sites", "items", "regions",
             "networks", "confounds", "scanned", "answers")  # fmt: skip
    people = [np.flatnonzero(d.response[:, j] == c) for j in range(len(d.categories)) for c in range(3)]
    ends = np.cumsum([len(who) for who in people]).reshape(-1, 3)
    scan_of = np.zeros(len(d.diagnosis), int)
    scan_of[d.scanned] = np.arange(len(d.scanned)) + 1
    seen = np.zeros(d.activation.shape, int)
    for s, mask in enumerate(d.activation_seen):
        seen[s, : mask.sum()] = np.flatnonzero(mask) + 1
    arrays = {
        "answer_person": np.concatenate(people) + 1, "answer_end": ends,
        "score": np.where(d.factor_seen, d.factor, 0.0), "score_precision": d.factor_seen / d.factor_error,
        "scan_of": scan_of, "n_seen": d.activation_seen.sum(axis=1), "seen": seen,
        "signal": np.where(d.activation_seen, d.activation, 0.0),
        "signal_variance": np.where(d.activation_seen, d.activation_se**2, 0.0),
        **_nodes(built, order, curve),
    }  # fmt: skip
    return {
        **{f"n_{name}": given[f"n_{name}"] for name in sizes},
        **{name: given[name] for name in _SHARED},
        **{name: np.asarray(value).tolist() for name, value in arrays.items()},
    }


def _nodes(built: Built, order: int, curve: int) -> dict[str, Any]:
    """Place nodes and curves of every person."""
    grid = marginal.grid_settings(3, fine=True)
    pilot = {name: value[None] for name, value in _typical(built).items()}
    found = marginal.evaluate(pilot, built.design, include=joint.BLOCKS, grid=grid)
    root = np.linalg.cholesky(found.covariance[0])
    position, weight = hermegauss(order)
    functions = root.shape[-1]
    place = np.stack([a.ravel() for a in np.meshgrid(*[position] * functions, indexing="ij")], axis=1)
    log_weight = np.log(weight) + 0.5 * position**2
    each = sum(np.meshgrid(*[log_weight] * functions, indexing="ij")).ravel()
    node = found.mean[0][:, None, :] + np.einsum("ifg,kg->ikf", root, place)
    volume = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    low, high = node.min(axis=1), node.max(axis=1)
    middle, reach = (low + high) / 2, (high - low) / 2
    at = np.cos((np.arange(curve) + 0.5) * np.pi / curve)
    from_values = np.linalg.inv(chebyshev.chebvander(at, curve - 1))
    within = (node - middle[:, None]) / reach[:, None]
    to_nodes = chebyshev.chebvander(within, curve - 1) @ from_values
    return {
        "n_nodes": len(place), "n_curve": curve, "node": node, "log_weight": each[:, None] + volume[None],
        "abscissa": np.moveaxis(middle[..., None] + reach[..., None] * at, 0, -1),
        "interpolation": to_nodes.reshape(*to_nodes.shape[:2], -1),
    }  # fmt: skip


def _typical(built: Built) -> dict[str, Array]:
    slots = Slots({p.name: p.shape(built.design.coords) for p in built.parameters})
    mode = typical_coordinates(built).mode
    return slots.named(Unconstrained(built.parameters, slots)(mode)[1])


def marginal_start(built: Built) -> Point:
    """Return the typical point, where the nodes are right: chains must begin there."""
    return Point(as_sampled(_typical(built), built.parameters))


def marginal_points(built: Built, rng: np.random.Generator, count: int) -> Iterator[Point]:
    """Draw points near the typical one, where the nodes are right, and say what our density makes of them.

    Parameters
    ----------
    built : Built
        The model.
    rng : numpy.random.Generator
        Source of randomness.
    count : int
        How many.

    Yields
    ------
    Point
        Parameters, and our log-density with people integrated out by the finer nodes.
    """
    slots = Slots({p.name: p.shape(built.design.coords) for p in built.parameters})
    free, density = Unconstrained(built.parameters, slots), compile_density(replace(built, fine=True))
    mode = typical_coordinates(built).mode
    for _ in range(count):
        x = mode + _NEAR * rng.standard_normal(free.size)
        theta = slots.named(free(x)[1])
        point = Point(as_sampled(theta, built.parameters))
        point.ours = density.value_and_gradient(x)[0] - log_jacobian(theta, built.parameters, free, x)
        yield point
