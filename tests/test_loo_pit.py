"""LOO-PIT: exact where it can be computed, ranks where nobody is left out, red where the model is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy import stats

from designs import prior_tree, small_cohort, small_spec
from folders import params
from nssi_bayes import check
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.labelled import theta_of
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import build, build_design
from nssi_bayes.check import loo_pit, predictive
from nssi_bayes.check.loo_pit import LeftOut, Places
from nssi_bayes.check.scores import evaluate, leave_out

type Array = np.ndarray[Any, Any]
SAMPLES, CHAINS = 4000, 4


def _line(x: Array, y: Array, *, seed: int = 0) -> tuple[Array, LeftOut, Array]:
    """Draws of b in y = b x + noise of sd 1 with a flat prior, the weights of all people, their places."""
    rng = np.random.default_rng(seed)
    precision = float(x @ x)
    b = x @ y / precision + rng.standard_normal(SAMPLES) / np.sqrt(precision)
    weight, k_hat = leave_out(stats.norm.logpdf(y, np.outer(b, x)), chains=CHAINS)
    left_out = LeftOut(np.arange(SAMPLES), weight, k_hat, 0.7)
    return b, left_out, _places(x, y, b, left_out)


def _places(x: Array, y: Array, b: Array, left_out: LeftOut) -> Array:
    rng = np.random.default_rng(9)
    places = Places(y[:, None], left_out)
    for s, slope in enumerate(b):
        places.add(s, (slope * x + rng.standard_normal(len(x)))[:, None])
    return places.values(rng)[:, 0]


def _exact(x: Array, y: Array, *, out: bool) -> Array:
    """Return P(new y < y) given everybody else, or everybody: normal in closed form."""
    gone = x if out else np.zeros_like(x)
    precision = x @ x - gone**2
    mean = (x @ y - gone * y) / precision
    return stats.norm.cdf((y - mean * x) / np.sqrt(1 + x**2 / precision))


def test_places_are_those_of_the_exact_predictive_distribution_without_the_person() -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(0.5, 1.5, 40)
    y = 0.4 * x + rng.standard_normal(40)
    _, left_out, found = _line(x, y)
    assert left_out.k_hat.max() < 0.5
    np.testing.assert_allclose(found, _exact(x, y, out=True), atol=0.035)


def test_a_person_who_draws_the_fit_to_themself_lies_farther_out_once_left_out() -> None:
    x = np.append(2.0, np.full(8, 1.0))
    y = np.append(1.96, np.tile([0.8, -0.8], 4))
    b, left_out, found = _line(x, y)
    inside = _places(x, y, b, LeftOut.nobody(left_out.draws, len(x)))
    exact, with_all = (_exact(x, y, out=out)[0] for out in (True, False))
    assert exact - with_all > 0.05
    assert found[0] == pytest.approx(exact, abs=0.02)
    assert inside[0] == pytest.approx(with_all, abs=0.02)


def test_with_equal_weights_places_are_ranks_and_ties_are_spread() -> None:
    rng = np.random.default_rng(2)
    own, drawn = rng.integers(0, 6, (50, 2)), rng.integers(0, 6, (99, 50, 2))
    own[0, 0] = 9  # over all that is drawn
    places = Places(own.astype(float), LeftOut.nobody(np.arange(99), 50))
    for s, values in enumerate(drawn):
        places.add(s, values)
    found = places.values(np.random.default_rng(3)) * 100
    below, equal = (drawn < own).sum(axis=0), (drawn == own).sum(axis=0)
    assert (found >= below).all()
    assert (found <= below + equal + 1).all()
    assert found[0, 0] > 99
    inside = (found - below) / (equal + 1)
    assert stats.kstest(inside.ravel(), "uniform").pvalue > 0.01


def test_weighted_places_are_those_of_arviz_with_the_own_value_among_the_draws() -> None:
    rng = np.random.default_rng(4)
    own, drawn = rng.standard_normal((30, 1)), rng.standard_normal((200, 30, 1))
    log_weight = rng.standard_normal((30, 200))
    log_weight -= np.log(np.exp(log_weight).sum(axis=1, keepdims=True))
    places = Places(own, LeftOut(np.arange(200), log_weight, np.zeros(30), 0.7))
    for s, values in enumerate(drawn):
        places.add(s, values)
    average = np.log((np.exp(log_weight) ** 2).sum(axis=1, keepdims=True))
    theirs = array_stats.loo_pit(
        np.concatenate([drawn[:, :, 0].T, own], axis=1), own[:, 0],
        log_weights=np.concatenate([log_weight, average], axis=1), chain_axis=None,
        random_state=np.random.default_rng(5),
    )  # fmt: skip
    np.testing.assert_allclose(places.values(np.random.default_rng(5))[:, 0], theirs, rtol=1e-12)


def test_what_is_missing_has_no_place_and_too_few_people_no_column() -> None:
    own = np.array([[1.0, np.nan]] * 25)
    places = Places(own, LeftOut.nobody(np.arange(1), 25))
    places.add(0, np.zeros((25, 2)))
    values = places.values(np.random.default_rng(0))
    assert np.isnan(values[:, 1]).all()
    found = loo_pit.compare(values, ["a", "b"], np.zeros(25, dtype=bool), min_cell=5)
    assert found is not None
    assert [c["column"] for c in found[1]] == ["a"]
    assert loo_pit.compare(values, ["a", "b"], np.zeros(25, dtype=bool), min_cell=26) is None


@pytest.mark.parametrize(("sd", "red"), [(1.0, False), (1.5, True), (0.6, True)])
def test_places_that_are_not_uniform_are_seen(sd: float, red: bool) -> None:
    """The predictive distribution is too narrow, or too wide, in one column of ten."""
    values = np.random.default_rng(6).uniform(size=(150, 10))
    values[:, 3] = stats.norm.cdf(sd * stats.norm.ppf(values[:, 3]))
    found = loo_pit.compare(values, [f"c{k}" for k in range(10)], np.zeros(150, dtype=bool), min_cell=11)
    assert found is not None
    assert (found[0]["p"] < 0.001) is red
    assert found[0]["worst"][0]["element"].startswith("c3") or not red


def test_nothing_is_said_of_columns_whose_people_cannot_be_left_out() -> None:
    values = np.random.default_rng(7).uniform(size=(100, 3)) / 2  # far from uniform
    values[50:, 0] = np.nan
    over = np.arange(100) < 4  # 8 % of the first column's people, 4 % of the others'
    found = loo_pit.compare(values, ["a", "b", "c"], over, min_cell=11)
    assert found is not None
    assert found[0]["unreliable"] == ["a"]
    assert found[0]["elements"] == 2
    everywhere = loo_pit.compare(values, ["a", "b", "c"], np.ones(100, dtype=bool), min_cell=11)
    assert everywhere is not None
    assert everywhere[0]["passed"] is None
    checks = [everywhere[0], {"name": "item_pairs", "p": 0.04}]
    predictive._judge(checks)
    assert (checks[0]["passed"], checks[0]["p_adjusted"]) == (None, None)
    assert checks[1]["p_adjusted"] == pytest.approx(0.04)  # Holm does not count what cannot fail


def test_no_curve_tells_how_many_lie_between_two_points_where_these_are_few() -> None:
    values = np.random.default_rng(8).beta(4, 4, size=(80, 1))
    found = loo_pit.compare(values, ["a"], np.zeros(80, dtype=bool), min_cell=11)
    assert found is not None
    (curve,) = found[1]
    count = np.round((np.array(curve["difference"]) + curve["place"]) * 80)
    assert len(count) >= 3
    assert np.diff(np.concatenate([[0], count, [80]])).min() >= 11
    none = loo_pit.compare(values, ["a"], np.zeros(80, dtype=bool), min_cell=50)
    assert none is not None
    assert len(none[1][0]["place"]) == 0
    assert none[0]["worst"] == []
    assert none[0]["largest_z"] is None


def _made() -> tuple[dict[str, Array], Design]:
    spec = small_spec(outcome="severity")
    built = build_design(spec, make_design(small_cohort(80), spec))
    theta = draw(built.parameters, built.design.coords, np.random.default_rng(1), 1)
    data = generate({k: v[0] for k, v in theta.items()}, built.design, np.random.default_rng(2))
    return {k: np.repeat(v, 300, axis=0) for k, v in theta.items()}, data


def test_the_weights_of_a_person_are_those_of_the_draws_that_are_compared() -> None:
    """Half of the draws put the outcome far up; a person whose weights are theirs lies far down."""
    theta, data = _made()
    up = np.arange(300) >= 150
    theta["a"] = np.where(up, 50.0, 0.0)
    draws = predictive.chosen_draws(theta, data, min_cell=11)
    np.testing.assert_array_equal(draws, np.arange(300))
    people = len(data.diagnosis)
    first = np.arange(people) < people // 2
    log_weight = np.where(up[draws][None] == first[:, None], 0.0, -50.0)
    left_out = LeftOut(draws, log_weight, np.zeros(people), 0.7)
    seen: list[Array] = []
    keep = loo_pit.compare

    def watched(values: Array, *rest: Any, **named: Any) -> Any:
        seen.append(values)
        return keep(values, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loo_pit, "compare", watched)
        found = predictive.check(theta, data, np.random.default_rng(3), min_cell=11, left_out=left_out)
    outcome, there = seen[0][:, -1], data.outcome_seen
    assert outcome[first & there].max() < 0.05
    assert np.median(outcome[~first & there]) > 0.1
    (row,) = [c for c in found["checks"] if c["name"] == loo_pit.NAME]
    assert row["passed"] is False
    assert row["worst"][0]["element"].startswith("outcome")


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")
def test_what_a_fit_is_checked_with_are_the_weights_of_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, cohort = small_spec(outcome="severity"), small_cohort(30)
    built = build(spec, cohort)
    tree = prior_tree(built)
    seen: list[LeftOut] = []

    def watched(*_: Any, left_out: LeftOut, **__: Any) -> dict[str, Any]:
        seen.append(left_out)
        return {"checks": []}

    monkeypatch.setattr(predictive, "check", watched)
    monkeypatch.setattr(check.projection, "project", lambda *_: [])
    check._joint(spec, cohort, tree, params=params(), rng=np.random.default_rng(2), where="here")
    theta = theta_of(tree["posterior"].to_dataset(), built.parameters)
    sets, _ = evaluate(theta, built.design)
    weight, k_hat = leave_out(sets[max(sets, key=len)], chains=4)
    np.testing.assert_array_equal(seen[0].draws, np.arange(100))
    np.testing.assert_allclose(seen[0].log_weight, weight, rtol=1e-9)
    np.testing.assert_allclose(seen[0].k_hat, k_hat, rtol=1e-6)
    assert seen[0].limit == pytest.approx(0.5)
