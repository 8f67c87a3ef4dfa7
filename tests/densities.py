"""The sampler's density against the one that PyMC states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from nssi_bayes.build import Built
from nssi_bayes.fit.density import Density, compile_density
from nssi_bayes.fit.reference import Reference

__all__ = ["assert_density_is_pymcs"]


def assert_density_is_pymcs(
    built: Built, *, scales: Sequence[float], value_rtol: float = 1e-10, gradient_rtol: float = 1e-9
) -> tuple[Density, Reference, np.ndarray]:
    """Compare value and gradient at points around the start; return both densities and the last point."""
    fast, stated = compile_density(built), Reference(built)
    expected_of = stated.value_and_gradient()
    rng = np.random.default_rng(0)
    for scale in scales:
        x = fast.start + scale * rng.standard_normal(fast.size)
        value, gradient = fast.value_and_gradient(x)
        other, expected = expected_of(x)
        # PyMC's constants of normalisation are of single precision
        assert value == pytest.approx(other, rel=value_rtol, abs=1e-5)
        np.testing.assert_allclose(
            gradient, expected, rtol=gradient_rtol, atol=1e-10 * np.abs(expected).max()
        )
    return fast, stated, x
