"""Section 6: which model describes people whom it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf
from typing import Any

from nssi_bayes.report.cells import Cells, cells_of_flow
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.figures import Dot, Image, intervals
from nssi_bayes.report.parts import Part, figure, lines, missing, not_run, tabulated, text
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import number, pretty

__all__ = ["comparison"]


def comparison(e: Evidence) -> list[Part]:
    """Return the comparison: figure, table, and what it cannot tell."""
    if e.table is None or e.notes is None:
        return [missing("The comparison of the models is missing.")]
    parts = [
        text(
            "The unit left out is the person with every response. elpd: expected log predictive density, "
            "summed over people; higher is better. A difference under 4 is too small to tell models "
            "apart; a larger one is read with "
            "its standard error, and trusted only for 100 people or more without a failed k-hat. Stacking "
            "weights are shares in the best joint prediction, not probabilities of models."
        )
    ]
    parts.append(lines([*e.notes["sentences"], *e.notes.get("placebos", [])]))
    rows: list[dict[str, Any]] = [{str(k): v for k, v in r.items()} for r in e.table.to_dict("records")]
    if rows:
        parts.append(figure("Difference to the best model of each block", lambda: _gaps(rows)))
        parts.append(tabulated("All models and blocks", lambda: _comparison(rows, e.params.min_cell)))
    else:
        parts.append(missing("No model could be ranked."))
    parts += _groups(e)
    warnings = [*e.notes["refused"], *e.notes["warnings"]]
    if warnings:
        parts.append(lines(warnings, title="What this comparison cannot tell"))
    cells, _ = cells_of_flow(e.flow or {}, e.params.min_cell)
    training = [
        {
            "model": m,
            "people": cells.show(int(t["participants"])) if "participants" in t else "–",
            "blocks it was fitted to": ", ".join(pretty(b) for b in t.get("blocks", [])),
        }
        for m, t in e.notes["training"].items()
    ]
    parts.append(
        tabulated(
            "Data each model was fitted to",
            lambda: table("training", training, words=("blocks it was fitted to",)),
            folded=True,
        )
    )
    return parts


def _groups(e: Evidence) -> list[Part]:
    """Return how well whole sites and disorders are foreseen by models that never saw them."""
    groups = (e.notes or {}).get("groups", {})
    rows, sentences = groups.get("rows", []), groups.get("sentences", [])
    evidence = groups.get("evidence", [])
    if not rows and not sentences:
        command = "cross_validation.leave: [site, disorder] in params.yaml, then uv run dvc repro"
        return [not_run("Leaving out whole sites or disorders was not asked for.", command=command)]
    parts = [
        text(
            "Each site, or everybody with a disorder, is left out of a fit, and all their data are scored "
            "together. What varies by disorder is known of a new one only as far as the others tell. A "
            "marginal likelihood is that of all data from the priors alone, and is shown beside those of "
            "priors of half and double scale: it depends on them as LOO does not.",
            title="Groups that no model saw, and marginal likelihoods",
        ),
        lines(sentences),
    ]
    shown = [
        {
            "left out": f"{r['kind']} {r['label']}",
            "model": r["model"],
            "people": str(r["participants"]),
            "log predictive density|together": number(r["log_predictive"], 1),
            "log predictive density|MC error": "–" if r["mcse"] is None else number(r["mcse"]),
            "log predictive density|steps": str(r.get("steps", 1)),
            "log predictive density|person by person": number(r["by_person"], 1),
        }
        for r in rows
    ]
    if shown:
        parts.append(
            tabulated("Every group and model", lambda: table("groups", shown, group="left out"), folded=True)
        )
    if evidence:
        told = [
            {
                "model": r["model"],
                "prior scales": f"× {r['prior_scale']:g}",
                "log marginal likelihood": number(r["log_marginal"], 1),
                "MC error": "–" if r["mcse"] is None else number(r["mcse"]),
                "R-hat": "–" if r["max_rhat"] is None else number(r["max_rhat"], 3),
                "divergences": str(r["divergences"]),
            }
            for r in evidence
        ]
        parts.append(tabulated("Log marginal likelihoods", lambda: table("evidence", told), folded=True))
    return parts


def _gaps(rows: Sequence[dict[str, Any]]) -> list[Image]:
    blocks = list(dict.fromkeys(r["block"] for r in rows))
    return [
        intervals(
            pretty(block),
            [
                Dot(
                    r["model"],
                    r["elpd_diff"],
                    r["elpd_diff"] - 2 * r["diff_se"],
                    r["elpd_diff"] + 2 * r["diff_se"],
                )
                for r in rows
                if r["block"] == block
            ],
            unit="elpd difference, ± 2 standard errors",
            rope=4,
        )
        for block in blocks
    ]


def _comparison(rows: Sequence[dict[str, Any]], smallest: int) -> str:
    shown = [
        {
            "block": pretty(r["block"]),
            "model": r["model"],
            "elpd": number(r["elpd"], 1),
            "SE": number(r["se"], 1),
            "difference|Δ elpd": number(r["elpd_diff"], 1),
            "difference|SE Δ": number(r["diff_se"], 1),
            "p loo": number(r["p_loo"], 1),
            "weight": number(r["weight"]),
            **({"left out by": str(r["method"])} if "method" in r else {}),
            **(_k_hat(r, smallest) if "k_hat_over" in r else {}),
            "verdict": r["verdict"],
        }
        for r in rows
    ]
    # what leaves the lab does not tell by which method
    words = [word for word in ("verdict", "left out by") if any(word in row for row in shown)]
    return table("comparison", shown, group="block", words=words)


def _k_hat(row: dict[str, Any], smallest: int) -> dict[str, str]:
    """Return k-hat, which points at persons and is not in what leaves the lab."""
    if str(row.get("method", "")).endswith("-fold") and not row["k_hat_over"]:
        return {"Pareto k-hat|largest": "–", "Pareto k-hat|over limit": "–"}
    over, people = int(row["k_hat_over"]), int(row["participants"])
    hidden = Cells(smallest).hidden(over)
    return {
        "Pareto k-hat|largest": "∞" if isinf(row["k_hat_max"]) else number(row["k_hat_max"]),
        "Pareto k-hat|over limit": f"<{smallest}" if hidden else f"{over / people:.0%}",
    }
