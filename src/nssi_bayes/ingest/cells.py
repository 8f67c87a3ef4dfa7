"""From the distinct words of one column to numbers: missing codes, decimal commas, labels, recoding.

Every distinct word is looked at once, so a table of many rows costs no more than its words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from nssi_bayes.sidecars import means_missing
from nssi_bayes.sources import About

__all__ = ["Cells", "Numbers", "Reading", "canonical", "says_nothing"]

_MISSING: Final = frozenset(
    ["", ".", "n/a", "N/A", "na", "NA", "nan", "NaN", "NAN", "<NA>", "#N/A", "#NULL!", "NULL", "null"]
)
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_COMMA: Final = re.compile(r"[+-]?\d*,\d+")
_THOUSANDS: Final = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
_POINTED: Final = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+")


def canonical(word: str) -> str:
    """Return a word as it is compared: ``35.0`` and ``35`` are equal, and so are the two minus signs."""
    word = word.strip().replace("\u2212", "-")
    return re.sub(r"^([+-]?\d+)\.0+$", r"\1", word)


def says_nothing(word: str) -> bool:
    """Return whether a word is a blank or one of the usual signs of a missing value."""
    return word in _MISSING


@dataclass(frozen=True)
class Cells:
    """One column, lined up by person.

    Parameters
    ----------
    words : list of str
        Distinct cells.
    place : ndarray
        (`participant`,) position in `words`; -1 for a person who has no row.
    about : About
        What the folder says about the column.
    decimal : {"point", "comma"}
        What a comma means.
    """

    words: list[str]
    place: npt.NDArray[np.int64]
    about: About
    decimal: str = "point"

    def counts(self) -> npt.NDArray[np.int64]:
        """Return how many people have each word."""
        return np.bincount(self.place[self.place >= 0], minlength=len(self.words))


@dataclass(frozen=True)
class Reading:
    """How the words of a column are read.

    Parameters
    ----------
    missing : iterable of str
        Codes of a missing value.
    recode : mapping of str to str
        Words that stand for others.
    codes : mapping of str to float, optional
        Numbers of words; without it words are numbers themselves.
    trust_levels : bool
        Whether a number beyond the levels that the folder names is a problem.
    """

    missing: Iterable[str] = ()
    recode: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, float] | None = None
    trust_levels: bool = True


@dataclass
class Numbers:
    """One column as numbers, and what it took.

    Parameters
    ----------
    values : ndarray
        (`participant`,) numbers; NaN is missing.
    missing : dict of str to int
        Code: people with it; ``blank`` for an empty cell, ``no row`` for people who have none.
    recoded : int
        Values that the study or a label turned into another.
    commas : int
        Values with a decimal comma.
    bad : int
        Values that are no number (or not under `codes`); missing in `values`.
    unclear : int
        Values with a comma that may be one of thousands.
    pointed : int
        Values with a point that may be one of thousands, in a column of decimal commas.
    strange : int
        Values beyond the levels that the folder names.
    """

    values: npt.NDArray[np.float64]
    missing: dict[str, int]
    recoded: int = 0
    commas: int = 0
    bad: int = 0
    unclear: int = 0
    pointed: int = 0
    strange: int = 0

    def problems(self, table: str, *, coded: bool) -> list[str]:
        """Return what is wrong with the values, without one of them.

        Parameters
        ----------
        table : str
            Their table, for the cure.
        coded : bool
            Whether the study gives numbers for words.

        Returns
        -------
        list of str
            Sentences that go on after the name of the column.
        """
        what = "not under its `codes`" if coded else "no number"
        looked = (
            "say that you looked: `confirmed: true` under the instrument, `minimum` and `maximum` under a "
            "covariate or an outcome"
        )
        said = {
            f"values that are {what}": self.bad,
            "values whose comma may stand for thousands; write `decimal: comma` under "
            f"tables.{table} if it does not": self.unclear,
            "values whose point may stand for thousands, beside decimal commas; write them without "
            "it": self.pointed,
            f"values beyond the levels that the folder's dictionary names; mend one of them, or {looked}": (
                self.strange
            ),
        }
        return [f"holds {count} {what}" for what, count in said.items() if count]

    def series(self, people: pd.Index) -> pd.Series:
        """Return the values, labelled."""
        return pd.Series(self.values, index=people)


def _is_missing(word: str, about: About, codes: frozenset[str]) -> bool:
    same = canonical(word)
    if says_nothing(word) or same in codes:
        return True
    label = about.labels.get(word) or about.labels.get(same)
    if label is not None and means_missing(label, same):
        return True
    if about.missing and _NUMBER.fullmatch(same):
        return any(low <= float(same) <= high for low, high in about.missing)
    return False


def missing_words(cells: Cells, codes: Iterable[str]) -> list[bool]:
    """Return which of the distinct words say that nothing was observed."""
    known = frozenset(canonical(code) for code in codes)
    return [_is_missing(word, cells.about, known) for word in cells.words]


def read_numbers(cells: Cells, how: Reading) -> Numbers:
    """Read a column as numbers.

    Parameters
    ----------
    cells : Cells
        The column.
    how : Reading
        Its codes.

    Returns
    -------
    Numbers
        Values and counts.
    """
    count = cells.counts()
    absent = int((cells.place < 0).sum())
    gone = missing_words(cells, how.missing)
    recode: dict[str, Any] = {canonical(k): v for k, v in how.recode.items()}
    by_label = _codes_of_labels(cells.about)
    ends = _ends_of_levels(cells.about) if how.trust_levels and how.codes is None else None
    number = np.full(len(cells.words) + 1, np.nan)  # the last one is for people without a row
    found = Numbers(number, {"no row": absent} if absent else {})
    comma = _comma_means(cells, gone)
    for k, word in enumerate(cells.words):
        people = int(count[k])
        if gone[k]:
            if people:
                code = word or "blank"
                found.missing[code] = found.missing.get(code, 0) + people
            continue
        same = canonical(word)
        recoded = same in recode
        if recoded:
            same = canonical(str(recode[same]))
            found.recoded += people
        if how.codes is not None:
            number[k] = _coded(same, cells.about, how.codes)
        elif not recoded and comma == "decimal" and _POINTED.fullmatch(word.strip()):
            found.pointed += people
            continue
        elif _COMMA.fullmatch(same) and comma == "unclear":
            found.unclear += people
            continue
        elif _COMMA.fullmatch(same):
            number[k] = float(same.replace(",", "."))
            found.commas += people
        elif _NUMBER.fullmatch(same):
            number[k] = float(same)
        elif same.casefold() in by_label and _NUMBER.fullmatch(by_label[same.casefold()]):
            number[k] = float(by_label[same.casefold()])
            found.recoded += people
        if not np.isfinite(number[k]):
            number[k] = np.nan
            found.bad += people
        elif ends and not recoded and not ends[0] <= number[k] <= ends[1]:
            found.strange += people
    found.values = number[cells.place]
    return found


def _comma_means(cells: Cells, gone: list[bool]) -> str:
    """Return what a comma in the column is: ``decimal``, ``unclear`` (thousands?), or ``none`` is there."""
    with_comma = [
        same
        for same, missing in zip(map(canonical, cells.words), gone, strict=True)
        if not missing and _COMMA.fullmatch(same)
    ]
    if cells.decimal == "comma" or any(not _THOUSANDS.fullmatch(same) for same in with_comma):
        return "decimal"
    return "unclear" if with_comma else "none"


def _ends_of_levels(about: About) -> tuple[float, float] | None:
    """Return the smallest and largest level that is an answer; None where the folder names fewer than two."""
    levels = [
        float(code)
        for code, label in about.labels.items()
        if _NUMBER.fullmatch(canonical(code)) and not means_missing(label, code)
    ]
    return (min(levels), max(levels)) if len(set(levels)) > 1 else None


def _codes_of_labels(about: About) -> dict[str, str]:
    """Return the code of every label that only one code has."""
    labels = [label.casefold() for label in about.labels.values()]
    return {v.casefold(): k for k, v in about.labels.items() if labels.count(v.casefold()) == 1}


def _coded(word: str, about: About, codes: Mapping[str, float]) -> float:
    """Return the number of a word, which the study names by itself or by its label."""
    named = {canonical(str(k)).casefold(): v for k, v in codes.items()}
    label = about.labels.get(word, "")
    return float(named.get(word.casefold(), named.get(label.casefold(), np.nan)))


def read_words(
    cells: Cells, codes: Iterable[str] = (), *, exact: bool = False
) -> tuple[pd.Series, dict[str, int]]:
    """Read a column as words.

    Parameters
    ----------
    cells : Cells
        The column.
    codes : iterable of str
        Codes of a missing value.
    exact : bool
        Whether words stay as they are written.

    Returns
    -------
    pandas.Series
        (`participant`,) words, in canonical form unless `exact`, NA where missing, by position.
    dict of str to int
        Missing code: people with it.
    """
    gone = missing_words(cells, codes)
    count = cells.counts()
    words = np.array(
        [
            *(None if g else w if exact else canonical(w) for g, w in zip(gone, cells.words, strict=True)),
            None,
        ],
        object,
    )
    absent = int((cells.place < 0).sum())
    missing = {w or "blank": int(c) for g, w, c in zip(gone, cells.words, count, strict=True) if g and c}
    return pd.Series(words[cells.place], dtype="object"), missing | ({"no row": absent} if absent else {})
