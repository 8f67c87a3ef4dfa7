"""Fits without some people of models whose shape depends on who is there, and who must not be left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from designs import small_cohort, small_spec
from nssi_bayes.blocks import joint
from nssi_bayes.build import build
from nssi_bayes.check import scores
from nssi_bayes.crossvalidate.refit import Held, held_out
from nssi_bayes.spec import Sampler

type Array = np.ndarray[Any, Any]
SAMPLER = Sampler(chains=2, tune=100, draws=100)


@pytest.fixture(autouse=True)
def _one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)


def _without(built: Any, out: Array) -> Held:
    (held,) = held_out(built, [out], SAMPLER, [np.random.SeedSequence(5)])
    return held


def test_a_model_whose_functions_are_sampled_is_fitted_without_some_people() -> None:
    """There is a coordinate for each person's functions; scores are those of the other route."""
    out, cohort = np.array([3, 4]), small_cohort(30)
    found = {}
    for route in ("explicit", "marginal"):
        built = build(small_spec(factors=[], route=route), cohort)
        assert built.explicit == (route == "explicit")
        found[route] = _without(built, out).elpd(joint.blocks_of(built.design))[scores.TOTAL]
    np.testing.assert_allclose(found["explicit"], found["marginal"], atol=0.5)
