"""Atlases read by nilearn's own fetchers from a folder laid out as they write it, without a network."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from nssi_bayes.atlases.images import Opened, open_atlas, voxels_on
from nssi_bayes.extract.regions import regional_effects

AFFINE = np.array([[-4.0, 0, 0, 40], [0, 4, 0, -40], [0, 0, 4, -40], [0, 0, 0, 1]])  # LAS, as FSL's files
SHAPE = (20, 20, 20)
LEFT, RIGHT = (slice(12, 16), slice(4, 8), slice(4, 8)), (slice(3, 7), slice(4, 8), slice(4, 8))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of nilearn, and no network."""

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setenv("NILEARN_DATA", str(tmp_path))
    monkeypatch.setattr("requests.Session.send", refuse)
    return tmp_path


def put(path: Path, *, left: int, right: int, dtype: str = "uint8", last: bool = False) -> None:
    """Write a label image; the first axis goes to the left."""
    values = np.zeros(SHAPE, dtype=dtype)
    values[LEFT], values[RIGHT] = left, right
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.Nifti1Image(values[..., None] if last else values, AFFINE).to_filename(path)


def read(opened: Opened) -> dict[str, float]:
    """Return what each region reads of a map that is 1 on the left of the brain and 2 on the right."""
    x = AFFINE[0, 0] * np.arange(SHAPE[0]) + AFFINE[0, 3]
    values = np.broadcast_to(np.where(x < 0, 1.0, 2.0)[:, None, None], SHAPE)
    regions = voxels_on(opened, SHAPE, affine=AFFINE)
    found = regional_effects(values, np.ones(SHAPE), regions=regions, min_coverage=0.9)
    np.testing.assert_allclose(found[2], 1)
    return dict(zip(opened.atlas.labels, found[0].tolist(), strict=True))


def harvard_oxford(cache: Path, kind: str, labels: list[str]) -> Path:
    folder = cache / "fsl" / "data" / "atlases"
    folder.mkdir(parents=True)
    rows = "".join(f'<label index="{i}" x="1" y="2" z="3">{text}</label>\n' for i, text in enumerate(labels))
    (folder / f"HarvardOxford-{kind}.xml").write_text(
        f'<?xml version="1.0"?>\n<atlas version="1.0"><data>\n{rows}</data></atlas>\n'
    )
    return folder / "HarvardOxford"


CORTEX = ["Left Frontal Pole", "Right Frontal Pole"]


def test_harvard_oxford_cortical(cache: Path) -> None:
    folder = harvard_oxford(cache, "Cortical-Lateralized", CORTEX)
    put(folder / "HarvardOxford-cortl-maxprob-thr25-2mm.nii.gz", left=1, right=2)
    opened = open_atlas("harvard_oxford_cortical", folder=cache)
    assert [(r.roi, r.hemisphere) for r in opened.atlas.regions] == [
        ("Left_Frontal_Pole", "L"), ("Right_Frontal_Pole", "R"),
    ]  # fmt: skip
    assert read(opened) == {"Left_Frontal_Pole": 1, "Right_Frontal_Pole": 2}
    assert [np.sign(r.x) for r in opened.atlas.regions] == [-1, 1]


def test_harvard_oxford_cortical_probabilities(cache: Path) -> None:
    """Its table counts from 1, with the background; the maps count from 0, without one."""
    folder = harvard_oxford(cache, "Cortical-Lateralized", CORTEX)
    values = np.zeros((*SHAPE, 2), dtype="uint8")
    values[(*LEFT, 0)], values[(*RIGHT, 1)] = 80, 60
    folder.mkdir()
    nibabel.Nifti1Image(values, AFFINE).to_filename(folder / "HarvardOxford-cortl-prob-2mm.nii.gz")
    opened = open_atlas("harvard_oxford_cortical_maps", folder=cache)
    assert read(opened) == {"Left_Frontal_Pole": 1, "Right_Frontal_Pole": 2}


def test_harvard_oxford_subcortical(cache: Path) -> None:
    folder = harvard_oxford(cache, "Subcortical", ["Left Lateral Ventrical", "Brain-Stem"])
    put(folder / "HarvardOxford-sub-maxprob-thr25-2mm.nii.gz", left=1, right=2)
    opened = open_atlas("harvard_oxford_subcortical", folder=cache)
    assert [(r.roi, r.hemisphere) for r in opened.atlas.regions] == [
        ("Left_Lateral_Ventricle", "L"), ("Brain-Stem", "M"),
    ]  # fmt: skip
    assert read(opened) == {"Left_Lateral_Ventricle": 1, "Brain-Stem": 2}


def test_aal(cache: Path) -> None:
    """Numbers of version 3 have gaps, and some labels no voxel (35, 36, 81 and 82)."""
    folder = cache / "aal_3v2" / "AAL3"
    put(folder / "AAL3v1.nii", left=45, right=46)
    rows = "".join(
        f"<label><index>{i}</index><name>{text}</name></label>\n"
        for i, text in ((35, "Cingulate_Ant_L"), (46, "Amygdala_R"), (45, "Amygdala_L"))
    )
    (folder / "AAL3v1.xml").write_text(f"<atlas><data>\n{rows}</data></atlas>\n")
    opened = open_atlas("aal", folder=cache)
    assert {r.roi: r.hemisphere for r in opened.atlas.regions} == {"Amygdala_R": "R", "Amygdala_L": "L"}
    assert read(opened) == {"Amygdala_R": 2, "Amygdala_L": 1}


@pytest.mark.parametrize("count", [100, 1000])
def test_schaefer(cache: Path, count: int) -> None:
    folder = cache / "schaefer_2018"
    put(folder / f"Schaefer2018_{count}Parcels_7Networks_order_FSLMNI152_2mm.nii.gz", left=1, right=count,
        dtype="int16")  # fmt: skip
    (folder / f"Schaefer2018_{count}Parcels_7Networks_order.txt").write_text(
        f"1\t7Networks_LH_Vis_1\t120\t18\t131\t0\n{count}\t7Networks_RH_Limbic_OFC_1\t120\t18\t132\t0\n"
    )
    opened = open_atlas(f"schaefer_2018_{count}", folder=cache)
    assert [(r.roi, r.hemisphere, r.network) for r in opened.atlas.regions] == [
        ("7Networks_LH_Vis_1", "L", "Vis"), ("7Networks_RH_Limbic_OFC_1", "R", "Limbic"),
    ]  # fmt: skip
    assert read(opened) == {"7Networks_LH_Vis_1": 1, "7Networks_RH_Limbic_OFC_1": 2}


@pytest.mark.parametrize("count", [7, 17])
def test_yeo(cache: Path, count: int) -> None:
    """Its image has a fourth axis of one."""
    folder = cache / "yeo_2011" / "Yeo_JNeurophysiol11_MNI152"
    for n_networks in (7, 17):
        for mask in ("", "_LiberalMask"):
            put(folder / f"Yeo2011_{n_networks}Networks_MNI152_FreeSurferConformed1mm{mask}.nii.gz",
                left=1, right=n_networks, last=True)  # fmt: skip
        rows = "".join(f"{i:3d}  {n_networks}Networks_{i}  120 18 134 0\n" for i in range(1, n_networks + 1))
        (folder / f"Yeo2011_{n_networks}Networks_ColorLUT.txt").write_text(
            "  0            NONE    0   0   0   0\n" + rows
        )
    put(folder / "FSL_MNI152_FreeSurferConformed_1mm.nii.gz", left=1, right=1)
    opened = open_atlas(f"yeo_2011_{count}", folder=cache)
    assert read(opened) == {f"{count}Networks_1": 1, f"{count}Networks_{count}": 2}
