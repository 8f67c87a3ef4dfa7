"""Eight faults, each planted where the package computes, and the verdict of its own that turns red.

Of each verdict the sound package is judged, too. That chains which are really drawn are calibrated is
tested in `test_calibrate`, slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from cohort import add_scores, make_cohort

from brute_force import Person
from densities import in_errors
from designs import full_cohort, joint_spec, small_cohort, small_spec
from nssi_bayes.blocks import compiled, joint, marginal, neural, structure
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.linear import Linear
from nssi_bayes.blocks.parameter import Parameter, draw
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.build import Built, build_design
from nssi_bayes.calibrate import replication, summary
from nssi_bayes.calibrate.replication import Plan, replicate
from nssi_bayes.check.gate import Gate, judge
from nssi_bayes.fit import chains, density, fit
from nssi_bayes.fit.chains import Chain
from nssi_bayes.fit.sample import Drawn
from nssi_bayes.fit.unconstrained import Unconstrained
from nssi_bayes.spec import Sampler

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]
type Fault = Callable[[Chain, int], Chain]

PEOPLE = 12
FAR = 5.0
"""Standard errors between a mean and what it has to be."""


def _one_of(parameters: Sequence[Parameter], coords: dict[str, Any], seed: int) -> Theta:
    return {k: v[0] for k, v in draw(parameters, coords, np.random.default_rng(seed), 1).items()}


def _turned(linear: Callable[..., Linear], name: str) -> Callable[..., Linear]:
    """Return what a block says, one of its parameters with the other sign."""

    def said(theta: Theta, design: Design) -> Linear:
        return linear({**theta, name: -theta[name]} if name in theta else theta, design)

    return said


# -- the likelihood, against dense matrices and a dense grid ------------------------------------------


@pytest.fixture(scope="module")
def people() -> tuple[Theta, Design, list[float]]:
    """A truth, data of everything from it, and each person's likelihood by brute force."""
    spec = joint_spec(outcome="severity")
    design = make_design(full_cohort(PEOPLE), spec)
    theta = _one_of(build_design(spec, design).parameters, design.coords, 1)
    data = generate(theta, design, np.random.default_rng(1))
    return theta, data, [Person(theta, data, i, joint.BLOCKS).log_likelihood() for i in range(PEOPLE)]


def _error(people: tuple[Theta, Design, list[float]]) -> float:
    """Return the largest error of a person's likelihood, nats."""
    theta, data, expected = people
    grid = marginal.grid_settings(3, fine=True)
    draws = {name: value[None] for name, value in theta.items()}
    found = marginal.evaluate(draws, data, include=joint.BLOCKS, grid=grid, moments=False)
    return float(np.abs(found.log_integral[0] - expected).max())


def test_a_wrong_sign_is_no_likelihood_of_the_dense_grid(
    people: tuple[Theta, Design, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _error(people) < 0.01
    monkeypatch.setattr(neural, "linear", _turned(neural.linear, "L_network"))
    assert _error(people) > 0.1


def test_a_dropped_block_is_no_likelihood_of_the_dense_grid(
    people: tuple[Theta, Design, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _error(people) < 0.01
    measures = compiled._measures
    monkeypatch.setattr(compiled, "_measures", lambda *a: [m for m in measures(*a) if m[0] != "connectivity"])
    assert _error(people) > 0.1


# -- the sampler's density, against what is drawn forwards --------------------------------------------


@pytest.fixture(scope="module")
def tiny() -> Built:
    """One function by three sums, a factor, an outcome; slopes are wide so that signs matter."""
    functions = {"self_related": ["affect_regulation", "anti_dissociation", "marking_distress"]}
    priors = {"B_trauma": {"sigma": 1.0}}
    spec = small_spec(functions=functions, outcome="severity", disorder={}, priors=priors)
    return build_design(spec, make_design(small_cohort(40), spec))


def _of_prior(built: Built, name: str) -> float:
    """Return how far Stein's identity, E[x d log p / dx] = -1, is from true of prior draws, in errors.

    Draws are those of `blocks.parameter`, the log prior is the sampler's (`fit.density`).
    """
    slots = Slots({p.name: p.shape(built.design.coords) for p in built.parameters})
    free = density.Unconstrained(built.parameters, slots)
    theta = draw(built.parameters, built.design.coords, np.random.default_rng(2), 1500)
    none = np.zeros(slots.size)
    vectors = density.unconstrained(built, theta)
    found = [(x * free(x)[2](none) + 1)[free.positions(name)] for x in vectors]
    return float(np.abs(in_errors(found)).max())


def _with(name: str, **changes: Any) -> type[Unconstrained]:
    """Return the sampler's priors, those of one parameter changed."""

    class Changed(Unconstrained):
        def __init__(self, parameters: Sequence[Parameter], slots: Slots) -> None:
            super().__init__([replace(p, **changes) if p.name == name else p for p in parameters], slots)

    return Changed


def test_a_doubled_prior_scale_is_not_the_prior_that_is_drawn(
    tiny: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all(_of_prior(tiny, p.name) < FAR for p in tiny.parameters)
    (w,) = [p for p in tiny.parameters if p.name == "w"]
    monkeypatch.setattr(density, "Unconstrained", _with("w", sigma=2 * w.sigma))
    assert _of_prior(tiny, "w") > FAR


def _score(built: Built, theta: Theta) -> float:
    """Return the mean score of a slope over cohorts from a truth, in standard errors; it should be 0."""
    found = []
    (x,) = density.unconstrained(built, {k: v[None] for k, v in theta.items()})
    slots = Slots({p.name: p.shape(built.design.coords) for p in built.parameters})
    at = density.Unconstrained(built.parameters, slots).positions("B")
    for seed in range(30):
        data = generate(theta, built.design, np.random.default_rng(seed))
        of = density.likelihood_of(replace(built, design=data), np.arange(len(data.diagnosis)))
        found.append(of(x)[1][at])
    return float(np.abs(in_errors(found)).max())


def test_a_slope_of_the_wrong_sign_has_a_score_that_is_not_zero(
    tiny: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    theta = _one_of(tiny.parameters, tiny.design.coords, 3)
    theta["B"], theta["lambda"] = np.full_like(theta["B"], 0.8), np.full_like(theta["lambda"], 1.5)
    assert _score(tiny, theta) < FAR
    monkeypatch.setattr(structure, "linear", _turned(structure.linear, "B"))
    assert _score(tiny, theta) > FAR


# -- simulation-based calibration ---------------------------------------------------------------------


def _by_weight(built: Built, _: Sampler, seeds: np.random.SeedSequence) -> Drawn:
    """Draw from a posterior that is near its prior: draws of the prior, picked by their likelihood."""
    rng = np.random.default_rng(seeds)
    theta = draw(built.parameters, built.design.coords, rng, 1200)
    grid = marginal.grid_settings(len(built.design.plain_of))
    found = marginal.evaluate(theta, built.design, include=joint.BLOCKS, grid=grid, moments=False)
    log_weight = found.log_integral.sum(axis=1)
    weight = np.exp(log_weight - log_weight.max())
    chosen = rng.choice(len(weight), (2, 400), p=weight / weight.sum())
    correlated = {p.name for p in built.parameters if p.is_correlation}
    values = {k: (v @ np.swapaxes(v, 1, 2) if k in correlated else v)[chosen] for k, v in theta.items()}
    return Drawn(
        values, xr.Dataset({"diverging": (("chain", "draw"), np.zeros((2, 400)))}), 0.8, 0, rerun=False
    )


@pytest.fixture(scope="module")
def plan() -> Plan:
    """One answer and four outcomes: they say little, so that the posterior is near the prior."""
    functions = {"self_related": ["affect_regulation", "anti_dissociation", "marking_distress"]}
    priors = {"sigma_outcome": {"family": "lognormal", "mu": 0.0, "sigma": 0.1}}  # none is near 0
    spec = small_spec(functions=functions, factors=[], outcome="severity", disorder={}, priors=priors)
    design = make_design(small_cohort(5), spec)
    response = design.response.copy()
    response[1:], response[0, 1:] = design.missing_response, design.missing_response
    seen = design.outcome_seen & (np.arange(5) < 4)
    built = build_design(spec, replace(design, response=response, outcome_seen=seen))
    return Plan(built, Sampler(chains=2, tune=100, draws=100), 7)


def _calibrated(plan: Plan) -> tuple[bool | None, set[str]]:
    """Return the verdict, and which quantities are not uniform."""
    found = summary.summarise([replicate(plan, index) for index in range(summary.FEWEST)])
    level = summary.LEVEL / len(summary.FAMILIES)
    rows = [(row, f["quantities"]) for f in found["families"].values() for row in f["worst"]]
    return found["passed"], {row["quantity"] for row, count in rows if row["p"] * count <= level}


@pytest.fixture
def quick(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(replication, "sample", _by_weight)
    return plan


def test_sound_posteriors_are_calibrated(quick: Plan) -> None:
    assert _calibrated(quick) == (True, set())


def test_a_wrong_prior_of_thresholds_is_not_calibrated(quick: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Truths have thresholds of a Dirichlet(20), the model those of a Dirichlet(1)."""

    def other(parameters: Sequence[Parameter], *rest: Any) -> Any:
        return draw([replace(p, alpha=20.0) if p.family == "dirichlet" else p for p in parameters], *rest)

    monkeypatch.setattr(replication, "draw", other)
    passed, red = _calibrated(quick)
    assert passed is False
    assert any(q.startswith("size[category_probability") for q in red)


def test_a_likelihood_that_drops_a_block_is_not_calibrated(
    quick: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The posterior never sees the outcome: parameters are uniform still, and its likelihood is not."""

    def blind(built: Built, *rest: Any) -> Drawn:
        unseen = np.zeros_like(built.design.outcome_seen)
        return _by_weight(replace(built, design=replace(built.design, outcome_seen=unseen)), *rest)

    monkeypatch.setattr(replication, "sample", blind)
    passed, red = _calibrated(quick)
    assert passed is False
    assert "log_likelihood[outcome]" in red
    assert all(q.startswith(("log_likelihood", "eta_of_one_person")) for q in red)


# -- the gate, on chains that are really drawn --------------------------------------------------------


class Drawing:
    """A Gaussian model, and its chains in the order in which they were drawn."""

    def __init__(self) -> None:
        labels, rng = ("one", "two", "three"), np.random.default_rng(5)
        cohort = make_cohort(rng, 60, subscales={}, reliability={})
        cohort = add_scores(cohort, labels, rng.standard_normal((60, 3)))
        spec = small_spec(functions={"inner": labels}, factors=[], disorder={})
        built = build_design(spec, make_design(cohort, spec))
        theta = _one_of(built.parameters, built.design.coords, 1)
        theta["lambda_score"], theta["sigma_score"] = np.full((2, 3), 0.8)
        self.built = build_design(spec, generate(theta, built.design, rng))
        self.drawn: list[Chain] = []

    def fitted(self, monkeypatch: pytest.MonkeyPatch, one: Callable[..., Chain]) -> Gate:
        monkeypatch.setattr(chains, "draw_chain", one)
        sampler = Sampler(chains=4, tune=150, draws=1000, target_accept=0.8)
        return judge(fit(self.built, sampler, np.random.SeedSequence(3)), {})

    def draw(self, *given: Any, **more: Any) -> Chain:
        self.drawn.append(DRAW_CHAIN(*given, **more))
        return self.drawn[-1]

    def again(self, fault: Fault) -> Callable[..., Chain]:
        """Return what hands the chains out again, with a fault."""
        calls = iter(range(1000))

        def one(*_: Any, **__: Any) -> Chain:
            at = next(calls) % 4
            return fault(self.drawn[at], at)

        return one


DRAW_CHAIN = chains.draw_chain


@pytest.fixture(scope="module")
def drawing() -> Drawing:
    """Chains that are certified."""
    found = Drawing()
    with pytest.MonkeyPatch.context() as patch:
        assert found.fitted(patch, found.draw).certified
    return found


def _truncated(chain: Chain, _: int) -> Chain:
    """Return a chain that ended early."""
    values = {name: v[:300] for name, v in chain.values.items()}
    return Chain(values, chain.statistics.isel(draw=slice(300)), chain.position[:300])


def _stuck(chain: Chain, index: int) -> Chain:
    """Return a chain that, if it is the second, stays where it is."""
    if index != 1:
        return chain
    kept = np.minimum(np.arange(1000), 300)
    values = {name: v[kept] for name, v in chain.values.items()}
    return Chain(values, chain.statistics, chain.position[kept])


@pytest.mark.parametrize(("fault", "reds"), [(_truncated, {"draws"}), (_stuck, {"rhat", "moving"})])
def test_a_truncated_and_a_stuck_chain_are_not_certified(
    drawing: Drawing, fault: Fault, reds: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = drawing.fitted(monkeypatch, drawing.again(fault))
    assert not gate.certified
    assert reds <= {c.name for c in gate.checks if c.passed is False}
