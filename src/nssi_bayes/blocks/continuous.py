"""Continuous indicators: Gaussian, each of one function, whoever has them.

    y_ij = nu_j + lambda_j eta_if(j) + e_ij,   e_ij ~ N(0, sigma_j^2),   lambda_j > 0

All loadings are positive: with only the first of them so, a factor model sits in a false mode. With
groups, what a rung of the ladder leaves free has one value a group. A missing score adds nothing.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.linear import Linear, make_linear
from nssi_bayes.blocks.parameter import Parameter, from_prior
from nssi_bayes.integrate.gaussian import Quadratic, observe
from nssi_bayes.spec import JointSpec, Prior

__all__ = ["linear", "observed", "parameters", "sd_of"]


def parameters(spec: JointSpec, design: Design, priors: dict[str, Prior]) -> list[Parameter]:
    """Declare loadings, intercepts and residual sds."""
    if not design.coords[n.SCORE]:
        return []
    rung = None if spec.groups is None else spec.groups.invariance
    free = {
        "lambda_score": rung == "configural",
        "nu": rung in ("configural", "metric"),
        "sigma_score": rung in ("configural", "metric", "scalar"),
    }
    return [
        from_prior(name, (n.GROUP, n.SCORE) if by_group else (n.SCORE,), priors[name])
        for name, by_group in free.items()
    ]


def linear(theta: dict[str, Any], design: Design) -> Linear:
    """Return what is linear in the parameters."""
    people, functions = design.diagnosis.shape[0], len(design.coords[n.FUNCTION])
    which = np.eye(functions)[design.score_function]
    size, intercept = theta["lambda_score"], theta["nu"]
    column = contrast = np.ones((people, 1))
    if intercept.ndim == 2:
        column = _member(design)
    if size.ndim == 2:
        contrast = _member(design)
    loading = size.reshape(-1, len(which)).T[:, None, :] * which[:, :, None]
    common = np.zeros((len(which), len(design.coords[n.FACTOR])))  # factors act through functions alone
    return make_linear((intercept.reshape(-1, len(which)).T, column), (loading, contrast), common=common)


def _member(design: Design) -> Any:
    """Return who is in which group [`participant`, `group`]."""
    return np.eye(len(design.coords[n.GROUP]))[design.group_of]


def sd_of(theta: dict[str, Any], design: Design) -> Any:
    """Return residual sds [`score`], or [`participant`, `score`] where groups differ."""
    sd = theta["sigma_score"]
    return sd[design.group_of] if sd.ndim == 2 else sd


def observed(theta: dict[str, Any], design: Design) -> Quadratic:
    """Return what the observed scores say, over (factors, functions)."""
    said = linear(theta, design)
    people, scores = design.score.shape
    factors, functions = len(design.coords[n.FACTOR]), len(design.coords[n.FUNCTION])
    rows = jnp.concatenate(
        [
            jnp.zeros((people, scores, factors)),
            jnp.broadcast_to(said.own, (people, scores, functions)),
            (design.score - said.mean)[:, :, None],
        ],
        axis=2,
    )
    seen = jnp.asarray(design.score_seen, dtype=float)
    variance = sd_of(theta, design) ** 2
    return observe(rows, seen / variance, (seen * jnp.log(variance)).sum(axis=1), seen.sum(axis=1))
