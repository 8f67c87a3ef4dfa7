"""What a report concludes, as draws, and whether two posteriors conclude the same.

A conclusion is a printed number with a sign: a contrast of disorders, a slope (of a disorder: the
whole of it), a correlation, a loading of a network, the mean or the logarithm of the sd of a group,
the logarithm of a disorder's residual sd, the skewness of a function. Pathways are, too, and are added where
the design is at hand. Of items' biases those are that are more likely than not more than negligible, as in
the report. What a report says of heterogeneity is one: the largest difference between disorders in levels,
slopes on a factor, or loadings of a network or pair of networks, which has a size and no sign. A conclusion
is certain of its sign where the interval of `params.yaml` excludes 0, and beyond the ROPE where the
probability of a larger size is .95 or more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import numpy as np
import xarray as xr
from scipy.stats import norm

from nssi_bayes import names as n
from nssi_bayes.check.bias import MODERATE
from nssi_bayes.check.estimates import VARYING, by_disorder
from nssi_bayes.check.levels import Met, adjusted_levels, contrasts
from nssi_bayes.integrate.sinh_arcsinh import skewness

__all__ = ["SUMMED_UP", "UNSIGNED", "by_chance", "changes", "conclusions", "state"]

SUMMED_UP: Final = {
    "rois": "networks", "edges": "network_pairs", "rois_by_disorder": "heterogeneity",
    "measurement": "", "projection": "", "pathways_by_correlation": "pathways",
    "pathways_by_disorder": "pathways",
}  # fmt: skip
"""Parts of ``estimates.json`` whose rows are no conclusions one by one, and the part that sums them up."""
UNSIGNED: Final = n.LARGEST_DIFFERENCE
"""How conclusions begin that have a size and no sign."""
_PRINTED: Final = (
    "A", "level_burden", "B", "Omega", "L_network", "L_pair", "w", "q", "d", "w_some", "q_some",
    "d_some", "w_burden", "v", "theta", "phi", "baseline", "level_group", "spread_group",
    "h", "delta", "B_burden",
)  # fmt: skip
_RATIOS: Final = ("spread_group",)
"""What is positive: its logarithm has a sign."""
BEYOND: Final = 0.95
_LIKELY: Final = 0.5
"""Probability of more than negligible bias over which the report shows an item without unfolding."""

type Array = np.ndarray[Any, Any]


def conclusions(
    draws: xr.Dataset,
    met: Met | None = None,
    *,
    disorders: Sequence[str] = (),
    functions: Sequence[str] = (),
    also: Collection[str] = (),
) -> dict[str, Array]:
    """Return the draws of every conclusion.

    Parameters
    ----------
    draws : xarray.Dataset
        Of posterior or prior [`chain`, `draw`, ...].
    met : Met, optional
        From `check.levels.as_met`.
    disorders, functions : sequence of str, optional
        Those of `met`, where no parameter of the model has them.
    also : collection of str
        Conclusions from other draws of the model: biases that are among them are conclusions here, too.

    Returns
    -------
    dict of str to numpy.ndarray
        [`chain`, `draw`]; `kind[labels]`.
    """
    return {
        name: values
        for name, values in _each(draws, met, disorders, functions)
        if not name.startswith("delta[") or name in also or (np.abs(values) > MODERATE).mean() > _LIKELY
    }


def _each(
    draws: xr.Dataset, met: Met | None, disorders: Sequence[str], functions: Sequence[str]
) -> Iterator[tuple[str, Array]]:
    if n.DISORDER in draws.coords:
        disorders = draws[n.DISORDER].to_numpy().astype(str).tolist()
    if n.FUNCTION in draws.coords:
        functions = draws[n.FUNCTION].to_numpy().astype(str).tolist()
    yield from _levels(draws, met, disorders, functions)
    yield from _heterogeneity(draws)
    if "B_disorder" in draws:
        whole = draws["B"] + draws["B_disorder"]
        yield from _labelled("slope by disorder", whole, n.FUNCTION, n.FACTOR, n.DISORDER)
    for end in ("_some", ""):
        if f"w_disorder{end}" in draws:
            whole = draws[f"w{end}"] + draws[f"w_disorder{end}"]
            yield from _labelled(f"outcome slope{end} by disorder", whole, n.FUNCTION, n.DISORDER)
    if "epsilon" in draws:
        shape = (draws[name].transpose(n.CHAIN, n.DRAW, n.FUNCTION) for name in ("epsilon", "tailweight"))
        skewed = xr.apply_ufunc(lambda *both: skewness(*both)[0], *shape)
        yield from _labelled("skewness", skewed, n.FUNCTION)
    of_groups = [str(name) for name in draws.data_vars if str(name).startswith("Omega_group_")]
    for name in (*_PRINTED, *of_groups):
        if name in draws:
            dims = [str(d) for d in draws[name].transpose(n.CHAIN, n.DRAW, ...).dims[2:]]
            if name in _RATIOS:
                logs = draws[name].copy(data=np.log(draws[name].to_numpy()))
                yield from _labelled(f"log {name}", logs, *dims)
            else:
                yield from _labelled(name, draws[name], *dims)


def _levels(
    draws: xr.Dataset, met: Met | None, disorders: Sequence[str], functions: Sequence[str]
) -> Iterator[tuple[str, Array]]:
    """Yield levels as met and contrasts of both kinds; adjusted levels are a parameter."""
    if not disorders:
        return
    shape = (draws.sizes[n.CHAIN], draws.sizes[n.DRAW])
    if met is not None:
        for k, j in np.ndindex(*met.level.shape[1:]):
            if np.isfinite(met.level[:, k, j]).all():
                yield f"level as_met[{disorders[k]}, {functions[j]}]", met.level[:, k, j].reshape(shape)
    for kind, a, b, difference in contrasts(adjusted_levels(draws), met):
        for j, function in enumerate(functions):
            name = f"contrast {kind}[{disorders[a]} - {disorders[b]}, {function}]"
            yield name, difference[:, j].reshape(shape)


def _heterogeneity(draws: xr.Dataset) -> Iterator[tuple[str, Array]]:
    """Yield the largest difference between two disorders, of all that varies by disorder."""
    for term, (effect, _, split) in VARYING.items():
        if effect in draws:
            values = by_disorder(draws, effect, split)
            largest = values.max(n.DISORDER) - values.min(n.DISORDER)
            dims = [n.FUNCTION] if split is None else [n.FUNCTION, split]
            yield from _labelled(f"{UNSIGNED}, {term}", largest, *dims)


def _labelled(name: str, array: xr.DataArray, *dims: str) -> Iterator[tuple[str, Array]]:
    """Yield every element by its labels; of a correlation matrix what is below the diagonal."""
    values = array.transpose(n.CHAIN, n.DRAW, *dims).to_numpy()
    labels = [array[d].to_numpy().astype(str) for d in dims]
    for place in np.ndindex(*values.shape[2:]):
        if not name.startswith("Omega") or place[0] > place[1]:
            at = ", ".join(labels[a][i] for a, i in enumerate(place))
            yield f"{name}[{at}]" if dims else name, values[(slice(None), slice(None), *place)]


def state(draws: Array, *, interval: float, rope: float) -> dict[str, Any]:
    """Return what is concluded from draws: a certain sign (1, -1, else 0), and whether beyond the ROPE."""
    above = float((draws > 0).mean())
    tail = (1 + interval) / 2
    sign = 1 if above >= tail else -1 if above <= 1 - tail else 0
    beyond = bool((np.abs(draws) > rope).mean() >= BEYOND)
    return {"mean": float(draws.mean()), "sd": float(draws.std()), "sign": sign, "beyond_rope": beyond}


def by_chance(draws: dict[str, Array], *, interval: float, rope: float) -> float:
    """Return about how many conclusions two runs of one posterior state differently, by Monte Carlo error.

    Each probability that is held against a limit is taken to be normal around the one that was found,
    with its Monte Carlo standard error; two runs differ where one is over the limit and the other is not.

    Parameters
    ----------
    draws : dict of str to numpy.ndarray
        From `conclusions`.
    interval, rope : float
        As in `params.yaml`.

    Returns
    -------
    float
        The expected number.
    """
    from arviz_stats.base import array_stats  # which takes seconds to load

    if not draws:
        return 0.0
    values, tail = np.stack(list(draws.values())), (1 + interval) / 2
    same = np.ones(len(values))
    for happens, limit in ((values > 0, tail), (values > 0, 1 - tail), (np.abs(values) > rope, BEYOND)):
        share, spread = happens.mean(axis=(1, 2)), happens.std(axis=(1, 2))
        reached = (share >= limit).astype(float)
        varies = spread > 0
        error = array_stats.mcse(happens[varies].astype(float), method="mean")
        reached[varies] = norm.sf((limit - share[varies]) / error)
        same *= reached**2 + (1 - reached) ** 2
    return float((1 - same).sum())


def changes(
    before: dict[str, Array], after: dict[str, Array], *, interval: float, rope: float
) -> dict[str, Any]:
    """Compare two posteriors, conclusion by conclusion.

    Parameters
    ----------
    before, after : dict of str to numpy.ndarray
        From `conclusions`; what only one of them has is left out and counted.
    interval, rope : float
        As in `params.yaml`.

    Returns
    -------
    dict
        How many conclusions there are, how many change and which, and the largest shift in
        posterior sd.
    """
    common = [name for name in before if name in after]
    rows: list[dict[str, Any]] = []
    largest, where = 0.0, ""
    for name in common:
        one, other = (state(v[name], interval=interval, rope=rope) for v in (before, after))
        shift = abs(other["mean"] - one["mean"]) / max(one["sd"], 1e-12)
        if shift > largest:
            largest, where = shift, name
        if (one["sign"], one["beyond_rope"]) != (other["sign"], other["beyond_rope"]):
            rows.append({"conclusion": name, "before": one, "after": other})
    return {
        "conclusions": len(common), "changed": len(rows), "which": rows, "largest_shift": largest,
        "largest_shift_of": where, "not_compared": len(before) + len(after) - 2 * len(common),
        "reversed": sum(r["before"]["sign"] * r["after"]["sign"] < 0 for r in rows),
    }  # fmt: skip
