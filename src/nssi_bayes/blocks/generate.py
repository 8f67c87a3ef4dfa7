"""Draw the data of every person from the joint model (NumPy): prior and posterior prediction, SBC.

Written apart from the likelihood, forwards, so that each is an oracle for the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks import bias, continuous, groups, neural, predicted
from nssi_bayes.blocks.design import Design
from nssi_bayes.families import ordinal
from nssi_bayes.integrate import sinh_arcsinh

__all__ = ["Latent", "generate", "latents"]

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


@dataclass(frozen=True)
class Latent:
    """Latent values of every person.

    Parameters
    ----------
    factor : numpy.ndarray
        x* [`participant`, `factor`].
    function : numpy.ndarray
        eta [`participant`, `function`].
    residual : numpy.ndarray, optional
        Residual factors of activation, of the person and of networks [`participant`, residual factor]; drawn
        with the activation where nothing else loads on them.
    """

    factor: Array
    function: Array
    residual: Array | None = None


def latents(theta: Theta, design: Design, rng: np.random.Generator) -> Latent:
    """Draw the latent factors and functions of new people with the design's diagnoses and sites."""
    people = design.diagnosis.shape[0]
    functions = len(design.coords[n.FUNCTION])
    factor: Array = np.zeros((people, 0))
    if design.coords[n.FACTOR]:
        factor = _factor_means(theta, design)
        if "N" in theta:
            factor = factor + design.covariate @ theta["N"].T
        noise = rng.standard_normal((people, factor.shape[1]))
        if "Omega_x" in theta:
            noise = noise @ theta["Omega_x"].T
        factor = factor + noise * np.append(theta.get("sigma_x", []), np.ones(len(design.item_factors)))
    noise = rng.standard_normal((people, functions))
    eta = noise @ theta["Omega"].T if "Omega" in theta else noise
    if design.coords[n.GROUP]:
        root, level = groups.roots(theta, design)[design.group_of], groups.levels(theta, design)
        eta = level[design.group_of] + (root @ noise[:, :, None])[:, :, 0]
    if "h" in theta:
        eta = eta * np.exp(design.centred_diagnosis @ theta["h"].T)
    for name, column in (("A", design.diagnosis), ("G", design.covariate), ("u_site", design.site)):
        if name in theta:
            eta = eta + column @ theta[name].T
    for name, vector in (("level_burden", design.burden), ("level_none", design.none)):
        if name in theta:
            eta = eta + vector[:, None] * theta[name]
    if "B" in theta:
        eta = eta + factor @ theta["B"].T
    if "B_disorder" in theta:
        eta = eta + np.einsum("ik,ip,fpk->if", design.diagnosis, factor, theta["B_disorder"])
    if "B_burden" in theta:
        eta = eta + design.burden[:, None] * (factor @ theta["B_burden"].T)
    if "epsilon" in theta:
        eta = sinh_arcsinh.transform(eta, sinh_arcsinh.shape_of(theta["epsilon"], theta["tailweight"]))
    count = neural.shared(theta, design)
    return Latent(factor, eta, rng.standard_normal((people, count)) if count else None)


def _factor_means(theta: Theta, design: Design) -> Array:
    """Return what diagnoses say of the factors; those with items have mean 0 over the cohort's diagnoses."""
    factor: Array = design.diagnosis @ theta["M"].T
    for p, label in enumerate(design.coords[n.FACTOR]):
        if label in design.item_factors:
            factor[:, p] -= design.mean_diagnosis @ theta["M"][p]
        else:
            factor[:, p] += theta["mu_x"][p]
    return factor


def generate(
    theta: Theta, design: Design, rng: np.random.Generator, *, latent: Latent | None = None
) -> Design:
    """Draw new data in the places where the design has data.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        One value of every parameter.
    design : Design
        Diagnoses, covariates, sites and masks.
    rng : numpy.random.Generator
        Source of randomness.
    latent : Latent, optional
        Latent values to keep; by default new ones.

    Returns
    -------
    Design
        With responses, factor scores, activation, connectivity and outcome replaced.
    """
    who = latents(theta, design, rng) if latent is None else latent
    scored = who.factor[:, : len(design.scored_factors)]
    error = rng.standard_normal(scored.shape) * np.sqrt(design.factor_error)
    changed: dict[str, Any] = {"factor": np.where(design.factor_seen, scored + error, 0.0)}
    if design.coords[n.INDICATOR]:
        axes = np.concatenate([who.factor[:, len(design.scored_factors) :], who.function], axis=1)
        changed["response"] = _responses(theta, design, rng, axes)
    if design.coords[n.SCORE]:
        changed["score"] = _scores(theta, design, rng, who.function)
    if len(design.scanned):
        changed["activation"] = _activation(theta, design, rng, who)
    if len(design.connected):
        changed["connectivity"] = _connectivity(theta, design, rng, who)
    if "w" in theta:
        changed["outcome"] = _outcome(theta, design, rng, who)
    return replace(design, **changed)


def _responses(theta: Theta, design: Design, rng: np.random.Generator, eta: Array) -> Array:
    if design.coords[n.GROUP]:
        return _responses_by_group(theta, design, rng, eta)
    load = np.broadcast_to(theta["lambda"], design.response.shape).copy()
    if bias.is_biased(theta, kind="_loading"):
        for row, j in zip(
            bias.effects(theta, design, kind="_loading"), np.asarray(design.biased), strict=True
        ):
            load[:, j] *= np.exp(design.diagnosis @ row)
    predictor = load * eta[:, design.function_of]
    for name in ("cross_loading", "lambda_general"):
        if name in theta:
            further = np.asarray(design.further_indicator), np.asarray(design.further_function)
            for size, j, f in zip(theta[name], *further, strict=True):
                predictor[:, j] += size * eta[:, f]
    for testlets in design.testlets_of:
        for s, items in testlets:
            predictor[:, items] += theta["gamma"][s] * rng.standard_normal((len(eta), 1))
    if bias.is_biased(theta):
        for row, j in zip(bias.effects(theta, design), np.asarray(design.biased), strict=True):
            predictor[:, j] += design.diagnosis @ row
    response = np.full(design.response.shape, design.missing_response)
    for count in design.category_groups:
        rows = theta[f"category_probability_{count}"]
        for row, j in zip(rows, np.flatnonzero(design.categories == count), strict=True):
            response[:, j] = ordinal.simulate(rng, row, predictor[:, j])
    return np.where(design.response == design.missing_response, design.missing_response, response)


def _responses_by_group(theta: Theta, design: Design, rng: np.random.Generator, eta: Array) -> Array:
    """Draw latent responses nu + lambda eta + s e, e logistic, and cut them at the thresholds."""
    response = np.full(design.response.shape, design.missing_response)
    place = {c: list(np.flatnonzero(design.categories == c)) for c in design.category_groups}
    many = [j for j, count in enumerate(design.categories) if count > 2]
    for g, j in np.ndindex(len(design.coords[n.GROUP]), len(design.categories)):
        who, count = np.flatnonzero(design.group_of == g), int(design.categories[j])
        size, share = theta["lambda"], theta[f"category_probability_{count}"]
        size, share = (v[g] if v.ndim == full else v for v, full in ((size, 2), (share, 3)))
        latent, scale = size[j] * eta[who, design.function_of[j]], 1.0
        if g and "nu_group" in theta:
            latent = latent + theta["nu_group"][g - 1, j]
        if g and "scale_group" in theta and count > 2:
            scale = theta["scale_group"][g - 1, many.index(j)]
        latent = latent + scale * rng.logistic(size=len(who))
        own = share[place[count].index(j)]
        below, above = np.cumsum(own), np.cumsum(own[::-1])
        kappa = np.log(below[:-1]) - np.log(above[::-1][1:])
        response[who, j] = (latent[:, None] > kappa).sum(axis=1)
    return np.where(design.response == design.missing_response, design.missing_response, response)


def _scores(theta: Theta, design: Design, rng: np.random.Generator, eta: Array) -> Array:
    intercept, size = (
        theta[name][design.group_of] if theta[name].ndim == 2 else theta[name]
        for name in ("nu", "lambda_score")
    )
    noise = rng.standard_normal(design.score.shape) * continuous.sd_of(theta, design)
    return np.where(design.score_seen, intercept + size * eta[:, design.score_function] + noise, 0.0)


def _expected_activation(theta: Theta, design: Design, who: Latent) -> Array:
    """Return what diagnoses, factors and functions expect of regions, of everybody [`participant`, `roi`]."""
    loading = theta["L_network"][design.network_of] + theta["L_offset"]
    value = who.function @ loading.T
    if "m" in theta:
        value = value + design.diagnosis @ theta["m"].T
    if "L_disorder" in theta:
        value = value + np.einsum("ik,if,rfk->ir", design.diagnosis, who.function, theta["L_disorder"])
    if "L_burden" in theta:
        value = value + design.burden[:, None] * (who.function @ theta["L_burden"].T)
    if "D" in theta:
        value = value + who.factor @ theta["D"].T
    for name, vector in (("m_burden", design.burden), ("m_none", design.none)):
        if name in theta:
            value = value + vector[:, None] * theta[name]
    return value


def _activation(theta: Theta, design: Design, rng: np.random.Generator, who: Latent) -> Array:
    scanned = design.scanned
    value = _expected_activation(theta, design, who)[scanned]
    value = value + theta["mu"] + design.confound @ theta["confound_slope"].T
    if "site_neural" in theta:
        value = value + design.site[scanned] @ theta["site_neural"].T
    own = None if who.residual is None else who.residual[scanned]
    if "loading_person" in theta:
        shared = rng.standard_normal((len(scanned), 1)) if own is None else own[:, :1]
        value = value + shared * theta["loading_person"]
    if "loading_network" in theta:
        big = design.big_network.shape[1]
        shared = rng.standard_normal((len(scanned), big)) if own is None else own[:, 1:]
        value = value + (shared * theta["loading_network"]) @ design.big_network.T
    if "loading_homologous" in theta:
        for r, other in enumerate(design.partner):
            if other > r:
                value[:, [r, other]] += rng.standard_normal((len(scanned), 1)) * theta["loading_homologous"]
    sd = np.sqrt(theta["sigma"] ** 2 + design.activation_se**2)
    return np.where(design.activation_seen, value + rng.standard_normal(sd.shape) * sd, 0.0)


def _connectivity(theta: Theta, design: Design, rng: np.random.Generator, who: Latent) -> Array:
    scanned = design.connected
    eta, c = who.function[scanned], design.diagnosis[scanned]
    loading = theta["L_pair"][design.pair_of] + theta["L_edge_offset"]
    for e, ends in enumerate(design.edge_ends):
        for region in np.flatnonzero(ends):
            loading[e] += theta["L_end"][region]
    value = theta["mu_edge"] + eta @ loading.T
    if "m_edge" in theta:
        value = value + c @ theta["m_edge"].T
    value = value + design.confound_edge @ theta["confound_slope_edge"].T
    if "L_edge_disorder" in theta:
        value = value + np.einsum("ik,if,efk->ie", c, eta, theta["L_edge_disorder"])
    if "L_edge_burden" in theta:
        value = value + design.burden[scanned, None] * (eta @ theta["L_edge_burden"].T)
    if "D_edge" in theta:
        value = value + who.factor[scanned] @ theta["D_edge"].T
    for name, vector in (("m_edge_burden", design.burden), ("m_edge_none", design.none)):
        if name in theta:
            value = value + vector[scanned, None] * theta[name]
    if "site_edge" in theta:
        value = value + design.site[scanned] @ theta["site_edge"].T
    if "loading_person_edge" in theta:
        value = value + rng.standard_normal((len(scanned), 1)) * theta["loading_person_edge"]
    if "loading_hub" in theta:
        shared = rng.standard_normal((len(scanned), design.hub.shape[1]))
        value = value + theta["loading_hub"] * shared @ design.hub.T
    sd = np.sqrt(theta["sigma_edge"] ** 2 + design.connectivity_se**2)
    return np.where(design.connectivity_seen, value + rng.standard_normal(sd.shape) * sd, 0.0)


def _outcome(theta: Theta, design: Design, rng: np.random.Generator, who: Latent) -> Array:
    predictors = []
    for end in ("_some", "") if "w_some" in theta else ("",):
        value = theta.get(f"a{end}", 0.0) + design.diagnosis @ theta[f"d{end}"]
        value = value + who.function @ theta[f"w{end}"]
        if f"w_disorder{end}" in theta:
            own = theta[f"w_disorder{end}"]
            value = value + np.einsum("ik,if,fk->i", design.diagnosis, who.function, own)
        if f"w_burden{end}" in theta:
            value = value + design.burden * (who.function @ theta[f"w_burden{end}"])
        if f"theta{end}" in theta:
            effect = theta[f"theta{end}"] + who.function @ theta[f"phi{end}"].T
            value = value + (np.asarray(design.treatment) * effect).sum(axis=1)
        if f"baseline{end}" in theta:
            value = value + np.asarray(design.baseline)[:, 0] * theta[f"baseline{end}"]
        if f"baseline_missing{end}" in theta:
            value = value + np.asarray(design.baseline)[:, 1] * theta[f"baseline_missing{end}"]
        if f"v{end}" in theta:
            value = value + _latent_activation(theta, design, who) @ theta[f"v{end}"]
        if f"q{end}" in theta:
            value = value + who.factor @ theta[f"q{end}"]
        if f"outcome_covariate{end}" in theta:
            value = value + design.covariate @ theta[f"outcome_covariate{end}"]
        if f"site_outcome{end}" in theta:
            value = value + design.site @ theta[f"site_outcome{end}"]
        predictors.append(value)
    return np.where(design.outcome_seen, predicted.simulate(theta, design, rng, predictors), 0.0)


def _latent_activation(theta: Theta, design: Design, who: Latent) -> Array:
    """Return what the regions of each network have in common, of everybody [`participant`, `network`]."""
    if who.residual is None:
        raise ValueError("the outcome loads on residual factors of activation, which are not there")
    value = _expected_activation(theta, design, who) + who.residual[:, :1] * theta["loading_person"]
    if "loading_network" in theta:
        value = value + (who.residual[:, 1:] * theta["loading_network"]) @ design.big_network.T
    networks = range(len(design.coords[n.NETWORK]))
    return np.stack([value[:, design.network_of == w].mean(axis=1) for w in networks], axis=1)
