"""The linear system of a person: outcome, functions, latent activation and factors on each other.

Coefficients differ by person where slopes do, by disorder, further diagnoses and treatment. Functions come
before activation, as the model states it, or are regressed on it: the two are Gaussian together.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import jax.numpy as jnp
import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks import factors, neural, outcomes, structure
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.linear import Linear, make_linear

__all__ = ["System", "predictors_of", "system_of"]

_LEAST: Final = 1e-12
"""Added to variances of predictors, which have none where nothing latent goes with the outcome."""

_RIDGE: Final = 1e-11
"""Of the trace, added to what functions leave of networks: those without a residual factor of their own tell
each other, and what they leave of one that has a factor is its own."""

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Any]


class System(NamedTuple):
    """Coefficients of every person, each [`participant`, to, from].

    Parameters
    ----------
    factor_function, factor_network, function_network, network_function : array
        Of what stands second on what stands first.
    factor, function, network : array
        Of the outcome's predictors on these.
    all_of_factor, all_of_function : array
        Of the predictors, by all ways together; whether regions come first does not change them.
    left : dict of str to array
        Variance of what the other mediators do not tell of one, by kind [`participant` or 1, mediator].
    """

    factor_function: Any
    factor_network: Any
    function_network: Any
    network_function: Any
    factor: Any
    function: Any
    network: Any
    all_of_factor: Any
    all_of_function: Any
    left: dict[str, Any]


def system_of(theta: Theta, design: Design, first: Array) -> System:
    """Return coefficients; functions are regressed on the activation of the networks that come first."""
    people = len(design.diagnosis)
    slope = _of_people(structure.linear(theta, design).own, people)
    said = outcomes.linear({k: v for k, v in theta.items() if k.removesuffix(outcomes.SOME) != "v"}, design)
    own, common = _of_people(said.own, people), _of_people(said.common, people)
    covariance, networks = _covariance(theta, design), _networks(theta, design, slope)
    loading, d = _of_people(networks.own, people), _of_people(networks.common, people)
    residual, v = networks.residual @ networks.residual.T, _of_people(_through(theta, design), people)
    every, none = jnp.swapaxes(jnp.zeros_like(loading), 1, 2), jnp.zeros_like(loading)
    by_all = common + own @ slope + v @ (d + loading @ slope), own + v @ loading
    if not len(first):
        ridge = _RIDGE * jnp.trace(residual) * jnp.eye(len(residual))
        left = {"function": _left(covariance), "network": _left(residual + ridge)[None]}
        return System(slope, d, loading, every, common, own, v, *by_all, left)
    reduced = d + loading @ slope
    across = loading[:, first] @ covariance
    variance = across @ jnp.swapaxes(loading[:, first], 1, 2) + residual[np.ix_(first, first)]
    back = jnp.swapaxes(jnp.linalg.solve(variance, across), 1, 2)
    left = {
        "function": _left(covariance - back @ across),
        "network": every[:, 0].at[:, first].set(_left(variance)),
    }
    return System(
        slope - back @ reduced[:, first], reduced, none, every.at[:, :, first].set(back),
        common, own, v, *by_all, left,
    )  # fmt: skip


def _of_people(values: Any, people: int) -> Any:
    """Give what all people share a first axis of people."""
    return values if values.ndim == 3 else jnp.broadcast_to(values, (people, *values.shape))


def _networks(theta: Theta, design: Design, slope: Any) -> Linear:
    """Return latent activation of each network; of none where it is no predictor of the outcome."""
    if "v" in theta:
        return neural.networks(theta, design)
    people, functions, factor = slope.shape
    level = np.zeros((0, 0)), np.zeros((people, 0))
    loading = np.zeros((0, functions, 1)), np.ones((people, 1))
    return make_linear(level, loading, common=np.zeros((0, factor)))


def _through(theta: Theta, design: Design) -> Any:
    """Return slopes of the predictors on latent activation [predictor, `network`]."""
    ends = outcomes.endings(design.outcome_family)
    return jnp.stack([theta.get(f"v{end}", jnp.zeros(0)) for end in ends])


def _covariance(theta: Theta, design: Design) -> Any:
    """Return the residual covariance of functions [`participant` or 1 for all, `function`, `function`]."""
    root = theta.get("Omega", jnp.eye(len(design.coords[n.FUNCTION])))[None]
    if "h" in theta:
        root = jnp.exp(structure.log_spread(theta["h"], design))[:, :, None] * root
    return root @ jnp.swapaxes(root, 1, 2)


def _left(covariance: Any) -> Any:
    """Return the variance of what all others do not tell of each [..., latent]."""
    return 1 / jnp.diagonal(jnp.linalg.inv(covariance), axis1=-2, axis2=-1)


def predictors_of(theta: Theta, design: Design) -> tuple[Any, Any]:
    """Return means of the predictors of new people [`participant`, predictor], and a root of covariances."""
    people = len(design.diagnosis)
    said, of = outcomes.linear(theta, design), structure.linear(theta, design)
    own, slope = _of_people(said.own, people), _of_people(of.own, people)
    on_factors = said.common + own @ slope
    mean = said.mean + (own @ of.mean[:, :, None])[:, :, 0]
    parts = [own @ jnp.linalg.cholesky(_covariance(theta, design)), _of_people(said.residual, people)]
    if design.coords[n.FACTOR]:
        mean = mean + (on_factors @ factors.linear(theta, design).mean[:, :, None])[:, :, 0]
        parts.append(on_factors @ factors.root(theta, design))
    loading = jnp.concatenate(parts, axis=2)
    covariance = loading @ jnp.swapaxes(loading, 1, 2)
    return mean, jnp.linalg.cholesky(covariance + _LEAST * jnp.eye(mean.shape[1]))
