"""The reference problem as users of Stan and of PyMC write it, with people's functions sampled.

Both take their data from a design and their parameters by our names: ``_raw`` is to be multiplied by its
scale, ``_root`` is a Cholesky factor, ``x`` and ``e`` are of people. Stan comes by
``pip install pystan`` and needs a C++ compiler; it is no dependency of the project.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from nssi_bayes import names as n
from nssi_bayes.build import Built

__all__ = ["PROGRAM", "make_pymc", "stan_data", "to_pymc"]

PROGRAM: Final = Path(__file__).with_name("rival_explicit.stan")

type Array = np.ndarray[Any, Any]


def _long(value: Array, seen: Array) -> tuple[Array, Array, list[int]]:
    """Return what was observed, measure after measure, its rows (from 1) and where each measure ends."""
    rows = [np.flatnonzero(column) for column in seen.T]
    values = [value[r, m] for m, r in enumerate(rows)]
    return np.concatenate(values), np.concatenate(rows) + 1, np.cumsum([len(r) for r in rows]).tolist()


def stan_data(built: Built, *, centred: bool) -> dict[str, Any]:
    """Return the data of the Stan program."""
    d = built.design
    answer, answer_person, answer_end = _long(d.response + 1, d.response != d.missing_response)
    score, score_person, score_end = _long(d.factor, d.factor_seen)
    signal, signal_scan, signal_end = _long(d.activation, d.activation_seen)
    signal_variance, _, _ = _long(d.activation_se**2, d.activation_seen)
    slope = next(p for p in built.parameters if p.name == "B")
    shape = slope.shape(d.coords)
    sizes = {
        "people": len(d.diagnosis), "functions": len(d.coords[n.FUNCTION]),
        "factors": len(d.coords[n.FACTOR]),
        "disorders": len(d.coords[n.DISORDER]), "covariates": len(d.coords[n.COVARIATE]),
        "sites": len(d.coords[n.SITE]), "items": len(d.categories), "categories": d.missing_response,
        "regions": len(d.coords[n.ROI]), "networks": len(d.coords[n.NETWORK]),
        "confounds": len(d.coords[n.CONFOUND]), "scanned": len(d.scanned), "answers": len(answer),
        "scores": len(score), "signals": len(signal),
    }  # fmt: skip
    arrays = {
        "diagnosis": d.diagnosis, "burden": d.burden, "covariate": d.covariate, "site": d.site,
        "answer": answer, "answer_person": answer_person, "answer_end": answer_end,
        "function_of": d.function_of + 1, "score": score, "score_person": score_person,
        "score_end": score_end, "score_sd": np.sqrt(d.factor_error), "signal": signal,
        "signal_variance": signal_variance, "signal_scan": signal_scan, "signal_end": signal_end,
        "scan_person": d.scanned + 1, "network_of": d.network_of + 1, "confound": d.confound,
        "B_mu": np.broadcast_to(slope.mu, shape), "B_sigma": np.broadcast_to(slope.sigma, shape),
    }  # fmt: skip
    listed = {name: np.asarray(value).tolist() for name, value in arrays.items()}
    return {"centred": int(centred), **{f"n_{name}": size for name, size in sizes.items()}, **listed}


def make_pymc(built: Built) -> pm.Model:
    """State the model in PyMC: named dims, non-centred effects, data in long form."""
    d = built.design
    coords = {dim: labels for dim, labels in d.coords.items() if labels}
    seen = d.response != d.missing_response
    person, item = np.nonzero(seen)
    scored, which = np.nonzero(d.factor_seen)
    scan, region = np.nonzero(d.activation_seen)
    f, p, k, r, s = n.FUNCTION, n.FACTOR, n.DISORDER, n.ROI, n.SITE
    with pm.Model(coords={**coords, n.PARTICIPANT: range(len(d.diagnosis))}) as model:
        factor = _factors(built)
        eta = _functions(built, factor)
        slope = pm.LogNormal("lambda", 0.5, 0.5, dims=n.INDICATOR)
        dims = (f"{n.INDICATOR}_3", f"{n.CATEGORY}_3")
        probability = pm.Dirichlet("category_probability_3", np.ones((len(d.categories), 3)), dims=dims)
        cut = pm.math.logit(pt.cumsum(probability, axis=1)[:, :2])
        pm.OrderedLogistic(
            "answer", eta=slope[item] * eta[person, d.function_of[item]], cutpoints=cut[item],
            observed=d.response[seen], compute_p=False,
        )  # fmt: skip
        pm.Normal(
            "score", factor[scored, which], np.sqrt(d.factor_error)[which], observed=d.factor[d.factor_seen]
        )

        tau = pm.HalfNormal("tau_m", 0.25)
        m = tau * pm.ZeroSumNormal("m_raw", 1.0, dims=(r, k))
        tau_site = pm.HalfNormal("tau_site_neural", 0.25)
        by_site = tau_site * pm.ZeroSumNormal("site_neural_raw", 1.0, dims=(r, s))
        offset = pm.HalfNormal("tau_roi", 0.1, dims=f) * pm.Normal("L_offset_raw", dims=(r, f))
        loading = pm.Normal("L_network", 0, 0.15, dims=(n.NETWORK, f))[d.network_of] + offset
        expected = (
            pm.Normal("mu", 0, 0.5, dims=r)
            + d.confound @ pm.Normal("confound_slope", 0, 0.25, dims=(r, n.CONFOUND)).T
            + d.burden[d.scanned][:, None] * pm.Normal("m_burden", 0, 0.15, dims=r)
            + d.diagnosis[d.scanned] @ m.T
            + d.site[d.scanned] @ by_site.T
            + factor[d.scanned] @ pm.Normal("D", 0, 0.15, dims=(r, p)).T
            + eta[d.scanned] @ loading.T
        )
        sigma = pm.HalfNormal("sigma", 1, dims=r)
        noise = pt.sqrt(sigma[region] ** 2 + d.activation_se[d.activation_seen] ** 2)
        pm.Normal("signal", expected[scan, region], noise, observed=d.activation[d.activation_seen])
    return model


def _factors(built: Built) -> Any:
    d, p = built.design, n.FACTOR
    mean = (
        pm.Normal("mu_x", 0, 0.5, dims=p)
        + d.diagnosis @ pm.Normal("M", 0, 0.5, dims=(p, n.DISORDER)).T
        + d.covariate @ pm.Normal("N", 0, 0.25, dims=(p, n.COVARIATE)).T
    )
    sd = pm.HalfNormal("sigma_x", 1, dims=p)
    root = pm.LKJCorr("Omega_x_root", n=len(d.coords[p]), eta=1, dims=(p, n.FACTOR_OTHER))
    return pm.MvNormal("x", mean, chol=sd[:, None] * root, dims=(n.PARTICIPANT, p))


def _functions(built: Built, factor: Any) -> Any:
    d = built.design
    f, p, k, s = n.FUNCTION, n.FACTOR, n.DISORDER, n.SITE
    slope = next(one for one in built.parameters if one.name == "B")
    root = pm.LKJCorr("Omega_root", n=len(d.coords[f]), eta=1, dims=(f, n.FUNCTION_OTHER))
    level = pm.HalfNormal("tau_mean", 0.5, dims=f)[:, None] * pm.ZeroSumNormal("A_raw", 1.0, dims=(f, k))
    by_disorder = pm.HalfNormal("tau_slope", 0.15, dims=f)[:, None, None] * pm.ZeroSumNormal(
        "B_disorder_raw", 1.0, dims=(f, p, k)
    )
    site = pm.HalfNormal("tau_site", 0.25, dims=f)[:, None] * pm.ZeroSumNormal("u_site_raw", 1.0, dims=(f, s))
    mean = (
        d.diagnosis @ level.T
        + d.burden[:, None] * pm.Normal("level_burden", 0, 0.25, dims=f)
        + d.covariate @ pm.Normal("G", 0, 0.25, dims=(f, n.COVARIATE)).T
        + d.site @ site.T
        + factor @ pm.Normal("B", slope.mu, slope.sigma, dims=(f, p)).T
    )
    for q in range(len(d.coords[p])):
        mean = mean + factor[:, [q]] * (d.diagnosis @ by_disorder[:, q].T)
    return mean + pm.Normal("e", dims=(n.PARTICIPANT, f)) @ root.T


def to_pymc(model: pm.Model, point: Mapping[str, Array]) -> tuple[dict[str, Array], float]:
    """Return a point in PyMC's coordinates, and the log-determinant of the derivative by them.

    Up to a constant, and the way back is taken to see that it leads to the point.
    """
    found, total = {}, 0.0
    for rv in model.free_RVs:
        value_var, value = model.rvs_to_values[rv], np.asarray(point[rv.name], dtype=float)
        transform = model.rvs_to_transforms[rv]
        if transform is None:
            found[value_var.name] = value
            continue
        there = transform.forward(pt.as_tensor(value), *rv.owner.inputs).eval(mode="FAST_COMPILE")
        back = transform.backward(pt.as_tensor(there), *rv.owner.inputs).eval(mode="FAST_COMPILE")
        np.testing.assert_allclose(back, value, rtol=1e-6, atol=1e-9)
        jacobian = transform.log_jac_det(pt.as_tensor(there), *rv.owner.inputs).eval(mode="FAST_COMPILE")
        found[value_var.name] = there
        total += float(np.sum(jacobian))
    return found, total
