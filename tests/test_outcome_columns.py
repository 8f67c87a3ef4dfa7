"""From a column to the cohort: families and exposures of outcomes, and what is refused, counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from designs import small_cohort
from folders import PEOPLE, mapping, read, refused, tables
from nssi_bayes import names as n
from nssi_bayes import schema
from nssi_bayes.errors import SpecError
from nssi_bayes.outcome import Outcome
from nssi_bayes.spec import parse
from outcomes import FAMILIES, with_family
from test_assemble import assembled

OUTCOMES: dict[str, Any] = {
    "severity": {"column": "severity", "minimum": 0, "maximum": 20},
    "response": {"column": "response", "family": "bernoulli", "codes": {"yes": 1, "no": 0}},
    "nssi_days": {
        "column": "days", "family": "negative_binomial", "exposure": "months", "minimum": 0, "maximum": 366,
    },
    "improvement": {"column": "improvement", "family": "ordinal", "minimum": 1, "maximum": 7},
}  # fmt: skip


def content(**changes: Any) -> dict[str, pd.DataFrame]:
    """Return the invented folder with a yes, a count and a category for everybody but the last two."""
    rng = np.random.default_rng(12)
    found = tables()
    people = found["participants.tsv"].assign(
        response=rng.choice(["yes", "no"], PEOPLE),
        days=rng.negative_binomial(1, 0.02, PEOPLE).clip(0, 366).astype(str),
        months=rng.integers(3, 13, PEOPLE).astype(str),
        improvement=rng.integers(1, 8, PEOPLE).astype(str),
    )
    people.loc[PEOPLE - 2 :, ["response", "days", "months", "improvement"]] = "n/a"
    for (row, column), value in changes.get("cells", {}).items():
        people.loc[row, column] = value
    return {**found, "participants.tsv": people}


def test_counts_and_answers_stand_in_the_cohort_as_they_are(tmp_path: Path) -> None:
    _, cohort = assembled(tmp_path, content(), outcomes=OUTCOMES)
    assert schema.violations(cohort) == []
    source = content()["participants.tsv"].set_index("participant_id")
    value = cohort[n.OUTCOME_VALUE].to_pandas()
    assert [schema.family_of(cohort, o) for o in OUTCOMES] == [n.GAUSSIAN, *FAMILIES]
    seen = source["days"] != "n/a"
    assert (value["nssi_days"][seen] == source["days"][seen].astype(float)).all()
    assert (value["response"][seen] == (source["response"][seen] == "yes")).all()
    assert (value["improvement"][seen] == source["improvement"][seen].astype(float) - 1).all()
    assert value[~seen][["response", "nssi_days", "improvement"]].isna().all(axis=None)
    exposure = cohort[n.OUTCOME_EXPOSURE].to_pandas()
    assert (exposure["nssi_days"][seen] == source["months"][seen].astype(float)).all()
    assert exposure[["severity", "response", "improvement"]].isna().all(axis=None)
    assert cohort[n.OUTCOME_VALUE + n.SCALE].to_numpy()[1:].tolist() == [1, 1, 1]
    assert cohort[n.OUTCOME_CATEGORIES].to_numpy().tolist() == [0, 0, 0, 7]
    # the Gaussian one is what it was without them
    _, alone = assembled(tmp_path / "alone", tables())
    np.testing.assert_array_equal(value["severity"], alone[n.OUTCOME_VALUE].to_numpy()[:, 0])
    assert n.OUTCOME_FAMILY not in alone.coords
    assert n.OUTCOME_EXPOSURE not in alone


def test_a_count_behind_a_hurdle_stands_there_like_any_count(tmp_path: Path) -> None:
    _, count = assembled(tmp_path / "count", content(), outcomes=OUTCOMES)
    rule = {**OUTCOMES["nssi_days"], "family": n.HURDLE}
    _, cohort = assembled(tmp_path / "hurdle", content(), outcomes={**OUTCOMES, "nssi_days": rule})
    assert schema.violations(cohort) == []
    assert schema.family_of(cohort, "nssi_days") == n.HURDLE
    for name in (n.OUTCOME_VALUE, n.OUTCOME_EXPOSURE):
        np.testing.assert_array_equal(cohort[name], count[name])


def test_a_count_without_an_exposure_is_counted_equally_long_for_all(tmp_path: Path) -> None:
    rule = {k: v for k, v in OUTCOMES["nssi_days"].items() if k != "exposure"}
    _, cohort = assembled(tmp_path, content(), outcomes={"nssi_days": rule})
    seen = np.isfinite(cohort[n.OUTCOME_VALUE].to_numpy())
    assert (cohort[n.OUTCOME_EXPOSURE].to_numpy()[seen] == 1).all()


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({(0, "days"): "-3", (1, "days"): "2.5"}, r"'days' .*2 values that are no counts"),
        ({(0, "months"): "0", (1, "months"): "-1"}, r"'months' is missing for 0 people and 0 or less for 2"),
        ({(0, "months"): "n/a"}, r"'months' is missing for 1 people"),
        ({(0, "improvement"): "2.5"}, r"'improvement' \(ordinal\) holds 1 values that are no categories"),
        ({(0, "improvement"): "9"}, r"'improvement' holds 1 values outside 1 to 7"),
    ],
)
@pytest.mark.parametrize("family", n.COUNTS)
def test_a_value_that_is_none_of_its_family_is_counted(
    tmp_path: Path, cells: dict[Any, str], said: str, family: str
) -> None:
    told = refused(tmp_path, content(cells=cells), mapping(outcomes={**OUTCOMES, "nssi_days": {
        "column": "days", "family": family, "exposure": "months"}}))  # fmt: skip
    assert pd.Series([told]).str.contains(said).all(), told
    assert "sub-0" not in told
    assert "-3" not in told


def test_a_yes_that_is_written_as_a_number_beyond_one_is_counted(tmp_path: Path) -> None:
    cells = {(k, "response"): "1" for k in range(PEOPLE)} | {(0, "response"): "2", (1, "response"): "4"}
    rule = {"column": "response", "family": "bernoulli"}
    told = refused(tmp_path, content(cells=cells), mapping(outcomes={"response": rule}))
    assert "'response' (bernoulli) holds 2 values that are not 0 or 1" in told


def test_the_tidy_table_has_the_exposure(tmp_path: Path) -> None:
    people, audit = read(tmp_path, content(), mapping(outcomes=OUTCOMES))
    assert list(people.columns)[-5:] == [
        "outcome_severity", "outcome_response", "exposure_nssi_days", "outcome_nssi_days",
        "outcome_improvement",
    ]  # fmt: skip
    assert (audit["rule"] == "exposure of nssi_days").sum() == 1


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"column": "a", "exposure": "b"}, "`exposure` is of a count"),
        ({"column": "a", "family": "ordinal"}, "`minimum` and `maximum`"),
        ({"column": "a", "family": "poison"}, "family"),
        ({"instrument": "i", "scale": "s", "family": "bernoulli", "codes": {"y": 1}}, "`codes` are of a"),
    ],
)
def test_a_rule_that_is_none_is_refused(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        parse(Outcome, rule, where="study.yaml")


@pytest.mark.parametrize("family", [*FAMILIES, n.HURDLE])
def test_the_contract_counts_what_contradicts_a_family(family: str) -> None:
    cohort = with_family(small_cohort(), family)
    assert schema.violations(cohort) == []
    cohort[n.OUTCOME_VALUE][:3] = -1.0
    (told,) = schema.violations(cohort)
    assert "3 values" in told
    if family in n.COUNTS:
        cohort = with_family(small_cohort(), family)
        cohort[n.OUTCOME_EXPOSURE][:2] = 0.0
        assert "2 counts without an exposure over 0" in schema.violations(cohort)[0]
