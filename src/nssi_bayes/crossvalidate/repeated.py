"""A model of a repeated count fitted without some people, who are then scored with all their counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from nssi_bayes import names as n
from nssi_bayes.blocks.repeated import counts_of, rows
from nssi_bayes.crossvalidate.refit import largest_rhat
from nssi_bayes.fit.repeated import fit_rows
from nssi_bayes.integrate.counts import log_likelihood
from nssi_bayes.spec import RepeatedSpec, Sampler

__all__ = ["held_out"]

type Array = np.ndarray[Any, Any]


def held_out(
    spec: RepeatedSpec, cohort: xr.Dataset, out: Array, sampler: Sampler, *, seeds: np.random.SeedSequence
) -> tuple[Array, int, float]:
    """Return scores of some people by a fit without them.

    Parameters
    ----------
    spec : RepeatedSpec
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
        Log predictive density of all counts of a person [person left out], nats, 0 for who has none;
        divergences; largest R-hat.
    """
    everybody = rows(spec, cohort)
    stay = np.setdiff1d(np.arange(len(everybody.count)), out)
    tree = fit_rows(everybody.of(stay), sampler, seeds)
    posterior = tree["posterior"].to_dataset()
    values = log_likelihood(counts_of(posterior, everybody.of(out)))
    draws = [v.transpose(n.CHAIN, n.DRAW).to_numpy() for v in posterior.data_vars.values()]
    score = logsumexp(values, axis=0) - np.log(len(values))
    return score, int(tree["sample_stats"]["diverging"].sum()), largest_rhat(draws)
