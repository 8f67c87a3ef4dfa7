"""A second-order factor: what is left of the functions correlates by one factor alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from cohort import isas, make_cohort
from scipy import integrate, stats

from densities import assert_density_is_pymcs
from designs import small_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import generate, joint
from nssi_bayes.blocks.compiled import Slots
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.labelled import label, theta_of
from nssi_bayes.blocks.parameter import Parameter, draw, one_factor
from nssi_bayes.build import build_design
from nssi_bayes.errors import SpecError
from nssi_bayes.fit.density import likelihood_of, unconstrained
from nssi_bayes.fit.sample import sample
from nssi_bayes.fit.unconstrained import Unconstrained
from nssi_bayes.graph import _declare
from nssi_bayes.sensitivity.scaling import is_flat, log_priors
from nssi_bayes.spec import JointSpec, Sampler, read_priors

FUNCTIONS = {
    "regulation": ["affect_regulation", "anti_dissociation", "marking_distress"],
    "punishment": ["self_punishment"],
    "influence": ["interpersonal_influence", "interpersonal_boundaries", "autonomy"],
    "bonding": ["peer_bonding", "sensation_seeking", "toughness"],
}
COORDS: dict[str, list[Any]] = {"function": list("abcd"), "function_other": list("abcd")}
LOADING = Parameter("g", ("function",), "beta", alpha=2.0, beta=1.5)
OMEGA = Parameter("Omega", ("function", "function_other"), "one_factor", of="g")

type Array = np.ndarray[Any, Any]


def _spec(**changes: Any) -> JointSpec:
    return small_spec(functions=FUNCTIONS, general="second_order", **changes)


def _cohort(participants: int) -> xr.Dataset:
    rng = np.random.default_rng(5)
    return make_cohort(rng, participants, subscales=isas(), reliability={"trauma": 0.9})


def test_correlations_are_products_of_loadings() -> None:
    found = one_factor(np.array([[0.9, 0.8, 0.5, 0.0]]))[0]
    expected = [[1, 0.72, 0.45, 0], [0.72, 1, 0.4, 0], [0.45, 0.4, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(found, expected, atol=1e-15)


def test_the_prior_is_scipys_beta_and_pymcs_model_of_it() -> None:
    free = Unconstrained([LOADING, OMEGA], Slots({"g": (4,), "Omega": (4, 4)}))
    assert free.size == 4
    x = np.array([-2.0, 0.3, 1.5, 4.0])
    value, theta, _ = free(x)
    g = theta[:4]
    expected = stats.beta(2.0, 1.5).logpdf(g).sum() + np.log(g * (1 - g)).sum()
    assert value == pytest.approx(expected, rel=1e-12)
    with pm.Model(coords=COORDS) as model:
        stated: dict[str, Any] = {}
        for p in (LOADING, OMEGA):
            stated[p.name] = _declare(p, COORDS, stated)
    assert float(model.compile_logp()({model.value_vars[0].name: x})) == pytest.approx(value, rel=1e-6)
    root = theta[4:].reshape(4, 4)
    np.testing.assert_allclose(root @ root.T, one_factor(g), atol=1e-14)
    np.testing.assert_allclose(free.invert(theta), x, rtol=1e-12)
    one = Unconstrained([Parameter("g", ("function",), "beta", alpha=2.0, beta=1.5)], Slots({"g": (1,)}))
    assert integrate.quad(lambda v: np.exp(one(np.array([v]))[0]), -60, 60)[0] == pytest.approx(1, abs=1e-9)


def _value(free: Unconstrained, x: Array, weight: Array) -> float:
    log_prior, theta, _ = free(x)
    return log_prior + float((weight * np.sin(theta)).sum())


def test_slopes_go_through_the_root_to_the_loadings() -> None:
    free = Unconstrained([LOADING, OMEGA], Slots({"g": (4,), "Omega": (4, 4)}))
    rng = np.random.default_rng(4)
    weight = rng.standard_normal(20)
    for x in (rng.standard_normal(4), np.array([6.0, 6.0, -6.0, 0.0])):
        log_prior, theta, pull_back = free(x)
        assert np.isfinite(log_prior)
        found = pull_back(weight * np.cos(theta))
        step = 1e-5 * np.eye(4)
        expected = [(_value(free, x + e, weight) - _value(free, x - e, weight)) / 2e-5 for e in step]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_draws_are_of_the_prior_and_people_are_drawn_from_their_correlations() -> None:
    drawn = draw([LOADING, OMEGA], COORDS, np.random.default_rng(1), 4000)
    assert stats.kstest(drawn["g"].ravel(), stats.beta(2.0, 1.5).cdf).pvalue > 1e-3
    np.testing.assert_allclose(drawn["Omega"] @ np.swapaxes(drawn["Omega"], 1, 2), one_factor(drawn["g"]))
    spec = _spec(disorder={}, factors=[])
    design = make_design(_cohort(20_000), spec)
    declared = joint.parameters(spec, design, read_priors())
    theta = {k: v[0] for k, v in draw(declared, design.coords, np.random.default_rng(2), 1).items()}
    for name in ("G", "u_site"):
        theta[name] = np.zeros_like(theta[name])
    eta = generate.latents(theta, design, np.random.default_rng(3)).function
    np.testing.assert_allclose(np.corrcoef(eta.T), one_factor(theta["g"]), atol=0.03)


def test_people_are_as_likely_as_with_free_correlations_of_these_values() -> None:
    spec = _spec()
    design = make_design(_cohort(30), spec)
    made, free = (build_design(s, design) for s in (spec, spec.model_copy(update={"general": "none"})))
    theta = draw(made.parameters, design.coords, np.random.default_rng(1), 1)
    value, expected = (likelihood_of(b, np.arange(30))(unconstrained(b, theta)[0])[0] for b in (made, free))
    assert value == pytest.approx(expected, rel=1e-10)


@pytest.mark.slow  # compiling takes a minute
def test_the_density_is_that_of_pymc() -> None:
    spec = _spec()
    built = build_design(spec, make_design(_cohort(20), spec))
    fast, stated, x = assert_density_is_pymcs(built, scales=(0.1, 1.0))
    named = stated.parameters()(x)
    for name, draws in fast.constrain(x[None]).items():
        np.testing.assert_allclose(draws[0], named[name], rtol=1e-12, atol=1e-13, err_msg=name)


def test_a_flat_prior_is_not_scaled_and_another_is() -> None:
    theta = draw([LOADING, OMEGA], COORDS, np.random.default_rng(1), 50)
    expected = stats.beta(2.0, 1.5).logpdf(theta["g"]).sum(axis=1)
    found = log_priors(theta, [LOADING, OMEGA])
    assert list(found) == ["g"]
    np.testing.assert_allclose(found["g"], expected)
    flat = Parameter("g", ("function",), "beta", alpha=1.0, beta=1.0)
    assert is_flat(flat)
    assert not log_priors(theta, [flat, OMEGA])


def test_draws_come_back_from_their_names() -> None:
    spec = _spec()
    design = make_design(_cohort(20), spec)
    built = build_design(spec, design)
    theta = draw(built.parameters, design.coords, np.random.default_rng(1), 3)
    named = {k: v @ np.swapaxes(v, 1, 2) if k == "Omega" else v for k, v in theta.items()}
    again = theta_of(
        label({k: v[None] for k, v in named.items()}, built.parameters, design), built.parameters
    )
    for name, value in theta.items():
        np.testing.assert_allclose(again[name], value, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"functions": {k: FUNCTIONS[k] for k in list(FUNCTIONS)[:3]}}, "second_order needs 4 functions"),
        ({"groups": {"by": "site", "invariance": "metric"}}, "not beside groups"),
    ],
)
def test_what_says_nothing_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        small_spec(**{"functions": FUNCTIONS, "general": "second_order", **changes})


@pytest.mark.slow
def test_loadings_are_recovered() -> None:
    spec = _spec(disorder={}, factors=[])
    design = make_design(_cohort(400), spec)
    declared = joint.parameters(spec, design, read_priors())
    theta = {k: v[0] for k, v in draw(declared, design.coords, np.random.default_rng(2), 1).items()}
    theta["g"] = np.array([0.95, 0.8, 0.65, 0.5])
    theta["Omega"] = np.linalg.cholesky(one_factor(theta["g"]))
    theta["lambda"] = np.full_like(theta["lambda"], 1.6)
    built = build_design(spec, generate.generate(theta, design, np.random.default_rng(3)))
    drawn = sample(built, Sampler(chains=4, tune=200, draws=500), np.random.SeedSequence(1))
    values = drawn.values["g"].reshape(-1, 4)
    low, high = np.quantile(values, [0.005, 0.995], axis=0)
    assert ((low < theta["g"]) & (theta["g"] < high)).all()
    assert (values.std(axis=0) < 0.15).all()
    assert not drawn.statistics["diverging"].any()
    assert drawn.values["Omega"].shape[2:] == (4, 4)
    assert n.FUNCTION in design.coords
