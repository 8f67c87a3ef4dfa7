"""Atlases that are images: fetched, read and put on a map's grid, all to one structure."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from nssi_bayes.atlases import Atlas, ImageSource, Region, Voxels, read_atlas, spheres
from nssi_bayes.errors import SpecError
from nssi_bayes.names import EDGE_SEPARATOR
from nssi_bayes.store import digest

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

__all__ = ["Opened", "open_atlas", "recipe_of", "voxels_on"]

_WHOLE: Final = 1e-3
_BACKGROUND = ("background", "unknown", "???")


class Opened(NamedTuple):
    """An atlas with all its regions, and its image if it is one.

    Parameters
    ----------
    atlas : Atlas
        Regions with label, network, hemisphere, centre and index.
    image : nibabel image or None
        Labels (x, y, z) or maps (x, y, z, `roi`).
    """

    atlas: Atlas
    image: SpatialImage | None


def open_atlas(name: str, *, folder: Path) -> Opened:
    """Read an atlas, and fetch its image.

    Parameters
    ----------
    name : str
        As in `read_atlas`.
    folder : pathlib.Path
        The folder of the study, where a user's own atlases and images lie.

    Returns
    -------
    Opened
        The normalised atlas.

    Raises
    ------
    SpecError
        If it cannot be found, has no look-up table, or a label or value without the other.
    """
    atlas = read_atlas(name, folder=folder)
    source = atlas.image
    if source is None:
        return Opened(atlas, None)
    where = f"atlas {atlas.name}"
    image, table = _files(atlas.name, source, folder) if source.file else _fetched(atlas.name, source)
    if atlas.kind == "maps":
        values = None
        if image.ndim != 4 or image.shape[3] != len(table):
            raise SpecError(
                f"{len(table)} labels, but not as many maps", where=where, cure="mend the look-up table"
            )
    else:
        image = _whole(image, where=where)
        values = np.asarray(image.dataobj)
        present = set(np.unique(values).astype(int).tolist()) - {0}
        lost = len(present - set(table["index"]))
        if lost:
            raise SpecError(f"{lost} values of the label image are not in the look-up table", where=where,
                            cure="mend the look-up table")  # fmt: skip
        table = table[table["index"].isin(present)]  # some tables list regions that have no voxel
    if table["name"].duplicated().any() and "hemisphere" in table:
        table = table.assign(name=table["name"] + "_" + table["hemisphere"].str[0])
    centre = _centres(image, values, table["index"].to_numpy())
    regions = tuple(
        _region(row, source, centre=centre[r], where=where)
        for r, row in enumerate(table.to_dict(orient="records"))
    )
    twice = len(regions) - len({region.roi for region in regions})
    if twice:
        raise SpecError(f"{twice} labels stand twice", where=where, cure="mend the look-up table")
    joined = [region.roi for region in regions if EDGE_SEPARATOR in region.roi]
    if joined:
        raise SpecError(
            f"labels with {EDGE_SEPARATOR!r}, which joins the regions of an edge: {', '.join(joined)}",
            where=where, cure="mend the look-up table",
        )  # fmt: skip
    return Opened(atlas.model_copy(update={"regions": regions}), image)


def recipe_of(opened: Opened) -> dict[str, Any]:
    """Return all of an atlas that decides what is extracted: its regions, and its image by content."""
    recipe: dict[str, Any] = {"atlas": opened.atlas.model_dump()}
    if opened.image is not None:
        content = np.ascontiguousarray(opened.image.dataobj)
        recipe["image"] = digest(content.tobytes() + np.asarray(opened.image.affine).tobytes())
    return recipe


def _whole(image: SpatialImage, *, where: str) -> SpatialImage:
    """Return a label image of whole numbers, three-dimensional; NaN is background.

    A scaled image holds 2.9999999 for 3. Numbers further from whole ones are borders that an
    interpolation made up.
    """
    import nibabel

    if int(np.prod(image.shape)) != int(np.prod(image.shape[:3])):
        raise SpecError("a label image has several volumes", where=where,
                        cure="write `kind: maps`, or the one volume with the labels")  # fmt: skip
    values = np.asarray(image.dataobj).reshape(image.shape[:3])
    if values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, 0.0)
        nearest = np.round(values)
        off = int((np.abs(values - nearest) > _WHOLE).sum())
        if off:
            raise SpecError(f"{off} voxels of the label image hold no whole numbers", where=where,
                            cure="resample labels to the nearest voxel, never linearly")  # fmt: skip
        values = nearest.astype(np.int32)
    return nibabel.Nifti1Image(values, image.affine)


def _on_coarse(region: np.ndarray, target: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return the voxels next to a region that is too small for a grid (`region` of it lies on it)."""
    return np.unique(np.ravel_multi_index(tuple(target[region].astype(int).T), shape))


def _files(atlas: str, source: ImageSource, folder: Path) -> tuple[SpatialImage, pd.DataFrame]:
    """Read image and look-up table from the study's folder or from nilearn's."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nilearn.datasets import get_data_dirs

    folders = [folder, *(Path(path) / atlas for path in get_data_dirs())]
    found = []
    for name in (source.file, source.look_up):
        path = next((f / str(name) for f in folders if (f / str(name)).exists()), None)
        if path is None:
            raise SpecError(
                f"{name} is neither beside the study nor in nilearn_data/{atlas}",
                where=f"atlas {atlas}", cure="put the file there; its source is in the atlas' YAML",
            )  # fmt: skip
        found.append(path)
    try:
        image = nibabel.load(found[0])
        table = pd.read_csv(found[1], sep="," if found[1].suffix == ".csv" else "\t")
    except (ImageFileError, OSError, ValueError) as error:
        raise SpecError("image or look-up table cannot be read", where=f"atlas {atlas}",
                        cure="copy them again") from error  # fmt: skip
    named = table.rename(columns={"id": "index", "label": "name", "structure": "network"})
    if not {"index", "name"} <= set(named):
        raise SpecError("the look-up table needs columns `index` and `name`", where=str(found[1]),
                        cure="mend the table's head")  # fmt: skip
    return image, named[named["index"] != 0]


def _fetched(atlas: str, source: ImageSource) -> tuple[SpatialImage, pd.DataFrame]:
    """Let nilearn find the image in its cache or fetch it."""
    import nibabel
    from nilearn import datasets

    fetch = getattr(datasets, f"fetch_atlas_{source.fetcher}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of labels without a voxel, which are left out here
            bunch: Any = fetch(**source.arguments, verbose=0)
    except (OSError, ValueError) as error:
        raise SpecError(
            "the atlas is not in the folder nilearn_data and cannot be fetched", where=f"atlas {atlas}",
            cure="go online once, or copy nilearn_data from a machine that has it (variable NILEARN_DATA)",
        ) from error  # fmt: skip
    image = bunch["maps"] if not isinstance(bunch["maps"], str | Path) else nibabel.load(bunch["maps"])
    lut = bunch.get("lut")
    if bunch.get("indices") is not None:  # nilearn 0.14 sorts the numbers of its table, not the names
        lut = pd.DataFrame({"index": bunch["indices"], "name": bunch["labels"]})
    if lut is None:  # maps come without a table; their labels may begin with one for the background
        names = [str(name) for name in bunch["labels"] if str(name).lower() not in _BACKGROUND]
        lut = pd.DataFrame({"index": range(len(names)), "name": names})
        return image, lut
    table = pd.DataFrame({"index": lut["index"].astype(int), "name": lut["name"].astype(str)})
    return image, table[(table["index"] != 0) & ~table["name"].str.lower().isin(_BACKGROUND)]


def _centres(image: SpatialImage, values: np.ndarray | None, index: np.ndarray) -> np.ndarray:
    """Return centres of mass in mm, (`roi`, 3)."""
    from scipy.ndimage import center_of_mass

    if values is None:
        voxel = [center_of_mass(np.asarray(image.dataobj[..., i])) for i in index]
    else:
        voxel = center_of_mass(values > 0, labels=values, index=index)
    return np.asarray(voxel) @ image.affine[:3, :3].T + image.affine[:3, 3]


def _region(row: dict[Any, Any], source: ImageSource, *, centre: np.ndarray, where: str) -> Region:
    label = str(row["name"]).strip().replace(" ", "_")
    match = re.match(source.label, label)
    if match is None:
        raise SpecError(f"label {label!r} does not fit the pattern `image.label`", where=where,
                        cure="mend the pattern")  # fmt: skip
    told = match.groupdict()
    side = str(row.get("hemisphere", told.get("hemisphere") or "M"))[0].upper()
    hemisphere: Literal["L", "R", "M"] = "L" if side == "L" else "R" if side == "R" else "M"
    network = row.get("network", told.get("network")) or source.network
    return Region(
        roi=label, hemisphere=hemisphere, x=centre[0], y=centre[1], z=centre[2],
        network=str(network), source="centre of mass of the region", index=int(row["index"]),
    )  # fmt: skip


def voxels_on(opened: Opened, shape: tuple[int, int, int], *, affine: np.ndarray) -> Voxels:
    """Return the voxels of an atlas on one grid.

    An image on another grid is resampled to it by nilearn, labels to the nearest voxel and
    maps linearly; a region that is lost so, being smaller than a voxel, is the voxels next to it.
    Of a region that the grid cuts, the part beyond counts into its size.

    Parameters
    ----------
    opened : Opened
        From `open_atlas`.
    shape : tuple of int
        Voxels along each axis.
    affine : numpy.ndarray
        Voxel to mm, (4, 4).

    Returns
    -------
    Voxels
        Voxels by region, in the atlas' order.
    """
    from nilearn.image import resample_img

    atlas, image = opened
    if image is None:
        return spheres(atlas, shape, affine=affine)
    same = image.shape[:3] == shape and np.allclose(image.affine, affine, atol=1e-3)
    kind = "nearest" if atlas.kind == "labels" else "linear"
    moved = image if same else resample_img(image, target_affine=affine, target_shape=shape,
                                            interpolation=kind)  # fmt: skip
    content, own = np.asarray(moved.dataobj), np.asarray(image.dataobj)
    if atlas.kind == "labels":
        content, own = content.reshape(shape), own.reshape(own.shape[:3])
    inverse = np.linalg.inv(affine) @ image.affine
    voxels, weights, size = [], [], []
    for region in atlas.regions:
        whole = own == region.index if atlas.kind == "labels" else own[..., region.index]
        part = content == region.index if atlas.kind == "labels" else content[..., region.index]
        at = np.flatnonzero(part.ravel() > 0)
        weight = part.ravel()[at].astype(float)
        of = np.argwhere(whole > 0)
        share = whole[tuple(of.T)].astype(float)
        target = np.round(of @ inverse[:3, :3].T + inverse[:3, 3])
        on_grid = ((target >= 0) & (target < shape)).all(axis=1)
        seen = share[on_grid].sum() / share.sum()
        if not at.size and on_grid.any():
            at = _on_coarse(on_grid, target, shape)
            weight = np.full(len(at), share[on_grid].sum() / len(at))
        voxels.append(at)
        weights.append(weight)
        size.append(weight.sum() / seen if seen > 0 else 1.0)
    inside = all(len(at) > 0 for at in voxels)
    return Voxels(voxels, weights, np.array(size), inside)
