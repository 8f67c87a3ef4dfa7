"""What replications say together: uniformity with its multiplicity, recovery, and failures.

The rule, fixed before: three families of quantities (likelihoods and the person; what a report
prints; everything else) get a third of `LEVEL` each, and within a family Holm's adjustment holds
for all its quantities at once. One quantity over its family's level is a fault of the model, its
code or its sampler. Where more than 5 % of fits broke, diverged or did not mix (largest R-hat of 1.1 or
more) no calibration is said to hold; those that did are counted, listed, and left in but for the broken ones.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from scipy.stats import beta

from nssi_bayes.calibrate.reliability import reliability
from nssi_bayes.calibrate.replication import LIKELIHOOD, PERSON, SIZE
from nssi_bayes.calibrate.uniform import band, counts, p_values
from nssi_bayes.check.multiple import holm

__all__ = ["FEWEST", "LEVEL", "MOST_FAILED", "summarise"]

LEVEL: Final = 0.05
FEWEST: Final = 20
"""Replications under which nothing is said."""
MOST_FAILED: Final = 0.05
"""Share of fits that may break, diverge or not mix."""
LARGEST_RHAT: Final = 1.1
"""Of all quantities of one short fit; over it the fit is counted as not mixed."""
FAMILIES: Final = ("likelihoods", "reported", "other")
_REPORTED: Final = (
    "A", "B", "B_disorder", "L", "L_disorder", "L_edge", "L_edge_disorder", "L_network", "L_pair", "Omega",
    "d", "g", "lambda", "lambda_score", "q", "w", "level_burden", "level_none", "tau_mean", "tau_slope",
    "tau_neural", "tau_neural_edge", "B_burden", "d_some", "q_some", "w_some", "epsilon", "tailweight",
    "w_disorder", "v", "theta", "phi", "baseline",
)  # fmt: skip
_SHOWN: Final = 12
"""Quantities of a family whose ECDF is kept, the worst first."""
_POINTS: Final = 25

type Array = np.ndarray[Any, Any]


def summarise(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Pool replications.

    Parameters
    ----------
    found : list of dict
        From `replicate`, failed ones among them.

    Returns
    -------
    dict
        As ``calibration.json``: `passed` is None where too few replications or too many failures
        forbid a verdict, and counts of both stand beside it.
    """
    whole = [one for one in found if "failed" not in one]
    failures = _failures(found)
    common = {
        "replications": len(found), "failures": failures, "level": LEVEL, "fewest": FEWEST,
        "most_failed": MOST_FAILED, "rule": __doc__.split("\n\n")[1].replace("\n", " "),
    }  # fmt: skip
    if not whole:
        text = "no replication came to its end"
        nothing: dict[str, Any] = {"families": {}, "ecdf": [], "recovery": [], "reliability": []}
        return {**common, "passed": None, "text": text, **nothing}
    names = [q for q in whole[0]["quantity"] if all(q in one["quantity"] for one in whole)]
    draws = int(whole[0]["ranked_among"])
    columns = {k: _matrix(whole, names, k) for k in ("rank", "truth", "mean", "sd", "covered")}
    p = p_values(columns["rank"].astype(int), draws)
    family_of = np.array([_family(name) for name in names])
    families, ecdf, red = {}, [], 0
    for family in FAMILIES:
        members = np.flatnonzero(family_of == family)
        if not len(members):
            continue
        adjusted = holm(p[members])
        level = LEVEL / len(FAMILIES)
        outside = int((adjusted <= level).sum())
        red += outside
        order = members[np.argsort(p[members], kind="stable")]
        families[family] = {
            "quantities": len(members), "level": level, "outside": outside,
            "smallest_p_adjusted": float(adjusted.min()),
            "worst": [_row(names[q], p[q], columns["rank"][q], draws) for q in order[:_SHOWN]],
        }  # fmt: skip
        ecdf += _ecdf(names, columns["rank"], order[:_SHOWN], draws=draws, level=level / len(members))
    passed, text = _verdict(len(found), failures, red, len(names))
    recovery = _recovery(names, columns, interval=float(whole[0]["interval"]))
    return {
        **common, "passed": passed, "text": text, "families": families, "ecdf": ecdf,
        "recovery": recovery,
        "reliability": reliability([one["statements"] for one in whole if "statements" in one]),
        "ranked_among": draws, "interval": whole[0]["interval"],
    }  # fmt: skip


def _failures(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Count fits that broke, diverged or did not mix; none is left out for it but the broken ones."""
    broken: dict[str, int] = {}
    for one in found:
        if "failed" in one:
            broken[one["failed"]] = broken.get(one["failed"], 0) + 1
    health = [one["health"] for one in found if "failed" not in one]
    which = [one.get("index") for one in found if "failed" in one or _unsound(one["health"])]
    return {
        "broken": sum(broken.values()), "broken_by_kind": broken,
        "diverged": sum(h["divergences"] > 0 for h in health),
        "not_mixed": sum(h["max_rhat"] >= LARGEST_RHAT for h in health),
        "rerun": sum(h["rerun"] for h in health),
        "any": len(which), "which": which,
        "max_rhat": max((h["max_rhat"] for h in health), default=None),
        "min_ess": min((h["min_ess"] for h in health), default=None),
    }  # fmt: skip


def _unsound(health: dict[str, Any]) -> bool:
    """Return whether a fit diverged or did not mix."""
    return health["divergences"] > 0 or health["max_rhat"] >= LARGEST_RHAT


def _verdict(size: int, failures: dict[str, Any], red: int, quantities: int) -> tuple[bool | None, str]:
    shown = f"{failures['any']} of {size} fits broke, diverged or did not mix"
    if red:
        return False, f"{red} of {quantities} quantities are not uniform; {shown}"
    if size < FEWEST:
        return None, f"{size} replications are too few to tell ({FEWEST} are needed); {shown}"
    if failures["any"] > MOST_FAILED * size:
        return None, f"too many fits failed to tell: {shown}"
    return True, f"all {quantities} quantities are uniform as far as {size} replications can tell; {shown}"


def _family(name: str) -> str:
    base = name.split("[")[0]
    if base in (LIKELIHOOD, PERSON):
        return FAMILIES[0]
    return FAMILIES[1] if base in _REPORTED else FAMILIES[2]


def _matrix(whole: list[dict[str, Any]], names: list[str], key: str) -> Array:
    found = np.empty((len(names), len(whole)))
    for r, one in enumerate(whole):
        at = dict(zip(one["quantity"], one[key], strict=True))
        found[:, r] = [at[name] for name in names]
    return found


def _row(name: str, p: float, ranks: Array, draws: int) -> dict[str, Any]:
    mean = (ranks.mean() + 0.5) / (draws + 1)
    return {"quantity": name, "p": float(p), "mean_rank": float(mean)}


def _ecdf(names: list[str], ranks: Array, chosen: Array, *, draws: int, level: float) -> list[dict[str, Any]]:
    """Return the ECDF of ranks less the diagonal, and its band, at a few points."""
    at = np.unique(np.linspace(0, draws - 1, _POINTS).round().astype(int))
    share = (at + 1) / (draws + 1)
    size = ranks.shape[1]
    low, high = (edge[at] - share for edge in band(size, draws, level))
    return [
        {"quantity": names[q], "share": share, "low": low, "high": high,
         "difference": counts(ranks[q], draws)[at] / size - share}
        for q in chosen
    ]  # fmt: skip


def _recovery(names: list[str], columns: dict[str, Array], *, interval: float) -> list[dict[str, Any]]:
    """Bias, error, shrinkage of sd and coverage, by parameter, over its elements and replications."""
    base = np.array([name.split("[")[0] for name in names])
    rows = []
    for name in dict.fromkeys(base):
        if name in (LIKELIHOOD, PERSON, SIZE):
            continue
        at = base == name
        truth, mean, sd = (columns[k][at] for k in ("truth", "mean", "sd"))
        covered = columns["covered"][at]
        each = covered.mean(axis=0)
        error = float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else None
        low, high = _interval(covered)
        rows.append(
            {
                "parameter": str(name), "elements": int(at.sum()), "bias": float((mean - truth).mean()),
                "rmse": float(np.sqrt(((mean - truth) ** 2).mean())),
                "sd_of_truth": float(truth.std()), "posterior_sd": float(sd.mean()),
                "interval": interval, "coverage": float(covered.mean()), "standard_error": error,
                "low": low, "high": high,
            }
        )  # fmt: skip
    return rows


def _interval(covered: Array) -> tuple[float, float]:
    """Return the 95 % interval of a share of [element, replication].

    That of Clopper and Pearson, of as many as there would be if elements of one replication did not stand and
    fall together (Korn & Graubard 1998, Survey Methodology 24:193): effects of two disorders that sum to
    zero are one.
    """
    elements, size = covered.shape
    share, whole = float(covered.mean()), float(size)  # where all agree nobody can tell whether they are one
    if size > 1 and 0 < share < 1:
        alone = share * (1 - share) / elements
        whole = covered.size / max(1.0, float(covered.mean(axis=0).var(ddof=1)) / alone)
    hits = share * whole
    low = float(beta.ppf(0.025, hits, whole - hits + 1)) if share > 0 else 0.0
    return low, float(beta.ppf(0.975, hits + 1, whole - hits)) if share < 1 else 1.0
