"""What a fit says of slopes on a factor that its items measure: the truth, without a certificate's doubts."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from arviz_stats.base import array_stats

from designs import item_factor_cohort, item_factor_spec
from nssi_bayes import (
    assemble,
    build,
    check,
    compare,
    extract,
    fit,
    ingest,
    preview,
    report,
    score,
    sensitivity,
    share,
    simulate,
)
from nssi_bayes import names as n
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.labelled import label, theta_of
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build_design
from nssi_bayes.fit.accuracy import LARGEST_ERROR, errors
from nssi_bayes.fit.sample import sample
from nssi_bayes.spec import Sampler, read_params, read_priors
from nssi_bayes.store import Layout, read_dataset, read_json, read_tree

ROOT = Path(__file__).parents[1]

TRUE = np.array([[0.0, 0.5], [0.2, 0.6]])
"""Slopes of two functions on attachment, by its score, and trauma, by its items."""
CHANGES: dict[str, Any] = {
    "B": TRUE, "M": np.array([[0.0] * 5, [0.6, -0.3, 0.0, 0.3, -0.3]]), "sigma_x": 0.8, "mu_x": 0.0,
    "Omega": np.linalg.cholesky([[1, 0.5], [0.5, 1]]), "Omega_x": np.linalg.cholesky([[1, 0.3], [0.3, 1]]),
    "u_site": 0.0,
}  # fmt: skip


def _simulated(participants: int) -> Built:
    spec = item_factor_spec(priors={"B": {"sigma": 1.0}, "B_trauma": {"mu": 0.0, "sigma": 1.0},
                                    "B_attachment": {"mu": 0.0, "sigma": 1.0}})  # fmt: skip
    design = make_design(item_factor_cohort(participants), spec)
    rng = np.random.default_rng(21)
    drawn = draw(joint.parameters(spec, design, read_priors()), design.coords, rng, 1)
    theta = {name: value[0] for name, value in drawn.items()}
    theta["lambda"] = np.linspace(1.2, 2.4, len(theta["lambda"]))
    for name, value in CHANGES.items():
        theta[name] = np.broadcast_to(value, theta[name].shape).copy()
    return build_design(spec, generate(theta, design, rng))


@pytest.mark.slow
def test_slopes_on_a_factor_with_items_are_recovered() -> None:
    built = replace(_simulated(250), fine=True)
    sampler = Sampler(chains=4, tune=150, draws=500, target_accept=0.6)
    drawn = sample(built, sampler, np.random.SeedSequence(3))
    slopes = drawn.values["B"].reshape(-1, 2, 2)
    low, high = np.quantile(slopes, [0.025, 0.975], axis=0)
    assert ((low < TRUE) & (high > TRUE)).all()
    assert (high - low)[:, 1].max() < 0.8  # it says something
    assert int(drawn.statistics["diverging"].sum()) == 0
    flat = [np.moveaxis(v.reshape(*v.shape[:2], -1), -1, 0) for v in drawn.values.values()]
    stacked = np.concatenate(flat)
    stacked = stacked[stacked.std(axis=(1, 2)) > 1e-9]
    assert float(array_stats.rhat(stacked).max()) < 1.02
    labelled = label(drawn.values, built.parameters, built.design)
    assert labelled["M"].dims[-2:] == (n.FACTOR, n.DISORDER)
    found = errors(theta_of(labelled, built.parameters), built)
    assert found is not None
    assert found.std() < LARGEST_ERROR


MODELS = ("history/shared", "history/disorder_roots")


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Run the rooms from `simulate` to `report` on a study whose items are those of trauma, too."""
    root = tmp_path_factory.mktemp("line")
    study = yaml.safe_load((ROOT / "data" / "demo" / "study.yaml").read_text(encoding="utf-8"))
    study = {key: value for key, value in study.items() if key not in ("activation", "connectivity")}
    study["items"] = ["isas", "ctq_sf"]
    layout = Layout(root)
    layout.study("demo").parent.mkdir(parents=True)
    layout.study("demo").write_text(yaml.safe_dump(study), encoding="utf-8")
    shutil.copytree(ROOT / "models" / "bases", root / "models" / "bases")
    shutil.copytree(ROOT / "models" / "history", root / "models" / "history")
    content = yaml.safe_load((ROOT / "profiles" / "ci.yaml").read_text(encoding="utf-8"))
    content |= {"roster": list(MODELS), "questions": ["history"], "allow_uncertified": True}
    content["sampler"] |= {"chains": 2, "tune": 100, "draws": 100}
    content["simulate"] = {"participants": 80}
    content["sensitivity"] = {"models": [MODELS[0]], "refits": ["half"]}
    (root / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    params = read_params(root / "params.yaml")
    for room in (simulate, ingest, score, extract, assemble):
        room.run(layout, params)
    for model in MODELS:
        for room in (build, fit, check):
            room.run(layout, params, model=model)
    preview.run(layout, params, model=MODELS[0])
    sensitivity.run(layout, params, model=MODELS[0])
    compare.run(layout, params, question="history")
    report.run(layout, params, question="history")
    share.run(layout, params, MODELS[0], out=root / "shared")
    return layout


@pytest.mark.slow
def test_a_factor_with_items_goes_the_whole_line(line: Layout) -> None:
    posterior = read_tree(line.posterior(MODELS[0]))["posterior"].to_dataset()
    assert posterior["mu_x"][n.FACTOR_SCORED].to_numpy().tolist() == ["attachment"]
    assert posterior["M"][n.FACTOR].to_numpy().tolist() == ["attachment", "trauma"]
    people = read_dataset(line.predictive(MODELS[0]))
    assert people[n.FUNCTION].to_numpy().tolist() == ["self_related", "social_related"]
    rows = read_json(line.estimates(MODELS[0]))["measurement"]
    assert {r["function"] for r in rows if r.get("factor")} == {"trauma"}
    assert sum(r.get("factor", False) for r in rows) == 5
    page = line.report("history").read_text(encoding="utf-8")
    assert "Measured by items, not by a score with a reliability: trauma by emotional abuse" in page
    assert "per sd of the function or factor" in page
    shared = xr.open_datatree(line.root / "shared" / "draws.nc")["posterior"].to_dataset()
    assert {"mu_x", "sigma_x", "M", "lambda"} <= set(shared.data_vars)


@pytest.mark.slow
def test_levels_and_contrasts_are_of_functions_alone(line: Layout) -> None:
    rows = read_json(line.estimates(MODELS[1]))
    for part in ("levels", "contrasts"):
        assert {r["function"] for r in rows[part]} == {"self_related", "social_related"}
    slopes = {(r["function"], r["factor"]) for r in rows["slopes"]}
    assert ("self_related", "trauma") in slopes
    assert len(slopes) == 4
