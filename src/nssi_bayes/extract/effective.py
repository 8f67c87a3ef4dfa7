"""How many independent frames an edge is worth: T_eff and the standard error of Fisher's z.

Cleaning a series is a linear map (interpolate, filter, drop frames, regress), known to the last
digit. What it does to the sampling variance of a correlation therefore needs no rule of thumb for
the filter, the frames that were dropped or the regressors: it follows from the map and from the
autocovariance of the series before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.fft import fft, irfft, irfft2, next_fast_len, rfft, rfft2

if TYPE_CHECKING:
    import numpy.typing as npt

    type Array = npt.NDArray[np.float64]

__all__ = ["Cleaning", "effective_frames", "fisher_z", "standard_error"]

_LAGS: Final = 2.0  # autocovariance is kept to this many square roots of the number of frames
_SMALLEST: Final = 1e-10


class Cleaning(NamedTuple):
    """What was done to a series, as matrices (`frame`, `frame`).

    Parameters
    ----------
    full : numpy.ndarray
        Everything: filter, nuisance regressors and the mean. Rows of dropped frames are 0.
    unfiltered : numpy.ndarray
        The same without the filter.
    """

    full: Array
    unfiltered: Array


def _lagged(matrix: Array, lags: int) -> Array:
    """Return sum_{t,s} m[t, s] m[t + k, s + j] for k and j from -`lags` to `lags`."""
    size = [next_fast_len(length + lags, real=True) for length in matrix.shape]
    spectrum = rfft2(matrix, s=size)
    whole = irfft2(np.abs(spectrum) ** 2, s=size)
    at = np.arange(-lags, lags + 1)
    return np.asarray(whole[np.ix_(at, at)])


def _cross_products(series: Array, lags: int) -> Array:
    """Return sum_t x_a[t] x_b[t + k], (`roi`, `roi`, 2 `lags` + 1)."""
    size = next_fast_len(len(series) + lags, real=True)
    spectrum = rfft(series, n=size, axis=0)
    at = np.arange(-lags, lags + 1)
    found = np.empty((series.shape[1], series.shape[1], len(at)))
    for a in range(series.shape[1]):
        found[a] = irfft(np.conj(spectrum[:, [a]]) * spectrum, n=size, axis=0)[at].T
    return found


def _autocovariance(raw: Array, unfiltered: Array, lags: int) -> Array:
    """Estimate the covariance at every lag of the series before cleaning, (`roi`, `roi`, lag).

    Regression and dropped frames bias the sums of products of residuals; the bias is a known
    linear map of the covariances and is undone (Worsley et al. 2002). A Tukey taper then damps
    long lags, whose estimates are noise.
    """
    products = _cross_products(unfiltered @ raw, lags)
    expected = _lagged(unfiltered, lags)
    solved = np.linalg.lstsq(expected, products.reshape(-1, 2 * lags + 1).T, rcond=1e-3)[0]
    taper = 0.5 * (1 + np.cos(np.pi * np.arange(-lags, lags + 1) / (lags + 1)))
    return _possible((taper[:, None] * solved).T.reshape(products.shape))


def _possible(gamma: Array) -> Array:
    """Return the nearest covariances of a stationary process: no frequency has negative power."""
    lags = gamma.shape[2] // 2
    at = np.arange(-lags, lags + 1)
    circle = np.zeros((*gamma.shape[:2], 4 * lags))
    circle[..., at] = gamma
    spectrum = np.moveaxis(fft(circle, axis=2)[..., : 2 * lags + 1], 2, 0)
    value, vector = np.linalg.eigh(spectrum)
    clipped = (vector * np.maximum(value, 0)[:, None, :]) @ np.conj(np.swapaxes(vector, 1, 2))
    whole = irfft(np.moveaxis(clipped, 0, 2), n=4 * lags, axis=2)
    return np.asarray(whole[..., at])


def effective_frames(raw: Array, cleaning: Cleaning, *, partial: bool = False) -> Array:
    """Return the number of independent frames that would estimate an edge as well.

    The sampling variance of a correlation follows from the covariances of the two series at every
    lag, each with itself and with the other (Afyouni et al. 2019, there for series that are
    stationary as they stand). Here every series is a known linear map of a stationary one, so
    sums over lags become traces over the map: band-pass, dropped frames and nuisance regressors are
    counted together, and what the regressors take from the pass band counts as lost. Without any
    cleaning but the mean the two agree, and white noise is worth its number of frames.

    Parameters
    ----------
    raw : numpy.ndarray
        (`frame`, `roi`) series before cleaning.
    cleaning : Cleaning
        What was done to them.
    partial : bool
        Count for partial correlations, which are correlations of the series times the precision
        matrix. The regions held constant are not subtracted here.

    Returns
    -------
    numpy.ndarray
        (`roi`, `roi`) frames; the diagonal is NaN.

    References
    ----------
    Afyouni, Smith & Nichols 2019, 10.1016/j.neuroimage.2019.05.011; Worsley et al. 2002,
    10.1006/nimg.2001.0933.
    """
    kept = int((np.abs(cleaning.full).sum(axis=1) > 0).sum())
    lags = min(int(np.ceil(_LAGS * np.sqrt(kept))), len(raw) - 2)
    gamma = _autocovariance(raw, cleaning.unfiltered, lags)
    inner = cleaning.full.T @ cleaning.full
    at = range(-lags, lags + 1)
    trace = np.array([np.trace(inner, offset=-lag) for lag in at])
    if partial:
        precision = np.linalg.pinv(gamma @ trace, hermitian=True)
        gamma = np.einsum("ab,bck,cd->adk", precision, gamma, precision, optimize=True)
    weight = _lagged(inner, lags)[:, ::-1]
    total = gamma @ trace
    sd = np.sqrt(np.maximum(np.diag(total), _SMALLEST * np.abs(total).max()))
    gamma = gamma / (sd[:, None] * sd)[..., None]
    variance = _variance(gamma, gamma @ trace, weight)
    np.fill_diagonal(variance, np.nan)
    return np.asarray(1 / np.maximum(variance, _SMALLEST) + 1)


def _variance(gamma: Array, rho: Array, weight: Array) -> Array:
    """Return the variance of Fisher's z of every pair by the delta method, (`roi`, `roi`)."""
    own = np.einsum("aak->ak", gamma)
    back = np.swapaxes(gamma, 0, 1)
    left = own @ weight
    self_self = np.einsum("ak,ak->a", left, own)
    with_pair = np.einsum("al,abl->ab", left, gamma)
    across = gamma @ weight
    variance = left @ own.T + np.einsum("abl,abl->ab", across, gamma)
    variance += 0.5 * rho**2 * (self_self[:, None] + self_self + 2 * np.einsum("abl,abl->ab", across, back))
    variance -= 2 * rho * (with_pair + with_pair.T)
    return np.asarray(variance / np.maximum(1 - rho**2, _SMALLEST) ** 2)


def fisher_z(correlation: Array) -> Array:
    """Return Fisher's z; a correlation of 1 or -1 has none (NaN)."""
    inside = np.abs(correlation) < 1
    return np.where(inside, np.arctanh(np.where(inside, correlation, 0.0)), np.nan)


def standard_error(frames: Array, *, held: int = 0) -> Array:
    """Return 1 / sqrt(T_eff - 3 - held), the standard error of Fisher's z.

    Parameters
    ----------
    frames : numpy.ndarray
        Effective frames.
    held : int
        Regions held constant by a partial correlation.

    Returns
    -------
    numpy.ndarray
        Of the shape of `frames`; NaN where nothing is left.
    """
    left = frames - 3 - held
    return np.where(left > 0, 1 / np.sqrt(np.where(left > 0, left, 1.0)), np.nan)
