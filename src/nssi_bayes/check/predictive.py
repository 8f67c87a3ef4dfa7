"""Predictive checks: does the model draw cohorts like this one? They inform, they do not certify.

Functions, factors and residual factors of everybody are drawn anew from the population that the
parameters say, with the diagnoses, sites, scan quality and missing values of this cohort (mixed
predictive replicates: Marshall & Spiegelhalter 2007, 10.1214/07-BA218; Gelman, Meng & Stern 1996).
Replicates that keep the fitted latents of a person would fit whatever the population is.

The rule, fixed before: a check is a vector of statistics; each is standardised by the replicates,
and its largest deviation and its mean square are compared with those of the replicates themselves;
twice the smaller probability is that of the check, for all its elements at once. Over the checks
that can fail, Holm's adjustment holds at 5 % for all of them together. Missingness by block has no
verdict: a difference there may be what diagnosis, site and history explain, or not be ignorable.
The parameters have seen the data, so that what they fit freely (a mean of each region) can hardly
fail: such checks find errors of code, the others misfit.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.check.gate import CheckResult
from nssi_bayes.check.multiple import holm
from nssi_bayes.check.statistics import ABOUT, Statistics, person_columns

__all__ = ["LEVEL", "REPLICATIONS", "check", "rows", "simulated"]

LEVEL: Final = 0.05
REPLICATIONS: Final = 700
_FOR_EACH: Final = 40
"""Of a check that can fail: the fewest that can show a probability under 5 % after Holm's adjustment. 17
checks need 680; a model of ordinal and of continuous indicators has more, and draws more."""
INFORMS: Final = ("missing_by_block",)
"""Checks without a verdict."""
_PIT: Final = "person_pit"
_PIT_ABOUT: Final = "where people lie among new people like them, in tenths: sum scores, factors, outcome"
_BINS: Final = 10
_WORST: Final = 8

type Array = np.ndarray[Any, Any]
type Simulated = tuple[dict[str, Array], Array]


def simulated(
    theta: dict[str, Array], design: Design, statistics: Statistics, rng: np.random.Generator
) -> Simulated:
    """Draw data of new people, once for each draw of the parameters, and take their statistics.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter.
    design : Design
        The data.
    statistics : Statistics
        Of this design.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    tuple
        By check [sample, statistic]; columns of people [sample, `participant`, column], in single
        precision: they are ranked.
    """
    size, found = len(next(iter(theta.values()))), list[dict[str, Array]]()
    columns = np.empty((size, *person_columns(design)[1].shape), dtype=np.float32)
    for s, own in enumerate(rng.spawn(size)):  # threads would wait for each other
        data = generate({k: v[s] for k, v in theta.items()}, design, own)
        found.append(statistics(data))
        columns[s] = person_columns(data)[1]
    return {name: np.stack([f[name] for f in found]) for name in found[0]}, columns


def check(
    theta: dict[str, Array], design: Design, rng: np.random.Generator, *, min_cell: int
) -> dict[str, Any]:
    """Compare the data with data that the model draws for new people of the same design.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter.
    design : Design
        The data.
    rng : numpy.random.Generator
        Source of randomness.
    min_cell : int
        Values that fewer people stand behind are judged and not printed.

    Returns
    -------
    dict
        As ``predictive_checks.json``.
    """
    size = len(next(iter(theta.values())))
    statistics = Statistics(design, min_cell=min_cell)
    observed, behind = statistics(design), statistics.people(design)
    checks = len({*observed, _PIT} - {*INFORMS})
    chosen = rng.choice(size, min(max(REPLICATIONS, _FOR_EACH * checks), size), replace=False)
    drawn, columns = simulated({k: v[chosen] for k, v in theta.items()}, design, statistics, rng)
    labels = dict(statistics.labels)
    column_labels, own = person_columns(design)
    observed[_PIT], drawn[_PIT], people = _pit(own, columns)
    behind[_PIT] = people
    labels[_PIT] = [f"{c}: tenth {b + 1}" for c in column_labels for b in range(_BINS)]
    found = [
        _compare(
            name, observed[name], drawn[name], labels=labels[name], behind=behind[name], min_cell=min_cell
        )
        for name in (*ABOUT, _PIT)
        if name in observed and (np.isfinite(observed[name]) & np.isfinite(drawn[name]).all(axis=0)).any()
    ]
    _judge(found)
    return {
        "level": LEVEL, "replications": len(chosen), "checks": found, "min_cell": min_cell,
        "rootograms": rootograms(design, observed, drawn, min_cell),
        "rule": " ".join(__doc__.split("\n\n")[2].split()),
    }  # fmt: skip


def _compare(
    name: str, observed: Array, drawn: Array, *, labels: list[str], behind: Array, min_cell: int
) -> dict[str, Any]:
    """Return one check: probability of its largest deviation, and its worst elements."""
    usable = np.isfinite(observed) & np.isfinite(drawn).all(axis=0)
    where = np.flatnonzero(usable)
    values, replicates = observed[usable], drawn[:, usable]
    mean, sd = replicates.mean(axis=0), replicates.std(axis=0)
    sd = np.where(sd > 1e-12, sd, np.inf)
    z, own = (values - mean) / sd, np.abs((replicates - mean) / sd)
    # a value where the model never varies is a deviation without limit
    z = np.where(np.isinf(sd) & (np.abs(values - mean) > 1e-9), np.inf, z)
    largest, square = float(np.abs(z).max()), float((z**2).mean())
    beyond = [(own.max(axis=1) >= largest).sum(), ((own**2).mean(axis=1) >= square).sum()]
    p = min(1.0, 2 * (1 + min(beyond)) / (1 + len(drawn)))
    low, high = np.quantile(replicates, [0.05, 0.95], axis=0)
    worst = [
        {"element": labels[where[e]], "z": float(z[e]),
         "observed": float(values[e]) if behind[where[e]] >= min_cell else None,
         "expected": float(mean[e]), "low": float(low[e]), "high": float(high[e])}
        for e in np.argsort(-np.abs(z), kind="stable")[:_WORST]
    ]  # fmt: skip
    outside = int(((values < low) | (values > high)).sum())
    return {
        "name": name, "about": ABOUT.get(name, _PIT_ABOUT), "elements": len(values), "p": p,
        "largest_z": largest, "mean_square_z": square, "outside_90": outside, "worst": worst,
    }  # fmt: skip


def _judge(found: list[dict[str, Any]]) -> None:
    """Add verdicts: Holm's adjustment over the checks that can fail."""
    can_fail = [c for c in found if c["name"] not in INFORMS]
    for one, adjusted in zip(can_fail, holm(np.array([c["p"] for c in can_fail])), strict=True):
        one["p_adjusted"], one["passed"] = float(adjusted), bool(adjusted > LEVEL)
    for one in found:
        one.setdefault("passed", None)
        one.setdefault("p_adjusted", None)


def rows(found: dict[str, Any]) -> list[CheckResult]:
    """Return one row for ``checks.json`` a check; they inform, so that none of them certifies."""
    said = {True: "as the model draws", False: "NOT as the model draws", None: "no verdict"}
    result = []
    for one in found["checks"]:
        worst = one["worst"][0]
        text = f"{one['about']}: {said[one['passed']]}; farthest {worst['element']} (z {worst['z']:.1f})"
        result.append(CheckResult(one["name"], None, one["p"], None, text, group="predictive"))
    return result


def _pit(own: Array, columns: Array) -> tuple[Array, Array, Array]:
    """Share of people in each tenth of the predictive distribution of new people like them.

    Parameters
    ----------
    own : numpy.ndarray
        Observed [`participant`, column].
    columns : numpy.ndarray
        Replicates [sample, `participant`, column].

    Returns
    -------
    tuple of numpy.ndarray
        Observed shares, those of the replicates among each other [sample, ...], and people.
    """
    seen, own = np.isfinite(own), own.astype(columns.dtype)
    found = []
    for c in range(own.shape[1]):  # one after the other: of a large cohort each is large
        who, drawn = seen[:, c], columns[:, seen[:, c], c]
        order = np.sort(np.where(np.isfinite(drawn), drawn, np.inf), axis=0)
        found.append((_in_tenths(own[who, c], order, new=1), _in_tenths(drawn, order)))
    observed, replicates = (np.concatenate(each, axis=-1) for each in zip(*found, strict=True))
    return observed, replicates, observed * np.repeat(seen.sum(axis=0), _BINS)


def _in_tenths(values: Array, order: Array, *, new: int = 0) -> Array:
    """Return shares of people [..., tenth] by where each [..., person] lies in `order` [sample, person].

    A value that is none of `order` is `new`: a rank more, the last if it is over them all.
    """
    below, equal = np.zeros(values.shape), np.zeros(values.shape)
    for i in range(order.shape[1]):
        left = np.searchsorted(order[:, i], values[..., i], side="left")
        right = np.searchsorted(order[:, i], values[..., i], side="right")
        below[..., i], equal[..., i] = left, right - left + new
    # a sum score has few values: it is spread evenly over the ranks that it shares
    edges, width = np.linspace(0, len(order) + new, _BINS + 1), np.maximum(equal, 1)
    inside = [
        (np.clip(np.minimum(below + width, b) - np.maximum(below, a), 0, None) / width).sum(axis=-1)
        for a, b in pairwise(edges)
    ]
    with np.errstate(invalid="ignore"):  # of a column that nobody has
        return np.stack(inside, axis=-1) / np.float64(order.shape[1])


def rootograms(
    design: Design, observed: dict[str, Array], drawn: dict[str, Array], min_cell: int
) -> list[dict[str, Any]]:
    """Return, for each indicator, roots of observed less roots of expected counts, by response.

    Parameters
    ----------
    design : Design
        The data.
    observed, drawn : dict of str to numpy.ndarray
        Statistics of the data and of the replicates [sample, ...], by check.
    min_cell : int
        Smaller counts are not printed.

    Returns
    -------
    list of dict
        One an ordinal indicator.
    """
    if not design.coords[n.INDICATOR]:
        return []
    shares, replicates = observed["item_histogram"], drawn["item_histogram"]
    answered = (design.response != design.missing_response).sum(axis=0)
    start = np.concatenate([[0], np.cumsum(design.categories)])
    found = []
    for j, label in enumerate(design.coords[n.INDICATOR]):
        at = slice(int(start[j]), int(start[j + 1]))
        count, expected = shares[at] * answered[j], replicates[:, at].mean(axis=0) * answered[j]
        hanging = np.where(count >= min_cell, np.sqrt(count) - np.sqrt(expected), np.nan)
        found.append({"indicator": str(label), "expected": expected, "root_difference": hanging})
    return found
