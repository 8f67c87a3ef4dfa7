"""Psychosocial factors are data: error-prone measures of latent x, in every model in the same form.

    x_i* ~ N(mu_x + M c_i + N z_i, Sigma_x),   observed x_ip ~ N(x_ip*, 1 - reliability_p)

in units of the pooled within-site sd. What was not observed adds nothing; x* is integrated out.

A factor may have items of its own in place of a score (`factor_items` of a spec). It is measured as
functions are (`measurement`), and as of these its origin and unit are set: x_ip* has residual sd 1 and the
mean M (c_i - mean c) + N z_i, which is 0 in the cohort; thresholds are free. Diagnoses are centred since a
shift of all of M is one of all thresholds where everybody has one diagnosis. Such factors stand behind those
with scores, before the functions: of (scored, with items, functions) the first are eliminated in closed
form, and over the rest quadrature runs.
"""

from __future__ import annotations

from typing import Any, Final

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.linear import Linear, effects, joined, make_linear
from nssi_bayes.blocks.parameter import Parameter, from_prior
from nssi_bayes.integrate.gaussian import Quadratic, observe
from nssi_bayes.spec import Prior

__all__ = ["linear", "observed", "parameters", "quadratic", "root"]

LEAST_SD: Final = 1e-4
"""Of a factor: precisions of less cancel each other in the last digits, and what is left of them is a density
without bound. Nobody's score is known so well that a smaller one could be told from it."""


def parameters(design: Design, priors: dict[str, Prior]) -> list[Parameter]:
    """Declare the parameters of the factors."""
    p = n.FACTOR
    if not design.coords[p]:
        return []
    scored = n.FACTOR_SCORED if design.item_factors else p
    found = [from_prior("M", (p, n.DISORDER), priors["M"])]
    if design.scored_factors:
        found.insert(0, from_prior("mu_x", (scored,), priors["mu_x"]))
        found.append(from_prior("sigma_x", (scored,), priors["sigma_x"]))
    if design.coords[n.COVARIATE]:
        found.append(from_prior("N", (p, n.COVARIATE), priors["N"]))
    if len(design.coords[p]) > 1:
        found.append(from_prior("Omega_x", (p, n.FACTOR_OTHER), priors["Omega_x"]))
    return found


def linear(theta: dict[str, Any], design: Design) -> Linear:
    """Return what is linear in the parameters: expected factors, which load on no axis."""
    people, factors = len(design.diagnosis), len(design.coords[n.FACTOR])
    columns = {"mu_x": np.ones(people), "M": design.diagnosis, "N": design.covariate}
    if design.item_factors:
        scored = len(design.scored_factors)
        origin = -theta["M"][scored:] @ design.mean_diagnosis
        theta = {**theta, "mu_x": joined([theta["mu_x"], origin] if scored else [origin], 0)}
    return make_linear(effects(theta, columns, factors), (np.zeros((factors, 0, 1)), np.ones((people, 1))))


def root(theta: dict[str, Any], design: Design) -> Any:
    """Return the Cholesky factor of Sigma_x [`factor`, `factor`]."""
    sd = jnp.maximum(theta.get("sigma_x", np.zeros(0)), LEAST_SD)
    if design.item_factors:
        sd = joined([sd, np.ones(len(design.item_factors))], 0)
    return sd[:, None] * theta["Omega_x"] if "Omega_x" in theta else jnp.diag(sd)


def quadratic(theta: dict[str, Any], design: Design) -> Quadratic:
    """Return the density of the latent factors, over (factors, functions)."""
    people, factors = len(design.diagnosis), len(design.coords[n.FACTOR])
    functions = len(design.coords[n.FUNCTION])
    chol = root(theta, design)
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
    rest = len(design.axes)
    rows = jnp.concatenate(
        [
            jnp.broadcast_to(jnp.eye(factors), (people, factors, factors)),
            jnp.zeros((people, factors, rest)),
            design.factor[:, :, None],
        ],
        axis=2,
    )
    seen = jnp.asarray(design.factor_seen, dtype=float)
    weight = seen / design.factor_error
    return observe(rows, weight, seen @ jnp.log(design.factor_error), seen.sum(axis=1))
