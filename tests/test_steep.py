"""Steep items: nodes stand around the mode, which Newton steps that are too long jump over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cohort import make_cohort
from scipy.optimize import minimize
from scipy.special import expit, logit, logsumexp
from scipy.stats import multivariate_normal

from designs import small_spec
from nssi_bayes.blocks import joint, marginal
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build

SCALES = {f"s{i}": tuple(range(5 * i + 1, 5 * i + 6)) for i in range(3)}
OMEGA = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
PEOPLE = 400

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


@pytest.fixture(scope="module")
def built() -> Built:
    cohort = make_cohort(np.random.default_rng(0), PEOPLE, subscales=SCALES, categories=4, reliability={})
    return build(small_spec(functions={k: [k] for k in SCALES}, factors=[], disorder={}), cohort)


def _made(built: Built, loading: float) -> tuple[Theta, Design]:
    rng = np.random.default_rng(5)
    theta = {k: v[0] for k, v in draw(built.parameters, built.design.coords, rng, 1).items()}
    theta |= {
        "lambda": loading * np.exp(0.15 * rng.standard_normal(15)),
        "Omega": np.linalg.cholesky(OMEGA),
        "category_probability_4": rng.dirichlet([4, 3, 2, 2], 15),
        "G": np.zeros_like(theta["G"]), "u_site": np.zeros_like(theta["u_site"]),
    }  # fmt: skip
    return theta, generate(theta, built.design, np.random.default_rng(2))


def _dense(theta: Theta, design: Design, i: int) -> float:
    """Return one person's log-likelihood by a fine grid around the person's own mode, found by SciPy."""
    cut = logit(np.cumsum(theta["category_probability_4"], axis=1)[:, :-1])
    ends = np.column_stack([np.full(15, -np.inf), cut, np.full(15, np.inf)])
    seen = np.flatnonzero(design.response[i] != design.missing_response)
    answer, owner = design.response[i, seen], np.asarray(design.function_of)[seen]
    normal = multivariate_normal(np.zeros(3), OMEGA)

    def log_joint(eta: Array) -> Array:
        at = theta["lambda"][seen] * eta[..., owner]
        share = expit(ends[seen, answer + 1] - at) - expit(ends[seen, answer] - at)
        return np.asarray(np.log(np.maximum(share, 1e-300)).sum(axis=-1) + normal.logpdf(eta))

    found = minimize(lambda eta: -float(log_joint(eta)), np.zeros(3), method="Nelder-Mead",
                     options={"xatol": 1e-4, "fatol": 1e-6, "maxiter": 4000})  # fmt: skip
    precision = np.linalg.inv(OMEGA)
    for f in range(3):
        step = 0.02 * np.eye(3)[f]
        bend = log_joint(found.x + step) + log_joint(found.x - step) - 2 * log_joint(found.x)
        precision[f, f] = max(-float(bend) / 0.02**2, precision[f, f])
    root = np.linalg.cholesky(np.linalg.inv(precision))
    axis = np.arange(-8, 8.01, 0.25)
    z = np.stack([m.ravel() for m in np.meshgrid(axis, axis, axis, indexing="ij")], axis=1)
    volume = 3 * np.log(0.25) + np.log(np.diag(root)).sum()
    return float(logsumexp(log_joint(found.x + z @ root.T)) + volume)


@pytest.mark.parametrize(
    ("loading", "farthest", "largest"),
    [(3.0, [0], 0.01), (6.0, [71, 92, 259], 0.1), (8.0, [196, 147, 71], 0.2)],
)
def test_scores_of_steep_items_are_near_a_dense_grid(
    built: Built, loading: float, farthest: list[int], largest: float
) -> None:
    """Also of people whose mode lies far out: with steps clipped to 1.5 sd alone they were 2 nats off."""
    theta, design = _made(built, loading)
    many = {name: value[None] for name, value in theta.items()}
    grid = marginal.grid_settings(3, fine=True)
    found = marginal.evaluate(many, design, include=joint.BLOCKS, grid=grid, moments=False).log_integral[0]
    who = [*farthest, *range(1, PEOPLE, 40)]
    away = found[who] - [_dense(theta, design, i) for i in who]
    assert np.abs(away).max() < largest, away.round(3)
