"""Answers in subscales that are not complete: counted, warned of, and told."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from designs import small_cohort, small_spec
from nssi_bayes import build, check
from nssi_bayes import names as n
from nssi_bayes.blocks.indicators import unused_answers
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.sections.methods import paragraphs
from nssi_bayes.spec import Params, parse
from nssi_bayes.store import Layout, write_dataset, write_text

PARAMS = parse(
    Params, {"study": "s", "source": "x", "seed": 1, "roster": ["q/m"], "questions": ["q"]}, where="test"
)


def _gappy(people: int, *, gaps: int) -> xr.Dataset:
    """Return a cohort of which so many people did not answer one item of three of a subscale."""
    cohort = small_cohort(people).copy(deep=True)
    response = cohort[n.RESPONSE].to_numpy()
    response[:] = 1.0
    response[:gaps, int(np.flatnonzero(cohort[n.ITEM_SUBSCALE] == "affect_regulation")[0])] = np.nan
    return cohort


def test_two_of_three_answers_are_not_used_where_the_third_is_missing() -> None:
    cohort = _gappy(60, gaps=30)
    found = unused_answers(cohort, small_spec())
    assert found == (60, 60 * 12 - 30, 30)
    assert found.share == pytest.approx(60 / 690)
    assert unused_answers(cohort, small_spec(measurement={"testlets": "factor"})).answers == 0
    single = _gappy(60, gaps=0)
    single[n.RESPONSE][:20, int(np.flatnonzero(single[n.ITEM_SUBSCALE] == "self_punishment")[0])] = np.nan
    assert unused_answers(single, small_spec()).answers == 0  # a function by itself, whose items stay


@pytest.mark.parametrize(("gaps", "warned"), [(30, True), (6, False)])
def test_build_warns_from_five_percent_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, gaps: int, warned: bool
) -> None:
    layout = Layout(tmp_path)
    write_dataset(layout.cohort("s"), _gappy(60, gaps=gaps))
    functions = "  self_related: [affect_regulation, anti_dissociation, marking_distress]\n"
    write_text(layout.spec("q/m"), f"description: tiny\nfunctions:\n{functions}")
    with caplog.at_level(logging.WARNING):
        build.run(layout, PARAMS, model="q/m")
    assert ("answers given are not used" in caplog.text) == warned


def test_the_share_is_told_unless_few_people_are_behind_it() -> None:
    spec = small_spec()
    assert check._unused(spec, _gappy(60, gaps=30), 11) == pytest.approx(60 / 690)
    assert check._unused(spec, _gappy(60, gaps=10), 11) is None
    assert check._unused(spec, _gappy(60, gaps=0), 11) == 0
    evidence = Evidence("q", PARAMS, ["q/m"], main="q/m")
    evidence.models["q/m"] = spec
    for share, words in ((60 / 690, "8.7% of all that were given, are not used"), (None, "of few people")):
        evidence.checks["q/m"] = {"training": {"unused_answers": share}}
        assert words in "\n".join(paragraphs(evidence))
    evidence.checks["q/m"] = {"training": {"unused_answers": 0.0}}
    assert "not used" not in "\n".join(paragraphs(evidence))
