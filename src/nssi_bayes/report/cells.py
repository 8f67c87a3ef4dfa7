"""Counts of people that may be printed: small cells, and what would give them away, are hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Cells", "cells_of_flow", "few", "few_treated", "few_with_several", "suppressed", "total"]


class Cells:
    """Print counts, hiding 1 to `smallest` - 1 and what would reveal such a count by subtraction.

    Parameters
    ----------
    smallest : int
        The smallest count that is printed; 0 is always printed.
    total : int, optional
        People of the cohort, known to the reader.
    """

    def __init__(self, smallest: int, *, total: int | None = None) -> None:
        self.smallest = smallest
        self.known = [] if total is None else [total]

    def hidden(self, count: int) -> bool:
        """Return whether `count` itself is too small to print."""
        return 0 < count < self.smallest

    def show(self, count: int) -> str:
        """Return `count`, or what may be said about it.

        A count that differs by a small cell from one already printed is given as a range.
        """
        if self.hidden(count):
            return f"<{self.smallest}"
        near = self.near(count)
        if near is not None:
            return f"within {self.smallest - 1} of {near}"
        self.known.append(count)
        return str(count)

    def near(self, count: float) -> int | None:
        """Return the count already known that differs from `count` by a small cell; None if none does."""
        return next((k for k in self.known if 0 < abs(k - count) < self.smallest), None)

    def values(self, count: int, columns: int) -> str:
        """Return how many values of some columns, or what may be said about it.

        Parameters
        ----------
        count : int
            Values in all of them. Divided by `columns` it may be people: those with no row of a table.
        columns : int
            How many there are.
        """
        each, of = count / max(columns, 1), " a column" if columns > 1 else ""
        if self.hidden(count):
            return f"<{self.smallest}"
        if 0 < each < self.smallest:
            return f"<{self.smallest}{of}"
        near = self.near(each)
        return str(count) if near is None else f"within {self.smallest - 1} of {near}{of}"

    def pair(self, seen: int, lost: int) -> tuple[str, str]:
        """Return how many people have a variable, and how many do not.

        Parameters
        ----------
        seen, lost : int
            Together everybody.
        """
        shown, known = self.show(seen), self.near(seen)
        if self.hidden(seen):
            return shown, f"within {self.smallest - 1} of {seen + lost}"
        if self.hidden(lost):
            return shown, f"<{self.smallest}"
        if known is None:
            return shown, str(lost)
        return shown, f"within {self.smallest - 1} of {seen + lost - known}"

    def share(self, count: int, of: int) -> str:
        """Return a percentage, hidden when the count or its complement is."""
        if not of or self.hidden(count) or self.hidden(of - count):
            return "–"
        return f"{count / of:.0%}"


def suppressed(counts: Sequence[int], smallest: int, *, total: int | None = None) -> list[str]:
    """Print the counts of one table so that no small one can be computed from the others.

    Parameters
    ----------
    counts : sequence of int
        People in each group; groups may overlap.
    smallest : int
        The smallest count that is printed; 0 is always printed.
    total : int, optional
        People of the cohort, known to the reader.

    Returns
    -------
    list of str
        A count, ``<11`` for a small one, or ``hidden`` for one that would give a small one away: as many of
        the next larger ones are hidden as it takes for at least two to be hidden.
    """
    small = [i for i, count in enumerate(counts) if 0 < count < smallest]
    order = sorted((i for i, count in enumerate(counts) if count >= smallest), key=lambda i: (counts[i], i))
    beside = set(order[: 1 if len(small) == 1 or (small and sum(counts[i] for i in small) < smallest) else 0])
    shown = []
    for i, count in enumerate(counts):
        near = total is not None and 0 < abs(total - count) < smallest
        if i in small:
            shown.append(f"<{smallest}")
        elif i in beside:
            shown.append("hidden")
        else:
            shown.append(f"within {smallest - 1} of {total}" if near else str(count))
    return shown


def total(flow: Mapping[str, Any]) -> int | None:
    """Return the people of the cohort, as its flow tells them."""
    gaps = flow.get("missing", [])
    return int(gaps[0]["observed"] + gaps[0]["missing"]) if gaps else None


def cells_of_flow(flow: Mapping[str, Any], smallest: int) -> tuple[Cells, list[str]]:
    """Print the steps of a cohort flow; what is printed beside them must not give a small step away.

    Parameters
    ----------
    flow : mapping
        As ``flow.json``.
    smallest : int
        The smallest count that is printed.

    Returns
    -------
    tuple of (Cells, list of str)
        What remembers them, for all other counts of the page; and the steps in their order.
    """
    cells = Cells(smallest, total=total(flow))  # steps are nested, so one may give another away
    return cells, [cells.show(int(step["participants"])) for step in flow.get("steps", [])]


def few(flow: Mapping[str, Any], smallest: int) -> list[str]:
    """Return the disorders that too few people have, or that too few do not have.

    Parameters
    ----------
    flow : mapping
        As ``flow.json``.
    smallest : int
        The smallest count that is printed.

    Returns
    -------
    list of str
        Labels. What is said of all people but two, less the two, tells of the two.
    """
    counts = {str(d["disorder"]): int(d["participants"]) for d in flow.get("disorders", [])}
    return [disorder for disorder, count in counts.items() if _tells_of_few(count, flow, smallest)]


def few_with_several(flow: Mapping[str, Any], smallest: int) -> bool:
    """Return whether too few people have two diagnoses or more, or too few have one or none.

    Parameters
    ----------
    flow : mapping
        As ``flow.json``.
    smallest : int
        The smallest count that is printed.

    Returns
    -------
    bool
        Effects of a further diagnosis then tell of few people.
    """
    count = int(flow.get("overlap", {}).get("participants_with_two_or_more", 0))
    return _tells_of_few(count, flow, smallest)


def few_treated(flow: Mapping[str, Any], smallest: int) -> list[str]:
    """Return the treatments that too few people had or had not, of all or of those with an outcome.

    Parameters
    ----------
    flow : mapping
        As ``flow.json``.
    smallest : int
        The smallest count that is printed.

    Returns
    -------
    list of str
        Labels.
    """
    cells = Cells(smallest)
    return [
        str(t["treatment"])
        for t in flow.get("treatments", [])
        if any(
            cells.hidden(int(o[side])) for o in (t, *t.get("outcomes", [])) for side in ("with", "without")
        )
    ]


def _tells_of_few(count: int, flow: Mapping[str, Any], smallest: int) -> bool:
    """Return whether so many people, or all the others, are too few."""
    whole, cells = total(flow), Cells(smallest)
    return cells.hidden(count) or (whole is not None and cells.hidden(whole - count))
