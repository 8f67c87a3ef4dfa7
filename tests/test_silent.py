"""Where only the prior would speak, nothing is fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from designs import item_factor_cohort, item_factor_spec, small_cohort, small_spec
from nssi_bayes import names as n
from nssi_bayes.blocks.design import make_design
from nssi_bayes.errors import SpecError
from nssi_bayes.spec import JointSpec


def _changed(people: int, change: Callable[[xr.Dataset], None]) -> xr.Dataset:
    cohort = small_cohort(people).copy(deep=True)
    change(cohort)
    return cohort


def _all_have(*which: int) -> xr.Dataset:
    def change(cohort: xr.Dataset) -> None:
        cohort[n.DIAGNOSIS].to_numpy()[:, list(which)] = 1

    return _changed(60, change)


@pytest.mark.parametrize("asked", ["levels", "slopes", "spread"])
def test_a_disorder_that_everybody_has_has_no_level(asked: str) -> None:
    spec = small_spec(disorder={asked: True})
    with pytest.raises(
        SpecError, match=rf"disorder.{asked}: everybody has mood, a constant(?s:.*)take it out"
    ):
        make_design(_all_have(0), spec)
    with pytest.raises(SpecError, match="everybody has mood, bipolar, eating, borderline, anxiety"):
        make_design(_all_have(0, 1, 2, 3, 4), spec)
    make_design(_all_have(0), small_spec(disorder={}))


def test_where_diagnoses_are_averaged_one_that_everybody_has_still_varies() -> None:
    make_design(_all_have(0), small_spec(disorder={"levels": True, "coding": "averaged"}))


def test_a_function_without_a_single_answer_is_refused() -> None:
    def change(cohort: xr.Dataset) -> None:
        own = (cohort[n.ITEM_SUBSCALE] == "self_punishment").to_numpy()
        cohort[n.RESPONSE].to_numpy()[:, own] = np.nan

    with pytest.raises(SpecError, match=r"functions.self_punishment: nobody answered(?s:.*)take it out"):
        make_design(_changed(60, change), small_spec())


def test_a_factor_without_a_single_answer_is_refused() -> None:
    cohort = item_factor_cohort(40).copy(deep=True)
    own = cohort[n.ITEM_SUBSCALE].isin(["stress"]).to_numpy()
    cohort[n.RESPONSE].to_numpy()[:, own] = np.nan
    with pytest.raises(SpecError, match=r"factor_items.stress: nobody answered"):
        make_design(cohort, item_factor_spec("stress"))


@pytest.mark.parametrize(("people", "refused"), [(2, True), (4, True), (5, False)])
def test_there_is_no_model_of_next_to_nobody(people: int, refused: bool) -> None:
    spec: JointSpec = small_spec(outcome="severity", disorder={})
    if refused:
        with pytest.raises(SpecError, match=f"the cohort has {people} people, at least 5"):
            make_design(small_cohort(people), spec)
    else:
        make_design(small_cohort(people), spec)


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        (
            {"factors": (), "disorder": {"levels": True, "slopes": True}},
            "disorder.slopes: the model has no `factors`",
        ),
        ({"disorder": {"levels": True, "loadings": True}}, "disorder.loadings: the model has no images"),
    ],
)
def test_what_is_to_vary_and_is_not_there_is_refused(changes: dict[str, Any], missing: str) -> None:
    """It was left out in silence, and the page said that it varies by disorder."""
    spec = small_spec(**changes)
    with pytest.raises(SpecError, match=missing):
        make_design(small_cohort(40), spec)
