"""The report tells which items are biased, and how far contrasts move when that is allowed."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from artefacts import DISORDERS, FUNCTIONS, make_estimates, make_params
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.invariance import invariance, without_bias
from nssi_bayes.report.sections.criticism import criticism
from nssi_bayes.report.tables import table
from nssi_bayes.spec import JointSpec, read_model
from nssi_bayes.store import Layout

MEANS, BIAS = "heterogeneity/disorder_means", "heterogeneity/item_bias"
LAYOUT = Layout(Path(__file__).parents[1])


def _bias(p: float, indicator: str = "isas_03") -> dict[str, Any]:
    return {"indicator": indicator, "function": FUNCTIONS[0], "disorder": DISORDERS[0], "mean": 0.8,
            "low": 0.3, "high": 1.3, "sd": 0.3, "p_positive": 0.99, "p_moderate": p,
            "response": {"mean": 0.12, "low": 0.04, "high": 0.2}}  # fmt: skip


@pytest.fixture
def evidence() -> Evidence:
    found = Evidence(
        "heterogeneity", make_params(roster=(MEANS, BIAS), questions=("heterogeneity",)), [MEANS, BIAS]
    )
    found.models = {entry: read_model(LAYOUT, entry) for entry in found.entries}
    before = make_estimates(1)
    for row in before["contrasts"]:
        row.update(mean=0.4, sd=0.1, low=0.24, high=0.56, p_positive=0.999, p_over_rope=0.98)
    after = deepcopy(before)
    moved = next(r for r in after["contrasts"] if r["estimand"] == "adjusted")
    moved.update(mean=0.1, sd=0.12, low=-0.1, high=0.3, p_positive=0.8, p_over_rope=0.2)
    after["item_bias"] = [_bias(0.9), _bias(0.1, "isas_09")]
    found.estimates = {MEANS: before, BIAS: after}
    return found


def _html(parts: list[Any]) -> str:
    return " ".join([*(p.body for p in parts), *(p.title for p in parts)]).replace("\u00a0", " ")


def test_biased_items_stand_first_and_the_contrast_that_moves_is_told(evidence: Evidence) -> None:
    said = _html(invariance(evidence))
    assert "1 of 2 pairs" in said
    assert said.index("isas 03") < said.index("isas 09")
    assert "1 of" in said
    assert "read differently" in said
    assert "largest move is 3.00 posterior sd" in said
    assert "beyond the ROPE → not settled" in said


def test_the_prior_of_bias_and_what_holds_it_are_told(evidence: Evidence) -> None:
    assert "over the indicators of a function" in _html(invariance(evidence))
    assert "horseshoe" not in _html(invariance(evidence))
    own = evidence.models[BIAS]
    assert isinstance(own, JointSpec)
    sparse = own.measurement.model_copy(update={"bias": "sparse", "anchors": ("isas_03", "revenge")})
    evidence.models[BIAS] = own.model_copy(update={"measurement": sparse})
    said = _html(invariance(evidence))
    assert "isas 03, revenge have none" in said
    assert "over the indicators of a function" not in said
    assert "regularised horseshoe" in said
    assert "read differently" in said  # beside the model without bias
    assert "times the loading" not in said


def test_loadings_that_differ_are_in_the_table(evidence: Evidence) -> None:
    own = evidence.models[BIAS]
    assert isinstance(own, JointSpec)
    both = own.measurement.model_copy(update={"nonuniform": True})
    evidence.models[BIAS] = own.model_copy(update={"measurement": both})
    for row in evidence.estimates[BIAS]["item_bias"]:
        row["loading"] = {"mean": 1.37, "low": 1.1, "high": 1.72}
    said = _html(invariance(evidence))
    assert "times the loading" in said
    assert "1.37" in said
    assert "read differently" in said  # the partner has neither


def test_the_partner_differs_in_bias_alone(evidence: Evidence) -> None:
    assert without_bias(evidence, BIAS) == MEANS
    other = evidence.models[MEANS].model_copy(update={"factors": ("trauma",)})
    evidence.models[MEANS] = other
    assert without_bias(evidence, BIAS) is None
    assert "measurement: {bias: none}" in " ".join(str(vars(p)) for p in invariance(evidence))


def test_without_such_a_model_the_page_says_what_is_assumed(evidence: Evidence) -> None:
    evidence.estimates[BIAS]["item_bias"] = []
    (part,) = invariance(evidence)
    assert "assumes that it does not" in part.body
    evidence.checks = {}
    assert any("assumes that it does not" in p.body for p in criticism(evidence))


def test_a_size_in_a_heading_is_no_heading_of_its_own() -> None:
    made = table("sizes", [{"term": "a", "mean|here": "1", "P(|·| > 0.20)": "0.4"}])
    assert "P(|·|" in made.replace("\u00a0", " ")
    assert made.count('gt_column_spanner"') == 1
