"""Simulation-based calibration of the whole joint model, at 100 people, on the marginal route.

    python benchmarks/sbc.py --shard 0 --of 2 --out benchmarks/results/sbc
    python benchmarks/sbc.py --summarise --out benchmarks/results/sbc

Items, factors, activation, connectivity and severity; levels, slopes and loadings vary by disorder.
200 replications: parameters from the priors, data of 100 people (54 scanned, two of a hundred
responses missing, a third with two diagnoses), a fit of two chains. One that has not mixed is fitted
again to the same data, with the chains and draws of a fit that is to be certified. One file a replication,
written at its end; one that is there is left alone, so that a run that was cut off goes on. The
names of the quantities stand in a file of their own, and numbers are kept to five digits, far under
their Monte Carlo error: with them two hundred files are a tenth as long.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from cohort import isas, make_cohort
from shards import run_shards

import nssi_bayes.integrate  # noqa: F401  (double precision)
from nssi_bayes.blocks.design import make_design
from nssi_bayes.build import build_design
from nssi_bayes.calibrate.replication import Plan, replicate
from nssi_bayes.calibrate.summary import LARGEST_RHAT, summarise
from nssi_bayes.spec import JointSpec, Sampler, parse, read_model
from nssi_bayes.store import Layout, read_json, seed_sequence, write_json

__all__ = ["compact", "plan"]

SEED: Final = 20261101
PARTICIPANTS: Final = 100
REPLICATIONS: Final = 200
MODEL: Final = "heterogeneity/disorder_circuits"
LONG: Final = Sampler(chains=4, tune=150, draws=1000)
_COMMAND: Final = "python benchmarks/sbc.py"
_NAMES: Final = Path(__file__).parent / "results" / "sbc" / "quantities.json"
_LONG: Final = ("truth", "mean", "sd")


@cache
def plan() -> Plan:
    """Return what is calibrated: the richest shipped model with an outcome, on a cohort of its own."""
    content = read_model(Layout(Path(__file__).parents[1]), MODEL).model_dump()
    spec = parse(JointSpec, {**content, "outcome": "severity"}, where=MODEL)
    rng = np.random.default_rng(seed_sequence(SEED, "people"))
    reliability = {"trauma": 0.9, "attachment": 0.85}
    cohort = make_cohort(rng, PARTICIPANTS, subscales=isas(), reliability=reliability, scanned=0.54)
    sampler = Sampler(chains=2, tune=150, draws=250)
    return Plan(build_design(spec, make_design(cohort, spec)), sampler, SEED)


def one(index: int) -> dict[str, Any]:
    """Run one replication."""
    used = plan()
    found = replicate(used, index)
    health = found.get("health", {"max_rhat": 0.0, "divergences": 0})
    if health["max_rhat"] >= LARGEST_RHAT or health["divergences"]:
        used = replace(used, sampler=LONG)
        found = replicate(used, index)
    divergences = found.get("health", {}).get("divergences", 0)
    return {**compact(found, _NAMES), "model": MODEL, "participants": PARTICIPANTS, "synthetic": True,
            "sampler": used.sampler.model_dump(), "divergences": divergences}  # fmt: skip


def compact(found: dict[str, Any], names: Path) -> dict[str, Any]:
    """Take the names of the quantities out, which are the same in all replications.

    Raises
    ------
    ValueError
        If they are not.
    """
    if "quantity" not in found:
        return found
    if not names.exists():
        write_json(names, {"quantity": found["quantity"]})
    if read_json(names)["quantity"] != found["quantity"]:
        raise ValueError("this replication has other quantities than those before it")
    short = {k: [float(f"{v:.5g}") for v in found[k]] for k in _LONG}
    covered = [int(v) for v in found["covered"]]
    return {k: v for k, v in found.items() if k != "quantity"} | short | {"covered": covered}


def pool(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Pool what is there."""
    names = read_json(_NAMES)
    found = [one if "failed" in one else {**one, **names} for one in found]
    return {"command": _COMMAND, "model": MODEL, "participants": PARTICIPANTS, "synthetic": True,
            "seed": SEED, **summarise(found)}  # fmt: skip


if __name__ == "__main__":
    run_shards(__doc__, _COMMAND, one=one, pool=pool, cohorts=REPLICATIONS)
