"""Treatment, baseline, latent activation and slopes by disorder as terms of an outcome."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from cohort import add_terms
from scipy.special import expit
from scipy.stats import nbinom, norm

from brute_force import Person
from densities import assert_density_is_pymcs
from designs import full_cohort, joint_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import marginal
from nssi_bayes.blocks.baseline import baseline
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build, build_design
from nssi_bayes.errors import SpecError
from nssi_bayes.fit.density import compile_density, likelihood_of, unconstrained
from nssi_bayes.spec import JointSpec, parse
from outcomes import with_family

PEOPLE = 24
TERMS = {"treatment": ["therapy", "dose"], "baseline": True, "activation": True}
BY_DISORDER = {"levels": True, "loadings": True, "outcome": True, "burden": True}
GIVEN = ("factors", "activation", "connectivity")
NEW = ("w_disorder", "w_burden", "v", "theta", "phi", "baseline", "baseline_missing")

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


def _cohort(family: str = n.GAUSSIAN, participants: int = PEOPLE) -> xr.Dataset:
    cohort = full_cohort(participants)
    return add_terms(
        cohort if family == n.GAUSSIAN else with_family(cohort, family), np.random.default_rng(2)
    )


def _made(family: str = n.GAUSSIAN, *, seed: int = 1, **changes: Any) -> tuple[Built, Theta]:
    """Return a model with all terms and images, data drawn from it, and the parameters [1, ...]."""
    content = {"outcome_from": TERMS, "disorder": BY_DISORDER, **changes}
    built = build(joint_spec("outcome/joint", **content), _cohort(family))
    rng = np.random.default_rng(seed)
    theta = draw(built.parameters, built.design.coords, rng, 1)
    for name, value in {"v": 0.8, "dispersion": 0.7, "sigma_x": 0.9}.items():
        if name in theta:
            theta[name][:] = value
    data = generate({k: v[0] for k, v in theta.items()}, built.design, rng)
    return build_design(built.spec, data), theta


def _score(theta: Theta, built: Built, include: tuple[str, ...]) -> Array:
    """Return log-likelihoods; without items functions are wide, and need more nodes than the fine grid's."""
    grid = {**marginal.grid_settings(len(built.design.axes), fine=True), "order": 12}
    return marginal.evaluate(theta, built.design, include=include, grid=grid).log_integral[0]


def test_every_term_has_its_parameters() -> None:
    names = {p.name: p.dims for p in _made()[0].parameters}
    assert set(NEW) <= set(names)
    assert names["phi"] == (n.TREATMENT, n.FUNCTION)
    assert names["w_disorder"] == (n.FUNCTION, n.DISORDER)
    assert names["v"] == (n.NETWORK,)
    hurdle = {p.name for p in _made(n.HURDLE)[0].parameters}
    assert {name + end for name in NEW for end in ("", "_some")} <= hurdle


@pytest.mark.parametrize("residual", ["factor", "independent"])
def test_gaussian_data_are_those_of_brute_force(residual: str) -> None:
    terms = {**TERMS, "activation": residual == "factor"}
    built, theta = _made(outcome_from=terms, neural={"residual": residual})
    one = {name: value[0] for name, value in theta.items()}
    one.setdefault("loading_network", np.zeros(0))
    for include in ((*GIVEN, "outcome"), ("factors", "outcome"), ("activation", "outcome"), ("outcome",)):
        found = _score(theta, built, include)
        for i in range(PEOPLE):
            assert found[i] == pytest.approx(Person(one, built.design, i, include).gaussian, abs=1e-8)


@pytest.mark.parametrize("family", [n.BERNOULLI, n.NEGATIVE_BINOMIAL])
def test_an_outcome_that_is_not_gaussian_is_that_of_a_dense_sum(family: str) -> None:
    """The predictor is normal given what is Gaussian: its moments are those of an outcome without noise."""
    built, theta = _made(family)
    design = built.design
    one = {name: value[0] for name, value in theta.items()}
    whole = _score(theta, built, (*GIVEN, "outcome")) - _score(theta, built, GIVEN)
    z = np.linspace(-9, 9, 4001)
    for i in np.flatnonzero(design.outcome_seen):
        mean, sd = _predictor(one, built, int(i))
        mu, y = mean + sd * z, design.outcome[i]
        if family == n.BERNOULLI:
            density = expit(mu if y else -mu)
        else:
            size = 1 / one["dispersion"] ** 2
            rate = np.exp(mu) * design.outcome_exposure[i]
            density = _negative_binomial(y, rate, size)
        expected = np.log(np.trapezoid(density * norm.pdf(z), z))
        assert whole[i] == pytest.approx(expected, abs=3e-3)


def _negative_binomial(y: float, rate: Array, size: float) -> Array:
    return np.asarray(nbinom.pmf(y, size, size / (size + rate)))


def _predictor(one: Theta, built: Built, i: int) -> tuple[float, float]:
    """Return mean and sd of a person's predictor given factors and images."""
    theta = {**one, "sigma_outcome": np.array(1e-9)}
    theta.setdefault("a", np.array(0.0))

    def at(value: float) -> float:
        outcome = built.design.outcome.copy()
        outcome[i] = value
        return Person(theta, replace(built.design, outcome=outcome), i, (*GIVEN, "outcome")).gaussian

    low, middle, high = (at(v) for v in (-1.0, 0.0, 1.0))
    curvature = low - 2 * middle + high
    return (high - low) / (-2 * curvature), (-curvature) ** -0.5


@pytest.mark.parametrize("family", [n.GAUSSIAN, n.BERNOULLI, n.HURDLE])
def test_the_gradient_is_the_slope(family: str) -> None:
    """Functions are sampled, so that nothing is integrated by nodes."""
    built, theta = _made(family, route="explicit")
    density, rng = compile_density(built), np.random.default_rng(3)
    (first,) = unconstrained(built, theta)
    x = np.concatenate([first, rng.standard_normal(density.size - len(first))])
    _, gradient = density.value_and_gradient(x)
    usual = np.linalg.norm(gradient) / np.sqrt(len(x))
    for _ in range(12):
        along = rng.standard_normal(len(x)) / np.sqrt(len(x))

        def slope(step: float, along: Array = along) -> float:
            ahead, behind = (density.value_and_gradient(x + s * along)[0] for s in (step, -step))
            return (ahead - behind) / (2 * step)

        found = (4 * slope(5e-5) - slope(1e-4)) / 3
        assert gradient @ along == pytest.approx(found, rel=1e-5, abs=1e-5 * usual)


@pytest.mark.parametrize(
    ("family", "route"),
    [
        (n.HURDLE, "explicit"),
        pytest.param(n.GAUSSIAN, "auto", marks=pytest.mark.slow),
        pytest.param(n.ORDINAL, "auto", marks=pytest.mark.slow),
    ],
)
def test_the_density_is_that_of_pymc(family: str, route: str) -> None:
    built, _ = _made(family, route=route)
    assert_density_is_pymcs(built, scales=(0.1, 0.5))


def test_what_is_drawn_is_what_is_scored() -> None:
    """Over data drawn from the model the mean slope of the log-likelihood is 0, term by term."""
    built, theta = _made(functions={"all": ["affect_regulation", "anti_dissociation", "marking_distress"]},
                         measurement={"testlets": "sum"}, connectivity=None)  # fmt: skip
    (x,) = unconstrained(built, theta)
    one, rng = {k: v[0] for k, v in theta.items()}, np.random.default_rng(5)
    slopes = []
    for _ in range(200):
        drawn = build_design(built.spec, generate(one, built.design, rng))
        slopes.append(likelihood_of(drawn, np.arange(PEOPLE))(x)[1])
    found = np.array(slopes)
    z = found.mean(axis=0) / (found.std(axis=0) / np.sqrt(len(found)))
    assert np.isfinite(z[found.std(axis=0) > 0]).all()
    assert np.abs(z[found.std(axis=0) > 0]).max() < 4.5
    assert (found.std(axis=0) > 1e-8).mean() > 0.95


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"outcome": None}, "the model has no `outcome`"),
        ({"neural": None}, "residual factors of regions"),
        ({"neural": {"residual": "independent"}}, "residual factors of regions"),
        ({"outcome_from": {"treatment": ["terapy"]}}, "Did you mean 'therapy'"),
        ({"outcome_from": {"treatmnt": ["therapy"]}}, "treatment"),
        (
            {"outcome": "before", "outcome_from": {"baseline": True}},
            "names no `baseline` of the outcome 'before'",
        ),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        build(joint_spec("outcome/joint", **{"outcome_from": TERMS, **changes}), _cohort())


def test_a_treatment_that_is_not_known_is_refused_with_the_count() -> None:
    cohort = _cohort()
    cohort[n.TREATMENT_VALUE][:2, 0] = np.nan  # the first has no outcome
    with pytest.raises(SpecError, match="'therapy' is not known of 1 people"):
        build(joint_spec("outcome/joint", outcome_from={"treatment": ["therapy"]}), cohort)
    cohort[n.TREATMENT_VALUE][:, 0] = 1.0
    with pytest.raises(SpecError, match="the same of all"):
        build(joint_spec("outcome/joint", outcome_from={"treatment": ["therapy"]}), cohort)


@pytest.mark.parametrize(
    ("family", "raw", "exposure", "expected"),
    [
        (n.GAUSSIAN, [-0.5, 1.5, np.nan], None, [-0.5, 1.5, 0.0]),
        (n.NEGATIVE_BINOMIAL, [0.0, 6.0, np.nan], [1.0, 2.0, np.nan], [0.0, np.log(4.0), 0.0]),
        (n.BERNOULLI, [1.0, 0.0, np.nan], None, [1.0, 0.0, 0.0]),
    ],
)
def test_a_baseline_has_the_unit_in_which_it_predicts(
    family: str, raw: list[float], exposure: list[float] | None, expected: list[float]
) -> None:
    cohort = _cohort(n.BERNOULLI)
    cohort[n.OUTCOME_VALUE][:3, 1] = raw
    cohort = cohort.assign_coords({n.OUTCOME_FAMILY: (n.OUTCOME, [n.BERNOULLI, family])})
    if exposure is not None:
        whole = np.full(cohort[n.OUTCOME_VALUE].shape, np.nan)
        whole[:3, 1] = exposure
        cohort[n.OUTCOME_EXPOSURE] = (cohort[n.OUTCOME_VALUE].dims, whole)
    value, seen = baseline(cohort, "severity")
    np.testing.assert_allclose(value[:3], expected)
    assert seen[:3].tolist() == [True, True, False]
    with pytest.raises(SpecError, match="declares no baseline"):
        baseline(cohort, "before")


def test_groups_have_no_such_terms() -> None:
    content = joint_spec("outcome/joint", neural=None, connectivity=None, disorder={}).model_dump()
    content |= {"groups": {"by": "site", "invariance": "scalar"}, "outcome_from": {"baseline": True}}
    with pytest.raises(SpecError, match=r"outcome_from\.baseline: not beside groups"):
        parse(JointSpec, content, where="test")
