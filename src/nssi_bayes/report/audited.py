"""The section on the audit: who is lost on the way, and what was done to values, table by table."""

from __future__ import annotations

import io
from typing import Any, Final

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from nssi_bayes.report.cells import Cells, cells_of_flow
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.figures import COLOURS, STYLE, Image, embed
from nssi_bayes.report.parts import Part, figure, lines, missing, tabulated, text
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import pretty

__all__ = ["audited", "flow_steps"]

_WIDTH: Final = 7.2  # inches
_COUNTS: Final = ("read", "missing", "recoded", "reversed", "out_of_range", "dropped")
_BLOCK: Final = "of these, with any data in block "


def audited(e: Evidence) -> list[Part]:
    """Return the cohort flow as a figure, and the audit by table and rule.

    Parameters
    ----------
    e : Evidence
        What the page rests on.

    Returns
    -------
    list of Part
        Counts under ``min_cell`` are hidden.
    """
    if e.audit is None or e.flow is None:
        return [missing("The audit or the cohort flow is missing.")]
    smallest = e.params.min_cell
    parts = [
        text(
            "Every value that was missing, recoded, reversed, out of range or dropped between the folder and "
            "the model is counted here, by table and rule; the file audit.tsv has one line a column. Counts "
            f"are of values; those under {smallest}, or under {smallest} a column, are hidden, and so is "
            "what would give such a count of people away."
        ),
        figure("From the rows of the folder to the model", lambda: [_drawn(e)], wide=True),
        tabulated("What was done to values, by table and rule", lambda: _by_rule(e), folded=True),
    ]
    if e.unverified:
        parts.append(lines(e.unverified, title="Scoring keys that are not verified"))
    return parts


def flow_steps(e: Evidence) -> list[tuple[str, int]]:
    """Return the steps from rows of the folder to the data of each block.

    Parameters
    ----------
    e : Evidence
        What the page rests on.

    Returns
    -------
    list of (str, int)
        Step and its rows or people, in order.
    """
    steps = [(str(s["step"]), int(s["participants"])) for s in (e.flow or {})["steps"]]
    rows = _rows_in_folder(e.audit)
    return ([("rows of that table in the folder", rows)] if rows else []) + steps


def _rows_in_folder(audit: pd.DataFrame | None) -> int:
    """Return the rows of the table of participants before any was left out; 0 where the audit is silent."""
    if audit is None:
        return 0
    first = audit[audit["rule"] == "label without blanks, beginning with sub-"]
    if first.empty:
        return 0
    place = first.iloc[0]["table"]
    own = audit[
        (audit["table"] == place) & audit["rule"].isin(["duplicated row", "rows of the study's choice"])
    ]
    return int(first.iloc[0]["read"]) + int(own["dropped"].sum())


def _drawn(e: Evidence) -> Image:
    steps = flow_steps(e)
    cells = Cells(e.params.min_cell)
    shown = [(step.removeprefix(_BLOCK), count, cells.show(count)) for step, count in steps]
    width = [_length(label) for _, _, label in shown]
    colours = [COLOURS[2] if step.startswith(_BLOCK) else COLOURS[0] for step, _ in steps]
    names = [
        f"block {pretty(n)}" if s.startswith(_BLOCK) else n
        for (s, _), (n, _, _) in zip(steps, shown, strict=True)
    ]
    with mpl.rc_context(STYLE):
        drawing = Figure(figsize=(_WIDTH, 0.6 + 0.28 * len(steps)), layout="constrained")
        axes = drawing.subplots()
        axes.barh(range(len(steps)), width, color=colours, height=0.6)
        axes.set_yticks(range(len(steps)), names)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.25 * max([*width, 1]))
        axes.set_xlabel("rows, then people")
        for k, (_, _, label) in enumerate(shown):
            axes.text(width[k], k, f" {label}", va="center", ha="left", fontsize=8)
        content = io.BytesIO()
        drawing.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    words = "; ".join(f"{name}: {label}" for name, (_, _, label) in zip(names, shown, strict=True))
    return Image(embed(content.getvalue(), "svg+xml"), f"Cohort flow. {words}.")


def _length(label: str) -> int:
    """Return how long a bar is: as its label says, so that its length gives no hidden count away."""
    return 0 if label.startswith("<") else int(label.rsplit(" ", maxsplit=1)[-1])


def _by_rule(e: Evidence) -> str:
    audit = (e.audit if e.audit is not None else pd.DataFrame()).copy()
    turned = audit["rule"].astype("str").str.startswith("reversed")
    audit["reversed"] = audit["changed"].where(turned, 0)
    audit["recoded"] = audit["changed"].where(~turned, 0)
    grouped = audit.groupby(["stage", "table", "rule"], sort=False, dropna=False)
    sums = grouped[list(_COUNTS)].sum()
    sums["columns"] = grouped["column"].nunique()
    told = sums[list(_COUNTS[1:])].any(axis=1) | (sums.index.get_level_values("stage") == "ingest")
    rows = [_row(e, key, counts) for key, counts in sums[told].iterrows()]
    return table("audit-by-rule", rows, group="stage and table", words=("rule",))


def _row(e: Evidence, key: Any, counts: pd.Series) -> dict[str, str]:
    stage, place, rule = (str(part) for part in key)
    hide, _ = cells_of_flow(e.flow or {}, e.params.min_cell)
    values = {pretty(c): hide.values(int(counts[c]), int(counts["columns"])) for c in _COUNTS}
    return {
        "rule": rule,
        "stage and table": f"{stage}: {place}",
        "columns": str(int(counts["columns"])),
        **values,
    }
