"""Continuous indicators and groups of a cohort as arrays and labels for the blocks.

A continuous indicator is one of the cohort's scores: the total of a subscale, or any number that
measures a function. A spec names it under `functions` as it names a subscale of items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.scans import labels_of
from nssi_bayes.errors import SpecError
from nssi_bayes.spec import JointSpec

__all__ = ["make_groups", "make_scores", "scores_of"]

type Array = np.ndarray[Any, Any]


def scores_of(cohort: xr.Dataset) -> list[str]:
    """Return the labels of the cohort's continuous scores."""
    return labels_of(cohort, n.SCORE)


def make_scores(cohort: xr.Dataset, spec: JointSpec, *, where: str) -> dict[str, Any]:
    """Return the fields of `Design` for continuous indicators, and coords.

    Parameters
    ----------
    cohort : xarray.Dataset
        Satisfies `schema`.
    spec : JointSpec
        The model.
    where : str
        The spec's file, for messages.

    Returns
    -------
    dict
        Values and masks [`participant`, `score`], function of each [`score`].

    Raises
    ------
    SpecError
        If a name is that of a score and of a subscale of items, or the model says of its indicators
        what is not there for continuous ones.
    """
    have = scores_of(cohort)
    subscales = set(cohort[n.ITEM_SUBSCALE].to_numpy().astype(str).tolist())
    named = [(s, f) for f, members in enumerate(spec.functions.values()) for s in members if s in have]
    twice = [f"functions: {s!r} is a score and a subscale of items" for s, _ in named if s in subscales]
    if twice:
        raise SpecError(twice, where=where, cure="give the score another name in study.yaml")
    labels = [s for s, _ in named]
    beyond = _of_items_alone(spec) if labels else []
    if beyond:
        cure = f"leave it out, or take the continuous indicators ({', '.join(labels)}) out of `functions`"
        raise SpecError(beyond, where=where, cure=cure)
    value = np.zeros((cohort.sizes[n.PARTICIPANT], 0))
    if labels:
        chosen = cohort.sel({n.SCORE: labels})
        value = chosen[n.SCORE_VALUE].to_numpy().astype(float)
        if spec.measurement.unit == "original":
            scale, center = (chosen[n.SCORE_VALUE + s].to_numpy() for s in (n.SCALE, n.CENTER))
            value = value * scale + center
    return {
        "coords": {n.SCORE: labels},
        "score": np.nan_to_num(value),
        "score_seen": np.isfinite(value),
        "score_function": np.array([f for _, f in named], dtype=int),
    }


def _of_items_alone(spec: JointSpec) -> list[str]:
    """Say what the spec asks for that continuous indicators do not have."""
    found = []
    if spec.measurement.bias != "none":
        found.append("measurement.bias: it moves thresholds, and continuous indicators have none")
    if spec.measurement.cross_loadings:
        found.append("measurement.cross_loadings: continuous indicators load on their own function alone")
    if spec.general == "bifactor":
        found.append(f"general: {spec.general} is for ordinal indicators, and some are continuous")
    if spec.distribution != "normal":
        found.append(f"distribution: {spec.distribution} is for ordinal indicators, and some are continuous")
    return found


def make_groups(
    cohort: xr.Dataset, spec: JointSpec, *, residual_factors: Sequence[str] = (), where: str
) -> dict[str, Any]:
    """Return the field of `Design` that says who is in which group, and coords.

    Parameters
    ----------
    cohort : xarray.Dataset
        Satisfies `schema`.
    spec : JointSpec
        The model.
    residual_factors : sequence of str
        Subscales whose items share one.
    where : str
        The spec's file, for messages.

    Returns
    -------
    dict
        Position of the group [`participant`], or nothing in it.

    Raises
    ------
    SpecError
        If people are in several groups or in none, a group has fewer than two, or the model says more than
        the ladder covers.
    """
    none: dict[str, Any] = {
        "coords": {n.GROUP: [], n.GROUP_LATER: []},
        "group_of": np.zeros(0, dtype=int),
    }
    if spec.groups is None:
        return none
    problems = _beyond(cohort, spec)
    if residual_factors:
        problems.append(
            f"groups: items of {', '.join(residual_factors)} share a residual factor, which is not in "
            "a model with groups; write measurement: {testlets: sum} and leave keep_items out"
        )
    if spec.groups.by == "site":
        site = cohort[n.SITE_OF].to_numpy().astype(str)
        labels = sorted(set(site))
        group = np.searchsorted(labels, site)
    else:
        diagnosis = cohort[n.DIAGNOSIS].to_numpy()
        labels = labels_of(cohort, n.DISORDER)
        group = diagnosis.argmax(axis=1)
        other = int((diagnosis.sum(axis=1) != 1).sum())
        if other:
            problems.append(f"groups.by: {other} people have no or several disorders, and no group")
    if len(labels) < 2:
        problems.append("groups.by: the cohort has one group")
    problems += _few(labels, group)
    if problems:
        cure = (
            "leave `groups` out, or let it stand alone: each person in one group, indicators all of one kind"
        )
        raise SpecError(problems, where=where, cure=cure)
    return {"coords": {n.GROUP: labels, n.GROUP_LATER: labels[1:]}, "group_of": group}


def _few(labels: list[str], group: Array) -> list[str]:
    """Say which groups have too few people to tell anything of."""
    sizes = np.bincount(group, minlength=len(labels))
    few = [str(label) for label, size in zip(labels, sizes, strict=True) if size < 2]
    if not few:
        return []
    said = (
        f"groups.by: fewer than 2 people are of {', '.join(few)}, whose means, spreads and correlations "
        "would be those of the prior; join it with another group, or take it out of study.yaml"
    )
    return [said]


def _beyond(cohort: xr.Dataset, spec: JointSpec) -> list[str]:
    """Say what the spec asks for that has no place in the ladder."""
    have = scores_of(cohort)
    ordinal = [s for members in spec.functions.values() for s in members if s not in have]
    found = []
    continuous = [s for members in spec.functions.values() for s in members if s in have]
    if ordinal and continuous:
        found.append(
            f"groups: {len(ordinal)} of the subscales are ordinal and {len(continuous)} continuous, and a "
            "ladder is for indicators of one kind; take either out of `functions`"
        )
    if spec.groups is not None and spec.groups.invariance == "thresholds" and continuous:
        found.append(
            "groups.invariance: thresholds is for ordinal indicators: continuous ones have none. Write "
            "configural, which makes nothing equal, or metric, which makes loadings equal"
        )
    asked = {
        "neural": spec.neural, "connectivity": spec.connectivity, "disorder.levels": spec.disorder.levels,
        "disorder.slopes": spec.disorder.slopes, "disorder.loadings": spec.disorder.loadings,
        "disorder.spread": spec.disorder.spread, "measurement.bias": spec.measurement.bias != "none",
        "measurement.cross_loadings": spec.measurement.cross_loadings,
        "general: bifactor": spec.general == "bifactor",
    }  # fmt: skip
    found += [f"{key}: not in a model with groups" for key, value in asked.items() if value]
    if spec.route == "explicit" and continuous:
        found.append("route: explicit is not in a model with groups whose indicators are continuous")
    return found
