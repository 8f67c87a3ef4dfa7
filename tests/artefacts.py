"""A small project with made-up artefacts, in exactly the formats that the rooms write."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, digest, write_dataset, write_json, write_table, write_text, write_tree

DISORDERS = ("mood", "bipolar", "eating", "borderline", "anxiety")
FUNCTIONS = ("emotion_regulation", "self_punishment", "social_signalling")
FACTORS = ("trauma", "attachment")
NETWORK_OF = {
    "AMY_L": ("limbic", "L", -24, -4, -20), "AMY_R": ("limbic", "R", 24, -4, -20),
    "AINS_L": ("salience", "L", -36, 18, 0), "AINS_R": ("salience", "R", 36, 20, 0),
    "VLPFC_L": ("emotion_regulation", "L", -46, 28, -6), "DACC": ("salience", "M", 0, 14, 38),
    "VLPFC_R": ("emotion_regulation", "R", 46, 30, -8), "VS_R": ("reward", "R", 12, 10, -6),
}  # fmt: skip
ROSTER = (
    "heterogeneity/shared", "heterogeneity/disorder_means", "heterogeneity/disorder_circuits",
    "outcome/conventional", "outcome/joint",
)  # fmt: skip
STUDY = """title: A synthetic cohort
synthetic: true
disorders:
  flags: {mood: dx_mood, bipolar: dx_bipolar, eating: dx_eating, borderline: dx_b, anxiety: dx_anxiety}
instruments:
  isas: {table: phenotype/isas.tsv, column: "isas_{item:02d}"}
  ctq_sf: {table: phenotype/ctq_sf.tsv, column: "ctq_sf_{item:02d}"}
items: [isas]
"""
BLOCKS = ("total", "factors", "items", "activation")
OUTCOME_BLOCK = "outcome_given_items_factors"


def make_params(**changes: Any) -> Params:
    """Return the parameters of the made-up run."""
    content: dict[str, Any] = {
        "study": "demo", "source": "data/demo/bids", "seed": 7, "synthetic_cohorts": ("demo",),
        "roster": ROSTER, "questions": ("heterogeneity", "outcome"), **changes,
    }  # fmt: skip
    return Params.model_validate(content)


def _interval(rng: np.random.Generator, scale: float, *, center: float | None = None) -> dict[str, float]:
    mean = float(rng.normal(0, scale)) if center is None else center
    sd = scale * 0.6
    return {"mean": mean, "low": mean - 1.64 * sd, "high": mean + 1.64 * sd}


def _signed(rng: np.random.Generator, scale: float) -> dict[str, float]:
    row = {**_interval(rng, scale), "p_positive": float(rng.uniform())}
    return {**row, "p_over_rope": float(rng.uniform())}


def make_estimates(seed: int = 0) -> dict[str, Any]:
    """Return ``estimates.json`` of a rich joint model."""
    rng = np.random.default_rng(seed)
    both = ("adjusted", "as_met")

    def scale_row(center: float) -> dict[str, dict[str, float]]:
        return {
            k: {"mean": center, "low": center * 0.3, "high": center * 2}
            for k in ("finite_sd", "largest", "tau")
        }

    return {
        "rope": 0.2, "interval": 0.9,
        "levels": [
            {"estimand": e, "disorder": d, "function": f, "sd": 0.2, **_signed(rng, 0.3)}
            for e in both for f in FUNCTIONS for d in DISORDERS
        ],
        "contrasts": [
            {"estimand": e, "function": f, "disorder": a, "other": b, **_signed(rng, 0.3)}
            for e in both for f in FUNCTIONS for a, b in combinations(DISORDERS, 2)
        ],
        "heterogeneity": [
            {"term": t, "function": f, "detail": detail, "posterior": scale_row(0.25),
             "prior": scale_row(0.4), "contraction": 0.35, "p_over_rope": 0.61}
            for t, detail in (("levels", ""), ("slopes", "trauma"), ("loadings", "limbic"))
            for f in FUNCTIONS
        ],
        "slopes": [{"function": f, "factor": p, **_signed(rng, 0.15)} for f in FUNCTIONS for p in FACTORS],
        "slopes_by_disorder": [
            {"function": f, "factor": p, "disorder": d, **_signed(rng, 0.15)}
            for f in FUNCTIONS for p in FACTORS for d in DISORDERS
        ],
        "correlations": [
            {"function": a, "other": b, "p_positive": 1.0, "p_over_rope": 0.99,
             **_interval(rng, 0.1, center=0.55)}
            for a, b in combinations(FUNCTIONS, 2)
        ],
        "rois": [
            {"roi": r, "network": m[0], "hemisphere": m[1], "x": m[2], "y": m[3], "z": m[4],
             "function": f, "standardised": _interval(rng, 0.1), **_signed(rng, 0.12)}
            for r, m in NETWORK_OF.items() for f in FUNCTIONS
        ],
        "rois_by_disorder": [
            {"function": f, "disorder": d, "roi": r, "network": m[0], "hemisphere": m[1],
             "x": m[2], "y": m[3], "z": m[4], "sd": 0.05, **_signed(rng, 0.05)}
            for f in FUNCTIONS for d in DISORDERS for r, m in NETWORK_OF.items()
        ],
        "networks": [
            {"network": w, "function": f, **_signed(rng, 0.1)}
            for w in sorted({m[0] for m in NETWORK_OF.values()}) for f in FUNCTIONS
        ],
        **_connectivity(rng),
        "outcome": [
            {"term": t, **_signed(rng, 0.2)} for t in ("emotion_regulation", "self_punishment", "trauma")
        ],
        "measurement": [
            {"indicator": f"subscale_{i}", "function": f, "loading": _interval(rng, 0.3, center=1.6)}
            for i, f in enumerate(FUNCTIONS)
        ],
    }  # fmt: skip


def _connectivity(rng: np.random.Generator) -> dict[str, Any]:
    """Edges between the first regions, and their pair of networks."""
    return {
        "edges": [
            {"edge": f"{a}--{b}", "a": a, "b": b, "network": "limbic--valuation", "from": NETWORK_OF[a][2:5],
             "to": NETWORK_OF[b][2:5], "function": f, "standardised": _interval(rng, 0.1),
             **_signed(rng, 0.12)}
            for a, b in combinations(list(NETWORK_OF)[:3], 2) for f in FUNCTIONS
        ],
        "network_pairs": [
            {"network_pair": "limbic--valuation", "function": f, **_signed(rng, 0.1)} for f in FUNCTIONS
        ],
    }  # fmt: skip


def make_checks(model: str, *, certified: bool = True, people: int = 120) -> dict[str, Any]:
    """Return ``checks.json`` of one model; `model` is ``question/name``."""
    question, name = model.split("/")
    conventional = name.startswith("conventional")
    return {
        "model": name, "question": question, "description": f"The model {name}, in one line.",
        "kind": "conventional" if conventional else "joint",
        "certified": certified, "synthetic": True, "fingerprint": digest({"model": model}),
        "sampling": {
            "chains": 4, "draws": 1000, "tune": 700, "divergences": 0 if certified else 3,
            "max_rhat": 1.004 if certified else 1.08, "min_ess_bulk": 812.0, "min_ess_tail": 1033.0,
            "min_ebfmi": 0.81, "rerun": not certified, "target_accept": 0.85,
            "worst": [{"quantity": "tau_mean[self_punishment]", "rhat": 1.004, "ess_bulk": 812.0,
                       "ess_tail": 1033.0}],
        },
        "checks": [
            {"name": "rhat", "passed": certified, "value": 1.004 if certified else 1.08, "limit": 1.01,
             "text": "largest rank-normalised R-hat of the certified quantities"},
            {"name": "residual_correlation", "passed": None, "value": 0.03, "limit": None,
             "text": "informative only"},
        ],
        "training": {"participants": people, "blocks": ["factors", "items"]},
    }  # fmt: skip


def make_loo(model: str, *, people: int = 120, gain: float = 0.0, seed: int = 0) -> xr.Dataset:
    """Return the pointwise scores of one model; `gain` is added to every person's first block."""
    question, name = model.split("/")
    rng, own = np.random.default_rng(seed), np.random.default_rng([seed, len(name)])
    if question == "outcome":
        blocks = [OUTCOME_BLOCK] if name.startswith("conventional") else [*BLOCKS, "outcome", OUTCOME_BLOCK]
    else:
        blocks = list(BLOCKS)
    parts = [b for b in blocks if b not in ("total", OUTCOME_BLOCK)]
    elpd = {b: -5 - rng.gamma(2.0, 1.0, people) + own.normal(0, 0.05, people) for b in parts}
    if parts:
        elpd[parts[-1]] = elpd[parts[-1]] + gain
        elpd["total"] = sum(elpd[b] for b in parts)
    elpd[OUTCOME_BLOCK] = (
        -1.4 - np.random.default_rng(seed + 1).gamma(2.0, 0.1, people) + own.normal(gain, 0.05, people)
    )
    conditions = {b: ", ".join(parts[: parts.index(b)]) if b in parts else "items, factors" for b in blocks}
    return xr.Dataset(
        {
            "elpd": (("participant", "block"), np.column_stack([elpd[b] for b in blocks])),
            "p_loo": ("block", np.linspace(4, 12, len(blocks))),
            "k_hat": ("participant", own.uniform(-0.1, 0.5, people)),
        },
        coords={"participant": [f"sub-{i:03d}" for i in range(people)], "block": blocks},
        attrs={
            "model": name, "question": question, "fingerprint": digest({"model": model}),
            "certified": 1, "draws": 4000, "kind": "joint", "synthetic": 1,
            "observed": json.dumps({b: digest(b.encode()) for b in blocks}),
            "conditioned": json.dumps(conditions),
        },
    )  # fmt: skip


def make_posterior(seed: int = 0, draws: int = 200) -> xr.DataTree:
    """Return draws of two chains, with effects of every disorder and their scales."""
    rng = np.random.default_rng(seed)
    tau = np.abs(rng.normal(0, 0.2, (2, draws, len(FUNCTIONS)))) + 0.02
    slopes = rng.normal(0, 0.1, (2, draws, len(DISORDERS), len(FUNCTIONS), len(FACTORS)))
    levels = rng.normal(0, 0.2, (2, draws, len(DISORDERS), len(FUNCTIONS)))
    both, f, p = ("chain", "draw"), len(FUNCTIONS), len(FACTORS)
    posterior = xr.Dataset(
        {
            "A": ((*both, "disorder", "function"), levels - levels.mean(axis=2, keepdims=True)),
            "tau_mean": ((*both, "function"), tau),
            "B": ((*both, "function", "factor"), rng.normal(0.1, 0.1, (2, draws, f, p))),
            "B_disorder": (
                (*both, "disorder", "function", "factor"), slopes - slopes.mean(axis=2, keepdims=True)
            ),
            "tau_slope": ((*both, "function"), tau / 2),
            "M": ((*both, "factor", "disorder"), rng.normal(0, 0.3, (2, draws, p, len(DISORDERS)))),
            "u_site": ((*both, "function", "site"), rng.normal(0, 0.1, (2, draws, len(FUNCTIONS), 2))),
        },
        coords={"disorder": list(DISORDERS), "function": list(FUNCTIONS), "factor": list(FACTORS),
                "site": ["Northern hospital", "B"]},
    )  # fmt: skip
    stats = xr.Dataset({"diverging": (both, np.zeros((2, draws), dtype=bool))})
    return xr.DataTree.from_dict({"posterior": posterior, "prior": posterior, "sample_stats": stats})


def make_flow(people: int = 120) -> dict[str, Any]:
    """Return ``flow.json``."""
    return {
        "steps": [
            {"step": "in the participants table", "participants": people + 3},
            {"step": "with any observed block", "participants": people},
            {"step": "scanned", "participants": round(people * 0.54)},
        ],
        "missing": [
            {"block": "items", "variable": "isas_01", "observed": people - 4, "missing": 4},
            {"block": "items", "variable": "isas_02", "observed": people, "missing": 0},
            {"block": "factors", "variable": "trauma", "observed": people - 17, "missing": 17},
            {"block": "activation", "variable": "AMY_L", "observed": 65, "missing": people - 65},
            {"block": "outcome", "variable": "severity", "observed": people - 2, "missing": 2},
        ],
        "disorders": [
            {"disorder": d, "participants": c} for d, c in zip(DISORDERS, (70, 25, 7, 41, 38), strict=True)
        ],
        "overlap": {"participants_with_two_or_more": 39},
        "imaging": {
            "activation": {
                "settings": {"atlas": "nssi_spheres", "statistic": "effect"},
                "reliability": {
                    "people": 14,
                    "declared": "",
                    "icc": {"AMY_L": {"icc": 0.41, "low": 0.21, "high": 0.58}},
                },
            },
            "connectivity": {
                "settings": {
                    "strategy": "scrubbing",
                    "fd_threshold_mm": "0.5",
                    "low_pass_hz": "0.1",
                    "cleaning": "scrubbing in one line",
                },
                "reliability": None,
            },
        },
        "synthetic": True,
        "title": "A synthetic cohort in the shape of an NSSI study",
    }


def make_audit() -> pd.DataFrame:
    """Return ``audit.tsv``."""
    rows = [
        ("ingest", "phenotype/isas.tsv", "isas_01", "missing code", 120, 4, 4, 0, 0, ""),
        ("extract", "maps", "SGACC", "coverage under 0.5", 65, 0, 0, 0, 14, ""),
        ("score", "isas", "isas_02", "polarity", 120, 0, 0, 0, 0, "runs with its scale"),
    ]
    return pd.DataFrame(rows, columns=list(n.AUDIT))


def write_model(layout: Layout, model: str, *, certified: bool = True, gain: float = 0.0) -> None:
    """Write spec, checks, scores and estimates of one model."""
    checks = make_checks(model, certified=certified)
    kind = checks["kind"]
    outcome = "outcome: severity\n" if kind == "conventional" else ""
    functions = "functions:\n  emotion_regulation: [affect_regulation]\n"
    write_text(layout.spec(model), f"kind: {kind}\ndescription: one line\n{outcome}{functions}")
    write_json(layout.checks(model), checks)
    scores = make_loo(model, gain=gain)
    write_dataset(layout.loo(model), scores.assign_attrs(certified=int(certified)))
    parameters = (
        ["A", "tau_mean", "B", "B_disorder", "tau_slope", "Omega", "lambda"] if kind == "joint" else []
    )
    write_json(layout.fingerprint(model), {"fingerprint": checks["fingerprint"], "parameters": parameters})
    write_tree(layout.posterior(model), make_posterior())
    if kind == "joint":
        estimates = make_estimates()
        name = model.split("/")[1]
        if name == "shared":
            for part in ("levels", "contrasts", "heterogeneity", "slopes_by_disorder", "rois_by_disorder"):
                estimates[part] = []
        if model.split("/")[0] != "outcome":
            estimates["outcome"] = []
        write_json(layout.estimates(model), estimates)


def write_project(root: Path, *, roster: tuple[str, ...] = ROSTER) -> Layout:
    """Write a whole project of made-up artefacts under `root`."""
    layout = Layout(root)
    for i, model in enumerate(roster):
        write_model(layout, model, gain=0.05 * i)
    write_json(layout.flow("demo"), make_flow())
    write_table(layout.audit("demo"), make_audit())
    write_text(layout.study("demo"), STUDY)
    write_dataset(layout.cohort("demo"), xr.Dataset(attrs={"synthetic": 1}))
    return layout
