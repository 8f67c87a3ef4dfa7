"""What a cohort that answers items costs as it grows: `python growth_items.py OUT PEOPLE...`.

The reference problem of the rivals (39 items of three categories, three functions, two factors, levels and
slopes of five disorders, 12 regions that 46 % lack) with more people, whom no sums can stand for. Every
number of people in a process of its own: time of processors to sample, with effective draws, and the most
memory of that process after sampling, and after everybody was scored and data were drawn again.
`--draws` and `--scored` say how many draws of a chain, and how many of them scored. People are integrated
out with the nodes that `fit` would take: the errors of all people add up, so that large cohorts have the
finer ones.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from arviz_stats.base import array_stats
from rivals_problem import problem

from nssi_bayes.blocks.labelled import label, theta_of
from nssi_bayes.build import Built
from nssi_bayes.check import predictive
from nssi_bayes.check.by_person import pointwise
from nssi_bayes.fit.accuracy import LARGEST_ERROR, LOOKED_AT, NEARLY, errors
from nssi_bayes.fit.chains import draw_chain, typical_coordinates
from nssi_bayes.fit.density import compile_density
from nssi_bayes.fit.whiten import Coordinates
from nssi_bayes.spec import Sampler
from nssi_bayes.store import read_json, write_json

SEED: Final = 1
CHAINS: Final = 2
TUNE: Final = 150
ACCEPT: Final = 0.6
GRADIENTS: Final = 20


def measure(people: int, *, draws: int, scored: int) -> dict[str, Any]:
    """Sample, score, and say what it took.

    Parameters
    ----------
    people : int
        Of the cohort.
    draws : int
        Of a chain, after warm-up.
    scored : int
        Draws that people are scored at.

    Returns
    -------
    dict
        Seconds of processors, effective sizes, GiB.
    """
    compiled = compile_density(problem(SEED, 20))
    compiled.value_and_gradient(compiled.start)  # compiled, or read from the cache
    built = problem(SEED, people)
    began = time.process_time()
    found = typical_coordinates(built)
    looking = time.process_time() - began
    error = _error(built, found)
    built = replace(built, fine=error > NEARLY * LARGEST_ERROR)
    density = compile_density(built)
    began = time.process_time()
    for _ in range(GRADIENTS):
        density.value_and_gradient(density.start)
    gradient = (time.process_time() - began) / GRADIENTS
    sampler = Sampler(chains=CHAINS, tune=TUNE, draws=draws, target_accept=ACCEPT)
    began = time.process_time()
    chains = [
        draw_chain(density, found, sampler, s) for s in np.random.SeedSequence([SEED, people]).spawn(CHAINS)
    ]
    sampling = time.process_time() - began
    steps = float(np.mean([c.statistics["n_steps"].mean() for c in chains]))
    values = {name: np.stack([c.values[name] for c in chains]) for name in chains[0].values}
    flat = np.concatenate([np.moveaxis(v.reshape(CHAINS, draws, -1), -1, 0) for v in values.values()])
    flat = flat[flat.std(axis=(1, 2)) > 1e-9]
    sizes = array_stats.ess(flat)
    after_sampling = _peak()
    theta = theta_of(label(values, built.parameters, built.design), built.parameters)
    few = {name: value[:: max(1, CHAINS * draws // scored)][:scored] for name, value in theta.items()}
    began = time.process_time()
    pointwise(few, built.design, chains=CHAINS, keep=np.zeros(0, dtype=int))
    scoring = time.process_time() - began
    predictive.check(few, built.design, np.random.default_rng(SEED), min_cell=11)
    return {
        "participants": people, "fine": built.fine, "parameters": density.size,
        "sd_of_error": {"first_nodes": error, "nodes_taken": _error(built, found)},
        "chains": CHAINS, "tune": TUNE, "draws": draws,
        "milliseconds_a_gradient": 1e3 * gradient, "microseconds_a_person": 1e6 * gradient / people,
        "seconds_coordinates": looking, "seconds_sampling": sampling, "steps_a_draw": steps,
        "divergences": int(sum(int(c.statistics["diverging"].sum()) for c in chains)),
        "max_rhat": float(array_stats.rhat(flat).max()),
        "smallest_ess": float(sizes.min()), "median_ess": float(np.median(sizes)),
        "seconds_an_effective_draw": {
            "smallest": gradient * steps * CHAINS * draws / float(sizes.min()),
            "median": gradient * steps * CHAINS * draws / float(np.median(sizes)),
        },
        "scored": scored, "seconds_scoring": scoring,
        "peak_gib": {"sampling": after_sampling, "scores_and_predictive_checks": _peak()},
    }  # fmt: skip


def _error(built: Built, found: Coordinates) -> float:
    """Return the sd of the error of all people's integrals, in nats, around the typical point."""
    density = compile_density(built)
    y = np.random.default_rng(SEED).standard_normal((LOOKED_AT, density.size))
    values = {name: value[None] for name, value in density.constrain(found.to_x(y)).items()}
    return float(
        np.std(errors(theta_of(label(values, built.parameters, built.design), built.parameters), built))
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Measure each number of people, or one of them here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("people", type=int, nargs="+")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--scored", type=int, default=1000)
    parser.add_argument("--here", action="store_true", help="in this process")
    given = parser.parse_args()
    rows = read_json(given.out)["growth"] if given.out.exists() else []
    for people in given.people:
        if given.here:
            rows.append(measure(people, draws=given.draws, scored=given.scored))
            write_json(given.out, {"command": "python benchmarks/growth_items.py", "synthetic": True,
                                   "seed": SEED, "growth": rows})  # fmt: skip
            continue
        more = ["--draws", str(given.draws), "--scored", str(given.scored), "--here"]
        command = [sys.executable, __file__, str(given.out), str(people), *more]
        subprocess.run(command, check=True)  # noqa: S603, this file


if __name__ == "__main__":
    main()
