"""``study.yaml``: what stands where in a cohort's folder, and what each thing is.

Tables are paths relative to the source folder. Nothing here is guessed: a disorder, a factor or an
outcome exists because the study file says so.
"""

from __future__ import annotations

from pathlib import Path
from string import Formatter
from typing import Literal

import pandas as pd
from pydantic import Field, field_validator, model_validator

from nssi_bayes.errors import DataError
from nssi_bayes.imaging import ActivationSource, ConnectivitySource
from nssi_bayes.names import NONE_LEVEL
from nssi_bayes.spec import Params, Strict, parse
from nssi_bayes.store import Layout, read_yaml

__all__ = [
    "Codes",
    "Covariate",
    "Disorders",
    "Factor",
    "InstrumentTable",
    "Outcome",
    "Participants",
    "Study",
    "read_source_table",
    "read_study",
    "source_folder",
]


def _pattern(text: str, *, field: str) -> str:
    example = {"item": 1}
    try:
        fields = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
        if fields == {field}:
            text.format(**{field: example[field]})
    except ValueError as error:
        raise ValueError("the pattern is not one that Python's format understands") from error
    if fields != {field}:
        raise ValueError(f"the pattern needs {{{field}}} and no other field")
    return text


class Participants(Strict):
    """The table with one row a person.

    Parameters
    ----------
    table : str
        Path of the table.
    id : str
        Column of the person's label.
    site : str, optional
        Column of the site or scanner; without it everyone is of one site.
    site_names : dict of str to str, optional
        Names for the values of that column, such as a scanner's serial number.
    """

    table: str = "participants.tsv"
    id: str = "participant_id"
    site: str | None = None
    site_names: dict[str, str] | None = None


class Covariate(Strict):
    """A covariate of the person.

    Parameters
    ----------
    column : str
        Its column.
    table : str, optional
        Its table; the table of participants if left out.
    codes : dict of str to float, optional
        Numbers for a column of words, such as ``{F: 1, M: 0}``.
    """

    column: str
    table: str | None = None
    codes: dict[str, float] | None = None


class Codes(Strict):
    """Diagnoses as codes in one or several columns, such as those of an interview.

    Parameters
    ----------
    columns : tuple of str
        Columns that may each hold one code, with or without text after it.
    groups : dict of str to tuple of str
        Disorder: the beginnings of its codes. A code may count for one disorder only.
    ignore : tuple of str
        Beginnings of codes that are none of the disorders. A code that no group and no entry here
        covers is an error, so that nothing is left out unseen.
    """

    columns: tuple[str, ...] = Field(min_length=1)
    groups: dict[str, tuple[str, ...]]
    ignore: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _disjoint(self) -> Codes:
        owner: dict[str, str] = {}
        for group, codes in {**self.groups, "ignore": self.ignore}.items():
            for code in codes:
                for other, by in owner.items():
                    if by != group and (code.startswith(other) or other.startswith(code)):
                        raise ValueError(f"code {code!r} of {group!r} overlaps {other!r} of {by!r}")
                owner[code] = group
        return self


class Disorders(Strict):
    """Multi-label diagnoses: one flag column a disorder, or codes in several columns.

    Parameters
    ----------
    table : str
        Path of the table.
    flags : dict of str to str, optional
        Disorder: its column.
    codes : Codes, optional
        Instead of `flags`.
    present, absent : tuple of str
        Values of a flag column.
    not_assessed : {"refuse", "exclude"}
        What to do with a person whose diagnoses are missing (not assessed is not absent).
    period : {"lifetime", "current"}
        What a diagnosis means; carried into the artefacts.
    """

    table: str = "participants.tsv"
    flags: dict[str, str] | None = None
    codes: Codes | None = None
    present: tuple[str, ...] = ("1",)
    absent: tuple[str, ...] = ("0",)
    not_assessed: Literal["refuse", "exclude"] = "refuse"
    period: Literal["lifetime", "current"] = "lifetime"

    @model_validator(mode="after")
    def _one_way(self) -> Disorders:
        if (self.flags is None) == (self.codes is None):
            raise ValueError("write either `flags` or `codes`")
        if not self.names:
            raise ValueError("a study needs at least one disorder")
        if NONE_LEVEL in self.names:
            raise ValueError(f"{NONE_LEVEL!r} is kept for people without a diagnosis")
        if set(self.present) & set(self.absent):
            raise ValueError("a value stands under `present` and `absent`")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The disorders, in the order of the file."""
        return tuple(self.flags or (self.codes.groups if self.codes else ()))


class InstrumentTable(Strict):
    """Where the items of one instrument stand.

    Parameters
    ----------
    table : str
        Path of the table.
    column : str
        Column of an item, with ``{item}`` for its number (``isas_{item:02d}``).
    missing : tuple of str
        Codes of a missing answer besides those of the instrument.
    already_reversed : tuple of int, optional
        Reverse-keyed items that this file stores reversed; the instrument's own list if left out.
    out_of_range : {"refuse", "missing"}
        What to do with a response outside the instrument's range; ``missing`` counts it in the audit.
    """

    table: str
    column: str
    missing: tuple[str, ...] = ()
    already_reversed: tuple[int, ...] | None = None
    out_of_range: Literal["refuse", "missing"] = "refuse"

    @field_validator("column")
    @classmethod
    def _has_item(cls, column: str) -> str:
        return _pattern(column, field="item")


class Factor(Strict):
    """A psychosocial factor: a scale, measured with error.

    Parameters
    ----------
    instrument, scale : str
        An instrument of the study and a scale (or composite) of it.
    reliability : float or "alpha"
        Its reliability, or Cronbach's alpha of its items in this cohort.
    """

    instrument: str
    scale: str
    reliability: float | Literal["alpha"] = "alpha"

    @field_validator("reliability")
    @classmethod
    def _in_range(cls, reliability: float | str) -> float | str:
        if not isinstance(reliability, str) and not 0 < reliability <= 1:
            raise ValueError("a reliability lies in (0, 1]")
        return reliability


class Outcome(Strict):
    """A Gaussian outcome.

    Parameters
    ----------
    column : str
        Its column.
    table : str, optional
        Its table; the table of participants if left out.
    minimum, maximum : float, optional
        Possible range; a value outside is an error.
    """

    column: str
    table: str | None = None
    minimum: float | None = None
    maximum: float | None = None


class Study(Strict):
    """A cohort's mapping.

    Parameters
    ----------
    title : str
        One line for the report.
    synthetic : bool
        Whether the people are invented; every artefact carries it.
    participants : Participants
        The table with one row a person.
    disorders : Disorders
        Multi-label diagnoses.
    instruments : dict of str to InstrumentTable
        A file of the shelf ``instruments``: where its items stand.
    items : tuple of str
        Instruments whose items measure the functions.
    covariates, factors, outcomes : dict
        By the name that the models use.
    missing_covariates : {"refuse", "mean"}
        ``mean``: the mean of the person's site, counted in the audit.
    activation : ActivationSource, optional
        Contrast maps; a study without it has no regions.
    connectivity : ConnectivitySource, optional
        Resting or task series; a study without it has no edges.
    accept_polarity : tuple of str
        Items (``isas_01``) that may run against their scale.
    """

    title: str
    synthetic: bool = False
    participants: Participants = Participants()
    covariates: dict[str, Covariate] = Field(default_factory=dict)
    missing_covariates: Literal["refuse", "mean"] = "refuse"
    disorders: Disorders
    instruments: dict[str, InstrumentTable] = Field(min_length=1)
    items: tuple[str, ...] = Field(min_length=1)
    factors: dict[str, Factor] = Field(default_factory=dict)
    outcomes: dict[str, Outcome] = Field(default_factory=dict)
    activation: ActivationSource | None = None
    connectivity: ConnectivitySource | None = None
    accept_polarity: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _instruments_exist(self) -> Study:
        used = {f"items: {name}": name for name in self.items}
        used |= {f"factors.{factor}": rule.instrument for factor, rule in self.factors.items()}
        unknown = [place for place, name in used.items() if name not in self.instruments]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: not under `instruments`")
        if len(set(self.items)) != len(self.items):
            raise ValueError("an instrument stands twice under `items`")
        return self


def read_study(layout: Layout, study: str) -> Study:
    """Read ``data/<study>/study.yaml``.

    Parameters
    ----------
    layout : Layout
        Where it lies.
    study : str
        The study's name.

    Returns
    -------
    Study
        The mapping.

    Raises
    ------
    SpecError
        If the file is missing, a key is unknown or a value wrong.
    """
    path = layout.study(study)
    return parse(Study, read_yaml(path), where=str(path))


def source_folder(layout: Layout, params: Params) -> Path:
    """Return the cohort's folder: ``source`` of the parameters, relative to the project's root."""
    return layout.root / params.source


def read_source_table(path: Path) -> pd.DataFrame:
    """Read a TSV of a cohort's folder as it is: every cell a stripped string.

    A byte order mark, any line ends, quoted cells and blank lines at the end are understood.

    Raises
    ------
    DataError
        If the file is missing, not UTF-8, empty, has a column twice or rows of unequal length.
    """
    if not path.exists():
        fetch = "its link leads nowhere; run `datalad get` on it" if path.is_symlink() else None
        raise DataError(fetch or "the table does not exist", where=str(path), cure="mend its name")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("the table is not UTF-8", where=str(path), cure="save it as UTF-8") from error
    rows = [[cell.strip() for cell in line.split("\t")] for line in text.split("\n")]
    rows = [[c[1:-1] if len(c) > 1 and c[0] == c[-1] == '"' else c for c in row] for row in rows]
    header, body = rows[0], [row for row in rows[1:] if any(row)]
    problems = []
    if not body:
        problems.append("the table has no rows")
    twice = len(header) - len(set(header))
    if twice:
        problems.append(f"{twice} columns have the name of another")
    uneven = sum(len(row) != len(header) for row in body)
    if uneven:
        problems.append(f"{uneven} rows do not have {len(header)} cells")
    if problems:
        raise DataError(problems, where=str(path), cure="mend the table")
    return pd.DataFrame(body, columns=header, dtype="str")
