"""Invented fMRIPrep derivatives: motion, drift, physiological noise and a known covariance."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import yaml
from scipy.signal import lfilter

T_R = 2.0
ROIS = ("A_L", "A_R", "B_L", "B_R", "C", "D")
GRID = (8, 8, 8)
AFFINE = np.array([[4.0, 0, 0, -16], [0, 4, 0, -16], [0, 0, 4, -16], [0, 0, 0, 1]])
PHI = np.array([0.3, 0.5, 0.6, 0.4, 0.7, 0.5])
SPACE = "MNI152NLin2009cAsym"
CENTRES = [(-8, 0, 0), (8, 0, 0), (-8, 8, 0), (8, 8, 0), (0, 0, 8), (0, -8, -8)]
ATLAS = {
    "name": "six", "title": "Six invented regions", "kind": "spheres", "template": "MNI152", "radius_mm": 1.0,
    "citation": ["10.1000/invented"],
    "regions": [
        {"roi": roi, "hemisphere": roi[-1] if roi[-1] in "LR" and "_" in roi else "M",
         "x": float(x), "y": float(y), "z": float(z),
         "network": "limbic" if r < 4 else "default", "source": "invented"}
        for r, (roi, (x, y, z)) in enumerate(zip(ROIS, CENTRES, strict=True))
    ],
    "edges": ["A_L--A_R", "A_L--C", "B_R--D"],
}  # fmt: skip


def covariance() -> np.ndarray:
    """Correlations from about -.1 to .7."""
    loading = np.array([[0.8, 0.1], [0.8, 0.2], [0.5, 0.5], [0.4, -0.5], [0.1, 0.7], [0.3, 0.3]])
    both = loading @ loading.T
    np.fill_diagonal(both, 1)
    return both


def process(rng: np.random.Generator, frames: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Draw regional series (`frame`, `roi`) around 1000, and fMRIPrep's confounds."""
    early = 200
    white = rng.standard_normal((frames + early, len(ROIS))) @ np.linalg.cholesky(covariance()).T
    signal = [np.sqrt(1 - p**2) * lfilter([1], [1, -p], white[:, r]) for r, p in enumerate(PHI)]
    series = np.column_stack(signal)[early:] + 0.3 * rng.standard_normal((frames, len(ROIS)))
    breath = lfilter([1], [1, -0.8], rng.standard_normal((frames + early, 2)), axis=0)[early:]
    moves = np.cumsum(0.01 * rng.standard_normal((frames, 6)), axis=0)
    spike = rng.random(frames) < 0.03
    moves[spike] += 0.3 * rng.standard_normal((int(spike.sum()), 6))
    time = np.linspace(-1, 1, frames)[:, None]
    series += 0.4 * breath @ rng.standard_normal((2, len(ROIS)))
    series += 2.0 * moves @ rng.standard_normal((6, len(ROIS)))
    series += 3.0 * time + 2.0 * np.cos(2 * np.pi * time)
    series[spike] += 6 * rng.standard_normal((int(spike.sum()), 1))
    return 1000 + 10 * series, _confounds(frames, moves, breath, spike)


def _confounds(frames: int, moves: np.ndarray, breath: np.ndarray, spike: np.ndarray) -> pd.DataFrame:
    columns = {}
    names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    for name, values in [*zip(names, moves.T, strict=True), ("csf", breath[:, 0]),
                         ("white_matter", breath[:, 1])]:  # fmt: skip
        step = np.r_[np.nan, np.diff(values)]
        columns |= {name: values, f"{name}_derivative1": step, f"{name}_power2": values**2,
                    f"{name}_derivative1_power2": step**2}  # fmt: skip
    columns["framewise_displacement"] = np.r_[np.nan, 0.1 + 0.05 * np.abs(np.diff(moves[:, 0]))]
    columns["framewise_displacement"][spike] = 1.0
    columns["framewise_displacement"][0] = np.nan
    columns["std_dvars"] = np.r_[np.nan, np.ones(frames - 1)]
    cosines = int(2 * frames * T_R / 128)
    for k in range(cosines):
        columns[f"cosine{k:02d}"] = np.cos(np.pi * (np.arange(frames) + 0.5) * (k + 1) / frames)
    return pd.DataFrame(columns)


def bold(series: np.ndarray) -> np.ndarray:
    """Put every region into its voxel; elsewhere in the brain something else varies."""
    volumes = np.zeros((*GRID, len(series)), dtype=np.float32)
    volumes[1:, 1:, 1:] = 500 + np.arange(len(series)) % 3
    at = np.round((np.array(CENTRES) - AFFINE[:3, 3]) / 4).astype(int)
    for r, (x, y, z) in enumerate(at):
        volumes[x, y, z] = series[:, r]
    return volumes


def stem(folder: Path, label: str, *, run: str = "") -> Path:
    """Return the beginning of a person's file names."""
    entity = f"_run-{run}" if run else ""
    return folder / label / "func" / f"{label}_task-rest{entity}"


def write_bold(
    folder: Path, label: str, series: np.ndarray, confounds: pd.DataFrame, *, run: str = ""
) -> None:
    """Write one run as fMRIPrep names it."""
    base = stem(folder, label, run=run)
    base.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(bold(series), AFFINE)
    image.header.set_zooms((4, 4, 4, T_R))
    image.header.set_xyzt_units("mm", "sec")
    name = f"{base.name}_space-{SPACE}_desc-preproc_bold"
    image.to_filename(base.with_name(f"{name}.nii.gz"))
    base.with_name(f"{name}.json").write_text(json.dumps({"RepetitionTime": T_R}))
    confounds.to_csv(base.with_name(f"{base.name}_desc-confounds_timeseries.tsv"), sep="\t", na_rep="n/a",
                     index=False)  # fmt: skip


def write_atlas(folder: Path) -> None:
    """Write the six regions beside a study file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "six.yaml").write_text(yaml.safe_dump(ATLAS))
