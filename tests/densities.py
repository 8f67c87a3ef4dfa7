"""The sampler's density against the one that PyMC states, and its gradient over many cohorts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from nssi_bayes.build import Built
from nssi_bayes.fit.density import Density, compile_density
from nssi_bayes.fit.reference import Reference

__all__ = ["assert_density_is_pymcs", "in_errors"]


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


def in_errors(found: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of gradients of many cohorts, element by element, in its standard errors."""
    values = np.stack([f.ravel() for f in found])
    return np.asarray(values.mean(axis=0) / (values.std(axis=0, ddof=1) / np.sqrt(len(values))))
