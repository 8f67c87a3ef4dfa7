"""Three public folders, unmodified, become validated data sets with their audits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from folders import params
from nssi_bayes import assemble, extract, ingest, score
from nssi_bayes import names as n
from nssi_bayes.schema import violations
from nssi_bayes.store import Layout, read_dataset, read_json, read_table
from nssi_bayes.study import read_study

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("NSSI_BAYES_SHARED", ROOT.parent / "shared" / "data"))
REAL = {"ds000030": 272, "ds004605": 583, "ds002748": 72}


@pytest.mark.parametrize("study", [name for name in REAL if (DATA / name).exists()])
def test_a_real_folder_becomes_a_validated_data_set_with_its_audit(study: str, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for name in (layout.study(study), *(ROOT / "data" / study / "instruments").glob("*.yaml")):
        source = Layout(ROOT).study(study) if name == layout.study(study) else name
        target = name if name == layout.study(study) else layout.instruments(study) / name.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    run = params(study=study, source=DATA / study, min_cell=11)
    before = {p: p.stat().st_mtime_ns for p in (DATA / study).rglob("*")}
    for room in (ingest, score, extract, assemble):
        room.run(layout, run)
    assert {p: p.stat().st_mtime_ns for p in (DATA / study).rglob("*")} == before
    assert violations(read_dataset(layout.cohort(study))) == []
    assert read_json(layout.flow(study))["steps"][0]["participants"] == REAL[study]
    audit = read_table(layout.audit(study))
    assert set(audit["stage"]) >= {"ingest", "assemble"}
    named = {place.table for place in read_study(layout, study).instruments.values()}
    assert named <= set(audit["table"])


@pytest.mark.skipif(not (DATA / "ds004605").exists(), reason="needs the public cohort")
def test_keys_of_ds004605_reproduce_its_own_totals() -> None:
    study = read_study(Layout(ROOT), "ds004605")
    tables_, _ = ingest.tidy(DATA / "ds004605", study, shelf=Layout(ROOT).instruments("ds004605"))
    found, _ = score.scored(study, tables_, shelf=Layout(ROOT).instruments("ds004605"))
    raw = pd.read_csv(DATA / "ds004605/phenotype/phenotype.tsv", sep="\t", na_values="n/a")
    raw = raw.set_index("participant_id").reindex(found[n.PARTICIPANT].to_numpy())
    scales = {"ari_parent.ari_parent_irritability": "ARI_P_TOTAL",
              "ari_youth.ari_youth_irritability": "ARI_Y_TOTAL",
              "cbrs_adhd.inattention": "CBRS.ProRated.Inattentive",
              "cbrs_adhd.hyperactivity": "CBRS.Prorated.Hyperactive"}  # fmt: skip
    for scale, column in scales.items():
        mine = found[n.SCALE_SCORE].sel({n.SCALE_NAME: scale}).to_numpy()
        both = np.isfinite(mine) & raw[column].notna().to_numpy()
        assert both.sum() > 550
        assert np.mean(np.abs(mine - raw[column].to_numpy())[both] < 0.51) > 0.97, scale
