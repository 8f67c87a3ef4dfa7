"""Counts, estimates, checks and scores as they may leave the lab."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pandas as pd
import yaml

from nssi_bayes import names as n
from nssi_bayes.report.cells import Cells, cells_of_flow, suppressed, total
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.store import Numbers

__all__ = [
    "safe_checks",
    "safe_comparison",
    "safe_estimates",
    "safe_evidence",
    "safe_flow",
    "safe_groups",
    "safe_words",
]

_CHECK: Final = ("name", "group", "passed", "value", "limit", "text")
_SAMPLING: Final = (
    "chains",
    "draws",
    "tune",
    "divergences",
    "max_rhat",
    "min_ess_bulk",
    "min_ess_tail",
    "min_ebfmi",
    "rerun",
    "parts",
    "target_accept",
    "quantities",
)
_SCORES: Final = (
    "question",
    "block",
    "model",
    "rank",
    "elpd",
    "se",
    "elpd_diff",
    "diff_se",
    "p_loo",
    "weight",
    "participants",
    "certified",
    "verdict",
)
_OVER: Final = re.compile(r"(?<=limit: )[^;)]*")
_SHARE: Final = re.compile(r"\b\d+% of people are\b")
# rows that sum to zero over disorders: without one disorder the others give it away
_SUMS_TO_ZERO: Final = (
    "slopes_by_disorder", "outcome_by_disorder", "rois_by_disorder", "heterogeneity",
)  # fmt: skip
_PATHWAYS: Final = ("pathways", "pathways_by_correlation", "pathways_by_disorder")
"""Averages over everybody, which tell of few people what slopes that are shared do not."""
_PATHS: Final = ("projection",)
"""Parts whose rows each add to the ones before; one that is missing changes what the others say."""

# conclusions and parameters named after a group, which is a site, or may be few people
_OF_GROUPS: Final = ("level_group[", "log spread_group[", "Omega_group_")
_OF_SEVERAL: Final = tuple(f"{what}{n.BURDEN}[" for what in ("level", "B", "w"))


def safe_flow(flow: Mapping[str, Any], smallest: int) -> dict[str, Any]:
    """Return cohort flow and missingness with small cells hidden, and what would give them away."""
    cells, steps = cells_of_flow(flow, smallest)
    groups = flow.get("disorders", [])
    counts = suppressed([int(d["participants"]) for d in groups], smallest, total=total(flow))
    return {
        "title": flow.get("title", ""),
        "synthetic": bool(flow.get("synthetic")),
        "steps": [
            {"step": s["step"], "participants": count}
            for s, count in zip(flow.get("steps", []), steps, strict=True)
        ],
        "disorders": [
            {"disorder": d["disorder"], "participants": c} for d, c in zip(groups, counts, strict=True)
        ],
        "missing": [_gap(g, cells) for g in flow.get("missing", [])],
    }


def _gap(gap: Mapping[str, Any], cells: Cells) -> dict[str, str]:
    seen, lost = cells.pair(int(gap["observed"]), int(gap["missing"]))
    return {"block": str(gap["block"]), "variable": str(gap["variable"]), "observed": seen, "missing": lost}


def safe_estimates(
    estimates: Mapping[str, Any], small: Iterable[str], *, treatments: Iterable[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """Return estimates without disorders and treatments of too few people, and what was left out.

    Parameters
    ----------
    estimates : mapping
        As ``estimates.json``.
    small : iterable of str
        Disorders of too few people.
    treatments : iterable of str
        Treatments that too few people had, or had not.

    Returns
    -------
    tuple of (dict, list of str)
        Estimates, and a sentence for each part that is not whole.
    """
    disorders = set(small) - {n.NONE_LEVEL}
    few = disorders | set(treatments)
    by_disorder = estimates.get("pathways_by_disorder") or []
    hidden = any(r.get("few") for r in by_disorder) or bool(treatments) or bool(disorders and by_disorder)
    found: dict[str, Any] = {}
    told = []
    for part, rows in estimates.items():
        if isinstance(rows, list) and any(r.get("group") for r in rows):  # a site, or a disorder
            told.append(f"{part}: {len(rows)} rows, which are of groups")
            found[part] = []
            continue
        if hidden and part in _PATHWAYS and rows:
            told.append(f"{part}: {len(rows)} rows, which describe or give away few people")
            found[part] = []
            continue
        if not few or not isinstance(rows, list):
            found[part] = rows
            continue
        kept = [r for r in rows if not few & {r.get("disorder"), r.get("other"), *_terms(r)}]
        if disorders and part == "levels":
            kept = [r for r in kept if r.get("estimand") != "adjusted"]
        if (disorders and part in _SUMS_TO_ZERO) or (part in _PATHS and len(kept) < len(rows)):
            kept = []
        if len(kept) < len(rows):
            told.append(
                f"{part}: {len(rows) - len(kept)} of {len(rows)} rows, which describe or give away few people"
            )
        found[part] = kept
    return found, told


def _terms(row: Mapping[str, Any]) -> list[str]:
    """Return what the term of a row is, or is the product of."""
    return str(row.get("term")).split(n.TIMES)


def safe_checks(checks: Mapping[str, Any]) -> dict[str, Any]:
    """Return verdicts and totals of the sampling, without tables and names of quantities."""
    kept = {
        k: v
        for k, v in checks.items()
        if k in ("model", "question", "kind", "certified", "synthetic", "fingerprint")
    }
    return {
        **kept,
        "checks": [{k: row.get(k) for k in _CHECK if k in row} for row in checks["checks"]],
        "sampling": {k: v for k, v in checks["sampling"].items() if k in _SAMPLING},
    }


def safe_words(sentence: str, smallest: int) -> str:
    """Return a sentence of the comparison without counts or shares of people over a limit."""
    hidden = _OVER.sub(lambda m: re.sub(r"\b\d+\b", lambda k: _masked(int(k[0]), smallest), m[0]), sentence)
    return _SHARE.sub("some people are", hidden)


def _masked(count: int, smallest: int) -> str:
    return Cells(smallest).show(count)


def safe_comparison(table: pd.DataFrame, smallest: int, *, flow: Mapping[str, Any]) -> pd.DataFrame:
    """Return scores summed over people; k-hat points at persons and stays."""
    kept = table[[c for c in _SCORES if c in table.columns]].copy()
    cells, _ = cells_of_flow(flow, smallest)
    kept["participants"] = [cells.show(int(count)) for count in table["participants"]]
    kept["verdict"] = [safe_words(str(v), smallest) for v in kept["verdict"]]
    return kept


def safe_evidence(e: Evidence) -> Evidence:
    """Return what a page that leaves the lab rests on.

    Parameters
    ----------
    e : Evidence
        What the lab's own page rests on.

    Returns
    -------
    Evidence
        Specifications as they are read, not as they are written: a comment may name a person or a path.
    """
    smallest = e.params.min_cell
    notes = (
        None
        if e.notes is None
        else {
            **e.notes,
            "sentences": [safe_words(s, smallest) for s in e.notes.get("sentences", [])],
            "warnings": [safe_words(s, smallest) for s in e.notes.get("warnings", [])],
            "placebos": [safe_words(s, smallest) for s in e.notes.get("placebos", [])],
            "groups": safe_groups(e.notes.get("groups", {})),
        }
    )
    table = None if e.table is None else safe_comparison(e.table, smallest, flow=e.flow or {})
    return replace(
        e,
        shareable=True,
        audit=None,
        cohort_hash=None,
        notes=notes,
        table=table,
        estimates={
            entry: safe_estimates(found, e.small_disorders, treatments=e.few_treated)[0]
            for entry, found in e.estimates.items()
        },
        attacks={
            entry: _safe_attacks(
                found, e.small_disorders, few_with_several=e.few_with_several, treatments=e.few_treated
            )
            for entry, found in e.attacks.items()
        },
        checks={entry: {**found, **safe_checks(found)} for entry, found in e.checks.items()},
        specs={
            entry: yaml.safe_dump(model.model_dump(mode="json", exclude_defaults=True), sort_keys=False)
            for entry, model in e.models.items()
        },
        missing=[m for m in e.missing if "audit" not in m],
    )


def _safe_attacks(
    found: Mapping[Numbers, dict[str, Any]],
    small: Sequence[str],
    *,
    few_with_several: bool = False,
    treatments: Sequence[str] = (),
) -> dict[Numbers, dict[str, Any]]:
    """Return verdicts without observed values, and no conclusion on too few people."""
    safe: dict[Numbers, dict[str, Any]] = {}
    stays = _OF_GROUPS + ((n.LARGEST_DIFFERENCE,) if small else ())
    stays += _OF_SEVERAL if few_with_several else ()
    for what, content in found.items():
        if what == "predictive_checks":
            safe[what] = {
                "rule": content.get("rule", ""), "checks": [{**c, "worst": []} for c in content["checks"]]
            }  # fmt: skip
        elif what == "sensitivity":
            kept = [
                r for r in content["power_scaling"]
                if not r["conclusion"].startswith(stays)
                and not any(d in r["conclusion"] for d in (*small, *treatments))
            ]  # fmt: skip
            contraction = [r for r in content["contraction"] if not r["parameter"].startswith(stays)]
            counts = {  # of the conclusions that are told, as on the lab's page
                "sensitive_to_a_prior": sum(r["sensitive"] for r in kept),
                "led_by_a_prior": sum("led by" in r["diagnosis"] for r in kept),
            }
            refits = [_nameless(r) for r in content.get("refits", [])]
            own = {"power_scaling": kept, "contraction": contraction, "states": {}, "refits": refits}
            safe[what] = {**content, **counts, **own}
        else:
            safe[what] = content
    return safe


def _nameless(refit: Mapping[str, Any]) -> dict[str, Any]:
    """Return a refit without the name of the site that was left out, and without what changes one by one."""
    kept = {k: v for k, v in refit.items() if k not in ("which", "largest_shift_of")}
    variant = str(refit["variant"])
    if not variant.startswith(n.WITHOUT_SITE):
        return kept
    return {**kept, "variant": "without one site", "text": f"without one site{refit['text'][len(variant) :]}"}


def safe_groups(groups: Mapping[str, Any]) -> dict[str, Any]:
    """Return scores of disorders that were left out; a site's name stays in the lab."""
    rows = [r for r in groups.get("rows", []) if r["kind"] != "site"]
    said = [s for s in groups.get("sentences", []) if not re.search(r"\bsite\b", s)]
    return {"rows": rows, "sentences": said, "evidence": groups.get("evidence", [])}
