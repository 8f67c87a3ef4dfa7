"""The sections that show estimates of the main model, one per part of ``estimates.json``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.figures import Image, intervals
from nssi_bayes.report.neural import edges, regions
from nssi_bayes.report.panels import Row, Rows, by, dot, limits, panels, span
from nssi_bayes.report.parts import Part, figure, tabulated, text
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import finding, number, pretty, probability, split_name

__all__ = ["SECTIONS"]

_ESTIMANDS: Final = {"adjusted": "adjusted", "as_met": "as met"}
_SD: Final = "sd of the function"


def levels(e: Evidence, estimates: Row) -> list[Part]:
    """Return function levels and contrasts by disorder."""
    rope = estimates["rope"]
    small = [d for d in e.small_disorders if any(r["disorder"] == d for r in estimates["levels"])]
    rows = [r for r in estimates["levels"] if _printable(r, small)]
    contrasts = [r for r in estimates["contrasts"] if _printable(r, small)]
    parts = [
        text(
            "Two estimands. Adjusted: the level of a disorder at equal psychosocial factors, covariates, "
            "site and other diagnoses. As met: people of this cohort who have the disorder, less those who "
            f"do not. The shaded band is ±{number(rope)} sd, below which a difference is practically none."
        ),
        figure(
            "Function levels by disorder",
            lambda: panels(
                rows,
                lambda r: dot(r, pretty(r["disorder"]), series=_ESTIMANDS[r["estimand"]]),
                unit=_SD,
                rope=rope,
            ),
        ),
        tabulated("Function levels", lambda: _levels_table(rows), folded=True),
    ]
    if small:
        named = ", ".join(pretty(d) for d in small)
        parts.append(text(f"As met is not printed where it describes too few people: {named}."))
    adjusted = [
        {**r, "model": split_name(m)}
        for m, found in e.estimates.items()
        for r in found["levels"]
        if r["estimand"] == "adjusted"
    ]
    if len({r["model"] for r in adjusted}) > 1:
        parts.append(
            figure(
                "Adjusted levels in every model that has them",
                lambda: panels(
                    adjusted, lambda r: dot(r, pretty(r["disorder"]), series=r["model"]), unit=_SD, rope=rope
                ),
                folded=True,
            )
        )
    if contrasts:
        met = all(r["estimand"] == "as_met" for r in contrasts)
        kept = [r for r in contrasts if met or r["estimand"] == "adjusted"]
        note = f"P(|Δ| > {number(rope)})"
        parts += [
            figure(
                "Contrasts between disorders, as met" if met else "Adjusted contrasts between disorders",
                lambda: panels(
                    kept,
                    lambda r: dot(r, _pair(r), note=probability(r.get("p_over_rope"))),
                    unit=_SD,
                    rope=rope,
                    note=note,
                ),
            ),
            tabulated("All contrasts, both estimands", lambda: _contrast_table(contrasts, rope), folded=True),
        ]
    return parts


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


def _contrast_table(rows: Rows, rope: float) -> str:
    shown = [
        {
            "function": f"{pretty(r['function'])}, {_ESTIMANDS[r['estimand']]}", "contrast": _pair(r),
            "mean": number(r["mean"]), "interval": span(r), "P(> 0)": probability(r["p_positive"]),
            f"P(|Δ| > {number(rope)})": probability(r["p_over_rope"]),
            "in words": finding(r, rope=rope),
        }
        for r in rows
    ]  # fmt: skip
    return table("contrasts", shown, group="function", words=("in words",))


_NEURAL: Final = {"loadings": "sd of activation per sd of the function",
                  "edge loadings": "sd of Fisher's z per sd of the function"}  # fmt: skip


def heterogeneity(e: Evidence, estimates: Row) -> list[Part]:
    """Return how much varies by disorder, prior and posterior side by side."""
    rows = estimates["heterogeneity"]

    def side_by_side(title: str, group: Rows, label: Callable[[Row], str], unit: str) -> Image:
        dots = [
            dot(r[state]["finite_sd"], label(r), series=state)
            for r in group
            for state in ("posterior", "prior")
        ]
        return intervals(title, dots, unit=unit)

    def of_functions() -> list[Image]:
        return [
            side_by_side(f"{pretty(term)}: sd over disorders", group, _what, f"{_SD} ({term})")
            for term, group in by(rows, "term").items()
            if term not in _NEURAL
        ]

    def of_images(term: str) -> list[Image]:
        group = [r for r in rows if r["term"] == term]
        return [
            side_by_side(
                pretty(function), own, lambda r: pretty(r["detail"]), f"sd over disorders, {_NEURAL[term]}"
            )
            for function, own in by(group, "function").items()
        ]

    return [
        text(
            "The finite-population sd describes these disorders, τ a population of disorders. With four or "
            "five disorders the prior leads τ: read it with its contraction (0: the data said nothing; "
            "1: the prior no longer matters)."
        ),
        figure("Heterogeneity between disorders, before and after the data", of_functions),
        *(
            figure(
                f"Heterogeneity of {term}, before and after the data", partial(of_images, term), folded=True
            )
            for term in _NEURAL
            if any(r["term"] == term for r in rows)
        ),
        tabulated(
            "Heterogeneity: mean (interval)", lambda: _heterogeneity_table(rows, estimates), folded=True
        ),
    ]


def _heterogeneity_table(rows: Rows, estimates: Row) -> str:
    rope = number(estimates["rope"])
    shown = [
        {
            "term": pretty(r["term"]),
            "of": _what(r),
            **{
                f"{head}|{state}": f"{number(r[state][key]['mean'])} ({span(r[state][key])})"
                for key, head in (("finite_sd", "sd over disorders"), ("largest", "largest contrast"),
                                  ("tau", "scale τ"))
                for state in ("posterior", "prior")
            },
            "contraction of τ": number(r["contraction"]),
            f"P(largest > {rope})": probability(r["p_over_rope"]),
        }
        for r in rows
    ]  # fmt: skip
    return table("heterogeneity", shown, group="term")


def _what(row: Row) -> str:
    return pretty(row["function"]) + (f", {pretty(row['detail'])}" if row["detail"] else "")


def slopes(e: Evidence, estimates: Row) -> list[Part]:
    """Return associations of psychosocial factors with functions."""
    rows, by_disorder = estimates["slopes"], estimates["slopes_by_disorder"]
    unit = f"{_SD} per sd of the factor"
    parts = [
        text("Factors are error-prone measures; their unreliability is part of the model."),
        figure("Associations with the functions", lambda: panels(
            rows, lambda r: dot(r, pretty(r["factor"]), note=probability(r["p_positive"])),
            unit=unit, note="P(> 0)")),
    ]  # fmt: skip
    if by_disorder:
        parts.append(
            figure(
                "The same by disorder",
                lambda: panels(
                    [{**r, "panel": f"{r['function']}, {r['factor']}"} for r in by_disorder],
                    lambda r: dot(r, pretty(r["disorder"])), unit=unit, key="panel",
                ),
                folded=True,
            )
        )  # fmt: skip
    return parts


def outcome(e: Evidence, estimates: Row) -> list[Part]:
    """Return associations with the outcome."""
    dots = [dot(r, pretty(r["term"]), note=probability(r["p_positive"])) for r in estimates["outcome"]]
    low, high = limits(estimates["outcome"])
    ends = (low, high + 0.16 * (high - low))
    return [
        figure("Associations with the outcome", lambda: [intervals(
            "outcome", dots, unit="sd of the outcome per unit of the term", limits=ends, note="P(> 0)")])
    ]  # fmt: skip


def measurement(e: Evidence, estimates: Row) -> list[Part]:
    """Return loadings of indicators and correlations of functions."""
    parts = []
    if estimates["correlations"]:
        dots = [dot(r, f"{pretty(r['function'])} – {pretty(r['other'])}") for r in estimates["correlations"]]
        parts.append(figure("Correlations of functions, given predictors", lambda: [
            intervals("correlation", dots, unit="correlation", limits=(-1, 1))]))  # fmt: skip
    if estimates["measurement"]:
        rows = [{**r["loading"], "function": r["function"], "indicator": r["indicator"],
                 "continuous": r.get("continuous", False)} for r in estimates["measurement"]]  # fmt: skip
        kinds = {False: ("Loadings of the indicators", "logits"),
                 True: ("Loadings of the continuous indicators", "unit of the indicator")}  # fmt: skip
        for kind, (title, unit) in kinds.items():
            some = [r for r in rows if r["continuous"] is kind]
            if some:
                parts.append(_loadings_of_indicators(title, some, f"{unit} per sd of the function"))
    return parts


def _loadings_of_indicators(title: str, rows: Sequence[Row], unit: str) -> Part:
    return figure(
        title, lambda: panels(rows, lambda r: dot(r, pretty(r["indicator"])), unit=unit), folded=True
    )


type Build = Callable[[Evidence, Row], list[Part]]

# anchor, title, keys of estimates.json of which at least one must hold something, parts
SECTIONS: Final[tuple[tuple[str, str, tuple[str, ...], Build], ...]] = (
    ("outcome", "The outcome", ("outcome",), outcome),
    ("levels", "Function levels by disorder", ("levels", "contrasts"), levels),
    ("heterogeneity", "What varies by disorder", ("heterogeneity",), heterogeneity),
    ("slopes", "Psychosocial factors", ("slopes", "slopes_by_disorder"), slopes),
    ("regions", "Regional activation", ("rois", "networks"), regions),
    ("edges", "Connectivity", ("edges", "network_pairs"), edges),
    ("measurement", "Measurement", ("correlations", "measurement"), measurement),
)
