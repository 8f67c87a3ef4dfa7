"""Rootograms: roots of observed less roots of expected counts, by answer (Kleiber & Zeileis 2016).

A cell of few people is not printed, nor the next smallest where it is the only one, or all that are not
printed are few people together: their sum is known.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design

__all__ = ["Tally", "each_shown", "of_answers", "of_counts", "shown"]

_MOST: Final = 20
"""Bars of a count."""

type Array = np.ndarray[Any, Any]
type Row = dict[str, Any]


class Tally:
    """How often each count is drawn."""

    def __init__(self) -> None:
        self._often, self._cohorts = Counter[int](), 0

    def add(self, design: Design) -> None:
        """Take in the outcome of one cohort, if it is a count."""
        if design.outcome_family not in n.COUNTS:
            return
        self._often.update(design.outcome[design.outcome_seen].astype(int).tolist())
        self._cohorts += 1

    def expected(self) -> tuple[Array, Array]:
        """Return the counts that are drawn, in order, and of how many people in a cohort."""
        values = np.array(sorted(self._often), dtype=int)
        return values, np.array([self._often[v] for v in values.tolist()]) / self._cohorts


def of_answers(
    design: Design, observed: dict[str, Array], drawn: dict[str, Array], min_cell: int
) -> list[Row]:
    """Return one row an ordinal indicator, by response.

    Parameters
    ----------
    design : Design
        The data.
    observed, drawn : dict of str to numpy.ndarray
        Statistics of the data and of the replicates [sample, ...], by check.
    min_cell : int
        Smaller counts are not printed.
    """
    if not design.coords[n.INDICATOR]:
        return []
    shares, replicates = observed["item_histogram"], drawn["item_histogram"]
    answered = (design.response != design.missing_response).sum(axis=0)
    start = np.concatenate([[0], np.cumsum(design.categories)])
    found = []
    for j, label in enumerate(design.coords[n.INDICATOR]):
        at = slice(int(start[j]), int(start[j + 1]))
        count, expected = shares[at] * answered[j], replicates[:, at].mean(axis=0) * answered[j]
        found.append(_row(str(label), [str(c) for c in range(len(count))], count, expected, min_cell))
    return found


def of_counts(design: Design, tally: Tally, min_cell: int) -> list[Row]:
    """Return one row of an outcome that is a count; none of any other.

    Neighbouring counts share a bar until the model expects twice `min_cell` people in it, and a twentieth
    of all, so that bars do not depend on the data.

    Parameters
    ----------
    design : Design
        The data.
    tally : Tally
        Of cohorts that the model draws.
    min_cell : int
        Smaller counts are not printed.
    """
    if design.outcome_family not in n.COUNTS or not design.outcome_seen.any():
        return []
    value = design.outcome[design.outcome_seen]
    drawn, often = tally.expected()
    least, first, inside = max(2 * min_cell, len(value) / _MOST), [0], 0.0
    for v, people in zip(drawn, often, strict=True):
        if inside >= least and often[drawn >= v].sum() >= least:
            first.append(int(v))
            inside = 0.0
        inside += people
    at = np.array(first)
    count, expected = (
        np.bincount(np.searchsorted(at, which, side="right") - 1, weights=weight, minlength=len(at))
        for which, weight in ((value, np.ones(len(value))), (drawn, often))
    )
    last = [b - 1 for b in first[1:]]
    bars = [f"{a}" if a == b else f"{a} to {b}" for a, b in zip(first, last, strict=False)]
    return [_row("outcome", [*bars, f"{first[-1]} or more"], count, expected, min_cell)]


def _row(label: str, answers: list[str], count: Array, expected: Array, min_cell: int) -> Row:
    hanging = np.where(shown(count, min_cell), np.sqrt(count) - np.sqrt(expected), np.nan)
    return {"indicator": label, "answers": answers, "expected": expected, "root_difference": hanging}


def shown(count: Array, min_cell: int) -> Array:
    """Return which cells of one table may be printed, so that no few people can be computed from the others.

    Parameters
    ----------
    count : numpy.ndarray
        People [cell], of whom the sum is known.
    min_cell : int
        Smaller counts are not printed.

    Returns
    -------
    numpy.ndarray
        Of bool [cell]. Where some are hidden, they are at least two and hold nobody or at least `min_cell`.
    """
    people = np.round(count)
    found = people >= min_cell
    for cell in np.argsort(people, kind="stable"):
        if found.all() or not found[cell]:
            continue
        if (~found).sum() > 1 and not 0 < people[~found].sum() < min_cell:
            break
        found[cell] = False
    return np.asarray(found)


def each_shown(count: Array, sizes: Array, min_cell: int) -> Array:
    """Return what `shown` returns of tables that stand side by side.

    Parameters
    ----------
    count : numpy.ndarray
        People [group, cell].
    sizes : numpy.ndarray
        Cells of each table [table].
    min_cell : int
        Smaller counts are not printed.

    Returns
    -------
    numpy.ndarray
        Of bool [group, cell].
    """
    ends = np.cumsum(sizes)[:-1]
    return np.array([np.concatenate([shown(t, min_cell) for t in np.split(row, ends)]) for row in count])
