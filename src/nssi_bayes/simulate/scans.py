"""Who was scanned, how much they moved, and what their regions did."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.atlases import Atlas
from nssi_bayes.simulate.parameters import homotopic_pairs, networks_of
from nssi_bayes.simulate.people import Z, further_diagnoses

__all__ = ["DISPLACEMENT", "draw_scans"]

DISPLACEMENT: Final = "displacement"
VOLUME: Final = "volume"
_VOLUMES: Final = 120


def draw_scans(
    rng: np.random.Generator, truth: xr.Dataset, *, people: xr.Dataset, atlas: Atlas,
    published: dict[str, Any],
) -> xr.Dataset:  # fmt: skip
    """Draw scans of a part of the cohort.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where scans come from.
    truth : xarray.Dataset
        Parameters of `draw_parameters`.
    people : xarray.Dataset
        From `draw_people`.
    atlas : Atlas
        The regions.
    published : dict
        Constants by name.

    Returns
    -------
    xarray.Dataset
        Of the scanned `participant`: framewise ``displacement`` (`participant`, `volume`) in mm
        and its mean ``motion``; ``activation_latent`` in sd of a region; ``activation`` with
        ``activation_se`` in the raw unit of the maps (`participant`, `roi`).
    """
    weight = _slope(people, published["scan_chance"])
    count = round(published["scanned"] * people.sizes[n.PARTICIPANT])
    # the largest of weight + Gumbel noise: sampling without replacement by weight
    order = np.argsort(weight + rng.gumbel(size=len(weight)), kind="stable")
    scanned = people.isel({n.PARTICIPANT: np.sort(order[len(order) - count :])})
    displacement = _displacement(rng, scanned, published)
    motion = np.nanmean(displacement, axis=1)
    latent = _latent(rng, truth, scanned, motion, atlas=atlas)
    shape = latent.shape
    spread = published["scan_error_spread"]
    error = truth["scan_error"].item() * np.exp(
        spread * rng.standard_normal((shape[0], 1)) + 0.5 * spread * rng.standard_normal(shape)
    )
    observed = latent + error * rng.standard_normal(shape)
    scale, mean = truth["roi_scale"].item(), truth["roi_mean"].to_numpy()
    both = (n.PARTICIPANT, n.ROI)
    raw = {"units": "per cent signal change"}
    return xr.Dataset(
        {
            DISPLACEMENT: ((n.PARTICIPANT, VOLUME), displacement, {"units": "mm"}),
            n.MOTION: (n.PARTICIPANT, motion, {"units": "mm"}),
            "activation_latent": (both, latent, {"units": "sd of a region"}),
            n.ACTIVATION: (both, mean + scale * observed, raw),
            n.ACTIVATION_SE: (both, scale * error, raw),
        },
        coords={n.PARTICIPANT: scanned[n.PARTICIPANT], n.ROI: truth[n.ROI]},
    )


def _slope(people: xr.Dataset, by: dict[str, float]) -> np.ndarray:
    """Return the sum of effects of age and severity, per sd of the cohort, (`participant`,)."""
    age = people[Z].sel({n.COVARIATE: "age"}).to_numpy()
    severity = people["severity"].to_numpy()
    return by["age"] * age + by["severity"] * (severity - severity.mean()) / severity.std()


def _displacement(rng: np.random.Generator, scanned: xr.Dataset, published: dict[str, Any]) -> np.ndarray:
    """Draw framewise displacement in mm; the first volume has none, (`participant`, `volume`)."""
    people = scanned.sizes[n.PARTICIPANT]
    level = np.log(published["motion_mean"]) + _slope(scanned, published["motion_slope"])
    mean = np.exp(level + published["motion_spread"] * rng.standard_normal(people))
    series = np.round(mean[:, None] * rng.gamma(2.0, 0.5, size=(people, _VOLUMES)), 4)
    series[:, 0] = np.nan
    return series


def _latent(
    rng: np.random.Generator, truth: xr.Dataset, scanned: xr.Dataset, motion: np.ndarray, *, atlas: Atlas
) -> np.ndarray:
    """Return m c + D x + (L + sum c L_k) eta + confounds + site + residuals, (`participant`, `roi`)."""
    c = scanned[n.DIAGNOSIS].to_numpy().astype(float)
    value = {name: truth[name].to_numpy() for name in truth.data_vars}
    people, regions = len(c), truth.sizes[n.ROI]
    loading = value["L"] + np.einsum("ik,krf->irf", c, value["L_k"])
    confound = np.column_stack([(motion - motion.mean()) / motion.std(), scanned[Z].to_numpy()])
    latent = c @ value["m"] + further_diagnoses(scanned[n.DIAGNOSIS])[:, None] * value["m_burden"]
    latent += scanned["x"].to_numpy() @ value["D"].T
    latent += np.einsum("irf,if->ir", loading, scanned["eta"].to_numpy()) + confound @ value["roi_confound"].T
    latent += truth["roi_site"].sel({n.SITE: scanned[n.SITE_OF].to_numpy()}).to_numpy()
    networks, network = networks_of(atlas)
    latent += value["person_residual"] * rng.standard_normal((people, 1))
    own = value["network_residual"] * rng.standard_normal((people, len(networks)))
    latent += own[:, network]
    for left, right in homotopic_pairs(atlas):
        latent[:, [left, right]] += value["homotopic_residual"] * rng.standard_normal((people, 1))
    return np.asarray(latent + value["roi_residual"] * rng.standard_normal((people, regions)))
