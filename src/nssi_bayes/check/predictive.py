"""Predictive checks: does the model draw cohorts like this one? They inform, they do not certify.

Functions, factors and residual factors of everybody are drawn anew from the population that the
parameters say, with the diagnoses, sites, scan quality and missing values of this cohort (mixed
predictive replicates: Marshall & Spiegelhalter 2007, 10.1214/07-BA218; Gelman, Meng & Stern 1996).
Replicates that keep the fitted latents of a person would fit whatever the population is.

The rule, fixed before: a check is a vector of statistics; each is standardised by the replicates,
and its largest deviation and its mean square are compared with those of the replicates themselves;
twice the smaller probability is that of the check, for all its elements at once. LOO-PIT asks where
people lie in what is said of them when they are left out, and tests by column whether these places
are uniform; a column of which over 5 % of people are over the k-hat limit is not judged. Over the
checks that can fail, Holm's adjustment holds at 5 % for all of them together. Missingness by block has
no verdict: a difference there may be what diagnosis, site and history explain, or not be ignorable.
The parameters have seen the data, so that what they fit freely (a mean of each region) can hardly
fail: such checks find errors of code, the others misfit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.check import loo_pit
from nssi_bayes.check.gate import CheckResult
from nssi_bayes.check.loo_pit import LeftOut, Places
from nssi_bayes.check.multiple import holm
from nssi_bayes.check.rootograms import Tally, of_answers, of_counts
from nssi_bayes.check.statistics import ABOUT, Statistics

__all__ = ["LEVEL", "REPLICATIONS", "check", "chosen_draws", "rows", "simulated"]

LEVEL: Final = 0.05
REPLICATIONS: Final = 700
_FOR_EACH: Final = 40
"""Of a check that can fail: the fewest that can show a probability under 5 % after Holm's adjustment. 17
checks need 680; a model of ordinal and of continuous indicators has more, and draws more."""
INFORMS: Final = ("missing_by_block",)
"""Checks without a verdict."""
_WORST: Final = 8

type Array = np.ndarray[Any, Any]


def simulated(
    theta: dict[str, Array],
    design: Design,
    statistics: Statistics,
    rng: np.random.Generator,
    *,
    watch: Callable[[int, Design], None] | None = None,
) -> dict[str, Array]:
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
    watch : callable, optional
        Takes the position of the draw and its data, which are not kept.

    Returns
    -------
    dict of str to numpy.ndarray
        By check [sample, statistic].
    """
    found = list[dict[str, Array]]()
    for s, own in enumerate(rng.spawn(len(next(iter(theta.values()))))):  # threads would wait for each other
        data = generate({k: v[s] for k, v in theta.items()}, design, own)
        found.append(statistics(data))
        if watch is not None:
            watch(s, data)
    return {name: np.stack([f[name] for f in found]) for name in found[0]}


def chosen_draws(theta: dict[str, Array], design: Design, *, min_cell: int) -> Array:
    """Return positions of the draws of the parameters from which data are drawn, evenly over all.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter.
    design : Design
        The data.
    min_cell : int
        As in `check`.
    """
    size = len(next(iter(theta.values())))
    checks = len({*Statistics(design, min_cell=min_cell)(design), loo_pit.NAME} - {*INFORMS})
    return np.linspace(0, size - 1, min(max(REPLICATIONS, _FOR_EACH * checks), size)).round().astype(int)


def check(
    theta: dict[str, Array],
    design: Design,
    rng: np.random.Generator,
    *,
    min_cell: int,
    left_out: LeftOut | None = None,
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
    left_out : LeftOut, optional
        Weights at the draws of `chosen_draws`; without, everybody stays in.

    Returns
    -------
    dict
        As ``predictive_checks.json``.
    """
    if left_out is None:
        draws = chosen_draws(theta, design, min_cell=min_cell)
        left_out = LeftOut.nobody(draws, len(design.diagnosis))
    statistics, (columns, own) = Statistics(design, min_cell=min_cell), loo_pit.columns_of(design)
    places, tally = Places(own, left_out), Tally()

    def watch(s: int, data: Design) -> None:
        places.add(s, loo_pit.columns_of(data)[1])
        tally.add(data)

    observed, behind, labels = statistics(design), statistics.people(design), statistics.labels
    chosen = {k: v[left_out.draws] for k, v in theta.items()}
    drawn = simulated(chosen, design, statistics, rng, watch=watch)
    found = [
        _compare(
            name, observed[name], drawn[name], labels=labels[name], behind=behind[name], min_cell=min_cell
        )
        for name in ABOUT
        if name in observed and (np.isfinite(observed[name]) & np.isfinite(drawn[name]).all(axis=0)).any()
    ]
    pit = loo_pit.compare(places.values(rng), columns, left_out.over, min_cell=min_cell)
    found += [] if pit is None else [pit[0]]
    _judge(found)
    return {
        "level": LEVEL, "replications": len(left_out.draws), "checks": found, "min_cell": min_cell,
        "loo_pit": [] if pit is None else pit[1],
        "rootograms": [
            *of_answers(design, observed, drawn, min_cell), *of_counts(design, tally, min_cell)
        ],
        "rule": " ".join(__doc__.split("\n\n")[2].split()),
    }  # fmt: skip


def _compare(
    name: str, observed: Array, drawn: Array, *, labels: list[str], behind: Array, min_cell: int
) -> dict[str, Any]:
    """Return one check: probability of its largest deviation, and its worst elements.

    An element that few people stand behind counts in the probability and is not told: its distance and what
    is expected of it would give its value.
    """
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
    told = behind[where] >= min_cell
    farthest = np.argsort(-np.abs(z), kind="stable")
    worst = [
        {"element": labels[where[e]], "z": float(z[e]), "observed": float(values[e]),
         "expected": float(mean[e]), "low": float(low[e]), "high": float(high[e])}
        for e in farthest[told[farthest]][:_WORST]
    ]  # fmt: skip
    outside = int(((values < low) | (values > high))[told].sum())
    return {
        "name": name, "about": ABOUT[name], "elements": len(values), "told": int(told.sum()), "p": p,
        "largest_z": float(np.abs(z[told]).max()) if told.any() else None,
        "mean_square_z": float((z[told] ** 2).mean()) if told.any() else None,
        "outside_90": outside, "worst": worst,
    }  # fmt: skip


def _judge(found: list[dict[str, Any]]) -> None:
    """Add verdicts: Holm's adjustment over the checks that can fail."""
    can_fail = [c for c in found if c["name"] not in INFORMS and "passed" not in c]
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
        text = f"{one['about']}: {said[one['passed']]}"
        for worst in one["worst"][:1]:
            text += f"; farthest {worst['element']} (z {worst['z']:.1f})"
        result.append(CheckResult(one["name"], None, one["p"], None, text, group="predictive"))
    return result
