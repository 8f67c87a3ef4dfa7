"""fMRIPrep derivatives, or series that are ready-made -> regional series and how they were cleaned."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from nssi_bayes.atlases import Voxels
from nssi_bayes.extract.denoise import cleaning
from nssi_bayes.extract.effective import Cleaning
from nssi_bayes.extract.images import frames_of, load
from nssi_bayes.extract.problems import Problem
from nssi_bayes.extract.quality import DISPLACEMENT, temporal_snr
from nssi_bayes.extract.regions import Grids
from nssi_bayes.imaging import ConnectivitySource, Denoise

if TYPE_CHECKING:
    import numpy.typing as npt

    type Array = npt.NDArray[np.float64]

__all__ = ["Series", "confounds_beside", "from_bold", "from_table", "read_numbers", "regional_series"]

_SPATIAL: Final = re.compile(r"_(?:space|res|desc|den|cohort)-[A-Za-z0-9+]+")


class Series(NamedTuple):
    """Regional series of one run.

    Parameters
    ----------
    raw : numpy.ndarray
        (`frame`, `roi`) before cleaning; NaN columns for regions without enough coverage.
    keep : numpy.ndarray
        Positions of the frames that are kept.
    cleaning : Cleaning
        What is done to them.
    coverage : numpy.ndarray
        (`roi`,) share of voxels with data.
    displacement : float
        Mean framewise displacement in mm; NaN where unknown.
    snr : float
        Temporal signal-to-noise ratio; NaN where unknown.
    """

    raw: Array
    keep: npt.NDArray[np.intp]
    cleaning: Cleaning
    coverage: Array
    displacement: float
    snr: float

    @property
    def cleaned(self) -> Array:
        """The series after cleaning, kept frames only (`frame`, `roi`)."""
        return np.asarray((self.cleaning.full @ np.nan_to_num(self.raw))[self.keep])


def confounds_beside(bold: Path) -> Path:
    """Return the confounds file that belongs to a BOLD image of fMRIPrep."""
    stem = _SPATIAL.sub("", bold.name.split(".")[0]).removesuffix("_bold")
    names = (f"{stem}_desc-confounds_{suffix}.tsv" for suffix in ("timeseries", "regressors"))
    paths = [bold.with_name(name) for name in names]
    return next((path for path in paths if path.exists()), paths[0])


def from_bold(bold: Path, confounds: Path, *, rule: ConnectivitySource, grids: Grids) -> Series:
    """Read one run of fMRIPrep.

    Parameters
    ----------
    bold, confounds : pathlib.Path
        The image, and the confounds beside it.
    rule : ConnectivitySource
        How it is cleaned.
    grids : Grids
        The atlas.

    Returns
    -------
    Series
        One run.

    Raises
    ------
    Problem
        If anything is missing or broken, or too few frames are left.
    """
    image = load(bold)
    if len(image.shape) != 4:
        raise Problem("series")
    frames = image.shape[3]
    if frames < rule.min_frames:
        raise Problem("frames")
    t_r = rule.t_r or _repetition_time(bold, image.header.get_zooms()[3])
    regions = grids.on(image.shape[:3], affine=np.asarray(image.affine, dtype=float))
    if not regions.inside:
        raise Problem("outside")
    if not confounds.exists():
        raise Problem("confounds")
    regressors, keep = _confounds(bold, frames, rule.denoise)
    if len(keep) < rule.min_frames:
        raise Problem("frames")
    raw, coverage = regional_series(frames_of(image, np.concatenate(regions.voxels)), regions)
    raw[:, coverage < rule.min_coverage] = np.nan
    band = {"high_pass_hz": rule.denoise.high_pass_hz, "low_pass_hz": rule.denoise.low_pass_hz}
    done = cleaning(frames, keep=keep, confounds=regressors, t_r=t_r, **band)
    return Series(raw, keep, done, coverage, displacement_of(confounds), temporal_snr(raw))


def displacement_of(confounds: Path) -> float:
    """Return the mean framewise displacement in mm, NaN without that column."""
    try:
        table = pd.read_csv(confounds, sep="\t", na_values=["n/a"], usecols=[DISPLACEMENT])
    except (ValueError, OSError):
        return float("nan")
    values = pd.to_numeric(table[DISPLACEMENT], errors="coerce").to_numpy(dtype=float)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _repetition_time(bold: Path, zoom: float) -> float:
    """Return seconds between frames from the sidecar or the header."""
    sidecar = bold.with_name(bold.name.split(".")[0] + ".json")
    told = None
    if sidecar.exists():
        try:
            told = json.loads(sidecar.read_text(encoding="utf-8")).get("RepetitionTime")
        except (ValueError, AttributeError):
            told = None
    t_r = float(told) if isinstance(told, int | float) else float(zoom)
    if not 0.1 < t_r < 20:  # 0 or 1 000 stand in headers that were never filled, or in milliseconds
        raise Problem("t_r")
    return t_r


def _confounds(bold: Path, frames: int, denoise: Denoise) -> tuple[Array, npt.NDArray[np.intp]]:
    """Return regressors (`frame`, regressor) and the frames that are kept."""
    from nilearn.interfaces.fmriprep import load_confounds_strategy

    try:
        table, mask = load_confounds_strategy(
            str(bold), denoise_strategy=denoise.strategy, **denoise.arguments()
        )
    except (ValueError, KeyError, IndexError, OSError):
        raise Problem("columns") from None  # its messages name the person's files
    values = table.to_numpy(dtype=float).reshape(len(table), -1)
    if len(values) != frames:
        raise Problem("length")
    keep = np.arange(frames) if mask is None else np.asarray(mask)
    if not np.isfinite(values).all():
        raise Problem("columns")
    return values, keep


def regional_series(slabs: Iterable[Array], regions: Voxels) -> tuple[Array, Array]:
    """Average series over regions, a few frames at a time.

    A voxel has data when it is finite and varies within the first frames; outside its mask fMRIPrep
    writes 0.

    Parameters
    ----------
    slabs : iterable of numpy.ndarray
        (voxel, `frame`) in the order of the regions' voxels.
    regions : Voxels
        Voxels by region.

    Returns
    -------
    tuple of numpy.ndarray
        Series (`frame`, `roi`), NaN for a region without data, and coverage (`roi`,).
    """
    weight = np.concatenate(regions.weight)
    region = np.repeat(np.arange(len(regions.voxels)), [len(v) for v in regions.voxels])
    mean: csr_array | None = None
    coverage = np.zeros(len(regions.voxels))
    series = []
    for slab in slabs:
        if mean is None:
            has_data = np.isfinite(slab).all(axis=1) & (np.ptp(slab, axis=1) > 0)
            used = np.flatnonzero(has_data)
            shape = (len(regions.voxels), len(weight))
            sums = csr_array((weight[used], (region[used], used)), shape=shape)
            total = np.asarray(sums.sum(axis=1)).ravel()
            coverage = total / regions.size
            mean = csr_array((weight[used] / total[region[used]], (region[used], used)), shape=shape)
            present = total > 0
        series.append(mean @ np.where(has_data[:, None], slab, 0.0))
    found = np.concatenate(series, axis=1).T
    found[:, ~present] = np.nan
    return found, coverage


def read_numbers(path: Path, *, index: bool) -> pd.DataFrame:
    """Read a TSV or CSV of numbers with a label a column.

    Parameters
    ----------
    path : pathlib.Path
        The table.
    index : bool
        Whether the first column holds a label a row.

    Returns
    -------
    pandas.DataFrame
        Floats; ``n/a`` and empty cells are NaN.

    Raises
    ------
    Problem
        If it is no such table.
    """
    separator = "," if path.suffix == ".csv" else "\t"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = next(csv.reader(file, delimiter=separator), [])
        table = pd.read_csv(
            path, sep=separator, na_values=["n/a"], encoding="utf-8-sig", index_col=0 if index else None
        )
        table = table.astype(float)
    except (ValueError, OSError):
        raise Problem("table") from None
    if len(set(head)) < len(head):  # pandas would call the second of a label by another name
        raise Problem("table")
    return table


def from_table(path: Path, labels: list[str], *, rule: ConnectivitySource) -> Series:
    """Read a series that was cleaned by another program, such as xcp_d.

    What was done to it is known in outline only. Frames that are missing in every column count as
    dropped. The autocovariance is that of the series as it stands, which has the filter in it; the
    regressors are counted in `run_edges`, as frames of the pass band that they took.

    Parameters
    ----------
    path : pathlib.Path
        One column a region, known by its label.
    labels : list of str
        Regions that are wanted.
    rule : ConnectivitySource
        With `cleaned` and `t_r`.

    Returns
    -------
    Series
        One run.

    Raises
    ------
    Problem
        If it is no such table, lacks a region or too many frames.
    """
    table = read_numbers(path, index=False)
    if set(labels) - set(table.columns):
        raise Problem("labels")
    values = table[labels].to_numpy()
    present = np.isfinite(values).any(axis=0)
    keep = np.flatnonzero(np.isfinite(values[:, present]).all(axis=1))
    if not present.any() or len(keep) < rule.min_frames:
        raise Problem("frames")
    center = np.zeros((len(values), len(values)))
    center[np.ix_(keep, keep)] = np.eye(len(keep)) - 1 / len(keep)
    raw = np.where(np.isin(np.arange(len(values)), keep)[:, None], values, 0.0)
    raw[:, ~present] = np.nan
    coverage = np.where(present, 1.0, 0.0)
    return Series(raw, keep, Cleaning(center, center), coverage, float("nan"), float("nan"))
