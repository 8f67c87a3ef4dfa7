"""Did all chains find the same place? Separate modes, reflected functions, exchanged functions.

R-hat says that chains differ. It does not say how, and the cure depends on it: chains in modes of
their own (more tempering, another parametrisation), a function whose sign is turned round in one
chain (a reflection: the posterior is folded), or functions that change places (label switching).
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

import numpy as np
import xarray as xr
from scipy.optimize import linear_sum_assignment

from nssi_bayes import names as n

__all__ = ["REFLECTION", "SWITCHING", "apart", "exchanged", "moving"]

SWITCHING: Final = 2.0
"""How much closer two chains may come by exchanging functions or signs before it is called that."""
_FEWEST: Final = 3
"""Elements of a function's profile, under which nothing is said."""
REFLECTION: Final = "reflected"

type Array = np.ndarray[Any, Any]


def apart(stacked: Array) -> Array:
    """Return how far the medians of any two chains are apart, in sd within chains.

    Parameters
    ----------
    stacked : numpy.ndarray
        [quantity, `chain`, `draw`].

    Returns
    -------
    numpy.ndarray
        [quantity]; infinite where a chain does not move and differs.
    """
    medians = np.median(stacked, axis=2)
    within = np.sqrt(stacked.var(axis=2).mean(axis=1))
    span = np.ptp(medians, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(span > 0, span / within, 0.0)


def moving(stacked: Array) -> float:
    """Return, of the chain that moves least, the share of draws that differ from the one before.

    Parameters
    ----------
    stacked : numpy.ndarray
        [quantity, `chain`, `draw`]; a draw differs if any quantity does.

    Returns
    -------
    float
        Between 0 (stuck) and 1.
    """
    return float((np.diff(stacked, axis=2) != 0).any(axis=0).mean(axis=1).min())


def exchanged(posterior: xr.Dataset) -> tuple[float, str]:
    """Return how much closer two chains come if functions are exchanged or turned round.

    Every function has a profile, the chain's means of all that has one `function` dim (levels, slopes,
    loadings of regions and edges, outcome). For each pair of chains the signed permutation that
    brings profiles closest is found; where chains agree it is the identity.

    Parameters
    ----------
    posterior : xarray.Dataset
        [`chain`, `draw`, ...].

    Returns
    -------
    tuple
        The largest ratio of squared distance as it is to that of the best signed permutation (1
        where the identity is best), and what the best one does.
    """
    profiles = _profiles(posterior)
    if profiles is None:
        return 1.0, "no function has a profile to compare"
    worst, said = 1.0, "functions keep their places and signs"
    for a, b in combinations(range(len(profiles)), 2):
        one, other = profiles[a], profiles[b]
        same = ((one[:, None] - other[None]) ** 2).sum(axis=2)
        turned = ((one[:, None] + other[None]) ** 2).sum(axis=2)
        rows, columns = linear_sum_assignment(np.minimum(same, turned))
        best = float(np.minimum(same, turned)[rows, columns].sum())
        signs = turned[rows, columns] < same[rows, columns]
        ratio = float(np.trace(same)) / max(best, 1e-12)
        if ratio > worst:
            worst = ratio
            moved = (rows != columns).any()
            kinds = [k for k, yes in (("exchanged", moved), (REFLECTION, signs.any())) if yes]
            said = f"chains {a} and {b}: functions {' and '.join(kinds)}"
    return worst, said


def _profiles(posterior: xr.Dataset) -> Array | None:
    """Chain means over within-chain sd [`chain`, `function`, element]."""
    parts = []
    for name, array in posterior.data_vars.items():
        if n.FUNCTION not in array.dims or n.FUNCTION_OTHER in array.dims or str(name).startswith("tau"):
            continue
        values = array.transpose(n.CHAIN, n.DRAW, n.FUNCTION, ...).to_numpy()
        values = values.reshape(*values.shape[:3], -1)
        sd = np.sqrt(values.var(axis=1).mean(axis=(0, 1)))
        usable = sd > 1e-12
        parts.append(values.mean(axis=1)[..., usable] / sd[usable])
    if not parts:
        return None
    found = np.concatenate(parts, axis=-1)
    return found if found.shape[-1] >= _FEWEST else None
