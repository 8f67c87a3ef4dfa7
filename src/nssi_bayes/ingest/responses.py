"""The answers to one instrument: every item, or the totals of its scales, raw."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from nssi_bayes.errors import did_you_mean
from nssi_bayes.ingest.cells import Numbers, Reading
from nssi_bayes.ingest.people import match_people
from nssi_bayes.ingest.reader import Reader
from nssi_bayes.instruments import Instrument, available, read_instrument
from nssi_bayes.study import InstrumentTable

__all__ = ["responses"]

_MORE: Final = 40  # item numbers after the last that are looked for
_ROUND: Final = 1e-6  # of totals that a file rounds


def responses(reader: Reader, form: Instrument, place: InstrumentTable) -> pd.DataFrame:
    """Return the raw answers of everyone.

    Parameters
    ----------
    reader : Reader
        The folder.
    form : Instrument
        The form, under the study's name.
    place : InstrumentTable
        Where it stands.

    Returns
    -------
    pandas.DataFrame
        ``participant_id`` and a column an item (``isas_01``) or total (``rrs.brooding``).
    """
    columns: dict[str, pd.Series] = {}
    if reader.table(place.table) is not None:
        columns = _totals(reader, form, place) if place.totals is not None else _items(reader, form, place)
        match_people(reader, place.table)
    table = pd.DataFrame(columns, index=reader.people).convert_dtypes()
    return table.rename_axis(index="participant_id").reset_index()


def _items(reader: Reader, form: Instrument, place: InstrumentTable) -> dict[str, pd.Series]:
    if place.columns is not None and len(place.columns) != form.items:
        reader.problems.append(
            f"{place.table}: {form.name} has {form.items} items, and `columns` names {len(place.columns)}"
        )
        return {}
    items = {}
    anchors: dict[int, tuple[str, str]] = {}
    missing_columns = 0
    for number in form.numbers:
        column = _column(reader, place, number)
        if column is None:
            missing_columns += 1
            continue
        codes = [*form.missing, *form.item_missing.get(number, ()), *place.missing]
        looked = place.confirmed or place.out_of_range == "missing"
        how = Reading(codes, place.recode, trust_levels=not looked)
        numbers = reader.numbers(place.table, column, how)
        if numbers is None:
            missing_columns += 1
            continue
        low, high = form.range_of(number)
        labels = reader.labels(place.table, column)
        ends_said = labels.get(f"{low:g}", ""), labels.get(f"{high:g}", "")
        if all(ends_said):
            anchors[number] = ends_said
        ends = f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} or more"
        bad = _outside(numbers, low=low, high=high, step=form.step)
        if bad and place.out_of_range == "refuse":
            what = "whole number" if form.step == 1 else f"multiple of {form.step:g}"
            reader.problems.append(
                f"{place.table}: column {column!r} holds {bad} values that are no {what} from {ends}"
            )
        reader.record(place.table, column, f"item {ends}", numbers=numbers, out_of_range=bad,
                      note="set to missing" if bad else "")  # fmt: skip
        items[form.label(number)] = numbers.series(reader.people)
    if not place.confirmed:
        _compare_anchors(reader, form, place, anchors)
    if missing_columns and missing_columns < form.items:
        _say_form(reader, form, place, held=form.items - missing_columns)
    elif not missing_columns and not place.confirmed:
        _look_for_more(reader, form, place)
    return items


def _compare_anchors(
    reader: Reader, form: Instrument, place: InstrumentTable, anchors: dict[int, tuple[str, str]]
) -> None:
    """Note a problem where the dictionary anchors items the other way round than the study says.

    In public dictionaries the ends of some items are exchanged, and not where the manual reverses
    them; items with equal anchors must be stored alike.
    """
    stored = set(form.already_reversed if place.already_reversed is None else place.already_reversed)
    said = {item: (low.casefold(), high.casefold()) for item, (low, high) in anchors.items()}
    for low, high in dict.fromkeys(said.values()):
        one = {item for item, ends in said.items() if ends == (low, high)}
        other = {item for item, ends in said.items() if ends == (high, low)}
        if not other or min(one) > min(other):
            continue
        alike = len({item in stored for item in one}) == 1 == len({item in stored for item in other})
        if not alike or (min(one) in stored) == (min(other) in stored):
            few = sorted(one if len(one) < len(other) else other)
            reader.problems.append(
                f"{place.table}: by its dictionary items {', '.join(map(str, few))} of {form.name} are "
                "anchored the other way round than the others; write them (or the others) under "
                f"already_reversed, or confirmed: true under instruments.{form.name}"
            )


def _column(reader: Reader, place: InstrumentTable, number: int) -> str | None:
    """Return the column of an item; None (with the problem noted) where a `*` does not say which."""
    named = place.columns[number - 1] if place.columns is not None else None
    column = named or str(place.column).format(item=number)
    if "*" not in column:
        return column
    found = reader.columns_like(place.table, column)
    if len(found) != 1:
        reader.problems.append(f"{place.table}: {len(found)} columns are called {column!r}, one is needed")
        return None
    return found[0]


def _outside(numbers: Numbers, *, low: float, high: float, step: float) -> int:
    """Set to missing what is no response of the form, and count it."""
    values = numbers.values
    with np.errstate(invalid="ignore"):
        steps = (values - low) / step
        outside = np.isfinite(values) & ((values < low) | (values > high) | (steps != np.round(steps)))
    numbers.values = np.where(outside, np.nan, values)
    return int(outside.sum())


def _say_form(reader: Reader, form: Instrument, place: InstrumentTable, *, held: int) -> None:
    """Name the forms of the same family that have as many items as the table."""
    family = form.name.split("_")[0]
    like = [
        name for name in available()
        if name.split("_")[0] == family and name != form.name and read_instrument(name).items == held
    ]  # fmt: skip
    if like:
        reader.problems.append(
            f"{place.table}: {held} of the {form.items} items of {form.name} are there, as many as "
            f"{' and '.join(like)} have; is this another form?"
        )


def _look_for_more(reader: Reader, form: Instrument, place: InstrumentTable) -> None:
    """Note a problem where the table goes on after the form's last item."""
    if place.column is None:
        return
    later = [place.column.format(item=form.items + k) for k in range(1, _MORE + 1)]
    more = sum(bool(reader.columns_like(place.table, column)) for column in later)
    if more:
        reader.problems.append(
            f"{place.table}: {form.name} has {form.items} items, and {more} more columns follow by the same "
            f"pattern; name the right form, or write confirmed: true under instruments.{form.name}"
        )


def _totals(reader: Reader, form: Instrument, place: InstrumentTable) -> dict[str, pd.Series]:
    totals = {}
    as_sum = (place.totals_are or form.score) == "sum"
    for scale, column in (place.totals or {}).items():
        if scale not in form.scales:
            reader.problems.append(
                f"{place.table}: {form.name} has no scale {scale!r}. {did_you_mean(scale, form.scales)}"
            )
            continue
        numbers = reader.numbers(place.table, column, Reading([*form.missing, *place.missing], place.recode))
        if numbers is None:
            continue
        low, high = _ends(form, scale, as_sum=as_sum)
        values = numbers.values
        outside = np.isfinite(values) & ((values < low - _ROUND) | (values > high + _ROUND))
        bad = int(outside.sum())
        if bad and place.out_of_range == "refuse":
            reader.problems.append(
                f"{place.table}: column {column!r} holds {bad} values outside {low:g} to {high:g}, the range "
                f"of {scale}"
            )
        numbers.values = np.where(outside, np.nan, values)
        reader.record(place.table, column, f"total {low:g} to {high:g}", numbers=numbers, out_of_range=bad,
                      note="set to missing" if bad else "")  # fmt: skip
        totals[f"{form.name}.{scale}"] = _as_scored(form, scale, numbers, as_sum=as_sum).series(reader.people)
    return totals


def _ends(form: Instrument, scale: str, *, as_sum: bool) -> tuple[float, float]:
    """Return the range of a total as the file writes it; without end for a difference of scales."""
    rule = form.composites.get(scale)
    if rule is not None and rule.minus:
        return -np.inf, np.inf
    parts = [scale] if rule is None else list(rule.of)
    if not as_sum:
        return _mean_ends(form, parts)
    ends = [form.total_range(part) for part in parts]
    return sum(low for low, _ in ends), sum(high for _, high in ends)


def _mean_ends(form: Instrument, parts: list[str]) -> tuple[float, float]:
    items = [item for part in parts for item in form.subscales[part]]
    ends = [form.range_of(item) for item in items]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _as_scored(form: Instrument, scale: str, numbers: Numbers, *, as_sum: bool) -> Numbers:
    """Turn a total into the unit in which the instrument scores the scale."""
    if as_sum == (form.score == "sum"):
        return numbers
    items = len(form.scales[scale])
    numbers.values = numbers.values / items if as_sum else numbers.values * items
    return numbers
