"""Spheres as nilearn has them, and what to do where nilearn would be silent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from nilearn.maskers import NiftiSpheresMasker

from nssi_bayes import extract, simulate
from nssi_bayes import names as n
from nssi_bayes.atlases import read_atlas, spheres
from nssi_bayes.errors import DataError, SpecError
from nssi_bayes.extract.regions import regional_effects
from nssi_bayes.spec import Params, Simulate
from nssi_bayes.store import Layout, read_dataset, read_table

ATLAS = read_atlas("nssi_spheres")
SHAPE, AFFINE = (50, 59, 48), np.array([[4.0, 0, 0, -98], [0, 4, 0, -134], [0, 0, 4, -72], [0, 0, 0, 1]])
STEM = "{participant}/func/{participant}_task-emotion"
STUDY: dict[str, Any] = {
    "title": "Invented people for a test",
    "synthetic": True,
    "disorders": {"flags": {"mood": "dx_mood"}},
    "instruments": {"isas": {"table": "phenotype/isas.tsv", "column": "isas_{item:02d}"}},
    "items": ["isas"],
    "activation": {
        "atlas": "nssi_spheres",
        "effect": STEM + "_space-MNI152NLin6Asym_stat-effect_statmap.nii.gz",
        "variance": STEM + "_space-MNI152NLin6Asym_stat-variance_statmap.nii.gz",
        "confounds": STEM + "_desc-confounds_timeseries.tsv",
        "spaces": ["MNI152NLin6Asym", "MNI152NLin2009cAsym"],
    },
}


class Folder:
    """A study with a few invented scans."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.bids = root / "bids"
        self.write_study()

    @property
    def params(self) -> Params:
        return Params(study="s", source=Path("bids"), seed=1, roster=("q/m",), questions=("q",))

    def write_study(self, **activation: Any) -> None:
        path = self.layout.study("s")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(STUDY | {"activation": STUDY["activation"] | activation}))

    def stem(self, label: str) -> Path:
        return self.bids / label / "func" / f"{label}_task-emotion"

    def map(self, label: str, stat: str, *, space: str = "MNI152NLin6Asym") -> Path:
        stem = self.stem(label)
        return stem.with_name(f"{stem.name}_space-{space}_stat-{stat}_statmap.nii.gz")

    def write(
        self, label: str, effect: np.ndarray, variance: np.ndarray, *, affine: np.ndarray = AFFINE,
        space: str = "MNI152NLin6Asym", displacement: str = "n/a\n0.1\n0.3\n",
    ) -> None:  # fmt: skip
        self.stem(label).parent.mkdir(parents=True, exist_ok=True)
        for stat, values in (("effect", effect), ("variance", variance)):
            nibabel.Nifti1Image(values, affine).to_filename(self.map(label, stat, space=space))
        stem = self.stem(label)
        confounds = stem.with_name(f"{stem.name}_desc-confounds_timeseries.tsv")
        confounds.write_text("framewise_displacement\n" + displacement)

    def run(self) -> xr.Dataset:
        extract.run(self.layout, self.params)
        return read_dataset(self.layout.activation("s"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def ones(value: float = 1.0) -> np.ndarray:
    return np.full(SHAPE, float(value))


def noise(shape: tuple[int, ...] = SHAPE, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def by_nilearn(values: np.ndarray, affine: np.ndarray) -> np.ndarray:
    masker = NiftiSpheresMasker([tuple(c) for c in ATLAS.centres], radius=ATLAS.radius_mm, standardize=None)
    return np.ravel(masker.fit_transform(nibabel.Nifti1Image(values, affine)))


OBLIQUE = AFFINE.copy()
OBLIQUE[:3, :3] = AFFINE[:3, :3] @ np.array([[0.996, -0.087, 0], [0.087, 0.996, 0], [0, 0, 1.0]])
FLIPPED = AFFINE.copy()
FLIPPED[0] = [-4, 0, 0, 98]
FINE = np.diag([3.0, 3.0, 3.0, 1.0])
FINE[:3, 3] = [-95, -130, -75]


class TestSpheres:
    @pytest.mark.parametrize(
        ("shape", "affine"),
        [(SHAPE, AFFINE), (SHAPE, FLIPPED), (SHAPE, OBLIQUE), ((66, 77, 62), FINE)],
        ids=["4mm", "flipped", "oblique", "3mm"],
    )
    def test_same_mean_as_nilearn_where_nothing_is_nan(
        self, shape: tuple[int, int, int], affine: np.ndarray
    ) -> None:
        values = noise(shape)
        regions = spheres(ATLAS, shape, affine=affine)
        ours = regional_effects(values, np.ones(shape), regions=regions, min_coverage=0.5)
        np.testing.assert_allclose(ours[0], by_nilearn(values, affine), atol=1e-6)
        np.testing.assert_array_equal(ours[2], 1)

    def test_voxels_beyond_the_edge_count_against_coverage(self) -> None:
        whole = spheres(ATLAS, SHAPE, affine=AFFINE)
        low = AFFINE.copy()
        low[2, 3] = -20  # the grid begins at z = -20, the amygdala's centre
        cut = spheres(ATLAS, SHAPE, affine=low)
        np.testing.assert_array_equal(cut.size, whole.size)
        assert len(cut.voxels[0]) < len(whole.voxels[0])
        assert cut.inside
        values = regional_effects(ones(), ones(), regions=cut, min_coverage=0.1)
        assert values[0][0] == 1
        assert 0.4 < values[2][0] < 0.9

    def test_a_centre_off_the_grid_is_noticed(self) -> None:
        high = AFFINE.copy()
        high[2, 3] = -10
        assert not spheres(ATLAS, SHAPE, affine=high).inside


class TestRegionalEffects:
    def test_nan_voxels_are_left_out_not_read_as_zero(self) -> None:
        effect = ones()
        effect[:, :, AFFINE[2, 3] + 4 * np.arange(SHAPE[2]) < -20] = np.nan
        regions = spheres(ATLAS, SHAPE, affine=AFFINE)
        value, _, coverage = regional_effects(effect, ones(), regions=regions, min_coverage=0.5)
        amygdala = ATLAS.labels.index("AMY_L")
        assert value[amygdala] == 1
        assert 0.5 <= coverage[amygdala] < 1
        with pytest.warns(UserWarning, match="NaN|Non-finite"):  # and goes on with zeros
            assert by_nilearn(effect, AFFINE)[amygdala] < 0.8

    def test_a_region_under_the_limit_is_missing(self) -> None:
        effect = ones()
        effect[:, :, AFFINE[2, 3] + 4 * np.arange(SHAPE[2]) < -19] = np.nan
        regions = spheres(ATLAS, SHAPE, affine=AFFINE)
        value, error, coverage = regional_effects(effect, ones(), regions=regions, min_coverage=0.5)
        amygdala = ATLAS.labels.index("AMY_L")
        assert 0 < coverage[amygdala] < 0.5
        assert np.isnan(value[amygdala])
        assert np.isnan(error[amygdala])
        assert np.isfinite(value[ATLAS.labels.index("DACC")])

    def test_standard_error_is_the_root_of_the_mean_variance(self) -> None:
        variance = noise() ** 2 + 0.1
        regions = spheres(ATLAS, SHAPE, affine=AFFINE)
        _, error, _ = regional_effects(ones(), variance, regions=regions, min_coverage=0.5)
        expected = [np.sqrt(variance.ravel()[voxels].mean()) for voxels in regions.voxels]
        np.testing.assert_allclose(error, expected)

    @pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
    def test_a_voxel_without_a_positive_variance_has_no_data(self, bad: float) -> None:
        effect, variance = ones(), ones()
        outside = AFFINE[2, 3] + 4 * np.arange(SHAPE[2]) < -20
        effect[:, :, outside], variance[:, :, outside] = 0, bad
        regions = spheres(ATLAS, SHAPE, affine=AFFINE)
        value, error, coverage = regional_effects(effect, variance, regions=regions, min_coverage=0.5)
        amygdala = ATLAS.labels.index("AMY_L")
        assert value[amygdala] == 1
        assert error[amygdala] == 1
        assert coverage[amygdala] < 1


class TestRun:
    def test_writes_labelled_regions_and_motion(self, folder: Folder) -> None:
        folder.write("sub-2", ones(2), ones(4))
        folder.write("sub-1", ones(1), ones(9), displacement="n/a\n0.2\n0.4\n0.6\n")
        dataset = folder.run()
        assert list(dataset[n.PARTICIPANT].to_numpy()) == ["sub-1", "sub-2"]
        assert list(dataset[n.ROI].to_numpy()) == ATLAS.labels
        assert float(dataset[n.ACTIVATION].sel(participant="sub-2", roi="PCC")) == 2
        assert float(dataset[n.ACTIVATION_SE].sel(participant="sub-1", roi="PCC")) == 3
        np.testing.assert_allclose(dataset[n.MOTION], [0.4, 0.2])
        assert dataset[n.ROI_NETWORK].sel(roi="PCC") == "default_mode"
        assert dataset.attrs["synthetic"] == 1

    def test_audit_counts_what_is_missing(self, folder: Folder) -> None:
        lost = ones()
        lost[:, :, AFFINE[2, 3] + 4 * np.arange(SHAPE[2]) < -19] = np.nan
        folder.write("sub-1", lost, ones())
        folder.write("sub-2", ones(), ones())
        missing = int(folder.run()[n.ACTIVATION].isnull().sum())
        audit = read_table(folder.layout.audit_of("extract", "s")).set_index("column")
        assert audit.loc["AMY_L", ["read", "missing", "dropped"]].tolist() == [2, 1, 1]
        assert audit.loc["PCC", ["read", "missing", "dropped"]].tolist() == [2, 0, 0]
        assert audit.loc[ATLAS.labels, "missing"].sum() == missing > 0

    def test_people_may_have_different_grids(self, folder: Folder) -> None:
        shape = (66, 77, 62)
        folder.write("sub-1", ones(), ones())
        folder.write("sub-2", np.full(shape, 5.0), np.ones(shape), affine=FINE)
        np.testing.assert_array_equal(folder.run()[n.ACTIVATION].sel(roi="VS_R"), [1, 5])

    def test_the_first_accepted_space_is_used(self, folder: Folder) -> None:
        folder.write("sub-1", ones(3), ones(), space="MNI152NLin2009cAsym")
        folder.write("sub-2", ones(4), ones(), space="MNI152NLin2009cAsym")
        folder.write("sub-2", ones(5), ones())
        folder.write("sub-2", ones(6), ones(), space="T1w")
        np.testing.assert_array_equal(folder.run()[n.ACTIVATION].sel(roi="PCC"), [3, 5])

    def test_one_volume_in_four_dimensions_is_a_volume(self, folder: Folder) -> None:
        folder.write("sub-1", ones()[..., None], ones()[..., None])
        assert folder.run()[n.ACTIVATION].notnull().all()

    def test_labels_without_a_prefix_and_names_without_a_space(self, folder: Folder) -> None:
        folder.write_study(effect="con/{participant}_con_0001.nii", variance="con/{participant}_var.nii",
                           confounds=None)  # fmt: skip
        (folder.bids / "con").mkdir(parents=True)
        for name in ("p-1[a]_con_0001.nii", "p-1[a]_var.nii"):
            nibabel.Nifti1Image(ones(), AFFINE).to_filename(folder.bids / "con" / name)
        dataset = folder.run()
        assert list(dataset[n.PARTICIPANT].to_numpy()) == ["p-1[a]"]
        assert dataset[n.MOTION].isnull().all()

    def test_a_study_without_images_gets_an_empty_data_set(self, folder: Folder) -> None:
        path = folder.layout.study("s")
        path.write_text(yaml.safe_dump({k: v for k, v in STUDY.items() if k != "activation"}))
        dataset = folder.run()
        assert dict(dataset.sizes) == {n.PARTICIPANT: 0, n.ROI: 0}
        assert set(dataset.data_vars) == {n.ACTIVATION, n.ACTIVATION_SE, n.ACTIVATION_COVERAGE, n.MOTION}
        assert read_table(folder.layout.audit_of("extract", "s")).empty

    def test_equal_input_gives_equal_bytes(self, folder: Folder) -> None:
        folder.write("sub-1", noise(), ones())
        folder.run()
        before = folder.layout.activation("s").read_bytes()
        folder.run()
        assert folder.layout.activation("s").read_bytes() == before

    def test_edges_of_the_demo_cover_the_truth(self, tmp_path: Path) -> None:
        layout = Layout(tmp_path)
        params = Params(
            study="demo", source=Path("data/demo/bids"), seed=3, synthetic_cohorts=("demo",),
            simulate=Simulate(participants=60), roster=("q/m",), questions=("q",),
        )  # fmt: skip
        simulate.run(layout, params)
        example = Path(__file__).parents[1] / "data" / "demo" / "study.yaml"
        layout.study("demo").write_text(example.read_text())
        extract.run(layout, params)
        found, truth = read_dataset(layout.connectivity("demo")), read_dataset(layout.truth("demo"))
        truth = truth.sel(participant=found[n.PARTICIPANT])
        assert list(found[n.EDGE].to_numpy()) == list(truth[n.EDGE].to_numpy())
        assert found.sizes[n.EDGE] == 18
        for coord in n.EDGE_COORDS:
            assert (found[coord] == truth[coord]).all()
        score = (found[n.CONNECTIVITY] - truth[n.CONNECTIVITY]) / found[n.CONNECTIVITY_SE]
        assert 0.85 < float((abs(score) < 1.645).mean()) < 0.96
        assert abs(float(score.mean())) < 0.15
        assert float(found[n.QUALITY].sel(quality_measure="connectivity_motion").min()) > 0

    def test_what_was_simulated_is_found(self, tmp_path: Path) -> None:
        layout = Layout(tmp_path)
        params = Params(
            study="demo", source=Path("data/demo/bids"), seed=3, synthetic_cohorts=("demo",),
            simulate=Simulate(participants=40), roster=("q/m",), questions=("q",),
        )  # fmt: skip
        simulate.run(layout, params)
        example = Path(__file__).parents[1] / "data" / "demo" / "study.yaml"
        layout.study("demo").write_text(example.read_text())
        extract.run(layout, params)
        found, truth = read_dataset(layout.activation("demo")), read_dataset(layout.truth("demo"))
        truth = truth.sel(participant=found[n.PARTICIPANT])
        whole = found[n.ACTIVATION].where(found[n.ACTIVATION_COVERAGE] == 1)
        assert int(whole.notnull().sum()) > 0.9 * whole.size
        assert float(abs(whole - truth[n.ACTIVATION]).max()) < 1e-6
        known = found[n.ACTIVATION_SE].notnull()
        assert float(abs(found[n.ACTIVATION_SE] - truth[n.ACTIVATION_SE]).where(known).max()) < 1e-6
        np.testing.assert_allclose(found[n.MOTION], truth[n.MOTION])


def refuse(folder: Folder, message: str) -> None:
    """Expect one message that counts people, names none, and leaves nothing written."""
    with pytest.raises(DataError, match=message) as caught:
        folder.run()
    text = str(caught.value)
    assert "sub-" not in text
    assert "study.yaml: activation" in text
    assert "What to do" in text
    assert not folder.layout.activation("s").exists()
    assert not folder.layout.audit_of("extract", "s").exists()


class TestBadInput:
    def test_a_map_in_another_space(self, folder: Folder) -> None:
        folder.write("sub-1", ones(), ones(), space="T1w")
        refuse(folder, "1 people: a map, but none in a space under `spaces`")

    def test_a_space_that_cannot_carry_the_atlas(self, folder: Folder) -> None:
        folder.write_study(spaces=["T1w"])
        with pytest.raises(SpecError, match=re.escape("spaces: T1w cannot carry the atlas 'nssi_spheres'")):
            folder.run()

    def test_an_unreadable_map(self, folder: Folder) -> None:
        folder.write("sub-1", ones(), ones())
        folder.map("sub-1", "effect").write_bytes(b"no image")
        folder.write("sub-2", ones(2), ones())
        whole = folder.map("sub-2", "variance").read_bytes()
        folder.map("sub-2", "variance").write_bytes(whole[: len(whole) // 2])
        refuse(folder, "2 people: an image that cannot be read")

    def test_a_map_of_nan(self, folder: Folder) -> None:
        folder.write("sub-1", ones(np.nan), ones())
        refuse(folder, "1 people: no voxel of any region")

    def test_a_missing_variance_map(self, folder: Folder) -> None:
        folder.write("sub-1", ones(), ones())
        folder.map("sub-1", "variance").unlink()
        refuse(folder, "1 people: no variance map")

    def test_a_link_without_content(self, folder: Folder) -> None:
        folder.write("sub-1", ones(), ones())
        folder.map("sub-1", "effect").unlink()
        folder.map("sub-1", "effect").symlink_to("annex/objects/nowhere")
        refuse(folder, "datalad get")

    def test_effect_and_variance_on_different_grids(self, folder: Folder) -> None:
        folder.write("sub-1", ones(), ones())
        nibabel.Nifti1Image(ones(), FLIPPED).to_filename(folder.map("sub-1", "variance"))
        refuse(folder, "1 people: effect and variance on different grids")

    def test_a_grid_that_leaves_out_a_region(self, folder: Folder) -> None:
        folder.write("sub-1", ones(), ones(), affine=np.diag([4.0, 4, 4, 1]))
        refuse(folder, "1 people: a grid that leaves out a region")

    def test_a_series_is_no_contrast(self, folder: Folder) -> None:
        folder.write("sub-1", np.ones((5, 5, 5, 3)), np.ones((5, 5, 5, 3)))
        refuse(folder, "1 people: a map that is not three-dimensional")

    def test_missing_confounds_and_missing_displacement(self, folder: Folder) -> None:
        for value, label in enumerate(("sub-1", "sub-2", "sub-3"), start=1):
            folder.write(label, ones(value), ones(), displacement="n/a\n")
        next(folder.bids.glob("sub-1/func/*confounds*")).unlink()
        next(folder.bids.glob("sub-2/func/*confounds*")).write_text("dvars\n1.0\n")
        refuse(folder, r"(?s)1 people: no confounds file.*2 people: no finite framewise_displacement")

    def test_no_map_at_all(self, folder: Folder) -> None:
        folder.bids.mkdir()
        refuse(folder, "nobody has a file that fits the patterns of `activation`")

    def test_all_problems_at_once(self, folder: Folder) -> None:
        folder.write("sub-1", ones(), ones(), space="T1w")
        folder.write("sub-2", ones(np.nan), ones())
        folder.write("sub-3", ones(), ones())
        folder.map("sub-3", "variance").unlink()
        refuse(folder, "3 problems")

    def test_unknown_atlas(self, folder: Folder) -> None:
        folder.write_study(atlas="nssi_sphere")
        with pytest.raises(SpecError, match="Did you mean 'nssi_spheres'"):
            folder.run()


def test_the_table_of_an_audit_has_the_common_columns(folder: Folder) -> None:
    folder.write("sub-1", ones(), ones())
    folder.run()
    audit = pd.read_csv(folder.layout.audit_of("extract", "s"), sep="\t")
    assert list(audit) == ["stage", "table", "column", "rule", "read", "missing", "changed", "out_of_range",
                           "dropped", "note"]  # fmt: skip
