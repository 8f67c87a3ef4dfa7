"""Contrast maps that carry the regional values, and confounds files."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import gaussian_filter

from nssi_bayes import names as n
from nssi_bayes.atlases import Atlas, spheres
from nssi_bayes.simulate.scans import DISPLACEMENT
from nssi_bayes.store import write_bytes, write_table

__all__ = ["SPACE", "Grid", "mni_grid", "nifti", "person_maps", "write_scans"]

SPACE: Final = "MNI152NLin6Asym"
_CONTRAST: Final = "negativeMinusNeutral"
_TASK: Final = "emotion"
_RESOLUTION_MM: Final = 4
_MNI_CODE: Final = 4  # NIfTI's code of MNI152 space
_STEP: Final = 2.0**-10  # background values are multiples of it, which compresses well
_DROPOUT_Y_MM, _DROPOUT_Z_MM = 8.0, (-14.0, -5.0)  # orbitofrontal: in front of y, below z


@dataclass(frozen=True)
class Grid:
    """The grid of the maps.

    Parameters
    ----------
    brain : numpy.ndarray
        (x, y, z) whether a voxel lies in the brain; all spheres do.
    affine : numpy.ndarray
        Voxel to mm.
    spheres : list of numpy.ndarray
        Flat indices of each region's voxels.
    y, z : numpy.ndarray
        Coordinates in mm along these axes.
    """

    brain: np.ndarray
    affine: np.ndarray
    spheres: list[np.ndarray]
    y: np.ndarray
    z: np.ndarray


def mni_grid(atlas: Atlas, *, resolution_mm: int = _RESOLUTION_MM) -> Grid:
    """Return an MNI152 grid with the voxels of every sphere.

    Parameters
    ----------
    atlas : Atlas
        The regions.
    resolution_mm : int
        Edge of a voxel.

    Returns
    -------
    Grid
        Brain mask, affine and voxels.
    """
    from nilearn.datasets import load_mni152_brain_mask

    mask = load_mni152_brain_mask(resolution=resolution_mm)
    affine = np.asarray(mask.affine, dtype=float)
    brain = np.asarray(mask.dataobj) > 0
    axes = [affine[a, a] * np.arange(size) + affine[a, 3] for a, size in enumerate(brain.shape)]
    voxels = spheres(atlas, brain.shape, affine=affine).voxels
    brain.reshape(-1)[np.concatenate(voxels)] = True
    return Grid(brain, affine, voxels, axes[1], axes[2])


def person_maps(
    rng: np.random.Generator, scan: xr.Dataset, *, grid: Grid, published: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the effect and the variance map of one person.

    Within a sphere the effect scatters around the regional value with a mean of exactly that
    value, and the variance is the squared standard error. Elsewhere in the brain: smooth noise.
    Outside: 0, or NaN for some people. Some people lost the signal of the orbitofrontal cortex.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where noise comes from.
    scan : xarray.Dataset
        ``activation`` and ``activation_se`` of one person (`roi`,).
    grid : Grid
        From `mni_grid`.
    published : dict
        Constants by name.

    Returns
    -------
    tuple of numpy.ndarray
        Two volumes, float32, in per cent signal change and its square.
    """
    scale = published["signal"]["sd"]
    smooth = gaussian_filter(rng.standard_normal(grid.brain.shape), sigma=1.0)
    effect = _rounded(published["signal"]["mean"] + scale * smooth / smooth.std())
    variance = np.full(grid.brain.shape, _rounded(np.array((scale * published["scan_error"]) ** 2)))
    level, error = scan[n.ACTIVATION].to_numpy(), scan[n.ACTIVATION_SE].to_numpy()
    for r, voxels in enumerate(grid.spheres):
        scatter = scale * published["map_noise"] * rng.standard_normal(len(voxels))
        effect.reshape(-1)[voxels] = level[r] + scatter - scatter.mean()
        variance.reshape(-1)[voxels] = error[r] ** 2
    outside = np.nan if rng.random() < published["nan_outside"] else 0.0
    lost = ~grid.brain
    if rng.random() < published["dropout"]:
        below = grid.z < rng.uniform(*_DROPOUT_Z_MM)
        lost |= (grid.y > _DROPOUT_Y_MM)[None, :, None] & below[None, None, :]
    effect[lost], variance[lost] = outside, outside
    return effect.astype(np.float32), variance.astype(np.float32)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.round(values / _STEP) * _STEP


def write_scans(
    rng: np.random.Generator, folder: Path, *, scans: xr.Dataset, atlas: Atlas, published: dict[str, Any]
) -> None:
    """Write maps and confounds of everyone who was scanned.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the maps' noise comes from.
    folder : pathlib.Path
        The BIDS folder.
    scans : xarray.Dataset
        From `draw_scans`.
    atlas : Atlas
        The regions.
    published : dict
        Constants by name.
    """
    grid = mni_grid(atlas)
    for label in scans[n.PARTICIPANT].to_numpy():
        scan = scans.sel({n.PARTICIPANT: label})
        effect, variance = person_maps(rng, scan, grid=grid, published=published)
        stem = folder / label / "func" / f"{label}_task-{_TASK}"
        for stat, values in (("effect", effect), ("variance", variance)):
            name = f"{stem.name}_space-{SPACE}_contrast-{_CONTRAST}_stat-{stat}_statmap.nii.gz"
            write_bytes(stem.with_name(name), nifti(values, grid.affine))
        table = pd.DataFrame({"framewise_displacement": scan[DISPLACEMENT].to_numpy()})
        write_table(stem.with_name(f"{stem.name}_desc-confounds_timeseries.tsv"), table)


def nifti(values: np.ndarray, affine: np.ndarray, *, t_r: float | None = None) -> bytes:
    """Return a gzipped NIfTI file without a clock; a fourth axis is time in seconds."""
    import nibabel

    image = nibabel.Nifti1Image(values, affine)
    image.set_sform(affine, _MNI_CODE)
    image.set_qform(affine, _MNI_CODE)
    image.header.set_xyzt_units("mm", "sec" if t_r else None)
    if t_r:
        image.header.set_zooms((*image.header.get_zooms()[:3], t_r))
    return gzip.compress(image.to_bytes(), compresslevel=1 if t_r else 4, mtime=0)
