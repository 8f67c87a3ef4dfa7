"""The study of claims: effects are as large as they say, all models see one cohort, the rule counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import claims
import numpy as np
import pytest

from nssi_bayes.spec import Sampler

SEEDS = np.random.SeedSequence(5)


def _small(kind: str, **changes: Any) -> claims.Kind:
    return replace(claims.KINDS[kind], participants=60, **changes)


@pytest.mark.parametrize("kind", list(claims.KINDS))
def test_all_models_observe_the_same_values(kind: str) -> None:
    _, models = claims.make(_small(kind), SEEDS)
    first, *others = (built.design for built in models.values())
    order = np.argsort(first.coords["indicator"])
    for other in others:
        again = np.argsort(other.coords["indicator"])
        np.testing.assert_array_equal(first.response[:, order], other.response[:, again])
        np.testing.assert_array_equal(first.factor, other.factor)
        np.testing.assert_array_equal(first.activation, other.activation)
    assert bool(len(first.scanned)) == bool(claims.KINDS[kind].scanned)
    assert (first.response != first.missing_response).any()


@pytest.mark.parametrize("name", ["A", "B_disorder", "L_disorder", "delta"])
def test_large_effects_are_as_large_as_they_say(name: str) -> None:
    kind = {"A": "levels", "B_disorder": "slopes", "L_disorder": "circuits", "delta": "bias"}[name]
    _, models = claims.make(_small(kind), SEEDS)
    built = models[claims.KINDS[kind].truth]
    shape = next(p.shape(built.design.coords) for p in built.parameters if p.name == name)
    found = claims.large(name, shape, built.design, np.random.default_rng(1))
    assert found.shape == shape
    np.testing.assert_allclose(found.sum(axis=-1), 0, atol=1e-12)
    contrast = np.ptp(found, axis=-1)
    size = {"A": 0.8, "B_disorder": 0.4, "L_disorder": 0.5, "delta": 0.8}[name]
    if name == "delta":
        assert (contrast > 0).mean() == pytest.approx(0.25, abs=0.05)
        contrast = contrast[contrast > 0]
    np.testing.assert_allclose(contrast, size)


def test_a_fit_that_is_not_certified_claims_nothing() -> None:
    rng = np.random.default_rng(2)
    low = rng.standard_normal(50)

    def fitted(elpd: Any) -> Any:
        return claims._Fitted(None, True, {}, elpd, np.zeros(0, int))  # type: ignore[arg-type]

    fits = {"a": fitted(low + 0.3), "b": fitted(low), "c": fitted(low + 3 * rng.standard_normal(50))}
    assert claims._claim(("a", "b"), fits, right=True, certified=True)["claimed"]
    assert not claims._claim(("a", "b"), fits, right=True, certified=False)["claimed"]
    noisy = claims._claim(("c", "b"), fits, right=False, certified=True)
    assert noisy["claimed"] == (noisy["difference"] > max(4, 2 * noisy["standard_error"]))
    small = {"a": fitted(low + 0.07), "b": fitted(low)}
    assert not claims._claim(("a", "b"), small, right=True, certified=True)["claimed"]  # 3.5, without noise


def test_claims_are_counted_with_an_interval() -> None:
    def cohort(first: bool, second: bool) -> dict[str, Any]:
        pair = {"standard_error": 1.0, "difference": 2.0}
        means, shared = claims._MEANS
        return {"kind": "levels", "certified": True, "method": "10-fold", "claims": [
            {"model": means, "over": shared, "claimed": first, **pair},
            {"model": "x", "over": "y", "claimed": second, **pair},
        ]}  # fmt: skip

    found = claims.summarise([cohort(True, False)] * 9 + [cohort(False, False)])["kinds"]["levels"]
    assert [c["count"] for c in found["claims"]] == [9, 0]
    assert [c["true"] for c in found["claims"]] == [True, False]
    low, high = found["claims"][0]["low"], found["claims"][0]["high"]
    assert (low, high) == pytest.approx((0.555, 0.9975), abs=1e-3)  # binom.test(9, 10) in R
    assert found["by_folds"] == 10


@pytest.mark.slow
def test_a_cohort_goes_through() -> None:
    setting = claims.Setting(
        Sampler(chains=2, tune=100, draws=150), Sampler(chains=2, tune=100, draws=100), 200
    )
    kind = _small("levels", claims=(claims._MEANS,))
    found = claims.run_one(kind, "levels", 0, setting)
    assert found["claims"][0]["true"]
    assert np.isfinite(found["claims"][0]["difference"])
    assert not found["certified"]  # 300 draws certify nothing
    assert not found["claims"][0]["claimed"]
