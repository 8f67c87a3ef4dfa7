"""Columns of the cohort: the spread that they are divided by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["pooled_within_sd", "varies"]


def pooled_within_sd(values: npt.NDArray[np.float64], site: npt.NDArray[np.str_]) -> npt.NDArray[np.float64]:
    """Return the pooled within-site standard deviation of every column.

    Parameters
    ----------
    values : ndarray
        (`participant`, column); NaN is missing.
    site : ndarray
        (`participant`,) site labels.

    Returns
    -------
    ndarray
        (column,) sd, with the number of observed people less the number of their sites as degrees
        of freedom; NaN without any.
    """
    frame = pd.DataFrame(values)
    within = frame - frame.groupby(site).transform("mean")
    degrees = frame.notna().sum() - frame.groupby(site).count().gt(0).sum()
    return np.sqrt((within**2).sum() / degrees.where(degrees > 0)).to_numpy("float64")


def varies(values: npt.NDArray[np.float64], sd: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Say which columns vary by more than rounding, (column,)."""
    return sd > 1e-9 * np.nan_to_num(np.abs(values)).max(axis=0, initial=0.0)
