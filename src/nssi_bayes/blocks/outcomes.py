"""A Gaussian outcome, from functions, factors, diagnoses, covariates and site.

y_i = a + d . c_i + q . x_i* + w . eta_i + covariates + site + e_i,   e_i ~ N(0, sigma_outcome^2)
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.linear import Linear, effects, joined, make_linear
from nssi_bayes.blocks.parameter import Parameter, from_prior
from nssi_bayes.integrate.gaussian import Quadratic, observe
from nssi_bayes.spec import JointSpec, Prior

__all__ = ["linear", "observed", "parameters"]


def parameters(spec: JointSpec, design: Design, priors: dict[str, Prior]) -> list[Parameter]:
    """Declare the parameters of the outcome."""
    if spec.outcome is None:
        return []
    found = [
        from_prior("a", (), priors["a"]),
        from_prior("d", (n.DISORDER,), priors["d"]),
        from_prior("w", (n.FUNCTION,), priors["w"]),
        from_prior("sigma_outcome", (), priors["sigma_outcome"]),
    ]
    if design.coords[n.FACTOR]:
        found.append(from_prior("q", (n.FACTOR,), priors["q"]))
    if design.coords[n.COVARIATE]:
        found.append(from_prior("outcome_covariate", (n.COVARIATE,), priors["outcome_covariate"]))
    if len(design.coords[n.SITE]) > 1:
        found.append(from_prior("tau_site_outcome", (), priors["tau_site"]))
        found.append(Parameter("site_outcome", (n.SITE,), scale="tau_site_outcome", zero_sum=True))
    return found


def linear(theta: dict[str, Any], design: Design) -> Linear:
    """Return what is linear in the parameters: of one measure, the outcome."""
    people = design.outcome.shape[0]
    columns = {
        "a": np.ones(people),
        "d": design.diagnosis,
        "outcome_covariate": design.covariate,
        "site_outcome": design.site,
    }
    loading = theta["w"].reshape(1, -1, 1), np.ones((people, 1))
    common = theta["q"].reshape(1, -1) if "q" in theta else None
    return make_linear(effects(theta, columns, 1), loading, common=common)


def observed(theta: dict[str, Any], design: Design) -> Quadratic:
    """Return what the observed outcome says, over (factors, functions)."""
    people = design.outcome.shape[0]
    said = linear(theta, design)
    loading = joined([said.common, said.own], 1)
    rows = jnp.concatenate(
        [
            jnp.broadcast_to(loading, (people, *loading.shape)),
            (design.outcome[:, None] - said.mean)[:, :, None],
        ],
        axis=2,
    )
    seen = jnp.asarray(design.outcome_seen, dtype=float)
    variance = theta["sigma_outcome"] ** 2
    return observe(rows, seen[:, None] / variance, seen * jnp.log(variance), seen)
