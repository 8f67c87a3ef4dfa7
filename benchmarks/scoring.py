"""What scoring costs: everybody at many draws, and every site left out.

    python benchmarks/scoring.py draws
    PYTHON_CPU_COUNT=1 python benchmarks/scoring.py sites [how many of them]

``draws``: the total and all blocks at 2 000 draws, for 300 people, 39 items of three categories, three
functions, five factors, four disorders and 12 regions that 46 % lack. ``sites``: each of ten sites left out
against one fit of full length, and what Numba compiled meanwhile; 120 people and 12 items, whose fits take
less long. Seconds are those of processors: other work does not count.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from cohort import isas, make_cohort
from numba.core import event

import nssi_bayes.integrate  # noqa: F401  (double precision)
from nssi_bayes import names as n
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build_design
from nssi_bayes.check import scores
from nssi_bayes.crossvalidate.folds import by_site
from nssi_bayes.crossvalidate.refit import held_out
from nssi_bayes.fit.sample import sample
from nssi_bayes.spec import CrossValidation, JointSpec, Sampler, parse, read_priors
from nssi_bayes.store import read_json, seed_sequence, write_json

SEED: Final = 20261127
DRAWS: Final = 2000
SITES: Final = 10
REGIONS: Final = 12
TESTLETS: Final = "none"
_OUT: Final = Path(__file__).parent / "results" / "scoring.json"
_SMALL: Final = ("affect_regulation", "anti_dissociation", "marking_distress", "self_punishment")
_RELIABILITY: Final = {
    "trauma": 0.9,
    "attachment": 0.7,
    "stress": 0.8,
    "dysregulation": 0.85,
    "support": 0.75,
}


def _reference() -> tuple[Built, dict[str, Any]]:
    """Return the reference problem and draws that lie about as far apart as those of a posterior."""
    rng = np.random.default_rng(seed_sequence(SEED, "reference"))
    cohort = make_cohort(rng, 300, subscales=isas(), reliability=_RELIABILITY, scanned=0.54)
    cohort = cohort.isel({n.DISORDER: slice(4), n.ROI: slice(REGIONS)})
    subscales = list(isas())
    content = {
        "description": "reference",
        "functions": {
            "emotion_regulation": [*_SMALL[:3], "anti_suicide"],
            "self_punishment": ["self_punishment"],
            "social_signalling": [
                s for s in subscales if s not in (*_SMALL, "anti_suicide")
            ],
        },
        "measurement": {"testlets": TESTLETS},
        "factors": list(_RELIABILITY),
        "disorder": {"levels": True},
        "neural": {"residual": "factor"},
        "outcome": "severity",
    }  # fmt: skip
    return _made(cohort, content, rng)


def _small() -> tuple[Built, xr.Dataset]:
    rng = np.random.default_rng(seed_sequence(SEED, "sites"))
    subscales = {k: v for k, v in isas().items() if k in _SMALL}
    cohort = make_cohort(rng, 120, subscales=subscales, reliability={"trauma": 0.8})
    cohort[n.SITE_OF] = (n.PARTICIPANT, np.array([f"site_{i % SITES}" for i in range(120)]))
    content = {
        "description": "ten sites",
        "functions": {"self_related": list(_SMALL[:3]), "self_punishment": [_SMALL[3]]},
        "factors": ["trauma"], "disorder": {"levels": True}, "outcome": "severity",
    }  # fmt: skip
    return _made(cohort, content, rng)[0], cohort


def _made(
    cohort: xr.Dataset, content: dict[str, Any], rng: np.random.Generator
) -> tuple[Built, dict[str, Any]]:
    spec = parse(JointSpec, content, where="scoring")
    design = make_design(cohort, spec)
    drawn = draw(joint.parameters(spec, design, read_priors()), design.coords, rng, DRAWS)
    theta = {name: v[0] for name, v in drawn.items()}
    theta["lambda"] = np.full_like(theta["lambda"], 1.5)
    near = {k: np.repeat(v[None], DRAWS, axis=0) for k, v in theta.items()}
    near["B"] = near["B"] + 0.1 * rng.standard_normal(near["B"].shape)
    return build_design(spec, generate(theta, design, rng)), near


def draws() -> dict[str, Any]:
    """Score everybody."""
    built, theta = _reference()
    blocks = joint.blocks_of(built.design)
    few = {k: v[:2] for k, v in theta.items()}
    scores.evaluate(few, built.design)  # compiled, or read from the cache
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, processor = time.perf_counter(), time.process_time()
    found, _ = scores.evaluate(theta, built.design)
    scored = scores.leave_one_out(found, blocks, chains=4)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    gap = np.abs(sum(scored.elpd[b] for b in blocks) - scored.elpd[scores.TOTAL]).max()
    return {
        "participants": len(scored.k_hat), "items": len(built.design.coords[n.INDICATOR]),
        "factors": len(built.design.coords[n.FACTOR]), "regions": len(built.design.coords[n.ROI]),
        "draws": DRAWS, "blocks": blocks, "processor_seconds": processor, "wall_seconds": wall,
        "largest_gap_of_blocks": float(gap),
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "peak_before_gib": before / 2**20,
    }  # fmt: skip


def sites(count: int = SITES) -> dict[str, Any]:
    """Fit once, and once without each of some sites."""
    built, cohort = _small()
    groups = list(by_site(cohort).values())[:count]
    sampler = CrossValidation().sampler
    first = time.process_time()
    sample(built, Sampler(chains=4, tune=100, draws=100), np.random.SeedSequence(0))  # compiles
    with event.install_recorder("numba:compile") as compiled:
        began = time.process_time()
        sample(built, Sampler(), np.random.SeedSequence(1))
        once = time.process_time()
        seeds = [np.random.SeedSequence([2, g]) for g in range(len(groups))]
        found = list(held_out(built, groups, sampler, seeds))
        ended = time.process_time()
    return {
        "participants": len(built.design.diagnosis), "sites": SITES, "sites_left_out": len(found),
        "first_seconds": began - first, "fit_seconds": once - began, "sites_seconds": ended - once,
        "ratio_of_all_sites": (ended - once) / (once - began) * SITES / len(found),
        "compiled_again": len(compiled.buffer),
        "max_rhat": max(h.max_rhat for h in found), "divergences": sum(h.divergences for h in found),
    }  # fmt: skip


if __name__ == "__main__":
    what = sys.argv[1]
    rows = read_json(_OUT) if _OUT.exists() else {"command": "python benchmarks/scoring.py", "seed": SEED}
    found = draws() if what == "draws" else sites(*map(int, sys.argv[2:]))
    write_json(_OUT, {**rows, "synthetic": True, what: found})
