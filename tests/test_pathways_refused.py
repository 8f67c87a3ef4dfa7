"""Pathways that a model does not have are refused, with the reason and what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from designs import full_cohort, joint_spec
from nssi_bayes import names as n
from nssi_bayes.build import build
from nssi_bayes.errors import SpecError
from nssi_bayes.spec import JointSpec, parse, read_model
from nssi_bayes.spec.pathways import backwards, networks_of
from nssi_bayes.store import Layout
from ways import EMOTION, LIMBIC

NETWORKS = sorted(set(full_cohort(10)[n.ROI_NETWORK].to_numpy().astype(str)))
SMALL = [w for w in NETWORKS if w not in build(joint_spec(), full_cohort(30)).design.coords[n.BIG_NETWORK]]


@pytest.mark.parametrize(
    ("paths", "changes", "said"),
    [
        ([["trauma", "emotion_regulation", "days"]], {}, "ends with 'days'"),
        ([["trauma", "severity"]], {}, "at least 3"),
        ([["trama", "emotion_regulation", "severity"]], {}, "Did you mean 'trauma'"),
        ([["trauma", "emotion_regulaton", "severity"]], {}, "Did you mean 'emotion_regulation'"),
        ([["trauma", "emotion_regulation", "self_punishment", "severity"]], {}, "none of them comes first"),
        ([["trauma", "limbic_activation", "salience_activation", "severity"]], {}, "networks correlate"),
        ([EMOTION, EMOTION], {}, "stands there 2 times"),
        ([LIMBIC], {"outcome_from": {}}, "activation: true"),
        (
            [LIMBIC, ["attachment", "limbic_activation", "self_punishment", "severity"]],
            {},
            "choose one direction",
        ),
        ([EMOTION], {"outcome": None, "outcome_from": {}, "disorder": {}}, "no `outcome`"),
        ([["trauma", "limbc_activation", "severity"]], {}, "Did you mean 'limbic_activation'"),
        (
            [["trauma", f"{w}_activation", "self_punishment", "severity"] for w in NETWORKS],
            {},
            "6 networks have no residual factor of their own and share 4 sources",
        ),
        (
            [["trauma", f"{w}_activation", "self_punishment", "severity"] for w in SMALL[:5]],
            {},
            "5 networks have no residual factor of their own and share 4 sources",
        ),
        ("trauma -> emotion_regulation -> severity", {}, "a list of lists"),
        (["trauma", "emotion_regulation", "severity"], {}, "a list of lists"),
        (None, {}, "a list of lists"),
        (
            [["self_punishment", "emotion_regulation", "severity"]],
            {"factors": ["trauma", "self_punishment"]},
            "'self_punishment' is two of a factor, a function and activation",
        ),
    ],
)
def test_what_cannot_be_is_refused(paths: Any, changes: dict[str, Any], said: str) -> None:
    content = {"outcome_from": {"activation": True}, "pathways": paths, **changes}
    cohort = full_cohort(30)
    if "factors" in changes:
        cohort = cohort.assign_coords({n.FACTOR: changes["factors"]})
    with pytest.raises(SpecError, match=said):
        build(joint_spec("outcome/joint", **content), cohort)


def test_a_factor_may_be_called_as_activation_is() -> None:
    """Behavioural activation is a factor: what begins with it leads from no region."""
    cohort = full_cohort(30).assign_coords({n.FACTOR: ["behavioral_activation", "attachment"]})
    through = ["behavioral_activation", "emotion_regulation", "limbic_activation", "severity"]
    content = {"factors": ["behavioral_activation", "attachment"], "outcome_from": {"activation": True}}
    spec = joint_spec("outcome/joint", pathways=[through], **content)
    assert not backwards(spec)
    assert networks_of(spec) == {"limbic_activation"}
    assert build(spec, cohort).spec.pathways == (tuple(through),)
    wrong = ["attachment", "behavioral_activation", "severity"]
    with pytest.raises(SpecError, match="'behavioral_activation', which is no function"):
        joint_spec("outcome/joint", pathways=[wrong], **content)


def test_groups_have_no_pathways() -> None:
    content = joint_spec("outcome/joint", neural=None, connectivity=None, disorder={}).model_dump()
    content |= {"groups": {"by": "site", "invariance": "scalar"}, "pathways": [EMOTION]}
    with pytest.raises(SpecError, match="pathways: not beside groups"):
        parse(JointSpec, content, where="test")


def test_a_base_has_none(tmp_path: Path) -> None:
    """`check` depends on a model's own file and would not see a change of what it copies from."""
    folder = tmp_path / "models"
    (folder / "bases").mkdir(parents=True)
    (folder / "question").mkdir()
    (folder / "bases" / "joint.yaml").write_text("pathways: [[trauma, all, severity]]\n")
    (folder / "question" / "one.yaml").write_text("extends: bases/joint\ndescription: one\n")
    with pytest.raises(SpecError, match="own file"):
        read_model(Layout(tmp_path), "question/one")
