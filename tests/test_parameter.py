"""Priors are normalised densities, and the package's own draws are draws from them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy import integrate, stats

from nssi_bayes.blocks.compiled import Slots
from nssi_bayes.blocks.parameter import Parameter, draw
from nssi_bayes.fit.unconstrained import Unconstrained
from nssi_bayes.graph import _declare
from nssi_bayes.spec import read_priors

COORDS: dict[str, list[Any]] = {"function": ["a", "b", "c"], "function_other": ["a", "b", "c"],
                                "disorder": list("klmno"), "two": [0, 1], "two_other": [0, 1]}  # fmt: skip
NORMAL = Parameter("normal", ("function",), mu=np.array([0.0, 1.0, -2.0]), sigma=0.4)
LOGNORMAL = Parameter("lognormal", ("function",), "lognormal", mu=0.5, sigma=0.5)
SCALE = Parameter("tau", ("function",), "halfnormal", sigma=0.15)
ZERO_SUM = Parameter("effect", ("function", "disorder"), scale="tau", scale_dims=("function",), zero_sum=True)
DIRICHLET = Parameter("share", ("function", "disorder"), "dirichlet", alpha=1.5)
LKJ = Parameter("Omega", ("function", "function_other"), "lkj", alpha=1.0)

type Array = np.ndarray[Any, Any]


def _model(*parameters: Parameter) -> pm.Model:
    with pm.Model(coords=COORDS) as model:
        theta: dict[str, Any] = {}
        for p in parameters:
            theta[p.name] = _declare(p, COORDS, theta)
    return model


def _logp(model: pm.Model) -> Callable[[Array], float]:
    """Return the density of the free vector of a model with one free variable."""
    (value,) = model.value_vars
    compiled = model.compile_logp()
    shape = model.initial_point()[value.name].shape
    return lambda x: float(compiled({value.name: np.reshape(x, shape)}))


def test_normal_and_lognormal_are_scipys() -> None:
    x = np.array([0.3, 1.2, -1.0])
    assert _logp(_model(NORMAL))(x) == pytest.approx(stats.norm(NORMAL.mu, 0.4).logpdf(x).sum())
    # of the logarithm, in which it is sampled
    assert _logp(_model(LOGNORMAL))(x) == pytest.approx(stats.norm(0.5, 0.5).logpdf(x).sum())


def test_a_scale_sampled_by_softplus_is_half_normal() -> None:
    model = _model(SCALE)
    logp = _logp(model)
    x = np.array([-2.0, 0.5, 7.0])
    tau = 0.2 * 0.15 * np.logaddexp(0, x)
    jacobian = np.log(0.2 * 0.15) - np.logaddexp(0, -x)
    expected = (stats.halfnorm(scale=0.15).logpdf(tau) + jacobian).sum()
    assert logp(x) == pytest.approx(expected)
    one = Parameter("one", (), "halfnormal", sigma=2.0)
    density = _logp(_model(one))
    assert integrate.quad(lambda v: np.exp(density(np.array(v))), -40, 60)[0] == pytest.approx(1, abs=1e-6)


def test_a_scale_sampled_by_its_logarithm_is_half_cauchy() -> None:
    one = Parameter("one", (), "halfcauchy", sigma=0.7)
    logp = _logp(_model(one))
    for x in (-3.0, 0.2, 4.0):
        assert logp(np.array(x)) == pytest.approx(stats.halfcauchy(scale=0.7).logpdf(np.exp(x)) + x)
        assert Unconstrained([one, NORMAL], Slots({"one": (), "normal": (3,)}))(np.array([x, *NORMAL.mu]))[
            0
        ] == (pytest.approx(logp(np.array(x)) + stats.norm(0, 0.4).logpdf(np.zeros(3)).sum()))
    drawn = draw([one], COORDS, np.random.default_rng(0), 4000)["one"]
    assert stats.kstest(drawn, stats.halfcauchy(scale=0.7).cdf).pvalue > 1e-3


def test_zero_sum_effects_are_a_normalised_normal_in_one_dimension_less() -> None:
    flat = Parameter("effect", ("disorder",), zero_sum=True)
    x = np.array([0.4, -1.0, 0.2, 2.0])
    # the transform is a rotation, so that the free coordinates are independent standard normals
    assert _logp(_model(flat))(x) == pytest.approx(stats.norm.logpdf(x).sum())
    model = _model(flat)
    backward = model.rvs_to_transforms[model.free_RVs[0]].backward(pt.as_tensor(x)).eval()
    assert backward.sum() == pytest.approx(0, abs=1e-12)
    assert (backward**2).sum() == pytest.approx((x**2).sum())


def test_effects_that_sum_to_zero_both_ways_are_one_normal_in_their_own_dimensions() -> None:
    coords = {"item": list("abcdefg"), "disorder": ["p", "q", "r"]}
    both = Parameter("bias", ("item", "disorder"), zero_sum=True, zero_sum_groups=(4, 3))
    slots = Slots({"bias": (7, 3)})
    free = Unconstrained([both], slots)
    assert free.size == (3 + 2) * 2
    x = np.random.default_rng(0).standard_normal(free.size)
    log_prior, theta, _ = free(x)
    value = theta.reshape(7, 3)
    np.testing.assert_allclose(value.sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose([value[:4].sum(axis=0), value[4:].sum(axis=0)], 0, atol=1e-12)
    assert (value**2).sum() == pytest.approx((x**2).sum())  # a rotation
    assert log_prior == pytest.approx(stats.norm.logpdf(x).sum())
    with pm.Model(coords=coords) as model:
        declared = _declare(both, coords, {})
    point = [x[:6].reshape(3, 2), x[6:].reshape(2, 2)]
    named = {v.name: part for v, part in zip(model.value_vars, point, strict=True)}
    assert float(model.compile_logp()(named)) == pytest.approx(log_prior, rel=1e-6)
    stated = model.replace_rvs_by_values([declared])[0]
    np.testing.assert_allclose(
        stated.eval(dict(zip(model.value_vars, point, strict=True))), value, atol=1e-12
    )
    drawn = draw([both], coords, np.random.default_rng(1), 20_000)["bias"]
    np.testing.assert_allclose(drawn.sum(axis=2), 0, atol=1e-12)
    # of 4 items and 3 disorders an element has variance (1 - 1/4)(1 - 1/3)
    np.testing.assert_allclose(drawn[:, :4].var(axis=0), 0.5, rtol=0.06)
    np.testing.assert_allclose(drawn[:, 4:].var(axis=0), (2 / 3) ** 2, rtol=0.06)


def test_dirichlet_is_scipys_and_integrates_to_one() -> None:
    two = Parameter("share", ("two",), "dirichlet", alpha=1.5)
    logp = _logp(_model(two))
    assert integrate.quad(lambda v: np.exp(logp(np.array([v]))), -40, 40)[0] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("eta", [1.0, 2.0])
def test_lkj_is_normalised(eta: float) -> None:
    """In two dimensions a correlation is 2 Beta(eta, eta) - 1."""
    logp = _logp(_model(Parameter("R", ("two", "two_other"), "lkj", alpha=eta)))
    whole = integrate.quad(lambda v: np.exp(logp(np.array([v]))), -np.inf, np.inf)[0]
    assert whole == pytest.approx(1, abs=1e-5)


def test_a_correlation_and_not_its_factor_is_named() -> None:
    """Trap 2: LKJCorr gives the Cholesky factor; what bears the parameter's name is L L'."""
    model = _model(LKJ)
    root, matrix = pm.draw([model["Omega_root"], model["Omega"]], random_seed=1)
    np.testing.assert_allclose(matrix, root @ root.T)
    np.testing.assert_allclose(np.diag(matrix), 1)
    assert root[0, 2] == 0


@pytest.mark.parametrize("size", [3, 4, 5])
@pytest.mark.parametrize("eta", [1.0, 2.0])
def test_our_draws_of_lkj_have_the_right_spread(size: int, eta: float) -> None:
    """Trap 1: sd of every correlation is sqrt(1 / (2 (eta - 1 + n / 2) + 1)), uniform in their order."""
    coords = {"a": list(range(size)), "b": list(range(size))}
    root = draw([Parameter("R", ("a", "b"), "lkj", alpha=eta)], coords, np.random.default_rng(1), 20_000)["R"]
    matrix = root @ np.swapaxes(root, 1, 2)
    np.testing.assert_allclose(matrix[:, range(size), range(size)], 1)
    a = eta - 1 + size / 2
    for i, j in zip(*np.tril_indices(size, -1), strict=True):
        r = matrix[:, i, j]
        assert r.std() == pytest.approx(np.sqrt(1 / (2 * a + 1)), rel=0.03)
        assert stats.kstest((r + 1) / 2, stats.beta(a, a).cdf).pvalue > 1e-4


def test_our_draws_are_those_of_pymc() -> None:
    parameters = [NORMAL, LOGNORMAL, SCALE, ZERO_SUM, DIRICHLET, LKJ]
    model = _model(*parameters)
    size = 4_000
    ours = draw(parameters, COORDS, np.random.default_rng(2), size)
    ours["Omega"] = ours["Omega"] @ np.swapaxes(ours["Omega"], 1, 2)
    theirs = pm.draw([model[p.name] for p in parameters], draws=size, random_seed=3)
    for p, other in zip(parameters, theirs, strict=True):
        own = ours[p.name]
        assert own.shape == other.shape
        for moment in (1, 2, 3):
            one, two = own**moment, other**moment
            error = np.sqrt((one.var(axis=0) + two.var(axis=0)) / size)
            assert (np.abs(one.mean(axis=0) - two.mean(axis=0)) < 4.5 * error + 1e-9).all(), (p.name, moment)
    np.testing.assert_allclose(ours["effect"].sum(axis=-1), 0, atol=1e-12)
    # tau and its effects are drawn together, in two groups of unequal tau
    large = ours["tau"][:, 0] > np.median(ours["tau"][:, 0])
    assert ours["effect"][large, 0].std() > 2 * ours["effect"][~large, 0].std()


def test_every_default_prior_states_its_unit_and_source() -> None:
    for name, prior in read_priors().items():
        assert prior.unit, name
        assert prior.source, name
