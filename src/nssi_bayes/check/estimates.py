"""Population-level summaries of a joint model: what a report may print, and nothing of a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.check import bias
from nssi_bayes.check.associations import by_disorder_of_outcome, outcome_rows
from nssi_bayes.check.groups import by_group
from nssi_bayes.check.levels import Met, contrasts
from nssi_bayes.check.summarised import Array, Row, Summary, flattened, rows_of, values_of
from nssi_bayes.integrate.sinh_arcsinh import skewness
from nssi_bayes.schema import edge_table, roi_table
from nssi_bayes.spec import Params

__all__ = ["PARTS", "VARYING", "by_disorder", "estimate"]

PARTS: Final = (
    "levels", "contrasts", "heterogeneity", "slopes", "slopes_by_disorder", "correlations", "rois",
    "rois_by_disorder", "networks", "edges", "network_pairs", "outcome", "outcome_by_disorder",
    "measurement", "item_bias", "spread", "skewness", "groups", "projection", "pathways",
    "pathways_by_correlation", "pathways_by_disorder",
)  # fmt: skip

VARYING: Final = {
    "levels": ("A", "tau_mean", None), "slopes": ("B_disorder", "tau_slope", n.FACTOR),
    "loadings": ("L_disorder", "tau_neural", n.NETWORK),
    "edge loadings": ("L_edge_disorder", "tau_neural_edge", n.NETWORK_PAIR),
    "outcome slopes": ("w_disorder", "tau_w", None),
}  # fmt: skip
"""What varies by disorder: its effects, their scale, and what beside functions they are told by."""


def estimate(
    tree: xr.DataTree, design: Design, spread: Array, met: Met | None, *,
    params: Params, cohort: xr.Dataset, printed: list[Array] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Summarise a joint model.

    Parameters
    ----------
    tree : xarray.DataTree
        Posterior and prior.
    design : Design
        The data.
    spread : numpy.ndarray
        Variance of a function between people [sample, `function`].
    met : Met or None
        From `levels.as_met`.
    params : Params
        Interval and ROPE.
    cohort : xarray.Dataset
        Coordinates of the regions.
    printed : list of numpy.ndarray, optional
        To which the draws of every interval [sample] are appended.

    Returns
    -------
    dict
        As ``estimates.json``.
    """
    posterior, prior = (flattened(tree[g].to_dataset()) for g in ("posterior", "prior"))
    chains = tree["posterior"].sizes[n.CHAIN]
    summary = Summary(params.interval, params.rope, chains=chains, printed=printed)
    found: dict[str, Any] = {part: [] for part in PARTS}
    found.update(rope=params.rope, interval=params.interval)
    adjusted = values_of(posterior, "A", n.DISORDER, n.FUNCTION) if "A" in posterior else None
    found |= _by_disorder(summary, adjusted, met, design)
    found["heterogeneity"] = list(_heterogeneity(summary, posterior, prior))
    found["slopes"] = rows_of(summary, posterior, "B", (n.FUNCTION, n.FACTOR))
    _per_total_sd(summary, found, posterior, adjusted, np.sqrt(spread))
    if "B_disorder" in posterior:
        whole = posterior.assign(B_whole=posterior["B"] + posterior["B_disorder"])
        found["slopes_by_disorder"] = rows_of(summary, whole, "B_whole", (n.FUNCTION, n.FACTOR, n.DISORDER))
    if not design.coords[n.GROUP]:  # of groups each has its own, among ``groups``
        found["correlations"] = _correlations(summary, posterior, design.coords[n.FUNCTION])
    found["rois"] = _rois(summary, posterior, design, spread, cohort)
    found["rois_by_disorder"] = _rois_by_disorder(summary, posterior, cohort)
    found["networks"] = rows_of(summary, posterior, "L_network", (n.NETWORK, n.FUNCTION))
    found["edges"] = _edges(summary, posterior, design, spread, cohort)
    found["network_pairs"] = rows_of(summary, posterior, "L_pair", (n.NETWORK_PAIR, n.FUNCTION))
    found["outcome"] = outcome_rows(summary, posterior, design.outcome_family)
    found["outcome_by_disorder"] = by_disorder_of_outcome(summary, posterior)
    found["measurement"] = _measurement(summary, posterior, design)
    found["item_bias"] = bias.item_bias(posterior, design, signed=summary.signed, interval=summary.interval)
    found["skewness"] = _skewness(summary, posterior)
    found["groups"] = by_group(posterior, design, signed=summary.signed)
    found["spread"] = list(bias.spread(posterior, signed=summary.signed))
    found["min_ess_of_ends"] = summary.fewest()
    return found


def _per_total_sd(
    summary: Summary, found: Row, posterior: xr.Dataset, adjusted: Array | None, total: Array
) -> None:
    """Add adjusted contrasts and slopes per total sd of the function between people [sample, `function`].

    Of skewed functions there are none: effects are on what is Gaussian, whose total sd is another.
    """
    if "epsilon" in posterior:
        return
    draws: list[tuple[Row, Array]] = []
    if adjusted is not None:
        rows = [r for r in found["contrasts"] if r["estimand"] == "adjusted"]
        each = (d[:, j] / total[:, j] for *_, d in contrasts(adjusted, None) for j in range(d.shape[1]))
        draws += zip(rows, each, strict=True)
    if found["slopes"]:
        slopes = values_of(posterior, "B", n.FUNCTION, n.FACTOR) / total[:, :, None]
        draws += zip(found["slopes"], slopes.reshape(len(total), -1).T, strict=True)
    for row, values in draws:
        row["standardised"] = summary.interval(values)


def _by_disorder(
    summary: Summary, adjusted: Array | None, met: Met | None, design: Design
) -> dict[str, list[Row]]:
    """Summarise levels and contrasts, by estimand."""
    disorders, functions = design.coords[n.DISORDER], design.coords[n.FUNCTION]
    kinds = {"adjusted": adjusted, "as_met": None if met is None else met.level}
    return {
        "levels": [
            {"estimand": kind, "disorder": d, "function": f, **summary.signed(levels[:, k, j])}
            for kind, levels in kinds.items() if levels is not None
            for k, d in enumerate(disorders)
            for j, f in enumerate(functions)
            if np.isfinite(levels[:, k, j]).all()
        ],
        "contrasts": [
            {"estimand": kind, "function": f, "disorder": disorders[a], "other": disorders[b],
             **summary.signed(difference[:, j], rope=True)}
            for kind, a, b, difference in contrasts(adjusted, met)
            for j, f in enumerate(functions)
        ],
    }  # fmt: skip


def _heterogeneity(summary: Summary, posterior: xr.Dataset, prior: xr.Dataset) -> Iterator[Row]:
    """Finite-population sd, largest contrast and tau, posterior beside prior, by function."""
    for term, (effect, scale, split) in VARYING.items():
        if effect not in posterior:
            continue
        sides = [by_disorder(side, effect, split) for side in (posterior, prior)]
        functions = posterior[n.FUNCTION].to_numpy()
        details = [""] if split is None else [str(v) for v in sides[0][split].to_numpy()]
        for f in functions:
            taus = [side[scale].sel({n.FUNCTION: f}).to_numpy() for side in (posterior, prior)]
            for detail in details:
                at = {n.FUNCTION: f} if split is None else {n.FUNCTION: f, split: detail}
                draws = [side.sel(at).transpose("sample", n.DISORDER).to_numpy() for side in sides]
                largest = [d.max(axis=1) - d.min(axis=1) for d in draws]
                rows = [
                    {"finite_sd": summary.interval(d.std(axis=1), prior=given),
                     "largest": summary.interval(span, prior=given),
                     "tau": summary.interval(tau, prior=given)}
                    for d, span, tau, given in zip(draws, largest, taus, (False, True), strict=True)
                ]  # fmt: skip
                yield {
                    "term": term, "function": str(f), "detail": detail,
                    "posterior": rows[0], "prior": rows[1],
                    "contraction": float(1 - taus[0].var() / taus[1].var()),
                    "p_over_rope": summary.over_rope(largest[0]),
                }  # fmt: skip


def by_disorder(flat: xr.Dataset, effect: str, split: str | None) -> xr.DataArray:
    """Return effects by disorder; loadings averaged over the regions of a network, or edges of a pair.

    Parameters
    ----------
    flat : xarray.Dataset
        Draws.
    effect, split : str
        As in `VARYING`.
    """
    member = {n.NETWORK: n.ROI_NETWORK, n.NETWORK_PAIR: n.EDGE_NETWORK}.get(split or "")
    if member is None:
        return flat[effect]
    return flat[effect].groupby(member).mean().rename({member: split})


def _correlations(summary: Summary, flat: xr.Dataset, functions: list[str]) -> list[Row]:
    return [
        {"function": a, "other": b,
         **summary.signed(flat["Omega"].sel({n.FUNCTION: a, n.FUNCTION_OTHER: b}).to_numpy(), rope=True)}
        for a, b in combinations(functions, 2)
    ]  # fmt: skip


def _skewness(summary: Summary, flat: xr.Dataset) -> list[Row]:
    """Summarise how skewed and how heavy-tailed the functions of an average person are."""
    if "epsilon" not in flat:
        return []
    draws = skewness(*(values_of(flat, name, n.FUNCTION) for name in ("epsilon", "tailweight")))
    return [
        {
            "function": str(f),
            **summary.signed(draws[0][:, j]),
            "excess_kurtosis": summary.interval(draws[1][:, j]),
        }
        for j, f in enumerate(flat[n.FUNCTION].to_numpy())
    ]


def _rois(summary: Summary, flat: xr.Dataset, design: Design, spread: Array, cohort: xr.Dataset) -> list[Row]:
    """Summarise loadings of regions, per residual sd of a function and standardised."""
    if "L" not in flat:
        return []
    seen = np.where(design.activation_seen, design.activation, np.nan)
    return _loadings(summary, flat["L"], seen, spread, roi_table(cohort))


def _rois_by_disorder(summary: Summary, flat: xr.Dataset, cohort: xr.Dataset) -> list[Row]:
    """Summarise each disorder's loadings of regions, less the mean of the disorders."""
    if "L_disorder" not in flat:
        return []
    values = values_of(flat, "L_disorder", n.FUNCTION, n.DISORDER, n.ROI)
    values = values - values.mean(axis=2, keepdims=True)  # zero-sum already, but for the last digits
    functions, disorders, rois = (flat[d].to_numpy() for d in (n.FUNCTION, n.DISORDER, n.ROI))
    places = roi_table(cohort)
    return [
        {"function": str(functions[f]), "disorder": str(disorders[k]), "roi": str(rois[r]),
         **places[str(rois[r])], **summary.signed(values[:, f, k, r])}
        for f, k, r in np.ndindex(*values.shape[1:])
    ]  # fmt: skip


def _edges(
    summary: Summary, flat: xr.Dataset, design: Design, spread: Array, cohort: xr.Dataset
) -> list[Row]:
    """Summarise loadings of edges, per residual sd of a function and standardised."""
    if "L_edge" not in flat:
        return []
    seen = np.where(design.connectivity_seen, design.connectivity, np.nan)
    return _loadings(summary, flat["L_edge"], seen, spread, edge_table(cohort))


def _loadings(
    summary: Summary, loading: xr.DataArray, seen: Array, spread: Array, places: Mapping[str, Row]
) -> list[Row]:
    """Summarise loadings on functions, also standardised by the total sd of both.

    The total sd of a measure holds its first-level error: standardised loadings are attenuated by
    the unreliability of the response, raw ones are not.
    """
    (dim,) = set(loading.dims) - {"sample", n.FUNCTION}
    draws = loading.transpose("sample", dim, n.FUNCTION).to_numpy()
    standardised = draws * np.sqrt(spread)[:, None, :] / np.nanstd(seen, axis=0)[None, :, None]
    return [
        {str(dim): str(label), **places[str(label)], "function": str(f),
         **summary.signed(draws[:, r, j], rope=True),
         "standardised": summary.interval(standardised[:, r, j])}
        for r, label in enumerate(loading[dim].to_numpy())
        for j, f in enumerate(loading[n.FUNCTION].to_numpy())
    ]  # fmt: skip


def _measurement(summary: Summary, flat: xr.Dataset, design: Design) -> list[Row]:
    """Summarise loadings: of ordinal indicators in logits, of continuous ones in their own unit."""
    found = []
    kinds = (("lambda", n.INDICATOR, design.function_of), ("lambda_score", n.SCORE, design.score_function))
    for name, dim, function_of in kinds:
        if name not in flat:
            continue
        of = dict(zip(design.coords[dim], function_of, strict=True))
        for row in rows_of(summary, flat, name, tuple(d for d in (n.GROUP, dim) if d in flat[name].dims)):
            label = row.pop(dim)
            continuous = {"continuous": True} if dim == n.SCORE else {}
            group = {"group": row.pop(n.GROUP)} if n.GROUP in row else {}
            latents = design.axes if dim == n.INDICATOR else design.coords[n.FUNCTION]
            place: Row = {"indicator": label, "function": latents[of[label]]}
            place |= {"factor": True} if latents[of[label]] in design.item_factors else {}
            found.append({**place, **continuous, **group, "loading": row})
    return found
