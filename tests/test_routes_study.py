"""The study of the two routes: one model, one cohort, and a difference that is none by chance is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import routes

from nssi_bayes.fit.density import compile_density


def _posterior(seed: int = 4, **changes: Any) -> dict[str, Any]:
    rng, size = np.random.default_rng(seed), 300
    error = 1 / np.sqrt(5000)
    base = {
        "names": np.array([f"p[{i}]" for i in range(size)]), "mean": error * rng.standard_normal(size),
        "sd": np.exp(error / np.sqrt(2) * rng.standard_normal(size)),
        "ess": np.full(size, 5000.0), "error_sd": np.full(size, 0.01),
    }  # fmt: skip
    return {**base, **changes}


def test_a_shifted_mean_and_a_wider_posterior_are_seen() -> None:
    one, other = _posterior(), _posterior(5)
    same = routes.compare(one, other)
    assert min(same["p_mean"], same["p_sd"]) > 0.05
    moved = other["mean"].copy()
    moved[7] += 0.15
    found = routes.compare(one, {**other, "mean": moved})
    assert found["p_mean"] < 1e-3
    assert found["of"] == "p[7]"
    assert routes.compare(one, {**other, "sd": other["sd"] * 1.1})["p_sd"] < 1e-3
    with pytest.raises(ValueError, match="other elements"):
        routes.compare(one, {**other, "names": other["names"][::-1]})


@pytest.mark.parametrize("structure", list(routes.STRUCTURES))
def test_both_routes_see_one_cohort(structure: str) -> None:
    marginal, explicit = routes.made(structure, 20)
    assert explicit.spec.explicit
    assert not marginal.spec.explicit
    assert marginal.design.response is explicit.design.response
    assert [p.name for p in marginal.parameters] == [p.name for p in explicit.parameters]
    assert compile_density(explicit).size > compile_density(marginal).size
