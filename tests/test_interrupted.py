"""A fit that is interrupted or killed while it draws leaves nothing that is read as a posterior."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from cohort import add_scores

from designs import small_cohort
from nssi_bayes import build, fit
from nssi_bayes.errors import ArtefactError
from nssi_bayes.spec import read_params
from nssi_bayes.store import Layout, read_tree, write_dataset

ROOT = Path(__file__).parents[1]
ITEMS = ["affect_regulation", "anti_dissociation", "marking_distress"]
SCALES = ["one", "two", "three"]
LONG = {"small/items": (ITEMS, 3000), "small/scales": (SCALES, 12_000)}
"""Chains in processes of their own, and chains where the command runs: draws enough for half a minute."""
SCRIPT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what runs in the background
if __name__ == "__main__":
    from nssi_bayes.cli import main
    main()
"""


def _draws(layout: Layout, model: str, draws: int) -> None:
    params = yaml.safe_load((ROOT / "profiles" / "ci.yaml").read_text(encoding="utf-8"))
    params |= {"roster": [model], "questions": ["small"]}
    params["sampler"] |= {"chains": 2, "draws": draws}
    layout.params.write_text(yaml.safe_dump(params), encoding="utf-8")


@pytest.fixture(params=LONG)
def begun(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Layout, str, subprocess.Popen[str]]:
    """A fit that has said how many draws it has."""
    layout, model = Layout(tmp_path), str(request.param)
    members, draws = LONG[model]
    _draws(layout, model, draws)
    cohort = add_scores(small_cohort(60), SCALES, np.random.default_rng(1).standard_normal((60, 3)))
    write_dataset(layout.cohort("demo"), cohort)
    layout.spec(model).parent.mkdir(parents=True)
    spec = {"description": "small", "functions": {"inner": members}}
    layout.spec(model).write_text(yaml.safe_dump(spec), encoding="utf-8")
    build.run(layout, read_params(layout.params), model=model)
    (tmp_path / "run.py").write_text(SCRIPT, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py"), "--root", str(tmp_path), "fit", model],
        stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if " draws, about " in line:
            return layout, model, process
    pytest.fail("the fit ended before it said anything of its draws")


def _files(layout: Layout, model: str) -> list[str]:
    return sorted(path.name for path in layout.posterior(model).parent.iterdir())


def _again(layout: Layout, model: str) -> None:
    """A further fit, a short one, begins and ends as if nothing had been."""
    _draws(layout, model, 100)
    fit.run(layout, read_params(layout.params), model=model)
    assert read_tree(layout.posterior(model))["posterior"].sizes["draw"] == 100
    assert _files(layout, model) == ["fingerprint.json", "posterior.nc"]


def test_an_interrupted_fit_says_so_in_one_line_and_leaves_no_posterior(
    begun: tuple[Layout, str, subprocess.Popen[str]],
) -> None:
    layout, model, process = begun
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if " draws, about " not in line]
    assert lines == ["Interrupted. Nothing is half-written; run the same command again."]
    assert _files(layout, model) == ["fingerprint.json"]
    _again(layout, model)


def test_a_killed_fit_leaves_nothing_that_is_read_as_a_posterior(
    begun: tuple[Layout, str, subprocess.Popen[str]],
) -> None:
    layout, model, process = begun
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(ArtefactError, match="does not exist"):
        read_tree(layout.posterior(model))
    _again(layout, model)


HALF = """
import sys, time
from pathlib import Path
from nssi_bayes.store import atomic
with atomic(Path(sys.argv[1])) as beside:
    beside.write_bytes(b"half of a posterior")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_killed_while_it_writes_it_leaves_what_nothing_reads(tmp_path: Path) -> None:
    path = Layout(tmp_path).posterior("small/items")
    process = subprocess.Popen([sys.executable, "-c", HALF, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.kill()
    process.communicate(timeout=30)
    (left,) = path.parent.iterdir()
    assert left.name.startswith(".posterior.nc.")
    with pytest.raises(ArtefactError, match="does not exist"):
        read_tree(path)
