"""What is checked and told of an outcome that is a yes or a count: statistics, ratios, the page, methods."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import xarray as xr

from designs import ROOT, full_cohort, joint_spec
from folders import params
from nssi_bayes import check
from nssi_bayes import names as n
from nssi_bayes.blocks import conventional, joint
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import build, build_design
from nssi_bayes.calibrate.person import draw_functions
from nssi_bayes.check import associations, predictive, prior
from nssi_bayes.check.statistics import Statistics, person_columns
from nssi_bayes.check.summarised import Summary
from nssi_bayes.fit import fit
from nssi_bayes.report import computed
from nssi_bayes.report.claims import answer
from nssi_bayes.spec import ConventionalSpec, Sampler, read_model, read_priors
from nssi_bayes.store import Layout
from outcomes import FAMILIES, drawn, small, with_family
from test_outcomes import _evaluate

section, methods = (import_module(f"nssi_bayes.report.sections.{name}") for name in ("outcome", "methods"))
TAKEN = {n.BERNOULLI: "outcome_share", n.NEGATIVE_BINOMIAL: "outcome_counts", n.ORDINAL: "outcome_share"}


def test_zeros_and_tail_of_counts_are_looked_at() -> None:
    _, design = small(n.NEGATIVE_BINOMIAL, participants=40)
    value = np.zeros(40)
    value[:10], value[10] = 4.0, 20.0
    design = replace(design, outcome=value, outcome_seen=np.ones(40, dtype=bool))
    made = Statistics(design, min_cell=3)
    found = dict(zip(made.labels["outcome_counts"], made(design)["outcome_counts"], strict=True))
    assert found["zeros"] == pytest.approx(29 / 40)
    assert found["counts over 2 times the cohort's mean"] == pytest.approx(11 / 40)
    assert found["counts over 4 times the cohort's mean"] == pytest.approx(1 / 40)
    assert found["log(1 + count): mean"] == pytest.approx((10 * np.log(5) + np.log(21)) / 40)
    assert made.people(design)["outcome_counts"][:3].tolist() == [11, 11, 1]
    assert person_columns(design)[1][10, -1] == pytest.approx(np.log(21))


def test_answers_of_few_people_cannot_be_computed_from_the_others() -> None:
    _, design = small(n.ORDINAL, participants=40)
    value = np.repeat([0.0, 1.0, 2.0], [19, 17, 4])
    seen = np.ones(40, dtype=bool)
    design = replace(
        design, outcome=value, outcome_seen=seen, coords={**design.coords, n.OUTCOME_CATEGORY: [0, 1, 2]}
    )
    behind = Statistics(design, min_cell=11).people(design)["outcome_share"]
    assert behind.tolist() == [19, 0, 0]


def test_what_few_people_answered_with_a_disorder_cannot_be_computed() -> None:
    _, design = small(n.BERNOULLI, participants=40)
    has = np.zeros_like(design.diagnosis)
    has[:20, 0] = has[10:30, 1] = 1
    value = np.zeros(40)
    value[:2] = value[20:32] = 1.0
    design = replace(
        design, diagnosis=has, outcome=value, outcome_seen=np.ones(40, dtype=bool), outcome_family=n.BERNOULLI
    )
    made = Statistics(design, min_cell=5)
    behind = dict(zip(made.labels["disorder_means"], made.people(design)["disorder_means"], strict=True))
    assert behind[f"outcome | {made.disorders[0]}"] == 2
    assert behind[f"outcome | {made.disorders[1]}"] == 4


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_have_their_share(family: str) -> None:
    _, design = small(family, participants=40)
    found = Statistics(design, min_cell=3)(design)
    assert TAKEN[family] in found
    assert "outcome" not in found
    if TAKEN[family] == "outcome_share":
        values = design.outcome[design.outcome_seen]
        assert found["outcome_share"].tolist() == [
            (values == c).mean() for c in range(len(found["outcome_share"]))
        ]


@pytest.mark.parametrize(("family", "fault"), [(n.NEGATIVE_BINOMIAL, 5.0), (n.BERNOULLI, 1.0)])
def test_data_that_the_model_does_not_draw_are_seen(family: str, fault: float) -> None:
    """Zeros beyond what dispersion makes; a share of ones that the intercept does not know."""
    spec, design = small(family, participants=80)
    theta, data = drawn(spec, design, seed=4, w=0.3, **({"dispersion": 0.3, "a": 1.8} if fault > 1 else {}))
    draws = {name: np.repeat(value[None], 700, axis=0) for name, value in theta.items()}
    changed = np.where(np.arange(80) % 3 > 0, 0.0 if fault > 1 else 1.0, data.outcome)
    verdicts, expected = [], []
    for values in (data.outcome, changed):
        found = predictive.check(draws, replace(data, outcome=values), np.random.default_rng(2), min_cell=5)
        (one,) = [c for c in found["checks"] if c["name"] == TAKEN[family]]
        verdicts.append(one["p"])
        expected += [r["expected"] for r in found["rootograms"] if r["indicator"] == "outcome"]
    assert len(expected) == (2 if fault > 1 else 0)  # of a count
    assert all(np.array_equal(one, expected[0]) for one in expected)  # the model's, whatever the data
    assert verdicts[0] > 0.05
    assert verdicts[1] < 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_priors_are_judged_by_the_cohorts_that_they_expect(family: str) -> None:
    spec, design = small(family, participants=60)
    found = prior.summarise(build_design(spec, design), np.random.default_rng(1), min_cell=5)
    rows = {r["name"]: r for r in found["statistics"]}
    named = {n.NEGATIVE_BINOMIAL: {"outcome_zeros", "outcome_size"}}.get(family, {"outcome_certain"})
    assert named <= set(rows)
    assert all(rows[name]["passed"] is None for name in named)  # the defaults are plausible


@pytest.mark.parametrize("family", FAMILIES)
def test_one_persons_functions_are_drawn_with_the_outcome(family: str) -> None:
    """Drawn by importance, they have the moments of the quadrature, in which the outcome counts."""
    spec, design = small(family, participants=6)
    theta, data = drawn(spec, design, seed=9, w=[1.8, -1.2], q=0.5)
    fitted = _evaluate(theta, data)
    draws = {name: np.repeat(value[None], 1500, axis=0) for name, value in theta.items()}
    found = draw_functions(draws, data, 2, np.random.default_rng(3))
    sd = np.sqrt(np.diag(fitted.covariance[0, 2]))
    assert (np.abs(found.mean(axis=0) - fitted.mean[0, 2]) < 0.12 * sd).all()
    np.testing.assert_allclose(found.std(axis=0), sd, rtol=0.1)


def _posterior(family: str) -> tuple[Any, xr.Dataset]:
    spec, design = small(family, participants=12)
    values = draw(joint.parameters(spec, design, read_priors()), design.coords, np.random.default_rng(1), 400)
    dims = {"w": n.FUNCTION, "q": n.FACTOR, "d": n.DISORDER}
    flat = xr.Dataset(
        {k: (("sample", d), values[k]) for k, d in dims.items()},
        coords={d: design.coords[d] for d in dims.values()},
    )
    return design, flat


@pytest.mark.parametrize("family", FAMILIES)
def test_slopes_are_told_as_ratios_with_intervals(family: str) -> None:
    _, flat = _posterior(family)
    summary = Summary(0.9, 0.2, chains=4)
    rows = associations._outcome(summary, flat, associations._RATIOS[family])
    assert [r["term"] for r in rows][:2] == ["self_related", "self_punishment"]
    own = np.exp(flat["w"].to_numpy()[:, 0])
    assert rows[0]["ratio"]["median"] == pytest.approx(np.median(own), rel=1e-2)
    assert rows[0]["ratio"]["low"] == pytest.approx(np.quantile(own, 0.05), rel=1e-2)
    assert rows[0]["ratio"]["high"] == pytest.approx(np.exp(rows[0]["high"]))
    assert "ratio" not in associations._outcome(summary, flat, None)[0]
    told = {"outcome": json.loads(json.dumps(rows)), "interval": 0.9, "rope": 0.2}
    kind = rows[0]["ratio"]["kind"]
    table = section._table(told)
    assert kind in table
    assert f"log of the {kind}" in section._unit(told["outcome"])
    assert "0.82 to 1.22 are practically none" in section._ratios(told)
    claims = [c.text for topic, found in answer([], {**_NOTHING, **told}) for c in found]
    assert claims[0].startswith(f"Self related and the outcome, association: {kind} ")
    words = " ".join([*claims, section._ratios(told), table]).lower()
    assert not any(w in words for w in ("cause", "effect of", "predicts", "risk factor", "leads to"))


_NOTHING: dict[str, Any] = {
    part: [] for part in ("heterogeneity", "contrasts", "slopes", "correlations", "rois", "edges")
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_methods_tell_the_priors_of_the_link(family: str) -> None:
    spec, design = small(family, participants=12)
    has = {p.name for p in joint.parameters(spec, design, read_priors())}
    link = computed.link(has)
    assert link == ("_log" if family == n.NEGATIVE_BINOMIAL else "_logit")
    assert computed.link(has | {"sigma_outcome"}) == ""
    assert computed.link(has - {"w"}) == ""


@pytest.mark.parametrize(
    ("question", "family", "label"),
    [("response", n.BERNOULLI, "response"), ("frequency", n.NEGATIVE_BINOMIAL, "nssi_days")],
)
def test_the_specs_to_copy_are_models_of_such_a_cohort(question: str, family: str, label: str) -> None:
    cohort = with_family(full_cohort(24), family).assign_coords({n.OUTCOME: [label]})
    built = build(joint_spec(f"{question}/joint"), cohort)
    assert not built.explicit  # the outcome is integrated beside the items
    assert built.design.outcome_family == family
    baseline = read_model(Layout(ROOT), f"{question}/conventional")
    assert isinstance(baseline, ConventionalSpec)
    assert conventional.table(baseline, cohort).attrs[conventional.FAMILY] == family


@pytest.mark.slow
@pytest.mark.parametrize(
    ("question", "family", "label"),
    [("response", n.BERNOULLI, "response"), ("frequency", n.NEGATIVE_BINOMIAL, "nssi_days")],
)
def test_a_spec_to_copy_goes_from_a_cohort_to_estimates(question: str, family: str, label: str) -> None:
    cohort = with_family(full_cohort(40), family).assign_coords({n.OUTCOME: [label]})
    spec = joint_spec(f"{question}/joint", neural=None, connectivity=None)
    sampler = Sampler(chains=4, tune=100, draws=100)
    tree = fit(build(spec, cohort), sampler, np.random.SeedSequence(1))
    found = check._joint(spec, cohort, tree, params=params(), rng=np.random.default_rng(2), where="here")
    assert found["blocks"] == ["factors", "items", "outcome"]
    elpd = found["scores"].elpd
    np.testing.assert_allclose(sum(elpd[b] for b in found["blocks"]), elpd["total"], atol=1e-8)
    assert (elpd["outcome"][np.isfinite(cohort[n.OUTCOME_VALUE].to_numpy()[:, 0])] < 0).all()
    assert {"ratio"} <= set(found["estimates"]["outcome"][0])
    assert TAKEN[family] in {c["name"] for c in found["predictive"]["checks"]}
    assert found["observed"].keys() >= {"outcome", "outcome_given_items_factors"}
    assert np.isfinite(found["person"]["function_sd"]).all()


def test_slopes_by_disorder_are_the_common_one_and_the_disorders_own() -> None:
    rng = np.random.default_rng(3)
    own = rng.standard_normal((200, 2, 3))
    common = rng.standard_normal((200, 2))
    flat = xr.Dataset(
        {
            "w": (("sample", n.FUNCTION), common),
            "w_disorder": (("sample", n.FUNCTION, n.DISORDER), own - own.mean(axis=2, keepdims=True)),
        },
        coords={n.FUNCTION: ["a", "b"], n.DISORDER: ["x", "y", "z"]},
    )
    summary = Summary(0.9, 0.2, chains=4)
    rows = associations.by_disorder_of_outcome(summary, flat)
    assert [(r["function"], r["disorder"]) for r in rows] == [(f, d) for f in "ab" for d in "xyz"]
    expected = (common[:, 1] + own[:, 1, 2] - own[:, 1].mean(axis=1)).mean()
    assert rows[-1]["mean"] == pytest.approx(expected)
    both = flat.rename(w="w_some", w_disorder="w_disorder_some").merge(flat)
    assert [r["part"] for r in associations.by_disorder_of_outcome(summary, both)] == ["any"] * 6 + [
        "count"
    ] * 6
    assert associations.by_disorder_of_outcome(summary, flat[["w"]]) == []
