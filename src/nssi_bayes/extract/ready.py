"""Matrices and tables of edges that another program made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import xarray as xr

from nssi_bayes.atlases import Atlas
from nssi_bayes.errors import DataError
from nssi_bayes.extract.connectivity import MEASURES, Edges, labelled
from nssi_bayes.extract.effective import fisher_z, standard_error
from nssi_bayes.extract.people import Arrays
from nssi_bayes.extract.problems import Problem, Problems
from nssi_bayes.extract.reliable import add_reliability
from nssi_bayes.extract.series import read_numbers
from nssi_bayes.imaging import ConnectivitySource
from nssi_bayes.names import EDGE_SEPARATOR
from nssi_bayes.sources import read_source_table

if TYPE_CHECKING:
    import numpy.typing as npt

    type Array = npt.NDArray[np.float64]

__all__ = ["from_matrix", "from_wide_table"]

_ROUNDED: Final = 1e-6


def from_matrix(path: Path, labels: list[str], *, rule: ConnectivitySource, edges: Edges) -> Arrays:
    """Read a ``*_relmat.tsv``: correlations with a label a row and column.

    Parameters
    ----------
    path : pathlib.Path
        The matrix.
    labels : list of str
        Regions of the atlas.
    rule : ConnectivitySource
        With `effective_frames`.
    edges : Edges
        Which.

    Returns
    -------
    dict of str to numpy.ndarray
        ``z``, ``se`` and ``quality``.

    Raises
    ------
    Problem
        If it is no matrix, or lacks a region.
    """
    table = read_numbers(path, index=True)
    if not table.index.is_unique:
        raise Problem("table")
    wanted = [labels[i] for i in sorted({*edges.a.tolist(), *edges.b.tolist()})]
    if set(wanted) - set(table.columns) or set(wanted) - set(table.index):
        raise Problem("labels")
    values = table.reindex(index=labels, columns=labels).to_numpy()
    if (np.abs(values[edges.a, edges.b]) > 1 + _ROUNDED).any():
        raise Problem("correlations")
    z = fisher_z(values[edges.a, edges.b])
    if not np.isfinite(z).any():
        raise Problem("regions")
    se = np.full(len(z), float(standard_error(np.array(rule.effective_frames or np.nan))))
    return {"z": z, "se": np.where(np.isfinite(z), se, np.nan), "quality": np.full(len(MEASURES), np.nan)}


def from_wide_table(
    path: Path, rule: ConnectivitySource, *, edges: Edges, atlas: Atlas, problems: Problems
) -> xr.Dataset:
    """Read a table with one row a person and one column an edge.

    Parameters
    ----------
    path : pathlib.Path
        With ``participant_id``, edges in either order of their regions (Fisher's z), and optionally
        ``<edge>_se`` for each.
    rule : ConnectivitySource
        With `effective_frames` where standard errors are not in the table.
    edges : Edges
        Which.
    atlas : Atlas
        The regions.
    problems : Problems
        Where people are counted.

    Returns
    -------
    xarray.Dataset
        As from `connectivity_of`, without quality.

    Raises
    ------
    DataError
        If columns are missing, a label stands twice, or a cell is no number.
    """
    table = read_source_table(path)
    found = _columns(table, rule, edges=edges, where=path)
    z = _numbers(table, list(found.values()), where=path)
    if rule.effective_frames is None:
        se = _numbers(table, [f"{name}_se" for name in found.values()], where=path)
    else:
        se = np.full(z.shape, float(standard_error(np.array(rule.effective_frames))))
    seen = np.isfinite(z) & np.isfinite(se) & (se > 0)
    people = table["participant_id"].to_numpy("str")
    for person in people[~seen.any(axis=1)]:
        problems.add("regions", str(person))
    some = seen.any(axis=1)
    problems.close(left=int(some.sum()))
    z, se = np.where(seen, z, np.nan)[some], np.where(seen, se, np.nan)[some]
    quality = np.full((len(z), len(MEASURES)), np.nan)
    dataset = labelled(list(people[some]), z, se, quality=quality, edges=edges, atlas=atlas, held=0)
    dataset.attrs |= {"kind": rule.kind, "source": "table", "cleaning": "ready-made", "spaces": ""}
    dataset.attrs |= rule.settings()
    add_reliability(dataset, rule, value=z[None], where=problems.where)
    return dataset


def _numbers(table: pd.DataFrame, columns: list[str], *, where: Path) -> Array:
    cells = table[columns].mask(table[columns].isin(["n/a", ""]))
    values = cells.apply(pd.to_numeric, errors="coerce")
    wrong = int((cells.notna() & values.isna()).to_numpy().sum())
    if wrong:
        raise DataError(f"{wrong} cells are no numbers", where=str(where), cure="write n/a where missing")
    return values.to_numpy(dtype=float)


def _columns(table: pd.DataFrame, rule: ConnectivitySource, *, edges: Edges, where: Path) -> dict[str, str]:
    """Return the column of each edge, whose regions may stand in either order."""
    found, wrong = dict[str, str](), list[str]()
    for label in edges.labels:
        turned = EDGE_SEPARATOR.join(reversed(label.split(EDGE_SEPARATOR)))
        name = next((c for c in (label, turned) if c in table), None)
        if name is None:
            wrong.append(f"no column {label!r}")
        elif f"{name}_se" not in table and rule.effective_frames is None:
            wrong.append(f"no column {name + '_se'!r}, and no `effective_frames` in the study file")
        else:
            found[label] = name
    if "participant_id" not in table:
        wrong.append("no column 'participant_id'")
    elif table["participant_id"].duplicated().any():
        wrong.append(f"{int(table['participant_id'].duplicated().sum())} people stand twice")
    if wrong:
        raise DataError(wrong, where=str(where), cure="mend the head of the table, or name its `edges`")
    return found
