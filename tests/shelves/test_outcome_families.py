"""Families of outcomes by their predictor: SciPy's densities, finite differences, frequencies of draws."""

from decimal import Decimal, getcontext

import numpy as np
import pytest
from scipy.stats import bernoulli as scipy_bernoulli
from scipy.stats import chi2, nbinom, poisson

from nssi_bayes.families import bernoulli, hurdle_negative_binomial, negative_binomial, ordinal
from nssi_bayes.integrate.curve import Curve, derivatives, nothing, value

getcontext().prec = 60
PREDICTORS = np.array([-40.0, -6.0, -1.3, 0.0, 0.4, 6.0, 40.0])
RATES = np.array([-12.0, -3.0, 0.0, 1.7, 5.0])  # log
COUNTS = np.array([0.0, 1.0, 7.0, 366.0])
EXPOSURE = np.array([0.25, 1.0, 12.0, 12.0])
PROBABILITY = np.array([0.3, 0.2, 0.15, 0.15, 0.1, 0.07, 0.03])


def _at(curve: Curve, predictor: float) -> np.ndarray:
    return value(curve, np.full(curve.slope.shape, predictor))


@pytest.mark.parametrize("y", [0, 1])
def test_bernoulli_is_scipys_and_exact_in_the_tails(y: int) -> None:
    curve = bernoulli.curve(np.array([float(y)]))
    for mu in (-6.0, -1.3, 0.0, 0.4, 6.0):
        expected = scipy_bernoulli.logpmf(y, 1 / (1 + np.exp(-mu)))
        assert _at(curve, mu)[0] == pytest.approx(expected, abs=1e-10)
    for mu in PREDICTORS:
        exact = -(1 + Decimal(-mu if y else mu).exp()).ln()
        assert _at(curve, mu)[0] == pytest.approx(float(exact), rel=1e-14)


@pytest.mark.parametrize("dispersion", [0.4, 1.0, 3.0])
def test_the_negative_binomial_is_scipys(dispersion: float) -> None:
    curve = negative_binomial.curve(COUNTS, EXPOSURE, dispersion)
    size = dispersion**-2
    for mu in RATES:
        rate = EXPOSURE * np.exp(mu)
        expected = nbinom.logpmf(COUNTS, size, size / (size + rate))
        np.testing.assert_allclose(_at(curve, mu), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dispersion", [1e-6, 1e-3, 0.05, 20.0])
def test_the_negative_binomial_is_exact_where_gamma_functions_cancel(dispersion: float) -> None:
    curve, size = negative_binomial.curve(COUNTS, EXPOSURE, dispersion), 1 / Decimal(dispersion) ** 2
    for mu in RATES:
        for count, exposure, found in zip(COUNTS, EXPOSURE, _at(curve, mu), strict=True):
            rate = Decimal(exposure) * Decimal(mu).exp()
            exact = size * (size / (size + rate)).ln() + int(count) * (rate / (size + rate)).ln()
            exact += sum(((size + k) / (k + 1)).ln() for k in range(int(count)))
            assert found == pytest.approx(float(exact), rel=1e-10)


def test_without_dispersion_counts_are_poisson() -> None:
    curve = negative_binomial.curve(COUNTS, EXPOSURE, 1e-7)
    for mu in RATES:
        np.testing.assert_allclose(
            _at(curve, mu), poisson.logpmf(COUNTS, EXPOSURE * np.exp(mu)), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("dispersion", [1e-4, 0.05, 0.4, 1.0, 3.0])
def test_the_slope_by_the_dispersion_is_that_of_the_density(dispersion: float) -> None:
    for mu in RATES:
        step = max(1e-4 * dispersion, 1e-5)
        ahead, behind = (
            _at(negative_binomial.curve(COUNTS, EXPOSURE, dispersion + s), mu) for s in (step, -step)
        )
        found = negative_binomial.by_dispersion(COUNTS, EXPOSURE, dispersion, np.full(4, mu))
        scale = np.abs(found).max() + 1
        np.testing.assert_allclose(found, (ahead - behind) / (2 * step), rtol=1e-5, atol=2e-7 * scale)


def test_the_ordinal_curve_is_the_familys_own_and_so_are_its_slopes() -> None:
    y = np.arange(7.0)
    for mu in (-6.0, -1.3, 0.0, 0.4, 6.0):
        found = _at(ordinal.curve(y, PROBABILITY), mu)
        expected = np.log(ordinal.category_probability(PROBABILITY, np.array(mu)))
        np.testing.assert_allclose(found, expected, atol=1e-10)
        slope = ordinal.curve_back(y, PROBABILITY, np.full(7, mu))
        for c in range(7):
            step = np.zeros(7)
            step[c] = 1e-6
            ahead, behind = (_at(ordinal.curve(y, PROBABILITY + s), mu).sum() for s in (step, -step))
            assert slope[c] == pytest.approx((ahead - behind) / 2e-6, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    "curve",
    [
        bernoulli.curve(np.array([0.0, 1.0])),
        negative_binomial.curve(COUNTS, EXPOSURE, 0.7),
        ordinal.curve(np.arange(7.0), PROBABILITY),
    ],
    ids=["bernoulli", "negative binomial", "ordinal"],
)
def test_the_slopes_by_the_predictor_are_those_of_the_density(curve: Curve) -> None:
    for mu in (-30.0, -6.0, -1.3, 0.0, 2.4, 6.0):
        first, second = derivatives(curve, np.full(curve.slope.shape, mu))
        step = 1e-4
        ahead, here, behind = (_at(curve, mu + s) for s in (step, 0.0, -step))
        scale = 1 + np.abs(here)
        np.testing.assert_allclose(first, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-9 * scale.max())
        np.testing.assert_allclose(
            second, (2 * here - ahead - behind) / step**2, rtol=1e-3, atol=1e-6 * scale.max()
        )
        assert (second >= 0).all()


def test_a_missing_outcome_says_nothing() -> None:
    curve = nothing((3,))
    np.testing.assert_array_equal(value(curve, np.array([-40.0, 0.0, 40.0])), 0.0)
    np.testing.assert_array_equal(derivatives(curve, np.array([-40.0, 0.0, 40.0])), 0.0)


def test_simulated_answers_have_their_probability() -> None:
    drawn = bernoulli.simulate(np.random.default_rng(1), np.full(40_000, -1.1))
    assert drawn.mean() == pytest.approx(1 / (1 + np.exp(1.1)), abs=0.01)


@pytest.mark.parametrize("dispersion", [1e-5, 0.8])
def test_simulated_counts_have_their_probabilities(dispersion: float) -> None:
    size, exposure = 40_000, 3.0
    drawn = negative_binomial.simulate(
        np.random.default_rng(2), np.full(size, 0.2), np.full(size, exposure), dispersion
    )
    top = 12
    counts = np.append(np.bincount(drawn.astype(int), minlength=top)[:top], (drawn >= top).sum())
    curve = negative_binomial.curve(np.arange(float(top)), np.full(top, exposure), dispersion)
    share = np.exp(_at(curve, 0.2))
    expected = size * np.append(share, 1 - share.sum())
    assert ((counts - expected) ** 2 / expected).sum() < chi2.ppf(0.9999, top)


SOME = np.array([1.0, 2.0, 7.0, 366.0])
"""Counts over 0, each with an exposure of `EXPOSURE`."""


@pytest.mark.parametrize("dispersion", [1e-6, 1e-3, 0.05, 0.4, 1.0, 3.0, 20.0])
def test_the_count_behind_a_hurdle_is_exact_where_its_zeros_cancel(dispersion: float) -> None:
    """In 60 digits: also where nearly all counts of the rate are 0, and 1 - P(0) is 0 to rounding."""
    curve, size = hurdle_negative_binomial.curve(SOME, EXPOSURE, dispersion), 1 / Decimal(dispersion) ** 2
    for mu in (*RATES, -40.0, -600.0, 12.0):
        for count, exposure, found in zip(SOME, EXPOSURE, _at(curve, mu), strict=True):
            rate = Decimal(exposure) * Decimal(mu).exp()
            exact = size * (size / (size + rate)).ln() + int(count) * (rate / (size + rate)).ln()
            exact += sum(((size + k) / (k + 1)).ln() for k in range(int(count)))
            exact -= (rate if mu < -100 else 1 - (-size * (1 + rate / size).ln()).exp()).ln()
            assert found == pytest.approx(float(exact), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("dispersion", [0.4, 1.0, 3.0])
def test_the_count_behind_a_hurdle_is_scipys(dispersion: float) -> None:
    curve, size = hurdle_negative_binomial.curve(SOME, EXPOSURE, dispersion), dispersion**-2
    for mu in RATES:
        of = nbinom(size, size / (size + EXPOSURE * np.exp(mu)))
        np.testing.assert_allclose(_at(curve, mu), of.logpmf(SOME) - of.logsf(0), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("dispersion", [1e-3, 0.05, 0.4, 1.0, 3.0])
def test_the_slopes_of_the_count_behind_a_hurdle_are_those_of_the_density(dispersion: float) -> None:
    """By the dispersion and by the predictor, which may bend upwards where the count is far too small."""
    family = hurdle_negative_binomial
    curve, bends = family.curve(SOME, EXPOSURE, dispersion), []
    for mu in (*RATES, -40.0, 9.0):
        at, step = np.full(4, mu), 1e-3 * dispersion
        ahead, behind = (_at(family.curve(SOME, EXPOSURE, dispersion + s), mu) for s in (step, -step))
        found = family.by_dispersion(SOME, EXPOSURE, dispersion, at)
        scale = np.abs(found).max() + 1
        np.testing.assert_allclose(found, (ahead - behind) / (2 * step), rtol=1e-5, atol=2e-7 * scale)
        first, second = derivatives(curve, at)
        ahead, behind = (_at(curve, mu + s) for s in (1e-4, -1e-4))
        scale = 1 + np.abs(ahead).max()
        np.testing.assert_allclose(first, (ahead - behind) / 2e-4, rtol=1e-6, atol=1e-9 * scale)
        ahead, behind = (derivatives(curve, at + s)[0] for s in (1e-5, -1e-5))
        np.testing.assert_allclose(second, (behind - ahead) / 2e-5, rtol=1e-5, atol=1e-8 * scale)
        bends.append(second.min())
    assert (min(bends) < -1e-4) == (dispersion > 1)


def test_a_rate_that_underflows_leaves_one_count_certain() -> None:
    """The limit of a rate of 0: who has any has one, whatever the dispersion, without a warning."""
    one = np.ones(1)
    for dispersion in (1e-4, 1.0, 30.0):
        curve = hurdle_negative_binomial.curve(one, one, dispersion)
        np.testing.assert_allclose(_at(curve, -2000.0), 0.0, atol=1e-9)
        first, second = derivatives(curve, np.full(1, -2000.0))
        np.testing.assert_allclose([first, second], 0.0, atol=1e-9)
        found = hurdle_negative_binomial.by_dispersion(
            np.ones(1), np.ones(1), dispersion, np.full(1, -2000.0)
        )
        np.testing.assert_allclose(found, 0.0, atol=1e-9)


@pytest.mark.parametrize("dispersion", [1e-5, 0.8, 2.5])
@pytest.mark.parametrize("count", [-3.0, 0.2])
def test_simulated_hurdles_have_their_zeros_and_their_counts(dispersion: float, count: float) -> None:
    size, exposure, some = 60_000, 3.0, -0.4
    both = np.full(size, some), np.full(size, count)
    drawn = hurdle_negative_binomial.simulate(
        np.random.default_rng(5), both, np.full(size, exposure), dispersion
    )
    share = 1 / (1 + np.exp(-some))
    assert (drawn > 0).mean() == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / size))
    rate, any_of = exposure * np.exp(count), drawn[drawn > 0]
    none = np.exp(-np.log1p(dispersion**2 * rate) / dispersion**2)
    mean = rate / (1 - none)
    variance = (rate + (1 + dispersion**2) * rate**2) / (1 - none) - mean**2
    assert any_of.mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / len(any_of)))
    top = 12
    seen = np.append(np.bincount(any_of.astype(int), minlength=top)[1:top], (any_of >= top).sum())
    counts = np.arange(1.0, top)
    expected = np.exp(
        _at(hurdle_negative_binomial.curve(counts, np.full(top - 1, exposure), dispersion), count)
    )
    expected = len(any_of) * np.append(expected, 1 - expected.sum())
    kept = expected > 5
    assert ((seen - expected)[kept] ** 2 / expected[kept]).sum() < chi2.ppf(0.9999, kept.sum())


def test_draws_of_far_priors_are_numbers() -> None:
    far = np.array([-1e4, -800.0, -40.0, 40.0, 800.0, 1e4])
    for dispersion in (0.0, 1e-8, 1.0, 50.0):
        drawn = hurdle_negative_binomial.simulate(
            np.random.default_rng(6), (np.full(6, 30.0), far), np.full(6, 0.1), dispersion
        )
        assert np.isfinite(drawn).all()
        assert (drawn >= 1).all()
        assert (drawn[:3] == 1).all()
