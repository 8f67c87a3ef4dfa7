"""Items whose meaning differs by disorder, and what becomes of the differences between disorders then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from nssi_bayes.report.claims import LABELS, judged
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.panels import Rows, span
from nssi_bayes.report.parts import Part, not_run, switch, tabulated, text
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import number, pretty, probability, split_name
from nssi_bayes.spec import JointSpec

__all__ = ["invariance", "without_bias"]

_SHOWN: Final = 0.5
"""Probability of more than negligible bias over which an indicator is shown without unfolding."""

type Estimates = Mapping[str, Any]


def invariance(e: Evidence) -> list[Part]:
    """Return, for every model that allows item bias, the biased items and how contrasts move.

    Parameters
    ----------
    e : Evidence
        Of the question.

    Returns
    -------
    list of Part
        Two tables a model; where no model allows bias, what would.
    """
    biased = [entry for entry, found in e.estimates.items() if found.get("item_bias")]
    if not biased:
        return [
            not_run(
                "No model of this question lets the meaning of items differ by disorder: every contrast "
                "assumes that it does not.",
                command="a model with `measurement: {bias: dense}`, or sparse, in the roster of params.yaml",
            )
        ]
    choices = [(split_name(entry), _of_model(e, entry)) for entry in biased]
    return choices[0][1] if len(choices) == 1 else [switch("Model", choices)]


def without_bias(e: Evidence, entry: str) -> str | None:
    """Return the model of the question that differs in nothing but that it allows no item bias.

    Parameters
    ----------
    e : Evidence
        Of the question.
    entry : str
        A model with item bias.

    Returns
    -------
    str or None
        Its entry, if it has estimates.
    """

    def core(spec: JointSpec) -> dict[str, Any]:
        plain = spec.measurement.model_copy(update={"bias": "none", "anchors": (), "nonuniform": False})
        told = spec.model_copy(update={"measurement": plain, "description": "", "sampler": {}})
        return told.model_dump()

    own = e.models.get(entry)
    if not isinstance(own, JointSpec):
        return None
    for other, spec in e.models.items():
        if (
            other != entry
            and other in e.estimates
            and isinstance(spec, JointSpec)
            and core(spec) == core(own)
        ):
            return other
    return None


def _of_model(e: Evidence, entry: str) -> list[Part]:
    found, name = e.estimates[entry], split_name(entry)
    rows = sorted(found["item_bias"], key=lambda r: -r["p_moderate"])
    likely = [r for r in rows if r["p_moderate"] > _SHOWN]
    rest = rows[len(likely) :]
    parts = [
        text(
            f"{len(likely)} of {len(rows)} pairs of an indicator and a disorder in {name} are more likely "
            "than not to have a bias that is more than negligible (.43 logits). Bias sums to zero over the "
            f"disorders{_held(e, entry)}"
        )
    ]
    if likely:
        parts.append(tabulated(f"Biased indicators of {name}", lambda: _indicators(f"bias {name}", likely)))
    if rest:
        heading = f"The other indicators of {name}" if likely else f"All indicators of {name}"
        parts.append(tabulated(heading, lambda: _indicators(f"unbiased {name}", rest), folded=True))
    other = without_bias(e, entry)
    if other is None:
        return [
            *parts,
            not_run(
                "How far contrasts move when bias is allowed is not known.",
                command=f"a model as {entry} with `measurement: {{bias: none}}` in the roster of params.yaml",
            ),
        ]
    return [*parts, *_moves(e.estimates[other], found, names=(split_name(other), name))]


def _held(e: Evidence, entry: str) -> str:
    """Return what tells bias from a level, and what is said of its size before data."""
    spec = e.models.get(entry)
    told = " and over the indicators of a function: a shift that all indicators share is a level."
    if not isinstance(spec, JointSpec):
        return told
    if spec.measurement.anchors:
        told = f"; {', '.join(map(pretty, spec.measurement.anchors))} have none, and tell it from a level."
    if spec.measurement.nonuniform:
        told += " Loadings differ, too, under the same constraints; the table tells by which factor."
    if spec.measurement.bias == "sparse":
        told += (
            " A priori most indicators have next to none and a few have much (regularised horseshoe, "
            "Piironen & Vehtari 2017)."
        )
    return told


def _indicators(name: str, rows: Rows) -> str:
    shown = [
        {
            "indicator": pretty(r["indicator"]),
            "function": pretty(r["function"]),
            "disorder": pretty(r["disorder"]),
            "bias, logits|mean": number(r["mean"]),
            "bias, logits|interval": span(r),
            "P(more than negligible)": probability(r["p_moderate"]),
            "share of the response scale|mean": number(r["response"]["mean"]),
            "share of the response scale|interval": span(r["response"]),
            **_loading(r),
        }
        for r in rows
    ]
    return table(name, shown, words=("function", "disorder"))


def _loading(row: Mapping[str, Any]) -> dict[str, str]:
    """Return by which factor the loading is larger, where loadings differ by disorder."""
    if "loading" not in row:
        return {}
    return {"times the loading|mean": number(row["loading"]["mean"]),
            "times the loading|interval": span(row["loading"])}  # fmt: skip


def _moves(before: Estimates, after: Estimates, *, names: tuple[str, str]) -> list[Part]:
    """Return the adjusted contrasts of two models side by side, the largest move first."""
    pairs = _paired(before, after)
    if not pairs:
        return [text("The two models have no contrast between disorders in common.")]
    content = after["interval"]
    rows = []
    for one, other in pairs:
        verdicts = judged(one, content=content), judged(other, content=content)
        rows.append(
            {
                "contrast": f"{pretty(one['disorder'])} − {pretty(one['other'])}",
                "function": pretty(one["function"]),
                f"{names[0]}|mean": number(one["mean"]),
                f"{names[0]}|interval": span(one),
                f"{names[1]}|mean": number(other["mean"]),
                f"{names[1]}|interval": span(other),
                "moves by, sd": number(_shift(one, other)),
                "reads": LABELS[verdicts[1]]
                if verdicts[0] == verdicts[1]
                else f"{LABELS[verdicts[0]]} → {LABELS[verdicts[1]]}",
            }
        )
    changed = sum("→" in r["reads"] for r in rows)
    largest = max(abs(_shift(*pair)) for pair in pairs)
    told = (
        f"When item bias is allowed, {changed} of {len(rows)} adjusted contrasts read differently; the "
        f"largest move is {number(largest)} posterior sd."
    )
    return [
        text(told, title="How far contrasts between disorders move"),
        tabulated(
            f"Contrasts of {names[0]} and {names[1]}",
            lambda: table(f"moves {names[1]}", rows, words=("function", "reads")),
            folded=not changed,
        ),
    ]


def _paired(before: Estimates, after: Estimates) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    def key(row: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(str(row[k]) for k in ("function", "disorder", "other"))

    adjusted = {key(r): r for r in after["contrasts"] if r["estimand"] == "adjusted"}
    found = [
        (r, adjusted[key(r)])
        for r in before["contrasts"]
        if r["estimand"] == "adjusted" and key(r) in adjusted
    ]
    return sorted(found, key=lambda pair: -abs(_shift(*pair)))


def _shift(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Difference of two posterior means, in posterior sd of the first."""
    return float((other["mean"] - one["mean"]) / max(one["sd"], 1e-12))
