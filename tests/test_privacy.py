"""The gate: identifiers are refused until the study says what becomes of them, and no row value gets out."""

from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from folders import PEOPLE, mapping, params, refused, tables, write
from nssi_bayes import assemble, extract, ingest, score
from nssi_bayes.errors import DataError, NssiBayesError, SpecError
from nssi_bayes.privacy import binned, found, pseudonym, pseudonym_key, pseudonymous, shifted
from nssi_bayes.spec import parse
from nssi_bayes.store import Layout, read_table
from nssi_bayes.study import Study

ROOT = Path(__file__).parents[1]
KEY = b"a key of this test alone"

SEEN = {
    "last_name": (["Xyzzy"], "name"), "ZipCode": (["1"], "geography below the state"),
    "interview_date": (["1"], "date"), "acq_time": (["1"], "date"), "visit": (["2019-03-04"], "date"),
    "v2": (["04.03.2019"], "date"), "v3": (["2019-03-04T10:11:12"], "date"), "v4": (["x 3/4/19"], "date"),
    "phone": (["1"], "telephone or fax"), "contact": (["+49 7531 882000"], "telephone or fax"),
    "c2": (["a.b@example.org"], "e-mail"), "c3": (["write to a@example.org"], "e-mail"),
    "c4": (["123-45-6789"], "social security number"), "MRN": (["1"], "record, plan or account number"),
    "DeviceSerialNumber": (["1"], "device serial"), "web": (["https://example.org/x"], "address on the web"),
    "host": (["10.0.0.1"], "address on the web"), "notes": (["1"], "free text"),
    "said": (["she came late again", "he did not come at all", "nothing to say today really"], "free text"),
    "age": (["91"], "age over 89"), "demo_age": (["91,5"], "age over 89"), "Alter": (["92"], "age over 89"),
    "d1": (["20190304", "20200101", ""], "date"), "d2": (["2019-03"], "date"), "d3": (["03/2019"], "date"),
    "d4": (["4 Mar 2019"], "date"), "d5": (["March 4, 2019"], "date"), "d6": (["Mar-19"], "date"),
    "d7": (["4. März 2019"], "date"), "d8": (["04-DEC-19"], "date"), "Datum": (["1"], "date"),
    "d9": (["2019年3月"], "date"), "interviewdate": (["1"], "date"), "Name": (["x"], "name"),
    "lastname": (["x"], "name"), "患者姓名": (["x"], "name"), "Straße": (["x"], "geography below the state"),
    "c5": (["0170 1234567"], "telephone or fax"), "Telefon": (["x"], "telephone or fax"),
}  # fmt: skip
FINE = {
    "language": ["english"], "isas_01": ["0", "1"], "update_count": ["3"], "age": ["89", "16"],
    "diagnosis": ["296.33 Words of a manual", "300.4 Words of a manual"], "score": ["12.345678"],
    "iq": ["105"], "group": ["control", "depr"], "icd": ["F32.0"],
    "drug_name": ["lithium"], "code": ["10293847", "29384756"], "may": ["may", "maybe"], "year": ["2019"],
    "dx": ["F32.1 Words", "march and so on"], "ratio": ["12.2019", "2019.12"], "range": ["1-5", "10-12"],
}  # fmt: skip


@pytest.mark.parametrize("column", list(SEEN))
def test_identifiers_are_seen_by_name_and_by_content(column: str) -> None:
    words, kind = SEEN[column]
    assert found(column, words, counts=[1] * len(words)) == kind


@pytest.mark.parametrize("column", list(FINE))
def test_other_columns_are_let_through(column: str) -> None:
    assert found(column, FINE[column], counts=[30] * len(FINE[column])) == ""


def test_an_age_in_months_is_measured_in_years() -> None:
    assert found("interview_age", ["1100"]) == "age over 89"
    assert found("interview_age", ["240"]) == ""
    assert found("age", ["95"], unit="months") == ""


@pytest.mark.parametrize(("column", "unit"), [("age_months", ""), ("interview_age", ""), ("age", "Months")])
def test_an_age_in_months_is_binned_in_months(tmp_path: Path, column: str, unit: str) -> None:
    """A limit of 90 months would make everybody seven and a half years old."""
    content = tables()
    people = content["participants.tsv"].rename(columns={"age": column})
    months = [str(200 + k) for k in range(PEOPLE - 1)] + ["1100,5"]
    content["participants.tsv"] = people.assign(**{column: months})
    study = mapping(privacy={"bin": {column: "age_90"}})
    study["covariates"]["age"] = {"column": column}
    layout = write(tmp_path, content, study)
    if unit:
        sidecar = json.dumps({column: {"Units": unit}})
        (tmp_path / "source" / "participants.json").write_text(sidecar, encoding="utf-8")
    ingest.run(layout, params())
    made = read_table(layout.tables("toy") / "participants.tsv")["covariate_age"]
    assert made.to_list() == [*(200.0 + k for k in range(PEOPLE - 1)), 1080.0]


def test_only_whole_dates_are_shifted() -> None:
    words = pd.Series(
        ["2020-01-11", "20200111", "2020-01", "2020", None], index=list("aaaaa"), dtype="object"
    )
    moved = shifted(words, key=KEY, most=30)
    assert moved.iloc[0] == moved.iloc[1]
    assert moved.iloc[2:].isna().all()


def test_a_protected_column_is_not_read_as_words(tmp_path: Path) -> None:
    content = tables()
    content["participants.tsv"]["site"] = "2019-03-04"
    text = refused(tmp_path, content, mapping(privacy={"bin": {"site": "year"}}))
    assert "column 'site' is read as words, which `privacy` cannot protect" in text


def test_a_file_without_a_header_is_not_quoted(tmp_path: Path) -> None:
    """Its first line is a person: no message may list it as the names of columns."""
    layout = write(tmp_path, tables(), mapping())
    path = tmp_path / "source" / "participants.tsv"
    first, *rest = path.read_text(encoding="utf-8").splitlines(keepends=True)
    row = "\t".join(["sub-zyx", *(f"Xyzzy{k}" for k in range(first.count("\t")))])
    path.write_text("".join([row + "\n", *rest]), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        ingest.run(layout, params())
    assert "names in its first line is like it" in str(caught.value)
    assert not any(word in str(caught.value) for word in ("zyx", "Xyzzy"))


def _with_identifiers() -> dict[str, pd.DataFrame]:
    content = tables()
    people = content["participants.tsv"]
    people["visit_date"] = [f"2019-03-{1 + k % 28:02d}" for k in range(PEOPLE)]
    people["email"] = [f"zyx{k}@example.org" for k in range(PEOPLE)]
    people.loc[0, "age"] = "93"
    return content


def test_identifiers_are_refused_all_at_once_without_a_value(tmp_path: Path) -> None:
    layout = write(tmp_path, _with_identifiers(), mapping())
    with pytest.raises(DataError) as caught:
        ingest.run(layout, params())
    text = str(caught.value).replace(str(tmp_path), "FOLDER")  # whose number may be a value
    for words in ("'visit_date' looks like", "'email' looks like", "'age' looks like", "privacy.drop"):
        assert words in text
    assert "@example" not in text
    assert "2019" not in text
    assert not layout.tables("toy").exists()


def test_drop_shift_and_bin_let_a_folder_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSSI_BAYES_KEY", KEY.decode())
    content = _with_identifiers()
    content["participants.tsv"]["end_date"] = [f"2019-04-{1 + k % 28:02d}" for k in range(PEOPLE)]
    content["participants.tsv"]["birth_date"] = "2001-05-06"
    study = mapping(
        participants={"site": "site", "pseudonyms": "keyed"},
        privacy={"drop": ["email"], "shift": {"columns": ["visit_*", "end_date"]},
                 "bin": {"age": "age_90", "birth_date": "year"}},
    )  # fmt: skip
    study["covariates"] |= {"visit": {"column": "visit_date"}, "end": {"column": "end_date"},
                            "born": {"column": "birth_date"}}  # fmt: skip
    layout = write(tmp_path, content, study)
    ingest.run(layout, params())
    people = read_table(layout.tables("toy") / "participants.tsv")
    assert people["covariate_age"].max() == 90
    assert set(people["covariate_born"]) == {2001}
    assert (people["covariate_end"] - people["covariate_visit"]).nunique() == 1
    true = (pd.Timestamp("2019-03-01") - pd.Timestamp(0)).days
    assert not people["covariate_visit"].between(true, true + 28).all()
    audit = read_table(layout.audit_of("ingest", "toy"))
    rules = audit[audit["rule"].str.startswith("privacy")].set_index("column")["rule"]
    assert rules["email"] == "privacy: dropped"
    assert rules["visit_date"] == "privacy: shift"


def test_a_column_that_only_looks_identifying_is_kept_with_its_reason(tmp_path: Path) -> None:
    content = tables()
    content["participants.tsv"]["street"] = "1"
    why = {"not_identifying": {"street": "the name of a task"}}
    layout = write(tmp_path, content, mapping(privacy=why))
    ingest.run(layout, params())
    audit = read_table(layout.audit_of("ingest", "toy")).set_index("rule")
    assert audit.loc["privacy: kept", "note"] == "the name of a task"


def test_a_data_dictionary_marks_identifiers(tmp_path: Path) -> None:
    layout = write(tmp_path, tables(), mapping())
    dictionary = tmp_path / "source" / "study_DataDictionary.csv"
    dictionary.write_text("Variable / Field Name,Identifier?\nseverity,y\n", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"'severity' looks like .*marked as identifying by the data dictionary"
    ):
        ingest.run(layout, params())


def test_images_get_the_labels_of_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSSI_BAYES_KEY", KEY.decode())
    labels = [f"sub-{k:03d}" for k in range(5)]
    dataset = xr.Dataset({"a": ("participant", np.arange(5.0))}, coords={"participant": labels})
    assert pseudonymous(dataset, Layout(tmp_path), keyed=False).identical(dataset)
    made = pseudonymous(dataset, Layout(tmp_path), keyed=True)
    assert list(made["participant"].to_numpy()) == sorted(pseudonym(label, KEY) for label in labels)
    for k, label in enumerate(labels):
        assert made["a"].sel(participant=pseudonym(label, KEY)) == k


def test_a_column_has_one_way() -> None:
    with pytest.raises(SpecError, match="two ways"):
        parse(Study, mapping(privacy={"drop": ["a"], "bin": {"a": "year"}}), where="s")


def test_a_dropped_column_that_the_study_reads_is_refused(tmp_path: Path) -> None:
    layout = write(tmp_path, tables(), mapping(privacy={"drop": ["age"]}))
    with pytest.raises(DataError, match=r"'age' is read by the study and dropped"):
        ingest.run(layout, params())


def test_pseudonyms_depend_on_the_key_alone() -> None:
    assert pseudonym("sub-1", KEY) == pseudonym("sub-1", KEY)
    assert pseudonym("sub-1", KEY) != pseudonym("sub-1", KEY + b"x")
    assert pseudonym("sub-1", KEY) != pseudonym("sub-2", KEY)
    assert len({pseudonym(f"sub-{k}", KEY) for k in range(20000)}) == 20000


def test_the_key_is_written_once_and_for_its_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NSSI_BAYES_KEY", raising=False)
    layout = Layout(tmp_path)
    key = pseudonym_key(layout)
    assert pseudonym_key(layout) == key
    assert layout.pseudonym_key.stat().st_mode & 0o077 == 0
    assert ".nssi_bayes/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    monkeypatch.setenv("NSSI_BAYES_KEY", "short")
    with pytest.raises(SpecError, match="shorter than"):
        pseudonym_key(layout)


def test_shift_and_bin_by_hand() -> None:
    words = pd.Series(["2020-01-01", "2020-01-11", None], index=["a", "a", "b"], dtype="object")
    moved = shifted(words, key=KEY, most=30).to_numpy()
    assert moved[1] - moved[0] == 10
    assert 0 < abs(moved[0] - 18262) <= 30
    assert np.isnan(moved[2])
    assert binned(pd.Series(["89", "90", "97"]), "age_90").tolist() == [89, 90, 90]
    assert binned(pd.Series(["1079", "1200"]), "age_90", units=12).tolist() == [1079, 1080]


def _everything_said(
    root: Path, content: dict[str, pd.DataFrame], study: dict, caplog: pytest.LogCaptureFixture
) -> str:
    """Run the measurement rooms; return logs, messages, tracebacks and all that is not row level."""
    layout = write(root, content, study)
    said = ""
    with caplog.at_level(logging.DEBUG):
        for room in (ingest, score, extract, assemble):
            try:
                room.run(layout, params())
            except NssiBayesError as error:
                said += "".join(traceback.format_exception(error, chain=True))
                said += str(error)
    counts = [layout.audit_of("ingest", "toy"), layout.audit("toy"), layout.flow("toy")]
    said += "".join(p.read_text(encoding="utf-8") for p in counts if p.exists())
    return said + caplog.text


@pytest.mark.parametrize(
    "broken", ["", "text", "range", "code", "twice", "flag", "site", "date", "stranger", "bytes"]
)
def test_no_log_message_or_traceback_holds_a_row_value(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    monkeypatch.setenv("NSSI_BAYES_KEY", KEY.decode())
    content = tables()
    people, isas = content["participants.tsv"], content["phenotype/isas.tsv"]
    for table in content.values():
        table["participant_id"] = "QQ" + table["participant_id"].str[4:] + "WW"
    study = mapping(participants={"site": "site", "site_names": {"A": "n", "B": "s"}, "pseudonyms": "keyed"})
    people.loc[4, "severity"] = "13.371337"
    if broken == "text":
        isas.loc[4, "isas_03"] = "plugh"
        people.loc[4, "age"] = "plugh"
    elif broken == "range":
        isas.loc[4, "isas_03"] = "4711"
        people.loc[5, "severity"] = "4711"
    elif broken == "code":
        people.loc[4, "sex"] = "plugh"
    elif broken == "twice":
        content["participants.tsv"] = pd.concat([people, people.iloc[[4]].assign(severity="4711")])
    elif broken == "flag":
        people.loc[4, "dx_mood"] = "plugh"
    elif broken == "site":
        people.loc[4, "site"] = "plugh"
    elif broken == "date":
        people["when"] = "1999-12-31"
    elif broken == "stranger":
        isas.loc[4, "participant_id"] = "QQplughWW"
    elif broken == "bytes":
        isas.loc[4, "isas_03"] = "plugh\x00\x01"
    said = _everything_said(tmp_path, content, study, caplog)
    for secret in ("plugh", "4711", "13.371337", "1999", "QQ0", "QQ"):
        assert secret not in said
    if not broken:
        cohort = Layout(tmp_path).cohort("toy").read_bytes()
        assert b"QQ" not in cohort
        assert all(
            b"QQ" not in p.read_bytes()
            for p in Layout(tmp_path).study_folder("toy").rglob("*.*")
            if p.is_file()
        )


def test_row_level_outputs_go_to_the_restricted_remote() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    layout = Layout(Path())
    rows = {
        layout.tables("${study}"),
        layout.scores("${study}"),
        layout.activation("${study}"),
        layout.cohort("${study}"),
    }
    held = {}
    for stage in stages.values():
        for out in stage.get("do", stage).get("outs", []):
            if isinstance(out, dict):
                held |= out
    for path in rows:
        assert held[path.as_posix()].get("remote") == "restricted", json.dumps(path.as_posix())
