"""From artefacts to one page that needs no other file."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from jinja2 import Environment, FunctionLoader, StrictUndefined

from nssi_bayes.report import sections
from nssi_bayes.report.associations import SECTIONS
from nssi_bayes.report.audited import audited
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.neural import measured
from nssi_bayes.report.parts import Section, guarded, missing, text
from nssi_bayes.report.words import pretty, split_name

__all__ = ["page", "render"]

_ASKED: Final = {
    "structure": "How many functions?",
    "heterogeneity": "What varies by disorder?",
    "outcome": "What goes with the outcome?",
}


def page(e: Evidence) -> list[Section]:
    """Return the sections of the page, in order; none is left out because something is missing."""
    made = [
        guarded(Section("answer", "Answer"), lambda: sections.answered(e)),
        guarded(Section("comparison", "Comparison of the models"), lambda: sections.compared(e)),
        guarded(Section("cohort", "Cohort and missing values"), lambda: [*sections.cohort(e), *measured(e)]),
        guarded(Section("audit", "From the folder to the model"), lambda: audited(e)),
        guarded(Section("health", "Health of the fits"), lambda: sections.health(e)),
    ]
    absent = []
    for name, title, keys, build in SECTIONS:
        section = Section(name, title)
        if e.shown is None or e.main is None:
            section.parts.append(missing("There are no estimates to show."))
        elif not any(e.shown.get(key) for key in keys):
            absent.append(title.lower())
            continue
        else:
            guarded(section, lambda build=build: build(e, e.shown or {}))  # type: ignore[misc]
        made.append(section)
    if absent and e.main is not None:
        made[0].parts.append(
            text(f"{split_name(e.main)} has nothing to say about: {', '.join(absent)}.", title="Not here")
        )
    made.append(guarded(Section("provenance", "Provenance"), lambda: sections.provenance(e)))
    return made


def render(e: Evidence) -> str:
    """Return the whole page as HTML.

    Parameters
    ----------
    e : Evidence
        What the page rests on.

    Returns
    -------
    str
        One self-contained page, without script and without any outside address.
    """
    environment = Environment(
        loader=FunctionLoader(
            lambda name: files("nssi_bayes.report").joinpath(name).read_text(encoding="utf-8")
        ),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html.j2").render(
        title=_ASKED.get(e.question, pretty(e.question).capitalize()),
        question=e.question,
        study=(e.flow or {}).get("title", e.params.study),
        synthetic=e.synthetic,
        models=[split_name(entry) for entry in e.entries],
        banner=sections.banner(e),
        sections=page(e),
        interval=(e.shown or {}).get("interval", e.params.interval),
    )
