"""Contrast maps and an atlas -> regional effects with standard errors and coverage."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.atlases.images import Opened, recipe_of
from nssi_bayes.errors import DataError, SpecError
from nssi_bayes.extract.find import Found, by_mapping, by_pattern
from nssi_bayes.extract.images import volume
from nssi_bayes.extract.people import Arrays, extracted
from nssi_bayes.extract.problems import Problem, Problems
from nssi_bayes.extract.quality import mean_displacement
from nssi_bayes.extract.regions import Grids, combined, regional_effects
from nssi_bayes.extract.reliable import add_reliability
from nssi_bayes.imaging import ActivationSource, ConnectivitySource
from nssi_bayes.store import Layout

if TYPE_CHECKING:
    import numpy.typing as npt

    type Array = npt.NDArray[np.float64]

__all__ = ["activation_of", "check_template", "no_activation"]

log = logging.getLogger(__name__)

_UNITS: Final = {"effect": "raw", "t": "t", "z": "z"}
_AFFINE_MM: Final = 1e-3
_ONE_SIGN: Final = 0.99  # share of voxels; some round to the other side of 0


def check_template(rule: ActivationSource | ConnectivitySource, opened: Opened, *, where: str) -> None:
    """Refuse spaces that cannot carry the atlas.

    Parameters
    ----------
    rule : ActivationSource or ConnectivitySource
        With `spaces` and `other_template`.
    opened : Opened
        The atlas.
    where : str
        Part of the study file.

    Raises
    ------
    SpecError
        For a native space, or another template unless the study accepts it.
    """
    atlas = opened.atlas
    why = f"cannot carry the atlas {atlas.name!r}, which is in {atlas.template}"
    native = [space for space in rule.spaces if not space.startswith("MNI152")]
    other = [s for s in rule.spaces if s not in native and not s.startswith(atlas.template)]
    if native:
        raise SpecError(
            f"spaces: {', '.join(native)} {why}", where=where,
            cure="list only MNI152 spaces; a map in native space is normalised first",
        )  # fmt: skip
    if other and rule.other_template == "refuse":
        raise SpecError(
            f"spaces: {', '.join(other)} {why}", where=where,
            cure="use an atlas of that template, or accept some mm of difference: other_template: resample",
        )  # fmt: skip
    if other:
        log.warning("%s: atlas %s of %s on maps in %s; borders differ by some mm", where, atlas.name,
                    atlas.template, ", ".join(other))  # fmt: skip


def activation_of(
    source: Path, rule: ActivationSource, *, opened: Opened, layout: Layout, problems: Problems
) -> xr.Dataset:
    """Extract the regional effects of everyone who has a map.

    Parameters
    ----------
    source : pathlib.Path
        The cohort's folder.
    rule : ActivationSource
        Where maps are and how they are read.
    opened : Opened
        The atlas.
    layout : Layout
        Where results of earlier runs are kept.
    problems : Problems
        Where people are counted.

    Returns
    -------
    xarray.Dataset
        ``activation`` with ``activation_se`` and ``activation_coverage`` (`participant`, `roi`), ``motion``
        in mm and, where people have two runs or the study declares it, ``activation_reliability``
        (`roi`,). With several
        contrasts a region stands there once each, as ``contrast:roi``, and so does its network.
    """
    roles = ("effect", "variance", "t")
    if rule.mapping is not None:
        found = by_mapping(source, rule.mapping, roles=roles, spaces=rule.spaces)
    else:
        patterns = {role: getattr(rule, role) for role in roles}
        found = by_pattern(source, patterns, main="effect", spaces=rule.spaces)
    contrasts = _contrasts(found, rule, where=problems.where)
    found = [_with_confounds(f, source, rule) for f in found if f.contrast in contrasts]
    if rule.statistic != "effect":
        log.warning("%s: %s maps mix effect and precision; standard errors are 1 by their scale and people "
                    "with more frames look stronger", problems.where, rule.statistic)  # fmt: skip
    grids = Grids(opened)
    recipe = {"atlas": recipe_of(opened), "statistic": rule.statistic, "coverage": rule.min_coverage}
    done = extracted(found, lambda f: _one(f, rule, grids), recipe=recipe, layout=layout, problems=problems)
    problems.close(left=len({f.participant for f, _ in done}))
    return _dataset(done, rule, opened=opened, contrasts=contrasts, where=problems.where)


def _contrasts(found: Sequence[Found], rule: ActivationSource, *, where: str) -> list[str]:
    seen = sorted({f.contrast for f in found})
    if not rule.contrasts:
        return seen
    absent = [c for c in rule.contrasts if c not in seen]
    if found and absent:
        raise DataError(
            f"nobody has a map of the contrasts {', '.join(absent)}", where=f"{where}.contrasts",
            cure=f"the contrasts found are {', '.join(filter(None, seen)) or 'none'}",
        )  # fmt: skip
    return list(rule.contrasts)


def _with_confounds(found: Found, source: Path, rule: ActivationSource) -> Found:
    if rule.confounds is None or not found.paths:
        return found
    path = source / rule.confounds.format(participant=found.participant, run=found.run)
    return replace(found, paths={**found.paths, "confounds": path})


def _one(found: Found, rule: ActivationSource, grids: Grids) -> Arrays:
    """Extract one map of one person."""
    effect, affine = volume(found.paths["effect"])
    error = None
    if rule.statistic == "effect":
        role = "variance" if "variance" in found.paths else "t"
        if role not in found.paths:
            raise Problem("variance")
        error, other = volume(found.paths[role])
        if effect.shape != error.shape or not np.allclose(affine, other, atol=_AFFINE_MM):
            raise Problem("grid")
        if role == "t":
            _same_contrast(effect, error)
            with np.errstate(divide="ignore", invalid="ignore"):
                error = (effect / error) ** 2  # where t is 0 there is no variance, and so no data
    regions = grids.on(effect.shape, affine=affine)
    if not regions.inside:
        raise Problem("outside")
    values = np.array(regional_effects(effect, error, regions=regions, min_coverage=rule.min_coverage))
    if not values[2].any():
        raise Problem("flat" if rule.statistic != "effect" else "empty")
    if not np.nan_to_num(values[0]).any():
        raise Problem("flat")
    confounds = found.paths.get("confounds")
    motion = np.nan if confounds is None else mean_displacement(confounds)
    return {"values": values, "motion": np.array(motion)}


def _same_contrast(effect: Array, t: Array) -> None:
    """Refuse a t map that is not of the effect: the two have one sign in every voxel."""
    both = np.isfinite(effect) & np.isfinite(t) & (effect != 0) & (t != 0)
    if both.any() and (np.sign(effect[both]) == np.sign(t[both])).mean() < _ONE_SIGN:
        raise Problem("sign")


def _dataset(
    done: list[tuple[Found, Arrays]],
    rule: ActivationSource,
    *,
    opened: Opened,
    contrasts: list[str],
    where: str,
) -> xr.Dataset:
    """Put runs together and everything into one data set."""
    people = sorted({f.participant for f, _ in done})
    runs = sorted({f.run for f, _ in done})
    shape = (len(runs), len(people), len(contrasts), len(opened.atlas.regions))
    value, error, coverage = (np.full(shape, np.nan) for _ in range(3))
    motion = np.full(shape[:3], np.nan)
    for f, arrays in done:
        at = runs.index(f.run), people.index(f.participant), contrasts.index(f.contrast)
        value[at], error[at], coverage[at] = arrays["values"]
        motion[at] = arrays["motion"]
    flat = (len(runs), len(people), -1)
    effect, se = combined(value.reshape(flat), error.reshape(flat))
    both = (n.PARTICIPANT, n.ROI)
    unit = {"units": _UNITS[rule.statistic]}
    dataset = xr.Dataset(
        {
            n.ACTIVATION: (both, effect, unit),
            n.ACTIVATION_SE: (both, se, unit),
            n.ACTIVATION_COVERAGE: (both, _mean(coverage.reshape(flat)), {"units": "proportion of voxels"}),
            n.MOTION: (n.PARTICIPANT, _mean(np.moveaxis(motion, 1, 2).reshape(-1, len(people))),
                       {"units": "mm", "long_name": "mean framewise_displacement"}),
        },
        coords={n.PARTICIPANT: np.array(people, dtype=object)},
    ).assign_coords(_coords(opened, contrasts))  # fmt: skip
    add_reliability(dataset, rule, value=value.reshape(flat), where=where)
    dataset.attrs = {
        "atlas": opened.atlas.name, "template": opened.atlas.template, "statistic": rule.statistic,
        "spaces": ", ".join(sorted({f.space for f, _ in done})), "min_coverage": rule.min_coverage,
        "estimator": "mean over voxels with data; squared standard error is the mean variance",
    }  # fmt: skip
    return dataset


def _mean(values: Array) -> Array:
    """Return the mean over the first axis of what is there; NaN where nothing is."""
    seen = np.isfinite(values)
    total = np.where(seen, values, 0.0).sum(axis=0)
    return np.where(seen.any(axis=0), total / np.maximum(seen.sum(axis=0), 1), np.nan)


def _coords(opened: Opened, contrasts: list[str]) -> xr.Coordinates:
    """Return the atlas' coords, once for every contrast if there are several."""
    coords = opened.atlas.coords()
    if len(contrasts) == 1:
        return coords
    prefixed = (n.ROI, n.ROI_NETWORK)
    along = {}
    for name, values in coords.items():
        parts = [values.to_numpy()] * len(contrasts)
        if name in prefixed:
            parts = [np.array([f"{c}:{v}" for v in values.to_numpy()], dtype=object) for c in contrasts]
        along[name] = (n.ROI, np.concatenate(parts))
    return xr.Dataset(coords=along).coords


def no_activation() -> xr.Dataset:
    """Return the data set of a study without maps."""
    both = (n.PARTICIPANT, n.ROI)
    dataset = xr.Dataset(
        {name: (both, np.empty((0, 0))) for name in (n.ACTIVATION, n.ACTIVATION_SE, n.ACTIVATION_COVERAGE)}
        | {n.MOTION: (n.PARTICIPANT, np.empty(0))},
        coords={n.PARTICIPANT: np.array([], dtype=str), n.ROI: np.array([], dtype=str)},
    )
    dataset.attrs["atlas"] = ""
    return dataset
