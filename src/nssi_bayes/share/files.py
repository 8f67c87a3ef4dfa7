"""One file of a folder that leaves the lab: what in it is about a person, a machine, or nobody knows what."""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import h5py
import numpy as np
import yaml

from nssi_bayes import names as n
from nssi_bayes.share.allowed import allowed
from nssi_bayes.share.counts import Record, html_tables, tables_in
from nssi_bayes.share.patterns import leaks_in

__all__ = ["Seen", "look"]

_TEXT: Final = {
    ".html", ".md", ".txt", ".bib", ".yaml", ".yml", ".json", ".csv", ".tsv", ".svg", ".css", ".js",
}  # fmt: skip
_TREES: Final = {".nc", ".h5", ".hdf5"}
_CHUNKS: Final = frozenset(b"IHDR PLTE IDAT IEND tRNS pHYs sRGB gAMA cHRM sBIT bKGD".split())
_DATA: Final = re.compile(r"data:([\w/+.-]+)(;base64)?,([^\"'\s)>]*)")
_META: Final = re.compile(
    r"<(?:\w+:)?(?:metadata|title|desc|creator|date|rights|publisher|source)\b[^>]*>(.*?)</", re.DOTALL
)
_GROUPS: Final = {"posterior", "prior", "sample_stats", "posterior_warmup"}
_ATTRIBUTES: Final = {
    "units", "_FillValue", "coordinates", "CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST",
    "DIMENSION_LABELS", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties", "_nc3_strict", "dtype",
}  # fmt: skip
_ROWS: Final = re.compile(
    r"^(participant|subject|person|patient|proband|case)(_?id|_?label|_?name|key)?$|"
    r"^(record_id|src_subject_id|mrn|dob)$",
    re.IGNORECASE,
)
_LABEL: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.+\- ]{0,60}")
_FEW_VALUES: Final = 20
_OFTEN_MANY: Final = {n.CHAIN, n.DRAW, n.ROI, n.EDGE}  # as long as a cohort without being one
_DESCRIBED: Final = {  # a row with one of these is about a parameter, not about a person
    "disorder", "function", "factor", "roi", "edge", "network", "network_pair", "term", "indicator",
    "block", "name",
}  # fmt: skip


@dataclass
class Seen:
    """What one file gives away, by kind, and what it tells of groups.

    Parameters
    ----------
    leaks : dict of str to int
        Kind: how often.
    tables : list
        Its tables, for counts that give each other away.
    disorders : set of str
        Disorders of which it has estimates or draws.
    centred : bool
        Whether effects that sum to zero do so over the disorders that it has.
    """

    leaks: dict[str, int] = field(default_factory=dict)
    tables: list[list[Record]] = field(default_factory=list)
    disorders: set[str] = field(default_factory=set)
    centred: bool = True

    def add(self, kind: str, count: int = 1) -> None:
        """Count one more of a kind."""
        if count:
            self.leaks[kind] = self.leaks.get(kind, 0) + count

    def add_all(self, found: Mapping[str, int]) -> None:
        """Count what was found elsewhere."""
        for kind, count in found.items():
            self.add(kind, count)


def look(path: Path, *, name: str, known: Iterable[str], words: Iterable[str], people: int | None) -> Seen:
    """Look through one file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    name : str
        Its place in the folder.
    known, words : iterable of str
        Labels of people; names of the user and the machine.
    people : int, optional
        People of the cohort: a list of that many values is taken for theirs.

    Returns
    -------
    Seen
        Kinds and counts, never what was found itself.
    """
    seen = Seen()
    seen.add_all({f"{kind} in its name": c for kind, c in leaks_in(name, known=known, words=words).items()})
    if path.is_symlink():
        seen.add("a link to another place")
        return seen
    if any(part.startswith(".") for part in Path(name).parts):
        seen.add("a hidden file")
    content, kind = path.read_bytes(), path.suffix.lower()
    if kind in _TREES:
        seen.add_all(leaks_in(content, known=known))
        _tree(path, seen, known=known, words=words, people=people)
    elif kind == ".png":
        seen.add_all(leaks_in(content, known=known))
        _png(content, seen)
    elif kind in _TEXT:
        _text(content, kind, seen, known=known, words=words, people=people)
    else:
        seen.add_all(leaks_in(content, known=known))
        seen.add("a kind of file that nobody knows to be safe")
    return seen


def _text(
    content: bytes, kind: str, seen: Seen, *, known: Iterable[str], words: Iterable[str], people: int | None
) -> None:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        seen.add("a text that is no UTF-8")
        seen.add_all(leaks_in(content, known=known))
        return
    for media, coded, body in _DATA.findall(text):
        _embedded(media, body, seen, coded=bool(coded), known=known, words=words)
    plain = _DATA.sub(" ", text)
    seen.add_all(leaks_in(plain, known=known, words=words))
    if kind == ".svg":
        _svg(plain, seen)
    if kind == ".html":
        seen.tables += html_tables(plain)
        seen.add(
            "an author or generator of a page",
            len(re.findall(r"<meta[^>]+name=[\"']?(author|generator)", plain, re.I)),
        )
        return
    for read in (_STRUCTURED.get(kind),):
        if read is not None:
            _structured(read, plain, seen, people=people)


def _structured(read: Callable[[str], Any], text: str, seen: Seen, *, people: int | None) -> None:
    try:
        content = read(text)
    except (ValueError, yaml.YAMLError, csv.Error):
        seen.add("a file that cannot be read as what its name says")
        return
    tables = list(tables_in(content))
    seen.tables += tables
    for key in _keys(content):
        seen.add("a column or key of people", int(bool(_ROWS.match(key))))
    described = [r for rows in tables for r in rows if "disorder" in r and {"mean", "low"} & set(r)]
    seen.disorders |= {
        str(d) for r in described for d in (r["disorder"], r.get("other")) if isinstance(d, str)
    }
    if people and people > _FEW_VALUES:
        seen.add("as many values as people", sum(len(values) == people for values in _lists(content)))


def _csv(text: str, separator: str) -> list[dict[str, str]]:
    return [dict(row) for row in csv.DictReader(io.StringIO(text), delimiter=separator)]


_STRUCTURED: Final[dict[str, Callable[[str], Any]]] = {
    ".json": json.loads,
    ".yaml": yaml.safe_load,
    ".yml": yaml.safe_load,
    ".csv": lambda text: _csv(text, ","),
    ".tsv": lambda text: _csv(text, "\t"),
}


def _keys(content: Any) -> Iterator[str]:
    if isinstance(content, Mapping):
        yield from map(str, content)
        for value in content.values():
            yield from _keys(value)
    elif isinstance(content, list):
        if content and isinstance(content[0], Mapping):
            yield from _keys(content[0])
        else:
            for value in content:
                yield from _keys(value)


def _lists(content: Any) -> Iterator[list[Any]]:
    """Yield every list, and the keys of every large mapping, that could have one entry a person."""
    if isinstance(content, Mapping):
        if len(content) > _FEW_VALUES:
            yield list(content)
        for value in content.values():
            yield from _lists(value)
    elif isinstance(content, list):
        if not any(isinstance(row, Mapping) and _DESCRIBED & set(row) for row in content):
            yield content
        for value in content:
            yield from _lists(value)


def _embedded(
    media: str, body: str, seen: Seen, *, coded: bool, known: Iterable[str], words: Iterable[str]
) -> None:
    """Look through an image that a page carries."""
    try:
        content = base64.b64decode(body, validate=True) if coded else unquote(body).encode()
    except binascii.Error:
        seen.add("an image of a page that cannot be read")
        return
    if media == "image/svg+xml":
        text = content.decode("utf-8", errors="replace")
        seen.add_all(leaks_in(text, known=known, words=words))
        _svg(text, seen)
    elif media == "image/png":
        seen.add_all(leaks_in(content, known=known))
        _png(content, seen)
    elif content:
        seen.add("an embedded file that nobody knows to be safe")


def _svg(text: str, seen: Seen) -> None:
    """Count metadata that says more than what kind of image it is."""
    for inner in _META.findall(text):
        words = re.sub(r"<[^>]*>", " ", inner).replace("image/svg+xml", " ").split()
        seen.add("metadata of a drawing", int(bool(words)))
    seen.add("metadata of a drawing", len(re.findall(r"\b(?:inkscape|sodipodi):[\w-]+=", text)))


def _png(content: bytes, seen: Seen) -> None:
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        seen.add("an image that cannot be read")
        return
    at = 8
    while at + 8 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunk = content[at + 4 : at + 8]
        seen.add("metadata of an image", int(chunk not in _CHUNKS))
        at += length + 12
        if chunk == b"IEND":
            break
    seen.add("bytes behind the end of a file", int(at != len(content)))


def _tree(path: Path, seen: Seen, *, known: Iterable[str], words: Iterable[str], people: int | None) -> None:
    try:
        with h5py.File(path, "r") as file:
            seen.add("a user block", int(file.userblock_size > 0))
            seen.add("bytes behind the end of a file", int(_end(path) not in (None, path.stat().st_size)))
            _node(file, seen, known=known, words=words, people=people)
            file.visititems(lambda _, node: _node(node, seen, known=known, words=words, people=people))
    except OSError:
        seen.add("a file that cannot be read as what its name says")


def _end(path: Path) -> int | None:
    """Return where an HDF5 file ends by its own superblock; None where that is not at its beginning.

    References
    ----------
    The HDF Group, HDF5 File Format Specification Version 3.0, II.A.
    """
    head = path.read_bytes()[:96]
    if not head.startswith(b"\x89HDF\r\n\x1a\n"):
        return None
    at = {0: 24, 1: 28, 2: 12, 3: 12}.get(head[8])  # where the base address stands
    if at is None:
        return None
    _, _, end = struct.unpack("<QQQ", head[at : at + 24])
    return int(end)


def _node(node: Any, seen: Seen, *, known: Iterable[str], words: Iterable[str], people: int | None) -> None:
    own = node.name.rsplit("/", 1)[-1]
    seen.add_all({f"{kind} in a name": c for kind, c in leaks_in(own, known=known, words=words).items()})
    for attribute, value in node.attrs.items():
        text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        seen.add_all(leaks_in(f"{attribute} {text}", known=known, words=words))
        seen.add("an attribute that may say anything", int(attribute not in _ATTRIBUTES))
    if isinstance(node, h5py.Group):
        seen.add("a group of data or of persons", int(own not in {"", *_GROUPS}))
        for name in node:
            seen.add(
                "a link to another file", int(not isinstance(node.get(name, getlink=True), h5py.HardLink))
            )
        return
    if not isinstance(node, h5py.Dataset):
        seen.add("a part of a file that nobody knows to be safe")
        return
    _dataset(node, own, seen, known=known, people=people)


def _dataset(node: h5py.Dataset, own: str, seen: Seen, *, known: Iterable[str], people: int | None) -> None:
    if node.ndim == 1 and allowed().knows(own):
        labels = node.asstr(errors="replace")[()] if node.dtype.kind in "OS" else node[()]
        _coordinate(own, np.asarray(labels), seen, known=known)
        return
    if node.dtype.kind not in "fiub":
        seen.add("texts among the numbers")
        return
    dims = tuple(_dim(node, axis) for axis in range(node.ndim))
    inner = tuple(d for d in dims if d not in (n.CHAIN, n.DRAW))
    if own == "diverging" and not inner:
        return
    reason = allowed().why_not(own, inner)
    seen.add(f"a variable that {reason}", int(bool(reason)))
    sizes = [k for k, d in zip(node.shape, dims, strict=True) if d not in _OFTEN_MANY]
    seen.add("as many values as people", int(bool(people and people > _FEW_VALUES and people in sizes)))
    if own in allowed().zero_sum and n.DISORDER in dims and not reason:
        sums = np.asarray(node[()]).sum(axis=dims.index(n.DISORDER))
        seen.centred &= bool(np.allclose(sums, 0, atol=1e-3))


def _dim(node: h5py.Dataset, axis: int) -> str:
    scales = [scale.name.rsplit("/", 1)[-1] for scale in node.dims[axis].values()]
    return scales[0] if scales else "?"


def _coordinate(own: str, labels: np.ndarray[Any, Any], seen: Seen, *, known: Iterable[str]) -> None:
    if labels.dtype.kind in "fiu":
        bad = own not in (n.CHAIN, n.DRAW) and not np.array_equal(labels, np.arange(len(labels)))
        seen.add("numbers for labels", int(bad))
        return
    texts = [str(label) for label in labels]
    seen.add_all(leaks_in("\n".join(texts), known=known))
    seen.add("a label that is no name", sum(not _LABEL.fullmatch(text) for text in texts))
    if own == n.DISORDER:
        seen.disorders |= set(texts)
