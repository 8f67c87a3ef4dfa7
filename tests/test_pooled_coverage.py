"""Coverage pooled over elements and replications: its interval where elements stand and fall together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nssi_bayes.calibrate import summary

type Array = np.ndarray[Any, Any]


def _told(covered: Array) -> tuple[float, float]:
    """Return the interval that is told of [element, replication]."""
    names = [f"A[{k}]" for k in range(len(covered))]
    zeros = np.zeros(covered.shape)
    columns = {"truth": zeros, "mean": zeros, "sd": zeros, "covered": covered.astype(float)}
    (row,) = summary._recovery(names, columns, interval=0.9)
    assert row["coverage"] == pytest.approx(covered.mean())
    return row["low"], row["high"]


def test_an_interval_of_effects_that_are_one_holds_what_it_says() -> None:
    """Effects of two disorders sum to zero: both are covered, or none."""
    rng = np.random.default_rng(5)
    ends = [_told(np.repeat(rng.random((1, 100)) < 0.9, 2, axis=0)) for _ in range(1000)]
    assert 0.93 < np.mean([low <= 0.9 <= high for low, high in ends]) < 0.98


def test_elements_that_know_nothing_of_each_other_count() -> None:
    rng = np.random.default_rng(6)
    covered = rng.random((4, 200)) < 0.9
    width = [high - low for low, high in (_told(covered[:1]), _told(covered))]
    assert 0.4 < width[1] / width[0] < 0.65
    alone = _told(np.repeat(covered[:1], 4, axis=0))
    assert alone == pytest.approx(_told(covered[:1]), abs=1e-3)
    assert _told(np.ones((4, 9), dtype=bool)) == _told(np.ones((1, 9), dtype=bool))
