"""Reliability: from people with several runs or declared, reported and never part of an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.errors import SpecError
from nssi_bayes.extract.regions import reliability
from test_activation import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


class TestOfAStudy:
    def repeated(self, folder: Folder, **rule: Any) -> xr.Dataset:
        """Six people with two runs each, the second 0.1 to 0.6 above the first."""
        for k in range(1, 7):
            for run in ("1", "2"):
                folder.map(f"s{k}_run-{run}_cope.nii.gz", float(k) + 0.1 * k * (run == "2"))
                folder.map(f"s{k}_run-{run}_var.nii.gz", 1.0)
        folder.study(
            effect="{participant}_run-{run}_cope.nii.gz", variance="{participant}_run-{run}_var.nii.gz",
            **rule,
        )  # fmt: skip
        return folder.run()

    def test_reliability_is_declared_or_estimated_and_enters_no_error(self, folder: Folder) -> None:
        found = self.repeated(folder)
        icc = found[n.ACTIVATION_RELIABILITY]
        assert icc.attrs["people"] == 6
        assert "declared" not in icc.attrs
        assert 0.9 < float(icc.min()) < 1
        told = {"icc": 0.4, "source": "10.1000/invented"}
        declared = self.repeated(folder, reliability=told)
        np.testing.assert_array_equal(declared[n.ACTIVATION_RELIABILITY], 0.4)
        assert declared[n.ACTIVATION_RELIABILITY].attrs["declared"] == "10.1000/invented"
        for name in (n.ACTIVATION, n.ACTIVATION_SE):
            np.testing.assert_array_equal(found[name], declared[name])
        some = self.repeated(folder, reliability={**told, "icc": {"AMY_L": 0.3}})[n.ACTIVATION_RELIABILITY]
        assert float(some.sel(roi="AMY_L")) == 0.3
        assert int(some.notnull().sum()) == 1

    def test_a_reliability_of_a_region_that_is_not_there(self, folder: Folder) -> None:
        with pytest.raises(SpecError, match=r"reliability.icc: no roi 'PCCC'. Did you mean 'PCC'"):
            self.repeated(folder, reliability={"icc": {"PCCC": 0.3}, "source": "invented"})

    @pytest.mark.parametrize("icc", [1.2, -0.1, {}, {"AMY_L": 2}])
    def test_a_reliability_that_is_none(self, folder: Folder, icc: Any) -> None:
        with pytest.raises(SpecError, match="a reliability lies between 0 and 1"):
            self.repeated(folder, reliability={"icc": icc, "source": "invented"})


class TestOfRuns:
    def test_reliability_is_the_icc(self) -> None:
        """Shrout & Fleiss 1979: ICC(1,1) from mean squares."""
        rng = np.random.default_rng(4)
        person = rng.standard_normal((200, 1))
        runs = person + 0.8 * rng.standard_normal((200, 2))
        between = 2 * runs.mean(axis=1).var(ddof=1)
        within = runs.var(axis=1, ddof=1).mean()
        expected = (between - within) / (between + within)
        np.testing.assert_allclose(reliability(runs.T[..., None])[0], expected)

    def test_reliability_takes_every_run_and_whoever_has_two(self) -> None:
        """Donner 1986: mean squares of a one-way layout with unequal numbers of runs."""
        rng = np.random.default_rng(5)
        runs = rng.standard_normal((1, 50)) + 0.7 * rng.standard_normal((3, 50))
        runs[2, :30] = np.nan
        runs[1:, 45:] = np.nan  # one run: says nothing
        kept = [column[np.isfinite(column)] for column in runs.T[:45]]
        count = np.array([len(k) for k in kept])
        grand = np.concatenate(kept).mean()
        between = sum(len(k) * (k.mean() - grand) ** 2 for k in kept) / 44
        within = sum(((k - k.mean()) ** 2).sum() for k in kept) / (count.sum() - 45)
        typical = (count.sum() - (count**2).sum() / count.sum()) / 44
        icc, people = reliability(runs[..., None])
        assert icc[0] == pytest.approx((between - within) / (between + (typical - 1) * within))
        assert people[0] == 45
        assert np.isnan(reliability(runs[:, :2, None])[0][0])
