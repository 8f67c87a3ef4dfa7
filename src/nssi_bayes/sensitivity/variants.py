"""The same model under other assumptions: priors, covariates, sites, and what is missing and why.

What is missing is ignorable in the model, given items, history, diagnoses and site. The runs with
`missing_*` ask what if it is not: it is filled in from the posterior, every value `delta` sd away from
what the model expects, and the model is fitted to the completed data (a pattern-mixture analysis,
Little 1993, 10.1080/01621459.1993.10594302, with one imputation). `delta` 0 shows what filling in
alone does. `selection` makes who was scanned an outcome of the functions, in the same model: if it goes with
them, and they with activation, scans are missing for a reason that the model then holds (a shared-parameter
selection model, Little 1995, 10.1080/01621459.1995.10476615).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks import joint, neural
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.generate import Latent, generate
from nssi_bayes.blocks.people import few
from nssi_bayes.blocks.scans import labels_of
from nssi_bayes.build import Built, build, build_design, fingerprint
from nssi_bayes.errors import SpecError
from nssi_bayes.integrate import sinh_arcsinh
from nssi_bayes.integrate.quadrature import Moments
from nssi_bayes.spec import JointSpec, read_priors
from nssi_bayes.spec.priors import POSITIVE, REAL, Prior, PriorChange
from nssi_bayes.spec.settings import Sensitivity

__all__ = ["Fitted", "Variant", "scaled", "variants", "without_overlaps"]

_SELECTION: Final = "who was scanned, an outcome of the functions"
_SCALES: Final = {"half": 0.5, "double": 2.0}
_COVARIATES: Final = {"motion": ("motion", "framewise"), "medication": ("medic",)}
_WHO: Final = {"missing_scans": ("scanned", "connected"), "missing_outcome": ("outcome",)}

type Array = np.ndarray[Any, Any]


class Variant(NamedTuple):
    """One change, and the model under it; without a model `note` says why.

    `with_slopes`: slopes of its outcome, which the model as it is does not have, are told.
    """

    name: str
    built: Built | None
    note: str = ""
    with_slopes: bool = False


class Fitted(NamedTuple):
    """The posterior that variants with filled-in data start from."""

    theta: dict[str, Array]
    moments: Moments


def variants(
    built: Built, settings: Sensitivity, fitted: Fitted, rng: np.random.Generator
) -> Iterator[Variant]:
    """Yield every change that is asked for.

    Parameters
    ----------
    built : Built
        The model as it is.
    settings : Sensitivity
        What is asked for.
    fitted : Fitted
        Its posterior.
    rng : numpy.random.Generator
        Source of randomness.

    Yields
    ------
    Variant
        In the order of `settings`; those of ``overlaps`` are of `without_overlaps`, which needs the cohort.
    """
    for kind in settings.refits:
        if kind in _SCALES:
            yield Variant(f"prior scales x {_SCALES[kind]:g}", scaled(built, _SCALES[kind]))
        elif kind in ("weak", "informed"):
            yield _other_set(built, kind)
        elif kind in _COVARIATES:
            yield _without(built, kind)
        elif kind == "site":
            yield from _sites(built)
        elif kind == "selection":
            yield _selection(built)
        elif kind != "overlaps":
            yield from _filled(built, kind, settings.deltas, fitted, rng)


def scaled(built: Built, factor: float) -> Built:
    """Return a model with the scale of every prior of the set multiplied; what is flat stays flat.

    Parameters
    ----------
    built : Built
        The model.
    factor : float
        Of every scale.

    Returns
    -------
    Built
        Another model of the same data.
    """
    priors = read_priors(built.spec.priors, built.spec.prior_set)
    scaled = {
        name: PriorChange(**_constants(p, factor))
        for name, p in priors.items()
        if p.sigma is not None or p.family == "gamma" or p.sigmas is not None
    }
    return _with_priors(built, {**built.spec.priors, **scaled})


def _constants(p: Prior, factor: float) -> dict[str, Any]:
    """Return the constants of a prior with its scale multiplied, and its family where that may change."""
    own = {"family": p.family} if p.family in (*POSITIVE, *REAL) else {}
    if p.family == "mixture":  # all of it about its mean
        weights, mus, sigmas = p.components
        mean = sum(w * m for w, m in zip(weights, mus, strict=True))
        wider = [mean + factor * (m - mean) for m in mus], [factor * s for s in sigmas]
        return {**own, "weights": weights, "mus": tuple(wider[0]), "sigmas": tuple(wider[1])}
    if p.family == "gamma" and p.beta is not None:
        return {**own, "alpha": p.alpha, "beta": p.beta / factor}
    return {**own, "mu": p.mu, "sigma": None if p.sigma is None else p.sigma * factor, "alpha": p.alpha}


def _like(built: Built, spec: JointSpec, design: Design) -> Built:
    """Make a model of another spec or other data that integrates with the same nodes."""
    return replace(build_design(spec, design), fine=built.fine)


def _with_priors(built: Built, changes: dict[str, PriorChange]) -> Built:
    return _like(built, built.spec.model_copy(update={"priors": changes}), built.design)


def _other_set(built: Built, name: str) -> Variant:
    if built.spec.prior_set == name:
        return Variant(f"{name} priors", None, f"the priors are the {name} ones already")
    other = _like(built, built.spec.model_copy(update={"prior_set": name}), built.design)
    if fingerprint(other, other.spec) == fingerprint(built, built.spec):
        return Variant(f"{name} priors", None, "the model has no parameter with an informed prior")
    return Variant(f"{name} priors", other)


def _without(built: Built, kind: str) -> Variant:
    """Set a covariate to its mean for everybody, wherever it enters."""
    design, changed = built.design, {}
    for dim, field in (
        (n.COVARIATE, "covariate"),
        (n.CONFOUND, "confound"),
        (n.CONFOUND_EDGE, "confound_edge"),
    ):
        labels = [str(v).lower() for v in design.coords.get(dim, [])]
        hit = [i for i, label in enumerate(labels) if any(word in label for word in _COVARIATES[kind])]
        if hit:
            values = getattr(design, field).copy()
            values[:, hit] = 0.0
            changed[field] = values
    name = f"without {kind}"
    if not changed:
        return Variant(name, None, f"the model has no covariate that is called {kind}")
    return Variant(name, _like(built, built.spec, replace(design, **changed)))


def _sites(built: Built) -> Iterator[Variant]:
    sites = built.design.coords[n.SITE]
    if built.spec.groups is not None:
        yield Variant("each site left out", None, "a group of the model may be left without people")
        return
    if len(sites) < 2:
        yield Variant("each site left out", None, "there is one site")
        return
    for s, site in enumerate(sites):
        keep = np.flatnonzero(built.design.site[:, s] == 0)
        yield Variant(f"{n.WITHOUT_SITE}{site}", _like(built, built.spec, few(built.design, keep)))


def _selection(built: Built) -> Variant:
    """Make who was scanned an outcome of the model."""
    spec, design = built.spec, built.design
    scanned = np.isin(np.arange(len(design.diagnosis)), [*design.scanned, *design.connected])
    asked = {
        "it has an outcome already": spec.outcome is not None,
        "nobody, or everybody, was scanned": not 0 < scanned.sum() < len(scanned),
        "it has groups": spec.groups is not None,
        "its factors are measured by items": bool(spec.factor_items),
        "its loadings differ by disorder": spec.measurement.nonuniform,
        "its functions are skewed": spec.distribution != "normal",
    }
    reason = next((why for why, there in asked.items() if there), "")
    if reason:
        return Variant(_SELECTION, None, f"the model has no such term: {reason}")
    whole = replace(
        design, outcome=scanned.astype(float), outcome_seen=np.ones(len(scanned), dtype=bool),
        outcome_family=n.BERNOULLI,
    )  # fmt: skip
    other = _like(built, spec.model_copy(update={"outcome": "scanned"}), whole)
    return Variant(_SELECTION, other, with_slopes=True)


def without_overlaps(built: Built, cohort: xr.Dataset, overlaps: Iterable[str]) -> Iterator[Variant]:
    """Yield the model without each disorder and factor that overlaps with what it measures.

    People who have such a disorder alone, or of whose diagnoses it is the primary one that counts, count as
    people without a diagnosis.

    Parameters
    ----------
    built : Built
        The model as it is.
    cohort : xarray.Dataset
        Satisfies `schema`.
    overlaps : iterable of str
        Names of disorders and factors.

    Yields
    ------
    Variant
        One for each; one with a note where there is none, or where no model is left without it.
    """
    spec, disorders, found = built.spec, labels_of(cohort, n.DISORDER), False
    for name in overlaps:
        found = True
        disorder = name in disorders and len(disorders) > 1
        if not disorder and name not in spec.factors:
            yield Variant(f"without {name}", None, "the model has nothing else of its kind, or not this one")
            continue
        try:
            other = _without_one(spec, cohort, name, disorder=disorder)
        except SpecError:  # what it says may count people; refits that are done are not lost for it
            yield Variant(f"without {name}", None, "the model cannot be made without it")
            continue
        yield Variant(f"without {name}", replace(other, fine=built.fine))
    if not found:
        yield Variant("without what overlaps", None, "study.yaml marks nothing as overlapping")


def _without_one(spec: JointSpec, cohort: xr.Dataset, name: str, *, disorder: bool) -> Built:
    if disorder:
        return build(spec, cohort.drop_sel({n.DISORDER: name}))
    left = {
        "factors": tuple(f for f in spec.factors if f != name),
        "factor_items": {f: s for f, s in spec.factor_items.items() if f != name},
    }
    return build(spec.model_copy(update=left), cohort)


def _filled(
    built: Built, kind: str, deltas: tuple[float, ...], fitted: Fitted, rng: np.random.Generator
) -> Iterator[Variant]:
    design = built.design
    if kind == "missing_outcome":
        if design.outcome_family != n.GAUSSIAN:
            yield Variant("missing outcome", None, "the outcome is not Gaussian: it has no sd to be moved by")
            return
        there = "w" in fitted.theta and bool((~design.outcome_seen).any())
    else:
        people = len(design.diagnosis)
        there = any(0 < len(getattr(design, who)) < people for who in _WHO[kind])
    if not there:
        yield Variant(kind.replace("_", " "), None, "nothing of this kind is missing")
        return
    seed = int(rng.integers(2**62))
    for delta in deltas:
        own = np.random.default_rng(seed)  # the same draws for each delta, so that only delta differs
        completed = _complete(design, kind, fitted, own, delta=delta)
        yield Variant(f"{kind.replace('_', ' ')}, delta {delta:+g} sd", _like(built, built.spec, completed))


def _complete(design: Design, kind: str, fitted: Fitted, rng: np.random.Generator, *, delta: float) -> Design:
    """Fill in what is missing from one draw of the posterior, `delta` away."""
    s = int(rng.integers(len(fitted.moments.mean)))
    theta = {k: v[s] for k, v in fitted.theta.items()}
    root = np.linalg.cholesky(fitted.moments.covariance[s] + 1e-10 * np.eye(fitted.moments.mean.shape[2]))
    eta = fitted.moments.mean[s] + (root @ rng.standard_normal((*fitted.moments.mean.shape[1:], 1)))[..., 0]
    (residual, who), first = _factors(theta, design, eta, rng), len(design.item_factors)
    latent = Latent(np.concatenate([who, eta[:, :first]], axis=1), eta[:, first:], residual)
    if kind == "missing_outcome":
        whole = replace(design, outcome_seen=np.ones_like(design.outcome_seen))
        drawn = generate(theta, whole, rng, latent=latent).outcome + delta
        return replace(whole, outcome=np.where(design.outcome_seen, design.outcome, drawn))
    whole = design
    for name, values, confound in (
        ("scanned", "activation", "confound"), ("connected", "connectivity", "confound_edge")
    ):  # fmt: skip
        if 0 < len(getattr(design, name)) < len(design.diagnosis):
            whole = _everybody(whole, name, values, confound)
    drawn_all = generate(theta, whole, rng, latent=latent)
    changed: dict[str, Any] = {}
    for name, values in (("scanned", "activation"), ("connected", "connectivity")):
        added = len(getattr(whole, name)) - len(getattr(design, name))
        if added:
            new = getattr(drawn_all, values)[-added:] + delta
            changed[values] = np.concatenate([getattr(design, values), new])
    return replace(whole, **changed)


def _factors(
    theta: dict[str, Array], design: Design, axes: Array, rng: np.random.Generator
) -> tuple[Array | None, Array]:
    """Draw the true factors of those with scores, given the axes and all Gaussian data of a person.

    And, before them, residual factors of activation where the outcome loads on them, too. A score holds
    error; it stands for no true factor. Where functions are skewed, what is Gaussian of them is known
    with them.
    """
    count = neural.shared(theta, design)
    if not count + len(design.scored_factors):
        return None, np.zeros((len(axes), 0))
    mean, onto, covariance = (np.asarray(v) for v in joint.given_axes(theta, design, joint.BLOCKS))
    if "epsilon" in theta:
        shape = sinh_arcsinh.shape_of(theta["epsilon"], theta["tailweight"])
        axes = np.concatenate([sinh_arcsinh.invert(axes, shape)[0], axes], axis=1)[:, : onto.shape[2]]
    noise = rng.standard_normal((*mean.shape, 1))
    drawn = mean + (onto @ axes[:, :, None] + np.linalg.cholesky(covariance) @ noise)[:, :, 0]
    return drawn[:, :count] if count else None, drawn[:, count:]


def _everybody(design: Design, who: str, values: str, confound: str) -> Design:
    """Append the people without images: errors as usual (medians), confounds at their means."""
    there = getattr(design, who)
    away = np.setdiff1d(np.arange(len(design.diagnosis)), there)
    seen, error = getattr(design, f"{values}_seen"), getattr(design, f"{values}_se")
    usual = np.nan_to_num(np.nanmedian(np.where(seen, error, np.nan), axis=0))
    added = len(away)
    more: dict[str, Any] = {
        who: np.concatenate([there, away]),
        values: np.concatenate([getattr(design, values), np.zeros((added, seen.shape[1]))]),
        f"{values}_se": np.concatenate([error, np.tile(usual, (added, 1))]),
        f"{values}_seen": np.concatenate([seen, np.ones((added, seen.shape[1]), dtype=bool)]),
    }
    own = getattr(design, confound)
    more[confound] = np.concatenate([own, np.zeros((added, own.shape[1]))])
    return replace(design, **more)
