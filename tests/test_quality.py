"""Quality of images: who stands apart, and what a series is worth."""

from __future__ import annotations

import numpy as np
import pytest

from nssi_bayes.extract.quality import outlying, temporal_snr


def test_who_stands_apart_is_flagged_even_in_company() -> None:
    rng = np.random.default_rng(1)
    measures = np.exp(0.3 * rng.standard_normal((80, 3)))
    measures[:8, 0] *= 20  # a tenth of the cohort would hide itself in a plain covariance
    flagged = outlying(measures)
    assert flagged[:8].all()
    assert flagged[8:].sum() <= 4


def test_a_measure_that_is_missing_or_constant_is_left_out() -> None:
    rng = np.random.default_rng(2)
    measures = np.column_stack([np.ones(60), rng.standard_normal(60), rng.standard_normal(60)])
    measures[3, 2] = np.nan
    measures[5, 1] = 40
    assert outlying(measures)[5]
    assert not outlying(np.column_stack([np.ones(60), np.ones(60)])).any()


def test_few_people_flag_nobody() -> None:
    assert not outlying(np.arange(12.0).reshape(4, 3)).any()


def test_signal_to_noise_is_that_of_the_median_region() -> None:
    rng = np.random.default_rng(3)
    series = 1000 + rng.standard_normal((4000, 3)) * [5, 10, 20]
    series[:, 0] = np.nan
    assert temporal_snr(series) == pytest.approx(75, rel=0.05)
    assert np.isnan(temporal_snr(rng.standard_normal((50, 3))))
