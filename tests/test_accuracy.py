"""The check of the sampler's integral: it sees steep items, and only what differs between draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from cohort import isas, make_cohort

from designs import small_spec
from nssi_bayes.blocks import generate, joint, marginal
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build_design
from nssi_bayes.check.gate import judge_integral
from nssi_bayes.fit import sample as sampling
from nssi_bayes.fit.accuracy import LARGEST_ERROR, errors
from nssi_bayes.fit.chains import Chain
from nssi_bayes.spec import Sampler

THREE = {
    "regulation": ["affect_regulation", "anti_dissociation", "marking_distress"],
    "punishment": ["self_punishment"],
    "influence": ["interpersonal_influence", "interpersonal_boundaries", "autonomy"],
}
TWO = {k: THREE[k] for k in ("regulation", "punishment")}

type Array = np.ndarray[Any, Any]


def _made(functions: dict[str, list[str]], loading: float, draws: int = 60) -> tuple[Built, dict[str, Array]]:
    """Return a model of data with such loadings, and draws near their truth."""
    rng = np.random.default_rng(4)
    cohort = make_cohort(rng, 80, subscales=isas(), reliability={"trauma": 0.9})
    spec = small_spec(functions=functions)
    built = build_design(spec, make_design(cohort, spec))
    theta = draw(built.parameters, built.design.coords, rng, draws)
    first = {name: np.repeat(value[:1], draws, axis=0) for name, value in theta.items()}
    first["lambda"] = loading * np.exp(0.05 * rng.standard_normal(theta["lambda"].shape))
    one = {name: value[0] for name, value in first.items()}
    return build_design(spec, generate.generate(one, built.design, rng)), first


@pytest.mark.parametrize("functions", [THREE, TWO])
def test_steep_items_are_seen_and_others_are_not(functions: dict[str, list[str]]) -> None:
    (plain,), (steep,) = (
        judge_integral(errors(theta, built))
        for built, theta in (_made(functions, 1.5), _made(functions, 12.0))
    )
    assert plain.name == "integral"
    assert plain.passed is True
    assert plain.value is not None
    assert plain.value < 0.02
    assert steep.passed is False
    assert "route: explicit" in steep.text


def test_an_error_is_the_sampler_less_a_finer_rule() -> None:
    """Against the same integrals with nodes of their own, draw by draw."""
    built, theta = _made(THREE, 5.0, draws=10)
    found = errors(theta, built)
    assert found is not None
    assert len(found) == 10
    coarse, fine = (
        marginal.evaluate(theta, built.design, include=joint.BLOCKS, grid=grid).log_integral.sum(axis=1)
        for grid in (marginal.grid_settings(3), marginal.grid_settings(3, fine=True))
    )
    np.testing.assert_allclose(found, coarse - fine, atol=1e-6)
    assert np.abs(found).max() > 0.01


def test_an_error_that_is_the_same_everywhere_is_none() -> None:
    (found,) = judge_integral(np.full(50, -3.0))
    assert found.passed is True
    (found,) = judge_integral(np.linspace(-1, 1, 50))
    assert found.passed is False
    assert found.limit == LARGEST_ERROR


def test_finer_nodes_are_nearer() -> None:
    built, theta = _made(THREE, 3.0, draws=10)
    coarse, fine = errors(theta, built), errors(theta, replace(built, fine=True))
    assert coarse is not None
    assert fine is not None
    assert fine.std() < 0.5 * coarse.std()


def test_a_fit_of_steep_items_is_run_once_more_with_finer_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where the draws are to be believed, and only once."""
    runs: list[bool] = []

    @contextmanager
    def chains(built: Built, _: Sampler) -> Iterator[Any]:
        def run(sampler: Sampler, seeds: Any) -> list[Chain]:
            runs.append(built.fine)
            named = {k: v @ np.swapaxes(v, 1, 2) if k == "Omega" else v for k, v in theta.items()}
            statistics = xr.Dataset({"diverging": (("chain", "draw"), np.zeros((1, sampler.draws), bool))})
            return [Chain(named, statistics, np.zeros(0)) for _ in seeds]

        yield run

    monkeypatch.setattr(sampling, "open_chains", chains)
    sampler = Sampler(chains=4, tune=100, draws=1000)
    built, theta = _made(THREE, 12.0, draws=1000)
    drawn = sampling.sample(built, sampler, np.random.SeedSequence(1))
    assert drawn.fine
    assert drawn.rerun
    assert runs[:2] == [False, True]
    runs.clear()
    assert not sampling.sample(built, Sampler(chains=2, tune=100, draws=1000), np.random.SeedSequence(1)).fine
    assert runs == [False]


def test_where_functions_are_sampled_there_is_no_integral_to_judge() -> None:
    built, theta = _made(TWO, 1.5, draws=5)
    explicit = build_design(built.spec.model_copy(update={"route": "explicit"}), built.design)
    assert errors(theta, explicit) is None
    assert judge_integral(None) == []
