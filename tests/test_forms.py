"""Polarity and form: what the answers say about the key, both ways round, and where they say nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from folders import PEOPLE, mapping, params, refused, tables, write
from nssi_bayes import ingest, score
from nssi_bayes.errors import DataError
from nssi_bayes.instruments import available, read_instrument
from nssi_bayes.store import read_table


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
        audit = read_table(layout.audit_of("score", "toy"))
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
    audit = read_table(layout.audit_of("score", "toy"))
    assert (audit["rule"] == "already reversed").sum() == len(items)
    assert (audit["rule"] == "reversed, as the key says").sum() == 7 - len(items)


def test_anchors_of_a_dictionary_that_are_exchanged_are_asked_about(tmp_path: Path) -> None:
    content = tables()
    turned = [
        5,
        7,
        13,
        19,
        25,
        28,
    ]  # as in a public dictionary: 25 is none of the key, 2 and 26 are not there
    for item in turned:
        column = f"ctq_sf_{item:02d}"
        content["phenotype/ctq_sf.tsv"][column] = (
            6 - content["phenotype/ctq_sf.tsv"][column].astype(int)
        ).astype(str)
    ways = {
        False: {"1": "Never true", "5": "Very often true"},
        True: {"5": "Never true", "1": "Very often true"},
    }
    sidecar = {f"ctq_sf_{i:02d}": {"Levels": ways[i in turned]} for i in range(1, 29)}
    layout = write(tmp_path, content, mapping())
    (tmp_path / "source" / "phenotype" / "ctq_sf.json").write_text(json.dumps(sidecar), encoding="utf-8")
    with pytest.raises(
        DataError, match="by its dictionary items 5, 7, 13, 19, 25, 28 of ctq_sf are anchored"
    ):
        ingest.run(layout, params())
    study = mapping()
    study["instruments"]["ctq_sf"]["already_reversed"] = turned
    write(tmp_path, content, study)
    ingest.run(layout, params())
    score.run(layout, params())
    clean = write(tmp_path / "clean", tables(), mapping())
    ingest.run(clean, params())
    score.run(clean, params())
    assert layout.scores("toy").read_bytes() == clean.scores("toy").read_bytes()


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
