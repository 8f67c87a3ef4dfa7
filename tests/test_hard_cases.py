"""Data that break models: they build, and a fit ends certified with the truth covered or not certified."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import xarray as xr
from cohort import isas, make_cohort

from artefacts import make_params
from designs import small_spec
from nssi_bayes import check
from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.joint import parameters
from nssi_bayes.blocks.labelled import label
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build_design, log_densities
from nssi_bayes.check.gate import CheckResult
from nssi_bayes.fit import fit
from nssi_bayes.sensitivity.conclusions import conclusions
from nssi_bayes.spec import JointSpec, Sampler, read_priors

SUBSCALES = ("affect_regulation", "anti_dissociation", "marking_distress", "self_punishment")
SAMPLER = Sampler(chains=4, tune=150, draws=1000)
FARTHEST = 4.5
"""Posterior sd between a truth and its mean, at most."""
FEWEST = 0.6
"""Share of truths in their 90 % intervals, at least: they are few, and depend on each other."""

type Array = np.ndarray[Any, Any]


class Case(NamedTuple):
    """What is done to people, to the truth, and to the data that it gives."""

    participants: int = 60
    scanned: float = 0.0
    spec: dict[str, Any] = {}  # noqa: RUF012
    cohort: Callable[[xr.Dataset], None] = lambda _: None
    truth: dict[str, Any] = {}  # noqa: RUF012
    data: Callable[[Design], Design] = lambda design: design


def _nobody_endorsed(design: Design) -> Design:
    response = design.response.copy()
    seen = response[:, 0] != design.missing_response
    response[seen, 0] = 0
    return replace(design, response=response)


def _four_people(cohort: xr.Dataset) -> None:
    diagnosis = cohort[n.DIAGNOSIS].to_numpy()
    diagnosis[:, -1] = 0
    diagnosis[:4, -1] = 1
    diagnosis[diagnosis.sum(axis=1) == 0, 0] = 1


def _disorder_without_scan(cohort: xr.Dataset) -> None:
    away = cohort[n.DIAGNOSIS].to_numpy()[:, 2] == 1
    assert away.any()
    for name in (n.ACTIVATION, n.ACTIVATION_SE, n.ACTIVATION_COVERAGE, n.MOTION, n.CONNECTIVITY,
                 n.CONNECTIVITY_SE, n.CONNECTIVITY_FRAMES, n.QUALITY):  # fmt: skip
        cohort[name][away] = np.nan


def _site_without_factors(cohort: xr.Dataset) -> None:
    cohort[n.FACTOR_SCORE][cohort[n.SITE_OF].to_numpy() == "A"] = np.nan


CASES = {
    "perfectly separated items": Case(truth={"lambda": 30.0}),
    "an item that nobody endorsed": Case(data=_nobody_endorsed),
    "a disorder of four people": Case(cohort=_four_people),
    "a disorder without a scan": Case(
        scanned=0.7, cohort=_disorder_without_scan, spec={"neural": {"residual": "independent"}}
    ),
    "functions correlated .95": Case(truth={"Omega": np.linalg.cholesky([[1, 0.95], [0.95, 1]])}),
    "a site without factors": Case(cohort=_site_without_factors),
    "twenty people": Case(participants=20),
}


FITTED = (
    "twenty people", "functions correlated .95", "an item that nobody endorsed", "a disorder of four people",
    "a site without factors", "a disorder without a scan", "perfectly separated items",
)  # fmt: skip
"""Of these a fit was judged; all of them build."""


def _made(case: Case, seed: int) -> tuple[JointSpec, xr.Dataset, Built, xr.Dataset]:
    """Return spec, cohort, the model of data from a known truth, and that truth."""
    rng = np.random.default_rng(seed)
    cohort = make_cohort(
        rng, case.participants, subscales={k: v for k, v in isas().items() if k in SUBSCALES},
        reliability={"trauma": 0.8}, scanned=case.scanned,
    )  # fmt: skip
    case.cohort(cohort)
    spec = small_spec(**case.spec)
    design = make_design(cohort, spec)
    declared = parameters(spec, design, read_priors())
    theta = {k: v[0] for k, v in draw(declared, design.coords, rng, 1).items()}
    for name, value in case.truth.items():
        theta[name] = np.broadcast_to(value, theta[name].shape).copy()
    design = case.data(generate(theta, design, rng))
    whole = {k: (v @ v.T if k.startswith("Omega") else v)[None, None] for k, v in theta.items()}
    return spec, cohort, build_design(spec, design), label(whole, declared, design)


def judged(
    case: Case, monkeypatch: pytest.MonkeyPatch, seed: int = 11
) -> tuple[bool, list[CheckResult], dict[str, tuple[float, float]]]:
    """Fit and check; return the verdict, what failed, and of each truth its distance in sd and its rank."""
    spec, cohort, built, truth = _made(case, seed)
    tree = fit(built, SAMPLER, np.random.SeedSequence(seed))
    monkeypatch.setattr(check, "make_design", lambda *_, **__: built.design)
    params = make_params()
    found = check._joint(spec, cohort, tree, params=params, rng=np.random.default_rng(0), where="test")
    gate = found["gate"]
    known = conclusions(truth)
    beside = {}
    for name, draws in conclusions(tree["posterior"].to_dataset()).items():
        value = float(known[name][0, 0])
        beside[name] = (value - draws.mean()) / draws.std(), float((draws < value).mean())
    return gate.certified, [c for c in gate.checks if c.passed is False], beside


def covered(beside: dict[str, tuple[float, float]]) -> bool:
    """Whether no truth is far, and enough are in their intervals."""
    distance, rank = np.array(list(beside.values())).T
    return bool(np.abs(distance).max() < FARTHEST and ((rank > 0.05) & (rank < 0.95)).mean() >= FEWEST)


@pytest.mark.slow
@pytest.mark.parametrize("name", FITTED)
def test_a_hard_case_is_never_wrong_and_certified(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    certified, failed, beside = judged(CASES[name], monkeypatch)
    if certified:
        assert covered(beside), {k: v for k, v in beside.items() if abs(v[0]) > 2}
    else:
        assert failed
        assert all(c.text and c.value is not None for c in failed)


@pytest.mark.parametrize("name", CASES)
def test_a_hard_case_builds_with_a_finite_density_at_draws_from_its_prior(name: str) -> None:
    """Nothing of a missing block becomes a NaN or a traceback."""
    _, _, built, _ = _made(CASES[name], 11)
    assert np.isfinite(log_densities(built, np.random.default_rng(0))).all()


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        ({"one": (0.3, 0.6), "two": (-1.0, 0.2)}, True),
        ({"one": (0.3, 0.6), "two": (-6.0, 0.0)}, False),
        ({"one": (2.0, 0.97), "two": (-2.0, 0.02), "three": (0.1, 0.5)}, False),
    ],
)
def test_a_truth_that_is_far_is_not_covered(beside: dict[str, tuple[float, float]], expected: bool) -> None:
    assert covered(beside) is expected
