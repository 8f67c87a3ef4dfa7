"""Outcomes that are a yes, a count or a category: densities, integrals, blocks, and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logsumexp
from scipy.stats import nbinom

from densities import assert_density_is_pymcs
from designs import small_cohort, small_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import joint, marginal
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.people import few, join
from nssi_bayes.build import build_design, fingerprint
from nssi_bayes.check import scores
from nssi_bayes.crossvalidate.refit import largest_rhat
from nssi_bayes.errors import SpecError
from nssi_bayes.fit.density import compile_density
from nssi_bayes.fit.sample import sample
from nssi_bayes.integrate import quadrature
from nssi_bayes.spec import Sampler
from outcomes import FAMILIES, Dense, drawn, full, small, with_family

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


def _log_probability(theta: Theta, design: Design, i: int, mu: Array) -> Array:
    """Log-probability of one person's outcome at predictors, by SciPy."""
    y = design.outcome[i]
    if design.outcome_family == n.BERNOULLI:
        return np.log(expit(mu if y else -mu))
    if design.outcome_family == n.NEGATIVE_BINOMIAL:
        size, rate = theta["dispersion"] ** -2.0, design.outcome_exposure[i] * np.exp(mu)
        return nbinom.logpmf(y, size, size / (size + rate))
    below = np.concatenate([[0.0], np.cumsum(theta["outcome_probability"])])
    with np.errstate(divide="ignore"):
        kappa = np.log(below) - np.log(np.maximum(1 - below, 0.0))
    kappa[-1] = np.inf
    return np.log(expit(kappa[int(y) + 1] - mu) - expit(kappa[int(y)] - mu))


class _Dense(Dense):
    """One person's log-likelihood with the outcome, on a fine grid over functions and predictor."""

    def predictor(self, eta: Array) -> tuple[Array, float]:
        """Return mean and sd of the predictor given the functions [`function`, value]."""
        design, theta, i = self.design, self.theta, self.i
        x, left = self.factors_given(eta)
        q = theta.get("q", np.zeros(len(x)))
        at = np.sum(theta.get("a", 0.0)) + theta["d"] @ design.diagnosis[i]
        at += theta["outcome_covariate"] @ design.covariate[i] + theta["site_outcome"] @ design.site[i]
        mu = at + theta["w"] @ eta + q @ x
        return mu, np.sqrt(max(float(q @ left @ q), 0.0))

    def outcome(self, eta: Array) -> Array:
        """Integrate the factors out of the outcome, given the functions."""
        mu, spread = self.predictor(eta)
        t = np.arange(-6, 6.01, 0.1)
        log_t = -0.5 * t**2 + np.log(0.1) - 0.5 * np.log(2 * np.pi)
        both = _log_probability(self.theta, self.design, self.i, mu[:, None] + spread * t)
        return logsumexp(both + log_t, axis=1)


EXPLICIT: dict[str, Any] = {"route": "explicit"}
"""What makes a model sample its functions."""


def _evaluate(theta: Theta, design: Design, include: tuple[str, ...] = joint.BLOCKS) -> Any:
    draws = {name: value[None] for name, value in theta.items()}
    grid = marginal.grid_settings(len(design.plain_of), fine=True)
    return marginal.evaluate(draws, design, include=include, grid=grid)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_explicit_density_is_that_of_pymc(family: str) -> None:
    spec, design = small(family, **EXPLICIT)
    _, design = drawn(spec, design)
    built = build_design(spec, design)
    assert built.explicit
    fast, stated, _ = assert_density_is_pymcs(built, scales=(0.1, 1.0), value_rtol=1e-9, gradient_rtol=1e-8)
    assert fast.size == len(stated.start)


@pytest.mark.parametrize(("family", "images"), [*((f, False) for f in FAMILIES), (n.BERNOULLI, True)])
def test_the_gradient_is_that_of_the_density(family: str, *, images: bool) -> None:
    """With one factor, and with two beside images."""
    spec, design = full(family, participants=16) if images else small(family, participants=12, **EXPLICIT)
    spec = spec.model_copy(update=EXPLICIT)
    _, design = drawn(spec, design, seed=5)
    density = compile_density(build_design(spec, design))
    rng = np.random.default_rng(6)
    x = density.start + 0.5 * rng.standard_normal(density.size)
    _, gradient = density.value_and_gradient(x)
    for _ in range(20):
        along = rng.standard_normal(density.size)
        along /= np.linalg.norm(along)
        ahead, behind = (density.value_and_gradient(x + s * along)[0] for s in (1e-5, -1e-5))
        assert gradient @ along == pytest.approx((ahead - behind) / 2e-5, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_explicit_density_has_scipys_outcome(family: str) -> None:
    """Density with the outcome less that without it is the sum of SciPy's log-probabilities."""
    spec, design = small(family, **EXPLICIT)
    theta, design = drawn(spec, design)
    rng = np.random.default_rng(7)
    eta, rest = rng.standard_normal((24, 2)), rng.standard_normal((24, 1))
    whole = joint.log_joint(theta, design, eta, rest=rest)
    without = joint.log_joint(theta, _unseen(design, np.zeros(24, dtype=bool)), eta, rest=rest)
    expected = []
    for i in range(24):
        mu, spread = _Dense(theta, design, i, joint.BLOCKS).predictor(eta[[i]].T)
        spread *= np.sign(theta["q"][0])
        expected.append(_log_probability(theta, design, i, mu + spread * rest[i, 0])[0])
    np.testing.assert_allclose(np.asarray(whole - without), expected, atol=1e-9)


def _unseen(design: Design, seen: Array) -> Design:
    return replace(design, outcome_seen=seen)


def _hard(family: str, *, q: float = 0.8) -> tuple[Theta, Design]:
    """Data with strong slopes, a third of the people without their factor, some without the outcome."""
    spec, design = small(family, participants=18)
    seen = design.factor_seen.copy()
    seen[::3] = False
    design = replace(design, factor_seen=seen, factor=np.where(seen, design.factor, 0.0))
    design = _unseen(design, np.arange(18) % 7 != 3)
    named: dict[str, Any] = {"w": [0.9, -0.6], "q": q, "sigma_x": 1.1}
    if family == n.NEGATIVE_BINOMIAL:
        named |= {"dispersion": 0.6, "a": 1.5}
    return drawn(spec, design, seed=8, **named)


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_and_moments_are_those_of_a_dense_grid(family: str) -> None:
    theta, design = _hard(family)
    found = _evaluate(theta, design)
    for i in range(0, 18, 2):
        total, mean, covariance = _Dense(theta, design, i, joint.BLOCKS).parts(include=joint.BLOCKS)
        assert found.log_integral[0, i] == pytest.approx(total, abs=0.01)
        np.testing.assert_allclose(found.mean[0, i], mean, atol=0.01)
        np.testing.assert_allclose(found.covariance[0, i], covariance, atol=0.01)


def test_an_outcome_alone_is_integrated_too() -> None:
    theta, design = _hard(n.NEGATIVE_BINOMIAL)
    found = _evaluate(theta, design, ("factors", "outcome"))
    for i in range(0, 18, 3):
        total, *_ = _Dense(theta, design, i, ("factors", "outcome")).parts(include=("factors", "outcome"))
        assert found.log_integral[0, i] == pytest.approx(total, abs=0.01)


def test_a_predictor_without_uncertain_factors_is_the_limit_of_one_with_them() -> None:
    theta, design = _hard(n.BERNOULLI, q=0.0)
    nearly = _evaluate({**theta, "q": np.full(1, 1e-7)}, design)
    np.testing.assert_allclose(_evaluate(theta, design).log_integral, nearly.log_integral, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_add_up_and_only_the_outcome_knows_its_slopes(family: str) -> None:
    theta, design = _hard(family)
    draws = {name: np.repeat(value[None], 40, axis=0) for name, value in theta.items()}
    draws["w"] = draws["w"] + np.linspace(-0.2, 0.2, 40)[:, None]
    blocks = joint.blocks_of(design)
    assert blocks == ["factors", "items", "outcome"]
    sets, _ = scores.evaluate(draws, design)
    found = scores.leave_one_out(sets, blocks, chains=2)
    parts = sum(found.elpd[b] for b in blocks)
    np.testing.assert_allclose(parts, found.elpd[scores.TOTAL], atol=1e-8)
    without = sets[("factors", "items")]
    np.testing.assert_allclose(without, without[:1].repeat(40, axis=0), atol=1e-12)
    said = sets[tuple(blocks)] - without
    assert (np.ptp(said, axis=0)[design.outcome_seen] > 1e-6).all()
    # who has no outcome: two rules for the same integral, that of items by function and that of all at once
    np.testing.assert_allclose(said[:, ~design.outcome_seen], 0.0, atol=0.01)


def test_some_people_keep_their_exposure() -> None:
    spec, design = small(n.NEGATIVE_BINOMIAL)
    theta, design = drawn(spec, design)
    whole = _evaluate(theta, design).log_integral[0]
    chosen = np.array([7, 2, 11])
    part = few(design, chosen)
    np.testing.assert_allclose(_evaluate(theta, part).log_integral[0], whole[chosen], rtol=1e-12)
    both = join(part, few(design, np.array([5])))
    np.testing.assert_allclose(_evaluate(theta, both).log_integral[0], whole[[7, 2, 11, 5]], rtol=1e-12)


def test_images_stand_beside_an_outcome() -> None:
    spec, design = full(n.BERNOULLI, participants=20)
    theta, design = drawn(spec, design)
    found = _evaluate(theta, design)
    assert np.isfinite(found.log_integral).all()
    gaussian = _evaluate(theta, design, ("factors", "items", "activation", "connectivity"))
    missing = ~design.outcome_seen
    assert missing.any()
    np.testing.assert_allclose(found.log_integral[:, missing], gaussian.log_integral[:, missing], atol=0.02)


def test_a_family_is_part_of_the_fingerprint_and_a_gaussian_one_is_not() -> None:
    marks = set()
    for family in FAMILIES:
        spec, design = small(family)
        same = replace(design, outcome=np.ones_like(design.outcome))
        marks.add(fingerprint(build_design(spec, same), spec))
    assert len(marks) == len(FAMILIES)


FOUR = {
    **{s: [s] for s in ("affect_regulation", "anti_dissociation", "marking_distress")},
    "self_punishment": ["self_punishment"],
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"route": "marginal", "functions": FOUR}, "does not separate"),
        ({"groups": {"by": "site", "invariance": "metric"}}, "groups"),
    ],
)
def test_what_an_outcome_cannot_have_is_refused_with_the_reason(changes: dict[str, Any], said: str) -> None:
    cohort = with_family(small_cohort(), n.NEGATIVE_BINOMIAL)
    with pytest.raises(SpecError, match=said):
        make_design(cohort, small_spec(outcome="severity", **changes))


def test_the_closed_form_refuses_what_it_does_not_integrate() -> None:
    spec, design = small(n.NEGATIVE_BINOMIAL)
    theta, design = drawn(spec, design)
    with pytest.raises(ValueError, match="does not separate"):
        joint.log_likelihood(theta, design, quadrature.make_grid(2), include=("items", "outcome"))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_slopes_and_dispersion_come_back(family: str) -> None:
    """At 300 people: the truth within reach of the posterior, which knows much more than the prior."""
    spec, design = small(family, participants=300, factors=())
    named: dict[str, Any] = {"w": [1.0, -0.8], "d": 0.0, "A": 0.0, "lambda": 2.0}
    if family == n.NEGATIVE_BINOMIAL:
        named |= {"dispersion": 0.7, "a": 1.0}
    if family == n.BERNOULLI:
        named |= {"a": -0.3}
    theta, data = drawn(spec, design, seed=11, **named)
    sampler = Sampler(chains=2, tune=150, draws=500)
    found = sample(build_design(spec, data), sampler, np.random.SeedSequence(3))
    flat = {name: v.reshape(-1, *v.shape[2:]) for name, v in found.values.items()}
    prior_sd = 0.5 if family == n.NEGATIVE_BINOMIAL else 1.0
    for f in range(2):
        mean, sd = flat["w"][:, f].mean(), flat["w"][:, f].std()
        assert abs(mean - theta["w"][f]) < 3 * sd
        assert sd < 0.7 * prior_sd
        assert np.sign(mean) == np.sign(theta["w"][f])
    if family == n.NEGATIVE_BINOMIAL:
        mean, sd = flat["dispersion"].mean(), flat["dispersion"].std()
        assert abs(mean - 0.7) < 3 * sd
        assert sd < 0.15
    assert int(found.statistics["diverging"].sum()) == 0
    assert largest_rhat(found.values.values()) < 1.03
