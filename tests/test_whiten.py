"""Coordinates of a posterior with a scale whose effects are correlated: nothing moves with the scale."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from nssi_bayes.fit.whiten import Coordinates, Scaled, ValueAndGradient, find_coordinates

type Array = np.ndarray[Any, Any]

EFFECTS = 12
BESIDE = 2
"""Parameters that the scale does not multiply, which data tie to the effects."""


def _posterior() -> ValueAndGradient:
    """Return the density of a scale, its effects and two more, seen together with correlated errors."""
    rng = np.random.default_rng(4)
    size = EFFECTS + BESIDE
    mix = 0.5 * rng.standard_normal((size, size)) + 3.0
    precision = 40 * np.linalg.inv(mix @ mix.T / size + 0.3 * np.eye(size))
    seen = 0.4 * rng.standard_normal(size)

    def density(x: Array) -> tuple[float, Array]:
        scale = np.logaddexp(0, x[0]) / 5
        away = np.append(x[1 : EFFECTS + 1] * scale, x[EFFECTS + 1 :]) - seen
        pulled = precision @ away
        by = np.append(pulled[:EFFECTS] * scale, pulled[EFFECTS:]) + x[1:]
        by_scale = pulled[:EFFECTS] @ x[1 : EFFECTS + 1] + scale
        value = -0.5 * away @ pulled - 0.5 * scale**2 - 0.5 * x[1:] @ x[1:]
        return float(value), -np.append(by_scale / 5 / (1 + np.exp(-x[0])), by)

    return density


@pytest.fixture(scope="module")
def found() -> Coordinates:
    return find_coordinates(
        _posterior(), np.zeros(1 + EFFECTS + BESIDE), scaled=[Scaled(0, np.arange(1, EFFECTS + 1))]
    )


def _moves(coordinates: Coordinates) -> float:
    """Return how far the mode of all else moves as the scale does by an sd, in sd."""
    of_y = coordinates.pull_back(_posterior())

    def mode(scale: float) -> Array:
        def loss(rest: Array) -> tuple[float, Array]:
            value, slope = of_y(np.append(scale, rest))
            return -value, -slope[1:]

        return np.asarray(minimize(loss, np.zeros(EFFECTS + BESIDE), jac=True, method="BFGS").x)

    return float(np.linalg.norm(mode(0.5) - mode(-0.5)))


def test_what_is_correlated_does_not_move_with_the_scale(found: Coordinates) -> None:
    plain = replace(found, shear=np.zeros_like(found.shear))
    assert _moves(plain) > 0.4
    assert _moves(found) < 0.1 * _moves(plain)


def test_the_shear_can_be_undone_and_has_no_volume(found: Coordinates) -> None:
    y = np.random.default_rng(2).normal(size=(3, 1 + EFFECTS + BESIDE))
    np.testing.assert_allclose(found.of_x(found.to_x(y)), y, atol=1e-9)
    plain, step = replace(found, shear=np.zeros_like(found.shear)), 1e-5 * np.eye(y.shape[1])

    def volume(coordinates: Coordinates) -> float:
        return float(np.linalg.slogdet((coordinates.to_x(step) - coordinates.to_x(-step)) / 2e-5)[1])

    np.testing.assert_allclose(volume(found), volume(plain), atol=1e-7)
    assert np.abs(found.shear).max() > 0.1


def test_slopes_are_those_of_the_value(found: Coordinates) -> None:
    of_y = found.pull_back(_posterior())
    y = np.random.default_rng(3).normal(size=1 + EFFECTS + BESIDE)
    slope = [(of_y(y + 1e-6 * e)[0] - of_y(y - 1e-6 * e)[0]) / 2e-6 for e in np.eye(len(y))]
    np.testing.assert_allclose(of_y(y)[1], slope, rtol=1e-6, atol=1e-6)
    value = found.slope(_posterior(), y)
    x = [(_posterior()(found.to_x((y + 1e-6 * e)[None])[0])[0]
          - _posterior()(found.to_x((y - 1e-6 * e)[None])[0])[0]) / 2e-6 for e in np.eye(len(y))]  # fmt: skip
    np.testing.assert_allclose(value, x, rtol=1e-6, atol=1e-5)


def test_nothing_is_taken_out_where_the_way_is_not_straight() -> None:
    """All else would move by thousands of sd with the scale: the typical point says nothing of the way."""
    size = 4

    def density(x: Array) -> tuple[float, Array]:
        away = x[size] - 1e4 * np.tanh(x[0] - 3)  # is known exactly, given the scale
        slope = np.append(-x[:size], -away)
        slope[0] += 1e4 * away / np.cosh(x[0] - 3) ** 2
        return float(-0.5 * x[:size] @ x[:size] - 0.5 * away**2), slope

    found = find_coordinates(density, np.zeros(size + 1), scaled=[Scaled(0, np.arange(1, size))])
    np.testing.assert_array_equal(found.shear, 0)
