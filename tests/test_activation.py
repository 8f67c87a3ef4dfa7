"""Regional effects against what was put into images, nilearn's maskers, and files of SPM, FSL and AFNI."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import xarray as xr
import yaml
from nilearn.image import resample_img
from nilearn.maskers import NiftiLabelsMasker, NiftiSpheresMasker

from nssi_bayes import extract
from nssi_bayes import names as n
from nssi_bayes.atlases import read_atlas
from nssi_bayes.atlases.images import open_atlas, voxels_on
from nssi_bayes.errors import DataError, SpecError
from nssi_bayes.extract.regions import combined, regional_effects
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, read_dataset, read_table

ATLAS = read_atlas("nssi_spheres")
STUDY: dict[str, Any] = {
    "title": "Invented people for a test",
    "synthetic": True,
    "disorders": {"flags": {"mood": "dx_mood"}},
    "instruments": {"isas": {"table": "phenotype/isas.tsv", "column": "isas_{item:02d}"}},
    "items": ["isas"],
}
MNI = "MNI152NLin6Asym"
SHAPE, AFFINE = (50, 59, 48), np.array([[4.0, 0, 0, -98], [0, 4, 0, -134], [0, 0, 4, -72], [0, 0, 0, 1]])


def grid(mm: int, *, left_first: bool) -> tuple[tuple[int, int, int], np.ndarray]:
    """A grid of MNI152, with the first axis to the right (RAS) or to the left (LAS)."""
    shape = (200 // mm, 240 // mm, 200 // mm)
    affine = np.diag([float(mm), mm, mm, 1.0])
    affine[:3, 3] = [-98, -134, -72]
    if left_first:
        affine[0] = [-mm, 0, 0, 98]
    return shape, affine


class Folder:
    """A study with maps wherever a test wants them."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self.bids = root / "bids"
        self.bids.mkdir()

    def study(self, **rule: Any) -> None:
        path = self.layout.study("s")
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {"atlas": "nssi_spheres", "spaces": [MNI], **rule}
        path.write_text(yaml.safe_dump(STUDY | {"activation": whole}))

    def map(self, name: str, values: np.ndarray | float, *, affine: np.ndarray = AFFINE) -> None:
        path = self.bids / name
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = np.full(SHAPE, values, dtype=float) if np.isscalar(values) else np.asarray(values)
        nibabel.Nifti1Image(whole, affine).to_filename(path)

    def run(self) -> xr.Dataset:
        params = Params(study="s", source=Path("bids"), seed=1, roster=("q/m",), questions=("q",))
        extract.run(self.layout, params)
        return read_dataset(self.layout.activation("s"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


class TestGroundTruth:
    @pytest.mark.parametrize("mm", [2, 3, 4])
    @pytest.mark.parametrize("left_first", [False, True], ids=["RAS", "LAS"])
    @pytest.mark.parametrize("kind", ["float32", "int16"])
    def test_every_region_gives_its_value_and_error(
        self, folder: Folder, mm: int, left_first: bool, kind: str
    ) -> None:
        """With NaN (or 0) around every region, a border of NaN inside some and one hidden by a mask."""
        shape, affine = grid(mm, left_first=left_first)
        outside = np.nan if kind == "float32" else 0.0
        effect, variance = np.full(shape, outside), np.full(shape, outside)
        voxels = voxels_on(open_atlas("nssi_spheres", folder=folder.bids), shape, affine=affine).voxels
        level = np.round(np.linspace(-2, 2, 24) * 256 + 1) / 256  # what int16 with a slope holds exactly
        error = np.round(np.linspace(0.5, 1.5, 24) * 16) / 16
        for r, at in enumerate(voxels):
            effect.flat[at], variance.flat[at] = level[r], error[r] ** 2
        for at in voxels[::3]:
            edge = at[: len(at) // 4]
            effect.flat[edge] = outside
            variance.flat[edge] = outside
        hidden = ATLAS.labels.index("VMPFC")
        variance.flat[voxels[hidden]] = outside
        for stat, values in (("effect", effect), ("variance", variance)):
            image = nibabel.Nifti1Image(values.astype("float32"), affine)
            if kind == "int16":
                image = nibabel.Nifti1Image(np.round(values * 4096).astype("int16"), affine)
                image.header.set_slope_inter(1 / 4096, 0)
            path = folder.bids / f"sub-1_{stat}.nii.gz"
            if kind == "int16":
                save_scaled(image, path)
            else:
                image.to_filename(path)
        folder.study(effect="{participant}_effect.nii.gz", variance="{participant}_variance.nii.gz")
        found = folder.run().sel(participant="sub-1")
        seen = np.arange(24) != hidden
        np.testing.assert_allclose(found[n.ACTIVATION][seen], level[seen], atol=1e-6)
        np.testing.assert_allclose(found[n.ACTIVATION_SE][seen], error[seen], atol=1e-6)
        assert found[n.ACTIVATION][hidden].isnull()
        assert float(found[n.ACTIVATION_COVERAGE][hidden]) == 0
        many = [r for r in range(0, 24, 3) if len(voxels[r]) >= 4 and r != hidden]
        part = found[n.ACTIVATION_COVERAGE].to_numpy()[many]
        assert ((part > 0.5) & (part < 1)).all()


def save_scaled(image: nibabel.Nifti1Image, path: Path) -> None:
    """Write integers with the slope of the header; nibabel would choose one of its own."""
    import gzip

    header = image.header.copy()
    header.set_data_offset(352)
    raw = header.binaryblock + bytes(4) + np.asarray(image.dataobj).astype("<i2").tobytes(order="F")
    path.write_bytes(gzip.compress(raw))


class TestAgainstNilearn:
    @pytest.mark.parametrize("mm", [2, 3, 4])
    def test_spheres(self, mm: int) -> None:
        shape, affine = grid(mm, left_first=True)
        values = np.random.default_rng(1).standard_normal(shape)
        regions = voxels_on(open_atlas("nssi_spheres", folder=Path()), shape, affine=affine)
        ours = regional_effects(values, np.ones(shape), regions=regions, min_coverage=0.5)[0]
        masker = NiftiSpheresMasker([tuple(c) for c in ATLAS.centres], radius=6, standardize=None)
        theirs = np.ravel(masker.fit_transform(nibabel.Nifti1Image(values, affine)))
        np.testing.assert_allclose(ours, theirs, atol=1e-6)

    def test_radius_of_each_region(self, tmp_path: Path) -> None:
        content = yaml.safe_load(ATLAS.model_dump_json())
        content |= {"name": "own", "edges": []}
        for r, region in enumerate(content["regions"]):
            region["radius_mm"] = 4.0 + r % 3
        (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
        shape, affine = grid(2, left_first=False)
        values = np.random.default_rng(2).standard_normal(shape)
        regions = voxels_on(open_atlas("own.yaml", folder=tmp_path), shape, affine=affine)
        ours = regional_effects(values, np.ones(shape), regions=regions, min_coverage=0.5)[0]
        for start in range(3):
            masker = NiftiSpheresMasker([tuple(c) for c in ATLAS.centres[start::3]], radius=4.0 + start,
                                        standardize=None)  # fmt: skip
            theirs = np.ravel(masker.fit_transform(nibabel.Nifti1Image(values, affine)))
            np.testing.assert_allclose(ours[start::3], theirs, atol=1e-6)

    @pytest.mark.parametrize("mm", [2, 3, 4])
    def test_labels_on_another_grid_and_as_afni_averages(self, tmp_path: Path, mm: int) -> None:
        opened = open_atlas("blocks.yaml", folder=write_blocks(tmp_path))
        shape, affine = grid(mm, left_first=False)
        values = np.random.default_rng(3).standard_normal(shape)
        regions = voxels_on(opened, shape, affine=affine)
        ours, _, coverage = regional_effects(values, np.ones(shape), regions=regions, min_coverage=0.5)
        masker = NiftiLabelsMasker(opened.image, standardize=None, resampling_target="data")
        theirs = np.ravel(masker.fit_transform(nibabel.Nifti1Image(values, affine)))
        order = np.argsort([region.index for region in opened.atlas.regions])  # nilearn goes by number
        np.testing.assert_allclose(ours[order], theirs, atol=1e-6)
        np.testing.assert_allclose(coverage, 1)
        moved = np.asarray(resample_img(opened.image, target_affine=affine, target_shape=shape,
                                        interpolation="nearest").dataobj)  # fmt: skip
        roistats = [values[moved == region.index].mean() for region in opened.atlas.regions]
        np.testing.assert_allclose(ours, roistats, atol=1e-6)


def write_blocks(folder: Path, *, look_up: str | None = None) -> Path:
    """Write an atlas of three blocks whose numbers are neither in order nor small."""
    shape, affine = grid(4, left_first=False)
    labels = np.zeros(shape, dtype=np.int32)
    labels[10:16, 20:26, 20:26], labels[30:34, 20:30, 20:24], labels[20:24, 40:44, 30:36] = 300, 12, 205
    nibabel.Nifti1Image(labels, affine).to_filename(folder / "blocks.nii.gz")
    table = "index\tname\tnetwork\themisphere\n12\tRight_B\tlimbic\tR\n300\tLeft_A\tlimbic\tL\n"
    table += "205\tMid\tother\tM\n"
    (folder / "blocks.tsv").write_text(table if look_up is None else look_up)
    content = {
        "name": "blocks", "title": "Blocks", "kind": "labels", "template": "MNI152",
        "citation": ["10.1000/invented"], "image": {"file": "blocks.nii.gz", "look_up": "blocks.tsv"},
    }  # fmt: skip
    (folder / "blocks.yaml").write_text(yaml.safe_dump(content))
    return folder


class TestFilesOfOthers:
    def test_spm(self, folder: Folder) -> None:
        """Effect and t: the variance is the square of their ratio; NaN outside."""
        effect, t = np.full(SHAPE, 3.0), np.full(SHAPE, 1.5)
        effect[:, :, :10] = np.nan
        folder.map("spm/s01/con_0001.nii", effect)
        folder.map("spm/s01/spmT_0001.nii", t)
        folder.study(effect="spm/{participant}/con_0001.nii", t="spm/{participant}/spmT_0001.nii")
        found = folder.run()
        np.testing.assert_allclose(found[n.ACTIVATION], 3)
        np.testing.assert_allclose(found[n.ACTIVATION_SE], 2)

    def test_fsl(self, folder: Folder) -> None:
        folder.map("s01.feat/stats/cope1.nii.gz", 3)
        folder.map("s01.feat/stats/varcope1.nii.gz", 4)
        folder.study(effect="{participant}.feat/stats/cope1.nii.gz",
                     variance="{participant}.feat/stats/varcope1.nii.gz")  # fmt: skip
        found = folder.run()
        np.testing.assert_allclose([found[n.ACTIVATION].mean(), found[n.ACTIVATION_SE].mean()], [3, 2])

    @pytest.mark.parametrize("selectors", [("[1]", "[2]"), ("[neg#0_Coef]", "[neg#0_Tstat]")])
    def test_afni(self, folder: Folder, selectors: tuple[str, str]) -> None:
        write_afni(folder.bids / "stats.s01+tlrc", np.stack([np.zeros(SHAPE), np.full(SHAPE, 3.0),
                                                             np.full(SHAPE, 1.5)], axis=-1))  # fmt: skip
        folder.study(effect=f"stats.{{participant}}+tlrc.HEAD{selectors[0]}",
                     t=f"stats.{{participant}}+tlrc.HEAD{selectors[1]}")  # fmt: skip
        found = folder.run()
        np.testing.assert_allclose(found[n.ACTIVATION], 3)
        np.testing.assert_allclose(found[n.ACTIVATION_SE], 2)

    def test_a_volume_that_is_not_there(self, folder: Folder) -> None:
        folder.map("s01.nii", np.ones((*SHAPE, 2)))
        folder.study(effect="{participant}.nii[7]", statistic="z")
        with pytest.raises(DataError, match="1 people: an image without the volume"):
            folder.run()

    def test_a_mapping_table(self, folder: Folder) -> None:
        for name, value in {"a.nii": 1, "av.nii": 4, "b.nii": 2, "bv.nii": 9}.items():
            folder.map(f"maps/{name}", value)
        (folder.bids / "maps.tsv").write_text(
            "participant_id\teffect\tvariance\tcontrast\n"
            "sub-2\tmaps/b.nii\tmaps/bv.nii\tfear\nsub-1\tmaps/a.nii\tmaps/av.nii\tfear\n"
            "sub-3\tmaps/c.nii\tmaps/av.nii\tfear\nsub-4\tmaps/a.nii\tmaps/av.nii\tjoy\n"
        )
        folder.study(mapping="maps.tsv", contrasts=["fear"])
        found = folder.run()
        assert list(found[n.PARTICIPANT].to_numpy()) == ["sub-1", "sub-2"]
        np.testing.assert_allclose(found[n.ACTIVATION].sel(roi="PCC"), [1, 2])
        np.testing.assert_allclose(found[n.ACTIVATION_SE].sel(roi="PCC"), [2, 3])
        audit = read_table(folder.layout.audit_of("extract", "s")).set_index("rule")
        assert audit.loc["absent", "dropped"] == 1

    def test_a_mapping_with_an_unknown_column(self, folder: Folder) -> None:
        (folder.bids / "maps.tsv").write_text("participant_id\tefect\nsub-1\ta.nii\n")
        folder.study(mapping="maps.tsv")
        with pytest.raises(DataError, match=r"(?s)'efect'. Did you mean 'effect'.*no column 'effect'"):
            folder.run()

    @pytest.mark.parametrize("statistic", ["t", "z"])
    def test_t_and_z_maps_come_as_such_with_a_warning(
        self, folder: Folder, statistic: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        values = np.full(SHAPE, 2.5)
        values[:, :, :12] = 0  # outside the brain
        folder.map("s01_stat.nii.gz", values)
        folder.study(effect="{participant}_stat.nii.gz", statistic=statistic)
        with caplog.at_level(logging.WARNING):
            found = folder.run()
        assert f"{statistic} maps mix effect and precision" in caplog.text
        assert found[n.ACTIVATION].attrs["units"] == statistic
        np.testing.assert_allclose(
            found[n.ACTIVATION].where(found[n.ACTIVATION_COVERAGE] == 1).dropna(n.ROI), 2.5
        )
        np.testing.assert_allclose(found[n.ACTIVATION_SE].dropna(n.ROI), 1)


def write_afni(stem: Path, values: np.ndarray) -> None:
    """Write a bucket of three sub-bricks as AFNI does (RAI axes, floats)."""
    shape = values.shape[:3]
    labels = "Full_Fstat~neg#0_Coef~neg#0_Tstat~"
    origin, delta = (98.0, 134.0, -72.0), (-4.0, -4.0, 4.0)
    attributes = {
        ("string", "TYPESTRING"): "3DIM_HEAD_FUNC~",
        ("string", "IDCODE_STRING"): "XYZ_invented~",
        ("string", "BYTEORDER_STRING"): "LSB_FIRST~",
        ("string", "BRICK_LABS"): labels,
        ("string", "TEMPLATE_SPACE"): "MNI~",
        ("integer", "SCENE_DATA"): (2, 11, 1, *[-999] * 5),
        ("integer", "DATASET_RANK"): (3, 3, *[0] * 6),
        ("integer", "DATASET_DIMENSIONS"): (*shape, 0, 0),
        ("integer", "ORIENT_SPECIFIC"): (1, 2, 4),
        ("float", "ORIGIN"): origin,
        ("float", "DELTA"): delta,
        ("integer", "BRICK_TYPES"): (3, 3, 3),
        ("float", "BRICK_FLOAT_FACS"): (0.0, 0.0, 0.0),
        ("float", "IJK_TO_DICOM_REAL"): (-4.0, 0, 0, 98.0, 0, -4.0, 0, 134.0, 0, 0, 4.0, -72.0),
    }
    text = ""
    for (kind, name), value in attributes.items():
        body = f"'{value}" if kind == "string" else " " + " ".join(str(v) for v in value)
        count = len(value)
        text += f"\ntype = {kind}-attribute\nname = {name}\ncount = {count}\n{body}\n"
    Path(f"{stem}.HEAD").write_text(text)
    Path(f"{stem}.BRIK").write_bytes(values.astype("<f4").tobytes(order="F"))


class TestRunsAndContrasts:
    def test_runs_are_combined_by_their_errors(self, folder: Folder) -> None:
        for person, shift in (("s01", 0.0), ("s02", 0.5), ("s03", 3.0)):
            for run, variance in (("1", 1.0), ("2", 4.0)):
                folder.map(f"{person}_run-{run}_cope.nii.gz", float(run) + shift)
                folder.map(f"{person}_run-{run}_var.nii.gz", variance)
        folder.study(
            effect="{participant}_run-{run}_cope.nii.gz", variance="{participant}_run-{run}_var.nii.gz"
        )
        found = folder.run()
        np.testing.assert_allclose(found[n.ACTIVATION].sel(participant="s01"), (1 / 1 + 2 / 4) / 1.25)
        np.testing.assert_allclose(found[n.ACTIVATION_SE], 1 / np.sqrt(1.25))
        assert found[n.ACTIVATION_RELIABILITY].notnull().all()

    def test_several_contrasts_are_regions_of_their_own(self, folder: Folder) -> None:
        for contrast, value in (("fear", 1.0), ("joy", 2.0), ("rest", 9.0)):
            folder.map(f"s01_contrast-{contrast}_stat-effect_statmap.nii.gz", value)
            folder.map(f"s01_contrast-{contrast}_stat-variance_statmap.nii.gz", 1.0)
        names = "{participant}_contrast-{contrast}_stat-%s_statmap.nii.gz"
        folder.study(effect=names % "effect", variance=names % "variance", contrasts=["joy", "fear"])
        found = folder.run().isel(participant=0)
        assert found.sizes[n.ROI] == 48
        assert float(found[n.ACTIVATION].sel(roi="joy:PCC")) == 2
        assert float(found[n.ACTIVATION].sel(roi="fear:AMY_L")) == 1
        assert str(found[n.ROI_NETWORK].sel(roi="fear:AMY_L").item()) == "fear:limbic"

    def test_a_contrast_that_nobody_has(self, folder: Folder) -> None:
        folder.map("s01_contrast-fear_cope.nii.gz", 1.0)
        folder.study(
            effect="{participant}_contrast-{contrast}_cope.nii.gz", statistic="z", contrasts=["anger"]
        )
        with pytest.raises(DataError, match="nobody has a map of the contrasts anger"):
            folder.run()

    def test_a_run_without_a_region_is_left_out(self) -> None:
        value, error = combined(np.array([[1.0], [np.nan]]), np.array([[2.0], [np.nan]]))
        assert (value[0], error[0]) == (1, 2)
        assert np.isnan(combined(np.full((2, 1), np.nan), np.ones((2, 1)))[0]).all()


class TestTemplates:
    def test_another_template_is_refused_unless_the_study_accepts_it(
        self, folder: Folder, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder.study(effect="{participant}.nii", statistic="z")
        path = write_blocks(folder.layout.study_folder("s")) / "blocks.yaml"
        path.write_text(path.read_text().replace("template: MNI152\n", f"template: {MNI}\n"))
        folder.map("s01_space-MNI152NLin2009cAsym_z.nii.gz", 1.0)
        rule = {"atlas": "blocks.yaml", "spaces": ["MNI152NLin2009cAsym"], "statistic": "z",
                "effect": f"{{participant}}_space-{MNI}_z.nii.gz"}  # fmt: skip
        folder.study(**rule)
        with pytest.raises(SpecError, match="other_template: resample"):
            folder.run()
        folder.study(**rule, other_template="resample")
        assert list(folder.run()[n.ROI].to_numpy()) == ["Right_B", "Left_A", "Mid"]
        assert "borders differ by some mm" in caplog.text

    def test_a_header_in_talairach_space(self, folder: Folder) -> None:
        image = nibabel.Nifti1Image(np.ones(SHAPE), AFFINE)
        image.set_sform(AFFINE, 3)
        image.to_filename(folder.bids / "s01_z.nii.gz")
        folder.study(effect="{participant}_z.nii.gz", statistic="z")
        with pytest.raises(DataError, match="1 people: a header in Talairach"):
            folder.run()


class TestGoesOn:
    def test_bad_maps_are_counted_and_the_rest_goes_on(
        self, folder: Folder, caplog: pytest.LogCaptureFixture
    ) -> None:
        for person in ("s1", "s2", "s3", "s4", "s5", "s6"):
            folder.map(f"{person}_e.nii.gz", float(person[1]))
            folder.map(f"{person}_v.nii.gz", 1.0)
        cut = folder.bids / "s1_e.nii.gz"
        cut.write_bytes(cut.read_bytes()[:200])
        folder.map("s2_e.nii.gz", np.ones((5, 5, 5, 3)))
        folder.map("s3_e.nii.gz", 0.0)
        (folder.bids / "s5_e.nii.gz").write_bytes((folder.bids / "s4_e.nii.gz").read_bytes())
        folder.study(effect="{participant}_e.nii.gz", variance="{participant}_v.nii.gz")
        with caplog.at_level(logging.WARNING):
            found = folder.run()
        assert list(found[n.PARTICIPANT].to_numpy()) == ["s6"]
        audit = read_table(folder.layout.audit_of("extract", "s")).set_index("rule")
        counts = {kind: int(audit.loc[kind, "dropped"]) for kind in ("unreadable", "shape", "flat", "twice")}
        assert counts == {"unreadable": 1, "shape": 1, "flat": 1, "twice": 2}
        assert "2 people: the same file as another person" in caplog.text
        assert not any(f"s{i}_" in caplog.text for i in range(1, 7))
