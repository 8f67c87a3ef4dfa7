"""Predictive checks: data of the model pass, data of another world fail where they differ."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from designs import full_cohort, joint_spec, small_cohort, small_spec
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build_design
from nssi_bayes.check import predictive, prior
from nssi_bayes.check.multiple import holm
from nssi_bayes.check.statistics import Statistics

type Array = np.ndarray[Any, Any]
DRAWS = 800


def _known(built: Built, seed: int = 1) -> dict[str, Array]:
    """Return a posterior that knows the truth: one draw of the prior, many times over."""
    theta = draw(built.parameters, built.design.coords, np.random.default_rng(seed), 1)
    theta["lambda"] = np.full_like(theta["lambda"], 1.6)
    return {k: np.repeat(v, DRAWS, axis=0) for k, v in theta.items()}


@pytest.fixture(scope="module")
def world() -> tuple[Built, dict[str, Array], Design]:
    spec = joint_spec(outcome="severity")
    built = build_design(spec, make_design(full_cohort(150, seed=8), spec))
    theta = _known(built)
    one = {k: v[0] for k, v in theta.items()}
    return built, theta, generate(one, built.design, np.random.default_rng(2))


def _verdicts(theta: dict[str, Array], data: Design) -> dict[str, bool | None]:
    found = predictive.check(theta, data, np.random.default_rng(3), min_cell=11)
    return {c["name"]: c["passed"] for c in found["checks"]}


def test_data_of_the_model_pass(world: tuple[Built, dict[str, Array], Design]) -> None:
    _, theta, data = world
    verdicts = _verdicts(theta, data)
    assert verdicts.pop("missing_by_block") is None
    assert set(verdicts.values()) == {True}
    assert len(verdicts) == 17


def _shuffled_sites(data: Design) -> Design:
    """Everybody's responses of half the indicators belong to somebody else."""
    response = data.response.copy()
    half = response.shape[1] // 2
    response[:, :half] = np.roll(response[:, :half], 1, axis=0)
    return replace(data, response=response)


def _more_floor(data: Design) -> Design:
    response = data.response.copy()
    hit = np.random.default_rng(0).random(response.shape) < 0.3
    response[hit & (response != data.missing_response)] = 0
    return replace(data, response=response)


def _other_scale(data: Design) -> Design:
    return replace(data, activation=data.activation * 1.5)


def _shared_noise(data: Design) -> Design:
    rng = np.random.default_rng(1)
    shared = rng.standard_normal((len(data.scanned), 1)) * np.sign(
        rng.standard_normal(data.activation.shape[1])
    )
    return replace(data, activation=np.where(data.activation_seen, data.activation + 0.8 * shared, 0))


def _skewed_outcome(data: Design) -> Design:
    value = np.where(data.outcome_seen, np.exp(data.outcome), 0.0)
    return replace(data, outcome=value)


def _higher_in_a_disorder(data: Design) -> Design:
    shift = 1.2 * (data.diagnosis[:, [0]] > 0)
    return replace(data, factor=np.where(data.factor_seen, data.factor + shift, 0))


def _coupled_edges(data: Design) -> Design:
    shared = np.random.default_rng(2).standard_normal((len(data.connected), 1))
    return replace(data, connectivity=np.where(data.connectivity_seen, data.connectivity + shared, 0))


@pytest.mark.parametrize(
    ("fault", "red"),
    [
        (_shuffled_sites, "item_pairs"), (_more_floor, "item_floor"), (_more_floor, "item_histogram"),
        (_other_scale, "roi_sd"), (_shared_noise, "roi_correlation"), (_skewed_outcome, "outcome"),
        (_higher_in_a_disorder, "disorder_means"), (_coupled_edges, "edge_correlation"),
        (_other_scale, "loo_pit"), (_skewed_outcome, "loo_pit"),
    ],
)  # fmt: skip
def test_another_world_turns_its_check_red(
    world: tuple[Built, dict[str, Array], Design], fault: Any, red: str
) -> None:
    _, theta, data = world
    assert _verdicts(theta, fault(data))[red] is False


def test_missing_not_at_random_is_seen_and_not_judged(
    world: tuple[Built, dict[str, Array], Design],
) -> None:
    """Outcomes are missing of those whose outcome is high: sum scores do not tell, the others do."""
    _, theta, data = world
    score = np.where(data.factor_seen, data.factor, 0).sum(axis=1)
    gone = score > np.quantile(score, 0.7)
    fewer = replace(data, outcome_seen=data.outcome_seen & ~gone, outcome=np.where(gone, 0, data.outcome))
    found = predictive.check(theta, fewer, np.random.default_rng(3), min_cell=11)
    (row,) = [c for c in found["checks"] if c["name"] == "missing_by_block"]
    assert row["passed"] is None
    assert row["p"] < 0.01
    assert "has outcome" in row["worst"][0]["element"]


@pytest.mark.slow
def test_rejections_of_true_models_are_rare() -> None:
    """The family-wise rule holds over cohorts: at 5 %, of 40 cohorts at most 6 have a red check."""
    spec = small_spec(outcome="severity")
    built = build_design(spec, make_design(small_cohort(80), spec))
    theta = _known(built)
    one = {k: v[0] for k, v in theta.items()}
    red = 0
    for seed in range(40):
        data = generate(one, built.design, np.random.default_rng(100 + seed))
        red += False in _verdicts(theta, data).values()
    assert red <= 6


def test_small_cells_are_judged_and_not_printed(world: tuple[Built, dict[str, Array], Design]) -> None:
    _, theta, data = world
    found = predictive.check(theta, data, np.random.default_rng(3), min_cell=60)
    (row,) = [c for c in found["checks"] if c["name"] == "item_histogram"]
    statistics = Statistics(data, min_cell=60)
    behind = dict(
        zip(statistics.labels["item_histogram"], statistics.people(data)["item_histogram"], strict=True)
    )
    assert 0 < row["told"] == sum(b >= 60 for b in behind.values()) < row["elements"] == len(behind)
    told = [abs(w["z"]) for w in row["worst"]]
    assert all(behind[w["element"]] >= 60 for w in row["worst"])
    assert row["largest_z"] == told[0] == max(told)  # of what is told alone
    whole = predictive.check(theta, data, np.random.default_rng(3), min_cell=1)
    (other,) = [c for c in whole["checks"] if c["name"] == "item_histogram"]
    assert row["p"] == other["p"]  # all are judged
    for j, own in enumerate(found["rootograms"]):
        answers = data.response[:, j]
        count = np.bincount(answers[answers != data.missing_response], minlength=data.categories[j])
        hidden = np.isnan(own["root_difference"])
        assert hidden[count < 60].all()
        assert hidden.sum() != 1  # else it could be computed
        assert not 0 < count[hidden].sum() < 60
    assert any(np.isfinite(own["root_difference"]).any() for own in found["rootograms"])


def test_responses_of_few_people_cannot_be_computed(world: tuple[Built, dict[str, Array], Design]) -> None:
    _, _, data = world
    people, (k, *_) = len(data.response), data.categories
    assert k > 2
    response, has = data.response.copy(), np.zeros_like(data.diagnosis)
    response[:, 0], has[:70, 0], has[60:, 1] = 0, 1, 1
    response[:70, 0], response[-4:, 0] = 1, 2
    data = replace(data, response=response, diagnosis=has)
    statistics = Statistics(data, min_cell=11)
    behind = {
        name: dict(zip(statistics.labels[name], values, strict=True))
        for name, values in statistics.people(data).items()
    }
    item, (one, other) = data.coords["indicator"][0], statistics.disorders
    told = [c for c in range(k) if behind["item_histogram"][f"{item} = {c}"] >= 11]
    assert told == [0] == [c for c in range(k) if (response[:, 0] == c).sum() == people - 74]
    by = behind["item_histogram_by_disorder"]
    assert all(by[f"{item} = {c} | {d}"] < 11 for c in range(1, k) for d in (one, other))


def test_a_check_takes_seconds(world: tuple[Built, dict[str, Array], Design]) -> None:
    _, theta, data = world
    start = time.process_time()
    _verdicts(theta, data)
    assert time.process_time() - start < 20


def test_holm_is_that_of_the_textbook() -> None:
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])


def test_prior_predictive_does_not_look_at_the_data() -> None:
    spec = small_spec(outcome="severity")
    design = make_design(small_cohort(60), spec)
    changed = replace(design, outcome=design.outcome * 9 + 5, response=design.response[::-1].copy())
    found = [
        prior.summarise(build_design(spec, d), np.random.default_rng(1), min_cell=11)
        for d in (design, replace(changed, response=design.response))
    ]
    assert found[0] == found[1]
    names = {row["name"] for row in found[0]["statistics"]}
    assert {"item_floor", "item_pairs", "sum_score_sd", "disorder_means", "outcome_sd"} == names
    assert all(row["passed"] is None for row in found[0]["statistics"])
    everybody = [h for h in found[0]["histograms"] if h["disorder"] is None]
    assert [h["indicator"] for h in everybody] == design.coords["indicator"]
    assert all(
        0 <= low <= high <= 1 for h in everybody for low, high in zip(h["low"], h["high"], strict=True)
    )


def test_the_prior_has_a_histogram_of_each_indicator_by_disorder() -> None:
    """Each element of what was drawn stands where its label says."""
    design = make_design(small_cohort(150), small_spec())
    statistics = Statistics(design, min_cell=11)
    labels = {k: statistics.labels[k] for k in ("item_histogram", "item_histogram_by_disorder")}
    drawn = {k: np.arange(len(v))[None].repeat(3, axis=0).astype(float) for k, v in labels.items()}
    found = prior._histograms(drawn, design, statistics.disorders)
    assert len(statistics.disorders) >= 2
    assert len(found) == len(design.categories) * (1 + len(statistics.disorders))
    for row in found:
        which = "item_histogram" + ("_by_disorder" if row["disorder"] else "")
        end = f" | {row['disorder']}" if row["disorder"] else ""
        expected = [labels[which].index(f"{row['indicator']} = {c}{end}") for c in range(len(row["median"]))]
        assert row["low"] == row["median"] == row["high"] == expected


def test_a_prior_of_absurd_cohorts_is_remarked_on() -> None:
    spec = small_spec(outcome="severity", priors={"w": {"sigma": 20.0}})
    built = build_design(spec, make_design(small_cohort(60), spec))
    found = prior.summarise(built, np.random.default_rng(1), min_cell=11)
    assert {row["name"] for row in found["statistics"] if row["passed"] is False} == {
        "outcome_sd",
        "disorder_means",
    }
