"""The trial of progabide (Thall & Vail 1990, 10.2307/2532086): 59 patients, four counts of seizures each.

The data come with the package `statsmodels`, a copy of `MASS::epil`. Run as a script it fits the models
of brms' README from the specs below, scores them as `check` does, and writes what it found.
"""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
import yaml
from cohort import make_cohort

from nssi_bayes import names as n
from nssi_bayes.assemble import pooled_within_sd
from nssi_bayes.check import repeated
from nssi_bayes.compare import k_hat_limit
from nssi_bayes.crossvalidate.repeated import held_out
from nssi_bayes.fit.repeated import fit_repeated
from nssi_bayes.spec import RepeatedSpec, Sampler, parse
from nssi_bayes.store import write_json

__all__ = ["EPILEPSY", "epilepsy", "spec_of"]

EPILEPSY: Final = """
kind: repeated
description: seizures in four periods of two weeks, by age, seizures before and treatment
outcome: seizures
occasions: [seizures_1, seizures_2, seizures_3, seizures_4]
predictors: [age, base, treatment, "base:treatment"]
"""
SAMPLER: Final = Sampler(chains=4, tune=600, draws=1000)
SHORT: Final = Sampler(chains=2, tune=500, draws=1000)

type Array = np.ndarray[Any, Any]


def epilepsy() -> xr.Dataset:
    """Return the patients as a cohort: three covariates, and a count of each period."""
    package = find_spec("statsmodels")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("statsmodels, which brings the data, is not installed: uv sync")
    frame = pd.read_csv(Path(package.origin).parent / "genmod" / "tests" / "results" / "epil.csv")
    count = frame.pivot_table(index="subject", columns="period", values="y").to_numpy(dtype=float)
    person = frame.groupby("subject").first()
    cohort = make_cohort(np.random.default_rng(0), len(count), subscales={}, reliability={})
    cohort = cohort.drop_dims([n.COVARIATE, n.FACTOR, n.OUTCOME]).isel({n.DISORDER: [0]})
    cohort[n.DIAGNOSIS][:], cohort[n.SITE_OF][:] = 1, "A"
    cohort.attrs |= {"synthetic": 0, "title": "Seizures of 59 patients"}
    treated = (person["trt"] != "placebo").to_numpy(dtype=float)
    values = np.column_stack([person["age"], person["base"], treated]).astype(float)
    scale = pooled_within_sd(values, np.full(len(values), "A"))
    constants = {
        n.COVARIATE_VALUE: (n.COVARIATE, ["age", "base", "treatment"], values, values.mean(axis=0), scale),
        n.OUTCOME_VALUE: (n.OUTCOME, [f"seizures_{t + 1}" for t in range(4)], count, np.zeros(4), np.ones(4)),
    }
    for name, (dim, labels, value, center, sd) in constants.items():
        cohort = cohort.assign_coords({dim: labels})
        cohort[name] = ((n.PARTICIPANT, dim), (value - center) / sd, {"units": "pooled within-site sd"})
        for suffix, constant in ((n.CENTER, center), (n.SCALE, sd)):
            cohort[name + suffix] = ((dim,), constant, {"units": "original"})
    cohort[n.OUTCOME_EXPOSURE] = (
        (n.PARTICIPANT, n.OUTCOME),
        np.ones(count.shape),
        {"units": "as the study counts"},
    )
    return cohort.assign_coords({n.OUTCOME_FAMILY: (n.OUTCOME, [n.NEGATIVE_BINOMIAL] * 4)})


def spec_of(text: str = "") -> RepeatedSpec:
    """Read the spec with further lines, as a user writes it."""
    return parse(RepeatedSpec, yaml.safe_load(EPILEPSY + text), where="spec")


def _main(out: Path) -> None:
    cohort, found = epilepsy(), {}
    for name, text in (("person", ""), ("person_and_occasion", "occasion_effect: true"),
                       ("negative_binomial", "family: negative_binomial")):  # fmt: skip
        spec, began = spec_of(text), time.perf_counter()
        tree = fit_repeated(spec, cohort, SAMPLER, np.random.SeedSequence(1))
        fitted = time.perf_counter() - began
        posterior = tree["posterior"].to_dataset()
        result = repeated.score(spec, cohort, posterior)
        scored = time.perf_counter() - began - fitted
        shares = repeated.conditional(spec, cohort, posterior, np.random.default_rng(1))
        limit = k_hat_limit(SAMPLER.chains * SAMPLER.draws)
        over = np.flatnonzero(~(result.k_hat <= limit))
        block = repeated.BLOCK
        refits = [
            held_out(spec, cohort, np.array([i]), SHORT, seeds=np.random.SeedSequence(int(i))) for i in over
        ]
        exact = result.elpd[block].copy()
        exact[over] = [elpd[0] for elpd, _, _ in refits]
        found[name] = {
            "seconds_fit": fitted, "seconds_score": scored, "rerun": int(tree.attrs["rerun"]),
            "divergences": int(tree["sample_stats"]["diverging"].sum()),
            "mean_and_sd": {str(k): [float(v.mean()), float(v.std())] for k, v in posterior.items()},
            "elpd_psis": float(result.elpd[block].sum()), "elpd": float(exact.sum()),
            "se": float(np.sqrt(len(exact) * exact.var())), "p_loo": result.p_loo[block],
            "people_over": len(over), "largest_k": float(result.k_hat.max()),
            "refitted": np.column_stack([result.elpd[block], exact, result.k_hat])[over].tolist(),
            "refits_max_rhat": max((r for _, _, r in refits), default=1.0),
            "conditional_over": shares.over, "conditional_counts": shares.counts,
            "conditional_largest_k": shares.largest,
        }  # fmt: skip
        write_json(out, found)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
