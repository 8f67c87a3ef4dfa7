"""Section 2: functions by disorder, contrasts, and how much varies beside a world where nothing does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from nssi_bayes.report.claims import LABELS, finding, judged
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.figures import intervals
from nssi_bayes.report.heterogeneity import heterogeneity
from nssi_bayes.report.matrix import matrix
from nssi_bayes.report.panels import Row, Rows, by, dot, panels, per_total, span
from nssi_bayes.report.parts import Part, figure, missing, switch, tabulated, text
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import number, pretty, probability, split_name

__all__ = ["profiles"]

_ESTIMANDS: Final = {"adjusted": "adjusted", "as_met": "as met"}
_SD: Final = "sd of the function"


def profiles(e: Evidence) -> list[Part]:
    """Return function levels, contrasts and heterogeneity by disorder, and how functions are measured."""
    estimates = e.shown
    if estimates is None:
        return [missing("There are no estimates to show.")]
    parts = []
    if estimates["levels"] or estimates["contrasts"]:
        parts += [*_levels(e, estimates), *_contrasts(e, estimates)]
    elif estimates.get("groups"):
        parts.append(text(
            f"In {split_name(str(e.main))} means of functions are fixed in every group, so that people of "
            "different groups are not on one scale and are not compared. The rung `scalar` compares them."
        ))  # fmt: skip
    else:
        parts.append(text(f"Levels do not vary by disorder in {split_name(str(e.main))}."))
    if estimates["heterogeneity"]:
        parts += heterogeneity(e, estimates)
    return [*parts, *_groups(estimates), *_measurement(estimates), *_skewness(e)]


def _levels(e: Evidence, estimates: Row) -> list[Part]:
    rope = estimates["rope"]
    small = [d for d in e.small_disorders if any(r["disorder"] == d for r in estimates["levels"])]
    rows = [r for r in estimates["levels"] if _printable(r, small)]
    parts = [
        text(
            "Two estimands. Adjusted: the level of a disorder at equal psychosocial factors, covariates, "
            "site and other diagnoses. As met: people of this cohort who have the disorder, less those who "
            "do not; of a pair, people who have the one less people who have the other. "
            f"The shaded band is ±{number(rope)} sd, below which a difference is practically none."
        )
    ]
    if rows:
        parts += [
            switch("Function profiles", [
                ("by function", [figure("", lambda: panels(
                    rows, lambda r: dot(r, pretty(r["disorder"]), series=_ESTIMANDS[r["estimand"]]),
                    unit=_SD, rope=rope))]),
                ("by disorder", [figure("", lambda: panels(
                    rows, lambda r: dot(r, pretty(r["function"]), series=_ESTIMANDS[r["estimand"]]),
                    unit=_SD, rope=rope, key="disorder"))]),
            ]),
            tabulated("Function levels", lambda: _levels_table(rows), folded=True),
        ]  # fmt: skip
    if small:
        named = ", ".join(pretty(d) for d in small)
        parts.append(text(f"As met is not printed where it describes too few people: {named}."))
    return [*parts, *_every_model(e, rope)]


def _every_model(e: Evidence, rope: float) -> list[Part]:
    """Return the levels of all models that have them, where several do."""
    adjusted = [
        {**r, "model": split_name(m)}
        for m, found in e.estimates.items()
        for r in found["levels"]
        if r["estimand"] == "adjusted"
    ]
    if len({r["model"] for r in adjusted}) < 2:
        return []
    return [
        figure("Adjusted levels in every model that has them", lambda: panels(
            adjusted, lambda r: dot(r, pretty(r["disorder"]), series=r["model"]), unit=_SD, rope=rope),
            folded=True)
    ]  # fmt: skip


def _contrasts(e: Evidence, estimates: Row) -> list[Part]:
    rope, content = estimates["rope"], estimates["interval"]
    rows = [r for r in estimates["contrasts"] if _printable(r, e.small_disorders)]
    if not rows:
        return []
    met = all(r["estimand"] == "as_met" for r in rows)
    kept = [r for r in rows if met or r["estimand"] == "adjusted"]
    note = f"P(|Δ| > {number(rope)})"
    kind = "as met" if met else "adjusted"
    return [
        switch(f"Contrasts matrix, {kind}: row less column", [
            (pretty(f), [tabulated("", lambda f=f, own=own: matrix(f, own, content=content, rope=rope))])  # type: ignore[misc]
            for f, own in by(kept, "function").items()
        ]),
        figure(f"Contrasts between disorders, {kind}", lambda: panels(
            kept, lambda r: dot(r, _pair(r), note=probability(r.get("p_over_rope"))), unit=_SD, rope=rope,
            note=note), folded=True),
        tabulated("All contrasts, both estimands", lambda: _contrast_table(rows, estimates), folded=True),
    ]  # fmt: skip


def _printable(row: Row, small: Sequence[str]) -> bool:
    """Return whether a row describes enough people: `as met` means of few are near their data."""
    return row["estimand"] == "adjusted" or not {row["disorder"], row.get("other")} & set(small)


def _pair(row: Row) -> str:
    return f"{pretty(row['disorder'])} − {pretty(row['other'])}"


def _levels_table(rows: Rows) -> str:
    shown = [
        {
            "function": f"{pretty(r['function'])}, {_ESTIMANDS[r['estimand']]}",
            "disorder": pretty(r["disorder"]), "mean": number(r["mean"]), "sd": number(r.get("sd")),
            "interval": span(r), "P(> 0)": probability(r["p_positive"]),
        }
        for r in rows
    ]  # fmt: skip
    return table("levels", shown, group="function")


def _contrast_table(rows: Rows, estimates: Row) -> str:
    rope, content = estimates["rope"], estimates["interval"]
    shown = [
        {
            "function": f"{pretty(r['function'])}, {_ESTIMANDS[r['estimand']]}", "contrast": _pair(r),
            "mean": number(r["mean"]), "interval": span(r), **per_total(r),
            "P(> 0)": probability(r["p_positive"]),
            f"P(|Δ| > {number(rope)})": probability(r["p_over_rope"]),
            "verdict": LABELS[judged(r, content=content)],
            "in words": finding(r, rope=rope, content=content),
        }
        for r in rows
    ]  # fmt: skip
    return table("contrasts", shown, group="function", words=("verdict", "in words"))


def _measurement(estimates: Row) -> list[Part]:
    """Return loadings of indicators and correlations of functions."""
    parts = []
    if estimates["correlations"]:
        dots = [dot(r, f"{pretty(r['function'])} – {pretty(r['other'])}") for r in estimates["correlations"]]
        parts.append(figure("Correlations of functions, given predictors", lambda: [
            intervals("correlation", dots, unit="correlation", limits=(-1, 1))]))  # fmt: skip
    if estimates["measurement"]:
        rows = [{**r["loading"], "function": r["function"], "indicator": r["indicator"],
                 "group": r.get("group", ""), "continuous": r.get("continuous", False)}
                for r in estimates["measurement"]]  # fmt: skip
        what = "function or factor" if any("factor" in r for r in estimates["measurement"]) else "function"
        kinds = {False: ("Loadings of the indicators", "logits"),
                 True: ("Loadings of the continuous indicators", "unit of the indicator")}  # fmt: skip
        for kind, (title, unit) in kinds.items():
            some = [r for r in rows if r["continuous"] is kind]
            if some:
                parts.append(_loadings_of_indicators(title, some, f"{unit} per sd of the {what}"))
    return parts


def _groups(estimates: Row) -> list[Part]:
    """Return means, sds and correlations of the functions in the groups of the invariance ladder."""
    every = estimates.get("groups", [])
    rows = [r for r in every if not r.get("few")]
    hidden = dict.fromkeys(str(r["group"]) for r in every if r.get("few"))
    told = [text(f"Not printed of groups of too few people: {', '.join(hidden)}.")] if hidden else []
    if not rows:
        return told
    words = {"mean": "mean, in sds of the first group", "log_sd": "sd, of that in the first group",
            "correlation": "correlation with {other}"}  # fmt: skip
    shown = []
    for r in rows:
        ratio = r["what"] == "log_sd"
        higher = "" if r["what"] == "correlation" else probability(r["p_positive"])
        ends = {key: float(np.exp(r[key])) if ratio else r[key] for key in ("mean", "low", "high")}
        shown.append(
            {"group": r["group"], "function": pretty(r["function"]),
             "what": words[r["what"]].format(other=pretty(r.get("other", ""))),
             "estimate": number(ends["mean"]), "interval": span({**r, **ends}),
             "P(> that of the first group)": higher}
        )  # fmt: skip
    title = (
        "Functions by group at equal covariates and factors, as far as the rung leaves them free; mean 0 and "
        "sd 1 in the first group"
    )
    return [tabulated(title, lambda: table("groups", shown, group="group")), *told]


def _skewness(e: Evidence) -> list[Part]:
    """Say how skewed functions are in the models that let them be."""
    return [
        text(
            f"Functions need not be normal in {split_name(model)}. Their skewness (0 if they are) is "
            + ", ".join(f"{number(r['mean'])} ({span(r)}) for {pretty(r['function'])}" for r in rows)
            + f"; intervals of {found['interval']:.0%}. Classes of people are believed only if they predict "
            "better than such a model."
        )
        for model, found in e.estimates.items()
        if (rows := found.get("skewness"))
    ]


def _loadings_of_indicators(title: str, rows: Sequence[Row], unit: str) -> Part:
    def name(row: Row) -> str:
        return f"{pretty(row['indicator'])} ({row['group']})" if row["group"] else pretty(row["indicator"])

    return figure(title, lambda: panels(rows, lambda r: dot(r, name(r)), unit=unit), folded=True)
