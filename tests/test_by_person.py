"""Everybody a few people at a time: the same numbers as of all of them at once."""

from typing import Any

import numpy as np
import pytest
from arviz_stats.base import array_stats

from designs import full_cohort, joint_spec
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.marginal import of_functions
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build_design
from nssi_bayes.check import by_person as room
from nssi_bayes.check import scores
from nssi_bayes.check.by_person import pointwise
from nssi_bayes.check.levels import averages, weights_of
from nssi_bayes.sensitivity import _everybody

type Array = np.ndarray[Any, Any]

SAMPLES, CHAINS = 40, 4
KEEP = np.array([0, 7, 39])


@pytest.fixture(scope="module")
def made() -> tuple[Built, dict[str, Array]]:
    """Everything a model may have, and draws that lie about as far apart as those of a posterior."""
    cohort, spec = full_cohort(50), joint_spec(outcome="severity")
    design = make_design(cohort, spec)
    rng = np.random.default_rng(1)
    drawn = draw(build_design(spec, design).parameters, design.coords, rng, SAMPLES)
    theta = {name: np.repeat(value[:1], SAMPLES, axis=0) for name, value in drawn.items()}
    theta["lambda"] = 1.5 + 0.1 * rng.standard_normal(theta["lambda"].shape)
    theta["B"] = theta["B"] + 0.1 * rng.standard_normal(theta["B"].shape)
    data = generate({name: value[0] for name, value in theta.items()}, design, rng)
    return build_design(spec, data), theta


def _whole(built: Built, theta: dict[str, Array]) -> dict[str, Any]:
    """State what is wanted from arrays of all people."""
    sets, moments = scores.evaluate(theta, built.design)
    moments = of_functions(moments, built.design)
    blocks = joint.blocks_of(built.design)
    weight, _ = scores.leave_out(sets[tuple(blocks)], chains=CHAINS)
    within = np.diagonal(moments.covariance, axis1=2, axis2=3)
    by_chain = moments.mean.reshape(CHAINS, -1, moments.mean[0].size)
    return {
        "totals": {s: v.sum(axis=1) for s, v in sets.items()},
        "scores": scores.leave_one_out(sets, blocks, chains=CHAINS),
        "averages": averages(moments, weights_of(built.design)),
        "spread": moments.mean.var(axis=1) + within.mean(axis=1),
        "mean": moments.mean.mean(axis=0),
        "sd": np.sqrt(within.mean(axis=0) + moments.mean.var(axis=0)),
        "rhat": array_stats.rhat(np.moveaxis(by_chain, -1, 0)),
        "log_likelihood": {s: v[KEEP] for s, v in sets.items()},
        "log_weight": weight[:, KEEP],
    }


@pytest.mark.parametrize("at_once", [10**9, 9000, 700])
def test_parts_are_the_whole(
    made: tuple[Built, dict[str, Array]], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, theta = made
    monkeypatch.setattr(room, "_AT_ONCE", at_once)
    sizes = [len(people) for people, *_ in room.in_parts(theta, built.design)]
    assert sum(sizes) == 50
    assert (len(sizes) == 1) is (at_once == 10**9)
    expected = _whole(built, theta)
    found = pointwise(theta, built.design, chains=CHAINS, keep=KEEP, weigh=KEEP[:2])
    for name in ("spread", "mean", "sd", "rhat"):
        np.testing.assert_allclose(getattr(found, name), expected[name], rtol=1e-9, err_msg=name)
    for name in found.averages._fields:
        mine, whole = getattr(found.averages, name), getattr(expected["averages"], name)
        np.testing.assert_allclose(mine, whole, rtol=1e-9, atol=1e-12, err_msg=name)
    for s, total in expected["totals"].items():
        np.testing.assert_allclose(found.totals[s], total, rtol=1e-11)
        np.testing.assert_allclose(found.kept.log_likelihood[s], expected["log_likelihood"][s], rtol=1e-11)
    np.testing.assert_allclose(found.kept.log_weight, expected["log_weight"], rtol=1e-9)
    np.testing.assert_allclose(found.log_weight, expected["log_weight"][:, :2], rtol=1e-9)
    assert found.scores.p_loo == pytest.approx(expected["scores"].p_loo, rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(found.scores.k_hat, expected["scores"].k_hat, rtol=1e-6)
    for block, elpd in expected["scores"].elpd.items():
        np.testing.assert_allclose(found.scores.elpd[block], elpd, rtol=1e-9, atol=1e-11, err_msg=block)
    np.testing.assert_array_equal(found.total, found.totals[tuple(joint.blocks_of(built.design))])


def test_sensitivity_sees_everybody(
    made: tuple[Built, dict[str, Array]], monkeypatch: pytest.MonkeyPatch
) -> None:
    built, theta = made
    found = []
    for at_once in (10**9, 700):
        monkeypatch.setattr(room, "_AT_ONCE", at_once)
        found.append(_everybody(theta, built, np.random.default_rng(2)))
        found.append(_everybody(theta, built, np.random.default_rng(2), last=True))
    (totals, met), *others = found
    everything = tuple(joint.blocks_of(built.design))
    for other, same in others:
        assert met is not None
        assert same is not None
        np.testing.assert_allclose(same.contrast, met.contrast, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(other[everything], totals[everything], rtol=1e-11)
    assert set(others[1][0]) == set(totals)
    assert set(others[0][0]) == {everything}
