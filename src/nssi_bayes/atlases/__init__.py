"""The shelf of atlases: one YAML each, with space, radius, regions and citation."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from typing import Final, Literal, NamedTuple

import numpy as np
import xarray as xr
import yaml
from pydantic import Field, field_validator

from nssi_bayes import names as n
from nssi_bayes.errors import SpecError, did_you_mean
from nssi_bayes.spec import Strict, parse

__all__ = ["Atlas", "Region", "Spheres", "known_atlases", "read_atlas", "spheres"]

_SHELF: Final = "nssi_bayes.atlases"


class Region(Strict):
    """One sphere.

    Parameters
    ----------
    roi : str
        Its label.
    hemisphere : {"L", "R", "M"}
        Left, right or midline.
    x, y, z : float
        Centre in mm, in the template's space.
    network : str
        The network whose regions are pooled.
    source : str
        Where the centre comes from.
    """

    roi: str
    hemisphere: Literal["L", "R", "M"]
    x: float
    y: float
    z: float
    network: str
    source: str = Field(min_length=1)


class Atlas(Strict):
    """Spheres of one radius in one template space.

    Parameters
    ----------
    name, title : str
        The file's name, and one line for the report.
    kind : {"spheres"}
        How regions are defined.
    template : str
        Space of the centres.
    radius_mm : float
        Radius of every sphere.
    citation : tuple of str
        What to cite.
    regions : tuple of Region
        In the order of every data set.
    """

    name: str
    title: str
    kind: Literal["spheres"]
    template: Literal["MNI152"]
    radius_mm: float = Field(gt=0)
    citation: tuple[str, ...] = Field(min_length=1)
    regions: tuple[Region, ...] = Field(min_length=1)

    @field_validator("regions")
    @classmethod
    def _unique(cls, regions: tuple[Region, ...]) -> tuple[Region, ...]:
        twice = [roi for roi, count in Counter(r.roi for r in regions).items() if count > 1]
        if twice:
            raise ValueError(f"labels that stand twice: {', '.join(twice)}")
        return regions

    @property
    def labels(self) -> list[str]:
        """The labels of the regions, in order."""
        return [region.roi for region in self.regions]

    @property
    def centres(self) -> np.ndarray:
        """The centres in mm, (`roi`, 3)."""
        return np.array([(r.x, r.y, r.z) for r in self.regions], dtype=float)

    def coords(self) -> xr.Coordinates:
        """Return the labels along `roi` with everything that a data set says of a region."""
        regions = self.regions
        along = {
            n.ROI: np.array(self.labels, dtype=object),
            n.ROI_NETWORK: np.array([r.network for r in regions], dtype=object),
            n.ROI_HEMISPHERE: np.array([r.hemisphere for r in regions], dtype=object),
            n.ROI_X: self.centres[:, 0],
            n.ROI_Y: self.centres[:, 1],
            n.ROI_Z: self.centres[:, 2],
            n.ROI_RADIUS: np.full(len(regions), self.radius_mm),
        }
        return xr.Dataset(coords={name: (n.ROI, values) for name, values in along.items()}).coords


class Spheres(NamedTuple):
    """Voxels of the spheres on one grid.

    Parameters
    ----------
    voxels : list of numpy.ndarray
        Flat indices of the voxels that lie on the grid, one array a region.
    size : numpy.ndarray
        Number of voxels of the whole sphere, those beyond the grid's edge included.
    inside : bool
        Whether the centre of every region lies on the grid.
    """

    voxels: list[np.ndarray]
    size: np.ndarray
    inside: bool


def known_atlases() -> list[str]:
    """Return the names of the atlases on the shelf."""
    entries = (entry.name for entry in files(_SHELF).iterdir())
    return sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml"))


def read_atlas(name: str) -> Atlas:
    """Read an atlas of the shelf.

    Parameters
    ----------
    name : str
        The file's name without suffix.

    Returns
    -------
    Atlas
        Its regions.

    Raises
    ------
    SpecError
        If there is no such atlas, or its file is wrong.
    """
    if name not in known_atlases():
        raise SpecError(
            f"there is no atlas {name!r}. {did_you_mean(name, known_atlases())}",
            where="study.yaml: activation.atlas",
            cure="write the name of a file of the shelf `atlases`",
        )
    content = yaml.safe_load(files(_SHELF).joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    return parse(Atlas, content, where=f"atlases/{name}.yaml")


def spheres(atlas: Atlas, shape: tuple[int, int, int], *, affine: np.ndarray) -> Spheres:
    """Return the voxels of an atlas on one grid.

    A voxel belongs to a sphere when its centre is at most one radius away; the voxel nearest to
    the centre always does. That is the membership of nilearn's ``NiftiSpheresMasker``.

    Parameters
    ----------
    atlas : Atlas
        The regions.
    shape : tuple of int
        Voxels along each axis.
    affine : numpy.ndarray
        Voxel to mm, (4, 4).

    Returns
    -------
    Spheres
        Voxels by region, in the atlas' order.
    """
    inverse = np.linalg.inv(affine)
    reach = np.ceil(atlas.radius_mm * np.linalg.norm(inverse[:3, :3], axis=1)).astype(int) + 1
    box = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1)
    voxels, size, inside = [], [], True
    for centre in atlas.centres:
        nearest = np.round(inverse[:3, :3] @ centre + inverse[:3, 3]).astype(int)
        candidates = nearest + box.reshape(-1, 3)
        gap = candidates @ affine[:3, :3].T + affine[:3, 3] - centre
        member = ((gap**2).sum(axis=1) <= atlas.radius_mm**2) | (candidates == nearest).all(axis=1)
        member_voxels = candidates[member]
        on_grid = ((member_voxels >= 0) & (member_voxels < shape)).all(axis=1)
        voxels.append(np.ravel_multi_index(tuple(member_voxels[on_grid].T), shape))
        size.append(len(member_voxels))
        inside &= bool(((nearest >= 0) & (nearest < shape)).all())
    return Spheres(voxels, np.array(size), inside)
