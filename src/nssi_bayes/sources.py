"""Read one file of a cohort's folder as it is, whatever its format, as stripped words.

TSV, CSV, XLSX and SPSS files with the same content give the same words. What was understood on
the way (encoding, separator, rows left out) is counted, for the audit.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
import warnings
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile, ZipFile

import numpy as np
import pandas as pd

from nssi_bayes.errors import DataError

__all__ = ["About", "Source", "read_source", "read_source_table"]

_TABS: Final = (".tsv", ".txt", ".tab")
_SEPARATORS: Final = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}
_OTHERS: Final = (
    ".xls", ".ods", ".numbers", ".dta", ".sas7bdat", ".xpt", ".por", ".rds", ".rdata", ".json", ".zip", ".gz",
    ".pdf",
)  # fmt: skip
_SNIFFED: Final = 20  # lines that decide on the separator
_BROKEN_BOOK: Final = (
    ArithmeticError, AttributeError, BadZipFile, EOFError, LookupError, OSError, RuntimeError, SyntaxError,
    TypeError, ValueError, zlib.error,
)  # fmt: skip
_UNCALCULATED: Final = re.compile(rb"<c\b([^>]*)><f\b(?:[^>]*/>|[^>]*>[^<]*</f>)(?:<v\s*/>|<v></v>)?</c>")
_FETCH: Final = "get the data first: its link leads nowhere (run `datalad get`, or `git annex get`, on it)"


@dataclass(frozen=True)
class About:
    """What a folder says about one column, in a sidecar or in the file itself.

    Parameters
    ----------
    labels : dict of str to str
        Code: its label.
    missing : tuple of tuple of float
        Ranges, both ends included, that the file declares missing.
    unit : str
        Unit of the values; empty where nothing is said.
    identifier : bool
        Whether a data dictionary marks the column as identifying.
    """

    labels: dict[str, str] = field(default_factory=dict)
    missing: tuple[tuple[float, float], ...] = ()
    unit: str = ""
    identifier: bool = False


@dataclass(frozen=True)
class Source:
    """One table as it stands in the folder.

    Parameters
    ----------
    frame : pandas.DataFrame
        Every column a categorical of stripped words, one row a row of the file.
    about : dict of str to About
        By column, what the file itself declares.
    facts : tuple of (str, int)
        What reading understood or left out, with the number of rows.
    """

    frame: pd.DataFrame
    about: dict[str, About] = field(default_factory=dict)
    facts: tuple[tuple[str, int], ...] = ()


def read_source(path: Path, *, sheet: str | None = None) -> Source:
    """Read a table of a cohort's folder.

    Parameters
    ----------
    path : pathlib.Path
        The file: ``.xlsx``, ``.sav``, or text with any of the usual separators.
    sheet : str, optional
        Sheet of a workbook; its first if left out.

    Returns
    -------
    Source
        Words, declarations and facts.

    Raises
    ------
    DataError
        If the file is missing or was not fetched, cannot be read, is empty, has a column twice or
        rows of unequal length.
    """
    if not path.exists():
        found = _FETCH if path.is_symlink() else "the table does not exist"
        raise DataError(found, where=str(path), cure="mend its name")
    if not path.is_file():
        raise DataError("it is a folder, not a table", where=str(path), cure="name the table in it")
    if path.suffix.lower() in _OTHERS:
        found = f"a file of kind {path.suffix.lower()} is no table that is read here"
        raise DataError(found, where=str(path), cure="save it as CSV, XLSX or SPSS (.sav)")
    if path.suffix.lower() in (".sav", ".zsav"):
        return _spss(path)
    if path.suffix.lower() in (".xlsx", ".xlsm"):
        return _arranged(_workbook(path, sheet), [], where=str(path))
    rows, facts = _delimited(path)
    return _arranged(rows, facts, where=str(path))


def read_source_table(path: Path) -> pd.DataFrame:
    """Read a table of a cohort's folder as strings.

    Raises
    ------
    DataError
        As `read_source`.
    """
    return read_source(path).frame.astype("str")


def _arranged(rows: list[list[str]], facts: list[str], *, where: str) -> Source:
    rows, more = _headed([row for row in rows if any(cell.strip() for cell in row)])
    header = [_clean(cell) for cell in rows[0]] if rows else []
    width = len(header)
    while (
        width and not header[width - 1] and not any(_clean(r[width - 1]) for r in rows[1:] if len(r) >= width)
    ):
        width -= 1  # a column that a spreadsheet leaves behind: no name, no cell
    header, body = header[:width], rows[1:]
    uneven = sum(len(row) < width or any(cell.strip() for cell in row[width:]) for row in body)
    header = [name or f"unnamed_{k + 1}" for k, name in enumerate(header)]
    problems = []
    if not body:
        problems.append("the table has no rows")
    if len(header) > len(set(header)):
        problems.append(f"{len(header) - len(set(header))} columns have the name of another")
    if uneven:
        problems.append(f"{uneven} rows do not have {width} cells")
    if problems:
        raise DataError(problems, where=where, cure="mend the table")
    columns = zip(*body, strict=False)
    frame = pd.DataFrame(
        {name: _categorical(cells, _clean) for name, cells in zip(header, columns, strict=False)}
    )
    return Source(frame, facts=(*((fact, len(body)) for fact in facts), *more))


def _headed(rows: list[list[str]]) -> tuple[list[list[str]], list[tuple[str, int]]]:
    """Take away what a spreadsheet or NDA puts around a header: separator, name and version, descriptions."""
    facts: list[tuple[str, int]] = []
    if (
        len(rows) > 1
        and rows[0][0].strip().lower().startswith("sep=")
        and not any(map(str.strip, rows[0][1:]))
    ):
        rows = rows[1:]
        facts.append(("a line above the header left out (the separator)", 1))
    if len(rows) > 1:
        first = [cell.strip() for cell in rows[0] if cell.strip()]
        if len(first) == 2 and first[1].isdigit() and len([c for c in rows[1] if c.strip()]) > 2:
            rows = rows[1:]
            facts.append(("a line above the header left out (NDA)", 1))
    if len(rows) > 1 and "subjectkey" in [c.strip() for c in rows[0]]:
        place = [c.strip() for c in rows[0]].index("subjectkey")
        if place < len(rows[1]) and "GUID" in rows[1][place] and " " in rows[1][place].strip():
            rows = [rows[0], *rows[2:]]
            facts.append(("a line of descriptions below the header left out (NDA)", 1))
    return rows, facts


def _clean(cell: str) -> str:
    return cell.strip().strip("\ufeff\u200b").strip()


def _categorical(cells: Iterable[Any], word: Callable[[Any], str]) -> pd.Categorical:
    """Turn every distinct cell into a word once."""
    codes, distinct = pd.factorize(np.fromiter(cells, dtype=object), use_na_sentinel=False)
    place, words = pd.factorize(np.array([word(cell) for cell in distinct], dtype=object))
    return pd.Categorical.from_codes(place[codes], categories=pd.Index(words, dtype="str"))


def _delimited(path: Path) -> tuple[list[list[str]], list[str]]:
    tabs = path.suffix.lower() in _TABS
    try:
        text, encoding = _decoded(path.read_bytes())
    except OSError:
        cure = "see whether the file is yours to read"
        raise DataError("the file cannot be read", where=str(path), cure=cure) from None
    facts = [] if encoding in ("utf-8", "utf-8-sig") else [f"read as {encoding}"]
    facts += ["a byte order mark left out"] * (encoding == "utf-8-sig")
    facts += ["line ends of another system"] * ("\r" in text)
    separator = _separator(text, tabs=tabs)
    if separator != ("\t" if tabs else ","):
        facts.append(f"separated by {_SEPARATORS[separator]}")
    try:
        return list(_rows(text, separator)), facts
    except csv.Error:  # a quote that nothing closes: every quote is a character
        bare = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=csv.QUOTE_NONE)
        try:
            return [[_unquoted(cell.strip()) for cell in row] for row in bare], facts
        except csv.Error:
            cure = "take texts and pictures out of it"
            raise DataError("a cell is too long to be one of a table", where=str(path), cure=cure) from None


def _unquoted(cell: str) -> str:
    return cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell


def _rows(text: str, separator: str) -> Iterable[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)


def _decoded(content: bytes) -> tuple[str, str]:
    """Return the text and its encoding: Unicode where it is, else that of a Western spreadsheet."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) and len(content) % 2 == 0:
        unicode = "utf-16"
    else:
        unicode = "utf-8-sig" if content.startswith(b"\xef\xbb\xbf") else "utf-8"
    for encoding in (unicode, "cp1252"):
        try:
            return content.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1"), "latin-1"  # it has a character for every byte


def _separator(text: str, *, tabs: bool) -> str:
    """Return the separator that cuts the first lines into equally many, and most, cells."""
    head = "".join(text.splitlines(keepends=True)[:_SNIFFED])
    order = tuple(_SEPARATORS) if tabs else (",", ";", "\t", "|")

    def quality(separator: str) -> tuple[int, int]:
        try:
            widths = [len(row) for row in _rows(head, separator) if any(c.strip() for c in row)]
        except csv.Error:
            widths = [line.count(separator) + 1 for line in head.splitlines() if line.strip()]
        if not widths or max(widths) == 1:
            return (0, 0)
        return (1 + (min(widths) == max(widths)), widths[0])

    best = max(order, key=quality)
    return best if quality(best) > quality(order[0]) else order[0]


def _workbook(path: Path, sheet: str | None) -> list[list[str]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning of openpyxl may quote a cell
            rows = _sheet(path, sheet)
    except _BROKEN_BOOK:  # the many ways in which a damaged archive of XML fails
        cure = "save it again as XLSX, or as CSV"
        raise DataError("not a readable workbook", where=str(path), cure=cure) from None
    width = max((len(row) for row in rows), default=0)
    return [[*row, *[""] * (width - len(row))] for row in rows]


def _sheet(path: Path, sheet: str | None) -> list[list[str]]:
    from openpyxl import load_workbook

    with path.open("rb") as file:
        book = load_workbook(file, read_only=True, data_only=True)
        if sheet is not None and sheet not in book.sheetnames:
            raise DataError(f"no sheet {sheet!r}", where=str(path), cure="mend `sheet` in the study file")
        name = sheet if sheet is not None else book.worksheets[0].title
        rows = [[_word(cell) for cell in row] for row in book[name].iter_rows(values_only=True)]
        empty = _formulas_without_values(path, rows, name)
    if empty:
        cure = "open it in a spreadsheet program and save it, or save the values alone"
        raise DataError(f"{empty} cells are formulas without a stored value", where=str(path), cure=cure)
    return rows


def _formulas_without_values(path: Path, rows: list[list[str]], name: str) -> int:
    """Count blank cells of a sheet that hold a formula, which nothing has calculated."""
    from openpyxl import load_workbook

    with ZipFile(path) as archive:
        parts = [part for part in archive.namelist() if part.startswith("xl/worksheets/")]
        found = (match for part in parts for match in _UNCALCULATED.finditer(archive.read(part)))
        if all(b't="str"' in match[1] for match in found):  # an empty text is a value
            return 0
    with path.open("rb") as file:
        page = load_workbook(file, read_only=True)[name]
        return sum(
            isinstance(cell, str) and cell.startswith("=") and not word
            for row, words in zip(page.iter_rows(values_only=True), rows, strict=True)
            for cell, word in zip(row, words, strict=True)
        )


def _word(cell: object) -> str:
    """Return a typed cell as the word that a text file would hold."""
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    if isinstance(cell, bool):
        return str(int(cell))
    if isinstance(cell, float | np.floating):
        return str(int(cell)) if float(cell).is_integer() else repr(float(cell))
    if isinstance(cell, datetime.datetime):
        return (cell.date() if cell.time() == datetime.time() else cell).isoformat()
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return _clean(str(cell))


def _spss(path: Path) -> Source:
    import pyreadstat

    for encoding in (None, "LATIN1"):  # as the file says, or as old files mean it
        try:
            table, meta = pyreadstat.read_sav(str(path), user_missing=True, encoding=encoding)
            break
        except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, ValueError, OSError):
            continue
    else:
        cure = "save it again in SPSS, or export it as CSV"
        raise DataError("not a readable SPSS file", where=str(path), cure=cure)
    if not len(table):
        raise DataError("the table has no rows", where=str(path), cure="mend the table")
    frame = pd.DataFrame({_clean(str(name)): _categorical(column, _word) for name, column in table.items()})
    about = {}
    for name in table.columns:
        labels = {_word(k): _clean(str(v)) for k, v in meta.variable_value_labels.get(name, {}).items()}
        declared: Any = meta.missing_ranges.get(name, ())
        ranges = [(r["lo"], r["hi"]) for r in declared]
        numeric = tuple((float(a), float(b)) for a, b in ranges if _both_numbers(a, b))
        labels |= {_clean(a): "Missing" for a, _ in ranges if isinstance(a, str)}
        about[_clean(str(name))] = About(labels, numeric)
    return Source(frame, about, facts=(("SPSS file", len(frame)),))


def _both_numbers(*ends: object) -> bool:
    return all(isinstance(end, int | float) for end in ends)
