"""An outcome is integrated beside the items, as the one indicator of one function more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from densities import assert_density_is_pymcs
from nssi_bayes import names as n
from nssi_bayes.blocks import joint, marginal
from nssi_bayes.blocks.beside import extend, extend_back, stands_beside
from nssi_bayes.blocks.compiled import Slots
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.predicted import Predictor
from nssi_bayes.build import Built, build_design
from nssi_bayes.fit.density import compile_density, unconstrained
from nssi_bayes.fit.unconstrained import Unconstrained
from nssi_bayes.spec import JointSpec
from outcomes import FAMILIES, drawn, full, small

type Theta = dict[str, np.ndarray[Any, Any]]


NAMED: dict[str, dict[str, Any]] = {
    n.BERNOULLI: {"a": -0.3},
    n.NEGATIVE_BINOMIAL: {"a": 1.0, "dispersion": 0.6},
    n.ORDINAL: {},
}


def _case(name: str, participants: int = 24, *, family: str = n.BERNOULLI) -> tuple[JointSpec, Theta, Design]:
    """A model, parameters and data: of one, two or three functions, with factors, images, or neither."""
    named: dict[str, Any] = {"w": 1.0, **NAMED[family]}
    if name == "three functions and images":
        spec, design = full(family, participants=participants)
        return spec, *drawn(spec, design, seed=5, **named)
    changes: dict[str, Any] = {
        "two functions": {},
        "without factors": {"factors": ()},
        "one function": {
            "functions": {"self_related": ["affect_regulation", "anti_dissociation", "marking_distress"]}
        },
    }[name]
    spec, design = small(family, participants=participants, **changes)
    return spec, *drawn(spec, design, seed=5, **named)


SUBSCALES = ["affect_regulation", "anti_dissociation", "marking_distress"]
CASES = ("two functions", "without factors", "one function", "three functions and images")
MORE = [
    (n.BERNOULLI, "without factors"),
    (n.NEGATIVE_BINOMIAL, "two functions"),
    pytest.param(n.NEGATIVE_BINOMIAL, "three functions and images", marks=pytest.mark.slow),
    pytest.param(n.ORDINAL, "two functions", marks=pytest.mark.slow),
]
"""Every family and every arrangement, each once: what PyMC states takes a minute to compile."""


@pytest.mark.parametrize(("family", "name"), MORE)
def test_the_density_is_that_of_pymc(family: str, name: str) -> None:
    spec, _, design = _case(name, 12, family=family)
    built = build_design(spec, design)
    assert not built.explicit
    assert_density_is_pymcs(built, scales=(0.1, 1.0), value_rtol=1e-9, gradient_rtol=1e-6)


def _log_likelihood(built: Built, theta: Theta) -> float:
    (x,) = unconstrained(built, {name: value[None] for name, value in theta.items()})
    slots = Slots({p.name: p.shape(built.design.coords) for p in built.parameters})
    return compile_density(built).value_and_gradient(x)[0] - Unconstrained(built.parameters, slots)(x)[0]


@pytest.mark.parametrize(("family", "name"), [(family, name) for family in FAMILIES for name in CASES])
def test_it_agrees_with_the_joint_grid(family: str, name: str) -> None:
    """Which is held against a dense one elsewhere: at its nodes of functions it has more of the predictor."""
    spec, theta, design = _case(name, family=family)
    draws = {k: v[None] for k, v in theta.items()}
    grid = marginal.grid_settings(len(design.plain_of), fine=True)
    exact = marginal.evaluate(draws, design, include=joint.BLOCKS, grid=grid, moments=False).log_integral
    found = _log_likelihood(build_design(spec, design), theta)
    assert found == pytest.approx(float(exact.sum()), abs=0.1)
    # where the predictor runs ahead of the functions; of counts at 3 it is the joint grid that is off
    steep = {**theta, "w": (2 if family == n.NEGATIVE_BINOMIAL else 5) * theta["w"]}
    many = {k: v[None] for k, v in steep.items()}
    exact_steep = marginal.evaluate(many, design, include=joint.BLOCKS, grid=grid, moments=False).log_integral
    assert _log_likelihood(build_design(spec, design), steep) == pytest.approx(exact_steep.sum(), abs=0.3)
    flipped = {**theta, "w": -theta["w"]}
    assert abs(_log_likelihood(build_design(spec, design), flipped) - float(exact.sum())) > 0.5


def test_who_has_no_outcome_adds_nothing() -> None:
    spec, theta, design = _case("two functions")
    none = replace(design, outcome_seen=np.zeros_like(design.outcome_seen))
    moved = {**theta, "w": theta["w"] + 1.0, "a": theta["a"] - 2.0}
    one, other = (_log_likelihood(build_design(spec, none), t) for t in (theta, moved))
    assert one == pytest.approx(other, abs=2e-3)


def test_counts_without_dispersion_are_poisson_and_not_unbounded() -> None:
    spec, theta, design = _case("without factors", family=n.NEGATIVE_BINOMIAL)
    built = build_design(spec, design)
    found = [_log_likelihood(built, {**theta, "dispersion": np.array(d)}) for d in (1e-3, 1e-4, 1e-12)]
    np.testing.assert_allclose(found, found[0], atol=1e-3)


def _one(mean: Any, own: Any, spread: Any) -> Predictor:
    return Predictor(mean[None], np.zeros((1, 0)), own[None], spread[None, None])


def test_the_larger_matrix_and_its_derivative() -> None:
    rng = np.random.default_rng(2)
    people, functions = 5, 3
    root = rng.standard_normal((people, functions + 1, functions + 1))
    matrix = root @ np.swapaxes(root, 1, 2) + np.eye(functions + 1)
    weight = rng.standard_normal((people, functions + 2, functions + 2))
    weight = weight + np.swapaxes(weight, 1, 2)

    def value(x: np.ndarray[Any, Any]) -> float:
        mean, own, spread = x[:people], x[people:-people].reshape(functions, people), x[-people:]
        whole, constant, _ = extend(matrix, _one(mean, own, spread))
        return float((weight * whole).sum() + constant.sum())

    x = rng.standard_normal(people * (functions + 2)) + 0.5
    predictor = _one(x[:people], x[people:-people].reshape(functions, people), x[-people:])
    _, _, row = extend(matrix, predictor)
    by_matrix, by = extend_back(weight, row, predictor)
    assert by.spread is not None
    found = np.concatenate([by.mean.ravel(), by.own.ravel(), by.spread.ravel()])
    numeric = [(value(x + s) - value(x - s)) / 2e-6 for s in 1e-6 * np.eye(len(x))]
    np.testing.assert_allclose(found, numeric, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(by_matrix, weight[:, [0, 1, 2, 4]][:, :, [0, 1, 2, 4]])


def test_a_fourth_function_does_not_stand_beside() -> None:
    spec, _, design = _case("two functions")
    names = {p.name for p in build_design(spec, design).parameters}
    for family in FAMILIES:
        assert stands_beside(replace(design, outcome_family=family), names)
    many = {**design.coords, n.FUNCTION: ["a", "b", "c", "d"]}
    assert not stands_beside(replace(design, coords=many), names)
