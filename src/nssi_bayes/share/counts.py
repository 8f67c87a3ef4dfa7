"""Small cells, and cells that were hidden and can be computed all the same."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any, Final

__all__ = ["cells_of", "html_tables", "tables_in"]

type Record = Mapping[str, Any]

_PEOPLE: Final = re.compile(
    r"(^|_|\b)(participants?|people|persons?|patients?|subjects?|n|count|number_of_people|observed|missing)($|_|\b)",
    re.I,
)
_NOT_PEOPLE: Final = re.compile(
    r"share|draw|chain|tune|iteration|%|divergen|quantit|worst|rank|variables", re.I
)
_TOTAL: Final = re.compile(r"\b(total|all|sum|everybody|overall|in the cohort|cohort)\b", re.I)
_HIDDEN: Final = re.compile(r"(<|&lt;|≤|under )\s*\d+|hidden|suppressed")
_NUMBER: Final = re.compile(r"\d+")


def tables_in(content: Any) -> Iterator[list[Record]]:
    """Yield every list of mappings in what a JSON or YAML file holds."""
    if isinstance(content, Mapping):
        for value in content.values():
            yield from tables_in(value)
    elif isinstance(content, list):
        if content and all(isinstance(row, Mapping) for row in content):
            yield content
        for value in content:
            yield from tables_in(value)


def cells_of(tables: Sequence[Sequence[Record]], smallest: int) -> dict[str, int]:
    """Count small cells, and hidden ones that can be computed.

    Parameters
    ----------
    tables : sequence of sequence of mapping
        Tables of one folder; a total in one is known to the reader of another.
    smallest : int
        The smallest count that may be printed.

    Returns
    -------
    dict of str to int
        Kind: how often.
    """
    total = _total(tables)
    small = derivable = 0
    for rows in tables:
        for column in dict.fromkeys(c for row in rows for c in row):
            if not _PEOPLE.search(str(column)) or _NOT_PEOPLE.search(str(column)):
                continue
            values = [row.get(column) for row in rows]
            small += sum(_is_count(v) and 0 < _as_count(v) < smallest for v in values)
            if total is not None:  # all but so few
                derivable += sum(_is_count(v) and 0 < total - _as_count(v) < smallest for v in values)
            derivable += _by_subtraction(rows, values, total, smallest)
            derivable += _by_steps(rows, values, smallest)
        derivable += _by_complement(rows, total, smallest)
    found = {"a count of too few people": small, "a hidden count that can be computed": derivable}
    return {kind: count for kind, count in found.items() if count}


def _is_count(value: Any) -> bool:
    if isinstance(value, bool) or value is None:
        return False
    if isinstance(value, int):
        return True
    if isinstance(value, float):
        return value.is_integer()
    return bool(_NUMBER.fullmatch(str(value).strip()))


def _as_count(value: Any) -> int:
    return int(float(str(value).strip()))


def _hidden(value: Any) -> bool:
    return isinstance(value, str) and bool(_HIDDEN.search(value))


def _label(row: Record) -> str:
    return " ".join(str(v) for v in row.values() if isinstance(v, str) and not _is_count(v))


def _total(tables: Sequence[Sequence[Record]]) -> int | None:
    """Return how many people there are, as a reader would find out."""
    known = []
    for rows in tables:
        for row in rows:
            seen, lost = row.get("observed"), row.get("missing")
            if _is_count(seen) and _is_count(lost):
                known.append(_as_count(seen) + _as_count(lost))
            elif _TOTAL.search(_label(row)):
                known += [_as_count(v) for k, v in row.items() if _PEOPLE.search(str(k)) and _is_count(v)]
    return max(known) if known else None


def _by_subtraction(rows: Sequence[Record], values: Sequence[Any], total: int | None, smallest: int) -> int:
    """Return 1 if one hidden cell is what is left of a total; steps of a flow do not add up."""
    if any("step" in row for row in rows):
        return 0
    own = [v for row, v in zip(rows, values, strict=True) if _TOTAL.search(_label(row)) and _is_count(v)]
    whole = _as_count(own[0]) if own else total
    parts = [v for row, v in zip(rows, values, strict=True) if not _TOTAL.search(_label(row))]
    if whole is None or sum(map(_hidden, parts)) != 1 or not all(_hidden(v) or _is_count(v) for v in parts):
        return 0
    left = whole - sum(_as_count(v) for v in parts if _is_count(v))
    return int(0 < left < smallest)


def _by_steps(rows: Sequence[Record], values: Sequence[Any], smallest: int) -> int:
    """Count steps of a flow that differ by a small cell from the one before."""
    if not all("step" in row for row in rows):
        return 0
    counts = [_as_count(v) for v in values if _is_count(v)]
    return sum(0 < a - b < smallest for a, b in pairwise(counts))


def _by_complement(rows: Sequence[Record], total: int | None, smallest: int) -> int:
    """Count rows in which what is observed gives away what is missing, or the other way round."""
    if total is None:
        return 0
    found = 0
    for row in rows:
        for one, other in (("observed", "missing"), ("missing", "observed")):
            if _hidden(row.get(one)) and _is_count(row.get(other)):
                found += int(0 < total - _as_count(row[other]) < smallest)
    return found


class _Tables(HTMLParser):
    """Collects the rows of every table."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._cell: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self._cell = []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self.tables[-1][-1].append("".join(self._cell).strip().replace("\u00a0", " "))
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)


def html_tables(text: str) -> list[list[Record]]:
    """Return the tables of a page, each row by the heading of its columns."""
    parser = _Tables()
    parser.feed(text)
    found: list[list[Record]] = []
    for rows in parser.tables:
        wide = max((len(r) for r in rows), default=0)
        head = next((r for r in rows if len(r) == wide), [])
        body = [r for r in rows if len(r) == len(head) and r is not head]
        if body:
            found.append([dict(zip(head, row, strict=True)) for row in body])
    return found
