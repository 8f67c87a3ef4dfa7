"""Repeated counts of a person, effects integrated out: against dense grids and SciPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import nbinom, norm, poisson

from nssi_bayes.integrate.counts import Counts, draw_effects, log_likelihood

COUNT = np.array(
    [[5, 3, 3, 3], [0, 0, 0, 0], [102, 65, 72, 63], [0, 40, 0, 1], [0, 0, np.nan, np.nan]], float
)
MU = np.array([[1.5] * 4, [1.5] * 4, [2.5] * 4, [1.0, 1.2, 0.8, 1.0], [-2.0] * 4])

type Array = np.ndarray[Any, Any]
type OfCount = Callable[[float, Array], Array]


def dense(count: Array, mu: Array, person: float, of_count: OfCount) -> float:
    """One person, by the trapezoid rule on 801 points."""
    b = np.linspace(-9 * person, 9 * person, 801)
    total = norm.logpdf(b, 0, person) + np.log(b[1] - b[0])
    for y, m in zip(count, mu, strict=True):
        total = total if np.isnan(y) else total + of_count(y, m + b)
    return float(logsumexp(total))


def with_occasions(sd: float) -> OfCount:
    e = np.linspace(-9 * sd, 9 * sd, 601)
    prior = norm.logpdf(e, 0, sd) + np.log(e[1] - e[0])
    return lambda y, eta: logsumexp(poisson.logpmf(y, np.exp(eta[:, None] + e)) + prior, axis=1)


@pytest.mark.parametrize(("person", "occasion", "within"), [(0.3, 0.1, 1e-7), (0.6, 0.4, 1e-7), (1, 1, 1e-6),
                                                           (1.5, 2, 1e-4)])  # fmt: skip
def test_both_effects_are_integrated_as_on_a_dense_grid(
    person: float, occasion: float, within: float
) -> None:
    """The wide ones with nothing but zeros are the hardest."""
    sd = np.array([person]), np.array([occasion])
    found = log_likelihood(Counts(COUNT, MU[None], *sd))[0]
    of_count = with_occasions(occasion)
    expected = [dense(y, mu, person, of_count) for y, mu in zip(COUNT, MU, strict=True)]
    np.testing.assert_allclose(found, expected, atol=within)


@pytest.mark.parametrize("person", [0.1, 0.6, 1.5])
@pytest.mark.parametrize("size", [None, 0.7, 30.0])
def test_an_effect_of_the_person_alone_is_integrated_as_on_a_dense_grid(
    person: float, size: float | None
) -> None:
    def of_count(y: float, eta: Array) -> Array:
        rate = np.exp(eta)
        return poisson.logpmf(y, rate) if size is None else nbinom.logpmf(y, size, size / (size + rate))

    few = COUNT[[0, 1, 3, 4]], MU[[0, 1, 3, 4]]  # 102 is 20 sd off at the smallest
    sizes = None if size is None else np.array([size])
    found = log_likelihood(Counts(few[0], few[1][None], np.array([person]), size=sizes))[0]
    expected = [dense(y, mu, person, of_count) for y, mu in zip(*few, strict=True)]
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_one_occasion_is_scipys_integral_and_probabilities_sum_to_one() -> None:
    """With one occasion both effects are one, of their joint variance."""
    y, sd = np.arange(400.0)[:, None], float(np.hypot(0.6, 0.5))
    mu = np.full((1, 400, 1), 1.0)
    found = log_likelihood(Counts(y, mu, np.array([0.6]), np.array([0.5])))[0]
    assert np.exp(found).sum() == pytest.approx(1, abs=1e-6)
    for count in (0, 3, 20):
        whole, _ = quad(
            lambda b, k=count: poisson.pmf(k, np.exp(1 + b)) * norm.pdf(b, 0, sd), -6, 6, epsabs=1e-14
        )
        assert found[count] == pytest.approx(np.log(whole), abs=1e-7)


def test_draws_are_apart_and_who_was_never_seen_says_nothing() -> None:
    rng = np.random.default_rng(1)
    count = np.vstack([COUNT, np.full(4, np.nan)])
    mu = np.vstack([MU, MU[:1]]) + rng.normal(size=(300, 1, 1))  # more than one part of draws
    person, occasion = rng.uniform(0.2, 1, 300), rng.uniform(0.1, 0.8, 300)
    found = log_likelihood(Counts(count, mu, person, occasion))
    np.testing.assert_allclose(found[:, -1], 0, atol=1e-9)
    assert np.isfinite(found).all()
    for s in (0, 17, 299):
        alone = log_likelihood(Counts(count, mu[[s]], person[[s]], occasion[[s]]))[0]
        np.testing.assert_allclose(found[s], alone, atol=1e-12)


@pytest.mark.parametrize("occasion", [None, 0.8])
def test_effects_are_drawn_from_what_they_are_given_the_counts(occasion: float | None) -> None:
    """Means and sds of the log rate against a dense grid over both effects of a person of two occasions."""
    count, mu, person, many = np.array([[0.0, 6.0]]), np.array([[0.5, 0.9]]), 0.9, 8_000
    sd = None if occasion is None else np.full(many, occasion)
    drawn = draw_effects(
        Counts(count, np.broadcast_to(mu, (many, 1, 2)), np.full(many, person), sd), np.random.default_rng(2)
    )[:, 0]
    b = np.linspace(-6, 6, 801)
    e = np.linspace(-6, 6, 801) * (occasion or 0.0) if occasion else np.zeros(1)
    prior = norm.logpdf(e, 0, occasion) if occasion else np.zeros(1)
    by = [poisson.logpmf(y, np.exp(m + b[:, None] + e)) + prior for y, m in zip(count[0], mu[0], strict=True)]
    for t in (0, 1):
        weight = by[t] + (norm.logpdf(b, 0, person) + logsumexp(by[1 - t], axis=1))[:, None]
        weight = np.exp(weight - logsumexp(weight))
        eta = mu[0, t] + b[:, None] + e
        mean = (weight * eta).sum()
        spread = np.sqrt((weight * (eta - mean) ** 2).sum())
        assert drawn[:, t].mean() == pytest.approx(mean, abs=5 * spread / np.sqrt(many))
        assert drawn[:, t].std() == pytest.approx(spread, rel=0.04)


def test_a_negative_binomial_with_effects_of_occasions_is_refused() -> None:
    one = np.ones(1)
    with pytest.raises(ValueError, match="two words for the same"):
        Counts(COUNT, MU[None], one, one, one)
