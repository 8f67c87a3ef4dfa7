"""The coordinate of a scale whose effects are known: a map that can be undone, and what it is for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nssi_bayes.fit.wall import Wall
from nssi_bayes.fit.whiten import Scaled, find_coordinates

type Array = np.ndarray[Any, Any]

WALL = Wall(np.array([1, 3]), np.array([0.3, -2.0]))
KNOWN = 2
"""Effects of the scale."""


@pytest.mark.parametrize("size", [1.0, 30.0, 900.0])
def test_the_map_is_undone_far_from_its_foot_too(size: float) -> None:
    w = np.random.default_rng(0).normal(size=5) * size
    x, _, _ = WALL.forward(w)
    np.testing.assert_allclose(WALL.backward(x), w, rtol=1e-12)
    np.testing.assert_array_equal(np.delete(x, WALL.at), np.delete(w, WALL.at))


def test_the_typical_point_stays_where_it_is() -> None:
    w = np.array([5.0, 0.3, 5.0, -2.0])
    np.testing.assert_allclose(WALL.forward(w)[0], w, atol=1e-15)


def test_slopes_are_those_of_the_value_and_the_volume() -> None:
    rng = np.random.default_rng(1)
    w, by, step = rng.normal(size=5) * 2, rng.normal(size=5), 1e-6

    def value(w: Array) -> float:
        x, volume, _ = WALL.forward(w)
        return float(by @ x) + volume

    found = WALL.forward(w)[2](by)
    slope = [(value(w + step * e) - value(w - step * e)) / (2 * step) for e in np.eye(5)]
    np.testing.assert_allclose(found, slope, rtol=1e-7)


def _steepest(log_density: Any, at: Array) -> float:
    """Return the largest curvature within four sd to the left of the mode, over that of the whole."""
    value = np.array([log_density(one) for one in at])
    share = np.exp(value - value.max())
    share /= share.sum()
    mean = share @ at
    sd = np.sqrt(share @ (at - mean) ** 2)
    curvature = -np.gradient(np.gradient(value, at), at)
    near = (at > mean - 4 * sd) & (at < mean)
    return float(curvature[near].max() * sd**2)


def test_the_wall_is_less_steep_than_a_step_can_bear() -> None:
    """Leapfrog diverges where curvature times a squared step is over 4; steps are half an sd and more."""

    def of_x(x: float) -> float:  # of two effects that are known, relative to their size
        return -KNOWN * x - np.exp(-2 * x)

    wall = Wall(np.array([0]), np.array([0.0]))

    def of_w(w: float) -> float:
        x, volume, _ = wall.forward(np.array([w]))
        return of_x(float(x[0])) + volume

    at = np.linspace(-12, 8, 8001)
    assert _steepest(of_x, at[at > -3]) > 16
    assert _steepest(of_w, at) < 8


@pytest.mark.parametrize(("sd", "walled"), [(0.003, True), (0.5, False)])
def test_a_scale_has_a_wall_where_its_effects_are_known(sd: float, walled: bool) -> None:
    effects, size = np.array([0.8, -0.5, 0.6, -0.9]), len("abcd")

    def density(x: Array) -> tuple[float, Array]:
        scale = np.logaddexp(0, x[0]) / 5
        away = (x[1:] * scale - effects) / sd
        by_scale = -(away / sd * x[1:]).sum() - scale
        gradient = np.append(by_scale / 5 / (1 + np.exp(-x[0])), -away / sd * scale - x[1:])
        return float(-0.5 * (away**2).sum() - 0.5 * scale**2 - 0.5 * (x[1:] ** 2).sum()), gradient

    found = find_coordinates(density, np.zeros(size + 1), scaled=[Scaled(0, np.arange(1, size + 1))])
    assert found.conditional.wall.at.tolist() == [0] * walled
    y = np.random.default_rng(2).normal(size=(3, size + 1))
    np.testing.assert_allclose(found.of_x(found.to_x(y)), y, rtol=1e-9, atol=1e-9)
