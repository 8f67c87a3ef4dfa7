"""What a paper on one question has to cite."""

from __future__ import annotations

from nssi_bayes.report.citations import bibtex, cited
from nssi_bayes.report.evidence import gather
from nssi_bayes.spec import Params, check_question
from nssi_bayes.store import Layout

__all__ = ["cite"]


def cite(layout: Layout, params: Params, question: str) -> str:
    """Return BibTeX of the software, the methods and the instruments of a question.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        The run.
    question : str
        One of its questions.

    Returns
    -------
    str
        One entry a paragraph.

    Raises
    ------
    SpecError
        If the run does not ask `question`.
    """
    check_question(params, question, where=str(layout.params))
    e = gather(layout, params, question)
    forms = [(name, i.reference.citation, i.reference.doi) for name, i in e.instruments.items()]
    return bibtex(cited(e), instruments=forms)
