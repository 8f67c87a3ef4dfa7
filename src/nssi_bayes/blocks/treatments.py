"""Treatments of the people who have an outcome: known of each, and not the same of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.scans import columns_of

__all__ = ["CURE", "treatments"]

CURE: Final = "complete its column, make the outcome missing where it is not known, or leave it out"
"""What to do where `treatments` has problems."""

type Array = np.ndarray[Any, Any]


def treatments(
    people: xr.Dataset, labels: Sequence[str], *, outcome: str, seen: Array
) -> tuple[Array, list[str]]:
    """Return treatments as coded, and what is wrong with them.

    Parameters
    ----------
    people : xarray.Dataset
        A cohort, or some people of it.
    labels : sequence of str
        Of treatments that it has.
    outcome : str
        For the messages.
    seen : numpy.ndarray
        Who has the outcome [`participant`].

    Returns
    -------
    tuple of (numpy.ndarray, list of str)
        [`participant`, `treatment`], NaN where unknown; and a sentence a problem, which counts people.
    """
    value = columns_of(people, n.TREATMENT_VALUE, n.TREATMENT, labels, len(seen))
    problems = []
    for label, column in zip(labels, value[seen].T, strict=True):
        unknown = int((~np.isfinite(column)).sum())
        if unknown:
            problems.append(
                f"treatment {label!r} is not known of {unknown} people who have the outcome {outcome!r}"
            )
        elif len(column) and np.ptp(column) == 0:  # its products with functions would be the functions
            problems.append(f"treatment {label!r} is the same of all who have the outcome {outcome!r}")
    return value, problems
