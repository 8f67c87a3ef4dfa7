"""What a lab's folder holds and the study file has a word for: codes, labels, units, waves, ids, forms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from folders import PEOPLE, mapping, params, read, refused, tables, write
from nssi_bayes import assemble, extract, ingest, score
from nssi_bayes import names as n
from nssi_bayes.errors import DataError, SpecError
from nssi_bayes.instruments import read_instrument
from nssi_bayes.store import read_dataset, read_table

CODES = ["999", "9999", "-99", "77", "88", "95", "-7", "-8", "-9", "-300", "-888", "-900"]


def test_every_missing_code_is_counted_by_itself(tmp_path: Path) -> None:
    content = tables()
    for k, code in enumerate(CODES):
        content["phenotype/isas.tsv"].loc[k, "isas_05"] = code
    study = mapping()
    study["instruments"]["isas"]["missing"] = CODES
    _, audit = read(tmp_path, content, study)
    rows = audit[(audit["column"] == "isas_05") & audit["rule"].str.startswith("missing")]
    assert dict(zip(rows["rule"], rows["missing"], strict=True)) == {f"missing: {code}": 1 for code in CODES}


def test_a_code_of_one_item_is_missing_in_that_item_alone(tmp_path: Path) -> None:
    content = tables()
    ids = content["participants.tsv"]["participant_id"]
    content["ham.tsv"] = pd.DataFrame({"participant_id": ids, **{f"h{i}": "1" for i in range(1, 18)}})
    content["ham.tsv"].loc[0, "h16"] = "3"
    study = mapping()
    study["instruments"]["ham_d"] = {"table": "ham.tsv", "column": "h{item}"}
    _, audit = read(tmp_path, content, study)
    assert audit.set_index(["column", "rule"]).loc[("h16", "missing: 3"), "missing"] == 1
    content["ham.tsv"].loc[0, "h15"] = "5"
    assert "'h15' holds 1 values that are no whole number from 0 to 4" in refused(
        tmp_path / "b", content, study
    )


def test_undeclared_missing_codes_of_a_covariate_or_outcome_are_asked_about(tmp_path: Path) -> None:
    content = tables()
    content["participants.tsv"].loc[:1, "age"] = "999"
    text = refused(tmp_path, content, mapping())
    assert "'age' holds 2 values that look like codes of a missing value (999)" in text
    study = mapping(missing_covariates="mean")
    study["covariates"]["age"] = {"column": "age", "missing": ["999"]}
    people, audit = read(tmp_path / "b", content, study)
    assert people["covariate_age"].isna().sum() == 2
    assert audit.set_index(["column", "rule"]).loc[("age", "missing: 999"), "missing"] == 2


def test_levels_of_a_sidecar_name_codes_and_missing_ones(tmp_path: Path) -> None:
    content = tables()
    people = content["participants.tsv"]
    people["sex"] = people["sex"].map({"F": "2", "M": "1"})
    people.loc[0, "severity"] = "777"
    study = mapping()
    study["covariates"]["sex"] = {"column": "sex", "codes": {"female": 1, "male": 0}}
    sidecar = {
        "sex": {"Levels": {"1": "male", "2": "female"}},
        "severity": {"Levels": {"777": "Not assessed"}},
    }
    layout = write(tmp_path, content, study)
    (tmp_path / "source" / "participants.json").write_text(json.dumps(sidecar), encoding="utf-8")
    ingest.run(layout, params())
    made = read_table(layout.tables("toy") / "participants.tsv")
    assert (made["covariate_sex"] == (people["sex"] == "2")).all()
    assert made["outcome_severity"].isna().sum() == 1


def test_answers_written_as_labels_become_codes(tmp_path: Path) -> None:
    content = tables()
    isas = content["phenotype/isas.tsv"]
    before = isas["isas_01"].copy()
    labels = {"0": "not relevant", "1": "somewhat relevant", "2": "very relevant"}
    isas["isas_01"] = isas["isas_01"].map(labels)
    layout = write(tmp_path, content, mapping())
    sidecar = {"isas_01": {"Levels": labels}}
    (tmp_path / "source" / "phenotype" / "isas.json").write_text(json.dumps(sidecar), encoding="utf-8")
    ingest.run(layout, params())
    made = read_table(layout.tables("toy") / "isas.tsv")
    assert made["isas_01"].to_list() == before.astype(int).to_list()
    audit = read_table(layout.audit_of("ingest", "toy")).set_index(["column", "rule"])
    assert audit.loc[("isas_01", "item 0 to 2"), "changed"] == PEOPLE


def test_a_unit_that_the_sidecar_contradicts_is_refused(tmp_path: Path) -> None:
    study = mapping()
    study["covariates"]["age"] = {"column": "age", "unit": "years"}
    layout = write(tmp_path, tables(), study)
    sidecar = tmp_path / "source" / "participants.json"
    sidecar.write_text(json.dumps({"age": {"Units": "months"}}), encoding="utf-8")
    with pytest.raises(DataError, match="is in 'months' by its sidecar, and in 'years'"):
        ingest.run(layout, params())
    sidecar.write_text(json.dumps({"age": {"Units": "year"}}), encoding="utf-8")
    ingest.run(layout, params())


def test_decimal_commas_are_read_where_they_can_be_nothing_else(tmp_path: Path) -> None:
    content = tables()
    people = content["participants.tsv"]
    want = people["severity"].astype(float)
    people["severity"] = people["severity"].str.replace(".", ",")
    made, audit = read(tmp_path, content, mapping())
    np.testing.assert_array_equal(made["outcome_severity"], want)
    row = audit[(audit["column"] == "severity") & (audit["rule"] == "outcome severity")]
    assert row["note"].item() == f"{people['severity'].str.contains(',').sum()} with a decimal comma"
    people["severity"] = "1,234"
    study = mapping()
    study["outcomes"]["severity"] = {"column": "severity"}
    assert "comma may stand for thousands" in refused(tmp_path / "b", content, study)
    study["tables"] = {"participants.tsv": {"decimal": "comma"}}
    made, _ = read(tmp_path / "c", content, study)
    assert set(made["outcome_severity"]) == {1.234}


def test_labels_of_two_conventions_meet(tmp_path: Path) -> None:
    content = tables()
    ids = content["participants.tsv"]["participant_id"].str[4:]
    content["participants.tsv"]["participant_id"] = "sub-NDARINV" + ids
    content["phenotype/isas.tsv"] = content["phenotype/isas.tsv"].drop(columns="participant_id")
    content["phenotype/isas.tsv"].insert(0, "subjectkey", "NDAR_INV" + ids)
    assert "name it under participants.other_ids" in refused(tmp_path, content, mapping())
    study = mapping(participants={"site": "site", "other_ids": ["subjectkey"]})
    with pytest.raises(DataError, match="none of its 60 people"):  # the other table has other labels still
        ingest.run(write(tmp_path / "b", content, study), params())
    content["phenotype/ctq_sf.tsv"]["participant_id"] = "NDAR_INV" + ids
    _, audit = read(tmp_path / "c", content, study)
    rule = audit[audit["rule"] == "is in the table of participants"]
    assert (rule["missing"] == 0).all()


def test_waves_in_one_table_or_one_file_each(tmp_path: Path) -> None:
    content = tables()
    isas = content["phenotype/isas.tsv"]
    later = isas.copy()
    later.iloc[:, 1:] = "0"
    both = pd.concat([isas.assign(session_id="ses-01"), later.assign(session_id="ses-02")])
    content["phenotype/isas.tsv"] = both
    text = refused(tmp_path, content, mapping())
    assert "has a column session_id: choose one row a person" in text
    study = mapping(tables={
        "first": {"file": "phenotype/isas.tsv", "rows": {"session_id": "ses-01"}},
        "second": {"file": "phenotype/isas.tsv", "rows": {"session_id": "ses-02"}},
    })  # fmt: skip
    study["instruments"]["isas"]["table"] = "first"
    study["instruments"]["isas_later"] = {"form": "isas", "table": "second", "column": "isas_{item:02d}"}
    layout = write(tmp_path / "b", content, study)
    ingest.run(layout, params())
    one, two = (read_table(layout.tables("toy") / f"{name}.tsv") for name in ("isas", "isas_later"))
    assert one["isas_01"].sum() > 0
    assert (two.drop(columns="participant_id") == 0).all(axis=None)
    audit = read_table(layout.audit_of("ingest", "toy"))
    chosen = audit[audit["rule"] == "rows of the study's choice"].set_index("table")["dropped"]
    assert chosen.to_dict() == {"first": PEOPLE, "second": PEOPLE}
    study["tables"]["second"]["rows"] = {"session_id": "ses-09"}
    assert "no row has what tables.second.rows says" in refused(tmp_path / "c", content, study)


def test_duplicated_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    content = tables()
    isas = content["phenotype/isas.tsv"]
    content["phenotype/isas.tsv"] = pd.concat([isas, isas.iloc[[3, 3, 8]]])
    _, audit = read(tmp_path, content, mapping())
    assert audit.set_index("rule").loc["duplicated row", "dropped"] == 3


def test_answers_are_recoded_as_the_study_says(tmp_path: Path) -> None:
    content = tables()
    ids = content["participants.tsv"]["participant_id"]
    content["c.tsv"] = pd.DataFrame({"participant_id": ids, **{f"c{i}": "2" for i in range(1, 7)}})
    content["c.tsv"].loc[:9, "c3"] = "1"
    study = mapping()
    study["instruments"]["c_ssrs"] = {"table": "c.tsv", "column": "c{item}", "recode": {"2": "0"}}
    layout = write(tmp_path, content, study)
    ingest.run(layout, params())
    assert read_table(layout.tables("toy") / "c_ssrs.tsv")["c_ssrs_3"].sum() == 10
    audit = read_table(layout.audit_of("ingest", "toy")).set_index(["column", "rule"])
    assert audit.loc[("c3", "item 0 to 1"), "changed"] == PEOPLE - 10


def test_a_star_must_mean_one_column(tmp_path: Path) -> None:
    content = tables()
    study = mapping()
    study["instruments"]["isas"]["column"] = "isas_{item:02d}*"
    read(tmp_path, content, study)
    content["phenotype/isas.tsv"]["isas_05_again"] = "1"
    assert "2 columns are called 'isas_05*', one is needed" in refused(tmp_path / "b", content, study)


def test_a_scale_may_be_an_outcome(tmp_path: Path) -> None:
    study = mapping(factors={}, outcomes={"trauma": {"instrument": "ctq_sf", "scale": "total"}})
    layout = write(tmp_path, tables(), study)
    for room in (ingest, score, extract, assemble):
        room.run(layout, params())
    cohort, scores = read_dataset(layout.cohort("toy")), read_dataset(layout.scores("toy"))
    total = scores[n.SCALE_SCORE].sel({n.SCALE_NAME: "ctq_sf.total"}).to_numpy()
    back = cohort[n.OUTCOME_VALUE] * cohort[n.OUTCOME_VALUE + n.SCALE] + cohort[n.OUTCOME_VALUE + n.CENTER]
    np.testing.assert_allclose(back.to_numpy()[:, 0], total)
    study["outcomes"]["trauma"]["scale"] = "totl"
    with pytest.raises(SpecError, match="Did you mean 'total'"):
        score.run(write(tmp_path, tables(), study), params())


def test_totals_have_no_alpha_and_counts_measure_no_function(tmp_path: Path) -> None:
    study = mapping(items=["isas", "nssi_days"])
    study["instruments"]["ctq_sf"] = {"table": "participants.tsv", "totals": {"total": "severity"}}
    study["instruments"]["nssi_days"] = {"table": "participants.tsv", "columns": ["age", "sex", "severity"]}
    with pytest.raises(SpecError) as caught:
        score.run(write(tmp_path, tables(), study), params())
    assert "totals have no alpha" in str(caught.value)
    assert "nssi_days holds counts" in str(caught.value)


def test_an_instrument_of_the_study_comes_before_the_shelf(tmp_path: Path) -> None:
    own = read_instrument("isas").model_dump(mode="json", exclude_defaults=True)
    layout = write(tmp_path, tables(), mapping())
    layout.instruments("toy").mkdir(parents=True)
    path = layout.instruments("toy") / "isas.yaml"
    path.write_text(json.dumps({**own, "maximum": 1}), encoding="utf-8")
    with pytest.raises(DataError, match="no whole number from 0 to 1"):
        ingest.run(layout, params())
    path.write_text(json.dumps({**own, "maximum": 0}), encoding="utf-8")
    with pytest.raises(SpecError, match=r"instruments\.isas: the file: `maximum`"):
        ingest.run(layout, params())


def test_an_unverified_key_is_said_in_the_audit(tmp_path: Path) -> None:
    _, audit = read(tmp_path, tables(), mapping())
    said = audit[audit["rule"] == "scoring key not verified"].set_index("column")["note"]
    assert list(said.index) == ["isas"]
    assert said["isas"] == read_instrument("isas").verified_by
