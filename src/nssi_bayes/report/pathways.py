"""Pathways: what of an association with the outcome goes with functions or activation of the brain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nssi_bayes.report.claims import LABELS, finding, judged
from nssi_bayes.report.panels import Row, Rows, by, dot, panels, span
from nssi_bayes.report.parts import Part, figure, missing, tabulated, text
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import number, pretty, probability
from nssi_bayes.spec.pathways import ARROW, Pathway

__all__ = ["pathways"]

_NOT_ASKED: Final = (
    "This model names no pathways to the outcome: `pathways` in its file lists some, each as a factor, what "
    "it goes through and the outcome."
)
_OTHERS: Final = (
    "The model's file names other pathways than those that were told of its posterior: `nssi-bayes check` "
    "tells these."
)
_ASSUMED: Final = (
    "These are associations, split by a model. That the order of the arrows is the order of things, and that "
    "nothing unobserved goes with two of them, are assumptions of a study, which no data of one occasion can "
    "test. Between functions and regions the data do not choose a direction at all: the model's file does. "
    "In all: what the outcome differs by where the first is one unit higher and what the model puts between "
    "the two goes with it, while diagnoses, other factors and, where the first is a function, other "
    "functions are held. Directly: with all held that stands between. Through: along these steps and no "
    "others; ways that are not named are in the whole. Averages over the people who have the outcome, at "
    "their own diagnoses, covariates and sites. What goes through something is a product of slopes, on which "
    "no region of practical equivalence is laid."
)
_NOT_ADDED: Final = " On this scale the ways do not add up to the whole."
_LEFT: Final = (
    "If something unobserved went with both the outcome and the last step before it, so that what is left of "
    "the outcome correlated as much as on the left with what of that step the others do not tell, this is "
    "what would remain of the way (medians). At 0 nothing does. The data fit each line equally well"
)
_TWO: Final = "the outcome has two residuals"
_NEARLY: Final = ", as far as the residual of such an outcome is that of a normal variable"


def pathways(estimates: Row, asked: Sequence[Pathway]) -> list[Part]:
    """Return pathways to the outcome, by disorder, and under what was not observed.

    Parameters
    ----------
    estimates : mapping
        As ``estimates.json``, of a model with an outcome.
    asked : sequence of tuple of str
        Those of the model's file.

    Returns
    -------
    list of Part
        A note where none was asked for, or where others were told than are asked for.
    """
    rows = estimates.get("pathways") or []
    if {ARROW.join(path) for path in asked} != {r["pathway"] for r in rows if r["way"] == "indirect"}:
        return [missing(_OTHERS)]
    if not rows:
        return [text(_NOT_ASKED)]
    scale = str(rows[0]["scale"])
    unit = f"{scale} per unit of the first"
    added = "" if scale.startswith("sd") else _NOT_ADDED
    started = [{**r, "start": _start(r)} for r in rows]
    parts = [
        figure(
            "Pathways to the outcome",
            lambda: panels(
                started,
                lambda r: dot(r, _way(r), note=probability(r["p_positive"])),
                unit=unit,
                key="start",
                note="P(> 0)",
            ),
        ),
        tabulated("Pathways, in numbers", lambda: _table(rows, estimates)),
        text(_ASSUMED + added),
    ]
    return [*parts, *_left(estimates, unit), *_by_disorder(estimates, unit)]


def _left(estimates: Row, unit: str) -> list[Part]:
    """Return what remains of each pathway under a residual correlation."""
    rows = estimates.get("pathways_by_correlation") or []
    every = [r["pathway"] for r in estimates["pathways"] if r["way"] == "indirect"]
    without = [_pretty(name) for name in every if name not in {r["pathway"] for r in rows}]
    untold = ""
    if without:
        untold = f" Not told of {'; '.join(without)}, where other steps tell all of the last or {_TWO}."
    heading = "If something unobserved went with both"
    if not rows:
        return [text(untold.strip(), title=heading)]
    exact = estimates["pathways"][0]["scale"].startswith("sd")
    middle = [{**r, "mean": r["median"]} for r in rows]
    return [
        text(f"{_LEFT}{'' if exact else _NEARLY}.{untold}", title=heading),
        figure(
            "Pathways by residual correlation of the outcome and the step before it",
            lambda: panels(
                _titled(middle), lambda r: dot(r, number(r["correlation"], 1)), unit=unit, key="panel"
            ),
            folded=True,
        ),
        tabulated("From which residual correlation on", lambda: _turns(middle, estimates["interval"])),
    ]


def _turns(rows: Rows, content: float) -> str:
    """Return the table of the residual correlations nearest to 0 at which a way has no sign, or another."""
    shown = []
    for name, own in by(rows, "pathway").items():
        verdicts = {r["correlation"]: judged(r, content=content) for r in own}
        sign = {r["correlation"]: r["p_positive"] > 0.5 for r in own}
        told = verdicts[0.0] == "direction"
        lost = [r for r in verdicts if verdicts[r] != "direction"]
        turned = [r for r in sign if sign[r] != sign[0.0]]
        shown.append(
            {
                "pathway": _pretty(name),
                "its direction is not settled from": _nearest(lost) if told else "it is not, at 0 already",
                "its median has the other sign from": _nearest(turned),
            }
        )
    return table("pathway-correlations", shown, words=tuple(shown[0])[1:])


def _nearest(correlations: list[float]) -> str:
    if not correlations:
        return "none from −0.5 to 0.5"
    return number(min(correlations, key=abs), 1)


def _by_disorder(estimates: Row, unit: str) -> list[Part]:
    """Return pathways of the people who have each disorder, where slopes differ."""
    rows = [r for r in estimates.get("pathways_by_disorder") or [] if not r.get("few")]
    if not rows:
        return []
    return [
        figure(
            "Pathways to the outcome, by disorder",
            lambda: panels(_titled(rows), lambda r: dot(r, pretty(r["disorder"])), unit=unit, key="panel"),
        )
    ]


def _titled(rows: Rows) -> list[Row]:
    return [{**r, "panel": _pretty(r["pathway"])} for r in rows]


def _table(rows: Rows, estimates: Row) -> str:
    content = estimates["interval"]
    shown = [
        {
            "from": _start(r),
            "way": _way(r),
            "mean": number(r["mean"]),
            "interval": span(r),
            "P(> 0)": probability(r["p_positive"]),
            "verdict": LABELS[judged(r, content=content)],
            "in words": finding(r, rope=estimates["rope"] if "p_over_rope" in r else None, content=content),
        }
        for r in rows
    ]
    return table("pathways", shown, group="from", words=("way", "verdict", "in words"))


def _start(row: Row) -> str:
    return pretty(row["pathway"].split(ARROW)[0])


def _way(row: Row) -> str:
    """Say which way a row is of: all, none between, or through what."""
    if row["way"] != "indirect":
        return {"total": "in all", "direct": "directly"}[row["way"]]
    return f"through {', then '.join(map(pretty, row['pathway'].split(ARROW)[1:-1]))}"


def _pretty(name: str) -> str:
    return pretty(name).replace(ARROW, " → ")
