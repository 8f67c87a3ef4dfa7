"""What sampling costs as a cohort of continuous indicators grows: `python growth.py OUT PEOPLE...`.

Nine scores of three functions, two factors of history, two covariates, three sites and an outcome.
A third of the people were not given the last three scores: two patterns of missingness, whatever
their number. `scattered` is the cost of a gradient where 3 % of the values are missing here and
there instead, so that patterns grow with people. Without compiling and without the pointwise pass.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from cohort import add_scores, make_cohort

from nssi_bayes import names as n
from nssi_bayes.blocks.compiled import Slots
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.joint import parameters
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.blocks.sums import Sums
from nssi_bayes.build import Built, build_design
from nssi_bayes.check.gate import judge
from nssi_bayes.fit import sample
from nssi_bayes.fit.density import compile_density
from nssi_bayes.spec import JointSpec, Sampler, parse, read_priors
from nssi_bayes.store import write_json

SCORES: Final = 9
FITS: Final = 3
MISSING: Final = 0.03
SAMPLER: Final = Sampler(chains=4, tune=150, draws=1000)
SPEC: Final[dict[str, Any]] = {
    "description": "nine continuous indicators of three functions",
    "functions": {f"function_{f}": [f"score_{3 * f + j}" for j in range(3)] for f in range(3)},
    "factors": ["trauma", "attachment"],
    "disorder": {"levels": True},
    "outcome": "severity",
}


def people(count: int, *, scattered: bool = False) -> Built:
    """Return a model of `count` people drawn from it."""
    rng = np.random.default_rng(1)
    cohort = make_cohort(
        rng, count, subscales={}, reliability={"trauma": 0.9, "attachment": 0.7}, missing=MISSING * scattered
    )
    value = np.where(rng.random((count, SCORES)) < MISSING * scattered, np.nan, 0.0)
    if not scattered:
        value[rng.random(count) < 1 / 3, -3:] = np.nan
    cohort = add_scores(cohort, [f"score_{j}" for j in range(SCORES)], value)
    spec = parse(JointSpec, SPEC, where="growth")
    design = make_design(cohort, spec)
    rng = np.random.default_rng(2)  # the same parameters for every number of people
    drawn = draw(parameters(spec, design, read_priors()), design.coords, rng, 1)
    theta = {name: v[0] for name, v in drawn.items()}
    theta |= {"lambda_score": np.full(SCORES, 0.7), "sigma_score": np.full(SCORES, 0.7)}
    return build_design(spec, generate(theta, design, rng))


def measure(count: int) -> dict[str, Any]:
    """Fit, and say what it took."""
    built = people(count)
    began = time.perf_counter()
    slots = Slots({p.name: p.shape(built.design.coords) for p in built.parameters})
    patterns = len(Sums(built.design, slots).count)
    summing = time.perf_counter() - began
    density = compile_density(built)
    compile_density(people(100)).value_and_gradient(density.start)  # compiled, or read from the cache
    seconds = []
    for seed in range(FITS):
        began = time.process_time()
        drawn = sample.sample(built, SAMPLER, np.random.SeedSequence(seed))
        seconds.append(time.process_time() - began)
    posterior = xr.Dataset(
        {
            name: ((n.CHAIN, n.DRAW, *(f"{name}_{a}" for a in range(v.ndim - 2))), v)
            for name, v in drawn.values.items()
            if name not in ("Omega", "Omega_x")
        }
    )
    posterior = posterior.assign_coords({d: np.arange(s) for d, s in posterior.sizes.items()})
    tree = xr.DataTree.from_dict({"posterior": posterior, "sample_stats": drawn.statistics})
    tree.attrs.update(rerun=int(drawn.rerun), target_accept=drawn.target_accept, tune=drawn.tune)
    gate = judge(tree, {})
    return {
        "participants": count, "patterns": patterns, "parameters": density.size,
        "seconds_to_sum": summing, "microseconds_a_gradient": _gradient(built),
        "steps_a_draw": float(drawn.statistics["n_steps"].mean()),
        "scattered": _scattered(count),
        "cpu_seconds_to_sample": float(np.median(seconds)), "each": seconds,
        "certified": gate.certified, "min_ess_bulk": gate.sampling["min_ess_bulk"],
        "rerun": gate.sampling["rerun"],
    }  # fmt: skip


def _gradient(built: Built) -> float:
    density = compile_density(built)
    began = time.process_time()
    for _ in range(300):
        density.value_and_gradient(density.start)
    return 1e6 * (time.process_time() - began) / 300


def _scattered(count: int) -> dict[str, float]:
    built = people(count, scattered=True)
    slots = Slots({p.name: p.shape(built.design.coords) for p in built.parameters})
    return {
        "patterns": len(Sums(built.design, slots).count),
        "microseconds_a_gradient": _gradient(built),
    }


if __name__ == "__main__":
    rows = [measure(int(count)) for count in sys.argv[2:]]
    write_json(Path(sys.argv[1]), {"growth": rows})
