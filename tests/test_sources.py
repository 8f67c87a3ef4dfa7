"""One file as it is: formats, encodings, separators and what is around a header change nothing."""

from __future__ import annotations

import datetime
import re
import traceback
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pyreadstat
import pytest
from openpyxl import Workbook

from nssi_bayes.errors import DataError
from nssi_bayes.sidecars import describe
from nssi_bayes.sources import read_source

ROWS = [["participant_id", "group", "x"], ["sub-1", "depr ", "1"], ["sub-2", "müde", "2.5"]]
WORDS = [["sub-1", "depr", "1"], ["sub-2", "müde", "2.5"]]


def words(path: Path, **how: str) -> list[list[str]]:
    return read_source(path, **how).frame.astype("str").to_numpy().tolist()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"])
@pytest.mark.parametrize("separator", ["\t", ",", ";", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".txt"])
def test_encoding_separator_and_line_ends_change_nothing(
    tmp_path: Path, encoding: str, separator: str, end: str, suffix: str
) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_bytes((end.join(separator.join(row) for row in ROWS) + end).encode(encoding))
    assert words(path) == WORDS


def test_facts_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("\r\n".join(";".join(row) for row in ROWS).encode("latin-1"))
    assert dict(read_source(path).facts) == {
        "read as cp1252": 2, "line ends of another system": 2, "separated by semicolons": 2,
    }  # fmt: skip


def test_quotes_hold_separators_and_unclosed_ones_are_characters(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('a,b\n"x, y",1\n', encoding="utf-8")
    assert words(path) == [["x, y", "1"]]
    path.write_text('a,b\n5",1\n"6,2\n', encoding="utf-8")
    assert words(path) == [['5"', "1"], ['"6', "2"]]


def test_columns_that_a_spreadsheet_leaves_behind_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,,\n1,2,,\n,,,\n", encoding="utf-8")
    assert words(path) == [["1", "2"]]
    path.write_text(",a\n1,2\n", encoding="utf-8")  # what R writes: row names without a name
    assert list(read_source(path).frame.columns) == ["unnamed_1", "a"]


def test_an_nda_table_has_a_line_above_its_header_and_one_below(tmp_path: Path) -> None:
    path = tmp_path / "ctq01.txt"
    path.write_text(
        '"ctq01"\t"1"\n"subjectkey"\t"ctq_1"\t"ctq_2"\n'
        '"The NDAR Global Unique Identifier (GUID) for research subject"\t"a"\t"b"\n"NDAR_INVA"\t"3"\t"1"\n',
        encoding="utf-8",
    )
    assert words(path) == [["NDAR_INVA", "3", "1"]]
    assert len(read_source(path).facts) == 2


def test_a_workbook_gives_the_words_of_a_text_file(tmp_path: Path) -> None:
    book = Workbook()
    page = book.active
    for row in (["id", "n", "f", "d", "b", "e"], ["a", 3, 2.5, datetime.date(2020, 1, 2), True, None]):
        page.append(row)
    other = book.create_sheet("other")
    other.append(["id"])
    other.append(["z"])
    book.save(tmp_path / "t.xlsx")
    assert words(tmp_path / "t.xlsx") == [["a", "3", "2.5", "2020-01-02", "1", ""]]
    assert words(tmp_path / "t.xlsx", sheet="other") == [["z"]]
    with pytest.raises(DataError, match="no sheet 'third'"):
        read_source(tmp_path / "t.xlsx", sheet="third")


def test_an_spss_file_brings_labels_and_missing_codes(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": ["a", "b", "c"], "x": [1.0, 99.0, float("nan")], "y": [1.5, 2.0, 3.0]})
    pyreadstat.write_sav(
        table, str(tmp_path / "t.sav"), variable_value_labels={"x": {1: "never", 99: "refused"}},
        missing_ranges={"x": [{"lo": 90, "hi": 99}]},
    )  # fmt: skip
    source = read_source(tmp_path / "t.sav")
    assert source.frame.astype("str").to_numpy().tolist() == [
        ["a", "1", "1.5"], ["b", "99", "2"], ["c", "", "3"],
    ]  # fmt: skip
    assert source.about["x"].labels == {"1": "never", "99": "refused"}
    assert source.about["x"].missing == ((90.0, 99.0),)


def test_words_that_spss_declares_missing_are(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": ["a", "b"], "group": ["control", "zz"]})
    pyreadstat.write_sav(table, str(tmp_path / "t.sav"), missing_ranges={"group": ["zz"]})
    assert read_source(tmp_path / "t.sav").about["group"].labels == {"zz": "Missing"}


def test_formulas_that_nothing_calculated_are_no_blanks(tmp_path: Path) -> None:
    """A workbook that a program wrote holds no values of its formulas: they would all be missing."""
    path = tmp_path / "t.xlsx"
    book = Workbook()
    book.active.append(["id", "total"])
    book.active.append(["a", "=1+1"])
    book.active.append(["b", 3])
    book.save(path)
    with pytest.raises(DataError, match="1 cells are formulas without a stored value"):
        read_source(path)
    sheet = "xl/worksheets/sheet1.xml"
    with ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    cell = rb'<c r="B2"[^>]*>(<f>.*?</f>)(<v ?/>|<v></v>)'
    for value, word in ((b"<v>2</v>", "2"), (b"<v></v>", "")):
        kind = b' t="str"' if not word else b""
        said, found = re.subn(cell, rb'<c r="B2"' + kind + rb">\1" + value, parts[sheet])
        assert found == 1
        with ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, said if name == sheet else content)
        assert read_source(path).frame["total"].astype("str").to_list() == [word, "3"]


def test_a_line_that_names_the_separator_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sep=;\nid;x\na;1\nb;2\n", encoding="utf-8")
    source = read_source(path)
    assert list(source.frame) == ["id", "x"]
    assert "a line above the header left out (the separator)" in dict(source.facts)


def test_what_is_no_table_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.xls").write_bytes(b"\xd0\xcf\x11\xe0" * 100)
    with pytest.raises(DataError, match=r"kind \.xls is no table .*\n.*save it as CSV"):
        read_source(tmp_path / "t.xls")
    path = tmp_path / "t.csv"
    path.write_text("id,photo\na," + "y" * 200_000 + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="a cell is too long") as caught:
        read_source(path)
    assert "yyy" not in str(caught.value)

    def denied(path: Path) -> bytes:
        raise PermissionError(str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(DataError, match="the file cannot be read"):
        read_source(path)


@pytest.mark.parametrize("suffix", [".xlsx", ".sav"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_bytes(b"id,x\nsecret,1\n")
    with pytest.raises(DataError, match="not a readable") as caught:
        read_source(path)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("suffix", [".xlsx", ".sav", ".tsv"])
def test_damaged_bytes_are_read_or_refused(tmp_path: Path, suffix: str) -> None:
    table = pd.DataFrame({"id": [f"s{k}" for k in range(30)], "x": [float(k) for k in range(30)]})
    good = tmp_path / f"good{suffix}"
    if suffix == ".xlsx":
        table.to_excel(good, index=False)
    elif suffix == ".sav":
        pyreadstat.write_sav(table, str(good))
    else:
        table.to_csv(good, sep="\t", index=False)
    rng = np.random.default_rng(6)
    path = tmp_path / f"t{suffix}"
    refused = 0
    for k in range(60):
        content = bytearray(good.read_bytes())
        if k % 3 == 0:
            content = content[: int(rng.integers(len(content)))]
        elif k % 3 == 1:
            for place in rng.integers(0, len(content), 20):
                content[place] = int(rng.integers(256))
        else:
            content = bytearray(rng.bytes(int(rng.integers(2000))))
        path.write_bytes(bytes(content))
        try:
            read_source(path)
        except DataError:
            refused += 1
    assert refused > 10


def test_a_link_into_an_annex_says_get_the_data_first(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.symlink_to(tmp_path / ".git" / "annex" / "objects" / "x")
    with pytest.raises(DataError, match="get the data first"):
        read_source(path)


def test_sidecars_of_three_kinds(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '\ufeff{"sex": {"Levels": {"1": "male", "2": {"Description": "female"}}}, "age": {"Units": "years"}}',
        encoding="utf-8",
    )
    (tmp_path / "a_definitions.tsv").write_text(
        "ElementName\tElementDescription\tValueRange\tNotes\n"
        "ctq_1\titem\t1::5;999\t1=Never true; 5=Very often true; 999=Missing\n"
        "interview_age\tAge in months at the time of the interview\t0::1260\t\n",
        encoding="utf-8",
    )
    (tmp_path / "x_DataDictionary_2020.csv").write_text(
        'Variable / Field Name,"Choices, Calculations, OR Slider Labels",Identifier?\n'
        'dx,"1, Yes | 0, No",\nwho,,y\n',
        encoding="utf-8",
    )
    about, unread = describe(tmp_path / "a.tsv")
    assert not unread
    assert about["sex"].labels == {"1": "male", "2": "female"}
    assert about["age"].unit == "years"
    assert about["ctq_1"].labels == {"1": "Never true", "5": "Very often true", "999": "Missing"}
    assert about["interview_age"].unit == "months"
    assert about["dx"].labels == {"1": "Yes", "0": "No"}
    assert about["who"].identifier


def test_a_broken_sidecar_is_said_and_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{", encoding="utf-8")
    about, unread = describe(tmp_path / "a.tsv")
    assert not about
    assert "a.json" in unread[0]
