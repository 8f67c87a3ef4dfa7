"""Continuous indicators beside what else a model may have: it holds, or it is refused with a reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cohort import add_scores, make_cohort
from scipy import stats

from densities import assert_density_is_pymcs
from designs import few, small_cohort, small_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import joint, marginal
from nssi_bayes.blocks.compiled import Slots, compile_people
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.parameter import Parameter, draw
from nssi_bayes.blocks.people import join
from nssi_bayes.build import Built, build_design
from nssi_bayes.calibrate.person import draw_functions, most_complete
from nssi_bayes.calibrate.replication import _size
from nssi_bayes.check import predictive, prior
from nssi_bayes.errors import SpecError
from nssi_bayes.integrate.quadrature import Moments
from nssi_bayes.sensitivity.scaling import log_priors
from nssi_bayes.sensitivity.variants import Fitted, variants
from nssi_bayes.share.tables import safe_estimates
from nssi_bayes.spec import JointSpec, Sensitivity

LABELS = ("one", "two", "three", "four", "five", "six")
CONTINUOUS: dict[str, Any] = {"functions": {"inner": LABELS[:3], "outer": LABELS[3:]}}
MIXED: dict[str, Any] = {
    "functions": {
        "self_related": ["affect_regulation", "anti_dissociation", "marking_distress", "one", "two"],
        "self_punishment": ["self_punishment", "three", "four"],
    }
}
LADDER: dict[str, Any] = {
    **CONTINUOUS, "disorder": {}, "groups": {"by": "site", "invariance": "metric"},
}  # fmt: skip
SPREAD = {"levels": True, "spread": True}

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


def _design(spec: JointSpec, people: int = 30) -> Design:
    """Return a design of noise: subscales of items where the spec names some, and scores."""
    rng = np.random.default_rng(3)
    if "inner" in spec.functions:
        cohort = make_cohort(rng, people, subscales={}, reliability={"trauma": 0.8})
    else:
        cohort = small_cohort(people)
    value = rng.standard_normal((people, len(LABELS)))
    value[rng.random(value.shape) < 0.1] = np.nan
    value[0] = np.nan
    return make_design(add_scores(cohort, LABELS, value), spec, where="models/x/y.yaml")


def _built(content: dict[str, Any], people: int = 30, **changes: Any) -> tuple[Built, Theta]:
    """Return a model on data that it has drawn itself, and the parameters of these."""
    spec = small_spec(**{**content, **changes})
    built = build_design(spec, _design(spec, people))
    theta = draw(built.parameters, built.design.coords, np.random.default_rng(1), 1)
    for name in {"lambda", "lambda_score", "sigma_score"} & theta.keys():
        theta[name] = np.full_like(theta[name], 0.8)
    one = {k: v[0] for k, v in theta.items()}
    return build_design(spec, generate(one, built.design, np.random.default_rng(2))), one


@pytest.mark.parametrize(
    ("content", "changes", "said"),
    [
        (MIXED, {"measurement": {"bias": "dense"}}, "measurement.bias"),
        (MIXED, {"measurement": {"cross_loadings": True}}, "measurement.cross_loadings"),
        (MIXED, {"general": "bifactor"}, "general: bifactor"),
        (CONTINUOUS, {"measurement": {"bias": "dense"}}, "measurement.bias"),
        (LADDER, {"disorder": {"spread": True}}, "disorder.spread"),
        (LADDER, {"route": "explicit"}, "route: explicit"),
        (LADDER, {"disorder": {"loadings": True}}, "disorder.loadings"),
        ({**MIXED, "groups": LADDER["groups"], "disorder": {}}, {}, "subscales are ordinal"),
    ],
)
def test_what_is_not_there_is_refused(content: dict[str, Any], changes: dict[str, Any], said: str) -> None:
    """With what, where and how to mend it."""
    with pytest.raises(SpecError) as refused:
        _design(small_spec(**{**content, **changes}))
    assert any(said in problem for problem in refused.value.problems)
    assert refused.value.where == "models/x/y.yaml"
    assert refused.value.cure is not None
    assert "leave" in refused.value.cure


def test_a_subscale_with_a_factor_and_one_score_do_not_measure_a_function() -> None:
    functions = {"self_punishment": ["self_punishment", "one"]}
    for measurement in ({"testlets": "factor"}, {"keep_items": ["self_punishment"]}):
        with pytest.raises(SpecError, match="nothing but their correlation"):
            _design(small_spec(functions=functions, measurement=measurement))
    three = {"self_punishment": ["self_punishment", "one", "two"]}
    assert _design(small_spec(functions=three, measurement={"testlets": "factor"})).coords[n.TESTLET]


@pytest.mark.parametrize(
    ("content", "changes"),
    [
        (CONTINUOUS, {"disorder": SPREAD}),
        (CONTINUOUS, {"route": "explicit"}),
        (MIXED, {"disorder": SPREAD, "measurement": {"testlets": "factor"}}),
        (MIXED, {"disorder": SPREAD, "route": "explicit", "outcome": "severity"}),
    ],
)
def test_the_density_is_that_of_pymc(content: dict[str, Any], changes: dict[str, Any]) -> None:
    """Spread, residual factors and the explicit route hold beside continuous indicators."""
    built, _ = _built(content, **changes)
    assert_density_is_pymcs(built, scales=(0.1, 0.5), value_rtol=1e-9)


@pytest.mark.parametrize("content", [CONTINUOUS, MIXED, LADDER])
def test_people_are_taken_and_joined_with_all_that_is_theirs(content: dict[str, Any]) -> None:
    """Every person has the same likelihood alone, and beside others."""
    built, theta = _built(content)
    design, draws = built.design, {k: v[None] for k, v in theta.items()}
    people = len(design.diagnosis)
    first, second = few(design, np.arange(10)), few(design, np.arange(10, people))
    again = join(first, second)
    grid = marginal.grid_settings(2)

    def each(data: Design) -> Array:
        return marginal.evaluate(draws, data, include=joint.BLOCKS, grid=grid).log_integral[0]

    np.testing.assert_allclose(each(again), each(design), rtol=1e-12)
    np.testing.assert_allclose(each(first), each(design)[:10], rtol=1e-10)
    one = few(design, np.array([7]))  # of a ladder, the other groups have nobody
    np.testing.assert_allclose(each(one), each(design)[[7]], rtol=1e-10)


def test_people_in_groups_are_not_folded_one_by_one() -> None:
    built, theta = _built(LADDER)
    with pytest.raises(ValueError, match="sums of cross-products"):
        compile_people(built.design, Slots({k: v.shape for k, v in theta.items()}))


@pytest.mark.parametrize("content", [CONTINUOUS, LADDER])
def test_a_persons_functions_are_drawn_from_their_posterior(content: dict[str, Any]) -> None:
    built, theta = _built(content)
    person = most_complete(built.design)
    assert built.design.score_seen[person].all()
    draws = {k: np.repeat(v[None], 4000, axis=0) for k, v in theta.items()}
    eta = draw_functions(draws, built.design, person, np.random.default_rng(5))
    stated = {k: v[None] for k, v in theta.items()}
    found = marginal.evaluate(stated, built.design, include=joint.BLOCKS, grid=marginal.grid_settings(2))
    cov = found.covariance[0, person]
    z = (eta.mean(axis=0) - found.mean[0, person]) / np.sqrt(np.diag(cov) / len(eta))
    assert np.abs(z).max() < 4
    np.testing.assert_allclose(np.cov(eta.T), cov, atol=0.1 * np.trace(cov))


DRAWS = 1000


def _verdicts(theta: Theta, data: Design) -> dict[str, bool | None]:
    draws = {k: np.repeat(v[None], DRAWS, axis=0) for k, v in theta.items()}
    found = predictive.check(draws, data, np.random.default_rng(3), min_cell=11)
    assert len(found["rootograms"]) == len(data.coords[n.INDICATOR])
    return {c["name"]: c["passed"] for c in found["checks"]}


def _of_others(data: Design) -> Design:
    """Half the scores of everybody are somebody else's."""
    score = data.score.copy()
    score[:, ::2] = np.roll(score[:, ::2], 1, axis=0)
    seen = data.score_seen.copy()
    seen[:, ::2] = np.roll(seen[:, ::2], 1, axis=0)
    return replace(data, score=score, score_seen=seen)


def _wider(data: Design) -> Design:
    return replace(data, score=data.score * 1.6)


def _higher_in_a_disorder(data: Design) -> Design:
    shift = np.where(np.arange(data.score.shape[1]) == 0, 1.5, 0.0) * (data.diagnosis[:, [0]] > 0)
    return replace(data, score=np.where(data.score_seen, data.score + shift, 0))


@pytest.mark.parametrize("content", [CONTINUOUS, MIXED, LADDER])
def test_predictive_checks_see_continuous_indicators(content: dict[str, Any]) -> None:
    """Data of the model pass, those of another world do not."""
    built, theta = _built(content, people=150)
    verdicts = _verdicts(theta, built.design)
    others = [generate(theta, built.design, np.random.default_rng(seed)) for seed in (0, 1)]
    # one cohort of 20 has a check that is red by chance
    assert sum(False in found.values() for found in (verdicts, *(_verdicts(theta, d) for d in others))) < 2
    scores = {"score_moments", "score_pairs", "score_disorder_means"}
    assert scores <= verdicts.keys()
    assert ("item_histogram" in verdicts) == (content is MIXED)
    if content is not CONTINUOUS:
        return
    faults = {"score_pairs": _of_others, "score_moments": _wider,
              "score_disorder_means": _higher_in_a_disorder}  # fmt: skip
    for red, fault in faults.items():
        assert _verdicts(theta, fault(built.design))[red] is False, red


@pytest.mark.parametrize("unit", ["sd", "original"])
def test_priors_of_scores_are_judged_in_the_unit_they_have(unit: str) -> None:
    for content, items in ((CONTINUOUS, set()), (MIXED, {"item_floor", "item_pairs", "sum_score_sd"})):
        built, _ = _built(content, measurement={"unit": unit})
        found = prior.summarise(built, np.random.default_rng(1), min_cell=5)
        names = {row["name"] for row in found["statistics"]}
        assert names - {"disorder_means"} == items | {"score_pairs"} | (
            {"score_sd"} if unit == "sd" else set()
        )


def test_a_gamma_prior_is_scaled_and_ranked_as_one() -> None:
    gamma = {"family": "gamma", "alpha": 1.5, "beta": 0.5}
    built, _ = _built(CONTINUOUS, priors={"sigma_score": gamma, "nu": {"sigma": 3}})
    declared = {p.name: p for p in built.parameters}
    value = np.array([[0.3, 1.0], [2.0, 4.0]])
    found = log_priors({"sigma_score": value}, [declared["sigma_score"]])["sigma_score"]
    expected = stats.gamma.logpdf(value, 1.5, scale=2).sum(axis=1)
    np.testing.assert_allclose(found, expected)
    away = -_size(declared["sigma_score"], value) - expected
    np.testing.assert_allclose(away, away[0])


def _variants(built: Built, *kinds: str) -> dict[str, dict[str, Parameter]]:
    moments = Moments(*(np.zeros(0),) * 3)
    settings = Sensitivity(refits=kinds)  # type: ignore[arg-type]
    found = variants(built, settings, Fitted({}, moments), np.random.default_rng(0))
    return {v.name: {} if v.built is None else {p.name: p for p in v.built.parameters} for v in found}


def test_scaled_priors_keep_the_family_that_a_spec_chose() -> None:
    priors = {
        "sigma_score": {"family": "gamma", "alpha": 1.5, "beta": 0.5},
        "lambda_score": {"family": "lognormal", "mu": 0.1, "sigma": 0.4},
    }
    built, _ = _built(CONTINUOUS, priors=priors)
    doubled = _variants(built, "double")["prior scales x 2"]
    residual, loading, intercept = (doubled[k] for k in ("sigma_score", "lambda_score", "nu"))
    assert (residual.family, residual.alpha, residual.beta) == ("gamma", 1.5, 0.25)
    assert (loading.family, loading.mu, loading.sigma) == ("lognormal", 0.1, 0.8)
    assert (intercept.family, intercept.sigma) == ("normal", 2.0)


def test_no_site_of_a_ladder_is_left_out() -> None:
    built, _ = _built(LADDER)
    assert _variants(built, "site") == {"each site left out": {}}


def test_what_is_told_of_a_group_stays_in_the_lab() -> None:
    rows = [{"indicator": "one", "function": "inner", "continuous": True, "group": "Charité", "loading": {}}]
    kept, told = safe_estimates({"measurement": rows, "rope": 0.2}, [])
    assert kept == {"measurement": [], "rope": 0.2}
    assert told == ["measurement: 1 rows, which are of groups"]
