"""From words to numbers where a wrong guess would be a wrong number: commas, labels, levels, overflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from folders import PEOPLE, mapping, params, refused, tables, write
from nssi_bayes import ingest
from nssi_bayes.errors import DataError
from nssi_bayes.ingest.cells import Cells, Reading, read_numbers
from nssi_bayes.sidecars import describe, means_missing
from nssi_bayes.sources import About
from nssi_bayes.store import read_table


def numbers(words: list[str], *, about: About | None = None, decimal: str = "point", **how: Any) -> Any:
    cells = Cells(words, np.arange(len(words)), about or About(), decimal)
    return read_numbers(cells, Reading(**how))


@pytest.mark.parametrize(
    "label", ["Missing", "missing value", "Not assessed", "N/A", "n/a (no visit)", "Refused", "Don't know",
              "Unknown or not reported", "Prefer not to answer", "Not applicable", "did not know"]
)  # fmt: skip
def test_labels_of_nothing(label: str) -> None:
    assert means_missing(label, "5")


@pytest.mark.parametrize(
    "label", ["No response", "Declined", "Skipped meals", "Missing school often",
              "Not applicable to me at all", "Not done", "Naive", "Never", "None"]
)  # fmt: skip
def test_labels_that_may_be_answers_are_answers(label: str) -> None:
    """An outcome of 0, no response, and 1, response: everybody without one would be missing."""
    assert not means_missing(label, "0")
    assert not means_missing(label, "3")


@pytest.mark.parametrize("code", ["-9", "99", "777", "-300", "95", "R"])
def test_labels_that_may_be_answers_are_none_with_a_code_of_nothing(code: str) -> None:
    assert means_missing("No response", code)


def test_those_who_did_not_respond_are_not_missing() -> None:
    about = About({"0": "No response", "1": "Response", "9": "Not assessed"})
    found = numbers(["0", "1", "9"], about=about)
    assert found.values.tolist()[:2] == [0, 1]
    assert found.missing == {"9": 1}


@pytest.mark.parametrize("decimal", ["point", "comma"])
def test_a_point_of_thousands_beside_decimal_commas_is_asked_about(decimal: str) -> None:
    found = numbers(["3,5", "1.234", "1.000", "2.5"], decimal=decimal)
    assert found.pointed == 2
    assert found.commas == 1
    assert found.values[3] == 2.5
    assert "whose point may stand for thousands" in found.problems("t", coded=False)[0]


def test_without_commas_a_point_is_a_decimal_one() -> None:
    assert numbers(["1.234", "2.5"]).values.tolist() == [1.234, 2.5]


def test_a_number_beyond_all_numbers_is_none() -> None:
    found = numbers(["1e999", "1"])
    assert found.bad == 1
    assert np.isnan(found.values[0])


def test_values_beyond_the_levels_are_counted() -> None:
    about = About({"0": "never", "4": "always", "999": "Missing"})
    assert numbers(["0", "2", "5", "999"], about=about).strange == 1
    assert numbers(["0", "2", "5"], about=about, trust_levels=False).strange == 0
    assert numbers(["0", "5"], about=about, recode={"5": "4"}).strange == 0
    assert numbers(["0", "5"], about=About({"0": "never"})).strange == 0


def test_an_item_that_its_levels_contradict_is_asked_about(tmp_path: Path) -> None:
    """The sidecar says 0 to 4 and the file holds 1 to 5: all in the form's range but the zeros."""
    levels = {"ctq_sf_01": {"Levels": {str(k): f"word {k}" for k in range(5)}}}
    layout = write(tmp_path, tables(), mapping())
    sidecar = tmp_path / "source" / "phenotype" / "ctq_sf.json"
    sidecar.write_text(json.dumps(levels), encoding="utf-8")
    with pytest.raises(DataError, match=r"'ctq_sf_01' holds .* beyond the levels that the folder's"):
        ingest.run(layout, params())
    study = mapping()
    study["instruments"]["ctq_sf"]["confirmed"] = True
    layout = write(tmp_path, tables(), study)
    ingest.run(layout, params())
    assert read_table(layout.tables("toy") / "ctq_sf.tsv")["ctq_sf_01"].notna().all()


def test_an_outcome_that_its_levels_contradict_needs_its_range(tmp_path: Path) -> None:
    content = tables()
    content["participants.tsv"]["severity"] = ["1", "2", "3"] * (PEOPLE // 3)
    study = mapping(outcomes={"severity": {"column": "severity"}})
    layout = write(tmp_path, content, study)
    sidecar = tmp_path / "source" / "participants.json"
    sidecar.write_text(json.dumps({"severity": {"Levels": {"0": "a", "2": "b"}}}), encoding="utf-8")
    with pytest.raises(DataError, match="'severity' holds 20 values beyond the levels"):
        ingest.run(layout, params())
    ingest.run(write(tmp_path, content, mapping()), params())


def test_points_of_thousands_are_refused(tmp_path: Path) -> None:
    content = tables()
    people = content["participants.tsv"]
    people["severity"] = people["severity"].str.replace(".", ",")
    people.loc[0, "severity"] = "1.234"
    text = refused(tmp_path, content, mapping())
    assert "column 'severity' holds 1 values whose point may stand for thousands" in text


def test_checkboxes_of_redcap_are_columns_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "x_DataDictionary.csv").write_text(
        'Variable / Field Name,Field Type,"Choices, Calculations, OR Slider Labels",Identifier?\n'
        'dx,checkbox,"1, Depression | -9, Other",\nrace,checkbox,"1, A | 2, B",y\n',
        encoding="utf-8",
    )
    about, _ = describe(tmp_path / "a.csv")
    assert set(about) == {"dx___1", "dx____9", "race___1", "race___2"}
    assert about["race___2"].identifier
    assert about["dx___1"].labels == {"0": "Unchecked", "1": "Checked"}


def test_a_sidecar_that_was_not_fetched_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to(tmp_path / "nowhere")
    assert "a.json was not fetched" in describe(tmp_path / "a.tsv")[1][0]
