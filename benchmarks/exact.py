"""Scores by PSIS beside those of people who were left out for real.

    PYTHON_CPU_COUNT=1 python benchmarks/exact.py items 20
    PYTHON_CPU_COUNT=1 python benchmarks/exact.py neural 20

Two joint models on invented people drawn from them: items, factors and an outcome, and the same with
activation of 24 regions. Left out one by one: the people with the largest k-hat, and as many others at
random. One file a model, written after every refit; who stands there is left alone.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any, Final

import numpy as np
from arviz_stats.base import array_stats
from cohort import isas, make_cohort
from scipy.special import logsumexp

import nssi_bayes.integrate  # noqa: F401  (double precision)
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.labelled import label, theta_of
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build_design
from nssi_bayes.check import scores
from nssi_bayes.compare import k_hat_limit
from nssi_bayes.crossvalidate.refit import held_out
from nssi_bayes.fit.sample import sample
from nssi_bayes.spec import JointSpec, Sampler, parse, read_priors
from nssi_bayes.store import read_json, seed_sequence, write_json

__all__ = ["made"]

_LOG: Final = logging.getLogger(__name__)
SEED: Final = 20261126
PEOPLE: Final = {"items": 120, "neural": 100}
EVERYBODY: Final = Sampler(chains=4, tune=150, draws=1000)
REFIT: Final = Sampler(chains=2, tune=150, draws=500)
_OUT: Final = Path(__file__).parent / "results" / "exact"
_SUBSCALES: Final = ("affect_regulation", "anti_dissociation", "marking_distress", "self_punishment")
_SPEC: Final[dict[str, Any]] = {
    "description": "a model whose people are left out one by one",
    "functions": {"self_related": list(_SUBSCALES[:3]), "self_punishment": [_SUBSCALES[3]]},
    "factors": ["trauma"],
    "disorder": {"levels": True},
    "outcome": "severity",
}

type Array = np.ndarray[Any, Any]


def made(kind: str) -> Built:
    """Return a model of people who were drawn from it.

    Parameters
    ----------
    kind : str
        ``items`` or ``neural``.
    """
    rng = np.random.default_rng(seed_sequence(SEED, kind))
    cohort = make_cohort(
        rng, PEOPLE[kind], subscales={k: v for k, v in isas().items() if k in _SUBSCALES},
        reliability={"trauma": 0.8}, scanned=0.54 if kind == "neural" else 0.0,
    )  # fmt: skip
    spec = parse(
        JointSpec, _SPEC | ({"neural": {"residual": "factor"}} if kind == "neural" else {}), where=kind
    )
    design = make_design(cohort, spec)
    drawn = draw(joint.parameters(spec, design, read_priors()), design.coords, rng, 1)
    theta = {name: v[0] for name, v in drawn.items()}
    theta["lambda"] = np.full_like(theta["lambda"], 1.5)
    return build_design(spec, generate(theta, design, rng))


def psis(total: Array, chains: int) -> tuple[float, float]:
    """Return one person's elpd and its Monte Carlo error, from log-likelihoods [sample]."""
    r_eff = float(
        np.clip(
            array_stats.ess(np.exp(total - total.max()).reshape(chains, -1), method="mean") / len(total),
            1e-3,
            1,
        )
    )
    weight = array_stats.psislw(total, r_eff=r_eff)[0]
    weight = np.exp(weight - logsumexp(weight))
    elpd = float(np.log(weight @ np.exp(total)))
    away = weight * (np.exp(total - elpd) - 1)
    return elpd, float(np.sqrt((away**2).sum() / r_eff))


def left_out(log_likelihood: Array) -> tuple[float, float]:
    """Return elpd and its Monte Carlo error, from draws that never saw the person [`chain`, `draw`]."""
    likelihood = np.exp(log_likelihood - log_likelihood.max())
    mean = float(likelihood.mean())
    error = float(array_stats.mcse(likelihood, method="mean")) / mean
    return float(np.log(mean) + log_likelihood.max()), error


def compare(kind: str, count: int) -> None:
    """Leave people out one by one and set their scores beside those by PSIS."""
    built = made(kind)
    path, blocks = _OUT / f"{kind}.json", joint.blocks_of(built.design)
    drawn = sample(built, EVERYBODY, seed_sequence(SEED, f"{kind} everybody"))
    theta = theta_of(label(drawn.values, built.parameters, built.design), built.parameters)
    chains = EVERYBODY.chains
    total = scores.evaluate(theta, built.design)[0]
    found = scores.leave_one_out(total, blocks, chains=chains)
    by_psis, everybody = found.elpd[scores.TOTAL], total[tuple(blocks)]
    limit = k_hat_limit(len(everybody))
    highest = np.argsort(-found.k_hat)[:count]
    rng = np.random.default_rng(seed_sequence(SEED, f"{kind} who"))
    at_random = rng.choice(np.setdiff1d(np.arange(len(by_psis)), highest), count, replace=False)
    people = np.stack([highest, at_random]).T.ravel()  # in turn: a run that is cut off has both
    rows = read_json(path)["people"] if path.exists() else []
    left = [int(p) for p in people if int(p) not in {r["position"] for r in rows}]
    seeds = [seed_sequence(SEED, f"{kind} without {p}") for p in left]
    for one in held_out(built, [np.array([p]) for p in left], REFIT, seeds):
        person = left[one.index]
        exact, error = left_out(one.of_group)
        estimate, own = psis(everybody[:, person], chains)
        rows.append(
            {"position": person, "chosen": "highest k-hat" if person in highest else "at random",
             "k_hat": float(found.k_hat[person]), "psis": estimate, "psis_mcse": own, "exact": exact,
             "exact_mcse": error, "max_rhat": one.max_rhat, "divergences": one.divergences}
        )  # fmt: skip
        write_json(
            path, {**_said(kind, built, found, limit), "summary": summary(rows, limit), "people": rows}
        )
        _LOG.info("%s: %d of %d", kind, len(rows), len(people))


def summary(rows: list[dict[str, Any]], limit: float) -> dict[str, Any]:
    """Return how far scores by PSIS lie from those of refits, where k-hat is below the limit."""
    found = {}
    for chosen in ("highest k-hat", "at random"):
        own = [r for r in rows if r["chosen"] == chosen]
        kept = [r for r in own if r["k_hat"] <= limit]
        gap = np.array([r["psis"] - r["exact"] for r in kept])
        error = np.array([np.hypot(r["psis_mcse"], r["exact_mcse"]) for r in kept])
        found[chosen] = {
            "people": len(own), "below_limit": len(kept), "largest_gap": float(np.abs(gap).max(initial=0)),
            "within_a_tenth_or_3_errors": int(((np.abs(gap) < 0.1) | (np.abs(gap) < 3 * error)).sum()),
            "sum": float(gap.sum()), "sum_error": float(np.sqrt((error**2).sum())),
            "max_rhat": max((r["max_rhat"] for r in own), default=0.0),
            "divergences": sum(r["divergences"] for r in own),
        }  # fmt: skip
    return found


def _said(kind: str, built: Built, found: scores.Scores, limit: float) -> dict[str, Any]:
    return {
        "command": f"python benchmarks/exact.py {kind}", "synthetic": True, "seed": SEED,
        "participants": len(found.k_hat), "blocks": joint.blocks_of(built.design),
        "k_hat_limit": limit, "share_over": float((found.k_hat > limit).mean()),
        "k_hat_quantiles": np.quantile(found.k_hat, [0.5, 0.9, 1]).tolist(),
    }  # fmt: skip


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("kind", choices=list(PEOPLE))
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    compare(given.kind, given.count)
