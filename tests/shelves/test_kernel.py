"""The compiled integral over people against its reference in JAX and against dense quadrature."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numba import njit
from scipy.integrate import quad

from nssi_bayes.blocks.measurement import POSITION_NODES, TESTLET_NODES, Items
from nssi_bayes.integrate import quadrature
from nssi_bayes.integrate.gaussian import Quadratic
from nssi_bayes.integrate.kernel import Arrangement, arrange, value_and_gradient, value_and_gradient_skewed
from nssi_bayes.integrate.kernel.arrangement import BATCH, side_by_side
from nssi_bayes.integrate.kernel.positions import exp, log
from nssi_bayes.integrate.sinh_arcsinh import shape_of

ITEMS_A_FUNCTION = 5
CATEGORIES = 4
NAMES = ("value", "matrix", "upper", "lower", "loading", "gamma")


class Case(NamedTuple):
    arguments: tuple[np.ndarray[Any, Any], ...]
    arrangement: Arrangement
    items: Items
    grid: quadrature.Grid


def make_case(
    functions: int, testlet: bool, *, people: int = 37, seed: int = 0, order: int = 5, nodes: int = 11
) -> Case:
    rng = np.random.default_rng([seed, functions, testlet])
    indicators = functions * ITEMS_A_FUNCTION
    function_of = rng.permutation(np.repeat(np.arange(functions), ITEMS_A_FUNCTION))
    testlet_of = np.full(indicators, -1)
    if testlet:  # one of the first function, one of the last
        testlet_of[np.flatnonzero(function_of == functions - 1)[:3]] = 0
        testlet_of[np.flatnonzero(function_of == 0)[-2:]] = 1
    grid = quadrature.make_grid(functions, order=order, curve_nodes=nodes)
    arrangement = arrange(
        function_of, testlet_of, grid=grid, testlet_nodes=TESTLET_NODES, position_nodes=POSITION_NODES
    )
    response = rng.integers(0, CATEGORIES, (people, indicators))
    response[rng.random(response.shape) < 0.1] = CATEGORIES
    response[:2] = CATEGORIES  # answered nothing
    response[2], response[3] = 0, CATEGORIES - 1
    design: Any = SimpleNamespace(
        category_groups=[CATEGORIES],
        indicator_order=np.arange(indicators),
        response=response,
        function_of=function_of,
        biased=None,
        coords={"group": []},
        plain_of=[np.flatnonzero((function_of == f) & (testlet_of < 0)) for f in range(functions)],
        testlets_of=[
            [(s, np.flatnonzero(testlet_of == s)) for s in np.unique(testlet_of[function_of == f]) if s >= 0]
            for f in range(functions)
        ],
    )
    theta = {
        f"category_probability_{CATEGORIES}": rng.dirichlet(np.ones(CATEGORIES), indicators),
        "lambda": rng.lognormal(0.3, 0.5, indicators),
        "gamma": np.abs(rng.normal(size=2)) if testlet else np.zeros(0),
    }
    items = Items(theta, design)
    rows = rng.normal(size=(people, functions + 3, functions + 1))
    matrix = np.swapaxes(rows, 1, 2) @ rows / 2 + np.diag([0.3] * functions + [0.0])
    given = (matrix, items.constants.upper, items.constants.lower, theta["lambda"], theta["gamma"])
    return Case(tuple(np.array(x) for x in given), arrangement, items, grid)


def reference(case: Case) -> tuple[np.ndarray[Any, Any], ...]:
    def total(matrix: Any, upper: Any, lower: Any, loading: Any, gamma: Any, *shape: Any) -> Any:
        case.items.shape = shape[0] if shape else None
        case.items.constants = case.items.constants._replace(upper=upper, lower=lower)
        case.items.loading, case.items.gamma = loading[None], gamma
        prior = Quadratic(matrix, jnp.zeros(len(matrix)))
        value = quadrature.integrate(prior, case.items, case.grid)
        return value.sum(), value

    both = jax.value_and_grad(total, argnums=tuple(range(len(case.arguments))), has_aux=True)
    quick: Any = {"xla_backend_optimization_level": 0}  # compiled for one call
    found = jax.jit(both, compiler_options=quick)(*case.arguments)
    return tuple(np.asarray(x) for x in (found[0][1], *found[1]))


@pytest.mark.parametrize(
    ("functions", "testlet"),
    [(1, False), (1, True), (2, False), (2, True), (3, False), (3, True), (4, False)],
)
def test_value_and_gradient_are_those_of_the_reference(functions: int, testlet: bool) -> None:
    case = make_case(functions, testlet)
    found = value_and_gradient(*case.arguments, case.arrangement)
    for name, one, other in zip(NAMES, found, reference(case), strict=True):
        scale = max(1.0, np.abs(other).max(initial=0))
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10 * scale, err_msg=name)


@pytest.mark.parametrize(("functions", "testlet"), [(1, True), (2, False), (3, True)])
def test_skewed_functions_are_those_of_the_reference(functions: int, testlet: bool) -> None:
    case = make_case(functions, testlet)
    rng = np.random.default_rng(functions)
    shape = shape_of(rng.normal(0.3, 0.4, functions), rng.lognormal(-0.1, 0.2, functions))
    skewed = case._replace(arguments=(*case.arguments, shape))
    found = value_and_gradient_skewed(*case.arguments, case.arrangement, shape)
    for name, one, other in zip((*NAMES, "shape"), found, reference(skewed), strict=True):
        scale = max(1.0, np.abs(other).max(initial=0))
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10 * scale, err_msg=name)


def test_functions_that_are_not_skewed_are_those_without_a_shape() -> None:
    case = make_case(3, True)
    found = value_and_gradient_skewed(*case.arguments, case.arrangement, shape_of(np.zeros(3), np.ones(3)))
    for one, other in zip(found, value_and_gradient(*case.arguments, case.arrangement), strict=False):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10 * np.abs(other).max())


def test_a_function_may_have_items_of_residual_factors_alone() -> None:
    """So that a curve without a plain indicator starts from nothing."""
    case = make_case(2, True)
    member = np.concatenate([items for own in case.items.design.testlets_of for _, items in own])
    arguments = [x.copy() for x in case.arguments]
    for x in arguments[1:3]:
        x[:, np.setdiff1d(np.arange(x.shape[1]), member)] = 0
    function_of, testlet_of = np.repeat([0, 1], [2, 3]), np.repeat([0, 1], [2, 3])
    order = [i for s in (1, 0) for own in case.items.design.testlets_of for t, i in own if t == s]
    keep = np.concatenate(order)
    small = arrange(
        function_of, testlet_of, grid=case.grid, testlet_nodes=TESTLET_NODES, position_nodes=POSITION_NODES
    )
    upper, lower = arguments[1][:, keep], arguments[2][:, keep]
    found = value_and_gradient(arguments[0], upper, lower, arguments[3][keep], arguments[4][::-1], small)
    whole = value_and_gradient(*arguments, case.arrangement)
    np.testing.assert_allclose(found[0], whole[0], rtol=1e-12)
    np.testing.assert_allclose(found[4], whole[4][keep], rtol=1e-9, atol=1e-12)


def test_one_function_against_dense_quadrature() -> None:
    case = make_case(1, True, people=8, order=8, nodes=21)
    matrix, upper, lower, loading, gamma = case.arguments

    def dense(i: int, loading: np.ndarray[Any, Any]) -> float:
        position, weight = np.polynomial.hermite_e.hermegauss(40)
        weight = weight / weight.sum()

        def density(eta: float) -> float:
            u = np.array([eta, -1.0])
            inside = np.exp(-0.5 * u @ matrix[i] @ u)
            for own in case.items.design.testlets_of[0]:
                e = np.exp(loading[own[1]] * eta + gamma[own[0]] * position[:, None])
                inside *= weight @ (1 / ((1 + e * upper[i, own[1]]) * (1 + lower[i, own[1]] / e))).prod(
                    axis=1
                )
            plain = case.items.design.plain_of[0]
            e = np.exp(loading[plain] * eta)
            return inside * (1 / ((1 + e * upper[i, plain]) * (1 + lower[i, plain] / e))).prod()

        return float(np.log(quad(density, -12, 12, epsabs=0, epsrel=1e-9, limit=200)[0]))

    value, *_, d_loading, _ = value_and_gradient(*case.arguments, case.arrangement)
    np.testing.assert_allclose(value, [dense(i, loading) for i in range(8)], atol=2e-3)
    step = np.zeros_like(loading)
    step[1] = 1e-4
    slope = sum(dense(i, loading + step) - dense(i, loading - step) for i in range(8)) / 2e-4
    assert d_loading[1] == pytest.approx(slope, abs=0.02)


@pytest.mark.parametrize("size", [1, 37, BATCH + 3])
def test_a_person_does_not_depend_on_who_shares_the_batch(size: int) -> None:
    people = 2 * BATCH + 41
    matrix, upper, lower, loading, gamma = (case := make_case(3, True, people=people)).arguments
    whole = value_and_gradient(*case.arguments, case.arrangement)
    order = np.random.default_rng(1).permutation(people)
    parts = [order[i : i + size] for i in range(0, people, size)]
    some = [
        value_and_gradient(matrix[p], upper[p], lower[p], loading, gamma, case.arrangement) for p in parts
    ]
    for k in range(4):
        np.testing.assert_array_equal(np.concatenate([one[k] for one in some]), whole[k][order])
    for k in (4, 5):
        np.testing.assert_allclose(sum(one[k] for one in some), whole[k], rtol=1e-10)


@pytest.mark.parametrize("people", [1, 8, 9, BATCH, BATCH + 1, 3 * BATCH - 5])
def test_batches_are_few_and_equally_full(people: int) -> None:
    width = side_by_side(make_case(1, False).arrangement, people).width
    batches = -(-people // width)
    assert width <= BATCH
    assert batches == -(-people // BATCH)
    assert batches * width - people < 8 * batches


def of_all(function: Any, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    @njit
    def walk(values: Any, found: Any) -> None:
        for i in range(len(values)):
            found[i] = function(values[i])

    found = np.empty_like(values)
    walk(values, found)
    return found


def last_places(found: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> float:
    return float(np.max(np.abs(found - right) / np.spacing(np.abs(right.astype(float)))))


def test_exponentials_and_logarithms_are_right_to_three_last_places() -> None:
    rng = np.random.default_rng(7)
    values = np.concatenate([rng.uniform(-708, 709, 100_000), rng.normal(size=100_000)])
    assert last_places(of_all(exp, values), np.exp(values.astype(np.longdouble))) < 3
    wide, near = np.exp(rng.uniform(-708, 709, 100_000)), 1 + 1e-9 * rng.normal(size=100_000)
    values = np.concatenate([wide, rng.uniform(0.5, 2, 100_000), near])
    assert last_places(of_all(log, values), np.log(values.astype(np.longdouble))) < 3
    assert not np.isfinite(of_all(log, np.array([np.inf, np.nan]))).any()


def test_what_is_not_finite_is_nan_for_that_person_only() -> None:
    case = make_case(2, True)
    good = value_and_gradient(*case.arguments, case.arrangement)
    matrix, upper, lower, loading, gamma = (x.copy() for x in case.arguments)
    matrix[4] = np.nan
    matrix[5, 0, 0] = -100.0  # not a density
    upper[6] = np.inf
    found = value_and_gradient(matrix, upper, lower, loading, gamma, case.arrangement)
    assert np.isnan(found[0][4:7]).all()
    rest = np.delete(np.arange(len(matrix)), [4, 5, 6])
    for k in range(4):
        np.testing.assert_array_equal(found[k][rest], good[k][rest])


def test_probabilities_too_small_to_multiply_are_added_as_logs() -> None:
    case = make_case(1, False, people=4)
    matrix, _, lower, _, gamma = case.arguments
    upper = np.full_like(lower, 1e70)
    given = (matrix, upper, 0 * lower, np.full(ITEMS_A_FUNCTION, 0.01), gamma)
    value = value_and_gradient(*given, case.arrangement)[0]
    assert np.isfinite(value).all()
    np.testing.assert_allclose(value, reference(case._replace(arguments=given))[0], rtol=1e-9)


def test_read_only_and_transposed_arrays_do() -> None:
    case = make_case(1, False)
    odd = [np.asfortranarray(x) for x in case.arguments]
    for x in odd:
        x.flags.writeable = False
    for one, other in zip(
        value_and_gradient(*odd, case.arrangement),
        value_and_gradient(*case.arguments, case.arrangement),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("order", "nodes"), [(3, 11), (7, 5)])
def test_a_grid_that_the_reference_would_walk_otherwise_is_refused(order: int, nodes: int) -> None:
    with pytest.raises(ValueError, match="need order"):
        make_case(2, False, order=order, nodes=nodes)
