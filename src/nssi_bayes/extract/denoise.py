"""Cleaning of regional series: which frames, which regressors, which band, and what it cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.linalg import qr

from nssi_bayes.extract.effective import Cleaning

if TYPE_CHECKING:
    import numpy.typing as npt

    type Array = npt.NDArray[np.float64]

__all__ = ["cleaning"]

_RANK: Final = 1e-8  # regressors that differ by less from the others count as none


def cleaning(
    frames: int, *, keep: npt.NDArray[np.intp], confounds: Array, t_r: float,
    high_pass_hz: float | None, low_pass_hz: float | None,
) -> Cleaning:  # fmt: skip
    """Return what denoising does, as a linear map.

    In this order: frames that are dropped are replaced by a line between their neighbours (at
    either end they are cut off), series and regressors are filtered alike, the dropped frames are
    left out, and the regressors, a constant and a trend are regressed out. Filtering both keeps the
    regression from bringing back what the filter took (Lindquist et al. 2019).

    Lines are drawn here, not by nilearn: ``signal.clean`` of version 0.14 leaves a dropped
    frame as it is when its mirror image in time is dropped, too, and the filter spreads it.

    Parameters
    ----------
    frames : int
        Length of the series.
    keep : numpy.ndarray
        Positions of the frames that are kept.
    confounds : numpy.ndarray
        (`frame`, regressor).
    t_r : float
        Seconds between frames.
    high_pass_hz, low_pass_hz : float, optional
        Edges of a Butterworth filter of order 5.

    Returns
    -------
    Cleaning
        Maps of (`frame`, `frame`); rows of dropped frames are 0.

    References
    ----------
    Lindquist et al. 2019, 10.1002/hbm.24528; Power et al. 2014, 10.1016/j.neuroimage.2013.08.048.
    """
    first, last = int(keep[0]), int(keep[-1]) + 1
    cut = np.arange(first, last)
    bridge = np.zeros((len(cut), frames))
    for column, frame in enumerate(np.eye(len(keep))):
        bridge[:, keep[column]] = np.interp(cut, keep, frame)
    filtered = _filtered(np.column_stack([bridge, bridge @ confounds]), t_r, high_pass_hz, low_pass_hz)
    inside = keep - first
    maps = []
    for source in (filtered, np.column_stack([bridge, bridge @ confounds])):
        whole = np.zeros((frames, frames))
        whole[keep] = _regressed(source[inside, :frames], source[inside, frames:])
        maps.append(whole)
    return Cleaning(*maps)


def _filtered(series: Array, t_r: float, high_pass_hz: float | None, low_pass_hz: float | None) -> Array:
    from nilearn.signal import clean

    return np.asarray(
        clean(series, detrend=True, standardize=None, t_r=t_r, high_pass=high_pass_hz, low_pass=low_pass_hz)
    )


def _regressed(series: Array, confounds: Array) -> Array:
    """Regress out confounds, a constant and a trend, whatever their rank."""
    time = np.linspace(-1, 1, len(series))
    regressors = np.column_stack([confounds, np.ones(len(series)), time])
    size = np.abs(regressors).max(axis=0)
    basis, triangle, _ = qr(regressors / np.where(size > 0, size, 1), mode="economic", pivoting=True)
    basis = basis[:, np.abs(np.diag(triangle)) > _RANK]
    return np.asarray(series - basis @ (basis.T @ series))
