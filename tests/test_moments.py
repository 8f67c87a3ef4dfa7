"""Draws moved to where they would be without one person, against what is known exactly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from cohort import add_scores
from scipy import stats
from scipy.special import logsumexp

from artefacts import make_params
from designs import small_cohort, small_spec
from nssi_bayes import crossvalidate
from nssi_bayes import names as n
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.labelled import label, theta_of
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build, build_design
from nssi_bayes.check import scores
from nssi_bayes.crossvalidate.matched import Matched, matched
from nssi_bayes.crossvalidate.moments import Draws, move
from nssi_bayes.crossvalidate.refit import held_out
from nssi_bayes.fit.chains import typical_coordinates
from nssi_bayes.fit.density import compile_density, likelihood_of, unconstrained
from nssi_bayes.fit.sample import sample
from nssi_bayes.spec import Sampler
from nssi_bayes.store import Layout

type Array = np.ndarray[Any, Any]


@pytest.mark.parametrize("size", [2, 60])
def test_an_influential_person_of_a_conjugate_model_is_scored_exactly(size: int) -> None:
    """Regression of known variance: y ~ N(Xb, 1), b ~ N(0, I); one person has leverage and lies far off."""
    rng = np.random.default_rng(size)
    x = rng.standard_normal((80, size)) / np.sqrt(size)
    x[0] = 4 * rng.standard_normal(size) / np.sqrt(size)
    y = x @ rng.standard_normal(size) + rng.standard_normal(80)
    y[0] += 5
    precision = np.eye(size) + x.T @ x
    centre, root = np.linalg.solve(precision, x.T @ y), np.linalg.cholesky(np.linalg.inv(precision))

    def log_density(z: Array) -> Array:
        return -0.5 * (z**2).sum(axis=1)

    def log_likelihood(z: Array) -> Array:
        return stats.norm.logpdf(y[0], (centre + z @ root.T) @ x[0], 1)

    def slope(z: Array) -> Array:
        return (y[0] - (centre + root @ z) @ x[0]) * (root.T @ x[0])

    z = rng.standard_normal((2000, size))
    others = np.eye(size) + x[1:].T @ x[1:]
    mean, variance = np.linalg.solve(others, x[1:].T @ y[1:]), np.linalg.inv(others)
    truth = stats.norm.logpdf(y[0], x[0] @ mean, np.sqrt(1 + x[0] @ variance @ x[0]))
    weight, before = array_stats.psislw(log_likelihood(z))
    by_psis = logsumexp(weight - logsumexp(weight) + log_likelihood(z))
    moved = move(Draws(z, log_density(z), log_density), log_likelihood, slope, limit=0.5)
    found = logsumexp(moved.log_weight + log_likelihood(moved.position))
    assert before > 0.7
    assert moved.k_hat < 0.5
    assert abs(found - truth) < 0.15 < abs(by_psis - truth)


def _influenced() -> Built:
    """A small model in which the outcomes of two people lie far from what the model expects."""
    spec = small_spec(outcome="severity")
    design = build(spec, small_cohort(60)).design
    rng = np.random.default_rng(3)
    theta = {k: v[0] for k, v in draw(build_design(spec, design).parameters, design.coords, rng, 1).items()}
    theta["lambda"] = np.full_like(theta["lambda"], 1.5)
    made = generate(theta, design, rng)
    made.outcome[[5, 21]] = (
        made.outcome[made.outcome_seen].mean() + np.array([5.0, -6.0]) * made.outcome.std()
    )
    return build_design(spec, made)


@pytest.fixture(scope="module")
def built() -> Built:
    """A small model with two influential people."""
    return _influenced()


def test_draws_find_their_way_back_to_the_vector(built: Built) -> None:
    density, rng = compile_density(built), np.random.default_rng(1)
    x = density.start + 0.7 * rng.standard_normal((5, density.size))
    values = density.constrain(x)
    correlated = [p.name for p in built.parameters if p.family == "lkj"]
    theta = values | {name: np.linalg.cholesky(values[name]) for name in correlated}
    np.testing.assert_allclose(unconstrained(built, theta), x, atol=1e-10)
    coordinates = typical_coordinates(built)
    y = rng.standard_normal((5, density.size))
    np.testing.assert_allclose(coordinates.of_x(coordinates.to_x(y)), y, atol=1e-9)
    alone = likelihood_of(built, np.array([5]))
    step, at = 1e-5 * rng.standard_normal(density.size), coordinates.to_x(y[:1])[0]
    gain = alone(at + step)[0] - alone(at - step)[0]
    assert gain == pytest.approx(2 * alone(at)[1] @ step, rel=1e-3)
    below, above = (coordinates.to_x((y[0] + s * step)[None])[0] for s in (-1, 1))
    slope = coordinates.slope(alone, y[0])
    assert alone(above)[0] - alone(below)[0] == pytest.approx(2 * slope @ step, rel=1e-3)


def test_scores_by_moved_draws_are_kept_and_only_those_that_are_believed_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fake(_: Any, __: Any, people: Array) -> Iterator[Matched]:
        asked.append(people.tolist())
        for person in people:
            yield Matched({"items": -1.5, "total": -float(person)}, 0.02, 0.9 if person == 2 else 0.3, 0.7)

    tree = xr.DataTree.from_dict({"posterior": xr.Dataset()})
    tree.attrs["fit"] = "of this posterior"
    monkeypatch.setattr(crossvalidate, "read_tree", lambda _: tree)
    monkeypatch.setattr("nssi_bayes.crossvalidate.matched.matched", fake)
    nodes = SimpleNamespace(fine=False)
    monkeypatch.setattr(crossvalidate._Work, "built", lambda *_: nodes)
    k_hat = np.array([0.1, 1.2, 1.5, 0.3, 0.9, np.nan])
    loo = xr.Dataset({n.K_HAT: (n.PARTICIPANT, k_hat)}, attrs={"draws": 4000})
    model = crossvalidate._Model("q/one", small_spec(), loo, {})
    work = crossvalidate._Work(Layout(tmp_path), make_params(), xr.Dataset())
    found = dict(work.moved(model))
    assert asked == [[1, 2, 4, 5]]
    assert found == {p: ({"items": -1.5, "total": -float(p)}, 0.3) for p in (1, 4, 5)}
    assert dict(work.moved(model)) == found
    assert len(asked) == 1
    tree.attrs["fit"] = "of another posterior"
    dict(work.moved(model))
    assert len(asked) == 2
    nodes.fine = True  # the draws are the same, what they are moved by is not
    dict(work.moved(model))
    assert len(asked) == 3


def test_draws_are_moved_only_where_a_person_has_a_likelihood_alone() -> None:
    """Where functions are sampled the vector is longer than its parameters; a ladder may enter by sums."""
    loo = xr.Dataset({n.K_HAT: (n.PARTICIPANT, np.where(np.arange(60) < 5, 1.2, 0.3))}, attrs={"draws": 4000})
    cohort, factors = small_cohort(60), {"factors": []}
    counted = cohort.assign_coords({n.OUTCOME_FAMILY: (n.OUTCOME, [n.HURDLE])})
    counted[n.OUTCOME_VALUE] = counted[n.OUTCOME_VALUE].round().clip(min=0)
    scored = add_scores(cohort, ["s1", "s2", "s3"], np.random.default_rng(0).standard_normal((60, 3)))
    rungs = {"disorder": {}, "groups": {"by": "site", "invariance": "metric"}, **factors}
    cases = [
        (small_spec(**factors), cohort, True),
        (small_spec(outcome="severity", **factors), counted, False),
        (small_spec(functions={"f": ["s1", "s2", "s3"]}, **rungs), scored, False),
        (small_spec(functions={"f": ["s1", "s2", "s3"]}, **factors), scored, True),
        (small_spec(**rungs), cohort, True),
    ]
    for spec, data, moved in cases:
        model = crossvalidate._Model("q/one", spec, loo, {})
        work: Any = SimpleNamespace(
            cohort=data, moved=lambda _: [(0, ({}, 0.4))], built=lambda m, data=data: build(m.spec, data)
        )
        assert crossvalidate._moved(work, model) == ({0: ({}, 0.4)} if moved else {})
        if moved:
            value, slope = likelihood_of(one := build(spec, data), np.array([0]))(compile_density(one).start)
            assert np.isfinite([value, *slope]).all()


@pytest.mark.slow
def test_moved_draws_score_influential_people_as_fits_without_them(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    blocks = joint.blocks_of(built.design)
    drawn = sample(built, Sampler(chains=4, tune=150, draws=500), np.random.SeedSequence(1))
    posterior = label(drawn.values, built.parameters, built.design)
    theta = theta_of(posterior, built.parameters)
    before = scores.leave_one_out(scores.evaluate(theta, built.design)[0], blocks, chains=4)
    people = np.argsort(-before.k_hat)[:2]
    after = list(matched(built, posterior, people))
    seeds = [np.random.SeedSequence(s) for s in (5, 6)]
    sampler = Sampler(chains=4, tune=150, draws=1000)
    for held in held_out(built, [np.array([p]) for p in people], sampler, seeds):
        one, person = after[held.index], people[held.index]
        values = held.of_group
        error = np.std(np.exp(values - values.max())) / np.exp(values - values.max()).mean() / np.sqrt(1000)
        exact = held.elpd(blocks)
        assert one.k_hat < before.k_hat[person]
        assert one.believed
        assert abs(one.elpd[scores.TOTAL] - exact[scores.TOTAL][0]) < 3 * np.hypot(one.mcse, error)
        assert sum(one.elpd[b] for b in blocks) == pytest.approx(one.elpd[scores.TOTAL], abs=1e-8)
