"""The model as PyMC states it: for those who look at it, and the oracle of what is sampled.

It has parameters only; every person is integrated out (or, on the explicit route, their functions
are sampled with everything else). The person's whole data are one row of one observed variable, so
that prior predictive draws and the pointwise log-likelihood exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pymc.distributions.transforms import log_exp_m1
from pytensor import wrap_jax

from nssi_bayes import names as n
from nssi_bayes.blocks import generate, joint
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.marginal import grid_settings
from nssi_bayes.blocks.parameter import STEP, Parameter, slabbed
from nssi_bayes.blocks.predicted import is_curved, rests
from nssi_bayes.integrate import quadrature

__all__ = ["make_model", "measures", "to_rows", "with_rows"]

type Theta = dict[str, Any]
type Shapes = Mapping[str, tuple[int, ...]]


def make_model(parameters: Sequence[Parameter], design: Design, *, explicit: bool = False) -> pm.Model:
    """Declare parameters and data to PyMC.

    Parameters
    ----------
    parameters : sequence of Parameter
        In order.
    design : Design
        The data.
    explicit : bool
        Whether people's functions are sampled too, instead of integrated out.

    Returns
    -------
    pymc.Model
        With named dims.
    """
    coords = {dim: labels for dim, labels in design.coords.items() if labels}
    coords[n.PARTICIPANT] = list(range(design.diagnosis.shape[0]))
    coords[n.MEASURE] = measures(design)
    shapes = {p.name: p.shape(coords) for p in parameters}
    with pm.Model(coords=coords) as model:
        theta = {p.name: None for p in parameters}
        for p in parameters:
            theta[p.name] = _declare(p, coords, theta)
        if explicit:
            _observe_explicitly(theta, design, shapes)
        else:
            _observe(theta, design, shapes)
    return model


def _declare(p: Parameter, coords: Mapping[str, list[Any]], theta: Theta) -> Any:
    if p.family == "lkj":
        root = pm.LKJCorr(f"{p.name}_root", n=len(coords[p.dims[0]]), eta=p.alpha, dims=p.dims)
        pm.Deterministic(p.name, root @ root.T, dims=p.dims)
        return root
    if p.family == "one_factor":
        loading = theta[str(p.of)]
        unit = np.eye(len(coords[p.dims[0]]))
        matrix = pm.Deterministic(p.name, loading[:, None] * loading * (1 - unit) + unit, dims=p.dims)
        return pm.Deterministic(f"{p.name}_root", pt.linalg.cholesky(matrix), dims=p.dims)
    if p.family == "beta":
        return pm.Beta(p.name, alpha=p.alpha, beta=p.beta, dims=p.dims or None)
    if p.family == "dirichlet":
        return pm.Dirichlet(p.name, a=np.full(p.shape(coords), p.alpha), dims=p.dims)
    if p.family == "halfcauchy":
        beta = p.sigma if p.scale is None else p.sigma * theta[p.scale]
        return pm.HalfCauchy(p.name, beta=beta, dims=p.dims or None)
    name = p.name if p.scale is None else f"{p.name}_raw"
    if p.zero_sum_groups:
        raw = _declare_groups(p, name, coords)
    elif p.zero_sum:
        raw = pm.ZeroSumNormal(name, sigma=1.0, n_zerosum_axes=1, dims=p.dims)
    elif p.family == "normal":
        raw = pm.Normal(name, mu=p.mu, sigma=p.sigma, dims=p.dims or None)
    elif p.family == "mixture":
        raw = pm.NormalMixture(name, w=p.weights, mu=p.mu, sigma=p.sigma, dims=p.dims or None)
    elif p.family == "gamma":
        raw = pm.Gamma(name, alpha=p.alpha, beta=p.beta, dims=p.dims or None)
    elif p.family == "halfnormal":
        # sampled in steps of a fifth of its prior scale, by softplus: nearly linear, so that a
        # scale that may be 0 has a short tail, which its logarithm would not have
        steps = pm.HalfNormal(
            f"{p.name}_raw", sigma=1 / STEP, dims=p.dims or None, default_transform=log_exp_m1
        )
        return pm.Deterministic(p.name, STEP * p.sigma * steps, dims=p.dims or None)
    else:
        raw = pm.LogNormal(name, mu=p.mu, sigma=p.sigma, dims=p.dims or None)
    if p.scale is None:
        return raw
    scale = theta[p.scale] if p.slab is None else slabbed(theta[p.scale], theta[p.slab])
    aligned = p.aligned_scale(scale) if p.scale_dims else scale
    return pm.Deterministic(p.name, aligned * raw, dims=p.dims or None)


def _declare_groups(p: Parameter, name: str, coords: Mapping[str, list[Any]]) -> Any:
    """Declare effects that sum to zero along both dims, group by group of the first."""
    parts = [
        pm.ZeroSumNormal(f"{name}_{g}", sigma=1.0, n_zerosum_axes=2, shape=(length, len(coords[p.dims[1]])))
        for g, length in enumerate(p.zero_sum_groups)
    ]
    return pt.concatenate(parts, axis=0)


def measures(design: Design) -> list[str]:
    """Name every column of a person's data."""
    outcome = [n.OUTCOME] if design.outcome_seen.any() else []
    items = [*design.coords[n.INDICATOR], *design.coords[n.SCORE]]
    images = [*design.coords[n.ROI], *design.coords[n.EDGE]]
    return [*items, *design.scored_factors, *images, *outcome]


def to_rows(design: Design) -> np.ndarray[Any, Any]:
    """Return all data of a person as one row [`participant`, `measure`]; missing is 0."""
    people = design.diagnosis.shape[0]
    response = np.where(design.response == design.missing_response, 0, design.response)
    activation = np.zeros((people, len(design.coords[n.ROI])))
    activation[design.scanned] = design.activation
    edges = np.zeros((people, len(design.coords[n.EDGE])))
    edges[design.connected] = design.connectivity
    outcome = design.outcome[:, None] if design.outcome_seen.any() else np.zeros((people, 0))
    parts = [response, design.score, design.factor, activation, edges, outcome]
    return np.concatenate(parts, axis=1).astype(float)


def with_rows(design: Design, rows: Any) -> Design:
    """Put rows of data into the places where the design has data."""
    widths = [design.response.shape[1], design.score.shape[1], design.factor.shape[1]]
    widths += [len(design.coords[n.ROI]), len(design.coords[n.EDGE])]
    parts = jnp.split(rows, np.cumsum(widths), axis=1)
    missing = design.response == design.missing_response
    changes: dict[str, Any] = {
        "response": jnp.where(missing, design.missing_response, parts[0].astype(int)),
        "factor": jnp.where(design.factor_seen, parts[2], 0.0),
        "score": jnp.where(design.score_seen, parts[1], 0.0),
    }
    if len(design.scanned):
        changes["activation"] = jnp.where(design.activation_seen, parts[3][design.scanned], 0.0)
    if len(design.connected):
        changes["connectivity"] = jnp.where(design.connectivity_seen, parts[4][design.connected], 0.0)
    if design.outcome_seen.any():
        changes["outcome"] = jnp.where(design.outcome_seen, parts[5][:, 0], 0.0)
    return replace(design, **changes)


def _observe(theta: Theta, design: Design, shapes: Shapes) -> None:
    functions = len(design.axes)
    grid = quadrature.make_grid(functions, **grid_settings(functions, skewed="epsilon" in shapes))

    def loglik(rows: Any, vector: Any) -> Any:
        return joint.log_likelihood(_unflatten(vector, shapes), with_rows(design, rows), grid)

    def logp(value: Any, empty: Any, vector: Any) -> Any:
        return wrap_jax(loglik)(value, pt.specify_shape(vector.ravel(), _size(shapes)))

    def random(empty: Any, vector: Any, rng: Any = None, size: Any = None) -> Any:
        values = _unflatten(np.ravel(vector), shapes)
        return to_rows(generate.generate(values, design, rng))

    vector = pt.concatenate([value.ravel() for value in theta.values()])
    rows = to_rows(design)
    pm.CustomDist(
        "data",
        np.zeros_like(rows),
        vector,
        logp=logp,
        random=random,
        signature="(m),(d)->(m)",
        dtype="float64",
        observed=rows,
        dims=(n.PARTICIPANT, n.MEASURE),
    )


def _observe_explicitly(theta: Theta, design: Design, shapes: Shapes) -> None:
    """Sample the functions themselves: given parameters, eta is a parameter of each person.

    Where the outcome is not Gaussian so is what latent factors leave of its predictor.
    """
    people, along = design.diagnosis.shape[0], n.LATENT if design.item_factors else n.FUNCTION
    eta = pm.Flat("eta", shape=(people, len(design.axes)), dims=(n.PARTICIPANT, along))
    testlets = len(design.coords[n.TESTLET])
    testlet = pm.Flat("testlet_factor", shape=(people, testlets)) if testlets else np.zeros((people, 0))
    curved, count = is_curved(design, theta), rests(design, theta)
    rest = pm.Flat("outcome_rest", shape=(people, count)) if count else np.zeros((people, 0))

    def loglik(vector: Any, eta: Any, testlet: Any, rest: Any) -> Any:
        named, own = _unflatten(vector, shapes), rest if curved else None
        return joint.log_joint(named, design, eta, testlet=testlet, rest=own).sum()

    vector = pt.specify_shape(pt.concatenate([v.ravel() for v in theta.values()]), _size(shapes))
    pm.Potential("data", wrap_jax(loglik)(vector, eta, testlet, rest))


def _size(shapes: Shapes) -> int:
    return sum(int(np.prod(shape)) for shape in shapes.values())


def _unflatten(vector: Any, shapes: Shapes) -> Theta:
    found, start = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        found[name] = vector[start : start + size].reshape(shape)
        start += size
    return found
