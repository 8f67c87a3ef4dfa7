"""Section 10: items of reporting guidelines, each met, partial or waiting for the authors."""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import partial
from typing import Final, Literal

from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.items import Item, items
from nssi_bayes.report.parts import Part, code, tabulated, text
from nssi_bayes.report.sections.criticism import SLOTS, slot_of

__all__ = ["RULES", "guidelines", "state"]

type State = Literal["met", "partial", "needs author text"]

_NAMES: Final = {
    "BARG": "Bayesian analysis reporting guidelines",
    "WAMBS": "when to worry and how to avoid the misuse of Bayesian statistics",
    "COBIDAS": "best practices in MRI data analysis",
    "STROBE": "observational studies",
}


def guidelines(e: Evidence) -> list[Part]:
    """Return every item with its state and place; none passes silently."""
    counts = {name: [state(e, i)[0] for i in items() if i.guideline == name] for name in _NAMES}
    summary = "; ".join(
        f"{name}: {found.count('met')} met, {found.count('partial')} partial, "
        f"{found.count('needs author text')} need author text"
        for name, found in counts.items()
    )
    waiting = [i.key for i in items() if state(e, i)[0] == "needs author text"]
    parts = [
        text(
            f"{summary}. Texts of the authors are read from reports/{e.question}/author.yaml, by the keys "
            "below; "
            "“met” means that this page holds what is asked for, not that it is good."
        ),
        *(tabulated(f"{name}: {_NAMES[name]}", partial(_table, e, name), folded=True) for name in _NAMES),
    ]
    if waiting:
        draft = "texts:\n" + "\n".join(f'  {key}: ""' for key in waiting)
        parts.append(code(draft, title="A draft of author.yaml for what is waiting", folded=True))
    return parts


def state(e: Evidence, item: Item) -> tuple[State, str]:
    """Return how far an item is met, and why.

    Parameters
    ----------
    e : Evidence
        What the page rests on.
    item : Item
        Of a guideline.

    Returns
    -------
    tuple of (str, str)
        ``met``, ``partial`` or ``needs author text``, and a reason.
    """
    said = e.author.get(item.key)
    own, why = RULES[item.rule](e)
    if said is None:
        return own, why
    return "met", f"{said}" if own == "needs author text" else f"{why} The authors: {said}"


def _table(e: Evidence, name: str) -> str:
    rows = []
    for item in items():
        if item.guideline != name:
            continue
        found, why = state(e, item)
        rows.append(
            f'<tr><th scope="row">{html.escape(item.asks)}</th><td class="state '
            f'{found.split()[0]}">{found}</td>'
            f'<td>{html.escape(why)}</td><td><a href="#{item.place}">{item.place}</a></td>'
            f"<td><code>{item.key}</code></td></tr>"
        )
    return (
        f'<table class="items" id="items-{name.lower()}"><thead><tr><th scope="col">item</th><th '
        'scope="col">state'
        '</th><th scope="col">what there is</th><th scope="col">where</th><th '
        'scope="col">key</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _has(e: Evidence, group: str, *names: str) -> bool:
    """Return whether the shown model has checks of a group, or any whose name begins so, or its file."""
    files = {slot.artefact for slot in SLOTS if slot.group == group and slot.artefact and not names}
    if files & set(e.attacks.get(e.main or "", {})):
        return True
    rows = e.checks.get(e.main or "", {}).get("checks", [])
    return any(slot_of(r).group == group and (not names or str(r["name"]).startswith(names)) for r in rows)


def _met(condition: object, why: str, *, otherwise: str, half: bool = False) -> tuple[State, str]:
    if condition:
        return "met", why
    return ("partial" if half else "needs author text"), otherwise


def _gate(e: Evidence) -> tuple[State, str]:
    if not e.checks:
        return "needs author text", "The checks are missing."
    if e.uncertified:
        return "partial", "Printed, but not every posterior is certified."
    return "met", "All posteriors are certified; the worst quantities are named."


def _flow(e: Evidence) -> tuple[State, str]:
    if e.flow is None:
        return "needs author text", "The cohort flow is missing."
    return "partial", "Flow and missing values by variable; characteristics of the people are the authors'."


def _imaging(e: Evidence) -> dict[str, object]:
    return dict((e.flow or {}).get("imaging") or {})


RULES: Final[dict[str, Callable[[Evidence], tuple[State, str]]]] = {
    "author": lambda e: ("needs author text", "Only the authors can say this."),
    "always": lambda e: ("met", "Printed."),
    "estimates": lambda e: _met(
        e.shown,
        "By rule from the posterior, with the kind of interval.",
        otherwise="The estimates are missing.",
    ),
    "spec": lambda e: _met(
        e.main in e.models,
        "Written from the specification, which is printed.",
        otherwise="There is no specification of a joint model.",
    ),
    "priors": lambda e: _met(
        e.main in e.priors, "Every prior with its unit and source.", otherwise="There are no priors to print."
    ),
    "gate": _gate,
    "doubled": lambda e: _met(
        _has(e, "gate", "doubled"),
        "Run with twice the draws.",
        half=True,
        otherwise="Judged by R-hat and effective draws; a run with twice the draws is not here.",
    ),
    "prior_predictive": lambda e: _met(
        _has(e, "prior_predictive"),
        "In section Criticism.",
        half=True,
        otherwise="Prior and posterior scales stand side by side; no prior predictive check of the data.",
    ),
    "posterior_predictive": lambda e: _met(
        _has(e, "predictive"), "In section Criticism.", otherwise="There is no posterior predictive check."
    ),
    "shape": lambda e: (
        "partial",
        "Means and intervals; agreement of the chains speaks against several modes.",
    ),
    "weights": lambda e: _met(
        e.notes,
        "Stacking weights, which are no probabilities of models; none are given.",
        otherwise="The comparison is missing.",
    ),
    "rope": lambda e: (
        "partial",
        f"±{e.params.rope:g} sd, a small effect by convention; why it is small here is the authors'.",
    ),
    "sensitivity": lambda e: _met(
        _has(e, "sensitivity"),
        "In section Criticism.",
        half=True,
        otherwise="Contraction of the scales is printed; other priors have not been tried.",
    ),
    "imaging_flow": lambda e: _met(
        _imaging(e),
        "People with images, coverage; reasons are in the audit.",
        half=e.flow is not None,
        otherwise="No images are in this cohort.",
    ),
    "imaging_settings": lambda e: _met(
        _imaging(e),
        "Every setting that decides the numbers.",
        half=e.flow is not None,
        otherwise="No images are in this cohort.",
    ),
    "imaging_partial": lambda e: (
        "partial",
        "What was read from the maps; how they were made is the authors'.",
    ),
    "atlas": lambda e: _met(
        _imaging(e),
        "Atlas, template and coordinates.",
        half=e.flow is not None,
        otherwise="No images are in this cohort.",
    ),
    "instruments": lambda e: _met(
        e.instruments and not e.unverified,
        "Instruments with their sources.",
        half=bool(e.instruments),
        otherwise="A scoring key is not verified, or instruments are missing.",
    ),
    "flow": _flow,
    "outcome": lambda e: _met(
        (e.shown or {}).get("outcome"),
        "Associations with the outcome.",
        half=True,
        otherwise="This question has no outcome; the flow counts who has one.",
    ),
    "comparison": lambda e: _met(
        e.notes, "Comparison of the models.", otherwise="The comparison is missing."
    ),
}
