"""Fits of small designs: equal bytes, twins, two routes that agree, and slopes on what is unreliable."""

import hashlib
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from nutpie import compiled_pyfunc

from designs import ROOT, small_cohort, small_spec
from nssi_bayes import fit as fit_room
from nssi_bayes import names as n
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.joint import parameters
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build, build_design
from nssi_bayes.fit import chains, fit, sample
from nssi_bayes.fit.density import Density, compile_density
from nssi_bayes.fit.whiten import Coordinates, find_coordinates
from nssi_bayes.spec import JointSpec, Params, Sampler, read_priors
from nssi_bayes.store import Layout, read_dataset, write_json, write_tree

QUICK = Sampler(chains=2, tune=100, draws=100)
ONE_FIT = f"""
import sys
sys.path[:0] = [{str(ROOT / "tests")!r}, {str(ROOT / "benchmarks")!r}]
from pathlib import Path
from test_fit import quick_fit
quick_fit(Path(sys.argv[1]))
"""


def quick_fit(path: Path) -> xr.DataTree:
    """Fit a small design and write the draws."""
    tree = fit(build(small_spec(), small_cohort(40)), QUICK, np.random.SeedSequence(3))
    write_tree(path, tree)
    return tree


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, xr.DataTree]:
    path = tmp_path_factory.mktemp("fit") / "one.nc"
    return path, quick_fit(path)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_equal_seeds_give_equal_bytes_in_two_processes(written: Any, tmp_path: Path) -> None:
    """Traps 12 and 21: no clock in the file, and a warm cache draws what a cold one drew."""
    other = tmp_path / "other.nc"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ONE_FIT, str(other)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert _hash(other) == _hash(written[0])


def test_a_chain_does_not_depend_on_where_it_runs(written: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own it draws what it draws here."""
    monkeypatch.setattr(chains, "ENOUGH", QUICK.chains * QUICK.draws)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    tree = fit(build(small_spec(), small_cohort(40)), QUICK, np.random.SeedSequence(3))
    assert multiprocessing.active_children() == []
    xr.testing.assert_identical(tree["posterior"].to_dataset(), written[1]["posterior"].to_dataset())
    xr.testing.assert_identical(tree["sample_stats"].to_dataset(), written[1]["sample_stats"].to_dataset())


ENDLESS = f"""
import sys
sys.path[:0] = [{str(ROOT / "tests")!r}, {str(ROOT / "benchmarks")!r}]
if __name__ == "__main__":
    from test_fit import *
    fit(build(small_spec(), small_cohort(40)), Sampler(chains=2, draws=10**6), np.random.SeedSequence(3))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_a_killed_fit_leaves_no_process_behind(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS, encoding="utf-8")
    command = subprocess.Popen([sys.executable, "-W", "ignore", str(script)])
    tree = Path(f"/proc/{command.pid}/task/{command.pid}/children")

    def workers() -> list[str]:
        return [p for p in tree.read_text().split() if "spawn_main" in Path(f"/proc/{p}/cmdline").read_text()]

    try:
        assert _becomes(lambda: len(workers()) >= 2, seconds=120)
        mine = workers()
    finally:
        command.kill()
        command.wait()
    assert _becomes(lambda: not any(Path(f"/proc/{p}").exists() for p in mine), seconds=60)


def _becomes(true: Callable[[], bool], *, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.5)
    return true()


def test_every_dim_of_a_posterior_has_labels(written: Any) -> None:
    tree = written[1]
    assert not np.array_equal(tree["posterior"]["B"][0], tree["posterior"]["B"][1])
    for group in ("posterior", "prior"):
        data = tree[group].to_dataset()
        assert all(dim in data.coords for dim in data.dims)
        assert all(np.isfinite(v).all() for v in data.data_vars.values())
    posterior = tree["posterior"].to_dataset()
    assert posterior["A"].dims == (n.CHAIN, n.DRAW, n.DISORDER, n.FUNCTION)
    np.testing.assert_allclose(posterior["A"].sum(n.DISORDER), 0, atol=1e-10)
    omega = posterior["Omega"].to_numpy()
    np.testing.assert_allclose(omega, np.swapaxes(omega, -1, -2), atol=1e-12)
    np.testing.assert_allclose(omega[..., 0, 0], 1, atol=1e-12)
    np.testing.assert_allclose(posterior["u_site"].sum(n.SITE), 0, atol=1e-10)
    assert {"diverging", "energy"} <= set(tree["sample_stats"].data_vars)


def test_a_twin_is_copied_and_not_fitted_again(
    written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, calls = Layout(tmp_path), []
    one, two = "structure/shared", "heterogeneity/shared"
    params = Params(
        study="demo", source=tmp_path, seed=1, roster=(one, two), questions=("structure", "heterogeneity")
    )
    cohort = small_cohort(20)

    def counted(*_: object) -> xr.DataTree:
        calls.append(1)
        return written[1].copy()

    def read(path: Path) -> xr.Dataset:
        return cohort if path == layout.cohort("demo") else read_dataset(path)

    monkeypatch.setattr(fit_room, "read_dataset", read)
    for name, fake in (("read_model", small_spec()), ("build", None)):
        monkeypatch.setattr(fit_room, name, lambda *_, fake=fake, **__: fake)
    monkeypatch.setattr(fit_room, "fit", counted)
    fingerprint = {"fingerprint": "f", "points": [1.0, 2.0], "sampler": {}}
    for model in (one, two):
        write_json(layout.fingerprint(model), fingerprint)
        fit_room.run(layout, params, model=model)
    assert len(calls) == 1
    assert _hash(layout.posterior(one)) == _hash(layout.posterior(two))
    write_json(layout.fingerprint(two), {**fingerprint, "points": [1.0, 2.1]})
    fit_room.run(layout, params, model=two)
    assert len(calls) == 2


def _simulated(spec: JointSpec, cohort: xr.Dataset, seed: int, changes: dict[str, Any]) -> Built:
    """Return a built model whose data come from prior draws with some parameters set."""
    design = make_design(cohort, spec)
    rng = np.random.default_rng(seed)
    drawn = draw(parameters(spec, design, read_priors(spec.priors)), design.coords, rng, 1)
    theta = {name: value[0] for name, value in drawn.items()}
    for name, value in changes.items():
        theta[name] = np.broadcast_to(value, theta[name].shape).copy()
    return build_design(spec, generate(theta, design, rng))


@pytest.mark.slow
def test_both_routes_have_one_posterior() -> None:
    sampler = Sampler(chains=4, tune=500, draws=1500, target_accept=0.9)
    cohort = small_cohort(60)
    changes = {"Omega": np.linalg.cholesky([[1, 0.6], [0.6, 1]]), "lambda": 1.6}
    built = _simulated(small_spec(), cohort, 1, changes)
    explicit = build_design(small_spec(route="explicit"), built.design)
    one, two = (
        fit(b, sampler, np.random.SeedSequence(5))["posterior"].to_dataset() for b in (built, explicit)
    )
    assert set(one.data_vars) == set(two.data_vars)  # functions are no part of what is kept
    for name in ("B", "A", "G", "M", "sigma_x", "tau_mean", "tau_site", "Omega", "lambda", "level_burden"):
        a, b = (d[name].stack(sample=(n.CHAIN, n.DRAW)) for d in (one, two))
        spread, other = a.std("sample"), b.std("sample")
        free = (spread > 1e-6).to_numpy()  # not the diagonal of Omega
        shift = np.abs(a.mean("sample") - b.mean("sample")) / spread.where(free, 1.0)
        assert float(shift.where(free).max()) < 0.15, name
        assert float(np.abs(other / spread.where(free, 1.0) - 1).where(free).max()) < 0.15, name


TRUE_SLOPE, RELIABILITY = 0.40, 0.7


def _slope_cohort(seed: int, participants: int) -> Built:
    """Return a model of people whose distress depends on a factor of reliability .7.

    The prior of the slope is wide, so that only the error of measurement could shrink it; the
    shipped ones, N(0, .25) and N(.15, .2), would pull by themselves.
    """
    spec = small_spec(
        functions={"distress": ["affect_regulation", "anti_dissociation", "marking_distress"]},
        measurement={"testlets": "none"},
        factors=["history"],
        disorder={"levels": False},
        priors={"B": {"sigma": 2.0}},
    )
    cohort = small_cohort(participants, seed=seed, factors={"history": RELIABILITY})
    # of unit variance with its error: latent variance .7
    changes = {"B": TRUE_SLOPE, "M": 0.0, "N": 0.0, "G": 0.0, "mu_x": 0.0, "u_site": 0.0,
               "sigma_x": np.sqrt(RELIABILITY), "lambda": 1.8,
               "category_probability_3": np.array([0.35, 0.35, 0.3])}  # fmt: skip
    return _simulated(spec, cohort, seed, changes)


@pytest.fixture(scope="module", params=["none", "sparse"])
def found(request: pytest.FixtureRequest) -> tuple[Density, Coordinates]:
    changed = small_spec(measurement={"testlets": "sum", "bias": request.param})
    model = compile_density(build(changed, small_cohort()))
    return model, find_coordinates(model.value_and_gradient, model.start, scaled=model.scaled)


@pytest.mark.parametrize("distance", [0.0, 1.0, 3.0])
def test_the_sampler_sees_the_density_of_its_coordinates(
    found: tuple[Density, Coordinates], distance: float
) -> None:
    """Density of y = density of x times the volume of the map, whose Jacobian is taken numerically."""
    model, coordinates = found
    of_y = coordinates.pull_back(model.value_and_gradient)
    y = distance * np.random.default_rng(3).standard_normal(model.size)
    steps = 1e-5 * np.eye(model.size)
    jacobian = (coordinates.to_x(y + steps) - coordinates.to_x(y - steps)) / 2e-5
    volume = np.linalg.slogdet(jacobian)[1]
    here = coordinates.to_x(np.zeros((1, model.size)))[0]
    np.testing.assert_allclose(here, coordinates.mode, atol=1e-12)
    origin = np.linalg.slogdet((coordinates.to_x(steps) - coordinates.to_x(-steps)) / 2e-5)[1]
    expected = model.value_and_gradient(coordinates.to_x(y[None])[0])[0] + volume - origin
    value, gradient = of_y(y)
    assert value == pytest.approx(expected, abs=1e-5)
    slopes = [(of_y(y + step)[0] - of_y(y - step)[0]) / 2e-5 for step in steps]
    # the kernel's node positions are constants of the gradient
    np.testing.assert_allclose(gradient, slopes, atol=0.02 * (1 + np.abs(gradient).max()))


def test_an_unreliable_factor_does_not_shrink_its_slope() -> None:
    """At the mode, in 1 500 people (standard error .03): a slope on the score would be .28."""
    built = _slope_cohort(1, 1500)
    dense = compile_density(built)
    found = find_coordinates(dense.value_and_gradient, dense.start, scaled=dense.scaled)
    slope = dense.constrain(found.mode[None])["B"].item()
    assert slope == pytest.approx(TRUE_SLOPE, abs=0.09)


@pytest.mark.slow
def test_an_unreliable_factor_does_not_shrink_its_slope_over_20_cohorts_of_600() -> None:
    sampler = Sampler(chains=2, tune=150, draws=200)
    means = [
        float(fit(_slope_cohort(seed, 600), sampler, np.random.SeedSequence(seed))["posterior"]["B"].mean())
        for seed in range(20)
    ]
    assert np.mean(means) == pytest.approx(TRUE_SLOPE, abs=0.05)


@pytest.mark.parametrize("wrong", ["nothing", "place", "spread"])
def test_chains_that_differ_in_one_element_of_many_are_run_again(wrong: str) -> None:
    """A chain that sits elsewhere, or is too narrow, in one of 600 elements."""
    draws = np.random.default_rng(4).standard_normal((4, 1000, 600))
    if wrong == "place":
        draws[0, :, 321] += 0.5
    if wrong == "spread":
        draws[0, :, 321] *= 0.6
    rhat, effective = sample._mixing({"a": draws[..., :200], "b": draws[..., 200:]})
    assert (rhat < sample.LARGEST_RHAT) is (wrong == "nothing")
    assert effective > 0.5 * draws[..., 0].size or wrong == "place"


def test_chains_begin_where_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each at its own place; without one, at a draw of its own."""
    seen, made = list[Any](), compiled_pyfunc.from_pyfunc

    def watched(*given: Any, make_initial_point_fn: Any, **named: Any) -> Any:
        seen.append(make_initial_point_fn(1))
        return made(*given, make_initial_point_fn=make_initial_point_fn, **named)

    monkeypatch.setattr(compiled_pyfunc, "from_pyfunc", watched)
    seeds = np.random.SeedSequence(2).spawn(2)
    with chains.open_chains(build(small_spec(), small_cohort(20)), QUICK) as opened:
        first = opened.run(QUICK, seeds, fine=False)
        ends = [chain.position[-1] for chain in first]
        opened.run(QUICK, seeds, fine=False, start=ends)
    np.testing.assert_array_equal(seen[2:], ends)
    assert np.abs(seen[0]).max() > 0.5
    assert not np.array_equal(seen[0], ends[0])


def test_processes_start_before_coordinates_are_found_and_compile_nothing_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One for each core, else the others load while the first draws; loops are compiled here, once."""
    started, loops = list[int](), list[Any]()
    begin = chains.ProcessPoolExecutor

    def pool(*given: Any, **named: Any) -> Any:
        loops.append(named["initargs"][2])
        return begin(*given, **named)

    def found(density: Density) -> Any:
        assert loops[0].is_set()
        started.append(len(multiprocessing.active_children()))
        return typical(density)

    typical = chains._coordinates
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(chains, "ProcessPoolExecutor", pool)
    monkeypatch.setattr(chains, "_coordinates", found)
    sampler = QUICK.model_copy(update={"chains": 2, "draws": chains.ENOUGH // 2})
    with chains.open_chains(build(small_spec(), small_cohort(20)), sampler):
        assert started == [2]
