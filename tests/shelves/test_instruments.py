"""The contract of every instrument on the shelf, and keys checked against a real file's own totals."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nssi_bayes.errors import SpecError
from nssi_bayes.instruments import Instrument, available, read_instrument
from nssi_bayes.score import scale_scores
from nssi_bayes.spec import parse

DATA = Path(os.environ.get("NSSI_BAYES_SHARED", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture(params=available())
def form(request: pytest.FixtureRequest) -> Instrument:
    return read_instrument(request.param)


def test_file_name_is_the_public_name(form: Instrument) -> None:
    assert form.name in available()


def test_keys_cover_items_once(form: Instrument) -> None:
    keyed = [i for items in form.subscales.values() for i in items] + list(form.unscored)
    assert sorted(keyed) == list(range(1, form.items + 1))


def test_reversal_twice_is_identity(form: Instrument) -> None:
    rng = np.random.default_rng(3)
    raw = rng.integers(form.minimum, form.maximum + 1, size=(20, form.items)).astype(float)
    raw[0, 0] = np.nan
    once = form.oriented(raw) + form.minimum
    np.testing.assert_array_equal(form.oriented(once) + form.minimum, raw)
    turned = [i - 1 for i in form.reverse]
    kept = [i - 1 for i in form.numbers if i not in form.reverse]
    np.testing.assert_array_equal(once[:, kept], raw[:, kept])
    np.testing.assert_array_equal(
        once[:, turned] + raw[:, turned], form.minimum + form.maximum + 0 * raw[:, turned]
    )


def test_items_stored_reversed_are_not_turned_again(form: Instrument) -> None:
    raw = np.full((1, form.items), float(form.maximum))
    assert (form.oriented(raw, already_reversed=form.reverse) == form.categories - 1).all()


def test_categories_stay_in_range(form: Instrument) -> None:
    for end in (form.minimum, form.maximum):
        category = form.oriented(np.full((1, form.items), float(end)))
        assert set(np.unique(category)) <= {0.0, float(form.categories - 1)}


def test_what_is_not_verified_says_what_to_check(form: Instrument) -> None:
    assert form.reference.doi.startswith("10.")
    assert form.verified or "check" in form.verified_by.lower()


def test_a_free_function_has_three_indicators() -> None:
    form = read_instrument("isas")
    assert all(len(items) == 3 for items in form.subscales.values())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"subscales": {"a": (1, 2), "b": (2, 3)}, "polarity": {"a": "x", "b": "y"}}, "two subscales"),
        ({"subscales": {"a": (1, 2)}}, "3"),
        ({"reverse": (4,)}, "`reverse` must name items"),
        ({"already_reversed": (1,)}, "already_reversed"),
        ({"maximum": 0}, "`maximum`"),
        ({"composites": {"t": {"of": ["b"], "how": "sum"}}}, "not all of its parts"),
        ({"polarity": {}}, "`polarity`"),
        ({"reference": {"citation": "x", "doi": "https://doi.org/10.1000/1"}}, "reference.doi"),
    ],
)
def test_a_file_that_breaks_the_contract_is_refused(changes: dict, words: str) -> None:
    good = {
        "name": "t", "title": "t", "form": "t", "items": 3, "minimum": 0, "maximum": 2,
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
