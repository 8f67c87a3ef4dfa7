"""Turn responses into oriented items and scales, and check that every item points the right way.

A reverse-keyed item that a file stores reversed already (or the other way round) changes a score
without an error, so the sign of each item against the rest of its subscale is looked at first.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.errors import DataError, SpecError, did_you_mean
from nssi_bayes.instruments import Instrument, read_instrument, study_instrument
from nssi_bayes.score.common import joined, problems_of
from nssi_bayes.score.polarity import against, item_rest, other_forms
from nssi_bayes.score.scales import composite_score, cronbach_alpha, scale_scores
from nssi_bayes.store import Layout, read_table, write_dataset, write_table
from nssi_bayes.study import InstrumentTable, Study, read_study

if TYPE_CHECKING:
    import numpy.typing as npt

    from nssi_bayes.spec import Params

__all__ = ["cronbach_alpha", "item_rest", "run", "scale_scores", "scored"]

_log = logging.getLogger(__name__)
_ROUND: Final = 1e-3  # of totals that a file rounds

type _Row = tuple[str, str, str, str, int, int, int, int, int, str]


def run(layout: Layout, params: Params) -> None:
    """Write the oriented items and scales of one study, and the audit of this stage.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        The run's parameters.

    Raises
    ------
    DataError
        If an item runs against its subscale, or a scale cannot be scored.
    SpecError
        If the study asks for a scale or an item that does not exist.
    ArtefactError
        If the tidy tables are missing.
    """
    study = read_study(layout, params.study)
    shelf = layout.instruments(params.study)
    where = str(layout.study(params.study))
    _forms(study, shelf, where=where)  # what the study file asks for is looked at before the tables
    names = ("participants", *study.instruments)
    tables = {name: read_table(layout.tables(params.study) / f"{name}.tsv") for name in names}
    dataset, audit = scored(study, tables, shelf=shelf, where=where)
    write_table(layout.audit_of("score", params.study), audit)
    dataset.attrs |= {"study": params.study, "synthetic": int(study.synthetic), "title": study.title}
    write_dataset(layout.scores(params.study), dataset)
    _log.info("%d items, %d scales", dataset.sizes[n.ITEM], dataset.sizes[n.SCALE_NAME])


def scored(
    study: Study, tables: Mapping[str, pd.DataFrame], *, shelf: Path | None = None, where: str = "study"
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Orient and score the tidy tables of a study.

    Parameters
    ----------
    study : Study
        The mapping.
    tables : mapping of str to pandas.DataFrame
        From `ingest`.
    shelf : pathlib.Path, optional
        The study's own instruments.
    where : str
        The study's name, for messages.

    Returns
    -------
    xarray.Dataset
        Oriented items and scales.
    pandas.DataFrame
        The audit; counts only.

    Raises
    ------
    DataError
        If an item runs against its subscale, another form fits better, or a scale cannot be scored.
    SpecError
        If the study asks for a scale or an item that does not exist.
    """
    forms = _forms(study, shelf, where=where)
    people = pd.Index(tables["participants"]["participant_id"])
    found = {}
    for name, form in forms.items():
        table = tables[name].set_index("participant_id").reindex(people)
        place = study.instruments[name]
        if place.totals is not None:
            found[name] = _score_totals(form, table, place=place)
        else:
            likes = {other: read_instrument(other, shelf) for other in form.confusable}
            found[name] = _score(form, table, study, place=place, likes=likes)
    problems = [
        problem
        for name, one in found.items()
        if name in study.items or study.instruments[name].totals is None
        for problem in one.problems
    ]
    if problems:
        raise DataError(
            problems,
            where=where,
            cure="see whether the file stores items reversed and write `already_reversed` under its "
            "instrument in study.yaml (it is read for any item); or list the items under `accept_polarity`",
        )
    dataset = _dataset(study, forms, found, people=people)
    rows = [row for one in found.values() for row in one.audit]
    dataset, common = _with_common_items(study, dataset, where=where)
    return dataset, pd.DataFrame(rows + common, columns=list(n.AUDIT))


def _forms(study: Study, shelf: Path | None, *, where: str) -> dict[str, Instrument]:
    forms = {
        name: study_instrument(name, form=place.form, folder=shelf)
        for name, place in study.instruments.items()
    }
    _check_names(study, forms, where=where)
    return forms


def _check_names(study: Study, forms: dict[str, Instrument], *, where: str) -> None:
    problems = []
    for factor, rule in study.factors.items():
        scales = forms[rule.instrument].scales
        if rule.scale not in scales:
            problems.append(
                f"factors.{factor}: {rule.instrument} has no scale {rule.scale!r}. "
                f"{did_you_mean(rule.scale, scales)}"
            )
        if rule.reliability == "alpha" and study.instruments[rule.instrument].totals is not None:
            problems.append(
                f"factors.{factor}: totals have no alpha; declare a reliability, with its source as a comment"
            )
    for outcome, wanted in study.outcomes.items():
        if wanted.instrument is not None and wanted.scale not in forms[wanted.instrument].scales:
            problems.append(
                f"outcomes.{outcome}: {wanted.instrument} has no scale {wanted.scale!r}. "
                f"{did_you_mean(str(wanted.scale), forms[wanted.instrument].scales)}"
            )
    for name, place in study.instruments.items():
        stored = [i for i in place.already_reversed or () if i not in forms[name].numbers]
        if stored:
            problems.append(f"instruments.{name}.already_reversed: no items {', '.join(map(str, stored))}")
        elif place.already_reversed and forms[name].response == "count":
            problems.append(f"instruments.{name}.already_reversed: counts are not reversed")
    problems += [
        f"items: {name} holds counts, which measure no function; name it under `outcomes`"
        for name in study.items
        if forms[name].response == "count"
    ]
    labels = {form.label(i) for form in forms.values() for i in form.numbers}
    problems += [
        f"accept_polarity: no item {item!r}. {did_you_mean(item, labels)}"
        for item in study.accept_polarity
        if item not in labels
    ]
    seen: dict[str, str] = {}
    for name in study.items:
        for subscale in forms[name].subscales:
            if subscale in seen:
                problems.append(f"items: {seen[subscale]} and {name} both have a subscale {subscale!r}")
            seen[subscale] = name
    problems += problems_of(study, forms)
    if problems:
        raise SpecError(problems, where=where, cure="mend these keys in the file")


@dataclass
class _Scored:
    """One instrument: what enters the model as an indicator, and the scores of its scales."""

    indicators: list[_Indicator]
    scores: dict[str, npt.NDArray[np.float64]]
    alpha: dict[str, float]
    audit: list[_Row]
    problems: list[str]


@dataclass
class _Indicator:
    label: str
    subscale: str
    categories: int
    category: npt.NDArray[np.float64]


def _score(form: Instrument, table: pd.DataFrame, study: Study, *, place: InstrumentTable,
           likes: dict[str, Instrument]) -> _Scored:  # fmt: skip
    raw = table[[form.label(i) for i in form.numbers]].to_numpy("float64")
    stored = form.already_reversed if place.already_reversed is None else place.already_reversed
    category = form.oriented(raw.copy(), already_reversed=stored)
    verdict = against(form, category, stored=stored, accepted=study.accept_polarity)
    other = other_forms(form, likes, raw=raw, stored=stored, confirmed=place.confirmed)
    audit = _turned(form, raw, stored) + verdict.audit + other.audit
    scores = scale_scores(form, category)
    alpha = {}
    for scale, items in form.scales.items():
        columns = category[:, [i - 1 for i in items]]
        alpha[scale] = cronbach_alpha(columns)
        scored = np.isfinite(scores[scale])
        prorated = int((scored & np.isnan(columns).any(axis=1)).sum())
        partly = int((~scored & np.isfinite(columns).any(axis=1)).sum())
        audit.append(
            ("score", form.name, scale, f"at least {form.min_answered:.0%} of a subscale answered",
             len(scored), int((~scored).sum()), prorated, 0, partly,
             f"{prorated} prorated, {partly} answered in part and not scored" if prorated or partly else "")
        )  # fmt: skip
    indicators = [
        _Indicator(form.label(item), subscale, form.categories_of(item), category[:, item - 1])
        for item in form.numbers
        for subscale, items in form.subscales.items()
        if item in items
    ]
    return _Scored(indicators, scores, alpha, audit, verdict.problems + other.problems)


def _turned(form: Instrument, raw: npt.NDArray[np.float64], stored: tuple[int, ...]) -> list[_Row]:
    """List the items that were reversed, with the number of answers."""
    rows: list[_Row] = []
    for item in sorted(set(form.reverse) ^ set(stored)):
        answers = int(np.isfinite(raw[:, item - 1]).sum())
        why = (
            "reversed, as the key says"
            if item in form.reverse
            else "reversed: the file stores it turned round"
        )
        rows.append(
            ("score", form.name, form.label(item), why, len(raw), len(raw) - answers, answers, 0, 0, "")
        )
    for item in sorted(set(form.reverse) & set(stored)):
        note = "not reversed: the file stores it reversed already"
        rows.append(("score", form.name, form.label(item), "already reversed", len(raw), 0, 0, 0, 0, note))
    return rows


def _score_totals(form: Instrument, table: pd.DataFrame, *, place: InstrumentTable) -> _Scored:
    """Take totals as they are; a subscale's total is one indicator, as the sum of its items would be."""
    nobody = np.full(len(table), np.nan)
    given = {scale: table[f"{form.name}.{scale}"].to_numpy("float64") for scale in place.totals or {}}
    scores = {scale: given.get(scale, nobody) for scale in form.subscales}
    audit: list[_Row] = []
    for name in form.composites:
        made = composite_score(form, name, scores)
        scores[name] = given.get(name, made)
        both = np.isfinite(scores[name]) & np.isfinite(made)
        differ = int((np.abs(scores[name] - made)[both] > _ROUND).sum())
        if name in given and both.any():
            note = f"differs from its parts in {differ} people" if differ else "is made of its parts"
            audit.append(("score", form.name, name, "total of the file", int(both.sum()), 0, 0, 0, 0, note))
    indicators, problems = [], []
    for scale in (s for s in form.subscales if s in given):
        low, high = form.total_range(scale)
        total = scores[scale] if form.score == "sum" else scores[scale] * len(form.subscales[scale])
        steps = (total - low) / form.step
        whole = np.round(steps)
        if np.isfinite(steps).any() and np.nanmax(np.abs(steps - whole)) < _ROUND * len(
            form.subscales[scale]
        ):
            categories = round((high - low) / form.step) + 1
            indicators.append(_Indicator(f"{form.name}.{scale}", scale, categories, whole))
        else:
            problems.append(
                f"{form.name}.{scale}: totals between two possible sums are no indicator of a function"
            )
    alpha = dict.fromkeys(form.scales, float("nan"))
    return _Scored(indicators, scores, alpha, audit, problems)


def _with_common_items(study: Study, dataset: xr.Dataset, *, where: str) -> tuple[xr.Dataset, list[_Row]]:
    """Make one indicator of items that are the same, and say so in the audit."""
    labels = [str(label) for label in dataset[n.ITEM].to_numpy()]
    response = dataset[n.RESPONSE].to_numpy()
    whole, same, problems = joined(study, labels, response)
    if problems:
        raise DataError(
            problems, where=where,
            cure="take the pair out of `same_as`, or tell which answer counts: mark the other as missing",
        )  # fmt: skip
    if not same:
        return dataset, []
    owner = dict(zip(labels, dataset[n.ITEM_INSTRUMENT].to_numpy().astype(str), strict=True))
    subscale = dict(zip(labels, dataset[n.ITEM_SUBSCALE].to_numpy().astype(str), strict=True))
    also = [" ".join(subscale[item] for item, other in same.items() if other == label) for label in labels]
    rows: list[_Row] = []
    for item, other in same.items():
        moved = np.isfinite(response[:, labels.index(item)])
        rows.append(("score", owner[item], item, f"the same item as {other}", len(moved), int((~moved).sum()),
                     int(moved.sum()), 0, 0, f"its answers are among those of {other}"))  # fmt: skip
    dataset[n.RESPONSE] = dataset[n.RESPONSE].copy(data=whole)
    dataset = dataset.assign_coords({n.ITEM_ALSO: (n.ITEM, also)})
    return dataset.isel({n.ITEM: [label not in same for label in labels]}), rows


def _dataset(
    study: Study, forms: dict[str, Instrument], found: dict[str, _Scored], *, people: pd.Index
) -> xr.Dataset:
    keyed = [(name, indicator) for name in study.items for indicator in found[name].indicators]
    response = np.column_stack([indicator.category for _, indicator in keyed])
    scales = [(name, scale) for name, form in forms.items() for scale in form.scales]
    score = np.column_stack([found[name].scores[scale] for name, scale in scales])
    return xr.Dataset(
        {
            n.RESPONSE: ((n.PARTICIPANT, n.ITEM), response, {"units": "category from 0"}),
            n.SCALE_SCORE: ((n.PARTICIPANT, n.SCALE_NAME), score, {"units": "raw response"}),
            n.SCALE_RELIABILITY: (
                (n.SCALE_NAME,),
                np.array([found[name].alpha[scale] for name, scale in scales]),
                {"units": "proportion of variance", "method": "Cronbach's alpha"},
            ),
        },
        coords={
            n.PARTICIPANT: people.to_numpy("str"),
            n.ITEM: np.array([indicator.label for _, indicator in keyed]),
            n.ITEM_INSTRUMENT: (n.ITEM, np.array([name for name, _ in keyed])),
            n.ITEM_SUBSCALE: (n.ITEM, np.array([indicator.subscale for _, indicator in keyed])),
            n.ITEM_CATEGORIES: (n.ITEM, np.array([indicator.categories for _, indicator in keyed])),
            n.SCALE_NAME: np.array([f"{name}.{scale}" for name, scale in scales]),
            n.SCALE_INSTRUMENT: (n.SCALE_NAME, np.array([name for name, _ in scales])),
        },
    )
