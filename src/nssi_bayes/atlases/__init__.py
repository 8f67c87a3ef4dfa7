"""The shelf of atlases: one YAML each, with space, regions (or where their image is) and citation."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import xarray as xr
import yaml
from pydantic import Field, field_validator, model_validator

from nssi_bayes import names as n
from nssi_bayes.errors import SpecError, did_you_mean
from nssi_bayes.names import EDGE_SEPARATOR
from nssi_bayes.spec import Strict, parse
from nssi_bayes.store import read_yaml

__all__ = ["Atlas", "ImageSource", "Region", "Voxels", "known_atlases", "read_atlas", "spheres"]

_SHELF: Final = "nssi_bayes.atlases"


class Region(Strict):
    """One region.

    Parameters
    ----------
    roi : str
        Its label.
    hemisphere : {"L", "R", "M"}
        Left, right or midline.
    x, y, z : float
        Centre in mm, in the template's space; of an image's region, its centre of mass.
    network : str
        The network whose regions are pooled.
    source : str
        Where the centre comes from.
    radius_mm : float, optional
        Radius of this sphere, if it is not the atlas'.
    index : int, optional
        Value of the label image, or volume of the maps counted from 0.
    """

    roi: str
    hemisphere: Literal["L", "R", "M"]
    x: float
    y: float
    z: float
    network: str
    source: str = Field(min_length=1)
    radius_mm: float | None = Field(default=None, gt=0)
    index: int | None = None


class ImageSource(Strict):
    """Where the image of an atlas comes from, and how its labels are read.

    Parameters
    ----------
    fetcher : str, optional
        ``fetch_atlas_<fetcher>`` of nilearn, which looks into the folder ``nilearn_data`` first.
    arguments : dict
        What the fetcher is called with.
    file, look_up : str, optional
        Instead of a fetcher: an image, and a TSV or CSV with ``index`` and ``name`` and optionally
        ``network`` and ``hemisphere``. Looked for beside the YAML of a study, else in the
        folder of the atlas' name under ``nilearn_data``.
    label : str
        A regular expression that a label fits, with groups ``hemisphere`` (whose first
        letter counts) and ``network`` where the label tells them.
    network : str
        The network of labels that do not tell one.
    """

    fetcher: Literal["harvard_oxford", "aal", "schaefer_2018", "yeo_2011"] | None = None
    arguments: dict[str, str | int | bool] = Field(default_factory=dict)
    file: str | None = None
    look_up: str | None = None
    label: str = ".*"
    network: str = "unassigned"

    @model_validator(mode="after")
    def _one_way(self) -> ImageSource:
        if (self.fetcher is None) == (self.file is None):
            raise ValueError("write either `fetcher` or `file`")
        if self.file and not self.look_up:
            raise ValueError("a label image needs its `look_up` table: regions are known by label, never by "
                             "position")  # fmt: skip
        return self


class Atlas(Strict):
    """Regions in one template space, whatever they are made of.

    Parameters
    ----------
    name, title : str
        The file's name, and one line for the report.
    kind : {"spheres", "labels", "maps"}
        Spheres, an image with one number a region, or one map of weights a region.
    template : str
        Space of the centres or of the image. ``MNI152`` is any of that family.
    radius_mm : float, optional
        Radius of every sphere.
    image : ImageSource, optional
        Where labels or maps come from.
    citation : tuple of str
        What to cite.
    regions : tuple of Region
        In the order of every data set; read from the look-up table if there is an image.
    edges : tuple of str
        The default edges, ``roi_a--roi_b``.
    """

    name: str
    title: str
    kind: Literal["spheres", "labels", "maps"]
    template: str = Field(pattern="^MNI152")
    radius_mm: float | None = Field(default=None, gt=0)
    image: ImageSource | None = None
    citation: tuple[str, ...] = Field(min_length=1)
    regions: tuple[Region, ...] = ()
    edges: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> Atlas:
        if self.kind == "spheres":
            if not self.regions or self.image:
                raise ValueError("spheres need `regions` and no `image`")
            if any((region.radius_mm or self.radius_mm) is None for region in self.regions):
                raise ValueError("spheres need a `radius_mm`, of all or of each")
        elif self.image is None:
            raise ValueError(f"an atlas of {self.kind} needs an `image`")
        labels = set(self.labels)
        lost = [e for e in self.edges if self.regions and not set(e.split(EDGE_SEPARATOR)) <= labels]
        if lost:
            raise ValueError(f"edges between unknown regions: {', '.join(lost)}")
        return self

    @field_validator("regions")
    @classmethod
    def _unique(cls, regions: tuple[Region, ...]) -> tuple[Region, ...]:
        twice = [roi for roi, count in Counter(r.roi for r in regions).items() if count > 1]
        if twice:
            raise ValueError(f"labels that stand twice: {', '.join(twice)}")
        joined = [r.roi for r in regions if EDGE_SEPARATOR in r.roi]
        if joined:
            raise ValueError(f"labels with {EDGE_SEPARATOR!r}, which joins the regions of an edge: "
                             f"{', '.join(joined)}")  # fmt: skip
        return regions

    @property
    def labels(self) -> list[str]:
        """The labels of the regions, in order."""
        return [region.roi for region in self.regions]

    @property
    def centres(self) -> np.ndarray:
        """The centres in mm, (`roi`, 3)."""
        return np.array([(r.x, r.y, r.z) for r in self.regions], dtype=float)

    @property
    def radii(self) -> np.ndarray:
        """The radii in mm, (`roi`,); NaN for what is no sphere."""
        own = (region.radius_mm or self.radius_mm for region in self.regions)
        return np.array([np.nan if radius is None else radius for radius in own])

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
            n.ROI_RADIUS: self.radii,
        }
        return xr.Dataset(coords={name: (n.ROI, values) for name, values in along.items()}).coords


class Voxels(NamedTuple):
    """Voxels of the regions on one grid.

    Parameters
    ----------
    voxels : list of numpy.ndarray
        Flat indices of the voxels that lie on the grid, one array a region.
    weight : list of numpy.ndarray
        Their weights; 1 but for maps.
    size : numpy.ndarray
        Sum of the weights of the whole region, what lies beyond the grid's edge included.
    inside : bool
        Whether the centre of every region lies on the grid.
    """

    voxels: list[np.ndarray]
    weight: list[np.ndarray]
    size: np.ndarray
    inside: bool


def known_atlases() -> list[str]:
    """Return the names of the atlases on the shelf."""
    entries = (entry.name for entry in files(_SHELF).iterdir())
    return sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml"))


def read_atlas(name: str, *, folder: Path | None = None) -> Atlas:
    """Read an atlas of the shelf, or of a user.

    Parameters
    ----------
    name : str
        The file's name without suffix; ``<name>.yaml`` for a file of the user.
    folder : pathlib.Path, optional
        Where a user's own lies: the folder of the study.

    Returns
    -------
    Atlas
        Its regions.

    Raises
    ------
    SpecError
        If there is no such atlas, or its file is wrong.
    """
    if folder is not None and name.endswith(".yaml"):
        return parse(Atlas, read_yaml(folder / name), where=str(folder / name))
    if name not in known_atlases():
        raise SpecError(
            f"there is no atlas {name!r}. {did_you_mean(name, known_atlases())}",
            where="study.yaml: atlas",
            cure="write the name of a file of the shelf `atlases`, or <name>.yaml for one beside the study",
        )
    content = yaml.safe_load(files(_SHELF).joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    return parse(Atlas, content, where=f"atlases/{name}.yaml")


def spheres(atlas: Atlas, shape: tuple[int, int, int], *, affine: np.ndarray) -> Voxels:
    """Return the voxels of an atlas of spheres on one grid.

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
    Voxels
        Voxels by region, in the atlas' order.
    """
    inverse = np.linalg.inv(affine)
    voxels, size, inside = [], [], True
    for centre, radius in zip(atlas.centres, atlas.radii, strict=True):
        reach = np.ceil(radius * np.linalg.norm(inverse[:3, :3], axis=1)).astype(int) + 1
        box = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1)
        nearest = np.round(inverse[:3, :3] @ centre + inverse[:3, 3]).astype(int)
        candidates = nearest + box.reshape(-1, 3)
        gap = candidates @ affine[:3, :3].T + affine[:3, 3] - centre
        member = ((gap**2).sum(axis=1) <= radius**2) | (candidates == nearest).all(axis=1)
        member_voxels = candidates[member]
        on_grid = ((member_voxels >= 0) & (member_voxels < shape)).all(axis=1)
        voxels.append(np.ravel_multi_index(tuple(member_voxels[on_grid].T), shape))
        size.append(len(member_voxels))
        inside &= bool(((nearest >= 0) & (nearest < shape)).all())
    return Voxels(voxels, [np.ones(len(v)) for v in voxels], np.array(size, dtype=float), inside)
