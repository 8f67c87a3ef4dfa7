"""The command line: light, readable, and nothing half-written."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import ModuleType

import arviz as az
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from nssi_bayes import cli, load_posterior
from nssi_bayes.errors import ArtefactError, DataError
from nssi_bayes.progress import stages_left
from nssi_bayes.spec import Params, parse, read_params
from nssi_bayes.store import Layout, write_json, write_tree

ROOT = Path(__file__).parents[1]
VERBS = ["simulate", "ingest", "score", "extract", "assemble", "build", "fit", "check", "compare", "report",
         "share", "cite"]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with the parameters of the demo and nothing else."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    return tmp_path


def _call(project: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["--root", str(project), *arguments])
    return result.exit_code, result.output


def _room(monkeypatch: pytest.MonkeyPatch, verb: str, run: object) -> None:
    module = ModuleType(f"nssi_bayes.{verb}")
    module.__dict__["run"] = run
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_help_imports_neither_sampler_nor_images() -> None:
    code = (
        "import json, os, sys\nsys.argv = ['nssi-bayes', '--help']\nfrom nssi_bayes.cli import main\n"
        "os._exit = sys.exit\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    *lines, modules = done.stdout.splitlines()
    for verb in [*VERBS, "profile"]:
        assert any(line.split()[:1] == [verb] for line in lines)
    heavy = {"pymc", "pytensor", "nilearn", "arviz", "jax", "numpy", "pandas", "xarray"}
    assert heavy.isdisjoint(json.loads(modules))


def test_the_import_of_the_package_is_light() -> None:
    code = "import sys, nssi_bayes; assert not {'numpy', 'xarray', 'pymc'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_without_a_project(verb: str) -> None:
    result = CliRunner().invoke(cli.app, [verb, "--help"])
    assert result.exit_code == 0
    assert "..." not in result.output.splitlines()[2]


@pytest.mark.parametrize(
    ("arguments", "chosen"),
    [
        (["score"], {}),
        (["fit", "structure/shared"], {"model": "structure/shared"}),
        (["report", "outcome"], {"question": "outcome", "audience": "research", "against": ""}),
        (
            ["report", "outcome", "--audience", "clinical", "--against", "HEAD"],
            {"question": "outcome", "audience": "clinical", "against": "HEAD"},
        ),
        (["share", "structure/shared", "-o", "out"], {"model": "structure/shared", "out": Path("out")}),
    ],
)
def test_a_verb_runs_its_room(
    project: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], chosen: dict[str, str]
) -> None:
    calls = []
    _room(monkeypatch, arguments[0], lambda layout, params, **kw: calls.append((layout, params, kw)))
    code, output = _call(project, *arguments)
    assert (code, output) == (0, "")
    assert calls == [(Layout(project), read_params(project / "params.yaml"), chosen)]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["fit", "structure/shard"], "Did you mean 'structure/shared'?"),
        (["report", "outcom"], "Did you mean 'outcome'?"),
        (["share", "structure/shard", "-o", "out"], "Did you mean 'structure/shared'?"),
        (["cite", "outcom"], "Did you mean 'outcome'?"),
        (["profile", "dmo"], "Did you mean 'demo'?"),
    ],
)
def test_a_wrong_name_is_one_message_and_exit_2(project: Path, arguments: list[str], hint: str) -> None:
    code, output = _call(project, *arguments)
    assert code == 2
    assert hint in output
    assert "What to do" in output
    assert "Traceback" not in output


def test_an_unknown_key_is_one_message_and_exit_2(project: Path) -> None:
    params = project / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8") + "sead: 3\n", encoding="utf-8")
    code, output = _call(project, "ingest")
    assert code == 2
    assert "Did you mean 'seed'?" in output
    assert "params.yaml" in output


def test_an_error_of_a_room_is_one_message_and_exit_2(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(layout: Layout, params: Params) -> None:
        raise DataError(
            ["2 people stand twice", "1 value is outside 0 to 2"], where="isas.tsv", cure="mend it"
        )

    _room(monkeypatch, "ingest", run)
    code, output = _call(project, "ingest")
    assert code == 2
    assert output.splitlines()[0] == "Error: isas.tsv: 2 problems"
    assert "Traceback" not in output


def test_a_fault_of_the_program_is_no_user_error(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(layout: Layout, params: Params) -> None:
        raise ZeroDivisionError

    _room(monkeypatch, "ingest", run)
    result = CliRunner().invoke(cli.app, ["--root", str(project), "ingest"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_an_interruption_leaves_no_half_written_file(project: Path) -> None:
    code = """
import signal, sys, time
from types import ModuleType
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what runs in the background
from nssi_bayes import cli
from nssi_bayes.store import atomic

def run(layout, params):
    with atomic(layout.audit(params.study)) as beside:
        beside.write_text("half")
        print("writing", flush=True)
        time.sleep(60)

room = ModuleType("nssi_bayes.ingest")
room.run = run
sys.modules[room.__name__] = room
sys.argv = ["nssi-bayes", "--root", sys.argv[1], "ingest"]
cli.main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(project)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted." in errors
    assert "Traceback" not in errors
    assert list((project / "data").rglob("*")) == [project / "data" / "demo"]


def test_a_stage_runs_with_hash_seed_0_and_one_thread(project: Path) -> None:
    """Trap 8: Bambi's order of parameters depends on the hash seed."""
    code = """
import os, sys
from types import ModuleType
from nssi_bayes import cli
room = ModuleType("nssi_bayes.ingest")
room.run = lambda layout, params: print(
    os.environ["PYTHONHASHSEED"], sys.flags.hash_randomization, os.environ["OMP_NUM_THREADS"])
sys.modules[room.__name__] = room
sys.argv = ["nssi-bayes", "--root", sys.argv[1], "ingest"]
cli.main()
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONHASHSEED", "OMP_NUM_THREADS")}
    for seed in [{}, {"PYTHONHASHSEED": "5"}]:
        done = subprocess.run(
            [sys.executable, "-c", code, str(project)],
            check=True, capture_output=True, text=True, env={**environment, **seed},
        )  # fmt: skip
        assert done.stdout.split() == ["0", "0", "1"]
        assert "ingest: started, about" in done.stderr
        assert "ingest: done in" in done.stderr


def test_profiles_are_listed_and_written(project: Path) -> None:
    code, said = _call(project, "profile")
    known = ["ci", "demo", "ds000030", "ds002748", "ds004605", "full", "placebo", "thorough"]
    assert (code, said.split()) == (0, known)
    code, _ = _call(project, "profile", "ci")
    assert code == 0
    assert (project / "params.yaml").read_bytes() == (project / "profiles" / "ci.yaml").read_bytes()


def test_a_profile_does_not_silently_replace_changes(project: Path) -> None:
    params = project / "params.yaml"
    own = params.read_text(encoding="utf-8").replace("rope: 0.2", "rope: 0.3")
    params.write_text(own, encoding="utf-8")
    code, output = _call(project, "profile", "full")
    assert (code, params.read_text(encoding="utf-8")) == (2, own)
    assert "--overwrite" in output
    assert _call(project, "profile", "full", "--overwrite")[0] == 0


def test_what_is_left_follows_the_roster_and_the_files(project: Path) -> None:
    layout = Layout(project)
    params = parse(
        Params,
        {"study": "x", "source": "s", "seed": 1, "roster": ["q/a", "q/b"], "questions": ["q"]},
        where="params.yaml",
    )
    left = stages_left(layout, params)
    assert left == [
        "ingest", "score", "extract", "assemble",
        "build", "fit", "check", "build", "fit", "check", "crossvalidate", "compare", "report",
    ]  # fmt: skip
    more = {"cross_validation": {"scheme": "auto"}, "sensitivity": {"models": ["q/a"]}}
    asked = parse(Params, {**params.model_dump(), **more}, where="params.yaml")
    assert stages_left(layout, asked)[-4:] == ["sensitivity", "crossvalidate.fits", "compare", "report"]
    layout.posterior("q/a").parent.mkdir(parents=True)
    layout.posterior("q/a").touch()
    assert stages_left(layout, params).count("fit") == 1


def test_the_time_of_a_verb_is_remembered(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _room(monkeypatch, "score", lambda layout, params: time.sleep(0.01))
    monkeypatch.setattr(logging.getLogger("nssi_bayes"), "propagate", True)
    with caplog.at_level(logging.INFO, logger="nssi_bayes"):
        _call(project, "score")
    assert caplog.messages[0].startswith("score: started, about 2 s; ")
    assert " stages to go, about " in caplog.messages[0]
    assert 0.01 <= json.loads(Layout(project).note("durations").read_text(encoding="utf-8"))["score"] < 2


def test_a_posterior_says_whether_it_is_certified(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_tree(layout.posterior("q/m"), xr.DataTree.from_dict({"posterior": xr.Dataset({"B": 1.0})}))
    with pytest.warns(UserWarning, match="was not checked"):
        assert load_posterior("q/m", tmp_path).attrs["certified"] == -1
    write_json(layout.checks("q/m"), {"certified": False})
    with pytest.warns(UserWarning, match="not to be believed"):
        assert load_posterior("q/m", tmp_path).attrs["certified"] == 0
    write_json(layout.checks("q/m"), {"certified": True})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_posterior("q/m", tmp_path).attrs["certified"] == 1


def test_arviz_summarises_all_of_a_posterior(tmp_path: Path) -> None:
    """A coord that is no dim's own, such as the network of a region, stopped ``az.summary``."""
    rng, dims = np.random.default_rng(1), ("chain", "draw", "roi")
    draws = xr.Dataset(
        {"L": (dims, rng.normal(size=(4, 50, 2))), "tau": (dims[:2], rng.normal(size=(4, 50)))},
        coords={"roi": ["AMY_L", "VS_R"], "roi_network": ("roi", ["limbic", "reward"])},
    )
    tree = xr.DataTree.from_dict({"posterior": draws})
    tree.attrs["title"] = "a cohort"
    write_tree(Layout(tmp_path).posterior("q/m"), tree)
    write_json(Layout(tmp_path).checks("q/m"), {"certified": True})
    found = load_posterior("q/m", tmp_path)
    assert list(az.summary(found).index) == ["L[AMY_L]", "L[VS_R]", "tau"]
    assert found.attrs == {"title": "a cohort", "certified": 1}


def test_a_posterior_that_is_not_there_is_a_readable_error(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="dvc repro"):
        load_posterior("structure/shared", tmp_path)
