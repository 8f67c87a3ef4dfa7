"""The same data give the same data set, byte for byte, in any format and any order of rows and columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyreadstat
import pytest

from folders import mapping, params, tables, write
from nssi_bayes import assemble, extract, ingest, score
from nssi_bayes.store import Layout

FORMATS = ["tsv", "csv", "xlsx", "sav"]


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers as numbers, as a spreadsheet and SPSS hold them."""
    made = table.copy()
    for column in made.columns:
        numbers = pd.to_numeric(made[column].replace("n/a", ""), errors="coerce")
        if numbers.notna().any():
            made[column] = numbers
    return made


def _write(path: Path, table: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tsv":
        table.to_csv(path, sep="\t", index=False, lineterminator="\r\n")
    elif path.suffix == ".csv":
        table.replace("n/a", "").to_csv(path, sep=";", index=False, encoding="utf-8-sig")
    elif path.suffix == ".xlsx":
        _typed(table).to_excel(path, index=False)
    else:
        pyreadstat.write_sav(_typed(table), str(path))


def _content() -> dict[str, pd.DataFrame]:
    content = tables()
    content["participants.tsv"].loc[3, "severity"] = "n/a"
    content["phenotype/isas.tsv"].loc[2, "isas_07"] = "n/a"
    content["phenotype/ctq_sf.tsv"].loc[8, "ctq_sf_03"] = "n/a"
    return content


def _cohort(root: Path, suffix: str, *, shuffled: bool, **people: Any) -> bytes:
    study = mapping()
    names = {name: name.replace(".tsv", f".{suffix}") for name in _content()}
    study["participants"] = {**study["participants"], "table": names["participants.tsv"], **people}
    study["disorders"]["table"] = names["participants.tsv"]
    for place in study["instruments"].values():
        place["table"] = names[place["table"]]
    layout = write(root, {}, study)
    rng = np.random.default_rng(5)
    for name, table in _content().items():
        if shuffled:
            table = table.iloc[rng.permutation(len(table)), rng.permutation(table.shape[1])]
        _write(root / "source" / names[name], table.reset_index(drop=True))
    for room in (ingest, score, extract, assemble):
        room.run(layout, params())
    return layout.cohort("toy").read_bytes()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return _cohort(tmp_path_factory.mktemp("plain"), "tsv", shuffled=False)


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("suffix", FORMATS)
def test_format_and_order_change_no_byte(tmp_path: Path, plain: bytes, suffix: str, shuffled: bool) -> None:
    assert _cohort(tmp_path, suffix, shuffled=shuffled) == plain


def test_pseudonyms_are_equal_in_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSSI_BAYES_KEY", "a key of this test alone")
    made = {_cohort(tmp_path / suffix, suffix, shuffled=True, pseudonyms="keyed") for suffix in FORMATS}
    assert len(made) == 1
    assert b"sub-001" not in next(iter(made))


def test_the_tables_are_sorted_by_label(tmp_path: Path) -> None:
    content = _content()
    content["participants.tsv"] = content["participants.tsv"].iloc[::-1]
    layout: Layout = write(tmp_path, content, mapping())
    ingest.run(layout, params())
    ids = pd.read_csv(layout.tables("toy") / "participants.tsv", sep="\t")["participant_id"]
    assert ids.is_monotonic_increasing
