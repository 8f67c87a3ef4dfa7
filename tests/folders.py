"""A small invented source folder with its study file, for the measurement rooms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from nssi_bayes import ingest
from nssi_bayes.errors import DataError
from nssi_bayes.instruments import read_instrument
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, read_table

PEOPLE = 60
DISORDERS = ("mood", "eating", "anxiety")


def params(**changes: Any) -> Params:
    values = {"study": "toy", "source": "source", "seed": 1, "roster": ("a/b",), "questions": ("a",)}
    return Params(**{**values, **changes})


def mapping(**changes: Any) -> dict[str, Any]:
    study = {
        "title": "Toy cohort, invented",
        "synthetic": True,
        "participants": {"site": "site"},
        "covariates": {"age": {"column": "age"}, "sex": {"column": "sex", "codes": {"F": 1, "M": 0}}},
        "disorders": {"flags": {name: f"dx_{name}" for name in DISORDERS}},
        "instruments": {
            "isas": {"table": "phenotype/isas.tsv", "column": "isas_{item:02d}"},
            "ctq_sf": {"table": "phenotype/ctq_sf.tsv", "column": "ctq_sf_{item:02d}"},
        },
        "items": ["isas"],
        "factors": {"trauma": {"instrument": "ctq_sf", "scale": "total"}},
        "outcomes": {"severity": {"column": "severity", "minimum": 0, "maximum": 20}},
    }
    return {**study, **changes}


def responses(name: str, rng: np.random.Generator) -> pd.DataFrame:
    """Raw responses (people x items) with one trait a subscale, reverse-keyed items un-reversed."""
    form = read_instrument(name)
    high = np.full((PEOPLE, form.items), 0.0)
    shared = rng.normal(size=(PEOPLE, 1))
    for items in form.subscales.values():
        trait = 0.6 * shared + 0.8 * rng.normal(size=(PEOPLE, 1))
        high[:, [i - 1 for i in items]] = trait + 0.6 * rng.normal(size=(PEOPLE, len(items)))
    cuts = np.linspace(-1.2, 1.2, form.categories - 1)
    raw = form.minimum + (high[..., None] > cuts).sum(axis=-1)
    turned = [i - 1 for i in form.reverse]
    raw[:, turned] = form.minimum + form.maximum - raw[:, turned]
    labels = [f"sub-{k:03d}" for k in range(PEOPLE)]
    table = pd.DataFrame(raw, columns=[form.label(i) for i in form.numbers])
    table.insert(0, "participant_id", labels)
    return table.astype("str")


def people(rng: np.random.Generator) -> pd.DataFrame:
    flags = rng.binomial(1, 0.4, size=(PEOPLE, len(DISORDERS)))
    flags[0] = 1
    table = {
        "participant_id": [f"sub-{k:03d}" for k in range(PEOPLE)],
        "age": rng.integers(16, 26, PEOPLE),
        "sex": rng.choice(["F", "M"], PEOPLE),
        "site": [f"{'AB'[k % 2]}" for k in range(PEOPLE)],
        **{f"dx_{name}": flags[:, k] for k, name in enumerate(DISORDERS)},
        "severity": rng.normal(10, 2, PEOPLE).round(2),
    }
    return pd.DataFrame(table).astype("str")


def tables() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(7)
    return {
        "participants.tsv": people(rng),
        "phenotype/isas.tsv": responses("isas", rng),
        "phenotype/ctq_sf.tsv": responses("ctq_sf", rng),
    }


def write(root: Path, content: dict[str, pd.DataFrame], study: dict[str, Any]) -> Layout:
    """Write a source folder and its study file below `root`."""
    layout = Layout(root)
    for name, table in content.items():
        path = root / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, sep="\t", index=False, lineterminator="\n")
    layout.study("toy").parent.mkdir(parents=True, exist_ok=True)
    layout.study("toy").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return layout


def read(
    root: Path, content: dict[str, pd.DataFrame], study: dict[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ingest; return the people and the audit."""
    layout = write(root, content, study)
    ingest.run(layout, params())
    people = read_table(layout.tables("toy") / "participants.tsv").set_index("participant_id")
    return people, read_table(layout.audit_of("ingest", "toy"))


def refused(root: Path, content: dict[str, pd.DataFrame], study: dict[str, Any]) -> str:
    """Return the message with which ingest refuses, without the folder: its number may be a value."""
    with pytest.raises(DataError) as caught:
        ingest.run(write(root, content, study), params())
    return str(caught.value).replace(str(root), "FOLDER")
