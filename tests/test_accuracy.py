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

from brute_force import Person
from designs import small_spec
from nssi_bayes.blocks import generate, joint, marginal
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build_design
from nssi_bayes.check.gate import judge_integral
from nssi_bayes.fit import sample as sampling
from nssi_bayes.fit.accuracy import LARGEST_ERROR, errors
from nssi_bayes.fit.chains import Chain, Opened, open_chains, typical_coordinates
from nssi_bayes.fit.density import compile_density
from nssi_bayes.spec import Sampler

THREE = {
    "regulation": ["affect_regulation", "anti_dissociation", "marking_distress"],
    "punishment": ["self_punishment"],
    "influence": ["interpersonal_influence", "interpersonal_boundaries", "autonomy"],
}
TWO = {k: THREE[k] for k in ("regulation", "punishment")}

type Array = np.ndarray[Any, Any]


def _made(
    functions: dict[str, list[str]], loading: float, draws: int = 60, *, shared: float = 0.0
) -> tuple[Built, dict[str, Array]]:
    """Return a model of data with such loadings, and draws near their truth.

    `shared`: the size of a residual factor of the items of each subscale.
    """
    rng = np.random.default_rng(4)
    cohort = make_cohort(rng, 80, subscales=isas(), reliability={"trauma": 0.9})
    spec = small_spec(functions=functions, measurement={"testlets": "factor" if shared else "sum"})
    built = build_design(spec, make_design(cohort, spec))
    theta = draw(built.parameters, built.design.coords, rng, draws)
    first = {name: np.repeat(value[:1], draws, axis=0) for name, value in theta.items()}
    first["lambda"] = loading * np.exp(0.05 * rng.standard_normal(theta["lambda"].shape))
    if shared:
        first["gamma"] = shared * np.exp(0.1 * rng.standard_normal(theta["gamma"].shape))
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


@pytest.mark.parametrize("functions", [THREE, TWO])
def test_large_residual_factors_are_seen_and_finer_nodes_mend_them(functions: dict[str, list[str]]) -> None:
    built, theta = _made(functions, 1.5, draws=10, shared=2.0)
    found = errors(theta, built)
    assert found is not None
    assert found.std() < 0.02
    built, theta = _made(functions, 1.5, draws=10, shared=6.0)
    coarse, fine = errors(theta, built), errors(theta, replace(built, fine=True))
    assert coarse is not None
    assert fine is not None
    assert coarse.std() > LARGEST_ERROR
    assert fine.std() < 0.4 * coarse.std()
    assert sampling._has_finer(built)
    assert not sampling._has_finer(replace(built, fine=True))


def test_scores_of_items_with_large_residual_factors_are_those_of_a_dense_grid() -> None:
    built, theta = _made(TWO, 1.5, draws=1, shared=4.5)
    one, some = {name: value[0] for name, value in theta.items()}, np.arange(0, 80, 4)
    dense = [Person(one, built.design, int(i), joint.BLOCKS).log_likelihood() for i in some]

    def worst(grid: dict[str, Any]) -> float:
        found = marginal.evaluate(theta, built.design, include=joint.BLOCKS, grid=grid)
        return float(np.abs(found.log_integral[0, some] - dense).max())

    assert worst(marginal.grid_settings(2, fine=True)) < 0.01
    assert worst(marginal.grid_settings(2)) > 0.02


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


class _Chains:
    """Stands in for chains: draws of `here`, a normal approximation of `near`, and what was run."""

    def __init__(self, near: dict[str, Array], here: dict[str, Array]) -> None:
        self.near, self.here, self.runs = _named(near), _named(here), list[bool]()
        self.starts = list[list[float]]()

    def _run(self, sampler: Sampler, seeds: Any, *, fine: bool, start: Any = ()) -> list[Chain]:
        self.runs.append(fine)
        self.starts.append([float(at[0]) for at in start])
        statistics = xr.Dataset({"diverging": (("chain", "draw"), np.zeros((1, sampler.draws), bool))})
        position = np.arange(float(sampler.draws))[:, None]
        return [Chain(self.here, statistics, position + i / 8) for i in range(len(seeds))]

    @contextmanager
    def __call__(self, _: Built, __: Sampler) -> Iterator[Opened]:
        near = {name: value[None] for name, value in self.near.items()}
        yield Opened(self._run, lambda draws, _: {name: value[:, :draws] for name, value in near.items()})


def _named(theta: dict[str, Array]) -> dict[str, Array]:
    return {k: v @ np.swapaxes(v, 1, 2) if k == "Omega" else v for k, v in theta.items()}


LONG = Sampler(chains=4, tune=100, draws=1000)


@pytest.mark.parametrize(
    ("near", "here", "runs", "rerun"),
    [
        pytest.param(12.0, 12.0, [True], False, id="seen before the first run"),
        pytest.param(1.5, 12.0, [False, True], True, id="seen by the draws alone"),
        pytest.param(1.5, 1.5, [False], False, id="not steep"),
    ],
)
def test_a_fit_of_steep_items_has_finer_nodes(
    near: float, here: float, runs: list[bool], *, rerun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    built, drawn = _made(THREE, here, draws=1000)
    chains = _Chains(_made(THREE, near)[1], drawn)
    monkeypatch.setattr(sampling, "open_chains", chains)
    monkeypatch.setattr(sampling, "_mixing", lambda _: (1.0, 4000.0))
    found = sampling.sample(built, LONG, np.random.SeedSequence(1))
    assert chains.runs == runs
    assert found.fine is runs[-1]
    assert found.rerun is rerun


def test_a_fit_too_short_to_be_certified_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    built, theta = _made(THREE, 12.0, draws=1000)
    chains = _Chains(theta, theta)
    monkeypatch.setattr(sampling, "open_chains", chains)
    short = LONG.model_copy(update={"chains": 2})
    assert not sampling.sample(built, short, np.random.SeedSequence(1)).fine
    assert chains.runs == [False]


def test_finer_nodes_stay_when_chains_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains that stand still have not mixed: twice as long, and as fine as before."""
    built, theta = _made(THREE, 12.0, draws=1000)
    chains = _Chains(theta, {name: np.repeat(value[:1], 1000, axis=0) for name, value in theta.items()})
    chains.here["lambda"] = np.sort(_named(theta)["lambda"], axis=0)
    monkeypatch.setattr(sampling, "open_chains", chains)
    found = sampling.sample(built, LONG, np.random.SeedSequence(1))
    assert chains.runs == [True, True]
    assert found.tune == 2 * LONG.tune
    assert found.parts == 1


def test_chains_that_have_nearly_mixed_are_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each from its last draw; what it has drawn is kept."""
    built, theta = _made(THREE, 1.5, draws=1000)
    chains = _Chains(theta, theta)
    monkeypatch.setattr(sampling, "open_chains", chains)
    monkeypatch.setattr(sampling, "_mixing", lambda _: (1.02, 300.0))
    found = sampling.sample(built, LONG, np.random.SeedSequence(1))
    assert chains.runs == [False, False, False]
    assert chains.starts == [[], *[[999.0, 999.125, 999.25, 999.375]] * 2]
    assert found.rerun
    assert found.tune == LONG.tune
    assert found.values["lambda"].shape[:2] == (4, 3000)
    assert found.parts == 3
    np.testing.assert_array_equal(found.values["lambda"][:, :1000], found.values["lambda"][:, 1000:2000])
    np.testing.assert_array_equal(found.statistics["draw"], np.arange(3000))


def test_a_fit_is_continued_until_it_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    built, theta = _made(THREE, 1.5, draws=1000)
    chains, looks = _Chains(theta, theta), iter([(1.02, 300.0), (1.005, 800.0)])
    monkeypatch.setattr(sampling, "open_chains", chains)
    monkeypatch.setattr(sampling, "_mixing", lambda _: next(looks))
    found = sampling.sample(built, LONG, np.random.SeedSequence(1))
    assert chains.runs == [False, False]
    assert found.values["lambda"].shape[:2] == (4, 2000)


def test_a_careful_run_that_has_not_mixed_is_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is careful still, and no third kind of run follows."""
    built, theta = _made(THREE, 1.5, draws=1000)
    chains, needs = _Chains(theta, theta), iter([sampling._Need.CARE, sampling._Need.MORE])
    monkeypatch.setattr(sampling, "open_chains", chains)
    monkeypatch.setattr(sampling, "_need", lambda *_, **__: next(needs))
    found = sampling.sample(built, LONG, np.random.SeedSequence(1))
    assert chains.starts[:2] == [[], []]
    assert len(chains.starts[2]) == 4
    assert found.target_accept == sampling.CAREFUL
    assert found.values["lambda"].shape[:2] == (4, 2000)
    assert found.parts == 2


@pytest.mark.parametrize(("asked", "careful"), [(0.6, 0.9), (0.9, 0.95), (0.98, 0.99)])
def test_a_careful_run_is_more_careful_than_what_was_asked_for(asked: float, careful: float) -> None:
    changed = sampling._changed(LONG.model_copy(update={"target_accept": asked}), sampling._Need.CARE)
    assert changed == {"target_accept": pytest.approx(careful)}


def test_draws_before_the_first_run_are_those_of_the_normal_at_the_typical_point() -> None:
    """They have its place, and are values of the model: what is a scale is positive."""
    built, _ = _made(THREE, 1.5)
    with open_chains(built, LONG.model_copy(update={"draws": 10})) as opened:
        found = opened.near(400, np.random.default_rng(1))
    density, coordinates = compile_density(built), typical_coordinates(built)
    typical = density.constrain(coordinates.mode[None])["lambda"][0]
    assert found["lambda"].shape == (1, 400, len(typical))
    away = found["lambda"][0].mean(axis=0) - typical
    assert np.abs(away / found["lambda"][0].std(axis=0)).max() < 0.5
    assert (found["tau_mean"] > 0).all()


@pytest.mark.parametrize(("loading", "right"), [(1.5, True), (12.0, False)])
def test_where_functions_are_sampled_the_integral_of_scores_is_judged(loading: float, *, right: bool) -> None:
    """The sampler integrates nothing; scores and people's profiles do."""
    built, theta = _made(THREE, loading)
    explicit = build_design(built.spec.model_copy(update={"route": "explicit"}), built.design)
    (found,) = judge_integral(errors(theta, explicit))
    assert found.passed is right


def test_without_ordinal_items_there_is_no_integral_to_judge() -> None:
    built, theta = _made(TWO, 1.5, draws=5)
    assert errors({name: value for name, value in theta.items() if name != "lambda"}, built) is None
    assert judge_integral(None) == []
