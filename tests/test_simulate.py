"""The synthetic cohort: its shape, its story, its sources and its bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes import simulate
from nssi_bayes.atlases import read_atlas
from nssi_bayes.errors import SpecError
from nssi_bayes.instruments import read_instrument
from nssi_bayes.simulate.parameters import (
    draw_parameters,
    homotopic_pairs,
    networks_of,
    read_constants,
    sized,
)
from nssi_bayes.simulate.people import draw_people
from nssi_bayes.simulate.responses import Answers, draw_answers
from nssi_bayes.simulate.scans import draw_scans
from nssi_bayes.spec import Params, Simulate
from nssi_bayes.store import Layout, digest, read_dataset

PEOPLE = 30
ATLAS = read_atlas("nssi_spheres")
PUBLISHED: dict[str, Any] = {name: constant.value for name, constant in read_constants().items()}


def params(**changes: Any) -> Params:
    content = {
        "study": "demo", "source": "data/demo/bids", "seed": 7, "synthetic_cohorts": ("demo",),
        "simulate": Simulate(participants=PEOPLE), "roster": ("q/m",), "questions": ("q",),
    }  # fmt: skip
    return Params(**(content | changes))


def digests(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): digest(path.read_bytes()) for path in files}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("cohort"))
    simulate.run(layout, params())
    return layout


@pytest.fixture(scope="module")
def truth(layout: Layout) -> xr.Dataset:
    return read_dataset(layout.truth("demo"))


@pytest.fixture(scope="module")
def parameters() -> xr.Dataset:
    return draw_parameters(np.random.default_rng(1), PUBLISHED, atlas=ATLAS)


@pytest.fixture(scope="module")
def crowd(parameters: xr.Dataset) -> xr.Dataset:
    return draw_people(np.random.default_rng(2), parameters, participants=4000, published=PUBLISHED)


@pytest.fixture(scope="module")
def scans(parameters: xr.Dataset, crowd: xr.Dataset) -> xr.Dataset:
    rng = np.random.default_rng(4)
    return draw_scans(rng, parameters, people=crowd, atlas=ATLAS, published=PUBLISHED)


def answers_of(name: str, crowd: xr.Dataset) -> Answers:
    rng = np.random.default_rng(3)
    return draw_answers(rng, read_instrument(name), latent=crowd, published=PUBLISHED)


def alpha(categories: np.ndarray) -> float:
    k = categories.shape[1]
    between = categories.sum(axis=1).var(ddof=1)
    return k / (k - 1) * (1 - categories.var(axis=0, ddof=1).sum() / between)


class TestFolder:
    def test_says_synthetic_everywhere(self, layout: Layout, truth: xr.Dataset) -> None:
        folder = layout.bids("demo")
        description = json.loads((folder / "dataset_description.json").read_text())
        assert "Synthetic" in description["Name"]
        assert "Nobody in this folder exists" in (folder / "README.md").read_text()
        assert truth.attrs["synthetic"] == 1
        for sidecar in folder.glob("phenotype/*.json"):
            tool = json.loads(sidecar.read_text())["MeasurementToolMetadata"]
            assert "invented" in tool["Description"]

    def test_participants_has_the_columns_of_the_study(self, layout: Layout) -> None:
        table = pd.read_csv(layout.bids("demo") / "participants.tsv", sep="\t")
        assert list(table) == [
            "participant_id", "age", "sex", "site", "dx_mood", "dx_bipolar", "dx_eating", "dx_borderline",
            "dx_anxiety", "severity",
        ]  # fmt: skip
        assert len(table) == PEOPLE
        assert table["participant_id"].str.fullmatch(r"sub-[0-9a-zA-Z]+").all()
        assert set(json.loads((layout.bids("demo") / "participants.json").read_text())) == set(table) - {
            "participant_id"
        }

    @pytest.mark.parametrize("name", ["isas", "ctq_sf", "ecr_r"])
    def test_phenotype_holds_raw_answers_in_range(self, layout: Layout, name: str) -> None:
        instrument = read_instrument(name)
        path = layout.bids("demo") / "phenotype" / f"{name}.tsv"
        table = pd.read_csv(path, sep="\t", na_values=["n/a"]).set_index("participant_id")
        assert list(table) == [instrument.label(item) for item in instrument.numbers]
        values = table.to_numpy(dtype=float)
        seen = values[np.isfinite(values)]
        assert set(seen) == set(range(instrument.minimum, instrument.maximum + 1))
        assert 0 < np.isnan(values).mean() < 0.06
        assert "." not in path.read_text()  # whole numbers stay whole beside n/a

    def test_sidecars_name_items_by_number_only(self, layout: Layout) -> None:
        for path in layout.bids("demo").glob("phenotype/*.json"):
            sidecar = json.loads(path.read_text())
            del sidecar["MeasurementToolMetadata"]
            for position, column in enumerate(sidecar.values(), start=1):
                assert column["Description"] == f"Item {position}, as ticked"

    def test_scanned_people_have_two_maps_and_confounds(self, layout: Layout) -> None:
        scanned = sorted(layout.bids("demo").glob("sub-*/func"))
        assert len(scanned) == round(PUBLISHED["scanned"] * PEOPLE)
        for func in scanned:
            assert len(list(func.iterdir())) == 3
            first = next(func.glob("*confounds*")).read_text().splitlines()[:2]
            assert first == ["framewise_displacement", "n/a"]

    def test_maps_are_mni_4_mm_and_carry_no_clock(self, layout: Layout) -> None:
        import nibabel

        path = next(layout.bids("demo").glob("sub-*/func/*stat-effect_statmap.nii.gz"))
        assert path.read_bytes()[4:8] == bytes(4)  # modification time in the gzip header
        image = nibabel.load(path)
        assert image.header.get_zooms() == (4, 4, 4)
        assert int(image.header["sform_code"]) == 4

    def test_some_maps_are_nan_and_some_zero_outside_the_brain(self, layout: Layout) -> None:
        import nibabel

        corners = [
            nibabel.load(path).dataobj[0, 0, 0]
            for path in layout.bids("demo").glob("sub-*/func/*effect*.nii.gz")
        ]
        assert np.isnan(corners).any()
        assert (np.array(corners) == 0).any()


class TestBytes:
    def test_equal_seeds_give_equal_bytes_in_another_process(self, layout: Layout, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from nssi_bayes import simulate;"
            "from nssi_bayes.spec import Params; from nssi_bayes.store import Layout;"
            "simulate.run(Layout(Path(sys.argv[1])), Params.model_validate_json(sys.argv[2]))"
        )
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path), params().model_dump_json()],
            check=True, env={**os.environ, "PYTHONHASHSEED": "11"},
        )  # fmt: skip
        assert digests(tmp_path) == digests(layout.root)

    def test_another_seed_gives_another_cohort(
        self, truth: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        layout = Layout(tmp_path)
        monkeypatch.setattr(simulate, "write_scans", lambda *_, **__: None)
        simulate.run(layout, params(seed=8))
        other = read_dataset(layout.truth("demo"))
        assert not np.allclose(other["A"], truth["A"])
        assert not np.allclose(other["eta"], truth["eta"])

    def test_a_failure_leaves_what_stood_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        layout = Layout(tmp_path)
        old = layout.bids("demo") / "participants.tsv"
        old.parent.mkdir(parents=True)
        old.write_text("old")

        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("no space left")

        monkeypatch.setattr(simulate, "write_scans", fail)
        with pytest.raises(RuntimeError, match="no space left"):
            simulate.run(layout, params())
        assert digests(tmp_path) == {"data/demo/bids/participants.tsv": digest(b"old")}

    def test_a_new_cohort_replaces_the_old_as_a_whole(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        layout = Layout(tmp_path)
        stale = layout.bids("demo") / "sub-999" / "func" / "old.nii.gz"
        stale.parent.mkdir(parents=True)
        stale.write_text("old")
        monkeypatch.setattr(simulate, "write_scans", lambda *_, **__: None)
        simulate.run(layout, params())
        assert not stale.exists()
        assert (layout.bids("demo") / "participants.tsv").exists()


def test_without_a_synthetic_cohort_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="synthetic_cohorts"):
        simulate.run(Layout(tmp_path), params(synthetic_cohorts=()))
    assert not list(tmp_path.iterdir())


class TestSources:
    def test_every_constant_has_a_source(self) -> None:
        for name, constant in read_constants().items():
            known = ("10.", "assumption", "leaves a total", "typical published", "as above", "SPM writes")
            assert any(mark in constant.source for mark in known), name

    def test_every_constant_is_used(self) -> None:
        folder = Path(simulate.__file__).parent
        code = "".join(path.read_text() for path in folder.glob("*.py"))
        for name in read_constants():
            instrument, _, rest = name.rpartition("_")
            by_instrument = rest in ("scales", "testlet") and instrument in ("isas", "ctq_sf", "ecr_r")
            assert f'"{name}"' in code or by_instrument, name

    def test_scales_are_those_of_the_instruments(self) -> None:
        assert set(PUBLISHED["isas_scales"]) == set(read_instrument("isas").subscales)
        assert set(PUBLISHED["ecr_r_scales"]) == set(read_instrument("ecr_r").subscales)
        assert set(PUBLISHED["ctq_sf_scales"]) - {"minimisation_denial"} == set(
            read_instrument("ctq_sf").subscales
        )


class TestStory:
    def test_diagnoses_are_multi_label(self, crowd: xr.Dataset) -> None:
        diagnosis = crowd[n.DIAGNOSIS]
        count = diagnosis.sum(n.DISORDER)
        assert int(count.min()) == 1
        assert float((count >= 2).mean()) == pytest.approx(1 / 3, abs=0.02)
        assert not (diagnosis.sel(disorder="mood") & diagnosis.sel(disorder="bipolar")).any()

    @pytest.mark.parametrize("participants", [60, 120])
    def test_a_small_cohort_has_every_disorder(self, parameters: xr.Dataset, participants: int) -> None:
        for seed in range(20):
            rng = np.random.default_rng(seed)
            people = draw_people(rng, parameters, participants=participants, published=PUBLISHED)
            assert int(people[n.DIAGNOSIS].sum(n.PARTICIPANT).min()) >= 0.1 * participants

    def test_what_varies_by_disorder_or_site_sums_to_zero(self, parameters: xr.Dataset) -> None:
        for name in ("A", "B_k", "M", "m", "L_k", "d"):
            np.testing.assert_allclose(parameters[name].sum(n.DISORDER), 0, atol=1e-12)
        for name in ("function_site", "roi_site", "outcome_site"):
            np.testing.assert_allclose(parameters[name].sum(n.SITE), 0, atol=1e-12)

    def test_sizes_are_published_ones_whatever_the_seed(self) -> None:
        for seed in range(3):
            drawn = draw_parameters(np.random.default_rng(seed), PUBLISHED, atlas=ATLAS)
            span = drawn["A"].max(n.DISORDER) - drawn["A"].min(n.DISORDER)
            np.testing.assert_allclose(span, 0.5)
            assert float((drawn["L_network"] ** 2).mean()) == pytest.approx(0.12**2)
            np.testing.assert_allclose(drawn["B"], 0.15)

    def test_sized_keeps_its_size(self) -> None:
        draw = sized(np.random.default_rng(0), (5, 3), size=0.2, zero_sum=0)
        np.testing.assert_allclose(draw.sum(axis=0), 0, atol=1e-12)
        assert (draw**2).mean() == pytest.approx(0.04)

    def test_functions_follow_the_equation(self, truth: xr.Dataset) -> None:
        c = truth[n.DIAGNOSIS].astype(float)
        slope = truth["B"] + (c * truth["B_k"]).sum(n.DISORDER)
        site = truth["function_site"].sel(site=truth[n.SITE_OF])
        expected = (
            (c * truth["A"]).sum(n.DISORDER)
            + (c.sum(n.DISORDER) - 1) * truth["level_burden"]
            + (slope * truth["x"]).sum(n.FACTOR)
            + (truth["G"] * truth[n.COVARIATE_VALUE]).sum(n.COVARIATE)
            + site
        )
        residual = (truth["eta"] - expected).transpose(n.PARTICIPANT, n.FUNCTION)
        np.testing.assert_allclose(residual, truth["zeta"], atol=1e-12)

    def test_residuals_correlate_as_published(self, crowd: xr.Dataset, parameters: xr.Dataset) -> None:
        seen = np.cov(crowd["zeta"].to_numpy().T)
        np.testing.assert_allclose(seen, parameters["Omega"], atol=0.06)
        above = parameters["Omega"].to_numpy()[np.triu_indices(3, 1)]
        assert ((above >= 0.44) & (above <= 0.9)).all()

    def test_severity_goes_with_functions_as_published(self, crowd: xr.Dataset) -> None:
        for function in crowd[n.FUNCTION].to_numpy():
            r = np.corrcoef(crowd["severity"], crowd["eta"].sel(function=function))[0, 1]
            assert 0.18 < r < 0.36
        assert 0 <= float(crowd["severity"].min()) <= float(crowd["severity"].max()) <= 4


class TestAnswers:
    def test_endorsement_is_in_the_published_range(self, crowd: xr.Dataset) -> None:
        isas = read_instrument("isas")
        raw = answers_of("isas", crowd).raw.to_numpy()
        for scale, (low, high) in {"intrapersonal": (0.66, 0.81), "interpersonal": (0.33, 0.56)}.items():
            for subscale in isas.composites[scale].of:
                items = [item - 1 for item in isas.subscales[subscale]]
                assert low - 0.04 < (raw[:, items] > 0).mean() < high + 0.04
        assert (raw[:, [0, 13, 26]] > 0).any(axis=1).mean() > 0.9

    def test_reliability_is_near_the_published(self, crowd: xr.Dataset) -> None:
        isas = read_instrument("isas")
        raw = answers_of("isas", crowd).raw.to_numpy().astype(float)
        for scale, published in {"intrapersonal": 0.80, "interpersonal": 0.88}.items():
            assert alpha(raw[:, [i - 1 for i in isas.scales[scale]]]) == pytest.approx(published, abs=0.08)

    def test_items_of_a_subscale_are_near_parallel(self, crowd: xr.Dataset) -> None:
        r = np.corrcoef(answers_of("isas", crowd).raw.to_numpy().T)
        within = np.mean([r[j, j + 13] for j in (1, 7, 8, 11, 12)])
        between = np.mean([r[j, k] for j in (1, 7, 8, 11, 12) for k in (1, 7, 8, 11, 12) if j != k])
        assert within > between + 0.05

    @pytest.mark.parametrize(("name", "factor"), [("ctq_sf", "trauma"), ("ecr_r", "attachment")])
    def test_reverse_keyed_items_are_stored_as_ticked(
        self, crowd: xr.Dataset, name: str, factor: str
    ) -> None:
        instrument = read_instrument(name)
        raw, x = answers_of(name, crowd).raw.to_numpy(), crowd["x"].sel(factor=factor).to_numpy()
        for item in (i for items in instrument.subscales.values() for i in items):
            r = np.corrcoef(raw[:, item - 1], x)[0, 1]
            assert r < -0.1 if item in instrument.reverse else r > 0.1

    def test_sexual_abuse_has_a_mass_at_the_floor(self, crowd: xr.Dataset) -> None:
        items = [item - 1 for item in read_instrument("ctq_sf").subscales["sexual_abuse"]]
        raw = answers_of("ctq_sf", crowd).raw.to_numpy()[:, items]
        assert (raw.sum(axis=1) == 5).mean() > 0.35

    @pytest.mark.parametrize("name", ["ctq_sf", "ecr_r"])
    def test_factors_are_measured_with_error(self, crowd: xr.Dataset, name: str) -> None:
        assert 0.6 < float(answers_of(name, crowd).reliability.item()) < 0.95


class TestScans:
    def test_the_published_share_is_scanned(self, scans: xr.Dataset) -> None:
        assert scans.sizes[n.PARTICIPANT] / 4000 == pytest.approx(163 / 304, abs=1e-3)

    def test_the_severely_ill_are_scanned_less_often(self, scans: xr.Dataset, crowd: xr.Dataset) -> None:
        scanned = crowd["severity"].sel(participant=scans[n.PARTICIPANT])
        gap = float(scanned.mean() - crowd["severity"].mean()) / float(crowd["severity"].std())
        assert -0.3 < gap < -0.03

    def test_residuals_of_one_person_are_correlated(self, scans: xr.Dataset) -> None:
        r = np.corrcoef(scans["activation_latent"].to_numpy().T)
        networks, of = networks_of(ATLAS)
        pairs = homotopic_pairs(ATLAS)
        limbic = np.flatnonzero(of == networks.index("limbic"))
        far = np.mean([r[a, b] for a in limbic for b in range(24) if of[b] != of[a]])
        same = np.mean([r[a, b] for a in limbic for b in limbic if a != b])
        mirrored = np.mean([r[a, b] for a, b in pairs if (of == of[a]).sum() < 3])
        assert far > 0.1
        assert same > far + 0.03
        assert mirrored > far + 0.02

    def test_motion_goes_with_age_and_severity(self, scans: xr.Dataset, crowd: xr.Dataset) -> None:
        scanned = crowd.sel(participant=scans[n.PARTICIPANT])
        assert np.corrcoef(scans[n.MOTION], scanned["age"])[0, 1] < -0.1
        assert np.corrcoef(scans[n.MOTION], scanned["severity"])[0, 1] > 0.1
        assert 0.1 < float(scans[n.MOTION].mean()) < 0.3

    def test_regions_have_a_unit_of_about_one(self, scans: xr.Dataset) -> None:
        spread = scans["activation_latent"].std(n.PARTICIPANT)
        assert 0.85 < float(spread.min()) <= float(spread.max()) < 1.25
