"""A person's likelihood against dense matrices and a dense grid, and against the data it generates."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr
from scipy.special import logsumexp

import designs
from brute_force import Person
from densities import assert_density_is_pymcs, in_errors
from designs import full_cohort, full_design, joint_spec, small_cohort, small_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import generate, joint, marginal, measurement
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import build, build_design
from nssi_bayes.errors import SpecError
from nssi_bayes.fit import density
from nssi_bayes.fit.reference import Reference
from nssi_bayes.integrate import quadrature
from nssi_bayes.spec import read_priors

PEOPLE = 14
DATA = ("response", "factor", "activation", "connectivity", "outcome")
GRID = quadrature.make_grid(3, **marginal.grid_settings(3))
POINTS = (
    "prior 1",
    "prior 2",
    "prior 3",
    "r .95",
    "r .98",
    "steep items",
    "large residual factor",
    "typical",
)
ONE_FUNCTION: dict[str, Any] = {
    "functions": {"distress": ["affect_regulation", "anti_dissociation", "self_punishment"]},
    "factors": [],
    "disorder": {"levels": False},
}
CHAIN = [joint.BLOCKS[: i + 1] for i in range(len(joint.BLOCKS))]

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


@pytest.fixture(scope="module")
def design() -> Design:
    return full_design(joint_spec(outcome="severity"), participants=PEOPLE)


def _correlation(r: float) -> Array:
    return np.linalg.cholesky(np.where(np.eye(3) > 0, 1.0, r))


def _theta(design: Design, point: str) -> Theta:
    """Return parameters: draws from the priors, and changes of them that are hard on quadrature."""
    spec = joint_spec(outcome="severity")
    seed = POINTS.index(point)
    drawn = draw(joint.parameters(spec, design, read_priors()), design.coords, np.random.default_rng(seed), 1)
    theta = {name: value[0] for name, value in drawn.items()}
    if point.startswith("r "):
        theta["Omega"] = _correlation(float(point[2:]))
    if point == "steep items":
        theta["lambda"] = np.full_like(theta["lambda"], 3.0)
        theta["gamma"] = np.full_like(theta["gamma"], 1.5)
    if point == "large residual factor":
        theta["gamma"] = np.full_like(theta["gamma"], 3.0)
    if point == "typical":
        theta["Omega"] = _correlation(0.6)
        theta["lambda"] = np.linspace(1.2, 2.8, len(theta["lambda"]))
    return theta


@pytest.fixture(scope="module")
def likelihood(design: Design) -> Callable[..., Array]:
    """Return the likelihood with the data as an argument, so that it is compiled once."""

    def of(theta: Theta, data: dict[str, Array], include: Sequence[str]) -> Any:
        return joint.log_likelihood(theta, replace(design, **data), GRID, include=include)

    compiled = jax.jit(of, static_argnames="include")

    def run(theta: Theta, data: Design, include: Sequence[str] = joint.BLOCKS) -> Array:
        changed = {k: getattr(data, k) for k in DATA}
        return np.asarray(compiled(theta, changed, tuple(include)))

    return run


@pytest.mark.parametrize("point", POINTS)
def test_every_persons_integral_is_that_of_a_dense_grid(
    design: Design, likelihood: Callable[..., Array], point: str
) -> None:
    theta = _theta(design, point)
    data = generate.generate(theta, design, np.random.default_rng(1))
    expected = [Person(theta, data, i, joint.BLOCKS).log_likelihood() for i in range(PEOPLE)]
    error = likelihood(theta, data) - expected
    assert np.abs(error).max() < 0.01
    assert abs(error.sum()) < 0.1


@pytest.mark.parametrize("point", POINTS[:5])
def test_the_gaussian_part_is_one_dense_normal(
    design: Design, likelihood: Callable[..., Array], point: str
) -> None:
    theta = _theta(design, point)
    data = generate.generate(theta, design, np.random.default_rng(2))
    blocks = ("factors", "activation", "connectivity", "outcome")
    expected = [Person(theta, data, i, blocks).gaussian for i in range(PEOPLE)]
    np.testing.assert_allclose(likelihood(theta, data, blocks), expected, rtol=0, atol=1e-6)


def test_who_answered_nothing_is_integrated_exactly(design: Design, likelihood: Callable[..., Array]) -> None:
    for point in ("prior 1", "r .98"):
        theta = _theta(design, point)
        found = likelihood(theta, design)
        assert found[designs.NOTHING] == pytest.approx(0.0, abs=1e-9)
        expected = Person(theta, design, designs.NO_ITEMS, joint.BLOCKS).gaussian
        assert found[designs.NO_ITEMS] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("variable", "block"), [(n.ACTIVATION, "activation"), (n.CONNECTIVITY, "connectivity")]
)
def test_nobody_scanned_is_no_error_and_changes_no_one_else(
    design: Design, variable: str, block: str
) -> None:
    cohort = full_cohort(PEOPLE)
    cohort[variable][:] = np.nan
    spec = joint_spec(outcome="severity")
    unseen = make_design(cohort, spec)
    theta = _theta(design, "prior 1")
    gaussian = tuple(b for b in joint.BLOCKS if b != "items")
    found = joint.log_likelihood(theta, unseen, GRID, include=gaussian)
    expected = joint.log_likelihood(theta, design, GRID, include=tuple(b for b in gaussian if b != block))
    np.testing.assert_allclose(found, expected, atol=1e-10)


def _one_disorder(participants: int) -> xr.Dataset:
    """Return a cohort in which some people have the one disorder and some have none."""
    cohort = full_cohort(participants).isel({n.DISORDER: [0]})
    assert 0 < int(cohort[n.DIAGNOSIS].sum()) < participants
    return cohort


def test_one_disorder_is_a_contrast_with_people_without_it() -> None:
    """What sums to zero over one disorder is nothing; the level of people without any is left."""
    spec = joint_spec("heterogeneity/disorder_means", outcome="severity")
    cohort = make_design(_one_disorder(PEOPLE), spec)
    declared = joint.parameters(spec, cohort, read_priors())
    assert {"A", "m", "m_edge"}.isdisjoint(p.name for p in declared)
    assert {"level_none", "m_none", "m_edge_none"} <= {p.name for p in declared}
    theta = {k: v[0] for k, v in draw(declared, cohort.coords, np.random.default_rng(1), 1).items()}
    data = generate.generate(theta, cohort, np.random.default_rng(2))
    found = np.asarray(joint.log_likelihood(theta, data, GRID))
    assert np.isfinite(found).all()
    with pytest.raises(SpecError, match="one disorder"):
        make_design(_one_disorder(PEOPLE), joint_spec("heterogeneity/disorder_circuits"))


def test_blocks_add_up_to_the_total(design: Design, likelihood: Callable[..., Array]) -> None:
    theta = _theta(design, "prior 2")
    data = generate.generate(theta, design, np.random.default_rng(3))
    chain = [likelihood(theta, data, include) for include in CHAIN]
    steps = [chain[0], *(b - a for a, b in pairwise(chain))]
    np.testing.assert_allclose(sum(steps), likelihood(theta, data), atol=1e-8)
    # a block in which the person has no data adds nothing
    assert steps[0][designs.NO_FACTORS] == pytest.approx(0, abs=1e-9)
    assert steps[1][designs.NO_ITEMS] == pytest.approx(0, abs=1e-9)
    assert steps[2][designs.NO_SCAN] == pytest.approx(0, abs=1e-9)
    assert steps[3][designs.NO_SCAN] == pytest.approx(0, abs=1e-9)
    assert steps[4][9] == pytest.approx(0, abs=1e-9)


def test_what_the_explicit_route_samples_integrates_to_the_likelihood(
    design: Design, likelihood: Callable[..., Array]
) -> None:
    theta = _theta(design, "typical")
    data = generate.generate(theta, design, np.random.default_rng(4))
    moments = joint.person_moments(theta, data, GRID)
    axis = np.arange(-6.5, 6.51, 0.5)
    z = np.stack([m.ravel() for m in np.meshgrid(axis, axis, axis, indexing="ij")], axis=1)
    root = np.linalg.cholesky(np.asarray(moments.covariance))
    eta = np.asarray(moments.mean)[None] + np.einsum("iab,qb->qia", root, z)
    many = jax.jit(jax.vmap(lambda points: joint.log_joint(theta, data, points)))
    value = np.concatenate([np.asarray(many(part)) for part in np.split(eta, len(axis))])
    total = logsumexp(value, axis=0) + 3 * np.log(0.5)
    total += np.linalg.slogdet(root)[1]
    np.testing.assert_allclose(total, likelihood(theta, data), atol=0.01)


def test_moments_are_those_of_the_dense_grid(design: Design) -> None:
    theta = _theta(design, "prior 1")
    data = generate.generate(theta, design, np.random.default_rng(5))
    found = joint.person_moments(theta, data, quadrature.make_grid(3, order=7, curve_nodes=15))
    person = Person(theta, data, designs.NO_ITEMS, joint.BLOCKS)
    np.testing.assert_allclose(found.mean[designs.NO_ITEMS], person.mean, atol=1e-6)
    np.testing.assert_allclose(found.covariance[designs.NO_ITEMS], person.cov, atol=1e-6)


@pytest.mark.parametrize("scale", [0.1, 0.5])
def test_the_gradient_is_the_slope_of_the_density(scale: float, compact: density.Density) -> None:
    rng = np.random.default_rng(int(10 * scale))
    x = compact.start + scale * rng.standard_normal(compact.size)
    gradient = compact.value_and_gradient(x)[1]
    # node positions are constants of the gradient: it differs from the slope by the error of
    # quadrature. NUTS accepts by the value, so that this costs acceptance and biases nothing
    allowed = 0.003 * np.linalg.norm(gradient) / np.sqrt(compact.size)
    for _ in range(20):
        way = rng.standard_normal(compact.size)
        way /= np.linalg.norm(way)
        ahead, behind = (compact.value_and_gradient(x + step * way)[0] for step in (1e-4, -1e-4))
        assert (ahead - behind) / 2e-4 == pytest.approx(gradient @ way, rel=1e-3, abs=allowed)


@pytest.fixture(scope="module")
def compact() -> density.Density:
    return density.compile_density(build(small_spec(), small_cohort()))


@pytest.mark.parametrize("point", ["prior 1", "r .98", "large residual factor"])
@pytest.mark.parametrize("include", [*CHAIN, ("items", "connectivity"), ("activation",)])
def test_draws_in_bulk_have_the_likelihood_of_the_blocks(
    design: Design, point: str, include: tuple[str, ...]
) -> None:
    """What scores and comparison use, against the blocks in JAX, for every set of blocks."""
    theta = _theta(design, point)
    data = generate.generate(theta, design, np.random.default_rng(3))
    draws = {name: np.stack([value, value]) for name, value in theta.items()}
    found = marginal.evaluate(draws, data, include=include, grid=marginal.grid_settings(3)).log_integral
    expected = joint.log_likelihood(theta, data, GRID, include=include)
    np.testing.assert_allclose(found, np.stack([expected, expected]), rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("model", ["everything", "one function and no images"])
def test_the_density_is_that_of_pymc(model: str) -> None:
    """Value, gradient, and parameters of the vector, against PyMC's own graph compiled to JAX."""
    spec = joint_spec(outcome="severity") if model == "everything" else small_spec(**ONE_FUNCTION)
    data = full_design(spec) if model == "everything" else make_design(small_cohort(40), spec)
    built = build_design(spec, data)
    fast, stated, x = assert_density_is_pymcs(built, scales=(0.1, 0.5, 1.0))
    named = stated.parameters()(x)
    for name, draws in fast.constrain(x[None]).items():
        np.testing.assert_allclose(draws[0], named[name], rtol=1e-12, atol=1e-14, err_msg=name)


COHORTS = 60


@pytest.fixture(scope="module")
def score() -> tuple[Design, Theta, Callable[[Design], Array]]:
    """Return a design, parameters, and the gradient of the log-likelihood at them by the free vector."""
    spec = joint_spec(outcome="severity")
    design = full_design(spec, participants=120)
    stated = Reference(build_design(spec, design))
    expand = stated.parameters(roots=True)
    x = stated.start + 0.4 * np.random.default_rng(11).standard_normal(len(stated.start))

    def total(x: Any, data: dict[str, Any]) -> Any:
        return joint.log_likelihood(expand(x), replace(design, **data), GRID).sum()

    gradient = jax.jit(jax.grad(total))
    theta = {name: np.asarray(value) for name, value in expand(x).items()}
    return design, theta, lambda data: np.asarray(gradient(x, {f: getattr(data, f) for f in DATA}))


def test_the_score_of_generated_data_has_mean_zero(score: Any) -> None:
    """Any mismatch between what is generated and what is fitted shows in the mean of the gradient."""
    design, theta, gradient = score
    rng = np.random.default_rng(13)
    found = [gradient(generate.generate(theta, design, rng)) for _ in range(COHORTS)]
    assert (np.std(found, axis=0) > 0).all(), "a parameter that no data depend on"
    z = in_errors(found)
    assert np.abs(z).max() < 5
    assert np.mean(z**2) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("wrong", ["factor error", "slopes by disorder", "burden", "one region's loading"])
def test_a_mismatch_shows_in_the_score(score: Any, wrong: str) -> None:
    """The test above can fail: data from slightly other models are found out."""
    design, theta, gradient = score
    changed, other = design, dict(theta)
    if wrong == "factor error":
        changed = replace(design, factor_error=design.factor_error + 0.3)
    if wrong == "slopes by disorder":
        other["B_disorder"] = np.zeros_like(theta["B_disorder"])
        other["B"] = theta["B"] + 0.15
    if wrong == "burden":
        other["level_burden"] = theta["level_burden"] + 0.3
    if wrong == "one region's loading":
        other["L_offset"] = theta["L_offset"].copy()
        other["L_offset"][5] += 0.3
    rng = np.random.default_rng(14)
    data = [generate.generate(other, changed, rng) for _ in range(COHORTS // 2)]
    assert np.abs(in_errors([gradient(one) for one in data])).max() > 6


def test_the_residual_factor_of_items_is_integrated_well(design: Design) -> None:
    theta = _theta(design, "large residual factor")
    data = generate.generate(theta, design, np.random.default_rng(6))
    items = measurement.Items(theta, data)
    points = np.linspace(-3, 3, 13)
    gap = np.asarray(items.constants.log_gap)[:, design.function_of == 0].sum(axis=1)
    curve = np.asarray(items.curve(0, np.broadcast_to(points, (PEOPLE, 13)))) + gap[:, None]
    expected = [Person(theta, data, i, ()).item_curve(0, points) for i in range(PEOPLE)]
    np.testing.assert_allclose(curve, expected, rtol=0, atol=0.03)
