"""Section 8: who is in the cohort, what is missing, and what was done to values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from nssi_bayes import names as n
from nssi_bayes.errors import ArtefactError
from nssi_bayes.report.audited import audited
from nssi_bayes.report.brain_views import coverage_map
from nssi_bayes.report.cells import Cells, suppressed, total
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.neural import measured
from nssi_bayes.report.parts import Part, figure, missing, tabulated, text
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import number, pretty

__all__ = ["cohort"]


def cohort(e: Evidence) -> list[Part]:
    """Return cohort flow, diagnoses and missingness, with small cells hidden."""
    flow = e.flow
    if flow is None:
        return [missing("The cohort flow is missing.")]
    smallest = e.params.min_cell
    gaps = flow["missing"]
    people = total(flow)
    steps = Cells(smallest, total=people)  # steps are nested, so one may give another away
    flowed = [{"step": s["step"], "people": steps.show(int(s["participants"]))} for s in flow["steps"]]
    shown = suppressed([int(d["participants"]) for d in flow["disorders"]], smallest, total=people)
    counted = [
        {
            "disorder": "none of these" if d["disorder"] == n.NONE_LEVEL else pretty(d["disorder"]),
            "people": count,
        }
        for d, count in zip(flow["disorders"], shown, strict=True)
    ]
    both = int(flow["overlap"]["participants_with_two_or_more"])
    counted.append({"disorder": "two or more of these", "people": Cells(smallest, total=people).show(both)})
    return [
        text(
            f"{flow['title']}. Nobody is dropped for missing a block. Counts of 1 to {smallest - 1} people, "
            "and those that would reveal one by subtraction, are hidden; 0 is shown."
        ),
        tabulated("From the tables to the model", lambda: table("flow", flowed)),
        tabulated("Diagnoses (a person may have several)", lambda: table("disorders", counted)),
        tabulated("Missing values by block", lambda: _missing_blocks(gaps, smallest)),
        tabulated("Missing values by variable", lambda: _missing(gaps, smallest), folded=True),
        *_images(flow, smallest),
        *measured(e),
        *_audited(e),
    ]


def _audited(e: Evidence) -> list[Part]:
    """Return the audit, unless the page leaves the lab: names of files and columns stay there."""
    if e.shareable:
        return [text("The audit, by file and column, stays in the lab.", title="Audit")]
    return [
        tabulated("What was changed or dropped on the way", lambda: _audit(e), folded=True),
        *audited(e),
    ]


def _images(flow: Mapping[str, Any], smallest: int) -> list[Part]:
    """Return coverage of the regions, and how motion goes with outcomes."""
    parts = []
    coverage = flow.get("coverage")
    if coverage:
        parts.append(figure("What the images cover", lambda: [coverage_map(coverage)], wide=True))
    motion = [row for row in flow.get("motion", []) if "r" in row]
    if motion:
        rows = [
            {
                "scan": pretty(row["motion"]), "outcome": pretty(row["outcome"]),
                "people": Cells(smallest).show(int(row["participants"])), "r|within sites": number(row["r"]),
                "r|90 %": f"{number(row['low'])} to {number(row['high'])}",
            }
            for row in motion
        ]  # fmt: skip
        parts.append(tabulated("Motion in the scanner and outcomes", lambda: table("motion", rows)))
    return parts


def _missing_blocks(gaps: Sequence[dict[str, Any]], smallest: int) -> str:
    rows = []
    for block in dict.fromkeys(g["block"] for g in gaps):
        counts = [int(g["missing"]) for g in gaps if g["block"] == block]
        rows.append(
            {
                "block": pretty(block),
                "variables": str(len(counts)),
                "complete variables": str(sum(c == 0 for c in counts)),
                "people missing the worst variable": Cells(smallest).show(max(counts)),
            }
        )
    return table("missing-blocks", rows)


def _missing(gaps: Sequence[dict[str, Any]], smallest: int) -> str:
    rows = []
    for g in gaps:
        seen, lost = int(g["observed"]), int(g["missing"])
        cells = Cells(smallest, total=seen + lost)
        rows.append(
            {
                "block": pretty(g["block"]), "variable": g["variable"], "observed": cells.show(seen),
                "missing": Cells(smallest, total=seen + lost).show(lost),
                "share missing": cells.share(lost, seen + lost),
            }
        )  # fmt: skip
    return table("missing", rows, group="block")


def _audit(e: Evidence) -> str:
    if e.audit is None:
        raise ArtefactError("the audit is missing", cure="run `dvc repro` to write it")
    counts = ("changed", "out_of_range", "dropped")
    rows = []
    for record in e.audit.to_dict("records"):
        values = {c: 0 if pd.isna(record[c]) else int(record[c]) for c in counts}
        if any(values.values()):
            shown = {pretty(c): Cells(e.params.min_cell).show(v) for c, v in values.items()}
            what = {k: str(record[k]) for k in ("column", "table", "rule")}
            rows.append({"stage": str(record["stage"]), **what, **shown})
    if not rows:
        rows = [{"stage": "all", "column": "nothing was changed or dropped", "table": "", "rule": ""}]
    return table("audit", rows, group="stage", words=("table", "rule"))
