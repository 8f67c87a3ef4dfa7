"""Section 7: whether the posteriors may be believed, and which conclusions move.

Every row of ``checks.json`` is shown. A row that belongs to one of `SLOTS`, by its ``group`` or by how its
name begins, stands there; a slot without a row says what would fill it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from nssi_bayes.report import criticism as attacked
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.invariance import invariance
from nssi_bayes.report.parts import BROKEN, Part, missing, not_run, switch, tabulated, text
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import number, pretty, split_name
from nssi_bayes.store import Numbers

__all__ = ["SLOTS", "Slot", "criticism", "slot_of"]

_WORDS: Final = {True: "passed", False: "FAILED", None: "informative"}


@dataclass(frozen=True)
class Slot:
    """A kind of criticism.

    Parameters
    ----------
    group : str
        ``group`` of a row of ``checks.json`` that belongs here.
    title : str
        Heading.
    says : str
        What it tells.
    begins : tuple of str
        How names of rows without a group begin.
    command : str
        What fills it.
    artefact : str, optional
        File with more than rows, and `shown` how it is told.
    whole : callable, optional
        What is told of all models of a question together; it also says what was not run.
    """

    group: str
    title: str
    says: str
    begins: tuple[str, ...]
    command: str
    artefact: Numbers | None = None
    shown: Callable[[str, Mapping[str, Any]], list[Part]] | None = None
    whole: Callable[[Evidence], list[Part]] | None = None


SLOTS: Final = (
    Slot(
        "gate",
        "Convergence",
        "Whether the draws are draws from the posterior.",
        (
            "chains",
            "draws",
            "rhat",
            "ess",
            "divergences",
            "e_bfmi",
            "person_rhat",
            "mcse",
            "tree",
            "energy",
            "modes",
            "switching",
        ),
        "uv run dvc repro check@{entry}",
    ),
    Slot(
        "predictive",
        "Predictive checks",
        "Whether data of new people that the model draws look like the data. A value is a two-sided "
        "probability, for all elements of a check at once; “not as the model draws” is said where it is "
        "under .05 after Holm's adjustment over the checks.",
        (
            "item_",
            "roi_",
            "edge_",
            "factor_",
            "outcome_",
            "missing",
            "pit",
            "ppc",
            "posterior_predictive",
            "score_",
            "sum_score",
            "category",
            "floor",
            "residual",
        ),
        "uv run dvc repro check@{entry}",
        "predictive_checks",
        attacked.predicted,
    ),
    Slot(
        "prior_predictive",
        "Prior predictive check",
        "What cohorts the priors expect before any data.",
        ("prior_predictive",),
        "uv run nssi-bayes build {entry} --prior-predictive",
        "prior_predictive",
        attacked.prior_expects,
    ),
    Slot(
        "calibration",
        "Calibration",
        "Whether intervals cover what they say, in cohorts drawn from the model.",
        ("calibration", "sbc", "coverage", "recovery"),
        "uv run nssi-bayes calibrate {entry} --replications 200",
        "calibration",
        attacked.calibrated,
    ),
    Slot(
        "sensitivity",
        "Sensitivity: which conclusions move",
        "What a conclusion owes to a prior, to a block of the data, or to a way of treating missing values.",
        (
            "sensitivity",
            "power",
            "psense",
            "contraction",
            "prior_scale",
            "mnar",
            "delta",
            "without",
            "informed",
        ),
        "uv run nssi-bayes sensitivity {entry}",
        "sensitivity",
        attacked.sensitive,
    ),
    Slot(
        "bias",
        "Item bias and invariance",
        "Whether items mean the same in every disorder.",
        ("bias", "invariance", "dif"),
        "",
        whole=invariance,
    ),
)
_OTHER: Final = Slot("other", "Further checks", "What belongs to none of the kinds above.", (), "")


def slot_of(row: Mapping[str, Any]) -> Slot:
    """Return where a row of ``checks.json`` stands; none is left out."""
    for slot in SLOTS:
        if row.get("group") == slot.group:
            return slot
    for slot in SLOTS:
        if not row.get("group") and str(row["name"]).startswith(slot.begins):
            return slot
    return _OTHER


def criticism(e: Evidence) -> list[Part]:
    """Return how each posterior was drawn, every check by kind, and what has not been run."""
    parts = [
        text(
            "A posterior is certified when every listed quantity has rank-normalised R-hat under 1.01 and "
            "enough effective draws, without divergences and with E-BFMI over .3. An “informative” check has "
            "no verdict."
        ),
        tabulated("Sampling", lambda: _sampling(e)),
    ]
    parts += [
        missing(f"The checks of {split_name(entry)} are missing.")
        for entry in e.entries
        if entry not in e.checks
    ]
    for slot in (*SLOTS, _OTHER):
        parts += _slot(e, slot)
    return parts


def _slot(e: Evidence, slot: Slot) -> list[Part]:
    rows = [
        {**row, "model": entry}
        for entry, checks in e.checks.items()
        for row in checks["checks"]
        if slot_of(row) is slot and not _told(e, slot, entry)
    ]
    if not rows and slot is _OTHER:
        return []
    parts = [text(slot.says, title=slot.title)]
    if rows:
        worst = [r for r in rows if r["passed"] is False]
        parts.append(
            tabulated(
                "" if worst or slot.group != "gate" else f"{len(rows)} checks, all passed",
                lambda: _rows(slot, rows),
                folded=not worst and slot.group == "gate",
            )
        )
        parts += [
            tabulated(f"{pretty(r['name'])}, {split_name(r['model'])}", partial(_own, slot, r), folded=True)
            for r in rows
            if r.get("table")
        ]
    told = [entry for entry in e.checks if _told(e, slot, entry) and _applies(e, slot, entry)]
    if told:
        choices = [(split_name(t), _more(e, slot, t)) for t in told]
        parts += choices[0][1] if len(choices) == 1 else [switch("Model", choices)]
    if slot.whole is not None:
        return [*parts, *_together(e, slot)]
    with_rows = {r["model"] for r in rows} | set(told)
    without = [entry for entry in e.checks if entry not in with_rows and _applies(e, slot, entry)]
    if without:
        named = ", ".join(split_name(entry) for entry in without)
        parts.append(
            not_run(f"{slot.title}: not run for {named}.", command=slot.command.format(entry=without[0]))
        )
    return parts


def _told(e: Evidence, slot: Slot, entry: str) -> bool:
    """Return whether a model has the file of a slot, which says more than its rows."""
    return slot.artefact is not None and slot.artefact in e.attacks.get(entry, {})


def _more(e: Evidence, slot: Slot, entry: str) -> list[Part]:
    """Return what the file of a slot says of one model, or a box that says why it cannot be told."""
    if slot.artefact is None or slot.shown is None:
        return []
    try:
        return slot.shown(split_name(entry), e.attacks[entry][slot.artefact])
    except BROKEN as error:
        return [missing(f"{slot.title} of {split_name(entry)} cannot be shown ({type(error).__name__}).")]


def _together(e: Evidence, slot: Slot) -> list[Part]:
    """Return what a slot says of all models, or a box that says why it cannot be told."""
    if slot.whole is None:
        return []
    try:
        return slot.whole(e)
    except BROKEN as error:
        return [missing(f"{slot.title} cannot be shown ({type(error).__name__}).")]


def _applies(e: Evidence, slot: Slot, entry: str) -> bool:
    """Return whether a kind of check is made for a kind of model."""
    if slot is _OTHER:
        return False
    return slot.group == "gate" or e.checks[entry].get("kind", "joint") == "joint"


def _rows(slot: Slot, rows: Sequence[Mapping[str, Any]]) -> str:
    ordered = sorted(rows, key=lambda r: r["passed"] is not False)  # what failed stands first
    shown = [
        {
            "model": split_name(r["model"]),
            "check": pretty(r["name"]),
            "verdict": _WORDS[r["passed"]],
            "value": _plain(r.get("value")),
            "limit": _plain(r.get("limit")),
            "what it is": str(r.get("text", "")),
        }
        for r in ordered
    ]
    return table(f"checks-{slot.group}", shown, group="model", words=("verdict", "what it is"))


def _own(slot: Slot, row: Mapping[str, Any]) -> str:
    """Return the table that a check brings: a list of mappings."""
    shown = [
        {pretty(str(k)): _plain(v) if isinstance(v, int | float) else str(v) for k, v in line.items()}
        for line in row["table"]
    ]
    words = [k for k, v in row["table"][0].items() if isinstance(v, str)]
    return table(f"{slot.group}-{row['model']}-{row['name']}", shown, words=[pretty(k) for k in words])


def _sampling(e: Evidence) -> str:
    rows = []
    for entry, checks in e.checks.items():
        s = checks["sampling"]
        draws = f"{s.get('chains', '–')} × {s.get('draws', '–')}"
        worst = (s.get("worst") or [{}])[0].get("quantity", "–")
        rows.append(
            {
                "model": split_name(entry),
                "certified": "yes" if checks["certified"] else "NO",
                "chains × draws": draws + (", rerun" if s.get("rerun") else ""),
                "divergences": str(s.get("divergences", "–")),
                "largest R-hat": number(s.get("max_rhat"), 3),
                "least ESS|bulk": number(s.get("min_ess_bulk"), 0),
                "least ESS|tail": number(s.get("min_ess_tail"), 0),
                "least E-BFMI": number(s.get("min_ebfmi")),
                "hardest quantity": worst,
            }
        )
    return table("sampling", rows, words=("hardest quantity",))


def _plain(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return "–"
    return number(value, 0) if float(value).is_integer() else number(value, 3)
