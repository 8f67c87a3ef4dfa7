"""Site, covariates, treatments, outcomes and scores: a column a person, checked against the study."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import pandas as pd

from nssi_bayes import names as n
from nssi_bayes.ingest.cells import Numbers, Reading, canonical
from nssi_bayes.ingest.labels import almost_known
from nssi_bayes.ingest.reader import Line, Reader
from nssi_bayes.outcome import Outcome, Score
from nssi_bayes.study import Study

__all__ = ["covariates", "match_people", "outcomes", "site_of"]

_CODES: Final = (
    999, 9999, 99, 88, 77, 95, 888, 777, -7, -8, -9, -77, -88, -99, -300, -888, -900, -999, -9999,
)  # fmt: skip
"""Numbers that public tables use for "missing"; none of them is one without being declared."""


def site_of(reader: Reader, study: Study) -> pd.Series:
    """Return the site of everyone.

    Parameters
    ----------
    reader : Reader
        The folder.
    study : Study
        Its mapping.

    Returns
    -------
    pandas.Series
        (`participant`,) names of sites; ``single`` where the study has no column of them.
    """
    place = study.participants
    if place.site is None:
        return pd.Series("single", index=reader.people)
    words = reader.words(place.table, place.site)
    if words is None:
        return pd.Series(pd.NA, index=reader.people)
    if words.isna().any():
        reader.problems.append(
            f"{place.table}: column {place.site!r} is missing for {int(words.isna().sum())} people"
        )
    if place.site_names is not None:
        names = {canonical(word): name for word, name in place.site_names.items()}
        unknown = words.notna() & ~words.isin(list(names))
        if unknown.any():
            reader.problems.append(
                f"{place.table}: column {place.site!r} holds {int(unknown.sum())} values "
                "that are not under participants.site_names"
            )
        words = words.map(names)
    different = words.dropna().unique()
    alike = len(different) - len({str(name).casefold() for name in different})
    if alike:
        reader.problems.append(
            f"{place.table}: column {place.site!r} holds {2 * alike} names that differ in capitals alone; "
            "write one name for each under participants.site_names"
        )
    recoded = int(words.notna().sum()) if place.site_names is not None else 0
    reader.note(
        Line(
            place.table, place.site, "site", read=len(words), missing=int(words.isna().sum()), changed=recoded
        )
    )
    return words


def match_people(reader: Reader, name: str) -> None:
    """Note whose rows a table has, and a problem where its labels are not those of the participants.

    Parameters
    ----------
    reader : Reader
        The folder.
    name : str
        The table.
    """
    read = reader.table(name)
    if read is None:
        return
    index = read.frame.index
    unknown = int((~index.isin(reader.people)).sum())
    almost = int(almost_known(read.labels, reader.labels_of_people()).sum())
    if len(reader.people) and unknown == len(index) and not almost:
        reader.problems.append(f"{name}: none of its {unknown} people is in the table of participants")
    if almost:
        reader.problems.append(
            f"{name}: {almost} labels are in the table of participants with other leading zeros, marks or "
            "capitals; write them alike (a spreadsheet takes leading zeros away)"
        )
    reader.note(
        Line(
            name,
            "participant_id",
            "is in the table of participants",
            read=len(index),
            dropped=unknown,
            missing=int((~reader.people.isin(index)).sum()),
            note="dropped: not a participant of the study" if unknown else "",
        )
    )


def covariates(reader: Reader, study: Study) -> dict[str, pd.Series]:
    """Return all covariates and treatments.

    Parameters
    ----------
    reader : Reader
        The folder.
    study : Study
        Its mapping.

    Returns
    -------
    dict of str to pandas.Series
        ``covariate_<name>`` and ``treatment_<name>``: (`participant`,) numbers.
    """
    found = {}
    wanted = [("covariate", *pair) for pair in study.covariates.items()]
    wanted += [("treatment", *pair) for pair in study.treatments.items()]
    for kind, name, rule in wanted:
        table = rule.table or study.participants.table
        reader.check_unit(table, rule.column, rule.unit)
        how = Reading(rule.missing, codes=rule.codes, trust_levels=_open(rule.minimum, rule.maximum))
        numbers = reader.numbers(table, rule.column, how)
        if numbers is None:
            found[f"{kind}_{name}"] = pd.Series(np.nan, index=reader.people)
            continue
        ends = (rule.minimum, rule.maximum)
        _check_range(reader, table, rule.column, numbers=numbers, ends=ends)
        reader.record(table, rule.column, kind, numbers=numbers)
        found[f"{kind}_{name}"] = numbers.series(reader.people)
    return found


def outcomes(reader: Reader, study: Study) -> dict[str, pd.Series]:
    """Return all outcomes and continuous scores that are columns; scales of instruments come later.

    Parameters
    ----------
    reader : Reader
        The folder.
    study : Study
        Its mapping.

    Returns
    -------
    dict of str to pandas.Series
        ``outcome_<name>`` and ``score_<name>``, and the ``exposure_<name>`` of counts: (`participant`,)
        numbers.
    """
    found = {}
    wanted: list[tuple[str, str, Score]] = [("outcome", *pair) for pair in study.outcomes.items()]
    wanted += [("score", *pair) for pair in study.scores.items()]
    for kind, name, rule in wanted:
        table = rule.table or study.participants.table
        if isinstance(rule, Outcome) and rule.exposure is not None:
            exposure = reader.numbers(table, rule.exposure, Reading(rule.missing))
            if exposure is not None:
                reader.record(table, rule.exposure, f"exposure of {name}", numbers=exposure)
                found[f"exposure_{name}"] = exposure.series(reader.people)
        if rule.column is None:
            continue
        codes = rule.codes if isinstance(rule, Outcome) else None
        bounded = not _open(rule.minimum, rule.maximum) or _family(rule) == n.BERNOULLI
        how = Reading(rule.missing, codes=codes, trust_levels=not bounded)
        numbers = reader.numbers(table, rule.column, how)
        if numbers is None:
            continue
        _check_range(reader, table, rule.column, numbers=numbers, ends=(rule.minimum, rule.maximum))
        _check_family(reader, table, rule.column, numbers=numbers, family=_family(rule))
        reader.record(table, rule.column, f"{kind} {name}", numbers=numbers)
        found[f"{kind}_{name}"] = numbers.series(reader.people)
        if isinstance(rule, Outcome) and f"exposure_{name}" in found:
            both = found[f"{kind}_{name}"], found[f"exposure_{name}"]
            _check_exposure(reader, table, str(rule.exposure), *both)
    return found


def _family(rule: Score) -> str:
    return rule.family if isinstance(rule, Outcome) else n.GAUSSIAN


def _check_family(reader: Reader, table: str, column: str, *, numbers: Numbers, family: str) -> None:
    """Note a problem where values contradict their family; how many, and never which."""
    values = numbers.values[np.isfinite(numbers.values)]
    whole = values == np.round(values)
    wrong, what = {
        n.BERNOULLI: (~np.isin(values, (0, 1)), "are not 0 or 1; write `codes` if they are words"),
        **dict.fromkeys(n.COUNTS, (~whole | (values < 0), "are no counts (whole numbers of 0 or more)")),
        n.ORDINAL: (~whole, "are no categories (whole numbers)"),
    }.get(family, (np.zeros(len(values), dtype=bool), ""))
    if wrong.any():
        held = int(wrong.sum())
        reader.problems.append(f"{table}: column {column!r} ({family}) holds {held} values that {what}")


def _check_exposure(reader: Reader, table: str, column: str, count: pd.Series, exposure: pd.Series) -> None:
    """Note a problem where a count has no exposure, or one of 0 or less."""
    absent = int((count.notna() & exposure.isna()).sum())
    none = int((count.notna() & (exposure <= 0)).sum())
    if absent or none:
        reader.problems.append(
            f"{table}: column {column!r} is missing for {absent} people and 0 or less for {none} who have a "
            "count; without time observed a count says nothing: complete it, or make those counts missing"
        )


def _open(minimum: float | None, maximum: float | None) -> bool:
    """Return whether the study leaves an end of the possible range to the folder."""
    return minimum is None or maximum is None


def _check_range(
    reader: Reader, table: str, column: str, *, numbers: Numbers, ends: tuple[float | None, float | None]
) -> None:
    low = -np.inf if ends[0] is None else ends[0]
    high = np.inf if ends[1] is None else ends[1]
    values = numbers.values[np.isfinite(numbers.values)]
    bad = int(((values < low) | (values > high)).sum())
    if bad:
        reader.problems.append(f"{table}: column {column!r} holds {bad} values outside {low:g} to {high:g}")
    codes = {code for code in _hidden_codes(values) if _open(*ends)}
    if codes and not bad:
        people = int(np.isin(values, list(codes)).sum())
        reader.problems.append(
            f"{table}: column {column!r} holds {people} values that look like codes of a missing value "
            f"({', '.join(f'{c:g}' for c in sorted(codes))}); write them under `missing`, or the possible "
            "range under `minimum` and `maximum`"
        )


def _hidden_codes(values: Iterable[float]) -> set[float]:
    """Return known missing codes that lie far from all other values."""
    held = np.unique(np.fromiter(values, dtype=float))
    rest = held[~np.isin(held, _CODES)]
    if not len(rest):
        return set()
    reach = max(float(np.ptp(rest)), 1.0)
    odd = [v for v in held if v in _CODES]
    return {
        float(v) for v in odd if (v < 0 <= rest.min()) or v > rest.max() + reach or v < rest.min() - reach
    }
