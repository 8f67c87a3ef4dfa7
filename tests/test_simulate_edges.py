"""The edges of the synthetic cohort: a possible correlation matrix, and the story of its parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.atlases import read_atlas
from nssi_bayes.simulate.edges import CORRELATION, draw_edge_parameters, draw_edges
from nssi_bayes.simulate.parameters import draw_parameters, read_constants
from nssi_bayes.simulate.people import draw_people
from nssi_bayes.simulate.rest import draw_rest_motion

ATLAS = read_atlas("nssi_spheres")
PUBLISHED: dict[str, Any] = {name: constant.value for name, constant in read_constants().items()}


@pytest.fixture(scope="module")
def truth() -> xr.Dataset:
    rng = np.random.default_rng(1)
    return draw_edge_parameters(
        rng, draw_parameters(rng, PUBLISHED, atlas=ATLAS), atlas=ATLAS, published=PUBLISHED
    )


@pytest.fixture(scope="module")
def people(truth: xr.Dataset) -> xr.Dataset:
    return draw_people(np.random.default_rng(2), truth, participants=2000, published=PUBLISHED)


@pytest.fixture(scope="module")
def edges(truth: xr.Dataset, people: xr.Dataset) -> xr.Dataset:
    motion = np.random.default_rng(3).gamma(3, 0.06, people.sizes[n.PARTICIPANT])
    return draw_edges(np.random.default_rng(4), truth, people=people, motion=motion, atlas=ATLAS,
                      published=PUBLISHED)  # fmt: skip


def test_every_person_has_a_possible_correlation_matrix(edges: xr.Dataset) -> None:
    matrices = edges[CORRELATION].to_numpy()
    assert np.linalg.eigvalsh(matrices).min() > 0
    np.testing.assert_allclose(np.einsum("iaa->ia", matrices), 1)
    a, b = edges.indexes[n.EDGE].str.split(n.EDGE_SEPARATOR, expand=True).to_frame(index=False).to_numpy().T
    at = [ATLAS.labels.index(roi) for roi in a], [ATLAS.labels.index(roi) for roi in b]
    np.testing.assert_allclose(np.tanh(edges[n.CONNECTIVITY]), matrices[:, at[0], at[1]])


def test_the_matrix_holds_what_the_story_says(truth: xr.Dataset, edges: xr.Dataset) -> None:
    told = (truth["edge_mean"] + truth["edge_scale"] * edges["connectivity_latent"]).transpose(
        n.PARTICIPANT, n.EDGE
    )
    assert float(abs(told - edges[n.CONNECTIVITY]).mean()) < 0.01
    assert np.corrcoef(told.to_numpy().ravel(), edges[n.CONNECTIVITY].to_numpy().ravel())[0, 1] > 0.99


def test_loadings_come_back_from_a_regression(
    truth: xr.Dataset, people: xr.Dataset, edges: xr.Dataset
) -> None:
    """Given everything else of the story, the slope on the functions is the loading."""
    c = people[n.DIAGNOSIS].to_numpy().astype(float)
    site = people[n.SITE_OF].to_numpy()
    design = np.column_stack([people["eta"], people["x"], people["z"], c, c.sum(axis=1) > 1,
                              site == "B", site == "C", np.ones(len(c))])  # fmt: skip
    found = np.linalg.lstsq(design, edges["connectivity_latent"].to_numpy(), rcond=None)[0][:3].T
    mean = truth["L_edge"] + (truth["L_edge_k"] * people[n.DIAGNOSIS].mean(n.PARTICIPANT)).sum(n.DISORDER)
    assert np.abs(found - mean.transpose(n.EDGE, n.FUNCTION).to_numpy()).max() < 0.15
    assert np.corrcoef(found.ravel(), mean.transpose(n.EDGE, n.FUNCTION).to_numpy().ravel())[0, 1] > 0.9


def test_edges_of_a_pair_of_networks_are_alike(truth: xr.Dataset) -> None:
    loading = truth["L_edge"].to_pandas()
    pair = truth[n.EDGE_NETWORK].to_pandas()
    within = loading.groupby(pair).transform(lambda column: column - column.mean()).to_numpy()
    assert within.std() < 0.75 * loading.to_numpy().std()


def test_motion_at_rest_follows_motion_in_the_task() -> None:
    task = np.random.default_rng(5).gamma(3, 0.06, 300)
    _, displacement = draw_rest_motion(np.random.default_rng(6), task, published=PUBLISHED)
    mean = np.nanmean(displacement, axis=1)
    assert np.isnan(displacement[:, 0]).all()
    assert np.corrcoef(np.log(mean), np.log(task))[0, 1] > 0.85
    assert 0.8 < np.median(mean / task) < 1.3
