"""When a posterior may be believed: the convergence gate.

Rank-normalised split R-hat, bulk and tail effective sample size, Monte Carlo error against sd,
divergences, tree depth and E-BFMI (Vehtari et al. 2021, 10.1214/20-BA1221; Betancourt 2016,
arXiv:1604.00695), and whether all chains found the same place (`modes`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats

from nssi_bayes import names as n
from nssi_bayes.check.modes import SWITCHING, apart, exchanged, moving
from nssi_bayes.fit.accuracy import LARGEST_ERROR as LARGEST_INTEGRAL_ERROR
from nssi_bayes.spec import DEEPEST

__all__ = ["CheckResult", "Gate", "judge", "judge_ends", "judge_integral"]

LARGEST_RHAT: Final = 1.01
FEWEST_EFFECTIVE: Final = 400.0
FEWEST_AT_ENDS: Final = 1000.0
"""Effective draws of an interval's ends, where it is printed."""
FEWEST_CHAINS: Final = 4
FEWEST_DRAWS: Final = 1000
SMALLEST_BFMI: Final = 0.3
LARGEST_ERROR: Final = 0.05
"""Monte Carlo standard error of a mean, in posterior sd: that of 400 independent draws."""
MOST_AT_DEPTH: Final = 0.01
FARTHEST_APART: Final = 1.0
"""Between medians of two chains, in sd within them."""
LEAST_MOVING: Final = 0.5
PERSON_RHAT: Final = (1.01, 1.05)
PERSON_SHARE: Final = 0.99
_WORST: Final = 5
_TAIL: Final = (0.05, 0.95)

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class CheckResult:
    """The verdict of one check.

    Parameters
    ----------
    name : str
        Short name.
    passed : bool or None
        None where the check only informs.
    value, limit : float or None
        What was measured, and its limit.
    text : str
        One line for a reader.
    group : str
        Where it stands in a report.
    """

    name: str
    passed: bool | None
    value: float | None
    limit: float | None
    text: str
    group: str = "gate"

    def as_dict(self) -> dict[str, Any]:
        """Return the row of ``checks.json``."""
        return {
            "name": self.name,
            "passed": self.passed,
            "value": self.value,
            "limit": self.limit,
            "text": self.text,
            "group": self.group,
        }


@dataclass(frozen=True)
class Gate:
    """All verdicts of the gate, and the numbers behind them.

    Parameters
    ----------
    checks : list of CheckResult
        One a rule.
    sampling : dict
        As in ``checks.json``.
    """

    checks: list[CheckResult]
    sampling: dict[str, Any]

    @property
    def certified(self) -> bool:
        """Whether every rule holds."""
        return all(c.passed is not False for c in self.checks)


def judge(tree: xr.DataTree, quantities: dict[str, Array], *, person_rhat: Array | None = None) -> Gate:
    """Apply the gate to one fit.

    Parameters
    ----------
    tree : xarray.DataTree
        Posterior and sample_stats.
    quantities : dict of str to numpy.ndarray
        Further quantities to certify [`chain`, `draw`], such as contrasts and the log-likelihood.
    person_rhat : numpy.ndarray, optional
        R-hat of person-level quantities, judged by a softer rule.

    Returns
    -------
    Gate
        Verdicts and numbers.
    """
    names, values = zip(*_scalars(tree["posterior"].to_dataset(), quantities), strict=True)
    stats = tree["sample_stats"].to_dataset()
    stacked, posterior = np.stack(values), tree["posterior"].to_dataset()
    ratio, said = exchanged(posterior)
    sampling = {
        **_convergence(names, stacked),
        "exchanged": ratio,
        "at_largest_depth": _at_largest_depth(stats),
        "least_moving": moving(stacked),
        "tune": int(tree.attrs["tune"]),
        "divergences": int(stats["diverging"].sum()),
        "min_ebfmi": float(np.min(array_stats.bfmi(stats["energy"].to_numpy()))),
        "rerun": bool(tree.attrs["rerun"]),
        "parts": int(tree.attrs.get("parts", 1)),
        "target_accept": float(tree.attrs["target_accept"]),
    }
    rules = [
        ("chains", "chains", FEWEST_CHAINS, "at least", "chains"),
        ("draws", "draws", FEWEST_DRAWS, "at least", "draws a chain"),
        ("rhat", "max_rhat", LARGEST_RHAT, "below", f"largest R-hat of {len(names)} quantities"),
        ("ess_bulk", "min_ess_bulk", FEWEST_EFFECTIVE, "at least", "smallest bulk ESS"),
        ("ess_tail", "min_ess_tail", FEWEST_EFFECTIVE, "at least", "smallest tail ESS"),
        ("mcse", "max_mcse_to_sd", LARGEST_ERROR, "at most", "largest Monte Carlo error of a mean, in sd"),
        ("modes", "farthest_apart", FARTHEST_APART, "below", "medians of two chains, farthest apart, in sd"),
        ("label_switching", "exchanged", SWITCHING, "below", said),
        (
            "moving",
            "least_moving",
            LEAST_MOVING,
            "at least",
            "draws of a chain that differ from the one before",
        ),
        ("tree_depth", "at_largest_depth", MOST_AT_DEPTH, "at most", "share of trees at the largest depth"),
        ("divergences", "divergences", 0, "at most", "divergent transitions"),
        ("e_bfmi", "min_ebfmi", SMALLEST_BFMI, "above", "smallest E-BFMI of the chains"),
    ]
    checks = [_compared(name, sampling[key], limit, rule, what) for name, key, limit, rule, what in rules]
    return Gate(checks if person_rhat is None else [*checks, *_person_checks(person_rhat)], sampling)


def judge_ends(fewest: float) -> CheckResult:
    """Judge the smallest effective sample size of the ends of the intervals that are printed."""
    what = "smallest ESS of the end of a printed interval"
    return _compared("ess_ends", fewest, FEWEST_AT_ENDS, "at least", what)


def _convergence(names: tuple[str, ...], stacked: Array) -> dict[str, Any]:
    """Rank-normalised R-hat and effective sample sizes of [quantity, `chain`, `draw`]."""
    rhat = array_stats.rhat(stacked)
    bulk = array_stats.ess(stacked, method="bulk")
    tail = array_stats.ess(stacked, method="tail", prob=_TAIL)
    error = array_stats.mcse(stacked, method="mean") / stacked.std(axis=(1, 2))
    worst = np.argsort(-np.nan_to_num(rhat, nan=np.inf))[:_WORST]
    return {
        "chains": stacked.shape[1],
        "draws": stacked.shape[2],
        "quantities": len(names),
        "max_rhat": _largest(rhat),
        "min_ess_bulk": _smallest(bulk),
        "min_ess_tail": _smallest(tail),
        "max_mcse_to_sd": _largest(error),
        "farthest_apart": _largest(apart(stacked)),
        "worst": [
            {"quantity": names[q], "rhat": float(rhat[q]), "ess_bulk": float(bulk[q]),
             "ess_tail": float(tail[q])}
            for q in worst
        ],
    }  # fmt: skip


def _at_largest_depth(stats: xr.Dataset) -> float:
    name = next(name for name in ("depth", "tree_depth") if name in stats)
    return float((stats[name] >= DEEPEST).mean())


def _scalars(posterior: xr.Dataset, quantities: dict[str, Array]) -> Iterator[tuple[str, Array]]:
    """Every element of every population-level variable that is not fixed by construction."""
    for name, array in posterior.data_vars.items():
        values = array.transpose(n.CHAIN, n.DRAW, ...)
        flat = values.to_numpy().reshape(*values.shape[:2], -1)
        labels = _labels(values)
        square = values.ndim == 4 and values.shape[2] == values.shape[3] and str(name).startswith("Omega")
        for e in range(flat.shape[2]):
            if square and e // values.shape[3] <= e % values.shape[3]:
                continue
            yield f"{name}{labels[e]}", flat[:, :, e]
    yield from quantities.items()


def _labels(array: xr.DataArray) -> list[str]:
    dims = [d for d in array.dims if d not in (n.CHAIN, n.DRAW)]
    if not dims:
        return [""]
    mesh = np.meshgrid(*[array[d].to_numpy().astype(str) for d in dims], indexing="ij")
    return ["[" + ", ".join(parts) + "]" for parts in zip(*(m.ravel() for m in mesh), strict=True)]


def _person_checks(rhat: Array) -> list[CheckResult]:
    share = float((rhat < PERSON_RHAT[0]).mean())
    return [
        _compared(
            "person_rhat", _largest(rhat), PERSON_RHAT[1], "below", "largest R-hat of person-level quantities"
        ),
        _compared(
            "person_rhat_share",
            share,
            PERSON_SHARE,
            "at least",
            f"share of person-level quantities with R-hat below {PERSON_RHAT[0]}",
        ),
    ]


def _largest(values: Array) -> float:
    return float(np.max(np.where(np.isfinite(values), values, np.inf)))


def _smallest(values: Array) -> float:
    return float(np.min(np.where(np.isfinite(values), values, 0.0)))


def judge_integral(errors: Array | None) -> list[CheckResult]:
    """Judge the sd over draws of the errors of the integral over functions; nothing where there are none."""
    if errors is None:
        return []
    what = (
        f"sd over {len(errors)} draws of the error of the integral over functions, nats; where items are too "
        "steep for it, or what they share beside is too large, let them enter as a sum; `route: explicit` "
        "mends the draws, but not scores"
    )
    return [_compared("integral", float(errors.std()), LARGEST_INTEGRAL_ERROR, "at most", what)]


def _compared(name: str, value: float, limit: float, rule: str, what: str) -> CheckResult:
    """Return the verdict on one number: `rule` is ``at least``, ``at most``, ``below`` or ``above``."""
    passed = {
        "at least": value >= limit,
        "at most": value <= limit,
        "below": value < limit,
        "above": value > limit,
    }[rule]
    return CheckResult(name, bool(passed), float(value), float(limit), f"{what}: {rule} {limit:g}")
