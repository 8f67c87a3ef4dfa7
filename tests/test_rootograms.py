"""Rootograms of counts: bars that the model chooses, few people never shown, faults where they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.check.rootograms import Tally, of_counts, shown
from nssi_bayes.report.criticism import predicted
from outcomes import small

type Array = np.ndarray[Any, Any]


def _design(values: Array, family: str = n.NEGATIVE_BINOMIAL) -> Design:
    _, design = small(n.NEGATIVE_BINOMIAL, participants=40)
    seen = np.ones(len(values), dtype=bool)
    return replace(design, outcome=values.astype(float), outcome_seen=seen, outcome_family=family)


def _tally(rng: np.random.Generator, people: int, *, cohorts: int = 400) -> Tally:
    tally = Tally()
    for _ in range(cohorts):
        tally.add(_design(rng.poisson(3.6, people)))
    return tally


@pytest.fixture(scope="module")
def tally() -> Tally:
    return _tally(np.random.default_rng(1), 400)


def test_bars_are_those_of_the_model_and_hold_everybody(tally: Tally) -> None:
    rng = np.random.default_rng(2)
    found = [of_counts(_design(values), tally, 5)[0] for values in (rng.poisson(3.6, 400), np.full(400, 50))]
    assert found[0]["answers"] == found[1]["answers"]
    assert found[0]["answers"] == ["0 to 1", "2", "3", "4", "5", "6", "7 or more"]
    for row in found:
        assert np.sum(row["expected"]) == pytest.approx(400)
        assert np.min(row["expected"]) >= 20
    roots = np.sqrt(found[0]["expected"])
    count = (found[0]["root_difference"] + roots) ** 2
    assert count.sum() == pytest.approx(400)
    assert np.abs(found[0]["root_difference"]).max() < 2


def test_zeros_that_the_model_does_not_expect_stand_out(tally: Tally) -> None:
    values = np.random.default_rng(3).poisson(3.6, 400)
    values[:80] = 0
    (row,) = of_counts(_design(values), tally, 5)
    assert row["root_difference"][0] > 2
    check = {"name": "outcome_counts", "passed": False, "p": 0.01, "p_adjusted": 0.02, "elements": 5,
             "about": "counts", "worst": []}  # fmt: skip
    told = {**row, "root_difference": row["root_difference"].tolist()}
    *_, drawn = predicted("m", {"rule": "the rule", "checks": [check], "rootograms": [told]})
    assert f"Farthest is outcome ({row['root_difference'][0]:.2f})" in drawn.images[0].alt


@pytest.mark.parametrize(("few", "hidden"), [([3], 2), ([3, 4], 2), ([], 0)])
def test_few_people_are_not_shown_and_cannot_be_computed(tally: Tally, few: list[int], hidden: int) -> None:
    often = {0: 60, 2: 50, 3: 70, 4: 80, 5: 90, 6: 50, 7: 50} | dict.fromkeys(few, 4)
    values = np.repeat(list(often), list(often.values()))
    (row,) = of_counts(_design(values), tally, 5)
    gone = np.isnan(row["root_difference"])
    assert gone.sum() == hidden
    for v in few:
        assert gone[row["answers"].index(str(v))]


@pytest.mark.parametrize(
    ("count", "told"),
    [
        ([200, 90, 2, 1], [200]),  # two are hidden, and are three people together
        ([150, 140, 7], [150]),
        ([150, 140, 0, 0], [150, 140]),
        ([30, 20, 6, 7], [30, 20]),
        ([12, 3], []),
        ([12, 12], [12, 12]),
    ],
)
def test_what_is_hidden_is_not_few_people_together(count: list[int], told: list[int]) -> None:
    found = shown(np.array(count, dtype=float), 11)
    assert np.array(count)[found].tolist() == told


@pytest.mark.parametrize("family", [n.GAUSSIAN, n.BERNOULLI, n.ORDINAL])
def test_an_outcome_that_is_no_count_has_none(family: str) -> None:
    design, tally = _design(np.arange(30) % 2, family), Tally()
    tally.add(design)
    assert of_counts(design, tally, 5) == []


def test_a_hurdle_has_one(tally: Tally) -> None:
    design = _design(np.random.default_rng(4).poisson(3.6, 400), n.HURDLE)
    assert [row["indicator"] for row in of_counts(design, tally, 5)] == ["outcome"]
