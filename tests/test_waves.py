"""Waves in files of one person each: sessions files of BIDS, and what may go wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from folders import PEOPLE, mapping, params, read, refused, tables, write
from nssi_bayes import ingest
from nssi_bayes.errors import DataError
from nssi_bayes.store import read_table

SESSIONS = "sub-*/sub-*_sessions.tsv"


def cohort() -> dict[str, pd.DataFrame]:
    """Two waves of everybody; the tenth of the people has no sessions file."""
    content = tables()
    people = content["participants.tsv"]
    for k, label in enumerate(people["participant_id"]):
        if k % 10:
            content[f"{label}/{label}_sessions.tsv"] = pd.DataFrame(
                {
                    "session_id": ["ses-01", "ses-02"],
                    "acq_time": [f"2019-03-{1 + k % 28:02d}T10:00:00", f"2019-09-{1 + k % 28:02d}T10:00:00"],
                    "mood": [str(k), str(100 + k)],
                }
            )
    return content


def study(**privacy: Any) -> dict[str, Any]:
    return mapping(
        tables={
            "before": {"file": SESSIONS, "rows": {"session_id": "ses-01"}},
            "after": {"file": SESSIONS, "rows": {"session_id": "ses-02"}},
        },
        outcomes={
            "before": {"table": "before", "column": "mood", "minimum": 0, "maximum": 200},
            "after": {"table": "after", "column": "mood", "minimum": 0, "maximum": 200},
        },
        privacy=privacy,
    )


def test_each_wave_of_the_sessions_files_is_a_table(tmp_path: Path) -> None:
    people, audit = read(tmp_path, cohort(), study(drop=["acq_time"]))
    number = np.arange(PEOPLE)
    want = np.where(number % 10, number.astype(float), np.nan)
    np.testing.assert_array_equal(people["outcome_before"], want)
    np.testing.assert_array_equal(people["outcome_after"], want + 100)
    lines = audit.set_index(["table", "rule"])
    assert lines.loc[("before", "one of many files"), "changed"] == 54
    assert lines.loc[("after", "rows of the study's choice"), "dropped"] == 54
    assert lines.loc[("after", "missing: no row"), "missing"] == 6
    assert lines.loc[("after", "is in the table of participants"), "missing"] == 6


def test_the_time_of_a_session_is_an_identifier(tmp_path: Path) -> None:
    text = refused(tmp_path, cohort(), study())
    assert "before: column 'acq_time' looks like a direct identifier (date)" in text
    assert "2019" not in text
    dates = study(shift={"columns": ["acq_time"], "days": 60})
    dates["participants"] = {"site": "site", "pseudonyms": "keyed"}
    dates["outcomes"] = {wave: {"table": wave, "column": "acq_time"} for wave in ("before", "after")}
    people, _ = read(tmp_path / "b", cohort(), dates)
    apart = (people["outcome_after"] - people["outcome_before"]).dropna()
    assert (apart == 184).all()  # March to September, the same day of the month
    assert len(apart) == 54


def test_a_sidecar_that_all_sessions_files_share_is_read(tmp_path: Path) -> None:
    layout = write(tmp_path, cohort(), study(drop=["acq_time"]))
    sidecar = {"mood": {"Levels": {"159": "Not assessed"}}}
    (tmp_path / "source" / "sessions.json").write_text(json.dumps(sidecar), encoding="utf-8")
    ingest.run(layout, params())
    people = read_table(layout.tables("toy") / "participants.tsv")
    assert people["outcome_after"].isna().sum() == 7


def test_without_a_choice_of_rows_the_waves_are_named(tmp_path: Path) -> None:
    several = study(drop=["acq_time"])
    several["tables"]["before"].pop("rows")
    assert "54 rows repeat a participant (it has a column session_id" in refused(tmp_path, cohort(), several)


def test_sessions_files_that_cannot_be_read_are_counted_and_not_named(tmp_path: Path) -> None:
    content = cohort()
    layout = write(tmp_path, content, study(drop=["acq_time"]))
    folder = tmp_path / "source"
    (folder / "sub-001" / "sub-001_sessions.tsv").write_text("session_id\tmood\n", encoding="utf-8")
    fetched = folder / "sub-002" / "sub-002_sessions.tsv"
    fetched.unlink()
    fetched.symlink_to("nowhere")
    (folder / "sub-003" / "sub-003_sessions.tsv").rename(folder / "sub-003" / "sub-004_sessions.tsv")
    content = pd.DataFrame({"participant_id": ["sub-001"], "session_id": ["ses-01"], "mood": ["1"]})
    content.to_csv(folder / "sub-005" / "sub-005_sessions.tsv", sep="\t", index=False)
    with pytest.raises(DataError) as caught:
        ingest.run(layout, params())
    text = str(caught.value)
    for words in (
        "before: 1 of 54 files: the table has no rows", "1 of 54 files: get the data first",
        "1 of 54 files: the path does not say whose the file is",
        "1 of 54 files: column 'participant_id' names another person",
    ):  # fmt: skip
        assert words in text
    assert "sub-00" not in text


def test_a_name_that_no_file_has_is_refused(tmp_path: Path) -> None:
    wrong = study(drop=["acq_time"])
    wrong["tables"]["before"]["file"] = "sub-*/sub-*_session.tsv"
    wrong["tables"]["after"]["file"] = str(tmp_path / "*.tsv")
    text = refused(tmp_path, cohort(), wrong)
    assert "before: no file is called so" in text
    assert "after: a name with `*` begins in the cohort's folder" in text


def test_a_column_that_some_files_lack_is_missing_there(tmp_path: Path) -> None:
    content = cohort()
    for label in ("sub-001", "sub-002"):
        name = f"{label}/{label}_sessions.tsv"
        content[name] = content[name].drop(columns="mood")
    people, audit = read(tmp_path, content, study(drop=["acq_time"]))
    assert people["outcome_before"].isna().sum() == 8
    rules = audit.set_index(["table", "rule"])
    assert (
        rules.loc[("before", "a file without some of the columns, which are missing there"), "changed"] == 4
    )
