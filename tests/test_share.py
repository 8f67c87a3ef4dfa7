"""Sharing: what is planted in a lab is stripped or refused; what goes, goes with a list of what stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from artefacts import DISORDERS, make_flow, make_params
from nssi_bayes import share
from nssi_bayes.errors import ArtefactError
from nssi_bayes.report import render
from nssi_bayes.report.cells import few
from nssi_bayes.report.evidence import Evidence, gather
from nssi_bayes.report.sections.answer import banner
from nssi_bayes.share.allowed import allowed
from nssi_bayes.share.counts import cells_of
from nssi_bayes.share.tables import (
    _safe_attacks,
    safe_comparison,
    safe_evidence,
    safe_flow,
    safe_groups,
)
from nssi_bayes.store import Layout, read_json, read_tree, write_json, write_text, write_tree
from planted import (
    MODEL,
    PARAMS,
    PLANTED,
    REFUSED,
    SEEDS,
    Lab,
    a_disorder_of_three,
    make_lab,
    path_of,
    secret_of,
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A project of one model, with enough people in every disorder."""
    return make_lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def clean(lab: Layout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What may leave the lab, with the real report."""
    out = tmp_path_factory.mktemp("out") / "shared"
    share.run(lab, PARAMS, MODEL, out=out)
    return out


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that is drawn at once and says in words what the evidence says."""

    def drawn(e: Evidence) -> str:
        told = f"{(e.flow or {}).get('title')} {e.specs} {e.author} {e.checks} {e.unverified}"
        return f"<html><main><p>{told}</p></main></html>"

    monkeypatch.setattr(render, "render", drawn)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_planted_in_the_lab_does_not_leave_it(
    plant: str, seed: int, lab: Layout, tmp_path: Path
) -> None:
    shutil.copytree(lab.root, tmp_path / "lab")
    layout, out = Layout(tmp_path / "lab"), tmp_path / "out"
    secret = secret_of(seed) if seed < 6 or "_ids" in plant or "named" in plant else path_of(seed)
    if plant == "_a_variable_named_after_one":
        secret = secret.replace("/", "-")
    planted = Lab(layout, np.random.default_rng(seed), read_tree(layout.posterior(MODEL)))
    PLANTED[plant](planted, secret)
    planted.save()
    if plant in REFUSED:
        with pytest.raises(ArtefactError) as refusal:
            share.run(layout, PARAMS, MODEL, out=out)
        assert secret not in str(refusal.value)
        assert not out.exists()
        return
    share.run(layout, PARAMS, MODEL, out=out)
    everything = b"\n".join(p.read_bytes() for p in out.rglob("*") if p.is_file())
    assert secret.encode() not in everything
    assert share.check(out, min_cell=11, layout=layout, params=PARAMS) == []
    if plant == "a_disorder_of_three":
        _nothing_of_the_third_disorder(out)


def _nothing_of_the_third_disorder(out: Path) -> None:
    draws = xr.open_datatree(out / "draws.nc", engine="h5netcdf").load()
    lost = DISORDERS[2]
    assert lost not in draws["posterior"]["disorder"].to_numpy()
    summaries = json.loads((out / "summaries.json").read_text())
    for part in ("levels", "contrasts", "slopes_by_disorder", "rois_by_disorder"):
        assert not [r for r in summaries[part] if lost in (r.get("disorder"), r.get("other"))]
    assert not [r for r in summaries["levels"] if r["estimand"] == "adjusted"]
    sums = draws["posterior"]["A"].sum(
        "disorder"
    )  # what is left sums to zero: nothing is left over for the third
    np.testing.assert_allclose(sums, 0, atol=1e-9)
    shown = {
        d["disorder"]: d["participants"] for d in json.loads((out / "counts.json").read_text())["disorders"]
    }
    assert shown[lost] == "<11"
    assert list(shown.values()).count("hidden") == 1


def test_contrasts_of_what_is_left_are_what_they_were(lab: Layout, tmp_path: Path, quick: None) -> None:
    shutil.copytree(lab.root, tmp_path / "lab")
    layout = Layout(tmp_path / "lab")
    planted = Lab(layout, np.random.default_rng(0), read_tree(layout.posterior(MODEL)))
    before = planted.tree["posterior"]["A"].load()
    a_disorder_of_three(planted, "")
    share.run(layout, PARAMS, MODEL, out=tmp_path / "out")
    after = xr.open_datatree(tmp_path / "out" / "draws.nc", engine="h5netcdf").load()["posterior"]["A"]
    for a, b in ((0, 1), (1, 3), (0, 4)):
        pair = [x.sel(disorder=DISORDERS[a]) - x.sel(disorder=DISORDERS[b]) for x in (before, after)]
        np.testing.assert_allclose(
            pair[0].transpose("chain", "draw", "function").to_numpy(),
            pair[1].transpose("chain", "draw", "function").to_numpy(),
            atol=1e-12,
        )


def test_the_manifest_says_what_went_what_stayed_and_what_it_does_not_protect_against(clean: Path) -> None:
    told = json.loads((clean / "manifest.json").read_text())
    assert set(told["went"]["draws.nc"]) == {"A", "B", "B_disorder", "M", "tau_mean", "tau_slope"}
    assert "effects of sites" in told["stayed"]["u_site"]
    assert told["smallest_count_printed"] == 11
    assert any("membership inference" in line for line in told["not_protected_against"])
    text = (clean / "manifest.md").read_text()
    assert "Not a clinical device" in text
    assert "hospital" not in text.replace("hospitals", "")


def test_the_shared_page_says_that_it_is_one_and_has_no_hash_and_no_k_hat(clean: Path, lab: Layout) -> None:
    page = (clean / "report.html").read_text()
    assert "The audit, by file and column, stays in the lab." in page
    assert "a hash lets others test guesses" in page
    assert "k-hat|" not in page
    assert "isas.tsv" not in page


def test_the_shared_draws_open_in_arviz(clean: Path) -> None:
    import arviz as az

    tree = xr.open_datatree(clean / "draws.nc", engine="h5netcdf").load()
    assert not tree.attrs
    assert set(tree.children) == {"posterior", "prior", "sample_stats"}
    summary = az.summary(tree, var_names=["A"], coords={"disorder": ["borderline"]})
    assert len(summary) == 3


def test_equal_artefacts_give_equal_bytes(clean: Path, lab: Layout, tmp_path: Path) -> None:
    share.run(lab, PARAMS, MODEL, out=tmp_path / "again")
    for path in clean.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_a_folder_that_is_not_empty_and_a_cohort_of_few_are_refused(lab: Layout, tmp_path: Path) -> None:
    write_text(tmp_path / "out" / "mine.txt", "mine")
    with pytest.raises(ArtefactError, match="not empty"):
        share.run(lab, PARAMS, MODEL, out=tmp_path / "out")
    strict = make_params(roster=(MODEL,), questions=("heterogeneity",), min_cell=200)
    with pytest.raises(ArtefactError, match="fewer than 200 people"):
        share.run(lab, strict, MODEL, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(ArtefactError, match="no file to look through"):
        share.check(tmp_path / "nothing", min_cell=11)


def test_a_disorder_that_all_but_two_have_is_left_out(lab: Layout, tmp_path: Path, quick: None) -> None:
    """Its mean, less that of the others, is told by two people; that nobody lacks it is no secret."""
    shutil.copytree(lab.root, tmp_path / "lab")
    layout = Layout(tmp_path / "lab")
    flow = read_json(layout.flow("demo"))
    people = flow["missing"][0]["observed"] + flow["missing"][0]["missing"]
    assert [
        few({**flow, "disorders": [{"disorder": "x", "participants": people - c}]}, 11) for c in (0, 2, 11)
    ] == [[], ["x"], []]
    flow["disorders"][2]["participants"] = people - 2
    write_json(layout.flow("demo"), flow)
    evidence = gather(layout, PARAMS, "heterogeneity")
    assert evidence.small_disorders == [DISORDERS[2]]
    assert any("have, or do not have: eating" in said for said in banner(evidence))
    share.run(layout, PARAMS, MODEL, out=tmp_path / "out")
    summaries = json.loads((tmp_path / "out" / "summaries.json").read_text())
    for part in ("levels", "contrasts"):
        assert not [r for r in summaries[part] if DISORDERS[2] in (r.get("disorder"), r.get("other"))]
    draws = xr.open_datatree(tmp_path / "out" / "draws.nc", engine="h5netcdf")["posterior"]
    assert DISORDERS[2] not in draws["disorder"].to_numpy()
    assert share.check(tmp_path / "out", min_cell=11, layout=layout, params=PARAMS) == []


def test_conclusions_on_groups_stay(lab: Layout) -> None:
    """A group is a site, whose name is a hospital's, or may be few people."""
    names = (
        "level_group[Ward 9, inner]",
        "log spread_group[Ward 9, inner]",
        "Omega_group_Ward 9[outer, inner]",
    )
    found = {
        "power_scaling": [
            {"conclusion": name, "sensitive": True, "diagnosis": "led by the prior, of B most"}
            for name in (*names, "B[inner, trauma]")
        ],
        "sensitive_to_a_prior": len(names) + 1,
        "led_by_a_prior": len(names) + 1,
        "contraction": [{"parameter": name} for name in ("Omega_group_Ward 9", "B")],
        "states": {name: {} for name in names},
        "refits": [{"variant": "without site Ward 9", "changed": 1, "largest_shift_of": names[0],
                    "text": "without site Ward 9: 1 of 4 conclusions change", "which": [names[0]]}],
    }  # fmt: skip
    evidence = gather(lab, PARAMS, "heterogeneity")
    evidence.attacks = {MODEL: {"sensitivity": found}}
    shared = safe_evidence(evidence).attacks[MODEL]["sensitivity"]
    assert "Ward" not in str(shared)
    assert [r["conclusion"] for r in shared["power_scaling"]] == ["B[inner, trauma]"]
    assert shared["refits"][0]["text"] == "without one site: 1 of 4 conclusions change"
    assert (shared["sensitive_to_a_prior"], shared["led_by_a_prior"]) == (1, 1)
    assert [r["parameter"] for r in shared["contraction"]] == ["B"]


def test_a_conventional_model_beside_the_shared_one_has_no_predictive_checks() -> None:
    """So `check` writes it: a question with such a model was not shared."""
    found = _safe_attacks({"predictive_checks": {"checks": []}}, [])
    assert found == {"predictive_checks": {"rule": "", "checks": []}}


@pytest.mark.parametrize(("small", "kept"), [([], 2), (["mood"], 0)])
def test_conclusions_on_a_disorder_of_few_people_stay(small: list[str], kept: int) -> None:
    """So do those on the largest difference between disorders, which may be that of the few."""
    names = ("largest difference, levels[inner]", "slope by disorder[inner, trauma, mood]")
    rows = [{"conclusion": name, "sensitive": True, "diagnosis": ""} for name in names]
    found = _safe_attacks({"sensitivity": {"power_scaling": rows, "contraction": []}}, small)
    assert len(found["sensitivity"]["power_scaling"]) == kept


@pytest.mark.parametrize(("several", "leaves"), [(39, True), (4, False), (116, False), (0, True)])
@pytest.mark.usefixtures("quick")
def test_effects_of_a_further_diagnosis_leave_where_enough_people_have_two(
    several: int, leaves: bool, lab: Layout, tmp_path: Path
) -> None:
    """Of 120 people; that too few have one diagnosis alone gives as much away."""
    shutil.copytree(lab.root, tmp_path / "lab")
    layout = Layout(tmp_path / "lab")
    flow = read_json(layout.flow("demo"))
    flow["overlap"]["participants_with_two_or_more"] = several
    write_json(layout.flow("demo"), flow)
    tree = read_tree(layout.posterior(MODEL))
    posterior = tree["posterior"].to_dataset()
    tree["posterior"] = xr.DataTree(posterior.assign(level_burden=posterior["tau_mean"]))
    write_tree(layout.posterior(MODEL), tree)
    share.run(layout, PARAMS, MODEL, out=tmp_path / "out")
    shared = xr.open_datatree(tmp_path / "out" / "draws.nc", engine="h5netcdf")["posterior"]
    assert ("level_burden" in shared) is leaves
    rows = [
        {"conclusion": f"{name}[inner]", "sensitive": False, "diagnosis": ""}
        for name in ("level_burden", "B_burden", "B")
    ]
    attacks = {"sensitivity": {"power_scaling": rows, "contraction": []}}
    kept = _safe_attacks(attacks, [], few_with_several=not leaves)["sensitivity"]["power_scaling"]
    assert len(kept) == (3 if leaves else 1)


def test_with_one_disorder_left_none_is_shared(lab: Layout, tmp_path: Path, quick: None) -> None:
    shutil.copytree(lab.root, tmp_path / "lab")
    layout = Layout(tmp_path / "lab")
    flow = read_json(layout.flow("demo"))
    for group in flow["disorders"][1:]:
        group["participants"] = 5
    write_json(layout.flow("demo"), flow)
    share.run(layout, PARAMS, MODEL, out=tmp_path / "out")
    assert (
        "disorder" not in xr.open_datatree(tmp_path / "out" / "draws.nc", engine="h5netcdf")["posterior"].dims
    )


@pytest.mark.parametrize("name", sorted(allowed().variables))
def test_the_list_allows_no_dim_of_people(name: str) -> None:
    dims = allowed().variables[name]
    assert all(allowed().knows(d) for d in dims)
    assert allowed().why_not(name, dims) == ""
    assert allowed().why_not(name, (*dims, "participant"))
    assert allowed().why_not(name, (*dims, "obs_id"))


def test_the_name_of_a_site_that_was_left_out_stays_in_the_lab() -> None:
    left_out = {"site": "Ward 9", "disorder": "bipolar"}
    rows = [{"kind": kind, "label": label, "model": "shared"} for kind, label in left_out.items()]
    sentences = [
        f"Without {kind} {label} (20 people): shared foresees them best." for kind, label in left_out.items()
    ]
    found = safe_groups({"rows": rows, "sentences": sentences, "evidence": []})
    assert [r["label"] for r in found["rows"]] == ["bipolar"]
    assert "Ward" not in str(found)


def test_counts_of_other_tables_do_not_give_a_few_away(tmp_path: Path) -> None:
    """One person's scan does not cover a region; four have no items: hidden in one table, told by another."""
    flow = make_flow()
    flow["steps"].append({"step": "with edges", "participants": 64})
    for name, seen in (("VS_R", 64), ("DACC", 65)):
        gap = {"block": "activation", "variable": name, "observed": seen, "missing": 120 - seen}
        flow["missing"].append(gap)
    shared = safe_flow(flow, 11)
    assert [s["participants"] for s in shared["steps"]] == [
        "within 10 of 120",
        "120",
        "65",
        "within 10 of 65",
    ]
    told = {g["variable"]: (g["observed"], g["missing"]) for g in shared["missing"]}
    assert told["VS_R"] == ("within 10 of 65", "within 10 of 55")
    assert told["AMY_L"] == told["DACC"] == ("65", "55")
    assert told["isas_01"] == ("within 10 of 120", "<11")
    table = pd.DataFrame(
        {"block": ["total", "items", "edges"], "participants": [120, 116, 64], "verdict": "x"}
    )
    counts = safe_comparison(table, 11, flow=flow)["participants"].tolist()
    assert counts == ["120", "within 10 of 120", "within 10 of 65"]
    assert cells_of([[{"step": "in the cohort", "people": "120"}], [{"block": "items", "people": "116"}]], 11)
