"""What is said of groups that were left out as a whole, and of marginal likelihoods."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from artefacts import make_loo, make_params, write_project
from designs import small_cohort, small_spec
from nssi_bayes import compare, crossvalidate
from nssi_bayes import names as n
from nssi_bayes.compare.held import disagreement, told
from nssi_bayes.crossvalidate.kept import Kept
from nssi_bayes.spec.settings import CrossValidation
from nssi_bayes.store import read_json, write_dataset, write_json

MODELS = ["shared", "disorder_means", "disorder_circuits"]
_SOUND = {"max_rhat": 1.002, "divergences": 0}


def _groups(path: Path, count: int, *, mcse: float = 0.1) -> Path:
    rows = [
        {"kind": "site", "label": f"s{g:02d}", "model": m, "participants": 20, "mcse": mcse,
         "log_predictive": -100.0 - 5 * i + (g % 3) * i, "by_person": -101.0, "max_rhat": 1.0,
         "divergences": 0}
        for g in range(count) for i, m in enumerate(MODELS)
    ]  # fmt: skip
    write_json(path, {"groups": rows, "skipped": [{"kind": "site", "label": "t", "reason": "few"}]})
    return path


def test_few_groups_are_shown_one_by_one_and_many_with_an_error(tmp_path: Path) -> None:
    few = told(_groups(tmp_path / "few.json", 4), comparable=True)["sentences"]
    assert "Without site s00 (20 people): shared foresees them best; disorder_means 5.0 behind" in few[1]
    assert "no standard error and no ranking" in few[-1]
    assert few[0] == "site t was not left out: few."
    many = told(_groups(tmp_path / "many.json", 9), comparable=True)["sentences"][-1]
    gaps = np.array([5.0 - g % 3 for g in range(9)])
    assert f"disorder_means {gaps.sum():.1f} behind (SE {3 * gaps.std(ddof=1):.1f})" in many
    shared = read_json(_groups(tmp_path / "shared.json", 9)) | {"overlapping": ["site"]}
    write_json(tmp_path / "shared.json", shared)
    (said,) = told(tmp_path / "shared.json", comparable=True)["sentences"][-1:]
    assert said.startswith("9 groups by site: people stand in several of them")
    assert "no standard error and no ranking" in said
    for group in shared["groups"]:
        group["kind"] = "disorder"
    del shared["overlapping"]  # a former version said nothing of it
    write_json(tmp_path / "shared.json", shared)
    assert "no standard error" in told(tmp_path / "shared.json", comparable=True)["sentences"][-1]
    doubted = told(_groups(tmp_path / "bad.json", 2, mcse=float("inf")), comparable=True)["sentences"][1]
    assert "not to be relied on" in doubted
    poor = told(_groups(tmp_path / "poor.json", 2, mcse=0.7), comparable=True)["sentences"][1]
    assert "not to be relied on, the Monte Carlo error is 0.7" in poor
    assert "not compared" in told(_groups(tmp_path / "other.json", 2), comparable=False)["sentences"][-1]


def test_a_lead_that_may_be_nothing_is_told_as_such(tmp_path: Path) -> None:
    """By the rule of all comparisons: over 4, and over all groups over two standard errors."""
    path = _groups(tmp_path / "groups.json", 9)
    content = read_json(path)
    for lead, spread, (one, everybody) in (
        (0.3, 0.0, (False, False)), (0.6, 0.0, (False, True)), (4.5, 30.0, (True, False)),
        (4.5, 0.0, (True, True)),
    ):  # fmt: skip
        for i, row in enumerate(content["groups"]):
            row["log_predictive"] = -100.0 - (i % 3) * (lead + spread * ((i // 3) % 3 - 1))
        write_json(path, content)
        _, first, *_, last = told(path, comparable=True)["sentences"]
        assert ("foresees them best" in first) is one
        assert ("foresees them best" in last) is everybody
        assert ("foremost, not clearly" in last) is not everybody


def test_a_model_that_is_alone_is_not_the_best(tmp_path: Path) -> None:
    content = read_json(_groups(tmp_path / "one.json", 9))
    content["groups"] = [r for r in content["groups"] if r["model"] == "shared"]
    content["evidence"] = [
        {"model": "shared", "prior_scale": 1.0, "log_marginal": -300.0, "mcse": 0.05, **_SOUND}
    ]
    write_json(tmp_path / "one.json", content)
    _, evidence, first, *_, last = told(tmp_path / "one.json", comparable=True)["sentences"]
    assert evidence == "Log marginal likelihood, prior scales x 1: shared alone."
    assert first == "Without site s00 (20 people): shared alone, -100.0 (Monte Carlo error up to 0.10)."
    assert last == "9 groups by site: shared alone, there is nothing to compare it with."


@pytest.mark.parametrize("max_rhat", [1.3, None])
def test_a_group_whose_fit_has_not_mixed_is_not_to_be_relied_on(
    tmp_path: Path, max_rhat: float | None
) -> None:
    """No number is null in the file."""
    path = _groups(tmp_path / "groups.json", 2)
    content = read_json(path)
    content["groups"][1]["max_rhat"] = max_rhat
    write_json(path, content)
    _, first, second, _ = told(path, comparable=True)["sentences"]
    assert first.endswith("not to be relied on, chains without them have not mixed in disorder_means.")
    assert "relied" not in second
    for count in (9, 10):
        path = _groups(tmp_path / "many.json", count)
        content = read_json(path)
        content["groups"][1]["max_rhat"] = max_rhat if count == 9 else 1.01
        write_json(path, content)
        assert told(path, comparable=True)["sentences"][-1].endswith("as some of them are not.") == (
            count == 9
        )


def test_a_marginal_likelihood_stands_beside_those_of_other_priors(tmp_path: Path) -> None:
    rows = [
        {"model": m, "prior_scale": f, "log_marginal": -100.0 - abs(i - (f > 1)) * 3, "mcse": 0.05, **_SOUND}
        for f in (0.5, 1.0, 2.0) for i, m in enumerate(MODELS[:2])
    ]  # fmt: skip
    write_json(tmp_path / "e.json", {"groups": [], "skipped": [], "evidence": rows})
    said = told(tmp_path / "e.json", comparable=True)["sentences"]
    assert "prior scales x 1: shared has the highest; disorder_means 3.0 behind" in said[1]
    assert "prior scales x 2: disorder_means has the highest" in said[2]
    assert said[3] == "Which model has the highest marginal likelihood depends on the scale of the priors."
    assert told(tmp_path / "e.json", comparable=False)["sentences"] == []


def test_a_marginal_likelihood_of_chains_that_failed_is_not_to_be_relied_on(tmp_path: Path) -> None:
    """No number is null in the file."""
    base = {"prior_scale": 1.0, "mcse": 0.05, **_SOUND}
    rows = [
        {**base, "model": "a", "log_marginal": -300.0, "max_rhat": None},
        {**base, "model": "b", "log_marginal": -301.0, "divergences": 2},
        {**base, "model": "c", "log_marginal": -302.0, "mcse": None},
        {**base, "model": "d", "log_marginal": -303.0},
    ]
    write_json(tmp_path / "g.json", {"groups": [], "skipped": [], "evidence": rows})
    (said,) = told(tmp_path / "g.json", comparable=True)["sentences"]
    assert said.endswith(
        " Not to be relied on: chains of a, b have not mixed or diverged. The error of c is over 0.1."
    )


_ROWS = [
    {"block": "total", "model": "circuits", "verdict": "best on this block",
     "elpd_diff": 0.0, "diff_se": 0.0},
    {"block": "total", "model": "shared", "verdict": "20.5 behind circuits (SE 6.2): worse",
     "elpd_diff": -20.5, "diff_se": 6.2},
]  # fmt: skip
_BUT = {**_ROWS[1], "verdict": "20.5 behind circuits (SE 6.2): over 2 SE, but not trusted (under 100 people)"}


@pytest.mark.parametrize(
    ("rows", "lead", "changed", "told_so"),
    [
        (_ROWS, 8.0, {}, True), (_ROWS, -8.0, {}, False), (_ROWS, 2.5, {}, False),
        (_ROWS[:1], 8.0, {}, False),
        ([_ROWS[0], _BUT], 8.0, {}, False), (_ROWS, 8.0, {"mcse": 5.0}, False), ([], 8.0, {}, False),
        (_ROWS, 8.0, {"divergences": 3}, False), (_ROWS, 8.0, {"prior_scale": 2.0}, False),
    ],
)  # fmt: skip
def test_that_loo_and_marginal_likelihoods_disagree_is_said_where_both_are_clear(
    rows: list[dict[str, Any]], lead: float, changed: dict[str, float], told_so: bool
) -> None:
    base = {"prior_scale": 1.0, "mcse": 0.05, **_SOUND}
    evidence = [
        {**base, "model": "circuits", "log_marginal": -300.0},
        {**base, "model": "shared", "log_marginal": -300.0 + lead, **changed},
    ]
    said = disagreement(rows, evidence)
    assert len(said) == told_so
    if told_so:
        assert said[0].startswith(
            "LOO and marginal likelihoods disagree: circuits foresees people who are left out better than "
            "shared (by 20.5, SE 6.2), whose marginal likelihood is the higher (by 8.0, Monte Carlo "
            "error 0.07)"
        )


@pytest.mark.parametrize("lead", [9.0, -9.0])
def test_the_comparison_says_that_they_disagree(tmp_path: Path, lead: float) -> None:
    roster = ("heterogeneity/shared", "heterogeneity/disorder_means")
    layout = write_project(tmp_path, roster=roster)
    for entry, gain in zip(roster, (0.0, 1.0), strict=True):
        write_dataset(layout.loo(entry), make_loo(entry, people=150, gain=gain))
    rows = [
        {
            "model": m,
            "prior_scale": 1.0,
            "mcse": 0.05,
            **_SOUND,
            "log_marginal": -300.0 + lead * (m == "shared"),
        }
        for m in ("shared", "disorder_means")
    ]
    write_json(layout.left_out("heterogeneity"), {"groups": [], "skipped": [], "evidence": rows})
    compare.run(layout, make_params(roster=roster, questions=("heterogeneity",)), "heterogeneity")
    sentences = read_json(layout.comparison_notes("heterogeneity"))["groups"]["sentences"]
    assert sum("marginal likelihoods disagree: disorder_means" in one for one in sentences) == (lead > 0)


@pytest.mark.parametrize(("gap", "told_so"), [(0.1, False), (3.0, True)])
def test_the_scale_of_priors_decides_nothing_within_monte_carlo_error(
    tmp_path: Path, gap: float, told_so: bool
) -> None:
    rows = [
        {"model": m, "prior_scale": f, "mcse": 0.2, **_SOUND,
         "log_marginal": -300.0 - gap * ((m == "shared") == (f > 1))}
        for f in (0.5, 1.0, 2.0) for m in ("shared", "disorder_means")
    ]  # fmt: skip
    write_json(tmp_path / "f.json", {"groups": [], "skipped": [], "evidence": rows})
    sentences = told(tmp_path / "f.json", comparable=True)["sentences"]
    assert any("depends on the scale of the priors" in one for one in sentences) is told_so


@pytest.mark.parametrize(("scheme", "said"), [("auto", "more than 5% of people"), ("folds", "")])
def test_folds_that_were_asked_for_have_no_cause(scheme: str, said: str) -> None:
    """All people are over the k-hat limit; where folds are asked for beforehand that is not why."""
    coords = {n.BLOCK: ["items", "total"]}
    loo = xr.Dataset(
        {n.K_HAT: (n.PARTICIPANT, np.full(60, 1.2))}, coords, {"draws": 4000, "fingerprint": "f"}
    )
    model = crossvalidate._Model("q/one", small_spec(), loo, {})
    fold = Kept(0, {b: np.zeros(6) for b in ("items", "total")}, np.zeros((1, 1)), None, 0, 1.0)
    params = make_params().model_copy(
        update={"cross_validation": CrossValidation.model_validate({"scheme": scheme})}
    )
    work: Any = SimpleNamespace(
        params=params,
        cohort=small_cohort(60),
        held=lambda m, groups: [replace(fold, index=i) for i in range(10)],
    )
    found = crossvalidate._people(work, [model], "q")
    assert found.attrs["scheme"] == "10-fold"
    assert found.attrs["because"].startswith(said)
    assert bool(found.attrs["because"]) is bool(said)
