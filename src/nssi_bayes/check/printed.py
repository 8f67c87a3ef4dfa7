"""What a page prints and that is no parameter: levels as met, sds over disorders, largest contrasts, ratios.

The gate judges them as it judges parameters. They are taken from the intervals that were printed, so
that what is printed next is judged, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from nssi_bayes import names as n

__all__ = ["derived"]

type Array = np.ndarray[Any, Any]


def derived(found: Mapping[str, Any], printed: Sequence[Array], posterior: xr.Dataset) -> dict[str, Array]:
    """Return the draws of every printed quantity that is no parameter.

    Parameters
    ----------
    found : mapping
        As ``estimates.json``, for the names.
    printed : sequence of numpy.ndarray
        Draws of every interval in it [sample], chain after chain.
    posterior : xarray.Dataset
        Parameters [`chain`, `draw`, ...], which are judged already.

    Returns
    -------
    dict of str to numpy.ndarray
        [`chain`, `draw`]; what does not vary is left out.
    """
    shape = (posterior.sizes[n.CHAIN], posterior.sizes[n.DRAW])
    known = {_mark(draws) for draws in _elements(posterior)}
    names = {(row["mean"], row["low"], row["high"]): name for name, row in _rows(found, ())}
    result: dict[str, Array] = {}
    for draws in printed:
        mark = _mark(draws)
        if mark in known or np.ptp(draws) == 0:
            continue
        known.add(mark)
        low, high = np.quantile(draws, _tails(found))
        name = names.get((float(draws.mean()), float(low), float(high)), "printed")
        result[name if name not in result else f"{name} {len(result)}"] = draws.reshape(shape)
    return result


def _tails(found: Mapping[str, Any]) -> tuple[float, float]:
    return (1 - found["interval"]) / 2, (1 + found["interval"]) / 2


def _elements(posterior: xr.Dataset) -> Iterator[Array]:
    for array in posterior.data_vars.values():
        values = array.transpose(n.CHAIN, n.DRAW, ...).to_numpy()
        yield from values.reshape(values.shape[0] * values.shape[1], -1).T


def _mark(draws: Array) -> int:
    """Return what is equal of draws that differ by rounding alone."""
    return hash(np.ascontiguousarray(draws, dtype=np.float32).tobytes())


def _rows(content: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every interval with its place: the part, the labels of its row, and the keys that lead to it."""
    if isinstance(content, list):
        for row in content:
            yield from _rows(row, path)
    if not isinstance(content, Mapping):
        return
    path = (*path, *(v for v in content.values() if isinstance(v, str) and v)) if path else path
    if {"mean", "low", "high"} <= set(content):
        yield f"{path[0]}[{', '.join(path[1:])}]", content
    for key, value in content.items():
        if key != "prior":
            yield from _rows(value, path if isinstance(value, str) else (*path, key))
