"""One table in many files, one or several a person, such as the sessions files of BIDS."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Final

import pandas as pd

from nssi_bayes.errors import DataError
from nssi_bayes.ingest.labels import person
from nssi_bayes.sidecars import describe
from nssi_bayes.sources import About, Source, read_source

__all__ = ["is_stacked", "read_described"]

_WHOSE: Final = re.compile(r"(?:^|/)(sub-[0-9A-Za-z+]+)(?=[/_.])")


def is_stacked(file: str) -> bool:
    """Return whether a name stands for many files."""
    return "*" in file


def read_described(
    folder: Path, file: str, *, id_column: str, sheet: str | None = None
) -> tuple[Source, dict[str, About], list[str]]:
    """Read a table, or all files of one, with what the folder says about its columns.

    Parameters
    ----------
    folder : pathlib.Path
        The cohort's folder.
    file : str
        Path in it; with `*` it stands for many files (``sub-*/sub-*_sessions.tsv``), whose rows are put
        below each other in the order of their names. Each belongs to the person in its path.
    id_column : str
        Column that holds the label of that person.
    sheet : str, optional
        Sheet of a workbook.

    Returns
    -------
    Source
        The table.
    dict of str to About
        By column: sidecars, those that all files share (``sessions.json``), and the file itself.
    list of str
        Sidecars that could not be understood, without a name of a person.

    Raises
    ------
    DataError
        If a file cannot be read, nothing is called so, or a file is nobody's; files are counted, not named.
    """
    if not is_stacked(file):
        source = read_source(folder / file, sheet=sheet)
        about, unread = describe(folder / file)
        return source, {**about, **_said(source)}, unread
    paths = _files(folder, file)
    sources, problems = [], Counter[str]()
    for path in paths:
        try:
            sources.append(_of_one(path, folder, id_column=id_column, sheet=sheet))
        except DataError as error:
            problems.update(error.problems)
    if problems:
        raise DataError(
            [f"{count} of {len(paths)} files: {what}" for what, count in sorted(problems.items())]
        )
    about, unread = describe(folder / f"{paths[0].stem.rsplit('_', 1)[-1]}.tsv")
    broken = 0
    for path, source in zip(paths, sources, strict=True):
        own, bad = describe(path)
        about = {**about, **own, **_said(source)}
        broken += len(bad)
    return (
        _below(sources),
        about,
        unread + [f"{broken} sidecars of single files cannot be read"] * bool(broken),
    )


def _said(source: Source) -> dict[str, About]:
    return {k: v for k, v in source.about.items() if v != About()}


def _files(folder: Path, pattern: str) -> list[Path]:
    if Path(pattern).is_absolute():
        raise DataError("a name with `*` begins in the cohort's folder; write it without the folder's path")
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise DataError("no file is called so")
    return paths


def _of_one(path: Path, folder: Path, *, id_column: str, sheet: str | None) -> Source:
    """Read one person's file, with the person's label as a column."""
    whose = set(_WHOSE.findall(path.relative_to(folder).as_posix()))
    if len(whose) != 1:
        raise DataError("the path does not say whose the file is (sub-<label>), or says it of two people")
    label = whose.pop()
    source = read_source(path, sheet=sheet)
    frame = source.frame.astype("str")
    if id_column in frame and (frame[id_column].map(person) != label).any():
        raise DataError(f"column {id_column!r} names another person than the path does")
    return Source(frame.assign(**{id_column: label}), source.about, source.facts)


def _below(sources: list[Source]) -> Source:
    columns = list(dict.fromkeys(column for source in sources for column in source.frame))
    facts = Counter[str]({"one of many files": len(sources)})
    for source in sources:
        facts.update(dict(source.facts))
        if len(source.frame.columns) < len(columns):
            facts["a file without some of the columns, which are missing there"] += len(source.frame)
    whole = pd.concat([source.frame for source in sources], ignore_index=True).reindex(columns=columns)
    return Source(whole.fillna("").astype("category"), facts=tuple(sorted(facts.items())))
