"""The contract of every instrument on the shelf, and keys checked against a real file's own totals."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from nssi_bayes.errors import SpecError
from nssi_bayes.instruments import Instrument, available, read_instrument, study_instrument
from nssi_bayes.score import scale_scores
from nssi_bayes.spec import parse

DATA = Path(os.environ.get("NSSI_BAYES_SHARED", Path(__file__).parents[3] / "shared" / "data"))


KEYED = [name for name in available() if not read_instrument(name).key_needed]
ORDINAL = [name for name in KEYED if read_instrument(name).response == "ordinal"]
ASKED = [
    "isas", "isas_behaviours", "osi_onset", "osi_past_month", "fasm", "qnssi", "sitbi_counts", "ctq_sf",
    "ecr_r", "ecr", "ecr_12", "ecr_s", "ecr_rs", "rq", "raas", "ippa_parent", "ippa_peer", "ders_36",
    "ders_16", "ders_18", "ders_sf",
    "pss_10", "pss_14", "ucla_lsi", "ham_d", "phq_9", "bsl_23", "cgi_s", "cgi_i", "c_ssrs", "nssi_days",
]  # fmt: skip


@pytest.fixture(params=KEYED)
def form(request: pytest.FixtureRequest) -> Instrument:
    return read_instrument(request.param)


@pytest.fixture(params=ORDINAL)
def ordinal(request: pytest.FixtureRequest) -> Instrument:
    return read_instrument(request.param)


def test_the_shelf_holds_what_a_study_of_self_injury_uses() -> None:
    assert set(ASKED) <= set(available())


@pytest.mark.parametrize("name", sorted(set(available()) - set(KEYED)))
def test_a_form_without_a_key_is_scored_by_a_file_of_the_study_only(name: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="the scoring key of"):
        study_instrument(name)
    own = read_instrument("phq_9").model_dump(mode="json", exclude_none=True)
    (tmp_path / f"{name}.yaml").write_text(
        yaml.safe_dump({**own, "name": name}, sort_keys=False), encoding="utf-8"
    )
    assert study_instrument(name, folder=tmp_path).items == 9


def test_a_form_that_stands_twice_gets_scales_of_its_own_names() -> None:
    one = study_instrument("parent", form="ippa_parent")
    assert list(one.scales) == ["parent_trust", "parent_communication", "parent_alienation", "parent_total"]
    assert one.composites["parent_total"].minus == ("parent_alienation",)
    assert one.label(3) == "parent_03"


def test_every_form_names_its_likes_with_as_many_items(form: Instrument) -> None:
    for other in form.confusable:
        assert read_instrument(other).items == form.items
        assert form.name in read_instrument(other).confusable


def test_cut_offs_lie_in_the_range_of_their_scale(form: Instrument) -> None:
    for scale, sets in form.cutoffs.items():
        low, high = form.total_range(scale)
        if form.score == "mean":
            low, high = low / len(form.subscales[scale]), high / len(form.subscales[scale])
        for one in sets:
            assert one.source
            assert all(low <= edge <= high for edge in one.bands.values())


RANGES = {
    "ham_d": (0, 52), "pss_10": (0, 40), "pss_14": (0, 56), "phq_9": (0, 27), "ders_36": (36, 180),
    "ders_16": (16, 80), "ders_18": (18, 90), "ders_sf": (18, 90), "ctq_sf": (25, 125),
}  # fmt: skip


@pytest.mark.parametrize(("name", "ends"), list(RANGES.items()))
def test_totals_have_the_published_range(name: str, ends: tuple[int, int]) -> None:
    form = read_instrument(name)
    parts = [form.total_range(scale) for scale in form.subscales]
    assert (sum(low for low, _ in parts), sum(high for _, high in parts)) == ends


def test_no_two_files_of_the_shelf_hold_wording() -> None:
    """Items are numbers: no file has a text for one, and only prose fields are long."""
    for name in available():
        content = read_instrument(name).model_dump()
        assert not {"wording", "texts", "questions"} & set(content)
        assert all(isinstance(i, int) for items in content["subscales"].values() for i in items)


def test_both_time_frames_of_the_osi_may_stand_in_one_model() -> None:
    """Li et al. (2026): 15 and 14 of 29 reasons; self-punishment is one of the former."""
    onset, month = read_instrument("osi_onset"), read_instrument("osi_past_month")
    assert not set(onset.subscales) & set(month.subscales)
    assert list(onset.subscales.values()) == list(month.subscales.values())
    assert [len(items) for items in onset.subscales.values()] == [15, 14]
    assert 6 in onset.subscales["self_related_at_onset"]
    assert month.unscored == (30,)


def test_half_points_have_a_category_each() -> None:
    form = read_instrument("ucla_lsi")
    assert form.categories == 9
    scores = scale_scores(form, form.oriented(np.array([[1.5, 5, 1, 1, 1, 1, 1, np.nan]])))
    assert scores["chronic_stress"][0] == pytest.approx(11.5 / 7)


def test_the_self_model_is_a_difference() -> None:
    form = read_instrument("rq")
    scores = scale_scores(form, form.oriented(np.array([[7.0, 1, 1, 7], [1, 7, 7, 1], [4, 4, 4, 4]])))
    assert scores["self_model"].tolist() == [12.0, -12.0, 0.0]


def test_an_item_of_its_own_range_is_turned_in_it() -> None:
    form = read_instrument("ham_d").model_copy(update={"reverse": (4,)})
    assert form.oriented(np.array([[0.0] * 17]))[0, 3] == 2
    assert form.categories_of(4) == 3


def test_an_item_stored_turned_round_is_turned_whether_the_key_reverses_it_or_not() -> None:
    form = read_instrument("ctq_sf")  # as in NDA files: 5, 7, 13, 19, 28 and 25 stored reversed, 2 and 26 not
    raw = np.full((1, 28), 1.0)
    turned = form.oriented(raw.copy(), already_reversed=(5, 7, 13, 19, 25, 28))[0] == 4
    assert [i + 1 for i in np.flatnonzero(turned)] == [2, 25, 26]


def test_file_name_is_the_public_name(form: Instrument) -> None:
    assert form.name in available()


def test_keys_cover_items_once(form: Instrument) -> None:
    keyed = [i for items in form.subscales.values() for i in items] + list(form.unscored)
    assert sorted(keyed) == list(range(1, form.items + 1))


def test_reversal_twice_is_identity(ordinal: Instrument) -> None:
    form = ordinal
    rng = np.random.default_rng(3)
    ends = [form.range_of(i) for i in form.numbers]
    raw = np.column_stack([rng.integers(low, high + 1, size=20) for low, high in ends]).astype(float)
    raw[0, 0] = np.nan
    low = np.array([end[0] for end in ends])
    once = form.oriented(raw) * form.step + low
    np.testing.assert_array_equal(form.oriented(once) * form.step + low, raw)
    turned = [i - 1 for i in form.reverse]
    kept = [i - 1 for i in form.numbers if i not in form.reverse]
    np.testing.assert_array_equal(once[:, kept], raw[:, kept])
    both = np.array([sum(ends[i]) for i in turned])
    np.testing.assert_array_equal(once[:, turned] + raw[:, turned], both + 0 * raw[:, turned])


def test_items_stored_reversed_are_not_turned_again(ordinal: Instrument) -> None:
    raw = np.array([[ordinal.range_of(i)[1] for i in ordinal.numbers]], dtype=float)
    top = [ordinal.categories_of(i) - 1 for i in ordinal.numbers]
    assert (ordinal.oriented(raw, already_reversed=ordinal.reverse) == top).all()


def test_categories_stay_in_range(ordinal: Instrument) -> None:
    for end in (0, 1):
        raw = np.array([[ordinal.range_of(i)[end] for i in ordinal.numbers]], dtype=float)
        category = ordinal.oriented(raw)
        top = np.array([ordinal.categories_of(i) - 1 for i in ordinal.numbers])
        assert ((category == 0) | (category == top)).all()


def test_what_is_not_verified_says_what_to_check(form: Instrument) -> None:
    assert form.reference.citation
    assert form.verified or "check" in form.verified_by.lower()


def test_a_free_function_has_three_indicators() -> None:
    form = read_instrument("isas")
    assert all(len(items) == 3 for items in form.subscales.values())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"subscales": {"a": (1, 2), "b": (2, 3)}, "polarity": {"a": "x", "b": "y"}}, "two subscales"),
        ({"subscales": {"a": (1, 2)}}, "3"),
        ({"reverse": (4,)}, "must name items"),
        ({"already_reversed": (1,)}, "already_reversed"),
        ({"maximum": 0}, "`maximum`"),
        ({"composites": {"t": {"of": ["b"], "how": "sum"}}}, "not all of its parts"),
        ({"polarity": {}}, "`polarity`"),
        ({"maximum": None}, "left out for counts only"),
        ({"ranges": {4: (0, 1)}}, "must name items"),
        ({"key_needed": True}, "there is no key"),
        ({"subscales": {}, "polarity": {}}, "`subscales` is empty"),
        ({"cutoffs": {"b": [{"bands": {"x": 1}, "source": "y"}]}}, "must name scales"),
        ({"cutoffs": {"a": [{"bands": {"x": 2, "y": 1}, "source": "y"}]}}, "must rise"),
        ({"functions": {"f": {"by": ["a"], "how": "weak"}}}, "3 indicators are not 'weak'"),
        ({"subscales": {"a": (1, 2, 3), "b": ()}, "polarity": {"a": "x", "b": "y"}}, "subscales.b"),
        ({"step": 0.3}, "does not lead from 0 to 2"),
        ({"step": float("inf")}, "finite"),
        ({"items": 10**9}, "items"),
        ({"missing": ("2",)}, "within the range"),
        ({"item_missing": {1: ("1",)}}, "within the range"),
        ({"confusable": ("t",)}, "the form itself"),
        ({"composites": {"t": {"of": ["a", "a"], "how": "sum"}}}, "twice"),
        ({"cutoffs": {"a": [{"bands": {"x": 1, "y": float("nan")}, "source": "y"}]}}, "finite"),
        ({"reference": {"citation": "x", "doi": "https://doi.org/10.1000/1"}}, "reference.doi"),
    ],
)
def test_a_file_that_breaks_the_contract_is_refused(changes: dict, words: str) -> None:
    good = {
        "name": "t", "title": "t", "form": "t", "timeframe": "t", "items": 3, "minimum": 0, "maximum": 2,
        "subscales": {"a": (1, 2, 3)}, "score": "sum", "min_answered": 0.8, "polarity": {"a": "high"},
        "verified": True, "verified_by": "x", "reference": {"citation": "x", "doi": "10.1000/1"},
        "licence": "x",
    }  # fmt: skip
    parse(Instrument, good, where="t.yaml")
    with pytest.raises(SpecError, match=words):
        parse(Instrument, {**good, **changes}, where="t.yaml")


def test_unknown_instrument_gets_a_suggestion() -> None:
    with pytest.raises(SpecError, match="Did you mean 'ctq_sf'"):
        read_instrument("ctqsf")


TOTALS = {
    "hopkins": {"somatization": "hopkins_somatization", "obsessive_compulsive": "hopkins_obscomp",
                "interpersonal_sensitivity": "hopkins_intsensitivity", "depression": "hopkins_depression",
                "anxiety": "hopkins_anxiety"},
    "barratt": {"attention": "bis_1atten", "cognitive_instability": "bis_1coginst", "motor": "bis_1mot",
                "perseverance": "bis_1pers", "self_control": "bis_1sc", "cognitive_complexity": "bis_1cogcom",
                "attentional_impulsiveness": "bis_2attimp", "motor_impulsiveness": "bis_2motimp",
                "nonplanning_impulsiveness": "bis_2npimp"},
}  # fmt: skip


@pytest.mark.parametrize("name", list(TOTALS) if (DATA / "ds000030").exists() else [])
def test_keys_reproduce_the_totals_of_a_real_file(name: str) -> None:
    table = pd.read_csv(DATA / "ds000030" / "phenotype" / f"{name}.tsv", sep="\t", na_values="n/a")
    form = read_instrument(name)
    raw = table[[f"{name}{i}" for i in form.numbers]].to_numpy(float)
    scores = scale_scores(form, form.oriented(raw))
    for scale, column in TOTALS[name].items():
        np.testing.assert_allclose(scores[scale], table[column], atol=1e-6, err_msg=scale)
