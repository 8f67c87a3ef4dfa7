"""A count behind a hurdle: whether any and how many, each with a predictor of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from scipy.special import expit, logsumexp
from scipy.stats import nbinom

from densities import assert_density_is_pymcs
from designs import small_cohort, small_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import joint, marginal, outcomes
from nssi_bayes.blocks.beside import stands_beside
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.blocks.predicted import Predictor, on_axes
from nssi_bayes.build import build_design
from nssi_bayes.calibrate.person import draw_functions
from nssi_bayes.check import predictive, prior, scores
from nssi_bayes.check.associations import outcome_rows
from nssi_bayes.check.summarised import Summary
from nssi_bayes.errors import SpecError
from nssi_bayes.fit.density import compile_density
from nssi_bayes.fit.sample import sample
from nssi_bayes.integrate.curve import nothing
from nssi_bayes.outcome import Outcome
from nssi_bayes.report import against, computed
from nssi_bayes.report.claims import answer
from nssi_bayes.share.allowed import allowed
from nssi_bayes.spec import Sampler, parse, read_priors
from outcomes import Dense, drawn, full, small, with_family

section, methods = (import_module(f"nssi_bayes.report.sections.{name}") for name in ("outcome", "methods"))

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]

TWO = {"trauma": 0.8, "attachment": 0.7}
STEP = 0.35
AXIS = np.arange(-16, 17) * STEP
"""Sums over such an axis are exact to rounding, of functions that are smooth over a step."""


def two_factors(**changes: Any) -> tuple[Any, Design]:
    """Return a model of two functions and two factors: two rests a person."""
    spec = small_spec(outcome="severity", factors=list(TWO), **changes)
    return spec, make_design(with_family(small_cohort(24, factors=TWO), n.HURDLE), spec)


def log_probability(theta: Theta, design: Design, i: int, mu: Array) -> Array:
    """Log-probability of one person's outcome at predictors [predictor, ...], by SciPy."""
    y, (some, count) = design.outcome[i], mu
    # lower there are no counts but 1, and SciPy's probabilities are 0
    size, rate = theta["dispersion"] ** -2.0, design.outcome_exposure[i] * np.exp(np.maximum(count, -30.0))
    of = nbinom(size, size / (size + rate))
    if y == 0:
        return np.log(expit(-some))
    return np.log(expit(some)) + of.logpmf(y) - of.logsf(0)


class _Dense(Dense):
    """One person's log-likelihood with the outcome, on a fine grid over functions and both predictors."""

    axis = AXIS

    def predictors(self, eta: Array) -> tuple[Array, Array]:
        """Return means [predictor, value] of both given the functions, and their covariance."""
        design, theta, i = self.design, self.theta, self.i
        x, left = self.factors_given(eta)
        rows, slopes = [], []
        for end in ("_some", ""):
            q = theta.get(f"q{end}", np.zeros(len(x)))
            at = theta[f"a{end}"] + theta[f"d{end}"] @ design.diagnosis[i]
            at += theta[f"outcome_covariate{end}"] @ design.covariate[i]
            at += theta[f"site_outcome{end}"] @ design.site[i]
            rows.append(at + theta[f"w{end}"] @ eta + q @ x)
            slopes.append(q)
        both = np.array(slopes)
        return np.array(rows), both @ left @ both.T

    def outcome(self, eta: Array) -> Array:
        """Integrate both predictors over a fine grid of what factors leave of them."""
        mu, cov = self.predictors(eta)
        values, vectors = np.linalg.eigh(cov)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        axes = [AXIS if v > 1e-12 else np.zeros(1) for v in values]
        t = np.stack([m.ravel() for m in np.meshgrid(*axes, indexing="ij")])
        log_t = np.zeros(t.shape[1])
        for row, v in zip(t, values, strict=True):
            log_t += (-0.5 * row**2 + np.log(STEP) - 0.5 * np.log(2 * np.pi)) if v > 1e-12 else 0.0
        found = np.empty(eta.shape[1])
        for part in np.array_split(np.arange(eta.shape[1]), 40):
            at = mu[:, part, None] + (root @ t)[:, None, :]
            found[part] = logsumexp(log_probability(self.theta, self.design, self.i, at) + log_t, axis=1)
        return found


def _evaluate(theta: Theta, design: Design, include: tuple[str, ...] = joint.BLOCKS) -> Any:
    draws = {name: value[None] for name, value in theta.items()}
    grid = marginal.grid_settings(len(design.plain_of), fine=True)
    return marginal.evaluate(draws, design, include=include, grid=grid)


def test_the_stated_density_is_pymcs_own_and_scipys() -> None:
    """In PyMC's parameters: psi of any, alpha = 1 / dispersion^2, and the rate before zeros are cut off."""
    _, design = small(n.HURDLE)
    theta = {"dispersion": np.array(0.8)}
    rng = np.random.default_rng(1)
    mu = rng.standard_normal((2, 24)) + np.array([[0.0], [1.0]])
    found = np.asarray(outcomes.log_probability(theta, design, mu))
    seen = design.outcome_seen
    of = pm.HurdleNegativeBinomial.dist(
        psi=expit(mu[0]), mu=design.outcome_exposure * np.exp(mu[1]), alpha=0.8**-2
    )
    own = pm.logp(of, design.outcome.astype(int)).eval()
    np.testing.assert_allclose(found[seen], own[seen], rtol=1e-6)  # PyMC's constants are of single precision
    exact = [log_probability(theta, design, i, mu[:, i]) for i in np.flatnonzero(seen)]
    np.testing.assert_allclose(found[seen], exact, rtol=1e-10)
    assert (found[~seen] == 0).all()


@pytest.mark.parametrize(
    "factors", [pytest.param(0, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.slow), 2]
)
def test_the_density_is_that_of_the_reference(factors: int) -> None:
    spec, design = two_factors() if factors == 2 else small(n.HURDLE, factors=["trauma"][:factors])
    _, design = drawn(spec, design)
    built = build_design(spec, design)
    assert built.explicit
    assert not stands_beside(design, {p.name for p in built.parameters})
    fast, stated, _ = assert_density_is_pymcs(built, scales=(0.1, 1.0), value_rtol=1e-9, gradient_rtol=1e-8)
    assert fast.size == len(stated.start)


@pytest.mark.parametrize("images", [False, True])
def test_the_gradient_is_that_of_the_density(images: bool) -> None:
    """With two factors, and with two beside images, which differ between people."""
    spec, design = full(n.HURDLE, participants=16) if images else two_factors()
    _, design = drawn(spec, design, seed=5, dispersion=0.8)
    density = compile_density(build_design(spec, design))
    rng = np.random.default_rng(6)
    x = density.start + 0.5 * rng.standard_normal(density.size)
    _, gradient = density.value_and_gradient(x)
    for _ in range(20):
        along = rng.standard_normal(density.size)
        along /= np.linalg.norm(along)
        ahead, behind = (density.value_and_gradient(x + s * along)[0] for s in (1e-5, -1e-5))
        assert gradient @ along == pytest.approx((ahead - behind) / 2e-5, rel=1e-5, abs=1e-5)


def test_where_a_trajectory_ends_the_density_is_no_error() -> None:
    spec, design = two_factors()
    _, design = drawn(spec, design)
    density = compile_density(build_design(spec, design))
    value, _ = density.value_and_gradient(np.full(density.size, 1e5))
    assert not np.isfinite(value)


def _hard(*, factors: int = 2, slope: float = 0.8, **more: Any) -> tuple[Theta, Design]:
    """Data with strong slopes that differ between the parts, a third of the people without a factor."""
    spec, design = two_factors() if factors == 2 else small(n.HURDLE)
    people = np.arange(24)
    seen = design.factor_seen.copy()
    seen[::3, 0] = False
    design = replace(design, factor_seen=seen, factor=np.where(seen, design.factor, 0.0))
    design = replace(design, outcome_seen=people % 7 != 3)
    named: dict[str, Any] = {
        "w_some": [0.9, -0.6], "w": [-0.5, 0.9], "q_some": slope, "q": slope * np.array([1, -1][:factors]),
        "sigma_x": 1.1, "dispersion": 0.6, "a": 1.5 * factors, "a_some": 2.0 if factors == 2 else 0.5,
    }  # fmt: skip
    return drawn(spec, design, seed=8, **{**named, **more})


@pytest.mark.parametrize("factors", [1, 2])
def test_scores_and_moments_are_those_of_a_dense_grid(factors: int) -> None:
    theta, design = _hard(factors=factors)
    found = _evaluate(theta, design)
    assert (design.outcome > 2).sum() > 5
    assert (design.outcome == 0).sum() > 5
    for i in range(0, 24, 2):
        total, mean, covariance = _Dense(theta, design, i, joint.BLOCKS).parts()
        assert found.log_integral[0, i] == pytest.approx(total, abs=0.005)
        np.testing.assert_allclose(found.mean[0, i], mean, atol=0.005)
        np.testing.assert_allclose(found.covariance[0, i], covariance, atol=0.005)


def test_axes_are_those_of_the_same_normal() -> None:
    """Of three factors, of a person who has some and of one who has none."""
    rng = np.random.default_rng(2)
    predictor = Predictor(
        np.zeros((2, 2)), np.zeros((2, 0)), np.zeros((2, 1, 2)), rng.standard_normal((2, 3, 2))
    )
    count = nothing((2,))._replace(over=np.array([1.0, 0.0]))
    spread = on_axes(predictor, [nothing((2,)), count]).spread
    whole, axes = (np.einsum("kri,lri->kli", v, v) for v in (predictor.spread, spread))
    np.testing.assert_allclose(axes[:, :, 0], whole[:, :, 0], rtol=1e-12)
    assert axes[0, 0, 1] == pytest.approx(whole[0, 0, 1])
    assert not spread[1, :, 1].any()
    assert not spread[0, 0].any()


def test_predictors_without_uncertain_factors_are_the_limit_of_some_with_them() -> None:
    theta, design = _hard(slope=0.0)
    nearly = {**theta, "q": np.array([1e-7, 2e-7]), "q_some": np.array([-1e-7, 1e-7])}
    values = [_evaluate(t, design).log_integral for t in (theta, nearly)]
    np.testing.assert_allclose(*values, atol=1e-5)


def test_blocks_add_up_and_only_the_outcome_knows_its_slopes() -> None:
    theta, design = _hard()
    draws = {name: np.repeat(value[None], 40, axis=0) for name, value in theta.items()}
    draws["w_some"] = draws["w_some"] + np.linspace(-0.2, 0.2, 40)[:, None]
    blocks = joint.blocks_of(design)
    sets, _ = scores.evaluate(draws, design)
    found = scores.leave_one_out(sets, blocks, chains=2)
    parts = sum(found.elpd[b] for b in blocks)
    np.testing.assert_allclose(parts, found.elpd[scores.TOTAL], atol=1e-8)
    without = sets[("factors", "items")]
    np.testing.assert_allclose(without, without[:1].repeat(40, axis=0), atol=1e-12)
    said = sets[tuple(blocks)] - without
    assert (np.ptp(said, axis=0)[design.outcome_seen] > 1e-6).all()
    np.testing.assert_allclose(said[:, ~design.outcome_seen], 0.0, atol=0.01)


def test_who_has_none_says_nothing_of_how_many() -> None:
    theta, design = _hard()
    other = {**theta, "a": theta["a"] + 2.0, "w": -theta["w"], "dispersion": np.array(1.7)}
    values = [_evaluate(t, design).log_integral[0] for t in (theta, other)]
    none = (design.outcome == 0) & design.outcome_seen
    np.testing.assert_allclose(values[0][none], values[1][none], atol=2e-3)
    assert (np.abs(values[0] - values[1])[(design.outcome > 0)] > 1e-3).all()


@pytest.mark.parametrize("factors", [1, 2])
def test_one_persons_functions_are_drawn_with_both_parts(factors: int) -> None:
    theta, design = _hard(factors=factors)
    fitted = _evaluate(theta, design)
    draws = {name: np.repeat(value[None], 400, axis=0) for name, value in theta.items()}
    person = int(np.flatnonzero(design.outcome > 0)[0])
    found = draw_functions(draws, design, person, np.random.default_rng(3))
    sd = np.sqrt(np.diag(fitted.covariance[0, person]))
    assert (np.abs(found.mean(axis=0) - fitted.mean[0, person]) < 0.2 * sd).all()
    np.testing.assert_allclose(found.std(axis=0), sd, rtol=0.15)


def test_each_part_is_drawn_from_its_own_predictor() -> None:
    """Zeros and the mean of those who have any, with nothing in the predictors but their intercepts."""
    spec, design = small(n.HURDLE, participants=400, factors=())
    design = replace(design, outcome_seen=np.ones(400, bool), outcome_exposure=np.full(400, 2.0))
    none = dict.fromkeys(
        (f"{name}{end}" for name in ("w", "d", "outcome_covariate", "site_outcome") for end in ("", "_some")),
        0.0,
    )
    _, data = drawn(spec, design, seed=3, a=0.2, a_some=-0.7, dispersion=1e-3, **none)
    share, rate = expit(-0.7), 2 * np.exp(0.2)
    some = data.outcome > 0
    assert some.mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 400))
    mean = rate / (1 - np.exp(-rate))
    sd = np.sqrt(mean * (1 + rate - mean) / some.sum())
    assert data.outcome[some].mean() == pytest.approx(mean, abs=4 * sd)


def test_the_marginal_route_is_refused_with_the_cure() -> None:
    cohort = with_family(small_cohort(), n.HURDLE)
    with pytest.raises(SpecError, match=r"hurdle.*two predictors(.|\n)*route: auto"):
        make_design(cohort, small_spec(outcome="severity", route="marginal"))


@pytest.mark.parametrize("said", ["hurdle", "hurdle_negbinomial", "HurdleNegativeBinomial", "hurdle_poisson"])
def test_other_names_of_the_family_are_understood(said: str) -> None:
    with pytest.raises(SpecError, match="Did you mean 'hurdle_negative_binomial'"):
        parse(Outcome, {"column": "x", "family": said}, where="study.yaml")
    assert parse(Outcome, {"column": "x", "family": n.HURDLE, "exposure": "m"}, where="s").exposure == "m"


def test_zeros_and_tail_are_looked_at_as_of_any_count() -> None:
    """A model that knows of no hurdle draws too few zeros; the one that made the data does not."""
    spec, design = small(n.HURDLE, participants=80, factors=())
    quiet = {"w": 0.2, "w_some": 0.2, "d": 0.0, "d_some": 0.0}
    theta, data = drawn(spec, design, seed=4, a=1.8, a_some=-0.2, dispersion=0.3, **quiet)
    draws = {name: np.repeat(value[None], 500, axis=0) for name, value in theta.items()}
    verdicts = []
    for changed in ({}, {"a_some": draws["a_some"] + 2.5}):
        found = predictive.check({**draws, **changed}, data, np.random.default_rng(2), min_cell=5)
        (one,) = [c for c in found["checks"] if c["name"] == "outcome_counts"]
        verdicts.append(one["p"])
    assert verdicts[0] > 0.05
    assert verdicts[1] < 0.01
    rows = {
        r["name"]
        for r in prior.summarise(build_design(spec, data), np.random.default_rng(1), min_cell=5)["statistics"]
    }
    assert {"outcome_zeros", "outcome_size"} <= rows


def test_both_parts_are_told_as_ratios_of_their_own() -> None:
    spec, design = small(n.HURDLE, participants=12)
    values = draw(joint.parameters(spec, design, read_priors()), design.coords, np.random.default_rng(1), 400)
    dims = {"w": n.FUNCTION, "q": n.FACTOR, "d": n.DISORDER}
    dims |= {f"{name}_some": dim for name, dim in dims.items()}
    flat = xr.Dataset(
        {k: (("sample", d), values[k]) for k, d in dims.items()},
        coords={d: design.coords[d] for d in dims.values()},
    )
    rows = outcome_rows(Summary(0.9, 0.2, chains=4), flat, n.HURDLE)
    half = len(rows) // 2
    assert {r["part"] for r in rows[:half]} == {"any"}
    assert {r["part"] for r in rows[half:]} == {"count"}
    assert [r["term"] for r in rows[:half]] == [r["term"] for r in rows[half:]]
    for row, name in ((rows[0], "w_some"), (rows[half], "w")):
        own = np.exp(flat[name].to_numpy()[:, 0])
        assert row["ratio"]["median"] == pytest.approx(np.median(own), rel=1e-2)
    told = {"outcome": json.loads(json.dumps(rows)), "interval": 0.9, "rope": 0.2}
    parts: dict[str, Any] = {
        part: [] for part in ("heterogeneity", "contrasts", "slopes", "correlations", "rois", "edges")
    }
    claims = [c.text for _, found in answer([], {**parts, **told}) for c in found]
    some = "Self related and any of the outcome, association: odds ratio of any "
    count = "Self related and the outcome among those with any, association: rate ratio among those with any "
    assert claims[0].startswith(some)
    assert claims[half].startswith(count)
    table = section._table(told)
    assert "self related, any of the outcome" in table
    assert "log of the ratio" in section._unit(told["outcome"])
    words = " ".join([*claims, section._ratios(told), table]).lower()
    assert "zeros are cut off" in words
    assert not any(w in words for w in ("cause", "effect of", "predicts", "risk factor", "leads to"))
    pairs = against._pairs("outcome", told, told)
    assert len({name for name, _, _ in pairs}) == len(rows)


def test_the_methods_tell_the_priors_of_both_links() -> None:
    spec, design = small(n.HURDLE, participants=12)
    has = {p.name for p in joint.parameters(spec, design, read_priors())}
    table = methods._priors(
        SimpleNamespace(main="m", priors={"m": read_priors()}, parameters={"m": has}, models={})
    )
    for name in ("a_log", "a_logit", "w_log", "w_logit", "tau_site_log", "tau_site_logit", "dispersion"):
        assert f">{name}<" in table
    assert ">sigma_outcome<" not in table
    assert computed._sampled(spec, has)
    shared = allowed()
    for name in has:
        if name.endswith("_some") and not name.startswith("site_"):
            assert name in shared.variables
    assert shared.why_not("site_outcome_some", (n.SITE,))


@pytest.mark.slow
def test_slopes_of_both_parts_come_back() -> None:
    """At 150 people: the truth within reach of the posterior, which knows more than the prior."""
    spec, design = small(n.HURDLE, participants=150, factors=())
    named: dict[str, Any] = {
        "w_some": [1.2, 0.0], "w": [0.0, 0.8], "d": 0.0, "d_some": 0.0, "A": 0.0, "lambda": 2.0, "a": 1.0,
        "a_some": 0.3, "dispersion": 0.7,
    }  # fmt: skip
    theta, data = drawn(spec, design, seed=11, **named)
    found = sample(
        build_design(spec, data), Sampler(chains=2, tune=150, draws=400), np.random.SeedSequence(3)
    )
    flat = {name: v.reshape(-1, *v.shape[2:]) for name, v in found.values.items()}
    for name, prior_sd in (("w_some", 1.0), ("w", 0.5)):
        mean, sd = flat[name].mean(axis=0), flat[name].std(axis=0)
        assert (np.abs(mean - theta[name]) < 3 * sd).all()
        assert (sd < 0.8 * prior_sd).all()
    assert flat["w_some"][:, 0].mean() > 2 * flat["w_some"][:, 0].std()
    assert flat["w"][:, 1].mean() > 2 * flat["w"][:, 1].std()
    assert abs(flat["dispersion"].mean() - 0.7) < 3 * flat["dispersion"].std()
    assert int(found.statistics["diverging"].sum()) == 0
