"""Pathways against forward simulation, dense algebra and confounding that was put in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from nssi_bayes import names as n
from nssi_bayes.blocks import generate as forwards
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.generate import Latent, generate, latents
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import fingerprint
from nssi_bayes.check import pathways as module
from nssi_bayes.check.pathways import CORRELATIONS, pathways, rows
from nssi_bayes.check.summarised import Summary
from ways import EMOTION, LIMBIC, TERMS, made, plain, respelt, seen_mean

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


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


def test_a_gaussian_outcome_is_moved_as_forward_simulation_moves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences at the same latents are exact: no Monte Carlo error is in them."""
    built, theta = made(EMOTION, LIMBIC)
    one, design = plain(theta), built.design
    found = pathways(theta, design, built.spec)
    who = latents(one, design, np.random.default_rng(3))
    trauma = design.coords[n.FACTOR].index("trauma")
    emotion = design.coords[n.FUNCTION].index("emotion_regulation")
    limbic = design.coords[n.NETWORK].index("limbic")

    def outcome(latent: Latent, v: Array) -> float:
        return seen_mean(design, _linear({**one, "v": v}, design, latent, monkeypatch)[0])

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


@pytest.mark.parametrize(
    ("family", "activation"),
    [
        (n.BERNOULLI, True),
        (n.ORDINAL, False),
        (n.NEGATIVE_BINOMIAL, False),
        (n.HURDLE, False),
    ],
)
def test_other_outcomes_are_moved_as_forward_simulation_moves_them(
    family: str, activation: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Expected outcomes of people drawn anew; the same draws are moved, so that errors are small."""
    built, theta = made(EMOTION, family=family, outcome_from={**TERMS, "activation": activation})
    for name in {"w", "w_some"} & theta.keys():  # functions correlate, and so do their parts of a predictor
        theta[name][:] = 0.8
    one, design = plain(theta), built.design
    rng, trauma = np.random.default_rng(4), design.coords[n.FACTOR].index("trauma")
    emotion = design.coords[n.FUNCTION].index("emotion_regulation")
    total: list[list[Array]] = []
    for _ in range(1000):
        who = latents(one, design, rng)
        met = _linear(one, design, who, monkeypatch)
        emotion_alone = _moved(who, one, design, factor=trauma, functions=[emotion])
        parts = [
            replace(emotion_alone, factor=who.factor),
            _moved(who, one, design, factor=trauma, functions=[]),
        ]
        held = {**one, **{name: np.zeros_like(one[name]) for name in {"v"} & one.keys()}}
        origin = _linear(held, design, who, monkeypatch)
        everything = _moved(who, one, design, factor=trauma, functions=[0, 1, 2])
        predictors = [
            met,
            *(met + _linear(held, design, part, monkeypatch) - origin for part in parts),
            _linear(one, design, everything, monkeypatch),
        ]
        total.append([_mean_of(family, one, design, mu) for mu in predictors])
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


def _mean_of(family: str, theta: Theta, design: Design, mu: Array) -> Array:
    """Return the expected outcome given predictors, of a count per unit of exposure, by its definition."""
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
    none = (size / (size + np.exp(mu[1]) * np.asarray(design.outcome_exposure))) ** size
    return expit(mu[0]) * np.exp(mu[1]) / (1 - none)


@pytest.mark.parametrize("count", [1, 3])
def test_regions_may_come_first(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions regressed on activation by the covariance that forward simulation has."""
    built, theta = made()
    one, design = plain(theta), built.design
    networks = design.coords[n.NETWORK][:count]
    paths = [["trauma", f"{w}_activation", "emotion_regulation", "severity"] for w in networks]
    found = pathways(theta, *respelt(built, [*paths, EMOTION]))
    ways = np.array([t.ways[0, :, 0] for t in found])
    forward = pathways(theta, *respelt(built, [EMOTION]))[0].ways[0, :, 0]
    np.testing.assert_allclose(ways[:, 1:], np.tile(forward[1:], (count + 1, 1)), atol=1e-10)
    # what goes through emotion regulation is the same, part of it behind activation
    assert ways[:, 0].sum() == pytest.approx(forward[0], abs=1e-10)
    by_hand = _regressed(one, design, count, monkeypatch)
    np.testing.assert_allclose(ways[:count, 0], by_hand, atol=1e-8)
    assert np.abs(by_hand).max() > 1e-4


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


def test_people_of_a_disorder_have_its_slopes() -> None:
    built, theta = made(EMOTION, outcome_from={})
    one, design = plain(theta), built.design
    found = pathways(theta, design, built.spec)
    emotion, trauma = 0, design.coords[n.FACTOR].index("trauma")
    c = design.diagnosis
    slope = one["B"][emotion, trauma] + c @ one["B_disorder"][emotion, trauma]
    slope = slope + design.burden * one["B_burden"][emotion, trauma]
    onto = one["w"][emotion] + c @ one["w_disorder"][emotion] + design.burden * one["w_burden"][emotion]
    who = [design.outcome_seen, *(design.outcome_seen & (k > 0) for k in c.T)]
    expected = [(slope * onto)[w].mean() for w in who if w.any()]
    np.testing.assert_allclose(found[0].ways[0, 0], expected, atol=1e-12)
    told = rows(Summary(0.9, 0.2, chains=1), found, theta, design, min_cell=1)
    assert [r["disorder"] for r in told["pathways_by_disorder"]] == design.coords[n.DISORDER]
    assert [r["way"] for r in told["pathways"]] == ["total", "direct", "indirect"]
    assert [r["pathway"] for r in told["pathways"]] == [*["trauma -> severity"] * 2, " -> ".join(EMOTION)]
    np.testing.assert_allclose([r["mean"] for r in told["pathways"]], found[0].ways[0, [2, 1, 0], 0])
    assert told["pathways"][0]["scale"] == "sd of the outcome"
    assert [r["correlation"] for r in told["pathways_by_correlation"]] == list(CORRELATIONS)
    assert told["pathways_by_correlation"][5]["mean"] == pytest.approx(expected[0])
    same, theta = made(EMOTION, outcome_from={}, disorder={"levels": True})
    found = pathways(theta, same.design, same.spec)
    told = rows(Summary(0.9, 0.2, chains=1), found, theta, same.design, min_cell=1)
    assert told["pathways_by_disorder"] == []


def test_of_too_few_people_there_is_no_number() -> None:
    """Few are those who have the outcome, of whom such an average could be one person's slopes."""
    built, theta = made(EMOTION, outcome_from={})
    counts = (built.design.diagnosis[built.design.outcome_seen] > 0).sum(axis=0)
    everybody = int(built.design.outcome_seen.sum())
    smallest = int(counts.min()) + 1
    found = pathways(theta, built.design, built.spec)
    told = rows(Summary(0.9, 0.2, chains=1), found, theta, built.design, min_cell=smallest)
    few = {r["disorder"]: r.get("few", False) for r in told["pathways_by_disorder"]}
    expected = [bool(c < smallest or 0 < everybody - c < smallest) for c in counts]
    assert list(few.values()) == expected
    assert any(expected)
    assert not all(expected)
    marked = [r for r in told["pathways_by_disorder"] if r.get("few")]
    assert all(set(r) == {"pathway", "disorder", "few"} for r in marked)


def test_loadings_by_disorder_count_where_activation_does() -> None:
    terms = {"disorder": {"levels": True, "loadings": True}}
    for activation, groups in ((False, 1), (True, 6)):
        built, theta = made(EMOTION, outcome_from={"activation": activation}, **terms)
        assert pathways(theta, built.design, built.spec)[0].ways.shape[2] == groups


def test_many_draws_are_those_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws are taken some at a time; the last are fewer."""
    built, _ = made(EMOTION, family=n.BERNOULLI)
    theta = draw(built.parameters, built.design.coords, np.random.default_rng(2), 5)
    monkeypatch.setattr(module, "_AT_ONCE", 3 * 30 * 21)
    (whole,) = pathways(theta, built.design, built.spec)
    assert whole.by_correlation is not None
    for s in (0, 4):
        (one,) = pathways({k: v[s : s + 1] for k, v in theta.items()}, built.design, built.spec)
        np.testing.assert_allclose(whole.ways[s], one.ways[0], rtol=1e-10)
        np.testing.assert_allclose(whole.by_correlation[s : s + 1], one.by_correlation, rtol=1e-10)


def test_pathways_change_no_posterior() -> None:
    with_them, _ = made(EMOTION)
    without, _ = made()
    assert fingerprint(with_them, with_them.spec) == fingerprint(without, without.spec)
    assert pathways({}, without.design, without.spec) == []
