"""What goes with an outcome: slopes, by disorder where they differ, as ratios unless it is Gaussian."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks import outcomes
from nssi_bayes.check.summarised import Row, Summary, flattened, rows_of
from nssi_bayes.spec import Params

__all__ = ["by_disorder_of_outcome", "outcome_rows", "rate_ratios"]

_RATIOS: Final = {
    n.BERNOULLI: "odds ratio",
    n.NEGATIVE_BINOMIAL: "rate ratio",
    n.ORDINAL: "odds ratio of a higher category",
    n.HURDLE: "rate ratio among those with any",
}
_TERMS: Final = {
    "w": (n.FUNCTION,), "q": (n.FACTOR,), "d": (n.DISORDER,), "v": (n.NETWORK,), "baseline": (),
    "theta": (n.TREATMENT,), "phi": (n.FUNCTION, n.TREATMENT),
}  # fmt: skip
"""Slopes of an outcome, in the order of the page."""
_SOME: Final = "odds ratio of any"


def rate_ratios(posterior: xr.Dataset, params: Params) -> dict[str, Any]:
    """Summarise coefficients of a count, ``x_*``, as logs of rate ratios and as ratios.

    Parameters
    ----------
    posterior : xarray.Dataset
        Of a model of a repeated count [`chain`, `draw`].
    params : Params
        Interval and ROPE.

    Returns
    -------
    dict
        ``outcome`` as in ``estimates.json``, and the fewest effective draws of an interval's end.
    """
    summary = Summary(params.interval, params.rope, chains=posterior.sizes[n.CHAIN])
    terms = {str(name): str(name).removeprefix("x_") for name in posterior if str(name).startswith("x_")}
    if not terms:
        return {}
    coefficients = xr.Dataset({"w": xr.concat([posterior[name] for name in terms], dim=n.FUNCTION)})
    coefficients = coefficients.assign_coords({n.FUNCTION: list(terms.values())})
    rows = _outcome(summary, flattened(coefficients), _RATIOS[n.NEGATIVE_BINOMIAL])
    return {"outcome": rows, "min_ess_of_ends": summary.fewest()}


def outcome_rows(summary: Summary, flat: xr.Dataset, family: str) -> list[Row]:
    """Summarise slopes of the outcome; behind a hurdle those of any first, each with its `part`."""
    if family != n.HURDLE:
        return _outcome(summary, flat, _RATIOS.get(family))
    some = _outcome(summary, flat, _SOME, end=outcomes.SOME)
    parts = ("any", some), ("count", _outcome(summary, flat, _RATIOS[family]))
    return [{**row, "part": part} for part, rows in parts for row in rows]


def _outcome(summary: Summary, flat: xr.Dataset, ratio: str | None, *, end: str = "") -> list[Row]:
    """Summarise slopes of a predictor of the outcome; unless it is Gaussian also as a `ratio`."""
    found = []
    for name, dims in _TERMS.items():
        for row in rows_of(summary, flat, name + end, dims):
            at = {dim: row.pop(dim) for dim in dims}
            if ratio is not None:
                draws = flat[name + end].sel(at).to_numpy()
                ends = {"median": np.median(draws), "low": row["low"], "high": row["high"]}
                row["ratio"] = {"kind": ratio, **{k: float(np.exp(v)) for k, v in ends.items()}}
            own = [f"{label}_activation" if dim == n.NETWORK else label for dim, label in at.items()]
            found.append({"term": n.TIMES.join(own) or name, **row})  # a network may be named as a function
    return found


def by_disorder_of_outcome(summary: Summary, flat: xr.Dataset) -> list[Row]:
    """Summarise slopes on functions by disorder, where they differ; behind a hurdle with their `part`."""
    found = []
    ends = {outcomes.SOME: {"part": "any"}, "": {"part": "count"}} if "w_some" in flat else {"": {}}
    for end, part in ends.items():
        if f"w_disorder{end}" in flat:
            whole = flat.assign(whole=flat[f"w{end}"] + flat[f"w_disorder{end}"])
            found += [{**r, **part} for r in rows_of(summary, whole, "whole", (n.FUNCTION, n.DISORDER))]
    return found
