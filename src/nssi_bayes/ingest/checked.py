"""What `nssi-bayes study` does: draft a study, and try one on its folder without writing a table."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.errors import SpecError
from nssi_bayes.ingest import tidy
from nssi_bayes.ingest.draft import draft
from nssi_bayes.instruments import study_instrument
from nssi_bayes.privacy import pseudonym_key
from nssi_bayes.score import scored
from nssi_bayes.store import Layout, write_text
from nssi_bayes.study import read_study

__all__ = ["begin_study", "check_study"]

_PROFILE = """# {name}: drafted; write models and list them in the roster.
study: {name}
source: {source}
seed: 1
roster: []
questions: []
"""
_ROOM = """Instruments of this study alone, one YAML file each, are found here before those of the package.
The pipeline depends on this folder, so it stays when it is empty.
"""


def begin_study(layout: Layout, folder: Path, *, name: str) -> Path:
    """Draft a study file, its shelf of instruments and its profile.

    Parameters
    ----------
    layout : Layout
        Where they are written.
    folder : pathlib.Path
        The cohort's folder.
    name : str
        Name of the study.

    Returns
    -------
    pathlib.Path
        The study file.

    Raises
    ------
    SpecError
        If the study exists.
    DataError
        If the folder holds no table of people.
    """
    path = layout.study(name)
    if path.exists():
        raise SpecError("the study exists", where=str(path), cure="name another with --name, or edit it")
    text = draft(folder)
    write_text(layout.instruments(name) / "README.md", _ROOM)
    if not layout.profile(name).exists():
        source = Path(os.path.relpath(folder, layout.root)).as_posix()
        write_text(layout.profile(name), _PROFILE.format(name=name, source=json.dumps(source)))
    write_text(path, text)
    return path


def check_study(layout: Layout, study: str, *, source: Path, min_cell: int = 0) -> list[str]:
    """Read and score a cohort in memory.

    Parameters
    ----------
    layout : Layout
        Where the study file lies.
    study : str
        Its name.
    source : pathlib.Path
        The cohort's folder.
    min_cell : int
        Disorders of fewer people are named.

    Returns
    -------
    list of str
        What is there, in counts of people; nothing is written but the key of pseudonyms.

    Raises
    ------
    DataError, SpecError
        With everything that is wrong.
    """
    mapping = read_study(layout, study)
    shelf = layout.instruments(study)
    key = pseudonym_key(layout) if mapping.keyed else None
    tables, audit = tidy(source, mapping, min_cell=min_cell, shelf=shelf, key=key)
    scores, more = scored(mapping, tables, shelf=shelf, where=str(layout.study(study)))
    people = tables["participants"]
    found = [f"{len(people)} people, {'keyed pseudonyms' if mapping.keyed else 'labels kept'}"]
    answered = np.isfinite(scores[n.RESPONSE].to_numpy()).any(axis=1)
    found.append(f"{int(answered.sum())} answered any item of {', '.join(mapping.items)}")
    found += [
        f"disorder {name}: {_people(int(people[f'disorder_{name}'].sum()), min_cell)}"
        for name in mapping.disorders.names
    ]
    for name in mapping.treatments:
        value = people[f"treatment_{name}"]
        some, none = (_people(int(who.sum()), min_cell) for who in (value.notna() & (value != 0), value == 0))
        found.append(f"treatment {name}: {some} with any, {none} with none (0)")
    for name, place in mapping.instruments.items():
        form = study_instrument(name, form=place.form, folder=shelf)
        said = "" if form.verified else f"; key not verified: {form.verified_by}"
        what = f"{len(place.totals)} totals" if place.totals is not None else f"{form.items} items"
        found.append(f"instrument {name}: {what}{said}")
    changes = audit[(audit["changed"] > 0) | (audit["out_of_range"] > 0) | (audit["dropped"] > 0)]
    found.append(
        f"{len(changes)} lines of the audit change or drop a value; {len(audit) + len(more)} lines in all"
    )
    return found


def _people(count: int, min_cell: int) -> str:
    return f"{count} people" if count >= min_cell else f"fewer than {min_cell}"
