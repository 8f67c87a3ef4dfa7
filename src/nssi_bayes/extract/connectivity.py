"""Regional series -> edges: Fisher's z with its standard error and effective frames."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.atlases import Atlas
from nssi_bayes.atlases.images import Opened, recipe_of
from nssi_bayes.errors import SpecError, did_you_mean
from nssi_bayes.extract.effective import effective_frames, fisher_z, standard_error
from nssi_bayes.extract.find import SPACE, Found, by_pattern
from nssi_bayes.extract.people import Arrays, extracted
from nssi_bayes.extract.problems import Problem, Problems
from nssi_bayes.extract.regions import Grids, combined
from nssi_bayes.extract.reliable import add_reliability
from nssi_bayes.extract.series import (
    Series,
    confounds_beside,
    displacement_of,
    from_bold,
    from_table,
)
from nssi_bayes.imaging import ConnectivitySource
from nssi_bayes.names import EDGE_SEPARATOR
from nssi_bayes.store import Layout

if TYPE_CHECKING:
    import numpy.typing as npt

    type Array = npt.NDArray[np.float64]

__all__ = ["MEASURES", "Edges", "connectivity_of", "edge_coords", "edges_of", "no_connectivity", "run_edges"]

log = logging.getLogger(__name__)

MEASURES: Final = {
    "connectivity_motion": "mm", "censored": "proportion of frames", "tsnr": "mean over sd over time",
    "connectivity_coverage": "proportion of voxels",
}  # fmt: skip


class Edges(NamedTuple):
    """The edges that are wanted.

    Parameters
    ----------
    labels : list of str
        ``roi_a--roi_b``, in the atlas' order of regions.
    a, b : numpy.ndarray
        Positions of the two regions in the atlas.
    """

    labels: list[str]
    a: npt.NDArray[np.intp]
    b: npt.NDArray[np.intp]


def edges_of(rule: ConnectivitySource, atlas: Atlas, *, where: str) -> Edges:
    """Return the edges that a study asks for.

    Parameters
    ----------
    rule : ConnectivitySource
        With `edges`.
    atlas : Atlas
        The regions, and the default edges.
    where : str
        Part of the study file.

    Returns
    -------
    Edges
        Each once.

    Raises
    ------
    SpecError
        For an unknown region, an edge of a region with itself, or no default.
    """
    at = {label: r for r, label in enumerate(atlas.labels)}
    wanted: Sequence[str] = atlas.edges if rule.edges == "default" else rule.edges
    if rule.edges == "all":
        pairs = list(combinations(range(len(at)), 2))
    else:
        problems = [] if wanted else [f"the atlas {atlas.name!r} has no default edges"]
        pairs = []
        for edge in wanted:
            ends = edge.split(EDGE_SEPARATOR)
            unknown = [end for end in ends if end not in at]
            problems += [f"edge {edge!r}: no region {end!r}. {did_you_mean(end, at)}" for end in unknown]
            if not unknown and len(set(ends)) != 2:
                problems.append(f"edge {edge!r} does not join two regions")
            elif not unknown:
                pairs.append((min(at[e] for e in ends), max(at[e] for e in ends)))
        twice = len(pairs) - len(set(pairs))
        problems += [f"{twice} edges stand twice"] if twice else []
        if problems:
            raise SpecError(problems, where=f"{where}.edges", cure="write roi_a--roi_b, or all")
    first, second = (np.array([pair[i] for pair in pairs], dtype=int) for i in (0, 1))
    labels = [f"{atlas.labels[a]}{EDGE_SEPARATOR}{atlas.labels[b]}" for a, b in pairs]
    return Edges(labels, first, second)


def connectivity_of(
    source: Path, rule: ConnectivitySource, *, opened: Opened, layout: Layout, problems: Problems
) -> xr.Dataset:
    """Extract the edges of everyone with series, matrices or values.

    Parameters
    ----------
    source : pathlib.Path
        The cohort's folder.
    rule : ConnectivitySource
        Where series are, and how they are cleaned.
    opened : Opened
        The atlas.
    layout : Layout
        Where results of earlier runs are kept.
    problems : Problems
        Where people are counted.

    Returns
    -------
    xarray.Dataset
        ``connectivity`` (Fisher's z), ``connectivity_se`` and ``connectivity_frames`` (`participant`,
        `edge`); ``quality`` (`participant`, `quality_measure`); where people have two runs or the
        study declares it ``connectivity_reliability`` (`edge`,).
    """
    edges = edges_of(rule, opened.atlas, where=problems.where)
    if rule.table is not None:
        from nssi_bayes.extract.ready import from_wide_table

        return from_wide_table(source / rule.table, rule, edges=edges, atlas=opened.atlas, problems=problems)
    pattern = getattr(rule, rule.source)
    named = SPACE.search(pattern)  # a ready-made file is taken as it is named
    spaces = rule.spaces or (named.group().removeprefix("space-") if named else "-",)
    found = by_pattern(source, {rule.source: pattern}, main=rule.source, spaces=spaces)
    found = [_with_confounds(f, source, rule) for f in found]
    grids = Grids(opened)
    recipe = {"atlas": recipe_of(opened), "rule": rule.model_dump(exclude={"reliability"})}
    with warnings.catch_warnings():
        for category in (UserWarning, RuntimeWarning):  # nilearn's, about what is counted here
            warnings.simplefilter("ignore", category)
        done = extracted(
            found, lambda f: _one(f, rule, grids, edges), recipe=recipe, layout=layout, problems=problems
        )
    problems.close(left=len({f.participant for f, _ in done}))
    return _dataset(done, rule, opened=opened, edges=edges, where=problems.where)


def _with_confounds(found: Found, source: Path, rule: ConnectivitySource) -> Found:
    if not found.paths:
        return found
    if rule.source == "bold":
        path = confounds_beside(found.paths["bold"])
    elif rule.confounds is not None:
        path = source / rule.confounds.format(participant=found.participant, run=found.run)
    else:
        return found
    return replace(found, paths={**found.paths, "confounds": path})


def _one(found: Found, rule: ConnectivitySource, grids: Grids, edges: Edges) -> Arrays:
    """Extract one run of one person."""
    labels = grids.opened.atlas.labels
    if rule.source == "relmat":
        from nssi_bayes.extract.ready import from_matrix

        result = from_matrix(found.paths["relmat"], labels, rule=rule, edges=edges)
    else:
        if rule.source == "bold":
            series = from_bold(found.paths["bold"], found.paths["confounds"], rule=rule, grids=grids)
        else:
            series = from_table(found.paths["timeseries"], labels, rule=rule)
        result = run_edges(series, rule, edges=edges)
    if "confounds" in found.paths and not np.isfinite(result["quality"][0]):
        result["quality"][0] = displacement_of(found.paths["confounds"])
    return result


def run_edges(series: Series, rule: ConnectivitySource, *, edges: Edges) -> Arrays:
    """Return the edges of one run.

    Correlations come from nilearn's ``ConnectivityMeasure`` with the empirical covariance; its own
    default, Ledoit-Wolf, would shrink them.

    Parameters
    ----------
    series : Series
        Regional series.
    rule : ConnectivitySource
        Kind of correlation, limits, and what was done to ready-made series.
    edges : Edges
        Which.

    Returns
    -------
    dict of str to numpy.ndarray
        ``z``, ``se`` and ``quality``.

    Raises
    ------
    Problem
        If no edge is left.
    """
    from nilearn.connectome import ConnectivityMeasure
    from sklearn.covariance import EmpiricalCovariance

    partial = rule.kind == "partial correlation"
    cleaned = series.cleaned
    usable = np.isfinite(series.raw).all(axis=0) & (cleaned.std(axis=0) > 0)
    if usable.sum() < 2 or (partial and not usable.all()):
        raise Problem("regions")
    measure = ConnectivityMeasure(EmpiricalCovariance(store_precision=False), kind=rule.kind)
    whole = np.full((len(usable), len(usable)), np.nan)
    frames = whole.copy()
    at = np.ix_(usable, usable)
    held = int(usable.sum()) - 2 if partial else 0
    with np.errstate(invalid="ignore", divide="ignore"):
        whole[at] = measure.fit_transform([cleaned[:, usable]])[0]
    counted = effective_frames(series.raw[:, usable], series.cleaning, partial=partial)
    frames[at] = counted if rule.cleaned is None else counted * _left(len(series.keep), rule)
    z, worth = fisher_z(whole[edges.a, edges.b]), frames[edges.a, edges.b]
    worth = np.where(worth - held >= rule.min_effective, worth, np.nan)
    z = np.where(np.isfinite(worth), z, np.nan)
    if not np.isfinite(z).any():
        raise Problem("regions" if not np.isfinite(whole[edges.a, edges.b]).any() else "worth")
    dropped = 1 - len(series.keep) / len(series.raw)
    quality = np.array([series.displacement, dropped, series.snr, float(series.coverage.mean())])
    return {"z": z, "se": standard_error(worth, held=held), "quality": quality}


def _left(kept: int, rule: ConnectivitySource) -> float:
    """Return the share of the pass band's frames that ready-made series have left."""
    cleaned = rule.cleaned
    if cleaned is None or rule.t_r is None:
        return 1.0
    nyquist = 0.5 / rule.t_r
    top = min(cleaned.low_pass_hz or nyquist, nyquist)
    band = kept * (top - (cleaned.high_pass_hz or 0.0)) / nyquist
    return max(1 - cleaned.nuisance / band, 0.0) if band > 0 else 0.0


def edge_coords(edges: Edges, atlas: Atlas) -> xr.Coordinates:
    """Return the labels along `edge` with regions, networks and coordinates (mm)."""
    regions = atlas.regions
    a, b = ([regions[i] for i in side] for side in (edges.a, edges.b))
    pair = [EDGE_SEPARATOR.join(sorted((p.network, q.network))) for p, q in zip(a, b, strict=True)]
    words = {n.EDGE: edges.labels, n.EDGE_NETWORK: pair, n.EDGE_A: [p.roi for p in a],
             n.EDGE_B: [q.roi for q in b]}  # fmt: skip
    numbers = {
        n.EDGE_A_X: [p.x for p in a], n.EDGE_A_Y: [p.y for p in a], n.EDGE_A_Z: [p.z for p in a],
        n.EDGE_B_X: [q.x for q in b], n.EDGE_B_Y: [q.y for q in b], n.EDGE_B_Z: [q.z for q in b],
    }  # fmt: skip
    along = {name: (n.EDGE, np.array(values, dtype=object)) for name, values in words.items()}
    along |= {name: (n.EDGE, np.array(values, dtype=float)) for name, values in numbers.items()}
    return xr.Dataset(coords=along).coords


def _dataset(
    done: list[tuple[Found, Arrays]], rule: ConnectivitySource, *, opened: Opened, edges: Edges, where: str
) -> xr.Dataset:
    """Put runs together and everything into one data set."""
    people = sorted({f.participant for f, _ in done})
    runs = sorted({f.run for f, _ in done})
    value, error = (np.full((len(runs), len(people), len(edges.labels)), np.nan) for _ in range(2))
    quality = np.full((len(runs), len(people), len(MEASURES)), np.nan)
    for f, arrays in done:
        at = runs.index(f.run), people.index(f.participant)
        value[at], error[at], quality[at] = arrays["z"], arrays["se"], arrays["quality"]
    z, se = combined(value, error)
    held = len(opened.atlas.regions) - 2 if rule.kind == "partial correlation" else 0
    seen = np.isfinite(quality)
    mean = np.where(seen, quality, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    dataset = labelled(
        people, z, se, quality=np.where(seen.any(axis=0), mean, np.nan), edges=edges, atlas=opened.atlas,
        held=held,
    )  # fmt: skip
    add_reliability(dataset, rule, value=value, where=where)
    method = rule.denoise.told() if rule.source == "bold" else "ready-made"
    dataset.attrs |= {"kind": rule.kind, "source": rule.source, "cleaning": method,
                      "spaces": ", ".join(sorted({f.space for f, _ in done})),
                      "nilearn": version("nilearn"), **rule.settings()}  # fmt: skip
    return dataset


def labelled(
    people: Sequence[str], z: Array, se: Array, *, quality: Array, edges: Edges, atlas: Atlas, held: int
) -> xr.Dataset:
    """Put edges and quality under their labels; arrays are (`participant`, ...)."""
    both = (n.PARTICIPANT, n.EDGE)
    frames = 1 / se**2 + 3 + held
    return xr.Dataset(
        {
            n.CONNECTIVITY: (both, z, {"units": "Fisher z"}),
            n.CONNECTIVITY_SE: (both, se, {"units": "Fisher z"}),
            n.CONNECTIVITY_FRAMES: (both, frames, {"units": "independent frames"}),
            n.QUALITY: ((n.PARTICIPANT, n.QUALITY_MEASURE), quality, {"units": "of each measure"}),
        },
        coords={
            n.PARTICIPANT: np.array(people, dtype=object),
            n.QUALITY_MEASURE: np.array(list(MEASURES), dtype=object),
        },
        attrs={"atlas": atlas.name, "template": atlas.template},
    ).assign_coords(edge_coords(edges, atlas))


def no_connectivity() -> xr.Dataset:
    """Return the data set of a study without series."""
    both = (n.PARTICIPANT, n.EDGE)
    parts = (n.CONNECTIVITY, n.CONNECTIVITY_SE, n.CONNECTIVITY_FRAMES)
    dataset = xr.Dataset(
        {name: (both, np.empty((0, 0))) for name in parts},
        coords={n.PARTICIPANT: np.array([], dtype=str), n.EDGE: np.array([], dtype=str)},
    )
    dataset.attrs["atlas"] = ""
    return dataset
