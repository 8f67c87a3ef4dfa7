"""A factor that hardly varies: data say no more the smaller its spread gets, and nothing is without bound.

The precision of such a factor is a huge number, and densities once were what was left of the difference of
two: at an sd of 1e-8 400 people were 28 nats too likely, and chains stayed there.
"""

from __future__ import annotations

import numpy as np
import pytest

from designs import small_cohort, small_spec
from nssi_bayes.blocks import joint, marginal
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.build import Built, build
from nssi_bayes.fit.density import compile_density, likelihood_of
from nssi_bayes.fit.unconstrained import Unconstrained
from nssi_bayes.integrate import quadrature


@pytest.fixture(scope="module")
def built() -> Built:
    return build(small_spec(), small_cohort())


@pytest.mark.parametrize("coordinate", [-9.0, -14.0, -18.0, -25.0, -60.0])
def test_a_factor_that_hardly_varies_leaves_the_likelihood_as_it_is(built: Built, coordinate: float) -> None:
    """Value and slopes are those at an sd of 2e-4, where all digits are there."""
    density = compile_density(built)
    slots = Slots({p.name: p.shape(built.design.coords) for p in built.parameters})
    free = Unconstrained(built.parameters, slots)
    (at,) = free.positions("sigma_x")
    likelihood = likelihood_of(built, np.arange(len(built.design.diagnosis)))
    small, smaller = density.start.copy(), density.start.copy()
    small[at], smaller[at] = -7.0, coordinate
    (one, slope), (two, other) = likelihood(small), likelihood(smaller)
    assert two == pytest.approx(one, abs=1e-3)
    np.testing.assert_allclose(np.delete(other, at), np.delete(slope, at), rtol=1e-4, atol=1e-3)
    assert abs(other[at]) < 1e-3
    theta = {name: value[None] for name, value in slots.named(free(smaller)[1]).items()}
    grid = marginal.grid_settings(len(built.design.plain_of))
    scored = marginal.evaluate(theta, built.design, include=joint.BLOCKS, grid=grid, moments=False)
    assert scored.log_integral.sum() == pytest.approx(two, abs=1e-6)
    one_draw = {name: value[0] for name, value in theta.items()}
    functions = len(built.design.plain_of)
    stated = joint.log_likelihood(
        one_draw, built.design, include=joint.BLOCKS, grid=quadrature.make_grid(functions, **grid)
    )
    assert float(stated.sum()) == pytest.approx(two, abs=1e-5)
