"""Calibration: right posteriors pass, a run that was cut off goes on; wrong ones: `test_planted_faults`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from arviz_stats.ecdf_utils import compute_ecdf, simulate_confidence_bands

from designs import full_cohort, joint_spec, small_cohort, small_spec
from nssi_bayes import calibrate
from nssi_bayes.blocks import joint, measurement
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.labelled import label
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.blocks.people import few, join
from nssi_bayes.build import Built, build, build_design, fingerprint
from nssi_bayes.calibrate import reliability, replication, summary, uniform
from nssi_bayes.calibrate.person import draw_functions, most_complete
from nssi_bayes.calibrate.replication import Plan, make, replicate
from nssi_bayes.report.criticism import calibrated
from nssi_bayes.spec import JointSpec, Params, Sampler, parse, read_model
from nssi_bayes.store import Layout, read_json, write_dataset, write_text, write_tree

type Array = np.ndarray[Any, Any]
SHORT = Sampler(chains=2, tune=100, draws=200)
FEW = 24


def _tiny(**changes: Any) -> Built:
    """One function, three indicators, forty people, an outcome; slopes are wide so that signs matter."""
    functions = {"self_related": ["affect_regulation", "anti_dissociation", "marking_distress"]}
    spec = small_spec(functions=functions, outcome="severity", disorder={}, priors=changes)
    return build_design(spec, make_design(small_cohort(40), spec))


WIDE = {"B_trauma": {"sigma": 1.0}}


def _run(plan: Plan, size: int = FEW) -> dict[str, Any]:
    return summary.summarise([replicate(plan, index) for index in range(size)])


# -- uniformity ---------------------------------------------------------------------------------------


def test_probabilities_are_exact_under_uniformity() -> None:
    rng = np.random.default_rng(0)
    p = uniform.p_values(rng.integers(0, 100, (4000, 60)), 99)
    for level in (0.01, 0.05, 0.2, 0.5):
        assert (p <= level).mean() == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 4000) + 0.01)


def test_bands_are_those_that_arviz_simulates() -> None:
    """Its pointwise level at 95 % leaves the simultaneous level that is asked for."""
    rng = np.random.default_rng(1)
    points = np.arange(1, 100) / 100
    pointwise = 1 - simulate_confidence_bands(100, 1, points, 0.95, 20_000, rng)
    assert uniform.exceedance(pointwise, 100, 99) == pytest.approx(0.05, abs=0.015)
    low, high = uniform.band(100, 99, 0.05)
    inside = 0
    for _ in range(1000):
        share = compute_ecdf((rng.integers(0, 100, 100) + 0.5) / 100, points)
        inside += bool(((share >= low - 1e-12) & (share <= high + 1e-12)).all())
    assert inside / 1000 == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize("fault", ["shifted", "too narrow", "too wide"])
def test_ranks_that_are_not_uniform_are_seen(fault: str) -> None:
    rng = np.random.default_rng(2)
    shape = {"shifted": (1, 2), "too narrow": (0.4, 0.4), "too wide": (4, 4)}[fault]
    ranks = np.floor(100 * rng.beta(*shape, size=(1, 60))).astype(int)
    assert uniform.p_values(ranks, 99)[0] < 1e-3


# -- one person ---------------------------------------------------------------------------------------


def test_functions_of_one_person_are_drawn_from_their_posterior() -> None:
    """Against a dense grid over the exact joint density of the person's data and functions."""
    spec = joint_spec(functions={"self_related": ["affect_regulation", "anti_suicide", "marking_distress"]},
                      outcome="severity")  # fmt: skip
    design = make_design(full_cohort(30), spec)
    built = build_design(spec, design)
    theta = {k: v[0] for k, v in draw(built.parameters, design.coords, np.random.default_rng(3), 1).items()}
    data = generate(theta, design, np.random.default_rng(4))
    person = most_complete(data)
    many = {k: np.repeat(v[None], 4000, axis=0) for k, v in theta.items()}
    drawn = draw_functions(many, data, person, np.random.default_rng(5))[:, 0]
    grid = np.linspace(drawn.mean() - 6, drawn.mean() + 6, 2001)
    one = few(data, np.array([person]))
    known = {k: jnp.asarray(v) for k, v in theta.items()}
    prior = joint.functions_given(known, one, joint.BLOCKS)
    items = measurement.Items(known, one)
    whole = np.stack([grid, -np.ones_like(grid)], axis=1)
    log_density = -0.5 * ((whole @ np.asarray(prior.matrix)[0]) * whole).sum(axis=1)
    log_density = log_density + np.asarray(items.curve(0, jnp.asarray(grid)[None, :]))[0]
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    mean = weight @ grid
    sd = np.sqrt(weight @ (grid - mean) ** 2)
    assert drawn.mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(4000))
    assert drawn.std() == pytest.approx(sd, rel=0.06)
    assert len(data.testlets_of[0]) == 1  # its residual factor is integrated out


def test_people_of_two_designs_are_joined_and_told_apart() -> None:
    spec = joint_spec(outcome="severity")
    design = make_design(full_cohort(40), spec)
    both = join(design, design)
    assert len(both.diagnosis) == 80
    for keep in (np.arange(40), np.arange(40, 80)):
        half = few(both, keep)
        for name in ("response", "factor", "activation", "connectivity", "scanned", "connected", "outcome"):
            np.testing.assert_array_equal(getattr(half, name), getattr(design, name))


# -- what is said with a probability -------------------------------------------------------------------


def _said(rng: np.random.Generator, *, power: float = 1.0, size: int = 60) -> list[dict[str, Any]]:
    """Replications whose statements are true with the stated probability to a power."""
    found = []
    for _ in range(size):
        p = rng.uniform(size=(2, 40))
        true = (rng.uniform(size=p.shape) < p**power).astype(int)
        kinds = ("direction", "size")
        found.append({k: {"stated": p[i].tolist(), "true": true[i].tolist()} for i, k in enumerate(kinds)})
    return found


def test_stated_probabilities_that_hold_pass_and_those_that_do_not_are_seen() -> None:
    rng = np.random.default_rng(8)
    right = reliability.reliability(_said(rng))
    assert len(right) == 2 * reliability.BINS
    assert all(row["low"] <= row["true"] <= row["high"] for row in right)
    assert min(row["p"] for row in right) > reliability.LEVEL
    assert sum(row["statements"] for row in right) == 60 * 40 * 2
    bold = reliability.reliability(_said(rng, power=2.0))
    assert sum(row["p"] <= reliability.LEVEL for row in bold) > reliability.BINS
    few = reliability.reliability(_said(rng, size=5))
    assert all(row["low"] is None and row["p"] is None for row in few)


def test_intervals_of_reliability_know_that_statements_of_one_replication_go_together() -> None:
    """Copies of one statement say no more than one of them does."""
    rng = np.random.default_rng(9)
    p, u = rng.uniform(0.4, 0.5, 200), rng.uniform(size=200)
    kinds = ("direction", "size")

    def copied(times: int) -> float:
        found = [
            {k: {"stated": [float(a)] * times, "true": [int(b < a)] * times} for k in kinds}
            for a, b in zip(p, u, strict=True)
        ]
        (row, _) = reliability.reliability(found)
        return float(row["high"] - row["low"])

    assert copied(20) == pytest.approx(copied(1))


def test_statements_are_those_of_the_report() -> None:
    coords = {"function": ["f"], "factor": ["trauma"]}
    dims = ("chain", "draw", "function", "factor")
    draws = np.linspace(-1, 3, 400).reshape(1, 400, 1, 1)
    posterior = xr.Dataset({"B": (dims, draws)}, coords=coords)
    truth = xr.Dataset({"B": (dims, np.full((1, 1, 1, 1), -0.1))}, coords=coords)
    found = reliability.statements(posterior, truth, rope=0.2)
    assert found["direction"] == {"stated": [0.75], "true": [0]}
    assert found["size"]["true"] == [0]
    assert found["size"]["stated"][0] == pytest.approx(0.9, abs=0.005)


def test_a_bias_that_the_posterior_states_is_held_against_a_truth_that_is_little() -> None:
    coords = {"biased_indicator": ["a"], "disorder": ["mood", "anxiety"], "function": ["f"]}
    dims = ("chain", "draw", "biased_indicator", "disorder")
    draws = np.stack([np.full((1, 400, 1), v) for v in (0.6, -0.1)], axis=-1)
    posterior = xr.Dataset({"delta": (dims, draws)}, coords=coords)
    truth = xr.Dataset({"delta": (dims, np.full((1, 1, 1, 2), 0.1))}, coords=coords)
    found = reliability.statements(posterior, truth, rope=0.2)
    assert found["direction"] == {"stated": [1.0], "true": [1]}
    assert found["size"] == {"stated": [1.0], "true": [0]}


# -- whole replications -------------------------------------------------------------------------------


def test_a_replication_ranks_everything_and_is_reproducible() -> None:
    plan = Plan(_tiny(), SHORT, 7)
    one, again, other = replicate(plan, 0), replicate(plan, 0), replicate(plan, 1)
    assert one == again
    assert one["rank"] != other["rank"]
    assert len(one["statements"]["direction"]["stated"]) == len(one["statements"]["size"]["true"]) > 3
    names = one["quantity"]
    blocks = joint.blocks_of(plan.built.design)
    assert {"log_likelihood", *(f"log_likelihood[{b}]" for b in blocks)} < set(names)
    assert "eta_of_one_person[self_related]" in names
    assert "w[self_related]" in names
    assert all(0 <= rank <= 99 for rank in one["rank"])
    inside = [low <= 99 for low in one["rank"]]
    assert len(inside) == len(set(names)) == len(names)


def test_posterior_calibration_fits_old_and_new_people_together() -> None:
    built = _tiny()
    given = draw(built.parameters, built.design.coords, np.random.default_rng(1), 5)
    plan = Plan(built, SHORT, 7, given=given)
    made = make(plan, np.random.SeedSequence(3))
    assert len(made.built.design.diagnosis) == 80
    assert made.first == 40
    np.testing.assert_array_equal(made.built.design.response[:40], built.design.response)
    assert not made.built.fine  # nodes are those of the posterior that is calibrated
    assert make(replace(plan, built=replace(built, fine=True)), np.random.SeedSequence(3)).built.fine
    assert any(np.array_equal(made.theta["B"], b) for b in given["B"])
    found = replicate(plan, 0)
    assert "failed" not in found


@pytest.mark.slow
def test_right_posteriors_pass() -> None:
    found = _run(Plan(_tiny(**WIDE), SHORT, 11), 40)
    assert found["passed"] is True, found["text"]
    for row in found["recovery"]:
        assert row["low"] - 0.05 <= 0.9 <= row["high"] + 0.05, row


def test_a_fit_that_breaks_is_counted_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no")

    plan = Plan(_tiny(), SHORT, 7)
    good = replicate(plan, 0)
    monkeypatch.setattr(replication, "sample", broken)
    failed = replicate(plan, 1)
    assert failed["failed"] == "RuntimeError"
    found = summary.summarise([good, failed])
    assert found["failures"]["broken_by_kind"] == {"RuntimeError": 1}
    assert found["passed"] is None
    assert "1 of 2 fits broke" in found["text"]
    assert summary.summarise([failed])["passed"] is None


def test_too_many_failures_forbid_a_verdict() -> None:
    plan = Plan(_tiny(), SHORT, 7)
    one = replicate(plan, 0)
    rng = np.random.default_rng(0)
    many = [{**one, "index": i, "rank": rng.integers(0, 100, len(one["rank"])).tolist()} for i in range(60)]
    sound = {**one["health"], "max_rhat": 1.0, "divergences": 0}
    assert summary.summarise([{**m, "health": sound} for m in many])["passed"] is True
    bad = [{**m, "health": {**sound, "divergences": int(i < 6)}} for i, m in enumerate(many)]
    found = summary.summarise(bad)
    assert found["passed"] is None
    assert "too many fits failed to tell: 6 of 60" in found["text"]
    assert "more than 5 % of fits" in found["rule"]
    assert found["failures"]["which"] == list(range(6))
    few = [
        {**m, "health": {**sound, "max_rhat": 1.2 if i in (7, 20, 41) else 1.0}} for i, m in enumerate(many)
    ]
    found = summary.summarise(few)  # 5 % are allowed, and listed
    assert found["passed"] is True
    assert found["failures"]["which"] == [7, 20, 41]
    page = repr(calibrated("q/m", found))
    assert "these are the replications 7, 20, 41" in page
    assert "more than 5 % of fits" in page


# -- the verb --------------------------------------------------------------------------------------------


def test_the_verb_writes_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path)
    write_dataset(layout.cohort("s"), small_cohort(40))
    write_text(layout.spec("q/m"), "description: tiny\nfunctions:\n  self_related: "
               "[affect_regulation, anti_dissociation, marking_distress]\nfactors: [trauma]\n")  # fmt: skip
    content = {"study": "s", "source": "x", "seed": 1, "roster": ["q/m"], "questions": ["q"],
               "calibration": {"chains": 2, "tune": 100, "draws": 100}}  # fmt: skip
    params = parse(Params, content, where="test")
    for number in range(2):
        calibrate.run(layout, params, model="q/m", work=calibrate.Work(replications=3, shard=f"{number}/2"))
    found = read_json(layout.numbers("calibration", "q/m"))
    assert (found["replications"], found["asked"], found["passed"]) == (3, 3, None)
    monkeypatch.setattr(calibrate, "replicate", pytest.fail)
    calibrate.run(layout, params, model="q/m", work=calibrate.Work(replications=3))
    assert read_json(layout.numbers("calibration", "q/m")) == found


def test_truths_of_another_fit_are_not_pooled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, cohort = Layout(tmp_path), small_cohort(40)
    write_dataset(layout.cohort("s"), cohort)
    write_text(layout.spec("q/m"), "description: tiny\nfunctions:\n  self_related: "
               "[affect_regulation, anti_dissociation, marking_distress]\nfactors: [trauma]\n")  # fmt: skip
    content = {"study": "s", "source": "x", "seed": 1, "roster": ["q/m"], "questions": ["q"]}
    params, spec = parse(Params, content, where="test"), read_model(layout, "q/m")
    assert isinstance(spec, JointSpec)
    built = build(spec, cohort)
    drawn = draw(built.parameters, built.design.coords, np.random.default_rng(1), 5)
    correlated = {p.name for p in built.parameters if p.is_correlation}
    values = {k: (v @ np.swapaxes(v, 1, 2) if k in correlated else v)[None] for k, v in drawn.items()}
    tree = xr.DataTree.from_dict({"posterior": label(values, built.parameters, built.design)})
    seen: list[Array] = []
    truth = {"failed": "ValueError", "index": 0}
    monkeypatch.setattr(calibrate, "replicate", lambda plan, _: seen.append(plan.given["B"]) or truth)
    for fit in ("first", "first", "second"):
        tree.attrs.update(fingerprint=fingerprint(built, spec), fit=fit)
        write_tree(layout.posterior("q/m"), tree)
        calibrate.run(layout, params, model="q/m", work=calibrate.Work(replications=1, posterior=True))
    assert len(seen) == 2
