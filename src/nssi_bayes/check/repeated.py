"""Scores of a repeated count: a person left out with all counts, effects integrated out; never one count.

Leaving out one count while its person's effect, or its own, stays as fitted rewards effects that have
seen what they are to foresee (Merkle, Furr & Rabe-Hesketh 2019, 10.1007/s11336-019-09679-0), and the
weights of PSIS fail where an effect follows a single count. `conditional` measures for how many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.repeated import counts_of, rows
from nssi_bayes.check import scores
from nssi_bayes.check.associations import rate_ratios
from nssi_bayes.check.estimates import PARTS
from nssi_bayes.check.gate import Gate, judge, judge_ends
from nssi_bayes.compare import k_hat_limit
from nssi_bayes.errors import ArtefactError
from nssi_bayes.integrate.counts import draw_effects, log_likelihood
from nssi_bayes.spec import Params, RepeatedSpec
from nssi_bayes.store import digest

__all__ = ["BLOCK", "Conditional", "conditional", "found", "refuse", "score"]

BLOCK: Final = "repeated_outcome"
_CONDITIONED: Final = "nothing but predictors of the cohort"

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Conditional:
    """How often leaving out one count fails.

    Parameters
    ----------
    counts, over : int
        Counts, and those whose k-hat is over the limit.
    limit, largest : float
        The limit, and the largest k-hat.
    """

    counts: int
    over: int
    limit: float
    largest: float


def score(spec: RepeatedSpec, cohort: xr.Dataset, posterior: xr.Dataset) -> scores.Scores:
    """Score every person, left out with all counts.

    Parameters
    ----------
    spec : RepeatedSpec
        The model.
    cohort : xarray.Dataset
        Satisfies `schema`.
    posterior : xarray.Dataset
        From `fit` [`chain`, `draw`].

    Returns
    -------
    Scores
        Of the block `BLOCK`; 0 for who was never counted.
    """
    return _scores(_whole(spec, cohort, posterior), posterior.sizes[n.CHAIN])


def conditional(
    spec: RepeatedSpec, cohort: xr.Dataset, posterior: xr.Dataset, rng: np.random.Generator
) -> Conditional:
    """Measure how often leaving out a single count fails, effects as fitted.

    Parameters
    ----------
    spec : RepeatedSpec
        The model.
    cohort : xarray.Dataset
        Satisfies `schema`.
    posterior : xarray.Dataset
        From `fit` [`chain`, `draw`].
    rng : numpy.random.Generator
        Effects are drawn again given the counts and each draw of the parameters.

    Returns
    -------
    Conditional
        Share and size of k-hat.
    """
    counts = counts_of(posterior, rows(spec, cohort))
    seen = np.isfinite(counts.count)
    # [sample, participant, occasion, node], with one node
    values = counts.log_count(draw_effects(counts, rng)[..., None])[..., 0][:, seen]
    k_hat = scores.leave_out(values, chains=posterior.sizes[n.CHAIN])[1]
    limit = k_hat_limit(len(values))
    return Conditional(len(k_hat), int((~(k_hat <= limit)).sum()), limit, float(k_hat.max()))


def refuse(
    spec: RepeatedSpec, cohort: xr.Dataset, posterior: xr.Dataset, *, rng: np.random.Generator, where: str
) -> None:
    """Refuse to score single counts, with the share of them for which it fails.

    Parameters
    ----------
    spec : RepeatedSpec
        The model.
    cohort : xarray.Dataset
        Satisfies `schema`.
    posterior : xarray.Dataset
        From `fit` [`chain`, `draw`].
    rng : numpy.random.Generator
        For `conditional`.
    where : str
        The spec's file, for the message.

    Raises
    ------
    ArtefactError
        If the spec asks for them.
    """
    if spec.left_out != "occasion":
        return
    one = conditional(spec, cohort, posterior, rng)
    raise ArtefactError(
        f"left_out: occasion is refused. Effects that have seen a count cannot foresee it: {one.over} of "
        f"{one.counts} counts ({one.over / one.counts:.0%}) have a k-hat over {one.limit:.2f}, the largest "
        f"{one.largest:.2f}",
        where=where,
        cure="write left_out: participant, or leave it away: a person is left out with all counts, and "
        "effects are integrated out",
    )


def found(spec: RepeatedSpec, cohort: xr.Dataset, tree: xr.DataTree, *, params: Params) -> dict[str, Any]:
    """Judge and score one fit; what `check` writes.

    Parameters
    ----------
    spec : RepeatedSpec
        The model.
    cohort : xarray.Dataset
        Satisfies `schema`.
    tree : xarray.DataTree
        From `fit`.
    params : Params
        Interval and ROPE.

    Returns
    -------
    dict
        Gate, scores, estimates and what they rest on.
    """
    posterior = tree["posterior"].to_dataset()
    whole, chains = _whole(spec, cohort, posterior), posterior.sizes[n.CHAIN]
    gate = judge(tree, {"log_likelihood": whole.sum(axis=1).reshape(chains, -1)})
    summaries = {part: [] for part in PARTS} | rate_ratios(posterior, params)
    ends = [judge_ends(summaries["min_ess_of_ends"])] if "min_ess_of_ends" in summaries else []
    count = rows(spec, cohort).count
    seen = np.isfinite(count)
    values = {f"{spec.outcome} {k}": count[:, k] for k in range(count.shape[1])}
    marks = [scores.outcome_digest(name, v, np.isfinite(v)) for name, v in values.items()]
    return {
        "gate": Gate([*gate.checks, *ends], gate.sampling),
        "scores": _scores(whole, chains),
        "observed": {BLOCK: digest({"occasions": marks})},
        "conditioned": {BLOCK: _CONDITIONED},
        "blocks": [BLOCK],
        "predictive": {"checks": []},
        "estimates": summaries,
        "person": xr.Dataset(),
        "participants": int(seen.any(axis=1).sum()),
    }


def _whole(spec: RepeatedSpec, cohort: xr.Dataset, posterior: xr.Dataset) -> Array:
    return log_likelihood(counts_of(posterior, rows(spec, cohort)))


def _scores(whole: Array, chains: int) -> scores.Scores:
    left_out = scores.leave_one_out({(BLOCK,): whole}, (BLOCK,), chains=chains)
    return scores.Scores({BLOCK: left_out.elpd[BLOCK]}, {BLOCK: left_out.p_loo[BLOCK]}, left_out.k_hat)
