"""Section 8: who is in the cohort, what is missing, and what was done to values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from nssi_bayes import names as n
from nssi_bayes.errors import ArtefactError
from nssi_bayes.report.audited import audited
from nssi_bayes.report.brain_views import coverage_map
from nssi_bayes.report.cells import Cells, cells_of_flow, suppressed, total
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
    cells, steps = cells_of_flow(flow, smallest)
    flowed = [{"step": s["step"], "people": count} for s, count in zip(flow["steps"], steps, strict=True)]
    pairs = [cells.pair(int(g["observed"]), int(g["missing"])) for g in gaps]
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
        tabulated("Missing values by block", lambda: _missing_blocks(gaps, pairs)),
        tabulated("Missing values by variable", lambda: _missing(gaps, pairs, cells), folded=True),
        *_images(flow, cells),
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


def _images(flow: Mapping[str, Any], cells: Cells) -> list[Part]:
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
                "people": cells.show(int(row["participants"])), "r|within sites": number(row["r"]),
                "r|90 %": f"{number(row['low'])} to {number(row['high'])}",
            }
            for row in motion
        ]  # fmt: skip
        parts.append(tabulated("Motion in the scanner and outcomes", lambda: table("motion", rows)))
    return parts


def _missing_blocks(gaps: Sequence[dict[str, Any]], pairs: Sequence[tuple[str, str]]) -> str:
    rows = []
    for block in dict.fromkeys(g["block"] for g in gaps):
        counts = [
            (int(g["missing"]), lost) for g, (_, lost) in zip(gaps, pairs, strict=True) if g["block"] == block
        ]
        rows.append(
            {
                "block": pretty(block),
                "variables": str(len(counts)),
                "complete variables": str(sum(count == 0 for count, _ in counts)),
                "people missing the worst variable": max(counts)[1],
            }
        )
    return table("missing-blocks", rows)


def _missing(gaps: Sequence[dict[str, Any]], pairs: Sequence[tuple[str, str]], cells: Cells) -> str:
    rows = []
    for g, (seen, lost) in zip(gaps, pairs, strict=True):
        share = cells.share(int(g["missing"]), int(g["observed"]) + int(g["missing"]))
        rows.append(
            {
                "block": pretty(g["block"]), "variable": g["variable"], "observed": seen, "missing": lost,
                "share missing": share if lost.isdigit() else "–",
            }
        )  # fmt: skip
    return table("missing", rows, group="block")


def _audit(e: Evidence) -> str:
    if e.audit is None:
        raise ArtefactError("the audit is missing", cure="run `dvc repro` to write it")
    counts = ("changed", "out_of_range", "dropped")
    cells = cells_of_flow(e.flow or {}, e.params.min_cell)[0]
    rows = []
    for record in e.audit.to_dict("records"):
        values = {c: 0 if pd.isna(record[c]) else int(record[c]) for c in counts}
        if any(values.values()):
            shown = {pretty(c): cells.values(v, 1) for c, v in values.items()}
            what = {k: str(record[k]) for k in ("column", "table", "rule")}
            rows.append({"stage": str(record["stage"]), **what, **shown})
    if not rows:
        rows = [{"stage": "all", "column": "nothing was changed or dropped", "table": "", "rule": ""}]
    return table("audit", rows, group="stage", words=("table", "rule"))
