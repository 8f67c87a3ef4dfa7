"""What is left of a pathway where the residual of the outcome goes with that of the last step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import gamma, logistic, nbinom, norm

from nssi_bayes import names as n
from nssi_bayes.blocks import neural
from nssi_bayes.check.expected_outcome import residual_sd
from nssi_bayes.check.pathways import CORRELATIONS, pathways
from ways import EMOTION, LIMBIC, made, plain, respelt, seen_mean

BIG = ("limbic", "salience", "social_cognition")
type Array = np.ndarray[Any, Any]


@pytest.mark.parametrize("r", [-0.5, 0.3])
def test_confounding_that_was_put_in_is_taken_out(r: float) -> None:
    """What a regression without the confounder would find gives the true coefficient back."""
    built, theta = made(EMOTION, outcome_from={}, disorder={"levels": True})
    one, design = plain(theta), built.design
    omega = one["Omega"] @ one["Omega"].T
    emotion = design.coords[n.FUNCTION].index("emotion_regulation")
    true, s = np.array([0.5, -0.2, 0.3]), 0.8
    across = np.zeros(3)  # of functions and the outcome's residual, which goes with one of them alone
    across[emotion] = r * s / np.sqrt(np.linalg.inv(omega)[emotion, emotion])
    found = np.linalg.solve(omega, omega @ true + across)
    whole = true @ omega @ true + 2 * true @ across + s**2
    left = np.sqrt(whole - found @ omega @ found)
    observed = {**theta, "w": found[None], "sigma_outcome": np.array([left])}
    told = pathways(observed, design, built.spec)[0].by_correlation
    assert told is not None
    trauma = design.coords[n.FACTOR].index("trauma")
    expected = one["B"][emotion, trauma] * true[emotion]
    assert told[0, CORRELATIONS.index(r)] == pytest.approx(expected, rel=1e-8)
    naive = one["B"][emotion, trauma] * found[emotion]
    assert told[0, CORRELATIONS.index(0.0)] == pytest.approx(naive, rel=1e-8)


def test_what_is_left_of_a_function_is_each_persons() -> None:
    """Where disorders differ in spread, a residual of one size is less of a wider function."""
    built, theta = made(EMOTION, outcome_from={}, disorder={"levels": True, "spread": True})
    one, design = plain(theta), built.design
    told = pathways(theta, design, built.spec)[0].by_correlation
    assert told is not None
    omega = np.linalg.inv(one["Omega"] @ one["Omega"].T)
    spread = np.exp(design.centred_diagnosis @ one["h"].T)[:, 0]
    change = 0.3 / np.sqrt(1 - 0.3**2) * one["sigma_outcome"] * np.sqrt(omega[0, 0]) / spread
    slope = one["B"][0, design.coords[n.FACTOR].index("trauma")]
    expected = seen_mean(design, slope * (one["w"][0] - change))
    assert told[0, CORRELATIONS.index(0.3)] == pytest.approx(expected, rel=1e-9)


def test_a_category_has_the_residual_of_a_yes() -> None:
    found = {}
    for family in (n.BERNOULLI, n.ORDINAL):
        built, theta = made(EMOTION, family=family, outcome_from={}, disorder={"levels": True})
        one = {**theta, "w": np.array([[0.5, 0.0, 0.0]]), "B": np.full_like(theta["B"], 0.01)}
        (told,) = pathways(one, built.design, built.spec)
        assert told.by_correlation is not None
        zero, other = (told.by_correlation[0, CORRELATIONS.index(r)] for r in (0.0, 0.3))
        found[family] = other / zero
    omega = np.linalg.inv(theta["Omega"][0] @ theta["Omega"][0].T)
    expected = 1 - 1.702 * 0.3 / np.sqrt(1 - 0.3**2) * np.sqrt(omega[0, 0]) / 0.5
    assert found[n.ORDINAL] == pytest.approx(expected, rel=0.02)
    assert found[n.BERNOULLI] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("r", "true"), [(0.4, 0.3), (-0.4, 0.3), (0.2, 0.8)])
def test_confounding_of_a_yes_is_taken_out_nearly(r: float, true: float) -> None:
    """A logistic residual that goes with a function by a normal copula, and a logistic regression of it."""
    rng = np.random.default_rng(6)
    eta, noise = rng.standard_normal((2, 200_000))
    residual = logistic.ppf(norm.cdf(r * eta + np.sqrt(1 - r**2) * noise))
    y = np.where(true * eta + residual > 0, 1, -1)
    found = minimize(lambda b: -np.log(expit(y * (b[0] + b[1] * eta))).sum(), [0.0, 1.0]).x[1]
    expected = true / np.sqrt(1 - r**2)  # in units of what is left of the residual
    assert _told(n.BERNOULLI, {}, found, r) == pytest.approx(expected, abs=0.05)
    assert abs(found - expected) > 0.3


@pytest.mark.parametrize(("r", "spread"), [(0.4, 0.7), (-0.4, 0.7), (0.4, 1.2)])
def test_confounding_of_a_count_is_taken_out_nearly(r: float, spread: float) -> None:
    """A gamma factor that goes with a function by a normal copula, and a negative binomial regression."""
    rng, true = np.random.default_rng(6), 0.3
    eta, noise = rng.standard_normal((2, 100_000))
    size = 1 / spread**2
    factor = gamma.ppf(norm.cdf(r * eta + np.sqrt(1 - r**2) * noise), size, scale=1 / size)
    y = rng.poisson(np.exp(0.5 + true * eta) * factor)

    def loss(b: Array) -> float:
        own, log_rate = np.exp(b[2]), b[0] + b[1] * eta
        return -float(nbinom.logpmf(y, own, own / (own + np.exp(log_rate))).mean())

    _, found, log_size = minimize(loss, [0.5, true, np.log(size)], method="Nelder-Mead").x
    observed = {"dispersion": np.exp(-0.5 * log_size)}
    assert _told(n.NEGATIVE_BINOMIAL, observed, found, r) == pytest.approx(true, abs=0.06)
    assert abs(found - true) > 0.2


def _told(family: str, theta: dict[str, Any], found: float, r: float) -> float:
    """Return what is left of a coefficient on one function by the package's residual sd."""
    design = replace(made()[0].design, outcome_family=family)
    return float(found - r / np.sqrt(1 - r**2) * residual_sd(theta, design))


BACK = ["trauma", "limbic_activation", "emotion_regulation", "severity"]


ALONE = ["trauma", "limbic_activation", "severity"]


@pytest.mark.parametrize(("path", "beside"), [(LIMBIC, ()), (ALONE, ()), (BACK, ()), (ALONE, (BACK,))])
def test_confounding_of_activation_is_taken_out(path: list[str], beside: tuple[list[str], ...]) -> None:
    """Dense matrices of functions and three networks: what a regression finds gives the truth back."""
    terms = {"outcome_from": {"activation": True}, "disorder": {"levels": True}, "connectivity": None}
    built, theta = made(path, *beside, networks=BIG, **terms)
    one, design = plain(theta), built.design
    networks = neural.networks(one, design)
    loading, residual = np.asarray(networks.own), np.asarray(networks.residual @ networks.residual.T)
    omega, k, r, s = one["Omega"] @ one["Omega"].T, BIG.index("limbic"), 0.3, 0.8
    whole = np.block([[omega, omega @ loading.T], [loading @ omega, loading @ omega @ loading.T + residual]])
    reduced = np.asarray(networks.common) + loading @ one["B"]
    trauma, first = design.coords[n.FACTOR].index("trauma"), 3 + k
    slopes = np.array([0.5, -0.2, 0.3, 0.4, -0.3, 0.2])
    if not beside and path != BACK:  # functions come first: of the network what they and others leave
        left = np.linalg.inv(residual)
        e = np.zeros(6)
        e[first] = r * s / np.sqrt(left[k, k])
        before = one["B"][0, trauma] * loading[k, 0] if path == LIMBIC else networks.common[k, trauma]
        expected = before * slopes[first]
    elif path == BACK:  # of the function what the network and other functions leave
        back = whole[:, first] / whole[first, first]
        given = whole - np.outer(back, whole[first])
        precision = np.linalg.inv(given[:3, :3])
        e = given[:, :3] @ precision[:, 0] * r * s / np.sqrt(precision[0, 0])
        expected = reduced[k, trauma] * back[0] * slopes[0]
    else:  # of the network all, since only it comes first
        e = whole[:, first] / np.sqrt(whole[first, first]) * r * s
        expected = reduced[k, trauma] * slopes[first]
    found = np.linalg.solve(whole, whole @ slopes + e)
    variance = slopes @ whole @ slopes + 2 * slopes @ e + s**2 - found @ whole @ found
    observed = {"w": found[None, :3], "v": found[None, 3:], "sigma_outcome": np.sqrt([variance])}
    told = pathways({**theta, **observed}, design, built.spec)[0].by_correlation
    assert told is not None
    assert told[0, CORRELATIONS.index(r)] == pytest.approx(expected, rel=1e-7)
    assert abs(told[0, CORRELATIONS.index(0.0)] - expected) > 0.05 * abs(expected)


def test_residuals_of_which_nothing_is_left_are_not_told() -> None:
    """Two networks without a residual factor of their own tell each other; one that has a factor keeps it."""
    small = ["trauma", "reward_activation", "severity"]
    built, theta = made(EMOTION, LIMBIC, small)
    design = built.design
    assert "reward" not in design.coords[n.BIG_NETWORK]
    found = pathways(theta, design, built.spec)
    assert [t.by_correlation is not None for t in found] == [True, True, False]
    own = plain(theta)["loading_network"][design.coords[n.BIG_NETWORK].index("limbic")]
    before, after = (found[1].by_correlation[0, CORRELATIONS.index(r)] for r in (0.0, 0.4))
    change = 0.4 / np.sqrt(1 - 0.4**2) * theta["sigma_outcome"][0] / own
    v = plain(theta)["v"][design.coords[n.NETWORK].index("limbic")]
    assert after / before == pytest.approx(1 - change / v, rel=1e-4)
    others = [label for label in design.coords[n.NETWORK] if label not in design.coords[n.BIG_NETWORK]]
    both = [["trauma", f"{w}_activation", "emotion_regulation", "severity"] for w in others[:2]]
    assert pathways(theta, *respelt(built, both))[0].by_correlation is None
    hurdle, theta = made(EMOTION, family=n.HURDLE)
    assert pathways(theta, hurdle.design, hurdle.spec)[0].by_correlation is None
