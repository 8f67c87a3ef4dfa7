"""Fits without some people of models whose shape depends on who is there, and who must not be left out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from cohort import add_scores

from artefacts import make_params
from designs import full_cohort, joint_spec, small_cohort, small_spec
from nssi_bayes import crossvalidate
from nssi_bayes import names as n
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.build import Built, build
from nssi_bayes.check import scores
from nssi_bayes.crossvalidate.folds import by_disorder
from nssi_bayes.crossvalidate.refit import Held, held_out, largest_rhat, of_others
from nssi_bayes.errors import DataError
from nssi_bayes.fit.bridge import Marginal
from nssi_bayes.fit.density import compile_density
from nssi_bayes.fit.unconstrained import Unconstrained
from nssi_bayes.spec import Sampler
from nssi_bayes.store import Layout

type Array = np.ndarray[Any, Any]
SAMPLER = Sampler(chains=2, tune=100, draws=100)


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)


def _without(built: Any, out: Array) -> Held:
    (held,) = held_out(built, [out], SAMPLER, [np.random.SeedSequence(5)])
    return held


def test_a_model_whose_functions_are_sampled_is_fitted_without_some_people() -> None:
    """There is a coordinate for each person's functions; scores are those of the other route."""
    out, cohort = np.array([3, 4]), small_cohort(30)
    found = {}
    for route in ("explicit", "marginal"):
        built = build(small_spec(factors=[], route=route), cohort)
        assert built.explicit == (route == "explicit")
        found[route] = _without(built, out).elpd(joint.blocks_of(built.design))[scores.TOTAL]
    np.testing.assert_allclose(found["explicit"], found["marginal"], atol=0.5)


def test_a_ladder_of_continuous_indicators_is_fitted_without_some_people() -> None:
    """Draws are not moved there (`tests/test_moments.py`): whoever is over the limit is left out for real."""
    rng = np.random.default_rng(0)
    scored = add_scores(small_cohort(45), ["s1", "s2", "s3"], rng.standard_normal((45, 3)))
    rung = {"functions": {"f": ["s1", "s2", "s3"]}, "groups": {"by": "site", "invariance": "metric"}}
    built = build(small_spec(**rung, disorder={}, factors=[]), scored)
    elpd = _without(built, np.array([0, 7])).elpd(joint.blocks_of(built.design))
    assert np.isfinite(elpd[scores.TOTAL]).all()


def _comorbid(cohort: xr.Dataset) -> xr.Dataset:
    """Return two disorders: all pairs of diagnoses are of these, one person has none."""
    cohort = cohort.isel({n.DISORDER: slice(2)}).copy(deep=True)
    has = np.eye(2, dtype=int)[np.arange(cohort.sizes[n.PARTICIPANT]) % 2]
    has[:8], has[8] = 1, 0
    cohort[n.DIAGNOSIS][:] = has
    return cohort


@pytest.mark.parametrize(("lost", "kind"), [("level_burden", "disorder"), ("level_none", "person")])
def test_an_effect_that_nobody_else_has_is_left_to_its_prior(lost: str, kind: str) -> None:
    cohort = _comorbid(small_cohort(40))
    out = next(iter(by_disorder(cohort).values())) if kind == "disorder" else np.array([8])
    built = build(small_spec(factors=[]), cohort)
    assert not getattr(of_others(built, out).design, lost.removeprefix("level_")).any()
    held = _without(built, out)
    blocks = joint.blocks_of(built.design)
    elpd = held.elpd(blocks)
    assert held.max_rhat < 1.3
    assert np.isfinite(elpd[scores.TOTAL]).all()
    np.testing.assert_allclose(sum(elpd[b] for b in blocks), elpd[scores.TOTAL], atol=1e-8)


@pytest.mark.parametrize("left", ["burden", "none", "scanned"])
def test_the_model_of_others_has_the_parameters_of_everybody(left: str) -> None:
    """Of images, too: where no data speak of a parameter the slope of its prior alone is left."""
    cohort = full_cohort(40)
    built = build(joint_spec(disorder={"levels": True, "loadings": True}), cohort)
    has = built.design.scanned if left == "scanned" else np.flatnonzero(getattr(built.design, left))
    names = {
        "burden": ("level_burden", "m_burden", "m_edge_burden"),
        "none": ("level_none", "m_none", "m_edge_none"),
        "scanned": ("mu", "L_network"),
    }[left]  # fmt: skip
    others = of_others(built, has)
    assert [p.name for p in others.parameters] == [p.name for p in built.parameters]
    whole, part = (compile_density(one) for one in (built, others))
    assert whole.size == part.size
    value, gradient = part.value_and_gradient(part.start)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    before = compile_density(of_others(built, np.union1d(has, [0, 1, 2]))).value_and_gradient(part.start)[1]
    where = np.concatenate([_places(built, name) for name in names])
    np.testing.assert_allclose(gradient[where], before[where], atol=1e-9)
    assert np.abs(gradient - before).max() > 0.1


def _places(built: Any, name: str) -> Array:
    slots = Slots({p.name: p.shape(built.design.coords) for p in built.parameters})
    return np.array(Unconstrained(built.parameters, slots).positions(name))


def test_the_model_of_everybody_is_made_once_with_the_nodes_of_its_posterior(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept of a marginal likelihood is found again only under the same nodes."""
    layout, read, asked = Layout(tmp_path), [], []

    def root(path: Path) -> xr.Dataset:
        read.append(path)
        return xr.Dataset(attrs={"fine": int("fine" in path.parts)})

    def marginal(built: Built, *_: Any) -> Marginal:
        asked.append(built.fine)
        return Marginal(-100.0, 0.1, 1.001, 0)

    monkeypatch.setattr(crossvalidate, "read_dataset", root)
    monkeypatch.setattr("nssi_bayes.fit.bridge.log_marginal", marginal)
    work = crossvalidate._Work(layout, make_params(), small_cohort(40))
    prints = {"fingerprint": "f", "points": [1.0]}  # the same of both
    for entry in ("q/coarse", "q/fine"):
        model = crossvalidate._Model(entry, small_spec(), xr.Dataset(), prints)
        first = work.evidence(model)
        assert work.evidence(model) == first
        assert work.built(model) is work.built(model)
    assert asked == [False] * 3 + [True] * 3
    assert read == [layout.posterior("q/coarse"), layout.posterior("q/fine")]


def test_what_is_no_number_has_no_largest_rhat() -> None:
    rng = np.random.default_rng(0)
    good, still = rng.standard_normal((2, 100, 3)), np.ones((2, 100))
    assert largest_rhat([good, still]) < 1.1
    broken = good.copy()
    broken[1, 7, 2] = np.nan
    assert np.isnan(largest_rhat([good, still, broken]))


def test_a_group_of_everybody_is_refused_or_skipped_with_a_reason(tmp_path: Path) -> None:
    built = build(small_spec(factors=[]), small_cohort(20))
    with pytest.raises(DataError, match="nobody is left"):
        _without(built, np.arange(20))
    for smallest, least in ((0, 1), (11, 11)):
        params = make_params().model_copy(update={"min_cell": smallest})
        work = crossvalidate._Work(Layout(tmp_path), params, small_cohort(20))
        assert work.unfit([built.design], np.arange(20)) == f"fewer than {least} people are left"
        assert work.unfit([built.design], np.arange(0)) == f"fewer than {least} people"


def test_groups_that_share_people_are_written_down_as_such() -> None:
    cohort = small_cohort(60)
    params = make_params(cross_validation={"leave": ("site", "disorder")})
    model = crossvalidate._Model("q/one", small_spec(), xr.Dataset(), {})
    work: Any = SimpleNamespace(
        params=params, cohort=cohort, built=lambda _: SimpleNamespace(design=None), unfit=lambda *_: "",
        foreseen=lambda _, groups: [{"log_predictive": -1.0} for _ in groups],
    )  # fmt: skip
    assert crossvalidate._groups(work, [model])["overlapping"] == ["disorder"]
    work.cohort = cohort.isel({n.DISORDER: [0]})
    assert crossvalidate._groups(work, [model])["overlapping"] == []
