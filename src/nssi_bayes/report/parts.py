"""What a page is made of: sections of texts, tables and figures; none of them can vanish."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from nssi_bayes.errors import NssiBayesError
from nssi_bayes.report.figures import Image

__all__ = ["Part", "Section", "figure", "guarded", "lines", "missing", "tabulated", "text"]

_BROKEN: Final = (
    ArithmeticError, AttributeError, ImportError, LookupError, NssiBayesError, OSError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """One thing on the page.

    Parameters
    ----------
    kind : {"text", "lines", "table", "figure", "code", "missing"}
        How it is set.
    title : str
        A heading, or the caption of a figure.
    body : str
        Text, or the HTML of a table.
    items : sequence of str
        Lines of a list.
    images : sequence of Image
        Panels of a figure.
    folded : bool
        Whether the reader has to open it.
    wide : bool
        Whether each panel takes the whole width.
    """

    kind: Literal["text", "lines", "table", "figure", "code", "missing"]
    title: str = ""
    body: str = ""
    items: Sequence[str] = ()
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


def missing(body: str) -> Part:
    """Return a box that says what should stand here and does not."""
    return Part("missing", body=body)


def tabulated(title: str, make: Callable[[], str], *, folded: bool = False) -> Part:
    """Return a table, or a box that says why there is none."""
    try:
        return Part("table", title=title, body=make(), folded=folded)
    except _BROKEN as error:
        return _failed(f"The table “{title}”", error)


def figure(
    title: str, make: Callable[[], Sequence[Image]], *, folded: bool = False, wide: bool = False
) -> Part:
    """Return a figure, or a box that says why there is none."""
    try:
        return Part("figure", title=title, images=make(), folded=folded, wide=wide)
    except _BROKEN as error:
        return _failed(f"The figure “{title}”", error)


def guarded(section: Section, make: Callable[[], Sequence[Part]]) -> Section:
    """Return `section` with the parts that `make` gives, or with a box that says why it has none."""
    try:
        section.parts.extend(make())
    except _BROKEN as error:
        section.parts.append(_failed(f"The section “{section.title}”", error))
    return section


def _failed(what: str, error: Exception) -> Part:
    reason = f"{type(error).__name__}: {error}"
    logging.getLogger(__name__).warning("%s could not be made (%s)", what, reason)
    return missing(f"{what} could not be made ({reason}).")
