"""What else differs by disorder: the meaning of items, the spread of functions; and testlets as factors."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from scipy import stats

from brute_force import Person
from densities import assert_density_is_pymcs, in_errors
from designs import full_design, joint_spec, small_cohort, small_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import generate, joint, marginal
from nssi_bayes.blocks.bias import effects
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.labelled import label
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import build_design
from nssi_bayes.check import bias
from nssi_bayes.errors import SpecError
from nssi_bayes.families import ordinal
from nssi_bayes.fit.density import unconstrained
from nssi_bayes.spec import JointSpec, read_priors

ANCHORS = ["affect_regulation", "isas_03", "revenge"]
VARIANTS: dict[str, dict[str, Any]] = {
    "bias": {
        "measurement": {"testlets": "sum", "keep_items": ["self_punishment", "anti_suicide"], "bias": "dense"}
    },
    "spread": {"disorder": {"levels": True, "spread": True}},
    "bias, spread and testlets as factors": {
        "measurement": {"testlets": "factor", "bias": "dense", "nonuniform": True},
        "disorder": {"levels": True, "slopes": True, "spread": True},
    },
}
SPARSE: dict[str, dict[str, Any]] = {
    "sparse bias": {
        "measurement": {
            "testlets": "sum",
            "keep_items": ["self_punishment", "anti_suicide"],
            "bias": "sparse",
        }
    },
}
BIASES: dict[str, dict[str, Any]] = {
    "sparse": {"bias": "sparse"},
    "anchors and loadings": {
        "bias": "sparse",
        "anchors": ["affect_regulation", "isas_03"],
        "nonuniform": True,
    },
    "loadings and testlets": {"bias": "sparse", "testlets": "factor", "nonuniform": True},
    "dense and loadings": {"bias": "dense", "nonuniform": True},
}

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


def _spec(variant: str) -> JointSpec:
    return joint_spec("heterogeneity/disorder_means", **{**VARIANTS, **SPARSE}[variant])


def _theta(spec: JointSpec, design: Design, seed: int) -> Theta:
    declared = joint.parameters(spec, design, read_priors())
    theta = {k: v[0] for k, v in draw(declared, design.coords, np.random.default_rng(seed), 1).items()}
    for name, size in (
        ("delta", 0.8),
        ("delta_free", 0.8),
        ("h", 0.4),
        ("delta_loading", 0.5),
        ("delta_loading_free", 0.5),
    ):
        if name in theta:
            theta[name] = theta[name] * size / np.abs(theta[name]).max()
    return theta


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_persons_integral_is_that_of_a_dense_grid(variant: str) -> None:
    spec = _spec(variant)
    empty = full_design(spec, participants=30)
    theta = _theta(spec, empty, 1)
    design = generate.generate(theta, empty, np.random.default_rng(2))
    expected = np.array([Person(theta, design, i, joint.BLOCKS).log_likelihood() for i in range(30)])
    draws = {name: value[None] for name, value in theta.items()}
    fine = marginal.grid_settings(3, fine=True)
    error = marginal.evaluate(draws, design, include=joint.BLOCKS, grid=fine).log_integral[0] - expected
    assert np.abs(error).max() < 0.01
    assert abs(error.sum()) < 0.1


@pytest.mark.parametrize(
    "variant", [v if "," in v else pytest.param(v, marks=pytest.mark.slow) for v in VARIANTS]
)  # the variant with everything in it always, each alone where there is time
def test_the_density_is_that_of_pymc(variant: str) -> None:
    spec = _spec(variant)
    built = build_design(spec, full_design(spec))
    fast, stated, x = assert_density_is_pymcs(built, scales=(0.1, 1.0))
    named = stated.parameters()(x)
    for name, draws in fast.constrain(x[None]).items():
        np.testing.assert_allclose(draws[0], named[name], rtol=1e-12, atol=1e-13, err_msg=name)


def _small(kind: str) -> JointSpec:
    return small_spec(measurement=BIASES[kind], disorder={"levels": True})


@pytest.mark.parametrize("kind", BIASES)
def test_every_persons_integral_with_bias_is_that_of_a_dense_grid(kind: str) -> None:
    spec = _small(kind)
    empty = make_design(small_cohort(20), spec)
    theta = _theta(spec, empty, 1)
    design = generate.generate(theta, empty, np.random.default_rng(2))
    expected = np.array([Person(theta, design, i, joint.BLOCKS).log_likelihood() for i in range(20)])
    draws = {name: value[None] for name, value in theta.items()}
    fine = marginal.grid_settings(2, fine=True)
    found = marginal.evaluate(draws, design, include=joint.BLOCKS, grid=fine).log_integral[0]
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize(
    "kind", [k if k == "anchors and loadings" else pytest.param(k, marks=pytest.mark.slow) for k in BIASES]
)
def test_the_density_of_bias_is_that_of_pymc(kind: str) -> None:
    spec = _small(kind)
    built = build_design(spec, make_design(small_cohort(40), spec))
    fast, stated, x = assert_density_is_pymcs(built, scales=(0.1, 1.0))
    named = stated.parameters()(x)
    for name, draws in fast.constrain(x[None]).items():
        np.testing.assert_allclose(draws[0], named[name], rtol=1e-12, atol=1e-13, err_msg=name)
    theta = {k: np.linalg.cholesky(v) if k == "Omega" else v for k, v in fast.constrain(x[None]).items()}
    np.testing.assert_allclose(unconstrained(built, theta)[0], x, atol=1e-10)


COHORTS = 40


@pytest.mark.parametrize(
    ("wrong", "prior"), [("", "dense"), ("h", "dense"), ("delta", "dense"), ("", "sparse")]
)
def test_the_score_of_generated_data_has_mean_zero(wrong: str, prior: str) -> None:
    """Forwards and likelihood agree, and a wrong sign in either shows."""
    changes = {
        "disorder": {"levels": True, "spread": True},
        "measurement": {"testlets": "none", "bias": prior},
    }
    spec = small_spec(**changes)
    design = make_design(small_cohort(80), spec)
    theta = _theta(spec, design, 3)
    grid = joint.quadrature.make_grid(2, **marginal.grid_settings(2))

    def of(moved: Theta, response: Array, factor: Array) -> Any:
        data = replace(design, response=response, factor=factor)
        return joint.log_likelihood({**theta, **moved}, data, grid).sum()

    score = jax.jit(jax.grad(of))
    names = ("delta" if prior == "dense" else "delta_free", "h", "lambda")
    at = {name: theta[name] * (-1 if name == wrong else 1) for name in names}
    found: dict[str, list[Array]] = {name: [] for name in names}
    for seed in range(COHORTS):
        data = generate.generate(theta, design, np.random.default_rng(seed))
        for name, value in score(at, data.response, data.factor).items():
            found[name].append(np.asarray(value))
    worst = {name: np.abs(in_errors(values)).max() for name, values in found.items()}
    assert all(value < 4.5 for value in worst.values()) if not wrong else worst[wrong] > 4.5, worst


@pytest.mark.parametrize("variant", ["bias", "sparse bias"])
def test_bias_has_no_mean_that_a_level_could_take(variant: str) -> None:
    spec = _spec(variant)
    design = full_design(spec)
    delta = effects(_theta(spec, design, 4), design)
    assert delta.shape == (len(design.categories), len(design.coords[n.DISORDER]))
    np.testing.assert_allclose(delta.sum(axis=1), 0, atol=1e-12)
    for f in range(3):
        np.testing.assert_allclose(delta[design.function_of == f].sum(axis=0), 0, atol=1e-12)


def test_sparse_bias_that_a_level_takes_up_is_the_same_for_data() -> None:
    """Bias of one indicator alone, with the level that was taken out of it given back."""
    spec = small_spec(measurement={"bias": "sparse"}, disorder={"levels": True, "coding": "averaged"})
    design = make_design(small_cohort(40), spec)
    theta = _theta(spec, design, 7)
    theta["delta_free"] = theta["delta_free"] * (np.arange(len(design.categories)) == 1)[:, None]
    mates = design.function_of == design.function_of[1]
    level = theta["delta_free"][1] / theta["lambda"][mates].sum()
    plain = {**theta, "delta": theta["delta_free"]}  # as it is, no level taken out
    taken = {**theta, "A": theta["A"] + level * (np.arange(2) == design.function_of[1])[:, None]}
    of = [
        marginal.evaluate(
            {k: v[None] for k, v in one.items()}, design, include=("items",), grid=marginal.grid_settings(2),
            moments=False,
        ).log_integral
        for one in (plain, taken, theta)
    ]  # fmt: skip
    np.testing.assert_allclose(of[0], of[1], rtol=1e-9)
    assert np.abs(of[0] - of[2]).max() > 0.01


def test_draws_of_the_sparse_prior_are_those_of_its_density() -> None:
    """Scales against SciPy, effects against their scales; many small ones and a few large."""
    spec = small_spec(measurement={"bias": "sparse"}, disorder={"levels": True})
    design = make_design(small_cohort(40), spec)
    declared = joint.parameters(spec, design, read_priors())
    drawn = draw(declared, design.coords, np.random.default_rng(8), 4000)
    priors, tau = read_priors(), drawn["tau_bias_sparse"]
    local = drawn["scale_bias"] / tau[:, None]
    assert stats.kstest(local[:, 0], stats.halfcauchy.cdf).pvalue > 1e-3
    assert stats.kstest(tau, stats.halfnorm(scale=priors["tau_bias_sparse"].sigma).cdf).pvalue > 1e-3
    slab = drawn["slab_bias"]
    assert stats.kstest(np.log(slab), stats.norm(0, priors["slab_bias"].sigma).cdf).pvalue > 1e-3
    scale = 1 / np.sqrt(1 / drawn["scale_bias"] ** 2 + 1 / slab[:, None] ** 2)
    unit = drawn["delta_free"] / scale[:, :, None]
    count = unit.shape[-1]
    np.testing.assert_allclose(unit.sum(axis=-1), 0, atol=1e-9)
    first = unit[:, 0, 0] / np.sqrt(1 - 1 / count)
    assert stats.kstest(first, stats.norm.cdf).pvalue > 1e-3
    largest = np.abs(drawn["delta_free"]).max(axis=-1)
    assert (largest < 0.1).mean() > 0.4
    assert 0.05 < (largest > 0.5).mean() < 0.2


def test_anchors_are_without_bias_and_free_the_others() -> None:
    measurement = {**VARIANTS["bias"]["measurement"], "anchors": ANCHORS}
    spec = joint_spec("heterogeneity/disorder_means", measurement=measurement)
    design = full_design(spec)
    assert not set(ANCHORS) & set(design.coords[n.BIASED_INDICATOR])
    theta = _theta(spec, design, 5)
    sums = [theta["delta"][design.function_of[design.biased] == f].sum(axis=0) for f in range(3)]
    assert np.abs(sums).min() > 1e-6
    plain = {**theta, "delta": 0 * theta["delta"]}
    draws = {k: np.stack([theta[k], plain[k]]) for k in theta}
    only = {}
    for name in ("affect_regulation", "anti_dissociation"):
        seen = np.full_like(design.response, design.missing_response)
        j = design.coords[n.INDICATOR].index(name)
        seen[:, j] = design.response[:, j]
        data = replace(design, response=seen)
        grid = marginal.grid_settings(3)
        only[name] = marginal.evaluate(draws, data, include=("items",), grid=grid, moments=False).log_integral
    np.testing.assert_allclose(*only["affect_regulation"])
    assert np.abs(np.subtract(*only["anti_dissociation"])).max() > 0.01


def test_the_average_diagnosis_has_a_residual_sd_of_one() -> None:
    spec = _spec("spread")
    design = full_design(spec)
    np.testing.assert_allclose(np.asarray(design.centred_diagnosis).mean(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("measurement", "said"),
    [
        ({"bias": "dense", "anchors": ["affect_regulatoin"]}, "affect_regulation"),
        ({"bias": "dense", "anchors": ["affect_regulation"]}, "none of 'self_punishment'"),
        ({"anchors": ["affect_regulation"]}, "write bias: dense"),
        ({"nonuniform": True}, "no indicator may be biased"),
        ({"bias": "dense", "nonuniform": True, "cross_loadings": True}, "Leave one of them out"),
    ],
)
def test_anchors_that_do_not_identify_are_refused(measurement: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        make_design(small_cohort(), small_spec(measurement=measurement))


@pytest.mark.parametrize("variant", ["bias", "sparse bias"])
def test_bias_is_summarised_on_the_scale_of_the_response(variant: str) -> None:
    """Against expected scores by the family's own category probabilities."""
    spec = _spec(variant)
    design = full_design(spec)
    declared = joint.parameters(spec, design, read_priors())
    drawn = draw(declared, design.coords, np.random.default_rng(6), 300)
    posterior = label({k: v[None] for k, v in drawn.items()}, declared, design)
    flat = posterior.stack({"sample": (n.CHAIN, n.DRAW)}, create_index=False)
    rows = bias.item_bias(flat, design, signed=lambda d: {"draws": d}, interval=lambda d: {"draws": d})
    disorders, delta = design.coords[n.DISORDER], effects(drawn, design)
    assert len(rows) == len(design.categories) * len(disorders)
    for row in rows[:: len(rows) // 7]:
        j, k = design.coords[n.INDICATOR].index(row["indicator"]), disorders.index(row["disorder"])
        count = int(design.categories[j])
        at = design.coords[f"{n.INDICATOR}_{count}"].index(row["indicator"])
        assert "loading" not in row
        assert row["p_moderate"] == np.mean(np.abs(row["draws"]) > 1 / 2.35)
        for s in (0, 299):
            p = drawn[f"category_probability_{count}"][s, at]
            both = ordinal.category_probability(p, np.array([0.0, delta[s, j, k]])) @ np.arange(count)
            assert row["response"]["draws"][s] == pytest.approx((both[1] - both[0]) / (count - 1), abs=1e-12)


def test_the_bias_of_loadings_is_summarised_as_a_factor() -> None:
    spec = _small("loadings and testlets")
    design = make_design(small_cohort(40), spec)
    declared = joint.parameters(spec, design, read_priors())
    drawn = draw(declared, design.coords, np.random.default_rng(6), 200)
    posterior = label({k: v[None] for k, v in drawn.items()}, declared, design)
    flat = posterior.stack({"sample": (n.CHAIN, n.DRAW)}, create_index=False)
    rows = bias.item_bias(flat, design, signed=lambda d: {"draws": d}, interval=lambda d: {"draws": d})
    free = drawn["delta_loading_free"]
    for row in rows[::5]:
        j = design.coords[n.INDICATOR].index(row["indicator"])
        k = design.coords[n.DISORDER].index(row["disorder"])
        mates = design.function_of == design.function_of[j]
        expected = np.exp(free[:, j, k] - free[:, mates, k].mean(axis=1))
        np.testing.assert_allclose(row["loading"]["draws"], expected)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"disorder": {}}, "differences"),
        ({"disorder": {"levels": True}, "route": "explicit"}, "pattern of diagnoses"),
    ],
)
def test_loadings_that_nothing_holds_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        small_spec(measurement={"bias": "dense", "nonuniform": True}, **changes)
