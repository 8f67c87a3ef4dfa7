"""Multi-label diagnoses from flags, codes, or a primary diagnosis with comorbid ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from nssi_bayes.diagnosis import Codes, Disorders, Primary, plain_code
from nssi_bayes.ingest.cells import canonical
from nssi_bayes.ingest.reader import Line, Reader

__all__ = ["diagnoses"]

_BETWEEN: Final = re.compile(r"[;,+/|]")
_CODE: Final = re.compile(
    r"[A-TV-Z]\d[\dA-Z](\.[\dA-Z]{1,4}|\d{1,4})?[*+!-]?|V\d{2}(\.\d{1,2})?|\d{3}\.\d{1,2}", re.IGNORECASE
)
_NONE: Final = "none"
_BARE: Final = re.compile(r"\d{3}")
_DOUBT: Final = re.compile(  # marks of the German form of ICD-10, and words
    r"(^|[;,+/|\s])[A-Z]\d{2}(\.\d{1,2})?[*+!-]?\s*[VA](?=\s*($|[;,+/|]))|"
    r"\b(V\. ?a\.|rule[- ]?out|r/o|suspected|excluded|Verdacht|Ausschluss)",
    re.IGNORECASE,
)


def diagnoses(reader: Reader, rule: Disorders, *, min_cell: int) -> dict[str, pd.Series]:
    """Return a column for every disorder of the study, and which one is primary where the folder tells.

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
        ``disorder_<name>``: (`participant`,) 1, 0, or NaN where nothing was assessed. ``primary_disorder``:
        a name, or "none" of those who have none of them as primary.
    """
    main = None
    if rule.codes is not None:
        flags = _from_codes(reader, rule.table, rule.codes)
    elif rule.primary is not None:
        flags, main = _from_primary(reader, rule.table, rule.primary)
    else:
        flags = _from_flags(reader, rule)
    if len(flags) < len(rule.read):
        return {}
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
    columns = {f"disorder_{name}": flag for name, flag in flags.items()}
    return columns if main is None else {**columns, "primary_disorder": _renamed(rule, main)}


def _renamed(rule: Disorders, main: pd.Series) -> pd.Series:
    """Name primary diagnoses as the study merges and drops them."""
    merged = {part: name for name, parts in rule.small.merge.items() for part in parts}
    return main.replace({**merged, **dict.fromkeys(rule.small.drop, _NONE)})


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


def _columns(
    reader: Reader, table: str, columns: Sequence[str], *, exact: bool = False
) -> pd.DataFrame | None:
    read = [reader.words(table, column, exact=exact) for column in columns]
    held = [column for column in read if column is not None]
    return pd.concat(held, axis=1) if len(held) == len(read) else None


def _from_codes(reader: Reader, table: str, codes: Codes) -> dict[str, pd.Series]:
    frame = _columns(reader, table, codes.columns, exact=True)
    if frame is None:
        return {}
    assessed = frame.notna().any(axis=1)
    known = {**codes.known, "ignore": codes.left_out}
    begins = {name: tuple(map(plain_code, parts)) for name, parts in known.items()}
    written = {word: _codes_of(word) for column in frame for word in frame[column].dropna().unique()}
    hits = {name: _count(frame, written, parts) for name, parts in begins.items()}
    read = _count(frame, written, ("",))
    codes_read = int(read.to_numpy().sum())
    loose = codes_read - sum(int(hit.to_numpy().sum()) for hit in hits.values())
    if loose:
        reader.problems.append(
            f"{table}: {loose} diagnosis codes are covered by no group and no entry of disorders.codes.ignore"
        )
    unsure = {word for word in written if _DOUBT.search(word)}
    doubtful = int(frame.isin(unsure).to_numpy().sum())
    if doubtful:
        reader.problems.append(
            f"{table}: {doubtful} cells have a code that is marked as suspected or excluded (V, A, V.a., "
            "rule out); leave such a code out, or write it without the mark where the diagnosis stands"
        )
    several = int((read.to_numpy() > frame.notna().to_numpy()).sum())
    note = "listed under ignore" + (f"; {several} cells hold several codes" if several else "")
    dropped = int(hits["ignore"].to_numpy().sum())
    rule = "no disorder of the study"
    reader.note(Line(table, "codes", rule, read=codes_read, dropped=dropped, note=note))
    return {name: (hits[name] > 0).any(axis=1).astype("float64").where(assessed) for name in codes.known}


def _codes_of(word: str) -> list[str]:
    """Return the codes of a cell: its first word, and every other that can be nothing else.

    After one of ``; , + / |`` a code may be bare (``300``); within text it needs its letter or its dot.
    """
    found: list[str] = []
    for k, part in enumerate(_BETWEEN.split(word)):
        tokens = [token.strip("()[].:") for token in part.split()]
        for j, token in enumerate(token for token in tokens if token):
            sure = _CODE.fullmatch(token) is not None or (j == 0 and _BARE.fullmatch(token) is not None)
            if sure or (k == 0 and j == 0):
                found.append(plain_code(token))
    return list(dict.fromkeys(found))


def _count(frame: pd.DataFrame, written: dict[str, list[str]], begins: tuple[str, ...]) -> pd.DataFrame:
    """Return how many codes of each cell begin so."""
    size = {word: sum(code.startswith(begins) for code in codes) for word, codes in written.items()}
    return frame.apply(lambda column: column.map(size).fillna(0).astype(int))


def _from_primary(reader: Reader, table: str, rule: Primary) -> tuple[dict[str, pd.Series], pd.Series | None]:
    """Return flags, and which disorder is primary: of a cell that names several, the first."""
    frame = _columns(reader, table, [rule.column, *rule.comorbid])
    if frame is None:
        return {}, None
    meaning = {canonical(word): name for word, name in rule.names.items()}
    none = {canonical(word) for word in rule.none}
    disorders = list(dict.fromkeys(rule.names.values()))
    flags = pd.DataFrame(0.0, index=frame.index, columns=disorders)
    main, bad = pd.Series(_NONE, index=frame.index, dtype="str"), 0
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
            first = next((meaning[part] for part in parts if part in meaning), None)
            if position == 0 and first is not None:
                main[here] = first
        reader.note(
            Line(table, column, "diagnosis, in words", read=len(words), missing=int(words.isna().sum()))
        )
    if bad:
        reader.problems.append(
            f"{table}: {bad} diagnoses are neither under disorders.primary.names nor under its `none`"
        )
    assessed = frame.iloc[:, 0].notna()
    return {name: flags[name].where(assessed) for name in disorders}, main
