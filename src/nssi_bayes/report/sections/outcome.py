"""Section 5: the outcome, and course, subtypes and pathways where they are fitted."""

from __future__ import annotations

from typing import Final

import numpy as np

from nssi_bayes.report.claims import LABELS, finding, judged
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.figures import intervals
from nssi_bayes.report.panels import Row, Rows, dot, limits, panels, span
from nssi_bayes.report.parts import Part, figure, missing, tabulated, text
from nssi_bayes.report.pathways import pathways
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import number, outcome_of, pretty, probability, split_name
from nssi_bayes.spec import JointSpec

__all__ = ["outcome"]

_NOT_YET: Final = "Course over waves, and subtypes: this version has no such models."


_DOUBT: Final = (
    " Too many people are over the k-hat limit for these scores to be trusted; the order of the terms does "
    "not rest on them."
)


def outcome(e: Evidence) -> list[Part]:
    """Return associations with the outcome; what is not fitted is named."""
    if e.shown is None:
        return [missing("There are no estimates to show.")]
    estimates = e.shown
    if estimates["outcome"]:
        dots = [dot(r, _term(r), note=probability(r["p_positive"])) for r in estimates["outcome"]]
        low, high = limits(estimates["outcome"])
        ends = (low, high + 0.16 * (high - low))
        parts = [
            figure(
                "Associations with the outcome",
                lambda: [
                    intervals(
                        "outcome",
                        dots,
                        unit=_unit(estimates["outcome"]),
                        limits=ends,
                        note="P(> 0)",
                        rope=estimates["rope"],
                    )
                ],
            ),
            tabulated("Associations with the outcome, in numbers", lambda: _table(estimates)),
            *_projected(estimates.get("projection") or [], doubted=_doubted(e)),
        ]
        parts += _by_disorder(estimates)
        if "ratio" in estimates["outcome"][0]:
            parts.append(text(_ratios(estimates)))
        parts += _pathways(e, estimates)
    else:
        parts = [text(f"{split_name(str(e.main))} has no outcome: this question does not ask about one.")]
    parts.append(text(_NOT_YET))
    return parts


def _pathways(e: Evidence, estimates: Row) -> list[Part]:
    """Return pathways, unless they tell of few people on a page that is shared."""
    model = e.models.get(str(e.main))
    asked = model.pathways if isinstance(model, JointSpec) else ()
    if e.shareable and asked and not estimates.get("pathways"):
        return [text("Pathways are not shared: they would tell of few people.")]
    return pathways(estimates, asked)


def _by_disorder(estimates: Row) -> list[Part]:
    """Return slopes on functions of each disorder, where they differ."""
    rows = estimates.get("outcome_by_disorder") or []
    if not rows:
        return []
    unit = _unit(estimates["outcome"])
    each = [{**r, "panel": r["function"] + (f", {outcome_of(r)}" if "part" in r else "")} for r in rows]
    shown = [
        {
            "function": pretty(r["panel"]), "disorder": pretty(r["disorder"]), "mean": number(r["mean"]),
            "interval": span(r), "P(> 0)": probability(r["p_positive"]),
        }
        for r in each
    ]  # fmt: skip
    return [
        figure(
            "Associations of functions with the outcome, by disorder",
            lambda: panels(each, lambda r: dot(r, pretty(r["disorder"])), unit=unit, key="panel"),
        ),
        tabulated(
            "By disorder, in numbers",
            lambda: table("outcome by disorder", shown, group="function"),
            folded=True,
        ),
    ]


def _doubted(e: Evidence) -> bool:
    """Return whether the comparison says that scores of this question are not to be trusted."""
    return e.table is not None and bool(e.table["verdict"].str.startswith("not trusted").any())


def _projected(rows: list[Row], *, doubted: bool = False) -> list[Part]:
    """Return which terms predict the outcome nearly as well as all do."""
    if not rows:
        return []
    chosen = next((r for r in rows if r["suggested"]), None)
    if chosen is None:
        told = "No regression of these terms predicts as well as the joint model."
    else:
        names = [pretty(r["term"]) for r in rows[1 : chosen["size"] + 1]]
        told = (
            "A prediction from nothing but the mean is not told from that of the joint model."
            if not names
            else f"With {', '.join(names)} the prediction is not told from that of the joint model."
        )
    shown = [
        {
            "term": ("" if r["size"] == 0 else "+ ") + pretty(r["term"]),
            "loss, nats a person": number(r["loss"], 3),
            "elpd less the joint model's": number(r["elpd_diff"]),
            "SE": number(r["diff_se"]),
            "enough": ("yes" if r["enough"] else "no") + (", the smallest" if r["suggested"] else ""),
        }
        for r in rows
    ]
    return [
        text(
            f"{told} Regressions of fewer terms are fitted to what the joint model predicts, functions and "
            "factors at their expectation given items and scores; the term that loses least is added next, "
            "and people are scored left out. Enough: not worse by more than 4 elpd and 2 standard errors. "
            "That a term is not needed is no evidence that it is not associated: another may stand for it."
            + (_DOUBT if doubted else ""),
            title="Which terms the prediction needs",
        ),
        tabulated("Terms by what they add", lambda: table("projection", shown, words=("enough",))),
    ]


def _ratios(estimates: Row) -> str:
    """Say what a ratio is, and what the region of practical equivalence is on its scale."""
    ends = [number(float(np.exp(sign * estimates["rope"]))) for sign in (-1, 1)]
    kind = estimates["outcome"][0]["ratio"]["kind"]
    what = "rates (counts per unit of exposure)" if kind == "rate ratio" else "odds"
    hurdle = ""
    if "part" in estimates["outcome"][0]:
        what = "odds of any, or rates (counts per unit of exposure) among those with any,"
        hurdle = (
            " Rates are those of the distribution whose zeros are cut off: the mean of those with any, who "
            "have one at least, differs by less."
        )
    return (
        f"A ratio compares {what} between people who differ by one unit of the term and in nothing else that "
        f"the model holds; it is an association. Ratios of {ends[0]} to {ends[1]} are practically none."
    ) + hurdle


def _term(row: Row) -> str:
    """Name a term, and the part of the outcome where there are two."""
    return f"{pretty(row['term'])}{', ' + outcome_of(row) if 'part' in row else ''}"


def _table(estimates: Row) -> str:
    content, rope = estimates["interval"], estimates["rope"]
    shown = [
        {
            "term": _term(r),
            **(
                {
                    "ratio" if "part" in r else r["ratio"]["kind"]: number(r["ratio"]["median"]),
                    "its interval": span(r["ratio"]),
                }
                if "ratio" in r
                else {}
            ),
            "mean": number(r["mean"]),
            "interval": span(r),
            "P(> 0)": probability(r["p_positive"]),
            f"P(|·| > {number(rope)})": probability(r.get("p_over_rope")),
            "verdict": LABELS[judged(r, content=content)],
            "in words": finding(r, rope=rope, content=content),
        }
        for r in estimates["outcome"]
    ]
    return table("outcome", shown, words=("verdict", "in words"))


def _unit(rows: Rows) -> str:
    ratio = rows[0].get("ratio")
    if ratio is None:
        return "sd of the outcome per unit of the term"
    return f"log of the {'ratio' if 'part' in rows[0] else ratio['kind']} per unit of the term"
