"""Edges from fMRIPrep derivatives and from ready-made files, and what may be wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from derivatives import CENTRES, ROIS, SPACE, T_R, covariance, process, write_atlas, write_bold
from nssi_bayes import extract
from nssi_bayes import names as n
from nssi_bayes.atlases import read_atlas
from nssi_bayes.atlases.images import open_atlas
from nssi_bayes.errors import DataError, SpecError
from nssi_bayes.extract.connectivity import edges_of
from nssi_bayes.extract.regions import Grids
from nssi_bayes.extract.series import Series, from_bold
from nssi_bayes.imaging import ConnectivitySource
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, read_dataset, read_table

Z_90 = 1.645
BOLD = "{participant}/func/{participant}_task-rest_space-" + SPACE + "_desc-preproc_bold.nii.gz"
STUDY: dict[str, Any] = {
    "title": "Invented people for a test",
    "synthetic": True,
    "disorders": {"flags": {"mood": "dx_mood"}},
    "instruments": {"isas": {"table": "phenotype/isas.tsv", "column": "isas_{item:02d}"}},
    "items": ["isas"],
}
RULE: dict[str, Any] = {"atlas": "six.yaml", "bold": BOLD, "spaces": [SPACE], "edges": "all"}
ALL = np.triu_indices(len(ROIS), 1)


class Folder:
    """A study with invented derivatives."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.bids = root / "bids"
        self.bids.mkdir()
        write_atlas(self.layout.study_folder("s"))
        self.study()

    def study(self, **changes: Any) -> None:
        rule = {k: v for k, v in (RULE | changes).items() if v is not None}
        self.layout.study("s").write_text(yaml.safe_dump(STUDY | {"connectivity": rule}))

    def person(self, label: str, *, frames: int = 160, run: str = "", seed: int = 0) -> None:
        rng = np.random.default_rng([seed, *label.encode(), *run.encode()])
        write_bold(self.bids, label, *process(rng, frames), run=run)

    def run(self) -> xr.Dataset:
        params = Params(study="s", source=Path("bids"), seed=1, roster=("q/m",), questions=("q",))
        extract.run(self.layout, params)
        return read_dataset(self.layout.connectivity("s"))

    def audit(self) -> pd.DataFrame:
        return read_table(self.layout.audit_of("extract", "s")).set_index("rule")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


class TestFromDerivatives:
    def test_writes_labelled_edges(self, folder: Folder) -> None:
        folder.person("sub-2")
        folder.person("sub-1")
        found = folder.run()
        assert list(found[n.PARTICIPANT].to_numpy()) == ["sub-1", "sub-2"]
        assert found.sizes[n.EDGE] == 15
        one = found.sel({n.EDGE: "B_L--C"})
        assert (str(one[n.EDGE_A].item()), str(one[n.EDGE_B].item())) == ("B_L", "C")
        assert str(one[n.EDGE_NETWORK].item()) == "default--limbic"
        assert [float(one[c]) for c in (n.EDGE_A_X, n.EDGE_A_Y, n.EDGE_A_Z)] == list(CENTRES[2])
        se = 1 / np.sqrt(found[n.CONNECTIVITY_FRAMES] - 3)
        np.testing.assert_allclose(found[n.CONNECTIVITY_SE], se)
        assert found[n.CONNECTIVITY_FRAMES].max() < 80  # of 160: the band, and 28 regressors in it
        assert "scrubbing" in found.attrs["cleaning"]
        assert "fd_threshold 0.5" in found.attrs["cleaning"]

    def test_the_default_edges_are_the_atlas_own(self, folder: Folder) -> None:
        folder.study(edges=None)
        folder.person("sub-1")
        assert list(folder.run()[n.EDGE].to_numpy()) == ["A_L--A_R", "A_L--C", "B_R--D"]

    def test_quality_is_that_of_the_files(self, folder: Folder) -> None:
        folder.person("sub-1")
        found = folder.run()[n.QUALITY].sel(participant="sub-1")
        confounds = pd.read_csv(next(folder.bids.rglob("*confounds*.tsv")), sep="\t")
        displacement = confounds["framewise_displacement"]
        assert float(found.sel(quality_measure="connectivity_motion")) == pytest.approx(displacement.mean())
        dropped = float(found.sel(quality_measure="censored"))
        assert (displacement > 0.5).mean() <= dropped < 0.6  # and short runs between
        assert 10 < float(found.sel(quality_measure="tsnr")) < 200
        assert float(found.sel(quality_measure="connectivity_coverage")) == 1

    def test_two_runs_are_one_person(self, folder: Folder) -> None:
        folder.study(bold=BOLD.replace("_space", "_run-{run}_space"))
        for label in ("sub-1", "sub-2", "sub-3"):
            for run in ("1", "2"):
                folder.person(label, run=run)
        both = folder.run()
        assert both.sizes[n.PARTICIPANT] == 3
        assert both[n.CONNECTIVITY_RELIABILITY].notnull().all()
        folder.study(bold=BOLD.replace("_space", "_run-1_space"))
        first = folder.run()
        folder.study(bold=BOLD.replace("_space", "_run-2_space"))
        second = folder.run()
        weights = [1 / part[n.CONNECTIVITY_SE] ** 2 for part in (first, second)]
        mean = (weights[0] * first[n.CONNECTIVITY] + weights[1] * second[n.CONNECTIVITY]) / sum(weights)
        np.testing.assert_allclose(both[n.CONNECTIVITY], mean)
        np.testing.assert_allclose(both[n.CONNECTIVITY_SE], 1 / np.sqrt(sum(weights)))

    def test_a_region_without_signal_is_missing_with_its_edges(self, folder: Folder) -> None:
        folder.person("sub-1")
        path = next(folder.bids.rglob("*bold.nii.gz"))
        image = nibabel.load(path)
        values = np.asarray(image.dataobj).copy()
        values[2, 4, 4] = 0  # A_L
        nibabel.Nifti1Image(values, image.affine, image.header).to_filename(path)
        found = folder.run().isel(participant=0)
        np.testing.assert_array_equal(found[n.CONNECTIVITY].isnull(), found[n.EDGE_A] == "A_L")

    def test_equal_input_gives_equal_bytes_and_nothing_is_read_twice(
        self, folder: Folder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder.person("sub-1")
        folder.run()
        before = folder.layout.connectivity("s").read_bytes()
        from nssi_bayes.extract import connectivity

        read: list[Path] = []
        real = from_bold

        def noted(path: Path, confounds: Path, **rest: Any) -> Series:
            read.append(path)
            return real(path, confounds, **rest)

        monkeypatch.setattr(connectivity, "from_bold", noted)
        folder.run()
        assert folder.layout.connectivity("s").read_bytes() == before
        assert not read
        folder.person("sub-2")
        folder.run()
        assert ["sub-2" in path.name for path in read] == [True]
        folder.study(denoise={"low_pass_hz": 0.08})
        folder.run()
        assert len(read) == 3

    def test_partial_correlations_hold_the_other_regions(self, folder: Folder) -> None:
        folder.person("sub-1", frames=240)
        folder.study(kind="partial correlation")
        found = folder.run().isel(participant=0)
        left = found[n.CONNECTIVITY_FRAMES] - 3 - (len(ROIS) - 2)
        np.testing.assert_allclose(found[n.CONNECTIVITY_SE], 1 / np.sqrt(left))
        rule = ConnectivitySource.model_validate(RULE)
        opened = open_atlas("six.yaml", folder=folder.layout.study_folder("s"))
        path = next(folder.bids.rglob("*bold.nii.gz"))
        confounds = next(folder.bids.rglob("*confounds*.tsv"))
        series = from_bold(path, confounds, rule=rule, grids=Grids(opened)).cleaned
        precision = np.linalg.inv(np.cov(series.T))
        expected = -precision / np.sqrt(np.outer(precision.diagonal(), precision.diagonal()))
        np.testing.assert_allclose(np.tanh(found[n.CONNECTIVITY]), expected[ALL], atol=1e-8)


class TestReadyMade:
    def series(self, folder: Folder, label: str, *, seed: int = 3) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        values = rng.standard_normal((200, 6)) @ np.linalg.cholesky(covariance()).T
        table = pd.DataFrame(values[:, ::-1], columns=ROIS[::-1])  # columns by label, never by position
        path = folder.bids / label / "func" / f"{label}_timeseries.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(path, sep="\t", na_rep="n/a", index=False)
        return table

    def test_series(self, folder: Folder) -> None:
        folder.study(bold=None, spaces=None, timeseries="{participant}/func/{participant}_timeseries.tsv",
                     t_r=T_R, cleaned={"nuisance": 0})  # fmt: skip
        table = self.series(folder, "sub-1")
        found = folder.run().isel(participant=0)
        expected = np.arctanh(table[list(ROIS)].corr().to_numpy()[ALL])
        np.testing.assert_allclose(found[n.CONNECTIVITY], expected)
        assert float(found[n.CONNECTIVITY_FRAMES].mean()) == pytest.approx(200, rel=0.2)
        assert found[n.QUALITY].sel(quality_measure="tsnr").isnull()

    def test_the_name_of_xcp_d(self, folder: Folder) -> None:
        name = "{participant}_task-rest_space-MNI152NLin2009cAsym_seg-Six_stat-mean_timeseries.tsv"
        folder.study(bold=None, spaces=None, timeseries=name, t_r=T_R, cleaned={"nuisance": 0})
        table = self.series(folder, "sub-1")
        table.loc[[3, 77]] = np.nan  # dropped frames
        table.to_csv(folder.bids / name.format(participant="sub-1"), sep="\t", na_rep="n/a", index=False)
        found = folder.run().isel(participant=0)
        np.testing.assert_allclose(
            found[n.CONNECTIVITY], np.arctanh(table[list(ROIS)].corr().to_numpy()[ALL])
        )
        assert float(found[n.QUALITY].sel(quality_measure="censored")) == pytest.approx(0.01)

    def test_regressors_that_another_program_took_out_are_counted(self, folder: Folder) -> None:
        frames = []
        band = {"high_pass_hz": 0.01, "low_pass_hz": 0.1}
        for nuisance in (0, 36):
            folder.study(bold=None, spaces=None, timeseries="{participant}/func/{participant}_timeseries.tsv",
                         t_r=T_R, cleaned={"nuisance": nuisance, **band})  # fmt: skip
            self.series(folder, "sub-1")
            frames.append(folder.run()[n.CONNECTIVITY_FRAMES].to_numpy())
        np.testing.assert_allclose(frames[1] / frames[0], 1 - 36 / (200 * 0.09 / 0.25))

    def test_matrices(self, folder: Folder) -> None:
        folder.study(bold=None, spaces=None, relmat="{participant}_relmat.tsv", effective_frames=103)
        turned = pd.DataFrame(covariance(), index=ROIS, columns=ROIS).iloc[::-1, ::-1]
        turned.to_csv(folder.bids / "sub-1_relmat.tsv", sep="\t", index_label="Node")
        found = folder.run().isel(participant=0)
        np.testing.assert_allclose(found[n.CONNECTIVITY], np.arctanh(covariance()[ALL]))
        np.testing.assert_allclose(found[n.CONNECTIVITY_SE], 0.1)

    def test_a_wide_table(self, folder: Folder) -> None:
        folder.study(bold=None, spaces=None, table="edges.tsv", edges=["A_L--C", "D--B_R"])
        (folder.bids / "edges.tsv").write_text(
            "participant_id\tC--A_L\tC--A_L_se\tB_R--D\tB_R--D_se\n"
            "sub-1\t0.5\t0.1\tn/a\t0.1\nsub-2\t0.2\t0.1\t0.3\t0.2\nsub-3\tn/a\tn/a\tn/a\tn/a\n"
        )
        found = folder.run()
        np.testing.assert_allclose(found[n.CONNECTIVITY], [[0.5, np.nan], [0.2, 0.3]])
        np.testing.assert_allclose(found[n.CONNECTIVITY_SE], [[0.1, np.nan], [0.1, 0.2]])
        assert folder.audit().loc["regions", "dropped"] == 1

    def test_a_wide_table_that_lacks_columns(self, folder: Folder) -> None:
        folder.study(bold=None, spaces=None, table="edges.tsv", edges=["A_L--C", "B_R--D"])
        (folder.bids / "edges.tsv").write_text("participant_id\tA_L--C\nsub-1\t0.5\n")
        with pytest.raises(DataError, match=r"(?s)A_L--C_se.*no column 'B_R--D'"):
            folder.run()

    def test_a_reliability_may_be_declared(self, folder: Folder) -> None:
        folder.study(bold=None, spaces=None, table="edges.tsv", edges=["A_L--C"], effective_frames=103,
                     reliability={"icc": 0.6, "source": "invented"})  # fmt: skip
        (folder.bids / "edges.tsv").write_text("participant_id\tA_L--C\nsub-1\t0.5\n")
        found = folder.run()
        assert float(found[n.CONNECTIVITY_RELIABILITY].item()) == 0.6
        assert found.attrs["effective_frames"] == "103"
        np.testing.assert_allclose(found[n.CONNECTIVITY_SE], 0.1)


def test_every_setting_of_the_cleaning_is_told(folder: Folder) -> None:
    folder.study(denoise={"strategy": "scrubbing", "motion": "basic", "low_pass_hz": 0.08})
    folder.person("sub-1")
    told = folder.run().attrs
    expected = {"strategy": "scrubbing", "motion": "basic", "wm_csf": "basic", "scrub_frames": "5",
                "global_signal": "not regressed out", "fd_threshold_mm": "0.5", "std_dvars_threshold": "1.5",
                "high_pass_hz": "1/128, by cosines", "low_pass_hz": "0.08", "min_frames": "50"}  # fmt: skip
    assert expected.items() <= told.items()


class TestBadInput:
    """A count and a cure; the rest goes on."""

    def one_of_two(self, folder: Folder, kind: str, caplog: pytest.LogCaptureFixture) -> None:
        folder.person("sub-9", seed=9)
        found = folder.run()
        assert list(found[n.PARTICIPANT].to_numpy()) == ["sub-9"]
        row = folder.audit().loc[kind]
        assert row["dropped"] == 1
        assert row["read"] == 2
        assert "1 people:" in caplog.text
        assert "sub-" not in caplog.text

    def path(self, folder: Folder, pattern: str) -> Path:
        return next(folder.bids.glob(f"sub-1/func/{pattern}"))

    def test_a_truncated_file(self, folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
        folder.person("sub-1")
        path = self.path(folder, "*bold.nii.gz")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        self.one_of_two(folder, "unreadable", caplog)

    def test_a_volume_is_no_series(self, folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
        folder.person("sub-1")
        path = self.path(folder, "*bold.nii.gz")
        nibabel.Nifti1Image(np.ones((8, 8, 8)), np.eye(4)).to_filename(path)
        self.one_of_two(folder, "series", caplog)

    def test_three_frames(self, folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
        folder.person("sub-1", frames=3)
        self.one_of_two(folder, "frames", caplog)

    def test_too_much_motion(self, folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
        folder.person("sub-1")
        path = self.path(folder, "*confounds*.tsv")
        table = pd.read_csv(path, sep="\t").assign(framewise_displacement=1.0)
        table.to_csv(path, sep="\t", na_rep="n/a", index=False)
        self.one_of_two(folder, "frames", caplog)

    def test_a_column_that_is_missing(self, folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
        folder.person("sub-1")
        path = self.path(folder, "*confounds*.tsv")
        pd.read_csv(path, sep="\t").drop(columns="csf").to_csv(path, sep="\t", na_rep="n/a", index=False)
        self.one_of_two(folder, "columns", caplog)

    def test_no_confounds(self, folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
        folder.person("sub-1")
        self.path(folder, "*confounds*.tsv").unlink()
        self.one_of_two(folder, "confounds", caplog)

    def test_confounds_of_another_length(self, folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
        folder.person("sub-1")
        path = self.path(folder, "*confounds*.tsv")
        pd.read_csv(path, sep="\t").iloc[:-5].to_csv(path, sep="\t", na_rep="n/a", index=False)
        self.one_of_two(folder, "length", caplog)

    def test_more_regressors_than_the_band_has_frames(
        self, folder: Folder, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder.study(denoise={"low_pass_hz": 0.04})
        folder.person("sub-1", frames=120)
        with pytest.raises(DataError, match="1 people: no edge with enough effective frames"):
            folder.run()

    def test_two_people_with_the_same_file(self, folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
        folder.person("sub-1")
        for path in (folder.bids / "sub-1" / "func").iterdir():
            copy = folder.bids / "sub-2" / "func" / path.name.replace("sub-1", "sub-2")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        folder.person("sub-9", seed=9)
        assert list(folder.run()[n.PARTICIPANT].to_numpy()) == ["sub-9"]
        assert folder.audit().loc["twice", "dropped"] == 2

    def test_a_header_without_repetition_time(self, folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
        folder.person("sub-1")
        self.path(folder, "*bold.json").unlink()
        path = self.path(folder, "*bold.nii.gz")
        image = nibabel.load(path)
        header = image.header.copy()
        header["pixdim"][4] = 0
        nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine, header).to_filename(path)
        self.one_of_two(folder, "t_r", caplog)


class TestSpec:
    @pytest.mark.parametrize(
        ("edges", "message"),
        [(["A_L--Z"], "no region 'Z'"), (["A_L--A_L"], "does not join two"), (["A_L--C", "C--A_L"], "twice")],
    )
    def test_edges_that_are_none(self, folder: Folder, edges: list[str], message: str) -> None:
        folder.study(edges=edges)
        folder.person("sub-1")
        with pytest.raises(SpecError, match=message):
            folder.run()

    @pytest.mark.parametrize("estimator", ["ledoit_wolf", "graphical_lasso"])
    def test_shrunken_estimators_are_refused(self, folder: Folder, estimator: str) -> None:
        folder.study(estimator=estimator)
        with pytest.raises(SpecError, match="biased by design"):
            folder.run()

    @pytest.mark.parametrize(
        "changes",
        [{"timeseries": BOLD}, {"spaces": None}, {"bold": None, "relmat": BOLD},
         {"bold": None, "timeseries": BOLD}, {"denoise": {"high_pass_hz": 0.2}}],
    )  # fmt: skip
    def test_what_does_not_fit_together(self, folder: Folder, changes: dict[str, Any]) -> None:
        folder.study(**changes)
        with pytest.raises(SpecError):
            folder.run()

    def test_the_default_set_has_the_18_edges_of_the_regions(self) -> None:
        rule = ConnectivitySource.model_validate(RULE | {"edges": "default"})
        edges = edges_of(rule, read_atlas("nssi_spheres"), where="study")
        assert len(edges.labels) == 18
        limbic = [e for e in edges.labels if e.startswith("AMY")]
        assert len(limbic) == 12
        ends = {frozenset(label.split("--")) for label in edges.labels}
        assert {
            frozenset(("DMPFC", "PCC")),
            frozenset(("VS_R", "VMPFC")),
            frozenset(("VLPFC_L", "TPJ_L")),
        } < ends
