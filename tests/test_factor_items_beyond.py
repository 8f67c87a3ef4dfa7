"""Factors measured by items beyond the likelihood: labels, statistics, draws of a person, and sensitivity."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from designs import CHILDHOOD, STRESS, item_factor_cohort, item_factor_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import generate, joint, marginal
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.labelled import label, theta_of
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.blocks.people import few
from nssi_bayes.build import Built, build_design
from nssi_bayes.calibrate.person import draw_functions
from nssi_bayes.check import scores
from nssi_bayes.check.statistics import Statistics, person_columns
from nssi_bayes.sensitivity.variants import Fitted, variants
from nssi_bayes.spec import Sensitivity, read_priors

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]

SPEC = item_factor_spec("trauma", "stress", outcome="severity")


def _model(draws: int = 1, *, participants: int = 24) -> tuple[Built, Theta]:
    design = make_design(item_factor_cohort(participants), SPEC)
    built = build_design(SPEC, design)
    theta = draw(built.parameters, design.coords, np.random.default_rng(1), draws)
    theta["lambda"] = np.minimum(theta["lambda"], 2.5)
    first = {name: value[0] for name, value in theta.items()}
    return build_design(SPEC, generate.generate(first, design, np.random.default_rng(2))), theta


def test_every_indicator_measures_what_the_spec_says() -> None:
    design = make_design(item_factor_cohort(), SPEC)
    assert design.axes == ["trauma", "stress", "self_related", "self_punishment"]
    of = {axis: [] for axis in design.axes}
    for name, axis in zip(design.coords[n.INDICATOR], design.function_of, strict=True):
        of[design.axes[axis]].append(name)
    assert of["trauma"] == list(CHILDHOOD)
    assert of["stress"] == [f"isas_{item}" for item in STRESS["stress"]]
    assert of["self_related"] == ["affect_regulation", "anti_dissociation", "marking_distress"]
    # functions stand first: these columns are those of a model without such factors
    plain = make_design(item_factor_cohort(), item_factor_spec(factors=["attachment"], factor_items={}))
    size = len(plain.categories)
    assert design.coords[n.INDICATOR][:size] == plain.coords[n.INDICATOR]
    seen = plain.response != plain.missing_response
    np.testing.assert_array_equal(design.response[:, :size][seen], plain.response[seen])


def test_statistics_know_factors_with_items_from_those_with_scores() -> None:
    design = make_design(item_factor_cohort(), SPEC)
    labels, columns = person_columns(design)
    assert labels == [
        "sum score trauma", "sum score stress", "sum score self_related", "sum score self_punishment",
        "attachment", "outcome",
    ]  # fmt: skip
    cohort = item_factor_cohort()
    own = np.isin(cohort[n.ITEM_SUBSCALE].to_numpy().astype(str), list(CHILDHOOD))
    expected = cohort[n.RESPONSE].to_numpy()[:, own]
    complete = np.isfinite(expected).all(axis=1)
    np.testing.assert_allclose(columns[complete, 0], expected[complete].mean(axis=1) / 2)
    statistics = Statistics(design, min_cell=3)
    values = statistics(design)
    for name, shown in values.items():
        assert len(statistics.labels[name]) == len(shown), name
    moments = dict(zip(statistics.labels["factor_moments"], values["factor_moments"], strict=True))
    assert moments["attachment: mean"] == pytest.approx(
        np.nanmean(np.where(design.factor_seen, design.factor, np.nan))
    )


def _explicitly(theta: Theta, design: Design, i: int, points: Array) -> Array:
    """Return the explicit density of one person at values of the axes [point]: as many people, all alike."""
    alike = few(design, np.array([i]))
    rows = {
        f: np.repeat(v, len(points), axis=0)
        for f in alike.__dataclass_fields__
        if isinstance(v := getattr(alike, f), np.ndarray) and len(v) == 1 and f in PERSON
    }
    return np.asarray(joint.log_joint(theta, replace(alike, **rows), points))


PERSON = (
    "diagnosis", "burden", "none", "covariate", "site", "factor", "factor_seen", "response", "outcome",
    "outcome_seen", "score", "score_seen",
)  # fmt: skip


def test_what_the_explicit_route_samples_integrates_to_the_likelihood() -> None:
    spec = item_factor_spec(disorder={"levels": True, "slopes": True})
    design = make_design(item_factor_cohort(18), spec)
    declared = joint.parameters(spec, design, read_priors())
    theta = {k: v[0] for k, v in draw(declared, design.coords, np.random.default_rng(4), 1).items()}
    theta["lambda"] = np.linspace(1.2, 2.4, len(theta["lambda"]))
    data = generate.generate(theta, design, np.random.default_rng(5))
    grid = marginal.grid_settings(3, fine=True)
    found = marginal.evaluate({k: v[None] for k, v in theta.items()}, data, include=joint.BLOCKS, grid=grid)
    z = np.array(list(product(np.arange(-6, 6.01, 0.5), repeat=3)))
    for i in (2, 5, 9):
        root = np.linalg.cholesky(found.covariance[0, i])
        value = _explicitly(theta, data, i, found.mean[0, i] + z @ root.T)
        total = logsumexp(value) + 3 * np.log(0.5) + np.linalg.slogdet(root)[1]
        assert total == pytest.approx(found.log_integral[0, i], abs=0.01)


def test_draws_of_a_person_are_of_functions_alone() -> None:
    built, theta = _model()
    draws = {name: np.repeat(value, 1500, axis=0) for name, value in theta.items()}
    found = draw_functions(draws, built.design, 7, np.random.default_rng(6))
    grid = marginal.grid_settings(4, fine=True)
    known = marginal.evaluate(theta, few(built.design, np.array([7])), include=joint.BLOCKS, grid=grid)
    own = marginal.of_functions(known, built.design)
    assert found.shape == (1500, 2)
    sd = np.sqrt(np.diagonal(own.covariance[0, 0]))
    np.testing.assert_allclose(found.mean(axis=0), own.mean[0, 0], atol=5 * sd.max() / np.sqrt(1500))
    np.testing.assert_allclose(found.std(axis=0), sd, rtol=0.1)


def test_a_missing_outcome_is_filled_in_from_factors_with_items() -> None:
    built, theta = _model()
    q = np.array([0.0, 1.0, 0.0])  # attachment, trauma, stress
    theta |= {"q": q[None], "w": 0 * theta["w"], "d": 0 * theta["d"], "a": 0 * theta["a"]}
    theta |= {"outcome_covariate": 0 * theta["outcome_covariate"], "sigma_outcome": np.array([0.01])}
    theta |= {name: 0 * value for name, value in theta.items() if name == "site_outcome"}
    grid = marginal.grid_settings(4, fine=True)
    moments = marginal.evaluate(theta, built.design, include=joint.BLOCKS, grid=grid)
    settings = Sensitivity(models=("any/model",), refits=("missing_outcome",), deltas=(0.0,))
    missing = 4
    assert not built.design.outcome_seen[missing]
    filled = []
    for seed in range(400):
        (variant,) = variants(built, settings, Fitted(theta, moments), np.random.default_rng(seed))
        assert variant.built is not None
        filled.append(variant.built.design.outcome[missing])
    mean, sd = moments.mean[0, missing, 0], np.sqrt(moments.covariance[0, missing, 0, 0])
    assert np.mean(filled) == pytest.approx(mean, abs=4 * sd / 20)
    assert np.std(filled) == pytest.approx(sd, rel=0.15)
    assert abs(moments.mean[0, missing, 1] - mean) > 8 * sd / 20  # stress would be seen


def test_scores_of_blocks_add_up_and_draws_go_and_come_with_their_labels() -> None:
    built, theta = _model(120)
    found, moments = scores.evaluate(theta, built.design)
    blocks = joint.blocks_of(built.design)
    assert blocks == ["factors", "items", "outcome"]
    one = scores.leave_one_out(found, blocks, chains=2)
    np.testing.assert_allclose(sum(one.elpd[b] for b in blocks), one.elpd["total"], atol=1e-8)
    assert moments.mean.shape[2] == 4
    correlated = [p.name for p in built.parameters if p.is_correlation]
    whole = theta | {name: theta[name] @ np.swapaxes(theta[name], 1, 2) for name in correlated}
    labelled = label(
        {k: v.reshape(2, 60, *v.shape[1:]) for k, v in whole.items()}, built.parameters, built.design
    )
    assert labelled["mu_x"].dims[2:] == (n.FACTOR_SCORED,)
    assert labelled["B"][n.FACTOR].to_numpy().tolist() == ["attachment", "trauma", "stress"]
    for name, values in theta_of(labelled, built.parameters).items():
        np.testing.assert_allclose(values, theta[name], atol=1e-12, err_msg=name)
