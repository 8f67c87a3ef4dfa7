"""Reading of maps and series as SPM, FSL, AFNI, nilearn and fMRIPrep write them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nssi_bayes.extract.find import split_volume
from nssi_bayes.extract.problems import Problem

if TYPE_CHECKING:
    import numpy.typing as npt
    from nibabel.spatialimages import SpatialImage

__all__ = ["frames_of", "load", "volume"]

_TALAIRACH: Final = 3  # NIfTI's code of that space
_FLAT: Final = 1e-6  # mm^3: a voxel without volume
_SLAB: Final = 16  # frames that are in memory at once
_BROKEN: Final = (OSError, EOFError, ValueError, zlib.error)


def load(path: Path) -> SpatialImage:
    """Open an image without reading its values.

    Parameters
    ----------
    path : pathlib.Path
        NIfTI, Analyze or AFNI (``.HEAD``, ``.BRIK``), without a volume in brackets.

    Returns
    -------
    nibabel image
        Values not yet read.

    Raises
    ------
    Problem
        If it is no image, in Talairach space, or does not say where it is.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        afni = path.suffix in (".HEAD", ".BRIK")
        image: Any = nibabel.load(path) if afni else nibabel.load(path, keep_file_open=True)
    except (ImageFileError, HeaderDataError, *_BROKEN):
        raise Problem("unreadable") from None
    header = image.header
    codes: tuple[int, ...] = (1,)
    if isinstance(header, nibabel.Nifti1Header):
        codes = (int(header["sform_code"]), int(header["qform_code"]))
    if _TALAIRACH in codes:
        raise Problem("native")
    affine = np.asarray(image.affine)
    if not any(codes) or not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < _FLAT:
        raise Problem("orientation")
    if getattr(header, "info", {}).get("TEMPLATE_SPACE") in ("TLRC", "ORIG"):  # AFNI
        raise Problem("native")
    return image


def volume(path: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Read one map.

    Parameters
    ----------
    path : pathlib.Path
        Ends in ``[k]`` or ``[label]`` for one volume of several.

    Returns
    -------
    tuple of numpy.ndarray
        Values (x, y, z), scaled as the header says, and the affine in mm.

    Raises
    ------
    Problem
        If it cannot be read, has no such volume or is not three-dimensional.
    """
    plain, wanted = split_volume(str(path))
    image = load(Path(plain))
    try:
        if wanted is None:
            values = np.asarray(image.dataobj)
        else:
            values = np.asarray(image.dataobj[..., _position(image, wanted)])
    except _BROKEN:
        raise Problem("unreadable") from None
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        raise Problem("shape")
    return values, np.asarray(image.affine, dtype=float)


def _position(image: SpatialImage, wanted: str) -> int:
    """Return the place of a volume that is named by number or by AFNI's label."""
    labels = image.header.get_volume_labels() if hasattr(image.header, "get_volume_labels") else []
    count = image.shape[3] if len(image.shape) > 3 else 1
    position = labels.index(wanted) if wanted in labels else int(wanted) if wanted.isdecimal() else count
    if position >= count:
        raise Problem("volume")
    return position


def frames_of(image: SpatialImage, voxels: npt.NDArray[np.intp]) -> Iterator[npt.NDArray[np.float64]]:
    """Read a series a few frames at a time.

    Parameters
    ----------
    image : nibabel image
        Four-dimensional.
    voxels : numpy.ndarray
        Flat positions that are wanted.

    Yields
    ------
    numpy.ndarray
        (voxel, frame) values of up to 16 frames; a whole series never is in memory.

    Raises
    ------
    Problem
        If the file ends early or is damaged.
    """
    for start in range(0, image.shape[3], _SLAB):
        try:
            slab = np.asarray(image.dataobj[..., start : start + _SLAB])
        except _BROKEN:
            raise Problem("unreadable") from None
        yield slab.reshape(-1, slab.shape[3])[voxels].astype(float)
