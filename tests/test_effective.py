"""Effective frames and standard errors against theory, nilearn and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from nilearn.signal import clean
from scipy.linalg import toeplitz
from scipy.signal import lfilter

from nssi_bayes.extract.denoise import cleaning
from nssi_bayes.extract.effective import Cleaning, effective_frames, fisher_z, standard_error

T_R = 2.0
Z_90 = 1.645


def centred(frames: int, keep: np.ndarray | None = None) -> Cleaning:
    keep = np.arange(frames) if keep is None else keep
    whole = np.zeros((frames, frames))
    whole[np.ix_(keep, keep)] = np.eye(len(keep)) - 1 / len(keep)
    return Cleaning(whole, whole)


def autoregressive(
    rng: np.random.Generator, frames: int, *, phi: float | np.ndarray, correlation: float = 0.0, rois: int = 2
) -> np.ndarray:
    mixing = np.linalg.cholesky(np.eye(rois) * (1 - correlation) + correlation)
    white = rng.standard_normal((frames + 200, rois)) @ mixing.T
    phis = np.broadcast_to(phi, rois)
    return np.column_stack([lfilter([1], [1, -p], white[:, r]) for r, p in enumerate(phis)])[200:]


def mean_frames(**process: float) -> float:
    rng = np.random.default_rng(3)
    found = [effective_frames(autoregressive(rng, 400, **process), centred(400))[0, 1] for _ in range(60)]
    return float(np.mean(found))


class TestAgainstTheory:
    def test_white_noise_is_worth_its_frames(self) -> None:
        assert mean_frames(phi=0.0) == pytest.approx(400, rel=0.12)  # some of its lags are noise

    @pytest.mark.parametrize("phi", [0.3, 0.6])
    def test_unrelated_autoregressive_series(self, phi: float) -> None:
        """Bartlett 1946: the variance is (1 + phi^2) / (1 - phi^2) / T."""
        assert mean_frames(phi=phi) == pytest.approx(400 * (1 - phi**2) / (1 + phi**2), rel=0.12)

    def test_correlation_leaves_fisher_z_of_like_series_alone(self) -> None:
        """Roy 1989: with one autocorrelation for both, the variance of z does not depend on r."""
        expected = 400 * (1 - 0.5**2) / (1 + 0.5**2)
        assert mean_frames(phi=0.5, correlation=0.7) == pytest.approx(expected, rel=0.12)

    def test_dropped_frames_are_not_counted(self) -> None:
        rng = np.random.default_rng(5)
        keep = np.sort(rng.choice(400, 250, replace=False))
        found = [
            effective_frames(autoregressive(rng, 400, phi=0.0), centred(400, keep))[0, 1] for _ in range(60)
        ]
        assert np.mean(found) == pytest.approx(250, rel=0.12)

    def test_the_same_as_the_variance_by_matrices(self) -> None:
        """The sums over lags are traces: compare with matrices for covariances that are known."""
        from nssi_bayes.extract import effective

        rng = np.random.default_rng(8)
        frames, lags = 60, 12
        keep = np.delete(np.arange(frames), [4, 30, 31])
        done = cleaning(frames, keep=keep, t_r=T_R, confounds=rng.standard_normal((frames, 5)),
                        high_pass_hz=None, low_pass_hz=0.1)  # fmt: skip
        at = np.arange(-lags, lags + 1)
        own = [np.where(at == 0, 1.0, 0.0) + 0.4 ** np.abs(at) * (np.abs(at) <= 6) for _ in range(2)]
        own[1] = np.where(at == 0, 2.0, 0.0) + 0.2 ** np.abs(at)
        cross = np.where(np.abs(at) < 4, 0.3 ** np.abs(at - 1), 0.0)
        gamma = np.stack([[own[0], cross], [cross[::-1], own[1]]])

        def full(values: np.ndarray) -> np.ndarray:
            up, down = np.zeros(frames), np.zeros(frames)
            up[: lags + 1], down[: lags + 1] = values[lags:], values[lags::-1]
            return toeplitz(down, up)

        parts = {(a, b): done.full @ full(gamma[a, b]) @ done.full.T for a in (0, 1) for b in (0, 1)}
        size = np.sqrt(np.trace(parts[0, 0]) * np.trace(parts[1, 1]))
        rho = np.trace(parts[0, 1]) / size
        x, y, xy = (parts[k] / np.sqrt(np.trace(parts[k[0], k[0]]) * np.trace(parts[k[1], k[1]]))
                    for k in ((0, 0), (1, 1), (0, 1)))  # fmt: skip
        variance = np.trace(x @ y) + np.trace(xy @ xy)
        variance += rho**2 / 4 * (2 * np.trace(x @ x) + 2 * np.trace(y @ y) + 4 * np.trace(xy @ xy.T))
        variance -= 2 * rho * (np.trace(x @ xy) + np.trace(xy @ y))
        inner = done.full.T @ done.full
        trace = np.array([np.trace(inner, offset=-k) for k in at])
        total = gamma @ trace
        assert total[0, 1] == pytest.approx(rho * size)
        scaled = gamma / np.sqrt(np.outer(total.diagonal(), total.diagonal()))[..., None]
        weight = effective._lagged(inner, lags)[:, ::-1]
        found = effective._variance(scaled, scaled @ trace, weight)[0, 1]
        assert found == pytest.approx(variance / (1 - rho**2) ** 2, rel=1e-8)


class TestStandardError:
    def test_is_the_one_of_the_domain(self) -> None:
        np.testing.assert_allclose(standard_error(np.array([28.0, 3.0])), [0.2, np.nan])
        np.testing.assert_allclose(standard_error(np.array([50.0]), held=22), [0.2])

    def test_fisher_z(self) -> None:
        np.testing.assert_allclose(fisher_z(np.array([0.5, -0.5, 1.0])), [0.5493061, -0.5493061, np.nan])


class TestCleaning:
    def test_without_dropped_frames_it_is_nilearn(self) -> None:
        rng = np.random.default_rng(1)
        series, confounds = rng.standard_normal((120, 3)), rng.standard_normal((120, 6))
        done = cleaning(120, keep=np.arange(120), confounds=confounds, t_r=T_R, high_pass_hz=0.01,
                        low_pass_hz=0.1)  # fmt: skip
        band = {"t_r": T_R, "high_pass": 0.01, "low_pass": 0.1, "detrend": True, "standardize": None}
        filtered, regressors = clean(series, **band), clean(confounds, **band)
        design = np.column_stack([regressors, np.ones(120), np.linspace(-1, 1, 120)])
        theirs = filtered - design @ np.linalg.lstsq(design, filtered, rcond=None)[0]
        np.testing.assert_allclose(done.full @ series, theirs, atol=1e-8)

    @pytest.mark.parametrize("dropped", [[10, 89], [0, 1, 50], [97, 98, 99], list(range(20, 45))])
    def test_a_dropped_frame_changes_nothing(self, dropped: list[int]) -> None:
        """Also when its mirror image in time is dropped, where nilearn 0.14 lets it through."""
        rng = np.random.default_rng(2)
        keep = np.setdiff1d(np.arange(100), dropped)
        confounds = rng.standard_normal((100, 4))
        spiked = confounds.copy()
        spiked[dropped] = 1e4
        maps = [
            cleaning(100, keep=keep, confounds=c, t_r=T_R, high_pass_hz=None, low_pass_hz=0.1).full
            for c in (confounds, spiked)
        ]
        np.testing.assert_allclose(maps[0], maps[1], atol=1e-8)
        assert np.abs(maps[0][:, dropped]).max() == 0
        assert np.abs(maps[0][dropped]).max() == 0
        assert np.abs(maps[0]).max() < 2  # no frame is extrapolated

    def test_nothing_of_the_regressors_is_left(self) -> None:
        rng = np.random.default_rng(4)
        confounds = rng.standard_normal((150, 8))
        confounds[:, 7] = confounds[:, 0] + confounds[:, 1]  # rank 7
        keep = np.delete(np.arange(150), [3, 70, 71])
        done = cleaning(150, keep=keep, confounds=confounds, t_r=T_R, high_pass_hz=None, low_pass_hz=0.1)
        bridged = np.column_stack([np.interp(np.arange(150), keep, c[keep]) for c in confounds.T])
        assert np.abs(done.full @ bridged).max() < 1e-6
        assert np.linalg.matrix_rank(done.unfiltered) == len(keep) - 9
