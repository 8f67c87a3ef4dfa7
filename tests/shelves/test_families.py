"""Every family against an oracle of its own: exact arithmetic, finite differences, chi-square."""

from decimal import Decimal, getcontext
from typing import Any

import jax
import numpy as np
import pytest
from scipy.stats import chi2, logistic

import nssi_bayes.integrate  # noqa: F401  (double precision)
from nssi_bayes.families import ordinal

getcontext().prec = 60
CASES = {
    "even": [1 / 3, 1 / 3, 1 / 3],
    "seven": [0.3, 0.2, 0.15, 0.15, 0.1, 0.07, 0.03],
    "two": [0.2, 0.8],
    "thresholds that nearly touch": [0.4, 2.4e-4, 0.6 - 2.4e-4],
    "tiny first": [1e-12, 0.5, 0.5 - 1e-12],
    "tiny middle": [0.5, 1e-12, 0.5 - 1e-12],
    "tiny last": [0.7, 0.3 - 1e-12, 1e-12],
}
PREDICTORS = np.array([-30.0, -6.0, -1.3, 0.0, 0.4, 6.0, 30.0])


def _exact(probability: list[float], category: int, predictor: float) -> float:
    """Log P(y) from P(y <= c) = F / (F + (1 - F) exp(predictor)), with 60 digits."""
    p = [Decimal(v) for v in probability]
    whole = sum(p)
    odds = Decimal(predictor).exp()

    def cumulative(count: int) -> Decimal:
        below = sum(p[:count]) / whole if count else Decimal(0)
        return below / (below + (1 - below) * odds) if count < len(p) else Decimal(1)

    return float((cumulative(category + 1) - cumulative(category)).ln())


def _log_probability(probability: list[float], category: Any, predictor: Any) -> Any:
    table = ordinal.table(np.array([probability]), len(probability) + 1)
    picked = ordinal.look_up(table, np.array([[category]]))
    return picked.log_gap[0, 0] + ordinal.log_probability(picked.upper[0, 0], picked.lower[0, 0], predictor)


@pytest.mark.parametrize("probability", CASES.values(), ids=CASES)
def test_the_ordinal_log_density_is_exact_to_the_tails(probability: list[float]) -> None:
    for category in range(len(probability)):
        found = np.asarray(_log_probability(probability, category, PREDICTORS))
        expected = [_exact(probability, category, float(v)) for v in PREDICTORS]
        # the last digit of a cumulative probability is 1e-16 of 1; a category of 1e-12 has 1e-4 of that
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 if min(probability) < 1e-9 else 1e-10)


def test_the_ordinal_log_density_is_that_of_scipys_logistic() -> None:
    kappa = np.array([-2.0, -1.999, 0.5, 3.0])
    edges = np.concatenate([[-np.inf], kappa, [np.inf]])
    probability = np.diff(logistic.cdf(edges))
    for category in range(5):
        for predictor in (-6.0, -0.7, 0.0, 2.2, 6.0):
            low, high = edges[category : category + 2] - predictor
            mass = logistic.cdf(high) - logistic.cdf(low)
            if low > 0:
                mass = logistic.sf(low) - logistic.sf(high)
            found = float(_log_probability(list(probability), category, predictor))
            assert found == pytest.approx(np.log(mass), abs=1e-9)


def test_a_missing_response_says_nothing() -> None:
    found = _log_probability(CASES["seven"], 7, PREDICTORS)
    np.testing.assert_array_equal(found, 0.0)
    np.testing.assert_array_equal(ordinal.derivatives(0.0, 0.0, PREDICTORS), 0.0)


@pytest.mark.parametrize("probability", CASES.values(), ids=CASES)
def test_the_derivatives_are_those_of_the_log_density(probability: list[float]) -> None:
    table = ordinal.table(np.array([probability]), len(probability) + 1)
    for category in range(len(probability)):
        picked = ordinal.look_up(table, np.array([[category]]))
        upper, lower = picked.upper[0, 0], picked.lower[0, 0]
        first, second = ordinal.derivatives(upper, lower, PREDICTORS)
        slope = jax.vmap(jax.grad(lambda v: ordinal.log_probability(upper, lower, v)))  # noqa: B023
        step = 1e-4
        ahead, behind = (ordinal.log_probability(upper, lower, PREDICTORS + s) for s in (step, -step))
        np.testing.assert_allclose(first, (ahead - behind) / (2 * step), atol=1e-7)
        np.testing.assert_allclose(second, (slope(PREDICTORS - step) - slope(PREDICTORS + step)) / (2 * step),
                                   atol=1e-7)  # fmt: skip
        assert (np.asarray(second) >= 0).all()


def test_groups_of_indicators_keep_their_places() -> None:
    two, three = np.array([[0.3, 0.7]]), np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    categories = np.array([3, 2, 3])
    order = np.argsort(np.argsort(categories, kind="stable"), kind="stable")
    joined = ordinal.stack([ordinal.table(two, 4), ordinal.table(three, 4)], order)
    expected = [three[0], two[0], three[1]]
    response = np.array([[0, 0, 0], [1, 1, 2], [2, 3, 3]])
    picked = ordinal.look_up(joined, response)
    value = np.asarray(picked.log_gap + ordinal.log_probability(picked.upper, picked.lower, 0.0))
    for person, row in enumerate(response):
        for j, y in enumerate(row):
            p = expected[j][y] if y < len(expected[j]) else 1.0
            assert value[person, j] == pytest.approx(np.log(p), abs=1e-12)


@pytest.mark.parametrize("probability", CASES.values(), ids=CASES)
def test_category_probabilities_sum_to_one_and_agree(probability: list[float]) -> None:
    found = ordinal.category_probability(np.array(probability), PREDICTORS)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=1e-12)
    for category in range(len(probability)):
        expected = np.exp([_exact(probability, category, float(v)) for v in PREDICTORS])
        np.testing.assert_allclose(found[:, category], expected, atol=1e-14, rtol=1e-6)


@pytest.mark.parametrize("predictor", [-1.5, 0.0, 2.0])
def test_simulated_responses_have_the_categories_probabilities(predictor: float) -> None:
    probability = np.array(CASES["seven"])
    size = 20_000
    drawn = ordinal.simulate(np.random.default_rng(3), probability, np.full(size, predictor))
    expected = size * np.exp([_exact(CASES["seven"], c, predictor) for c in range(7)])
    counts = np.bincount(drawn, minlength=7)
    assert len(counts) == 7
    assert ((counts - expected) ** 2 / expected).sum() < chi2.ppf(0.9999, 6)
