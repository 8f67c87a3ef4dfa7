"""The page that leads to the reports of all questions, with the first sentences of each."""

from __future__ import annotations

from typing import Any, Final

from nssi_bayes.errors import NssiBayesError
from nssi_bayes.report.claims import Claim, answer
from nssi_bayes.report.parts import BROKEN
from nssi_bayes.report.render import asked, render_index
from nssi_bayes.report.words import split_name
from nssi_bayes.spec import JointSpec, Params, read_model
from nssi_bayes.store import Layout, read_json

__all__ = ["index"]

_FIRST: Final = 4


def index(layout: Layout, params: Params) -> str:
    """Return the page.

    Parameters
    ----------
    layout : Layout
        Where everything lies; a report that is not there yet says how to make it.
    params : Params
        The run.

    Returns
    -------
    str
        HTML with relative links.
    """
    flow = _read(layout.flow(params.study))
    synthetic = bool(flow.get("synthetic")) or params.study in params.synthetic_cohorts
    banner = ["Synthetic data. The people of this cohort are invented."] if synthetic else []
    cards = [_card(layout, params, question) for question in params.questions]
    banner += [problem for card in cards for problem in card["problems"]]
    lead = f"{flow.get('title', params.study)}. One report a question; each is one file that can be mailed."
    return render_index(cards, lead=lead, banner=banner, synthetic=synthetic)


def _card(layout: Layout, params: Params, question: str) -> dict[str, Any]:
    entries = params.models_of(question)
    problems = []
    for entry in entries:
        checks = _read(layout.checks(entry))
        if not checks:
            problems.append(f"{entry}: its checks are missing.")
        elif not checks.get("certified"):
            problems.append(f"{entry} is not certified.")
    estimates: dict[str, Any] = {}
    for entry in entries:
        if _joint(layout, entry):
            estimates = _read(layout.estimates(entry))
    told: list[tuple[str, list[Claim]]] = []
    try:
        told = answer(_read(layout.comparison_notes(question)).get("sentences", [])[:1], estimates or None)
    except BROKEN as error:
        problems.append(f"{question}: its sentences could not be made ({type(error).__name__}).")
    return {
        "question": question, "title": asked(question), "models": ", ".join(map(split_name, entries)),
        "there": layout.report(question).exists(), "command": f"uv run dvc repro report@{question}",
        "problems": problems, "told": [claim.text for _, found in told for claim in found][:_FIRST],
    }  # fmt: skip


def _read(path: Any) -> dict[str, Any]:
    try:
        return read_json(path)
    except NssiBayesError:
        return {}


def _joint(layout: Layout, entry: str) -> bool:
    try:
        return isinstance(read_model(layout, entry), JointSpec)
    except NssiBayesError:
        return False
