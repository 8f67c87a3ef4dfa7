"""Functional connectivity: Fisher's z of edges with standard errors, for whoever was scanned.

    connectivity_ie ~ N(mu_e + m_e . c_i + D_e . x_i* + (L_e + sum_k c_ik L_ek) . eta_i
                        + confounds + site + residual factors, sigma_e^2 + se_ie^2)
    L_e = L_pair[networks of e] + L_end[a(e)] + L_end[b(e)] + L_edge_offset[e]

Loadings of an edge are pooled over its pair of networks and, with a multi-membership term, over
the two regions that it joins (Chen 2019, 10.1002/hbm.24686). One person's edges share residual
variance: one factor for the person, and one for the edges that meet at a region with at least
three of them, all of which have one loading in common; they are integrated out.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.linear import Linear, contrasts, effects, joined, make_linear
from nssi_bayes.blocks.parameter import Parameter, from_prior
from nssi_bayes.integrate.gaussian import Measured, Quadratic, fold
from nssi_bayes.spec import JointSpec, Prior

__all__ = ["linear", "observed", "parameters"]


def parameters(spec: JointSpec, design: Design, priors: dict[str, Prior]) -> list[Parameter]:
    """Declare the parameters of the edges."""
    if spec.connectivity is None:
        return []
    e, f, k = n.EDGE, n.FUNCTION, n.DISORDER
    found = [from_prior("mu_edge", (e,), priors["mu_edge"])]
    if len(design.coords[k]) > 1:
        found.append(from_prior("tau_m_edge", (), priors["tau_m_edge"]))
        found.append(Parameter("m_edge", (e, k), scale="tau_m_edge", zero_sum=True))
    found += [
        from_prior("L_pair", (n.NETWORK_PAIR, f), priors["L_pair"]),
        from_prior("tau_end", (f,), priors["tau_end"]),
        Parameter("L_end", (n.EDGE_REGION, f), scale="tau_end", scale_dims=(f,)),
        from_prior("tau_edge", (f,), priors["tau_edge"]),
        Parameter("L_edge_offset", (e, f), scale="tau_edge", scale_dims=(f,)),
        from_prior("confound_slope_edge", (e, n.CONFOUND_EDGE), priors["confound_edge"]),
        from_prior("sigma_edge", (e,), priors["sigma_edge"]),
    ]
    if spec.disorder.coding == "additive" and design.burden.any():
        found.append(from_prior("m_edge_burden", (e,), priors["m_edge_burden"]))
    if design.none.any():
        found.append(from_prior("m_edge_none", (e,), priors["m_edge_none"]))
    if design.coords[n.FACTOR]:
        found.append(from_prior("D_edge", (e, n.FACTOR), priors["D_edge"]))
    if spec.disorder.loadings:
        found.append(from_prior("tau_neural_edge", (f,), priors["tau_neural_edge"]))
        found.append(
            Parameter("L_edge_disorder", (e, f, k), scale="tau_neural_edge", scale_dims=(f,), zero_sum=True)
        )
        if spec.disorder.burden and design.burden.any():
            found.append(from_prior("L_edge_burden", (e, f), priors["L_edge_burden"]))
    if len(design.coords[n.SITE]) > 1:
        found.append(from_prior("tau_site_edge", (), priors["tau_site"]))
        found.append(Parameter("site_edge", (e, n.SITE), scale="tau_site_edge", zero_sum=True))
    if spec.connectivity.residual == "factor":
        loading = priors["residual_loading_edge"]
        found.append(from_prior("loading_person_edge", (e,), loading))
        if design.coords[n.HUB]:
            found.append(from_prior("loading_hub", (), loading))
    return found


def linear(theta: dict[str, Any], design: Design) -> Linear:
    """Return what is linear in the parameters, of the people who have edges."""
    who, edges = design.connected, len(design.coords[n.EDGE])
    columns = {
        "mu_edge": np.ones(len(who)),
        "confound_slope_edge": design.confound_edge,
        "m_edge": design.diagnosis[who],
        "m_edge_burden": design.burden[who],
        "m_edge_none": design.none[who],
        "site_edge": design.site[who],
    }
    loading = theta["L_pair"][design.pair_of] + design.edge_ends @ theta["L_end"] + theta["L_edge_offset"]
    burden = theta.get("L_edge_burden"), design.burden[who]
    residual = None
    if "loading_person_edge" in theta:
        residual = theta["loading_person_edge"][:, None]
        if "loading_hub" in theta:
            residual = joined([residual, design.hub * theta["loading_hub"]], 1)
    return make_linear(
        effects(theta, columns, edges),
        contrasts(loading, theta.get("L_edge_disorder"), design.diagnosis[who], burden=burden),
        common=theta.get("D_edge"),
        residual=residual,
    )


def observed(theta: dict[str, Any], design: Design) -> Quadratic:
    """Return what the edges say, over (factors, functions), for the people who have some."""
    seen = jnp.asarray(design.connectivity_seen, dtype=float)
    variance = theta["sigma_edge"] ** 2 + design.connectivity_se**2
    said = linear(theta, design)
    measured = Measured(
        design.connectivity - said.mean,
        seen / variance,
        (seen * jnp.log(variance)).sum(axis=1),
        design.connectivity_seen.sum(axis=1),
    )
    return fold(said.residual, said.common, said.own, measured)
