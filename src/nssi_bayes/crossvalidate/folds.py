"""Who is left out together: folds with like shares of every diagnostic pattern and site, or whole groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from nssi_bayes import names as n

__all__ = ["by_disorder", "by_site", "overlap", "stratified"]

type Array = np.ndarray[Any, Any]


def stratified(cohort: xr.Dataset, folds: int, rng: np.random.Generator) -> list[Array]:
    """Split people into folds, each with its share of every diagnostic pattern and site.

    Parameters
    ----------
    cohort : xarray.Dataset
        Satisfies `schema`.
    folds : int
        How many; with fewer people, one person a fold.
    rng : numpy.random.Generator
        Order within a stratum.

    Returns
    -------
    list of numpy.ndarray
        Positions of the people of each fold; everybody stands in one.
    """
    pattern = cohort[n.DIAGNOSIS].transpose(n.PARTICIPANT, n.DISORDER).to_numpy().astype(bool)
    stratum = np.array(
        [
            f"{''.join('01'[int(has)] for has in row)} {site}"
            for row, site in zip(pattern, cohort[n.SITE_OF].to_numpy().astype(str), strict=True)
        ]
    )
    order = rng.permutation(len(stratum))
    order = order[np.argsort(stratum[order], kind="stable")]
    # cards are dealt through all strata, so that folds differ by one person at most
    return [np.sort(order[k::folds]) for k in range(min(folds, len(order)))]


def by_site(cohort: xr.Dataset) -> dict[str, Array]:
    """Return the positions of the people of each site, by its label."""
    site = cohort[n.SITE_OF].to_numpy().astype(str)
    return {label: np.flatnonzero(site == label) for label in sorted(set(site.tolist()))}


def by_disorder(cohort: xr.Dataset) -> dict[str, Array]:
    """Return the positions of everybody who has a disorder, whatever else they have, by its label."""
    has = cohort[n.DIAGNOSIS].transpose(n.PARTICIPANT, n.DISORDER).to_numpy().astype(bool)
    return {str(label): np.flatnonzero(has[:, k]) for k, label in enumerate(cohort[n.DISORDER].to_numpy())}


def overlap(groups: Sequence[Array]) -> bool:
    """Return whether somebody stands in several of the groups, as with several disorders."""
    return bool(groups) and len(np.unique(np.concatenate(groups))) < sum(map(len, groups))
