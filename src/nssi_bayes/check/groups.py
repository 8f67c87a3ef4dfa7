"""Means, sds and correlations of the functions by group of the invariance ladder."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.groups import correlation_names

__all__ = ["by_group", "mark_few"]

type Row = dict[str, Any]


def by_group(posterior: xr.Dataset, design: Design, *, signed: Callable[..., Row]) -> list[Row]:
    """Summarise what the ladder leaves free of the functions, in sds of the first group.

    Parameters
    ----------
    posterior : xarray.Dataset
        Draws by name [sample, ...].
    design : Design
        Groups and functions.
    signed : callable
        From draws [sample] to a row: mean, sd, interval and probability of being above 0.

    Returns
    -------
    list of dict
        ``what`` is ``mean`` (sd of the function in the first group, whose own is 0), ``log_sd`` (of the ratio
        to the sd in the first group) or ``correlation`` (of every group, with ``other``).
    """
    if not design.coords[n.GROUP]:
        return []
    functions, found = design.coords[n.FUNCTION], []
    for what, name in (("mean", "level_group"), ("log_sd", "spread_group")):
        if name not in posterior:
            continue
        draws = posterior[name]
        if what == "log_sd":
            draws = draws.copy(data=np.log(draws.to_numpy()))
        found += [
            {"what": what, "group": str(g), "function": f,
             **signed(draws.sel({n.GROUP_LATER: g, n.FUNCTION: f}).to_numpy())}
            for g in design.coords[n.GROUP_LATER] for f in functions
        ]  # fmt: skip
    for g, name in zip(design.coords[n.GROUP], correlation_names(design), strict=True):
        if name in posterior:
            found += [
                {"what": "correlation", "group": str(g), "function": a, "other": b,
                 **signed(posterior[name].sel({n.FUNCTION: a, n.FUNCTION_OTHER: b}).to_numpy())}
                for a, b in combinations(functions, 2)
            ]  # fmt: skip
    return found


def mark_few(rows: list[Row], design: Design, smallest: int) -> list[Row]:
    """Mark what is said of groups of too few people, which a page does not print.

    Parameters
    ----------
    rows : list of dict
        From `by_group`.
    design : Design
        Who is in which group.
    smallest : int
        The smallest group that is printed.

    Returns
    -------
    list of dict
        The same, with ``few`` where it holds.
    """
    sizes = np.bincount(design.group_of, minlength=len(design.coords[n.GROUP]))
    few = {str(g) for g, size in zip(design.coords[n.GROUP], sizes, strict=True) if size < smallest}
    return [{**r, "few": True} if r["group"] in few else r for r in rows]
