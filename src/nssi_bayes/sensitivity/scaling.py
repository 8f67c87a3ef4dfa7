"""Power-scaling: how conclusions move with a little more or less weight on a prior or a block.

Each top-level prior, all of them together, and each block's likelihood given the blocks before it
are raised to a power near 1 by importance weights (Kallioinen et al. 2024,
10.1007/s11222-023-10366-5). What is scaled by another parameter is part of the model, not a prior,
and is left alone: scaling it would change what the top-level scale means. A flat prior (LKJ(1),
Dirichlet(1)) has nothing to scale.

A log-density that varies much over the draws (that of many elements at once) moves any conclusion a
little, by chance. How much is measured: conclusions of one chain are weighted by the log-density of
another, of which they know nothing, and what 95 of 100 stay under is that term's floor.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr
from arviz_stats import psense
from scipy import stats

from nssi_bayes import names as n
from nssi_bayes.blocks.parameter import Parameter
from nssi_bayes.families.mixture import log_density

__all__ = ["THRESHOLD", "is_flat", "log_priors", "power_scale"]

THRESHOLD: Final = 0.05
"""Sensitivity from which on one speaks of one (Kallioinen et al. 2024)."""
ALL: Final = "all"
_ONE: Final = "conclusions"
_FOR_FLOOR: Final = 20
"""Conclusions from which the floor of a term is taken."""

type Array = np.ndarray[Any, Any]


def log_priors(theta: dict[str, Array], parameters: list[Parameter]) -> dict[str, Array]:
    """Return the log-density of every top-level prior that is not flat.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter; a correlation matrix as its Cholesky factor.
    parameters : list of Parameter
        Their priors.

    Returns
    -------
    dict of str to numpy.ndarray
        Nats, up to a constant [sample].
    """
    found = {}
    for p in parameters:
        if p.scale is not None or p.family == "one_factor" or is_flat(p):
            continue
        values = theta[p.name]
        found[p.name] = _log_density(p, values).reshape(len(values), -1).sum(axis=1)
    return found


def is_flat(p: Parameter) -> bool:
    """Whether a prior's density is constant, so that scaling it changes nothing."""
    constant = {"lkj": (p.alpha,), "dirichlet": (p.alpha,), "beta": (p.alpha, p.beta)}.get(p.family, ())
    return bool(constant) and all(value == 1 for value in constant)


def _log_density(p: Parameter, values: Array) -> Array:
    if p.family == "normal":
        return stats.norm.logpdf(values, p.mu, p.sigma)
    if p.family == "mixture":
        return log_density(values, p.weights, p.mu, p.sigma)[0]
    if p.family == "halfnormal":
        return stats.halfnorm.logpdf(values, scale=p.sigma)
    if p.family == "halfcauchy":
        return stats.halfcauchy.logpdf(values, scale=p.sigma)
    if p.family == "lognormal":
        return stats.lognorm.logpdf(values, p.sigma, scale=np.exp(p.mu))
    if p.family == "beta":
        return stats.beta.logpdf(values, p.alpha, p.beta)
    if p.family == "gamma":
        return stats.gamma.logpdf(values, p.alpha, scale=1 / p.beta)
    if p.family == "dirichlet":
        return (p.alpha - 1) * np.log(values)
    diagonal = np.diagonal(values, axis1=-2, axis2=-1)  # lkj: det(R) to the power alpha - 1
    return 2 * (p.alpha - 1) * np.log(diagonal)


def power_scale(
    conclusions: dict[str, Array], priors: dict[str, Array], likelihoods: dict[str, Array]
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Return the sensitivity of every conclusion to every prior and block.

    Parameters
    ----------
    conclusions : dict of str to numpy.ndarray
        [`chain`, `draw`].
    priors : dict of str to numpy.ndarray
        From `log_priors` [sample].
    likelihoods : dict of str to numpy.ndarray
        By block, given the blocks before it: together the log-likelihood of all data [sample].

    Returns
    -------
    tuple
        One row a conclusion, with a diagnosis in words, the most sensitive first; and from which
        value on each prior, and all of them together, count (`THRESHOLD` or the floor).
    """
    names, shape = list(conclusions), next(iter(conclusions.values())).shape
    coords = {n.CHAIN: np.arange(shape[0]), n.DRAW: np.arange(shape[1])}
    # one variable of all of them: with one each, most of the time goes into aligning them
    everything = np.stack(list(conclusions.values()))
    all_of_them = xr.Dataset({_ONE: (("which", n.CHAIN, n.DRAW), everything)}, coords=coords)
    some = all_of_them.isel({"which": np.unique(np.linspace(0, len(names) - 1, _FOR_FLOOR).astype(int))})

    def sensed(data: xr.Dataset, values: Array, group: str) -> Array:
        scaled = xr.Dataset({"term": ((n.CHAIN, n.DRAW), values)}, coords=coords)
        name = "log_prior" if group == "prior" else "log_likelihood"
        return psense(xr.DataTree.from_dict({"posterior": data, name: scaled}), group=group)[_ONE].to_numpy()

    def side(group: str, terms: dict[str, Array]) -> dict[str, dict[str, float]]:
        return {
            term: dict(zip(names, sensed(all_of_them, values.reshape(shape), group).tolist(), strict=True))
            for term, values in _with_all(terms).items()
        }

    by_prior, by_block = side("prior", priors), side("likelihood", likelihoods)
    limits = {}
    for term, values in _with_all(priors).items():
        strange = sensed(some, np.roll(values.reshape(shape), 1, axis=0), "prior")
        limits[term] = max(THRESHOLD, float(np.quantile(strange, 0.95)))
    rows = [_row(name, by_prior, by_block, limits) for name in names]
    return sorted(rows, key=lambda row: -row["prior"]), limits


def _with_all(terms: dict[str, Array]) -> dict[str, Array]:
    return {**terms, ALL: np.sum(list(terms.values()), axis=0)}


def _row(
    name: str,
    by_prior: dict[str, dict[str, float]],
    by_block: dict[str, dict[str, float]],
    limits: dict[str, float],
) -> dict[str, Any]:
    each = {term: values[name] for term, values in by_prior.items() if term != ALL}
    strongest = max(each, key=lambda term: each[term] / limits[term])
    sensitive = {k: v for k, v in each.items() if v >= limits[k]}
    prior, likelihood = by_prior[ALL][name], by_block[ALL][name]
    said = "no sensitivity to the prior"
    if sensitive or prior >= limits[ALL]:
        said = f"moves with the prior of {strongest} and with the data" if likelihood >= THRESHOLD else (
            f"led by the prior, of {strongest} most: the data say little"
        )  # fmt: skip
    return {
        "conclusion": name, "prior": prior, "likelihood": likelihood, "strongest_prior": strongest,
        "strongest_prior_sensitivity": each[strongest], "diagnosis": said,
        "blocks": {term: values[name] for term, values in by_block.items() if term != ALL},
        "sensitive_priors": sensitive, "sensitive": bool(sensitive) or prior >= limits[ALL],
    }  # fmt: skip
