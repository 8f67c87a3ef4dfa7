"""What overlaps in content is named, and left out once; what a cohort cannot tell is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml

from artefacts import STUDY, make_params, write_project
from designs import full_cohort, joint_spec, small_cohort, small_spec
from nssi_bayes import names as n
from nssi_bayes import sensitivity
from nssi_bayes.build import Built, build, fingerprint
from nssi_bayes.errors import SpecError
from nssi_bayes.report.evidence import gather
from nssi_bayes.report.sections.methods import paragraphs
from nssi_bayes.sensitivity.variants import without_overlaps
from nssi_bayes.spec import Params, parse, read_model
from nssi_bayes.store import Layout, write_dataset, write_json, write_text, write_tree
from nssi_bayes.study import Study, read_study

ROOT = Path(__file__).parents[1]
RISK = "nothing here says anything about the risk of self-injury"
COLLIDER = "selection is a collider"


def _told(layout: Layout, *, shareable: bool = False) -> str:
    e = gather(layout, make_params(), "heterogeneity")
    return paragraphs(replace(e, shareable=shareable))[-1]


def test_the_methods_text_says_what_such_a_cohort_cannot_tell(tmp_path: Path) -> None:
    told = _told(write_project(tmp_path))
    assert RISK in told
    assert COLLIDER in told
    assert "overlapping" not in told


def test_what_overlaps_is_named_and_whether_it_was_left_out(tmp_path: Path) -> None:
    layout = write_project(tmp_path)
    overlaps = "overlaps: {borderline: criterion 5 is self-harm, anxiety: its own reason}\n"
    write_text(layout.study("demo"), STUDY + overlaps)
    told = _told(layout)
    assert "borderline (criterion 5 is self-harm); anxiety (its own reason)" in told
    assert "It was not repeated without borderline or anxiety." in told
    assert "criterion 5" not in _told(layout, shareable=True)
    rows = [{"variant": "without borderline", "changed": 2}, {"variant": "without anxiety", "changed": None}]
    write_json(layout.numbers("sensitivity", "heterogeneity/disorder_circuits"), {"refits": rows})
    told = _told(layout)
    assert "The analysis was repeated without borderline." in told
    assert "It was not repeated without anxiety." in told


def test_what_is_marked_must_exist() -> None:
    content = {**yaml.safe_load(STUDY), "overlaps": {"borderlin": "a reason"}}
    with pytest.raises(SpecError, match=r"overlaps: no disorder or factor 'borderlin'.*'borderline'"):
        parse(Study, content, where="test")
    assert "borderline" in read_study(Layout(ROOT), "demo").overlaps


def test_each_is_left_out_alone() -> None:
    spec, cohort = joint_spec(outcome="severity"), full_cohort(60, seed=4)
    built = replace(build(spec, cohort), fine=True)
    diagnosis, factor, other = without_overlaps(built, cohort, ("borderline", "trauma", "nothing"))
    assert diagnosis.built is not None
    assert factor.built is not None
    assert other.built is None
    assert diagnosis.built.fine
    assert factor.built.fine
    before, after = built.design, diagnosis.built.design
    kept = [i for i, d in enumerate(before.coords[n.DISORDER]) if d != "borderline"]
    assert after.coords[n.DISORDER] == [before.coords[n.DISORDER][i] for i in kept]
    np.testing.assert_array_equal(after.diagnosis, before.diagnosis[:, kept])
    alone = (before.diagnosis.sum(axis=1) == 1) & (before.diagnosis[:, kept].sum(axis=1) == 0)
    assert alone.any()
    assert after.none[alone].all()
    assert factor.built.design.coords[n.FACTOR] == ["attachment"]
    assert factor.built.design.coords[n.DISORDER] == before.coords[n.DISORDER]
    (nothing,) = without_overlaps(built, cohort, ())
    assert "marks nothing" in nothing.note


def test_the_only_disorder_is_not_left_out() -> None:
    cohort = small_cohort(40)
    cohort = cohort.isel({n.DISORDER: [0]})
    (one,) = without_overlaps(build(small_spec(), cohort), cohort, (str(cohort[n.DISORDER].item()),))
    assert one.built is None


def test_what_leaves_no_model_is_said_and_ends_nothing() -> None:
    cohort = small_cohort(60).isel({n.DISORDER: [0, 1]})
    built = build(small_spec(measurement={"bias": "dense"}), cohort)
    diagnosis, factor = without_overlaps(built, cohort, (str(cohort[n.DISORDER][0].item()), "trauma"))
    assert diagnosis.built is None
    assert diagnosis.note == "the model cannot be made without it"
    assert factor.built is not None


def test_the_verb_repeats_the_analysis_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, cohort = Layout(tmp_path), small_cohort(40)
    write_dataset(layout.cohort("s"), cohort)
    write_text(layout.study("s"), STUDY + "overlaps: {borderline: a reason}\n")
    write_text(layout.spec("q/m"), "description: tiny\nfunctions:\n  self_related: "
               "[affect_regulation, anti_dissociation, marking_distress]\n"
               "factors: [trauma]\ndisorder: {levels: true}\n")  # fmt: skip
    spec = read_model(layout, "q/m")
    built = build(spec, cohort)  # type: ignore[arg-type]
    tree = xr.DataTree()
    tree["posterior"] = xr.DataTree(xr.Dataset())
    tree.attrs.update(fingerprint=fingerprint(built, spec))  # type: ignore[arg-type]
    write_tree(layout.posterior("q/m"), tree)
    fitted: list[Built] = []

    def refit(_: Any, variant: Any, *__: Any) -> dict[str, Any]:
        fitted.append(variant.built)
        return {"variant": variant.name, "text": variant.name, "changed": 0}

    nothing = dict.fromkeys(("theta_of", "conclusions", "scaled"), lambda *_, **__: {})
    for name, found in {"_refit": refit, "_some": lambda *_: None, "contraction": lambda *_: [],
                        "_everybody": lambda *_, **__: ({}, None), **nothing}.items():  # fmt: skip
        monkeypatch.setattr(sensitivity, name, found)
    for refits, expected in (([], 0), (["overlaps"], 1)):
        content = {"study": "s", "source": "x", "seed": 1, "roster": ["q/m"], "questions": ["q"],
                   "sensitivity": {"models": ["q/m"], "refits": refits}}  # fmt: skip
        sensitivity.run(layout, parse(Params, content, where="test"), model="q/m")
        assert len(fitted) == expected
    assert "borderline" not in fitted[0].design.coords[n.DISORDER]
