"""Images at rest as fMRIPrep writes them: series with the person's edges, motion, physiology and drift."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from scipy.signal import lfilter

from nssi_bayes import names as n
from nssi_bayes.atlases import Atlas
from nssi_bayes.simulate.edges import CORRELATION
from nssi_bayes.simulate.images import SPACE, mni_grid, nifti
from nssi_bayes.store import write_bytes, write_json, write_table

__all__ = ["draw_rest_motion", "write_rest"]

_TASK: Final = "rest"
_RESOLUTION_MM: Final = 6
_HEAD_MM: Final = 50.0  # radius at which fMRIPrep turns a rotation into a displacement
_EARLY: Final = 50  # frames before the scan, so that it begins in its steady state
_STEPS: Final = 6 * np.sqrt(2 / np.pi)  # mean displacement of six independent steps of sd 1
_HIGH_PASS_S: Final = 128.0
_DIGITS: Final = 6


def draw_rest_motion(
    rng: np.random.Generator, motion: np.ndarray, *, published: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw head motion at rest.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where motion comes from.
    motion : numpy.ndarray
        (`participant`,) mean framewise displacement in the task, mm.
    published : dict
        Constants by name.

    Returns
    -------
    tuple of numpy.ndarray
        Positions (`participant`, `frame`, 6) in mm and radians, and framewise displacement
        (`participant`, `frame`) in mm with NaN first.
    """
    rest = published["rest"]
    shape = (len(motion), rest["frames"], 6)
    level = motion * np.exp(published["rest_motion_spread"] * rng.standard_normal(len(motion)))
    step = rng.standard_normal(shape) * (level / _STEPS)[:, None, None]
    step[rng.random(shape[:2]) < rest["spike"]] *= 4
    step[..., 3:] /= _HEAD_MM
    position = np.round(np.cumsum(step, axis=1), _DIGITS)
    moved = np.abs(np.diff(position, axis=1))
    displacement = moved[..., :3].sum(axis=2) + _HEAD_MM * moved[..., 3:].sum(axis=2)
    return position, np.concatenate([np.full((len(motion), 1), np.nan), displacement], axis=1)


def write_rest(
    rng: np.random.Generator, folder: Path, *, edges: xr.Dataset, motion: tuple[np.ndarray, np.ndarray],
    atlas: Atlas, published: dict[str, Any],
) -> None:  # fmt: skip
    """Write a preprocessed series, its sidecar and its confounds for everyone who was scanned.

    Only the regions' voxels hold anything, which keeps the folder small.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where series come from.
    folder : pathlib.Path
        The BIDS folder.
    edges : xarray.Dataset
        From `draw_edges`.
    motion : tuple of numpy.ndarray
        From `draw_rest_motion`.
    atlas : Atlas
        The regions.
    published : dict
        Constants by name.
    """
    rest = published["rest"]
    grid = mni_grid(atlas, resolution_mm=_RESOLUTION_MM)
    region = np.repeat(np.arange(len(grid.spheres)), [len(v) for v in grid.spheres])
    voxels = np.concatenate(grid.spheres)
    for i, label in enumerate(edges[n.PARTICIPANT].to_numpy()):
        breath = _autoregressive(rng, rng.standard_normal((rest["frames"] + _EARLY, 2)), 0.8)
        series = _series(rng, edges[CORRELATION].to_numpy()[i], motion[0][i], breath, published=published)
        values = np.zeros((grid.brain.size, rest["frames"]), dtype=np.int16)
        values[voxels] = np.round(series.T[region]).astype(np.int16)
        stem = folder / label / "func" / f"{label}_task-{_TASK}"
        name = f"{stem.name}_space-{SPACE}_desc-preproc_bold"
        image = nifti(values.reshape(*grid.brain.shape, -1), grid.affine, t_r=rest["t_r"])
        write_bytes(stem.with_name(f"{name}.nii.gz"), image)
        sidecar = {"RepetitionTime": rest["t_r"], "TaskName": _TASK, "SyntheticData": True}
        write_json(stem.with_name(f"{name}.json"), sidecar)
        table = _confounds(rng, motion[0][i], motion[1][i], breath, t_r=rest["t_r"])
        write_table(stem.with_name(f"{stem.name}_desc-confounds_timeseries.tsv"), table)


def _autoregressive(rng: np.random.Generator, white: np.ndarray, phi: float) -> np.ndarray:
    """Return an autoregressive process with the covariance of its innovations, sd kept."""
    return np.asarray(lfilter([np.sqrt(1 - phi**2)], [1, -phi], white, axis=0)[_EARLY:])


def _series(
    rng: np.random.Generator, correlation: np.ndarray, position: np.ndarray, breath: np.ndarray, *,
    published: dict[str, Any],
) -> np.ndarray:  # fmt: skip
    """Return the series of the regions (`frame`, `roi`).

    What is added to the person's own signal is a linear mixture of the regressors that fMRIPrep
    writes, but for the jumps of frames with motion, which have to be dropped.
    """
    size, rest = published["rest_signal"], published["rest"]
    regions, frames = len(correlation), rest["frames"]
    white = rng.standard_normal((frames + _EARLY, regions)) @ np.linalg.cholesky(correlation).T
    series = size["sd"] * _autoregressive(rng, white, rest["autocorrelation"])
    series += size["physiology"] * breath @ rng.standard_normal((2, regions)) / np.sqrt(2)
    scale = np.array([1, 1, 1, _HEAD_MM, _HEAD_MM, _HEAD_MM])
    series += size["motion"] * (position * scale) @ rng.standard_normal((6, regions)) / np.sqrt(6)
    time = np.linspace(-1, 1, frames)[:, None]
    series += size["drift"] * (time * rng.standard_normal(regions) + np.cos(np.pi * time))
    jump = np.abs(np.diff(position * scale, axis=0, prepend=position[:1] * scale)).sum(axis=1) > 0.5
    series[jump] += size["spike"] * rng.standard_normal((int(jump.sum()), 1))
    return np.asarray(size["level"] + series)


def _confounds(
    rng: np.random.Generator,
    position: np.ndarray,
    displacement: np.ndarray,
    breath: np.ndarray,
    *,
    t_r: float,
) -> pd.DataFrame:
    """Return the columns that fMRIPrep's strategies need."""
    names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    columns: dict[str, np.ndarray] = {}
    for name, values in zip(names, position.T, strict=True):
        step = np.r_[np.nan, np.diff(values)]
        columns |= {name: values, f"{name}_derivative1": step, f"{name}_power2": values**2,
                    f"{name}_derivative1_power2": step**2}  # fmt: skip
    columns |= {"csf": breath[:, 0], "white_matter": breath[:, 1]}
    columns["framewise_displacement"] = displacement
    frames = len(displacement)
    noise = 1 + 0.1 * rng.standard_normal(frames) + 0.5 * np.nan_to_num(displacement) ** 2
    columns["std_dvars"] = np.where(np.arange(frames) > 0, noise, np.nan)
    for k in range(int(2 * frames * t_r / _HIGH_PASS_S)):
        columns[f"cosine{k:02d}"] = np.cos(np.pi * (np.arange(frames) + 0.5) * (k + 1) / frames)
    return pd.DataFrame(columns).round(_DIGITS)
