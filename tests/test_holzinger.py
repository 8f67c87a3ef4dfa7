"""Published numbers of Holzinger and Swineford's nine tests, from specs a user could write."""

from typing import Any

import numpy as np
import pytest
import xarray as xr
from holzinger import SAMPLER, SPEC, holzinger, ladder, scored, spec_of
from scipy.optimize import minimize

from nssi_bayes import names as n
from nssi_bayes.blocks.compiled import Slots
from nssi_bayes.blocks.sums import Sums
from nssi_bayes.build import Built, build
from nssi_bayes.check.gate import Gate
from nssi_bayes.check.scores import Scores
from nssi_bayes.fit.density import compile_density
from nssi_bayes.fit.unconstrained import Unconstrained
from nssi_bayes.schema import violations

# lavaan's tutorial `cfa`; blavaan's article on cross-loadings: means and sds
MAXIMUM, MARKED = -3737.745, [1, 0.554, 0.729, 1, 1.113, 0.926, 1, 1.180, 1.082]
LOADINGS = [0.910, 0.500, 0.662, 1.001, 1.114, 0.927, 0.616, 0.733, 0.680]
LOADING_SD = [0.087, 0.082, 0.079, 0.058, 0.063, 0.054, 0.077, 0.079, 0.081]
CORRELATIONS = {(0, 1): (0.450, 0.065), (0, 2): (0.463, 0.087), (1, 2): (0.279, 0.072)}
VARIANCES = [0.555, 1.149, 0.859, 0.379, 0.455, 0.363, 0.821, 0.502, 0.567]

type Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def built() -> Built:
    cohort = holzinger()
    assert violations(cohort) == []
    return build(spec_of(SPEC), cohort)


def test_the_maximum_of_the_likelihood_is_the_published_one(built: Built) -> None:
    """lavaan's log-likelihood, and its loadings relative to the first of each factor."""
    slots = Slots({p.name: p.shape(built.design.coords) for p in built.parameters})
    free, sums = Unconstrained(built.parameters, slots), Sums(built.design, slots)

    def theta_of(x: Array) -> tuple[Array, Any]:
        _, theta, pull_back = free(x)
        at_prior = pull_back(np.zeros(slots.size))  # of the log prior, which is no part of it
        return theta, lambda by: pull_back(by) - at_prior

    def loss(x: Array) -> tuple[float, Array]:
        theta, pull_back = theta_of(x)
        value, slope = sums.value_and_gradient(theta)
        return -value, -pull_back(slope)

    start = compile_density(built).start
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 1e-13})
    assert -found.fun == pytest.approx(MAXIMUM, abs=5e-4)
    loading = slots.named(theta_of(found.x)[0])["lambda_score"].reshape(3, 3)
    np.testing.assert_allclose((loading / loading[:, :1]).ravel(), MARKED, atol=1e-3)


@pytest.fixture(scope="module")
def fitted(built: Built) -> tuple[xr.DataTree, Gate, Scores]:
    return scored(built, 1)


def test_the_posterior_is_the_published_one_and_certified(fitted: tuple[xr.DataTree, Gate, Scores]) -> None:
    """Means within .15 posterior sd."""
    tree, gate, _ = fitted
    assert gate.certified, [c.text for c in gate.checks if not c.passed]
    draws = tree["posterior"].to_dataset().stack(sample=(n.CHAIN, n.DRAW))
    loading = draws["lambda_score"].transpose("sample", n.SCORE).to_numpy()
    away = (loading.mean(axis=0) - LOADINGS) / LOADING_SD
    assert np.abs(away).max() < 0.15, away
    np.testing.assert_allclose(loading.std(axis=0), LOADING_SD, rtol=0.1)
    omega = draws["Omega"].transpose("sample", ...).to_numpy()
    for (a, b), (mean, sd) in CORRELATIONS.items():
        assert abs(omega[:, a, b].mean() - mean) < 0.15 * sd
        assert omega[:, a, b].std() == pytest.approx(sd, rel=0.1)
    variance = draws["sigma_score"].transpose("sample", n.SCORE).to_numpy() ** 2
    away = (variance.mean(axis=0) - VARIANCES) / variance.std(axis=0)
    assert np.abs(away).max() < 0.15, away


@pytest.mark.slow
def test_the_ladder_of_two_schools_is_the_published_one() -> None:
    """INLAvaan's article `multigroup`: marginal LOO, 1 elpd paired against metric, 2 in total."""
    found, sampler = {}, SAMPLER.model_copy(update={"draws": 4000})
    for rung in ("configural", "metric", "scalar"):
        _, gate, score = scored(build(ladder(rung), holzinger(schools=True)), 3, sampler)
        assert gate.certified, rung
        found[rung] = score
    elpd = {rung: score.elpd["total"] for rung, score in found.items()}
    assert elpd["metric"].sum() == pytest.approx(-3743.2, abs=2)
    for rung, mean, sd in (("configural", -3.4, 3.6), ("scalar", -14.0, 6.0)):
        away = elpd[rung] - elpd["metric"]
        assert away.sum() == pytest.approx(mean, abs=1)
        assert np.sqrt(len(away)) * away.std() == pytest.approx(sd, abs=0.5)
    for rung, p_loo in (("configural", 65.6), ("metric", 57.7), ("scalar", 52.1)):
        assert found[rung].p_loo["total"] == pytest.approx(p_loo, abs=2)
