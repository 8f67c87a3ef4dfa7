"""Every path, deterministic reading and writing: the only module that knows file names.

Writing is atomic (beside, then renamed), so a killed stage leaves no broken artefact, and carries
no clock: equal content gives equal bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from zlib import crc32

import numpy as np
import pandas as pd
import xarray as xr

from nssi_bayes.errors import ArtefactError, SpecError
from nssi_bayes.plain_yaml import load_yaml

__all__ = [
    "Layout", "atomic", "atomic_folder", "digest", "read_arrays", "read_dataset", "read_json", "read_table",
    "read_tree", "read_yaml", "seed_sequence", "write_arrays", "write_bytes", "write_dataset", "write_json",
    "write_table", "write_text", "write_tree",
]  # fmt: skip

type Numbers = Literal["predictive_checks", "prior_predictive", "sensitivity", "calibration"]
_CREATION: Final = ("creation_library", "creation_library_version", "creation_library_language")
_CLOCKS: Final = ("created_at", "sampling_time", "tuning_steps", *_CREATION)


@dataclass(frozen=True)
class Layout:
    """Where everything lies, relative to the root of a project.

    Parameters
    ----------
    root : pathlib.Path
        The folder that holds ``params.yaml``, ``data/``, ``models/`` and ``reports/``.
    """

    root: Path = Path(".")

    @property
    def params(self) -> Path:
        """The run's parameters: study, roster, seed, sampler."""
        return self.root / "params.yaml"

    def profile(self, name: str) -> Path:
        """Return a ready set of parameters."""
        return self.root / "profiles" / f"{name}.yaml"

    def profiles(self) -> list[Path]:
        """Return every ready set of parameters, by name."""
        return sorted(self.profile("*").parent.glob("*.yaml"))

    def note(self, name: str) -> Path:
        """Return what this machine remembers; no artefact."""
        return self.root / ".nssi_bayes" / f"{name}.json"

    def study_folder(self, study: str) -> Path:
        """Return the folder of one study's mapping and derived tables."""
        return self.root / "data" / study

    def study(self, study: str) -> Path:
        """Return the study's mapping."""
        return self.study_folder(study) / "study.yaml"

    def instruments(self, study: str) -> Path:
        """Return the folder of the study's own instruments."""
        return self.study_folder(study) / "instruments"

    def own_instruments(self) -> list[Path]:
        """Return the instruments of all studies, by path."""
        return sorted(self.instruments("*").parents[1].glob("*/instruments/*.yaml"))

    @property
    def pseudonym_key(self) -> Path:
        """The lab's secret behind pseudonyms; in no artefact and not in Git."""
        return self.root / ".nssi_bayes" / "pseudonym.key"

    def bids(self, study: str) -> Path:
        """Return the folder of the synthetic cohort."""
        return self.study_folder(study) / "bids"

    def truth(self, study: str) -> Path:
        """Return the file of the values behind a synthetic cohort."""
        return self.study_folder(study) / "truth.nc"

    def tables(self, study: str) -> Path:
        """Return the folder of tidy tables (row level)."""
        return self.study_folder(study) / "tables"

    def audit(self, study: str) -> Path:
        """Return the list of every value dropped or changed, of all stages (counts only)."""
        return self.study_folder(study) / "audit.tsv"

    def audit_of(self, stage: Literal["ingest", "score", "extract"], study: str) -> Path:
        """Return what one stage dropped, changed, flagged or found missing (counts only)."""
        return self.study_folder(study) / f"audit_{stage}.tsv"

    def scores(self, study: str) -> Path:
        """Return the oriented items and scales (row level)."""
        return self.study_folder(study) / "scores.nc"

    def activation(self, study: str) -> Path:
        """Return the regional effects with standard errors and coverage (row level)."""
        return self.study_folder(study) / "activation.nc"

    def connectivity(self, study: str) -> Path:
        """Return the edges with standard errors and effective frames (row level)."""
        return self.study_folder(study) / "connectivity.nc"

    def extracted(self, key: str) -> Path:
        """Return what was read from one person's images on this machine; no artefact (row level)."""
        return self.root / ".nssi_bayes" / "extracted" / f"{key}.npz"

    def cohort(self, study: str) -> Path:
        """Return the labelled data set that satisfies `schema` (row level)."""
        return self.study_folder(study) / "cohort.nc"

    def flow(self, study: str) -> Path:
        """Return the cohort flow and missingness (counts only)."""
        return self.study_folder(study) / "flow.json"

    def model_folder(self, model: str) -> Path:
        """Return the folder of one fit; `model` is ``"question/name"``."""
        return self.root / "models" / model

    def spec(self, model: str) -> Path:
        """Return the spec of one model."""
        return self.root / "models" / f"{model}.yaml"

    def fingerprint(self, model: str) -> Path:
        """Return the file that says whether the model changed."""
        return self.model_folder(model) / "fingerprint.json"

    def posterior(self, model: str) -> Path:
        """Return posterior and sample_stats of one fit."""
        return self.model_folder(model) / "posterior.nc"

    def preview(self, model: str) -> Path:
        """Return a quick approximation of a posterior, on this machine; no artefact, and no stage's."""
        return self.root / ".nssi_bayes" / "preview" / f"{model}.nc"

    def predictive(self, model: str) -> Path:
        """Return person-level latents and predictive checks (row level, restricted)."""
        return self.model_folder(model) / "predictive.nc"

    def loo(self, model: str) -> Path:
        """Return the pointwise scores of one fit (row level, restricted)."""
        return self.model_folder(model) / "loo.nc"

    def checks(self, model: str) -> Path:
        """Return the verdicts and summaries of one fit."""
        return self.model_folder(model) / "checks.json"

    def estimates(self, model: str) -> Path:
        """Return the population-level summaries that the report prints."""
        return self.model_folder(model) / "estimates.json"

    def numbers(self, what: Numbers, model: str) -> Path:
        """Return aggregated numbers of one model."""
        return self.model_folder(model) / f"{what}.json"

    def replication(self, model: str, key: str, index: int) -> Path:
        """Return one replication of a calibration; `key` says of what."""
        return self.root / ".nssi_bayes" / "calibration" / model / key / f"{index:05d}.json"

    def held_out(self, study: str, question: str) -> Path:
        """Return the scores of people who were left out for real; row level."""
        return self.root / "data" / study / "held_out" / f"{question}.nc"

    def held_note(self, key: str) -> Path:
        """Return one fit's scores of those it never saw, row level; `key` says of what."""
        return self.root / ".nssi_bayes" / "held_out" / f"{key}.npz"

    def left_out(self, question: str) -> Path:
        """Return how well each model foresees whole groups."""
        return self.root / "reports" / question / "left_out.json"

    def comparison(self, question: str) -> Path:
        """Return the comparison of one question's models."""
        return self.root / "reports" / question / "comparison.csv"

    def comparison_notes(self, question: str) -> Path:
        """Return what the comparison can and cannot tell, and its warnings."""
        return self.root / "reports" / question / "comparison.json"

    def report(self, question: str) -> Path:
        """Return the report of one question."""
        return self.root / "reports" / question / "report.html"

    def report_for(self, question: str, audience: str) -> Path:
        """Return a version of the report, for an audience or beside another revision."""
        return self.report(question).with_name(f"{audience}.html")

    def author(self, question: str) -> Path:
        """Return what only the authors can say, item by item of the reporting guidelines."""
        return self.report(question).with_name("author.yaml")

    @property
    def index(self) -> Path:
        """The page that leads to the reports of all questions."""
        return self.root / "reports" / "index.html"

    def card(self, model: str) -> Path:
        """Return the card of one model: intended use, data, limits."""
        return self.model_folder(model) / "card.md"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; renamed at the end, removed if the body raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`; it replaces `path` at the end, or goes if the body raises."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.mkdir(parents=True)
    try:
        yield beside
        if path.exists():
            shutil.rmtree(path)
        beside.replace(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _need(path: Path) -> Path:
    if not path.exists():
        raise ArtefactError("the file does not exist", where=str(path), cure="run `dvc repro` to write it")
    return path


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` unchanged."""
    with atomic(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends."""
    with atomic(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` with sorted keys and all digits; NaN is written as null."""
    write_text(path, json.dumps(_plain(content), sort_keys=True, indent=1, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    ArtefactError
        If the file is missing or is no JSON.
    """
    try:
        return dict(json.loads(_need(path).read_text(encoding="utf-8")))
    except ValueError as error:
        raise ArtefactError("not a JSON object", where=str(path), cure="run its stage again") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises
    ------
    SpecError
        If the file is missing, cannot be read, is no YAML mapping, or names a key twice.
    """
    if not path.exists():
        raise SpecError("the file does not exist", where=str(path), cure="write it, or mend its name")
    content = load_yaml(path)
    if not isinstance(content, dict):
        raise SpecError("expected keys and values at the top", where=str(path), cure="mend the YAML")
    return content


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a TSV or CSV (by suffix) without an index; missing is ``n/a`` in a TSV."""
    separator, missing = ("\t", "n/a") if path.suffix == ".tsv" else (",", "")
    with atomic(path) as beside:
        table.to_csv(beside, sep=separator, na_rep=missing, index=False, lineterminator="\n")


def read_table(path: Path) -> pd.DataFrame:
    """Read a TSV or CSV written by `write_table`."""
    separator = "\t" if path.suffix == ".tsv" else ","
    return pd.read_csv(_need(path), sep=separator, na_values=["n/a"], keep_default_na=True)


def _without_clocks(dataset: xr.Dataset) -> xr.Dataset:
    kept = {k: v for k, v in dataset.attrs.items() if k not in _CLOCKS and not k.startswith("perf_counter")}
    return dataset.assign_attrs().drop_attrs(deep=False).assign_attrs(kept)


def write_dataset(path: Path, dataset: xr.Dataset) -> None:
    """Write a netCDF4 file whose bytes depend on the content alone."""
    with atomic(path) as beside:
        _without_clocks(dataset).to_netcdf(beside, engine="h5netcdf")


def read_dataset(path: Path) -> xr.Dataset:
    """Read a whole netCDF file into memory.

    Raises
    ------
    ArtefactError
        If the file is missing or cannot be read.
    """
    with _opened(path), xr.open_dataset(_need(path), engine="h5netcdf") as dataset:
        return dataset.load()


@contextmanager
def _opened(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        cure = "run its stage again"
        raise ArtefactError("not a readable netCDF file", where=str(path), cure=cure) from error


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a few arrays for this machine only."""
    content = io.BytesIO()
    np.savez(content, **dict(arrays))  # type: ignore[arg-type]
    write_bytes(path, content.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read what `write_arrays` wrote."""
    with np.load(path) as content:
        return dict(content)


def write_tree(path: Path, tree: xr.DataTree) -> None:
    """Write an ArviZ tree whose bytes depend on the content alone."""
    with atomic(path) as beside:
        tree.map_over_datasets(_without_clocks).to_netcdf(beside, engine="h5netcdf")


def read_tree(path: Path) -> xr.DataTree:
    """Read a posterior as an ArviZ tree into memory.

    Raises
    ------
    ArtefactError
        If the file is missing or cannot be read, or holds a preview, which is no posterior.
    """
    with _opened(path), xr.open_datatree(_need(path), engine="h5netcdf") as tree:
        tree.load()
    if tree.attrs.get("preview"):
        cure = "run `nssi-bayes fit` for this model"
        raise ArtefactError("a preview, never certified, and no posterior", where=str(path), cure=cure)
    return tree


def digest(content: Mapping[str, Any] | bytes) -> str:
    """Return a SHA-256 of bytes, or of a mapping in canonical JSON."""
    if not isinstance(content, bytes):
        content = json.dumps(_plain(content), sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def seed_sequence(root: int, name: str) -> np.random.SeedSequence:
    """Return the seeds of a stage, or of the fit with fingerprint `name`, from the run's one `root` seed."""
    return np.random.SeedSequence([root, crc32(name.encode())])
