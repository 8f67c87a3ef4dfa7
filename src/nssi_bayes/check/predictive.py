"""Posterior predictive checks of what matters; they inform, they do not certify."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.check.gate import CheckResult

__all__ = ["check"]

_REPLICATIONS: Final = 200
_FEWEST_TOGETHER: Final = 20
"""People with both indicators that a correlation needs."""

type Array = np.ndarray[Any, Any]


def check(theta: dict[str, Array], design: Design, rng: np.random.Generator) -> list[CheckResult]:
    """Compare the data with data that the model draws for new people of the same design.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter.
    design : Design
        The data.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    list of CheckResult
        Two-sided predictive probabilities, ``passed`` None.
    """
    size = len(next(iter(theta.values())))
    chosen = rng.choice(size, min(_REPLICATIONS, size), replace=False)
    replicated = [_statistics(generate({k: v[s] for k, v in theta.items()}, design, rng)) for s in chosen]
    observed = _statistics(design)
    found = []
    for name, (value, text) in observed.items():
        draws = np.array([r[name][0] for r in replicated])
        probability = float(2 * min((draws >= value).mean(), (draws <= value).mean()))
        low, high = np.quantile(draws, [0.05, 0.95])
        verdict = f"{text}: {value:.3f}, the model's 90 % is {low:.3f} to {high:.3f}"
        found.append(CheckResult(name, None, min(probability, 1.0), None, verdict))
    return found


def _statistics(design: Design) -> dict[str, tuple[float, str]]:
    found: dict[str, tuple[float, str]] = {}
    if design.coords[n.INDICATOR]:
        response = np.where(design.response == design.missing_response, np.nan, design.response)
        score = response / (design.categories - 1)
        floor = float((score == 0).sum() / np.isfinite(score).sum())
        found["item_floor"] = (floor, "share of lowest responses")
        found["item_mean_sd"] = (float(np.nanstd(np.nanmean(score, axis=0))), "spread of indicator means")
        found["item_correlation"] = (_mean_correlation(score), "mean correlation of indicators")
    if design.score_seen.any():
        score = np.where(design.score_seen, design.score, np.nan)
        found["score_correlation"] = (_mean_correlation(score), "mean correlation of continuous indicators")
        found["score_sd"] = (float(np.nanstd(score)), "spread of continuous indicators")
    if len(design.scanned):
        activation = np.where(design.activation_seen, design.activation, np.nan)
        found["roi_correlation"] = (_mean_correlation(activation), "mean correlation of regions")
        found["roi_sd"] = (float(np.nanstd(activation)), "spread of activation")
    if len(design.connected):
        edges = np.where(design.connectivity_seen, design.connectivity, np.nan)
        found["edge_correlation"] = (_mean_correlation(edges), "mean correlation of edges")
        found["edge_sd"] = (float(np.nanstd(edges)), "spread of edges")
    if design.outcome_seen.any():
        found["outcome_sd"] = (float(design.outcome[design.outcome_seen].std()), "spread of the outcome")
    return found


def _mean_correlation(values: Array) -> float:
    """Mean over pairs of columns, over the people who have both."""
    seen = np.isfinite(values).astype(float)
    count = seen.T @ seen
    filled = np.nan_to_num(values)
    mean = filled.T @ seen / np.maximum(count, 1)
    mean_square = (filled**2).T @ seen / np.maximum(count, 1)
    covariance = filled.T @ filled / np.maximum(count, 1) - mean * mean.T
    variance = mean_square - mean**2
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = covariance / np.sqrt(variance * variance.T)
    usable = np.isfinite(correlation) & (count >= _FEWEST_TOGETHER) & ~np.eye(len(count), dtype=bool)
    return float(correlation[usable].mean()) if usable.any() else 0.0
