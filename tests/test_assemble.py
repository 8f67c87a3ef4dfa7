"""Assemble: one cohort that satisfies the contract, nobody dropped for a missing block, constants kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from folders import PEOPLE, mapping, params, tables, write
from nssi_bayes import assemble, ingest, schema, score
from nssi_bayes import names as n
from nssi_bayes.errors import DataError
from nssi_bayes.store import Layout, read_dataset, read_json, read_table, write_dataset, write_table

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("NSSI_BAYES_SHARED", ROOT.parent / "shared" / "data"))
REAL = [DATA / "ds000030"] if (DATA / "ds000030").exists() else []
ROIS = ["one", "two", "three"]


def images(people: list[str], *, rois: list[str] = ROIS) -> xr.Dataset:
    """What extract writes, for some people in an order of its own."""
    rng = np.random.default_rng(4)
    shape = (len(people), len(rois))
    dims = (n.PARTICIPANT, n.ROI)
    site = np.arange(len(people))[:, None] % 2
    coords = {
        c: (n.ROI, np.arange(len(rois), dtype=float)) for c in (n.ROI_X, n.ROI_Y, n.ROI_Z, n.ROI_RADIUS)
    }
    words = {c: (n.ROI, ["x"] * len(rois)) for c in (n.ROI_NETWORK, n.ROI_HEMISPHERE)}
    return xr.Dataset(
        {
            n.ACTIVATION: (dims, 3 + 10 * site + 2 * rng.normal(size=shape)),
            n.ACTIVATION_SE: (dims, rng.uniform(0.5, 1, shape)),
            n.ACTIVATION_COVERAGE: (dims, rng.uniform(0.6, 1, shape)),
            n.MOTION: ((n.PARTICIPANT,), rng.uniform(0.05, 0.4, len(people))),
        },
        coords={
            n.PARTICIPANT: np.array(people, dtype=str),
            n.ROI: np.array(rois, dtype=str),
            **coords,
            **words,
        },
    )


SCANNED = [f"sub-{k:03d}" for k in (30, 3, 44, 17, 5, 8, 12, 9, 22, 51)]


EDGES = ["one--two", "one--three"]


def edges(people: list[str], *, labels: list[str] = EDGES) -> xr.Dataset:
    """What extract writes of edges, for some people in an order of its own."""
    rng = np.random.default_rng(5)
    shape = (len(people), len(labels))
    dims = (n.PARTICIPANT, n.EDGE)
    ends = [label.split("--") for label in labels]
    coords = {c: (n.EDGE, np.arange(len(labels), dtype=float)) for c in n.EDGE_COORDS[3:]}
    words = {n.EDGE_NETWORK: ["x--y"] * len(labels), n.EDGE_A: [e[0] for e in ends],
             n.EDGE_B: [e[1] for e in ends]}  # fmt: skip
    measures = ["connectivity_motion", "censored"]
    return xr.Dataset(
        {
            n.CONNECTIVITY: (dims, 0.3 + 0.2 * rng.normal(size=shape)),
            n.CONNECTIVITY_SE: (dims, rng.uniform(0.05, 0.1, shape)),
            n.CONNECTIVITY_FRAMES: (dims, rng.uniform(100, 200, shape)),
            n.QUALITY: ((n.PARTICIPANT, n.QUALITY_MEASURE), rng.uniform(0.1, 0.4, (len(people), 2))),
            n.OUTLYING: ((n.PARTICIPANT,), np.arange(len(people)) == 0),
        },
        coords={
            n.PARTICIPANT: np.array(people, dtype=str),
            n.EDGE: np.array(labels, dtype=str),
            n.QUALITY_MEASURE: measures,
            **coords,
            **{c: (n.EDGE, values) for c, values in words.items()},
        },
        attrs={"kind": "correlation", "cleaning": "simple", "atlas": "three"},
    )


def staged(
    root: Path, content: dict[str, pd.DataFrame] | Path, *, scans: xr.Dataset | None = None,
    series: xr.Dataset | None = None, **changes: Any,
) -> Layout:  # fmt: skip
    """Run the stages before, or copy a folder in which they have run, and put scans there."""
    layout = Layout(root)
    if isinstance(content, Path):
        shutil.copytree(content, root, dirs_exist_ok=True)
    else:
        write(root, content, mapping(**changes))
        ingest.run(layout, params())
        score.run(layout, params())
    write_dataset(layout.activation("toy"), images(SCANNED) if scans is None else scans)
    write_dataset(layout.connectivity("toy"), edges(SCANNED) if series is None else series)
    write_table(layout.audit_of("extract", "toy"), pd.DataFrame(columns=list(n.AUDIT)))
    return layout


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ready")
    staged(root, tables())
    return root


def assembled(root: Path, content: dict[str, pd.DataFrame] | Path, **rest: Any) -> tuple[Layout, xr.Dataset]:
    layout = staged(root, content, **rest)
    assemble.run(layout, params())
    return layout, read_dataset(layout.cohort("toy"))


def test_the_cohort_satisfies_the_contract(tmp_path: Path, ready: Path) -> None:
    layout, cohort = assembled(tmp_path, ready)
    assert schema.violations(cohort) == []
    assert cohort.sizes[n.PARTICIPANT] == PEOPLE
    assert cohort.attrs["synthetic"] == 1
    assert "assume" not in cohort.attrs
    flow = read_json(layout.flow("toy"))
    assert [step["participants"] for step in flow["steps"]] == [60, 60, 60, 60, 60, 10, 10, 60, 10]
    audit = read_table(layout.audit("toy"))
    assert list(audit.columns) == list(n.AUDIT)
    assert set(audit["stage"]) == {"ingest", "score", "assemble"}


def test_edges_come_with_their_errors_regions_and_networks(tmp_path: Path, ready: Path) -> None:
    _, cohort = assembled(tmp_path, ready)
    series = edges(SCANNED)
    scale = cohort[n.CONNECTIVITY + n.SCALE]
    for name, center in ((n.CONNECTIVITY, cohort[n.CONNECTIVITY + n.CENTER]), (n.CONNECTIVITY_SE, 0.0)):
        back = (cohort[name] * scale + center).sel({n.PARTICIPANT: SCANNED})
        np.testing.assert_allclose(back, series[name], rtol=1e-12)
    assert int(np.isfinite(cohort[n.CONNECTIVITY]).any(n.EDGE).sum()) == len(SCANNED)
    assert list(cohort[n.EDGE_NETWORK].to_numpy()) == ["x--y", "x--y"]
    assert schema.edge_table(cohort)["one--three"]["b"] == "three"
    assert list(cohort[n.QUALITY_MEASURE].to_numpy()) == [
        "activation_coverage", "connectivity_motion", "censored",
    ]  # fmt: skip
    assert cohort[n.OUTLYING].sel({n.PARTICIPANT: SCANNED}).to_numpy().tolist() == [1, *[0] * 9]
    assert cohort.attrs["connectivity_cleaning"] == "simple"


def test_settings_and_reliability_go_on_to_the_report(tmp_path: Path, ready: Path) -> None:
    scans, series = images(SCANNED), edges(SCANNED)
    scans.attrs = {"atlas": "three", "min_coverage": 0.5}
    scans["activation_reliability"] = ("roi", [0.5, np.nan, 0.0], {"units": "x", "people": 10})
    series["connectivity_reliability"] = ("edge", [0.4, 0.4], {"units": "x", "declared": "invented"})
    layout, cohort = assembled(tmp_path, ready, scans=scans, series=series)
    assert schema.violations(cohort) == []
    told = read_json(layout.flow("toy"))["imaging"]
    assert told["activation"]["settings"] == {"atlas": "three", "min_coverage": "0.5"}
    assert told["connectivity"]["settings"] == {"kind": "correlation", "cleaning": "simple", "atlas": "three"}
    known = told["activation"]["reliability"]
    assert (known["people"], known["declared"], sorted(known["icc"])) == (10, "", ["one", "three"])
    one = known["icc"]["one"]  # F of 9 and 10 degrees of freedom at 5 %: 3.020; of 10 and 9: 3.137
    assert one["low"] == pytest.approx((3 / 3.0204 - 1) / (3 / 3.0204 + 1), abs=1e-4)
    assert one["high"] == pytest.approx((3 * 3.1373 - 1) / (3 * 3.1373 + 1), abs=1e-4)
    assert told["connectivity"]["reliability"]["icc"]["one--two"] == {"icc": 0.4}


def test_motion_is_set_against_the_outcome(tmp_path: Path, ready: Path) -> None:
    layout, cohort = assembled(tmp_path, ready)
    rows = {row["motion"]: row for row in read_json(layout.flow("toy"))["motion"]}
    assert set(rows) == {"activation", "connectivity"}
    names = [n.MOTION, n.OUTCOME_VALUE]
    both = cohort[[*names, n.SITE_OF]].squeeze(n.OUTCOME).to_dataframe().dropna(subset=names)
    both = both[names] - both.groupby(n.SITE_OF)[names].transform("mean")
    expected = np.corrcoef(both[n.MOTION], both[n.OUTCOME_VALUE])[0, 1]
    assert rows["activation"]["participants"] == len(SCANNED)
    assert rows["activation"]["r"] == pytest.approx(expected)
    assert rows["activation"]["low"] < expected < rows["activation"]["high"]


def test_an_edge_that_does_not_vary_is_left_out(tmp_path: Path, ready: Path) -> None:
    series = edges(SCANNED)
    series[n.CONNECTIVITY][:, 0] = 0.5
    layout, cohort = assembled(tmp_path, ready, series=series)
    assert list(cohort[n.EDGE].to_numpy()) == ["one--three"]
    audit = read_table(layout.audit("toy")).set_index("column")
    assert "edge left out" in audit.loc["one--two", "note"]


def test_a_study_without_edges_has_none(tmp_path: Path, ready: Path) -> None:
    empty = edges([], labels=[]).drop_vars([n.QUALITY, n.OUTLYING, n.QUALITY_MEASURE])
    _, cohort = assembled(tmp_path, ready, series=empty)
    assert n.CONNECTIVITY not in cohort
    assert schema.violations(cohort) == []


def test_bytes_repeat(tmp_path: Path) -> None:
    one, two = assembled(tmp_path / "a", tables())[0], assembled(tmp_path / "b", tables())[0]
    for part in (Layout.cohort, Layout.flow, Layout.audit):
        assert part(one, "toy").read_bytes() == part(two, "toy").read_bytes()


def test_people_are_matched_by_label_not_by_row(tmp_path: Path, ready: Path) -> None:
    _, cohort = assembled(tmp_path, ready)
    scans = images(SCANNED)
    center, scale = cohort[n.ACTIVATION + n.CENTER], cohort[n.ACTIVATION + n.SCALE]
    back = cohort[n.ACTIVATION] * scale + center
    xr.testing.assert_allclose(
        back.sel({n.PARTICIPANT: SCANNED}).drop_attrs(), scans[n.ACTIVATION], rtol=1e-12
    )
    error = (cohort[n.ACTIVATION_SE] * scale).sel({n.PARTICIPANT: SCANNED})
    xr.testing.assert_allclose(error.drop_attrs(), scans[n.ACTIVATION_SE], rtol=1e-12)
    assert int(np.isfinite(cohort[n.ACTIVATION]).any(n.ROI).sum()) == len(SCANNED)


def test_columns_are_centred_and_divided_by_the_within_site_sd(tmp_path: Path) -> None:
    content = tables()
    people = content["participants.tsv"]
    shift = np.where(people["site"] == "A", 0, 40)
    people["age"] = (people["age"].astype(int) + shift).astype(str)
    _, cohort = assembled(tmp_path, content)
    age = people["age"].astype(float).to_numpy()
    two = [age[people["site"] == site] for site in "AB"]
    within = sum(((part - part.mean()) ** 2).sum() for part in two) / (PEOPLE - 2)
    assert cohort[n.COVARIATE_VALUE + n.SCALE].sel({n.COVARIATE: "age"}).item() == pytest.approx(
        np.sqrt(within), rel=1e-12
    )
    assert np.sqrt(within) < 0.3 * age.std()
    np.testing.assert_allclose(cohort[n.COVARIATE_VALUE].mean(n.PARTICIPANT), 0, atol=1e-12)
    np.testing.assert_allclose(cohort[n.FACTOR_SCORE].mean(n.PARTICIPANT), 0, atol=1e-12)


def test_pooled_sd_with_missing_values_and_a_site_of_one() -> None:
    site = np.array(["a", "a", "a", "b", "b", "c"])
    column = np.array([1.0, 3.0, np.nan, 10.0, 14.0, 5.0])
    nothing = np.full(6, np.nan)
    sd = assemble.pooled_within_sd(np.column_stack([column, nothing]), site)
    assert sd[0] == pytest.approx(np.sqrt((2 + 8) / (5 - 3)))
    assert np.isnan(sd[1])


def test_nobody_is_dropped_for_a_missing_block(tmp_path: Path) -> None:
    content = tables()
    content["phenotype/isas.tsv"] = content["phenotype/isas.tsv"].iloc[4:]
    content["phenotype/ctq_sf.tsv"] = content["phenotype/ctq_sf.tsv"].iloc[2:]
    content["participants.tsv"].loc[1, "severity"] = "n/a"
    layout, cohort = assembled(tmp_path, content)
    assert cohort.sizes[n.PARTICIPANT] == PEOPLE - 1  # sub-001 has no item, factor, scan or outcome
    assert "sub-000" in cohort[n.PARTICIPANT]
    assert "sub-001" not in cohort[n.PARTICIPANT]
    flow = read_json(layout.flow("toy"))
    assert [step["participants"] for step in flow["steps"][:4]] == [60, 60, 59, 56]
    missing = {row["variable"]: row for row in flow["missing"]}
    assert missing["trauma"] == {"block": "factors", "variable": "trauma", "observed": 58, "missing": 1}
    assert missing["isas_01"]["missing"] == 3
    audit = read_table(layout.audit("toy")).set_index(["stage", "column"])
    assert audit.loc[("assemble", "participant"), "dropped"] == 1


def test_the_not_assessed_are_counted_in_the_flow(tmp_path: Path) -> None:
    content = tables()
    content["participants.tsv"].loc[3:6, "dx_eating"] = "n/a"
    rule = {**mapping()["disorders"], "not_assessed": "exclude"}
    layout, cohort = assembled(tmp_path, content, disorders=rule)
    assert [step["participants"] for step in read_json(layout.flow("toy"))["steps"][:3]] == [60, 56, 56]
    assert schema.violations(cohort) == []


def test_a_disorder_of_the_dropped_only_is_refused(tmp_path: Path) -> None:
    content = tables()
    people = content["participants.tsv"]
    people["dx_eating"] = ["1", *["0"] * (PEOPLE - 1)]
    people.loc[0, "dx_mood"] = "n/a"
    rule = {**mapping()["disorders"], "not_assessed": "exclude"}
    with pytest.raises(DataError, match="nobody in the cohort has eating"):
        assembled(tmp_path, content, disorders=rule)


def test_a_site_keeps_its_label(tmp_path: Path) -> None:
    content = tables()
    content["participants.tsv"]["site"] = content["participants.tsv"]["site"].map({"A": "01", "B": "02"})
    assert set(assembled(tmp_path, content)[1][n.SITE_OF].to_numpy()) == {"01", "02"}


def test_disorders_and_overlap_are_counted(tmp_path: Path) -> None:
    content = tables()
    layout, _ = assembled(tmp_path, content)
    flags = content["participants.tsv"][["dx_mood", "dx_eating", "dx_anxiety"]].astype(int)
    flow = read_json(layout.flow("toy"))
    counts = {row["disorder"]: row["participants"] for row in flow["disorders"]}
    assert counts == {
        "mood": flags["dx_mood"].sum(),
        "eating": flags["dx_eating"].sum(),
        "anxiety": flags["dx_anxiety"].sum(),
        n.NONE_LEVEL: (flags.sum(axis=1) == 0).sum(),
    }
    assert flow["overlap"]["participants_with_two_or_more"] == (flags.sum(axis=1) >= 2).sum()


def test_missing_covariates_are_never_filled_silently(tmp_path: Path) -> None:
    content = tables()
    people = content["participants.tsv"]
    people.loc[[0, 2], "age"] = "n/a"
    layout = staged(tmp_path, content)
    with pytest.raises(DataError, match="'age' is missing for 2 people"):
        assemble.run(layout, params())
    for written in (layout.cohort, layout.flow, layout.audit):
        assert not written("toy").exists()
    layout, cohort = assembled(tmp_path / "said", content, missing_covariates="mean")
    age = cohort[n.COVARIATE_VALUE].sel({n.COVARIATE: "age"})
    back = age * cohort[n.COVARIATE_VALUE + n.SCALE].sel({n.COVARIATE: "age"})
    back = back + cohort[n.COVARIATE_VALUE + n.CENTER].sel({n.COVARIATE: "age"})
    site_a = pd.to_numeric(people["age"], errors="coerce")[people["site"] == "A"].mean()
    assert back.sel({n.PARTICIPANT: "sub-000"}).item() == pytest.approx(site_a)
    audit = read_table(layout.audit("toy")).set_index("column")
    assert audit.loc["covariate_age", "changed"] == 2


def test_reliability_is_alpha_or_what_the_study_declares(tmp_path: Path) -> None:
    layout, cohort = assembled(tmp_path / "a", tables())
    alpha = read_dataset(layout.scores("toy"))[n.SCALE_RELIABILITY].sel({n.SCALE_NAME: "ctq_sf.total"})
    assert cohort[n.FACTOR_RELIABILITY].item() == alpha.item()
    assert 0.5 < alpha.item() < 1
    factors = {"trauma": {"instrument": "ctq_sf", "scale": "total", "reliability": 0.7}}
    cohort = assembled(tmp_path / "b", tables(), factors=factors, assume="equivalent_groups")[1]
    assert cohort[n.FACTOR_RELIABILITY].item() == 0.7
    assert cohort.attrs["assume"] == "equivalent_groups"  # goes with the cohort


def test_a_column_that_does_not_vary_is_refused_with_all_others(tmp_path: Path) -> None:
    content = tables()
    content["participants.tsv"]["sex"] = "F"
    content["participants.tsv"]["severity"] = "n/a"
    layout = staged(tmp_path, content)
    with pytest.raises(DataError) as caught:
        assemble.run(layout, params())
    assert "'sex' does not vary" in str(caught.value)
    assert "'severity' does not vary within sites (0 people observed)" in str(caught.value)


def test_a_region_nobody_has_is_left_out_and_said(tmp_path: Path, ready: Path) -> None:
    scans = images(SCANNED)
    scans[n.ACTIVATION][:, 1] = np.nan
    layout, cohort = assembled(tmp_path, ready, scans=scans)
    assert cohort[n.ROI].to_numpy().tolist() == ["one", "three"]
    assert cohort[n.ROI_X].to_numpy().tolist() == [0.0, 2.0]
    audit = read_table(layout.audit("toy")).set_index("column")
    assert audit.loc["two", "dropped"] == 1


@pytest.mark.parametrize("known", [True, False])
def test_motion_is_there_only_where_it_is_known(tmp_path: Path, ready: Path, known: bool) -> None:
    scans = images(SCANNED)
    if not known:
        scans[n.MOTION][:] = np.nan
    _, cohort = assembled(tmp_path, ready, scans=scans)
    assert (n.MOTION in cohort) == known
    if known:
        assert int(np.isfinite(cohort[n.MOTION]).sum()) == len(SCANNED)


def test_motion_missing_for_one_scan_is_refused(tmp_path: Path, ready: Path) -> None:
    scans = images(SCANNED)
    scans[n.MOTION][2] = np.nan
    with pytest.raises(DataError, match="motion is missing for a scanned person"):
        assembled(tmp_path, ready, scans=scans)


def test_a_study_without_images_has_no_regions(tmp_path: Path, ready: Path) -> None:
    _, cohort = assembled(tmp_path, ready, scans=images([], rois=[]))
    assert n.ACTIVATION not in cohort
    assert n.ROI not in cohort.dims


def test_images_of_strangers_are_refused_without_naming_them(tmp_path: Path, ready: Path) -> None:
    with pytest.raises(DataError) as caught:
        assembled(tmp_path, ready, scans=images([*SCANNED, "sub-stranger"]))
    assert "other people" in str(caught.value)
    assert "stranger" not in str(caught.value)


@pytest.mark.parametrize("source", REAL)
def test_a_real_cohort_is_assembled(tmp_path: Path, source: Path) -> None:
    layout = Layout(tmp_path)
    real = params(study="ds000030", source=source)
    study = yaml.safe_load((ROOT / "data" / "ds000030" / "study.yaml").read_text(encoding="utf-8"))
    layout.study("ds000030").parent.mkdir(parents=True)
    layout.study("ds000030").write_text(yaml.safe_dump(study), encoding="utf-8")
    ingest.run(layout, real)
    score.run(layout, real)
    write_dataset(layout.activation("ds000030"), images([], rois=[]))
    write_dataset(layout.connectivity("ds000030"), edges([], labels=[]))
    write_table(layout.audit_of("extract", "ds000030"), pd.DataFrame(columns=list(n.AUDIT)))
    assemble.run(layout, real)
    cohort = read_dataset(layout.cohort("ds000030"))
    assert schema.violations(cohort) == []
    assert cohort.sizes[n.PARTICIPANT] == 272
    assert int(np.isfinite(cohort[n.OUTCOME_VALUE]).sum()) == 142
    assert cohort.sizes[n.ITEM] == 44 + 30
    assert set(cohort[n.SITE_OF].to_numpy()) == {"scanner_1", "scanner_2"}
