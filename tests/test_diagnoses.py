"""Multi-label diagnoses: a primary one with comorbid ones, codes of a manual, small groups."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from folders import PEOPLE, mapping, params, read, refused, tables, write
from nssi_bayes import ingest
from nssi_bayes import names as n
from nssi_bayes.diagnosis import code_tables, plain_code, read_codes
from nssi_bayes.errors import SpecError
from nssi_bayes.ingest.disorders import _codes_of
from nssi_bayes.schema import violations
from nssi_bayes.spec import parse
from nssi_bayes.store import Layout, read_table
from nssi_bayes.study import Study, read_study
from test_assemble import assembled

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("NSSI_BAYES_SHARED", ROOT.parent / "shared" / "data"))


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
    assert made["primary_disorder"][:3].tolist() == ["borderline", "mood", "none"]
    small = {**rule, "small": {"merge": {"affective": ["mood", "eating"]}, "drop": ["borderline"]}}
    made, _ = read(tmp_path / "a", content, mapping(disorders=small))
    assert made["primary_disorder"][:3].tolist() == ["none", "affective", "none"]
    people.loc[0, "also"] = "PTSD"
    text = refused(tmp_path / "b", content, mapping(disorders=rule))
    assert "1 diagnoses are neither under disorders.primary.names" in text
    assert "PTSD" not in text


def test_a_cohort_says_which_diagnosis_is_primary(tmp_path: Path) -> None:
    content = tables()
    people = content["participants.tsv"]
    people["main"] = (["MDD", "ED; MDD", "HC"] * PEOPLE)[:PEOPLE]
    people["also"] = (["ED", "n/a", "n/a"] * PEOPLE)[:PEOPLE]
    rule = {"primary": {"column": "main", "comorbid": ["also"], "none": ["HC"],
                        "names": {"MDD": "mood", "ED": "eating"}}}  # fmt: skip
    _, cohort = assembled(tmp_path, content, disorders=rule)
    assert violations(cohort) == []
    at = [list(cohort["disorder"].to_numpy()).index(d) for d in ("mood", "eating")]
    counts = [cohort[name].to_numpy()[:, at].sum(axis=0).tolist() for name in (n.DIAGNOSIS, n.PRIMARY)]
    assert counts == [[2 * PEOPLE // 3, 2 * PEOPLE // 3], [PEOPLE // 3, PEOPLE // 3]]


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
    audit = read_table(layout.audit_of("ingest", "toy")).set_index(["column", "rule"])
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


@pytest.mark.parametrize("name", code_tables())
def test_a_code_of_the_shelf_belongs_to_one_group(name: str) -> None:
    owner = {plain_code(code): group for group, codes in read_codes(name).items() for code in codes}
    assert len(owner) == sum(len(codes) for codes in read_codes(name).values())
    for code, group in owner.items():
        assert not [c for c, g in owner.items() if c.startswith(code) and g != group], code


@pytest.mark.parametrize(
    ("table", "code", "group"),
    [
        ("dsm4", "309.21", "anxiety"), ("dsm4", "309.24", "adjustment"), ("dsm4", "300.00", "anxiety"),
        ("dsm4", "303.00", "substance"), ("dsm4", "312.34", "impulse_control"), ("dsm5", "F93.0", "anxiety"),
        ("dsm5", "F98.21", "eating"), ("dsm5", "F45.21", "somatic"), ("dsm5", "F63.81", "impulse_control"),
        ("dsm5", "R45.88", "nonsuicidal_self_injury"), ("dsm5", "F34.81", "disruptive_mood_dysregulation"),
        ("icd10", "F60.31", "borderline"), ("icd10", "X78.9", "self_harm"),
        ("icd10", "F55", "behavioural_other"),
    ],
)  # fmt: skip
def test_codes_of_the_manuals_are_in_their_groups(table: str, code: str, group: str) -> None:
    plain = plain_code(code)
    found = [g for g, codes in read_codes(table).items() if plain.startswith(tuple(map(plain_code, codes)))]
    assert found == [group]


def test_the_table_of_icd10_covers_its_chapter_of_mental_disorders() -> None:
    unused = {8, 26, 27, 35, 36, 37, 46, 47, 49, 56, 57, 58, 67, 74, 75, 76, 77, 85, 86, 87, 96, 97}
    begins = {code[:3] for codes in read_codes("icd10").values() for code in codes}
    assert {f"F{k:02d}" for k in range(100) if k not in unused} == {c for c in begins if c.startswith("F")}


@pytest.mark.parametrize(
    ("word", "codes"),
    [
        ("F32.1", ["F321"]), ("F32.1; F60.31", ["F321", "F6031"]), ("F32.1 F60.3", ["F321", "F603"]),
        ("F32.1,F60.3/F50.0", ["F321", "F603", "F500"]), ("296.32 Major depressive, recurrent", ["29632"]),
        ("300.00 Words of a manual", ["30000"]), ("296.32; 300", ["29632", "300"]),
        ("f32.1 (F60.3)", ["F321", "F603"]),
        ("311 Words after 300 days", ["311"]), ("F32.1 words, see F60.3", ["F321", "F603"]),
        ("F32.1+F32.1", ["F321"]), ("V71.09 Words", ["V7109"]), ("no code", ["NO"]),
        ("F84.0- type A", ["F840-"]),
        ("F41.1, F32.A", ["F411", "F32A"]),
    ],
)  # fmt: skip
def test_every_code_of_a_cell_is_read(word: str, codes: list[str]) -> None:
    assert _codes_of(word) == codes


def test_a_cell_with_several_codes_loses_none(tmp_path: Path) -> None:
    content = tables()
    content["participants.tsv"]["icd"] = (["F32.1; F60.31", "f603", "F32.0 F50.0", "F90.0"] * PEOPLE)[:PEOPLE]
    codes = {
        "columns": ["icd"],
        "table": "icd10",
        "use": ["depression", "borderline", "eating"],
        "ignore_rest": True,
    }
    made, audit = read(tmp_path, content, mapping(disorders={"codes": codes}))
    flags = made[["disorder_depression", "disorder_borderline", "disorder_eating"]].to_numpy()
    np.testing.assert_array_equal(flags[:4], [[1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0]])
    line = audit.set_index("column").loc["codes"]
    assert (line["read"], line["dropped"]) == (PEOPLE * 6 // 4, PEOPLE // 4)
    assert "30 cells hold several codes" in line["note"]
    content["participants.tsv"].loc[0, "icd"] = "F32.1; F90.0; X12.3"
    assert "1 diagnosis codes are covered by no group" in refused(
        tmp_path / "b", content, mapping(disorders={"codes": codes})
    )


def test_a_code_that_ends_in_zeros_is_no_shorter_one(tmp_path: Path) -> None:
    """300.00 is an anxiety disorder of DSM-IV, and 300 would be half a chapter."""
    content = tables()
    content["participants.tsv"]["dsm"] = (["300.00", "300.4", "296.20"] * PEOPLE)[:PEOPLE]
    codes = {"columns": ["dsm"], "table": "dsm4", "use": ["anxiety", "depression"]}
    made, _ = read(tmp_path, content, mapping(disorders={"codes": codes}))
    assert made["disorder_anxiety"].tolist()[:3] == [1, 0, 0]
    assert made["disorder_depression"].tolist()[:3] == [0, 1, 1]


@pytest.mark.parametrize(
    "mark", ["F32.1 V", "F32.1V", "F32.1 A", "V.a. F32.1", "F60.3; F32.1 A", "rule out F32.1"]
)
def test_a_suspected_diagnosis_is_none_without_a_word(tmp_path: Path, mark: str) -> None:
    content = tables()
    people = content["participants.tsv"]
    people["icd"] = (["F32.1", "F60.3 G"] * PEOPLE)[:PEOPLE]
    people.loc[0, "icd"] = mark
    codes = {"columns": ["icd"], "table": "icd10", "use": ["depression", "borderline"]}
    text = refused(tmp_path, content, mapping(disorders={"codes": codes}))
    assert "1 cells have a code that is marked as suspected or excluded" in text


@pytest.mark.parametrize(
    "codes",
    [
        {"groups": {"a": ["F32.1"]}, "ignore": ["f321"]}, {"groups": {"a": ["F32"], "b": ["F3.21"]}},
        {"groups": {"a": ["F32"], "b": [""]}}, {"groups": {"a": ["."]}},
    ],
)  # fmt: skip
def test_codes_that_overlap_in_all_but_their_dots_are_refused(codes: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"overlaps|an empty code"):
        parse(Study, mapping(disorders={"codes": {"columns": ["c"], **codes}}), where="study.yaml")
