"""Card and methods text say what differs by disorder and by group, as the spec says."""

from __future__ import annotations

from typing import Any

import pytest

from designs import small_spec
from nssi_bayes.blocks.ladder import FREE
from nssi_bayes.report.card import card
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.sections.methods import paragraphs
from nssi_bayes.report.varying import by_disorder, by_group
from nssi_bayes.spec import JointSpec, Params, parse

NAMES = {
    "category_probability": "thresholds", "lambda": "loadings", "nu_group": "intercepts",
    "scale_group": "residual scales",
}  # fmt: skip
PARAMS = parse(
    Params, {"study": "s", "source": "x", "seed": 1, "roster": ["q/m"], "questions": ["q"]}, where="test"
)


def _methods(spec: JointSpec, *parameters: str) -> str:
    evidence = Evidence("q", PARAMS, ["q/m"], main="q/m")
    evidence.models["q/m"], evidence.parameters["q/m"] = spec, list(parameters)
    return "\n".join(paragraphs(evidence))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"disorder": {"spread": True}}, "residual sds of functions"),
        ({"disorder": {"levels": True, "spread": True}}, "levels, residual sds of functions"),
        ({"disorder": {}, "measurement": {"bias": "dense"}}, "thresholds of indicators"),
        (
            {"disorder": {"levels": True}, "measurement": {"bias": "dense", "nonuniform": True}},
            "levels, thresholds of indicators, loadings of indicators",
        ),
        (
            {"disorder": {}, "groups": {"by": "disorder", "invariance": "configural"}},
            "what the configural rung of measurement invariance leaves free",
        ),
    ],
)
def test_what_varies_by_disorder_is_said_in_card_and_methods(changes: dict[str, Any], told: str) -> None:
    spec = small_spec(**changes)
    assert ", ".join(by_disorder(spec)) == told
    assert f"By disorder vary: {told}." in _methods(spec)
    assert f"- By disorder vary: {told}." in card("q/m", spec, {}, title="")


def test_where_nothing_varies_that_is_said() -> None:
    spec = small_spec(disorder={}, groups={"by": "site", "invariance": "metric"})
    assert "Nothing varies by disorder" in _methods(spec)
    told = card("q/m", spec, {}, title="")
    assert "By disorder vary: nothing." in told
    assert "- Groups: by site, at the metric rung of measurement invariance." in told


def test_effects_are_not_said_to_be_pooled_where_there_are_none() -> None:
    told = _methods(small_spec(disorder={"spread": True}))
    assert "partially pooled" not in told
    assert "residual sd of a function is 1 at the cohort's average diagnoses" in told


@pytest.mark.parametrize("rung", FREE)
def test_a_rung_is_told_as_it_is(rung: str) -> None:
    """What is each group's own is what the blocks leave free, and nothing else is said to be free."""
    spec = small_spec(disorder={}, groups={"by": "site", "invariance": rung})
    told = by_group(spec, continuous=False)
    own, _, equal = told.split("Of the indicators ")[-1].partition("are each group's own")
    if not FREE[rung]:
        assert "Indicators do not differ" in told
    for name in FREE[rung]:
        assert NAMES[name] in own
        assert NAMES[name] not in equal.split(".", maxsplit=1)[0].partition("(")[0]
    assert ("sds of later groups are free" in told) == (rung not in ("configural", "thresholds"))
    assert ("means and sds of later groups" in told) == (rung in ("scalar", "strict"))
    methods = _methods(spec, "lambda")
    assert told in methods
    assert "thresholds free" not in methods
    assert "on covariates and site" not in methods


def test_continuous_indicators_have_no_thresholds() -> None:
    spec = small_spec(disorder={}, groups={"by": "site", "invariance": "scalar"})
    told = by_group(spec, continuous=True)
    assert (
        "Of the indicators residual sds are each group's own, and intercepts and loadings are equal" in told
    )
    assert told in _methods(spec, "lambda_score")
