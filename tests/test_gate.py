"""Every rule of the gate is broken on purpose, on draws that are right otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from nssi_bayes import fit
from nssi_bayes import names as n
from nssi_bayes.check.gate import judge
from nssi_bayes.check.modes import exchanged
from nssi_bayes.spec import Params, Sampler, parse
from nssi_bayes.store import Layout, write_dataset, write_json

CHAINS, DRAWS, FUNCTIONS = 4, 1000, ["a", "b", "c"]
type Array = np.ndarray[Any, Any]


def _tree() -> xr.DataTree:
    """Four good chains: levels, slopes, loadings and correlations of three functions."""
    rng = np.random.default_rng(0)
    dims = {
        "A": (n.DISORDER, n.FUNCTION), "B": (n.FUNCTION, n.FACTOR), "L": (n.ROI, n.FUNCTION),
        "Omega": (n.FUNCTION, n.FUNCTION_OTHER),
    }  # fmt: skip
    coords = {
        n.FUNCTION: FUNCTIONS, n.FUNCTION_OTHER: FUNCTIONS, n.DISORDER: ["x", "y"],
        n.FACTOR: ["trauma"], n.ROI: ["r1", "r2", "r3", "r4"],
    }  # fmt: skip
    found = {}
    for name, own in dims.items():
        shape = [len(coords[d]) for d in own]
        middle = rng.normal(0, 0.5, shape)
        found[name] = ((n.CHAIN, n.DRAW, *own), middle + 0.1 * rng.standard_normal((CHAINS, DRAWS, *shape)))
    posterior = xr.Dataset(found, coords=coords)
    stats = {
        "diverging": np.zeros((CHAINS, DRAWS), dtype=bool), "depth": np.full((CHAINS, DRAWS), 4),
        "energy": rng.standard_normal((CHAINS, DRAWS)),
    }  # fmt: skip
    tree = xr.DataTree.from_dict(
        {
            "posterior": posterior.assign_coords(chain=np.arange(CHAINS), draw=np.arange(DRAWS)),
            "sample_stats": xr.Dataset({k: ((n.CHAIN, n.DRAW), v) for k, v in stats.items()}),
        }
    )
    tree.attrs.update(tune=200, rerun=0, target_accept=0.8)
    return tree


def _red(tree: xr.DataTree) -> set[str]:
    return {c.name for c in judge(tree, {}).checks if c.passed is False}


def _truncated(tree: xr.DataTree) -> None:
    """One chain ended early; what it did not draw is missing."""
    for array in tree["posterior"].data_vars.values():
        array[{n.CHAIN: 1, n.DRAW: slice(600, None)}] = np.nan


def _stuck(tree: xr.DataTree) -> None:
    """One chain stays where it is for the last two thirds."""
    for array in tree["posterior"].data_vars.values():
        last = array[{n.CHAIN: 2, n.DRAW: 300}].to_numpy()
        array[{n.CHAIN: 2, n.DRAW: slice(300, None)}] = last


def _reflected(tree: xr.DataTree) -> None:
    """In one chain everything of one function has the other sign."""
    for name in ("A", "B", "L"):
        array = tree["posterior"][name]
        at = {n.CHAIN: 3, n.FUNCTION: 1}
        array[at] = -array[at].to_numpy()


def _permuted(tree: xr.DataTree) -> None:
    """In one chain two functions have changed places."""
    for name in ("A", "B", "L"):
        array = tree["posterior"][name]
        array[{n.CHAIN: 0}] = array[{n.CHAIN: 0}].isel({n.FUNCTION: [1, 0, 2]}).to_numpy()


def _two_modes(tree: xr.DataTree) -> None:
    tree["posterior"]["B"][{n.CHAIN: 0, n.FUNCTION: 0}] += 1.0


def _deep(tree: xr.DataTree) -> None:
    tree["sample_stats"]["depth"][{n.DRAW: slice(0, 50)}] = 10


def _slow_energy(tree: xr.DataTree) -> None:
    walk = np.cumsum(tree["sample_stats"]["energy"].to_numpy(), axis=1)
    tree["sample_stats"]["energy"][:] = walk


def _sticky(tree: xr.DataTree) -> None:
    """Draws that come in runs of twenty: few effective ones, a large Monte Carlo error."""
    array = tree["posterior"]["A"]
    array[:] = np.repeat(array.to_numpy()[:, ::20], 20, axis=1)


def _diverging(tree: xr.DataTree) -> None:
    tree["sample_stats"]["diverging"][{n.CHAIN: 0, n.DRAW: 7}] = True


def test_good_chains_are_certified() -> None:
    assert judge(_tree(), {}).certified


@pytest.mark.parametrize(
    ("fault", "red"),
    [
        (_truncated, "rhat"), (_stuck, "moving"), (_stuck, "rhat"), (_reflected, "label_switching"),
        (_reflected, "modes"), (_permuted, "label_switching"), (_two_modes, "modes"), (_deep, "tree_depth"),
        (_slow_energy, "e_bfmi"), (_sticky, "mcse"), (_diverging, "divergences"),
    ],
)  # fmt: skip
def test_each_planted_chain_turns_its_check_red(fault: Callable[[xr.DataTree], None], red: str) -> None:
    tree = _tree()
    fault(tree)
    assert red in _red(tree)


def test_modes_apart_are_no_label_switching() -> None:
    """One slope elsewhere in one chain is a mode of its own, not an exchange of functions."""
    tree = _tree()
    _two_modes(tree)
    assert "label_switching" not in _red(tree)


def test_the_text_says_what_was_exchanged() -> None:
    for fault, word in ((_reflected, "reflected"), (_permuted, "exchanged")):
        tree = _tree()
        fault(tree)
        ratio, text = exchanged(tree["posterior"].to_dataset())
        assert ratio > 10
        assert word in text
        assert ("and 3" if fault is _reflected else "chains 0 and") in text


def test_functions_without_any_effect_are_not_called_exchanged() -> None:
    """Profiles of noise alone are as close in any order; that is no switching."""
    rng = np.random.default_rng(3)
    values = rng.standard_normal((CHAINS, DRAWS, 10, 3))
    noise = xr.Dataset({"L": ((n.CHAIN, n.DRAW, n.ROI, n.FUNCTION), values)})
    assert exchanged(noise)[0] < 2


def test_doubling_the_draws_is_one_parameter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sampler.double` doubles warm-up and draws, also of a model with draws of its own."""
    content = {
        "study": "s", "source": "x", "seed": 1, "roster": ["q/m"], "questions": ["q"],
        "sampler": {"double": True, "tune": 150, "draws": 200},
    }  # fmt: skip
    params = parse(Params, content, where="test")
    layout = Layout(tmp_path)
    write_json(layout.fingerprint("q/m"), {"fingerprint": "f", "points": [], "sampler": {"draws": 300}})
    write_dataset(layout.cohort("s"), xr.Dataset(attrs={"synthetic": 1, "title": "t"}))
    seen: list[Sampler] = []

    def stop(_: Any, sampler: Sampler, __: Any) -> None:
        seen.append(sampler)
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "read_model", lambda *_: None)
    monkeypatch.setattr(fit, "build", lambda *_, **__: None)
    monkeypatch.setattr(fit, "fit", stop)
    with pytest.raises(KeyboardInterrupt):
        fit.run(layout, params, model="q/m")
    assert (seen[0].tune, seen[0].draws) == (300, 600)
