"""Images, atlases and tables made to deceive: each is counted with a cure, or read as it should be."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml

import test_connectivity
from derivatives import ROIS, T_R, covariance
from nssi_bayes import names as n
from nssi_bayes.atlases.images import open_atlas, voxels_on
from nssi_bayes.errors import DataError, SpecError
from nssi_bayes.extract.regions import regional_effects
from nssi_bayes.imaging import ConnectivitySource
from nssi_bayes.spec import parse
from nssi_bayes.store import read_table
from test_activation import AFFINE, SHAPE, Folder, write_afni

PAIR = {"effect": "{participant}_e.nii.gz", "variance": "{participant}_v.nii.gz"}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def series(tmp_path: Path) -> test_connectivity.Folder:
    return test_connectivity.Folder(tmp_path)


def pair(folder: Folder, *people: str) -> None:
    for k, person in enumerate(people):
        folder.map(f"{person}_e.nii.gz", 1.0 + k)
        folder.map(f"{person}_v.nii.gz", 1.0)


def left_out(folder: Folder | test_connectivity.Folder, table: str) -> dict[str, int]:
    """Return the people left out, by problem."""
    audit = read_table(folder.layout.audit_of("extract", "s"))
    rows = audit[(audit["table"] == table) & (audit["column"] == n.PARTICIPANT)]
    return dict(zip(rows["rule"], rows["dropped"].astype(int), strict=True))


class TestHeaders:
    def test_an_image_that_does_not_say_where_it_is(self, folder: Folder) -> None:
        """Without sform and qform its centre would be taken for the origin."""
        pair(folder, "s1", "s2")
        image = nibabel.Nifti1Image(np.ones(SHAPE), None)
        image.header["sform_code"] = image.header["qform_code"] = 0
        for stat in "ev":
            image.to_filename(folder.bids / f"s1_{stat}.nii.gz")
        folder.study(**PAIR)
        assert list(folder.run()[n.PARTICIPANT].to_numpy()) == ["s2"]
        assert left_out(folder, "activation") == {"orientation": 1}, "not taken for a grid of its own"

    @pytest.mark.parametrize("value", [0.0, np.nan])
    def test_an_affine_that_is_none(self, folder: Folder, value: float) -> None:
        pair(folder, "s1", "s2")
        for stat in "ev":
            image = nibabel.Nifti1Image(np.ones(SHAPE), AFFINE)
            image.header["srow_x"] = value
            path = folder.bids / f"s1_{stat}.nii.gz"
            raw = image.header.binaryblock + bytes(4) + np.ones(SHAPE).tobytes()
            path.write_bytes(gzip.compress(raw))
        folder.study(**PAIR)
        assert list(folder.run()[n.PARTICIPANT].to_numpy()) == ["s2"]
        assert sum(left_out(folder, "activation").values()) == 1

    def test_a_header_of_no_known_kind_of_number(self, folder: Folder) -> None:
        pair(folder, "s1", "s2")
        path = folder.bids / "s1_e.nii.gz"
        raw = bytearray(gzip.decompress(path.read_bytes()))
        raw[70:72] = (999).to_bytes(2, "little")  # datatype
        path.write_bytes(gzip.compress(bytes(raw)))
        folder.study(**PAIR)
        assert list(folder.run()[n.PARTICIPANT].to_numpy()) == ["s2"]
        assert left_out(folder, "activation") == {"unreadable": 1}


class TestWhoseItIs:
    def test_a_second_run_that_is_the_first(self, folder: Folder) -> None:
        """It would halve the variance and make the measure look perfectly reliable."""
        for person, runs in (("s1", (1.0, 1.0)), ("s2", (2.0, 3.0))):
            for run, value in enumerate(runs, start=1):
                folder.map(f"{person}_run-{run}_e.nii.gz", value)
                folder.map(f"{person}_run-{run}_v.nii.gz", 1.0)
        folder.study(effect="{participant}_run-{run}_e.nii.gz", variance="{participant}_run-{run}_v.nii.gz")
        assert list(folder.run()[n.PARTICIPANT].to_numpy()) == ["s2"]
        assert left_out(folder, "activation") == {"again": 1}

    def test_a_t_map_of_another_contrast(self, folder: Folder) -> None:
        rng = np.random.default_rng(3)
        effect = rng.standard_normal(SHAPE)
        for person, t in (("s1", rng.standard_normal(SHAPE)), ("s2", 2 * effect)):
            folder.map(f"{person}_con.nii", effect + 0.001 * (person == "s2"))
            folder.map(f"{person}_t.nii", t)
        folder.study(effect="{participant}_con.nii", t="{participant}_t.nii")
        assert list(folder.run()[n.PARTICIPANT].to_numpy()) == ["s2"]
        assert left_out(folder, "activation") == {"sign": 1}

    def test_analyze_pairs_are_known_by_header_and_image(self, folder: Folder) -> None:
        """Headers of a study are equal: people must not be taken for each other."""
        for k, person in enumerate(("s1", "s2")):
            for stat, value in (("e", 1.0 + k), ("v", 1.0)):
                nibabel.Nifti1Pair(np.full(SHAPE, value), AFFINE).to_filename(
                    folder.bids / f"{person}_{stat}.hdr"
                )
        folder.study(effect="{participant}_e.hdr", variance="{participant}_v.hdr")
        assert folder.run()[n.ACTIVATION].sel(roi="PCC").to_numpy().tolist() == [1, 2]

    def test_a_compressed_brick_that_was_replaced_is_read_again(self, folder: Folder) -> None:
        folder.study(effect="s1_{participant}+tlrc.HEAD[1]", t="s1_{participant}+tlrc.HEAD[2]")
        for value in (3.0, 6.0):
            stem = folder.bids / "s1_a+tlrc"
            write_afni(stem, np.stack([np.full(SHAPE, v) for v in (0.0, value, 1.5)], axis=-1))
            brick = Path(f"{stem}.BRIK")
            Path(f"{stem}.BRIK.gz").write_bytes(gzip.compress(brick.read_bytes()))
            brick.unlink()
            np.testing.assert_allclose(folder.run()[n.ACTIVATION], value)


def own_atlas(folder: Path, values: np.ndarray, *, look_up: str, affine: np.ndarray = AFFINE) -> None:
    nibabel.Nifti1Image(values, affine).to_filename(folder / "own.nii.gz")
    (folder / "own.tsv").write_text(look_up)
    image = {"file": "own.nii.gz", "look_up": "own.tsv"}
    content = {"name": "own", "title": "Own", "kind": "labels", "template": "MNI152", "image": image,
               "citation": ["10.1000/invented"]}  # fmt: skip
    (folder / "own.yaml").write_text(yaml.safe_dump(content))


def blocks(dtype: str = "float32") -> np.ndarray:
    values = np.zeros(SHAPE, dtype=dtype)
    values[10:14, 20:24, 20:24], values[30:34, 20:24, 20:24] = 1, 3
    return values


TWO = "index\tname\n1\tA\n3\tB\n"


class TestAtlases:
    def test_labels_that_are_nearly_whole_numbers(self, tmp_path: Path) -> None:
        """As a scaled image holds them; cut off they would be other regions."""
        own_atlas(tmp_path, blocks() * np.float32(1 - 1e-6), look_up=TWO)
        opened = open_atlas("own.yaml", folder=tmp_path)
        assert [len(v) for v in voxels_on(opened, SHAPE, affine=AFFINE).voxels] == [64, 64]

    def test_labels_that_are_no_numbers_outside(self, tmp_path: Path) -> None:
        values = blocks()
        values[values == 0] = np.nan
        own_atlas(tmp_path, values, look_up=TWO)
        opened = open_atlas("own.yaml", folder=tmp_path)
        assert [len(v) for v in voxels_on(opened, SHAPE, affine=AFFINE).voxels] == [64, 64]

    def test_labels_that_were_interpolated_are_refused(self, tmp_path: Path) -> None:
        values = blocks()
        values[14, 20:24, 20:24] = 0.5
        own_atlas(tmp_path, values, look_up=TWO)
        with pytest.raises(SpecError, match="no whole numbers"):
            open_atlas("own.yaml", folder=tmp_path)

    def test_labels_of_several_volumes_are_refused(self, tmp_path: Path) -> None:
        own_atlas(tmp_path, np.stack([blocks(), blocks()], axis=-1), look_up=TWO)
        with pytest.raises(SpecError, match="kind: maps"):
            open_atlas("own.yaml", folder=tmp_path)

    def test_a_region_smaller_than_a_voxel_of_the_map(self, tmp_path: Path) -> None:
        """AAL has nuclei of two voxels: on a coarse grid they are the voxel nearest to them."""
        fine = np.diag([1.0, 1.0, 1.0, 1.0])
        fine[:3, 3] = -20
        values = np.zeros((40, 40, 40), dtype="int16")
        values[5:20, 5:20, 5:20], values[25, 25, 25] = 1, 3
        own_atlas(tmp_path, values, look_up=TWO, affine=fine)
        opened = open_atlas("own.yaml", folder=tmp_path)
        coarse = np.diag([4.0, 4.0, 4.0, 1.0])
        coarse[:3, 3] = -21.5
        regions = voxels_on(opened, (10, 10, 10), affine=coarse)
        assert regions.inside
        assert [len(v) > 0 for v in regions.voxels] == [True, True]
        at = np.array(np.unravel_index(regions.voxels[1], (10, 10, 10))).T
        np.testing.assert_array_equal(at, [np.round((np.array([5.0] * 3) + 21.5) / 4)])
        effect = np.arange(1000.0).reshape(10, 10, 10)
        found = regional_effects(effect, np.ones((10, 10, 10)), regions=regions, min_coverage=0.5)
        assert found[2][1] == 1

    def test_a_label_with_the_separator_of_edges(self, tmp_path: Path) -> None:
        own_atlas(tmp_path, blocks(), look_up="index\tname\n1\tA--B\n3\tB\n")
        with pytest.raises(SpecError, match="'--'"):
            open_atlas("own.yaml", folder=tmp_path)

    def test_an_atlas_image_that_was_replaced_is_read_again(self, folder: Folder) -> None:
        """Its labels and centres are the same as before."""
        at = folder.layout.study_folder("s")
        folder.study(effect="{participant}.nii", statistic="z", atlas="own.yaml")
        own_atlas(at, blocks(), look_up=TWO)
        effect = np.ones(SHAPE)
        effect[11:13, 21:23, 21:23] = 2
        folder.map("s1.nii", effect)
        before = float(folder.run()[n.ACTIVATION].sel(roi="A").item())
        smaller = np.zeros(SHAPE, dtype="float32")
        smaller[11:13, 21:23, 21:23], smaller[30:34, 20:24, 20:24] = 1, 3
        own_atlas(at, smaller, look_up=TWO)
        after = float(folder.run()[n.ACTIVATION].sel(roi="A").item())
        assert (before, after) == (1.125, 2)


class TestTables:
    def matrix(self, series: test_connectivity.Folder, label: str, values: pd.DataFrame) -> None:
        values.to_csv(series.bids / f"{label}_relmat.tsv", sep="\t", index_label="Node")

    def both(self, series: test_connectivity.Folder, bad: pd.DataFrame, kind: str) -> None:
        series.study(bold=None, spaces=None, relmat="{participant}_relmat.tsv", effective_frames=103)
        self.matrix(series, "sub-1", bad)
        self.matrix(series, "sub-2", pd.DataFrame(covariance(), index=ROIS, columns=ROIS))
        assert list(series.run()[n.PARTICIPANT].to_numpy()) == ["sub-2"]
        assert left_out(series, "connectivity") == {kind: 1}

    def test_a_row_that_stands_twice(self, series: test_connectivity.Folder) -> None:
        good = pd.DataFrame(covariance(), index=ROIS, columns=ROIS)
        self.both(series, pd.concat([good, good.iloc[:1]]), "table")

    def test_a_matrix_of_fisher_z(self, series: test_connectivity.Folder) -> None:
        values = covariance().copy()
        values[0, 1] = values[1, 0] = 1.3
        self.both(series, pd.DataFrame(values, index=ROIS, columns=ROIS), "correlations")

    def test_series_with_a_column_twice(self, series: test_connectivity.Folder) -> None:
        series.study(bold=None, spaces=None, timeseries="{participant}_timeseries.tsv", t_r=T_R,
                     cleaned={"nuisance": 0})  # fmt: skip
        rng = np.random.default_rng(3)
        values = rng.standard_normal((200, 7))
        pd.DataFrame(values, columns=[*ROIS, ROIS[0]]).to_csv(
            series.bids / "sub-1_timeseries.tsv", sep="\t", index=False
        )
        pd.DataFrame(values[::-1, :6], columns=ROIS).to_csv(
            series.bids / "sub-2_timeseries.tsv", sep="\t", index=False
        )
        assert list(series.run()[n.PARTICIPANT].to_numpy()) == ["sub-2"]
        assert left_out(series, "connectivity") == {"table": 1}

    @pytest.mark.parametrize("band", [(0.1, 0.1), (0.2, 0.1)])
    def test_a_band_of_nothing(self, band: tuple[float, float]) -> None:
        rule = {"atlas": "six.yaml", "timeseries": "{participant}.tsv", "t_r": 2.0,
                "cleaned": {"nuisance": 3, "high_pass_hz": band[0], "low_pass_hz": band[1]}}  # fmt: skip
        with pytest.raises(SpecError, match="`high_pass_hz` must be under `low_pass_hz`"):
            parse(ConnectivitySource, rule, where="study.yaml")

    def test_a_band_beyond_what_the_frames_can_hold(self, series: test_connectivity.Folder) -> None:
        series.study(bold=None, spaces=None, timeseries="{participant}_timeseries.tsv", t_r=T_R,
                     cleaned={"nuisance": 3, "high_pass_hz": 0.5 / T_R, "low_pass_hz": 1.0})  # fmt: skip
        values = np.random.default_rng(3).standard_normal((200, 6))
        pd.DataFrame(values, columns=ROIS).to_csv(series.bids / "sub-1_timeseries.tsv", sep="\t", index=False)
        with pytest.raises(DataError, match="no edge with enough effective frames"):
            series.run()


def test_partial_correlations_of_more_regions_than_frames_are_missing(
    series: test_connectivity.Folder,
) -> None:
    """A covariance without an inverse has no partial correlations, whatever a pseudo-inverse says."""
    series.study(bold=None, spaces=None, timeseries="{participant}_timeseries.tsv", t_r=T_R, min_frames=10,
                 min_effective=1, kind="partial correlation", cleaned={"nuisance": 0})  # fmt: skip
    rng = np.random.default_rng(4)
    values = rng.standard_normal((200, 3)) @ rng.standard_normal((3, 6))  # rank 3
    pd.DataFrame(values, columns=ROIS).to_csv(series.bids / "sub-1_timeseries.tsv", sep="\t", index=False)
    with pytest.raises(DataError, match="1 people"):
        series.run()


def test_a_label_is_no_formula() -> None:
    from nssi_bayes.report.figures import Dot, intervals

    label: Any = "a$^2_{$b"
    assert label in intervals("$x_{$", [Dot(label, 0.0, -1.0, 1.0)], unit="mm").alt
