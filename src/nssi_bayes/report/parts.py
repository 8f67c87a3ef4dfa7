"""What a page is made of: sections of texts, tables and figures; none of them can vanish."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from nssi_bayes.errors import NssiBayesError
from nssi_bayes.report.claims import Claim
from nssi_bayes.report.figures import Image

__all__ = [
    "BROKEN",
    "Part",
    "Section",
    "claims",
    "code",
    "figure",
    "guarded",
    "lines",
    "missing",
    "not_run",
    "switch",
    "tabulated",
    "text",
]

BROKEN: Final = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    NssiBayesError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Part:
    """One thing on the page.

    Parameters
    ----------
    kind : str
        How it is set: ``text``, ``lines``, ``prose``, ``claims``, ``table``, ``figure``, ``code``,
        ``switch``, ``missing`` (an artefact that should be there), ``not_run`` (one that nobody asked for).
    title : str
        A heading, or the caption of a figure.
    body : str
        Text, or the HTML of a table.
    items : sequence of str
        Lines of a list.
    told : sequence of Claim
        Sentences with their verdicts.
    choices : sequence of (str, sequence of Part)
        What a switch chooses among; without script all of it is shown.
    images : sequence of Image
        Panels of a figure.
    folded : bool
        Whether the reader has to open it.
    wide : bool
        Whether each panel takes the whole width.
    """

    kind: Literal[
        "text", "lines", "prose", "claims", "table", "figure", "code", "switch", "missing", "not_run",
    ]  # fmt: skip
    title: str = ""
    body: str = ""
    items: Sequence[str] = ()
    told: Sequence[Claim] = ()
    choices: Sequence[tuple[str, Sequence[Part]]] = ()
    images: Sequence[Image] = ()
    folded: bool = False
    wide: bool = False


@dataclass(frozen=True)
class Section:
    """A section of the page; `name` is its anchor."""

    name: str
    title: str
    parts: list[Part] = field(default_factory=list)


def text(body: str, *, title: str = "") -> Part:
    """Return a paragraph."""
    return Part("text", title=title, body=body)


def lines(items: Sequence[str], *, title: str = "") -> Part:
    """Return a list."""
    return Part("lines", title=title, items=items)


def claims(told: Sequence[Claim], *, title: str = "") -> Part:
    """Return sentences, each with its verdict."""
    return Part("claims", title=title, told=told)


def code(body: str, *, title: str = "", folded: bool = False) -> Part:
    """Return text that is set as it is, to be copied."""
    return Part("code", title=title, body=body, folded=folded)


def prose(paragraphs: Sequence[str], *, title: str = "") -> Part:
    """Return paragraphs to be copied."""
    return Part("prose", title=title, items=paragraphs)


def switch(title: str, choices: Sequence[tuple[str, Sequence[Part]]]) -> Part:
    """Return parts of which a reader looks at one after the other."""
    return Part("switch", title=title, choices=choices)


def not_run(body: str, *, command: str) -> Part:
    """Return a box that says what has not been run, and the command that runs it."""
    return Part("not_run", body=body, title=command)


def missing(body: str) -> Part:
    """Return a box that says what should stand here and does not."""
    return Part("missing", body=body)


def tabulated(title: str, make: Callable[[], str], *, folded: bool = False) -> Part:
    """Return a table, or a box that says why there is none."""
    try:
        return Part("table", title=title, body=make(), folded=folded)
    except BROKEN as error:
        return _failed(f"The table “{title}”", error)


def figure(
    title: str, make: Callable[[], Sequence[Image]], *, folded: bool = False, wide: bool = False
) -> Part:
    """Return a figure, or a box that says why there is none."""
    try:
        return Part("figure", title=title, images=make(), folded=folded, wide=wide)
    except BROKEN as error:
        return _failed(f"The figure “{title}”", error)


def guarded(section: Section, make: Callable[[], Sequence[Part]]) -> Section:
    """Return `section` with the parts that `make` gives, or with a box that says why it has none."""
    try:
        section.parts.extend(make())
    except BROKEN as error:
        section.parts.append(_failed(f"The section “{section.title}”", error))
    return section


def _failed(what: str, error: Exception) -> Part:
    reason = f"{type(error).__name__}: {error}"
    logging.getLogger(__name__).warning("%s could not be made (%s)", what, reason)
    return missing(f"{what} could not be made ({reason}).")
