"""The methods text to paste: what drew, what was certified, and whether scores are to be trusted."""

from __future__ import annotations

from importlib.metadata import version

import pandas as pd
import pytest

from artefacts import make_params
from designs import small_spec
from nssi_bayes.report.card import card
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.sections.methods import paragraphs
from nssi_bayes.spec import ConventionalSpec


@pytest.fixture
def evidence() -> Evidence:
    """A certified model whose tails have fewer effective draws than its bulk."""
    found = Evidence("q", make_params(), ["q/m"], main="q/m")
    found.models["q/m"] = small_spec()
    sampling = {"chains": 4, "draws": 1000, "tune": 150, "max_rhat": 1.007, "min_ess_bulk": 1112.2,
                "min_ess_tail": 518.4, "divergences": 0}  # fmt: skip
    found.checks["q/m"] = {"certified": True, "sampling": sampling, "checks": [], "training": {}}
    return found


def test_the_fewest_effective_draws_are_those_of_bulk_and_tails(evidence: Evidence) -> None:
    told = " ".join(paragraphs(evidence))
    assert "fewest effective draws: 1112 in bulk, 518 in the tails." in told
    assert "518 in tails" in card("q/m", small_spec(), evidence.checks["q/m"], title="")


def test_who_drew_is_named(evidence: Evidence) -> None:
    """PyMC states priors and transforms; nutpie runs the chains, on a density that PyMC did not compile."""
    told = " ".join(paragraphs(evidence))
    assert f"by nutpie {version('nutpie')}, on a density that nssi-bayes compiles" in told
    assert f"priors and transforms are those of PyMC {version('pymc')} (Abril-Pla et al., 2023)" in told


def test_the_text_says_how_people_were_left_out_and_when_that_failed(evidence: Evidence) -> None:
    told = " ".join(paragraphs(evidence))
    assert "leave-one-out cross-validation by Pareto-smoothed importance sampling, latents" in told
    assert "not trusted" not in told
    assert "under 4 are none" not in told
    doubt = "not trusted: over 5% of people over the k-hat limit in m, other"
    evidence.table = pd.DataFrame({"verdict": ["best on this block", doubt]})
    assert f"Here differences are {doubt}." in " ".join(paragraphs(evidence))
    again = "people over the k-hat limit were scored again: m by refits"
    evidence.notes = {"warnings": [again]}
    assert f"importance sampling ({again}), latents" in " ".join(paragraphs(evidence))
    evidence.notes = {"warnings": ["scored by 10-fold cross-validation, all models alike"]}
    assert "participant-level 10-fold cross-validation" in " ".join(paragraphs(evidence))


def test_one_conventional_model_regresses(evidence: Evidence) -> None:
    plain = ConventionalSpec.model_validate(
        {"kind": "conventional", "description": "plain", "outcome": "severity", "functions": {"f": ["isas"]}}
    )
    evidence.models["q/plain"] = plain
    assert "plain regresses the outcome" in " ".join(paragraphs(evidence))
    evidence.models["q/other"] = plain
    assert "plain and other regress the outcome" in " ".join(paragraphs(evidence))
