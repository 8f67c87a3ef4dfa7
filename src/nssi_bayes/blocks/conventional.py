"""The field's practice as a table: severity on sum scores, history, diagnoses, covariates and site.

y_i = a + b . scores_i + q . factors_i + m . missing_i + d . diagnoses_i + covariates + site + e_i, plus,
where asked for, treatments and their products with scores, and what the outcome was before;
e_i ~ N(0, sigma^2), or the logit of a yes, or the logarithm of a rate with that of the exposure as
offset and a negative binomial around it, or this of those who have any and the same terms for the logit of
any; when pooled, plus an intercept and slopes of the scores for each diagnostic pattern. Everybody with an
observed outcome is in, nobody is dropped: what is missing is set to the mean, and a 0/1 column says so.
NumPy and pandas only: the same table serves fit and scoring.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import gammaln

from nssi_bayes import names as n
from nssi_bayes.blocks.baseline import baseline_of
from nssi_bayes.blocks.indicators import lost_items
from nssi_bayes.blocks.predictors import SCORE, predictors
from nssi_bayes.errors import DataError, SpecError, did_you_mean
from nssi_bayes.integrate.curve import log_any
from nssi_bayes.schema import family_of
from nssi_bayes.spec import ConventionalSpec
from nssi_bayes.store import digest

__all__ = [
    "FAMILY", "LIBRARIES", "fingerprint", "formula", "formulas", "log_likelihood",
    "log_predictive", "table", "written",
]  # fmt: skip

_INTERCEPT: Final = "Intercept"
FAMILY: Final = "family"
"""Attribute of a table: the family of its outcome."""
_EXPOSURE: Final = "log_exposure"
_ALPHA: Final = "alpha"
_ANY: Final = "psi"
"""Bambi's name of the probability of any count, behind a hurdle."""
_SIGMA: Final = "sigma"
LIBRARIES: Final = ("bambi", "formulae", "pymc", "pytensor", "nutpie", "numpy")
"""Whose versions decide the draws of a Bambi model."""

type Array = np.ndarray[Any, Any]


def table(spec: ConventionalSpec, cohort: xr.Dataset, *, where: str = "spec") -> pd.DataFrame:
    """Arrange a cohort as a conventional analysis sees it.

    Parameters
    ----------
    spec : ConventionalSpec
        The model.
    cohort : xarray.Dataset
        Satisfies `schema`.
    where : str
        The spec's file, for messages.

    Returns
    -------
    pandas.DataFrame
        One row for each `participant` with the outcome, labelled, without missing values. Columns
        ``outcome`` (unit of the cohort), ``score_*`` (mean of the answered items, each as a share of
        its range, divided by its sd), ``factor_*`` and ``covariate_*`` (unit of the cohort),
        ``treatment_*`` and ``product_*`` (scores times treatments), ``baseline``, ``missing_*``,
        ``diagnosis_*`` and ``site_*`` (0 or 1; the first site is the reference), all of these centred;
        ``log_exposure`` of a count; and ``pattern`` (all diagnoses of a person, joined; a category). The
        attribute `FAMILY` is that of the outcome. A column in which all people are equal, and a
        missing-value column that repeats another, are left out.

    Raises
    ------
    SpecError
        If the spec names what the cohort does not have.
    DataError
        If outcome, scores, a treatment or the baseline do not vary, or a treatment is not known of all.
    """
    problems = _unknown_names(spec, cohort)
    if problems:
        cure = "name subscales, factors and an outcome of the cohort"
        raise SpecError(problems, where=where, cure=cure)
    family = _family(spec, cohort, where)
    outcome = cohort[n.OUTCOME_VALUE].sel({n.OUTCOME: spec.outcome}).to_numpy().astype(float)
    people = cohort.isel({n.PARTICIPANT: np.flatnonzero(np.isfinite(outcome))})
    outcome = outcome[np.isfinite(outcome)]
    if len(outcome) < 2 or np.ptp(outcome) == 0:
        found = f"outcome {spec.outcome!r}: {len(outcome)} people have it, and it does not vary"
        raise DataError(found, cure="take another outcome, or mend the column of this one")
    columns = {k: v - v.mean() for k, v in predictors(spec, people).items() if np.ptp(v) > 0}
    if not any(name.startswith(SCORE) for name in columns):
        found = "no function has a score that varies among the people with the outcome"
        raise DataError(found, cure="check the items of the functions of this model")
    index = pd.Index(people[n.PARTICIPANT].to_numpy().astype(str), name=n.PARTICIPANT)
    if family in n.COUNTS:
        columns[_EXPOSURE] = np.zeros(len(outcome))
        if n.OUTCOME_EXPOSURE in people:
            exposure = people[n.OUTCOME_EXPOSURE].sel({n.OUTCOME: spec.outcome}).to_numpy()
            columns[_EXPOSURE] = np.log(exposure)
    data = pd.DataFrame({n.OUTCOME: outcome, **columns, n.PATTERN: _patterns(people).array}, index=index)
    data.attrs[FAMILY] = family
    return data


def _family(spec: ConventionalSpec, cohort: xr.Dataset, where: str) -> str:
    """Return the outcome's family, if there is a baseline for it."""
    family = family_of(cohort, spec.outcome)
    if family == n.ORDINAL:
        raise SpecError(
            f"outcome: {spec.outcome!r} is ordinal; the baseline is for a Gaussian outcome, a yes or a count",
            where=where,
            cure="leave the conventional model out of this question, or declare the outcome gaussian",
        )
    return family


def formula(spec: ConventionalSpec, cohort: xr.Dataset) -> str:
    """Write the model as a Bambi formula over the columns of `table`.

    Parameters
    ----------
    spec : ConventionalSpec
        The model.
    cohort : xarray.Dataset
        Satisfies `schema`.

    Returns
    -------
    str
        When pooled with ``(1 + scores | pattern)``, which in Bambi has no correlation between
        intercept and slopes.
    """
    return written(spec, table(spec, cohort))


def written(spec: ConventionalSpec, data: pd.DataFrame) -> str:
    """Write the model as a Bambi formula over the columns of a table; two are joined."""
    return "; ".join(formulas(spec, data))


def formulas(spec: ConventionalSpec, data: pd.DataFrame) -> list[str]:
    """Write the formula of each predictor: behind a hurdle that of any has the same terms, without offset."""
    names = _names(data)
    found = [_formula(spec, names, exposed=_EXPOSURE in data)]
    if data.attrs[FAMILY] == n.HURDLE:
        found.append(_formula(spec, names, exposed=False, of=_ANY))
    return found


def fingerprint(spec: ConventionalSpec, cohort: xr.Dataset, *, where: str = "spec") -> str:
    """Hash everything that decides the posterior, apart from the sampler.

    Parameters
    ----------
    spec : ConventionalSpec
        The model.
    cohort : xarray.Dataset
        Satisfies `schema`.
    where : str
        The spec's file, for messages.

    Returns
    -------
    str
        SHA-256 of formula, table (without the labels of people) and library versions; the priors
        are Bambi's defaults and follow from these.

    Raises
    ------
    SpecError
        If the spec names what the cohort does not have.
    DataError
        If outcome or scores do not vary.
    """
    data = table(spec, cohort, where=where)
    names = _names(data)
    exposed = [_EXPOSURE] if _EXPOSURE in data else []
    values = np.ascontiguousarray(data[[n.OUTCOME, *names, *exposed]].to_numpy(dtype=float))
    family = data.attrs[FAMILY]
    return digest(
        {
            **({} if family == n.GAUSSIAN else {"family": family}),
            "formula": written(spec, data),
            "values": digest(values.tobytes()),
            "patterns": list(data[n.PATTERN]) if spec.pooled else [],
            "priors": "defaults of Bambi",
            "libraries": {name: version(name) for name in LIBRARIES},
        }
    )


def log_likelihood(posterior: xr.Dataset, spec: ConventionalSpec, cohort: xr.Dataset) -> Array:
    """Return log p(y | predictor) of every person with the outcome, for every draw.

    Parameters
    ----------
    posterior : xarray.Dataset
        From `fit` [`chain`, `draw`, ...].
    spec : ConventionalSpec
        The model.
    cohort : xarray.Dataset
        Satisfies `schema`.

    Returns
    -------
    numpy.ndarray
        [sample, `participant`], chains one after the other, people in the order of `table`. Given
        the effects of the person's diagnostic pattern.
    """
    return log_predictive(posterior, spec, table(spec, cohort), np.random.default_rng(0))


def log_predictive(
    posterior: xr.Dataset, spec: ConventionalSpec, data: pd.DataFrame, rng: np.random.Generator
) -> Array:
    """Return log p(y | predictor) of the people of a table, whom the posterior need not have seen.

    Parameters
    ----------
    posterior : xarray.Dataset
        From `fit` [`chain`, `draw`, ...].
    spec : ConventionalSpec
        The model.
    data : pandas.DataFrame
        Rows of `table`. A column without a coefficient was constant where the model was fitted.
    rng : numpy.random.Generator
        For effects of a diagnostic pattern that the posterior never saw: one draw from their
        population for each draw.

    Returns
    -------
    numpy.ndarray
        [sample, `participant`], chains one after the other.
    """
    mean = _predictor(posterior, spec, data, rng)
    y = data[n.OUTCOME].to_numpy(dtype=float)
    if data.attrs[FAMILY] == n.BERNOULLI:
        return -np.logaddexp(0.0, (1 - 2 * y) * mean)
    if data.attrs[FAMILY] in n.COUNTS:
        mean = mean + data[_EXPOSURE].to_numpy(dtype=float)
        size = _flat(posterior[_ALPHA])[:, None]
        whole = np.logaddexp(np.log(size), mean)
        ways = gammaln(y + size) - gammaln(size) - gammaln(y + 1)
        found = ways + size * (np.log(size) - whole) + y * (mean - whole)
        if data.attrs[FAMILY] == n.NEGATIVE_BINOMIAL:
            return found
        some = np.where(y > 0, 1.0, -1.0) * _predictor(posterior, spec, data, rng, of=f"{_ANY}_")
        found = np.where(y > 0, found - log_any(mean - np.log(size), size + 0 * mean), 0.0)
        return found - np.logaddexp(0.0, -some)
    sigma = _flat(posterior[_SIGMA])[:, None]
    z = (y - mean) / sigma
    return -0.5 * z**2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)


def _predictor(
    posterior: xr.Dataset,
    spec: ConventionalSpec,
    data: pd.DataFrame,
    rng: np.random.Generator,
    *,
    of: str = "",
) -> Array:
    """Return a linear predictor [sample, `participant`], of the one whose coefficients begin with `of`."""
    names = [name for name in _names(data) if of + name in posterior]
    coefficients = np.stack([_flat(posterior[of + name]) for name in names], axis=1)
    mean = _flat(posterior[of + _INTERCEPT])[:, None] + coefficients @ data[names].to_numpy(dtype=float).T
    if spec.pooled:
        for name in ("1", *_scores(names)):
            column = 1.0 if name == "1" else data[name].to_numpy(dtype=float)
            mean += _effects(posterior, of + name, data[n.PATTERN], rng) * column
    return np.asarray(mean)


def _effects(posterior: xr.Dataset, name: str, patterns: pd.Series, rng: np.random.Generator) -> Array:
    """Effects of everybody's diagnostic pattern [sample, `participant`]."""
    known = posterior[f"{name}|{n.PATTERN}"]
    drawn = {label: _flat(known.sel({n.PATTERN: label})) for label in known[n.PATTERN].to_numpy().tolist()}
    for label in sorted(set(patterns) - set(drawn)):
        spread = _flat(posterior[f"{name}|{n.PATTERN}_sigma"])
        drawn[label] = spread * rng.standard_normal(len(spread))
    return np.stack([drawn[label] for label in patterns], axis=1)


def _flat(draws: xr.DataArray) -> Array:
    ordered = draws.transpose(n.CHAIN, n.DRAW, ...).to_numpy()
    return ordered.reshape(-1, *ordered.shape[2:])


def _names(data: pd.DataFrame) -> list[str]:
    return [str(c) for c in data.columns if c not in (n.OUTCOME, n.PATTERN, _EXPOSURE)]


def _scores(names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(SCORE)]


def _formula(spec: ConventionalSpec, names: list[str], *, exposed: bool, of: str = n.OUTCOME) -> str:
    text = " + ".join(["1", *names, *([f"offset({_EXPOSURE})"] if exposed else [])])
    if spec.pooled:
        text += f" + ({' + '.join(['1', *_scores(names)])} | {n.PATTERN})"
    return f"{of} ~ {text}"


def _unknown_names(spec: ConventionalSpec, cohort: xr.Dataset) -> list[str]:
    known = sorted(set(cohort[n.ITEM_SUBSCALE].to_numpy().astype(str).tolist()))
    found = [f"functions.{f}: it has no subscale" for f, members in spec.functions.items() if not members]
    if not spec.functions:
        found.append("functions: at least one is needed")
    found += [
        f"functions.{function}: no subscale {s!r}. {did_you_mean(s, known)}"
        for function, members in spec.functions.items()
        for s in members
        if s not in known
    ]
    found += lost_items(cohort, {s for members in spec.functions.values() for s in members})
    for key, dim, wanted in (
        ("factors", n.FACTOR, spec.factors),
        ("outcome", n.OUTCOME, (spec.outcome,)),
        ("outcome_from.treatment", n.TREATMENT, spec.outcome_from.treatment),
    ):
        have = [str(v) for v in cohort[dim].to_numpy()] if dim in cohort.dims else []
        found += [
            f"{key}: no {label!r} in the cohort. {did_you_mean(label, have)}"
            for label in wanted
            if label not in have
        ]
    if not found and spec.outcome_from.baseline and not baseline_of(cohort, spec.outcome):
        found.append(f"outcome_from.baseline: study.yaml names no `baseline` of the outcome {spec.outcome!r}")
    return found


def _patterns(people: xr.Dataset) -> pd.Series:
    labels = people[n.DISORDER].to_numpy().astype(str)
    rows = people[n.DIAGNOSIS].to_numpy().astype(bool)
    return pd.Series(["+".join(labels[row]) or n.NONE_LEVEL for row in rows], dtype="category")
