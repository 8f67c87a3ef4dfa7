"""The whole dvc.yaml: what runs, what runs again after which change, and what does not.

The first tests put stand-ins in place of the rooms: they check the line itself, in seconds. The slow
test runs the rooms on a small cohort.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PARTS = [
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    "params.yaml",
    "profiles",
    "data",
    "models",
    "src",
    "uv.lock",
]
STAND_IN = """#!/bin/sh
set -e
study=data/demo model=models/$2 report=reports/$2
case $1 in
simulate) mkdir -p $study/bids; echo 1 >$study/bids/participants.tsv; echo 1 >$study/truth.nc ;;
ingest) mkdir -p $study/tables; echo 2 >$study/tables/people.tsv; echo 2 >$study/audit_ingest.tsv ;;
score) echo 3 >$study/scores.nc; echo 3 >$study/audit_score.tsv ;;
extract) for f in activation.nc connectivity.nc audit_extract.tsv; do echo 4 >$study/$f; done ;;
assemble) echo 5 >$study/cohort.nc; echo '{"steps": []}' >$study/flow.json; echo 5 >$study/audit.tsv ;;
build) mkdir -p $model; cat $model.yaml models/bases/*.yaml >$model/fingerprint.json ;;
fit) cp $model/fingerprint.json $model/posterior.nc ;;
check) for f in predictive.nc loo.nc estimates.json predictive_checks.json card.md; do
  cp $model/posterior.nc $model/$f; done
  echo '{"certified": true, "sampling": {"max_rhat": 1.001}}' >$model/checks.json ;;
crossvalidate) mkdir -p $study/held_out $report; echo 6 >$study/held_out/$2.nc
  echo '{}' >$report/left_out.json ;;
compare) mkdir -p $report; printf 'block,model,elpd_diff,diff_se\\ntotal,a,0,0\\n' >$report/comparison.csv
  echo '{"sentences": ["a"]}' >$report/comparison.json; touch $report/author.yaml ;;
report) echo page >$report/report.html ;;
esac
"""
IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@example.org")
ROSTER = ["structure/one", "structure/two", "outcome/one"]


def _call(project: Path, *command: str) -> str:
    """Run `command` in the project and return what it said."""
    bins = [str(project / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    done = subprocess.run(
        [*command], cwd=project, capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": os.pathsep.join(bins)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _ran(output: str) -> list[str]:
    lines = [line for line in output.splitlines() if line.startswith("Running stage")]
    return [line.split("'")[1] for line in lines]


def _repro(project: Path) -> list[str]:
    return _ran(_call(project, sys.executable, "-m", "dvc", "repro"))


def _copy(project: Path) -> None:
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            kept = shutil.ignore_patterns("__pycache__", "*.nc", "bids", "tables", "*.json", "audit*.tsv")
            shutil.copytree(source, project / part, ignore=kept)
        elif source.exists():
            shutil.copy(source, project / part)
    (project / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", project / ".dvc" / "config")
    shutil.copytree(ROOT / ".dvc" / "plots", project / ".dvc" / "plots")
    (project / ".dvc" / ".gitignore").write_text("/tmp\n/cache\n", encoding="utf-8")


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def line(tmp_path: Path) -> Path:
    """Return a project whose rooms are stand-ins, with a roster of three models."""
    _copy(tmp_path)
    shutil.rmtree(tmp_path / "models", ignore_errors=True)
    for room in ["build.py", "check.py"]:
        (tmp_path / "src" / "nssi_bayes" / room).touch()
    for model in [*ROSTER, "bases/joint"]:
        spec = tmp_path / "models" / f"{model}.yaml"
        spec.parent.mkdir(parents=True, exist_ok=True)
        spec.write_text("priors: {slope: {sigma: 1.0}}\n", encoding="utf-8")
    params = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    params |= {"roster": ROSTER, "questions": ["structure", "outcome"]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    stand_in = tmp_path / "bin" / "nssi-bayes"
    stand_in.parent.mkdir()
    stand_in.write_text(STAND_IN, encoding="utf-8")
    stand_in.chmod(0o755)
    _call(tmp_path, "git", "init", "--quiet")
    return tmp_path


def test_the_line_runs_what_changed_and_nothing_else(line: Path) -> None:
    first = _repro(line)
    assert first[:1] == ["simulate@demo"]
    assert [stage for stage in first if "@" not in stage] == ["ingest", "score", "extract", "assemble"]
    for verb, names in [("fit", ROSTER), ("check", ROSTER), ("report", ["structure", "outcome"])]:
        assert [s for s in first if s.startswith(verb)] == [f"{verb}@{name}" for name in names]
    assert first.index("compare@structure") > first.index("check@structure/two")
    assert _repro(line) == []

    (line / "src" / "nssi_bayes" / "blocks" / "__pycache__").mkdir()
    (line / "src" / "nssi_bayes" / "blocks" / "__pycache__" / "a.pyc").touch()
    assert _repro(line) == [], "trap 16: what Python leaves beside the code"

    _edit(line / "src" / "nssi_bayes" / "blocks" / "__init__.py", '"""The', '"""Edited: the')
    assert _repro(line) == [f"build@{model}" for model in ROSTER], "a docstring edit fits nothing"

    _edit(line / "models" / "structure" / "two.yaml", "1.0", "2.0")
    again = _repro(line)
    assert sorted(again) == sorted(
        [
            "build@structure/two",
            "fit@structure/two",
            "check@structure/two",
            "crossvalidate@structure",
            "compare@structure",
            "report@structure",
        ]
    )

    _edit(line / "models" / "bases" / "joint.yaml", "1.0", "2.0")
    assert [s for s in _repro(line) if s.startswith("build")] == [f"build@{model}" for model in ROSTER]


@pytest.mark.parametrize("profile", sorted((ROOT / "profiles").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_profile_has_the_parameters_of_its_stages(profile: Path) -> None:
    params = yaml.safe_load(profile.read_text(encoding="utf-8"))
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    if not params["synthetic_cohorts"]:
        del stages["simulate"]
    for name, stage in stages.items():
        asked = {key for key in stage.get("do", stage)["params"] if isinstance(key, str)}
        assert asked <= set(params), f"dvc refuses stage {name}"


def test_dvc_names_a_prior_that_changed_in_a_set_or_in_a_base(line: Path) -> None:
    _call(line, "git", "add", "--all")
    _call(line, "git", *IDENTITY, "commit", "--quiet", "--message", "first")
    sets = line / "src" / "nssi_bayes" / "priors"
    for path in sorted(sets.glob("*.yaml")):
        _edit(path, "tau_mean: {family: halfnormal, sigma: 0.", "tau_mean: {family: halfnormal, sigma: 1.")
    _edit(line / "models" / "bases" / "joint.yaml", "1.0", "2.0")
    found = json.loads(_call(line, sys.executable, "-m", "dvc", "params", "diff", "--json"))
    changed = {Path(path).stem: set(names) for path, names in found.items()}
    assert changed == {
        "weak": {"tau_mean.sigma"}, "informed": {"tau_mean.sigma"}, "joint": {"priors.slope.sigma"}
    }  # fmt: skip


def test_dvc_names_the_changed_prior_and_shows_the_verdicts(line: Path) -> None:
    _call(line, "git", "add", "--all")
    _call(line, "git", *IDENTITY, "commit", "--quiet", "--message", "first")
    _edit(line / "models" / "structure" / "two.yaml", "1.0", "2.0")
    difference = _call(line, sys.executable, "-m", "dvc", "params", "diff")
    assert "models/structure/two.yaml" in difference
    assert "priors.slope.sigma" in difference
    assert "one.yaml" not in difference
    _repro(line)
    assert "max_rhat" in _call(line, sys.executable, "-m", "dvc", "metrics", "show")
    assert "index.html" in _call(line, sys.executable, "-m", "dvc", "plots", "show")
    ignored = _call(line, "git", "status", "--short", "--untracked-files=all")
    for row_level in [
        "cohort.nc",
        "tables",
        "bids",
        "loo.nc",
        "held_out/structure.nc",
        "predictive.nc",
        "posterior.nc",
        "report.html",
    ]:
        assert row_level not in ignored
    for numbers in ["checks.json", "comparison.csv", "flow.json", "audit.tsv", "fingerprint.json"]:
        assert numbers in ignored


@pytest.mark.slow
def test_the_rooms_run_on_a_small_cohort(tmp_path: Path) -> None:
    _copy(tmp_path)
    _call(tmp_path, "git", "init", "--quiet")
    shutil.copy(ROOT / "profiles" / "ci.yaml", tmp_path / "params.yaml")
    first = _repro(tmp_path)
    params = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    assert {f"fit@{model}" for model in params["roster"]} <= set(first)
    assert _repro(tmp_path) == []
    for question in params["questions"]:
        page = (tmp_path / "reports" / question / "report.html").read_text(encoding="utf-8")
        assert "synthetic" in page
