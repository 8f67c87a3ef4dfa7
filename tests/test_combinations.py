"""Switches of a spec in combinations that nobody chose, on cohorts with gaps: no sampling.

What is drawn at random is a valid combination. Of each the density, its gradient, the pointwise scores, their
blocks and a likelihood by brute force have to say the same.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import xarray as xr
from cohort import add_scores, add_terms, isas, make_cohort
from scipy.special import logsumexp

from brute_force import Person
from nssi_bayes import names as n
from nssi_bayes import schema
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.blocks.people import few
from nssi_bayes.blocks.predicted import is_curved
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.build import Built, build, build_design
from nssi_bayes.check import scores
from nssi_bayes.errors import SpecError
from nssi_bayes.fit.density import Density, compile_density, likelihood_of, unconstrained
from nssi_bayes.fit.unconstrained import Unconstrained
from nssi_bayes.spec import JointSpec, parse
from outcomes import with_family

SEEDS = (3, 4, 6, 7, 8, 13, 15, 19, 24, 25, 30, 32, 33, 35, 38, 53, 55, 63, 142, 150, 175, 214)
PEOPLE = 24
BY_ITEMS = {"abuse": (101, 102), "neglect": (103, 104)}
FAMILIES = (n.GAUSSIAN, n.BERNOULLI, n.NEGATIVE_BINOMIAL, n.HURDLE, n.ORDINAL)
STEP = 1e-3
MOST_LATENTS = 2
"""Of a person whose functions are sampled, on a grid."""

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


def _cohort(rng: np.random.Generator) -> xr.Dataset:
    """Return people with everything, and the first with little; few have the last disorder."""
    subscales = dict(list(isas().items())[:6]) | BY_ITEMS
    cohort = make_cohort(
        rng,
        PEOPLE,
        subscales=subscales,
        reliability={"trauma": 0.8, "stress": 1.0},
        scanned=0.6,
        missing=0.08,
    ).isel({n.DISORDER: slice(0, 3), n.ROI: [0, 1, 2, 5], n.EDGE: [0, 1, 2, 7]})
    cohort = cohort.isel({n.COVARIATE: slice(0, int(rng.integers(1, 3)))})
    categories = rng.integers(2, 5, cohort.sizes[n.ITEM])
    response = cohort[n.RESPONSE].to_numpy()
    response[:] = np.where(np.isnan(response), np.nan, np.floor(rng.random(response.shape) * categories))
    response[[0, 1]], response[2, 1:] = np.nan, np.nan
    response[3, :3] = np.nan
    response[:, 4] = np.where(np.isnan(response[:, 4]), np.nan, 0.0)  # nobody endorsed it
    cohort = cohort.assign_coords({n.ITEM_CATEGORIES: (n.ITEM, categories)})
    cohort = add_scores(cohort, ["one", "two", "three"], rng.standard_normal((PEOPLE, 3)), center=np.ones(3))
    for name in (
        n.FACTOR_SCORE,
        n.SCORE_VALUE,
        n.ACTIVATION,
        n.ACTIVATION_SE,
        n.CONNECTIVITY,
        n.CONNECTIVITY_SE,
    ):
        cohort[name].to_numpy()[0] = np.nan
    cohort[n.FACTOR_SCORE].to_numpy()[4, 0] = np.nan
    cohort[n.OUTCOME_VALUE].to_numpy()[[0, 5]] = np.nan
    diagnosis = cohort[n.DIAGNOSIS].to_numpy()
    diagnosis[:, 2] = 0
    diagnosis[[2, 7, 9], 2] = 1
    diagnosis[-2:] = 0
    family = str(rng.choice(FAMILIES))
    found = cohort if family == n.GAUSSIAN else with_family(cohort, family)
    found = add_terms(found, np.random.default_rng(1))
    assert schema.violations(found) == []
    return found


def _content(rng: np.random.Generator) -> dict[str, Any]:
    """Return a spec, which may say what is no model."""

    def has(share: float) -> bool:
        return bool(rng.random() < share)

    own = [str(s) for s in rng.permutation(list(isas())[:6])]
    functions = {"first": own[:3], "second": own[3:]} if has(0.7) else {"all": own}
    bias = str(rng.choice(["none", "dense", "sparse"], p=[0.6, 0.2, 0.2]))
    measurement: dict[str, Any] = {
        "testlets": str(rng.choice(["sum", "factor", "none"], p=[0.6, 0.2, 0.2])),
        "keep_items": own[:1] if has(0.3) else [], "bias": bias,
        "nonuniform": bias != "none" and has(0.5), "cross_loadings": has(0.15),
    }  # fmt: skip
    disorder = {k: has(0.5) for k in ("levels", "slopes", "loadings", "spread", "burden")}
    block = {"residual": str(rng.choice(["factor", "independent"]))}
    found: dict[str, Any] = {
        "description": "drawn", "functions": functions, "measurement": measurement,
        "disorder": {"coding": str(rng.choice(["additive", "averaged"])), **disorder},
        "factors": ["trauma", "stress"] if has(0.7) else [],
        "neural": block if has(0.4) else None, "connectivity": block if has(0.4) else None,
        "outcome": "severity" if has(0.6) else None, "general": "bifactor" if has(0.15) else "none",
        "route": str(rng.choice(["auto", "marginal", "explicit"], p=[0.6, 0.1, 0.3])),
        "prior_set": str(rng.choice(["weak", "informed"])),
    }  # fmt: skip
    plain = {"testlets": measurement["testlets"]}
    kind = rng.random()
    if kind < 0.15:
        found |= {"distribution": "sinh_arcsinh", "measurement": plain, "disorder": {}, "outcome": None}
    elif kind < 0.3:
        items = {"factors": ["trauma", "stress"], "factor_items": {"trauma": list(BY_ITEMS)}}
        found |= {**items, "measurement": plain, "outcome": None}
    elif kind < 0.5:
        functions[next(iter(functions))] += ["one", "two", "three"]
        found["measurement"] = {**plain, "unit": str(rng.choice(["sd", "original"]))}
    return found


def _terms(content: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Return the spec with further terms of its outcome, if it has one."""
    if content["outcome"] is None:
        return content
    several, before, through, by_disorder = rng.random(4) < (0.5, 0.5, 0.9, 0.5)
    regions = content["neural"] is not None and content["neural"]["residual"] == "factor"
    terms = {
        "treatment": ["therapy", "dose"] if several else [], "baseline": bool(before),
        "activation": bool(through and regions),
    }  # fmt: skip
    disorder = {**content["disorder"], "outcome": bool(by_disorder)}
    return {**content, "outcome_from": terms, "disorder": disorder}


@dataclass(frozen=True)
class Case:
    """A model with data from itself, at values near which nodes are enough, and its density."""

    built: Built
    theta: Theta
    density: Density

    @property
    def point(self) -> Array:
        """The density's vector: people's latents are drawn."""
        (first,) = unconstrained(self.built, self.theta)
        rest = np.random.default_rng(1).standard_normal(self.density.size - len(first))
        return np.concatenate([first, rest])

    def log_likelihood(self, compiled: Callable[[Array], tuple[float, Array]]) -> float:
        slots = Slots({p.name: p.shape(self.built.design.coords) for p in self.built.parameters})
        free = Unconstrained(self.built.parameters, slots)
        return compiled(self.point)[0] - free(self.point[: free.size])[0]


@cache
def _case(seed: int) -> Case:
    rng, further = np.random.default_rng([seed, 20]), np.random.default_rng([seed, 21])
    while True:
        cohort = _cohort(rng)
        with suppress(SpecError):  # what is no model
            built = build(parse(JointSpec, _terms(_content(rng), further), where="drawn"), cohort)
            break
    theta = draw(built.parameters, built.design.coords, rng, 1)
    for name, value in {
        "lambda": 1.4,
        "gamma": 1.0,
        "dispersion": 0.7,
        "sigma_score": 0.8,
        "sigma_x": 0.9,
    }.items():
        if name in theta:
            theta[name][:] = value
    data = generate({k: v[0] for k, v in theta.items()}, built.design, rng)
    built = build_design(built.spec, data)
    return Case(built, theta, compile_density(built))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_is_the_slope(seed: int) -> None:
    case, rng = _case(seed), np.random.default_rng(seed)
    x, value_and_gradient = case.point, case.density.value_and_gradient
    value, gradient = value_and_gradient(x)
    assert np.isfinite(value)
    usual = np.linalg.norm(gradient) / np.sqrt(len(x))
    nodes = not case.built.explicit and bool(
        case.built.design.coords[n.INDICATOR]
    )  # constants of the gradient
    for _ in range(4):
        along = rng.standard_normal(len(x)) / np.sqrt(len(x))

        def slope(step: float, along: Array = along) -> float:
            ahead, behind = (value_and_gradient(x + s * along)[0] for s in (step, -step))
            return (ahead - behind) / (2 * step)

        found = (4 * slope(STEP / 2) - slope(STEP)) / 3
        close = 1e-2 if nodes else 1e-5
        assert gradient @ along == pytest.approx(found, rel=close, abs=close * usual)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_density_is_the_sum_of_the_scores(seed: int) -> None:
    """Or, where functions are sampled, one person's integral over them is the score."""
    case = _case(seed)
    built, theta = case.built, case.theta
    scored, moments = scores.evaluate(theta, built.design, last=True)
    total = scored[tuple(joint.blocks_of(built.design))][0]
    assert np.isfinite(moments.mean).all()
    assert (np.linalg.eigvalsh(moments.covariance[0]) > -1e-9).all()
    if not built.explicit:
        assert case.log_likelihood(case.density.value_and_gradient) == pytest.approx(total.sum(), abs=0.1)
        both = np.arange(PEOPLE) % 3 == 0
        parts = [likelihood_of(built, np.flatnonzero(who))(case.point)[0] for who in (both, ~both)]
        whole = likelihood_of(built, np.arange(PEOPLE))(case.point)[0]
        assert sum(parts) == pytest.approx(whole, rel=1e-9)
        return
    for i in (2, 6):
        one = build_design(built.spec, few(built.design, np.array([i])))
        assert _over_latents(Case(one, theta, compile_density(one))) == pytest.approx(total[i], abs=0.01)


def _over_latents(case: Case) -> float:
    """Integrate one person's latents out of the density, on a grid."""
    (first,) = unconstrained(case.built, case.theta)
    latents = case.density.size - len(first)
    if latents > MOST_LATENTS:
        pytest.skip("a grid over that many latents takes minutes")
    axis = np.arange(-7.0, 7.01, 0.25)
    step = float(axis[1] - axis[0])
    mesh = np.stack([m.ravel() for m in np.meshgrid(*[axis] * latents, indexing="ij")], axis=1)
    log_prior = case.density.value_and_gradient(case.point)[0] - case.log_likelihood(
        case.density.value_and_gradient
    )
    values = [case.density.value_and_gradient(np.concatenate([first, z]))[0] for z in mesh]
    return float(logsumexp(values)) + latents * np.log(step) - log_prior


@pytest.mark.parametrize("seed", SEEDS)
def test_scores_are_those_of_brute_force(seed: int) -> None:
    case = _case(seed)
    design, theta = case.built.design, case.theta
    images = len(design.scanned) + len(design.connected) > 0
    beyond = is_curved(design, theta) or ("epsilon" in theta and images)
    if beyond or design.further_indicator is not None or len(design.axes) > 2:
        pytest.skip("brute force has no such model")
    one = {name: value[0] for name, value in theta.items()}
    one.setdefault("loading_network", np.zeros(0))
    (found,) = scores.evaluate(theta, design, last=True)[0].values()
    for i in (0, 2, 4, 8):
        person = Person(one, design, i, joint.BLOCKS)
        assert found[0, i] == pytest.approx(person.log_likelihood(), abs=0.01)


@pytest.mark.parametrize("seed", SEEDS)
def test_blocks_add_up_and_say_nothing_where_there_is_nothing(seed: int) -> None:
    case = _case(seed)
    design = case.built.design
    found, _ = scores.evaluate(case.theta, design)
    blocks = joint.blocks_of(design)
    many = {
        key: np.repeat(value, 40, axis=0) + np.linspace(0, 1, 40)[:, None] for key, value in found.items()
    }
    left_out = scores.leave_one_out(many, blocks, chains=4)
    np.testing.assert_allclose(sum(left_out.elpd[b] for b in blocks), left_out.elpd[scores.TOTAL], atol=1e-8)
    nobody = np.arange(PEOPLE)
    without = {
        "activation": ~np.isin(nobody, design.scanned), "connectivity": ~np.isin(nobody, design.connected),
        "outcome": ~design.outcome_seen,
    }  # fmt: skip
    for block, (before, after) in scores.steps_of(blocks).items():
        if block in without:
            said = found[after] - (found[before] if before else 0)
            assert np.abs(said[0, without[block]]).max() < 2e-3


def test_combinations_are_many() -> None:
    """A seed that makes nothing new would say nothing."""
    specs = [_case(seed).built for seed in SEEDS]
    assert {b.explicit for b in specs} == {True, False}
    assert len({b.design.outcome_family for b in specs}) >= 4
    for name in (
        "gamma",
        "h",
        "delta",
        "B_disorder",
        "L_disorder",
        "loading_person_edge",
        "lambda_score",
        "Omega_x",
        "w_disorder",
        "phi",
        "baseline_missing",
        "v",
    ):
        assert any(p.name == name for b in specs for p in b.parameters), name
    assert any(b.design.item_factors for b in specs)
    assert any(b.design.further_indicator is not None for b in specs)
