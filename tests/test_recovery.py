"""The recovery study of the benchmarks: truth in the units of the model, and what is said of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recovery
import xarray as xr
from recovery import KINDS, summarise

from nssi_bayes import names as n
from nssi_bayes.store import Layout


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> tuple[xr.Dataset, xr.Dataset]:
    return recovery._cohort(Layout(tmp_path_factory.mktemp("line")), seed=5, participants=60)


def _posterior(known: dict[str, dict[str, xr.DataArray]], *, times: float) -> xr.Dataset:
    """Return draws around `times` the truth."""
    noise = xr.DataArray(np.tile([-0.1, 0.1], (2, 50)), dims=(n.CHAIN, n.DRAW))
    drawn = xr.Dataset({name: times * v + noise for values in known.values() for name, v in values.items()})
    return drawn.sortby(n.NETWORK)  # a posterior has its own order


@pytest.mark.parametrize(("times", "shrinkage"), [(1.0, 0.0), (0.6, 0.4)])
def test_shrinkage_and_bias_are_those_of_the_estimates(
    cohort: tuple[xr.Dataset, xr.Dataset], times: float, shrinkage: float
) -> None:
    data, truth = cohort
    known = recovery.true_values(truth, data)
    posterior = _posterior(known, times=times)
    kinds = {kind: recovery._beside(posterior, values) for kind, values in known.items()}
    one: dict[str, Any] = {"kinds": kinds, "seed": 5, "divergences": 0}
    found = summarise([one, one])["kinds"]
    assert set(found) == set(KINDS)
    for kind, said in found.items():
        assert said["shrinkage"] == pytest.approx(shrinkage, abs=1e-9)
        assert said["rmse"] == pytest.approx(shrinkage * said["rmse_of_zero"], abs=1e-9)
        assert np.mean(kinds[kind]["sd"]) == pytest.approx(0.1, rel=1e-6)
    assert found["correlations"]["values"] == 2 * 3
    assert found["slopes"]["bias"] == pytest.approx(-shrinkage * np.mean(kinds["slopes"]["truth"]), abs=1e-9)


def test_slopes_are_per_sd_of_the_score(cohort: tuple[xr.Dataset, xr.Dataset]) -> None:
    """A slope on the standardised latent factor, attenuated by its reliability, is that of the score."""
    data, truth = cohort
    slope = recovery.true_values(truth, data)["slopes"]["B"].sel({n.FACTOR: "trauma"})
    score = data[n.FACTOR_SCORE].sel({n.FACTOR: "trauma"})
    reliability = float(data[n.FACTOR_RELIABILITY].sel({n.FACTOR: "trauma"}))
    assert float(score.std()) == pytest.approx(1, abs=0.1)
    for f in truth[n.FUNCTION].to_numpy():
        expected = float(slope.sel({n.FUNCTION: f})) * reliability
        latent = truth["x"].sel({n.FACTOR: "trauma"})
        through = float(truth["B"].sel({n.FUNCTION: f, n.FACTOR: "trauma"})) * latent
        seen = score.notnull()
        own = np.cov(through[seen], score[seen])[0, 1] / np.var(score[seen], ddof=1)
        assert own == pytest.approx(expected, rel=0.25)


def test_cohorts_that_are_there_are_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cohort_000.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(recovery, "recover", pytest.fail)
    monkeypatch.setattr("sys.argv", ["recovery.py", "--out", str(tmp_path), "--cohorts", "1"])
    recovery.main()
