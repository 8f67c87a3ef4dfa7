"""Traps of the libraries that no room owns: the LKJ distribution (traps.md of the design, 1 and 2).

References
----------
Lewandowski, Kurowicka & Joe (2009), doi:10.1016/j.jmva.2009.04.008: under LKJ(eta) in n dimensions a
correlation is 2 Beta(a, a) - 1 with a = eta - 1 + n / 2, so its sd is sqrt(1 / (2 a + 1)).
"""

import numpy as np
import pymc as pm
import pytest

CASES = [(3, 1.0), (3, 2.0), (4, 1.0), (4, 2.0)]


def _expected_sd(n: int, eta: float) -> float:
    return float(np.sqrt(1 / (2 * (eta - 1 + n / 2) + 1)))


def _correlations(factor: np.ndarray) -> np.ndarray:
    """Return the correlations below the diagonal of L L' for every draw."""
    matrix = factor @ np.swapaxes(factor, -1, -2)
    np.testing.assert_allclose(np.diagonal(matrix, axis1=-2, axis2=-1), 1, atol=1e-6)
    rows, columns = np.tril_indices(matrix.shape[-1], -1)
    return matrix[..., rows, columns]


@pytest.mark.parametrize(("n", "eta"), CASES)
def test_forward_draws_of_lkj_have_the_right_spread(n: int, eta: float) -> None:
    draws = pm.draw(pm.LKJCorr.dist(n=n, eta=eta), draws=20_000, random_seed=1)
    assert np.abs(draws[..., np.triu_indices(n, 1)[0], np.triu_indices(n, 1)[1]]).max() == 0
    sd = _correlations(draws).std(axis=0)
    np.testing.assert_allclose(sd, _expected_sd(n, eta), rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "eta"), CASES)
def test_nuts_draws_of_lkj_have_the_right_spread(n: int, eta: float) -> None:
    with pm.Model():
        pm.LKJCorr("factor", n=n, eta=eta)
        draws = pm.sample(
            draws=4000, tune=1000, chains=2, cores=2, random_seed=2, progressbar=False,
            compute_convergence_checks=False,
        )  # fmt: skip
    factor = draws["posterior"]["factor"].to_numpy().reshape(-1, n, n)
    sd = _correlations(factor).std(axis=0)
    np.testing.assert_allclose(sd, _expected_sd(n, eta), rtol=0.05)
