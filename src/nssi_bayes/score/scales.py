"""Scores of scales from oriented items, and their reliability."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from nssi_bayes.instruments import Instrument

__all__ = ["composite_score", "cronbach_alpha", "scale_scores"]


def scale_scores(form: Instrument, category: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    """Score every scale of an instrument, in the unit of its raw responses.

    Parameters
    ----------
    form : Instrument
        The form.
    category : ndarray
        (`participant`, `item`) oriented categories from 0 of all items; NaN is missing.

    Returns
    -------
    dict of str to ndarray
        (`participant`,) scores. A subscale with fewer answers than the form asks for is missing;
        otherwise unanswered items count as the mean of the answered ones. A composite is missing
        if one of its parts is.
    """
    scores = {}
    for scale, items in form.subscales.items():
        low = np.array([form.range_of(i)[0] for i in items])
        raw = category[:, [i - 1 for i in items]] * form.step + low
        seen = np.isfinite(raw)
        answered = seen.sum(axis=1)
        with np.errstate(invalid="ignore"):
            mean = np.where(seen, raw, 0.0).sum(axis=1) / answered
        mean[answered < form.min_answered * len(items)] = np.nan
        scores[scale] = mean * len(items) if form.score == "sum" else mean
    for name in form.composites:
        scores[name] = composite_score(form, name, scores)
    return scores


def composite_score(
    form: Instrument, name: str, scores: Mapping[str, npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """Score a composite from its parts.

    Parameters
    ----------
    form : Instrument
        The form.
    name : str
        One of its composites.
    scores : mapping of str to ndarray
        (`participant`,) scores of its subscales.

    Returns
    -------
    ndarray
        (`participant`,) scores; missing where one of the parts is.
    """
    rule = form.composites[name]
    parts = np.stack([*(scores[part] for part in rule.of), *(-scores[part] for part in rule.minus)])
    return parts.sum(axis=0) if rule.how == "sum" else parts.mean(axis=0)


def cronbach_alpha(category: npt.NDArray[np.float64]) -> float:
    """Return coefficient alpha from pairwise complete covariances.

    Parameters
    ----------
    category : ndarray
        (`participant`, `item`) oriented categories of one scale; NaN is missing.

    Returns
    -------
    float
        Alpha, a lower bound of the reliability of the sum if the items measure one thing
        (proportion of variance); NaN for a single item or where nothing varies.

    References
    ----------
    Cronbach, L. J. (1951). Psychometrika 16, 297-334. doi:10.1007/BF02310555
    """
    items = category.shape[1]
    covariance = pd.DataFrame(category).cov(min_periods=2).to_numpy()
    total = covariance.sum()
    if items < 2 or not np.isfinite(total) or total <= 0:
        return float("nan")
    return float(items / (items - 1) * (1 - np.trace(covariance) / total))
