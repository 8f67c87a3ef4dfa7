"""Item bias that is there and bias that is not, under the dense and the sparse prior.

    python benchmarks/item_bias.py --out benchmarks/results/item_bias

Two synthetic cohorts of 400 people without scans. In one a quarter of the indicators is biased by .8
logits, up for some disorders and down for the others; in the other none is. Thresholds, loadings,
levels and correlations are drawn from the priors. One file a fit, written at its end; what is there is
left alone. One cohort of each kind shows how the priors differ, and no rate of anything.
"""

from __future__ import annotations

import argparse
import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from arviz_stats.base import array_stats
from claims import spec_of
from cohort import isas, make_cohort

import nssi_bayes.integrate  # noqa: F401  (double precision)
from nssi_bayes import names as n
from nssi_bayes.blocks import bias
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.labelled import label
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build_design
from nssi_bayes.check.bias import MODERATE
from nssi_bayes.fit.sample import sample
from nssi_bayes.spec import Sampler
from nssi_bayes.store import seed_sequence, write_json

__all__ = ["MODELS", "make", "run_one"]

SEED: Final = 20261126
MODELS: Final = {"dense": "heterogeneity/item_bias", "sparse": "heterogeneity/item_bias_sparse"}
_LOG: Final = logging.getLogger(__name__)
_SIZE: Final = 0.8
"""Logits."""
_SHARE: Final = 0.25
"""Of the indicators."""

type Array = np.ndarray[Any, Any]


def make(size: float, participants: int) -> tuple[dict[str, Built], Array, Array]:
    """Draw one cohort and arrange it for both models.

    Parameters
    ----------
    size : float
        Bias of a quarter of the indicators, logits.
    participants : int
        People.

    Returns
    -------
    tuple
        Models by name; bias as it was put in, and as it is once a level is taken out [biased indicator,
        `disorder`].
    """
    rngs = [np.random.default_rng(s) for s in seed_sequence(SEED, "item bias").spawn(4)]
    people, truth, effects, data = rngs
    reliability = {"trauma": 0.9, "attachment": 0.85}
    cohort = make_cohort(people, participants, subscales=isas(), reliability=reliability, scanned=0.0)
    specs = {name: spec_of(model, 0.0) for name, model in MODELS.items()}
    true = build_design(specs["sparse"], make_design(cohort, specs["sparse"]))
    theta = {k: v[0] for k, v in draw(true.parameters, true.design.coords, truth, 1).items()}
    indicators, disorders = theta["delta_free"].shape
    signs = np.where(np.arange(disorders) < disorders // 2, 1.0, -1.0)
    put = size * effects.permuted(np.broadcast_to(signs, (indicators, disorders)), axis=1)
    put *= (effects.permutation(indicators) < round(_SHARE * indicators))[:, None]
    theta["delta_free"] = put - put.mean(axis=1, keepdims=True)
    seen = generate(theta, true.design, data)
    values = {"response": seen.response, "factor": seen.factor}
    built = {
        name: build_design(spec, replace(make_design(cohort, spec), **values)) for name, spec in specs.items()
    }
    return built, theta["delta_free"], np.asarray(bias.effects(theta, true.design))


def run_one(name: str, size: float, participants: int, sampler: Sampler) -> dict[str, Any]:
    """Fit one model to one cohort.

    Parameters
    ----------
    name : {"dense", "sparse"}
        Prior of bias.
    size : float
        As in `make`.
    participants : int
        People.
    sampler : Sampler
        Of the fit.

    Returns
    -------
    dict
        Of the biased indicators and of the others: root mean square error of the posterior means, mean
        posterior sd, share of 90 % intervals that hold the truth, and mean probability of a bias that is
        more than negligible; by indicator the largest posterior mean; and the health of the fit.
    """
    began = time.monotonic()
    models, put, delta = make(size, participants)
    built = models[name]
    drawn = sample(built, sampler, seed_sequence(SEED, f"item bias {name} {size}"))
    posterior = label(drawn.values, built.parameters, built.design)
    values = posterior["delta"].transpose(n.CHAIN, n.DRAW, n.BIASED_INDICATOR, n.DISORDER).to_numpy()
    flat = values.reshape(-1, *delta.shape)
    low, high = np.quantile(flat, (0.05, 0.95), axis=0)
    mean, over = flat.mean(axis=0), (np.abs(flat) > MODERATE).mean(axis=0)
    biased = np.abs(put).max(axis=1) > 0
    found = {
        group: {
            "indicators": int(rows.sum()),
            "rmse": float(np.sqrt(((mean - delta)[rows] ** 2).mean())),
            "true_rms": float(np.sqrt((delta[rows] ** 2).mean())),
            "posterior_sd": float(flat.std(axis=0)[rows].mean()),
            "covered": float(((low <= delta) & (delta <= high))[rows].mean()),
            "p_moderate": float(over[rows].mean()),
            "largest_p_moderate": [float(v) for v in over[rows].max(axis=1)],
        }
        for group, rows in (("biased", biased), ("others", ~biased))
        if rows.any()
    }
    stacked = np.moveaxis(values.reshape(*values.shape[:2], -1), -1, 0)
    every = np.concatenate([np.moveaxis(v.reshape(*v.shape[:2], -1), -1, 0) for v in drawn.values.values()])
    every = every[every.std(axis=(1, 2)) > 1e-9]
    return {
        "model": name, "size": size, "participants": participants, "seed": SEED, "synthetic": True,
        "chains": values.shape[0], "draws": values.shape[1], "tune": drawn.tune, **found,
        "max_rhat": float(array_stats.rhat(every).max()), "min_ess": float(array_stats.ess(every).min()),
        "min_ess_of_bias": float(array_stats.ess(stacked).min()),
        "divergences": int(drawn.statistics["diverging"].sum()), "rerun": drawn.rerun,
        "minutes": (time.monotonic() - began) / 60,
    }  # fmt: skip


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--participants", type=int, default=400)
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--only", help="one fit, as dense_0.8")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    sampler = Sampler(chains=asked.chains, tune=150, draws=asked.draws)
    for size in (_SIZE, 0.0):
        for name in MODELS:
            path = asked.out / f"{name}_{size:g}.json"
            if not path.exists() and asked.only in (None, path.stem):
                write_json(path, run_one(name, size, asked.participants, sampler))
                _LOG.info("%s", path)


if __name__ == "__main__":
    main()
