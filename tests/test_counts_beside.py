"""Counts and categories beside items: the integral of one person against a dense grid, where it is hard."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy.special import expit, gammaln, logsumexp
from scipy.stats import nbinom

from nssi_bayes import names as n
from nssi_bayes.blocks.beside import FLOOR, NEWTON_BESIDE, extend, grid_beside
from nssi_bayes.blocks.predicted import Predictor
from nssi_bayes.families import negative_binomial, ordinal
from nssi_bayes.integrate import jointly, quadrature
from nssi_bayes.integrate.curve import Curve
from nssi_bayes.integrate.kernel import arrange, value_and_gradient_raised

PEOPLE, FUNCTIONS, ITEMS, LOADING, BETWEEN = 6, 2, 3, 1.8, 0.6

type Array = np.ndarray[Any, Any]


class Case(NamedTuple):
    """Items of functions that correlate, and an outcome whose predictor is mean + load . functions + rest."""

    upper: Array
    lower: Array
    mean: Array
    load: Array
    spread: float


OWNER = np.repeat(np.arange(FUNCTIONS), ITEMS)
COVARIANCE = np.full((FUNCTIONS, FUNCTIONS), BETWEEN) + (1 - BETWEEN) * np.eye(FUNCTIONS)


def make_case(mean: Array, *, w: float, spread: float) -> Case:
    rng = np.random.default_rng(4)
    eta = rng.standard_normal((PEOPLE, FUNCTIONS)) @ np.linalg.cholesky(COVARIANCE).T
    constants = []
    for j in range(len(OWNER)):
        probability = rng.dirichlet(np.ones(4))
        answer = ordinal.simulate(rng, probability, LOADING * eta[:, OWNER[j]])
        curve = ordinal.curve(answer, probability)
        seen = rng.random(PEOPLE) > 0.15
        constants.append(
            [seen * on * np.exp(at) for on, at in ((curve.over, curve.at), (curve.under, curve.below))]
        )
    upper, lower = np.array(constants).transpose(1, 2, 0)
    return Case(upper, lower, mean, w * np.array([1.0, -0.6]), spread)


def dense(case: Case, log_probability: Any, *, step: float = 0.12) -> Array:
    """Sum over a fine grid of both functions, and of what is left of the predictor."""
    axis = np.arange(-6.6, 6.61, step)
    z = np.stack([m.ravel() for m in np.meshgrid(axis, axis, indexing="ij")], axis=1)
    eta, log_z = z @ np.linalg.cholesky(COVARIANCE).T, -0.5 * (z**2).sum(axis=1) + 2 * np.log(step)
    t = np.arange(-5.5, 5.51, 0.25) if case.spread else np.zeros(1)
    log_t = -0.5 * t**2 + np.log(0.25) - 0.5 * np.log(2 * np.pi) if case.spread else np.zeros(1)
    found = np.empty(PEOPLE)
    for i in range(PEOPLE):
        total = log_z - np.log(2 * np.pi)
        for j in range(len(OWNER)):
            odds = np.exp(LOADING * eta[:, OWNER[j]])
            total = total - np.log((1 + odds * case.upper[i, j]) * (1 + case.lower[i, j] / odds))
        mu = case.mean[i] + eta @ case.load
        found[i] = logsumexp(total + logsumexp(log_probability(i, mu[:, None] + case.spread * t) + log_t, 1))
    return found


def beside(case: Case, curve: Curve, tail: Array, *, load: Array | None = None) -> tuple[Array, ...]:
    """Return value and derivatives of the kernel, the constant of the curves included in the value."""
    matrix = np.zeros((PEOPLE, FUNCTIONS + 1, FUNCTIONS + 1))
    matrix[:, :-1, :-1] = np.linalg.inv(COVARIANCE)
    own = np.tile(case.load[:, None] if load is None else load[:, None], PEOPLE)
    spread = np.full((1, 1, PEOPLE), case.spread)
    whole, constant, _ = extend(matrix, Predictor(case.mean[None], np.zeros((1, 0)), own[None], spread))
    grid = quadrature.make_grid(FUNCTIONS + 1, **grid_beside(FUNCTIONS))
    places = np.append(OWNER, FUNCTIONS), np.full(len(OWNER) + 1, -1)
    arrangement = arrange(*places, grid=grid, testlet_nodes=9, position_nodes=5)
    arrangement = arrangement._replace(
        newton_steps=NEWTON_BESIDE.steps, largest_step=NEWTON_BESIDE.largest, raised=True
    )
    both = [(curve.over > 0) * np.exp(curve.at), (curve.under > 0) * np.exp(curve.below)]
    upper, lower = (
        np.concatenate([items, one[:, None]], axis=1)
        for items, one in zip((case.upper, case.lower), both, strict=True)
    )
    loading = np.append(np.full(len(OWNER), LOADING), 1.0)
    found = value_and_gradient_raised(whole, upper, lower, loading, np.zeros(0), arrangement, tail)
    norm = FUNCTIONS * np.log(2 * np.pi) / 2 + np.linalg.slogdet(COVARIANCE)[1] / 2
    return found[0] + constant + curve.constant - norm, *found[1:]


def scored(case: Case, curve: Curve) -> Array:
    """Return what scores take: all data at the nodes of the functions."""
    matrix = np.zeros((PEOPLE, FUNCTIONS + 1, FUNCTIONS + 1))
    matrix[:, :-1, :-1] = np.linalg.inv(COVARIANCE)
    loading = LOADING * (OWNER[:, None] == np.arange(FUNCTIONS))
    grid = quadrature.make_grid(FUNCTIONS, order=8, curve_nodes=17)
    rule = quadrature.normal_rule(9)
    items = jointly.Items(
        case.upper, case.lower, loading, np.zeros(0), np.full(len(OWNER), -1), rule[0], rule[1]
    )
    load, spread = np.tile(case.load, (1, PEOPLE, 1)), np.full((1, 1, PEOPLE), case.spread)
    one = Curve(*(field[None] for field in curve))
    outcome = jointly.Outcome(case.mean[None], load, spread, one, grid.nodes, grid.log_weights)
    value = jointly.integrate(matrix, items, outcome, *jointly.make_nodes(grid))[0]
    return value - FUNCTIONS * np.log(2 * np.pi) / 2 - np.linalg.slogdet(COVARIANCE)[1] / 2


@pytest.mark.parametrize(
    ("w", "dispersion", "spread"), [*product([0.5, 2.0], [0.01, 0.7, 2.0], [0.0, 0.5]), (5.0, 0.7, 0.5)]
)
def test_counts_against_a_dense_grid(w: float, dispersion: float, spread: float) -> None:
    """From 0 to 300, in a twelfth to twelve units of exposure, up to two sds from what is expected."""
    exposure = np.exp(np.linspace(np.log(0.1), np.log(12), PEOPLE))[[3, 0, 5, 2, 4, 1]]
    size, away = dispersion**-2, np.linspace(-2, 2, PEOPLE)
    for count in (0, 1, 5, 30, 300):
        y = np.full(PEOPLE, float(count))
        sd = np.sqrt(w**2 + spread**2 + dispersion**2)
        case = make_case(np.log(max(count, 0.5) / exposure) + sd * away, w=w, spread=spread)

        def log_probability(i: int, mu: Array, y: Array = y) -> Array:
            rate = exposure[i] * np.exp(mu)
            if dispersion < 0.1:  # where SciPy's gamma functions lose digits
                terms = np.log1p(np.arange(y[i]) / size).sum() - gammaln(y[i] + 1)
                return y[i] * np.log(rate) - (y[i] + size) * np.log1p(rate / size) + terms
            return nbinom.logpmf(y[i], size, size / (size + rate))

        exact = dense(case, log_probability, step=0.12 if w < 3 else 0.06)
        curve = negative_binomial.curve(y, exposure, dispersion)
        found = beside(case, curve, np.stack([y, y + size], axis=1))[0]
        np.testing.assert_allclose(found, exact, atol=5e-3)
        np.testing.assert_allclose(scored(case, curve), exact, atol=1e-2)
        assert abs((found - exact).sum()) < 0.02


@pytest.mark.parametrize("w", [0.5, 2.0, 5.0])
def test_categories_against_a_dense_grid(w: float) -> None:
    probability = np.array([0.5, 0.05, 0.2, 0.02, 0.2, 0.03])
    for shift in (-4.0, 0.0, 4.0):
        y = np.arange(PEOPLE).astype(float)
        case = make_case(np.full(PEOPLE, shift), w=w, spread=0.3)
        below = np.concatenate([[0.0], np.cumsum(probability)])
        with np.errstate(divide="ignore"):
            kappa = np.log(below) - np.log(np.maximum(1 - below, 0.0))
        kappa[-1] = np.inf

        def log_probability(i: int, mu: Array, kappa: Array = kappa) -> Array:
            with np.errstate(divide="ignore"):
                return np.log(expit(mu - kappa[i]) - expit(mu - kappa[i + 1]))

        curve = ordinal.curve(y, probability)
        found = beside(case, curve, np.tile([0.0, 1.0], (PEOPLE, 1)))[0]
        np.testing.assert_allclose(found, dense(case, log_probability), atol=0.01)


def test_the_derivatives_of_a_count_are_those_of_a_dense_grid() -> None:
    """By U and by the power, from which that by the dispersion is made, and by the predictor's slope."""
    exposure, y = np.linspace(0.2, 4.0, PEOPLE), np.array([0.0, 1.0, 3.0, 8.0, 30.0, 100.0])
    case = make_case(np.log((y + 0.5) / exposure), w=1.0, spread=0.4)
    dispersion = 0.7

    def value(size: float, load: Array) -> float:
        moved = case._replace(load=load)

        def log_probability(i: int, mu: Array) -> Array:
            return nbinom.logpmf(y[i], size**-2, 1 / (1 + size**2 * exposure[i] * np.exp(mu)))

        return float(dense(moved, log_probability).sum())

    curve = negative_binomial.curve(y, exposure, dispersion)
    tail = np.stack([y, y + dispersion**-2], axis=1)
    _, _, d_upper, _, _, _, d_power = beside(case, curve, tail)
    found = negative_binomial.through(y, exposure, dispersion, (d_upper[:, -1], d_power))
    ahead, behind = (value(dispersion + s, case.load) for s in (1e-4, -1e-4))
    assert found == pytest.approx((ahead - behind) / 2e-4, rel=1e-3)


@pytest.mark.parametrize("dispersion", [1e-3, 0.05, 0.7, 3.0])
def test_the_derivative_through_the_constants_is_that_at_a_predictor(dispersion: float) -> None:
    """The same number in two ways; rounding of the one is much less than what the sampler would see."""
    rng = np.random.default_rng(3)
    y, exposure, mu = rng.poisson(3.0, 20).astype(float), rng.uniform(0.1, 12, 20), rng.standard_normal(20)
    x = np.exp(mu)
    s = dispersion**2
    power = y + 1 / s
    by_upper, by_power = -power * x / (1 + s * exposure * x), -np.log1p(s * exposure * x)
    found = negative_binomial.through(y, exposure, dispersion, (by_upper, by_power))
    expected = negative_binomial.by_dispersion(y, exposure, dispersion, mu).sum()
    assert dispersion * found == pytest.approx(dispersion * expected, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("family", [n.NEGATIVE_BINOMIAL, n.ORDINAL])
def test_a_missing_outcome_adds_nothing(family: str) -> None:
    case = make_case(np.zeros(PEOPLE), w=2.0, spread=0.5)
    none = np.zeros(PEOPLE)
    power = none if family == n.NEGATIVE_BINOMIAL else none + 1.0
    found = beside(case, Curve(*[none] * len(Curve._fields)), np.stack([none, power], axis=1))[0]
    np.testing.assert_allclose(found, dense(case, lambda i, mu: 0 * mu), atol=2e-3)
    assert FLOOR < 1e-3
