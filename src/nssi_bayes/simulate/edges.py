"""Connectivity at rest: what each person's edges are, and the covariance that has them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.atlases import Atlas
from nssi_bayes.simulate.parameters import effect, homotopic_pairs, put, sized
from nssi_bayes.simulate.people import Z, further_diagnoses

__all__ = ["CORRELATION", "draw_edge_parameters", "draw_edges"]

CORRELATION: Final = "correlation"  # of regions, of one person
_SMALLEST: Final = 0.05  # eigenvalue of a correlation matrix


def _ends(atlas: Atlas) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the two regions of each default edge."""
    at = {label: r for r, label in enumerate(atlas.labels)}
    pairs = [sorted(at[end] for end in edge.split(n.EDGE_SEPARATOR)) for edge in atlas.edges]
    return np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])


def _coords(atlas: Atlas) -> dict[str, Any]:
    """Return everything that is said of the default edges, and the pairs of their networks."""
    a, b = _ends(atlas)
    region = np.array([r.network for r in atlas.regions])
    pair = np.array([n.EDGE_SEPARATOR.join(sorted(p)) for p in zip(region[a], region[b], strict=True)])
    pairs = np.unique(pair)
    places = {
        c: (n.EDGE, atlas.centres[end, axis])
        for end, names in ((a, n.EDGE_COORDS[3:6]), (b, n.EDGE_COORDS[6:]))
        for axis, c in enumerate(names)
    }
    labels = np.array(atlas.labels, dtype=object)
    edges = [f"{labels[i]}{n.EDGE_SEPARATOR}{labels[j]}" for i, j in zip(a, b, strict=True)]
    return {n.EDGE: np.array(edges, dtype=object), n.NETWORK_PAIR: pairs.astype(object),
         n.EDGE_NETWORK: (n.EDGE, pair.astype(object)), n.EDGE_A: (n.EDGE, labels[a]),
         n.EDGE_B: (n.EDGE, labels[b]), **places}  # fmt: skip


def draw_edge_parameters(
    rng: np.random.Generator, truth: xr.Dataset, *, atlas: Atlas, published: dict[str, Any]
) -> xr.Dataset:
    """Draw every parameter of the edges.

    An edge's loading is that of its pair of networks, a part of each of its two regions, and a
    rest of its own: ``L_edge`` = ``L_pair`` + ``L_end`` of both + own. ``m_edge``, ``D_edge`` and
    ``L_edge_k`` are as ``m``, ``D`` and ``L_k`` of regions.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where directions come from.
    truth : xarray.Dataset
        From `draw_parameters`; its coords are used.
    atlas : Atlas
        The regions, with default edges.
    published : dict
        Constants by name.

    Returns
    -------
    xarray.Dataset
        `truth` with the edges' parameters and coords.
    """
    a, b = _ends(atlas)
    truth = truth.assign_coords(_coords(atlas))
    pairs = truth[n.NETWORK_PAIR].to_numpy()
    of = np.array([list(pairs).index(pair) for pair in truth[n.EDGE_NETWORK].to_numpy()])
    e, f, k = n.EDGE, n.FUNCTION, n.DISORDER
    sd = "sd of an edge"
    per = f"{sd} per residual sd of a function"
    effect(rng, truth, "m_edge", (k, e), size=published["edge_level_sd"], unit=sd)
    burden = published["edge_burden_sd"]
    effect(rng, truth, "m_edge_burden", (e,), size=burden, unit=f"{sd} per further diagnosis")
    effect(
        rng, truth, "D_edge", (e, n.FACTOR), size=published["edge_factor_sd"], unit=f"{sd} per sd of a factor"
    )
    effect(rng, truth, "L_pair", (n.NETWORK_PAIR, f), size=published["pair_loading_sd"], unit=per)
    effect(rng, truth, "L_end", (n.ROI, f), size=published["end_loading_sd"], unit=per)
    own = sized(rng, (len(a), truth.sizes[f]), size=published["edge_loading_sd"])
    both = truth["L_end"].to_numpy()[a] + truth["L_end"].to_numpy()[b]
    put(truth, "L_edge", (e, f), truth["L_pair"].to_numpy()[of] + both + own, per)
    effect(rng, truth, "L_edge_k", (k, e, f), size=published["edge_disorder_loading_sd"], unit=per)
    effect(
        rng, truth, "edge_confound", (e, n.CONFOUND), size=published["edge_confound_sd"], unit=f"{sd} per sd"
    )
    effect(rng, truth, "edge_site", (n.SITE, e), size=published["edge_site_sd"], unit=sd)
    for name in ("edge_person_residual", "edge_residual"):
        put(truth, name, (), published[name], sd)
    mean = published["edge_mean"]
    put(truth, "edge_mean", (e,), mean["edge"] + mean["spread"] * rng.standard_normal(len(a)), "Fisher z")
    put(truth, "edge_scale", (), published["edge_sd"], "Fisher z per sd of an edge")
    return truth


def draw_edges(
    rng: np.random.Generator, truth: xr.Dataset, *, people: xr.Dataset, motion: np.ndarray, atlas: Atlas,
    published: dict[str, Any],
) -> xr.Dataset:  # fmt: skip
    """Draw what the edges of the scanned people are.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where residuals come from.
    truth : xarray.Dataset
        From `draw_edge_parameters`.
    people : xarray.Dataset
        The scanned people of `draw_people`.
    motion : numpy.ndarray
        (`participant`,) mean framewise displacement at rest, mm.
    atlas : Atlas
        The regions.
    published : dict
        Constants by name.

    Returns
    -------
    xarray.Dataset
        ``connectivity_latent`` in sd of an edge and ``connectivity`` in Fisher's z (`participant`, `edge`),
        without any error of measurement, and ``correlation`` (`participant`, region, region).
        `connectivity` is that of the matrix, which has to be a possible one.
    """
    c = people[n.DIAGNOSIS].to_numpy().astype(float)
    value = {name: truth[name].to_numpy() for name in truth.data_vars}
    loading = value["L_edge"] + np.einsum("ik,kef->ief", c, value["L_edge_k"])
    confound = np.column_stack([(motion - motion.mean()) / motion.std(), people[Z].to_numpy()])
    latent = c @ value["m_edge"] + further_diagnoses(people[n.DIAGNOSIS])[:, None] * value["m_edge_burden"]
    latent += people["x"].to_numpy() @ value["D_edge"].T + confound @ value["edge_confound"].T
    latent += np.einsum("ief,if->ie", loading, people["eta"].to_numpy())
    latent += truth["edge_site"].sel({n.SITE: people[n.SITE_OF].to_numpy()}).to_numpy()
    latent += value["edge_person_residual"] * rng.standard_normal((len(c), 1))
    latent += value["edge_residual"] * rng.standard_normal(latent.shape)
    a, b = _ends(atlas)
    matrices = _possible(_base(atlas, published), value["edge_mean"] + value["edge_scale"] * latent, a, b)
    both = (n.PARTICIPANT, n.EDGE)
    return xr.Dataset(
        {
            "connectivity_latent": (both, latent, {"units": "sd of an edge"}),
            n.CONNECTIVITY: (both, np.arctanh(matrices[:, a, b]), {"units": "Fisher z"}),
            CORRELATION: ((n.PARTICIPANT, n.ROI, "roi_other"), matrices),
        },
        coords={n.PARTICIPANT: people[n.PARTICIPANT], n.EDGE: truth[n.EDGE], n.ROI: truth[n.ROI]},
    )


def _base(atlas: Atlas, published: dict[str, Any]) -> np.ndarray:
    """Return correlations of regions before any person's edges."""
    size = published["edge_base"]
    network = np.array([r.network for r in atlas.regions])
    base = np.where(network[:, None] == network, size["network"], size["other"])
    for left, right in homotopic_pairs(atlas):
        base[left, right] = base[right, left] = size["homotopic"]
    np.fill_diagonal(base, 1.0)
    return np.asarray(base)


def _possible(base: np.ndarray, z: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the correlation matrices nearest to the wanted edges (`participant`, region, region)."""
    wanted = np.repeat(base[None], len(z), axis=0)
    wanted[:, a, b] = wanted[:, b, a] = np.tanh(z)
    root, vector = np.linalg.eigh(wanted)
    fixed = (vector * np.maximum(root, _SMALLEST)[:, None, :]) @ np.swapaxes(vector, 1, 2)
    sd = np.sqrt(np.einsum("iaa->ia", fixed))
    return np.asarray(fixed / (sd[:, :, None] * sd[:, None, :]))
