"""Section 4: trauma and attachment to function, overall and by disorder."""

from __future__ import annotations

from nssi_bayes.report.claims import LABELS, finding, judged
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.panels import Row, dot, panels, per_total, span
from nssi_bayes.report.parts import Part, figure, missing, switch, tabulated, text
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import number, pretty, probability, split_name
from nssi_bayes.spec import JointSpec

__all__ = ["history"]


def history(e: Evidence) -> list[Part]:
    """Return associations of psychosocial factors with functions."""
    if e.shown is None:
        return [missing("There are no estimates to show.")]
    rows, by_disorder = e.shown["slopes"], e.shown["slopes_by_disorder"]
    if not rows:
        return [text(f"No psychosocial factor is in {split_name(str(e.main))}.")]
    unit = "sd of the function per sd of the factor"
    shown = e.shown
    parts = [
        text(
            "Factors are error-prone measures; their unreliability is part of the model. "
            f"{_by_items(e)}They are remembered "
            "or present states; that they go together with a function is all that is said. An sd of a "
            "function is its residual sd, given predictors; its total sd is that between people."
        ),
        figure("Associations with the functions", lambda: panels(
            rows, lambda r: dot(r, pretty(r["factor"]), note=probability(r["p_positive"])),
            unit=unit, note="P(> 0)", rope=shown["rope"])),
        tabulated("Associations with the functions, in numbers", lambda: _slopes_table(shown)),
    ]  # fmt: skip
    if not by_disorder:
        parts.append(text(f"They do not vary by disorder in {split_name(str(e.main))}."))
        return parts
    each = [{**r, "panel": f"{r['function']}, {r['factor']}"} for r in by_disorder]
    parts.append(
        switch("The same by disorder", [
            ("by function and factor", [figure("", lambda: panels(
                each, lambda r: dot(r, pretty(r["disorder"])), unit=unit, key="panel"))]),
            ("by disorder", [figure("", lambda: panels(
                each, lambda r: dot(r, pretty(r["panel"])), unit=unit, key="disorder"))]),
        ])
    )  # fmt: skip
    return parts


def _by_items(e: Evidence) -> str:
    """Say which factors are measured by items, whose sd is that of what diagnoses and covariates leave."""
    spec = e.models.get(str(e.main))
    if not isinstance(spec, JointSpec) or not spec.factor_items:
        return ""
    measured = "; ".join(f"{pretty(f)} by {', '.join(map(pretty, s))}" for f, s in spec.factor_items.items())
    return (
        f"Measured by items, not by a score with a reliability: {measured}. An sd of such a factor is its "
        "residual sd, given diagnoses and covariates; of the others it is that of their score. "
    )


def _slopes_table(estimates: Row) -> str:
    content, rope = estimates["interval"], estimates["rope"]
    shown = [
        {
            "function": pretty(r["function"]), "factor": pretty(r["factor"]), "mean": number(r["mean"]),
            "interval": span(r), **per_total(r), "P(> 0)": probability(r["p_positive"]),
            f"P(|·| > {number(rope)})": probability(r.get("p_over_rope")),
            "verdict": LABELS[judged(r, content=content)],
            "in words": finding(r, rope=rope, content=content),
        }
        for r in estimates["slopes"]
    ]  # fmt: skip
    return table("slopes", shown, group="function", words=("verdict", "in words"))
