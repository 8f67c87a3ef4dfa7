"""Tables, sidecars and descriptions of the synthetic BIDS folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.instruments import Instrument
from nssi_bayes.store import write_json, write_table, write_text

__all__ = ["NAME", "write_description", "write_participants", "write_phenotype"]

NAME: Final = "Synthetic NSSI cohort (invented people, no real data)"
_README: Final = f"""# {NAME}

Nobody in this folder exists. Every value was drawn by `nssi-bayes simulate` from the generative
story of the package's own joint model, with effect sizes from publications where there are any
(the package's `simulate/published.yaml` names the source of each constant). It shows the shape
of a study, and nothing about self-injury, a diagnosis or the brain can be learned from it.

Files: `participants.tsv`; `phenotype/*.tsv` with answers as ticked (reverse-keyed items are not
turned; items by number, without wording); for those who were scanned, `sub-*/func/` with an
effect and a variance map of one contrast (MNI152, 4 mm) and framewise displacement, and a
preprocessed series at rest (MNI152, 6 mm, the voxels of 24 regions only) with its confounds.
"""


def write_description(folder: Path) -> None:
    """Write ``dataset_description.json`` and ``README.md``.

    Parameters
    ----------
    folder : pathlib.Path
        The BIDS folder.
    """
    write_json(
        folder / "dataset_description.json",
        {
            "Name": NAME,
            "BIDSVersion": "1.10.0",
            "DatasetType": "derivative",
            "License": "CC0",
            "GeneratedBy": [{"Name": "nssi-bayes", "Description": "simulate"}],
            "SyntheticData": True,
        },
    )
    write_text(folder / "README.md", _README)


def write_participants(
    folder: Path, people: xr.Dataset, *, rng: np.random.Generator, published: dict[str, Any]
) -> None:
    """Write ``participants.tsv`` and its sidecar; some severities are missing.

    Parameters
    ----------
    folder : pathlib.Path
        The BIDS folder.
    people : xarray.Dataset
        From `draw_people`.
    rng : numpy.random.Generator
        Where missingness comes from.
    published : dict
        Constants by name.
    """
    disorders = [str(name) for name in people[n.DISORDER].to_numpy()]
    table = pd.DataFrame({"participant_id": people[n.PARTICIPANT].to_numpy()})
    for column in ("age", "sex"):
        table[column] = people[column].to_numpy()
    table["site"] = people[n.SITE_OF].to_numpy()
    for disorder in disorders:
        table[f"dx_{disorder}"] = people[n.DIAGNOSIS].sel({n.DISORDER: disorder}).to_numpy()
    severity = people["severity"].to_numpy().copy()
    severity[rng.random(len(severity)) < published["severity_missing"]] = np.nan
    table["severity"] = severity
    flag = {"0": "absent", "1": "present"}
    sidecar: dict[str, Any] = {
        "age": {"Description": "Age at assessment (invented)", "Units": "years"},
        "sex": {"Description": "Sex (invented)", "Levels": {"F": "female", "M": "male"}},
        "site": {"Description": "Site (invented)", "Levels": {s: f"site {s}" for s in published["site"]}},
        "severity": {
            "Description": f"Severity (invented): mean of {published['severity']['items']} items",
            "Minimum": 0,
            "Maximum": published["severity"]["maximum"],
        },
    }
    for disorder in disorders:
        sidecar[f"dx_{disorder}"] = {"Description": f"Diagnosis (invented): {disorder}", "Levels": flag}
    write_table(folder / "participants.tsv", table)
    write_json(folder / "participants.json", sidecar)


def write_phenotype(
    folder: Path, instrument: Instrument, *, raw: xr.DataArray, rng: np.random.Generator,
    published: dict[str, Any],
) -> None:  # fmt: skip
    """Write the answers to one instrument and its sidecar.

    Some answers are missing, and who skipped the instrument has no row.

    Parameters
    ----------
    folder : pathlib.Path
        The BIDS folder.
    instrument : Instrument
        Its key.
    raw : xarray.DataArray
        (`participant`, `item`) complete answers.
    rng : numpy.random.Generator
        Where missingness comes from.
    published : dict
        Constants by name.
    """
    answers = raw.to_pandas().astype("Int64")
    answers = answers.mask(rng.random(answers.shape) < published["item_missing"])
    answers = answers[rng.random(len(answers)) >= published["instrument_skipped"]]
    answers.columns.name = None
    answers.index.name = "participant_id"
    sidecar: dict[str, Any] = {
        "MeasurementToolMetadata": {
            "Description": f"{instrument.title} ({instrument.form}), answers of invented people",
            "TermURL": f"doi:{instrument.reference.doi}",
        }
    }
    highest = instrument.categories
    levels = {
        str(instrument.minimum + c): f"category {c + 1} of {highest}, counted from the lowest"
        for c in range(highest)
    }
    for item in instrument.numbers:
        sidecar[instrument.label(item)] = {"Description": f"Item {item}, as ticked", "Levels": levels}
    write_table(folder / "phenotype" / f"{instrument.name}.tsv", answers.reset_index())
    write_json(folder / "phenotype" / f"{instrument.name}.json", sidecar)
