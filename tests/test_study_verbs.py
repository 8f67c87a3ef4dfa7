"""`nssi-bayes instruments` and `nssi-bayes study`: what they print, draft and refuse."""

from __future__ import annotations

import os
from pathlib import Path

import ingest as benchmark
import pandas as pd
import pyreadstat
import pytest
import yaml
from typer.testing import CliRunner

from folders import tables
from nssi_bayes import cli
from nssi_bayes.ingest.draft import draft
from nssi_bayes.instruments import available, check_instrument, printed, read_instrument
from nssi_bayes.spec import parse, read_params
from nssi_bayes.store import Layout
from nssi_bayes.study import Study

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("NSSI_BAYES_SHARED", ROOT.parent / "shared" / "data"))


def call(root: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["--root", str(root), *arguments])
    return result.exit_code, result.output


def lab(folder: Path) -> None:
    """Write a folder as a lab has it: CSV, labels of its own, a date, waves, one SPSS file."""
    content = tables()
    people = content["participants.tsv"].rename(columns={"participant_id": "record_id"})
    people["interview_date"] = "2021-02-03"
    (folder / "q").mkdir(parents=True)
    people.to_csv(folder / "people.csv", index=False, sep=";")
    isas = content["phenotype/isas.tsv"].rename(columns={"participant_id": "record_id"})
    both = pd.concat([isas.assign(redcap_event_name="t1"), isas.assign(redcap_event_name="t2")])
    both.to_csv(folder / "q" / "isas.csv", index=False)
    ctq = content["phenotype/ctq_sf.tsv"].rename(columns={"participant_id": "record_id"})
    numbers = ctq.drop(columns="record_id").astype(float).assign(record_id=ctq["record_id"])
    pyreadstat.write_sav(numbers, str(folder / "q" / "ctq_sf.sav"))


def test_instruments_are_listed(tmp_path: Path) -> None:
    for arguments in (["instruments"], ["instruments", "list"]):
        code, output = call(tmp_path, *arguments)
        assert code == 0
        assert [line.split()[0] for line in output.splitlines()] == available()
    assert "key needed" in output


@pytest.mark.parametrize("name", available())
def test_a_printed_instrument_is_a_file_that_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text(printed(read_instrument(name)), encoding="utf-8")
    assert check_instrument(path) == read_instrument(name)


def test_one_instrument_is_shown_and_checked(tmp_path: Path) -> None:
    code, output = call(tmp_path, "instruments", "show", "isas")
    assert (code, yaml.safe_load(output)["items"]) == (0, 39)
    path = tmp_path / "isas.yaml"
    path.write_text(output, encoding="utf-8")
    code, said = call(tmp_path, "instruments", "check", str(path))
    assert (code, said) == (0, "isas: 39 items, 15 scales, as the shelf asks for\n")
    path.write_text(
        output.replace("items: 39", "items: 40").replace("score: sum", "skore: sum"), encoding="utf-8"
    )
    code, said = call(tmp_path, "instruments", "check", str(path))
    assert code == 2
    assert "Did you mean 'score'" in said
    code, said = call(tmp_path, "instruments", "show", "isass")
    assert (code, "Did you mean 'isas'" in said) == (2, True)
    path.rename(tmp_path / "other.yaml")
    (tmp_path / "other.yaml").write_text(output, encoding="utf-8")
    code, said = call(tmp_path, "instruments", "check", str(tmp_path / "other.yaml"))
    assert (code, "is not the file's name" in said) == (2, True)


def test_a_study_shows_its_own_instrument_first(tmp_path: Path) -> None:
    own = Layout(tmp_path).instruments("mine")
    own.mkdir(parents=True)
    text = printed(read_instrument("isas")).replace("title: Inventory", "title: Our Inventory")
    (own / "isas.yaml").write_text(text, encoding="utf-8")
    assert (
        "Our Inventory of Statements About Self-injury, section II (2009, 39 function items, of study mine)"
        in call(tmp_path, "instruments")[1]
    )
    assert "title: Our Inventory" in call(tmp_path, "instruments", "show", "isas", "--study", "mine")[1]


def test_a_folder_is_drafted_edited_and_checked(tmp_path: Path) -> None:
    lab(tmp_path / "lab")
    code, output = call(tmp_path, "study", "init", str(tmp_path / "lab"))
    assert code == 0, output
    layout = Layout(tmp_path)
    path = layout.study("lab")
    text = path.read_text(encoding="utf-8")
    drafted = yaml.safe_load(text)
    parse(Study, drafted, where="draft")
    assert drafted["participants"] == {"table": "people.csv", "id": "record_id", "site": "site",
                                       "site_names": {"A": "site_1", "B": "site_2"}}  # fmt: skip
    assert drafted["privacy"] == {"drop": ["interview_date"]}
    assert drafted["tables"] == {"q/isas.csv": {"rows": {"redcap_event_name": "t1"}}}
    assert drafted["disorders"]["flags"] == {d: f"dx_{d}" for d in ("mood", "eating", "anxiety")}
    assert set(drafted["instruments"]) == {"isas", "ctq_sf"}
    assert drafted["items"] == ["isas"]
    assert all("#" in line for line in text.splitlines() if "column:" in line and "isas" in line)
    assert read_params(layout.profile("lab")).source == Path("lab")
    assert call(tmp_path, "study", "init", str(tmp_path / "lab"))[0] == 2
    code, output = call(tmp_path, "study", "check", "lab")
    assert code == 0, output
    assert "60 people, keyed pseudonyms" in output
    assert "instrument isas: 39 items; key not verified" in output
    assert not layout.tables("lab").exists()
    path.write_text(text.replace("drop:", "dropp:"), encoding="utf-8")
    code, output = call(tmp_path, "study", "check", "lab")
    assert (code, "Did you mean 'drop'" in output) == (2, True)


def test_a_draft_quotes_no_date_and_no_text(tmp_path: Path) -> None:
    """Waves that are called after their day, and what stands beside a diagnosis, are in no drafted file."""
    lab(tmp_path / "lab")
    isas = pd.read_csv(tmp_path / "lab" / "q" / "isas.csv")
    isas["redcap_event_name"] = isas["redcap_event_name"].map({"t1": "ses-20190304", "t2": "ses-20190911"})
    isas.to_csv(tmp_path / "lab" / "q" / "isas.csv", index=False)
    people = pd.read_csv(tmp_path / "lab" / "people.csv", sep=";")
    people = people.drop(columns=[c for c in people if c.startswith("dx_")])
    people["dx_date"] = ["2019-03-04", "2019-05-06"] * (len(people) // 2)
    people["diagnosis_notes"] = ["she came after her brother", "he was sent by a friend"] * (len(people) // 2)
    people["group"] = ["patient", "control"] * (len(people) // 2)
    people.to_csv(tmp_path / "lab" / "people.csv", index=False, sep=";")
    code, output = call(tmp_path, "study", "init", str(tmp_path / "lab"))
    assert code == 0, output
    text = Layout(tmp_path).study("lab").read_text(encoding="utf-8")
    assert not any(word in text for word in ("2019", "brother", "friend"))
    assert "redcap_event_name tells dates" in text
    assert yaml.safe_load(text)["disorders"]["primary"]["column"] == "group"


def test_a_draft_hints_at_sessions_files_and_lists_no_idle_view(tmp_path: Path) -> None:
    lab(tmp_path / "lab")
    for label in ("sub-001", "sub-002"):
        (tmp_path / "lab" / label).mkdir()
        path = tmp_path / "lab" / label / f"{label}_sessions.tsv"
        path.write_text("session_id\tacq_time\nses-01\t2019-03-04\nses-02\t2019-09-04\n", encoding="utf-8")
    more = pd.DataFrame({"record_id": ["1", "1"], "visit": ["a", "b"], "x": ["1", "2"]})
    more.to_csv(tmp_path / "lab" / "q" / "more.csv", index=False)
    code, output = call(tmp_path, "study", "init", str(tmp_path / "lab"))
    assert code == 0, output
    text = Layout(tmp_path).study("lab").read_text(encoding="utf-8")
    hint = 'first_wave: {file: "sub-*/sub-*_sessions.tsv", rows: {session_id: "ses-01"}}'
    assert hint in text
    assert "4 rows in one file a person" in text
    assert "2019" not in text
    assert list(yaml.safe_load(text)["tables"]) == ["q/isas.csv"]
    assert call(tmp_path, "study", "check", "lab")[0] == 0


def test_a_folder_without_people_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, output = call(tmp_path, "study", "init", str(tmp_path / "empty"))
    assert code == 2
    assert "no table with a column that looks like a person's label" in output
    assert not Layout(tmp_path).study("empty").exists()


@pytest.mark.parametrize(
    ("study", "words"),
    [
        ("ds000030", ['"SCHZ": "schz"', 'none: ["CONTROL"]', 'barratt: {table: "phenotype/barratt.tsv"',
                      '"35343.0": "site_1"']),
        ("ds004605", ['"adhd": "DX.ADHD"', 'absent: ["-1"]', 'codes: {"-1": 1, "1": 0}', "unit: \"years\""]),
        ("ds002748", ['columns: ["ICD-10"]', "table: icd10", "depression"]),
    ],
)  # fmt: skip
def test_public_folders_are_drafted(study: str, words: list[str]) -> None:
    if not (DATA / study).exists():
        pytest.skip("needs the public cohort")
    text = draft(DATA / study)
    for word in words:
        assert word in text
    assert isinstance(yaml.safe_load(text), dict)


def test_the_benchmark_reads_what_it_wrote(tmp_path: Path) -> None:
    found = benchmark.measure(benchmark.folder(tmp_path, people=400, items=40))
    assert found["missing"] == pytest.approx(0.02, abs=0.005)
    assert 0 < found["ingest"] + found["score"] < 20
