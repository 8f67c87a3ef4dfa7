"""Two routes, one posterior: people integrated out, and people sampled with everything else.

    python benchmarks/routes.py --shard 0 --of 1 --out benchmarks/results/routes
    python benchmarks/routes.py --summarise --out benchmarks/results/routes

Five structures, each with 50 people drawn from the model at sane values. Both routes are sampled until
every element of every parameter has an effective size of 4 000, in bulk and for its mean, or the longest
run is reached; chains of sampled functions are continued for that from their last draws. Asked for: means
less than .06 posterior sd apart, and sds within 5 %. With effective sizes of 4 000 a difference of .06 is
2.7 standard errors, so that some of a thousand elements are over it by chance: beside the counts stands the
smallest probability of a difference after Holm's adjustment.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from arviz_stats.base import array_stats
from cohort import isas, make_cohort
from scipy.stats import norm
from shards import run_shards

import nssi_bayes.integrate  # noqa: F401  (double precision)
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.labelled import label
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build_design
from nssi_bayes.calibrate.replication import elements
from nssi_bayes.check.multiple import holm
from nssi_bayes.fit.chains import Chain, open_chains
from nssi_bayes.fit.sample import continued, sample
from nssi_bayes.spec import JointSpec, Sampler, parse, read_model
from nssi_bayes.store import Layout, seed_sequence

__all__ = ["STRUCTURES", "compare", "made", "summarise"]

SEED: Final = 20261127
PARTICIPANTS: Final = 50
ENOUGH: Final = 4000
FARTHEST: Final = 0.06
WIDEST: Final = 0.05
STRUCTURES: Final[dict[str, dict[str, Any]]] = {
    "levels": {"disorder": {"levels": True}, "neural": None, "connectivity": None},
    "slopes, several residual factors": {
        "disorder": {"levels": True, "slopes": True}, "neural": None, "connectivity": None,
        "measurement": {"keep_items": ["self_punishment", "anti_suicide", "revenge"]},
    },
    "activation, loadings by disorder": {
        "disorder": {"levels": True, "loadings": True}, "connectivity": None,
    },
    "edges and an outcome": {"disorder": {"levels": True}, "neural": None, "outcome": "severity"},
    "bias and spread": {
        "disorder": {"levels": True, "spread": True}, "neural": None, "connectivity": None,
        "measurement": {"keep_items": ["self_punishment", "anti_suicide"], "bias": "dense"},
    },
}  # fmt: skip
_DRAWS: Final = (4000, 30000)
"""Of a chain: of the first run, and of the longest."""
_ACCEPT: Final = (0.8, 0.975)
"""Of functions integrated out, and sampled: there a divergence among 60 000 draws is one too many."""
_SANE: Final = {"lambda": 1.6, "B": 0.2, "M": 0.0, "N": 0.0, "mu_x": 0.0, "sigma_x": 0.9}
_COMMAND: Final = "python benchmarks/routes.py"
_LOG: Final = logging.getLogger(__name__)

type Array = np.ndarray[Any, Any]


def made(structure: str, people: int = PARTICIPANTS) -> tuple[Built, Built]:
    """Return one model of one cohort on both routes.

    Parameters
    ----------
    structure : str
        A key of `STRUCTURES`.
    people : int
        Of the cohort.

    Returns
    -------
    tuple of Built
        People integrated out, and sampled.
    """
    for_people, for_truth, for_data = (
        np.random.default_rng(s) for s in seed_sequence(SEED, structure).spawn(3)
    )
    content = read_model(Layout(Path(__file__).parents[1]), "heterogeneity/shared").model_dump()
    spec = parse(JointSpec, {**content, **STRUCTURES[structure]}, where=structure)
    cohort = make_cohort(
        for_people, people, subscales=isas(), reliability={"trauma": 0.9, "attachment": 0.85}, scanned=0.6
    )
    design = make_design(cohort, spec)
    built = build_design(spec, design)
    drawn = draw(built.parameters, design.coords, for_truth, 1)
    theta = {name: value[0] for name, value in drawn.items()}
    theta |= {name: np.full_like(theta[name], value) for name, value in _SANE.items()}
    functions = len(theta["Omega"])
    theta["Omega"] = np.linalg.cholesky(0.5 * np.eye(functions) + 0.5)
    data = generate(theta, design, for_data)
    return build_design(spec, data), build_design(spec.model_copy(update={"route": "explicit"}), data)


def _integrated(built: Built, seeds: np.random.SeedSequence) -> dict[str, Any]:
    """Sample with people integrated out, each time anew."""
    began, draws = time.monotonic(), _DRAWS[0]
    while True:
        drawn = sample(built, Sampler(chains=4, tune=500, draws=draws, target_accept=_ACCEPT[0]), seeds)
        found = _told(built, drawn.values, int(drawn.statistics["diverging"].sum()))
        if found["least"] >= ENOUGH or draws >= _DRAWS[1]:
            return found | {"minutes": (time.monotonic() - began) / 60}
        draws = _further(draws, found["least"])


def _sampled(built: Built, seeds: np.random.SeedSequence) -> dict[str, Any]:
    """Sample people's functions with everything else; what was drawn is kept."""
    began, draws, chains = time.monotonic(), _DRAWS[0], list[Chain]()
    sampler = Sampler(chains=4, tune=500, draws=draws, target_accept=_ACCEPT[1])
    with open_chains(built, sampler) as opened:
        while True:
            ends = [chain.position[-1] for chain in chains]
            more = opened.run(sampler, seeds.spawn(4), fine=False, start=ends)
            chains = [continued(*both) for both in zip(chains, more, strict=True)] if chains else more
            values = {name: np.stack([c.values[name] for c in chains]) for name in chains[0].values}
            found = _told(built, values, sum(int(c.statistics["diverging"].sum()) for c in chains))
            if found["least"] >= ENOUGH or draws >= _DRAWS[1]:
                return found | {"minutes": (time.monotonic() - began) / 60}
            longer = _further(draws, found["least"])
            sampler, draws = sampler.model_copy(update={"draws": longer - draws}), longer


def _further(draws: int, least: float) -> int:
    """Return how many draws of a chain should be enough."""
    return min(_DRAWS[1], int(draws * min(4.0, 1.2 * ENOUGH / least)))


def _told(built: Built, values: dict[str, Array], divergences: int) -> dict[str, Any]:
    """Summarise draws [`chain`, `draw`, ...] of all parameters, element by element."""
    told = dict(elements(label(values, built.parameters, built.design)))
    stacked = np.stack(list(told.values()))
    free = np.ptp(stacked, axis=(1, 2)) > 1e-9
    size = array_stats.ess(stacked[free], method="mean")
    least = min(float(size.min()), float(array_stats.ess(stacked[free]).min()))
    _LOG.info("%d draws a chain: smallest effective size %.0f", stacked.shape[2], least)
    flat = stacked[free].reshape(int(free.sum()), -1)
    return {
        "names": np.array(list(told))[free], "mean": flat.mean(axis=1), "sd": flat.std(axis=1), "ess": size,
        "error_sd": array_stats.mcse(stacked[free], method="sd"),  # also of what is not normal
        "least": least, "max_rhat": float(array_stats.rhat(stacked[free]).max()), "divergences": divergences,
        "draws": int(stacked.shape[1] * stacked.shape[2]),
    }  # fmt: skip


def compare(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return how far two posteriors are apart, by the worst of their elements.

    Parameters
    ----------
    one, other : dict
        ``names``, ``mean``, ``sd``, effective sizes ``ess`` of the mean, errors ``error_sd`` of the sd.

    Returns
    -------
    dict
        Counts, the farthest element, and probabilities after Holm's adjustment.
    """
    if one["names"].tolist() != other["names"].tolist():
        raise ValueError("the two routes have other elements")
    sd = np.sqrt(one["sd"] * other["sd"])
    apart = (one["mean"] - other["mean"]) / sd
    error = np.sqrt(1 / one["ess"] + 1 / other["ess"])
    wider = np.log(one["sd"] / other["sd"])
    ratio = np.abs(np.expm1(wider))
    error_sd = np.hypot(one["error_sd"] / one["sd"], other["error_sd"] / other["sd"])
    worst = int(np.abs(apart).argmax())
    return {
        "elements": len(apart), "farthest": float(np.abs(apart).max()), "of": str(one["names"][worst]),
        "over_farthest": int((np.abs(apart) >= FARTHEST).sum()),
        "widest": float(ratio.max()), "over_widest": int((ratio > WIDEST).sum()),
        "p_mean": float(holm(2 * norm.sf(np.abs(apart) / error)).min()),
        "p_sd": float(holm(2 * norm.sf(np.abs(wider) / error_sd)).min()),
    }  # fmt: skip


def one(index: int) -> dict[str, Any]:
    """Sample one structure on both routes."""
    structure = list(STRUCTURES)[index]
    marginal, explicit = made(structure)
    seeds = seed_sequence(SEED, f"routes {structure}").spawn(2)
    found = [_integrated(marginal, seeds[0]), _sampled(explicit, seeds[1])]
    kept = ("least", "max_rhat", "divergences", "draws", "minutes")
    return {
        "structure": structure, "participants": PARTICIPANTS, "seed": SEED, "synthetic": True,
        "marginal": {k: found[0][k] for k in kept}, "explicit": {k: found[1][k] for k in kept},
        "divergences": found[0]["divergences"] + found[1]["divergences"], **compare(*found),
    }  # fmt: skip


def summarise(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the worst of all structures."""
    return {
        "command": _COMMAND, "synthetic": True, "structures": len(found), "of": len(STRUCTURES),
        "elements": sum(f["elements"] for f in found), "farthest": max(f["farthest"] for f in found),
        "over_farthest": sum(f["over_farthest"] for f in found), "widest": max(f["widest"] for f in found),
        "over_widest": sum(f["over_widest"] for f in found),
        "least_ess": min(f[route]["least"] for f in found for route in ("marginal", "explicit")),
        "smallest_p": min(min(f["p_mean"], f["p_sd"]) for f in found) * len(found) * 2,
    }  # fmt: skip


if __name__ == "__main__":
    run_shards(__doc__, _COMMAND, one=one, pool=summarise, cohorts=len(STRUCTURES))
