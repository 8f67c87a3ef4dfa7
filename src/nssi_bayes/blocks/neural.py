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
from nssi_bayes.blocks.parameter import Parameter, from_prior
from nssi_bayes.integrate.gaussian import Measured, Quadratic, fold
from nssi_bayes.spec import JointSpec, Prior

__all__ = ["loadings", "mean", "observed", "parameters", "residual_loadings"]


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


def loadings(theta: dict[str, Any], design: Design) -> Any:
    """Return the loadings on the functions, [scanned, `roi`, `function`] or [`roi`, `function`]."""
    common = theta["L_network"][design.network_of] + theta["L_offset"]
    if "L_disorder" not in theta:
        return common
    return common + jnp.einsum("ik,rfk->irf", design.scan_diagnosis, theta["L_disorder"])


def residual_loadings(theta: dict[str, Any], design: Design) -> Any:
    """Return the loadings on the person's residual factors [`roi`, factor]."""
    if "loading_person" not in theta:
        return jnp.zeros((len(design.coords[n.ROI]), 0))
    columns = [theta["loading_person"][:, None]]
    if "loading_network" in theta:
        columns.append(design.big_network * theta["loading_network"])
    return jnp.concatenate(columns, axis=1)


def mean(theta: dict[str, Any], design: Design) -> Any:
    """Return the expected activation where factors and functions are 0 [scanned, `roi`]."""
    scanned = design.scanned
    total = theta["mu"] + design.confound @ theta["confound_slope"].T
    if "m" in theta:
        total = total + design.scan_diagnosis @ theta["m"].T
    if "m_burden" in theta:
        total = total + design.burden[scanned, None] * theta["m_burden"]
    if "m_none" in theta:
        total = total + design.none[scanned, None] * theta["m_none"]
    if "site_neural" in theta:
        total = total + design.site[scanned] @ theta["site_neural"].T
    return total


def observed(theta: dict[str, Any], design: Design) -> Quadratic:
    """Return what the scans say, over (factors, functions), for the scanned people only."""
    inverse, across, log_det = _residual_precision(theta, design)
    common = theta["D"] if "D" in theta else jnp.zeros((len(design.coords[n.ROI]), 0))
    measured = Measured(
        design.activation - mean(theta, design),
        inverse,
        log_det,
        design.activation_seen.sum(axis=1),
        across,
        None if across is None else np.maximum(design.partner, 0),
    )
    return fold(residual_loadings(theta, design), common, loadings(theta, design), measured)


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
