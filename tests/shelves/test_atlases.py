"""Every atlas on the shelf keeps the shelf's contract."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nssi_bayes import names as n
from nssi_bayes.atlases import Atlas, known_atlases, read_atlas
from nssi_bayes.errors import SpecError
from nssi_bayes.spec import parse

SPHERES = [name for name in known_atlases() if read_atlas(name).kind == "spheres"]


@pytest.mark.parametrize("name", known_atlases())
class TestEveryAtlas:
    def test_name_is_the_file_name(self, name: str) -> None:
        assert read_atlas(name).name == name

    def test_cites_something(self, name: str) -> None:
        assert all("10." in line for line in read_atlas(name).citation)

    def test_an_image_has_a_source_and_a_pattern_for_labels(self, name: str) -> None:
        atlas = read_atlas(name)
        assert (atlas.image is None) == (atlas.kind == "spheres")
        if atlas.image is not None:
            assert re.compile(atlas.image.label).groupindex.keys() <= {"hemisphere", "network"}


@pytest.mark.parametrize("name", SPHERES)
class TestEveryAtlasOfSpheres:
    def test_spheres_do_not_overlap(self, name: str) -> None:
        atlas = read_atlas(name)
        gap = np.linalg.norm(atlas.centres[:, None] - atlas.centres[None], axis=-1)
        np.fill_diagonal(gap, np.inf)
        assert gap.min() > 2 * atlas.radius_mm

    def test_hemisphere_fits_the_sign_of_x(self, name: str) -> None:
        for region in read_atlas(name).regions:
            if region.hemisphere == "L":
                assert region.x < 0
            elif region.hemisphere == "R":
                assert region.x > 0
            else:
                assert abs(region.x) <= 6

    def test_left_and_right_come_in_pairs_of_one_network(self, name: str) -> None:
        network = {region.roi: region.network for region in read_atlas(name).regions}
        for roi in network:
            if roi.endswith("_L"):
                assert network[roi] == network[f"{roi[:-2]}_R"]

    def test_regions_lie_in_the_brain(self, name: str) -> None:
        from nilearn.datasets import load_mni152_brain_mask

        mask = load_mni152_brain_mask(resolution=2)
        atlas = read_atlas(name)
        centre = np.c_[atlas.centres, np.ones(len(atlas.regions))] @ np.linalg.inv(mask.affine).T
        index = tuple(np.round(centre[:, :3]).astype(int).T)
        assert np.asarray(mask.dataobj)[index].all()

    def test_coords_are_those_of_the_cohort(self, name: str) -> None:
        coords = read_atlas(name).coords()
        assert set(coords) == {n.ROI, n.ROI_NETWORK, n.ROI_HEMISPHERE, n.ROI_X, n.ROI_Y, n.ROI_Z,
                               n.ROI_RADIUS}  # fmt: skip


def test_the_spheres_are_the_24_of_the_study() -> None:
    atlas = read_atlas("nssi_spheres")
    assert len(atlas.regions) == 24
    assert atlas.radius_mm == 6
    networks = [region.network for region in atlas.regions]
    assert {k: networks.count(k) for k in ("limbic", "salience", "emotion_regulation")} == {
        "limbic": 5, "salience": 3, "emotion_regulation": 3,
    }  # fmt: skip


def test_unknown_atlas_is_suggested() -> None:
    with pytest.raises(SpecError, match="Did you mean 'nssi_spheres'"):
        read_atlas("nssi_sphere")


def test_a_label_twice_is_refused() -> None:
    atlas = read_atlas("nssi_spheres").model_dump()
    atlas["regions"] = (*atlas["regions"], atlas["regions"][0])
    with pytest.raises(SpecError, match="stand twice: AMY_L"):
        parse(Atlas, atlas, where="atlas")
