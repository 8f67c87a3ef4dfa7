"""The invariance ladder of ordinal indicators against a dense grid, PyMC's statement, lavaan and itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from cohort import add_scores
from scipy.special import expit, logit

from densities import assert_density_is_pymcs
from designs import ROOT, few, full_cohort, joint_spec
from ladders import RUNGS, dense, drawn, ladder, mixed_cohort, two_schools
from nssi_bayes import names as n
from nssi_bayes.blocks import generate, joint, marginal
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.labelled import label, theta_of
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build, build_design
from nssi_bayes.calibrate.person import draw_functions
from nssi_bayes.check.estimates import estimate
from nssi_bayes.check.levels import as_met, averages, weights_of
from nssi_bayes.check.prior import summarise
from nssi_bayes.errors import SpecError
from nssi_bayes.fit import fit
from nssi_bayes.fit.density import compile_density, likelihood_of, unconstrained
from nssi_bayes.report.sections.profiles import _groups
from nssi_bayes.spec import JointSpec, Sampler, parse, read_params

FINE = marginal.grid_settings(2, fine=True)
FEWER = {"strict": "scalar", "scalar": "metric", "metric": "thresholds", "thresholds": "configural"}
DATA: dict[str, Any] = {"factors": ["trauma"], "outcome": "severity"}
FREE = {"configural": 66, "thresholds": 58, "metric": 52, "scalar": 46, "strict": 38}
"""Free parameters that lavaan 0.6-14 counts, two groups and eight items of four categories."""
USERS = """
description: {rung}
functions:
  inner: [inner]
  outer: [outer]
measurement: {{testlets: none}}
groups: {{by: site, invariance: {rung}}}
"""

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


def _case(rung: str, **changes: Any) -> tuple[JointSpec, Design, Theta]:
    """Return a rung, people drawn from one draw of its prior, and that draw."""
    spec = ladder(rung, **changes)
    design = make_design(mixed_cohort(), spec)
    theta = drawn(spec, design)
    return spec, generate.generate(theta, design, np.random.default_rng(2)), theta


def _likelihood(theta: Theta, design: Design) -> Array:
    draws = {name: value[None] for name, value in theta.items()}
    return marginal.evaluate(draws, design, include=joint.BLOCKS, grid=FINE).log_integral[0]


@pytest.mark.parametrize("rung", RUNGS)
def test_every_persons_likelihood_is_that_of_a_dense_grid(rung: str) -> None:
    """Beside a factor and a Gaussian outcome, to .01 a person; the statement in JAX to the last digits."""
    _, design, theta = _case(rung, **DATA)
    found = _likelihood(theta, design)
    expected = [dense(theta, design, i) for i in range(len(found))]
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.01)
    assert np.median(np.abs(found - expected)) < 2e-4
    if rung in ("thresholds", "metric"):
        stated = joint.log_likelihood(theta, design, marginal.quadrature.make_grid(2, **FINE))
        np.testing.assert_allclose(found, stated, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rung", RUNGS)
def test_the_gradient_is_that_of_central_differences(rung: str) -> None:
    """Functions sampled, nothing is approximated: 1e-5; integrated, as if nodes stood still: 1e-3."""
    cohort = mixed_cohort(20)
    for route, digits in (("explicit", 1e-5), ("marginal", 1e-3)):
        density = compile_density(build(ladder(rung, route=route, **DATA), cohort))
        x = density.start + 0.3 * np.random.default_rng(0).standard_normal(density.size)
        gradient, found, step = density.value_and_gradient(x)[1], np.empty(density.size), 1e-5
        for j, unit in enumerate(step * np.eye(density.size)):
            ends = [density.value_and_gradient(x + sign * unit)[0] for sign in (1, -1)]
            found[j] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(gradient, found, rtol=digits, atol=digits * np.abs(gradient).max())


@pytest.mark.parametrize(
    ("rung", "route"),
    [
        ("thresholds", "auto"),
        *(pytest.param(r, "auto", marks=pytest.mark.slow) for r in RUNGS if r != "thresholds"),
        pytest.param("scalar", "explicit", marks=pytest.mark.slow),
    ],
)
def test_the_density_is_that_of_pymc(rung: str, route: str) -> None:
    spec = ladder(rung, route=route)
    assert_density_is_pymcs(build(spec, mixed_cohort(24)), scales=(0.1, 0.5))


def _freer(rung: str, theta: Theta, design: Design) -> Theta:
    """Return parameters of the rung below that say the same."""
    found, later = dict(theta), len(design.coords[n.GROUP_LATER])
    some = design.categories > 2
    if rung == "strict":
        return found | {"scale_group": np.ones((later, some.sum()))}
    if rung == "scalar":
        return found | {"nu_group": theta["lambda"] * found.pop("level_group")[:, design.function_of]}
    if rung == "metric":
        spread = np.concatenate([np.ones((1, 2)), found.pop("spread_group")])
        return found | {"lambda": theta["lambda"] * spread[:, design.function_of]}
    nu, scale = np.zeros((1 + later, len(some))), np.ones((1 + later, len(some)))
    nu[1:], scale[1:, some] = found.pop("nu_group"), found.pop("scale_group")
    found["lambda"] = theta["lambda"] / scale
    for count in design.category_groups:
        own = design.categories == count
        kappa = logit(np.cumsum(theta[f"category_probability_{count}"], axis=1)[:, :-1])
        moved = expit((kappa - nu[:, own, None]) / scale[:, own, None])
        found[f"category_probability_{count}"] = np.diff(moved, axis=2, prepend=0.0, append=1.0)
    return found


@pytest.mark.parametrize("rung", list(FEWER))
def test_every_rung_lies_within_the_one_below(rung: str) -> None:
    cohort = mixed_cohort().drop_dims(n.COVARIATE)
    spec, below = ladder(rung), ladder(FEWER[rung])
    design, other = make_design(cohort, spec), make_design(cohort, below)
    theta = drawn(spec, design)
    freer = _freer(rung, theta, design)
    assert {k: v.shape for k, v in freer.items()} == {k: v.shape for k, v in drawn(below, other).items()}
    np.testing.assert_allclose(_likelihood(freer, other), _likelihood(theta, design), rtol=0, atol=1e-6)


def test_thresholds_with_everything_else_equal_is_strict() -> None:
    cohort = mixed_cohort()
    strict, thresholds = (make_design(cohort, ladder(rung)) for rung in ("strict", "thresholds"))
    theta = drawn(ladder("strict"), strict)
    theta |= {"level_group": np.zeros((2, 2)), "spread_group": np.ones((2, 2))}
    equal = {k: v for k, v in theta.items() if k not in ("level_group", "spread_group")}
    equal |= {"lambda": np.tile(theta["lambda"], (3, 1)), "nu_group": np.zeros((2, 7))}
    equal["scale_group"] = np.ones((2, 5))
    np.testing.assert_allclose(_likelihood(equal, thresholds), _likelihood(theta, strict), rtol=1e-12)


def test_two_and_three_categories_say_nothing_of_equal_thresholds() -> None:
    """Wu & Estabrook (2016): whatever `configural` says of data, `thresholds` can say."""
    cohort = mixed_cohort(categories=(2, 3, 2, 3, 2, 3, 3))
    free, equal = (make_design(cohort, ladder(rung)) for rung in ("configural", "thresholds"))
    theta = drawn(ladder("configural"), free)
    found = dict(theta)
    nu, scale = np.zeros((2, 7)), np.ones((2, 7))
    for count in (2, 3):
        own, share = free.categories == count, theta[f"category_probability_{count}"]
        kappa = logit(np.cumsum(share, axis=2)[:, :, :-1])
        if count == 3:
            apart = np.diff(kappa, axis=2)[:, :, 0]
            scale[:, own] = apart[0] / apart[1:]
        nu[:, own] = kappa[0, :, 0] - scale[:, own] * kappa[1:, :, 0]
        found[f"category_probability_{count}"] = share[0]
    found["lambda"] = np.concatenate([theta["lambda"][:1], theta["lambda"][1:] * scale])
    found |= {"nu_group": nu, "scale_group": scale[:, free.categories > 2]}
    assert {k: v.shape for k, v in found.items()} == {
        k: v.shape for k, v in drawn(ladder("thresholds"), equal).items()
    }
    np.testing.assert_allclose(_likelihood(found, equal), _likelihood(theta, free), rtol=1e-10)
    sizes = {rung: compile_density(build(ladder(rung), cohort)).size for rung in ("configural", "thresholds")}
    assert sizes["configural"] == sizes["thresholds"]
    binary = mixed_cohort(categories=(2,) * 7)
    assert (
        compile_density(build(ladder("scalar"), binary)).size
        == compile_density(build(ladder("strict"), binary)).size
    )


@pytest.mark.parametrize("rung", RUNGS)
def test_a_spec_as_a_user_writes_it_has_as_many_free_parameters_as_lavaan_counts(rung: str) -> None:
    spec = parse(JointSpec, yaml.safe_load(USERS.format(rung=rung)), where="spec")
    built = build(spec, two_schools(20)[0])
    density = compile_density(built)
    assert density.size == FREE[rung]
    assert np.isfinite(density.value_and_gradient(density.start)[0])
    theta = drawn(spec, built.design)
    draws = {
        k: np.tile(v @ v.T if k.startswith("Omega") else v, (1, 2, *[1] * v.ndim)) for k, v in theta.items()
    }
    labelled = label(draws, built.parameters, built.design)
    for name, array in theta_of(labelled, built.parameters).items():
        np.testing.assert_allclose(array[1], theta[name], atol=1e-12)
    if "nu_group" in labelled:
        assert labelled["nu_group"].sel({n.GROUP_LATER: "B", n.INDICATOR: "isas_03"}).dims == (
            n.CHAIN,
            n.DRAW,
        )


COHORTS = 60


@pytest.mark.parametrize(
    "rung", ["thresholds", *(pytest.param(r, marks=pytest.mark.slow) for r in ("configural", "scalar"))]
)
def test_the_score_of_generated_data_has_mean_zero(rung: str) -> None:
    """What is generated is what is fitted, and a slightly other model is found out."""
    spec, design, theta = _case(rung)
    x = unconstrained(build_design(spec, design), {k: v[None] for k, v in theta.items()})[0]
    everyone, rng = np.arange(len(design.diagnosis)), np.random.default_rng(13)

    def z(true: Theta) -> Array:
        slopes = [
            likelihood_of(build_design(spec, generate.generate(true, design, rng)), everyone)(x)[1]
            for _ in range(COHORTS)
        ]
        spread = np.std(slopes, axis=0, ddof=1)
        return np.mean(slopes, axis=0)[spread > 0] / (spread[spread > 0] / np.sqrt(COHORTS))

    assert np.abs(z(theta)).max() < 5
    name = {"configural": "lambda", "thresholds": "nu_group", "scalar": "scale_group"}[rung]
    assert np.abs(z(theta | {name: theta[name] * 1.3 + 0.3})).max() > 6


def test_one_persons_functions_are_drawn_from_their_own_group() -> None:
    _, design, theta = _case("thresholds")
    person = int(np.flatnonzero(design.group_of == 2)[0])
    draws = {k: np.repeat(v[None], 600, axis=0) for k, v in theta.items()}
    found = draw_functions(draws, design, person, np.random.default_rng(3))
    one = {k: v[None] for k, v in theta.items()}
    moments = marginal.evaluate(one, design, include=joint.BLOCKS, grid=FINE)
    sd = np.sqrt(np.diagonal(moments.covariance[0, person]))
    away = (found.mean(axis=0) - moments.mean[0, person]) / sd
    assert np.abs(away).max() < 4 / np.sqrt(600)
    np.testing.assert_allclose(found.std(axis=0), sd, rtol=0.12)


@pytest.mark.parametrize("rung", RUNGS)
def test_the_shipped_rungs_differ_in_what_they_say(rung: str) -> None:
    spec = joint_spec(f"invariance/{rung}")
    assert (
        spec.factors == ()
    )  # slopes on which would differ between rungs, too: in sds of each group or of the first
    built = build(spec, full_cohort(24))
    by_group = {p.name for p in built.parameters if {n.GROUP, n.GROUP_LATER} & set(p.dims)}
    later = {"metric": {"spread_group"}, "scalar": {"spread_group", "level_group"}}
    later["strict"] = later["scalar"]
    items = {
        "configural": {"lambda", *(f"category_probability_{c}" for c in built.design.category_groups)},
        "thresholds": {"lambda", "nu_group", "scale_group"}, "metric": {"nu_group", "scale_group"},
        "scalar": {"scale_group"}, "strict": set(),
    }  # fmt: skip
    assert by_group == items[rung] | later.get(rung, set())


def _estimated(rung: str) -> tuple[Built, Theta, dict[str, Any]]:
    """Return a model, eight draws of its prior, and what they say."""
    cohort = two_schools(30)[0]
    built = build(ladder(rung), cohort)
    draws = draw(built.parameters, built.design.coords, np.random.default_rng(1), 8)
    values = {k: v @ v.mT if k.startswith("Omega") else v for k, v in draws.items()}
    labelled = label({k: v[None] for k, v in values.items()}, built.parameters, built.design)
    tree = xr.DataTree.from_dict({"posterior": labelled, "prior": labelled})
    moments = marginal.evaluate(draws, built.design, include=joint.BLOCKS, grid=FINE)
    found = averages(moments, weights_of(built.design))
    met = as_met(found, built.design, np.random.default_rng(2), parameters=draws)
    params = read_params(ROOT / "params.yaml")
    return (
        built,
        values,
        estimate(tree, built.design, moments.mean.var(axis=1), met, params=params, cohort=cohort),
    )


def test_means_sds_and_correlations_by_group_are_told() -> None:
    _, values, found = _estimated("scalar")
    rows = {(r["what"], r["group"], r["function"]): r for r in found["groups"]}
    assert set(rows) == {
        *(("mean", "B", f) for f in ("inner", "outer")), *(("log_sd", "B", f) for f in ("inner", "outer")),
        ("correlation", "A", "inner"), ("correlation", "B", "inner"),
    }  # fmt: skip
    assert rows["mean", "B", "outer"]["mean"] == pytest.approx(values["level_group"][:, 0, 1].mean())
    expected = np.log(values["spread_group"][:, 0, 0]).mean()
    assert rows["log_sd", "B", "inner"]["mean"] == pytest.approx(expected)
    assert rows["correlation", "B", "inner"]["mean"] == pytest.approx(values["Omega_group_B"][:, 0, 1].mean())
    assert found["correlations"] == []  # which no group's would be that of all
    page = " ".join(part.body for part in _groups(found))
    assert f"{np.exp(expected):.2f}" in page
    assert f"{values['level_group'][:, 0, 1].mean():.2f}".replace("-", "−") in page.replace("-", "−")
    assert not _groups({"groups": []})


@pytest.mark.parametrize("rung", RUNGS)
def test_people_of_different_groups_are_compared_where_means_are_free(rung: str) -> None:
    """Where identification fixes every group's mean at 0, differences between people say nothing."""
    _, _, found = _estimated(rung)
    free = rung in ("scalar", "strict")
    assert bool(found["levels"]) is free
    assert bool(found["contrasts"]) is free


def test_estimates_and_prior_predictive_know_groups() -> None:
    built, draws, found = _estimated("thresholds")
    rows = found["measurement"]
    assert [(r["group"], r["indicator"]) for r in rows[7:9]] == [("A", "isas_08"), ("B", "isas_01")]
    assert rows[8]["loading"]["mean"] == pytest.approx(draws["lambda"][:, 1, 0].mean())
    assert rows[8]["function"] == "inner"
    found = summarise(built, np.random.default_rng(3), min_cell=5)["statistics"]
    assert np.isfinite([r["median"] for r in found if r["name"].startswith("item")]).all()


def test_a_group_without_people_has_its_prior() -> None:
    """The likelihood of some people is the sum of theirs, also where a whole group is left out."""
    spec, design, theta = _case("thresholds")
    keep = np.flatnonzero(design.group_of != 1)
    each = _likelihood(theta, design)
    np.testing.assert_allclose(_likelihood(theta, few(design, keep)), each[keep], rtol=1e-12)
    built = build_design(spec, design)
    x = unconstrained(built, {k: v[None] for k, v in theta.items()})[0]
    value, slope = likelihood_of(built, keep)(x)
    assert np.isfinite(slope).all()
    assert value == pytest.approx(each[keep].sum(), abs=0.05)


def test_what_an_ordinal_ladder_cannot_hold_is_refused_with_all_reasons() -> None:
    cohort = mixed_cohort()
    with pytest.raises(SpecError) as error:
        make_design(cohort, ladder("metric", measurement={"bias": "dense"}, disorder={"levels": True}))
    assert all(word in str(error.value) for word in ("measurement.bias", "disorder.levels"))
    with pytest.raises(SpecError, match="cross_loadings"):
        make_design(cohort, ladder("metric", measurement={"cross_loadings": True}))
    with pytest.raises(SpecError, match="bifactor"):
        make_design(cohort, ladder("metric", general="bifactor"))
    whole = {"functions": {"whole": ["inner", "outer"]}, "measurement": {"keep_items": ["outer"]}}
    with pytest.raises(SpecError, match="outer share a residual factor"):
        make_design(cohort, ladder("metric", **whole))
    with pytest.raises(SpecError, match="several disorders"):
        make_design(cohort, ladder("metric", groups={"by": "disorder", "invariance": "metric"}))
    scored = add_scores(cohort, ["one", "two", "three"], np.zeros((45, 3)))
    with pytest.raises(SpecError, match="1 of the subscales are ordinal and 3 continuous"):
        make_design(
            scored, ladder("metric", functions={"inner": ["inner"], "outer": ["one", "two", "three"]})
        )
    with pytest.raises(SpecError, match="thresholds is for ordinal indicators"):
        make_design(scored, ladder("thresholds", functions={"outer": ["one", "two", "three"]}))


@pytest.mark.slow
def test_means_sds_and_scales_of_a_later_group_are_found() -> None:
    cohort, true = two_schools()
    built = build(ladder("scalar"), cohort)
    tree = fit(built, Sampler(chains=2, tune=150, draws=250), np.random.SeedSequence(1))
    theta = theta_of(tree["posterior"].to_dataset(), built.parameters)
    for name, value in true.items():
        away = (theta[name].mean(axis=0) - value) / theta[name].std(axis=0)
        assert np.abs(away).max() < 3, (name, away)
    wrong = (theta["spread_group"].mean(axis=0) - 1) / theta["spread_group"].std(axis=0)
    assert wrong.min() > 3
