"""The few variables of a posterior that a page draws on, read without the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.errors import ArtefactError
from nssi_bayes.marks import of_another

__all__ = ["draws", "values"]


def draws(path: Path, wanted: Sequence[str], *, mark: str | None = None) -> dict[str, xr.DataArray]:
    """Read some variables of a posterior.

    Parameters
    ----------
    path : pathlib.Path
        The posterior's file.
    wanted : sequence of str
        Names; what the posterior does not have is left out.
    mark : str, optional
        Fingerprint of the model that was checked.

    Returns
    -------
    dict of str to xarray.DataArray
        With `chain` and `draw` stacked to a first dim ``sample``.

    Raises
    ------
    ArtefactError
        If the file is missing or cannot be read, holds a preview, or draws of another model than `mark`.
    """
    if not path.exists():
        raise ArtefactError(
            "the posterior is missing", where=path.name, cure="run `dvc repro`, or `dvc pull`"
        )
    try:
        with xr.open_dataset(path, engine="h5netcdf") as root:
            preview, another = bool(root.attrs.get("preview")), of_another(root.attrs, mark)
        with xr.open_dataset(path, group="posterior", engine="h5netcdf") as dataset:
            found = {name: dataset[name].load() for name in wanted if name in dataset}
    except (OSError, ValueError) as error:
        raise ArtefactError("not a readable posterior", where=path.name, cure="run its fit again") from error
    if preview:
        cure = "run `nssi-bayes fit` for this model"
        raise ArtefactError("a preview, never certified, and no posterior", where=path.name, cure=cure)
    if another:
        cure = "run `dvc repro`, which checks it"
        raise ArtefactError(
            "draws of another model than the one that was checked", where=path.name, cure=cure
        )
    return {
        name: array.stack({"sample": (n.CHAIN, n.DRAW)}, create_index=False).transpose("sample", ...)
        for name, array in found.items()
    }


def values(array: xr.DataArray, *dims: str) -> np.ndarray[Any, Any]:
    """Return the numbers of draws [sample, ...] in the order of `dims`."""
    return array.transpose("sample", *dims).to_numpy()
