"""Pathways against forward simulation, dense algebra and confounding that was put in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from cohort import add_terms
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import gamma, logistic, nbinom, norm

from designs import full_cohort, joint_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import generate as forwards
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.generate import Latent, generate, latents
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build, fingerprint
from nssi_bayes.check import pathways as module
from nssi_bayes.check.pathways import CORRELATIONS, pathways, rows
from nssi_bayes.check.summarised import Summary
from nssi_bayes.spec import JointSpec
from outcomes import with_family

TERMS = {"treatment": ["therapy", "dose"], "baseline": True, "activation": True}
BY_DISORDER = {"levels": True, "slopes": True, "loadings": True, "outcome": True, "burden": True}
EMOTION = ["trauma", "emotion_regulation", "severity"]
LIMBIC = ["trauma", "emotion_regulation", "limbic_activation", "severity"]

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


def _cohort(family: str = n.GAUSSIAN) -> xr.Dataset:
    cohort = full_cohort(30)
    return add_terms(
        cohort if family == n.GAUSSIAN else with_family(cohort, family), np.random.default_rng(2)
    )


def _made(*paths: list[str], family: str = n.GAUSSIAN, seed: int = 1, **changes: Any) -> tuple[Built, Theta]:
    """Return a model with pathways, and one draw of its prior [1, ...]."""
    cohort = _cohort(family)
    content = {"outcome_from": TERMS, "disorder": BY_DISORDER, "pathways": paths, **changes}
    built = build(joint_spec("outcome/joint", **content), cohort)
    theta = draw(built.parameters, built.design.coords, np.random.default_rng(seed), 1)
    for name in ("v", "v_some"):
        if name in theta:
            theta[name][:] = np.linspace(-0.6, 0.9, theta[name].shape[1])
    if "dispersion" in theta:
        theta["dispersion"][:] = 0.7
    return built, theta


def _plain(theta: Theta) -> Theta:
    return {name: value[0] for name, value in theta.items()}


def _linear(theta: Theta, design: Design, who: Latent, monkeypatch: pytest.MonkeyPatch) -> Array:
    """Return predictors of the outcome as `generate` states them [predictor, `participant`]."""
    kept: list[Array] = []

    def keep(theta: Theta, design: Design, rng: np.random.Generator, predictors: list[Array]) -> Array:
        kept.append(np.stack(predictors))
        return np.zeros(len(predictors[0]))

    with monkeypatch.context() as patch:
        patch.setattr(forwards.predicted, "simulate", keep)
        generate(theta, design, np.random.default_rng(1), latent=who)
    return kept[0]


def _moved(who: Latent, theta: Theta, design: Design, *, factor: int, functions: list[int]) -> Latent:
    """Return latents of a factor one unit higher, of which the functions named take notice."""
    one = np.zeros_like(who.factor)
    one[:, factor] = 1.0
    slope = theta["B"][:, factor] + np.zeros_like(who.function)
    if "B_disorder" in theta:
        slope = slope + design.diagnosis @ theta["B_disorder"][:, factor].T
    if "B_burden" in theta:
        slope = slope + design.burden[:, None] * theta["B_burden"][:, factor]
    step = np.zeros_like(slope)
    step[:, functions] = slope[:, functions]
    return replace(who, factor=who.factor + one, function=who.function + step)


def _seen(design: Design, values: Array) -> float:
    return float(values[design.outcome_seen].mean())


def test_a_gaussian_outcome_is_moved_as_forward_simulation_moves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences at the same latents are exact: no Monte Carlo error is in them."""
    built, theta = _made(EMOTION, LIMBIC)
    one, design = _plain(theta), built.design
    found = pathways(theta, design, built.spec)
    who = latents(one, design, np.random.default_rng(3))
    trauma = design.coords[n.FACTOR].index("trauma")
    emotion = design.coords[n.FUNCTION].index("emotion_regulation")
    limbic = design.coords[n.NETWORK].index("limbic")

    def outcome(latent: Latent, v: Array) -> float:
        return _seen(design, _linear({**one, "v": v}, design, latent, monkeypatch)[0])

    none, own = np.zeros_like(one["v"]), np.where(np.arange(len(one["v"])) == limbic, one["v"], 0.0)
    everything = _moved(who, one, design, factor=trauma, functions=[0, 1, 2])
    through = replace(_moved(who, one, design, factor=trauma, functions=[emotion]), factor=who.factor)
    alone = _moved(who, one, design, factor=trauma, functions=[])

    def change(latent: Latent, v: Array) -> float:
        return outcome(latent, v) - outcome(who, v)

    direct, total = change(alone, none), change(everything, one["v"])
    by_function = change(through, none)
    by_both = change(through, own) - by_function
    np.testing.assert_allclose(found[0].ways[0, :, 0], [by_function, direct, total], atol=1e-10)
    np.testing.assert_allclose(found[1].ways[0, :, 0], [by_both, direct, total], atol=1e-10)
    assert min(abs(v) for v in (by_function, direct, by_both)) > 1e-4


@pytest.mark.parametrize("family", [n.BERNOULLI, n.ORDINAL, n.NEGATIVE_BINOMIAL, n.HURDLE])
def test_other_outcomes_are_moved_as_forward_simulation_moves_them(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expected outcomes of people drawn anew; the same draws are moved, so that errors are small."""
    built, theta = _made(EMOTION, family=family, outcome_from={**TERMS, "activation": False})
    for name in {"w", "w_some"} & theta.keys():  # functions correlate, and so do their parts of a predictor
        theta[name][:] = 0.8
    one, design = _plain(theta), built.design
    rng, trauma = np.random.default_rng(4), design.coords[n.FACTOR].index("trauma")
    emotion = design.coords[n.FUNCTION].index("emotion_regulation")
    total: list[list[Array]] = []
    for _ in range(1000):
        who = latents(one, design, rng)
        moved = [
            who,
            replace(_moved(who, one, design, factor=trauma, functions=[emotion]), factor=who.factor),
            _moved(who, one, design, factor=trauma, functions=[]),
            _moved(who, one, design, factor=trauma, functions=[0, 1, 2]),
        ]
        total.append([_mean_of(family, one, _linear(one, design, m, monkeypatch)) for m in moved])
    drawn = np.array(total)[..., design.outcome_seen].mean(axis=2)
    mean = drawn.mean(axis=0)
    expected = np.log(mean[1:] / mean[0]) if family in n.COUNTS else mean[1:] - mean[0]
    relative = drawn[:, 1:] / mean[1:] - drawn[:, :1] / mean[0]
    error = (relative if family in n.COUNTS else drawn[:, 1:] - drawn[:, :1]).std(axis=0) / np.sqrt(
        len(drawn)
    )
    found = pathways(theta, design, built.spec)[0].ways[0, :, 0]
    assert (np.abs(found - expected) < 4 * error + 1e-4).all(), (found, expected, error)
    assert (error < 0.1 * np.abs(expected).max()).all()


def _mean_of(family: str, theta: Theta, mu: Array) -> Array:
    """Return the expected outcome given predictors, by its definition."""
    if family == n.BERNOULLI:
        return expit(mu[0])
    if family == n.ORDINAL:
        below = np.cumsum(theta["outcome_probability"])[:-1]
        kappa = np.log(below / (1 - below))
        cumulative = np.column_stack([expit(k - mu[0]) for k in kappa] + [np.ones_like(mu[0])])
        share = np.diff(cumulative, axis=1, prepend=0.0)
        return share @ np.arange(share.shape[1])
    if family == n.NEGATIVE_BINOMIAL:
        return np.exp(mu[0])
    size = 1 / theta["dispersion"] ** 2
    none = (size / (size + np.exp(mu[1]))) ** size
    return expit(mu[0]) * np.exp(mu[1]) / (1 - none)


@pytest.mark.parametrize("count", [1, 3])
def test_regions_may_come_first(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions regressed on activation by the covariance that forward simulation has."""
    built, theta = _made()
    one, design = _plain(theta), built.design
    networks = design.coords[n.NETWORK][:count]
    paths = [["trauma", f"{w}_activation", "emotion_regulation", "severity"] for w in networks]
    found = pathways(theta, *_respelt(built, [*paths, EMOTION]))
    ways = np.array([t.ways[0, :, 0] for t in found])
    forward = pathways(theta, *_respelt(built, [EMOTION]))[0].ways[0, :, 0]
    np.testing.assert_allclose(ways[:, 1:], np.tile(forward[1:], (count + 1, 1)), atol=1e-10)
    # what goes through emotion regulation is the same, part of it behind activation
    assert ways[:, 0].sum() == pytest.approx(forward[0], abs=1e-10)
    by_hand = _regressed(one, design, count, monkeypatch)
    np.testing.assert_allclose(ways[:count, 0], by_hand, atol=1e-8)
    assert np.abs(by_hand).max() > 1e-4


def _respelt(built: Built, paths: list[list[str]]) -> tuple[Design, JointSpec]:
    return built.design, built.spec.model_copy(update={"pathways": tuple(map(tuple, paths))})


def _regressed(theta: Theta, design: Design, first: int, monkeypatch: pytest.MonkeyPatch) -> Array:
    """Return trauma -> network -> emotion regulation -> severity of the first networks by dense matrices."""
    people, functions = len(design.diagnosis), len(design.coords[n.FUNCTION])
    networks = len(design.coords[n.NETWORK])
    factors = len(design.coords[n.FACTOR])
    count = 1 + len(design.coords[n.BIG_NETWORK])
    zero = Latent(np.zeros((people, factors)), np.zeros((people, functions)), np.zeros((people, count)))

    def activation(who: Latent) -> Array:
        return forwards._latent_activation(theta, design, who) - forwards._latent_activation(
            theta, design, zero
        )

    def unit(kind: str, k: int) -> Latent:
        values = np.zeros_like(getattr(zero, kind))
        values[:, k] = 1.0
        return replace(zero, **{kind: values})

    on_functions = np.stack([activation(unit("function", f)) for f in range(functions)], axis=2)
    on_residual = np.stack([activation(unit("residual", r)) for r in range(count)], axis=2)
    trauma = design.coords[n.FACTOR].index("trauma")
    moved = _moved(zero, theta, design, factor=trauma, functions=list(range(functions)))
    by_trauma = activation(moved)
    omega = theta["Omega"] @ theta["Omega"].T
    no_v = {**theta, "v": np.zeros(networks)}
    emotion = design.coords[n.FUNCTION].index("emotion_regulation")
    slope = (
        _linear(no_v, design, unit("function", emotion), monkeypatch)
        - _linear(no_v, design, zero, monkeypatch)
    )[0]
    whole = []
    for i in range(people):
        own, left = on_functions[i, :first], on_residual[i, :first]
        regression = np.linalg.inv(own @ omega @ own.T + left @ left.T) @ own @ omega
        whole.append(by_trauma[i, :first] * regression[:, emotion] * slope[i])
    return np.asarray(np.array(whole)[design.outcome_seen].mean(axis=0))


@pytest.mark.parametrize("r", [-0.5, 0.3])
def test_confounding_that_was_put_in_is_taken_out(r: float) -> None:
    """What a regression without the confounder would find gives the true coefficient back."""
    built, theta = _made(EMOTION, outcome_from={}, disorder={"levels": True})
    one, design = _plain(theta), built.design
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
    built, theta = _made(EMOTION, outcome_from={}, disorder={"levels": True, "spread": True})
    one, design = _plain(theta), built.design
    told = pathways(theta, design, built.spec)[0].by_correlation
    assert told is not None
    omega = np.linalg.inv(one["Omega"] @ one["Omega"].T)
    spread = np.exp(design.centred_diagnosis @ one["h"].T)[:, 0]
    change = 0.3 / np.sqrt(1 - 0.3**2) * one["sigma_outcome"] * np.sqrt(omega[0, 0]) / spread
    slope = one["B"][0, design.coords[n.FACTOR].index("trauma")]
    expected = _seen(design, slope * (one["w"][0] - change))
    assert told[0, CORRELATIONS.index(0.3)] == pytest.approx(expected, rel=1e-9)


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
    design = replace(_made()[0].design, outcome_family=family)
    return float(found - r / np.sqrt(1 - r**2) * module._residual_sd(theta, design))


def test_residuals_of_which_nothing_is_left_are_not_told() -> None:
    built, theta = _made(EMOTION, LIMBIC)
    told = [t.by_correlation is not None for t in pathways(theta, built.design, built.spec)]
    assert told == [True, False]  # ten networks share six residual factors
    back = ["trauma", "limbic_activation", "emotion_regulation", "severity"]
    (one,) = pathways(theta, *_respelt(built, [back]))
    assert one.by_correlation is not None
    assert np.isfinite(one.by_correlation).all()
    hurdle, theta = _made(EMOTION, family=n.HURDLE)
    assert pathways(theta, hurdle.design, hurdle.spec)[0].by_correlation is None


def test_people_of_a_disorder_have_its_slopes() -> None:
    built, theta = _made(EMOTION, outcome_from={})
    one, design = _plain(theta), built.design
    found = pathways(theta, design, built.spec)
    emotion, trauma = 0, design.coords[n.FACTOR].index("trauma")
    c = design.diagnosis
    slope = one["B"][emotion, trauma] + c @ one["B_disorder"][emotion, trauma]
    slope = slope + design.burden * one["B_burden"][emotion, trauma]
    onto = one["w"][emotion] + c @ one["w_disorder"][emotion] + design.burden * one["w_burden"][emotion]
    who = [design.outcome_seen, *(design.outcome_seen & (k > 0) for k in c.T)]
    expected = [(slope * onto)[w].mean() for w in who if w.any()]
    np.testing.assert_allclose(found[0].ways[0, 0], expected, atol=1e-12)
    told = rows(Summary(0.9, 0.2, chains=1), found, theta, design)
    assert [r["disorder"] for r in told["pathways_by_disorder"]] == design.coords[n.DISORDER]
    assert [r["way"] for r in told["pathways"]] == ["total", "direct", "indirect"]
    assert [r["pathway"] for r in told["pathways"]] == [*["trauma -> severity"] * 2, " -> ".join(EMOTION)]
    np.testing.assert_allclose([r["mean"] for r in told["pathways"]], found[0].ways[0, [2, 1, 0], 0])
    assert told["pathways"][0]["scale"] == "sd of the outcome"
    assert [r["correlation"] for r in told["pathways_by_correlation"]] == list(CORRELATIONS)
    assert told["pathways_by_correlation"][5]["mean"] == pytest.approx(expected[0])
    same, theta = _made(EMOTION, outcome_from={}, disorder={"levels": True})
    found = pathways(theta, same.design, same.spec)
    assert rows(Summary(0.9, 0.2, chains=1), found, theta, same.design)["pathways_by_disorder"] == []


def test_many_draws_are_those_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws are taken some at a time; the last are fewer."""
    built, _ = _made(EMOTION, family=n.BERNOULLI)
    theta = draw(built.parameters, built.design.coords, np.random.default_rng(2), 5)
    monkeypatch.setattr(module, "_AT_ONCE", 3 * 30 * 21)
    (whole,) = pathways(theta, built.design, built.spec)
    assert whole.by_correlation is not None
    for s in (0, 4):
        (one,) = pathways({k: v[s : s + 1] for k, v in theta.items()}, built.design, built.spec)
        np.testing.assert_allclose(whole.ways[s], one.ways[0], rtol=1e-10)
        np.testing.assert_allclose(whole.by_correlation[s : s + 1], one.by_correlation, rtol=1e-10)


def test_pathways_change_no_posterior() -> None:
    with_them, _ = _made(EMOTION)
    without, _ = _made()
    assert fingerprint(with_them, with_them.spec) == fingerprint(without, without.spec)
    assert pathways({}, without.design, without.spec) == []
