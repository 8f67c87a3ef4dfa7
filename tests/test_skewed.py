"""Functions that are skewed or heavy-tailed: the transform, both routes, scores, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scipy.integrate import quad
from scipy.linalg import block_diag
from scipy.special import logsumexp

from brute_force import Person, skewed
from densities import assert_density_is_pymcs
from designs import full_cohort, joint_spec, small_cohort, small_spec
from nssi_bayes.blocks import generate, joint, marginal
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.build import Built, build, build_design, fingerprint
from nssi_bayes.calibrate.person import draw_functions
from nssi_bayes.check import estimates
from nssi_bayes.check.summarised import Summary, flattened
from nssi_bayes.errors import SpecError
from nssi_bayes.fit.accuracy import errors
from nssi_bayes.fit.density import _with_kernel, compile_density, likelihood_of, unconstrained
from nssi_bayes.fit.sample import sample
from nssi_bayes.fit.unconstrained import Unconstrained
from nssi_bayes.integrate import sinh_arcsinh
from nssi_bayes.report.sections.profiles import _skewness
from nssi_bayes.spec import JointSpec, Sampler, read_priors

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]

EPSILON, DELTA = np.array([0.5, -0.3, 0.0]), np.array([0.8, 1.3, 0.6])
GIVEN = ("factors", "items")
PEOPLE = 24


def _spec(**changes: Any) -> JointSpec:
    return small_spec(**{"disorder": {}, "distribution": "sinh_arcsinh", **changes})


def _theta(built: Built, seed: int, **changes: Any) -> Theta:
    drawn = draw(built.parameters, built.design.coords, np.random.default_rng(seed), 1)
    return {name: value[0] for name, value in drawn.items()} | changes


def _one(theta: Theta) -> Theta:
    return {name: value[None] for name, value in theta.items()}


# -- the transform --------------------------------------------------------------------------------
@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 1.0), (0.5, 0.8), (-1.0, 0.6), (0.3, 1.5)])
def test_moments_are_those_of_adaptive_quadrature(epsilon: float, delta: float) -> None:
    def moment(k: int) -> float:
        def density(z: float) -> float:
            return float(np.sinh((np.arcsinh(z) + epsilon) / delta) ** k * stats.norm.pdf(z))

        return float(quad(density, -np.inf, np.inf, epsabs=1e-13, epsrel=1e-12)[0])

    one, two, three, four = (moment(k) for k in range(1, 5))
    sd = np.sqrt(two - one**2)
    shape = sinh_arcsinh.shape_of(np.array([epsilon]), np.array([delta]))[0]
    np.testing.assert_allclose(shape, [epsilon, 1 / delta, one, 1 / sd], rtol=1e-12, atol=1e-12)
    skewness, excess = sinh_arcsinh.skewness(np.array(epsilon), np.array(delta))
    assert skewness == pytest.approx((three - 3 * one * two + 2 * one**3) / sd**3, abs=1e-9)
    fourth = four - 4 * one * three + 6 * one**2 * two - 3 * one**4
    assert excess == pytest.approx(fourth / sd**4 - 3, abs=1e-8)


def test_derivatives_are_central_differences() -> None:
    rng = np.random.default_rng(0)
    e, weight = np.concatenate([rng.normal(0, 2, (30, 3)), [[-6, 0, 6]]]), rng.normal(size=(31, 3))

    def shaped(x: Array) -> Array:
        return sinh_arcsinh.shape_of(x[:3], x[3:])

    x, step = np.concatenate([EPSILON, DELTA]), 1e-5
    shape = shaped(x)
    first, second = sinh_arcsinh.slopes(e, shape)
    ahead, behind = (sinh_arcsinh.transform(e + s, shape) for s in (step, -step))
    np.testing.assert_allclose(first, (ahead - behind) / (2 * step), rtol=1e-7)
    ahead, behind = (sinh_arcsinh.slopes(e + s, shape)[0] for s in (step, -step))
    np.testing.assert_allclose(second, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-8)
    by_shape = sinh_arcsinh.slopes_by_shape(e, shape, weight)
    found = np.concatenate(sinh_arcsinh.shape_back(EPSILON, DELTA, by_shape))
    for j, way in enumerate(np.eye(6)):
        ahead, behind = (
            (weight * sinh_arcsinh.transform(e, shaped(x + s * way))).sum() for s in (step, -step)
        )
        assert found[j] == pytest.approx((ahead - behind) / (2 * step), rel=1e-6)
    latent, log_slope = sinh_arcsinh.invert(sinh_arcsinh.transform(e, shape), shape)
    np.testing.assert_allclose(latent, e, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(log_slope, -np.log(first), rtol=1e-10, atol=1e-12)


def test_people_are_drawn_from_the_transformed_normal() -> None:
    built = build(_spec(factors=[]), small_cohort(4000))
    given = {"epsilon": EPSILON[:2], "tailweight": DELTA[:2], "Omega": np.eye(2)}
    theta = _theta(built, 1, **given)
    theta |= {name: 0 * theta[name] for name in ("G", "u_site")}
    eta = generate.latents(theta, built.design, np.random.default_rng(2)).function
    for f in range(2):
        uniform = stats.uniform(1e-9, 1 - 2e-9)

        def latent(x: Array, f: int = f) -> Array:
            axis = np.linspace(-8, 8, 40_001)
            return stats.norm.cdf(np.interp(x, skewed(theta, f, axis), axis))

        assert stats.kstest(latent(eta[:, f]), uniform.cdf).pvalue > 1e-3
        assert abs(eta[:, f].mean()) < 0.06
        assert abs(eta[:, f].std() - 1) < 0.08
    wanted = sinh_arcsinh.skewness(EPSILON[:2], DELTA[:2])[0]
    np.testing.assert_allclose(stats.skew(eta), wanted, atol=0.25)
    assert wanted[0] > 1 > 0 > wanted[1]


# -- the integral ---------------------------------------------------------------------------------
MODELS: dict[str, dict[str, Any]] = {
    "one function": {
        "functions": {"distress": ["affect_regulation", "anti_dissociation", "self_punishment"]}
    },
    "two functions": {},
    "a residual factor": {
        "functions": {
            "self_related": ["affect_regulation", "anti_dissociation", "marking_distress", "self_punishment"]
        },
        "measurement": {"keep_items": ["self_punishment"]},
    },
}


def _case(model: str, *, seed: int = 3) -> tuple[Built, Theta]:
    spec = _spec(**MODELS[model])
    empty = build(spec, small_cohort(PEOPLE))
    count = len(spec.functions)
    theta = _theta(empty, seed, epsilon=np.full(count, 0.5), tailweight=np.full(count, 0.8))
    design = generate.generate(theta, empty.design, np.random.default_rng(seed))
    return build_design(spec, design), theta


@pytest.mark.parametrize("model", MODELS)
def test_every_persons_integral_and_moments_are_those_of_a_dense_grid(model: str) -> None:
    """With a skewness of 1.2 and an excess kurtosis of 2.1 of each function."""
    built, theta = _case(model)
    people = np.arange(0, PEOPLE, 3)
    dense = [Person(theta, built.design, int(i), ("factors",)).log_likelihood() for i in people]
    grid = marginal.grid_settings(len(built.spec.functions), fine=True)
    found = marginal.evaluate(_one(theta), built.design, include=GIVEN, grid=grid)
    np.testing.assert_allclose(found.log_integral[0, people], dense, atol=0.01)
    x = unconstrained(built, _one(theta))[0]
    sampled = [likelihood_of(built, np.array([i]))(x)[0] for i in people]
    np.testing.assert_allclose(sampled, dense, atol=0.02)
    mean, sd = _dense_moments(theta, built.design, int(people[1]))
    np.testing.assert_allclose(found.mean[0, people[1], 0], mean, atol=0.01)
    np.testing.assert_allclose(np.sqrt(found.covariance[0, people[1], 0, 0]), sd, rtol=0.02)


def _dense_moments(theta: Theta, design: Design, i: int) -> tuple[float, float]:
    """Mean and sd of the first function, and of one more on a grid of two."""
    person = Person(theta, design, i, ("factors",))
    axis = np.arange(-7, 7.01, 0.05)
    count = len(person.mean)
    z = np.stack([m.ravel() for m in np.meshgrid(*[axis] * count, indexing="ij")])
    e = person.mean[:, None] + np.linalg.cholesky(person.cov) @ z
    eta = np.stack([skewed(theta, f, e[f]) for f in range(count)])
    weight = np.exp(-0.5 * (z**2).sum(axis=0) + sum(person.item_curve(f, eta[f]) for f in range(count)))
    mean = (weight * eta[0]).sum() / weight.sum()
    return float(mean), float(np.sqrt((weight * (eta[0] - mean) ** 2).sum() / weight.sum()))


def _with_nodes(built: Built, theta: Theta) -> tuple[float, Array]:
    """Return the log-likelihood with the same nodes, skewed or not, and its gradient."""
    slots = Slots({p.name: p.shape(built.design.coords) for p in built.parameters})
    free = Unconstrained(built.parameters, slots)
    density = _with_kernel(free, slots, built.design, grid={"order": 8, "curve_nodes": 17})
    x = unconstrained(built, _one(theta))[0]
    (value, gradient), (log_prior, _, to_x) = density(x), free(x)
    return value - log_prior, gradient - to_x(np.zeros(slots.size))


def test_blocks_are_scored_as_in_the_model_that_is_not_skewed() -> None:
    """At epsilon 0 and delta 1 both models are one, and factors do not see the difference at all."""
    built, theta = _case("two functions")
    theta |= {"epsilon": np.zeros(2), "tailweight": np.ones(2)}
    plain = build_design(_spec(distribution="normal"), built.design)
    straight = {k: v for k, v in theta.items() if k not in ("epsilon", "tailweight")}
    value, gradient = _with_nodes(built, theta)
    other, expected = _with_nodes(plain, straight)
    assert value == pytest.approx(other, rel=1e-12)
    names = [p.name for p in built.parameters]
    assert names == ["Omega", "epsilon", "tailweight", *(p.name for p in plain.parameters[1:])]
    others = np.delete(gradient, np.arange(1, 5))  # behind one correlation stand two of each
    np.testing.assert_allclose(others, expected, rtol=1e-9, atol=1e-9)
    for include in (("factors",), GIVEN):
        grid = {"order": 8, "curve_nodes": 17}
        one = marginal.evaluate(_one(theta), built.design, include=include, grid=grid).log_integral
        two = marginal.evaluate(_one(straight), plain.design, include=include, grid=grid).log_integral
        np.testing.assert_allclose(one, two, atol=1e-12 if include == ("factors",) else 2e-3)


def test_the_samplers_error_is_seen() -> None:
    built, theta = _case("two functions")
    draws = {name: np.stack([value] * 3) for name, value in theta.items()}
    found = errors(draws, built)
    assert found is not None
    assert 0 < np.abs(found).max() < 0.1


def test_one_persons_functions_are_drawn_from_their_posterior() -> None:
    built, theta = _case("one function")
    draws = {name: np.stack([value] * 3000) for name, value in theta.items()}
    eta = draw_functions(draws, built.design, 4, np.random.default_rng(5))[:, 0]
    mean, sd = _dense_moments(theta, built.design, 4)
    assert abs(eta.mean() - mean) < 4 * sd / np.sqrt(len(eta))
    assert eta.std() == pytest.approx(sd, rel=0.08)


# -- images ---------------------------------------------------------------------------------------
def _with_images(**changes: Any) -> tuple[Built, Theta]:
    spec = joint_spec("structure/shared", distribution="sinh_arcsinh", **changes)
    empty = build_design(spec, make_design(full_cohort(PEOPLE), spec))
    count = len(spec.functions)
    theta = _theta(empty, 4, epsilon=np.full(count, 0.5), tailweight=np.full(count, 0.8))
    theta["lambda"] = np.minimum(theta["lambda"], 2.5)
    return build_design(spec, generate.generate(theta, empty.design, np.random.default_rng(5))), theta


def _dense_with_images(theta: Theta, design: Design, i: int) -> float:
    """Integrate one person on a fine grid of what is Gaussian; given it, factors and images are normal."""
    alone = Person(theta, design, i, ())
    functions, factors = len(alone.mean), len(alone.whole_mean) - len(alone.mean)
    axis = np.arange(-6, 6.01, 0.4 if functions > 2 else 0.1)
    z = np.stack([m.ravel() for m in np.meshgrid(*[axis] * functions, indexing="ij")])
    e = alone.mean[:, None] + np.linalg.cholesky(alone.cov) @ z
    eta = np.stack([skewed(theta, f, e[f]) for f in range(functions)])
    total = -0.5 * (z**2).sum(axis=0) + functions * (np.log(axis[1] - axis[0]) - 0.5 * np.log(2 * np.pi))
    total = total + sum(alone.item_curve(f, eta[f]) for f in range(functions))
    across = alone.whole_cov[:factors, factors:] @ np.linalg.inv(alone.cov)
    x = alone.whole_mean[:factors, None] + across @ (e - alone.mean[:, None])
    left = alone.whole_cov[:factors, :factors] - across @ alone.whole_cov[factors:, :factors]
    seen = np.flatnonzero(design.factor_seen[i])
    parts = [(np.eye(factors)[seen], np.zeros((len(seen), functions)), np.zeros(len(seen)),
              np.diag(design.factor_error[seen]), design.factor[i, seen])]  # fmt: skip
    c, site = design.diagnosis[i], design.site[i]
    for who, values, mask, form in (
        (design.scanned, design.activation, design.activation_seen, alone._scan),
        (design.connected, design.connectivity, design.connectivity_seen, alone._edges),
    ):
        if i not in who:
            continue
        row = list(who).index(i)
        if form == alone._scan:
            keep, load, at, noise = alone._scan(c, site, factors)
        else:
            keep, (load, at, noise) = np.flatnonzero(mask[row]), alone._edges(c, site, factors, row)
        parts.append((load[keep, :factors], load[keep, factors:], at[keep], noise[np.ix_(keep, keep)],
                      values[row][keep]))  # fmt: skip
    by_x, by_eta, at, noises, y = zip(*parts, strict=True)
    if not len(np.concatenate(y)):
        return float(logsumexp(total))
    to_x = np.concatenate(by_x)
    mean = to_x @ x + np.concatenate(by_eta) @ eta + np.concatenate(at)[:, None]
    covariance = block_diag(*noises) + to_x @ left @ to_x.T
    density = stats.multivariate_normal(np.zeros(len(covariance)), covariance)
    return float(logsumexp(total + density.logpdf((np.concatenate(y)[:, None] - mean).T)))


def test_images_are_linear_in_the_skewed_functions() -> None:
    built, theta = _with_images(functions=MODELS["one function"]["functions"])
    assert built.explicit
    people = np.arange(PEOPLE)[::3]
    assert {True, False} == {bool(np.isin(i, built.design.scanned)) for i in people}
    grid = marginal.grid_settings(1, fine=True)
    found = marginal.evaluate(_one(theta), built.design, include=joint.BLOCKS, grid=grid).log_integral
    dense = [_dense_with_images(theta, built.design, int(i)) for i in people]
    np.testing.assert_allclose(found[0, people], dense, atol=0.005)
    eta = draw_functions(
        {k: np.stack([v] * 4) for k, v in theta.items()}, built.design, 2, np.random.default_rng(1)
    )
    assert np.isfinite(eta).all()


@pytest.mark.slow  # a dense grid of three functions
def test_images_are_linear_in_three_skewed_functions() -> None:
    built, theta = _with_images()
    people = np.arange(PEOPLE)[::3]
    grid = marginal.grid_settings(3, fine=True)
    found = marginal.evaluate(_one(theta), built.design, include=joint.BLOCKS, grid=grid).log_integral
    dense = [_dense_with_images(theta, built.design, int(i)) for i in people]
    np.testing.assert_allclose(found[0, people], dense, atol=0.02)


# -- the routes -----------------------------------------------------------------------------------
@pytest.mark.parametrize("data", ["items", "images"])
def test_the_explicit_gradient_is_the_slope_of_the_density(data: str) -> None:
    plain, _ = _case("a residual factor")
    images, _ = _with_images()
    sampled = build_design(plain.spec.model_copy(update={"route": "explicit"}), plain.design)
    built = {"items": sampled, "images": images}[data]
    density = compile_density(built)
    rng = np.random.default_rng(1)
    for scale in (0.3, 1.0):
        x = density.start + scale * rng.standard_normal(density.size)
        gradient = density.value_and_gradient(x)[1]
        for _ in range(10):
            way = rng.standard_normal(density.size)
            way /= np.linalg.norm(way)
            ahead, behind = (density.value_and_gradient(x + s * way)[0] for s in (1e-5, -1e-5))
            assert (ahead - behind) / 2e-5 == pytest.approx(gradient @ way, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize(
    ("route", "images"),
    [
        pytest.param("explicit", False, marks=pytest.mark.slow),
        pytest.param("marginal", False, marks=pytest.mark.slow),
        ("auto", True),
    ],
)
def test_the_density_is_that_of_pymc(route: str, images: bool) -> None:
    none = {} if images else {"neural": None, "connectivity": None}
    spec = joint_spec("structure/shared", distribution="sinh_arcsinh", route=route, **none)
    built = build_design(spec, make_design(full_cohort(20), spec))
    assert built.explicit is (route != "marginal")
    assert_density_is_pymcs(built, scales=(0.1, 0.6), value_rtol=1e-9, gradient_rtol=1e-7)


def test_estimates_and_the_page_say_how_skewed_functions_are() -> None:
    rng = np.random.default_rng(1)
    draws = {"epsilon": rng.normal(0.5, 0.01, (4, 100, 1)), "tailweight": rng.normal(0.8, 0.01, (4, 100, 1))}
    labels = {"function": ["emotion_regulation"]}
    posterior = xr.Dataset({k: (("chain", "draw", "function"), v) for k, v in draws.items()}, coords=labels)
    rows = estimates._skewness(summary := Summary(0.9, 0.2, chains=4), flattened(posterior))
    assert rows[0]["mean"] == pytest.approx(1.204, abs=0.02)
    assert rows[0]["excess_kurtosis"]["mean"] == pytest.approx(2.096, abs=0.1)
    assert rows[0]["low"] < rows[0]["mean"] < rows[0]["high"]
    assert not estimates._skewness(summary, flattened(posterior.drop_vars("epsilon")))
    shown = {"structure/shared": {}, "structure/skewed": {"skewness": rows, "interval": 0.9}}
    parts = _skewness(SimpleNamespace(estimates=shown))  # type: ignore[arg-type]
    assert len(parts) == 1
    assert f"{rows[0]['mean']:.2f} (" in str(parts[0])
    assert "emotion regulation" in str(parts[0])


@pytest.mark.slow
def test_the_shape_is_recovered() -> None:
    six = {"functions": {"one": ["affect_regulation", "anti_dissociation"]}, "factors": []}
    spec = _spec(**six, measurement={"testlets": "none"})
    empty = build(spec, small_cohort(400))
    truth = {"epsilon": np.array([0.5]), "tailweight": np.ones(1)}
    theta = _theta(empty, 7, **truth)
    theta["lambda"] = np.full_like(theta["lambda"], 1.8)
    theta |= {name: 0 * theta[name] for name in ("G", "u_site")}
    built = build_design(spec, generate.generate(theta, empty.design, np.random.default_rng(8)))
    drawn = sample(built, Sampler(chains=2, tune=150, draws=200), np.random.SeedSequence(1))
    for name, value in truth.items():
        found = drawn.values[name].ravel()
        assert abs(found.mean() - value[0]) < 3 * found.std()
        assert found.std() < 0.45
    assert (drawn.values["epsilon"] > 0).mean() > 0.8
    assert not drawn.statistics["diverging"].any()


# -- the spec -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"outcome": "severity"}, "outcome"),
        ({"disorder": {"levels": True}}, "disorder.levels"),
        ({"measurement": {"cross_loadings": True}}, "measurement.cross_loadings"),
        ({"measurement": {"bias": "dense"}}, "measurement.bias"),
        ({"general": "bifactor"}, "general"),
        ({"groups": {"by": "site", "invariance": "metric"}}, "groups"),
    ],
)
def test_what_is_stated_for_gaussian_functions_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(SpecError, match=rf"leave out {named} .*distribution: normal"):
        _spec(**changes)


@pytest.mark.parametrize("block", ["neural", "connectivity"])
def test_images_are_not_integrated_with_the_kernel(block: str) -> None:
    with pytest.raises(SpecError, match=r"route: marginal: images are linear .*write route: auto"):
        _spec(**{block: {}}, route="marginal")
    assert _spec(**{block: {}}).explicit
    assert not _spec().explicit


def test_a_model_that_is_not_skewed_does_not_know_of_it() -> None:
    design = make_design(small_cohort(), small_spec())
    plain, skew = (build_design(s, design) for s in (small_spec(disorder={}), _spec()))
    assert "epsilon" not in {p.name for p in plain.parameters}
    assert fingerprint(plain, plain.spec) != fingerprint(skew, skew.spec)
    assert read_priors()["epsilon"].mu == 0
