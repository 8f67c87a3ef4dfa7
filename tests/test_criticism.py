"""Parts of the report on predictive checks, sensitivity and calibration say what the artefacts say."""

from __future__ import annotations

from typing import Any

import numpy as np

from nssi_bayes.calibrate.summary import summarise
from nssi_bayes.report.criticism import calibrated, predicted, prior_expects, sensitive


def _replications(size: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    names = ["log_likelihood", "B[f, trauma]"]
    health = {
        "divergences": 0,
        "rerun": False,
        "max_rhat": 1.0,
        "min_ess": 300.0,
        "share_ess_below_ranked": 0.0,
    }
    return [
        {"index": i, "quantity": names, "rank": rng.integers(0, 100, 2).tolist(), "truth": [0.0, 0.1],
         "mean": [0.0, 0.2], "sd": [1.0, 0.1], "covered": [True, True], "ranked_among": 99, "interval": 0.9,
         "health": health,
         "statements": {k: {"stated": rng.uniform(size=5).tolist(), "true": rng.integers(0, 2, 5).tolist()}
                        for k in ("direction", "size")}}
        for i in range(size)
    ]  # fmt: skip


def _words(parts: list[Any]) -> str:
    return " ".join(
        [*(p.body for p in parts), *(i for p in parts for i in p.items), *(p.title for p in parts)]
    )


def test_calibration_shows_failures_and_the_band() -> None:
    parts = calibrated("shared", summarise([*_replications(40), {"index": 40, "failed": "RuntimeError"}]))
    assert [p.kind for p in parts] == ["lines", "figure", "text", "figure", "table", "table"]
    assert "Stated probabilities: in" in _words(parts)
    assert "95 % intervals" in parts[3].images[0].alt
    assert "broke: 1" in _words(parts)
    assert "log_likelihood" in parts[1].images[0].alt
    assert [p.kind for p in calibrated("shared", summarise([{"index": 0, "failed": "X"}]))] == ["lines"]


def test_small_cells_stay_unprinted_and_verdicts_are_words() -> None:
    check = {"name": "item_histogram", "about": "share", "elements": 3, "told": 1, "p": 0.001,
             "p_adjusted": 0.01, "passed": False, "worst": []}  # fmt: skip
    said = _words(predicted("shared", {"rule": "the rule", "checks": [check]}))
    assert "3 (2 of few people, not listed)" in said.replace("\xa0", " ")
    assert "not as the model draws" in said
    assert "the rule" in said
    assert "joint models only" in _words(predicted("conventional", {"checks": []}))


def test_rootograms_are_drawn_and_few_people_are_left_out() -> None:
    rows = [{"indicator": f"item_{k}", "answers": ["0", "1 or more"], "expected": [9.0, 4.0],
             "root_difference": [0.2 * k, None]}
            for k in range(8)]  # fmt: skip
    check = {"name": "item_histogram", "passed": True, "p": 0.5, "p_adjusted": 1.0, "elements": 3,
             "about": "answers", "worst": []}  # fmt: skip
    *_, drawn = predicted("shared", {"rule": "the rule", "checks": [check], "rootograms": rows})
    (image,) = drawn.images
    assert drawn.kind == "figure"
    assert "Farthest is item_7 (1.40)" in image.alt
    none = [{**row, "root_difference": [None, None]} for row in rows[:1]]
    *_, drawn = predicted("shared", {"rule": "the rule", "checks": [check], "rootograms": none})
    assert drawn.kind == "figure"


def test_places_of_people_who_are_left_out_are_drawn_and_what_is_not_judged_is_said() -> None:
    curve = {"column": "factor_a", "p": 0.2, "reliable": True, "place": [0.2, 0.5, 0.8],
             "difference": [0.01, -0.02, 0.0], "low": [-0.1] * 3, "high": [0.1] * 3}  # fmt: skip
    other = {**curve, "column": "region_b", "p": 0.01, "reliable": False}
    few = {**curve, "column": "outcome", "place": [], "difference": [], "low": [], "high": []}
    check = {"name": "loo_pit", "passed": True, "p": 0.2, "p_adjusted": 1.0, "elements": 1,
             "about": "places", "worst": [], "unreliable": ["region_b"]}  # fmt: skip
    found = {"rule": "the rule", "checks": [check], "loo_pit": [curve, other, few]}
    *_, said, drawn = predicted("shared", found)
    assert "over the k-hat limit, of region b." in _words([said])
    (image,) = drawn.images
    assert "LOO-PIT of 2 columns of shared" in image.alt
    assert "Farthest from uniform is region_b (p 0.01" in image.alt
    assert [p.kind for p in predicted("shared", {**found, "loo_pit": [few]})][-1] == "text"


def test_refits_that_were_not_done_are_said() -> None:
    row = {"conclusion": "B[f, trauma]", "prior": 0.1, "likelihood": 0.2, "strongest_prior": "B",
           "blocks": {"items": 0.1, "factors": 0.3}, "diagnosis": "moves with the prior of B"}  # fmt: skip
    done = {"variant": "prior scales x 2", "changed": 3, "conclusions": 9, "reversed": 1,
            "largest_shift": 0.5, "certified": True,
            "text": "x: 3 of 9 conclusions change; logits of being scanned .2"}  # fmt: skip
    away = {
        "variant": "without medication",
        "changed": None,
        "text": "without medication: not done, no covariate",
    }
    base = {
        "power_scaling": [row], "sensitive_to_a_prior": 1, "led_by_a_prior": 0, "threshold": 0.05,
        "change_by_chance": 1.7,
        "contraction": [{"parameter": "B", "elements": 1, "smallest": 0.5, "median": 0.5, "largest": 0.5}],
    }  # fmt: skip
    said = _words(sensitive("shared", {**base, "refits": [done, away]})).replace("\u00a0", " ")
    assert "3 of 9" in said
    assert "about 1.7 of them differently" in said
    assert said.count("3 of 9") == 1  # what a column says is no remark
    assert "logits of being scanned .2" in said
    assert "not done, no covariate" in said
    assert "No refit" in _words(sensitive("shared", {**base, "refits": []}))


def test_prior_expectations_are_a_table() -> None:
    row = {"about": "sd of the outcome", "median": 1.4, "low": 0.7, "high": 2.6, "text": "3% are over 3"}
    (part,) = prior_expects("shared", {"statistics": [row]})
    assert part.kind == "table"
    assert "sd of the outcome" in part.body
    histogram = {"indicator": "toughness", "disorder": "mood", "low": [0.1], "median": [0.3], "high": [0.6]}
    both = prior_expects(
        "shared", {"statistics": [row], "histograms": [histogram, histogram | {"disorder": None}]}
    )
    for said in ("toughness", "mood", "everybody", "0: 0.30 (0.10 to 0.60)"):
        assert said in both[1].body
