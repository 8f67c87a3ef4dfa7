"""Score: orientation, proration, reliability and the polarity check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from folders import PEOPLE, mapping, params, tables, write
from nssi_bayes import ingest, score
from nssi_bayes import names as n
from nssi_bayes.errors import ArtefactError, DataError, SpecError
from nssi_bayes.instruments import read_instrument
from nssi_bayes.store import Layout, read_dataset, read_table


def scored(root: Path, content: dict[str, pd.DataFrame], **changes: Any) -> Layout:
    layout = write(root, content, mapping(**changes))
    ingest.run(layout, params())
    score.run(layout, params())
    return layout


def places(**ctq: Any) -> dict[str, Any]:
    instruments = mapping()["instruments"]
    return {**instruments, "ctq_sf": {**instruments["ctq_sf"], **ctq}}


def turned(content: dict[str, pd.DataFrame], columns: list[str], *, ends: int) -> None:
    for table in content.values():
        for column in columns:
            if column in table:
                table[column] = (ends - table[column].astype(int)).astype(str)


def test_items_and_scales_by_hand(tmp_path: Path) -> None:
    content = tables()
    dataset = read_dataset(scored(tmp_path, content).scores("toy"))
    raw = content["phenotype/ctq_sf.tsv"].set_index("participant_id").astype(int)
    neglect = sum(6 - raw[f"ctq_sf_{i:02d}"] for i in (5, 7, 13, 19, 28))
    np.testing.assert_array_equal(
        dataset[n.SCALE_SCORE].sel({n.SCALE_NAME: "ctq_sf.emotional_neglect"}), neglect
    )
    parts = ["emotional_abuse", "physical_abuse", "sexual_abuse", "emotional_neglect", "physical_neglect"]
    total = sum(dataset[n.SCALE_SCORE].sel({n.SCALE_NAME: f"ctq_sf.{part}"}) for part in parts)
    np.testing.assert_array_equal(dataset[n.SCALE_SCORE].sel({n.SCALE_NAME: "ctq_sf.total"}), total)
    assert dataset.sizes[n.ITEM] == 39
    assert (dataset[n.ITEM_CATEGORIES] == 3).all()
    assert str(dataset[n.ITEM_SUBSCALE].sel({n.ITEM: "isas_16"}).item()) == "self_punishment"
    isas = content["phenotype/isas.tsv"].set_index("participant_id").astype(int)
    np.testing.assert_array_equal(dataset[n.RESPONSE], isas.to_numpy())


def test_bytes_repeat(tmp_path: Path) -> None:
    one, two = scored(tmp_path / "a", tables()), scored(tmp_path / "b", tables())
    assert one.scores("toy").read_bytes() == two.scores("toy").read_bytes()
    assert one.audit_of("score", "toy").read_bytes() == two.audit_of("score", "toy").read_bytes()


def test_proration_needs_enough_answers() -> None:
    form = read_instrument("ctq_sf")
    category = np.full((3, 28), 2.0)
    category[1, 2] = np.nan  # one of five items of emotional abuse
    category[2, [2, 7]] = np.nan  # two of five
    category[:2, 24] = 4.0
    scores = score.scale_scores(form, category)
    np.testing.assert_allclose(scores["emotional_abuse"], [17.0, (3 * 3 + 5) / 4 * 5, np.nan])
    assert np.isnan(scores["total"]).tolist() == [False, False, True]
    nobody = score.scale_scores(form, np.full((1, 28), np.nan))
    assert all(np.isnan(values).all() for values in nobody.values())


def test_a_mean_scale_stays_in_the_range_of_an_item() -> None:
    form = read_instrument("ecr_r")
    scores = score.scale_scores(form, np.full((1, 36), 6.0))
    assert scores["anxiety"].item() == scores["insecurity"].item() == 7.0


def test_proration_is_counted(tmp_path: Path) -> None:
    content = tables()
    content["phenotype/ctq_sf.tsv"].loc[0, ["ctq_sf_03"]] = "n/a"
    content["phenotype/ctq_sf.tsv"].loc[1, ["ctq_sf_03", "ctq_sf_08"]] = "n/a"
    audit = read_table(scored(tmp_path, content).audit_of("score", "toy")).set_index("column")
    row = audit.loc["emotional_abuse"]
    assert row[["missing", "changed", "dropped"]].to_list() == [1, 1, 1]


def test_alpha_against_its_definition() -> None:
    rng = np.random.default_rng(5)
    true = rng.normal(size=(4000, 1))
    x = true + rng.normal(size=(4000, 6))
    covariance = np.cov(x.T)
    by_hand = 6 / 5 * (1 - np.trace(covariance) / covariance.sum())
    assert score.cronbach_alpha(x) == pytest.approx(by_hand, abs=1e-12)
    # parallel items: Spearman-Brown on a reliability of one half
    assert score.cronbach_alpha(x) == pytest.approx(6 * 0.5 / (1 + 5 * 0.5), abs=0.02)
    some = np.where(rng.random(x.shape) < 0.05, np.nan, x)
    assert score.cronbach_alpha(some) == pytest.approx(by_hand, abs=0.01)


def test_alpha_where_there_is_none() -> None:
    assert np.isnan(score.cronbach_alpha(np.ones((10, 3))))
    assert np.isnan(score.cronbach_alpha(np.random.default_rng(1).normal(size=(10, 1))))


def test_item_rest_against_numpy() -> None:
    x = np.random.default_rng(2).normal(size=(50, 3)) + np.arange(50)[:, None] / 25
    r, pairs = score.item_rest(x)[1]
    assert pairs == 50
    assert r == pytest.approx(np.corrcoef(x[:, 1], x[:, [0, 2]].mean(axis=1))[0, 1], abs=1e-12)
    assert all(np.isnan(r) for r, _ in score.item_rest(x[:9]))


def test_items_stored_reversed_are_caught_and_named(tmp_path: Path) -> None:
    content = tables()
    turned(content, ["ctq_sf_05", "ctq_sf_07"], ends=6)
    layout = write(tmp_path, content, mapping())
    ingest.run(layout, params())
    with pytest.raises(DataError) as caught:
        score.run(layout, params())
    text = str(caught.value)
    assert "ctq_sf_05 runs against the rest of emotional_neglect" in text
    assert "ctq_sf_07" in text
    assert "already_reversed" in text
    assert not layout.scores("toy").exists()
    assert not layout.audit_of("score", "toy").exists()


def test_what_a_file_stores_reversed_can_be_said(tmp_path: Path) -> None:
    plain = read_dataset(scored(tmp_path / "plain", tables()).scores("toy"))
    content = tables()
    turned(content, ["ctq_sf_05", "ctq_sf_07"], ends=6)
    layout = scored(tmp_path / "said", content, instruments=places(already_reversed=[5, 7]))
    said = read_dataset(layout.scores("toy"))
    np.testing.assert_array_equal(said[n.SCALE_SCORE], plain[n.SCALE_SCORE])


def test_accepted_polarity_is_a_note(tmp_path: Path) -> None:
    content = tables()
    turned(content, ["isas_03"], ends=2)
    layout = scored(tmp_path, content, accept_polarity=["isas_03"])
    audit = read_table(layout.audit_of("score", "toy")).set_index("column")
    assert "accepted" in audit.loc["isas_03", "note"]
    assert audit.loc["isas_03", "rule"] == "polarity"


def test_a_weakly_negative_item_is_a_note_not_an_error(tmp_path: Path) -> None:
    content = tables()
    noise = np.random.default_rng(11).integers(0, 3, PEOPLE).astype(str)
    content["phenotype/isas.tsv"]["isas_03"] = noise
    r = score.item_rest(
        content["phenotype/isas.tsv"][["isas_03", "isas_16", "isas_29"]].to_numpy().astype(float)
    )[0][0]
    audit = read_table(scored(tmp_path, content).audit_of("score", "toy"))
    assert (audit["rule"] == "polarity").any() == (r < 0)


def test_unknown_names_are_refused_together(tmp_path: Path) -> None:
    factors = {"trauma": {"instrument": "ctq_sf", "scale": "totl"}}
    layout = write(tmp_path, tables(), mapping(factors=factors, accept_polarity=["isas_99"]))
    with pytest.raises(SpecError) as caught:
        score.run(layout, params())
    assert "Did you mean 'total'" in str(caught.value)
    assert "no item 'isas_99'" in str(caught.value)


def test_two_instruments_with_one_subscale_name_are_refused(tmp_path: Path) -> None:
    instruments = {
        "hopkins": {"table": "a.tsv", "column": "h{item}"},
        "ecr_r": {"table": "b.tsv", "column": "e{item}"},
    }
    study = mapping(instruments=instruments, items=["hopkins", "ecr_r"], factors={})
    with pytest.raises(SpecError, match="both have a subscale 'anxiety'"):
        score.run(write(tmp_path, {}, study), params())


@pytest.mark.parametrize(
    ("name", "items", "words"),
    [("ctq_sf", [2, 29], "no items 29"), ("nssi_days", [1], "counts are not reversed")],
)
def test_items_said_to_be_stored_reversed_exist(
    tmp_path: Path, name: str, items: list[int], words: str
) -> None:
    study = mapping()
    place = {"table": "participants.tsv", "column": "x{item}", "already_reversed": items}
    study["instruments"] = {**study["instruments"], name: place}
    with pytest.raises(SpecError, match=words):
        score.run(write(tmp_path, {}, study), params())


def test_without_tables_it_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="dvc repro"):
        score.run(write(tmp_path, {}, mapping()), params())
