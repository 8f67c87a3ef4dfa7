"""Atlases that are images: nilearn's fetchers, its cache, files of a user, one structure for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
import yaml
from nilearn import datasets
from sklearn.utils import Bunch

from nssi_bayes.atlases import known_atlases, read_atlas
from nssi_bayes.atlases.images import open_atlas, voxels_on
from nssi_bayes.errors import SpecError
from nssi_bayes.extract.regions import regional_effects

AFFINE = np.array([[4.0, 0, 0, -40], [0, 4, 0, -40], [0, 0, 4, -40], [0, 0, 0, 1]])
SHAPE = (20, 20, 20)
EXAMPLES = {
    "harvard_oxford_cortical": ["Left Frontal Pole", "Right Frontal Pole"],
    "harvard_oxford_subcortical": ["Left Amygdala", "Brain-Stem"],
    "aal": ["Amygdala_L", "Vermis_3"],
    "schaefer_2018_100": ["7Networks_LH_Vis_1", "7Networks_RH_Default_PFCv_1"],
    "yeo_2011_7": ["7Networks_1", "7Networks_2"],
}
EXPECTED = {
    "harvard_oxford_cortical": [("L", "cortical"), ("R", "cortical")],
    "harvard_oxford_subcortical": [("L", "subcortical"), ("M", "subcortical")],
    "aal": [("L", "anatomical"), ("M", "anatomical")],
    "schaefer_2018_100": [("L", "Vis"), ("R", "Default")],
    "yeo_2011_7": [("M", "7Networks_1"), ("M", "7Networks_2")],
}


def labels(first: int = 7, second: int = 3) -> nibabel.Nifti1Image:
    """Two blocks; the table lists a third region that no voxel has."""
    values = np.zeros(SHAPE, dtype=np.int32)
    values[2:6, 4:8, 4:8], values[12:16, 4:8, 4:8] = first, second
    return nibabel.Nifti1Image(values, AFFINE)


def table(names: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"index": [0, 3, 7, 9], "name": ["Background", names[1], names[0], "Left_nowhere"]})


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_fetched_atlas_is_known_by_its_look_up_table(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: dict[str, Any] = {}

    def fetch(**arguments: Any) -> Bunch:
        called.update(arguments)
        lut = table(EXAMPLES[name])
        return Bunch(maps=labels(), labels=list(lut["name"]), lut=lut, template="MNI152NLin6Asym")

    image = read_atlas(name).image
    assert image is not None
    monkeypatch.setattr(datasets, f"fetch_atlas_{image.fetcher}", fetch)
    if "schaefer" in name:  # its pattern refuses a label that is none of its own
        monkeypatch.setattr("nssi_bayes.atlases.images._BACKGROUND", ("background", "left_nowhere"))
    opened = open_atlas(name, folder=tmp_path)
    assert called == {**image.arguments, "verbose": 0}
    found = {r.roi: (r.hemisphere, r.network) for r in opened.atlas.regions}
    wanted = [label.replace(" ", "_") for label in EXAMPLES[name]]
    assert found == dict(zip(wanted, EXPECTED[name], strict=True))  # regions without a voxel are no regions
    first = next(r for r in opened.atlas.regions if r.roi == wanted[0])
    assert (first.index, first.x) == (7, -40 + 4 * 3.5)


@pytest.mark.parametrize("name", [n for n in known_atlases() if read_atlas(n).image is not None])
def test_every_fetcher_and_its_arguments_are_those_of_nilearn(name: str) -> None:
    import inspect

    source = read_atlas(name).image
    assert source is not None
    if source.fetcher is not None:
        known = inspect.signature(getattr(datasets, f"fetch_atlas_{source.fetcher}")).parameters
        assert set(source.arguments) <= set(known)


def test_the_cache_of_nilearn_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NILEARN_DATA", str(tmp_path))
    folder = tmp_path / "schaefer_2018"
    folder.mkdir()
    labels(1, 2).to_filename(folder / "Schaefer2018_100Parcels_7Networks_order_FSLMNI152_2mm.nii.gz")
    (folder / "Schaefer2018_100Parcels_7Networks_order.txt").write_text(
        "1\t7Networks_LH_Vis_1\t120\t18\t131\t0\n2\t7Networks_RH_Limbic_OFC_1\t120\t18\t132\t0\n"
    )
    opened = open_atlas("schaefer_2018_100", folder=tmp_path)
    assert [(r.roi, r.network) for r in opened.atlas.regions] == [
        ("7Networks_LH_Vis_1", "Vis"), ("7Networks_RH_Limbic_OFC_1", "Limbic"),
    ]  # fmt: skip


def test_without_cache_and_network_there_is_a_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(**_: Any) -> Bunch:
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "fetch_atlas_schaefer_2018", fetch)
    with pytest.raises(SpecError, match="cannot be fetched") as caught:
        open_atlas("schaefer_2018_200", folder=tmp_path)
    assert "NILEARN_DATA" in str(caught.value)


def test_maps_are_weighted_means(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    weights = np.zeros((*SHAPE, 2))
    weights[2:6, 4:8, 4:8, 0] = rng.uniform(10, 90, (4, 4, 4))
    weights[12:16, 4:8, 4:8, 1] = rng.uniform(10, 90, (4, 4, 4))
    bunch = Bunch(maps=nibabel.Nifti1Image(weights, AFFINE), lut=None,
                  labels=["Background", "Left Frontal Pole", "Right Frontal Pole"])  # fmt: skip
    monkeypatch.setattr(datasets, "fetch_atlas_harvard_oxford", lambda **_: bunch)
    opened = open_atlas("harvard_oxford_cortical_maps", folder=tmp_path)
    regions = voxels_on(opened, SHAPE, affine=AFFINE)
    effect = rng.standard_normal(SHAPE)
    effect[3, :, :] = np.nan
    found, _, coverage = regional_effects(effect, np.ones(SHAPE), regions=regions, min_coverage=0.1)
    for r in (0, 1):
        seen = np.isfinite(effect)
        share = weights[..., r][seen]
        assert found[r] == pytest.approx((share * effect[seen]).sum() / share.sum(), abs=1e-6)
        assert coverage[r] == pytest.approx(share.sum() / weights[..., r].sum())


def test_desikan_killiany_from_a_local_file(tmp_path: Path) -> None:
    """Left and right have one name in its table."""
    labels(1, 2).to_filename(tmp_path / "atlas-desikankilliany.nii.gz")
    (tmp_path / "atlas-desikankilliany.csv").write_text(
        "id,label,hemisphere,structure\n1,cuneus,L,cortex\n2,cuneus,R,cortex\n"
    )
    opened = open_atlas("desikan_killiany", folder=tmp_path)
    assert [(r.roi, r.hemisphere, r.network) for r in opened.atlas.regions] == [
        ("cuneus_L", "L", "cortex"), ("cuneus_R", "R", "cortex"),
    ]  # fmt: skip


def own(folder: Path, look_up: str | None) -> None:
    image: dict[str, Any] = {"file": "own.nii.gz"}
    if look_up is not None:
        image["look_up"] = "own.tsv"
        (folder / "own.tsv").write_text(look_up)
    labels().to_filename(folder / "own.nii.gz")
    content = {"name": "own", "title": "Own", "kind": "labels", "template": "MNI152",
               "citation": ["10.1000/invented"], "image": image}  # fmt: skip
    (folder / "own.yaml").write_text(yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("look_up", "message"),
    [
        (None, "needs its `look_up` table"),
        ("index\tname\n3\tA\n", "1 values of the label image are not in the look-up table"),
        ("number\tname\n3\tA\n7\tB\n", "needs columns `index` and `name`"),
        ("index\tname\n3\tA\n7\tA\n", "1 labels stand twice"),
    ],
)
def test_an_atlas_that_does_not_say_what_is_what(tmp_path: Path, look_up: str | None, message: str) -> None:
    own(tmp_path, look_up)
    with pytest.raises(SpecError, match=message):
        open_atlas("own.yaml", folder=tmp_path)


def test_a_grid_that_cuts_a_region_counts_against_coverage(tmp_path: Path) -> None:
    own(tmp_path, "index\tname\n3\tA\n7\tB\n")
    opened = open_atlas("own.yaml", folder=tmp_path)
    cut = AFFINE.copy()
    cut[1, 3] += 4 * 6  # the grid begins in the middle of both blocks
    regions = voxels_on(opened, SHAPE, affine=cut)
    coverage = regional_effects(np.ones(SHAPE), np.ones(SHAPE), regions=regions, min_coverage=0.1)[2]
    np.testing.assert_allclose(coverage, 0.5)
