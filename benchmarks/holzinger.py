"""Holzinger and Swineford (1939) as a cohort: nine tests, 301 pupils, two schools.

The data come with the package `semopy`, as lavaan has them (one test of `sem::HS.data` differs). Run
as a script it fits the confirmatory model and the ladder of invariance from their specs, and writes
what they took and what they found.
"""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

START: Final = time.perf_counter()

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import xarray as xr  # noqa: E402
import yaml  # noqa: E402
from cohort import add_scores, make_cohort  # noqa: E402

from nssi_bayes import names as n  # noqa: E402
from nssi_bayes.blocks.labelled import theta_of  # noqa: E402
from nssi_bayes.build import Built, build  # noqa: E402
from nssi_bayes.check.by_person import pointwise  # noqa: E402
from nssi_bayes.check.gate import Gate, judge  # noqa: E402
from nssi_bayes.check.scores import Scores  # noqa: E402
from nssi_bayes.fit import fit  # noqa: E402
from nssi_bayes.spec import JointSpec, Sampler, parse  # noqa: E402
from nssi_bayes.store import write_json  # noqa: E402

__all__ = ["LADDER", "SAMPLER", "SPEC", "holzinger", "ladder", "spec_of"]

TESTS: Final = (
    "visual_perception", "cubes", "lozenges", "paragraph", "sentence", "word_meaning",
    "addition", "counting_dots", "capitals",
)  # fmt: skip
SPEC: Final = """
description: three factors of nine tests
functions:
  visual: [visual_perception, cubes, lozenges]
  textual: [paragraph, sentence, word_meaning]
  speed: [addition, counting_dots, capitals]
measurement: {unit: original}
priors:
  lambda_score: {family: halfnormal, sigma: 10}
  nu: {mu: 0, sigma: 32}
  sigma_score: {family: gamma, alpha: 1, beta: 0.5}
  Omega: {alpha: 1}
"""
LADDER: Final = """
  level_group: {mu: 0, sigma: 10}
  spread_group: {family: gamma, alpha: 1, beta: 0.5}
groups: {by: site, invariance: RUNG}
"""
SAMPLER: Final = Sampler(chains=4, tune=150, draws=1000)
RUNGS: Final = ("configural", "metric", "scalar")

type Array = np.ndarray[Any, Any]


def holzinger(*, schools: bool = False) -> xr.Dataset:
    """Return the pupils as a cohort; their school is their site, or they have one site."""
    package = find_spec("semopy")  # whose import is slow, and of no use here
    if package is None or package.origin is None:
        raise ModuleNotFoundError("semopy, which brings the data, is not installed: uv sync")
    frame = pd.read_csv(Path(package.origin).parent / "examples" / "holzinger_swineford39_data.csv")
    rng = np.random.default_rng(0)
    cohort = make_cohort(rng, len(frame), subscales={}, reliability={})
    cohort = cohort.drop_dims([n.COVARIATE, n.FACTOR, n.OUTCOME]).isel({n.DISORDER: [0]})
    cohort[n.DIAGNOSIS][:] = 1
    school = frame["school"].to_numpy().astype(str)
    cohort[n.SITE_OF][:] = np.where(school == "Pasteur", "A", "B") if schools else "A"
    value = frame[[f"x{j + 1}" for j in range(len(TESTS))]].to_numpy()
    return add_scores(cohort, list(TESTS), value, center=value.mean(axis=0))


def spec_of(text: str) -> JointSpec:
    """Read a spec as a user writes it."""
    return parse(JointSpec, yaml.safe_load(text), where="spec")


def ladder(rung: str) -> JointSpec:
    """Return one rung of the ladder of the two schools."""
    return spec_of(SPEC + LADDER.replace("RUNG", rung).lstrip("\n"))


def scored(built: Built, seed: int, sampler: Sampler = SAMPLER) -> tuple[xr.DataTree, Gate, Scores]:
    """Fit, judge and score as the pipeline does."""
    tree = fit(built, sampler, np.random.SeedSequence(seed))
    theta = theta_of(tree["posterior"].to_dataset(), built.parameters)
    found = pointwise(theta, built.design, chains=sampler.chains, keep=np.zeros(0, dtype=int))
    total = found.total.reshape(sampler.chains, -1)
    return tree, judge(tree, {"log_likelihood": total}, person_rhat=found.rhat), found.scores


def _main(out: Path) -> None:
    loaded = time.perf_counter() - START
    built = build(spec_of(SPEC), holzinger())
    began = time.perf_counter()
    tree = fit(built, SAMPLER, np.random.SeedSequence(1))
    first = time.perf_counter() - began
    began = time.perf_counter()
    fit(built, SAMPLER, np.random.SeedSequence(2))
    second = time.perf_counter() - began
    gate = judge(tree, {})
    found: dict[str, Any] = {
        "cfa": {
            "certified": gate.certified, "sampling": gate.sampling, "seconds_to_load": loaded,
            "seconds_first_fit": first, "seconds_again": second,
            "seconds_process": time.perf_counter() - START - second,
        }
    }  # fmt: skip
    elpd = {}
    for rung in RUNGS:
        built = build(ladder(rung), holzinger(schools=True))
        _, gate, score = scored(built, 3, SAMPLER.model_copy(update={"draws": 4000}))
        elpd[rung] = score.elpd["total"]
        found[rung] = {
            "certified": gate.certified, "elpd": float(score.elpd["total"].sum()),
            "p_loo": score.p_loo["total"], "largest_k": float(score.k_hat.max()),
        }  # fmt: skip
    for rung in ("configural", "scalar"):
        away = elpd[rung] - elpd["metric"]
        found[rung]["against_metric"] = float(away.sum())
        found[rung]["se"] = float(np.sqrt(len(away)) * away.std(ddof=1))
    write_json(out, found)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
