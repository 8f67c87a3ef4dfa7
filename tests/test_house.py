"""What the house says of itself is true: inventory, layers, sizes, versions, and no place of one machine."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import nssi_bayes
from nssi_bayes import names
from nssi_bayes.spec import read_params
from nssi_bayes.store import Layout

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "nssi_bayes"
CODE = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py")])
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    listed = [ROOT / name for name in done.stdout.split("\0") if name]
    return [path for path in listed if path.is_file()] or CODE


def test_the_inventory_of_the_architecture_is_the_tree() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    picture = text.split("```")[1]
    told = set(re.findall(r"^\s*([\w]+)(?:\.py|/)\s", picture, flags=re.MULTILINE)) - {"nssi_bayes"}
    rooms = {p.stem if p.is_file() else p.name for p in PACKAGE.iterdir() if p.name != "__pycache__"}
    assert told == rooms - {"__init__", "__main__"}


def test_the_layers_of_the_linter_are_in_the_order_of_the_architecture() -> None:
    layers = PYPROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    rooms = {p.stem for p in PACKAGE.iterdir() if p.name not in ("__pycache__", "__init__.py")}
    assert {name for layer in layers for name in re.split(r"[|\s]+", layer)} == rooms


def test_imports_point_down() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", CODE, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_file_fits_on_a_few_screens(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long"


def _public(path: Path) -> Iterator[ast.FunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]
    for body in [tree, *classes]:
        for node in body.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield node


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.relative_to(PACKAGE).as_posix()
)
def test_public_functions_keep_the_house_rules(path: Path) -> None:
    for node in _public(path):
        assert node.args.kwarg is None, f"{node.name} takes **kwargs"
        assert ast.get_docstring(node), f"{node.name} has no docstring"
        positional = [a.arg for a in node.args.args if a.arg not in ("self", "cls")]
        optional = positional[len(positional) - len(node.args.defaults) :]
        extra = [name for name in optional if name in positional[2:]]
        assert not extra, f"{node.name}: {extra} should be keyword-only"
        assert len(positional) + len(node.args.kwonlyargs) <= 7, f"{node.name}: more than seven parameters"


def test_no_file_names_a_place_of_one_machine() -> None:
    places = re.compile(
        "|".join(["/" + "work/", "/" + "tmp/", "/" + "home/", "/" + "root/", r"\b[A-Z]:\\\\Users"])
    )
    data = re.compile(r"\.\./" + r"shared")
    allowed = {*(f"profiles/{s}.yaml" for s in ("ds000030", "ds002748", "ds004605")), "uv.lock"}
    for path in _tracked():
        name = path.relative_to(ROOT).as_posix()
        if name == "uv.lock" or path.suffix in {".png", ".gz", ".nc"}:
            continue
        text = path.read_text(encoding="utf-8")
        assert not places.search(text), name
        assert name in allowed or not data.search(text), name


def test_nothing_is_left_for_later() -> None:
    words = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "x" + "fail"]) + r")\b")
    blank = re.compile("type: " + r"ignore(?!\[)|except " + "Exception")
    for path in CODE:
        text = path.read_text(encoding="utf-8")
        assert not words.search(text), path.name
        assert not blank.search(text), path.name
        assert "pickle" not in text or path == Path(__file__), path.name


def test_only_the_store_knows_file_names() -> None:
    artefacts = re.compile(
        r"[\"'][\w/]*(posterior|cohort|loo|predictive|checks|estimates|fingerprint|activation|connectivity)\.(nc|json)"
    )
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name != "store.py":
            assert not artefacts.search(path.read_text(encoding="utf-8")), path.name


def test_every_name_is_there_once() -> None:
    values = [v for k, v in vars(names).items() if k.isupper() and isinstance(v, str)]
    assert len(values) == len(set(values))


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert nssi_bayes.__version__ == PYPROJECT["project"]["version"] == str(citation["version"])
    assert nssi_bayes.__version__ in changelog


def test_pymc_is_required_in_the_version_that_mended_lkj() -> None:
    """Trap 1: versions before 6.4 sample the wrong LKJ. Trap 11: nilearn before 0.14.1."""
    assert {"pymc>=6.4", "nilearn>=0.14.1"} <= set(PYPROJECT["project"]["dependencies"])


def test_the_roster_of_every_profile_has_its_specs() -> None:
    """Trap 17: the roster is read, never a glob; each entry needs its file."""
    for profile in Layout(ROOT).profiles():
        params = read_params(profile)
        for model in params.roster:
            assert Layout(ROOT).spec(model).exists(), f"{profile.name}: {model}"
        assert Layout(ROOT).study(params.study).exists()


def test_the_pipeline_names_every_path_as_the_store_does() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    layout = Layout(Path())
    text = yaml.safe_dump(stages)
    study, model, question = "${study}", "${item}", "${item}"
    paths = [
        layout.tables(study), layout.audit(study), layout.scores(study), layout.activation(study),
        layout.connectivity(study), layout.cohort(study), layout.flow(study), layout.spec(model),
        layout.fingerprint(model),
        layout.posterior(model), layout.predictive(model), layout.loo(model), layout.checks(model),
        layout.estimates(model), layout.comparison(question), layout.comparison_notes(question),
        layout.report(question), layout.author(question), layout.card(model),
        layout.bids("${item}"), layout.truth("${item}"),
    ]  # fmt: skip
    assert [p.as_posix() for p in paths if p.as_posix() not in text] == []


def test_the_pipeline_depends_on_code_that_exists_and_a_fit_on_none() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for name, stage in stages.items():
        code = [d for d in stage.get("do", stage)["deps"] if d.startswith("src/")]
        assert all((ROOT / d).exists() for d in code), name
        assert bool(code) == (name != "fit")
