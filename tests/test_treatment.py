"""Treatments and what an outcome was before: from the columns of a folder to what may leave the lab."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from cohort import add_terms

from designs import full_cohort, joint_spec, prior_tree
from folders import PEOPLE, mapping, params, read, refused, tables, write
from nssi_bayes import assemble, ingest, schema, score, simulate
from nssi_bayes import names as n
from nssi_bayes.assemble.flow import treated
from nssi_bayes.blocks.conventional import formula, log_predictive, table
from nssi_bayes.build import build
from nssi_bayes.errors import DataError, SpecError
from nssi_bayes.ingest.checked import check_study
from nssi_bayes.report.cells import few_treated
from nssi_bayes.share.posterior import safe_tree
from nssi_bayes.share.tables import safe_estimates
from nssi_bayes.simulate.outcomes import draw_treatment
from nssi_bayes.simulate.parameters import read_constants
from nssi_bayes.spec import ConventionalSpec, parse, read_model
from nssi_bayes.store import Layout, read_dataset, read_json, read_table, write_json
from nssi_bayes.study import Study, read_study
from test_assemble import assembled, edges, images

TREATMENTS: dict[str, Any] = {
    "therapy": {"column": "arm", "codes": {"dbt": 1, "waiting": 0}},
    "sessions": {"column": "sessions", "minimum": 0, "maximum": 40},
}
OUTCOMES: dict[str, Any] = {
    "severity": {"column": "severity", "minimum": 0, "maximum": 20},
    "after": {"column": "after", "minimum": 0, "maximum": 20, "baseline": "severity"},
}
ROOT = Path(__file__).parents[1]

type Array = np.ndarray[Any, Any]


def content() -> dict[str, pd.DataFrame]:
    """Return the invented folder with an arm, a number of sessions, and severity afterwards."""
    rng = np.random.default_rng(12)
    found = tables()
    people = found["participants.tsv"].assign(
        arm=rng.choice(["dbt", "waiting"], PEOPLE),
        sessions=rng.integers(0, 20, PEOPLE).astype(str),
        after=rng.normal(9, 2, PEOPLE).round(2).astype(str),
    )
    people.loc[:2, ["arm", "after"]] = "n/a"
    return {**found, "participants.tsv": people}


def test_treatments_stand_in_the_cohort_as_coded(tmp_path: Path) -> None:
    _, cohort = assembled(tmp_path, content(), outcomes=OUTCOMES, treatments=TREATMENTS)
    assert schema.violations(cohort) == []
    source = content()["participants.tsv"].set_index("participant_id")
    value = cohort[n.TREATMENT_VALUE].to_pandas()
    known = source["arm"] != "n/a"
    assert (value["therapy"][known] == (source["arm"][known] == "dbt")).all()
    assert value["therapy"][~known].isna().all()
    assert (value["sessions"] == source["sessions"].astype(float)).all()
    assert n.COVARIATE not in cohort.dims or "therapy" not in cohort[n.COVARIATE].to_numpy()
    assert cohort[n.OUTCOME_BASELINE].to_numpy().tolist() == ["", "severity"]


def test_the_flow_counts_who_was_treated_and_the_audit_names_the_column(tmp_path: Path) -> None:
    layout, cohort = assembled(tmp_path, content(), outcomes=OUTCOMES, treatments=TREATMENTS)
    flow = read_json(layout.flow("toy"))
    value = cohort[n.TREATMENT_VALUE].to_numpy()
    seen = {str(o): cohort[n.OUTCOME_VALUE].sel({n.OUTCOME: o}).notnull() for o in cohort[n.OUTCOME].values}

    def counts(column: Any) -> dict[str, int]:
        return {"with": int((column > 0).sum()), "without": int((column == 0).sum())}

    expected = [
        {"treatment": label, **counts(column),
         "outcomes": [{"outcome": o, **counts(column[who.values])} for o, who in seen.items()]}
        for label, column in zip(TREATMENTS, value.T, strict=True)
    ]  # fmt: skip
    assert flow["treatments"] == expected
    assert not all(bool(who.all()) for who in seen.values())


@pytest.mark.parametrize(
    ("codes", "few"),
    [
        ({1: 55, 2: 5}, True),  # two arms, coded 1 and 2: the effect is a contrast with five people
        ({1: 5, 2: 55}, True),
        ({1: 30, 2: 30}, False),
        ({0: 52, 1: 3, 2: 5}, True),
        ({5: 52, 1: 3, 2: 5}, True),  # nearly all had five sessions
        (dict.fromkeys(range(1, 13), 5), False),  # a dose that nobody had none of
        (dict.fromkeys(range(15), 4), True),  # four had none of it
        ({0: 30, 1: 25}, False),
    ],
)
def test_a_treatment_rests_on_those_who_differ_whatever_its_codes(codes: dict[int, int], few: bool) -> None:
    values = np.repeat([*codes, np.nan], [*codes.values(), 60 - sum(codes.values())])
    cohort = full_cohort(60).assign_coords({n.TREATMENT: ["arm"]})
    cohort[n.TREATMENT_VALUE] = ((n.PARTICIPANT, n.TREATMENT), values[:, None])
    (row,) = treated(cohort)
    assert (few_treated({"treatments": [row]}, 11) == ["arm"]) is few
    assert row["with"] + row["without"] <= sum(codes.values())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"treatments": {"therapy": {"column": "arm", "codes": {"dbt": 1}}}}, "arm"),
        ({"treatments": {"therapy": {"column": "amr"}}}, "arm"),
        ({"treatments": {"sessions": {"column": "sessions", "minimum": 0, "maximum": 3}}}, "outside 0 to 3"),
    ],
)
def test_a_column_that_is_no_treatment_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    assert said in refused(tmp_path, content(), mapping(**changes))


def test_a_treatment_of_everybody_is_refused(tmp_path: Path) -> None:
    found = content()
    found["participants.tsv"]["arm"] = "dbt"
    with pytest.raises(DataError, match="treatment 'therapy' is the same of all 60 people"):
        assembled(tmp_path, found, treatments={"therapy": TREATMENTS["therapy"]})


def test_a_baseline_is_another_outcome_of_the_study() -> None:
    for name, hint in (("severty", "Did you mean 'severity'"), ("after", "no other outcome 'after'")):
        outcomes = {**OUTCOMES, "after": {**OUTCOMES["after"], "baseline": name}}
        with pytest.raises(SpecError, match=hint):
            parse(Study, mapping(outcomes=outcomes), where="test")


def test_the_tidy_table_has_the_treatment(tmp_path: Path) -> None:
    people, audit = read(tmp_path, content(), mapping(treatments=TREATMENTS))
    assert {"treatment_therapy", "treatment_sessions"} <= set(people)
    assert "treatment" in set(audit["rule"])


def test_the_study_check_counts_who_was_treated(tmp_path: Path) -> None:
    layout = write(tmp_path, content(), mapping(treatments=TREATMENTS))
    source = content()["participants.tsv"]
    found = check_study(layout, "toy", source=tmp_path / "source")
    arm = source["arm"]
    assert (
        f"treatment therapy: {(arm == 'dbt').sum()} people with any, {(arm == 'waiting').sum()} people"
        in str(found)
    )
    few = check_study(layout, "toy", source=tmp_path / "source", min_cell=30)
    assert any(line.startswith("treatment sessions") and "fewer than 30" in line for line in few)


def test_the_lines_of_the_docs_lead_from_the_demos_folder_to_both_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for images_of in ("write_scans", "write_rest"):
        monkeypatch.setattr(simulate, images_of, lambda *_, **__: None)
    own, layout = params(study="demo", source="data/demo/bids", synthetic_cohorts=("demo",)), Layout(tmp_path)
    simulate.run(layout, own)
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "outcomes.md").read_text(), re.S)
    told = next(b for b in map(yaml.safe_load, blocks) if "treatments" in b)
    study = yaml.safe_load((ROOT / "data" / "demo" / "study.yaml").read_text())
    study = {k: v for k, v in study.items() if k not in ("activation", "connectivity")} | {
        "treatments": told["treatments"], "outcomes": {**study["outcomes"], **told["outcomes"]},
    }  # fmt: skip
    layout.study("demo").write_text(yaml.safe_dump(study))
    ingest.run(layout, own)
    score.run(layout, own)
    mapped, people = read_study(layout, "demo"), read_table(layout.tables("demo") / "participants.tsv")
    some = people["participant_id"].tolist()[:20]
    cohort, _ = assemble.cohort(
        "demo", mapped, people=people.set_index("participant_id"), scores=read_dataset(layout.scores("demo")),
        activation=images(some), connectivity=edges(some),
    )  # fmt: skip
    assert schema.violations(cohort) == []
    assert cohort[n.OUTCOME_BASELINE].to_numpy().tolist() == ["", "severity"]
    data = table(read_model(Layout(ROOT), "treatment/conventional"), cohort)
    assert {"treatment_therapy", "product_emotion_regulation_therapy", "baseline"} <= set(data)
    design = build(joint_spec("treatment/joint", neural=None, connectivity=None), cohort).design
    assert design.coords[n.TREATMENT] == ["therapy"]
    assert design.baseline is not None


@pytest.mark.parametrize(
    ("rule", "cells", "said"),
    [
        ({}, {0: "999"}, "'sessions' holds 1 values that look like codes of a missing value"),
        ({"unit": "weeks"}, {}, "'sessions' is in 'hours' by its sidecar, and in 'weeks' by the study file"),
        ({}, {0: "many"}, "'sessions' holds 1 values that are no number"),
    ],
)
def test_a_treatment_is_checked_like_a_covariate(
    tmp_path: Path, rule: dict[str, Any], cells: dict[int, str], said: str
) -> None:
    found = content()
    for row, word in cells.items():
        found["participants.tsv"].loc[row, "sessions"] = word
    study = mapping(treatments={"sessions": {"column": "sessions", **rule}})
    layout = write(tmp_path, found, study)
    write_json(tmp_path / "source" / "participants.json", {"sessions": {"Units": "hours"}})
    with pytest.raises(DataError) as caught:
        ingest.run(layout, params())
    assert said in str(caught.value)


def test_the_contract_wants_another_outcome_of_the_cohort_for_a_baseline() -> None:
    cohort = _cohort()
    assert schema.violations(cohort) == []
    cohort = cohort.assign_coords({n.OUTCOME_BASELINE: (n.OUTCOME, ["befor", "before"])})
    assert schema.violations(cohort) == [
        "outcome_baseline of 'severity': no other outcome 'befor'",
        "outcome_baseline of 'before': no other outcome 'before'",
    ]


def _spec(**changes: Any) -> ConventionalSpec:
    shipped = read_model(Layout(ROOT), "treatment/conventional").model_dump()
    shipped |= {"outcome": "severity", "outcome_from": {"treatment": ["therapy", "dose"], "baseline": True}}
    return parse(ConventionalSpec, {**shipped, **changes}, where="test")


def _cohort() -> xr.Dataset:
    return add_terms(full_cohort(40), np.random.default_rng(3))


def test_the_conventional_model_has_treatments_their_products_with_scores_and_the_baseline() -> None:
    cohort = _cohort()
    data = table(_spec(), cohort)
    has = np.isfinite(cohort[n.OUTCOME_VALUE].to_numpy()[:, 0])
    before = cohort[n.OUTCOME_VALUE].to_numpy()[has, 1]
    therapy = cohort[n.TREATMENT_VALUE].to_numpy()[has, 0]
    np.testing.assert_allclose(data["treatment_therapy"], therapy - therapy.mean())
    known = np.isfinite(before)
    expected = np.where(known, before - before[known].mean(), 0.0)  # who lacks it is at the mean
    np.testing.assert_allclose(data["baseline"], expected, atol=1e-14)
    np.testing.assert_allclose(data["missing_baseline"], ~known - (~known).mean())
    plain = table(_spec(outcome_from={}), cohort)
    score = plain["score_self_punishment"].to_numpy()
    product = data["product_self_punishment_therapy"].to_numpy()
    # of the treatment as coded: the score's own slope is of people without it, as in the joint model
    np.testing.assert_allclose(product, score * therapy - (score * therapy).mean(), atol=1e-13)
    text = formula(_spec(), cohort)
    assert "product_social_signalling_dose" in text


@pytest.mark.parametrize("family", [n.NEGATIVE_BINOMIAL, n.BERNOULLI, n.ORDINAL])
def test_one_person_without_a_baseline_is_at_the_mean_and_not_at_none(family: str) -> None:
    """Too few for a column of their own; 0 is no days, a no, and the lowest category."""
    cohort = _cohort()
    before = np.random.default_rng(2).integers(0, 2, cohort.sizes[n.PARTICIPANT]) + 3.0 * (
        family != n.BERNOULLI
    )
    person = int(np.flatnonzero(np.isfinite(cohort[n.OUTCOME_VALUE].to_numpy()[:, 0]))[4])
    before[person] = np.nan
    cohort[n.OUTCOME_VALUE][:, 1] = before
    cohort = cohort.assign_coords({n.OUTCOME_FAMILY: (n.OUTCOME, [n.GAUSSIAN, family])})
    data = table(_spec(), cohort)
    assert "missing_baseline" not in data
    assert abs(data["baseline"][str(cohort[n.PARTICIPANT].to_numpy()[person])]) < 1e-14
    assert data["baseline"].max() < 1  # the others lie within one step


def test_its_prediction_is_the_sum_of_its_terms() -> None:
    data, rng = table(_spec(), _cohort()), np.random.default_rng(1)
    names = [c for c in data.columns if c not in (n.OUTCOME, n.PATTERN)]
    draws = {name: rng.standard_normal((1, 4)) for name in [*names, "Intercept"]}
    draws["sigma"] = np.exp(rng.standard_normal((1, 4)))
    posterior = xr.Dataset({k: ((n.CHAIN, n.DRAW), v) for k, v in draws.items()})
    found = log_predictive(posterior, _spec(), data, rng)
    mean = draws["Intercept"][0][:, None] + sum(draws[c][0][:, None] * data[c].to_numpy() for c in names)
    sd = draws["sigma"][0][:, None]
    expected = -0.5 * ((data[n.OUTCOME].to_numpy() - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(found, expected)


def test_an_unknown_treatment_is_refused_with_the_count() -> None:
    cohort = _cohort()
    cohort[n.TREATMENT_VALUE][5:8, 0] = np.nan
    with pytest.raises(DataError, match="'therapy' is not known of 3 people"):
        table(_spec(), cohort)
    cohort[n.TREATMENT_VALUE][:, 1] = 1.0
    with pytest.raises(DataError) as caught:
        table(_spec(), cohort)
    assert [p.split(" is ")[1][:8] for p in caught.value.problems] == ["not know", "the same"]
    with pytest.raises(SpecError, match="no latent activation"):
        _spec(outcome_from={"activation": True})
    with pytest.raises(SpecError, match="names no `baseline`"):
        table(_spec(outcome="before"), cohort)
    cohort = _cohort()
    cohort[n.OUTCOME_VALUE][:, 1] = np.where(np.isfinite(cohort[n.OUTCOME_VALUE][:, 1]), 0.5, np.nan)
    with pytest.raises(DataError, match="was before does not vary"):
        table(_spec(), cohort)


def test_the_invented_therapy_is_what_the_constants_say() -> None:
    """Regressed on its terms the coefficients are those of the constants, within 4 standard errors."""
    published: dict[str, Any] = {name: c.value for name, c in read_constants().items()}
    rng, size = np.random.default_rng(5), 6000
    functions = list(published["therapy_by_function"])
    people = xr.Dataset(
        {
            "eta": ((n.PARTICIPANT, n.FUNCTION), rng.standard_normal((size, 3))),
            "severity_latent": ((n.PARTICIPANT,), rng.standard_normal(size)),
        },
        coords={n.PARTICIPANT: [f"sub-{i}" for i in range(size)], n.FUNCTION: functions},
    )
    scale = {**published["severity"], "mean": 50, "maximum": 100, "items": 1000}  # nobody is at an end
    drawn = draw_treatment(rng, people, published={**published, "severity": scale})
    therapy = drawn["therapy"].to_numpy()
    assert therapy.sum() == size // 2
    y = (drawn["severity_after"].to_numpy() - 50) / scale["sd"]
    eta = people["eta"].to_numpy()
    x = np.column_stack([np.ones(size), people["severity_latent"], therapy, therapy[:, None] * eta, eta])
    found, *_ = np.linalg.lstsq(x, y, rcond=None)
    by_function = list(published["therapy_by_function"].values())
    expected = [0, published["severity_kept"], published["therapy_effect"], *by_function, 0, 0, 0]
    error = np.sqrt(np.diag(np.linalg.inv(x.T @ x)) * (y - x @ found).var())
    assert np.abs((found - expected) / error).max() < 4


def test_what_describes_a_treatment_of_few_stays_in_the_lab() -> None:
    spec = joint_spec("outcome/joint", outcome_from={"treatment": ["therapy", "dose"]})
    tree = prior_tree(build(spec, _cohort()))
    flow = {"treatments": [
        {"treatment": "therapy", "with": 20, "without": 20}, {"treatment": "dose", "with": 33, "without": 7},
    ]}  # fmt: skip
    few = few_treated(flow, 11)
    assert few == ["dose"]
    followed = {"outcome": "severity_after", "with": 20, "without": 8}
    later = [{**flow["treatments"][0], "outcomes": [followed]}]
    assert few_treated({"treatments": later}, 11) == ["therapy"]
    shared = safe_tree(tree, small=(), vocabulary={}, few_treated=few).tree["posterior"]
    assert shared["theta"][n.TREATMENT].to_numpy().tolist() == ["therapy"]
    assert shared["phi"].sizes[n.TREATMENT] == 1
    nobody = safe_tree(tree, small=(), vocabulary={}, few_treated=["therapy", "dose"])
    assert "theta" not in nobody.kept
    assert "too few people had" in nobody.left_out["theta"]
    rows = [{"term": t, "mean": 0.1} for t in ("therapy", "dose", "a x therapy", "a x dose", "a")]
    kept, told = safe_estimates({"outcome": rows}, (), treatments=few)
    assert [r["term"] for r in kept["outcome"]] == ["therapy", "a x therapy", "a"]
    assert "2 of 5 rows" in json.dumps(told)


def test_columns_of_few_people_stay_in_the_lab_whatever_their_labels() -> None:
    """A formula writes a label in letters, digits and underscores, and counts those that are alike then."""
    cohort = _cohort()
    disorders = ["post-traumatic", *cohort[n.DISORDER].to_numpy().astype(str)[1:]]
    cohort = cohort.assign_coords({n.TREATMENT: ["DBT-A", "DBT A"], n.DISORDER: disorders})
    spec = _spec(outcome_from={"treatment": ["DBT-A", "DBT A"]})
    names = [c for c in table(spec, cohort).columns if c not in (n.OUTCOME, n.PATTERN)]
    draws = xr.Dataset({c: ((n.CHAIN, n.DRAW), np.zeros((1, 2))) for c in names})
    tree = xr.DataTree.from_dict({"posterior": draws})
    every = safe_tree(tree, small=(), vocabulary={}).kept
    assert {"treatment_DBT_A", "treatment_DBT_A_2", "diagnosis_post_traumatic"} <= set(every)
    shared = safe_tree(tree, small=["post-traumatic"], vocabulary={}, few_treated=["DBT A"]).kept
    assert [c for c in shared if "DBT" in c or "traumatic" in c] == []
    assert set(every) - set(shared) == {c for c in every if "DBT" in c or "traumatic" in c}


def test_a_treatment_of_few_hides_what_is_of_it_and_nothing_of_disorders() -> None:
    level = {"disorder": "mood", "function": "a", "mean": 0.1}
    steps = ("", "a", "a x dose", "b")
    path = [{"size": k, "term": t, "suggested": k == 3} for k, t in enumerate(steps)]
    estimates = {
        "levels": [{**level, "estimand": e} for e in ("adjusted", "as met")], "heterogeneity": [level],
        "outcome_by_disorder": [level], "projection": path, "rope": 0.2,
    }  # fmt: skip
    kept, told = safe_estimates(estimates, (), treatments=["dose"])
    assert kept == {**estimates, "projection": []}  # the terms after it are chosen given it
    assert told == ["projection: 4 of 4 rows, which describe or give away few people"]
    assert safe_estimates(estimates, (), treatments=["therapy"])[0] == estimates
    both = safe_estimates(estimates, ["eating"], treatments=["dose"])[0]
    empty: list[Any] = []
    hidden = {"heterogeneity": empty, "outcome_by_disorder": empty, "projection": empty}
    assert both == {"levels": estimates["levels"][1:], **hidden, "rope": 0.2}
