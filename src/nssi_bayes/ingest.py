"""Read a cohort's folder, unmodified, into tidy tables and a list of all that was changed.

The tables speak the study's own language: ``participants.tsv`` has the columns ``participant_id``,
``site``, ``covariate_<name>``, ``disorder_<name>`` (0 or 1) and ``outcome_<name>``; one table an
instrument has ``participant_id`` and its items (``isas_01``), raw.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from nssi_bayes import names as n
from nssi_bayes.errors import DataError, did_you_mean
from nssi_bayes.instruments import Instrument, read_instrument
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, write_table
from nssi_bayes.study import (
    Codes,
    Disorders,
    InstrumentTable,
    Study,
    read_source_table,
    read_study,
    source_folder,
)

__all__ = ["run", "tidy"]

_log = logging.getLogger(__name__)
_MISSING: Final = ("", "n/a", "N/A", "na", "NA", "nan", "NaN")
_CURE: Final = "mend the table, or what the study file says about it; no row was written"


def run(layout: Layout, params: Params) -> None:
    """Write the tidy tables and the audit of one study.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        The run's parameters; ``source`` is the folder to read.

    Raises
    ------
    DataError
        With everything that is wrong in all tables, counted.
    SpecError
        If the study file or an instrument cannot be understood.
    """
    study = read_study(layout, params.study)
    tables, audit = tidy(source_folder(layout, params), study, min_cell=params.min_cell)
    folder = layout.tables(params.study)
    for name, table in tables.items():
        write_table(folder / f"{name}.tsv", table)
    for path in sorted(folder.glob("*.tsv")):
        if path.stem not in tables:
            path.unlink()
    write_table(layout.audit_ingest(params.study), audit)
    _log.info("%d people, %d tables", len(tables["participants"]), len(tables))


def tidy(source: Path, study: Study, *, min_cell: int = 0) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Read all tables that the study names.

    Parameters
    ----------
    source : pathlib.Path
        The cohort's folder.
    study : Study
        What stands where.
    min_cell : int
        A disorder of fewer people is noted in the audit.

    Returns
    -------
    dict of str to pandas.DataFrame
        ``participants`` and one table an instrument.
    pandas.DataFrame
        The audit; counts only.

    Raises
    ------
    DataError
        With everything that is wrong, counted.
    """
    reader = _Reader(source, study.participants.id)
    forms = {name: read_instrument(name) for name in study.instruments}
    tables = {"participants": _participants(reader, study, min_cell=min_cell)}
    for name, place in study.instruments.items():
        tables[name] = _responses(reader, forms[name], place)
    reader.refuse()
    return tables, pd.DataFrame(reader.audit, columns=list(n.AUDIT))


class _Reader:
    """Reads source tables once, lines them up by person, collects problems and the audit."""

    def __init__(self, source: Path, id_column: str) -> None:
        self.source = source
        self.id_column = id_column
        self.problems: list[str] = []
        self.audit: list[tuple[str, str, str, str, int, int, int, int, int, str]] = []
        self._tables: dict[str, pd.DataFrame | None] = {}
        self.people = pd.Index([], dtype="str")

    def refuse(self) -> None:
        if self.problems:
            raise DataError(self.problems, where=str(self.source), cure=_CURE)

    def note(self, table: str, column: str, rule: str, *, read: int, missing: int = 0, changed: int = 0,
             out_of_range: int = 0, dropped: int = 0, note: str = "") -> None:  # fmt: skip
        self.audit.append(
            ("ingest", table, column, rule, read, missing, changed, out_of_range, dropped, note)
        )

    def table(self, name: str) -> pd.DataFrame | None:
        """Return a table indexed by person, or None (with the problem noted)."""
        if name not in self._tables:
            try:
                self._tables[name] = self._indexed(name)
            except DataError as error:
                self.problems += [f"{name}: {problem}" for problem in error.problems]
                self._tables[name] = None
        return self._tables[name]

    def _indexed(self, name: str) -> pd.DataFrame:
        table = read_source_table(self.source / name)
        if self.id_column not in table:
            hint = did_you_mean(self.id_column, table.columns)
            raise DataError(f"column {self.id_column!r} is missing. {hint}")
        raw = table[self.id_column]
        label = raw.map(_label)
        blank = label == "sub-"
        problems = []
        if blank.any():
            problems.append(f"{int(blank.sum())} rows without a participant label")
        twice = label[~blank].duplicated()
        if twice.any():
            long = " (it has a column session_id: one row a person is needed)" * ("session_id" in table)
            problems.append(f"{int(twice.sum())} rows repeat a participant{long}")
        if problems:
            raise DataError(problems)
        self.note(name, self.id_column, "label without blanks, beginning with sub-", read=len(table),
                  changed=int((raw != label).sum()))  # fmt: skip
        cells = table.drop(columns=self.id_column).set_axis(pd.Index(label, name=n.PARTICIPANT), axis=0)
        return cells.mask(cells.isin(_MISSING))

    def column(self, table: str, column: str, *, missing: Iterable[str] = ()) -> pd.Series | None:
        """Return one column of words for everyone, missing as NA, or None (with the problem noted)."""
        frame = self.table(table)
        if frame is None:
            return None
        if column not in frame:
            self.problems.append(
                f"{table}: column {column!r} is missing. {did_you_mean(column, frame.columns)}"
            )
            return None
        words = frame[column]
        return words.mask(words.isin(list(missing))).reindex(self.people)

    def numbers(self, table: str, column: str, *, missing: Iterable[str] = ()) -> pd.Series | None:
        """Return one column of numbers for everyone, or None (with the problem noted)."""
        words = self.column(table, column, missing=missing)
        if words is None:
            return None
        values = pd.to_numeric(words, errors="coerce").astype("float64")
        bad = int((words.notna() & ~np.isfinite(values)).sum())
        if bad:
            self.problems.append(f"{table}: column {column!r} holds {bad} values that are no number")
        return values


def _label(raw: str) -> str:
    """Return a BIDS label: no blanks or underscores, ``sub-`` in front."""
    return "sub-" + re.sub(r"[\s_]", "", raw).removeprefix("sub-")


def _participants(reader: _Reader, study: Study, *, min_cell: int) -> pd.DataFrame:
    place = study.participants
    base = reader.table(place.table)
    if base is not None:
        reader.people = pd.Index(base.index, name=n.PARTICIPANT)
    columns: dict[str, pd.Series] = {"site": _site(reader, study)}
    for name, rule in study.covariates.items():
        columns[f"covariate_{name}"] = _covariate(
            reader, rule.table or place.table, rule.column, codes=rule.codes
        )
    for name, flags in _diagnoses(reader, study.disorders, min_cell=min_cell).items():
        columns[f"disorder_{name}"] = flags
    for name, outcome in study.outcomes.items():
        table = outcome.table or place.table
        values = reader.numbers(table, outcome.column)
        if values is None:
            continue
        low = -np.inf if outcome.minimum is None else outcome.minimum
        high = np.inf if outcome.maximum is None else outcome.maximum
        bad = int(((values < low) | (values > high)).sum())
        if bad:
            reader.problems.append(
                f"{table}: column {outcome.column!r} holds {bad} values outside {low:g} to {high:g}"
            )
        reader.note(table, outcome.column, f"outcome {name}", read=len(values),
                    missing=int(values.isna().sum()))  # fmt: skip
        columns[f"outcome_{name}"] = values
    people = pd.DataFrame(columns, index=reader.people)
    return people.rename_axis(index="participant_id").reset_index()


def _site(reader: _Reader, study: Study) -> pd.Series:
    place = study.participants
    if place.site is None:
        return pd.Series("single", index=reader.people)
    words = reader.column(place.table, place.site)
    if words is None:
        return pd.Series(pd.NA, index=reader.people)
    if words.isna().any():
        reader.problems.append(
            f"{place.table}: column {place.site!r} is missing for {int(words.isna().sum())} people"
        )
    if place.site_names is not None:
        unknown = words.notna() & ~words.isin(list(place.site_names))
        if unknown.any():
            reader.problems.append(
                f"{place.table}: column {place.site!r} holds {int(unknown.sum())} values "
                "that are not under participants.site_names"
            )
        words = words.map(place.site_names)
    reader.note(place.table, place.site, "site", read=len(words), missing=int(words.isna().sum()))
    return words


def _covariate(reader: _Reader, table: str, column: str, *, codes: dict[str, float] | None) -> pd.Series:
    if codes is None:
        values = reader.numbers(table, column)
        if values is None:
            return pd.Series(np.nan, index=reader.people)
    else:
        words = reader.column(table, column)
        if words is None:
            return pd.Series(np.nan, index=reader.people)
        values = words.map(codes).astype("float64")
        bad = int((words.notna() & values.isna()).sum())
        if bad:
            reader.problems.append(
                f"{table}: column {column!r} holds {bad} values that are not under its `codes`"
            )
    reader.note(table, column, "covariate", read=len(values), missing=int(values.isna().sum()))
    return values


def _diagnoses(reader: _Reader, rule: Disorders, *, min_cell: int) -> dict[str, pd.Series]:
    if rule.codes is not None:
        flags = _from_codes(reader, rule.table, rule.codes)
    else:
        flags = _from_flags(reader, rule)
    if len(flags) < len(rule.names):
        return flags
    for name, flag in flags.items():
        people = int(flag.sum())
        few = f"fewer than {min_cell} people" if people < min_cell else ""
        missing = int(flag.isna().sum())
        reader.note(rule.table, f"disorder_{name}", f"{rule.period} diagnosis", read=len(flag),
                    missing=missing, note=few)  # fmt: skip
        if missing and rule.not_assessed == "refuse":
            reader.problems.append(
                f"{rule.table}: {name} was not assessed in {missing} people, and not assessed is not absent; "
                "drop the disorder, or write disorders.not_assessed: exclude"
            )
    nobody = [name for name, flag in flags.items() if not flag.any()]
    if len(nobody) == len(flags):
        reader.problems.append(f"{rule.table}: nobody has a diagnosis")
    elif nobody:
        reader.problems.append(f"{rule.table}: nobody has {', '.join(nobody)}; drop it from `disorders`")
    return flags


def _from_flags(reader: _Reader, rule: Disorders) -> dict[str, pd.Series]:
    meaning = dict.fromkeys(rule.absent, 0.0) | dict.fromkeys(rule.present, 1.0)
    flags = {}
    for name, column in (rule.flags or {}).items():
        words = reader.column(rule.table, column)
        if words is None:
            continue
        flag = words.str.replace(r"\.0+$", "", regex=True).map(meaning).astype("float64")
        bad = int((words.notna() & flag.isna()).sum())
        if bad:
            reader.problems.append(
                f"{rule.table}: column {column!r} holds {bad} values that are neither "
                f"{' / '.join(rule.present)} (present) nor {' / '.join(rule.absent)} (absent)"
            )
        flags[name] = flag
    return flags


def _from_codes(reader: _Reader, table: str, codes: Codes) -> dict[str, pd.Series]:
    columns = [reader.column(table, column) for column in codes.columns]
    held = [column for column in columns if column is not None]
    if len(held) < len(columns):
        return {}
    frame = pd.concat(held, axis=1)
    assessed = frame.notna().any(axis=1)
    known = {**codes.groups, "ignore": codes.ignore}
    match = {name: frame.apply(_begins, args=(parts,)) for name, parts in known.items()}
    covered = np.logical_or.reduce([hit.to_numpy() for hit in match.values()])
    loose = int((frame.notna().to_numpy() & ~covered).sum())
    if loose:
        reader.problems.append(
            f"{table}: {loose} diagnosis codes are covered by no group and no entry of disorders.codes.ignore"
        )
    reader.note(table, "codes", "no disorder of the study", read=int(frame.notna().sum().sum()),
                dropped=int(match["ignore"].sum().sum()), note="listed under ignore")  # fmt: skip
    return {name: match[name].any(axis=1).astype("float64").where(assessed) for name in codes.groups}


def _begins(column: pd.Series, parts: Sequence[str]) -> pd.Series:
    return column.map(lambda code: isinstance(code, str) and code.startswith(tuple(parts))).astype(bool)


def _responses(reader: _Reader, form: Instrument, place: InstrumentTable) -> pd.DataFrame:
    items: dict[str, pd.Series] = {}
    codes = {*form.missing, *place.missing}
    for number in form.numbers:
        column = place.column.format(item=number)
        values = reader.numbers(place.table, column, missing=codes)
        if values is None:
            if reader.table(place.table) is None:
                break
            continue
        outside = (values < form.minimum) | (values > form.maximum) | (values % 1 != 0) & values.notna()
        bad = int(outside.sum())
        if bad and place.out_of_range == "refuse":
            reader.problems.append(
                f"{place.table}: column {column!r} holds {bad} values that are no whole number from "
                f"{form.minimum} to {form.maximum}"
            )
        values = values.mask(outside)
        reader.note(place.table, column, f"item {form.minimum} to {form.maximum}", read=len(values),
                    missing=int(values.isna().sum()) - bad, out_of_range=bad, dropped=bad,
                    note="set to missing" if bad else "")  # fmt: skip
        items[form.label(number)] = values
    table = reader.table(place.table)
    if table is not None:
        _match_people(reader, place.table, table)
    responses = pd.DataFrame(items, index=reader.people).convert_dtypes()
    return responses.rename_axis(index="participant_id").reset_index()


def _match_people(reader: _Reader, name: str, table: pd.DataFrame) -> None:
    unknown = int((~table.index.isin(reader.people)).sum())
    if len(reader.people) and unknown == len(table):
        reader.problems.append(f"{name}: none of its {unknown} people is in the table of participants")
    reader.note(name, "participant_id", "is in the table of participants", read=len(table), dropped=unknown,
                missing=int((~reader.people.isin(table.index)).sum()),
                note="dropped: not a participant of the study" if unknown else "")  # fmt: skip
