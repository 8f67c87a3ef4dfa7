"""Whether a cohort has what a spec names: subscales, factors, outcomes, images, more than one disorder."""

from __future__ import annotations

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.baseline import baseline_of
from nssi_bayes.blocks.scans import labels_of
from nssi_bayes.blocks.subscales import scores_of
from nssi_bayes.errors import did_you_mean
from nssi_bayes.spec import JointSpec
from nssi_bayes.spec.pathways import ACTIVATION

__all__ = ["unknown_mediators", "unknown_names"]


def unknown_names(cohort: xr.Dataset, spec: JointSpec) -> list[str]:
    """Say which names of a spec the cohort does not have, and what cannot vary in it.

    Parameters
    ----------
    cohort : xarray.Dataset
        Satisfies `schema`.
    spec : JointSpec
        The model.

    Returns
    -------
    list of str
        Problems, with the closest known names.
    """
    items = set(cohort[n.ITEM_SUBSCALE].to_numpy().astype(str).tolist())
    subscales = {*items, *scores_of(cohort)}
    found = [
        f"functions.{function}: no subscale {s!r}. {did_you_mean(s, subscales)}"
        for function, members in spec.functions.items()
        for s in members
        if s not in subscales
    ]
    found += [
        f"factor_items.{factor}: no subscale {s!r} of items. {did_you_mean(s, items)}{_why_not(s, cohort)}"
        for factor, members in spec.factor_items.items()
        for s in members
        if s not in items
    ]
    scored = [f for f in spec.factors if f not in spec.factor_items]
    known = {
        n.FACTOR: scored,
        n.OUTCOME: () if spec.outcome is None else (spec.outcome,),
        n.TREATMENT: spec.outcome_from.treatment,
    }
    for dim, labels in known.items():
        have = labels_of(cohort, dim)
        found += [
            f"{dim}: no {label!r} in the cohort. {did_you_mean(label, have)}"
            for label in labels
            if label not in have
        ]
    found += [*_unidentified_variation(cohort, spec), *_variation_of_nothing(spec)]
    if (
        spec.outcome_from.baseline
        and spec.outcome in labels_of(cohort, n.OUTCOME)
        and not baseline_of(cohort, str(spec.outcome))
    ):
        found.append(
            f"outcome_from.baseline: study.yaml names no `baseline` of the outcome {spec.outcome!r}; name "
            "another outcome there, or leave this out"
        )
    if spec.neural is not None and n.ROI not in cohort.dims:
        found.append("neural: the cohort has no activation")
    if spec.connectivity is not None and n.EDGE not in cohort.dims:
        found.append("connectivity: the cohort has no edges")
    return found


def unknown_mediators(cohort: xr.Dataset, spec: JointSpec, functions: list[str]) -> list[str]:
    """Say what pathways of a spec name and the cohort or its functions do not have.

    Parameters
    ----------
    cohort : xarray.Dataset
        Satisfies `schema`.
    spec : JointSpec
        The model, whose other names the cohort has.
    functions : list of str
        The model's: a bifactor model drops specific ones of too few items.

    Returns
    -------
    list of str
        Problems.
    """
    if not spec.pathways:
        return []
    scanned = n.ROI in cohort.dims and bool(cohort[n.ACTIVATION].notnull().any())
    networks = np.unique(cohort[n.ROI_NETWORK].to_numpy().astype(str)) if scanned else ()
    known = [*spec.factors, *functions, *(f"{name}{ACTIVATION}" for name in networks)]
    named = {name for path in spec.pathways for name in path[:-1]}
    found = [
        f"pathways: no {name!r} in the model. {did_you_mean(name, known)}"
        for name in sorted(named - set(known))
    ]
    return found + [
        f"pathways: {name!r} is two of a factor, a function and activation; give one of them another name"
        for name in sorted(named)
        if known.count(name) > 1
    ]


def _why_not(name: str, cohort: xr.Dataset) -> str:
    """Say why a subscale may not be among the items of a cohort."""
    if name not in scores_of(cohort):
        return " Is its instrument among `items` of study.yaml?"
    return (
        " It is a continuous score, which measures functions alone: let the factor be a score with a "
        "reliability"
    )


def _variation_of_nothing(spec: JointSpec) -> list[str]:
    """Say what is to vary by disorder and is not in the model; of groups another message tells."""
    if spec.groups is not None:
        return []
    found = []
    if spec.disorder.slopes and not (spec.factors or spec.factor_items):
        found.append("disorder.slopes: the model has no `factors` with slopes; name some, or leave this out")
    if spec.disorder.loadings and spec.neural is None and spec.connectivity is None:
        found.append(
            "disorder.loadings: the model has no images; write `neural` or `connectivity`, or leave this out"
        )
    return found


def _unidentified_variation(cohort: xr.Dataset, spec: JointSpec) -> list[str]:
    """Say what cannot vary by disorder because there is only one."""
    if cohort.sizes[n.DISORDER] > 1:
        return []
    found = [
        f"disorder.{name}: the cohort has one disorder; leave this out, or split the disorder in study.yaml"
        for name in ("slopes", "loadings", "spread", "outcome")
        if getattr(spec.disorder, name)
    ]
    if spec.measurement.bias != "none":
        found.append(
            "measurement.bias: the cohort has one disorder, whose bias is no contrast; leave this out"
        )
    everyone = bool((cohort[n.DIAGNOSIS].sum(n.DISORDER) > 0).all())
    if spec.disorder.levels and everyone:
        found.append("disorder.levels: everybody has the cohort's one disorder; leave this out")
    return found
