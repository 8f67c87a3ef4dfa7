"""Gradients against central differences: 20 points of the prior, 20 near the posterior, and extremes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from designs import full_cohort, joint_spec
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build
from nssi_bayes.fit.chains import typical_coordinates
from nssi_bayes.fit.density import Density, compile_density, unconstrained

type Array = np.ndarray[Any, Any]

POINTS = 20
STEP = 1e-4
CLOSE = 1e-5
"""Of the slope, and of what is usual along a direction of this gradient where the slope is nothing."""


@pytest.fixture(scope="module")
def built() -> Built:
    """A model with images, edges, levels, slopes and loadings by disorder; one person's images have se 0."""
    spec = joint_spec("heterogeneity/disorder_circuits", route="explicit")
    return build(spec, full_cohort(24))


@pytest.fixture(scope="module")
def compiled(built: Built) -> Density:
    return compile_density(built)


def _prior(built: Built, size: int, rng: np.random.Generator) -> Array:
    """Return points [point, x]: parameters from their priors, and people's latents from theirs."""
    theta = draw(built.parameters, built.design.coords, rng, POINTS)
    first = unconstrained(built, theta)
    return np.concatenate([first, rng.standard_normal((POINTS, size - first.shape[1]))], axis=1)


def _agree(density: Density, points: Array, rng: np.random.Generator) -> None:
    for x in points:
        value, gradient = density.value_and_gradient(x)
        assert np.isfinite(value)
        usual = np.linalg.norm(gradient) / np.sqrt(len(x))
        for _ in range(3):
            along = rng.standard_normal(len(x))
            along /= np.linalg.norm(along)

            def slope(step: float, x: Array = x, along: Array = along) -> float:
                ahead, behind = (density.value_and_gradient(x + s * along)[0] for s in (step, -step))
                return (ahead - behind) / (2 * step)

            found = (4 * slope(STEP / 2) - slope(STEP)) / 3  # Richardson's, without the error of the square
            assert gradient @ along == pytest.approx(found, rel=CLOSE, abs=CLOSE * usual)


def test_the_gradient_is_right_at_draws_from_the_prior(built: Built, compiled: Density) -> None:
    rng = np.random.default_rng(1)
    _agree(compiled, _prior(built, compiled.size, rng), rng)


def test_the_gradient_is_right_near_the_posterior(built: Built, compiled: Density) -> None:
    """Points are of the normal at the typical point."""
    rng = np.random.default_rng(2)
    _agree(compiled, typical_coordinates(built).to_x(rng.standard_normal((POINTS, compiled.size))), rng)


def test_the_gradient_is_right_where_it_is_hard(built: Built, compiled: Density) -> None:
    """Functions at 6 and -6, thresholds 1e-3 apart, correlations of .98."""
    rng = np.random.default_rng(3)
    theta = {k: v[:2] for k, v in draw(built.parameters, built.design.coords, rng, 2).items()}
    functions = theta["Omega"].shape[-1]
    theta["Omega"][:] = np.linalg.cholesky(0.02 * np.eye(functions) + 0.98)
    for name in [k for k in theta if k.startswith("category_probability")]:
        theta[name][..., 1] = (
            2.5e-4  # an average person's; a thousandth of a logit in the middle of the scale
        )
        theta[name] /= theta[name].sum(axis=-1, keepdims=True)
    first = unconstrained(built, theta)
    people = len(built.design.diagnosis)
    latents = rng.standard_normal((2, compiled.size - first.shape[1]))
    latents[:, : people * functions] = np.where(rng.random((2, people * functions)) < 0.5, -6.0, 6.0)
    _agree(compiled, np.concatenate([first, latents], axis=1), rng)


def test_a_sampled_function_that_meets_an_outcome_leaves_its_residual_sd_where_it_was() -> None:
    """The joint mode is at a residual sd of 0: coordinates of there made steps a twelfth as long."""
    built = build(joint_spec("outcome/joint", route="explicit"), full_cohort(24))
    mode = typical_coordinates(built).mode
    found = compile_density(built).constrain(mode[None])
    for name in ("sigma_outcome", "sigma", "sigma_edge"):
        np.testing.assert_allclose(found[name], 1.0, err_msg=name)
