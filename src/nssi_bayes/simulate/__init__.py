"""A synthetic cohort, written as a BIDS folder: the demo, with the truth kept beside it.

Values come from the joint model's own generative story: eta = A c + burden + (B + sum c B_k) x +
G z + site + zeta, factors seen only through fallible questionnaires, regional activation with
correlated residuals and first-level errors, edges at rest, severity from functions, factors and
diagnoses. Every constant stands in ``published.yaml`` with its unit and its source.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.atlases import read_atlas
from nssi_bayes.errors import SpecError
from nssi_bayes.instruments import read_instrument
from nssi_bayes.simulate.edges import CORRELATION, draw_edge_parameters, draw_edges
from nssi_bayes.simulate.folder import NAME, write_description, write_participants, write_phenotype
from nssi_bayes.simulate.images import write_scans
from nssi_bayes.simulate.outcomes import write_outcomes, write_treatment
from nssi_bayes.simulate.parameters import draw_parameters, read_constants
from nssi_bayes.simulate.people import Z, draw_people
from nssi_bayes.simulate.responses import draw_answers
from nssi_bayes.simulate.rest import draw_rest_motion, write_rest
from nssi_bayes.simulate.scans import DISPLACEMENT, draw_scans
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, atomic_folder, seed_sequence, write_dataset

__all__ = ["run"]

log = logging.getLogger(__name__)

_ATLAS: Final = "nssi_spheres"
_INSTRUMENTS: Final = ("isas", "ctq_sf", "ecr_r")


def run(layout: Layout, params: Params) -> None:
    """Write the synthetic cohorts of ``synthetic_cohorts``: ``bids/`` and ``truth.nc`` of each.

    Equal seeds and sizes give equal bytes.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        The run's parameters.

    Raises
    ------
    SpecError
        If the run has no synthetic cohort.
    """
    if not params.synthetic_cohorts:
        raise SpecError(
            "there is no synthetic cohort to simulate", where=f"{layout.params}: synthetic_cohorts",
            cure="write synthetic_cohorts: [demo], or leave `simulate` out for a real study",
        )  # fmt: skip
    for study in params.synthetic_cohorts:
        _write(layout, params, study)


def _write(layout: Layout, params: Params, study: str) -> None:
    published: dict[str, Any] = {name: constant.value for name, constant in read_constants().items()}
    atlas = read_atlas(_ATLAS)
    streams = [
        np.random.default_rng(seed) for seed in seed_sequence(params.seed, f"simulate {study}").spawn(9)
    ]
    parameters, people_rng, answers_rng, scans_rng, missing_rng, noise_rng, *rest_rng = streams
    truth = draw_parameters(parameters, published, atlas=atlas)
    truth = draw_edge_parameters(rest_rng[0], truth, atlas=atlas, published=published)
    people = draw_people(people_rng, truth, participants=params.simulate.participants, published=published)
    scans = draw_scans(scans_rng, truth, people=people, atlas=atlas, published=published)
    moved = draw_rest_motion(rest_rng[1], scans[n.MOTION].to_numpy(), published=published)
    edges = draw_edges(
        rest_rng[1], truth, people=people.sel({n.PARTICIPANT: scans[n.PARTICIPANT]}),
        motion=np.nanmean(moved[1], axis=1), atlas=atlas, published=published,
    )  # fmt: skip
    items, reliability = [], []
    with atomic_folder(layout.bids(study)) as folder:
        write_description(folder)
        write_participants(folder, people, rng=missing_rng, published=published)
        for name in _INSTRUMENTS:
            instrument = read_instrument(name)
            answers = draw_answers(answers_rng, instrument, latent=people, published=published)
            write_phenotype(folder, instrument, raw=answers.raw, rng=missing_rng, published=published)
            items.append(answers.items)
            reliability.append(answers.reliability)
        own = np.random.default_rng(seed_sequence(params.seed, f"simulate {study} outcomes"))
        write_outcomes(folder, people, rng=own, published=published)
        given = np.random.default_rng(seed_sequence(params.seed, f"simulate {study} treatment"))
        write_treatment(folder, people, rng=given, published=published)
        write_scans(noise_rng, folder, scans=scans, atlas=atlas, published=published)
        write_rest(rest_rng[2], folder, edges=edges, motion=moved, atlas=atlas, published=published)
    truth[n.FACTOR_RELIABILITY] = xr.concat([r for r in reliability if r.size], dim=n.FACTOR)
    kept = _truth(truth, people, scans, items, edges=edges)
    kept.attrs = {"study": study, "synthetic": 1, "title": NAME, "seed": params.seed}
    write_dataset(layout.truth(study), kept)
    log.info("%d invented people, %d scanned", people.sizes[n.PARTICIPANT], scans.sizes[n.PARTICIPANT])


def _truth(
    truth: xr.Dataset, people: xr.Dataset, scans: xr.Dataset, items: list[xr.Dataset], *, edges: xr.Dataset
) -> xr.Dataset:
    """Put parameters, people, items and scans into one data set; NaN for who was not scanned."""
    regional = scans.drop_vars(DISPLACEMENT).reindex({n.PARTICIPANT: people[n.PARTICIPANT]})
    joined = edges.drop_vars([CORRELATION, n.ROI]).reindex({n.PARTICIPANT: people[n.PARTICIPANT]})
    measured = xr.concat(items, dim=n.ITEM, join="outer")
    return xr.merge(
        [truth, people.rename({Z: n.COVARIATE_VALUE}), regional, joined, measured],
        join="exact",
        compat="equals",
    )
