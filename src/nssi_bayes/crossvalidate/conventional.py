"""A conventional model fitted without some people, who are then scored.

Its table keeps the columns and scales of the whole cohort, as those of a joint model do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from nssi_bayes import names as n
from nssi_bayes.blocks.conventional import log_predictive, table
from nssi_bayes.crossvalidate.refit import largest_rhat
from nssi_bayes.fit.conventional import fit_table
from nssi_bayes.spec import ConventionalSpec, Sampler

__all__ = ["held_out"]

type Array = np.ndarray[Any, Any]


def held_out(
    spec: ConventionalSpec, cohort: xr.Dataset, out: Array, sampler: Sampler, *, seeds: np.random.SeedSequence
) -> tuple[Array, int, float]:
    """Return scores of some people by a fit without them.

    Parameters
    ----------
    spec : ConventionalSpec
        The model.
    cohort : xarray.Dataset
        Satisfies `schema`.
    out : numpy.ndarray
        Positions of those who are left out.
    sampler : Sampler
        Chains and draws.
    seeds : numpy.random.SeedSequence
        Source of every random number.

    Returns
    -------
    tuple
        Log predictive density of the outcome [person left out], nats, 0 for who has none;
        divergences; largest R-hat.
    """
    data = table(spec, cohort)
    labels = cohort[n.PARTICIPANT].to_numpy().astype(str)[out]
    mine = data.index.isin(labels)
    seen = data[~mine]
    varies = [c for c in seen.columns if c in (n.OUTCOME, n.PATTERN) or np.ptp(seen[c].to_numpy()) > 0]
    seen = seen[varies].assign(**{n.PATTERN: seen[n.PATTERN].cat.remove_unused_categories()})
    for_fit, for_new = seeds.spawn(2)
    tree = fit_table(spec, seen, sampler, for_fit)
    posterior = tree["posterior"].to_dataset()
    found = np.zeros(len(out))
    scored = np.isin(labels, data.index)
    values = log_predictive(posterior, spec, data.loc[labels[scored]], np.random.default_rng(for_new))
    found[scored] = logsumexp(values, axis=0) - np.log(len(values))
    draws = [v.transpose(n.CHAIN, n.DRAW, ...).to_numpy() for v in posterior.data_vars.values()]
    return found, int(tree["sample_stats"]["diverging"].sum()), largest_rhat(draws)
