"""One page per question, made from artefacts alone: what was found, how sure, and why to doubt it."""

from __future__ import annotations

import logging

from nssi_bayes.errors import SpecError, did_you_mean
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, write_text

__all__ = ["run"]


def run(layout: Layout, params: Params, question: str) -> None:
    """Write ``report.html`` of one question.

    A missing artefact, table or figure is named on the page; the page is written all the same.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        The run.
    question : str
        One of the run's questions.

    Raises
    ------
    SpecError
        If the run does not ask `question`.
    """
    from nssi_bayes.report.evidence import gather
    from nssi_bayes.report.render import render

    if question not in params.questions:
        raise SpecError(
            f"question {question!r} is unknown. {did_you_mean(question, params.questions)}",
            where=str(layout.params),
            cure="mend the name, or add it to `questions`",
        )
    evidence = gather(layout, params, question)
    for problem in evidence.missing:
        logging.getLogger(__name__).warning("%s: missing on the page: %s", question, problem)
    write_text(layout.report(question), render(evidence))
    logging.getLogger(__name__).info("%s: wrote %s", question, layout.report(question).name)
