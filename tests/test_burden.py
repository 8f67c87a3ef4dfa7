"""Slopes and loadings that change with every further diagnosis, where the spec asks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from artefacts import make_params, write_project
from brute_force import Person
from densities import assert_density_is_pymcs
from designs import full_design, joint_spec
from nssi_bayes.blocks import generate, marginal
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import build_design
from nssi_bayes.errors import SpecError
from nssi_bayes.report.evidence import gather
from nssi_bayes.report.sections.methods import paragraphs
from nssi_bayes.spec import JointSpec

VARIES = {"levels": True, "slopes": True, "loadings": True}
BURDEN = ("B_burden", "L_burden", "L_edge_burden")
PEOPLE = 14


def _spec(**disorder: Any) -> JointSpec:
    functions = {"self_related": ["affect_regulation", "anti_dissociation", "marking_distress"],
                 "self_punishment": ["self_punishment"]}  # fmt: skip
    return joint_spec(functions=functions, outcome="severity", disorder={**VARIES, **disorder})


def _drawn() -> tuple[Any, dict[str, Any]]:
    spec = _spec(burden=True)
    design = full_design(spec, participants=PEOPLE)
    drawn = draw(build_design(spec, design).parameters, design.coords, np.random.default_rng(4), 1)
    return design, {name: value[0] for name, value in drawn.items()}


def test_they_are_there_where_the_spec_asks_and_nowhere_else() -> None:
    names = {}
    for burden in (False, True):
        spec = _spec(burden=burden)
        names[burden] = {p.name: p.dims for p in build_design(spec, full_design(spec)).parameters}
    assert {k: v for k, v in names[True].items() if k not in names[False]} == {
        "B_burden": ("function", "factor"),
        "L_burden": ("roi", "function"),
        "L_edge_burden": ("edge", "function"),
    }
    one = _spec(burden=True, loadings=False)
    found = {p.name for p in build_design(one, full_design(one)).parameters}
    assert found & set(BURDEN) == {"B_burden"}


@pytest.mark.parametrize("disorder", [{"slopes": False, "loadings": False}, {"coding": "averaged"}])
def test_burden_of_nothing_is_refused(disorder: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="burden: write coding: additive, and slopes, loadings or outcome"):
        _spec(burden=True, **disorder)


def test_the_likelihood_of_the_gaussian_data_is_one_dense_normal() -> None:
    design, theta = _drawn()
    blocks = ("factors", "activation", "connectivity", "outcome")
    data = generate.generate(theta, design, np.random.default_rng(2))
    draws = {name: value[None] for name, value in theta.items()}
    found = marginal.evaluate(draws, data, include=blocks, grid=marginal.grid_settings(2)).log_integral[0]
    expected = [Person(theta, data, i, blocks).gaussian for i in range(PEOPLE)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_the_density_is_that_of_pymc() -> None:
    spec = _spec(burden=True)
    assert_density_is_pymcs(build_design(spec, full_design(spec)), scales=(0.3,))


def test_data_are_generated_as_they_are_fitted() -> None:
    design, theta = _drawn()
    without = {**theta, **{name: np.zeros_like(theta[name]) for name in BURDEN}}
    who, plain = (generate.latents(t, design, np.random.default_rng(1)) for t in (theta, without))
    further = design.diagnosis.sum(axis=1).clip(1) - 1
    assert further.max() > 0
    np.testing.assert_allclose(
        who.function - plain.function, further[:, None] * (who.factor @ theta["B_burden"].T), atol=1e-12
    )
    new, old = (generate.generate(t, design, np.random.default_rng(3), latent=who) for t in (theta, without))
    for values, seen, scanned, loading in (
        ("activation", "activation_seen", design.scanned, "L_burden"),
        ("connectivity", "connectivity_seen", design.connected, "L_edge_burden"),
    ):
        gap = further[scanned, None] * (who.function[scanned] @ theta[loading].T)
        expected = np.where(getattr(design, seen), gap, 0)
        np.testing.assert_allclose(getattr(new, values) - getattr(old, values), expected, atol=1e-9)


def test_the_methods_text_says_it(tmp_path: Any) -> None:
    layout = write_project(tmp_path)
    e = gather(layout, make_params(), "heterogeneity")
    for burden in (False, True):
        e.models[str(e.main)] = _spec(burden=burden)
        told = " ".join(paragraphs(e))
        varying = "slopes of psychosocial factors and neural associations"
        said = f"Each further diagnosis of a person may change {varying} as well."
        assert (said in told) is burden
