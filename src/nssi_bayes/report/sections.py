"""The sections that every question has: answer, comparison, cohort, fit health, provenance."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import numpy as np
import pandas as pd
import yaml

from nssi_bayes import names as n
from nssi_bayes.errors import ArtefactError
from nssi_bayes.report.brain_views import coverage_map
from nssi_bayes.report.cells import Cells
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.figures import Dot, Image, intervals
from nssi_bayes.report.parts import Part, figure, lines, missing, tabulated, text
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import answer, number, pretty, split_name

__all__ = ["answered", "banner", "cohort", "compared", "health", "provenance"]

_PACKAGES: Final = (
    "nssi-bayes", "pymc", "pytensor", "nutpie", "jax", "bambi", "arviz", "numpy", "scipy", "xarray",
    "nilearn", "dvc",
)  # fmt: skip
_WORDS: Final = {True: "passed", False: "failed", None: "information"}


def banner(e: Evidence) -> list[str]:
    """Return what a reader must know before anything else."""
    found = []
    if e.synthetic:
        found.append(
            "Synthetic data. The people of this cohort are invented; no number on this page says anything "
            "about real people."
        )
    for entry in e.uncertified:
        checks = e.checks.get(entry)
        if checks is None:
            found.append(f"{split_name(entry)}: its checks are missing; do not read its numbers.")
            continue
        failed = [pretty(c["name"]) for c in checks["checks"] if c["passed"] is False]
        found.append(
            f"{split_name(entry)} is not certified: failed {', '.join(failed) or 'the gate'}. "
            "Its numbers are not to be believed."
        )
    if e.unverified:
        found.append("Scoring key not verified against a published source: " + "; ".join(e.unverified))
    if e.missing:
        found.append(f"{len(e.missing)} artefacts are missing; they are listed under Provenance.")
    return found


def answered(e: Evidence) -> list[Part]:
    """Return the answer in words."""
    parts: list[Part] = []
    if e.main is None:
        parts.append(text("No joint model is in this question's roster; there are no estimates to show."))
    elif e.shown is None:
        parts.append(missing(f"The estimates of {split_name(e.main)} are missing."))
    else:
        description = e.checks.get(e.main, {}).get("description", "")
        parts.append(
            text(
                f"Estimates are those of {split_name(e.main)}, the last joint model of the roster"
                f"{f' ({description.rstrip(".")})' if description else ''}. "
                "They describe associations in this cohort, not effects of one thing on another."
            )
        )
    if e.main in e.uncertified:
        parts.append(missing(f"A posterior to believe: {split_name(str(e.main))} is not certified."))
    if e.notes is None:
        parts.append(missing("The comparison of the models is missing."))
    sentences = (e.notes or {}).get("sentences", [])
    parts += [lines(found, title=topic) for topic, found in answer(sentences, e.shown)]
    return parts


def compared(e: Evidence) -> list[Part]:
    """Return the comparison: figure, table, and what it cannot tell."""
    if e.table is None or e.notes is None:
        return [missing("The comparison of the models is missing.")]
    parts = [
        text(
            "The unit left out is the person with every response. elpd: expected log predictive density, "
            "summed over people; higher is better. A difference under 4 is none; a larger one is read with "
            "its standard error, and trusted only for 100 people or more without a failed k-hat. Stacking "
            "weights are shares in the best joint prediction, not probabilities of models."
        )
    ]
    rows: list[dict[str, Any]] = [{str(k): v for k, v in r.items()} for r in e.table.to_dict("records")]
    if rows:
        parts.append(figure("Difference to the best model of each block", lambda: _gaps(rows)))
        parts.append(tabulated("All models and blocks", lambda: _comparison(rows)))
    else:
        parts.append(missing("No model could be ranked."))
    warnings = [*e.notes["refused"], *e.notes["warnings"]]
    if warnings:
        parts.append(lines(warnings, title="What this comparison cannot tell"))
    training = [
        {"model": m, "people": str(t.get("participants", "–")),
         "blocks it was fitted to": ", ".join(pretty(b) for b in t.get("blocks", []))}
        for m, t in e.notes["training"].items()
    ]  # fmt: skip
    parts.append(
        tabulated(
            "Data each model was fitted to",
            lambda: table("training", training, words=("blocks it was fitted to",)),
            folded=True,
        )
    )
    return parts


def _gaps(rows: Sequence[dict[str, Any]]) -> list[Image]:
    blocks = list(dict.fromkeys(r["block"] for r in rows))
    return [
        intervals(
            pretty(block),
            [
                Dot(r["model"], r["elpd_diff"], r["elpd_diff"] - 2 * r["diff_se"],
                    r["elpd_diff"] + 2 * r["diff_se"])
                for r in rows if r["block"] == block
            ],
            unit="elpd difference, ± 2 standard errors",
            rope=4,
        )
        for block in blocks
    ]  # fmt: skip


def _comparison(rows: Sequence[dict[str, Any]]) -> str:
    shown = [
        {
            "block": pretty(r["block"]), "model": r["model"], "elpd": number(r["elpd"], 1),
            "SE": number(r["se"], 1), "difference|Δ elpd": number(r["elpd_diff"], 1),
            "difference|SE Δ": number(r["diff_se"], 1), "p loo": number(r["p_loo"], 1),
            "weight": number(r["weight"]), "Pareto k-hat|largest": number(r["k_hat_max"]),
            "Pareto k-hat|over limit": f"{r['k_hat_over']} of {r['participants']}", "verdict": r["verdict"],
        }
        for r in rows
    ]  # fmt: skip
    return table("comparison", shown, group="block", words=("verdict",))


def cohort(e: Evidence) -> list[Part]:
    """Return cohort flow, diagnoses and missingness, with small cells hidden."""
    flow = e.flow
    if flow is None:
        return [missing("The cohort flow is missing.")]
    smallest = e.params.min_cell
    gaps = flow["missing"]
    total = int(gaps[0]["observed"] + gaps[0]["missing"]) if gaps else None
    steps = Cells(smallest, total=total)  # steps are nested, so one may give another away
    flowed = [{"step": s["step"], "people": steps.show(int(s["participants"]))} for s in flow["steps"]]
    counted = [
        {
            "disorder": "none of these" if d["disorder"] == n.NONE_LEVEL else pretty(d["disorder"]),
            "people": Cells(smallest, total=total).show(int(d["participants"])),
        }
        for d in flow["disorders"]
    ]
    both = int(flow["overlap"]["participants_with_two_or_more"])
    counted.append({"disorder": "two or more of these", "people": Cells(smallest, total=total).show(both)})
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
        tabulated("What was changed or dropped on the way", lambda: _audit(e), folded=True),
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


def health(e: Evidence) -> list[Part]:
    """Return how each posterior was drawn and whether it may be believed."""
    parts = [
        text(
            "A posterior is certified when every listed quantity has rank-normalised R-hat under 1.01 and "
            "enough effective draws, without divergences and with E-BFMI over .3. “Information” marks a "
            "check that has no verdict."
        )
    ]
    parts.append(tabulated("Sampling", lambda: _sampling(e)))
    for entry in e.entries:
        checks = e.checks.get(entry)
        name = split_name(entry)
        if checks is None:
            parts.append(missing(f"The checks of {name} are missing."))
            continue
        rows = sorted(checks["checks"], key=lambda c: c["passed"] is not False)
        parts.append(
            tabulated(
                f"Checks of {name}",
                lambda rows=rows, name=name: _checks(name, rows),  # type: ignore[misc]
                folded=bool(checks["certified"]),
            )
        )
    return parts


def _sampling(e: Evidence) -> str:
    rows = []
    for entry, checks in e.checks.items():
        s = checks["sampling"]
        draws = f"{s.get('chains', '–')} × {s.get('draws', '–')}"
        worst = (s.get("worst") or [{}])[0].get("quantity", "–")
        rows.append(
            {
                "model": split_name(entry), "certified": "yes" if checks["certified"] else "NO",
                "chains × draws": draws + (", rerun" if s.get("rerun") else ""),
                "divergences": str(s.get("divergences", "–")), "largest R-hat": number(s.get("max_rhat"), 3),
                "least ESS|bulk": number(s.get("min_ess_bulk"), 0),
                "least ESS|tail": number(s.get("min_ess_tail"), 0),
                "least E-BFMI": number(s.get("min_ebfmi")), "hardest quantity": worst,
            }
        )  # fmt: skip
    return table("sampling", rows, words=("hardest quantity",))


def _checks(name: str, rows: Sequence[dict[str, Any]]) -> str:
    shown = [
        {
            "check": pretty(c["name"]), "verdict": _WORDS[c["passed"]], "value": _plain(c["value"]),
            "limit": _plain(c["limit"]), "what it is": c["text"],
        }
        for c in rows
    ]  # fmt: skip
    return table(f"checks-{name}", shown, words=("verdict", "what it is"))


def _plain(value: float | None) -> str:
    if value is None or not np.isfinite(value):
        return "–"
    return number(value, 0) if float(value).is_integer() else number(value, 3)


def provenance(e: Evidence) -> list[Part]:
    """Return what it takes to make the same page again, and what was missing."""
    parts = []
    if e.missing:
        parts.append(lines(e.missing, title="Missing artefacts"))
    rows = [
        {"what": "study", "value": e.params.study},
        {"what": "cohort, SHA-256", "value": e.cohort_hash or "missing"},
        {"what": "root seed", "value": str(e.params.seed)},
        {"what": "to reproduce", "value": "uv run dvc repro (with the parameters below)"},
        {"what": "Python", "value": platform.python_version()},
    ]
    rows += [{"what": name, "value": _version(name)} for name in _PACKAGES]
    prints = [
        {"model": split_name(entry), "fingerprint": checks["fingerprint"]}
        for entry, checks in e.checks.items()
    ]
    parts += [
        tabulated("Data, seed and versions", lambda: table("provenance", rows, words=("value",))),
        tabulated("Fingerprints", lambda: table("fingerprints", prints, words=("fingerprint",)), folded=True),
        Part("code", title="Parameters of the run", body=_parameters(e), folded=True),
    ]
    parts += [
        Part("code", title=f"Specification of {split_name(entry)}", body=spec, folded=True)
        for entry, spec in e.specs.items()
    ]
    return parts


def _parameters(e: Evidence) -> str:
    # the source is a place on somebody's machine, not a parameter of the result
    content = e.params.model_dump(mode="json", exclude={"source"})
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
