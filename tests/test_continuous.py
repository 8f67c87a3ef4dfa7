"""Continuous indicators: every route against dense normals, PyMC's statement and each other."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr
from cohort import add_scores, make_cohort
from scipy.stats import multivariate_normal

from brute_force import Person
from designs import full_cohort, joint_spec, small_cohort, small_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import generate, joint, marginal
from nssi_bayes.blocks.compiled import Slots
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.blocks.sums import Sums, persons
from nssi_bayes.build import Built, build, build_design, fingerprint
from nssi_bayes.check import scores as check_scores
from nssi_bayes.errors import SpecError
from nssi_bayes.fit.density import compile_density
from nssi_bayes.fit.reference import Reference
from nssi_bayes.graph import to_rows, with_rows
from nssi_bayes.integrate import quadrature
from nssi_bayes.schema import violations
from nssi_bayes.spec import JointSpec, read_priors

LABELS = ("one", "two", "three", "four", "five", "six", "seven")
GRID = quadrature.make_grid(2, **marginal.grid_settings(2))
BLOCKS = ("factors", "items", "outcome")
RUNGS = ("configural", "metric", "scalar", "strict")

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


def _scored(cohort: xr.Dataset, *, missing: float = 0.15, seed: int = 3) -> xr.Dataset:
    """Add seven scores of noise; the first person has none of them, the second one."""
    rng = np.random.default_rng(seed)
    value = rng.standard_normal((cohort.sizes[n.PARTICIPANT], len(LABELS)))
    value[rng.random(value.shape) < missing] = np.nan
    value[0], value[1, 1:] = np.nan, np.nan
    return add_scores(cohort, LABELS, value)


def _cohort(participants: int = 40, **changes: Any) -> xr.Dataset:
    subscales: dict[str, tuple[int, ...]] = {}
    rng = np.random.default_rng(5)
    cohort = make_cohort(rng, participants, subscales=subscales, reliability={"trauma": 0.8, "stress": 0.6})
    return _scored(cohort, **changes)


def _spec(**changes: Any) -> JointSpec:
    content: dict[str, Any] = {
        "functions": {"inner": LABELS[:4], "outer": LABELS[4:]},
        "factors": ["trauma", "stress"],
        "disorder": {"levels": True},
        "outcome": "severity",
    }
    return small_spec(**{**content, **changes})


def _ladder(rung: str, **changes: Any) -> JointSpec:
    groups = {"by": "site", "invariance": rung}
    return _spec(**{"groups": groups, "disorder": {}, "factors": ["trauma"], **changes})


def _at(spec: JointSpec, design: Design, seed: int = 1) -> Theta:
    drawn = draw(
        joint.parameters(spec, design, read_priors(spec.priors)),
        design.coords,
        np.random.default_rng(seed),
        1,
    )
    return {name: value[0] for name, value in drawn.items()}


def _case(name: str) -> tuple[JointSpec, Design, Theta]:
    if name == "one function":
        spec = _spec(functions={"whole": LABELS}, factors=[], outcome=None)
    elif name in RUNGS:
        spec = _ladder(name)
    else:
        spec = _spec()
    design = make_design(_cohort(), spec)
    theta = _at(spec, design)
    return spec, generate.generate(theta, design, np.random.default_rng(2)), theta


def _dense(theta: Theta, design: Design, i: int) -> float:
    """Log-density of one person of a ladder by SciPy, written apart from the package."""
    g = design.group_of[i]
    labels = design.coords[n.GROUP]
    root = theta["Omega"] if g == 0 else theta[f"Omega_group_{labels[g]}"]
    spread = np.ones(2) if g == 0 or "spread_group" not in theta else theta["spread_group"][g - 1]
    alpha = np.zeros(2) if g == 0 or "level_group" not in theta else theta["level_group"][g - 1]
    of = {k: theta[k][g] if theta[k].ndim == 2 else theta[k] for k in ("nu", "lambda_score", "sigma_score")}
    mean_x = theta["mu_x"] + theta["M"] @ design.diagnosis[i] + theta["N"] @ design.covariate[i]
    mean_e = alpha + theta["G"] @ design.covariate[i] + theta["B"] @ mean_x
    S = np.diag(spread)
    var_x = theta["sigma_x"] ** 2
    cov_e = S @ root @ root.T @ S + theta["B"] @ np.diag(var_x) @ theta["B"].T
    mean, cov = np.concatenate([mean_x, mean_e]), np.zeros((3, 3))
    cov[0, 0], cov[1:, 1:] = var_x[0], cov_e
    cov[1:, 0] = cov[0, 1:] = theta["B"][:, 0] * var_x[0]
    H = np.zeros((9, 3))
    H[0, 0] = 1
    H[np.arange(1, 8), 1 + design.score_function] = of["lambda_score"]
    H[8] = [*theta["q"], *theta["w"]]
    offset = np.concatenate([[0], of["nu"], [theta["a"] + theta["d"] @ design.diagnosis[i]]])
    offset[8] += theta["outcome_covariate"] @ design.covariate[i] + theta["site_outcome"] @ design.site[i]
    noise = np.concatenate([design.factor_error, of["sigma_score"] ** 2, [theta["sigma_outcome"] ** 2]])
    value = np.concatenate([design.factor[i], design.score[i], [design.outcome[i]]])
    seen = np.concatenate([design.factor_seen[i], design.score_seen[i], [design.outcome_seen[i]]])
    whole = H @ cov @ H.T + np.diag(noise)
    if not seen.any():
        return 0.0
    return float(
        multivariate_normal((H @ mean + offset)[seen], whole[np.ix_(seen, seen)]).logpdf(value[seen])
    )


@pytest.mark.parametrize("name", ["two functions", "one function", *RUNGS])
def test_every_persons_likelihood_is_a_dense_normal(name: str) -> None:
    """The statement in JAX and the sums, each person, 1e-6 and better."""
    _, design, theta = _case(name)
    stated = joint.log_likelihood(theta, design, GRID)
    slots = Slots({k: v.shape for k, v in theta.items()})
    found, mean, covariance = Sums(design, slots).each(slots.joined(theta))
    np.testing.assert_allclose(found, stated, rtol=1e-10, atol=1e-10)
    people = range(len(found))
    if name in RUNGS:
        expected = [_dense(theta, design, i) for i in people]
    else:
        persons_ = [Person(theta, design, i, BLOCKS) for i in people]
        expected = [p.gaussian for p in persons_]
        np.testing.assert_allclose(mean, [p.mean for p in persons_], atol=1e-8)
        np.testing.assert_allclose(covariance, [p.cov for p in persons_], atol=1e-8)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["two functions", "one function", *RUNGS])
def test_sums_are_the_sum_of_people_with_its_gradient(name: str) -> None:
    """Value and slope against the person-wise density in JAX, to 1e-9 of its size."""
    _, design, theta = _case(name)
    slots = Slots({k: v.shape for k, v in theta.items()})
    sums = Sums(design, slots)

    def total(vector: Any) -> Any:
        return joint.log_likelihood(slots.named(vector), design, GRID).sum()

    both = jax.jit(jax.value_and_grad(total))
    for seed in range(4):
        drawn = _at(_case(name)[0], design, seed)
        # a residual sd near 0 costs digits in either form
        for least, digits in ((0.0, 1e-6), (0.2, 1e-9)):
            vector = slots.joined(drawn | {"sigma_score": np.maximum(drawn["sigma_score"], least)})
            value, gradient = sums.value_and_gradient(vector)
            other, expected = both(vector)
            assert value == pytest.approx(float(other), rel=digits)
            np.testing.assert_allclose(gradient, expected, rtol=digits, atol=digits * np.abs(expected).max())


@pytest.mark.parametrize("include", [("factors",), ("factors", "items"), ("items", "outcome"), BLOCKS])
def test_scores_of_blocks_are_those_of_the_statement(include: Sequence[str]) -> None:
    _, design, theta = _case("two functions")
    draws = {k: np.stack([v, v]) for k, v in theta.items()}
    found = marginal.evaluate(draws, design, include=include, grid=marginal.grid_settings(2))
    expected = joint.log_likelihood(theta, design, GRID, include=include)
    np.testing.assert_allclose(found.log_integral[1], expected, rtol=1e-10, atol=1e-10)
    assert np.isfinite(found.mean).all()


def _mixed(**changes: Any) -> tuple[JointSpec, Design]:
    functions = {
        "self_related": ["affect_regulation", "anti_dissociation", "marking_distress", "one", "two"],
        "self_punishment": ["self_punishment", "three", "four"],
    }
    spec = small_spec(functions=functions, outcome="severity", **changes)
    return spec, make_design(_scored(small_cohort(30)), spec)


def test_continuous_and_ordinal_indicators_measure_one_function() -> None:
    """Against a dense grid, and in bulk against the statement."""
    spec, design = _mixed()
    assert design.coords[n.SCORE] == ["one", "two", "three", "four"]
    theta = _at(spec, design)
    data = generate.generate(theta, design, np.random.default_rng(4))
    stated = np.asarray(joint.log_likelihood(theta, data, GRID))
    expected = [Person(theta, data, i, joint.BLOCKS).log_likelihood() for i in range(12)]
    np.testing.assert_allclose(stated[:12], expected, atol=0.01)
    draws = {k: v[None] for k, v in theta.items()}
    found = marginal.evaluate(draws, data, include=joint.BLOCKS, grid=marginal.grid_settings(2))
    np.testing.assert_allclose(found.log_integral[0], stated, rtol=1e-10, atol=1e-9)
    # scores given what items alone say of the same people
    bare = joint.log_likelihood(theta, data, GRID, include=("factors",))
    assert not np.allclose(bare, stated)


SCANNED: dict[str, Any] = {
    "functions": {"inner": LABELS[:4], "outer": LABELS[4:]}, "measurement": {"keep_items": []},
}  # fmt: skip


_QUICK = ("mixed", "sums", "scalar")


@pytest.mark.parametrize(
    "kind",
    [*_QUICK, *(pytest.param(k, marks=pytest.mark.slow) for k in ("gamma", "slopes by disorder", "scans",
                                                                 *RUNGS) if k not in _QUICK)],
)  # fmt: skip
def test_the_density_is_that_of_pymc(kind: str) -> None:
    """Value, gradient and parameters of every route, against PyMC's own graph."""
    if kind == "mixed":
        spec, design = _mixed()
    elif kind == "scans":
        spec = joint_spec(outcome="severity", **SCANNED)
        design = make_design(_scored(full_cohort(20)), spec)
    else:
        gamma = {"family": "gamma", "alpha": 1.5, "beta": 0.5}
        spec = {
            "sums": _spec(),
            "gamma": _spec(priors={"sigma_score": gamma, "lambda_score": gamma}),
            "slopes by disorder": _spec(disorder={"levels": True, "slopes": True}),
        }.get(kind) or _ladder(kind)
        design = make_design(_cohort(), spec)
    built = build_design(spec, design)
    alone = persons(design, {p.name: p for p in built.parameters})
    assert (alone is None) == (kind in ("sums", "gamma", *RUNGS)), alone
    fast, stated = compile_density(built), Reference(built)
    expected_of, rng = stated.value_and_gradient(), np.random.default_rng(0)
    for scale in (0.1, 0.5):
        x = fast.start + scale * rng.standard_normal(fast.size)
        value, gradient = fast.value_and_gradient(x)
        other, expected = expected_of(x)
        assert value == pytest.approx(other, rel=1e-9, abs=1e-5)  # constants of single precision
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    named = stated.parameters()(x)
    for name, draws in fast.constrain(x[None]).items():
        np.testing.assert_allclose(draws[0], named[name], rtol=1e-12, atol=1e-14, err_msg=name)


COHORTS = 60


@pytest.mark.parametrize("name", ["two functions", "scalar", "configural"])
def test_the_score_of_generated_data_has_mean_zero(name: str) -> None:
    """What is generated is what is fitted, and a slightly other model is found out."""
    _, design, theta = _case(name)
    slots = Slots({k: v.shape for k, v in theta.items()})
    vector, rng = slots.joined(theta), np.random.default_rng(13)

    def z(true: Theta) -> Array:
        found = [
            Sums(generate.generate(true, design, rng), slots).value_and_gradient(vector)[1]
            for _ in range(COHORTS)
        ]
        spread = np.std(found, axis=0, ddof=1)
        used = spread > 0  # not the scales of effects, nor what stands above a diagonal
        return (np.mean(found, axis=0) / (spread / np.sqrt(COHORTS) + ~used))[used]

    right = z(theta)
    assert np.abs(right).max() < 5
    wrong = theta | {"sigma_score": theta["sigma_score"] * 1.3}
    assert np.abs(z(wrong)).max() > 6


def test_rows_go_through_and_nobodys_missing_value_is_one() -> None:
    _, design, _ = _case("two functions")
    again = with_rows(design, to_rows(design))
    np.testing.assert_array_equal(again.score, design.score)
    np.testing.assert_array_equal(again.factor, design.factor)
    np.testing.assert_array_equal(again.outcome, design.outcome)
    assert np.isfinite(to_rows(design)).all()


def test_the_unit_of_the_file_is_the_models_where_it_is_asked_for() -> None:
    cohort = _cohort()
    cohort[n.SCORE_VALUE + n.SCALE][:] = 2.0
    cohort[n.SCORE_VALUE + n.CENTER][:] = 10.0
    raw = make_design(cohort, _spec(measurement={"unit": "original"}))
    plain = make_design(cohort, _spec())
    np.testing.assert_allclose(raw.score[raw.score_seen], 10 + 2 * plain.score[plain.score_seen])
    assert (raw.score[~raw.score_seen] == 0).all()


def test_a_function_counts_indicators_of_both_kinds_and_names_have_one_meaning() -> None:
    cohort = _cohort()
    assert violations(cohort) == []
    with pytest.raises(SpecError, match="2 indicators"):
        make_design(cohort, _spec(functions={"inner": LABELS[:5], "outer": LABELS[5:]}))
    with pytest.raises(SpecError, match=r"'sevn'.*seven"):
        make_design(cohort, _spec(functions={"inner": LABELS[:4], "outer": [*LABELS[4:6], "sevn"]}))
    both = small_cohort(20)
    same = add_scores(both, ["self_punishment"], np.zeros((20, 1)))
    with pytest.raises(SpecError, match="a score and a subscale"):
        make_design(same, small_spec())


def test_what_the_ladder_cannot_hold_is_refused_with_all_reasons() -> None:
    cohort = _cohort()
    with pytest.raises(SpecError) as error:
        make_design(cohort, _ladder("metric", disorder={"levels": True, "slopes": True}, route="explicit"))
    assert all(word in str(error.value) for word in ("disorder.levels", "disorder.slopes", "explicit"))
    several = {"by": "disorder", "invariance": "metric"}
    with pytest.raises(SpecError, match="several disorders"):
        make_design(cohort, _ladder("metric", groups=several))


def test_a_rung_makes_equal_what_it_says() -> None:
    shapes = {}
    for rung in RUNGS:
        spec = _ladder(rung)
        built: Built = build(spec, _cohort())
        shapes[rung] = {p.name: p.dims for p in built.parameters}
        assert "u_site" not in shapes[rung]
    by_group = {r: {k for k, d in s.items() if n.GROUP in d} for r, s in shapes.items()}
    assert by_group["configural"] == {"lambda_score", "nu", "sigma_score"}
    assert by_group["metric"] == {"nu", "sigma_score"}
    assert by_group["scalar"] == {"sigma_score"}
    assert by_group["strict"] == set()
    assert {r for r, s in shapes.items() if "spread_group" in s} == {"metric", "scalar", "strict"}
    assert {r for r, s in shapes.items() if "level_group" in s} == {"scalar", "strict"}
    marks = {fingerprint(build(_ladder(r), _cohort()), _ladder(r)) for r in RUNGS}
    assert len(marks) == len(RUNGS)


def test_scores_are_what_two_models_must_share() -> None:
    design = make_design(_cohort(), _spec())
    turned = make_design(_cohort(), _spec(functions={"outer": LABELS[:3:-1], "inner": LABELS[:4]}))
    fewer = make_design(_cohort(), _spec(functions={"inner": LABELS[:4]}))
    one, two, three = (check_scores.observed_digests(d, "severity") for d in (design, turned, fewer))
    assert one == two
    assert one["items"] != three["items"]


def test_an_edited_model_without_scores_keeps_its_fingerprint_fields() -> None:
    """A cohort's scores that a model does not name are none of its data."""
    plain, scored = small_cohort(20), _scored(small_cohort(20))
    assert fingerprint(build(small_spec(), plain), small_spec()) == fingerprint(
        build(small_spec(), scored), small_spec()
    )
