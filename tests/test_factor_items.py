"""Factors measured by items of their own: the integral, its gradient, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import jax
import numpy as np
import pytest

from brute_force import Person
from densities import assert_density_is_pymcs, in_errors
from designs import few, item_factor_cohort, item_factor_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import generate, joint, marginal
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build_design
from nssi_bayes.check.projection import _expected
from nssi_bayes.fit.density import compile_density, unconstrained
from nssi_bayes.fit.reference import Reference
from nssi_bayes.integrate import quadrature
from nssi_bayes.spec import JointSpec, read_priors

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]

PEOPLE = 18
NOTHING, NO_FUNCTION, NO_FACTOR_ITEMS = 0, 1, 2
ONE: dict[str, Any] = {
    "functions": {"distress": ["affect_regulation", "anti_dissociation", "self_punishment"]}
}
VARIED: dict[str, Any] = {"disorder": {"levels": True, "slopes": True, "spread": True}}
VARIANTS: dict[str, JointSpec] = {
    "one function": item_factor_spec(factors=["trauma"], **ONE),
    "two functions": item_factor_spec(**VARIED),
    "items with residual factors": item_factor_spec(
        measurement={"keep_items": ["emotional_abuse", "affect_regulation"]}
    ),
    "two factors": item_factor_spec("trauma", "stress"),
    "outcome": item_factor_spec(outcome="severity"),
}
STEEPEST = 3.0
"""Loadings up to which nodes are enough, as of functions alone (`marginal.grid_settings`)."""
COARSE = {"step": 0.32, "reach": 5.4}
"""Of four axes, whose grid of 1e6 points is dense enough: half the step moves a person by less than 1e-3."""


def _cohort_of(variant: str, participants: int = PEOPLE) -> Design:
    return make_design(item_factor_cohort(participants), VARIANTS[variant])


def _theta(variant: str, design: Design, point: str) -> Theta:
    """Return parameters: a draw from the priors without its steepest loadings, or nearer to posteriors."""
    declared = joint.parameters(VARIANTS[variant], design, read_priors())
    seed = {"prior": 1, "another": 2}.get(point, 3)
    theta = {k: v[0] for k, v in draw(declared, design.coords, np.random.default_rng(seed), 1).items()}
    theta["lambda"] = np.minimum(theta["lambda"], STEEPEST)
    if point == "typical":
        theta["lambda"] = np.linspace(1.2, 2.8, len(theta["lambda"]))
    if point == "close":  # functions and factors that correlate highly given everything else
        theta["lambda"] = np.full_like(theta["lambda"], 2.0)
        for name in ("Omega", "Omega_x"):
            if name in theta:
                size = len(theta[name])
                theta[name] = np.linalg.cholesky(np.where(np.eye(size) > 0, 1.0, 0.9))
        theta["B"] = np.full_like(theta["B"], 0.8)
    return theta


def _data(variant: str, point: str, *, participants: int = PEOPLE) -> tuple[Theta, Design]:
    empty = _cohort_of(variant, participants)
    theta = _theta(variant, empty, point)
    return theta, generate.generate(theta, empty, np.random.default_rng(5))


def _grid(design: Design, *, fine: bool = False) -> dict[str, Any]:
    return marginal.grid_settings(len(design.axes), fine=fine)


def _many(theta: Theta, design: Design, include: tuple[str, ...], *, fine: bool = False) -> Any:
    draws = {name: value[None] for name, value in theta.items()}
    return marginal.evaluate(draws, design, include=include, grid=_grid(design, fine=fine))


@pytest.mark.parametrize("point", ["typical", "close", "prior", "another"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_persons_integral_is_that_of_a_dense_grid(variant: str, point: str) -> None:
    theta, design = _data(variant, point)
    dense = COARSE if len(design.axes) > 3 else {}
    who = range(0, PEOPLE, 3) if dense else range(PEOPLE)
    expected = [Person(theta, design, i, joint.BLOCKS).log_likelihood(**dense) for i in who]
    fine = point in ("prior", "another")  # with the nodes of scores; else with the sampler's
    grid = quadrature.make_grid(len(design.axes), **_grid(design, fine=fine))
    stated = joint.log_likelihood(theta, design, grid)
    for found in (np.asarray(stated), _many(theta, design, joint.BLOCKS, fine=fine).log_integral[0]):
        error = found[list(who)] - expected
        assert np.abs(error).max() < 0.01
        assert abs(error.sum()) < 0.1


def test_a_dense_grid_of_four_axes_is_dense_enough() -> None:
    theta, design = _data("two factors", "close")
    person = Person(theta, design, 6, joint.BLOCKS)
    assert person.log_likelihood(**COARSE) == pytest.approx(
        person.log_likelihood(step=0.2, reach=5.4), abs=1e-3
    )


@pytest.mark.parametrize("variant", ["two functions", "outcome"])
def test_items_of_a_factor_are_data_of_the_factors(variant: str) -> None:
    """Blocks of data are those of the oracle, and their steps add up to the whole."""
    theta, design = _data(variant, "typical")
    assert design.axes == ["trauma", "self_related", "self_punishment"]
    blocks = joint.blocks_of(design)
    chain = [_many(theta, design, tuple(blocks[: i + 1])).log_integral[0] for i in range(len(blocks))]
    expected = [Person(theta, design, i, ("factors",)).log_likelihood(of=(0,)) for i in range(PEOPLE)]
    np.testing.assert_allclose(chain[0], expected, atol=0.01)
    alone = _many(theta, design, ("items",)).log_integral[0]
    expected = [Person(theta, design, i, ("items",)).log_likelihood(of=(1, 2)) for i in range(PEOPLE)]
    np.testing.assert_allclose(alone, expected, atol=0.01)
    assert chain[-1][NOTHING] == pytest.approx(0.0, abs=1e-9)
    assert chain[1][NO_FUNCTION] == pytest.approx(chain[0][NO_FUNCTION], abs=1e-6)
    stated = joint.log_likelihood(
        theta, design, quadrature.make_grid(3, **_grid(design)), include=("factors",)
    )
    np.testing.assert_allclose(chain[0], stated, atol=1e-9)
    steps = [chain[0], *(b - a for a, b in pairwise(chain))]
    np.testing.assert_allclose(sum(steps), _many(theta, design, joint.BLOCKS).log_integral[0], atol=1e-8)


def test_moments_are_those_of_the_dense_grid_and_functions_can_be_told_from_factors() -> None:
    theta, design = _data("two functions", "typical")
    found = _many(theta, design, joint.BLOCKS, fine=True)
    own = marginal.of_functions(found, design)
    for i in (NO_FUNCTION, NO_FACTOR_ITEMS, 7, 11):
        mean, covariance = Person(theta, design, i, joint.BLOCKS).posterior()
        np.testing.assert_allclose(found.mean[0, i], mean, atol=0.006)
        np.testing.assert_allclose(found.covariance[0, i], covariance, atol=0.006)
        np.testing.assert_allclose(own.mean[0, i], mean[1:], atol=0.006)
        np.testing.assert_allclose(own.covariance[0, i], covariance[1:, 1:], atol=0.006)


def test_expected_functions_and_factors_stand_in_the_order_of_their_dims() -> None:
    """Of someone who answered no item both moments are those of one dense normal."""
    theta, design = _data("two functions", "prior")
    silent = replace(design, response=np.full_like(design.response, design.missing_response))
    mean, covariance = _expected({k: v[None] for k, v in theta.items()}, silent)
    order = np.array([2, 3, 0, 1])  # functions, then factors: attachment by its score, trauma by items
    assert design.coords[n.FACTOR] == ["attachment", "trauma"]
    for i in (3, 8):
        person = Person(theta, silent, i, ("factors", "items"))
        np.testing.assert_allclose(mean[0, i], person.whole_mean[order], atol=1e-8)
        np.testing.assert_allclose(covariance[0, i], person.whole_cov[np.ix_(order, order)], atol=1e-8)


def test_expected_factors_with_scores_follow_from_all_axes() -> None:
    theta, design = _data("two functions", "close")
    mean, covariance = _expected({k: v[None] for k, v in theta.items()}, design)
    for i in (5, 9):
        person = Person(theta, design, i, ("factors", "items"))
        axes, spread = person.posterior()
        # attachment given the axes is normal: its regression on them, in the dense normal before the items
        onto = np.linalg.solve(person.whole_cov[1:, 1:], person.whole_cov[1:, 0])
        expected = person.whole_mean[0] + onto @ (axes - person.whole_mean[1:])
        left = person.whole_cov[0, 0] - onto @ person.whole_cov[1:, 0] + onto @ spread @ onto
        assert mean[0, i, 2] == pytest.approx(expected, abs=0.003)
        assert covariance[0, i, 2, 2] == pytest.approx(left, abs=0.003)


def _built(variant: str, *, participants: int = 40, **changes: Any) -> Built:
    spec = VARIANTS[variant].model_copy(update=changes)
    return build_design(spec, _cohort_of(variant, participants))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_density_is_that_of_pymc(variant: str) -> None:
    built = _built(variant)
    fast, stated, x = assert_density_is_pymcs(built, scales=(0.1, 0.7))
    named = stated.parameters()(x)
    for name, draws in fast.constrain(x[None]).items():
        np.testing.assert_allclose(draws[0], named[name], rtol=1e-12, atol=1e-14, err_msg=name)


def test_the_density_beside_images_is_that_of_pymc() -> None:
    spec = item_factor_spec(neural={"residual": "factor"}, connectivity={"residual": "factor"})
    design = make_design(item_factor_cohort(30, scanned=0.6), spec)
    assert len(design.scanned)
    assert_density_is_pymcs(build_design(spec, design), scales=(0.3,))


@pytest.mark.parametrize("variant", ["two functions", "two factors"])
def test_the_gradient_is_the_slope_of_the_density(variant: str) -> None:
    # with four axes the five nodes of the sampler leave a slope off by 4e-4 of the gradient's length
    compact = compile_density(replace(_built(variant), fine=variant == "two factors"))
    rng = np.random.default_rng(4)
    x = compact.start + 0.3 * rng.standard_normal(compact.size)
    gradient = compact.value_and_gradient(x)[1]
    # node positions are constants of the gradient (see test_integral)
    allowed = 0.003 * np.linalg.norm(gradient) / np.sqrt(compact.size)
    for _ in range(20):
        way = rng.standard_normal(compact.size)
        way /= np.linalg.norm(way)
        ahead, behind = (compact.value_and_gradient(x + step * way)[0] for step in (1e-4, -1e-4))
        assert (ahead - behind) / 2e-4 == pytest.approx(gradient @ way, rel=1e-3, abs=allowed)


def test_a_factor_that_nothing_depends_on_is_a_model_of_its_own() -> None:
    """Without slopes and correlations the likelihood is a product: of the rest, and of one graded model."""
    spec = item_factor_spec(disorder={"levels": True, "slopes": True})
    design = make_design(item_factor_cohort(PEOPLE), spec)
    declared = joint.parameters(spec, design, read_priors())
    theta = {k: v[0] for k, v in draw(declared, design.coords, np.random.default_rng(6), 1).items()}
    theta["B"][:, 1], theta["B_disorder"][:, 1], theta["Omega_x"] = 0.0, 0.0, np.eye(2)
    data = generate.generate(theta, design, np.random.default_rng(7))
    whole = _many(theta, data, joint.BLOCKS, fine=True).log_integral[0]

    own = data.function_of > 0
    plain = item_factor_spec(
        factors=["attachment"], factor_items={}, disorder={"levels": True, "slopes": True}
    )
    rest = make_design(item_factor_cohort(PEOPLE), plain)
    rest = replace(rest, response=_recoded(data, own, rest), factor=data.factor)
    left: Theta = {k: v for k, v in theta.items() if k != "Omega_x" and not k.startswith("category")}
    left |= {"lambda": theta["lambda"][own], "B": theta["B"][:, :1], "B_disorder": theta["B_disorder"][:, :1]}
    left |= {"M": theta["M"][:1], "N": theta["N"][:1]}
    for count in rest.category_groups:
        rows = np.flatnonzero(data.categories == count)
        left[f"category_probability_{count}"] = theta[f"category_probability_{count}"][own[rows]]
    others = _many(left, rest, joint.BLOCKS, fine=True).log_integral[0]
    expected = [_graded(theta, data, i) for i in range(PEOPLE)]
    np.testing.assert_allclose(whole - others, expected, atol=0.01)


def _recoded(data: Design, own: Array, rest: Design) -> Array:
    """Return the responses to some indicators, with the code of what is missing in another design."""
    response = data.response[:, own]
    return np.where(response == data.missing_response, rest.missing_response, response)


def _graded(theta: Theta, data: Design, i: int) -> float:
    """Return the log-likelihood of one latent of unit variance with its graded responses, by a fine sum."""
    mean = (
        theta["M"][1] @ (data.diagnosis[i] - data.diagnosis.mean(axis=0)) + theta["N"][1] @ data.covariate[i]
    )
    x = np.linspace(-9, 9, 2001)
    density = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi) * (x[1] - x[0])
    total = np.ones_like(x)
    for j in np.flatnonzero(data.function_of == 0):
        y, count = data.response[i, j], data.categories[j]
        if y == data.missing_response:
            continue
        row = list(np.flatnonzero(data.categories == count)).index(j)
        below = np.cumsum(theta[f"category_probability_{count}"][row])[:-1]
        kappa = np.concatenate([[-np.inf], np.log(below / (1 - below)), [np.inf]])
        move = theta["lambda"][j] * (mean + x)
        total = total * (1 / (1 + np.exp(move - kappa[y + 1])) - 1 / (1 + np.exp(move - kappa[y])))
    return float(np.log((total * density).sum()))


COHORTS = 60


@pytest.fixture(scope="module")
def score() -> Any:
    """Return a design, parameters, and the gradient of the log-likelihood at them by the free vector."""
    spec = item_factor_spec(disorder={"levels": True, "slopes": True}, outcome="severity")
    design = make_design(item_factor_cohort(120), spec)
    built = build_design(spec, design)
    start = compile_density(built).start
    expand = Reference(built).parameters(roots=True)
    drawn = expand(start + 0.3 * np.random.default_rng(11).standard_normal(len(start)))
    point = {name: np.array(value)[None] for name, value in drawn.items()}
    point["M"][0, 1] = 0.9, 0.5, 0.7, 0.4, 0.6  # all of one sign: where the origin is matters
    (x,) = unconstrained(built, point)
    grid = quadrature.make_grid(3, **_grid(design))
    fields = ("response", "factor", "outcome")

    def total(x: Any, data: dict[str, Any]) -> Any:
        return joint.log_likelihood(expand(x), replace(design, **data), grid).sum()

    gradient = jax.jit(jax.grad(total))
    theta = {name: np.asarray(value) for name, value in expand(x).items()}
    return design, theta, lambda data: np.asarray(gradient(x, {f: getattr(data, f) for f in fields}))


def test_the_score_of_generated_data_has_mean_zero(score: Any) -> None:
    design, theta, gradient = score
    rng = np.random.default_rng(13)
    found = [gradient(generate.generate(theta, design, rng)) for _ in range(COHORTS)]
    assert (np.std(found, axis=0) > 0).all(), "a parameter that no data depend on"
    z = in_errors(found)
    assert np.abs(z).max() < 5
    assert np.mean(z**2) == pytest.approx(1, abs=0.35)


@pytest.mark.parametrize("wrong", ["slope", "origin", "order of factors", "loading"])
def test_a_mismatch_shows_in_the_score(score: Any, wrong: str) -> None:
    design, theta, gradient = score
    changed, other = design, {k: v.copy() for k, v in theta.items()}
    if wrong == "slope":
        other["B"][0, 1] += 0.3
    if wrong == "origin":
        changed = replace(design, mean_diagnosis=np.zeros(5))
    if wrong == "order of factors":
        other["B"] = theta["B"][:, ::-1] + [[0.2, -0.2]]
    if wrong == "loading":
        other["lambda"][design.function_of == 0] *= 1.4
    rng = np.random.default_rng(14)
    data = [generate.generate(other, changed, rng) for _ in range(COHORTS // 2)]
    assert np.abs(in_errors([gradient(one) for one in data])).max() > 6


def test_people_left_out_keep_the_origin_of_everybody() -> None:
    """A factor has mean 0 over the cohort, also in the design of some of its people."""
    theta, design = _data("two functions", "prior")
    some = np.array([4, 6, 7, 15])
    part = few(design, some)
    assert np.abs(part.diagnosis.mean(axis=0) - np.asarray(design.mean_diagnosis)).max() > 0.1
    found = _many(theta, part, joint.BLOCKS).log_integral
    np.testing.assert_allclose(found, _many(theta, design, joint.BLOCKS).log_integral[:, some], atol=1e-9)
