"""Replications side by side: shards, processes of this machine, a Dask cluster."""

from __future__ import annotations

import shutil
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from designs import small_cohort
from nssi_bayes import calibrate, cli
from nssi_bayes.calibrate import shards
from nssi_bayes.errors import SpecError
from nssi_bayes.spec import Params, parse
from nssi_bayes.store import Layout, read_json, write_dataset, write_text

ROOT = Path(__file__).parents[1]


def test_shards_share_the_numbers_and_go_on_where_they_were(tmp_path: Path) -> None:
    run: list[int] = []

    def one(index: int) -> dict[str, Any]:
        run.append(index)
        return {"index": index}

    def path_of(index: int) -> Path:
        return tmp_path / f"{index}.json"

    assert shards.fill(one, range(0, 6, 2), path_of=path_of) == 3
    with ThreadPoolExecutor(2) as executor:
        assert shards.fill(one, range(6), path_of=path_of, executor=executor) == 3
    assert sorted(run) == list(range(6))
    assert shards.fill(pytest.fail, range(6), path_of=path_of) == 0  # type: ignore[arg-type]
    assert [f["index"] for f in shards.read_all(path_of(i) for i in range(8))] == list(range(6))


@pytest.mark.parametrize("text", ["", "1", "2/2", "-1/2", "a/b", "1/0"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="is no shard"):
        shards.parse_shard(text)
    assert shards.parse_shard("1/2") == (1, 2)


def test_dask_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(SpecError, match="Dask is not installed"),
        shards.open_workers("tcp://scheduler:8786"),
    ):
        pass


@pytest.mark.parametrize("text", ["", "0", "-2", "two", "2.5", "scheduler:8786"])
def test_workers_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SpecError, match="neither a number of processes nor an address"):
        shards.parse_workers(text)
    assert shards.parse_workers("2") == 2
    assert shards.parse_workers("tcp://scheduler:8786") == "tcp://scheduler:8786"


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the address of something that takes a call and says nothing, as a web page's port does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_an_address_without_a_scheduler_is_refused_soon(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_PATIENCE", 0.5)
    for address in (silent, "tcp://127.0.0.1:9", "tcp://", "tcp://127.0.0.1", "foo://scheduler:8786"):
        start = time.monotonic()
        with (
            pytest.raises(SpecError, match=f"no Dask scheduler answers at {address}") as found,
            shards.open_workers(address),
        ):
            pass
        assert time.monotonic() - start < 10
        assert "the address that `dask scheduler` prints" in str(found.value)


def test_wrong_workers_are_one_message_and_exit_2(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    arguments = ["calibrate", "structure/shared", "--workers", "many"]
    result = CliRunner().invoke(cli.app, ["--root", str(tmp_path), *arguments])
    assert result.exit_code == 2
    assert "--workers" in result.output
    assert "tcp://scheduler:8786" in result.output
    assert "Traceback" not in result.output


def _calibrated(folder: Path, workers: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the summary of two small replications, and both."""
    layout = Layout(folder)
    write_dataset(layout.cohort("s"), small_cohort(40))
    write_text(layout.spec("q/m"), "description: tiny\nfunctions:\n  self_related: "
               "[affect_regulation, anti_dissociation, marking_distress]\nfactors: [trauma]\n")  # fmt: skip
    content = {"study": "s", "source": "x", "seed": 1, "roster": ["q/m"], "questions": ["q"],
               "calibration": {"chains": 2, "tune": 100, "draws": 100}}  # fmt: skip
    params = parse(Params, content, where="test")
    calibrate.run(layout, params, model="q/m", work=calibrate.Work(replications=2, workers=workers))
    kept = layout.replication("q/m", "key", 0).parents[1]
    each = shards.read_all(sorted(kept.glob("*/*.json")))
    return read_json(layout.numbers("calibration", "q/m")), each


def test_a_dask_cluster_finds_what_processes_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    monkeypatch.setattr(shards, "_PATIENCE", 60.0)  # its scheduler is a thread of this process, which is busy
    here, each = _calibrated(tmp_path / "processes", "2")
    assert [one["index"] for one in each] == [0, 1]
    assert here["failures"]["broken"] == 0
    with LocalCluster(
        n_workers=1, threads_per_worker=1, protocol="tcp", dashboard_address=None, processes=False
    ) as cluster:
        there, others = _calibrated(tmp_path / "dask", cluster.scheduler_address)
        assert cluster.workers[0].state.executed_count == 2
    assert (there, others) == (here, each)
