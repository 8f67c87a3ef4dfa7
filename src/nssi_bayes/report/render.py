"""From artefacts to one page that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined

from nssi_bayes.report.claims import LABELS
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.parts import Section
from nssi_bayes.report.sections import page
from nssi_bayes.report.sections.answer import banner
from nssi_bayes.report.words import pretty, split_name

__all__ = ["asked", "render", "render_index", "render_page"]

_ASKED: Final = {
    "structure": "How many functions?",
    "heterogeneity": "What varies by disorder?",
    "outcome": "What goes with the outcome?",
}


def asked(question: str) -> str:
    """Return a question in words."""
    return _ASKED.get(question, pretty(question).capitalize())


def render(e: Evidence) -> str:
    """Return the whole page as HTML.

    Parameters
    ----------
    e : Evidence
        What the page rests on.

    Returns
    -------
    str
        One self-contained page, without any outside address.
    """
    study = (e.flow or {}).get("title", e.params.study)
    models = ", ".join(split_name(entry) for entry in e.entries)
    content = float((e.shown or {}).get("interval", e.params.interval))
    lead = (
        f"{study}. Question “{e.question}”; models: {models}. Intervals are {content:.0%} equal-tailed "
        "unless "
        "said otherwise."
    )
    return render_page(asked(e.question), page(e), lead=lead, banner=banner(e), synthetic=e.synthetic)


def render_page(
    title: str, sections: Sequence[Section], *, lead: str, banner: Sequence[str], synthetic: bool
) -> str:
    """Return sections as one self-contained page.

    Parameters
    ----------
    title : str
        Of the page.
    sections : sequence of Section
        In order.
    lead : str
        What stands under the title.
    banner : sequence of str
        What stands over it, in red.
    synthetic : bool
        Whether the people are invented.

    Returns
    -------
    str
        HTML.
    """
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            sections=sections,
            lead=lead,
            banner=banner,
            synthetic=synthetic,
            labels=LABELS,
            css=_resource("page.css"),
            script=_resource("page.js"),
        )
    )


def render_index(
    cards: Sequence[dict[str, Any]], *, lead: str, banner: Sequence[str], synthetic: bool
) -> str:
    """Return the page that leads to the reports of all questions.

    Parameters
    ----------
    cards : sequence of dict
        One a question, see ``index.html.j2``.
    lead, banner, synthetic : str, sequence of str, bool
        As of `render_page`.

    Returns
    -------
    str
        HTML; its links are relative.
    """
    return (
        _environment()
        .get_template("index.html.j2")
        .render(
            title="Questions of this study",
            cards=cards,
            lead=lead,
            banner=banner,
            synthetic=synthetic,
            css=_resource("page.css"),
            script="",
        )
    )


def _resource(name: str) -> str:
    return files("nssi_bayes.report").joinpath(name).read_text(encoding="utf-8")


def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_resource),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
