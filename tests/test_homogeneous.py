"""Tau beside a homogeneous world: what a posterior knows is found again, worlds are calibrated."""

from __future__ import annotations

import numpy as np
import pytest

from nssi_bayes.report.homogeneous import homogeneous_world

SIGMA = 0.5


def _posterior(
    estimates: np.ndarray, error: float, rng: np.random.Generator, draws: int = 3000
) -> tuple[np.ndarray, np.ndarray]:
    """Draw from the exact posterior of effects that sum to zero and their scale, by a grid over the scale."""
    count = len(estimates)
    basis = np.linalg.qr(np.eye(count) - 1 / count)[0][:, : count - 1]
    seen = basis.T @ estimates
    grid = np.linspace(1e-3, 4 * SIGMA, 4000)
    variance = error**2 + grid**2
    log_weight = -0.5 * ((seen**2).sum() / variance + (count - 1) * np.log(variance) + (grid / SIGMA) ** 2)
    weight = np.exp(log_weight - log_weight.max())
    tau = rng.choice(grid, draws, p=weight / weight.sum())
    precision = 1 / error**2 + 1 / tau**2
    mean = seen[None] / error**2 / precision[:, None]
    inner = mean + rng.standard_normal(mean.shape) / np.sqrt(precision)[:, None]
    return inner @ basis.T, tau


@pytest.mark.parametrize("error", [0.1, 0.25, 0.6])
@pytest.mark.parametrize("spread", [0.0, 0.2, 0.6])
def test_the_posterior_mean_of_tau_is_found_again(error: float, spread: float) -> None:
    rng = np.random.default_rng(int(100 * error + 10 * spread))
    truth = rng.normal(0, 1, 5) * spread
    effects, tau = _posterior(truth + rng.normal(0, error, 5), error, rng)
    world = homogeneous_world(effects, tau, prior_sigma=SIGMA, content=0.9, seed=1)
    assert world.error == pytest.approx(world.observed - tau.mean())
    assert abs(world.error) < 0.08 * tau.mean()


def test_in_homogeneous_worlds_tau_is_outside_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    outside = [
        not world.low <= world.observed <= world.high
        for world in (
            homogeneous_world(*_posterior(rng.normal(0, 0.25, 5), 0.25, rng, 1500), prior_sigma=SIGMA,
                              content=0.9, seed=2)
            for _ in range(200)
        )
    ]  # fmt: skip
    assert 8 <= sum(outside) <= 36  # 20 expected of 200; beyond 3.8 binomial sd either way


def test_clear_differences_are_larger_than_in_any_homogeneous_world() -> None:
    rng = np.random.default_rng(6)
    effects, tau = _posterior(np.array([-0.8, -0.3, 0.0, 0.4, 0.9]), 0.1, rng)
    world = homogeneous_world(effects, tau, prior_sigma=SIGMA, content=0.9, seed=3)
    assert world.observed > world.high
    assert world.p_larger == 0
    assert world.mean < 0.2


def test_equal_input_gives_equal_numbers_and_one_disorder_is_refused() -> None:
    rng = np.random.default_rng(7)
    effects, tau = _posterior(rng.normal(0, 0.3, 4), 0.2, rng)
    both = [homogeneous_world(effects, tau, prior_sigma=SIGMA, content=0.9, seed=4) for _ in range(2)]
    assert both[0] == both[1]
    with pytest.raises(ValueError, match="two disorders"):
        homogeneous_world(effects[:, :1], tau, prior_sigma=SIGMA, content=0.9, seed=4)


def test_several_effects_with_one_scale_are_taken_together() -> None:
    rng = np.random.default_rng(8)
    effects, tau = _posterior(rng.normal(0, 0.3, 4), 0.2, rng)
    stacked = np.stack([effects, effects[::-1]], axis=-1)
    world = homogeneous_world(stacked, tau, prior_sigma=SIGMA, content=0.9, seed=4)
    assert world.high - world.low < 0.9 * SIGMA
