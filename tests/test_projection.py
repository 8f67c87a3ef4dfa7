"""Projections of the joint model on fewer terms: the reference is the model's own prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cohort import add_terms
from scipy.special import logsumexp
from scipy.stats import norm

from designs import NO_ITEMS, NOTHING, full_cohort, joint_spec
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build, build_design
from nssi_bayes.check import projection, scores
from nssi_bayes.check.by_person import Kept
from nssi_bayes.check.projection import Reference, Terms, search
from nssi_bayes.report.sections.outcome import _projected

type Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def built() -> tuple[Built, dict[str, Array]]:
    """A model with an outcome, data drawn from it, and a few draws of its parameters."""
    spec = joint_spec("heterogeneity/disorder_roots", outcome="severity", neural=None, connectivity=None)
    design = make_design(full_cohort(60), spec)
    made = build_design(spec, design)
    theta = draw(made.parameters, design.coords, np.random.default_rng(2), 6)
    theta["lambda"] = np.full_like(theta["lambda"], 2.0)
    first = {k: v[0] for k, v in theta.items()}
    return build_design(spec, generate(first, design, np.random.default_rng(3))), theta


def test_the_reference_is_what_the_likelihood_says(built: tuple[Built, dict[str, Array]]) -> None:
    """Exactly for people without items, and nearly for others, whose functions are nearly Gaussian."""
    made, theta = built
    design = made.design
    expected, spread = projection._expected(theta, design)
    people = np.flatnonzero(design.outcome_seen)
    mean, variance = projection.reference(theta, design, expected[:, people], spread[:, people], people)
    log_likelihood, _ = scores.evaluate(theta, design)
    exact = (log_likelihood["factors", "items", "outcome"] - log_likelihood["factors", "items"])[:, people]
    found = norm.logpdf(design.outcome[people], mean, np.sqrt(variance))
    gap = np.abs(found - exact)
    without = [int(np.flatnonzero(people == i)[0]) for i in (NOTHING, NO_ITEMS) if i in people]
    assert without
    assert gap[:, without].max() < 1e-8
    assert gap.mean() < 0.06


def test_treatment_baseline_and_activation_are_terms() -> None:
    """Whose reference is the likelihood's; but for activation they span its mean."""
    terms = {"treatment": ["therapy", "dose"], "baseline": True, "activation": True}
    spec = joint_spec("outcome/joint", outcome_from=terms, disorder={"levels": True, "outcome": True})
    made = build(spec, add_terms(full_cohort(40), np.random.default_rng(4)))
    theta = draw(made.parameters, made.design.coords, np.random.default_rng(2), 3)
    first = {k: v[0] for k, v in theta.items()}
    design = build_design(spec, generate(first, made.design, np.random.default_rng(3))).design
    people = np.flatnonzero(design.outcome_seen)
    expected, spread = projection._expected(theta, design)
    mean, variance = projection.reference(theta, design, expected[:, people], spread[:, people], people)
    log_likelihood, _ = scores.evaluate(theta, design)
    blocks = joint.blocks_of(design)
    assert "activation" in blocks
    given = ("factors", "items")
    exact = (log_likelihood[*given, "outcome"] - log_likelihood[given])[:, people]
    found = norm.logpdf(design.outcome[people], mean, np.sqrt(variance))
    without = [int(np.flatnonzero(people == i)[0]) for i in (NOTHING, NO_ITEMS) if i in people]
    assert np.abs(found - exact)[:, without].max() < 1e-8
    columns = projection.make_terms(design, expected[:, people], people, by_disorder=True)
    assert {"social_signalling x therapy", "self_punishment by diagnosis", "dose", "baseline"} <= set(
        columns.of
    )
    flat = {k: v for k, v in theta.items() if k != "v"}
    mean, _ = projection.reference(flat, design, expected[:, people], spread[:, people], people)
    for s in range(3):
        x = columns.columns(s)
        assert x.shape[1] == 1 + sum(len(own) for own in columns.of.values())
        left = mean[s] - x @ np.linalg.lstsq(x, mean[s], rcond=None)[0]
        assert np.abs(left).max() < 1e-9


def test_true_factors_given_functions_and_scores(built: tuple[Built, dict[str, Array]]) -> None:
    made, theta = built
    design = made.design
    one = {k: v[0] for k, v in theta.items()}
    constant, slope, covariance = (np.asarray(v) for v in joint.factors_given(one, design))
    root = one["sigma_x"][:, None] * one["Omega_x"]
    functions = np.linalg.inv(one["Omega"] @ one["Omega"].T)
    level = sum(
        column @ one[name].T
        for name, column in (("A", design.diagnosis), ("G", design.covariate), ("u_site", design.site))
    )
    level = level + design.burden[:, None] * one["level_burden"]
    if "level_none" in one:
        level = level + design.none[:, None] * one["level_none"]
    middle = one["mu_x"] + design.diagnosis @ one["M"].T + design.covariate @ one["N"].T
    eta = np.random.default_rng(1).standard_normal(level.shape)
    for i in (0, 3, 20, 41):
        b = one["B"] + one["B_disorder"] @ design.diagnosis[i]
        seen = design.factor_seen[i] / design.factor_error
        precision = np.linalg.inv(root @ root.T) + b.T @ functions @ b + np.diag(seen)
        said = np.linalg.solve(root @ root.T, middle[i]) + b.T @ functions @ (eta[i] - level[i])
        mean = np.linalg.solve(precision, said + seen * design.factor[i])
        np.testing.assert_allclose(constant[i] + slope[i] @ eta[i], mean, rtol=1e-8)
        np.testing.assert_allclose(covariance[i], np.linalg.inv(precision), rtol=1e-8)


def _made_up(effect: tuple[float, ...], *, people: int = 200, samples: int = 30) -> tuple[Terms, Reference]:
    """Columns that people differ in, an outcome of them, and a posterior that knows the truth."""
    rng = np.random.default_rng(7)
    latent = np.repeat(rng.standard_normal((1, people, len(effect))), samples, axis=0)
    known = np.ones((people, 1))
    terms = Terms(latent, known, {f"f{j}": [j] for j in range(len(effect))})
    mean = latent @ np.array(effect) + 0.01 * rng.standard_normal((samples, 1))
    outcome = mean[0] + rng.standard_normal(people)
    log_density = norm.logpdf(outcome, mean, 1.0)
    weight = np.zeros((samples, people))
    return terms, Reference(
        mean, np.ones((samples, people)), weight - logsumexp(weight, axis=0), log_density, outcome
    )


def test_terms_enter_by_what_they_add_and_the_last_is_the_reference() -> None:
    rows = search(*_made_up((0.1, 1.5, 0.6)))
    assert [r["term"] for r in rows] == ["intercept", "f1", "f2", "f0"]
    losses = [r["loss"] for r in rows]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(0, abs=1e-6)
    assert rows[-1]["elpd_diff"] == pytest.approx(0, abs=1e-4)
    assert [r["size"] for r in rows if r["suggested"]] == [2]
    # what is lost without f1 and f2: half the log of the variance that their predictions have
    terms, target = _made_up((0.1, 1.5, 0.6))
    residual = target.mean[0] - target.mean[0].mean()
    assert losses[0] == pytest.approx(0.5 * np.log(1 + (residual**2).mean()), rel=1e-3)
    assert terms.intercept == 3


def test_where_nothing_predicts_the_mean_is_enough() -> None:
    rows = search(*_made_up((0.0, 0.02)))
    assert [r["suggested"] for r in rows] == [True, False, False]


def test_a_model_without_an_outcome_has_none(built: tuple[Built, dict[str, Array]]) -> None:
    made, theta = built
    without = {k: v for k, v in theta.items() if k not in ("w", "sigma_outcome")}
    draws = projection.chosen_draws(without, made.design)
    assert projection.project(without, made.design, Kept(draws, {}, np.zeros(0))) == []


def test_a_whole_path(built: tuple[Built, dict[str, Array]]) -> None:
    made, theta = built
    log_likelihood, _ = scores.evaluate(theta, made.design)
    rng = np.random.default_rng(9)
    weights = np.log(rng.dirichlet(np.ones(6), 60)), np.zeros(60)
    kept = Kept(projection.chosen_draws(theta, made.design), log_likelihood, weights[0])
    rows = projection.project(theta, made.design, kept)
    blocks = joint.blocks_of(made.design)
    scored = scores.leave_one_out(log_likelihood, blocks, chains=1, weights=weights)
    reference = scored.elpd[scores.OUTCOME_GIVEN].sum()  # what `compare` ranks
    np.testing.assert_allclose([r["elpd"] - r["elpd_diff"] for r in rows], reference, rtol=1e-9)
    named = {r["term"] for r in rows}
    assert {"intercept", "self_punishment", "trauma", "diagnoses", "age", "site"} <= named
    assert len(rows) == len(named)
    assert all(np.isfinite(r["elpd_diff"]) for r in rows)
    losses = [r["loss"] for r in rows]
    assert losses == sorted(losses, reverse=True)
    words = " ".join(p.body + p.title for p in _projected(rows))
    assert "no evidence that it is not associated" in words
    assert "not rest on them" not in words
    assert "not rest on them" in " ".join(p.body for p in _projected(rows, doubted=True))
