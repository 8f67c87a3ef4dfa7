"""The gate: what identifies a person is seen by name and by content, and people get keyed pseudonyms.

Nothing here returns a value of a cell; what is found is counted by column.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final, Literal

import numpy as np
import pandas as pd
import xarray as xr
import yaml
from pydantic import Field, model_validator

from nssi_bayes.errors import SpecError
from nssi_bayes.names import PARTICIPANT
from nssi_bayes.spec import Strict, parse
from nssi_bayes.store import Layout

__all__ = [
    "OLDEST",
    "Privacy",
    "Shift",
    "binned",
    "days",
    "found",
    "per_year",
    "pseudonym",
    "pseudonym_key",
    "pseudonymous",
    "shifted",
]

OLDEST: Final = 89
"""Years; Safe Harbor puts everybody older into one group of 90 or over."""
_TEXT_WORDS: Final = 4  # words of a cell that make it a sentence ...
_PLAIN: Final = re.compile(r"[+-]?\d*[.,]?\d*")
_COMPACT: Final = re.compile(r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_DAY: Final = re.compile(r"\d{4}-?\d{2}-?\d{2}(?!\d)")
_MOST_CELLS: Final = 0.8  # of eight digits that are a date make a column of dates
_KEY_LENGTH: Final = 16
_TEXT_CELLS: Final = 3  # ... and different sentences of a column that make it free text


class Shift(Strict):
    """Dates that stay intervals: every date of a person moves by the same secret number of days.

    Parameters
    ----------
    columns : tuple of str
        Columns of dates; `*` stands for anything.
    days : int
        Largest shift, days in either direction.
    """

    columns: tuple[str, ...] = Field(min_length=1)
    days: int = Field(default=365, ge=30)


class Privacy(Strict):
    """What becomes of columns that identify a person; any other such column is refused.

    Parameters
    ----------
    drop : tuple of str
        Columns that are not read; `*` stands for anything.
    shift : Shift, optional
        Columns of dates that become days since 1970 plus a person's secret shift.
    bin : dict of str to {"year", "age_90"}
        ``year``: a date becomes its year. ``age_90``: 90 stands for every age over 89 years.
    not_identifying : dict of str to str
        Columns that look identifying and are not, each with the reason, which the audit repeats.
    """

    drop: tuple[str, ...] = ()
    shift: Shift | None = None
    bin: dict[str, Literal["year", "age_90"]] = Field(default_factory=dict)
    not_identifying: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way(self) -> Privacy:
        moved = self.shift.columns if self.shift else ()
        twice = {*self.drop} & {*moved, *self.bin, *self.not_identifying} | {*moved} & {*self.bin}
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))}: two ways for one column")
        return self

    def treatment(self, column: str) -> str:
        """Return what becomes of a column: ``drop``, ``shift``, ``year``, ``age_90``, ``keep`` or nothing."""
        if _matches(column, self.drop):
            return "drop"
        if self.shift and _matches(column, self.shift.columns):
            return "shift"
        if column in self.bin:
            return self.bin[column]
        return "keep" if column in self.not_identifying else ""


def _matches(column: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(column, pattern) for pattern in patterns)


class _Kind(Strict):
    kind: str
    words: tuple[str, ...]
    alone: tuple[str, ...] = ()
    content: str | None = None

    def named(self, said: str) -> bool:
        """Return whether a column's name, as words, is one of such an identifier."""
        if said.strip() in self.alone:
            return True
        return any(f" {words} " in said or (words in said and _without_blanks(words)) for words in self.words)


def _without_blanks(words: str) -> bool:
    """Return whether a language puts no blanks between its words."""
    return any("\u4e00" <= character <= "\u9fff" for character in words)


@cache
def _kinds() -> tuple[_Kind, ...]:
    text = files("nssi_bayes.privacy").joinpath("safe_harbor.yaml").read_text(encoding="utf-8")
    return tuple(parse(_Kind, k, where="privacy/safe_harbor.yaml") for k in yaml.safe_load(text))


def _name_words(column: str) -> str:
    """Return a column's name as words: ``InterviewDate`` and ``interview_date`` are equal."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", column)
    return f" {' '.join(re.findall(r'[^\W\d_]+|[0-9]+', split.lower()))} "


def found(column: str, words: Iterable[str], *, counts: Iterable[int] = (), unit: str = "") -> str:
    """Return which identifier a column holds, by its name or by what stands in it.

    Parameters
    ----------
    column : str
        Its name.
    words : iterable of str
        Its distinct cells, without missing ones.
    counts : iterable of int
        How often each of them stands there.
    unit : str
        Unit, where a sidecar names it.

    Returns
    -------
    str
        The kind of identifier; empty for none.

    References
    ----------
    45 CFR 164.514(b)(2), the Safe Harbor list.
    """
    said = _name_words(column)
    for rule in _kinds():
        if rule.named(said):
            return rule.kind
    cells = list(words)
    digits = [cell for cell in cells if len(cell) == 8 and cell.isdigit()]
    compact = sum(_COMPACT.fullmatch(cell) is not None for cell in digits)
    if compact and compact >= _MOST_CELLS * len(digits) and 2 * len(digits) >= sum(map(bool, cells)):
        return "date"
    long = [cell for cell in cells if len(cell) > 5 and not _PLAIN.fullmatch(cell)]
    for rule in _kinds():
        if rule.content and any(re.search(rf"(?<![\w.@]){rule.content}(?![\d@])", cell) for cell in long):
            return rule.kind
    if " age " in said or " alter " in said or said.startswith(" age"):
        years = _ages(pd.Series(cells, dtype="object")) / per_year(column, unit)
        if (years.between(OLDEST + 1, 130, inclusive="left")).any():
            return f"age over {OLDEST}"
    often = [*counts] or [1] * len(cells)
    texts = [k for k, cell in zip(often, cells, strict=True) if len(cell.split()) >= _TEXT_WORDS]
    if len(texts) >= _TEXT_CELLS and sum(texts) < 2 * len(texts):
        return "free text"
    return ""


def per_year(column: str, unit: str) -> int:
    """Return how many units of an age make a year: 12 for one in months, as its name or its sidecar says."""
    said = _name_words(column)
    return 12 if "month" in unit.lower() or " months " in said or " interview age " in said else 1


def _ages(words: pd.Series) -> pd.Series:
    """Return ages as numbers; a comma is a decimal one."""
    plain = words.map(lambda word: word.replace(",", ".") if isinstance(word, str) else word)
    return pd.to_numeric(plain, errors="coerce")


def pseudonym(label: str, key: bytes) -> str:
    """Return the label that stands for a person in everything that is written.

    Parameters
    ----------
    label : str
        The person's label in the folder, normalised.
    key : bytes
        The lab's secret; who does not have it cannot find the label from the pseudonym.

    Returns
    -------
    str
        ``sub-`` and 64 bits of HMAC-SHA-256, which are letters and digits that BIDS allows.

    References
    ----------
    Krawczyk, Bellare & Canetti (1997), RFC 2104. doi:10.17487/RFC2104
    """
    return f"sub-{hmac.new(key, f'label {label}'.encode(), sha256).hexdigest()[:16]}"


def pseudonym_key(layout: Layout) -> bytes:
    """Return the lab's secret: the environment's, else the file's, which is written once.

    Parameters
    ----------
    layout : Layout
        Where the file lies.

    Returns
    -------
    bytes
        At least 16 bytes. With another key people get other pseudonyms, and stand in another order.

    Raises
    ------
    SpecError
        If the environment's or the file's key is too short.
    """
    said = os.environ.get("NSSI_BAYES_KEY")
    path = layout.pseudonym_key
    if said is None and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32) + "\n")
    key = (said if said is not None else path.read_text(encoding="utf-8")).strip().encode()
    if len(key) < _KEY_LENGTH:
        where = str(path) if said is None else "environment: NSSI_BAYES_KEY"
        raise SpecError(
            f"the key is shorter than {_KEY_LENGTH} characters", where=where, cure="write a longer one"
        )
    return key


def pseudonymous(dataset: xr.Dataset, layout: Layout, *, keyed: bool) -> xr.Dataset:
    """Replace the labels of people, where a study wants it, as the tables have them replaced.

    Parameters
    ----------
    dataset : xarray.Dataset
        Along `participant`, with the labels of the folder.
    layout : Layout
        Where the key lies.
    keyed : bool
        Whether the study has keyed pseudonyms.

    Returns
    -------
    xarray.Dataset
        In the order of the labels it has then.
    """
    if not keyed:
        return dataset
    key = pseudonym_key(layout)
    labels = [pseudonym(str(label), key) for label in dataset[PARTICIPANT].to_numpy()]
    return dataset.assign_coords({PARTICIPANT: np.array(labels, dtype=object)}).sortby(PARTICIPANT)


def _shift_of(label: str, key: bytes, most: int) -> int:
    """Return a person's shift in days, never zero."""
    number = int.from_bytes(hmac.new(key, f"shift {label}".encode(), sha256).digest()[:8])
    step = number % (2 * most) - most
    return step if step < 0 else step + 1


def days(words: pd.Series) -> pd.Series:
    """Return dates as days since 1970-01-01; NaN for what is no whole date that is written year first."""
    whole = words.astype("object").map(lambda word: isinstance(word, str) and _DAY.match(word) is not None)
    dates = pd.to_datetime(
        words.astype("object").where(whole.astype(bool)), format="ISO8601", errors="coerce", utc=True
    )
    return (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)


def shifted(words: pd.Series, *, key: bytes, most: int) -> pd.Series:
    """Return dates as days since 1970 plus each person's shift.

    Parameters
    ----------
    words : pandas.Series
        Dates, year first, indexed by the label in the folder.
    key : bytes
        The lab's secret.
    most : int
        Largest shift, days.

    Returns
    -------
    pandas.Series
        Days; differences between dates of one person are true.
    """
    shift = np.array([_shift_of(str(label), key, most) for label in words.index], dtype=float)
    return np.floor(days(words)) + shift


def binned(words: pd.Series, how: str, *, units: int = 1) -> pd.Series:
    """Return a column of dates as years, or of ages with 90 for everybody over 89.

    Parameters
    ----------
    words : pandas.Series
        Dates, year first, or ages.
    how : {"year", "age_90"}
        Which of the two.
    units : int
        Units of an age in a year: 12 for months.

    Returns
    -------
    pandas.Series
        Years, or ages in their own unit; NaN for what is neither.
    """
    if how == "year":
        return pd.to_datetime(words.astype("object"), format="ISO8601", errors="coerce", utc=True).dt.year
    ages = _ages(words.astype("object"))
    limit = (OLDEST + 1) * units
    return ages.where(~(ages >= limit), limit)
