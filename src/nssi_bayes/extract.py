"""Contrast maps and an atlas -> regional effects with standard errors and coverage."""

from __future__ import annotations

import logging
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.atlases import Atlas, Spheres, read_atlas, spheres
from nssi_bayes.errors import DataError, SpecError
from nssi_bayes.privacy import pseudonymous
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, write_dataset, write_table
from nssi_bayes.study import ActivationSource, read_study, source_folder

__all__ = ["regional_effects", "run"]

log = logging.getLogger(__name__)

_FD: Final = "framewise_displacement"
_SPACE: Final = re.compile(r"space-[A-Za-z0-9+]+")
_AUDIT: Final = ["stage", "table", "column", "rule", "read", "missing", "changed", "out_of_range",
                 "dropped", "note"]  # fmt: skip
_PROBLEMS: Final = {
    "space": "a map, but none in a space under `spaces`: normalise the maps to MNI152, or add the space",
    "link": "the effect map is a link without content: fetch it (`datalad get`)",
    "variance": "no variance map at `variance`: write it beside the effect map, or mend the pattern",
    "unreadable": "a map that cannot be read as NIfTI: copy or fetch it again",
    "shape": "a map that is not three-dimensional: give one volume a contrast",
    "grid": "effect and variance on different grids: write both from the same first-level model",
    "outside": "a grid that leaves out the centre of a region: normalise the maps to MNI152",
    "empty": "no voxel of any region with a finite effect and a positive variance: mend the first level",
    "confounds": "no confounds file at `confounds`: add it, or mend the pattern",
    "motion": f"no finite {_FD} in the confounds file: add it",
}


@dataclass(frozen=True)
class _Scan:
    participant: str
    space: str
    effect: Path
    variance: Path
    confounds: Path | None


def regional_effects(
    effect: np.ndarray, variance: np.ndarray, *, regions: Spheres, min_coverage: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return effect, standard error and coverage of each region of one person.

    A voxel has data when its effect is finite and its variance is finite and positive (a map may
    be NaN or 0 outside the brain). The effect is the mean over voxels with data. Errors within a
    sphere are taken to be perfectly correlated, so the squared standard error is the mean of the
    variance: conservative, since any weaker correlation makes it smaller.

    Parameters
    ----------
    effect, variance : numpy.ndarray
        Maps of one person on the grid of `regions`, in raw units.
    regions : Spheres
        Voxels by region.
    min_coverage : float
        A region with data in a smaller share of its voxels is missing.

    Returns
    -------
    tuple of numpy.ndarray
        Effect, standard error (NaN where missing) and coverage, each (`roi`,).
    """
    effect, variance = effect.ravel(), variance.ravel()
    values = np.full((3, len(regions.voxels)), np.nan)
    for r, voxels in enumerate(regions.voxels):
        inside, error = effect[voxels], variance[voxels]
        has_data = np.isfinite(inside) & np.isfinite(error) & (error > 0)
        values[2, r] = has_data.sum() / regions.size[r]
        if has_data.any() and values[2, r] >= min_coverage:
            values[0, r] = inside[has_data].mean()
            values[1, r] = np.sqrt(error[has_data].mean())
    return values[0], values[1], values[2]


def run(layout: Layout, params: Params) -> None:
    """Extract the regional effects of everyone who was scanned.

    Writes ``activation.nc`` (`participant`, `roi`; raw units, without regions when the study has
    no images) and ``audit_extract.tsv``. Who has no map has no row.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        The run's parameters.

    Raises
    ------
    DataError
        If a map is in another space, cannot be read, has no data in any region or lacks its
        variance or confounds; with the number of people for each problem.
    SpecError
        If the study asks for an atlas or a space that does not fit.
    """
    study = read_study(layout, params.study)
    where = f"{layout.study(params.study)}: activation"
    if study.activation is None:
        dataset = _empty()
        audit = pd.DataFrame(columns=_AUDIT)
    else:
        atlas = read_atlas(study.activation.atlas)
        _check_spaces(study.activation, atlas, where=where)
        dataset = _extract(source_folder(layout, params), study.activation, atlas=atlas, where=where)
        audit = _audit(dataset, study.activation)
    dataset = pseudonymous(dataset, layout, keyed=study.keyed)
    dataset.attrs |= {"study": params.study, "synthetic": int(study.synthetic)}
    write_table(layout.audit_extract(params.study), audit)
    write_dataset(layout.activation(params.study), dataset)


def _check_spaces(rule: ActivationSource, atlas: Atlas, *, where: str) -> None:
    other = [space for space in rule.spaces if not space.startswith(atlas.template)]
    if other:
        raise SpecError(
            f"spaces: {', '.join(other)} cannot carry the atlas {atlas.name!r}, which is in {atlas.template}",
            where=where, cure=f"list only {atlas.template} spaces",
        )  # fmt: skip


def _find(source: Path, rule: ActivationSource, problems: Counter[str]) -> list[_Scan]:
    """Find every person with an effect map, whatever its space, and prefer accepted spaces."""
    pattern = re.escape(rule.effect).replace(re.escape("{participant}"), "(?P<participant>[^/]+)", 1)
    pattern = pattern.replace(re.escape("{participant}"), "(?P=participant)")
    pattern = pattern.replace(r"\-", "-")
    pattern = _SPACE.sub("space-(?P<space>[A-Za-z0-9+]+)", pattern, count=1)
    pattern = _SPACE.sub("space-(?P=space)", pattern)
    matcher = re.compile(pattern)
    wild = re.sub(r"([*?[])", r"[\1]", rule.effect).replace("{participant}", "*")
    found: dict[str, dict[str, Path]] = {}
    for path in source.glob(_SPACE.sub("space-*", wild)):
        match = matcher.fullmatch(path.relative_to(source).as_posix())
        if match:
            space = match.groupdict().get("space") or rule.spaces[0]
            found.setdefault(match["participant"], {})[space] = path
    scans = []
    for participant, maps in sorted(found.items()):
        space = next((s for s in rule.spaces if s in maps), None)
        if space is None:
            problems["space"] += 1
            continue
        variance = _SPACE.sub(f"space-{space}", rule.variance).format(participant=participant)
        confounds = rule.confounds and source / rule.confounds.format(participant=participant)
        scans.append(_Scan(participant, space, maps[space], source / variance, confounds or None))
    return scans


def _extract(source: Path, rule: ActivationSource, *, atlas: Atlas, where: str) -> xr.Dataset:
    problems: Counter[str] = Counter()
    scans = _find(source, rule, problems)
    if not scans and not problems:
        raise DataError(
            "nobody has a file that fits `effect`", where=where,
            cure="mend the pattern, or leave `activation` out when the study has no images",
        )  # fmt: skip
    grids: dict[bytes, Spheres] = {}
    rows, motion = [], []
    for scan in scans:
        rows.append(_person(scan, rule, atlas=atlas, grids=grids, problems=problems))
        motion.append(_mean_displacement(scan, problems))
    if problems:
        counted = [f"{count} people: {_PROBLEMS[kind]}" for kind, count in sorted(problems.items())]
        raise DataError(
            counted, where=where, cure="mend the files named by `effect`, `variance`, `confounds`"
        )
    log.info("%d people with a map, %d grid(s), atlas %s", len(scans), len(grids), atlas.name)
    return _dataset(scans, np.array(rows), np.array(motion), atlas=atlas, min_coverage=rule.min_coverage)


def _person(
    scan: _Scan, rule: ActivationSource, *, atlas: Atlas, grids: dict[bytes, Spheres],
    problems: Counter[str],
) -> np.ndarray:  # fmt: skip
    """Return effect, standard error and coverage, (3, `roi`); NaN after a problem."""
    lost = np.full((3, len(atlas.regions)), np.nan)
    if not scan.effect.exists():
        problems["link"] += 1
        return lost
    if not scan.variance.exists():
        problems["variance"] += 1
        return lost
    maps = [_read_map(path) for path in (scan.effect, scan.variance)]
    kinds = [found for found in maps if isinstance(found, str)]
    if kinds:
        problems[kinds[0]] += 1
        return lost
    (effect, affine), (variance, other) = (found for found in maps if not isinstance(found, str))
    if effect.shape != variance.shape or not np.allclose(affine, other, atol=1e-3):
        problems["grid"] += 1
        return lost
    key = np.array(effect.shape).tobytes() + affine.tobytes()
    if key not in grids:
        grids[key] = spheres(atlas, effect.shape, affine=affine)
    if not grids[key].inside:
        problems["outside"] += 1
        return lost
    values = regional_effects(effect, variance, regions=grids[key], min_coverage=rule.min_coverage)
    if not values[2].any():
        problems["empty"] += 1
    return np.array(values)


def _read_map(path: Path) -> tuple[np.ndarray, np.ndarray] | str:
    """Return the volume and its affine, or the kind of problem."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image = nibabel.load(path)
        values = np.asarray(image.dataobj, dtype=float)
    except (ImageFileError, OSError, EOFError, ValueError, zlib.error):
        return "unreadable"
    if values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if values.ndim != 3:
        return "shape"
    return values, np.asarray(image.affine, dtype=float)


def _mean_displacement(scan: _Scan, problems: Counter[str]) -> float:
    """Return the mean framewise displacement in mm; the first volume has none."""
    if scan.confounds is None:
        return np.nan
    if not scan.confounds.exists():
        problems["confounds"] += 1
        return np.nan
    try:
        table = pd.read_csv(scan.confounds, sep="\t", na_values=["n/a"], encoding="utf-8-sig")
        values = pd.to_numeric(table[_FD], errors="coerce").to_numpy(dtype=float)
    except (KeyError, ValueError):
        values = np.array([])
    if not np.isfinite(values).any():
        problems["motion"] += 1
        return np.nan
    return float(np.nanmean(values))


def _dataset(
    scans: list[_Scan], values: np.ndarray, motion: np.ndarray, *, atlas: Atlas, min_coverage: float
) -> xr.Dataset:
    labels = np.array([scan.participant for scan in scans], dtype=object)
    both = (n.PARTICIPANT, n.ROI)
    dataset = xr.Dataset(
        {
            n.ACTIVATION: (both, values[:, 0], {"units": "raw"}),
            n.ACTIVATION_SE: (both, values[:, 1], {"units": "raw"}),
            n.ACTIVATION_COVERAGE: (both, values[:, 2], {"units": "proportion of voxels"}),
            n.MOTION: (n.PARTICIPANT, motion, {"units": "mm", "long_name": f"mean {_FD}"}),
        },
        coords={n.PARTICIPANT: labels},
    ).assign_coords(atlas.coords())
    dataset.attrs = {
        "atlas": atlas.name, "template": atlas.template,
        "spaces": ", ".join(sorted({scan.space for scan in scans})), "min_coverage": min_coverage,
        "estimator": "mean over voxels with data; squared standard error is the mean variance",
    }  # fmt: skip
    return dataset


def _empty() -> xr.Dataset:
    both = (n.PARTICIPANT, n.ROI)
    dataset = xr.Dataset(
        {name: (both, np.empty((0, 0))) for name in (n.ACTIVATION, n.ACTIVATION_SE, n.ACTIVATION_COVERAGE)}
        | {n.MOTION: (n.PARTICIPANT, np.empty(0))},
        coords={n.PARTICIPANT: np.array([], dtype=str), n.ROI: np.array([], dtype=str)},
    )
    dataset.attrs["atlas"] = ""
    return dataset


def _audit(dataset: xr.Dataset, rule: ActivationSource) -> pd.DataFrame:
    """Count, for every region and for motion, who was read and who is missing."""
    read = dataset.sizes[n.PARTICIPANT]
    counts = dataset[n.ACTIVATION].isnull().sum(n.PARTICIPANT).to_numpy()
    rows = [
        ("extract", "images", roi, f"coverage of at least {rule.min_coverage:g}", read, int(count), 0, 0,
         int(count), "region set to missing" if count else "")
        for roi, count in zip(dataset[n.ROI].to_numpy(), counts, strict=True)
    ]  # fmt: skip
    nowhere = int(dataset[n.ACTIVATION].isnull().all(n.ROI).sum())
    rows.append(("extract", "images", n.ACTIVATION, "a region with enough coverage", read, nowhere, 0, 0,
                 nowhere, "people without any region" if nowhere else ""))  # fmt: skip
    unknown = int(dataset[n.MOTION].isnull().sum())
    note = "the study names no confounds file" if unknown else ""
    rows.append(("extract", "confounds", n.MOTION, f"mean {_FD} in mm", read, unknown, 0, 0, 0, note))
    return pd.DataFrame(rows, columns=_AUDIT)
