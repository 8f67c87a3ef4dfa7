"""Specs: every wrong key and value at once, with the closest known name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from nssi_bayes.errors import SpecError
from nssi_bayes.spec import ConventionalSpec, JointSpec, Params, parse, read_model, read_params, read_priors
from nssi_bayes.store import Layout

ROOT = Path(__file__).parents[1]
PARAMS: dict[str, Any] = {
    "study": "demo",
    "source": "data/demo/bids",
    "seed": 1,
    "roster": ["structure/shared", "structure/monolithic"],
    "questions": ["structure"],
}
JOINT = {"description": "d", "functions": {"a": ["s", "t"], "b": ["u"]}, "factors": ["trauma"]}


def _write(layout: Layout, model: str, content: dict[str, Any]) -> None:
    path = layout.spec(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def test_models_of_a_question_keep_the_order_of_the_roster() -> None:
    params = parse(Params, PARAMS, where="params.yaml")
    assert params.models_of("structure") == ["structure/shared", "structure/monolithic"]
    assert params.models_of("outcome") == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"sead": 2}, "unknown key 'sead'. Did you mean 'seed'?"),
        ({"sampler": {"chain": 2}}, "unknown key 'sampler.chain'. Did you mean 'chains'?"),
        ({"roster": ["shared"]}, "'shared' is not of the form question/model"),
        ({"roster": ["structure/a", "structure/a"]}, "an entry stands twice"),
        ({"questions": ["structure", "outcome"]}, "question 'outcome' is not in the roster"),
        ({"questions": []}, "question 'structure' is not under `questions`"),
        ({"seed": -1}, "seed: "),
        ({"interval": 1.0}, "interval: "),
    ],
)
def test_a_wrong_parameter_names_file_key_and_cure(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(Params, PARAMS | change, where="params.yaml")
    assert problem in str(caught.value)
    assert "params.yaml" in str(caught.value)
    assert "What to do" in str(caught.value)


def test_all_problems_are_said_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        parse(Params, PARAMS | {"sead": 1, "rope": -1, "min_cell": -2}, where="params.yaml")
    assert len(caught.value.problems) == 3


def test_every_profile_is_valid_and_the_demo_is_the_default() -> None:
    for path in Layout(ROOT).profiles():
        read_params(path)
    assert read_params(ROOT / "params.yaml") == read_params(ROOT / "profiles" / "demo.yaml")


def test_a_model_takes_over_what_its_base_says(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    _write(layout, "bases/joint", JOINT | {"disorder": {"levels": True}})
    _write(layout, "q/m", {"extends": "bases/joint", "description": "other", "disorder": {"slopes": True}})
    spec = read_model(layout, "q/m")
    assert isinstance(spec, JointSpec)
    assert spec.description == "other"
    assert spec.disorder.levels
    assert spec.disorder.slopes
    assert spec.functions == {"a": ("s", "t"), "b": ("u",)}


def test_functions_of_a_base_are_replaced_not_merged(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    _write(layout, "bases/joint", JOINT)
    _write(layout, "q/one", {"extends": "bases/joint", "functions": {"all": ["s", "t", "u"]}})
    assert set(read_model(layout, "q/one").functions) == {"all"}


def test_a_model_extends_bases_only(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    _write(layout, "q/a", JOINT)
    _write(layout, "q/b", {"extends": "q/a"})
    with pytest.raises(SpecError, match="bases/name"):
        read_model(layout, "q/b")


def test_a_base_that_extends_itself_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    _write(layout, "bases/a", {"extends": "bases/a"})
    _write(layout, "q/m", {"extends": "bases/a"})
    with pytest.raises(SpecError, match="extends itself"):
        read_model(layout, "q/m")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (JOINT | {"kind": "jiont"}, "Did you mean 'joint'?"),
        (JOINT | {"factor": ["trauma"]}, "Did you mean 'factors'?"),
        (JOINT | {"disorder": {"level": True}}, "Did you mean 'levels'?"),
        (JOINT | {"functions": {"a": ["s"], "b": ["s"]}}, "'s' measures 'a' and 'b'"),
        (JOINT | {"functions": {}}, "at least one function"),
        (JOINT | {"priors": {"nonesuch_prior": {"sigma": 1.0}}}, "no such prior"),
    ],
)
def test_a_wrong_model_spec_is_readable(tmp_path: Path, content: dict[str, Any], problem: str) -> None:
    layout = Layout(tmp_path)
    _write(layout, "q/m", content)
    with pytest.raises(SpecError) as caught:
        read_model(layout, "q/m")
    assert problem in str(caught.value)
    assert "m.yaml" in str(caught.value)


def test_a_conventional_spec_is_told_by_its_kind(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    content = {"kind": "conventional", "description": "d", "outcome": "severity", "functions": {"a": ["s"]}}
    _write(layout, "q/m", content)
    assert isinstance(read_model(layout, "q/m"), ConventionalSpec)


def test_every_default_prior_has_unit_and_source_and_a_change_leaves_the_rest() -> None:
    priors = read_priors()
    assert all(prior.unit and prior.source for prior in priors.values())
    name = next(n for n, p in priors.items() if p.sigma is not None)
    spec = parse(JointSpec, JOINT | {"priors": {name: {"sigma": 0.123}}}, where="m.yaml")
    changed = read_priors(spec.priors)
    assert changed[name].sigma == 0.123
    assert {n: p for n, p in changed.items() if n != name} == {n: p for n, p in priors.items() if n != name}
