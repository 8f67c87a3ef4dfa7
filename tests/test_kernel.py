"""The compiled kernel: its elementary functions, and people who share a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numba import njit

from nssi_bayes.integrate import quadrature
from nssi_bayes.integrate.kernel import arrange, value_and_gradient
from nssi_bayes.integrate.kernel.arrangement import BATCH, Arrangement, side_by_side
from nssi_bayes.integrate.kernel.positions import exp, log

type Array = np.ndarray[Any, Any]

_FUNCTION_OF = np.array([0, 0, 0, 1, 1, 1, 2, 2])
_TESTLET_OF = np.array([0, 0, -1, -1, -1, -1, 1, 1])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def _of_all(function: Any, values: Array) -> Array:
    @njit
    def walk(values: Array, found: Array) -> None:
        for i in range(len(values)):
            found[i] = function(values[i])

    found = np.empty_like(values)
    walk(values, found)
    return found


def _last_places(found: Array, right: Array) -> float:
    return float(np.max(np.abs(found - right) / np.spacing(np.abs(right.astype(float)))))


def test_exponentials_are_right_to_three_last_places(rng: np.random.Generator) -> None:
    values = np.concatenate([rng.uniform(-708, 709, 100_000), rng.normal(size=100_000)])
    assert _last_places(_of_all(exp, values), np.exp(values.astype(np.longdouble))) < 3


def test_logarithms_are_right_to_two_last_places(rng: np.random.Generator) -> None:
    wide, near = np.exp(rng.uniform(-708, 709, 100_000)), 1 + 1e-9 * rng.normal(size=100_000)
    values = np.concatenate([wide, rng.uniform(0.5, 2, 100_000), near])
    assert _last_places(_of_all(log, values), np.log(values.astype(np.longdouble))) < 2.5


def test_logarithms_of_what_is_not_finite_are_not() -> None:
    assert not np.isfinite(_of_all(log, np.array([np.inf, np.nan]))).any()


@pytest.mark.parametrize("people", [1, 8, 9, BATCH, BATCH + 1, 3 * BATCH - 5])
def test_batches_are_few_and_equally_full(people: int) -> None:
    width = side_by_side(_arrangement(), people).width
    batches = -(-people // width)
    assert width <= BATCH
    assert batches == -(-people // BATCH)
    assert batches * width - people < 8 * batches


def _arrangement() -> Arrangement:
    grid = quadrature.make_grid(3, order=5, curve_nodes=11)
    return arrange(_FUNCTION_OF, _TESTLET_OF, grid=grid, testlet_nodes=15, position_nodes=7)


def _given(people: int, rng: np.random.Generator) -> tuple[Array, ...]:
    root = rng.normal(size=(people, 4, 4))
    matrix = np.eye(4) + 0.2 * root @ np.swapaxes(root, 1, 2)
    upper, lower = np.exp(rng.normal(size=(2, people, len(_FUNCTION_OF))))
    upper[rng.random(upper.shape) < 0.3] = 0.0
    return matrix, upper, lower, rng.uniform(0.5, 2.5, len(_FUNCTION_OF)), rng.uniform(0.2, 1.5, 2)


@pytest.mark.parametrize("size", [1, 37, BATCH + 3])
def test_what_a_person_gets_does_not_depend_on_who_shares_the_batch(
    size: int, rng: np.random.Generator
) -> None:
    people = 2 * BATCH + 41
    matrix, upper, lower, loading, gamma = _given(people, rng)
    together = value_and_gradient(matrix, upper, lower, loading, gamma, _arrangement())
    parts = [
        value_and_gradient(matrix[i : i + size], upper[i : i + size], lower[i : i + size], loading, gamma,
                           _arrangement())
        for i in range(0, people, size)
    ]  # fmt: skip
    for position in range(4):
        np.testing.assert_array_equal(np.concatenate([p[position] for p in parts]), together[position])
    for position in (4, 5):
        np.testing.assert_allclose(sum(p[position] for p in parts), together[position], rtol=1e-11)


def test_derivatives_are_the_slopes_of_the_value(rng: np.random.Generator) -> None:
    """Where nodes are many, their moving with the parameters changes nothing."""
    grid = quadrature.make_grid(3, order=8, curve_nodes=23)
    fine = arrange(_FUNCTION_OF, _TESTLET_OF, grid=grid, testlet_nodes=15, position_nodes=7)
    given, step = _given(5, rng), 1e-5
    found = value_and_gradient(*given, fine)
    for which, derivative in ((1, found[2]), (2, found[3]), (3, found[4]), (4, found[5])):
        moved = [list(given), list(given)]
        direction = rng.normal(size=given[which].shape)
        for side, sign in zip(moved, (1, -1), strict=True):
            side[which] = given[which] + sign * step * direction
        ends = [value_and_gradient(*side, fine)[0].sum() for side in moved]
        slope = (ends[0] - ends[1]) / (2 * step)
        terms = derivative * direction
        assert slope == pytest.approx(terms.sum(), abs=1e-3 * np.abs(terms).sum())
