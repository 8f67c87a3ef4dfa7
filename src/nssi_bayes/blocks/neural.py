"""Regional activation with its first-level standard error, for whoever was scanned.

    activation_ir ~ N(mu_r + m_r . c_i + D_r . x_i* + (L_r + sum_k c_ik L_rk) . eta_i
                      + confounds + site + residual factors, sigma_r^2 + se_ir^2)

Loadings are pooled over regions of a network and over disorders. One person's regions share
residual variance: one factor for the person, one for each network with at least three regions,
and one for each pair of homologous regions; all are integrated out. The regions of a network have
one loading in common, and so have all pairs: with three regions, loadings of their own are a
Heywood case (with 64 scans a tail effective size of 297 of 4 000 draws; with one, some 2 000).
Without residual factors 24 regions would count as 24 witnesses.
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

__all__ = ["linear", "networks", "observed", "parameters", "shared"]


def parameters(spec: JointSpec, design: Design, priors: dict[str, Prior]) -> list[Parameter]:
    """Declare the parameters of the activation block."""
    if spec.neural is None:
        return []
    r, f, k = n.ROI, n.FUNCTION, n.DISORDER
    found = [from_prior("mu", (r,), priors["mu"])]
    if len(design.coords[k]) > 1:
        found.append(from_prior("tau_m", (), priors["tau_m"]))
        found.append(Parameter("m", (r, k), scale="tau_m", zero_sum=True))
    found += [
        from_prior("L_network", (n.NETWORK, f), priors["L_network"]),
        from_prior("tau_roi", (f,), priors["tau_roi"]),
        Parameter("L_offset", (r, f), scale="tau_roi", scale_dims=(f,)),
        from_prior("confound_slope", (r, n.CONFOUND), priors["confound"]),
        from_prior("sigma", (r,), priors["sigma"]),
    ]
    if spec.disorder.coding == "additive" and design.burden.any():
        found.append(from_prior("m_burden", (r,), priors["m_burden"]))
    if design.none.any():
        found.append(from_prior("m_none", (r,), priors["m_none"]))
    if design.coords[n.FACTOR]:
        found.append(from_prior("D", (r, n.FACTOR), priors["D"]))
    if spec.disorder.loadings:
        found.append(from_prior("tau_neural", (f,), priors["tau_neural"]))
        found.append(Parameter("L_disorder", (r, f, k), scale="tau_neural", scale_dims=(f,), zero_sum=True))
        if spec.disorder.burden and design.burden.any():
            found.append(from_prior("L_burden", (r, f), priors["L_burden"]))
    if len(design.coords[n.SITE]) > 1:
        found.append(from_prior("tau_site_neural", (), priors["tau_site"]))
        found.append(Parameter("site_neural", (r, n.SITE), scale="tau_site_neural", zero_sum=True))
    if spec.neural.residual == "factor":
        loading = priors["residual_loading"]
        found.append(from_prior("loading_person", (r,), loading))
        if design.coords[n.BIG_NETWORK]:
            found.append(from_prior("loading_network", (n.BIG_NETWORK,), loading))
        if (design.partner >= 0).any():
            found.append(from_prior("loading_homologous", (), loading))
    return found


def linear(theta: dict[str, Any], design: Design) -> Linear:
    """Return what is linear in the parameters, of the scanned people."""
    scanned, regions = design.scanned, len(design.coords[n.ROI])
    columns = {
        "mu": np.ones(len(scanned)),
        "confound_slope": design.confound,
        "m": design.scan_diagnosis,
        "m_burden": design.burden[scanned],
        "m_none": design.none[scanned],
        "site_neural": design.site[scanned],
    }
    loading = theta["L_network"][design.network_of] + theta["L_offset"]
    burden = theta.get("L_burden"), design.burden[scanned]
    return make_linear(
        effects(theta, columns, regions),
        contrasts(loading, theta.get("L_disorder"), design.scan_diagnosis, burden=burden),
        common=theta.get("D"),
        residual=_residual(theta, design),
    )


def networks(theta: dict[str, Any], design: Design) -> Linear:
    """Return everybody's latent activation of each network, less what is the same for all.

    The mean over its regions of what diagnoses, factors, functions and residual factors of the person and of
    networks expect. What is of one region or pair alone is not in it, since their unreliability is there, and
    neither are site and confounds, which are of the scan.
    """
    member = np.asarray(design.network_of) == np.arange(len(design.coords[n.NETWORK]))[:, None]
    mean = member / member.sum(axis=1, keepdims=True)
    loading = theta["L_network"][design.network_of] + theta["L_offset"]
    people = len(design.diagnosis)
    columns = {"m": design.diagnosis, "m_burden": design.burden, "m_none": design.none}
    effect: tuple[Any, Any] = (np.zeros((len(mean), 0)), np.zeros((people, 0)))
    if not theta.keys().isdisjoint(columns):
        coefficient, column = effects(theta, columns, len(design.coords[n.ROI]))
        effect = mean @ coefficient, column
    found, contrast = contrasts(
        loading, theta.get("L_disorder"), design.diagnosis, burden=(theta.get("L_burden"), design.burden)
    )
    by_function = (mean @ found.reshape(len(found), -1)).reshape(len(mean), *found.shape[1:])
    common = mean @ theta["D"] if "D" in theta else None
    residual = mean @ _residual(theta, design)
    return make_linear(effect, (by_function, contrast), common=common, residual=residual)


def shared(theta: Any, design: Design) -> int:
    """Return how many residual factors of activation the outcome loads on, too: all of them, or none."""
    if "v" not in theta:
        return 0
    return 1 + (len(design.coords[n.BIG_NETWORK]) if "loading_network" in theta else 0)


def _residual(theta: dict[str, Any], design: Design) -> Any:
    """Return loadings on residual factors of the person and of networks [`roi`, residual factor]."""
    if "loading_person" not in theta:
        return np.zeros((len(design.coords[n.ROI]), 0))
    found = theta["loading_person"][:, None]
    if "loading_network" in theta:
        found = joined([found, design.big_network * theta["loading_network"]], 1)
    return found


def observed(theta: dict[str, Any], design: Design) -> Quadratic:
    """Return what the scans say, over (factors, functions), for the scanned people only.

    Where the outcome loads on residual factors, too, over (residual factors, factors, functions).
    """
    inverse, across, log_det = _residual_precision(theta, design)
    said = linear(theta, design)
    measured = Measured(
        design.activation - said.mean,
        inverse,
        log_det,
        design.activation_seen.sum(axis=1),
        across,
        None if across is None else np.maximum(design.partner, 0),
    )
    if shared(theta, design):
        return fold(said.residual[:, :0], said.with_residual, said.own, measured)
    return fold(said.residual, said.common, said.own, measured)


def _residual_precision(theta: dict[str, Any], design: Design) -> tuple[Any, Any, Any]:
    """Inverse of the residual covariance, block-diagonal in pairs of homologous regions.

    Returns the diagonal, the element with the partner (or None) and the log-determinant.
    """
    seen = jnp.asarray(design.activation_seen, dtype=float)
    variance = theta["sigma"] ** 2 + design.activation_se**2
    if "loading_homologous" not in theta:
        return seen / variance, None, (seen * jnp.log(variance)).sum(axis=1)
    shared = theta["loading_homologous"] ** 2
    paired = (design.partner >= 0).astype(float)
    variance = variance + shared * paired
    partner = np.maximum(design.partner, 0)
    both = seen * seen[:, partner] * paired
    covariance = shared * both
    other = jnp.where(both > 0, variance[:, partner], 1.0)
    determinant = variance * other - covariance**2
    inverse = seen * other / determinant
    across = -covariance / determinant
    # a pair's log-determinant is counted half at each of the two
    log_det = jnp.where(both > 0, 0.5 * jnp.log(determinant), jnp.log(variance))
    return inverse, across, (seen * log_det).sum(axis=1)
