"""Structure: how levels of the functions depend on diagnoses, history, covariates and site.

    eta_i = A c_i + (B + sum_k c_ik B_k) x_i + G z_i + u_site(i) + zeta_i,   zeta_i ~ N(0, S_i Omega S_i)

Effects are zero-sum over disorders. Under additive coding zero-sum alone would say that a
diagnosis has no effect on average, so levels get a burden column (diagnoses beyond the first), and
slopes one where the spec asks; people without any diagnosis are a level of their own. Of a
second-order model Omega is g g' + diag(1 - g^2): functions share one factor, on which they load g.
S_i is 1, or where disorders differ in spread exp(sum_k (c_ik - mean c_k) h_kf), which is 1 at the
average diagnosis.

Of a skewed model this is e_i, and the functions that items measure are eta_if = h(e_if)
(`integrate.sinh_arcsinh`): effects are in residual sd of e, of which eta keeps the order.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.linear import Linear, contrasts, effects, make_linear
from nssi_bayes.blocks.parameter import Parameter, from_prior
from nssi_bayes.integrate.gaussian import Quadratic, observe
from nssi_bayes.spec import JointSpec, Prior

__all__ = ["linear", "log_spread", "parameters", "quadratic"]


def parameters(spec: JointSpec, design: Design, priors: dict[str, Prior]) -> list[Parameter]:
    """Declare the parameters of the structure."""
    f, k, p = n.FUNCTION, n.DISORDER, n.FACTOR
    found = []
    if spec.general == "second_order":
        found.append(from_prior("g", (f,), priors["g"]))
        found.append(Parameter("Omega", (f, n.FUNCTION_OTHER), "one_factor", of="g"))
    elif len(design.coords[f]) > 1 and spec.general == "none":
        found.append(from_prior("Omega", (f, n.FUNCTION_OTHER), priors["Omega"]))
    if spec.distribution == "sinh_arcsinh":
        found += [from_prior(name, (f,), priors[name]) for name in ("epsilon", "tailweight")]
    if spec.disorder.spread:
        found.append(from_prior("tau_spread", (), priors["tau_spread"]))
        found.append(Parameter("h", (f, k), scale="tau_spread", zero_sum=True))
    if spec.disorder.levels:
        if len(design.coords[k]) > 1:  # of one disorder there is only a contrast with people without any
            found.append(from_prior("tau_mean", (f,), priors["tau_mean"]))
            found.append(Parameter("A", (f, k), scale="tau_mean", scale_dims=(f,), zero_sum=True))
        if spec.disorder.coding == "additive" and design.burden.any():
            found.append(from_prior("level_burden", (f,), priors["level_burden"]))
        if design.none.any():
            found.append(from_prior("level_none", (f,), priors["level_none"]))
    if design.coords[p]:
        special = [priors.get(f"B_{label}", priors["B"]) for label in design.coords[p]]
        found.append(from_prior("B", (f, p), priors["B"], each=special))
        if spec.disorder.slopes:
            found.append(from_prior("tau_slope", (f,), priors["tau_slope"]))
            found.append(
                Parameter("B_disorder", (f, p, k), scale="tau_slope", scale_dims=(f,), zero_sum=True)
            )
            if spec.disorder.burden and design.burden.any():
                found.append(from_prior("B_burden", (f, p), priors["B_burden"]))
    if design.coords[n.COVARIATE]:
        found.append(from_prior("G", (f, n.COVARIATE), priors["G"]))
    if len(design.coords[n.SITE]) > 1 and (spec.groups is None or spec.groups.by != "site"):
        found.append(from_prior("tau_site", (f,), priors["tau_site"]))
        found.append(Parameter("u_site", (f, n.SITE), scale="tau_site", scale_dims=(f,), zero_sum=True))
    return found


def linear(theta: dict[str, Any], design: Design) -> Linear:
    """Return what is linear in the parameters: levels at x = 0, and slopes on the factors as loadings."""
    people, functions = design.diagnosis.shape[0], len(design.coords[n.FUNCTION])
    columns = {
        "A": design.diagnosis,
        "G": design.covariate,
        "u_site": design.site,
        "level_burden": design.burden,
        "level_none": design.none,
    }
    level = np.zeros((functions, 0)), np.zeros((people, 0))
    if not theta.keys().isdisjoint(columns):
        level = effects(theta, columns, functions)
    slope = theta.get("B", np.zeros((functions, 0)))
    burden = theta.get("B_burden"), design.burden
    return make_linear(level, contrasts(slope, theta.get("B_disorder"), design.diagnosis, burden=burden))


def log_spread(h: Any, design: Design) -> Any:
    """Return log S [`participant`, `function`]."""
    return design.centred_diagnosis @ h.T


def quadratic(theta: dict[str, Any], design: Design) -> Quadratic:
    """Return the density of the functions given the factors, over (factors, functions)."""
    said = linear(theta, design)
    people, functions = design.diagnosis.shape[0], len(design.coords[n.FUNCTION])
    slope = jnp.broadcast_to(said.own, (people, functions, said.loading.shape[1]))
    identity = jnp.broadcast_to(jnp.eye(functions), (people, functions, functions))
    rows = jnp.concatenate([-slope, identity, said.mean[:, :, None]], axis=2)
    log_det = 0.0
    if "h" in theta:
        rows = rows * jnp.exp(-log_spread(theta["h"], design))[:, :, None]
    if "Omega" in theta:
        root = theta["Omega"]
        rows = solve_triangular(root, jnp.eye(functions), lower=True) @ rows
        log_det = 2 * jnp.log(jnp.diagonal(root)).sum()
    if "h" in theta:
        log_det = log_det + 2 * log_spread(theta["h"], design).sum(axis=1)
    return observe(rows, jnp.ones(functions), log_det, jnp.full(people, functions))
