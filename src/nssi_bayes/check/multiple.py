"""Many verdicts at once."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["holm"]


def holm(p: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return probabilities adjusted for their number (Holm 1979), in the order given.

    Parameters
    ----------
    p : numpy.ndarray
        One a test.

    Returns
    -------
    numpy.ndarray
        The chance that any true hypothesis has an adjusted value of x or less is at most x.
    """
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    found = np.empty_like(p)
    found[order] = np.minimum(adjusted, 1.0)
    return found
