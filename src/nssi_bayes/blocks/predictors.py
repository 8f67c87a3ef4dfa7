"""What a conventional analysis regresses an outcome on: one column a predictor, nothing missing."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.baseline import baseline
from nssi_bayes.blocks.treatments import CURE, treatments
from nssi_bayes.errors import DataError
from nssi_bayes.spec import ConventionalSpec

__all__ = ["FEWEST_MISSING", "SCORE", "plain", "predictors"]

FEWEST_MISSING: Final = 3
"""People that a missing-value column needs; with fewer it tells whose outcome it is."""
SCORE: Final = "score_"
"""What names of columns of sum scores begin with."""

type Array = np.ndarray[Any, Any]


def predictors(spec: ConventionalSpec, people: xr.Dataset) -> dict[str, Array]:
    """Return every predictor by a name that is safe in a formula; missing is set to the mean.

    Parameters
    ----------
    spec : ConventionalSpec
        The model.
    people : xarray.Dataset
        The people of a cohort who have the outcome.

    Returns
    -------
    dict of str to numpy.ndarray
        [`participant`].

    Raises
    ------
    DataError
        If a treatment is not known of somebody, or a treatment or baseline does not vary.
    """
    scores, lacking = _scores_of(spec, people)
    columns = {(SCORE, function): _standard(v) for function, v in scores.items()}
    for factor in spec.factors:
        value = people[n.FACTOR_SCORE].sel({n.FACTOR: factor}).to_numpy().astype(float)
        columns["factor_", factor] = value
        lacking[factor] = ~np.isfinite(value)
    columns = {key: np.nan_to_num(value) for key, value in columns.items()}
    columns |= _treatments(spec, people, {f: columns[SCORE, f] for f in scores})
    if spec.outcome_from.baseline:
        columns["", "baseline"], lacking["baseline"] = _before(spec, people)
    kept: list[Array] = []
    for name, missing in lacking.items():
        if missing.sum() >= FEWEST_MISSING and not any(np.array_equal(missing, k) for k in kept):
            columns["missing_", name] = missing.astype(float)
            kept.append(missing)
    diagnosis = people[n.DIAGNOSIS]
    for disorder in diagnosis[n.DISORDER].to_numpy():
        columns["diagnosis_", str(disorder)] = diagnosis.sel({n.DISORDER: disorder}).to_numpy().astype(float)
    for covariate in people[n.COVARIATE].to_numpy() if n.COVARIATE in people.dims else ():
        value = people[n.COVARIATE_VALUE].sel({n.COVARIATE: covariate}).to_numpy()
        columns["covariate_", str(covariate)] = value.astype(float)
    site = people[n.SITE_OF].to_numpy().astype(str)
    for label in sorted(set(site))[1:]:
        columns["site_", label] = (site == label).astype(float)
    return _safe(columns)


def _treatments(
    spec: ConventionalSpec, people: xr.Dataset, scores: dict[str, Array]
) -> dict[tuple[str, str], Array]:
    """Return treatments as coded, and their products with scores."""
    everybody = np.ones(people.sizes[n.PARTICIPANT], dtype=bool)
    labels = spec.outcome_from.treatment
    values, problems = treatments(people, labels, outcome=spec.outcome, seen=everybody)
    if problems:
        raise DataError(problems, cure=CURE)
    columns: dict[tuple[str, str], Array] = {}
    for label, value in zip(labels, values.T, strict=True):
        columns["treatment_", label] = value
        for function, score in scores.items():
            columns["product_", f"{function}_{label}"] = score * value
    return columns


def _before(spec: ConventionalSpec, people: xr.Dataset) -> tuple[Array, Array]:
    """Return what the outcome was before, missing at the mean of those who have it; and who lacks it."""
    value, seen = baseline(people, spec.outcome)
    if not seen.any() or np.ptp(value[seen]) == 0:
        raise DataError(
            f"what the outcome {spec.outcome!r} was before does not vary: {int(seen.sum())} of the "
            f"{len(seen)} people who have the outcome have it",
            cure="name another `baseline:` in study.yaml, or leave outcome_from.baseline out",
        )
    return np.where(seen, value, value[seen].mean()), ~seen


def _scores_of(spec: ConventionalSpec, people: xr.Dataset) -> tuple[dict[str, Array], dict[str, Array]]:
    """Mean of the answered items by function; who answered none, by instrument and by function."""
    top = people[n.ITEM_CATEGORIES].to_numpy() - 1
    share = people[n.RESPONSE].to_numpy().astype(float) / top
    subscale = people[n.ITEM_SUBSCALE].to_numpy().astype(str)
    instrument = people[n.ITEM_INSTRUMENT].to_numpy().astype(str)
    seen = np.isfinite(share)
    used = np.isin(subscale, [s for members in spec.functions.values() for s in members])
    lacking = {
        name: ~seen[:, used & (instrument == name)].any(axis=1) for name in sorted(set(instrument[used]))
    }
    scores = {}
    for function, members in spec.functions.items():
        mine = np.isin(subscale, members)
        answered = seen[:, mine].sum(axis=1)
        total = np.where(seen[:, mine], share[:, mine], 0.0).sum(axis=1)
        scores[function] = np.where(answered > 0, total / np.maximum(answered, 1), np.nan)
        lacking[function] = answered == 0
    return scores, lacking


def _standard(value: Array) -> Array:
    """Centre and scale by those who have it; 0 for all where it does not vary."""
    seen = value[np.isfinite(value)]
    if len(seen) < 2 or np.ptp(seen) == 0:
        return np.zeros(len(value))
    return (value - seen.mean()) / seen.std()


def plain(label: str) -> str:
    """Return a label as it stands in a formula: letters, digits and underscores."""
    return re.sub(r"[^0-9A-Za-z]+", "_", label)


def _safe(columns: dict[tuple[str, str], Array]) -> dict[str, Array]:
    """Name columns by letters, digits and underscores; what would be the same gets a number."""
    found: dict[str, Array] = {}
    for (prefix, label), value in columns.items():
        name = base = prefix + plain(label)
        count = 1
        while name in found:
            count += 1
            name = f"{base}_{count}"
        found[name] = value
    return found
