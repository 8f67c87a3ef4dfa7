"""Psychosocial factors are data: error-prone measures of latent x, in every model in the same form.

    x_i* ~ N(mu_x + M c_i + N z_i, Sigma_x),   observed x_ip ~ N(x_ip*, 1 - reliability_p)

in units of the pooled within-site sd. What was not observed adds nothing; x* is integrated out.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.linear import Linear, effects, make_linear
from nssi_bayes.blocks.parameter import Parameter, from_prior
from nssi_bayes.integrate.gaussian import Quadratic, observe
from nssi_bayes.spec import Prior

__all__ = ["linear", "observed", "parameters", "quadratic", "root"]


def parameters(design: Design, priors: dict[str, Prior]) -> list[Parameter]:
    """Declare the parameters of the factors."""
    p = n.FACTOR
    if not design.coords[p]:
        return []
    found = [
        from_prior("mu_x", (p,), priors["mu_x"]),
        from_prior("M", (p, n.DISORDER), priors["M"]),
        from_prior("sigma_x", (p,), priors["sigma_x"]),
    ]
    if design.coords[n.COVARIATE]:
        found.append(from_prior("N", (p, n.COVARIATE), priors["N"]))
    if len(design.coords[p]) > 1:
        found.append(from_prior("Omega_x", (p, n.FACTOR_OTHER), priors["Omega_x"]))
    return found


def linear(theta: dict[str, Any], design: Design) -> Linear:
    """Return what is linear in the parameters: expected factors, which load on no function."""
    people, factors = design.factor.shape
    columns = {"mu_x": np.ones(people), "M": design.diagnosis, "N": design.covariate}
    return make_linear(effects(theta, columns, factors), (np.zeros((factors, 0, 1)), np.ones((people, 1))))


def root(theta: dict[str, Any]) -> Any:
    """Return the Cholesky factor of Sigma_x [`factor`, `factor`]."""
    sd = theta["sigma_x"]
    return sd[:, None] * theta["Omega_x"] if "Omega_x" in theta else jnp.diag(sd)


def quadratic(theta: dict[str, Any], design: Design) -> Quadratic:
    """Return the density of the latent factors, over (factors, functions)."""
    people, factors = design.factor.shape
    functions = len(design.coords[n.FUNCTION])
    chol = root(theta)
    white = solve_triangular(chol, jnp.eye(factors), lower=True)
    rows = jnp.concatenate(
        [
            jnp.broadcast_to(jnp.eye(factors), (people, factors, factors)),
            jnp.zeros((people, factors, functions)),
            linear(theta, design).mean[:, :, None],
        ],
        axis=2,
    )
    log_det = 2 * jnp.log(jnp.diagonal(chol)).sum()
    return observe(white @ rows, jnp.ones(factors), log_det, jnp.full(people, factors))


def observed(design: Design) -> Quadratic:
    """Return what the observed factor scores say, over (factors, functions)."""
    people, factors = design.factor.shape
    functions = len(design.coords[n.FUNCTION])
    rows = jnp.concatenate(
        [
            jnp.broadcast_to(jnp.eye(factors), (people, factors, factors)),
            jnp.zeros((people, factors, functions)),
            design.factor[:, :, None],
        ],
        axis=2,
    )
    seen = jnp.asarray(design.factor_seen, dtype=float)
    weight = seen / design.factor_error
    return observe(rows, weight, seen @ jnp.log(design.factor_error), seen.sum(axis=1))
