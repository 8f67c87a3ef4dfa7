"""Indicators of one function that no people have in common are on no common scale, and refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from designs import small_cohort, small_spec
from nssi_bayes import names as n
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.linked import FEWEST_COMMON, parts_of
from nssi_bayes.errors import SpecError

SPEC = small_spec(functions={"self_related": ["affect_regulation", "anti_dissociation", "marking_distress"]},
                  measurement={"testlets": "none"}, disorder={})  # fmt: skip


def _split(common: int) -> Any:
    """Half of the people were asked one subscale, the others the rest, and a few both."""
    cohort = small_cohort(80).copy(deep=True)
    response = cohort[n.RESPONSE].to_numpy()
    response[np.isnan(response)] = 0.0
    first = cohort[n.ITEM_SUBSCALE].to_numpy() == "affect_regulation"
    half = (80 - common) // 2
    response[np.ix_(np.arange(80) < half, ~first)] = np.nan
    response[np.ix_(np.arange(80) >= half + common, first)] = np.nan
    cohort[n.RESPONSE] = (cohort[n.RESPONSE].dims, response, cohort[n.RESPONSE].attrs)
    return cohort


def test_two_parts_without_common_people_are_refused_by_name() -> None:
    with pytest.raises(SpecError, match=r"self_related: its indicators fall into 2 parts") as refused:
        make_design(_split(0), SPEC, where="models/x.yaml")
    assert "assume: equivalent_groups" in str(refused.value)
    assert "isas_" in str(refused.value)
    assert "sub-" not in str(refused.value)


def test_common_people_link_them_and_so_does_the_assumption() -> None:
    assert len(make_design(_split(FEWEST_COMMON + 10), SPEC).categories)
    with pytest.raises(SpecError, match="parts"):
        make_design(_split(FEWEST_COMMON - 2), SPEC)
    assert len(make_design(_split(0).assign_attrs(assume="equivalent_groups"), SPEC).categories)


def test_a_common_item_links_what_no_person_does() -> None:
    seen = np.zeros((60, 5), dtype=bool)
    seen[:30, :3] = seen[30:, 3:] = True
    assert [part.tolist() for part in parts_of(seen)] == [[0, 1, 2], [3, 4]]
    seen[30:, 0] = True
    assert [part.tolist() for part in parts_of(seen)] == [[0, 1, 2, 3, 4]]
    rare = np.column_stack([seen, np.arange(60) < 3])  # who answered it is too few to link anything
    assert [part.tolist() for part in parts_of(rare)] == [[0, 1, 2, 3, 4]]
    assert parts_of(np.zeros((5, 3), dtype=bool)) == []
