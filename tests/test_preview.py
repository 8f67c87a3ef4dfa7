"""A first look in seconds: how good it says it is, what it looks like, and that nobody takes it for more."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from designs import small_cohort, small_spec
from nssi_bayes import load_posterior
from nssi_bayes import names as n
from nssi_bayes import preview as room
from nssi_bayes.build import build
from nssi_bayes.check import run as check
from nssi_bayes.errors import ArtefactError
from nssi_bayes.fit import approximate, fit
from nssi_bayes.fit.density import Density
from nssi_bayes.report.draws import draws
from nssi_bayes.report.evidence import gather
from nssi_bayes.share import run as share
from nssi_bayes.spec import Sampler
from nssi_bayes.store import Layout, write_tree
from planted import MODEL, PARAMS, make_lab

QUICK = Sampler(chains=2, tune=100, draws=100)

type Array = np.ndarray[Any, Any]


def _density(value_and_gradient: Any, size: int) -> Density:
    return Density(size, value_and_gradient, lambda x: {"x": x}, np.zeros(size), [])


def _normal(mean: Array, covariance: Array) -> Density:
    precision = np.linalg.inv(covariance)

    def both(x: Array) -> tuple[float, Array]:
        away = x - mean
        return -0.5 * float(away @ precision @ away), -precision @ away

    return _density(both, len(mean))


def test_of_a_normal_nothing_is_lost() -> None:
    rng = np.random.default_rng(2)
    root = rng.standard_normal((12, 12)) + 3 * np.eye(12)
    mean, covariance = rng.standard_normal(12), root @ root.T / 10
    found = approximate.approximate(_normal(mean, covariance), np.random.default_rng(0), 4000)
    sd = np.sqrt(np.diag(covariance))
    assert found.weighted
    assert found.k_hat < 0.2
    np.testing.assert_allclose(found.log_weight, -np.log(4000), atol=1e-4)
    assert np.abs((found.values["x"].mean(axis=0) - mean) / sd).max() < 4 / np.sqrt(4000)
    np.testing.assert_allclose(found.values["x"].std(axis=0) / sd, 1, atol=0.06)


def _skewed(size: int, skew: float) -> Density:
    """Logarithms of gamma variables: skewed to the left, the more the smaller their shape."""

    def both(x: Array) -> tuple[float, Array]:
        return float((skew * x - np.exp(x)).sum()), skew - np.exp(x)

    return _density(both, size)


def test_weights_mend_a_little_skewness() -> None:
    """Mean and sd of the logarithm of a gamma variable are digamma and the root of trigamma."""
    found = approximate.approximate(_skewed(3, 8.0), np.random.default_rng(0), 4000)
    assert found.weighted
    x, weight = found.values["x"], np.exp(found.log_weight)[:, None]
    mean = (weight * x).sum(axis=0)
    assert np.abs(mean - 2.01564).max() < 0.03
    np.testing.assert_allclose(np.sqrt((weight * (x - mean) ** 2).sum(axis=0)), 0.36489, atol=0.03)


def test_where_the_normal_is_far_from_the_posterior_k_hat_says_so() -> None:
    found = approximate.approximate(_skewed(40, 0.5), np.random.default_rng(0), 1000)
    assert found.k_hat > approximate.LARGEST_K_HAT
    assert not found.weighted


def test_the_centre_is_near_the_mean_of_a_skew_posterior_and_not_at_its_mode() -> None:
    """Mode 0 and mean -.577 of the logarithm of an exponential variable, whose sd is 1.28."""
    found = approximate.approximate(_skewed(40, 1.0), np.random.default_rng(0), 1000)
    assert found.values["x"].mean() == pytest.approx(-0.577, abs=0.3)


@pytest.fixture(scope="module")
def seen() -> xr.DataTree:
    return room.preview(build(small_spec(), small_cohort(40)), np.random.SeedSequence(3))


def test_a_preview_looks_like_a_posterior_and_says_that_it_is_none(seen: xr.DataTree) -> None:
    fitted = fit(build(small_spec(), small_cohort(40)), QUICK, np.random.SeedSequence(3))
    for group in ("posterior", "prior"):
        one, other = (t[group].to_dataset() for t in (seen, fitted))
        assert {k: v.dims for k, v in one.data_vars.items()} == {
            k: v.dims for k, v in other.data_vars.items()
        }
        for name in set(other.coords) - {n.CHAIN, n.DRAW}:
            xr.testing.assert_identical(one[name], other[name])
    assert (seen.attrs["certified"], seen.attrs["preview"]) == (0, 1)
    assert not {"fingerprint", "fit", "tune", "rerun"} & set(seen.attrs)
    assert np.isfinite(seen.attrs["k_hat"])


def test_what_is_said_of_k_hat_is_what_was_done() -> None:
    low, high = (xr.DataTree() for _ in range(2))
    low.attrs.update(k_hat=0.4, weighted=1)
    high.attrs.update(k_hat=3.2, weighted=0)
    assert "corrected by importance weights" in room.said(low)
    assert "weights are not used" in room.said(high)
    assert "uncorrected" in room.said(high)


@pytest.mark.parametrize("k_hat", [0.4, 0.9])
def test_draws_are_picked_by_weight_only_where_k_hat_allows_it(k_hat: float) -> None:
    count = 1000
    log_weight = np.full(count, -np.log(count))
    log_weight[:250] += np.log(2)
    log_weight[250:] += np.log(2 / 3)
    found = approximate.Approximation({}, log_weight, k_hat)
    picked = room._chosen(found, np.random.default_rng(0))
    assert len(picked) == count
    assert (picked < 250).sum() == (500 if k_hat < 0.7 else 250)


def test_the_table_is_short_and_labelled(
    tmp_path: Path, seen: xr.DataTree, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spec, cohort = small_spec(), small_cohort(40)
    for name, fake in (("read_model", spec), ("read_dataset", cohort), ("preview", seen)):
        monkeypatch.setattr(room, name, lambda *_, fake=fake, **__: fake)
    layout = Layout(tmp_path)
    with caplog.at_level(logging.INFO, logger="nssi_bayes"):
        room.run(layout, PARAMS, model=MODEL)
    lines = [r.getMessage() for r in caplog.records]
    assert lines
    assert all(line.startswith(room.LABEL) for line in lines)
    assert len(lines) < 12
    assert any("k-hat" in line for line in lines)
    assert not layout.model_folder(MODEL).exists()
    assert layout.preview(MODEL).exists()


def test_nobody_takes_a_preview_for_a_posterior(tmp_path: Path, seen: xr.DataTree) -> None:
    """Not even where somebody copies it to the posterior's place."""
    layout, params = make_lab(tmp_path), PARAMS
    before = gather(layout, params, "heterogeneity")
    write_tree(layout.preview(MODEL), seen)
    after = gather(layout, params, "heterogeneity")
    assert (after.revisions, after.missing) == (before.revisions, before.missing)
    write_tree(layout.posterior(MODEL), seen)
    for take in (
        lambda: load_posterior(MODEL, tmp_path),
        lambda: draws(layout.posterior(MODEL), ["A"]),
        lambda: check(layout, params, model=MODEL),
        lambda: share(layout, params, model=MODEL, out=tmp_path / "out"),
    ):
        with pytest.raises(ArtefactError, match="preview"):
            take()
    assert not (tmp_path / "out").exists()
