"""Ingest: an unmodified folder in, tidy tables and counts out; everything wrong at once, no row values."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from folders import DISORDERS, PEOPLE, mapping, params, tables, write
from nssi_bayes import ingest
from nssi_bayes.errors import DataError
from nssi_bayes.store import Layout, read_table
from nssi_bayes.study import read_study

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("NSSI_BAYES_SHARED", ROOT.parent / "shared" / "data"))
REAL = [DATA / "ds000030"] if (DATA / "ds000030").exists() else []


def people_of(layout: Layout) -> pd.DataFrame:
    return read_table(layout.tables("toy") / "participants.tsv").set_index("participant_id")


def refused(root: Path, content: dict[str, pd.DataFrame], **changes: object) -> str:
    layout = write(root, content, mapping(**changes))
    with pytest.raises(DataError) as caught:
        ingest.run(layout, params())
    assert not layout.tables("toy").exists()
    assert not layout.audit_of("ingest", "toy").exists()
    text = str(caught.value).replace(str(root), "FOLDER")  # whose number may be a value
    assert not any(label in text for label in content["participants.tsv"]["participant_id"])
    return text


def test_tables_hold_what_the_study_names(tmp_path: Path) -> None:
    content = tables()
    layout = write(tmp_path, content, mapping())
    ingest.run(layout, params())
    people = people_of(layout)
    source = content["participants.tsv"].set_index("participant_id")
    assert list(people.columns) == [
        "site", "covariate_age", "covariate_sex", *(f"disorder_{d}" for d in DISORDERS), "outcome_severity",
    ]  # fmt: skip
    assert (people["covariate_sex"] == (source["sex"] == "F")).all()
    assert (people["disorder_mood"] == source["dx_mood"].astype(int)).all()
    isas = read_table(layout.tables("toy") / "isas.tsv").set_index("participant_id")
    assert (isas == content["phenotype/isas.tsv"].set_index("participant_id").astype(int)).all(axis=None)


def test_source_is_not_touched_and_bytes_repeat(tmp_path: Path) -> None:
    layout = write(tmp_path, tables(), mapping())
    before = {p: p.read_bytes() for p in (tmp_path / "source").rglob("*.tsv")}
    ingest.run(layout, params())
    first = {p: p.read_bytes() for p in layout.study_folder("toy").rglob("*.tsv")}
    ingest.run(layout, params())
    assert {p: p.read_bytes() for p in layout.study_folder("toy").rglob("*.tsv")} == first
    assert {p: p.read_bytes() for p in (tmp_path / "source").rglob("*.tsv")} == before


def test_crlf_bom_blanks_and_labels_change_nothing(tmp_path: Path) -> None:
    content = tables()
    plain = write(tmp_path / "plain", content, mapping())
    ingest.run(plain, params())
    odd = content["participants.tsv"].copy()
    odd["participant_id"] = odd["participant_id"].str.removeprefix("sub-") + " "
    odd["site"] = odd["site"] + "  "
    layout = write(tmp_path / "odd", {**content, "participants.tsv": odd}, mapping())
    path = tmp_path / "odd" / "source" / "participants.tsv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    ingest.run(layout, params())
    pd.testing.assert_frame_equal(people_of(layout), people_of(plain))
    audit = read_table(layout.audit_of("ingest", "toy"))
    row = audit[(audit["table"] == "participants.tsv") & (audit["column"] == "participant_id")]
    assert row["changed"].to_list() == [PEOPLE]


def test_missing_answers_are_counted_and_kept_missing(tmp_path: Path) -> None:
    content = tables()
    isas = content["phenotype/isas.tsv"]
    isas.loc[0, "isas_02"] = "n/a"
    isas.loc[1, "isas_02"] = "999"
    isas.loc[2, "isas_02"] = ""
    study = mapping()
    study["instruments"]["isas"]["missing"] = ["999"]
    layout = write(tmp_path, content, study)
    ingest.run(layout, params())
    table = read_table(layout.tables("toy") / "isas.tsv")
    assert table["isas_02"].isna().sum() == 3
    audit = read_table(layout.audit_of("ingest", "toy")).set_index(["column", "rule"])
    assert audit.loc[("isas_02", "item 0 to 2"), "missing"] == 3
    assert audit.loc[("isas_03", "item 0 to 2"), "missing"] == 0
    codes = audit.loc["isas_02"]["missing"].drop("item 0 to 2")
    assert codes.to_dict() == {"missing: 999": 1, "missing: blank": 1, "missing: n/a": 1}


def test_a_skipped_instrument_drops_nobody(tmp_path: Path) -> None:
    content = tables()
    stranger = content["phenotype/isas.tsv"].iloc[[0]].assign(participant_id="sub-stranger")
    content["phenotype/isas.tsv"] = pd.concat([content["phenotype/isas.tsv"].iloc[5:], stranger])
    layout = write(tmp_path, content, mapping())
    ingest.run(layout, params())
    table = read_table(layout.tables("toy") / "isas.tsv")
    assert len(table) == PEOPLE
    assert table["isas_01"].isna().sum() == 5
    audit = read_table(layout.audit_of("ingest", "toy"))
    row = audit[audit["rule"] == "is in the table of participants"].set_index("table")
    assert row.loc["phenotype/isas.tsv", ["missing", "dropped"]].to_list() == [5, 1]


def test_all_violations_of_a_table_at_once(tmp_path: Path) -> None:
    content = tables()
    isas = content["phenotype/isas.tsv"]
    isas.loc[:2, "isas_05"] = "7"
    isas.loc[:1, "isas_06"] = "often"
    isas.loc[0, "isas_07"] = "1.5"
    content["phenotype/isas.tsv"] = isas.drop(columns="isas_39")
    people = content["participants.tsv"]
    people.loc[0, "severity"] = "77"
    people.loc[0, "sex"] = "female"
    people.loc[0, "dx_mood"] = "2"
    text = refused(tmp_path, content)
    for words in (
        "'isas_05' holds 3 values that are no whole number from 0 to 2",
        "'isas_06' holds 2 values that are no number",
        "'isas_07' holds 1 values",
        "column 'isas_39' is missing. Did you mean",
        "'severity' holds 1 values outside 0 to 20",
        "'sex' holds 1 values that are not under its `codes`",
        "'dx_mood' holds 1 values that are neither",
        "source:",
        "What to do",
    ):
        assert words in text
    assert "often" not in text
    assert "female" not in text


def test_out_of_range_can_be_set_to_missing_and_is_counted(tmp_path: Path) -> None:
    content = tables()
    content["phenotype/isas.tsv"].loc[:2, "isas_05"] = "7"
    study = mapping()
    study["instruments"]["isas"]["out_of_range"] = "missing"
    layout = write(tmp_path, content, study)
    ingest.run(layout, params())
    audit = read_table(layout.audit_of("ingest", "toy")).set_index("column")
    assert audit.loc["isas_05", ["missing", "out_of_range", "dropped"]].to_list() == [0, 3, 3]


def test_a_duplicated_participant_is_refused(tmp_path: Path) -> None:
    content = tables()
    people = content["participants.tsv"]
    content["participants.tsv"] = pd.concat([people, people.iloc[[0, 1]].assign(session_id="1")]).fillna(
        "n/a"
    )
    text = refused(tmp_path, content)
    assert "participants.tsv: 2 rows repeat a participant" in text
    assert "session_id" in text


def test_labels_that_become_equal_are_refused(tmp_path: Path) -> None:
    content = tables()
    content["participants.tsv"].loc[1, "participant_id"] = "0_00"
    assert "1 rows repeat a participant" in refused(tmp_path, content)


def test_a_missing_table_is_named_once(tmp_path: Path) -> None:
    content = tables()
    del content["phenotype/isas.tsv"]
    text = refused(tmp_path, content)
    assert text.count("phenotype/isas.tsv") == 1
    assert "does not exist" in text


def test_a_missing_table_of_participants_is_one_problem(tmp_path: Path) -> None:
    layout = write(tmp_path, {}, mapping())
    with pytest.raises(DataError, match=r"participants\.tsv: the table does not exist"):
        ingest.run(layout, params())


def test_tables_of_other_people_are_refused(tmp_path: Path) -> None:
    content = tables()
    isas = content["phenotype/isas.tsv"]
    isas["participant_id"] = isas["participant_id"] + "x"
    assert "none of its 60 people" in refused(tmp_path, content)


def test_a_study_without_a_diagnosis_is_refused(tmp_path: Path) -> None:
    content = tables()
    content["participants.tsv"][[f"dx_{d}" for d in DISORDERS]] = "0"
    assert "nobody has a diagnosis" in refused(tmp_path, content)


def test_a_disorder_nobody_has_is_refused(tmp_path: Path) -> None:
    content = tables()
    content["participants.tsv"]["dx_eating"] = "0"
    assert "nobody has eating" in refused(tmp_path, content)


def test_not_assessed_is_not_absent(tmp_path: Path) -> None:
    content = tables()
    content["participants.tsv"].loc[3:6, "dx_eating"] = "n/a"
    assert "eating was not assessed in 4 people" in refused(tmp_path, content)
    rule = {**mapping()["disorders"], "not_assessed": "exclude"}
    layout = write(tmp_path / "kept", content, mapping(disorders=rule))
    ingest.run(layout, params())
    assert people_of(layout)["disorder_eating"].isna().sum() == 4


def test_flags_may_be_coded_otherwise(tmp_path: Path) -> None:
    content = tables()
    source = content["participants.tsv"]
    source["dx_mood"] = source["dx_mood"].map({"1": "1.0", "0": "-1"})
    rule = {"flags": {"mood": "dx_mood"}, "present": ["1"], "absent": ["-1"]}
    layout = write(tmp_path, content, mapping(disorders=rule))
    ingest.run(layout, params())
    assert people_of(layout)["disorder_mood"].sum() == (source["dx_mood"] == "1.0").sum()


def test_small_disorders_are_noted(tmp_path: Path) -> None:
    layout = write(tmp_path, tables(), mapping())
    ingest.run(layout, params(min_cell=PEOPLE))
    audit = read_table(layout.audit_of("ingest", "toy")).set_index("column")
    assert audit.loc["disorder_mood", "note"].startswith(f"fewer than {PEOPLE} people")


def with_codes() -> tuple[dict[str, pd.DataFrame], dict[str, object]]:
    content = tables()
    ids = content["participants.tsv"]["participant_id"]
    one = ["296.20 Words", "296.41 Words", "V71.09", "n/a"] * (PEOPLE // 4)
    two = ["300.3", "n/a", "n/a", "n/a"] * (PEOPLE // 4)
    content["scid.tsv"] = pd.DataFrame({"participant_id": ids, "dx1": one, "dx2": two})
    groups = {"mood": ["296.2"], "bipolar": ["296.4"], "anxiety": ["300"]}
    codes = {"columns": ["dx1", "dx2"], "groups": groups, "ignore": ["V71.09"]}
    return content, {"table": "scid.tsv", "codes": codes, "not_assessed": "exclude"}


def test_codes_in_several_columns_become_flags(tmp_path: Path) -> None:
    content, rule = with_codes()
    layout = write(tmp_path, content, mapping(disorders=rule))
    ingest.run(layout, params())
    flags = people_of(layout)[["disorder_mood", "disorder_bipolar", "disorder_anxiety"]].to_numpy()
    np.testing.assert_array_equal(flags[:4], [[1, 0, 1], [0, 1, 0], [0, 0, 0], [np.nan] * 3])
    audit = read_table(layout.audit_of("ingest", "toy")).set_index("column")
    assert audit.loc["codes", ["read", "dropped"]].to_list() == [60, 15]


def test_a_code_that_nothing_covers_is_refused_by_count(tmp_path: Path) -> None:
    content, rule = with_codes()
    content["scid.tsv"].loc[:4, "dx2"] = "311 Words"
    text = refused(tmp_path, content, disorders=rule)
    assert "5 diagnosis codes are covered by no group" in text
    assert "311" not in text


def test_site_names_hide_serial_numbers(tmp_path: Path) -> None:
    place = {"site": "site", "site_names": {"A": "north", "B": "south"}}
    layout = write(tmp_path, tables(), mapping(participants=place))
    ingest.run(layout, params())
    assert set(people_of(layout)["site"]) == {"north", "south"}
    text = refused(tmp_path / "two", tables(), participants={**place, "site_names": {"A": "north"}})
    assert "30 values that are not under participants.site_names" in text


def test_a_missing_site_is_refused(tmp_path: Path) -> None:
    content = tables()
    content["participants.tsv"].loc[0, "site"] = "n/a"
    assert "'site' is missing for 1 people" in refused(tmp_path, content)


def test_a_study_without_a_site_column_has_one_site(tmp_path: Path) -> None:
    layout = write(tmp_path, tables(), mapping(participants={}))
    ingest.run(layout, params())
    assert set(people_of(layout)["site"]) == {"single"}


def test_a_table_that_left_the_study_is_removed(tmp_path: Path) -> None:
    layout = write(tmp_path, tables(), mapping())
    ingest.run(layout, params())
    instruments = {"isas": mapping()["instruments"]["isas"]}
    write(tmp_path, tables(), mapping(instruments=instruments, factors={}))
    ingest.run(layout, params())
    assert {p.stem for p in layout.tables("toy").glob("*.tsv")} == {"participants", "isas"}


@pytest.mark.parametrize("source", REAL)
def test_a_real_cohort_gives_the_counts_of_its_own_table(source: Path) -> None:
    study = read_study(Layout(ROOT), "ds000030")
    people = ingest.tidy(source, study)[0]["participants"].set_index("participant_id")
    group = pd.read_csv(source / "participants.tsv", sep="\t").set_index("participant_id")["diagnosis"]
    assert group.value_counts().to_dict() == {"CONTROL": 130, "SCHZ": 50, "BIPOLAR": 49, "ADHD": 43}
    assert people["disorder_schizophrenia_spectrum"].eq(1).equals(group.eq("SCHZ"))
    assert people.loc[group == "BIPOLAR", "disorder_bipolar"].all()
    assert people.loc[group == "ADHD", "disorder_adhd"].all()
    severe = ["schizophrenia_spectrum", "bipolar", "adhd"]
    assert not people.loc[group == "CONTROL", [f"disorder_{d}" for d in severe]].any(axis=None)
    assert people["outcome_severity"].isna().equals(group.eq("CONTROL"))
    counts = people[[f"disorder_{d}" for d in study.disorders.names]].sum()
    assert counts.to_list() == [50, 52, 69, 70, 22, 128]
