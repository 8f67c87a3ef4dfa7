"""What a lab's folder holds and the study file has a word for: codes, labels, units, waves, ids, forms."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from folders import PEOPLE, mapping, params, tables, write
from nssi_bayes import assemble, extract, ingest, score
from nssi_bayes import names as n
from nssi_bayes.errors import DataError, SpecError
from nssi_bayes.instruments import available, read_instrument
from nssi_bayes.schema import violations
from nssi_bayes.spec import parse
from nssi_bayes.store import Layout, read_dataset, read_json, read_table
from nssi_bayes.study import Study, read_study

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("NSSI_BAYES_SHARED", ROOT.parent / "shared" / "data"))
REAL = {"ds000030": 272, "ds004605": 583, "ds002748": 72}
CODES = ["999", "9999", "-99", "77", "88", "95", "-7", "-8", "-9", "-300", "-888", "-900"]


def read(
    root: Path, content: dict[str, pd.DataFrame], study: dict[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ingest; return the people and the audit."""
    layout = write(root, content, study)
    ingest.run(layout, params())
    people = read_table(layout.tables("toy") / "participants.tsv").set_index("participant_id")
    return people, read_table(layout.audit_ingest("toy"))


def refused(root: Path, content: dict[str, pd.DataFrame], study: dict[str, Any]) -> str:
    with pytest.raises(DataError) as caught:
        ingest.run(write(root, content, study), params())
    return str(caught.value)


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
    audit = read_table(layout.audit_ingest("toy")).set_index(["column", "rule"])
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
    audit = read_table(layout.audit_ingest("toy"))
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
    audit = read_table(layout.audit_ingest("toy")).set_index(["column", "rule"])
    assert audit.loc[("c3", "item 0 to 1"), "changed"] == PEOPLE - 10


def test_a_star_must_mean_one_column(tmp_path: Path) -> None:
    content = tables()
    study = mapping()
    study["instruments"]["isas"]["column"] = "isas_{item:02d}*"
    read(tmp_path, content, study)
    content["phenotype/isas.tsv"]["isas_05_again"] = "1"
    assert "2 columns are called 'isas_05*', one is needed" in refused(tmp_path / "b", content, study)


def test_another_number_of_items_is_another_form(tmp_path: Path) -> None:
    content = tables()
    ids = content["participants.tsv"]["participant_id"]
    content["pss.tsv"] = pd.DataFrame({"participant_id": ids, **{f"pss_{i}": "1" for i in range(1, 15)}})
    study = mapping()
    study["instruments"]["pss_10"] = {"table": "pss.tsv", "column": "pss_{item}"}
    assert "pss_10 has 10 items, and 4 more columns follow" in refused(tmp_path, content, study)
    content["pss.tsv"] = content["pss.tsv"].iloc[:, :11]
    study["instruments"] = {
        **mapping()["instruments"],
        "pss_14": {"table": "pss.tsv", "column": "pss_{item}"},
    }
    assert "10 of the 14 items of pss_14 are there, as many as pss_10 have" in refused(
        tmp_path / "b", content, study
    )


def _keyed(name: str, rng: np.random.Generator, people: int) -> np.ndarray:
    """Draw raw answers that follow the key of a form, one trait a subscale."""
    form = read_instrument(name)
    high = np.zeros((people, form.items))
    for items in form.subscales.values():
        trait = rng.normal(size=(people, 1))
        high[:, [i - 1 for i in items]] = trait + 0.6 * rng.normal(size=(people, len(items)))
    middle = (form.minimum + form.maximum) / 2
    raw = np.clip(np.round(middle + 1.3 * high), form.minimum, form.maximum)
    turned = [i - 1 for i in form.reverse]
    raw[:, turned] = form.minimum + form.maximum - raw[:, turned]
    return raw


PAIRS = [(a, b) for a in available() for b in read_instrument(a).confusable]


@pytest.mark.parametrize(("true", "other"), PAIRS)
def test_answers_tell_a_form_from_its_like(tmp_path: Path, true: str, other: str) -> None:
    raw = _keyed(true, np.random.default_rng(2), PEOPLE)
    content = tables()
    ids = content["participants.tsv"]["participant_id"].to_numpy()
    table = pd.DataFrame(raw.astype(int).astype(str), columns=[f"q{i + 1}" for i in range(raw.shape[1])])
    content["q.tsv"] = table.assign(participant_id=ids)
    accepted = [read_instrument(other).label(i + 1) for i in range(raw.shape[1])]
    for name, words in ((true, ""), (other, f"the answers fit {true} better")):
        study = mapping(accept_polarity=accepted if name == other else [])
        study["instruments"][name] = {"table": "q.tsv", "column": "q{item}"}
        layout = write(tmp_path / name, content, study)
        ingest.run(layout, params())
        if words:
            with pytest.raises(DataError, match=words):
                score.run(layout, params())
            study["instruments"][name]["confirmed"] = True
            write(tmp_path / name, content, study)
        score.run(layout, params())
        audit = read_table(layout.audit_score("toy"))
        told = audit[audit["rule"] == "form"]["note"].str.contains(f"from {other}|from {true}")
        assert told.any()


def test_answers_that_tell_nothing_are_asked_about(tmp_path: Path) -> None:
    content = tables()
    ids = content["participants.tsv"]["participant_id"].iloc[:15].to_numpy()
    raw = _keyed("ders_18", np.random.default_rng(2), 15)
    table = pd.DataFrame(raw.astype(int).astype(str), columns=[f"q{i + 1}" for i in range(18)])
    content["q.tsv"] = table.assign(participant_id=ids)
    study = mapping()
    study["instruments"]["ders_18"] = {"table": "q.tsv", "column": "q{item}"}
    layout = write(tmp_path, content, study)
    ingest.run(layout, params())
    with pytest.raises(DataError, match="it may be ders_sf"):
        score.run(layout, params())


@pytest.mark.parametrize("items", [[5], [5, 7], [5, 7, 13, 19, 28]])
def test_items_stored_reversed_are_flagged_and_declared(tmp_path: Path, items: list[int]) -> None:
    """A scale that is turned round as a whole is the one case that answers cannot show."""
    content = tables()
    table = content["phenotype/ctq_sf.tsv"]
    for item in items:
        table[f"ctq_sf_{item:02d}"] = (6 - table[f"ctq_sf_{item:02d}"].astype(int)).astype(str)
    layout = write(tmp_path, content, mapping())
    ingest.run(layout, params())
    if len(items) < 5:
        with pytest.raises(DataError, match="the key reverses it, and the file seems to store it reversed"):
            score.run(layout, params())
    study = mapping()
    study["instruments"]["ctq_sf"]["already_reversed"] = items
    write(tmp_path, content, study)
    score.run(layout, params())
    clean = write(tmp_path / "clean", tables(), mapping())
    ingest.run(clean, params())
    score.run(clean, params())
    assert layout.scores("toy").read_bytes() == clean.scores("toy").read_bytes()
    audit = read_table(layout.audit_score("toy"))
    assert (audit["rule"] == "already reversed").sum() == len(items)
    assert (audit["rule"] == "reversed, as the key says").sum() == 7 - len(items)


def test_an_item_reversed_in_the_file_and_not_in_the_key(tmp_path: Path) -> None:
    content = tables()
    table = content["phenotype/ctq_sf.tsv"]
    table["ctq_sf_25"] = (6 - table["ctq_sf_25"].astype(int)).astype(str)
    layout = write(tmp_path, content, mapping())
    ingest.run(layout, params())
    with pytest.raises(DataError, match=r"ctq_sf_25 .* reversed in the file and not in the key"):
        score.run(layout, params())
    study = mapping()
    study["instruments"]["ctq_sf"]["already_reversed"] = [25]
    write(tmp_path, content, study)
    score.run(layout, params())


@pytest.mark.parametrize("turned", [1, 4, 5, 6, 9])
def test_any_share_of_a_scale_turned_round_is_seen(turned: int) -> None:
    rng = np.random.default_rng(turned)
    raw = _keyed("phq_9", rng, 200)
    raw[:, :turned] = 3 - raw[:, :turned]
    form = read_instrument("phq_9")
    verdict = score.against(form, form.oriented(raw), stored=(), accepted=())
    assert len(verdict.problems) == (min(turned, 9 - turned) if turned < 9 else 0)


def test_a_primary_diagnosis_with_comorbid_ones(tmp_path: Path) -> None:
    content = tables()
    people = content["participants.tsv"]
    people["main"] = (["BPD ", "MDD", "HC"] * PEOPLE)[:PEOPLE]
    people["also"] = (["MDD; ED", "n/a", "n/a"] * PEOPLE)[:PEOPLE]
    rule = {"primary": {"column": "main", "comorbid": ["also"], "none": ["HC"],
                        "names": {"BPD": "borderline", "MDD": "mood", "ED": "eating"}}}  # fmt: skip
    made, _ = read(tmp_path, content, mapping(disorders=rule))
    flags = made[["disorder_borderline", "disorder_mood", "disorder_eating"]].to_numpy()
    np.testing.assert_array_equal(flags[:3], [[1, 1, 1], [0, 1, 0], [0, 0, 0]])
    people.loc[0, "also"] = "PTSD"
    text = refused(tmp_path / "b", content, mapping(disorders=rule))
    assert "1 diagnoses are neither under disorders.primary.names" in text
    assert "PTSD" not in text


def test_codes_of_a_shelf_with_groups_of_ones_own(tmp_path: Path) -> None:
    content = tables()
    content["participants.tsv"]["icd"] = (["F32.1", "f603", "F50.0", "F90.0"] * PEOPLE)[:PEOPLE]
    codes = {"columns": ["icd"], "table": "icd10", "use": ["depression", "borderline"],
             "groups": {"anorexia": ["F50.0", "F50.1"]}, "ignore_rest": True}  # fmt: skip
    made, audit = read(tmp_path, content, mapping(disorders={"codes": codes}))
    flags = made[["disorder_depression", "disorder_borderline", "disorder_anorexia"]].to_numpy()
    np.testing.assert_array_equal(flags[:4], [*np.eye(3), [0, 0, 0]])
    assert audit.set_index("column").loc["codes", "dropped"] == PEOPLE // 4


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        ({"columns": ["c"], "table": "icd11", "use": ["x"]}, "Known: dsm4, dsm5, icd10|Did you mean"),
        ({"columns": ["c"], "table": "icd10", "use": ["mood"]}, "no group 'mood'"),
        ({"columns": ["c"], "use": ["mood"], "groups": {"a": ["1"]}}, "need a `table`"),
    ],
)
def test_code_tables_are_known(codes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse(Study, mapping(disorders={"codes": codes}), where="s")


def test_small_groups_are_merged_or_dropped_as_the_study_says_and_the_audit_says_it(tmp_path: Path) -> None:
    content = tables()
    source = content["participants.tsv"]
    rule = {"flags": {d: f"dx_{d}" for d in ("mood", "eating", "anxiety")},
            "small": {"merge": {"internalising": ["mood", "anxiety"]}, "drop": ["eating"]}}  # fmt: skip
    layout = write(tmp_path, content, mapping(disorders=rule))
    ingest.run(layout, params(min_cell=PEOPLE))
    made = read_table(layout.tables("toy") / "participants.tsv")
    assert [c for c in made if c.startswith("disorder_")] == ["disorder_internalising"]
    either = (source["dx_mood"] == "1") | (source["dx_anxiety"] == "1")
    assert (made["disorder_internalising"] == either).all()
    audit = read_table(layout.audit_ingest("toy")).set_index(["column", "rule"])
    dropped = audit.loc[("disorder_eating", "dropped, as disorders.small says"), "note"]
    assert dropped == f"fewer than {PEOPLE} people"
    assert ("disorder_mood", "merged into internalising, as disorders.small says") in audit.index


@pytest.mark.parametrize(
    ("small", "words"),
    [
        ({"drop": ["moood"]}, "Did you mean 'mood'"),
        ({"drop": ["mood"], "merge": {"x": ["mood", "eating"]}}, "twice"),
        ({"drop": ["mood", "eating", "anxiety"]}, "no disorder is left"),
        ({"merge": {"none": ["mood"]}}, "kept for people without"),
    ],
)
def test_small_groups_name_disorders(small: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse(Study, mapping(disorders={**mapping()["disorders"], "small": small}), where="s")


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
    study["instruments"]["nssi_days"] = {"table": "participants.tsv", "columns": ["age", "age", "age"]}
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


@pytest.mark.parametrize("study", [name for name in REAL if (DATA / name).exists()])
def test_a_real_folder_becomes_a_validated_data_set_with_its_audit(study: str, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for name in (layout.study(study), *(ROOT / "data" / study / "instruments").glob("*.yaml")):
        source = Layout(ROOT).study(study) if name == layout.study(study) else name
        target = name if name == layout.study(study) else layout.instruments(study) / name.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    run = params(study=study, source=DATA / study, min_cell=11)
    before = {p: p.stat().st_mtime_ns for p in (DATA / study).rglob("*")}
    for room in (ingest, score, extract, assemble):
        room.run(layout, run)
    assert {p: p.stat().st_mtime_ns for p in (DATA / study).rglob("*")} == before
    assert violations(read_dataset(layout.cohort(study))) == []
    assert read_json(layout.flow(study))["steps"][0]["participants"] == REAL[study]
    audit = read_table(layout.audit(study))
    assert set(audit["stage"]) >= {"ingest", "assemble"}
    named = {place.table for place in read_study(layout, study).instruments.values()}
    assert named <= set(audit["table"])


@pytest.mark.skipif(not (DATA / "ds004605").exists(), reason="needs the public cohort")
def test_keys_of_ds004605_reproduce_its_own_totals() -> None:
    study = read_study(Layout(ROOT), "ds004605")
    tables_, _ = ingest.tidy(DATA / "ds004605", study, shelf=Layout(ROOT).instruments("ds004605"))
    found, _ = score.scored(study, tables_, shelf=Layout(ROOT).instruments("ds004605"))
    raw = pd.read_csv(DATA / "ds004605/phenotype/phenotype.tsv", sep="\t", na_values="n/a")
    raw = raw.set_index("participant_id").reindex(found[n.PARTICIPANT].to_numpy())
    scales = {"ari_parent.ari_parent_irritability": "ARI_P_TOTAL",
              "ari_youth.ari_youth_irritability": "ARI_Y_TOTAL",
              "cbrs_adhd.inattention": "CBRS.ProRated.Inattentive",
              "cbrs_adhd.hyperactivity": "CBRS.Prorated.Hyperactive"}  # fmt: skip
    for scale, column in scales.items():
        mine = found[n.SCALE_SCORE].sel({n.SCALE_NAME: scale}).to_numpy()
        both = np.isfinite(mine) & raw[column].notna().to_numpy()
        assert both.sum() > 550
        assert np.mean(np.abs(mine - raw[column].to_numpy())[both] < 0.51) > 0.97, scale


@pytest.mark.skipif(not (DATA / "ds000030").exists(), reason="needs the public cohort")
def test_the_code_table_of_the_shelf_gives_the_groups_of_ds000030() -> None:
    layout = Layout(ROOT)
    study = read_study(layout, "ds000030")
    rule = study.disorders.model_dump()
    use = ("schizophrenia_spectrum", "bipolar", "depression", "adhd", "anxiety", "substance")
    rule["codes"] |= {"table": "dsm4", "use": use, "groups": {}, "ignore": (), "ignore_rest": True}
    other = study.model_copy(update={"disorders": type(study.disorders).model_validate(rule)})
    one, two = (ingest.tidy(DATA / "ds000030", s)[0]["participants"] for s in (study, other))
    pd.testing.assert_frame_equal(one, two)
