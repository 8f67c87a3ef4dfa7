"""How long `ingest` and `score` take on a large table: 50 000 people, 200 items of one instrument.

``python benchmarks/ingest.py`` writes an invented folder to a temporary place, runs both stages and
prints their seconds. It reads what they wrote, so that a stage that did nothing would be seen.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import yaml

from nssi_bayes import ingest, score
from nssi_bayes import names as n
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, read_dataset

__all__ = ["folder", "measure"]

PEOPLE: Final = 50_000
ITEMS: Final = 200
_SCALES: Final = 10
_MISSING: Final = 0.02


def _form(items: int) -> dict[str, Any]:
    each = items // _SCALES
    subscales = {f"scale_{s}": list(range(s * each + 1, (s + 1) * each + 1)) for s in range(_SCALES)}
    return {
        "name": "large", "title": "An invented form", "form": "benchmark", "timeframe": "none",
        "items": items, "minimum": 0, "maximum": 4, "subscales": subscales,
        "reverse": list(range(2, items + 1, 7)), "score": "sum", "min_answered": 0.8,
        "polarity": dict.fromkeys(subscales, "high"), "verified": True, "verified_by": "invented",
        "reference": {"citation": "none"}, "licence": "none",
    }  # fmt: skip


def folder(root: Path, *, people: int = PEOPLE, items: int = ITEMS, seed: int = 1) -> Layout:
    """Write an invented folder, its study and its instrument.

    Parameters
    ----------
    root : pathlib.Path
        Where.
    people, items : int
        Size of the table; `items` a multiple of ten.
    seed : int
        Of the answers.

    Returns
    -------
    Layout
        The project.
    """
    rng = np.random.default_rng(seed)
    form = _form(items)
    each = items // _SCALES
    trait = np.repeat(rng.normal(size=(people, _SCALES)), each, axis=1)
    answers = np.clip(np.round(2 + trait + 0.7 * rng.normal(size=(people, items))), 0, 4).astype("int64")
    turned = np.array(form["reverse"]) - 1
    answers[:, turned] = 4 - answers[:, turned]
    table = pd.DataFrame(answers, columns=[f"q{i}" for i in range(1, items + 1)]).astype("str")
    table = table.mask(rng.random(table.shape) < _MISSING, "-99")
    labels = [f"sub-{k:06d}" for k in range(people)]
    table.insert(0, "participant_id", labels)
    person = pd.DataFrame({"participant_id": labels, "age": rng.integers(14, 60, people),
                           "dx": rng.integers(0, 2, people)})  # fmt: skip
    source = root / "source"
    source.mkdir(parents=True)
    table.to_csv(source / "large.csv", index=False)
    person.to_csv(source / "people.csv", index=False)
    layout = Layout(root)
    layout.instruments("large").mkdir(parents=True)
    (layout.instruments("large") / "large.yaml").write_text(yaml.safe_dump(form, sort_keys=False))
    study = {
        "title": "Benchmark, invented", "synthetic": True, "participants": {"table": "people.csv"},
        "covariates": {"age": {"column": "age"}},
        "disorders": {"table": "people.csv", "flags": {"mood": "dx"}},
        "instruments": {"large": {"table": "large.csv", "column": "q{item}", "missing": ["-99"]}},
        "items": ["large"],
    }  # fmt: skip
    layout.study("large").write_text(yaml.safe_dump(study, sort_keys=False))
    return layout


def measure(layout: Layout) -> dict[str, float]:
    """Run both stages and time them.

    Parameters
    ----------
    layout : Layout
        From `folder`.

    Returns
    -------
    dict of str to float
        Seconds of ``ingest`` and ``score``, and the share of answers that are missing afterwards.
    """
    params = Params(study="large", source=Path("source"), seed=1, roster=(), questions=())
    times: dict[str, float] = {}
    for name, room in (("ingest", ingest), ("score", score)):
        start = time.perf_counter()
        room.run(layout, params)
        times[name] = time.perf_counter() - start
    response = read_dataset(layout.scores("large"))[n.RESPONSE].to_numpy()
    return times | {"missing": float(np.isnan(response).mean())}


if __name__ == "__main__":
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--people", type=int, default=PEOPLE)
    reader.add_argument("--items", type=int, default=ITEMS)
    chosen = reader.parse_args()
    with tempfile.TemporaryDirectory() as place:
        made = folder(Path(place), people=chosen.people, items=chosen.items)
        found = measure(made)
    print({k: round(v, 3) for k, v in found.items()})  # noqa: T201
