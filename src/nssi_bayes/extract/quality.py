"""Motion, signal and who stands apart: numbers that go in as covariates and into the audit."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from nssi_bayes.extract.problems import Problem

if TYPE_CHECKING:
    import numpy.typing as npt

    type Array = npt.NDArray[np.float64]

__all__ = ["DISPLACEMENT", "mean_displacement", "outlying", "temporal_snr"]

DISPLACEMENT: Final = "framewise_displacement"
_TINY: Final = 1e-12
_BEYOND: Final = 0.999  # quantile of the chi-square distribution


def mean_displacement(path: Path) -> float:
    """Return the mean framewise displacement in mm; the first frame has none.

    Parameters
    ----------
    path : pathlib.Path
        A confounds file.

    Returns
    -------
    float
        Over all frames, dropped ones included: it says how much a person moved.

    Raises
    ------
    Problem
        If there is no file, or no finite value in it.
    """
    if not path.exists():
        raise Problem("confounds")
    try:
        table = pd.read_csv(path, sep="\t", na_values=["n/a"], encoding="utf-8-sig")
        values = pd.to_numeric(table[DISPLACEMENT], errors="coerce").to_numpy(dtype=float)
    except (KeyError, ValueError, OSError):
        raise Problem("motion") from None
    if not np.isfinite(values).any():
        raise Problem("motion")
    return float(np.nanmean(values))


def temporal_snr(series: Array) -> float:
    """Return the median over regions of the mean over time by the sd over time.

    Parameters
    ----------
    series : numpy.ndarray
        (`frame`, `roi`) before cleaning; NaN columns are left out.

    Returns
    -------
    float
        NaN where a series has no level, such as one that was cleaned already.
    """
    level, sd = series.mean(axis=0), series.std(axis=0)
    usable = np.isfinite(level) & (sd > 0) & (level > sd)
    return float(np.median(level[usable] / sd[usable])) if usable.any() else float("nan")


def outlying(measures: Array) -> npt.NDArray[np.bool_]:
    """Say who stands apart from the cohort, by robust Mahalanobis distance.

    Centre and covariance are those of the most compact part of the cohort, so that a few odd
    people do not hide themselves. Nobody is dropped for it.

    Parameters
    ----------
    measures : numpy.ndarray
        (`participant`, measure); measures that do not vary or are missing for anyone are left out.

    Returns
    -------
    numpy.ndarray
        (`participant`,); nobody where there are fewer than 5 people a measure.

    References
    ----------
    Rousseeuw & Van Driessen 1999, 10.1080/00401706.1999.10485670.
    """
    from scipy.stats import chi2
    from sklearn.covariance import MinCovDet

    nobody = np.zeros(len(measures), dtype=bool)
    usable = np.isfinite(measures).all(axis=0)
    values = measures[:, usable]
    values = values[:, values.std(axis=0) > 0]
    least = values.min(axis=0)  # motion and dropped frames are skewed
    values = np.where(least > 0, np.log(np.maximum(values, _TINY)), np.sqrt(np.maximum(values, 0)))
    people, count = values.shape
    if count == 0 or people < 5 * count:
        return nobody
    values = (values - np.median(values, axis=0)) / values.std(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a rank that is short says only that measures go together
        distance = MinCovDet(random_state=0).fit(values).mahalanobis(values)
    return np.asarray(distance > chi2.ppf(_BEYOND, count))
