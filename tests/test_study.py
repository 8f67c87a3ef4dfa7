"""study.yaml: strict keys with suggestions, and the reading of source tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from folders import mapping, params, write
from nssi_bayes.errors import DataError, SpecError
from nssi_bayes.sources import read_source_table
from nssi_bayes.spec import parse
from nssi_bayes.store import Layout
from nssi_bayes.study import Study, read_study, source_folder

ROOT = Path(__file__).parents[1]


def refused(study: dict) -> str:
    with pytest.raises(SpecError) as caught:
        parse(Study, study, where="study.yaml")
    return str(caught.value)


@pytest.mark.parametrize("name", ["demo", "ds000030", "ds002748", "ds004605"])
def test_shipped_study_files_are_valid(name: str) -> None:
    study = read_study(Layout(ROOT), name)
    assert study.synthetic == (name == "demo")
    assert set(study.items) <= set(study.instruments)


def test_unknown_key_gets_a_suggestion(tmp_path: Path) -> None:
    layout = write(tmp_path, {}, {**mapping(), "outcome": {}})
    with pytest.raises(SpecError, match="Did you mean 'outcomes'") as caught:
        read_study(layout, "toy")
    assert "study.yaml" in str(caught.value)


def test_unknown_key_in_a_section_gets_a_suggestion() -> None:
    text = refused(mapping(participants={"sites": "site"}))
    assert "participants.sites" in text
    assert "'site'" in text


def test_unknown_key_below_a_name_gets_a_suggestion() -> None:
    text = refused(mapping(instruments={"isas": {"tabel": "x", "column": "{item}"}}, factors={}))
    assert "Did you mean 'table'" in text


def test_all_problems_at_once() -> None:
    text = refused({**mapping(participants={"sites": "x"}), "titel": "y"})
    assert "2 problems" in text


@pytest.mark.parametrize(
    ("disorders", "words"),
    [
        ({}, "either `flags` or `codes`"),
        ({"flags": {}}, "at least one disorder"),
        ({"flags": {"a": "x", "b": "x"}}, "a column stands for two disorders"),
        ({"flags": {"none": "dx_none"}}, "kept for people without a diagnosis"),
        ({"flags": {"a": "a"}, "present": ["1"], "absent": ["1"]}, "`present` and `absent`"),
        ({"codes": {"columns": ["c"], "groups": {"a": ["296"], "b": ["296.3"]}}}, "overlaps"),
        ({"codes": {"columns": ["c"], "groups": {"a": ["29"]}, "ignore": ["291"]}}, "overlaps"),
        ({"codes": {"columns": ["c"], "groups": {"a": ["29"]}}, "flags": {"a": "a"}}, "either"),
    ],
)
def test_disorders_are_said_one_way(disorders: dict, words: str) -> None:
    assert words in refused(mapping(disorders=disorders))


@pytest.mark.parametrize("column", ["isas_01", "isas_{number}", "isas_{item", "{item}{wave}", "{item:zz}"])
def test_item_pattern_needs_the_item(column: str) -> None:
    table = {"table": "phenotype/isas.tsv", "column": column}
    assert "pattern" in refused(mapping(instruments={"isas": table}, factors={}))


def test_image_pattern_needs_the_participant() -> None:
    source = {"atlas": "a", "effect": "x.nii.gz", "variance": "{participant}.nii", "spaces": ["MNI"]}
    text = refused(mapping(activation=source))
    assert "activation.effect" in text
    assert "activation.variance" not in text


def test_items_and_factors_name_instruments_of_the_study() -> None:
    text = refused(mapping(items=["osi"], factors={"trauma": {"instrument": "ctq", "scale": "total"}}))
    assert "items: osi" in text
    assert "factors.trauma" in text


def test_a_view_that_nothing_reads_gets_a_suggestion() -> None:
    text = refused(mapping(tables={"phenotype/isas.tvs": {"missing": ["9"]}}))
    assert "tables.phenotype/isas.tvs: nothing reads it. Did you mean 'phenotype/isas.tsv'" in text


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"table": "a.tsv"}, "either `column` or `columns` or `totals`"),
        ({"table": "a.tsv", "column": "a{item}", "totals": {"x": "y"}}, "either `column`"),
        ({"table": "a.tsv", "column": "a{item}", "totals_are": "sum"}, "`totals_are` needs `totals`"),
        ({"table": "a.tsv", "columns": ["q1", "q1"]}, "a column stands for two items"),
        ({"table": "a.tsv", "totals": {"a": "x", "b": "x"}}, "a column stands for two items"),
    ],
)
def test_an_instrument_stands_in_one_way(place: dict, words: str) -> None:
    assert words in refused(mapping(instruments={**mapping()["instruments"], "phq_9": place}))


@pytest.mark.parametrize("name", ["participants", "../../evil", "a/b", "", "a\tb", ".hidden"])
def test_an_instrument_is_no_path_and_no_other_table(name: str) -> None:
    """Its table is written under its name: another place, or the participants, would be written over."""
    place = {"form": "phq_9", "table": "a.tsv", "column": "a{item}"}
    text = refused(mapping(instruments={**mapping()["instruments"], name: place}))
    assert f"{name!r}: a table of that name is written" in text


@pytest.mark.parametrize(
    "rule", [{}, {"instrument": "isas"}, {"column": "a", "instrument": "isas", "scale": "b"}]
)
def test_an_outcome_is_a_column_or_a_scale(rule: dict) -> None:
    assert "either `column`, or `instrument` and `scale`" in refused(mapping(outcomes={"severity": rule}))


@pytest.mark.parametrize("reliability", [0, 1.2, "omega"])
def test_reliability_is_a_proportion_or_alpha(reliability: object) -> None:
    rule = {"instrument": "ctq_sf", "scale": "total", "reliability": reliability}
    assert "reliability" in refused(mapping(factors={"trauma": rule}))


def test_source_is_relative_to_the_root_or_absolute(tmp_path: Path) -> None:
    assert source_folder(Layout(tmp_path), params()) == tmp_path / "source"
    assert source_folder(Layout(tmp_path), params(source="/elsewhere")) == Path("/elsewhere")


def test_reading_understands_bom_crlf_quotes_and_blanks(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes(b'\xef\xbb\xbfparticipant_id\tGroup\r\nsub-1\t"a b" \r\nsub-2\tn/a\r\n\t\r\n\r\n')
    table = read_source_table(path)
    assert list(table.columns) == ["participant_id", "Group"]
    assert table.to_numpy().tolist() == [["sub-1", "a b"], ["sub-2", "n/a"]]


def test_reading_keeps_an_empty_last_cell(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("a\tb\n1\t")
    assert read_source_table(path).to_numpy().tolist() == [["1", ""]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a\tb\n", "no rows"),
        (b"", "no rows"),
        (b"a\ta\n1\t2\n", "1 columns have the name of another"),
        (b"a\tb\n1\n1\t2\t3\n", "2 rows do not have 2 cells"),
    ],
)
def test_a_broken_table_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_source_table(path)


def test_a_table_that_was_not_fetched_says_so(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.symlink_to(tmp_path / "annex" / "object")
    with pytest.raises(DataError, match="datalad get"):
        read_source_table(path)
