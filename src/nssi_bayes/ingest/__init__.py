"""Read a cohort's folder, unmodified, into tidy tables and a list of all that was changed.

The tables speak the study's own language: ``participants.tsv`` has the columns ``participant_id``,
``site``, ``covariate_<name>``, ``treatment_<name>``, ``disorder_<name>`` (0 or 1), ``primary_disorder``
where a folder tells it, ``outcome_<name>`` and ``score_<name>``; one table an instrument has
``participant_id`` and its items (``isas_01``) or totals (``rrs.brooding``), raw.
People stand in the order of their labels, whatever the order of the files.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd

from nssi_bayes import names as n
from nssi_bayes.errors import SpecError
from nssi_bayes.ingest.disorders import diagnoses
from nssi_bayes.ingest.people import covariates, match_people, outcomes, site_of
from nssi_bayes.ingest.reader import Line, Reader
from nssi_bayes.ingest.responses import responses
from nssi_bayes.instruments import Instrument, study_instrument
from nssi_bayes.privacy import pseudonym_key
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, write_table
from nssi_bayes.study import Study, read_study, source_folder

__all__ = ["forms_of", "run", "tidy"]

_log = logging.getLogger(__name__)


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
    tables, audit = tidy(
        source_folder(layout, params),
        study,
        min_cell=params.min_cell,
        shelf=layout.instruments(params.study),
        key=pseudonym_key(layout) if study.keyed else None,
    )
    folder = layout.tables(params.study)
    for name, table in tables.items():
        write_table(folder / f"{name}.tsv", table)
    for path in sorted(folder.glob("*.tsv")):
        if path.stem not in tables:
            path.unlink()
    write_table(layout.audit_of("ingest", params.study), audit)
    _log.info("%d people, %d tables", len(tables["participants"]), len(tables))


def tidy(
    source: Path, study: Study, *, min_cell: int = 0, shelf: Path | None = None, key: bytes | None = None
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Read all tables that the study names.

    Parameters
    ----------
    source : pathlib.Path
        The cohort's folder.
    study : Study
        What stands where.
    min_cell : int
        A disorder of fewer people is noted in the audit.
    shelf : pathlib.Path, optional
        The study's own instruments.
    key : bytes, optional
        The lab's secret, for pseudonyms; without it people keep their labels.

    Returns
    -------
    dict of str to pandas.DataFrame
        ``participants`` and one table an instrument, sorted by label.
    pandas.DataFrame
        The audit; counts only.

    Raises
    ------
    DataError
        With everything that is wrong, counted.
    SpecError
        If an instrument is unknown or its key is not known.
    """
    forms = forms_of(study, shelf)
    reader = Reader(source, study, key=key)
    base = reader.table(study.participants.table)
    if base is not None:
        reader.people = pd.Index(base.frame.index, name=n.PARTICIPANT).sort_values()
    columns: dict[str, pd.Series] = {"site": site_of(reader, study)}
    columns |= covariates(reader, study)
    columns |= diagnoses(reader, study.disorders, min_cell=min_cell)
    columns |= outcomes(reader, study)
    people = pd.DataFrame(columns, index=reader.people).rename_axis(index="participant_id")
    tables = {"participants": people.reset_index()}
    for name, place in study.instruments.items():
        tables[name] = responses(reader, forms[name], place)
    answered = {study.participants.table, *(place.table for place in study.instruments.values())}
    for other in sorted(study.tables_read - answered):
        match_people(reader, other)
    reader.refuse()
    _note_unverified(reader, forms)
    return tables, pd.DataFrame(reader.audit, columns=list(n.AUDIT))


def _note_unverified(reader: Reader, forms: dict[str, Instrument]) -> None:
    """Say in the audit which keys nobody read in a source."""
    for name, form in forms.items():
        if not form.verified:
            table = reader.study.instruments[name].table
            rule = "scoring key not verified"
            reader.note(Line(table, name, rule, read=len(reader.people), note=form.verified_by))


def forms_of(study: Study, shelf: Path | None) -> dict[str, Instrument]:
    """Read every instrument of a study.

    Parameters
    ----------
    study : Study
        The mapping.
    shelf : pathlib.Path, optional
        The study's own instruments.

    Returns
    -------
    dict of str to Instrument
        By the study's name for it.

    Raises
    ------
    SpecError
        With every instrument that is unknown, broken, or has no key.
    """
    forms, problems, cures = {}, [], []
    for name, place in study.instruments.items():
        try:
            forms[name] = study_instrument(name, form=place.form, folder=shelf)
        except SpecError as error:
            problems += [f"instruments.{name}: {problem}" for problem in error.problems]
            cures.append(str(error.cure))
    if problems:
        raise SpecError(problems, where="study.yaml", cure="; ".join(dict.fromkeys(cures)))
    return forms
