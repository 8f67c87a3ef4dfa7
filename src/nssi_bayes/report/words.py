"""Numbers in words: sizes, probabilities, names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["interval", "number", "outcome_of", "pretty", "probability", "split_name"]

type Row = Mapping[str, Any]


def pretty(name: str) -> str:
    """Return a name of the data set as words."""
    return name.replace("--", " – ").replace("_", " ")


def split_name(model: str) -> str:
    """Return the model's own name from ``question/model``."""
    return model.split("/")[-1]


def outcome_of(row: Row) -> str:
    """Return what of the outcome an association is with: of a count behind a hurdle there are two parts."""
    parts = {"any": "any of the outcome", "count": "the outcome among those with any"}
    return parts.get(str(row.get("part")), "the outcome")


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with a real minus sign; an absent one as a dash."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def probability(value: float | None, *, edges: tuple[float, ...] = ()) -> str:
    """Return a probability with two digits that never reads 0 or 1.

    Parameters
    ----------
    value : float or None
        The probability; None is a dash.
    edges : tuple of float
        Limits of a rule: as many digits are printed as show on which side of each it is.

    Returns
    -------
    str
        For instance ``0.97``, ``<0.01`` or, beside an edge of .95, ``0.9503``.
    """
    if value is None:
        return "–"
    if value < 0.01:
        return "<0.01"
    if value > 0.99:
        return ">0.99"
    for digits in range(2, 8):
        text = f"{value:.{digits}f}"
        if all(_side(float(text), edge) == _side(value, edge) for edge in edges):
            return text
    return repr(value)


def _side(value: float, edge: float) -> int:
    return (value > edge) - (value < edge)


def interval(row: Row, *, content: float) -> str:
    """Return the kind and the ends of an interval."""
    return f"{content:.0%} equal-tailed interval {number(row['low'])} to {number(row['high'])}"
