"""What is missing and why, as a term of the model: who was scanned, and what goes through activation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from designs import full_cohort, joint_spec
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.joint import BLOCKS
from nssi_bayes.blocks.marginal import evaluate, grid_settings
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build, build_design
from nssi_bayes.integrate.quadrature import Moments
from nssi_bayes.sensitivity.variants import Fitted, Variant, _factors, variants
from nssi_bayes.spec.settings import Sensitivity

NOBODY = Fitted({}, Moments(np.zeros(0), np.zeros(0), np.zeros(0)))
"""Of what nothing is filled in."""


def _only(built: Built, fitted: Fitted, kind: str, **settings: Any) -> Variant:
    asked = Sensitivity(refits=(kind,), **settings)  # type: ignore[arg-type]
    (found,) = variants(built, asked, fitted, np.random.default_rng(1))
    return found


def test_who_was_scanned_is_an_outcome_of_the_functions() -> None:
    """Its density is the model's times that of a logistic regression on the functions."""
    spec = joint_spec("heterogeneity/disorder_means", connectivity=None)
    built = build(spec, full_cohort(24))
    variant = _only(built, NOBODY, "selection")
    assert variant.built is not None
    design = variant.built.design
    np.testing.assert_array_equal(np.flatnonzero(design.outcome), design.scanned)
    assert design.outcome_seen.all()
    added = {p.name for p in variant.built.parameters} - {p.name for p in built.parameters}
    assert {"w", "a", "d", "q"} <= added
    theta = draw(variant.built.parameters, design.coords, np.random.default_rng(4), 1)
    theta |= {
        name: np.zeros_like(theta[name]) for name in ("w", "q")
    }  # then it says nothing of the functions
    grid = grid_settings(len(design.axes), fine=True)
    whole = evaluate(theta, design, include=BLOCKS, grid=grid).log_integral[0]
    plain = {p.name: theta[p.name] for p in built.parameters}
    without = evaluate(plain, built.design, include=BLOCKS, grid=grid).log_integral[0]
    logit = (
        theta["a"][0] + design.diagnosis @ theta["d"][0] + design.covariate @ theta["outcome_covariate"][0]
    )
    logit = logit + design.site @ theta["site_outcome"][0]
    expected = -np.logaddexp(0, np.where(design.outcome > 0, -logit, logit))
    np.testing.assert_allclose(whole - without, expected, atol=2e-3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"outcome": "severity"}, "an outcome already"),
        ({"neural": None, "connectivity": None}, "nobody, or everybody"),
    ],
)
def test_where_selection_cannot_be_asked_it_says_why(changes: dict[str, Any], said: str) -> None:
    built = build(joint_spec("heterogeneity/disorder_means", **changes), full_cohort(24))
    variant = _only(built, NOBODY, "selection")
    assert variant.built is None
    assert said in variant.note


def test_an_outcome_that_goes_through_activation_is_filled_in_from_its_residual_factors() -> None:
    """Of scanned people they are known in part, and spread less than a standard normal."""
    spec = joint_spec("outcome/joint", outcome_from={"activation": True})
    built = build(spec, full_cohort(60))
    theta = draw(built.parameters, built.design.coords, np.random.default_rng(3), 1)
    for name, value in {"sigma": 0.3, "loading_person": 1.0, "v": 0.5, "sigma_outcome": 0.5}.items():
        theta[name][:] = value
    first = {k: v[0] for k, v in theta.items()}
    built = build_design(spec, generate(first, built.design, np.random.default_rng(4)))
    grid = grid_settings(3, fine=True)
    found = evaluate(theta, built.design, include=BLOCKS, grid=grid)
    eta, rng = found.mean[0], np.random.default_rng(5)
    draws = [_factors(first, built.design, eta, rng)[0] for _ in range(300)]
    spread = np.std(np.stack([d for d in draws if d is not None]), axis=0)[:, 0]
    scanned = np.isin(np.arange(60), built.design.scanned)
    nothing = ~scanned & ~built.design.outcome_seen
    assert nothing.any()
    assert spread[scanned].max() < 0.6
    assert spread[nothing].min() > 0.85
    variant = _only(built, Fitted(theta, found), "missing_outcome", deltas=(0.0,))
    assert variant.built is not None
    assert variant.built.design.outcome_seen.all()
