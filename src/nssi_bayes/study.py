"""``study.yaml``: what stands where in a cohort's folder, and what each thing is.

Tables are paths relative to the source folder. Nothing here is guessed: a disorder, a factor or an
outcome exists because the study file says so.
"""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from typing import Final, Literal

from pydantic import Field, field_validator, model_validator

from nssi_bayes.diagnosis import Disorders
from nssi_bayes.errors import did_you_mean
from nssi_bayes.imaging import ActivationSource, ConnectivitySource
from nssi_bayes.outcome import Outcome, Score
from nssi_bayes.privacy import Privacy
from nssi_bayes.spec import Params, Strict, parse
from nssi_bayes.store import Layout, read_yaml

__all__ = [
    "Covariate",
    "Factor",
    "InstrumentTable",
    "Participants",
    "Study",
    "TableView",
    "read_study",
    "source_folder",
]


_PLAIN: Final = re.compile(r"[A-Za-z0-9][\w-]*")


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


class TableView(Strict):
    """A table, or some rows of one, under a name that `table` may say everywhere.

    Parameters
    ----------
    file : str, optional
        Path of the file; the view's own name if left out. With `*` many files, each of the person in its
        path: ``sub-*/sub-*_sessions.tsv``.
    sheet : str, optional
        Sheet of a workbook; its first if left out.
    id : str, optional
        Column of the person's label, where it is not that of the table of participants.
    rows : dict of str to str
        Column: the value of the rows to take (``session_id: ses-01``); an empty value is a blank cell.
    missing : tuple of str
        Codes of a missing value in every column of it.
    decimal : {"point", "comma"}
        ``comma``: 1,234 is a little more than one.
    """

    file: str | None = None
    sheet: str | None = None
    id: str | None = None
    rows: dict[str, str] = Field(default_factory=dict)
    missing: tuple[str, ...] = ()
    decimal: Literal["point", "comma"] = "point"


class Participants(Strict):
    """The table with one row a person.

    Parameters
    ----------
    table : str
        Path of the table.
    id : str
        Column of the person's label.
    other_ids : tuple of str
        Columns that hold the same label in other tables, such as ``subjectkey``.
    site : str, optional
        Column of the site or scanner; without it everyone is of one site.
    site_names : dict of str to str, optional
        Names for the values of that column, such as a scanner's serial number.
    pseudonyms : {"keyed", "kept"}, optional
        ``keyed``: a label that only the lab's key gives back stands in everything written. ``kept``:
        labels that are public or invented already. Left out: keyed, unless the study is synthetic.
    """

    table: str = "participants.tsv"
    id: str = "participant_id"
    other_ids: tuple[str, ...] = ()
    site: str | None = None
    site_names: dict[str, str] | None = None
    pseudonyms: Literal["keyed", "kept"] | None = None


class Covariate(Strict):
    """A covariate of the person, or a treatment.

    Parameters
    ----------
    column : str
        Its column.
    table : str, optional
        Its table; the table of participants if left out.
    codes : dict of str to float, optional
        Numbers for a column of words, such as ``{F: 1, M: 0}``; a word is a cell or its label in a sidecar.
    missing : tuple of str
        Codes of a missing value.
    unit : str, optional
        Unit of the numbers; one that the folder's sidecar contradicts is an error.
    minimum, maximum : float, optional
        Possible range; a value outside is an error.
    """

    column: str
    table: str | None = None
    codes: dict[str, float] | None = None
    missing: tuple[str, ...] = ()
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None


class InstrumentTable(Strict):
    """Where the answers to one instrument stand: items, or only the totals of its scales.

    Parameters
    ----------
    table : str
        Path of the table.
    column : str, optional
        Column of an item, with ``{item}`` for its number (``isas_{item:02d}``); `*` stands for anything
        (``ARI_P{item}_*``).
    columns : tuple of str, optional
        Instead: the column of every item, in the order of the form; with `*` as above.
    totals : dict of str to str, optional
        Instead: scale of the instrument, the column of its total.
    totals_are : {"sum", "mean"}, optional
        What the file calls a total; as the instrument scores it if left out.
    form : str, optional
        The instrument, where one form stands twice (two informants, two waves) under other names.
    missing : tuple of str
        Codes of a missing answer besides those of the instrument.
    recode : dict of str to str
        Answers that the file writes otherwise than the form (``{"2": "0"}``); counted in the audit.
    already_reversed : tuple of int, optional
        Items that this file stores turned round, whether the key reverses them or not; the instrument's
        own list if left out.
    out_of_range : {"refuse", "missing"}
        What to do with a response outside the instrument's range; ``missing`` counts it in the audit.
    confirmed : bool
        Whether somebody looked at the form, where the answers alone do not tell it from another.
    same_as : dict of str to str
        Items that another instrument has, too (``{isas_fr_03: isas_07}``): both are one indicator, which
        links what different people were asked. Nothing in the data can tell.
    """

    table: str
    column: str | None = None
    columns: tuple[str, ...] | None = None
    totals: dict[str, str] | None = None
    totals_are: Literal["sum", "mean"] | None = None
    form: str | None = None
    missing: tuple[str, ...] = ()
    recode: dict[str, str] = Field(default_factory=dict)
    already_reversed: tuple[int, ...] | None = None
    out_of_range: Literal["refuse", "missing"] = "refuse"
    confirmed: bool = False
    same_as: dict[str, str] = Field(default_factory=dict)

    @field_validator("column")
    @classmethod
    def _has_item(cls, column: str | None) -> str | None:
        return column if column is None else _pattern(column, field="item")

    @model_validator(mode="after")
    def _one_way(self) -> InstrumentTable:
        if sum(way is not None for way in (self.column, self.columns, self.totals)) != 1:
            raise ValueError("write either `column` or `columns` or `totals`")
        if self.totals_are is not None and self.totals is None:
            raise ValueError("`totals_are` needs `totals`")
        named = self.columns or tuple((self.totals or {}).values())
        if len(named) > len(set(named)):
            raise ValueError("a column stands for two items or scales")
        return self


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
    tables : dict of str to TableView
        Tables that need more than a path, by the name that the rest of the file uses.
    privacy : Privacy
        What becomes of columns that identify a person.
    disorders : Disorders
        Multi-label diagnoses.
    instruments : dict of str to InstrumentTable
        A file of the shelf ``instruments``, or of the folder of that name beside the study file: where
        its items stand.
    items : tuple of str
        Instruments whose items measure the functions.
    covariates, factors, outcomes, scores : dict
        By the name that the models use.
    treatments : dict of str to Covariate
        What people were given: 0 and 1, or a dose, as coded. Outcomes may be regressed on them; they enter
        neither functions nor images.
    missing_covariates : {"refuse", "mean"}
        ``mean``: the mean of the person's site, counted in the audit.
    activation : ActivationSource, optional
        Contrast maps; a study without it has no regions.
    connectivity : ConnectivitySource, optional
        Resting or task series; a study without it has no edges.
    accept_polarity : tuple of str
        Items (``isas_01``) that may run against their scale.
    overlaps : dict of str to str
        Disorders and factors whose content is part of what is measured, with the reason: a criterion that is
        self-harm, items that ask for a function. The report names them; the analysis is repeated without
        each where ``sensitivity.refits`` has ``overlaps``.
    assume : {"equivalent_groups"}, optional
        That groups of people who answered different instruments for the same function, with neither
        people nor items in common, are drawn from one population. Nothing in the data can tell.
    """

    title: str
    synthetic: bool = False
    participants: Participants = Participants()
    tables: dict[str, TableView] = Field(default_factory=dict)
    privacy: Privacy = Privacy()
    covariates: dict[str, Covariate] = Field(default_factory=dict)
    missing_covariates: Literal["refuse", "mean"] = "refuse"
    treatments: dict[str, Covariate] = Field(default_factory=dict)
    disorders: Disorders
    instruments: dict[str, InstrumentTable] = Field(min_length=1)
    items: tuple[str, ...] = Field(min_length=1)
    factors: dict[str, Factor] = Field(default_factory=dict)
    outcomes: dict[str, Outcome] = Field(default_factory=dict)
    scores: dict[str, Score] = Field(default_factory=dict)
    activation: ActivationSource | None = None
    connectivity: ConnectivitySource | None = None
    accept_polarity: tuple[str, ...] = ()
    overlaps: dict[str, str] = Field(default_factory=dict)
    assume: Literal["equivalent_groups"] | None = None

    @field_validator("instruments")
    @classmethod
    def _names_of_tables(cls, instruments: dict[str, InstrumentTable]) -> dict[str, InstrumentTable]:
        odd = [name for name in instruments if not _PLAIN.fullmatch(name) or name == "participants"]
        if odd:
            raise ValueError(
                f"{', '.join(map(repr, odd))}: a table of that name is written, so it has letters, digits, _ "
                "and - alone, and is not the table of participants"
            )
        return instruments

    @model_validator(mode="after")
    def _instruments_exist(self) -> Study:
        used = {f"items: {name}": name for name in self.items}
        used |= {f"factors.{factor}": rule.instrument for factor, rule in self.factors.items()}
        used |= {f"outcomes.{o}": rule.instrument for o, rule in self.outcomes.items() if rule.instrument}
        used |= {f"scores.{s}": rule.instrument for s, rule in self.scores.items() if rule.instrument}
        unknown = [place for place, name in used.items() if name not in self.instruments]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: not under `instruments`")
        if len(set(self.items)) != len(self.items):
            raise ValueError("an instrument stands twice under `items`")
        idle = [
            f"tables.{name}: nothing reads it. {did_you_mean(name, self.tables_read)}"
            for name in self.tables
            if name not in self.tables_read
        ]
        if idle:
            raise ValueError("; ".join(idle))
        return self

    @model_validator(mode="after")
    def _baselines_exist(self) -> Study:
        found = []
        for name, rule in self.outcomes.items():
            others = [other for other in self.outcomes if other != name]
            if rule.baseline is not None and rule.baseline not in others:
                hint = did_you_mean(rule.baseline, others)
                found.append(f"outcomes.{name}.baseline: no other outcome {rule.baseline!r}. {hint}")
        if found:
            raise ValueError("; ".join(found))
        return self

    @model_validator(mode="after")
    def _overlaps_exist(self) -> Study:
        known = (*self.disorders.names, *self.factors)
        unknown = [
            f"overlaps: no disorder or factor {name!r}. {did_you_mean(name, known)}"
            for name in self.overlaps
            if name not in known
        ]
        if unknown:
            raise ValueError("; ".join(unknown))
        return self

    @property
    def tables_read(self) -> set[str]:
        """Every table that something of the study stands in."""
        read = {self.participants.table, self.disorders.table}
        read |= {place.table for place in self.instruments.values()}
        read |= {c.table for c in (*self.covariates.values(), *self.treatments.values()) if c.table}
        return read | {o.table for o in (*self.outcomes.values(), *self.scores.values()) if o.table}

    @property
    def keyed(self) -> bool:
        """Whether people get keyed pseudonyms."""
        return (self.participants.pseudonyms or ("kept" if self.synthetic else "keyed")) == "keyed"

    def view(self, table: str) -> TableView:
        """Return how a table is read: its entry under `tables`, or the file of that name."""
        view = self.tables.get(table, TableView())
        return view if view.file is not None else view.model_copy(update={"file": table})


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
