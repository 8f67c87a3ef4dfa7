"""Turn responses into oriented items and scales, and check that every item points the right way.

A reverse-keyed item that a file stores reversed already (or the other way round) changes a score
without an error, so the sign of each item against the rest of its subscale is looked at first.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.errors import DataError, SpecError, did_you_mean
from nssi_bayes.instruments import Instrument, read_instrument
from nssi_bayes.store import Layout, read_table, write_dataset, write_table
from nssi_bayes.study import Study, read_study

if TYPE_CHECKING:
    import numpy.typing as npt

    from nssi_bayes.spec import Params

__all__ = ["cronbach_alpha", "item_rest", "run", "scale_scores"]

_log = logging.getLogger(__name__)
_AGAINST: Final = -0.2  # an item-rest correlation below this is refused ...
_SURE: Final = -1.645  # ... if it is also below 0 beyond chance (one-sided 5 %, Fisher z)
_MIN_PAIRS: Final = 10  # people who answered the item and the rest


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
    forms = {name: read_instrument(name) for name in study.instruments}
    _check_names(study, forms, where=str(layout.study(params.study)))
    people = pd.Index(read_table(layout.tables(params.study) / "participants.tsv")["participant_id"])
    scored = {}
    for name, form in forms.items():
        table = read_table(layout.tables(params.study) / f"{name}.tsv").set_index("participant_id")
        raw = table[[form.label(i) for i in form.numbers]].reindex(people).to_numpy("float64")
        stored = study.instruments[name].already_reversed
        category = form.oriented(raw, already_reversed=stored)
        scored[name] = _score(form, category, accepted=study.accept_polarity)
    against = [problem for one in scored.values() for problem in one.against]
    if against:
        raise DataError(
            against,
            where=params.study,
            cure="see whether the file stores reverse-keyed items reversed and write `already_reversed` "
            "under its instrument in study.yaml; or list the items under `accept_polarity`",
        )
    write_table(
        layout.audit_score(params.study),
        pd.DataFrame([row for one in scored.values() for row in one.audit], columns=list(n.AUDIT)),
    )
    dataset = _dataset(study, forms, scored, people=people)
    dataset.attrs |= {"study": params.study, "synthetic": int(study.synthetic), "title": study.title}
    write_dataset(layout.scores(params.study), dataset)
    _log.info("%d items, %d scales", dataset.sizes[n.ITEM], dataset.sizes[n.SCALE_NAME])


def _check_names(study: Study, forms: dict[str, Instrument], *, where: str) -> None:
    problems = []
    for factor, rule in study.factors.items():
        scales = forms[rule.instrument].scales
        if rule.scale not in scales:
            problems.append(
                f"factors.{factor}: {rule.instrument} has no scale {rule.scale!r}. "
                f"{did_you_mean(rule.scale, scales)}"
            )
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
    if problems:
        raise SpecError(problems, where=where, cure="mend these keys in the file")


@dataclass
class _Scored:
    category: npt.NDArray[np.float64]
    scores: dict[str, npt.NDArray[np.float64]]
    alpha: dict[str, float]
    audit: list[tuple[str, str, str, str, int, int, int, int, int, str]]
    against: list[str]


def _score(form: Instrument, category: npt.NDArray[np.float64], *, accepted: tuple[str, ...]) -> _Scored:
    audit = []
    against = []
    for subscale, items in form.subscales.items():
        columns = category[:, [i - 1 for i in items]]
        for item, (r, pairs) in zip(items, item_rest(columns), strict=True):
            if not r < 0:
                continue
            label = form.label(item)
            strong = r < _AGAINST and np.arctanh(max(r, -0.9999)) * np.sqrt(pairs - 3) < _SURE
            if strong and label not in accepted:
                against.append(f"{label} runs against the rest of {subscale} (correlation {r:.2f})")
            note = f"runs against its subscale (correlation {r:.2f}){', accepted' if strong else ''}"
            audit.append(("score", form.name, label, "polarity", pairs, 0, 0, 0, 0, note))
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
    return _Scored(category, scores, alpha, audit, against)


def scale_scores(form: Instrument, category: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    """Score every scale of an instrument, in the unit of its raw responses.

    Parameters
    ----------
    form : Instrument
        The form.
    category : ndarray
        (`participant`, `item`) oriented categories from 0 of all items; NaN is missing.

    Returns
    -------
    dict of str to ndarray
        (`participant`,) scores. A subscale with fewer answers than the form asks for is missing;
        otherwise unanswered items count as the mean of the answered ones. A composite is missing
        if one of its parts is.
    """
    scores = {}
    for scale, items in form.subscales.items():
        raw = category[:, [i - 1 for i in items]] + form.minimum
        seen = np.isfinite(raw)
        answered = seen.sum(axis=1)
        with np.errstate(invalid="ignore"):
            mean = np.where(seen, raw, 0.0).sum(axis=1) / answered
        mean[answered < form.min_answered * len(items)] = np.nan
        scores[scale] = mean * len(items) if form.score == "sum" else mean
    for name, rule in form.composites.items():
        parts = np.stack([scores[part] for part in rule.of])
        scores[name] = parts.sum(axis=0) if rule.how == "sum" else parts.mean(axis=0)
    return scores


def item_rest(category: npt.NDArray[np.float64]) -> list[tuple[float, int]]:
    """Correlate every item with the mean of the other answered items.

    Parameters
    ----------
    category : ndarray
        (`participant`, `item`) oriented categories of one scale; NaN is missing.

    Returns
    -------
    list of tuple of float and int
        Correlation and number of people it rests on, item by item; the correlation is NaN for
        a scale of one item, fewer than ten people or a constant.
    """
    found = []
    seen = np.isfinite(category)
    filled = np.where(seen, category, 0.0)
    for j in range(category.shape[1]):
        count = seen.sum(axis=1) - seen[:, j]
        use = seen[:, j] & (count > 0)
        pairs = int(use.sum())
        rest = (filled.sum(axis=1) - filled[:, j])[use] / count[use]
        item = category[use, j]
        if pairs < _MIN_PAIRS or np.ptp(item) == 0 or np.ptp(rest) == 0:
            found.append((float("nan"), pairs))
        else:
            found.append((float(np.corrcoef(item, rest)[0, 1]), pairs))
    return found


def cronbach_alpha(category: npt.NDArray[np.float64]) -> float:
    """Return coefficient alpha from pairwise complete covariances.

    Parameters
    ----------
    category : ndarray
        (`participant`, `item`) oriented categories of one scale; NaN is missing.

    Returns
    -------
    float
        Alpha, a lower bound of the reliability of the sum if the items measure one thing
        (proportion of variance); NaN for a single item or where nothing varies.

    References
    ----------
    Cronbach, L. J. (1951). Psychometrika 16, 297-334. doi:10.1007/BF02310555
    """
    items = category.shape[1]
    covariance = pd.DataFrame(category).cov(min_periods=2).to_numpy()
    total = covariance.sum()
    if items < 2 or not np.isfinite(total) or total <= 0:
        return float("nan")
    return float(items / (items - 1) * (1 - np.trace(covariance) / total))


def _dataset(
    study: Study, forms: dict[str, Instrument], scored: dict[str, _Scored], *, people: pd.Index
) -> xr.Dataset:
    keyed = [
        (name, subscale, item)
        for name in study.items
        for item in forms[name].numbers
        for subscale, items in forms[name].subscales.items()
        if item in items
    ]
    response = np.column_stack([scored[name].category[:, item - 1] for name, _, item in keyed])
    scales = [(name, scale) for name, form in forms.items() for scale in form.scales]
    score = np.column_stack([scored[name].scores[scale] for name, scale in scales])
    return xr.Dataset(
        {
            n.RESPONSE: ((n.PARTICIPANT, n.ITEM), response, {"units": "category from 0"}),
            n.SCALE_SCORE: ((n.PARTICIPANT, n.SCALE_NAME), score, {"units": "raw response"}),
            n.SCALE_RELIABILITY: (
                (n.SCALE_NAME,),
                np.array([scored[name].alpha[scale] for name, scale in scales]),
                {"units": "proportion of variance", "method": "Cronbach's alpha"},
            ),
        },
        coords={
            n.PARTICIPANT: people.to_numpy("str"),
            n.ITEM: np.array([forms[name].label(item) for name, _, item in keyed]),
            n.ITEM_INSTRUMENT: (n.ITEM, np.array([name for name, _, _ in keyed])),
            n.ITEM_SUBSCALE: (n.ITEM, np.array([subscale for _, subscale, _ in keyed])),
            n.ITEM_CATEGORIES: (n.ITEM, np.array([forms[name].categories for name, _, _ in keyed])),
            n.SCALE_NAME: np.array([f"{name}.{scale}" for name, scale in scales]),
            n.SCALE_INSTRUMENT: (n.SCALE_NAME, np.array([name for name, _ in scales])),
        },
    )
