"""Writing is atomic, carries no clock, and gives equal bytes in two processes."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from nssi_bayes.errors import ArtefactError, SpecError
from nssi_bayes.store import (
    Layout,
    atomic,
    digest,
    read_dataset,
    read_json,
    read_table,
    read_tree,
    read_yaml,
    seed_sequence,
    write_dataset,
    write_json,
    write_table,
    write_text,
)

_WRITE_ALL = """
import sys
import time
from pathlib import Path
import numpy as np
import xarray as xr
from nssi_bayes.store import seed_sequence, write_dataset, write_json, write_tree

folder = Path(sys.argv[1])
rng = np.random.default_rng(seed_sequence(7, "fit"))
draws = xr.Dataset(
    {"level": (("chain", "draw", "disorder"), rng.normal(size=(2, 50, 2)))},
    coords={"disorder": ["mood", "eating"]},
    attrs={"created_at": str(time.time()), "sampling_time": time.time(), "perf_counter_end": time.time()},
)
write_dataset(folder / "a.nc", draws)
write_tree(folder / "b.nc", xr.DataTree.from_dict({"posterior": draws, "sample_stats": draws}))
write_json(folder / "c.json", {"names": sorted({"b", "a", "c"}), "value": 1 / 3})
"""


def test_two_processes_write_equal_bytes_without_a_clock(tmp_path: Path) -> None:
    """Trap 12: wall-clock attributes make equal draws unequal bytes."""
    for name, seed in [("one", "1"), ("two", "2")]:
        (tmp_path / name).mkdir()
        subprocess.run(
            [sys.executable, "-c", _WRITE_ALL, str(tmp_path / name)],
            check=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        )
    for name in ["a.nc", "b.nc", "c.json"]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert read_dataset(tmp_path / "one" / "a.nc").attrs == {}
    assert read_tree(tmp_path / "one" / "b.nc")["posterior"].attrs == {}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """Trap 15: a killed run must not leave a broken artefact."""
    path = tmp_path / "numbers.json"
    write_text(path, "old")

    def stop(beside: Path) -> None:
        beside.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), atomic(path) as beside:
        stop(beside)
    assert [p.name for p in tmp_path.iterdir()] == ["numbers.json"]
    assert path.read_text(encoding="utf-8") == "old"


def test_json_keeps_all_digits_and_sorts_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": np.float64(1 / 3), "a": [np.int64(2), math.nan, np.array([True])]})
    assert read_json(path) == {"a": [2, None, [True]], "b": 1 / 3}
    assert path.read_text(encoding="utf-8").index('"a"') < path.read_text(encoding="utf-8").index('"b"')


@pytest.mark.parametrize(("suffix", "missing"), [(".tsv", "n/a"), (".csv", "")])
def test_a_table_keeps_missing_values_and_digits(tmp_path: Path, suffix: str, missing: str) -> None:
    table = pd.DataFrame({"model": ["a", "b"], "elpd": [-1 / 3, math.nan]})
    path = tmp_path / f"t{suffix}"
    write_table(path, table)
    assert path.read_text(encoding="utf-8").splitlines()[2].endswith(missing)
    pd.testing.assert_frame_equal(read_table(path), table)


@pytest.mark.parametrize("read", [read_json, read_dataset, read_tree, read_table])
def test_a_missing_artefact_says_how_to_write_it(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(ArtefactError, match="does not exist") as caught:
        read(tmp_path / "absent")
    assert "dvc repro" in str(caught.value)


@pytest.mark.parametrize("read", [read_json, read_dataset, read_tree])
def test_a_broken_artefact_is_named(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "broken"
    path.write_bytes(b"no such format")
    with pytest.raises(ArtefactError, match="broken"):
        read(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1", "not valid YAML at line"), ("- a", "keys and values"),
        ("a: 1\nb: 2\na: 3", "'a' stands twice"),
        ("x:\n  a: 1\n  a: 3", "'a' stands twice at line 2"), ("a: 2020-13-45", "not valid YAML"),
        ("a: M\xfcller", "not a text in UTF-8"), ("? [a, b]\n: 2", "not valid YAML at line"),
        ("a: !!python/name:os.system", "not valid YAML at line"),
    ],
)  # fmt: skip
def test_broken_yaml_is_a_readable_error(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(SpecError, match=problem):
        read_yaml(path)


def test_yaml_of_a_windows_editor_and_merged_keys_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("\ufeffx: &x {a: 1}\r\ny: {<<: *x, a: 2}\r\n", encoding="utf-8")
    assert read_yaml(path) == {"x": {"a": 1}, "y": {"a": 2}}
    with pytest.raises(SpecError, match="cannot be read"):
        read_yaml(tmp_path)


def test_seeds_differ_by_stage_and_root() -> None:
    states = [
        tuple(seed_sequence(root, name).generate_state(4)) for root in (1, 2) for name in ("fit", "check")
    ]
    assert len(set(states)) == 4
    assert states[0] == tuple(seed_sequence(1, "fit").generate_state(4))


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})


def test_a_dataset_survives_the_round_trip(tmp_path: Path) -> None:
    data = xr.Dataset({"x": ("site", [1.5, math.nan])}, coords={"site": ["A", "B"]}, attrs={"title": "t"})
    write_dataset(tmp_path / "x.nc", data)
    xr.testing.assert_identical(read_dataset(tmp_path / "x.nc"), data)


def test_every_path_lies_under_the_root(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for path in [layout.cohort("demo"), layout.posterior("q/m"), layout.report("q"), layout.profile("ci")]:
        assert path.is_relative_to(tmp_path)
