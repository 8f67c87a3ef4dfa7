"""Posterior calibration: an exact posterior passes, a fault on either side turns the verdict red."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest
import xarray as xr

from designs import small_cohort, small_spec
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build_design
from nssi_bayes.calibrate import replication, summary
from nssi_bayes.calibrate.replication import Plan, replicate
from nssi_bayes.sensitivity.scaling import log_priors
from nssi_bayes.spec import Sampler

type Array = np.ndarray[Any, Any]
SLOPE: Final = "B[self_related, trauma]"


def _built() -> Built:
    """One function, three indicators, forty people, an outcome; the slope is wide: its sign matters."""
    functions = {"self_related": ["affect_regulation", "anti_dissociation", "marking_distress"]}
    wide = {"B_trauma": {"sigma": 1.0}}
    spec = small_spec(functions=functions, outcome="severity", disorder={}, priors=wide)
    return build_design(spec, make_design(small_cohort(40), spec))


def _red(found: dict[str, Any]) -> set[str]:
    level = summary.LEVEL / len(summary.FAMILIES)
    return {
        row["quantity"]
        for family in found["families"].values()
        for row in family["worst"]
        if row["p"] * family["quantities"] <= level
    }


class _OneSlope:
    """Only the slope on trauma is unknown: its posterior on a line stands for the sampler, and is exact."""

    def __init__(self, *, width: float = 1.0) -> None:
        self.built, self._width = _built(), width
        drawn = draw(self.built.parameters, self.built.design.coords, np.random.default_rng(1), 1)
        self._fixed = drawn | {"B": np.full_like(drawn["B"], 0.6), "lambda": np.full_like(drawn["lambda"], 2)}
        self._correlated = {p.name for p in self.built.parameters if p.is_correlation}
        truth = {name: value[0] for name, value in self._fixed.items()}
        self.built = build_design(
            self.built.spec, generate(truth, self.built.design, np.random.default_rng(2))
        )

    def draws(self, built: Built, size: int, rng: np.random.Generator) -> dict[str, Array]:
        """Return draws of the slope given data, beside what is fixed [sample, ...]."""
        line = np.linspace(-2.0, 2.0, 161)
        theta = {name: np.repeat(v, len(line), axis=0) for name, v in self._fixed.items()}
        theta["B"][:, 0, 0] = line
        density = (
            log_priors(theta, built.parameters)["B"]
            + replication._likelihoods(theta, built.design)["log_likelihood"]
        )
        share = np.cumsum(np.exp(density - density.max()))
        slope = np.interp(rng.uniform(size=size), share / share[-1], line + (line[1] - line[0]) / 2)
        found = {name: np.repeat(v, size, axis=0) for name, v in self._fixed.items()}
        found["B"][:, 0, 0] = slope.mean() + self._width * (slope - slope.mean())
        return found

    def sample(self, built: Built, sampler: Sampler, seeds: np.random.SeedSequence) -> Any:
        chains, size = 2, 200
        found = self.draws(built, chains * size, np.random.default_rng(seeds))
        whole = {k: v @ v.mT if k in self._correlated else v for k, v in found.items()}
        values = {k: v.reshape(chains, size, *v.shape[1:]) for k, v in whole.items()}
        quiet = xr.Dataset({"diverging": (("chain", "draw"), np.zeros((chains, size), dtype=bool))})
        return SimpleNamespace(values=values, statistics=quiet, rerun=False)

    def calibrated(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """Calibrate the posterior with 20 replications."""
        right = _OneSlope()
        given = right.draws(right.built, 2000, np.random.default_rng(4))
        monkeypatch.setattr(replication, "sample", self.sample)
        plan = Plan(self.built, Sampler(), 7, given=given)
        return summary.summarise([replicate(plan, index) for index in range(summary.FEWEST)])


def test_posterior_calibration_of_an_exact_posterior_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _OneSlope().calibrated(monkeypatch)
    assert found["passed"] is True, found["text"]
    assert SLOPE in {row["quantity"] for family in found["families"].values() for row in family["worst"]}


def test_posterior_calibration_sees_a_posterior_that_is_too_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _OneSlope(width=0.3).calibrated(monkeypatch)
    assert found["passed"] is False
    assert SLOPE in _red(found)


def test_posterior_calibration_sees_new_people_of_the_other_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data of new people come from a model whose slope has the other sign."""

    def turned(theta: Any, design: Any, rng: Any, *, latent: Any) -> Any:
        wrong = {**theta, "B": -theta["B"]}
        return generate(wrong, design, rng, latent=replication.latents(wrong, design, rng))

    monkeypatch.setattr(replication, "generate", turned)
    found = _OneSlope().calibrated(monkeypatch)
    assert found["passed"] is False
    assert SLOPE in _red(found)
