"""Items whose meaning differs by disorder, on the logit and on the response scale; spread by disorder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import xarray as xr
from scipy.special import expit

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design

__all__ = ["MODERATE", "item_bias", "spread"]

MODERATE: Final = 1 / 2.35
"""Bias that is more than negligible, logits: one delta unit of ETS (Zwick 2012, ETS RR-12-08)."""

type Array = np.ndarray[Any, Any]
type Row = dict[str, Any]
type Summarise = Callable[[Array], Row]


def item_bias(posterior: xr.Dataset, design: Design, *, signed: Summarise, interval: Summarise) -> list[Row]:
    """Summarise the bias of every indicator and disorder.

    Parameters
    ----------
    posterior : xarray.Dataset
        Draws along ``sample``.
    design : Design
        Which indicator belongs to which function.
    signed, interval : callable
        Summaries of the draws of one quantity, with and without the probability of a sign.

    Returns
    -------
    list of dict
        Bias in logits (positive: endorsed more at equal functions), the probability that it is more
        than `MODERATE`, and under ``response`` the difference in expected score of an average person
        who has the diagnosis, as a share of the indicator's range. Where loadings differ, too, under
        ``loading`` by which factor the indicator's loading is larger.
    """
    if "delta" not in posterior:
        return []
    delta = posterior["delta"].transpose("sample", n.BIASED_INDICATOR, n.DISORDER).to_numpy()
    tilt = None
    if "delta_loading" in posterior:
        tilt = posterior["delta_loading"].transpose("sample", n.BIASED_INDICATOR, n.DISORDER).to_numpy()
    disorders = posterior[n.DISORDER].to_numpy()
    functions, found = design.coords[n.FUNCTION], []
    for row, j in enumerate(np.asarray(design.biased)):
        label = design.coords[n.INDICATOR][j]
        kappa = _thresholds(posterior, int(design.categories[j]), label)
        unbiased = expit(-kappa).mean(axis=1)
        for k, disorder in enumerate(disorders):
            draws = delta[:, row, k]
            moved = expit(draws[:, None] - kappa).mean(axis=1) - unbiased
            found.append(
                {
                    "indicator": label,
                    "function": functions[design.function_of[j]],
                    "disorder": str(disorder),
                    **signed(draws),
                    "p_moderate": float((np.abs(draws) > MODERATE).mean()),
                    "response": interval(moved),
                    **({} if tilt is None else {"loading": interval(np.exp(tilt[:, row, k]))}),
                }
            )
    return found


def _thresholds(posterior: xr.Dataset, count: int, label: str) -> Array:
    """Return kappa of one indicator [sample, threshold]."""
    group, category = f"{n.INDICATOR}_{count}", f"{n.CATEGORY}_{count}"
    shares = posterior[f"category_probability_{count}"].sel({group: label})
    probability = shares.transpose("sample", category).to_numpy()
    below = np.cumsum(probability, axis=1)[:, :-1]
    above = np.cumsum(probability[:, ::-1], axis=1)[:, ::-1][:, 1:]
    return np.log(below) - np.log(above)


def spread(posterior: xr.Dataset, *, signed: Summarise) -> Iterator[Row]:
    """Yield the log ratio of each disorder's residual sd to the average one's, by function."""
    if "h" not in posterior:
        return
    values = posterior["h"].transpose("sample", n.DISORDER, n.FUNCTION)
    for k, disorder in enumerate(posterior[n.DISORDER].to_numpy()):
        for f, function in enumerate(posterior[n.FUNCTION].to_numpy()):
            yield {"disorder": str(disorder), "function": str(function), **signed(values.to_numpy()[:, k, f])}
