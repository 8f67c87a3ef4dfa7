"""Mangled tables end in the same data set or in a readable refusal: no traceback, no other number."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nssi_bayes import names as n
from nssi_bayes.errors import NssiBayesError
from nssi_bayes.ingest import tidy
from nssi_bayes.score import scored
from nssi_bayes.spec import parse
from nssi_bayes.study import Study

PEOPLE = 40
STUDY: dict[str, Any] = {
    "title": "Invented",
    "synthetic": True,
    "participants": {"table": "people.csv", "site": "site"},
    "covariates": {"age": {"column": "age"}, "weight": {"column": "weight"}},
    "disorders": {"table": "people.csv", "primary": {
        "column": "group", "names": {"depressed": "mood", "Jürgens": "other"}, "none": ["control"]}},
    "instruments": {"pss_10": {"table": "pss.csv", "column": "pss_{item}", "missing": ["-99", "999"]}},
    "items": ["pss_10"],
    "outcomes": {"stress": {"instrument": "pss_10", "scale": "stress"}},
}  # fmt: skip


def _clean() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(11)
    trait = rng.normal(size=(PEOPLE, 1))
    high = np.clip(np.round(2 + 1.2 * trait + 0.5 * rng.normal(size=(PEOPLE, 10))), 0, 4).astype(int)
    turned = [3, 4, 6, 7]
    high[:, turned] = 4 - high[:, turned]
    ids = [f"sub-P{k:02d}" for k in range(PEOPLE)]
    answers = pd.DataFrame(high.astype(str), columns=[f"pss_{i}" for i in range(1, 11)])
    answers.insert(0, "participant_id", ids)
    answers.loc[3, "pss_2"] = "n/a"
    people = pd.DataFrame(
        {
            "participant_id": ids,
            "age": rng.integers(14, 30, PEOPLE).astype(str),
            "weight": [f"{w:.2f}" for w in rng.normal(60, 8, PEOPLE)],
            "site": rng.choice(["north", "south"], PEOPLE),
            "group": rng.choice(["control", "depressed", "Jürgens"], PEOPLE),
        }
    )
    return {"people.csv": people, "pss.csv": answers}


def _result(source: Path) -> tuple[pd.DataFrame, xr.Dataset]:
    study = parse(Study, STUDY, where="study.yaml")
    tables, _ = tidy(source, study)
    return tables["participants"], scored(study, tables)[0]


def _write(folder: Path, content: dict[str, pd.DataFrame], *, how: dict[str, Any]) -> None:
    for name, table in content.items():
        separator = how["separator"]
        quote = '"' if how["quoted"] else ""
        lines = [
            separator.join(f"{quote}{cell}{quote}" for cell in row)
            for row in [list(table.columns), *table.to_numpy().tolist()]
        ]
        text = how["end"].join(lines) + how["end"] * how["blank"]
        (folder / name).write_bytes(text.encode(how["encoding"], errors="replace"))


EXPECTED: tuple[pd.DataFrame, xr.Dataset] | None = None


def _expected() -> tuple[pd.DataFrame, xr.Dataset]:
    global EXPECTED
    if EXPECTED is None:
        with tempfile.TemporaryDirectory() as folder:
            how = {"separator": ",", "quoted": False, "end": "\n", "blank": 1, "encoding": "utf-8"}
            _write(Path(folder), _clean(), how=how)
            EXPECTED = _result(Path(folder))
    return EXPECTED


HOW = st.fixed_dictionaries(
    {
        "separator": st.sampled_from([",", ";", "\t", "|"]),
        "quoted": st.booleans(),
        "end": st.sampled_from(["\n", "\r\n", "\r"]),
        "blank": st.integers(0, 3),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16"]),
    }
)
HARMLESS = st.sets(
    st.sampled_from(["rows", "columns", "double", "blanks", "ids", "comma", "missing", "extra", "label"])
)
HARMFUL = st.lists(
    st.sampled_from(
        ["code", "word", "reverse", "conflict", "lost", "name", "hidden", "bytes", "empty", "shift"]
    ),
    max_size=2,
)


def _mangled(
    content: dict[str, pd.DataFrame], what: set[str], rng: np.random.Generator, how: dict[str, Any]
) -> dict[str, pd.DataFrame]:
    people, answers = content["people.csv"], content["pss.csv"]
    if "comma" in what and (how["separator"] != "," or how["quoted"]):
        people["weight"] = people["weight"].str.replace(".", ",")
    if "missing" in what:
        answers.loc[3, "pss_2"] = rng.choice(["-99", "999", "", "NA", "-99.0", " n/a "])
    if "label" in what:
        people["age"] = people["age"] + ".0"
    if "ids" in what:
        people["participant_id"] = people["participant_id"].str.removeprefix("sub-") + " "
        answers["participant_id"] = "P_" + answers["participant_id"].str.removeprefix("sub-P")
    if "extra" in what:
        answers["unused"] = "7"
        answers = pd.concat([answers, answers.iloc[[0]].assign(participant_id="sub-stranger")])
    if "blanks" in what:
        people["group"] = people["group"] + "  "
        people["site"] = " " + people["site"]
    tables = {"people.csv": people, "pss.csv": answers}
    for name, table in tables.items():
        if "double" in what:
            table = pd.concat([table, table.iloc[rng.integers(0, len(table), 5)]])
        if "rows" in what:
            table = table.iloc[rng.permutation(len(table))]
        if "columns" in what:
            table = table.iloc[:, rng.permutation(table.shape[1])]
        tables[name] = table.reset_index(drop=True)
    return tables


def _harmed(
    content: dict[str, pd.DataFrame], what: list[str], rng: np.random.Generator
) -> dict[str, pd.DataFrame]:
    people, answers = content["people.csv"], content["pss.csv"]
    items = [f"pss_{i}" for i in range(1, 11)]
    place = (int(rng.integers(len(answers))), str(rng.choice(items)))
    for harm in what:
        if harm == "code":
            answers.loc[place] = str(rng.choice(["7", "-1", "88", "9999", "2.5", "-7"]))
        elif harm == "word":
            answers.loc[place] = str(rng.choice(["often", "3 or 4", "2;3", "--", "1/2"]))
        elif harm == "reverse":
            for item in rng.choice(items, int(rng.integers(1, 10)), replace=False):
                numbers = pd.to_numeric(answers[item], errors="coerce")
                answers[item] = answers[item].where(~numbers.between(0, 4), (4 - numbers).map("{:g}".format))
        elif harm == "conflict":
            people = pd.concat([people, people.iloc[[0]].assign(age="41")])
        elif harm == "lost":
            answers = answers.drop(columns=rng.choice(items))
            items = [i for i in items if i in answers]
            place = (place[0], items[0])
        elif harm == "name":
            answers = answers.rename(columns={items[0]: items[0].upper() + "x"})
            items = items[1:]
            place = (place[0], items[0])
        elif harm == "hidden":
            people.loc[people.index[0], "age"] = str(rng.choice(["999", "-99", "9999"]))
        elif harm == "bytes":
            answers.loc[place] = "\x00\x07"
        elif harm == "empty":
            people.loc[people.index[0], "participant_id"] = ""
        elif harm == "shift":
            answers[items] = answers[items].map(lambda x: str(int(x) + 1) if str(x).isdigit() else x)
    return {"people.csv": people.reset_index(drop=True), "pss.csv": answers}


def _check_same(source: Path) -> None:
    people, scores = _result(source)
    want_people, want = _expected()
    pd.testing.assert_frame_equal(people, want_people)
    xr.testing.assert_identical(scores.drop_attrs(), want.drop_attrs())
    np.testing.assert_array_equal(scores[n.RESPONSE], want[n.RESPONSE])


def _try(how: dict[str, Any], harmless: set[str], harmful: list[str], seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = _mangled(_clean(), harmless, rng, how)
    ids = set(content["people.csv"]["participant_id"].str.strip())
    content = _harmed(content, harmful, rng)
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), content, how=how)
        refused: NssiBayesError | None = None
        try:
            _check_same(Path(folder))
        except NssiBayesError as error:
            refused = error
    if refused is not None:
        assert harmful, f"a harmless table was refused: {refused}"
        assert refused.problems
        assert refused.cure
        assert not any(label and label in str(refused) for label in ids)


@pytest.mark.parametrize("size", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_mangled_tables_give_the_same_data_set_or_a_refusal(size: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    calm = settings(
        max_examples=size, deadline=None, derandomize=True, database=None, suppress_health_check=checks
    )
    given(HOW, HARMLESS, HARMFUL, st.integers(0, 2**32 - 1))(calm(_try))()


@pytest.mark.parametrize(
    "harm", ["code", "word", "conflict", "lost", "name", "hidden", "empty", "reverse", "shift", "bytes"]
)
def test_every_harm_is_refused(harm: str) -> None:
    how = {"separator": ",", "quoted": False, "end": "\n", "blank": 1, "encoding": "utf-8"}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), _harmed(_clean(), [harm], rng), how=how)
            with pytest.raises(NssiBayesError):
                _result(Path(folder))
