"""Section 9: a methods text to paste, with priors, versions and BibTeX."""

from __future__ import annotations

from typing import Final

from nssi_bayes.report.citations import bibtex, cited, short
from nssi_bayes.report.computed import computation, decisions, link
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.parts import Part, code, lines, missing, prose, tabulated, text
from nssi_bayes.report.selection import selection
from nssi_bayes.report.software import PACKAGES, installed
from nssi_bayes.report.tables import table
from nssi_bayes.report.varying import by_disorder, by_group, pooled, unit
from nssi_bayes.report.words import pretty, split_name
from nssi_bayes.spec import ConventionalSpec, JointSpec, Prior, RepeatedSpec, read_priors
from nssi_bayes.spec.pathways import backwards, networks_of

__all__ = ["methods", "paragraphs"]

_OWN: Final = frozenset(read_priors())  # parameters with a prior of their own name
_BY_LINK: Final = frozenset((  # and by the outcome's link
    "a", "d", "q", "w", "tau_w", "w_burden", "v", "theta", "phi", "baseline", "baseline_missing",
    "outcome_covariate",
))  # fmt: skip
_CODING: Final = {
    "additive": "each diagnosis contributes its own term, with a term for the number of further diagnoses",
    "averaged": "diagnoses of a person have weights that sum to 1",
    "primary": "a person's primary diagnosis counts, and others do not",
}


def methods(e: Evidence) -> list[Part]:
    """Return paragraphs on data, model, priors, computation and decisions, and what they cite."""
    model = e.models.get(e.main or "")
    if not isinstance(model, JointSpec):
        return [missing("There is no joint model to describe.")]
    return [
        text(
            "Copy, check, and add what only you know: recruitment, setting, acquisition. Words are those of "
            "association, of groups; nothing here supports more, or says anything of one person."
        ),
        prose(paragraphs(e), title="Methods"),
        tabulated(f"Priors of {split_name(str(e.main))}", lambda: _priors(e)),
        tabulated(
            "Software",
            lambda: table(
                "software",
                [{"package": name, "version": installed(name)} for name in PACKAGES],
                words=("version",),
            ),
            folded=True,
        ),
        lines(
            [
                f"{i.title}: {i.reference.citation}{f', doi:{i.reference.doi}' if i.reference.doi else ''}"
                for i in e.instruments.values()
            ],
            title="Instruments",
        ),
        code(
            bibtex(
                cited(e),
                instruments=[(n, i.reference.citation, i.reference.doi) for n, i in e.instruments.items()],
            ),
            title="BibTeX",
            folded=True,
        ),
    ]


def paragraphs(e: Evidence) -> list[str]:
    """Return the methods text, a paragraph a topic.

    Parameters
    ----------
    e : Evidence
        With a joint model.

    Returns
    -------
    list of str
        Without numbers of people under ``min_cell``.
    """
    model = e.models[str(e.main)]
    if not isinstance(model, JointSpec):
        return []
    return [
        p
        for p in (
            _data(e, model),
            _measurement(e, model),
            _structure(e, model),
            _neural(e, model),
            _outcome(e, model),
            _conventional(e),
            _repeated(e),
            computation(e),
            decisions(e),
            selection(e),
        )
        if p
    ]


def _data(e: Evidence, model: JointSpec) -> str:
    people = e.checks.get(str(e.main), {}).get("training", {}).get("participants")
    count = f"{people} people" if people and people >= e.params.min_cell else "people"
    blocks = e.checks.get(str(e.main), {}).get("training", {}).get("blocks", [])
    disorders = [pretty(d["disorder"]) for d in (e.flow or {}).get("disorders", [])]
    measures = ", ".join(f"{i.title} ({i.reference.citation})" for i in e.instruments.values())
    synthetic = "The data are synthetic: the people are invented. " if e.synthetic else ""
    return (
        f"{synthetic}We analysed {count} with joint hierarchical Bayesian models in nssi-bayes "
        f"{installed('nssi-bayes')}. Diagnoses ({', '.join(disorders) or 'none'}) may overlap: "
        f"{_CODING[model.disorder.coding]}. Instruments: {measures or 'none'}. Nobody was dropped for "
        f"missing a part of the data ({', '.join(blocks)}); missing responses, factors and scans are part of "
        f"the likelihood and taken to be missing at random given what was observed.{_unused(e)}{_linked(e)}"
    )


def _linked(e: Evidence) -> str:
    """Say what the study assumes where different people answered different instruments."""
    places = e.study.instruments.values() if e.study is not None else ()
    common = sum(len(place.same_as) for place in places)
    said = f" Items counted as the same in two instruments: {common}." if common else ""
    if e.study is not None and e.study.assume is not None:
        said += (
            " Groups of people who answered different instruments for the same function were assumed to be "
            "drawn from one population; the data cannot tell."
        )
    return said


def _unused(e: Evidence) -> str:
    """Say how many answers are not used since their subscale, which enters as a sum, is not complete."""
    training = e.checks.get(str(e.main), {}).get("training", {})
    share = training.get("unused_answers", 0.0)
    if share is None:
        return (
            " A subscale that enters as a sum is missing where one of its items is; the other answers to it, "
            "of few people, are not used."
        )
    if not share:
        return ""
    return (
        " A subscale that enters as a sum is missing where one of its items is; the other answers to it, "
        f"{share:.1%} of all that were given, are not used."
    )


def _measurement(e: Evidence, model: JointSpec) -> str:
    parameters = set(e.parameters.get(str(e.main), []))
    continuous, ordinal = (
        "lambda_score" in parameters,
        "lambda" in parameters or "lambda_score" not in parameters,
    )
    functions = "; ".join(f"{pretty(f)} by {', '.join(map(pretty, s))}" for f, s in model.functions.items())
    kept = ", ".join(map(pretty, model.measurement.keep_items))
    sums = (
        f" Items of a subscale enter as one graded indicator, their sum ({short('thissen1989')})"
        f"{f', except {kept}' if kept else ''}."
        if model.measurement.testlets == "sum" and ordinal
        else ""
    )
    kinds = []
    if ordinal:
        kinds.append(f"ordinal responses in a cumulative logit model ({short('samejima1969')})")
    if continuous:
        kinds.append("continuous scores in a Gaussian factor model")
    free = [name for name, there in (("thresholds", ordinal), ("intercepts", continuous)) if there]
    unit_and_free = f"{unit(model)}, loadings are positive and {' and '.join(free)} free."
    if model.groups is not None:
        unit_and_free = f"{by_group(model, continuous=continuous)} Loadings are positive."
    return (
        f"{len(model.functions)} latent functions of self-injury are measured by {' and '.join(kinds)}: "
        f"{functions}.{sums} {unit_and_free}{_bias(model)}"
    )


def _bias(model: JointSpec) -> str:
    """Return what of the measurement differs by disorder."""
    measurement = model.measurement
    if measurement.bias == "none":
        return ""
    size = (
        "normal with one scale"
        if measurement.bias == "dense"
        else "under a regularised horseshoe with one scale an indicator (Piironen & Vehtari 2017, "
        "doi:10.1214/17-EJS1337SI)"
    )
    held = (
        f"{', '.join(map(pretty, measurement.anchors))} have none"
        if measurement.anchors
        else "they sum to zero over the indicators of a function"
    )
    return (
        f" Thresholds {'and log loadings ' if measurement.nonuniform else ''}of an indicator may differ by "
        f"disorder: shifts are {size}, sum to zero over "
        f"disorders, and {held}."
    )


def _measured(by_items: str) -> str:
    """Say how factors with items of their own are measured."""
    if not by_items:
        return ""
    return (
        f" Factors measured by items of their own, in the same model as functions ({by_items}), have a "
        "residual sd of 1 and mean 0 at the cohort's average diagnoses; others are scores with a known "
        "reliability."
    )


def _structure(e: Evidence, model: JointSpec) -> str:
    factors = ", ".join(pretty(f) for f in model.factors)
    by_items = "; ".join(f"{pretty(f)} by {', '.join(map(pretty, s))}" for f, s in model.factor_items.items())
    has = e.parameters.get(str(e.main), [])
    site = "" if model.groups is not None and model.groups.by == "site" else " and site"
    omega = (
        " Residual correlations of the functions are those of one second-order factor, on which each loads "
        "with a flat prior from 0 to 1."
        if "g" in has
        else f" Residual correlations of the functions have an LKJ prior ({short('lewandowski2009')})."
        if "Omega" in has
        else ""
    )
    if model.distribution != "normal":
        omega += (
            " What is left of the functions is a sinh-arcsinh transform of a normal (Jones & Pewsey 2009, "
            "doi:10.1093/biomet/asp053), one a function, standardised; effects are in sd before it."
        )
    return (
        f"Functions are regressed on {factors or 'no psychosocial factor'}"
        f"{', with the unreliability of each factor in the model' if factors else ''}, on covariates"
        f"{site}.{_measured(by_items)}{omega} {_varying(model)}"
    )


def _varying(model: JointSpec) -> str:
    """Say what differs by disorder, and under which constraint."""
    varies, effects = by_disorder(model), pooled(model)
    if not varies:
        return "Nothing varies by disorder in the functions of the model shown, or in how they are measured."
    told = f"By disorder vary: {', '.join(varies)}."
    if effects:
        those = "These effects" if effects == varies else f"Differences in {', '.join(effects)}"
        told += (
            f" {those} sum to zero over disorders and are partially pooled, "
            f"each function with a scale of its own, half-normal a priori ({short('gelman2006')})."
        )
    if model.disorder.burden:
        varying = [w for w in effects if w != "levels"]
        told += f" Each further diagnosis of a person may change {' and '.join(varying)} as well."
    if model.disorder.spread:
        told += (
            " Logarithms of residual sds sum to zero over disorders, under one half-normal scale for all "
            "functions."
        )
    return told


def _neural(e: Evidence, model: JointSpec) -> str:
    imaging = (e.flow or {}).get("imaging") or {}
    told = []
    for block, has in (("activation", model.neural), ("connectivity", model.connectivity)):
        if has is None or block not in imaging:
            continue
        settings = "; ".join(
            f"{pretty(k)}: {v}" for k, v in sorted(imaging[block]["settings"].items()) if k != "cleaning"
        )
        told.append(
            f"{block.capitalize()} enters by region or edge, with its first-level standard error "
            f"({settings})."
        )
    if not told:
        return ""
    return (
        f"{' '.join(told)} Associations with functions are pooled within networks; residuals of one person's "
        "measures share factors; head motion is a covariate. Images were read with nilearn "
        f"({short('abraham2014')}) "
        f"from a BIDS folder ({short('gorgolewski2016')})."
    )


def _outcome(e: Evidence, model: JointSpec) -> str:
    """Return what the outcome is regressed on, and how."""
    if model.outcome is None:
        return ""
    has, terms = set(e.parameters.get(str(e.main), [])), model.outcome_from
    how = {"_log": "in a log-linear model of its rate", "_logit": "in a logistic model"}
    regressed = how.get(link(has), "in a linear model")
    on = ["functions", "diagnoses"]
    on += ["psychosocial factors"] if "q" in has else []
    on += ["covariates"] if "outcome_covariate" in has else []
    on += ["site"] if "site_outcome" in has else []
    on += ["what it was before"] if terms.baseline else []
    on += ["latent activation of networks"] if terms.activation else []
    told = f"The outcome ({pretty(model.outcome)}) was regressed {regressed} on {', '.join(on)}."
    if terms.treatment:
        told += (
            f" So it was on {' and '.join(map(pretty, terms.treatment))} as coded, and on its product with "
            "each function, which says how its association with the outcome differs with the function."
        )
    if "baseline_missing" in has:
        told += (
            " Of people of whom it is not known what the outcome was before, a term of its own says so "
            "(White & Thompson 2005, doi:10.1002/sim.1981), which suits treatments that were randomised."
        )
    if terms.activation:
        told += (
            " Latent activation of a network is the mean over its regions of what diagnoses, factors, "
            "functions and residual factors of the person and of the network expect; it is known with "
            "uncertainty."
        )
    return told + _pathways(model)


def _pathways(model: JointSpec) -> str:
    """Say how indirect associations were computed, and what they assume."""
    if not model.pathways:
        return ""
    first = "activation" if backwards(model) else "functions"
    order = f" Of functions and activation {first} came first, which no data choose."
    return (
        " Indirect associations with the outcome are products of slopes along pathways named in the model's "
        "file, standardised by g-computation over people as met (Pearl 2001, arXiv:1301.2300). They assume "
        "that nothing unobserved goes with two steps; what a residual correlation of the outcome and the "
        "step before it from -.5 to .5 would leave of them is shown (Imai, Keele & Yamamoto 2010, "
        f"doi:10.1214/10-STS321).{order if networks_of(model) else ''}"
    )


def _conventional(e: Evidence) -> str:
    names = [split_name(m) for m, spec in e.models.items() if isinstance(spec, ConventionalSpec)]
    if not names:
        return ""
    verb = "regresses" if len(names) == 1 else "regress"
    return (
        f"As the field's practice, {' and '.join(names)} {verb} the outcome on sum scores of the same "
        "people in Bambi "
        f"({short('capretto2022')}), with the mean of answered items and an indicator of what is missing."
    )


def _repeated(e: Evidence) -> str:
    names = [split_name(m) for m, spec in e.models.items() if isinstance(spec, RepeatedSpec)]
    if not names:
        return ""
    return (
        f"Counts of several occasions were regressed in Bambi ({short('capretto2022')}) with an effect of "
        f"every person ({', '.join(names)}). For scores a person was left out with all counts, and effects "
        "were integrated out by adaptive Gauss-Hermite quadrature."
    )


def _priors(e: Evidence) -> str:
    priors = e.priors[str(e.main)]
    has = set(e.parameters.get(str(e.main), []))
    ending = link(has)
    some = {name.removesuffix("_some") for name in has if name.endswith("_some")}  # of any count, in logits
    has = {f"{name}{ending}" if name in _BY_LINK else name for name in has}
    has |= {f"{name}_logit" for name in some & _BY_LINK}
    if "tau_site_outcome" in some:
        has.add("tau_site_logit")
    if ending and "tau_site_outcome" in has:
        has.add(f"tau_site{ending}")
    plain = [model for model in e.models.values() if not isinstance(model, RepeatedSpec)]
    factors = {f"B_{f}" for model in plain for f in model.factors}
    shown = [
        {"parameter": name, "prior": _density(prior), "unit": prior.unit, "source": prior.source}
        for name, prior in priors.items()
        if not has or _used(name, has) or ("B" in has and name in factors)
    ]
    return table("priors", shown, words=("prior", "unit", "source"))


def _used(name: str, has: set[str]) -> bool:
    """Return whether a model has a parameter with this prior, by the parameter's name or how it begins."""
    begins = "loading_" if name.startswith("residual_loading") else f"{name}_"
    return name in has or any(p.startswith(begins) for p in has if p not in _OWN)


def _density(prior: Prior) -> str:
    if prior.family == "mixture":
        parts = [f"{w:.2g} normal({m:.2g}, {s:.2g})" for w, m, s in zip(*prior.components, strict=True)]
        return " + ".join(parts)
    constants = [
        f"{value:g}" for value in (prior.mu, prior.sigma, prior.alpha, prior.beta) if value is not None
    ]
    return f"{prior.family}({', '.join(constants)})"
