"""The rivals of the benchmarks: their densities are ours, and nothing is compared where they are not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rivals
from numpy.polynomial.hermite_e import hermegauss
from rivals_elsewhere import stan_data
from rivals_marginal import marginal_data
from rivals_problem import SCANNED, make_points, problem
from scipy.stats import multivariate_normal

from nssi_bayes import names as n
from nssi_bayes.fit.density import compile_density
from nssi_bayes.store import write_json

VARIANCE_OF_NODES = float(np.mean(hermegauss(5)[0] ** 2))


def _file(rival: str, ess: float, *, mean: float = 0.0, text: str = "t") -> dict[str, Any]:
    seconds = {"compile": 5.0, "sample": 15.0, "after": 10.0, "cpu": 20.0}
    numbers = {"mean": [0.0, mean], "sd": [1.0, 2.0], "mcse": [0.03, 0.04], "quantity": ["a", "b"]}
    return {
        "rival": rival, "seed": 1, "text": text, "min_ess": {"bulk": ess, "tail": ess / 2},
        "seconds": seconds, "numbers": numbers,
    }  # fmt: skip


def _write(out: Path, *runs: dict[str, Any], passed: bool = True) -> None:
    write_json(out / "check.json", {"passed": passed, "text": "t", "rivals": {}})
    for run in runs:
        write_json(out / f"seed_1_{run['rival']}.json", run)


def test_the_problem_is_the_one_that_is_named() -> None:
    design = problem(1).design
    assert design.response.shape == (300, 39)
    assert set(design.categories) == {3}
    assert len(design.coords[n.FUNCTION]) == 3
    assert len(design.coords[n.ROI]) == 12
    assert len(design.scanned) == round(SCANNED * 300)
    data = stan_data(problem(1), centred=False)
    assert data["answer_end"][-1] == data["n_answers"] == int((design.response < 3).sum())


def test_points_differ_between_seeds_and_not_between_calls() -> None:
    built = problem(1, 8, route="explicit")
    one, same = (next(make_points(built, np.random.default_rng(3), 1, centred=False)) for _ in range(2))
    other = next(make_points(built, np.random.default_rng(4), 1, centred=False))
    assert one.ours == same.ours != other.ours


def test_ratios_are_ours_by_theirs_and_compiling_counts_where_it_is_asked(tmp_path: Path) -> None:
    _write(tmp_path, _file("ours", 1000), _file("stan", 100))
    stan = rivals.summarise(tmp_path)["rivals"]["stan"]
    assert stan["median"] == pytest.approx(dict.fromkeys(stan["median"], 10.0))
    slow = _file("stan", 100) | {"seconds": {"compile": 25.0, "sample": 15.0, "after": 10.0, "cpu": 20.0}}
    _write(tmp_path, _file("ours", 1000), slow)
    median = rivals.summarise(tmp_path)["rivals"]["stan"]["median"]
    assert (median["bulk_after"], median["bulk_all"]) == pytest.approx((10.0, 20.0))


def test_means_are_compared_in_our_sd_and_in_errors(tmp_path: Path) -> None:
    _write(tmp_path, _file("ours", 1000), _file("stan", 100, mean=0.3))
    stan = rivals.summarise(tmp_path)["rivals"]["stan"]
    agreed = stan["agreement"][0]
    assert agreed["mean_farthest_in_sd"] == pytest.approx(0.15)
    assert agreed["means_within"] == 0.5
    assert agreed["mean_farthest_in_errors"] == pytest.approx(0.3 / np.hypot(0.04, 0.04))


@pytest.mark.parametrize(("passed", "text"), [(False, "t"), (True, "changed")])
def test_nothing_is_compared_without_a_check_of_the_densities(
    tmp_path: Path, *, passed: bool, text: str
) -> None:
    _write(tmp_path, _file("ours", 1000), _file("stan", 100, text=text), passed=passed)
    with pytest.raises(SystemExit, match="run it again"):
        rivals.summarise(tmp_path)


def test_what_rivals_sample_becomes_what_ours_are_called() -> None:
    built = problem(1, 8, route="explicit")
    density = compile_density(built)
    point = next(make_points(built, np.random.default_rng(3), 1, centred=False))
    found = rivals.named(built, {name: np.asarray(value)[None, None] for name, value in point.items()})
    x = np.random.default_rng(3).standard_normal(density.size)
    ours = density.constrain(np.stack([x]))
    assert {k: v.shape[1:] for k, v in ours.items()} == {k: v.shape[2:] for k, v in found.items()}
    np.testing.assert_allclose(found["L_offset"][0, 0], point["L_offset_raw"] * point["tau_roi"])
    np.testing.assert_allclose(found["Omega"][0, 0], point["Omega_root"] @ point["Omega_root"].T)
    np.testing.assert_allclose(
        found["B_disorder"][0, 0], point["B_disorder_raw"] * point["tau_slope"][:, None, None]
    )


def test_nodes_of_the_marginal_rival_integrate_and_its_curves_are_read_off_at_them() -> None:
    """Normal densities of people's functions have integral 1; polynomials are read off exactly."""
    built = problem(1, 8)
    data = marginal_data(built)
    node, log_weight = np.array(data["node"]), np.array(data["log_weight"])
    assert node.shape == (8, 125, 3)
    for one, weight in zip(node, log_weight.T, strict=True):  # five nodes an axis stand for this normal
        middle = one.mean(axis=0)
        away = one - middle
        normal = multivariate_normal(middle, away.T @ away / len(one) / VARIANCE_OF_NODES)
        assert np.exp(weight + normal.logpdf(one)).sum() == pytest.approx(1.0, rel=1e-9)
    abscissa = np.array(data["abscissa"])
    for f in range(3):
        curves = np.zeros((8, 33))
        curves[:, 11 * f : 11 * (f + 1)] = (abscissa[f] ** 3 - abscissa[f]).T
        read = np.einsum("ikc,ic->ik", np.array(data["interpolation"]), curves)
        np.testing.assert_allclose(read, node[..., f] ** 3 - node[..., f], atol=1e-9)


@pytest.mark.slow
def test_the_density_of_the_pymc_model_is_ours() -> None:
    checked = rivals.check(rivals=("pymc",), people=5)
    assert checked["passed"], checked
    assert checked["rivals"]["pymc"]["spread_of_the_density"] > 1
