"""The outcome of a cohort as arrays: its values, exposure, treatments and what it was before."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.baseline import baseline
from nssi_bayes.blocks.scans import columns_of
from nssi_bayes.blocks.treatments import CURE, treatments
from nssi_bayes.errors import SpecError
from nssi_bayes.schema import family_of
from nssi_bayes.spec import MOST_BESIDE, JointSpec

__all__ = ["make_outcome"]

type Array = np.ndarray[Any, Any]


def make_outcome(cohort: xr.Dataset, spec: JointSpec, where: str) -> dict[str, Any]:
    """Return the fields of `Design` for the outcome, and coords; nothing is seen of one not asked for.

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
        By name.

    Raises
    ------
    SpecError
        If a route does not have such an outcome, or somebody who has it has no known treatment.
    """
    people = cohort.sizes[n.PARTICIPANT]
    coords: dict[str, list[Any]] = {n.TREATMENT: list(spec.outcome_from.treatment)}
    if spec.outcome is None:
        seen = np.zeros(people, dtype=bool)
        return {"coords": coords, "outcome": np.zeros(people), "outcome_seen": seen}
    value = columns_of(cohort, n.OUTCOME_VALUE, n.OUTCOME, (spec.outcome,), people)[:, 0]
    seen = np.isfinite(value)
    found: dict[str, Any] = {"coords": coords, "outcome": np.nan_to_num(value), "outcome_seen": seen}
    found |= _terms(cohort, spec, seen, where)
    family = family_of(cohort, spec.outcome)
    if family == n.GAUSSIAN:
        return found
    if spec.factor_items:
        cure = "leave `outcome` out, or let the factors be their scores: take them out of `factor_items`"
        said = f"factor_items: not beside the outcome {spec.outcome!r}, which is {family.replace('_', ' ')}"
        raise SpecError(f"{said}; a Gaussian one has a closed form", where=where, cure=cure)
    _check_route(spec, family, where)
    found["outcome_family"] = family
    if family in n.COUNTS:
        exposure = np.ones((people, 1))
        if n.OUTCOME_EXPOSURE in cohort:
            exposure = columns_of(cohort, n.OUTCOME_EXPOSURE, n.OUTCOME, (spec.outcome,), people)
        found["outcome_exposure"] = np.where(seen, exposure[:, 0], 1.0)
    if family == n.ORDINAL:
        count = int(cohort[n.OUTCOME_CATEGORIES].sel({n.OUTCOME: spec.outcome}))
        coords[n.OUTCOME_CATEGORY] = list(range(count))
    return found


def _terms(cohort: xr.Dataset, spec: JointSpec, seen: Array, where: str) -> dict[str, Any]:
    """Return treatments as coded, and the baseline with, where somebody lacks it, who does."""
    found: dict[str, Any] = {}
    if spec.outcome_from.treatment:
        labels, outcome = spec.outcome_from.treatment, str(spec.outcome)
        value, problems = treatments(cohort, labels, outcome=outcome, seen=seen)
        if problems:
            raise SpecError(problems, where=where, cure=CURE)
        found["treatment"] = np.nan_to_num(value)
    if spec.outcome_from.baseline:
        before, known = baseline(cohort, str(spec.outcome))
        missing = [] if known[seen].all() else [(~known).astype(float)]
        found["baseline"] = np.stack([before, *missing], axis=1)
    return found


def _check_route(spec: JointSpec, family: str, where: str) -> None:
    """Refuse what a route does not have for an outcome that is not Gaussian."""
    beside = len(spec.functions) <= MOST_BESIDE and family != n.HURDLE
    reason = (
        f"the outcome {spec.outcome!r} is {family.replace('_', ' ')} and goes with all functions at once, "
        f"so that the integral over more than {MOST_BESIDE} of them does not separate"
    )
    if family == n.HURDLE:
        reason = (
            f"the outcome {spec.outcome!r} is a hurdle negative binomial, whose two predictors go with all "
            "functions at once, so that the integral over them does not separate"
        )
    if spec.route == "marginal" and not beside:
        cure = "write route: auto, which samples the functions of such a model"
        raise SpecError(f"route: marginal: {reason}", where=where, cure=cure)
    if spec.measurement.nonuniform:
        cure = "leave `measurement.nonuniform` or `outcome` out"
        raise SpecError(f"measurement.nonuniform: not beside such data: {reason}", where=where, cure=cure)
    if spec.groups is not None:
        cure = "leave `groups` or `outcome` out"
        said = f"groups: the ladder has closed forms alone, and an outcome that is {family} has none"
        raise SpecError(said, where=where, cure=cure)
