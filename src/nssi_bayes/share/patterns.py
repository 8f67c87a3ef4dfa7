"""What gives a person or a machine away in a text: labels, paths, addresses, dates, numbers of records."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import yaml

from nssi_bayes.spec import Strict, parse

__all__ = ["leaks_in", "machine_words"]

_RUNS: Final = re.compile(rb"[\x20-\x7e]{5,}")  # what in a file of numbers can be read at all
_SHORT: Final = 4  # of a word that is looked for as it is
_ORDINARY: Final = {"root", "user", "admin", "ubuntu", "localhost", "runner", "home"}


class _Leaks(Strict):
    text: dict[str, tuple[str, ...]]
    bytes: dict[str, tuple[str, ...]]


@cache
def _read() -> _Leaks:
    text = files("nssi_bayes.share").joinpath("leaks.yaml").read_text(encoding="utf-8")
    return parse(_Leaks, yaml.safe_load(text), where="share/leaks.yaml")


@cache
def _texts() -> dict[str, re.Pattern[str]]:
    return {kind: re.compile("|".join(several)) for kind, several in _read().text.items()}


@cache
def _bytes() -> dict[str, re.Pattern[bytes]]:
    return {kind: re.compile("|".join(several).encode()) for kind, several in _read().bytes.items()}


def machine_words() -> tuple[str, ...]:
    """Return the user's and the machine's name, where they are words of their own."""
    words = {getpass.getuser(), Path.home().name, socket.gethostname().split(".")[0]}
    return tuple(sorted(w for w in words if len(w) >= _SHORT and w.lower() not in _ORDINARY))


def leaks_in(content: str | bytes, *, known: Iterable[str] = (), words: Iterable[str] = ()) -> dict[str, int]:
    """Count what gives somebody away; nothing is quoted.

    Parameters
    ----------
    content : str or bytes
        A text, or the bytes of a file of another kind, which are looked through for longer strings only.
    known : iterable of str
        Labels of the people of the cohort.
    words : iterable of str
        Names of the user and the machine.

    Returns
    -------
    dict of str to int
        Kind: how often it is there.
    """
    if isinstance(content, bytes):
        content = b"\n".join(_RUNS.findall(content))
        found = {kind: len(pattern.findall(content)) for kind, pattern in _bytes().items()}
        labels = sum(label.encode() in content for label in known if len(label) > _SHORT)
    else:
        found = {kind: len(pattern.findall(content)) for kind, pattern in _texts().items()}
        labels = _known(content, known)
        found["the name of a user or machine"] = sum(
            bool(re.search(rf"(?<![\w-]){re.escape(w)}(?![\w-])", content)) for w in words
        )
    found["a label of a person"] = max(found["a label of a person"], labels)
    return {kind: count for kind, count in found.items() if count}


def _known(content: str, known: Iterable[str]) -> int:
    """Count labels of the cohort that stand in a text as words, with or without ``sub-``."""
    labels = {form for label in known for form in (label, label.removeprefix("sub-")) if len(form) >= _SHORT}
    present = set(re.findall(r"[0-9A-Za-z_]+(?:-[0-9A-Za-z_]+)*", content))
    parts = present | {part for word in present for mark in "-_" for part in word.split(mark)}
    return len({label for label in labels if not label.isdigit() or len(label) > _SHORT} & parts)
