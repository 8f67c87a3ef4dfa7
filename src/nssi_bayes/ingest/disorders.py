"""Multi-label diagnoses from flags, codes, or a primary diagnosis with comorbid ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from nssi_bayes.diagnosis import Codes, Disorders, Primary
from nssi_bayes.ingest.cells import canonical
from nssi_bayes.ingest.reader import Line, Reader

__all__ = ["diagnoses"]

_BETWEEN: Final = re.compile(r"[;,+/|]")


def diagnoses(reader: Reader, rule: Disorders, *, min_cell: int) -> dict[str, pd.Series]:
    """Return the flag of every disorder of the study.

    Parameters
    ----------
    reader : Reader
        The folder.
    rule : Disorders
        How diagnoses are written.
    min_cell : int
        A disorder of fewer people is noted.

    Returns
    -------
    dict of str to pandas.Series
        Disorder: (`participant`,) 1, 0, or NaN where nothing was assessed.
    """
    if rule.codes is not None:
        flags = _from_codes(reader, rule.table, rule.codes)
    elif rule.primary is not None:
        flags = _from_primary(reader, rule.table, rule.primary)
    else:
        flags = _from_flags(reader, rule)
    if len(flags) < len(rule.read):
        return flags
    flags = _regrouped(reader, rule, flags, min_cell=min_cell)
    for name, flag in flags.items():
        people = int(flag.sum())
        few = (
            f"fewer than {min_cell} people; kept: disorders.small says nothing of it"
            if people < min_cell
            else ""
        )
        missing = int(flag.isna().sum())
        reader.note(
            Line(
                rule.table,
                f"disorder_{name}",
                f"{rule.period} diagnosis",
                read=len(flag),
                missing=missing,
                note=few,
            )
        )
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


def _regrouped(
    reader: Reader, rule: Disorders, flags: dict[str, pd.Series], *, min_cell: int
) -> dict[str, pd.Series]:
    """Merge and drop disorders as the study says."""
    owner = {part: name for name, parts in rule.small.merge.items() for part in parts}
    made: dict[str, pd.Series] = {}
    for name, flag in flags.items():
        people = int(flag.sum())
        size = f"fewer than {min_cell} people" if people < min_cell else f"{min_cell} people or more"
        if name in rule.small.drop:
            reader.note(
                Line(
                    rule.table,
                    f"disorder_{name}",
                    "dropped, as disorders.small says",
                    read=len(flag),
                    dropped=people,
                    note=size,
                )
            )
            continue
        target = owner.get(name, name)
        if target != name:
            reader.note(
                Line(
                    rule.table,
                    f"disorder_{name}",
                    f"merged into {target}, as disorders.small says",
                    read=len(flag),
                    changed=people,
                    note=size,
                )
            )
        made[target] = flag if target not in made else made[target].combine(flag, np.fmax)
    return made


def _from_flags(reader: Reader, rule: Disorders) -> dict[str, pd.Series]:
    meaning = {canonical(word): 0.0 for word in rule.absent} | {canonical(word): 1.0 for word in rule.present}
    flags = {}
    for name, column in (rule.flags or {}).items():
        words = reader.words(rule.table, column)
        if words is None:
            continue
        flag = words.map(meaning).astype("float64")
        bad = int((words.notna() & flag.isna()).sum())
        if bad:
            reader.problems.append(
                f"{rule.table}: column {column!r} holds {bad} values that are neither "
                f"{' / '.join(rule.present)} (present) nor {' / '.join(rule.absent)} (absent)"
            )
        flags[name] = flag
    return flags


def _columns(reader: Reader, table: str, columns: Sequence[str]) -> pd.DataFrame | None:
    read = [reader.words(table, column) for column in columns]
    held = [column for column in read if column is not None]
    return pd.concat(held, axis=1) if len(held) == len(read) else None


def _from_codes(reader: Reader, table: str, codes: Codes) -> dict[str, pd.Series]:
    frame = _columns(reader, table, codes.columns)
    if frame is None:
        return {}
    assessed = frame.notna().any(axis=1)
    known = {**codes.known, "ignore": codes.left_out}
    match = {name: frame.apply(_begins, args=(parts,)) for name, parts in known.items()}
    covered = np.logical_or.reduce([hit.to_numpy() for hit in match.values()])
    loose = int((frame.notna().to_numpy() & ~covered).sum())
    if loose:
        reader.problems.append(
            f"{table}: {loose} diagnosis codes are covered by no group and no entry of disorders.codes.ignore"
        )
    reader.note(
        Line(
            table,
            "codes",
            "no disorder of the study",
            read=int(frame.notna().sum().sum()),
            dropped=int(match["ignore"].sum().sum()),
            note="listed under ignore",
        )
    )
    return {name: match[name].any(axis=1).astype("float64").where(assessed) for name in codes.known}


def _begins(column: pd.Series, parts: Sequence[str]) -> pd.Series:
    """Return which cells begin with one of the codes; dots and case do not count (F32.0, f320)."""
    plain = tuple(part.replace(".", "").upper() for part in parts)
    if not plain:
        return pd.Series(False, index=column.index)
    same = {
        word: word.split(maxsplit=1)[0].replace(".", "").upper().startswith(plain)
        for word in column.dropna().unique()
    }
    return column.map(same).fillna(False).astype(bool)


def _from_primary(reader: Reader, table: str, rule: Primary) -> dict[str, pd.Series]:
    frame = _columns(reader, table, [rule.column, *rule.comorbid])
    if frame is None:
        return {}
    meaning = {canonical(word): name for word, name in rule.names.items()}
    none = {canonical(word) for word in rule.none}
    disorders = list(dict.fromkeys(rule.names.values()))
    flags = pd.DataFrame(0.0, index=frame.index, columns=disorders)
    bad = 0
    for position, column in enumerate([rule.column, *rule.comorbid]):
        words = frame.iloc[:, position]
        for word in words.dropna().unique():
            whole = [word] if word in meaning or word in none else _BETWEEN.split(word)
            parts = [part.strip() for part in whole if part.strip()]
            here = (words == word).to_numpy()
            if any(part not in meaning and part not in none for part in parts):
                bad += int(here.sum())
            for part in parts:
                if part in meaning:
                    flags.loc[here, meaning[part]] = 1.0
        reader.note(
            Line(table, column, "diagnosis, in words", read=len(words), missing=int(words.isna().sum()))
        )
    if bad:
        reader.problems.append(
            f"{table}: {bad} diagnoses are neither under disorders.primary.names nor under its `none`"
        )
    assessed = frame.iloc[:, 0].notna()
    return {name: flags[name].where(assessed) for name in disorders}
