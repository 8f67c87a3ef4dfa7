"""Estimates as rows of interval plots, panels that share an axis, and their ends in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nssi_bayes.report.figures import Dot, Image, intervals
from nssi_bayes.report.words import number, pretty

__all__ = ["Row", "Rows", "by", "dot", "limits", "panels", "per_total", "span"]

type Row = Mapping[str, Any]
type Rows = Sequence[Row]


def dot(row: Row, label: str, *, series: str = "", group: str = "", note: str = "") -> Dot:
    """Return an estimate as one row of a plot."""
    return Dot(label, row["mean"], row["low"], row["high"], series=series, group=group, note=note)


def span(row: Row) -> str:
    """Return the ends of an interval."""
    return f"{number(row['low'])} to {number(row['high'])}"


def per_total(row: Row) -> dict[str, str]:
    """Return the cell of an effect per total sd of the function; empty where it was not computed."""
    found = row.get("standardised")
    return {"per total sd": f"{number(found['mean'])} ({span(found)})" if found else "–"}


def by(rows: Rows, key: str) -> dict[str, list[Row]]:
    """Return rows by the value of one key, in order."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return groups


def limits(rows: Rows) -> tuple[float, float]:
    """Return ends of a common axis, for panels that are read together."""
    low, high = min(0.0, *(r["low"] for r in rows)), max(0.0, *(r["high"] for r in rows))
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def panels(rows: Rows, make: Callable[[Row], Dot], *, unit: str, rope: float | None = None,
           note: str = "", key: str = "function") -> list[Image]:  # fmt: skip
    """Return one plot for each value of `key`, all with one axis; `make` makes a row of it."""
    low, high = limits(rows)
    if note:
        high += 0.16 * (high - low)  # room for the notes
    return [
        intervals(pretty(name), [make(r) for r in group], unit=unit, rope=rope, limits=(low, high), note=note)
        for name, group in by(rows, key).items()
    ]
