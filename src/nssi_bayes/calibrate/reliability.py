"""Whether what is said with probability .8 is true in eight of ten cases.

A statement is what a report prints of a conclusion: that it is positive, or that its size is beyond
the ROPE, with its posterior probability. Parameters of a replication come from the prior, so the share
of true statements among those that are given a probability is that probability, over replications.
Statements of one replication stand and fall together; errors are therefore over replications.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr
from scipy.stats import t

from nssi_bayes.check.multiple import holm
from nssi_bayes.sensitivity.conclusions import UNSIGNED, conclusions

__all__ = ["BINS", "reliability", "statements"]

BINS: Final = 10
"""Of equal width, from 0 to 1."""
LEVEL: Final = 0.05
_FEWEST: Final = 10
"""Replications that speak to a bin, under which it has no interval."""
_KINDS: Final = {"direction": "is positive", "size": "is beyond the ROPE"}

type Array = np.ndarray[Any, Any]


def statements(posterior: xr.Dataset, truth: xr.Dataset, *, rope: float) -> dict[str, Any]:
    """Return the probability of every statement, and whether it is true.

    Parameters
    ----------
    posterior : xarray.Dataset
        Draws [`chain`, `draw`, ...], from `blocks.labelled.label`.
    truth : xarray.Dataset
        The same of one draw, the truth.
    rope : float
        Half width of the region of practical equivalence.

    Returns
    -------
    dict
        By kind (``direction``, ``size``): ``stated``, probabilities, and ``true``, 0 or 1.
    """
    said = conclusions(posterior)
    known = conclusions(truth, also=said)
    found: dict[str, dict[str, list[Any]]] = {kind: {"stated": [], "true": []} for kind in _KINDS}
    for name, draws in said.items():
        one = known[name]
        for kind, stated, true in (
            ("direction", draws > 0, one > 0),
            ("size", np.abs(draws) > rope, np.abs(one) > rope),
        ):
            if kind == "direction" and name.startswith(UNSIGNED):
                continue
            found[kind]["stated"].append(round(float(stated.mean()), 4))
            found[kind]["true"].append(int(true.item()))
    return found


def reliability(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pool statements of all replications into bins of stated probability.

    Parameters
    ----------
    found : list of dict
        Each from `statements`.

    Returns
    -------
    list of dict
        A row for each kind and bin that has a statement: how many, of how many replications, the mean
        probability, the share that is true with its 95 % interval (ratio estimator over replications,
        t distribution), and `p`, adjusted after Holm over all rows, that the two agree.
    """
    rows = [
        row
        for kind in _KINDS
        for low in np.arange(BINS) / BINS
        if (row := _row(kind, float(low), [one[kind] for one in found])) is not None
    ]
    tested = [row for row in rows if row["p"] is not None]
    for row, p in zip(tested, holm(np.array([row["p"] for row in tested])), strict=True):
        row["p"] = float(p)
    return rows


def _row(kind: str, low: float, found: list[dict[str, Any]]) -> dict[str, Any] | None:
    counts, trues, sums = [], [], []
    for one in found:
        stated, true = np.array(one["stated"], dtype=float), np.array(one["true"], dtype=float)
        inside = np.minimum((stated * BINS).astype(int), BINS - 1) == round(low * BINS)
        if inside.any():
            counts.append(float(inside.sum()))
            trues.append(float(true[inside].sum()))
            sums.append(float(stated[inside].sum()))
    if not counts:
        return None
    count, true, stated = (np.array(v) for v in (counts, trues, sums))
    share, size = float(true.sum() / count.sum()), len(count)
    row: dict[str, Any] = {
        "kind": kind, "says": _KINDS[kind], "from": low, "to": low + 1 / BINS,
        "statements": int(count.sum()), "replications": size,
        "stated": float(stated.sum() / count.sum()), "true": share, "low": None, "high": None, "p": None,
    }  # fmt: skip
    if size < _FEWEST:
        return row
    error = _error(true - share * count, count)
    gap_error = _error(true - stated - (share - row["stated"]) * count, count)
    half = float(t.ppf(0.975, size - 1)) * error
    row |= {"low": max(0.0, share - half), "high": min(1.0, share + half)}
    if gap_error > 0:
        row["p"] = float(2 * t.sf(abs(share - row["stated"]) / gap_error, size - 1))
    return row


def _error(residual: Array, count: Array) -> float:
    """Return the standard error of a ratio of sums over replications."""
    size = len(count)
    return float(np.sqrt(size / (size - 1) * (residual**2).sum()) / count.sum())
