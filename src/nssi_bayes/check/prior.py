"""Prior predictive: what cohorts the priors of a spec expect, before anything is fitted.

Parameters from the priors, new people with the diagnoses, sites and missing values of the study;
observed values are not looked at, so that priors can be judged by what is known and not by the data
(Gabry et al. 2019, 10.1111/rssa.12378).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

import nssi_bayes.integrate  # noqa: F401  (double precision)
from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build, fingerprint
from nssi_bayes.check.predictive import simulated
from nssi_bayes.check.statistics import Statistics
from nssi_bayes.errors import SpecError
from nssi_bayes.spec import JointSpec, Params, read_model
from nssi_bayes.store import Layout, read_dataset, seed_sequence, write_json

__all__ = ["run", "summarise"]

_LOG: Final = logging.getLogger(__name__)
_DRAWS: Final = 500
_TAILS: Final = (0.05, 0.5, 0.95)
_BOUNDS: Final[Mapping[str, tuple[str, str, float]]] = {
    "item_floor": ("share at the lowest response", "over", 0.95),
    "item_pairs": ("mean correlation of indicators", "over", 0.9),
    "score_sd": ("mean sd of a continuous indicator (data: about 1)", "over", 3.0),
    "score_pairs": ("mean correlation of continuous indicators, and with ordinal ones", "over", 0.9),
    "sum_score_sd": ("sd of a sum score, scaled to 0 to 1", "under", 0.05),
    "disorder_means": ("largest difference of a disorder, sd or share of a scale", "over", 2.0),
    "roi_sd": ("mean sd of a region (data: about 1)", "over", 3.0),
    "roi_correlation": ("mean correlation of regions", "over", 0.9),
    "edge_sd": ("mean sd of an edge (data: about 1)", "over", 3.0),
    "edge_correlation": ("mean correlation of edges", "over", 0.9),
    "outcome_sd": ("sd of the outcome (data: about 1)", "over", 3.0),
    "outcome_certain": ("largest share of one answer or category of the outcome", "over", 0.99),
    "outcome_zeros": ("share of zeros among the counts", "over", 0.99),
    "outcome_size": ("mean of log(1 + count); 6 is a count of 400", "over", 6.0),
}
"""What is shown; values beyond the bound are implausible for standardised data of any cohort."""
MOST_IMPLAUSIBLE: Final = 0.25
"""Share of implausible cohorts over which a prior is remarked on."""

type Array = np.ndarray[Any, Any]


def run(layout: Layout, params: Params, *, model: str) -> None:
    """Write and say what the priors of one spec expect.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        Study and seed.
    model : str
        ``question/name``.

    Raises
    ------
    SpecError
        If the spec cannot be understood, or is a conventional one, whose priors are Bambi's.
    """
    spec = read_model(layout, model)
    if not isinstance(spec, JointSpec):
        raise SpecError(
            "only a joint model has a prior predictive here",
            where=str(layout.spec(model)),
            cure="ask for it of a joint model",
        )
    built = build(spec, read_dataset(layout.cohort(params.study)), where=str(layout.spec(model)))
    rng = np.random.default_rng(seed_sequence(params.seed, f"prior predictive {model}"))
    found = summarise(built, rng, min_cell=params.min_cell)
    for row in found["statistics"]:
        _LOG.info("%s: %.3f (90 %% %.3f to %.3f)%s", row["about"], row["median"], row["low"], row["high"],
                  "" if row["passed"] is None else f"; {row['text']}")  # fmt: skip
    mark = fingerprint(built, spec)
    write_json(layout.numbers("prior_predictive", model), {"fingerprint": mark, **found})


def summarise(built: Built, rng: np.random.Generator, *, min_cell: int) -> dict[str, Any]:
    """Return what cohorts the priors expect.

    Parameters
    ----------
    built : Built
        The model.
    rng : numpy.random.Generator
        Source of randomness.
    min_cell : int
        A group of fewer people has no statistics of its own.

    Returns
    -------
    dict
        As ``prior_predictive.json``. ``passed`` is False where the priors put more than
        `MOST_IMPLAUSIBLE` of their cohorts beyond the bound, else None: a prior cannot be confirmed.
    """
    design = built.design
    theta = draw(built.parameters, design.coords, rng, _DRAWS)
    statistics = Statistics(design, min_cell=min_cell)
    drawn = simulated(theta, design, statistics, rng)
    rows = []
    standardised = built.spec.measurement.unit == "sd"
    for name, values in _scalars(drawn, design, standardised=standardised).items():
        about, side, bound = _BOUNDS[name]
        beyond = values > bound if side == "over" else values < bound
        low, median, high = np.quantile(values, _TAILS)
        share = float(beyond.mean())
        rows.append(
            {
                "name": name, "about": about, "low": float(low), "median": float(median),
                "high": float(high), "bound": bound, "side": side, "share_beyond": share,
                "passed": False if share > MOST_IMPLAUSIBLE else None,
                "text": f"{share:.0%} of the cohorts are {side} {bound:g}",
            }
        )  # fmt: skip
    shares = _histograms(drawn, design, statistics.disorders)
    return {"draws": _DRAWS, "most_implausible": MOST_IMPLAUSIBLE, "statistics": rows, "histograms": shares}


def _histograms(drawn: dict[str, Array], design: Design, disorders: list[str]) -> list[dict[str, Any]]:
    """Return what share of each response the priors expect, by indicator: of everybody, and by disorder."""
    found: list[dict[str, Any]] = []
    if not design.coords[n.INDICATOR]:
        return found
    ends = np.cumsum(design.categories)
    everybody = [("item_histogram", 0, "")]
    kinds = everybody + [
        ("item_histogram_by_disorder", k * int(ends[-1]), d) for k, d in enumerate(disorders)
    ]
    for label, first, last in zip(design.coords[n.INDICATOR], ends - design.categories, ends, strict=True):
        for name, start, disorder in kinds:
            low, median, high = np.quantile(
                drawn[name][:, start + first : start + last], _TAILS, axis=0
            ).tolist()
            found.append({"indicator": str(label), "disorder": disorder or None, "low": low,
                          "median": median, "high": high})  # fmt: skip
    return found


def _sd(moments: Array) -> Array:
    """Return the sd [draw, column] out of mean, sd, skewness and kurtosis of each."""
    return moments.reshape(len(moments), -1, 4)[:, :, 1]


def _scalars(drawn: dict[str, Array], design: Design, *, standardised: bool) -> dict[str, Array]:
    """Return one number a cohort for each statistic that there is and, in the unit it has, a bound for."""
    items = len(design.categories)
    found = {}
    if items:
        measured = len(np.unique(design.function_of))  # their sum scores stand first
        found["item_floor"] = drawn["item_floor"][:, :items].mean(axis=1)
        found["item_pairs"] = np.nanmean(np.nan_to_num(drawn["item_pairs"]), axis=1)
        found["sum_score_sd"] = _sd(drawn["sum_score"])[:, :measured].mean(axis=1)
    if "score_moments" in drawn:
        found["score_pairs"] = np.nanmean(np.nan_to_num(drawn["score_pairs"]), axis=1)
    if "score_moments" in drawn and standardised:
        found["score_sd"] = _sd(drawn["score_moments"]).mean(axis=1)
    if "disorder_means" in drawn and (standardised or "score_moments" not in drawn):
        found["disorder_means"] = np.nanmax(np.abs(drawn["disorder_means"]), axis=1)
    for name in ("roi_sd", "roi_correlation", "edge_sd", "edge_correlation"):
        if name in drawn:
            found[name] = np.nanmean(drawn[name], axis=1)
    if "outcome" in drawn:
        found["outcome_sd"] = drawn["outcome"][:, 1]
    if "outcome_share" in drawn:
        found["outcome_certain"] = drawn["outcome_share"].max(axis=1)
    if "outcome_counts" in drawn:
        found["outcome_zeros"], found["outcome_size"] = drawn["outcome_counts"][:, [0, -2]].T
    return found
