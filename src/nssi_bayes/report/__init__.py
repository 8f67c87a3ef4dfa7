"""Pages made from artefacts alone: what was found, how sure, and why to doubt it."""

from __future__ import annotations

import logging
from typing import Final, Literal

from nssi_bayes.errors import SpecError, did_you_mean
from nssi_bayes.spec import Params, check_question
from nssi_bayes.store import Layout, write_text

__all__ = ["run", "write_index"]

_LOG: Final = logging.getLogger(__name__)


def run(
    layout: Layout, params: Params, question: str, *, audience: Literal["research", "clinical"] = "research",
    against: str = "",
) -> None:  # fmt: skip
    """Write the page of one question, and the page that leads to all questions.

    A missing artefact, table or figure is named on the page; the page is written all the same.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        The run.
    question : str
        One of the run's questions.
    audience : {"research", "clinical"}
        ``clinical``: a short version in plain words, ``clinical.html`` beside the report.
    against : str
        A revision of Git: write what changed since then instead, ``against.html`` beside the report.

    Raises
    ------
    SpecError
        If the run does not ask `question`, or there is no such audience or revision.
    """
    from nssi_bayes.report.evidence import gather
    from nssi_bayes.report.render import render

    check_question(params, question, where=str(layout.params))
    if audience not in ("research", "clinical"):
        raise SpecError(
            f"there is no version for {audience!r}. {did_you_mean(audience, ('research', 'clinical'))}",
            where="--audience",
            cure="write research or clinical",
        )
    evidence = gather(layout, params, question)
    for problem in evidence.missing:
        _LOG.warning("%s: missing on the page: %s", question, problem)
    if against:
        from nssi_bayes.report.against import changed

        path, page = layout.report_for(question, "against"), changed(layout, evidence, against)
    elif audience == "clinical":
        from nssi_bayes.report.clinical import clinical

        path, page = layout.report_for(question, "clinical"), clinical(evidence)
    else:
        path, page = layout.report(question), render(evidence)
    write_text(path, page)
    _LOG.info("%s: wrote %s", question, path.name)
    if path == layout.report(question):
        write_index(layout, params)


def write_index(layout: Layout, params: Params) -> None:
    """Write the page that leads to the reports of all questions.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        The run.
    """
    from nssi_bayes.report.index import index

    write_text(layout.index, index(layout, params))
