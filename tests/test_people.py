"""Whose a row is: labels that differ in a way that no eye sees, and tables of other people."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from folders import mapping, read, refused, tables
from nssi_bayes.ingest.labels import NOBODY, almost_known, person


@pytest.mark.parametrize("raw", ["", "n/a", "NA", "nan", ".", "sub-"])
def test_a_missing_label_names_nobody(raw: str) -> None:
    assert person(raw) == NOBODY


def test_labels_that_a_spreadsheet_changed_are_almost_known() -> None:
    known = pd.Index(["sub-001", "sub-010", "sub-A07", "sub-20"])
    labels = pd.Index(["sub-1", "sub-10", "sub-a7", "sub-SUB-20", "sub-99", "sub-010"])
    assert almost_known(labels, known).tolist() == [True, False, True, True, False, False]


def test_leading_zeros_that_a_spreadsheet_took_away_drop_nobody(tmp_path: Path) -> None:
    """A hundred keeps its label, so that not all people are unknown."""
    content = tables()
    numbers = [f"{k + 60:03d}" for k in range(60)]
    for table in content.values():
        table["participant_id"] = numbers
    isas = content["phenotype/isas.tsv"]
    isas["participant_id"] = isas["participant_id"].str.lstrip("0")
    text = refused(tmp_path, content, mapping())
    assert "phenotype/isas.tsv: 40 labels are in the table of participants with other leading zeros" in text


def test_rows_without_a_label_in_words_are_rows_of_nobody(tmp_path: Path) -> None:
    content = tables()
    content["participants.tsv"].loc[3, "participant_id"] = "n/a"
    assert "participants.tsv: 1 rows without a participant label" in refused(tmp_path, content, mapping())


@pytest.mark.parametrize("of", ["covariates", "outcomes", "disorders"])
def test_a_table_of_other_people_is_refused_whatever_stands_in_it(tmp_path: Path, of: str) -> None:
    content = tables()
    people = content["participants.tsv"]
    content["more.tsv"] = people.assign(participant_id=[f"other-{k}" for k in range(len(people))])
    study = mapping()
    if of == "disorders":
        study["disorders"]["table"] = "more.tsv"
    else:
        name = "age" if of == "covariates" else "severity"
        study[of][name] = {**study[of][name], "table": "more.tsv"}
    assert "more.tsv: none of its 60 people is in the table" in refused(tmp_path, content, study)


def test_people_whom_a_table_of_outcomes_lacks_are_counted(tmp_path: Path) -> None:
    content = tables()
    content["more.tsv"] = content["participants.tsv"].iloc[5:]
    study = mapping(outcomes={"severity": {"table": "more.tsv", "column": "severity", "minimum": 0}})
    _, audit = read(tmp_path, content, study)
    line = audit.set_index(["table", "rule"]).loc[("more.tsv", "is in the table of participants")]
    assert line["missing"] == 5


def test_sites_that_differ_in_capitals_alone_are_asked_about(tmp_path: Path) -> None:
    content = tables()
    people = content["participants.tsv"]
    people["site"] = ["Yale", "yale", "McLean"] * 20
    text = refused(tmp_path, content, mapping())
    assert "column 'site' holds 2 names that differ in capitals alone" in text
    assert "ale" not in text
    study = mapping()
    study["participants"]["site_names"] = {"Yale": "a", "yale": "a", "McLean": "b"}
    made, _ = read(tmp_path / "b", content, study)
    assert made["site"].nunique() == 2
