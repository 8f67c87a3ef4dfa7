"""Psychosocial factors are data: error-prone measures of latent x, in every model in the same form.

    x_i* ~ N(mu_x + M c_i + N z_i, Sigma_x),   observed x_ip ~ N(x_ip*, 1 - reliability_p)

in units of the pooled within-site sd. What was not observed adds nothing; x* is integrated out.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.parameter import Parameter, from_prior
from nssi_bayes.integrate.gaussian import Quadratic, observe
from nssi_bayes.spec import Prior

__all__ = ["mean", "observed", "parameters", "quadratic", "root"]


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


def mean(theta: dict[str, Any], design: Design) -> Any:
    """Return the expected factors of each person [`participant`, `factor`]."""
    found = theta["mu_x"] + design.diagnosis @ theta["M"].T
    return found + design.covariate @ theta["N"].T if "N" in theta else found


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
            mean(theta, design)[:, :, None],
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
