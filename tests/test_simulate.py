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
from nssi_bayes.errors import SpecError
from nssi_bayes.instruments import read_instrument
from nssi_bayes.simulate.parameters import read_constants
from nssi_bayes.spec import Params, Simulate
from nssi_bayes.store import Layout, digest, read_dataset

PEOPLE = 30
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

    def test_half_had_therapy_and_some_were_not_seen_after_it(
        self, layout: Layout, truth: xr.Dataset
    ) -> None:
        path = layout.bids("demo") / "phenotype" / "treatment.tsv"
        table = pd.read_csv(path, sep="\t", na_values=["n/a"])
        assert list(table) == ["participant_id", "therapy", "severity_after"]
        assert table["participant_id"].tolist() == truth[n.PARTICIPANT].to_numpy().tolist()
        assert table["therapy"].value_counts().to_dict() == {0: PEOPLE // 2, 1: PEOPLE // 2}
        items = PUBLISHED["severity"]["items"]  # a mean of items, as severity before
        after = table["severity_after"].dropna() * items
        np.testing.assert_allclose(after, after.round(), atol=items * 1e-3)
        assert table["severity_after"].dropna().between(0, PUBLISHED["severity"]["maximum"]).all()
        sidecar = json.loads(path.with_suffix(".json").read_text())
        assert set(sidecar) == {"MeasurementToolMetadata", "therapy", "severity_after"}
        assert truth["theta"].sel({n.TREATMENT: "therapy"}) == PUBLISHED["therapy_effect"]
        phi = truth["phi"].sel({n.TREATMENT: "therapy"}).to_series().to_dict()
        assert phi == PUBLISHED["therapy_by_function"]
        assert truth["severity_kept"] == PUBLISHED["severity_kept"]

    def test_sidecars_name_items_by_number_only(self, layout: Layout) -> None:
        for name in ("isas", "ctq_sf", "ecr_r"):
            sidecar = json.loads((layout.bids("demo") / "phenotype" / f"{name}.json").read_text())
            del sidecar["MeasurementToolMetadata"]
            for position, column in enumerate(sidecar.values(), start=1):
                assert column["Description"] == f"Item {position}, as ticked"

    def test_scanned_people_have_two_maps_and_confounds(self, layout: Layout) -> None:
        scanned = sorted(layout.bids("demo").glob("sub-*/func"))
        assert len(scanned) == round(PUBLISHED["scanned"] * PEOPLE)
        for func in scanned:
            assert len(list(func.glob("*task-emotion*"))) == 3
            first = next(func.glob("*task-emotion*confounds*")).read_text().splitlines()[:2]
            assert first == ["framewise_displacement", "n/a"]

    def test_scanned_people_have_a_series_at_rest_as_fmriprep_names_it(self, layout: Layout) -> None:
        import nibabel

        rest = PUBLISHED["rest"]
        for func in sorted(layout.bids("demo").glob("sub-*/func")):
            image = nibabel.load(next(func.glob("*task-rest*desc-preproc_bold.nii.gz")))
            assert image.shape[3] == rest["frames"]
            assert image.header.get_zooms() == (6, 6, 6, 2)
            sidecar = json.loads(next(func.glob("*task-rest*bold.json")).read_text())
            assert sidecar["RepetitionTime"] == rest["t_r"]
            table = pd.read_csv(next(func.glob("*task-rest*confounds*")), sep="\t", na_values=["n/a"])
            assert len(table) == rest["frames"]
            moves = table[[f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]].diff().abs()
            moved = moves.iloc[:, :3].sum(axis=1) + 50 * moves.iloc[:, 3:].sum(axis=1)
            np.testing.assert_allclose(table["framewise_displacement"][1:], moved[1:], atol=1e-4)

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
        for images in ("write_scans", "write_rest"):
            monkeypatch.setattr(simulate, images, lambda *_, **__: None)
        simulate.run(layout, params(seed=8))
        other = read_dataset(layout.truth("demo"))
        assert not np.allclose(other["A"], truth["A"])
        assert not np.allclose(other["eta"], truth["eta"])

    @pytest.mark.parametrize("name", ["outcomes", "treatment"])
    def test_further_outcomes_change_nothing_else(
        self, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        states = []
        for part in ("write_scans", "write_rest"):  # of images only what they begin with
            monkeypatch.setattr(
                simulate, part, lambda rng, *_, **__: states.append(rng.bit_generator.state["state"])
            )
        simulate.run(Layout(tmp_path / "with"), params())
        monkeypatch.setattr(simulate, f"write_{name}", lambda *_, **__: None)
        simulate.run(Layout(tmp_path / "without"), params())
        assert states[:2] == states[2:]
        found, whole = digests(tmp_path / "without"), digests(tmp_path / "with")
        assert found == {path: whole[path] for path in found}
        own = {f"data/demo/bids/phenotype/{name}.{end}" for end in ("tsv", "json")}
        assert set(whole) - set(found) == own
        assert own <= set(digests(layout.root))

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
            by_outcome = rest in ("level", "function", "factor") and instrument in ("response", "days")
            assert f'"{name}"' in code or by_instrument or by_outcome, name

    def test_scales_are_those_of_the_instruments(self) -> None:
        assert set(PUBLISHED["isas_scales"]) == set(read_instrument("isas").subscales)
        assert set(PUBLISHED["ecr_r_scales"]) == set(read_instrument("ecr_r").subscales)
        assert set(PUBLISHED["ctq_sf_scales"]) - {"minimisation_denial"} == set(
            read_instrument("ctq_sf").subscales
        )
