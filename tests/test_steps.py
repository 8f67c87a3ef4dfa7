"""Large groups are foreseen in steps: a conjugate model, and a joint one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from artefacts import make_params
from designs import small_cohort, small_spec
from nssi_bayes import crossvalidate
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.labelled import label, theta_of
from nssi_bayes.build import build
from nssi_bayes.crossvalidate.kept import Kept
from nssi_bayes.crossvalidate.refit import Held, held_out, sets_of
from nssi_bayes.crossvalidate.steps import MOST, SMALL, foreseen
from nssi_bayes.fit.bridge import log_ratio
from nssi_bayes.fit.sample import sample
from nssi_bayes.spec import Sampler
from nssi_bayes.store import Layout

type Array = np.ndarray[Any, Any]
SHAPE = (4, 500)


class _Conjugate:
    """y_i ~ N(x_i'b, 1), b ~ N(0, I): posteriors, and the density of a group, in closed form."""

    def __init__(self, people: int, size: int) -> None:
        self.rng = np.random.default_rng(people + size)
        self.x = self.rng.standard_normal((people, size))
        self.y = self.x @ self.rng.standard_normal(size) + 1.5 * self.rng.standard_normal(people)
        self.fits: list[int] = []

    def values(self, seen: Array, scored: Array) -> Array:
        x, y = self.x[seen], self.y[seen]
        covariance = np.linalg.inv(np.eye(x.shape[1]) + x.T @ x)
        b = self.rng.multivariate_normal(covariance @ x.T @ y, covariance, SHAPE)
        return stats.norm.logpdf(self.y[scored], b @ self.x[scored].T, 1)

    def held(self, out: Sequence[Array], among: Sequence[Array] | None) -> list[Any]:
        everybody, found = np.arange(len(self.y)), []
        for i, group in enumerate(out):
            self.fits.append(len(group))
            scored = group if among is None else among[i]
            values = self.values(np.setdiff1d(everybody, group), scored)
            found.append(Held(i, {("total",): values.reshape(-1, len(scored))}, SHAPE[0], 0, 1.0))
        return found

    def truth(self, group: Array) -> float:
        rest = np.setdiff1d(np.arange(len(self.y)), group)
        x, y, g = self.x[rest], self.y[rest], self.x[group]
        covariance = np.linalg.inv(np.eye(x.shape[1]) + x.T @ x)
        wide = np.eye(len(group)) + g @ covariance @ g.T
        return float(stats.multivariate_normal.logpdf(self.y[group], g @ covariance @ x.T @ y, wide))


def _foreseen(
    model: _Conjugate, groups: list[Array], monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, Any]]:
    monkeypatch.setattr(Held, "elpd", property(lambda _: {"total": np.zeros(1)}))
    order = [np.random.default_rng(1).permutation(len(g)) for g in groups]
    whole = [model.values(np.arange(len(model.y)), g) for g in groups]
    return foreseen(groups, order, whole, model.held)


def test_a_large_group_is_foreseen_in_steps_and_a_small_one_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _Conjugate(90, 30)
    groups = [np.arange(0, 90, 2), np.array([3, 40])]
    at_once = log_ratio(
        model.values(np.arange(1, 90, 2), groups[0]).sum(axis=2),
        model.values(np.arange(90), groups[0]).sum(axis=2),
    )
    assert at_once[1] > 1
    large, small = _foreseen(model, groups, monkeypatch)
    assert small["steps"] == 1
    assert 2 <= large["steps"] <= MOST
    assert large["mcse"] < at_once[1] / 2
    assert large["mcse"] < SMALL
    for row, group in zip((large, small), groups, strict=True):
        assert abs(row["log_predictive"] - model.truth(group)) < 3 * row["mcse"]
    assert len(model.fits) == 2 + large["steps"] - 1  # one fit for each step beyond the first


def test_notes_that_know_a_group_by_its_sum_alone_are_used_where_one_step_is_enough() -> None:
    model = _Conjugate(90, 30)
    groups = [np.arange(0, 90, 2), np.array([3, 40])]
    order = [np.arange(len(g)) for g in groups]
    whole = [model.values(np.arange(90), g) for g in groups]

    def held(out: Sequence[Array], among: Sequence[Array] | None) -> list[Any]:
        found = model.held(out, among)
        old = among is None
        return [
            SimpleNamespace(
                of_group=one.of_group, by_person=None if old else one.by_person, max_rhat=1.0, divergences=0,
                elpd={"total": np.zeros(1)},
            )
            for one in found
        ]  # fmt: skip

    large, small = foreseen(groups, order, whole, held)
    assert small["steps"] == 1
    assert abs(large["log_predictive"] - model.truth(groups[0])) < 3 * large["mcse"]
    # both notes, the large group once more by person, and one fit for each step beyond the first
    assert len(model.fits) == 2 + 1 + large["steps"] - 1


def test_fits_between_are_kept_and_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _Conjugate(90, 30)
    group = np.arange(0, 90, 2)
    seen = model.values(np.arange(90), group)

    def joint_held(_: Any, __: Any, groups: Any, ___: Any, among: Any) -> Any:
        for one in model.held(groups, among):
            elpd = {"total": np.zeros(len(group))} if among is None else {}
            yield Kept(one.index, elpd, one.of_group, one.by_person, 1, 1.0)

    monkeypatch.setattr(crossvalidate._Work, "_joint_held", joint_held)
    monkeypatch.setattr(crossvalidate._Work, "seen", lambda *_: [seen])
    nodes = SimpleNamespace(fine=False)
    monkeypatch.setattr(crossvalidate._Work, "built", lambda *_: nodes)
    prints = {"fingerprint": "f", "points": [1.0]}
    entry = crossvalidate._Model("q/one", small_spec(), xr.Dataset(), prints)
    work = crossvalidate._Work(Layout(tmp_path), make_params(), xr.Dataset())
    (row,) = work.foreseen(entry, [group])
    fits = len(model.fits)
    assert row["steps"] == row["divergences"] == fits > 2
    assert abs(row["log_predictive"] - model.truth(group)) < 3 * row["mcse"] < 3 * SMALL
    assert work.foreseen(entry, [group]) == [row]
    assert len(model.fits) == fits
    nodes.fine = True
    work.foreseen(entry, [group])
    assert len(model.fits) > fits


@pytest.mark.slow
def test_the_error_of_a_joint_model_falls_with_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of 60 people are left out of a small model."""
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    built, sampler = (
        build(small_spec(outcome="severity"), small_cohort(60)),
        Sampler(chains=2, tune=150, draws=500),
    )
    blocks, group = joint.blocks_of(built.design), np.arange(0, 60, 2)
    drawn = sample(built, sampler, np.random.SeedSequence(1))
    theta = theta_of(label(drawn.values, built.parameters, built.design), built.parameters)
    whole = sets_of(theta, built.design, group, last=True)[tuple(blocks)].reshape(2, -1, len(group))
    fits = []

    def held(out: Sequence[Array], among: Sequence[Array] | None) -> list[Any]:
        seeds = [np.random.SeedSequence([7, len(o)]) for o in out]
        found = list(held_out(built, out, sampler, seeds, scored=out if among is None else among))
        fits.extend(found)
        return [
            SimpleNamespace(
                of_group=one.of_group, by_person=one.by_person, max_rhat=1.0, divergences=0,
                elpd={"total": np.zeros(1)},
            )
            for one in sorted(found, key=lambda one: one.index)
        ]  # fmt: skip

    (row,) = foreseen([group], [np.arange(len(group))], [whole], held)
    score, error = log_ratio(fits[0].of_group, whole.sum(axis=2))
    assert row["steps"] > 1
    assert row["mcse"] < 0.7 * error
    assert abs(row["log_predictive"] - score) < 4 * np.hypot(row["mcse"], error)


@pytest.mark.parametrize("apart", [400.0, 700.0])
def test_draws_that_are_far_apart_have_an_error_and_do_not_divide_by_nothing(apart: float) -> None:
    """Shares of 1e-170 are numbers, and their squares are not."""
    rng = np.random.default_rng(3)
    without, everybody = (rng.normal(middle, 1.0, (2, 500)) for middle in (-apart, apart))
    found, error = log_ratio(without, everybody)
    assert np.isfinite(found)
    assert error > 0.5
