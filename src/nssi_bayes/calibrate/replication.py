"""One replication: parameters, data of new people from them, a fit, and where the truth lies in it.

Ranks are of every parameter, of all elements of one together (`size`), of the log-likelihood of all
data and of each block alone, and of one person's functions. The likelihoods see what parameters do
not: a posterior that ignores part of the data has uniform ranks of every parameter and not of the
likelihood (Modrák et al. 2023, 10.1214/23-BA1404).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats

from nssi_bayes import names as n
from nssi_bayes.blocks import joint, marginal
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.generate import Latent, generate, latents
from nssi_bayes.blocks.labelled import label
from nssi_bayes.blocks.parameter import Parameter, draw
from nssi_bayes.blocks.people import join
from nssi_bayes.build import Built, build_design
from nssi_bayes.calibrate.person import draw_functions, most_complete
from nssi_bayes.calibrate.reliability import statements
from nssi_bayes.families.mixture import log_density
from nssi_bayes.fit.sample import Drawn, sample
from nssi_bayes.spec import Sampler
from nssi_bayes.store import seed_sequence

__all__ = ["LIKELIHOOD", "PERSON", "SIZE", "Made", "Plan", "elements", "make", "replicate"]

LIKELIHOOD: Final = "log_likelihood"
PERSON: Final = "eta_of_one_person"
SIZE: Final = "size"
RANKED_AMONG: Final = 99
"""Draws, equally spaced along the chains: the ranks have 100 values."""
_FAILURES: Final = (RuntimeError, ValueError, ArithmeticError, np.linalg.LinAlgError)

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Plan:
    """What every replication has in common.

    Parameters
    ----------
    built : Built
        Model, and the design whose people, masks and diagnoses are kept.
    sampler : Sampler
        Of every fit.
    seed : int
        Root of every seed.
    interval : float
        Probability content of the intervals whose coverage is counted.
    rope : float
        Half width of the region of practical equivalence, sd of a function.
    given : dict of str to numpy.ndarray, optional
        Draws of the posterior [sample, ...]. With them parameters come from the posterior, and
        the fit sees the observed data beside the new ones (posterior SBC: Säilynoja et al. 2025,
        arXiv:2502.03279); without them parameters come from the prior.
    """

    built: Built
    sampler: Sampler
    seed: int
    interval: float = 0.9
    rope: float = 0.2
    given: dict[str, Array] | None = None


@dataclass(frozen=True)
class Made:
    """Parameters and data of one replication.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        The truth; a correlation matrix as its Cholesky factor.
    latent : Latent
        True factors and functions of the new people.
    built : Built
        The model on the data that the fit sees.
    first : int
        Position of the first new person in them.
    """

    theta: dict[str, Array]
    latent: Latent
    built: Built
    first: int = 0


def make(plan: Plan, seeds: np.random.SeedSequence) -> Made:
    """Draw parameters and data.

    Parameters
    ----------
    plan : Plan
        What is calibrated.
    seeds : numpy.random.SeedSequence
        Source of every random number.

    Returns
    -------
    Made
        Truth and data.
    """
    for_truth, for_people, for_data = (np.random.default_rng(s) for s in seeds.spawn(3))
    built = plan.built
    if plan.given is None:
        drawn = draw(built.parameters, built.design.coords, for_truth, 1)
        theta = {name: value[0] for name, value in drawn.items()}
    else:
        size = len(next(iter(plan.given.values())))
        place = int(for_truth.integers(size))
        theta = {name: value[place] for name, value in plan.given.items()}
    who = latents(theta, built.design, for_people)
    data = generate(theta, built.design, for_data, latent=who)
    if plan.given is None:
        return Made(theta, who, build_design(built.spec, data))
    together = replace(build_design(built.spec, join(built.design, data)), fine=built.fine)
    return Made(theta, who, together, first=len(built.design.diagnosis))


def replicate(plan: Plan, index: int) -> dict[str, Any]:
    """Run one replication.

    Parameters
    ----------
    plan : Plan
        What is calibrated.
    index : int
        Number of the replication; with the seed it decides everything.

    Returns
    -------
    dict
        By quantity its rank, truth, posterior mean and sd, and whether the interval holds the
        truth; probabilities of what a report would say, and whether it is true; health of the fit.
        A fit that breaks is an entry ``failed`` with the kind of error.
    """
    for_data, for_fit, for_rest = seed_sequence(plan.seed, f"replication {index}").spawn(3)
    common = {"index": index, "seed": plan.seed, "ranked_among": RANKED_AMONG, "interval": plan.interval}
    made = make(plan, for_data)
    try:
        drawn = sample(made.built, plan.sampler, for_fit)
        return {**common, **_placed(plan, made, drawn, np.random.default_rng(for_rest))}
    except _FAILURES as error:
        return {**common, "failed": type(error).__name__}


def _placed(plan: Plan, made: Made, drawn: Drawn, rng: np.random.Generator) -> dict[str, Any]:
    parameters, design = made.built.parameters, made.built.design
    correlated = {p.name for p in parameters if p.is_correlation}
    flat = {name: v.reshape(-1, *v.shape[2:]) for name, v in drawn.values.items()}
    truth = {k: v @ v.T if k in correlated else v for k, v in made.theta.items()}
    chosen = np.linspace(0, len(next(iter(flat.values()))) - 1, RANKED_AMONG).round().astype(int)
    # the truth is one more draw, the first
    kept = {name: np.concatenate([truth[name][None], v[chosen]]) for name, v in flat.items()}
    theta = {name: np.linalg.cholesky(v) if name in correlated else v for name, v in kept.items()}
    few = dict(elements(label({k: v[None] for k, v in kept.items()}, parameters, design)))
    few |= _likelihoods(theta, design)
    few |= {f"{SIZE}[{p.name}]": _size(p, kept[p.name]) for p in parameters if kept[p.name][0].size > 1}
    person = most_complete(plan.built.design)
    eta = draw_functions(theta, design, made.first + person, rng)
    eta[0] = made.latent.function[person]
    few |= {f"{PERSON}[{f}]": eta[:, j] for j, f in enumerate(design.coords[n.FUNCTION])}
    labelled = label(drawn.values, parameters, design)
    known = label({name: value[None, None] for name, value in truth.items()}, parameters, design)
    everything = dict(elements(labelled))
    return {
        **_table(few, everything, plan.interval, rng), "health": _health(drawn, everything),
        "statements": statements(labelled, known, rope=plan.rope),
    }  # fmt: skip


def _table(
    few: dict[str, Array], everything: dict[str, Array], interval: float, rng: np.random.Generator
) -> dict[str, Any]:
    found: dict[str, Any] = {k: [] for k in ("quantity", "rank", "truth", "mean", "sd", "covered")}
    tails = ((1 - interval) / 2, (1 + interval) / 2)
    for name, values in few.items():
        values = values.ravel()
        one, others = values[0], values[1:]
        if np.ptp(others) <= 1e-12:  # fixed by construction
            continue
        draws = everything.get(name, others)
        low, high = np.quantile(draws, tails)
        ties = int((others == one).sum())
        found["quantity"].append(name)
        found["rank"].append(int((others < one).sum() + rng.integers(ties + 1)))
        found["truth"].append(float(one))
        found["mean"].append(float(draws.mean()))
        found["sd"].append(float(draws.std()))
        found["covered"].append(bool(low <= one <= high))
    return found


def _likelihoods(theta: dict[str, Array], design: Design) -> dict[str, Array]:
    """Log-likelihood of all data, and of each block alone, at each draw."""
    blocks = joint.blocks_of(design)
    grid = marginal.grid_settings(len(design.plain_of), fine=True)
    found = {}
    for name, include in ((LIKELIHOOD, tuple(blocks)), *((f"{LIKELIHOOD}[{b}]", (b,)) for b in blocks)):
        each = marginal.evaluate(theta, design, include=include, grid=grid, moments=False)
        found[name] = each.log_integral.sum(axis=1)
    return found


def _size(p: Parameter, values: Array) -> Array:
    """Return how far all elements of a parameter lie from the middle of its prior, together [draw].

    For one parameter this is its prior's log-density but for constants: where the prior of many
    elements is wrong by a little, each alone does not show it.
    """
    if p.is_correlation:
        return np.linalg.slogdet(values)[1]
    axes = tuple(range(1, values.ndim))
    if p.family == "dirichlet":
        return np.log(np.maximum(values, 1e-300)).sum(axis=axes)
    if p.family == "beta":
        return (p.alpha * np.log(values) + p.beta * np.log1p(-values)).sum(axis=axes)
    if p.family == "gamma":
        return (p.beta * values - (p.alpha - 1) * np.log(values)).sum(axis=axes)
    if p.family == "mixture":
        return log_density(values, p.weights, p.mu, p.sigma)[0].sum(axis=axes)
    if p.family == "halfcauchy":
        return np.log1p((values / p.sigma) ** 2).sum(axis=axes)
    plain = np.log(values) if p.family == "lognormal" else values
    return (((plain - p.mu) / p.sigma) ** 2).sum(axis=axes)


def elements(draws: xr.Dataset) -> Iterator[tuple[str, Array]]:
    """Every element of every parameter, once: of a correlation matrix what is below its diagonal."""
    for name, array in draws.data_vars.items():
        values = array.transpose(n.CHAIN, n.DRAW, ...)
        dims = [d for d in values.dims if d not in (n.CHAIN, n.DRAW)]
        labels = [values[d].to_numpy().astype(str) for d in dims]
        numbers = values.to_numpy()
        square = {n.FUNCTION_OTHER, n.FACTOR_OTHER} & set(map(str, dims))
        for place in np.ndindex(*numbers.shape[2:]):
            if square and place[0] <= place[1]:
                continue
            at = ", ".join(labels[a][i] for a, i in enumerate(place))
            yield f"{name}[{at}]" if dims else str(name), numbers[(slice(None), slice(None), *place)]


def _health(drawn: Drawn, everything: dict[str, Array]) -> dict[str, Any]:
    stacked = np.stack(list(everything.values()))
    stacked = stacked[np.ptp(stacked, axis=(1, 2)) > 1e-12]
    size = array_stats.ess(stacked, method="bulk")
    return {
        "divergences": int(drawn.statistics["diverging"].sum()), "rerun": bool(drawn.rerun),
        "max_rhat": float(array_stats.rhat(stacked).max()), "min_ess": float(size.min()),
        "share_ess_below_ranked": float((size < RANKED_AMONG).mean()),
    }  # fmt: skip
