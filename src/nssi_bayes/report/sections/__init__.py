"""The sections of a page, in its order: a file each, with one function that returns what it shows.

A new section is a file here and a line in `SECTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.parts import Part, Section, guarded
from nssi_bayes.report.sections.answer import answer
from nssi_bayes.report.sections.brain import brain
from nssi_bayes.report.sections.cohort import cohort
from nssi_bayes.report.sections.comparison import comparison
from nssi_bayes.report.sections.criticism import criticism
from nssi_bayes.report.sections.guidelines import guidelines
from nssi_bayes.report.sections.history import history
from nssi_bayes.report.sections.methods import methods
from nssi_bayes.report.sections.outcome import outcome
from nssi_bayes.report.sections.profiles import profiles
from nssi_bayes.report.sections.provenance import provenance

__all__ = ["SECTIONS", "page"]

type Make = Callable[[Evidence], Sequence[Part]]

# anchor, title, what makes it
SECTIONS: Final[tuple[tuple[str, str, Make], ...]] = (
    ("answer", "The answer", answer),
    ("profiles", "Functions by disorder", profiles),
    ("brain", "Brain", brain),
    ("history", "Trauma and attachment", history),
    ("outcome", "Outcome, course, subtypes, pathways", outcome),
    ("comparison", "Comparison of the models", comparison),
    ("criticism", "Criticism", criticism),
    ("cohort", "Cohort, missing values, audit", cohort),
    ("methods", "Methods, ready to paste", methods),
    ("guidelines", "Reporting guidelines", guidelines),
    ("provenance", "Provenance", provenance),
)


def page(e: Evidence) -> list[Section]:
    """Return the sections of the page, in order; none is left out because something is missing."""
    return [guarded(Section(name, title), lambda make=make: make(e)) for name, title, make in SECTIONS]  # type: ignore[misc]
