"""What a gradient costs: ours and Stan's of the same integral (`python rivals_gradient.py --out DIR`).

`rivals.py stan_marginal` samples the reference problem with people integrated out, as ours does, and its
warm-up alone takes hours. What a gradient of either costs bounds the rest: both are of one density
(`rivals.py check`).
Stan's are counted where it walks with small steps in trees of one depth.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from rivals_marginal import marginal_start
from rivals_problem import problem
from rivals_stan import listed, stan_model

from nssi_bayes.fit.density import compile_density
from nssi_bayes.store import write_json

__all__ = ["measure"]

SEED: Final = 1
DRAWS: Final = 20
DEPTH: Final = 4
STEP: Final = 0.01
OURS: Final = 300
ROUNDS: Final = 4


def measure(people: int) -> dict[str, Any]:
    """Return milliseconds a gradient: the shortest of rounds that take turns, as others use the machine."""
    built = problem(SEED, people)
    density = compile_density(built)
    density.value_and_gradient(density.start)
    model = stan_model(built, SEED, rival="stan_marginal")
    begin, theirs, ours, steps = [listed(marginal_start(built))], np.inf, np.inf, 0
    for turn in range(ROUNDS):
        fit = model.sample(
            num_chains=1,
            num_warmup=0,
            num_samples=DRAWS,
            stepsize=STEP * (1 + 0.01 * turn),  # a run like one before is not made again
            max_depth=DEPTH,
            init=begin,
        )
        (said, *_) = re.findall(rb"([\d.]+) seconds \(Sampling\)", b"\n".join(fit.stan_outputs))
        steps = int(fit["n_leapfrog__"].sum())
        theirs = min(theirs, float(said) / steps)
        began = time.perf_counter()
        for _ in range(OURS):
            density.value_and_gradient(density.start)
        ours = min(ours, (time.perf_counter() - began) / OURS)
    return {
        "participants": people, "synthetic": True, "rounds": ROUNDS, "gradients": steps,
        "milliseconds": {"ours": 1e3 * ours, "stan_marginal": 1e3 * theirs}, "ratio": theirs / ours,
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=300)
    given = parser.parse_args()
    found = {"command": "python benchmarks/rivals_gradient.py", **measure(given.people)}
    write_json(given.out / "gradient.json", found)
