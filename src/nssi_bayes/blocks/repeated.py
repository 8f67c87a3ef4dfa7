"""A repeated count as a table: one row for each person and occasion that was seen.

    count_it ~ Poisson, or negative binomial, of exposure_it exp(a + x_it . beta + b_i + e_it)

Bambi samples the effects b and e with everything else; for scores they are integrated out
(`integrate.counts`). A predictor has the unit of the cohort (sd, centred), one of two values is 0 for
the lower and 1 for the higher. NumPy and pandas only: the same table serves fit and scoring.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.conventional import LIBRARIES
from nssi_bayes.errors import DataError, SpecError, did_you_mean
from nssi_bayes.integrate.counts import Counts
from nssi_bayes.schema import family_of
from nssi_bayes.spec import RepeatedSpec
from nssi_bayes.spec.repeated import DIAGNOSES, INTERACTION, OCCASION, SITE
from nssi_bayes.store import digest

__all__ = [
    "COUNT", "EVERY", "OCCASION_SD", "PERSON", "PERSON_SD", "Rows", "counts_of", "fingerprint", "rows",
    "written",
]  # fmt: skip

COUNT: Final = "count"
PERSON: Final = "person"
"""Column of the position of a row's person."""
EVERY: Final = "each"
"""Column of the row's own number, for the effect of every occasion."""
PERSON_SD: Final = "person_sd"
OCCASION_SD: Final = "occasion_sd"
_EXPOSURE: Final = "log_exposure"
_INTERCEPT: Final = "Intercept"
_ALPHA: Final = "alpha"

type Array = np.ndarray[Any, Any]


class Rows:
    """A cohort's repeated counts.

    Parameters
    ----------
    spec : RepeatedSpec
        The model.
    count : numpy.ndarray
        [`participant`, occasion]; NaN where a person was not seen.
    exposure : numpy.ndarray
        Log of it, of the same shape.
    columns : dict of str to numpy.ndarray
        Predictors, by a name that is safe in a formula, of the same shape.
    """

    def __init__(self, spec: RepeatedSpec, count: Array, exposure: Array, columns: dict[str, Array]) -> None:
        self.spec, self.count, self.exposure, self.columns = spec, count, exposure, columns

    def of(self, people: Array) -> Rows:
        """Return the rows of some people, by position; scales stay those of all."""
        columns = {name: values[people] for name, values in self.columns.items()}
        return Rows(self.spec, self.count[people], self.exposure[people], columns)

    @property
    def frame(self) -> pd.DataFrame:
        """One row for each person and occasion that was seen, without labels of people."""
        person, occasion = np.nonzero(np.isfinite(self.count))
        at = person, occasion
        columns = {name: values[at] for name, values in self.columns.items() if np.ptp(values[at]) > 0}
        labels = [f"p{i}" for i in person], [f"r{i}" for i in range(len(person))]
        names = [pd.Categorical(label) for label in labels]
        fixed = {COUNT: self.count[at].astype(int), _EXPOSURE: self.exposure[at]}
        return pd.DataFrame({**fixed, **columns, PERSON: names[0], EVERY: names[1]})


def rows(spec: RepeatedSpec, cohort: xr.Dataset, *, where: str = "spec") -> Rows:
    """Arrange a cohort as a model of a repeated count sees it.

    Parameters
    ----------
    spec : RepeatedSpec
        The model.
    cohort : xarray.Dataset
        Satisfies `schema`.
    where : str
        The spec's file, for messages.

    Returns
    -------
    Rows
        Everybody in the order of the cohort; who was never seen has no row.

    Raises
    ------
    SpecError
        If the spec names what the cohort does not have, or an outcome that is no count.
    DataError
        If a predictor is missing for people who were counted, or the counts do not vary.
    """
    known = _known(cohort, len(spec.occasions))
    problems = _unknown_names(spec, cohort, known)
    if problems:
        cure = "name counts of study.yaml (family: negative_binomial), and predictors of the cohort"
        raise SpecError(problems, where=where, cure=cure)
    chosen = {n.OUTCOME: list(spec.occasions)}
    count = cohort[n.OUTCOME_VALUE].sel(chosen).transpose(n.PARTICIPANT, n.OUTCOME).to_numpy().astype(float)
    exposure = np.zeros(count.shape)
    if n.OUTCOME_EXPOSURE in cohort:
        over = cohort[n.OUTCOME_EXPOSURE].sel(chosen).transpose(n.PARTICIPANT, n.OUTCOME).to_numpy()
        exposure = np.where(np.isfinite(count), np.log(np.where(np.isfinite(count), over, 1.0)), 0.0)
    seen = np.isfinite(count)
    columns = _columns(spec, known, count.shape)
    missing = {name: int((seen & ~np.isfinite(v)).any(axis=1).sum()) for name, v in columns.items()}
    found = [
        f"{name}: missing for {number} people who were counted" for name, number in missing.items() if number
    ]
    if found:
        raise DataError(found, where=where, cure="complete it in the folder, or leave the predictor out")
    if seen.sum() < 2 or np.ptp(count[seen]) == 0:
        raise DataError(
            f"{spec.outcome}: {int(seen.sum())} counts, and they do not vary", where=where,
            cure="take other occasions, or mend their columns",
        )  # fmt: skip
    return Rows(spec, count, exposure, columns)


def written(found: Rows) -> str:
    """Write the model as a Bambi formula over the columns of the frame."""
    frame = found.frame
    terms = ["1", *_names(frame)]
    terms += [f"offset({_EXPOSURE})"] if frame[_EXPOSURE].any() else []
    terms += [f"(1|{PERSON})", *([f"(1|{EVERY})"] if found.spec.occasion_effect else [])]
    return f"{COUNT} ~ {' + '.join(terms)}"


def fingerprint(spec: RepeatedSpec, cohort: xr.Dataset, *, where: str = "spec") -> str:
    """Hash everything that decides the posterior, apart from the sampler.

    Parameters
    ----------
    spec : RepeatedSpec
        The model.
    cohort : xarray.Dataset
        Satisfies `schema`.
    where : str
        The spec's file, for messages.

    Returns
    -------
    str
        SHA-256 of family, formula, table (without the labels of people) and library versions; the
        priors are Bambi's defaults and follow from these.

    Raises
    ------
    SpecError
        If the spec names what the cohort does not have.
    DataError
        If a predictor is missing for people who were counted, or the counts do not vary.
    """
    found = rows(spec, cohort, where=where)
    values = np.stack([found.count, found.exposure, *found.columns.values()])
    return digest(
        {
            "family": spec.family,
            "formula": written(found),
            "values": digest(np.ascontiguousarray(values, dtype=float).tobytes()),
            "priors": "defaults of Bambi",
            "libraries": {name: version(name) for name in LIBRARIES},
        }
    )


def counts_of(posterior: xr.Dataset, found: Rows) -> Counts:
    """Return people's counts, and what draws of the parameters expect of them.

    Parameters
    ----------
    posterior : xarray.Dataset
        From `fit` [`chain`, `draw`].
    found : Rows
        Everybody, or some people, whom the posterior need not have seen. A column without a
        coefficient was constant where the model was fitted.

    Returns
    -------
    Counts
        Chains one after the other.
    """
    predictor = np.zeros((posterior[_INTERCEPT].size, *found.count.shape)) + found.exposure
    predictor += _flat(posterior, _INTERCEPT)[:, None, None]
    for name, values in found.columns.items():
        if name in posterior:
            predictor += _flat(posterior, name)[:, None, None] * np.nan_to_num(values)
    return Counts(
        found.count,
        predictor,
        _flat(posterior, PERSON_SD),
        _flat(posterior, OCCASION_SD) if found.spec.occasion_effect else None,
        _flat(posterior, _ALPHA) if found.spec.family == n.NEGATIVE_BINOMIAL else None,
    )


def _names(frame: pd.DataFrame) -> list[str]:
    return [str(c) for c in frame.columns if c not in (COUNT, _EXPOSURE, PERSON, EVERY)]


def _flat(posterior: xr.Dataset, name: str) -> Array:
    return posterior[name].transpose(n.CHAIN, n.DRAW).to_numpy().reshape(-1)


def _labels(cohort: xr.Dataset, dim: str) -> list[str]:
    return [str(v) for v in cohort[dim].to_numpy()] if dim in cohort.dims else []


def _unknown_names(spec: RepeatedSpec, cohort: xr.Dataset, known: Mapping[str, Any]) -> list[str]:
    have = _labels(cohort, n.OUTCOME)
    problems = [
        f"occasions: no {o!r} in the cohort. {did_you_mean(o, have)}" for o in spec.occasions if o not in have
    ]
    problems += [
        f"occasions: {o!r} is {family_of(cohort, o)}, no count"
        for o in spec.occasions
        if o in have and family_of(cohort, o) != n.NEGATIVE_BINOMIAL
    ]
    parts = dict.fromkeys(part for term in spec.predictors for part in term.split(INTERACTION))
    problems += [
        f"predictors: no {p!r} in the cohort. {did_you_mean(p, known)}" for p in parts if p not in known
    ]
    return problems


def _known(cohort: xr.Dataset, occasions: int) -> dict[str, dict[str, Array]]:
    """Return, by what a spec may name, its columns [`participant`, 1] or [1, occasion]."""
    found: dict[str, dict[str, Array]] = {OCCASION: {OCCASION: np.arange(occasions, dtype=float)[None]}}
    site = cohort[n.SITE_OF].to_numpy().astype(str)
    found[SITE] = {f"{SITE}_{s}": (site == s)[:, None].astype(float) for s in sorted(set(site))[1:]}
    diagnosis = {
        d: cohort[n.DIAGNOSIS].sel({n.DISORDER: d}).to_numpy()[:, None].astype(float)
        for d in _labels(cohort, n.DISORDER)
    }
    found[DIAGNOSES] = diagnosis
    found |= {d: {d: values} for d, values in diagnosis.items()}
    for dim, variable in ((n.FACTOR, n.FACTOR_SCORE), (n.COVARIATE, n.COVARIATE_VALUE)):
        for label in _labels(cohort, dim):
            values = cohort[variable].sel({dim: label}).to_numpy().astype(float)
            found[label] = {label: _zero_and_one(values)[:, None]}
    return found


def _zero_and_one(values: Array) -> Array:
    """Return 0 and 1 for what has two values, and all else as it is."""
    different = np.unique(values[np.isfinite(values)])
    if len(different) != 2:
        return values
    return np.where(np.isfinite(values), values == different[1], np.nan)


def _columns(
    spec: RepeatedSpec, known: Mapping[str, Mapping[str, Array]], shape: tuple[int, ...]
) -> dict[str, Array]:
    """Return every term by a name of letters, digits and underscores [`participant`, occasion]."""
    found: dict[str, Array] = {}
    for term in spec.predictors:
        first, *second = term.split(INTERACTION)
        products = known[first]
        for other in second:
            products = {f"{a}_x_{b}": v * w for a, v in products.items() for b, w in known[other].items()}
        for label, values in products.items():
            name = base = "x_" + re.sub(r"[^0-9A-Za-z]+", "_", label)
            count = 1
            while name in found:
                count += 1
                name = f"{base}_{count}"
            found[name] = np.broadcast_to(values, shape)
    return found
