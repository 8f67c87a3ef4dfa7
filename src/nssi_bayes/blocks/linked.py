"""Whether the indicators of a function are on one scale: people or items in common link them.

Two questionnaires for one function, each answered by other people, say nothing of each other: what
looks like a difference between people may be one between questionnaires. Only the assumption that both
groups are drawn from one population puts them on a scale (Kolen & Brennan 2014,
10.1007/978-1-4939-0317-7), and that the study has to write. Items that both have are one indicator, if
the study says that they are the same (`score.common`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import xarray as xr
from scipy.sparse.csgraph import connected_components

from nssi_bayes.errors import SpecError

__all__ = ["EQUIVALENT_GROUPS", "FEWEST_COMMON", "check_linked", "parts_of"]

EQUIVALENT_GROUPS: Final = "equivalent_groups"
FEWEST_COMMON: Final = 10
"""People who answered both of two indicators, under which these do not link each other."""
_NAMED: Final = 4

type Array = np.ndarray[Any, Any]


def parts_of(seen: Array) -> list[Array]:
    """Split indicators into parts that no chain of common people joins.

    Parameters
    ----------
    seen : numpy.ndarray
        Who answered what [`participant`, `indicator`].

    Returns
    -------
    list of numpy.ndarray
        Positions of the indicators of each part, the largest first. An indicator that fewer than
        `FEWEST_COMMON` people answered is of none: it can link nothing, and moves nothing.
    """
    answered = seen.astype(float)
    common = answered.T @ answered
    kept = np.flatnonzero(np.diag(common) >= FEWEST_COMMON)
    if not len(kept):
        return []
    count, part = connected_components(common[np.ix_(kept, kept)] >= FEWEST_COMMON, directed=False)
    found = [kept[part == p] for p in range(count)]
    return sorted(found, key=len, reverse=True)


def check_linked(
    cohort: xr.Dataset, functions: Sequence[str], measures: Array, *, seen: Array, labels: Sequence[str],
    where: str,
) -> None:  # fmt: skip
    """Refuse a function whose indicators fall into parts, unless the study assumes equivalent groups.

    Parameters
    ----------
    cohort : xarray.Dataset
        Its attribute ``assume`` is what the study writes.
    functions : sequence of str
        What is measured, with the key of the spec: ``functions.distress``.
    measures : numpy.ndarray
        Whether an indicator measures it [function, `indicator`].
    seen : numpy.ndarray
        Who answered what [`participant`, `indicator`].
    labels : sequence of str
        Of the indicators.
    where : str
        The spec's file, for messages.

    Raises
    ------
    SpecError
        With the parts of each such function.
    """
    if cohort.attrs.get("assume") == EQUIVALENT_GROUPS:
        return
    problems = []
    for function, of_function in zip(functions, measures, strict=True):
        own = np.flatnonzero(of_function)
        parts = parts_of(seen[:, own])
        if len(parts) > 1:
            told = " | ".join(_names([labels[own[j]] for j in part]) for part in parts)
            problems.append(
                f"{function}: its indicators fall into {len(parts)} parts that fewer than "
                f"{FEWEST_COMMON} people have in common, so that nothing puts them on one scale: {told}"
            )
    if problems:
        raise SpecError(
            problems,
            where=where,
            cure="say in study.yaml which items the instruments have in common (`same_as`), and let their "
            "subscales enter by items (`keep_items`, or `testlets: none` or `factor`); or, if who answered "
            f"which part was drawn from one population, write `assume: {EQUIVALENT_GROUPS}` there; or "
            "measure the function by one part alone",
        )


def _names(labels: list[str]) -> str:
    more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
    return ", ".join(labels[:_NAMED]) + more
