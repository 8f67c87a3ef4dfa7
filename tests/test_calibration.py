"""The calibration of the benchmarks, on two small cohorts: nothing breaks and nothing is far off."""

from pathlib import Path
from typing import Any

import calibration
import numpy as np
import pytest
from calibration import KINDS, Setting, calibrate, summarise
from cohort import isas, make_cohort

from designs import small_spec
from nssi_bayes.schema import violations
from nssi_bayes.spec import Sampler
from nssi_bayes.store import read_json, write_json

ASKED = ("affect_regulation", "anti_dissociation", "marking_distress", "self_punishment")
SMALL = {name: items for name, items in isas().items() if name in ASKED}


def _setting() -> Setting:
    spec = small_spec(disorder={"levels": True, "slopes": True})
    return Setting(spec, 60, scanned=0.0, sampler=Sampler(chains=2, tune=150, draws=150), subscales=SMALL)


@pytest.fixture(scope="module")
def cohorts() -> list[dict[str, Any]]:
    return [calibrate(_setting(), index) for index in range(2)]


def test_the_cohort_of_the_calibration_keeps_the_contract() -> None:
    cohort = make_cohort(
        np.random.default_rng(0), 50, subscales=isas(), reliability={"trauma": 0.9}, scanned=0.5
    )
    assert violations(cohort) == []
    several = cohort["diagnosis"].sum("disorder") > 1
    assert 0.2 < float(several.mean()) < 0.5


def test_two_cohorts_cover_about_as_often_as_they_should(cohorts: list[dict[str, Any]]) -> None:
    found = summarise(cohorts)
    assert found["cohorts"] == 2
    assert set(found["kinds"]) == set(KINDS) - {"network loadings"}
    pooled = sum(k["covered"] for k in found["kinds"].values()) / sum(
        k["intervals"] for k in found["kinds"].values()
    )
    assert 0.6 <= pooled <= 1
    for kind in found["kinds"].values():
        assert kind["low"] <= kind["coverage"] <= kind["high"]
        assert sum(kind["rank_deciles"]) == kind["intervals"]
    assert found["max_rhat"] < 1.2


def test_cohorts_that_are_there_are_pooled_and_not_run_again(
    cohorts: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cohort in cohorts:
        write_json(tmp_path / f"cohort_{cohort['index']:03d}.json", cohort)
    monkeypatch.setattr(calibration, "calibrate", pytest.fail)
    for extra in (["--cohorts", "2"], ["--summarise"]):
        monkeypatch.setattr("sys.argv", ["calibration.py", "--out", str(tmp_path), *extra])
        calibration.main()
    assert read_json(tmp_path / "summary.json")["cohorts"] == 2
    assert len(list(tmp_path.glob("cohort_*.json"))) == 2
