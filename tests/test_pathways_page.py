"""Pathways on the page, in what may leave the lab, in what changed, and in artefacts that are copied."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml

from artefacts import make_params
from designs import full_cohort, joint_spec, prior_tree
from nssi_bayes import sensitivity
from nssi_bayes.blocks.labelled import theta_of
from nssi_bayes.build import build
from nssi_bayes.check import twin
from nssi_bayes.check.pathways import CORRELATIONS
from nssi_bayes.check.pathways import pathways as draws_of
from nssi_bayes.report import against
from nssi_bayes.report.parts import Part
from nssi_bayes.report.pathways import pathways
from nssi_bayes.report.sections.methods import _pathways as in_methods
from nssi_bayes.share.tables import safe_estimates
from nssi_bayes.store import Layout

THROUGH = "trauma -> emotion_regulation -> limbic_activation -> severity"
ASKED = (tuple(THROUGH.split(" -> ")),)
WAYS = ("trauma -> severity", "trauma -> severity", THROUGH)


def _row(mean: float, p: float, **labels: Any) -> dict[str, Any]:
    return {**labels, "mean": mean, "low": mean - 0.1, "high": mean + 0.1, "sd": 0.06, "p_positive": p}


def _estimates(scale: str = "sd of the outcome") -> dict[str, Any]:
    rows = [
        _row(0.3, 0.999, pathway=name, way=way, scale=scale)
        for name, way in zip(WAYS, ("total", "direct", "indirect"), strict=True)
    ]
    for row in rows[:2]:
        row["p_over_rope"] = 0.97
    left = [
        {
            **_row(9.0, 0.99 if r < 0.2 else 0.6 if r < 0.4 else 0.4, pathway=WAYS[2], correlation=r),
            "median": 0.35 - r,
        }
        for r in CORRELATIONS
    ]
    each = [_row(0.2, 0.98, pathway=WAYS[2], disorder=d) for d in ("mood", "eating")]
    return {
        "pathways": rows, "pathways_by_correlation": left, "pathways_by_disorder": each,
        "rope": 0.2, "interval": 0.9,
    }  # fmt: skip


def _words(parts: list[Part]) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", part.body) for part in parts)


def test_the_page_tells_ways_and_what_they_assume() -> None:
    parts = pathways(_estimates(), ASKED)
    said = _words(parts)
    assert "through emotion regulation, then limbic activation" in said
    assert "the data do not choose a direction" in said
    assert "do not add up" not in said
    assert not re.search(r"\b(cause[sd]?|effects? of|leads? to|mediates?)\b", said)
    images = [image for part in parts for image in part.images]
    assert len(images) == 3
    assert not [part for part in parts if part.kind == "missing"]
    beyond = next(part for part in parts if part.title == "Pathways, in numbers").body
    assert beyond.count("beyond the ROPE") == 2  # none on a product
    assert "do not add up" in _words(pathways(_estimates("difference in probability"), ASKED))


def test_the_page_says_where_a_way_is_lost() -> None:
    found = next(p for p in pathways(_estimates(), ASKED) if p.title == "From which residual correlation on")
    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", found.body)
    assert cells[-3:] == ["trauma → emotion regulation → limbic activation → severity", "0.2", "0.4"]
    none = _estimates()
    for row in none["pathways_by_correlation"]:
        row.update(p_positive=0.99)
    found = next(p for p in pathways(none, ASKED) if p.title == "From which residual correlation on")
    assert found.body.count("none from −0.5 to 0.5") == 2
    for row in none["pathways_by_correlation"]:
        row.update(p_positive=0.5)
    found = next(p for p in pathways(none, ASKED) if p.title == "From which residual correlation on")
    assert "it is not, at 0 already" in found.body


def test_a_model_without_pathways_says_so() -> None:
    (only,) = pathways({"pathways": [], "rope": 0.2, "interval": 0.9}, ())
    assert "names no pathways" in only.body


def test_other_pathways_than_those_of_the_file_are_not_shown() -> None:
    for told, asked in ((_estimates(), ()), ({"pathways": []}, ASKED)):
        (only,) = pathways(told, asked)
        assert only.kind == "missing"
        assert "other pathways" in only.body


def test_what_is_not_told_is_named() -> None:
    found = {**_estimates(), "pathways_by_correlation": []}
    said = _words(pathways(found, ASKED))
    assert "Not told of trauma → emotion regulation → limbic activation → severity" in said


def test_what_would_tell_of_few_people_is_not_shared() -> None:
    """Averages over everybody, beside those of others or slopes, give the hidden ones away."""
    found, parts = _estimates(), ("pathways", "pathways_by_correlation", "pathways_by_disorder")
    marked = {**found, "pathways_by_disorder": [{"pathway": THROUGH, "disorder": "mood", "few": True}]}
    same = {**found, "pathways_by_disorder": []}
    for estimates, small, treatments, kept in (
        (found, ["eating"], [], False), (found, [], ["therapy"], False), (marked, [], [], False),
        (found, [], [], True), (same, ["eating"], [], True),
    ):  # fmt: skip
        safe, told = safe_estimates(estimates, small, treatments=treatments)
        assert [safe[part] == (estimates[part] if kept else []) for part in parts] == [True] * 3
        assert bool(told) is not kept
    page = pathways(marked, ASKED)
    assert "mood" not in _words(page)
    assert "Pathways to the outcome, by disorder" not in [part.title for part in page]


def test_a_revision_tells_what_changed() -> None:
    now, then = _estimates(), _estimates()
    now["pathways"][2].update(p_positive=0.5)
    (changed,) = against.conclusions(now, then)
    assert changed["what"] == f"pathways: {WAYS[2].replace('_', ' ')}, indirect"
    assert changed["now"] == "not settled"


def test_the_methods_text_says_which_comes_first() -> None:
    terms = {"outcome_from": {"activation": True}}
    forth = joint_spec("outcome/joint", pathways=[WAYS[2].split(" -> ")], **terms)
    back = ["trauma", "limbic_activation", "emotion_regulation", "severity"]
    assert "functions came first" in in_methods(forth)
    assert "activation came first" in in_methods(joint_spec("outcome/joint", pathways=[back], **terms))
    plain = joint_spec("outcome/joint", pathways=[["trauma", "emotion_regulation", "severity"]])
    assert "came first" not in in_methods(plain)
    assert in_methods(joint_spec("outcome/joint", pathways=[])) == ""


def test_a_pathway_is_a_conclusion_whose_sensitivity_is_told() -> None:
    path = ("trauma", "emotion_regulation", "severity")
    built = build(joint_spec("outcome/joint", pathways=[path]), full_cohort(30))
    posterior = prior_tree(built, draws=5, chains=2)["posterior"].to_dataset()
    theta = theta_of(posterior, built.parameters)
    found = sensitivity._indirect(theta, built, posterior)
    (told,) = draws_of(theta, built.design, built.spec)
    assert list(found) == ["pathway[trauma -> emotion_regulation -> severity]"]
    np.testing.assert_allclose(next(iter(found.values())).ravel(), told.ways[:, 0, 0])
    assert next(iter(found.values())).shape == (2, 5)


def test_check_runs_again_where_a_models_file_has_changed() -> None:
    """Pathways change no fingerprint, so that nothing else of the line would tell."""
    stages = yaml.safe_load((Path(__file__).parents[1] / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    watched = [p for p in stages["check"]["do"]["params"] if isinstance(p, dict)]
    assert watched == [{"models/${item}.yaml": None}]


def test_a_model_with_other_pathways_is_no_twin(tmp_path: Path) -> None:
    """Its posterior is the same and what is told of it is not."""
    layout = Layout(tmp_path)
    layout.cohort("demo").parent.mkdir(parents=True)
    layout.cohort("demo").write_bytes(b"people")
    tree = xr.DataTree()
    tree.attrs["fit"] = "same"
    one = twin.made_from(layout, make_params(), tree, pathways=(("a", "b", "c"),))
    assert one == twin.made_from(layout, make_params(), tree, pathways=(("a", "b", "c"),))
    assert one != twin.made_from(layout, make_params(), tree)
