"""Reads the tables of a folder once, lines them up by person, collects problems and the audit."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from nssi_bayes import names as n
from nssi_bayes.errors import DataError, did_you_mean
from nssi_bayes.ingest.cells import Cells, Numbers, Reading, canonical, read_numbers, read_words
from nssi_bayes.ingest.labels import NOBODY, person
from nssi_bayes.ingest.stacked import read_described
from nssi_bayes.privacy import binned, found, per_year, pseudonym, shifted
from nssi_bayes.sources import About
from nssi_bayes.study import Study, TableView

__all__ = ["Line", "Reader"]

_CURE: Final = "mend the table, or what the study file says about it; no row was written"
_WAVES: Final = (
    "session_id",
    "session",
    "visit",
    "wave",
    "eventname",
    "redcap_event_name",
    "redcap_repeat_instance",
)
_UNITS: Final = {
    "year": "years",
    "y": "years",
    "yr": "years",
    "yrs": "years",
    "month": "months",
    "mo": "months",
}


@dataclass(frozen=True)
class Line:
    """One line of the audit; every number counts people or values.

    Parameters
    ----------
    table, column, rule : str
        Where, and what was done.
    read, missing, changed, out_of_range, dropped : int
        Values read; of these missing, turned into others, outside the range, left out.
    note : str
        Anything else.
    """

    table: str
    column: str
    rule: str
    read: int
    missing: int = 0
    changed: int = 0
    out_of_range: int = 0
    dropped: int = 0
    note: str = ""


@dataclass(frozen=True)
class _Table:
    frame: pd.DataFrame  # categorical words, indexed by the person's label in what is written
    labels: pd.Index  # the person's label in the folder, row by row
    about: dict[str, About]
    view: TableView


class Reader:
    """The folder of one study.

    Parameters
    ----------
    source : pathlib.Path
        The cohort's folder.
    study : Study
        What stands where.
    key : bytes, optional
        The lab's secret; without it people keep their labels.
    """

    def __init__(self, source: Path, study: Study, *, key: bytes | None = None) -> None:
        self.source = source
        self.study = study
        self.key = key
        self.problems: list[str] = []
        self.audit: list[tuple[str, str, str, str, int, int, int, int, int, str]] = []
        self.people = pd.Index([], dtype="str")
        self.rows = 0
        self._tables: dict[str, _Table | None] = {}
        self._recoded = _recoded_columns(study)

    def refuse(self) -> None:
        """Raise everything that was found wrong, at once."""
        if self.problems:
            raise DataError(list(dict.fromkeys(self.problems)), where=str(self.source), cure=_CURE)

    def note(self, line: Line) -> None:
        """Add a line to the audit."""
        self.audit.append(("ingest", *astuple(line)))

    def record(self, table: str, column: str, rule: str, *, numbers: Numbers, out_of_range: int = 0,
               note: str = "") -> None:  # fmt: skip
        """Add the lines of one column: the rule, what was recoded, and missing values by code."""
        read = len(numbers.values)
        lost = int(np.isnan(numbers.values).sum()) - out_of_range
        said = "; ".join(
            [note] * bool(note) + [f"{numbers.commas} with a decimal comma"] * bool(numbers.commas)
        )
        self.note(
            Line(
                table,
                column,
                rule,
                read=read,
                missing=lost,
                changed=numbers.recoded + numbers.commas,
                out_of_range=out_of_range,
                dropped=out_of_range,
                note=said,
            )
        )
        self.record_missing(table, column, numbers.missing, read=read)

    def record_missing(self, table: str, column: str, missing: dict[str, int], *, read: int) -> None:
        """Add a line for every missing code that occurs."""
        for code, people in sorted(missing.items()):
            self.note(Line(table, column, f"missing: {code}", read=read, missing=people))

    def table(self, name: str) -> _Table | None:
        """Return a table indexed by person, or None (with the problem noted)."""
        if name not in self._tables:
            try:
                self._tables[name] = self._indexed(name)
            except DataError as error:
                self.problems += [f"{name}: {problem}" for problem in error.problems]
                self._tables[name] = None
        return self._tables[name]

    def labels_of_people(self) -> pd.Index:
        """Return the labels of the participants as the folder has them."""
        base = self.table(self.study.participants.table)
        return pd.Index([], dtype="str") if base is None else base.labels

    def labels(self, table: str, column: str) -> dict[str, str]:
        """Return what the folder says the codes of a column mean."""
        read = self.table(table)
        return {} if read is None else read.about.get(column, About()).labels

    def columns_like(self, table: str, pattern: str) -> list[str]:
        """Return the columns of a table that a name with `*` stands for."""
        found_table = self.table(table)
        columns = [] if found_table is None else list(found_table.frame.columns)
        return [c for c in columns if c == pattern] or [c for c in columns if fnmatchcase(c, pattern)]

    def cells(self, table: str, column: str) -> Cells | None:
        """Return one column for everyone, or None (with the problem noted)."""
        read = self.table(table)
        if read is None:
            return None
        if self.study.privacy.treatment(column) == "drop":
            self.problems.append(
                f"{table}: column {column!r} is read by the study and dropped by `privacy.drop`"
            )
            return None
        if column not in read.frame:
            hint = _like(column, read.frame)
            self.problems.append(f"{table}: column {column!r} is missing. {hint}")
            return None
        words = read.frame[column].cat.categories
        place = read.frame.index.get_indexer(self.people)
        codes = np.append(read.frame[column].cat.codes.to_numpy(), -1).astype("int64")
        return Cells(list(words), codes[place], read.about.get(column, About()), read.view.decimal)

    def words(self, table: str, column: str, *, exact: bool = False) -> pd.Series | None:
        """Return one column of words for everyone, missing as NA; its missing codes go to the audit.

        Words are in canonical form, or `exact`, where 300.00 is another word than 300.
        """
        cells = self.cells(table, column)
        if cells is None:
            return None
        if self.study.privacy.treatment(column) in ("shift", "year", "age_90"):
            self.problems.append(
                f"{table}: column {column!r} is read as words, which `privacy` cannot protect"
            )
            return None
        words, lost = read_words(cells, self.study.view(table).missing, exact=exact)
        self.record_missing(table, column, lost, read=len(words))
        return words.set_axis(self.people)

    def numbers(self, table: str, column: str, how: Reading) -> Numbers | None:
        """Return one column of numbers for everyone, or None (with the problem noted)."""
        how = replace(how, missing=[*how.missing, *self.study.view(table).missing])
        treatment = self.study.privacy.treatment(column)
        if treatment in ("shift", "year", "age_90"):
            return self._protected(table, column, treatment, how)
        cells = self.cells(table, column)
        if cells is None:
            return None
        numbers = read_numbers(cells, how)
        said = numbers.problems(table, coded=how.codes is not None)
        self.problems += [f"{table}: column {column!r} {sentence}" for sentence in said]
        return numbers

    def _protected(self, table: str, column: str, treatment: str, how: Reading) -> Numbers | None:
        """Return dates shifted or as years, or ages with everybody over 89 in one group."""
        cells = self.cells(table, column)
        read = self.table(table)
        if cells is None or read is None:
            return None
        words, lost = read_words(cells, how.missing)
        place = read.frame.index.get_indexer(self.people)
        labels = np.append(read.labels.to_numpy(), "")[place]
        if treatment == "shift":
            if self.key is None or self.study.privacy.shift is None:
                self.problems.append(f"{table}: column {column!r}: a shift needs keyed pseudonyms")
                return None
            most = self.study.privacy.shift.days
            values = shifted(words.set_axis(labels), key=self.key, most=most)
        else:
            values = binned(words, treatment, units=per_year(column, cells.about.unit))
        numbers = Numbers(values.to_numpy("float64"), lost)
        numbers.bad = int((words.notna().to_numpy() & np.isnan(numbers.values)).sum())
        changed = int(np.isfinite(numbers.values).sum())
        if numbers.bad:
            what = "age" if treatment == "age_90" else "date that is written year first"
            self.problems.append(f"{table}: column {column!r} holds {numbers.bad} values that are no {what}")
        self.note(Line(table, column, f"privacy: {treatment}", read=len(values), changed=changed))
        return numbers

    def check_unit(self, table: str, column: str, unit: str | None) -> None:
        """Note a problem where the folder's sidecar contradicts the study's unit."""
        read = self.table(table)
        said = read.about.get(column, About()).unit if read is not None else ""
        if unit and said and _unit(unit) != _unit(said):
            self.problems.append(
                f"{table}: column {column!r} is in {said!r} by its sidecar, and in {unit!r} by the study file"
            )

    def _indexed(self, name: str) -> _Table:
        view = self.study.view(name)
        source, about, unread = read_described(
            self.source, str(view.file), id_column=view.id or self.study.participants.id, sheet=view.sheet
        )
        id_column = self._id_column(source.frame, view)
        for fact, rows in source.facts:
            self.note(Line(name, "all columns", fact, read=len(source.frame), changed=rows))
        for sentence in unread:
            self.note(Line(name, "all columns", "sidecar", read=len(source.frame), note=sentence))
        frame = self._chosen_rows(name, source.frame, view)
        raw = frame[id_column].astype("str")
        labels = raw.map({word: person(word) for word in raw.unique()})
        frame, labels = self._one_row_each(name, frame, labels, id_column)
        raw = raw[labels.index]
        line = Line(name, id_column, "label without blanks, beginning with sub-", read=len(labels))
        self.note(replace(line, changed=int((raw != labels).sum())))
        kept = self._gate(name, frame.drop(columns=id_column), about)
        return _Table(kept.set_axis(self._people(labels), axis=0), pd.Index(labels), about, view)

    def _one_row_each(
        self, name: str, frame: pd.DataFrame, labels: pd.Series, id_column: str
    ) -> tuple[pd.DataFrame, pd.Series]:
        """Leave out rows that repeat another; rows of nobody, and of somebody twice, are problems."""
        blank = labels == NOBODY
        if blank.any():
            self.problems.append(f"{name}: {int(blank.sum())} rows without a participant label")
        frame, labels = frame[~blank], labels[~blank]
        twice = labels.duplicated(keep=False)
        if twice.any():
            again = frame[twice].astype("str").assign(**{id_column: labels[twice]}).duplicated()
            self.note(Line(name, id_column, "duplicated row", read=len(frame), dropped=int(again.sum())))
            keep = ~labels.index.isin(again.index[again])
            frame, labels = frame[keep], labels[keep]
            many = labels.duplicated()
            if many.any():
                hint = _wave_hint(frame, name)
                self.problems.append(f"{name}: {int(many.sum())} rows repeat a participant{hint}")
                frame, labels = frame[~many], labels[~many]
        return frame, labels

    def _id_column(self, frame: pd.DataFrame, view: TableView) -> str:
        place = self.study.participants
        tries = [view.id] if view.id is not None else [place.id, *place.other_ids]
        for column in tries:
            if column in frame:
                return column
        others = "; name it under participants.other_ids, or under `tables`" if view.id is None else ""
        raise DataError(f"column {tries[0]!r} is missing. {_like(tries[0], frame)}{others}")

    def _chosen_rows(self, name: str, frame: pd.DataFrame, view: TableView) -> pd.DataFrame:
        chosen = np.ones(len(frame), dtype=bool)
        for column, value in view.rows.items():
            if column not in frame:
                raise DataError(f"`rows`: column {column!r} is missing. {_like(column, frame)}")
            chosen &= frame[column].astype("str").map(canonical).to_numpy() == canonical(value)
        if view.rows:
            if not chosen.any():
                raise DataError(f"no row has what tables.{name}.rows says")
            self.note(
                Line(
                    name,
                    ", ".join(view.rows),
                    "rows of the study's choice",
                    read=len(frame),
                    dropped=int((~chosen).sum()),
                )
            )
        return frame[chosen]

    def _gate(self, name: str, frame: pd.DataFrame, about: dict[str, About]) -> pd.DataFrame:
        """Take away what the study drops; columns that identify people and have no rule are problems."""
        gone = []
        for column in frame.columns:
            treatment = self.study.privacy.treatment(column)
            held = frame[column].cat.remove_unused_categories()
            if treatment == "drop":
                gone.append(column)
                self.note(
                    Line(name, column, "privacy: dropped", read=len(frame), dropped=int((held != "").sum()))
                )
                continue
            if treatment or (name, column) in self._recoded:
                if treatment == "keep":
                    why = self.study.privacy.not_identifying[column]
                    self.note(Line(name, column, "privacy: kept", read=len(frame), note=why))
                continue
            said = about.get(column, About())
            counts = held.value_counts(sort=False)
            kind = found(column, counts.index.astype("str"), counts=counts, unit=said.unit)
            kind = "marked as identifying by the data dictionary" if said.identifier else kind
            if kind:
                self.problems.append(
                    f"{name}: column {column!r} looks like a direct identifier ({kind}); write it under "
                    "privacy.drop (or shift, bin, not_identifying)"
                )
        return frame.drop(columns=gone)

    def _people(self, labels: pd.Series) -> pd.Index:
        """Return the label of every row in what is written."""
        if self.key is None:
            return pd.Index(labels, name=n.PARTICIPANT)
        key = self.key
        return pd.Index([pseudonym(label, key) for label in labels], name=n.PARTICIPANT, dtype="str")


def _like(column: str, frame: pd.DataFrame) -> str:
    """Return a hint that quotes no other name: those of a file without a header are somebody's row."""
    hint = did_you_mean(column, frame.columns)
    few = f"None of the {len(frame.columns)} names in its first line is like it"
    return hint if hint.startswith("Did you mean") else few


def _wave_hint(frame: pd.DataFrame, name: str) -> str:
    wave = next((c for c in _WAVES if c in frame), None)
    if wave is None:
        return ", with different cells"
    return f" (it has a column {wave}: choose one row a person with tables.{name}.rows)"


def _unit(unit: str) -> str:
    plain = unit.strip().lower()
    return _UNITS.get(plain, plain)


def _recoded_columns(study: Study) -> set[tuple[str, str]]:
    """Return the columns of which only a recoded form is written."""
    people = study.participants
    found_columns = {(people.table, people.site)} if people.site and people.site_names else set()
    rules = (*study.covariates.values(), *study.treatments.values())
    found_columns |= {(r.table or people.table, r.column) for r in rules if r.codes}
    rule = study.disorders
    columns = list((rule.flags or {}).values())
    columns += list(rule.codes.columns) if rule.codes else []
    columns += [rule.primary.column, *rule.primary.comorbid] if rule.primary else []
    found_columns |= {(rule.table, column) for column in columns}
    found_columns |= {(name, column) for name, view in study.tables.items() for column in view.rows}
    return {(str(table), str(column)) for table, column in found_columns}
