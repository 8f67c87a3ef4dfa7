"""Regional associations by disorder, summarised from the posterior: too many for ``estimates.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.store import read_dataset

__all__ = ["region_contrasts"]

_LOADING: Final = "L_disorder"
_PLACE: Final = ("network", "x", "y", "z")


def region_contrasts(path: Path, estimates: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return each disorder's regional association with each function, less the mean of the disorders.

    Parameters
    ----------
    path : pathlib.Path
        ``posterior.nc`` of a model whose loadings vary by disorder.
    estimates : mapping
        Of the same model: where its regions are, and the width of intervals.

    Returns
    -------
    list of dict
        ``function``, ``disorder``, ``roi``, ``network``, ``x``, ``y``, ``z``, ``mean``, ``low``, ``high`` and
        ``p_positive``; sd of activation per residual sd of the function.

    Raises
    ------
    ArtefactError
        If the posterior is missing or has no such loadings.
    """
    draws = read_dataset(path, group="posterior", only=[_LOADING])[_LOADING]
    draws = draws.transpose(n.CHAIN, n.DRAW, n.FUNCTION, n.DISORDER, n.ROI)
    values = draws.to_numpy().reshape(-1, *draws.shape[2:])
    values = values - values.mean(axis=2, keepdims=True)  # zero-sum already, but for the last digits
    content = estimates["interval"]
    low, high = np.quantile(values, [(1 - content) / 2, (1 + content) / 2], axis=0)
    mean, positive = values.mean(axis=0), (values > 0).mean(axis=0)
    place = {r["roi"]: {key: r[key] for key in _PLACE} for r in estimates["rois"]}
    functions, disorders, rois = (draws[d].to_numpy() for d in (n.FUNCTION, n.DISORDER, n.ROI))
    return [
        {"function": str(functions[f]), "disorder": str(disorders[k]), "roi": str(rois[r]),
         **place[str(rois[r])], "mean": float(mean[f, k, r]), "low": float(low[f, k, r]),
         "high": float(high[f, k, r]), "p_positive": float(positive[f, k, r])}
        for f, k, r in np.ndindex(*mean.shape)
    ]  # fmt: skip
