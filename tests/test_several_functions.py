"""Indicators of several functions: cross-loadings, a general function, and the route that samples them."""

from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from brute_force import STEP, Person
from densities import assert_density_is_pymcs
from designs import full_design, joint_spec, small_cohort, small_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import generate, joint, marginal
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import build_design
from nssi_bayes.errors import SpecError
from nssi_bayes.integrate import jointly, quadrature
from nssi_bayes.spec import JointSpec, read_priors

SHIPPED: dict[str, Any] = {"testlets": "sum", "keep_items": ["self_punishment", "anti_suicide"]}
VARIANTS: dict[str, dict[str, Any]] = {
    "cross-loadings": {"measurement": {**SHIPPED, "cross_loadings": True, "bias": "dense"}},
    "bifactor": {"general": "bifactor", "measurement": {"testlets": "factor"}},
    "explicit by choice": {"route": "explicit", "measurement": SHIPPED},
}
PEOPLE = 24

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


def _spec(variant: str) -> JointSpec:
    return joint_spec("heterogeneity/disorder_means", **VARIANTS[variant])


def _data(variant: str, seed: int) -> tuple[JointSpec, Theta, Design]:
    spec = _spec(variant)
    empty = full_design(spec, participants=PEOPLE)
    declared = joint.parameters(spec, empty, read_priors())
    theta = {k: v[0] for k, v in draw(declared, empty.coords, np.random.default_rng(seed), 1).items()}
    return spec, theta, generate.generate(theta, empty, np.random.default_rng(seed + 1))


def _dense(theta: Theta, design: Design, i: int) -> float:
    """Integrate one person's functions on a fine grid, items at every point of it."""
    person = Person(theta, design, i, joint.BLOCKS)
    functions = len(person.mean)
    axis = np.arange(-5.5, 5.5 + 0.275 / 2, 0.275)
    z = np.stack([m.ravel() for m in np.meshgrid(*[axis] * functions, indexing="ij")])
    eta = person.mean[:, None] + np.linalg.cholesky(person.cov) @ z
    total = -0.5 * (z**2).sum(axis=0) + functions * (np.log(0.275) - 0.5 * np.log(2 * np.pi))
    t = np.arange(-6, 6.01, 0.25)
    log_t = -0.5 * t**2 + np.log(0.25) - 0.5 * np.log(2 * np.pi)
    extra = theta.get("cross_loading", theta.get("lambda_general"))
    load = np.zeros((len(theta["lambda"]), functions))
    for j, f in enumerate(design.function_of):
        load[j, f] = theta["lambda"][j]
    for size, j, f in zip(extra, design.further_indicator, design.further_function, strict=True):
        load[j, f] = size
    for s in np.unique(design.testlet_of):
        items = np.flatnonzero(design.testlet_of == s)
        if s < 0:
            total = total + sum(person._item(int(j), load[j] @ eta) for j in items)
            continue
        both = log_t[:, None] + np.zeros(eta.shape[1])
        for j in items:
            both = both + person._item(int(j), load[j] @ eta + theta["gamma"][s] * t[:, None])
        total = total + logsumexp(both, axis=0)
    return person.gaussian + float(logsumexp(total))


@pytest.mark.parametrize("variant", ["cross-loadings", pytest.param("bifactor", marks=pytest.mark.slow)])
def test_scores_integrate_over_functions_that_items_share(variant: str) -> None:
    assert STEP < 0.275  # of the separable oracle
    _, theta, design = _data(variant, 1)
    draws = {name: value[None] for name, value in theta.items()}
    grid = marginal.grid_settings(3, fine=True)
    found = marginal.evaluate(draws, design, include=joint.BLOCKS, grid=grid)
    some = np.arange(0, PEOPLE, 3)
    error = found.log_integral[0, some] - [_dense(theta, design, int(i)) for i in some]
    assert np.abs(error).max() < 0.01
    assert np.isfinite(found.mean).all()
    assert (np.linalg.eigvalsh(found.covariance[0]) > 0).all()


@pytest.mark.parametrize(
    "variant", [v if "load" in v else pytest.param(v, marks=pytest.mark.slow) for v in VARIANTS]
)
def test_the_explicit_density_is_that_of_pymc(variant: str) -> None:
    spec, _, design = _data(variant, 2)
    assert spec.explicit
    built = build_design(spec, design)
    fast, stated, _ = assert_density_is_pymcs(built, scales=(0.1, 1.0), value_rtol=1e-9, gradient_rtol=1e-8)
    assert fast.size == len(stated.start)


def test_residual_factors_that_are_sampled_integrate_to_those_that_are_integrated() -> None:
    spec = joint_spec("heterogeneity/disorder_means", measurement=SHIPPED)
    design = full_design(spec, participants=PEOPLE)
    declared = joint.parameters(spec, design, read_priors())
    theta = {k: v[0] for k, v in draw(declared, design.coords, np.random.default_rng(3), 1).items()}
    assert len(design.coords[n.TESTLET]) == 1
    eta = np.random.default_rng(4).standard_normal((PEOPLE, 3))
    t = np.arange(-7, 7.01, 0.1)
    both = [joint.log_joint(theta, design, eta, testlet=np.full((PEOPLE, 1), v)) for v in t]
    total = logsumexp(np.stack(both), axis=0) + np.log(0.1)
    np.testing.assert_allclose(total, joint.log_joint(theta, design, eta), atol=2e-3)


def test_a_specific_function_of_one_subscale_is_dropped() -> None:
    design = full_design(_spec("bifactor"))
    assert design.coords[n.FUNCTION] == ["general", "emotion_regulation", "social_signalling"]
    labels = design.coords[n.INDICATOR]
    own = [labels[j] for j in np.flatnonzero(design.function_of == 0)]
    assert len(own) == 3  # self-punishment: of the general function alone
    assert set(design.coords[n.GENERAL_INDICATOR]) == set(labels) - set(own)
    names = {p.name for p in joint.parameters(_spec("bifactor"), design, read_priors())}
    assert "Omega" not in names  # general and specific are uncorrelated given their predictors
    assert {"lambda_general", "A", "B"} <= names


def test_every_indicator_may_load_on_every_other_function() -> None:
    design = full_design(_spec("cross-loadings"))
    assert len(design.coords[n.CROSS_LOADED]) == 2 * len(design.categories)
    pairs = zip(design.further_indicator, design.further_function, strict=True)
    assert all(design.function_of[j] != f for j, f in pairs)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"route": "marginal", "measurement": {"cross_loadings": True}}, "write route: auto"),
        ({"general": "bifactor", "measurement": {"cross_loadings": True}}, "choose one"),
        ({"general": "bifactor", "measurement": {"bias": "dense"}}, "leave one of them out"),
        ({"functions": {"all": ["affect_regulation"]}, "measurement": {"cross_loadings": True}}, "no other"),
    ],
)
def test_models_that_are_no_model_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        make_design(small_cohort(), small_spec(**changes))


def _two_specific(cohort: Any) -> Design:
    names = ["affect_regulation", "anti_dissociation", "marking_distress", "self_punishment"]
    pairs = {"one": names[:2], "two": names[2:]}
    spec = small_spec(functions=pairs, general="bifactor", measurement={"testlets": "none"})
    return make_design(cohort, spec)


def test_a_general_function_needs_no_indicator_of_its_own() -> None:
    """Where all specific functions stay, it is measured by their indicators."""
    design = _two_specific(small_cohort())
    assert design.coords[n.FUNCTION] == ["general", "one", "two"]
    assert design.coords[n.GENERAL_INDICATOR] == design.coords[n.INDICATOR]


def test_people_in_common_link_a_general_function() -> None:
    cohort = small_cohort().copy(deep=True)
    first = np.isin(cohort[n.ITEM_SUBSCALE], ["affect_regulation", "anti_dissociation"])
    half = np.arange(cohort.sizes[n.PARTICIPANT]) < 30
    cohort[n.RESPONSE].to_numpy()[half[:, None] == first] = np.nan
    with pytest.raises(SpecError, match=r"functions.general: its indicators fall into 2 parts"):
        _two_specific(cohort)
    _two_specific(cohort.assign_attrs(assume="equivalent_groups"))


@pytest.mark.parametrize("place", [20.0, 220.0, -400.0])
def test_functions_far_from_what_items_say_are_integrated(place: float) -> None:
    """Where Gaussian data hold a function there, with loadings of 4, odds are no numbers any more."""
    precision, size, constant = 40.0, 4.0, 0.7
    matrix = np.array([[[precision, precision * place], [precision * place, 0.0]]])
    up, low = (constant, 0.0) if place > 0 else (0.0, constant)  # the category at the other end
    items = jointly.Items(
        np.array([[up]]),
        np.array([[low]]),
        np.array([[[size]]])[0],
        np.zeros(0),
        np.array([-1]),
        np.zeros(1),
        np.ones(1),
    )
    nodes = jointly.make_nodes(quadrature.make_grid(1))
    value, mean, _ = jointly.integrate(matrix, items, jointly.no_outcome(1), *nodes)
    pull = precision * place - np.sign(place) * size  # the item's logarithm is a line there
    expected = pull**2 / (2 * precision) + 0.5 * np.log(2 * np.pi / precision) - np.log(constant)
    assert value[0] == pytest.approx(expected, abs=1e-6)
    assert mean[0, 0] == pytest.approx(pull / precision)
