"""What the data of each person say at each draw, a few people at a time.

Log-likelihoods of growing sets of blocks, and moments of the functions, are numbers by draw and person: of
30 000 people and 4 000 draws a gigabyte for each set of blocks, and nine for covariances. All that is
made of them is a sum over people or a number of one person, so that they are never held together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from arviz_stats.base import array_stats

from nssi_bayes.blocks import joint
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.marginal import of_functions
from nssi_bayes.blocks.people import few
from nssi_bayes.check import scores
from nssi_bayes.check.levels import Averages, averages, summed, weights_of
from nssi_bayes.check.scores import Scores
from nssi_bayes.integrate.quadrature import Moments

__all__ = ["Kept", "Pointwise", "in_parts", "pointwise"]

_AT_ONCE: Final = 40_000_000
"""Numbers by draw and person that are held at once, .3 GiB; scoring needs about as many again."""

type Array = np.ndarray[Any, Any]
type Sets = dict[tuple[str, ...], Array]


class Kept(NamedTuple):
    """What is kept of every person at some draws.

    Parameters
    ----------
    draws : numpy.ndarray
        Positions of these draws.
    log_likelihood : dict of tuple to numpy.ndarray
        By set of blocks [chosen sample, `participant`].
    log_weight : numpy.ndarray
        Of leaving the person out [`participant`, chosen sample], smoothed over all draws.
    """

    draws: Array
    log_likelihood: Sets
    log_weight: Array


class Pointwise(NamedTuple):
    """What is made of every person's log-likelihood and functions.

    Parameters
    ----------
    totals : dict of tuple to numpy.ndarray
        Log-likelihood of everybody by set of blocks [sample].
    scores : Scores
        Each person left out.
    averages : Averages
        Of people by disorder.
    spread : numpy.ndarray
        Variance of a function between people [sample, `function`].
    mean, sd : numpy.ndarray
        Of a person's functions, parameters integrated out [`participant`, `function`].
    rhat : numpy.ndarray
        Of the expected functions of a person [`participant` times `function`].
    kept : Kept
        At some draws.
    log_weight : numpy.ndarray
        Of leaving the person out, at other draws [`participant`, chosen sample].
    """

    totals: Sets
    scores: Scores
    averages: Averages
    spread: Array
    mean: Array
    sd: Array
    rhat: Array
    kept: Kept
    log_weight: Array

    @property
    def total(self) -> Array:
        """Log-likelihood of all data of everybody [sample]."""
        return self.totals[max(self.totals, key=len)]


def in_parts(
    theta: dict[str, Array], design: Design, *, last: bool = False
) -> Iterator[tuple[Array, Sets, Moments]]:
    """Evaluate some people after others.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter.
    design : Design
        The data.
    last : bool
        All blocks together only.

    Yields
    ------
    tuple
        Positions of some people; what `scores.evaluate` returns of them, moments of functions alone.
    """
    blocks, people = joint.blocks_of(design), len(design.diagnosis)
    axes, samples = len(design.plain_of), len(next(iter(theta.values())))
    each = samples * (axes * (axes + 1) + (1 if last else len(scores.sets_of(blocks))))
    for keep in np.array_split(np.arange(people), min(people, -(-people * each // _AT_ONCE))):
        part = design if len(keep) == people else few(design, keep)
        sets, moments = scores.evaluate(theta, part, blocks=blocks, last=last)
        yield keep, sets, of_functions(moments, design)


def pointwise(
    theta: dict[str, Array], design: Design, *, chains: int, keep: Array, weigh: Array | None = None
) -> Pointwise:
    """Evaluate everybody, and keep what is made of it.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter, chain after chain.
    design : Design
        The data.
    chains : int
        How many the draws come from.
    keep : numpy.ndarray
        Positions of draws at which `Kept` is wanted.
    weigh : numpy.ndarray, optional
        Positions of draws at which weights alone are wanted.

    Returns
    -------
    Pointwise
        Of everybody.
    """
    blocks, weights = joint.blocks_of(design), weights_of(design)
    each: list[dict[str, Any]] = []
    for people, sets, moments in in_parts(theta, design):
        expected = moments.mean.reshape(chains, -1, moments.mean[0].size)
        within = np.diagonal(moments.covariance, axis1=2, axis2=3)
        left_out = scores.leave_out(sets[tuple(blocks)], chains=chains)
        each.append(
            {
                "totals": {include: values.sum(axis=1) for include, values in sets.items()},
                "scores": scores.leave_one_out(sets, blocks, chains=chains, weights=left_out),
                "averages": averages(moments, weights[people]),
                "sums": (moments.mean.sum(axis=1), (moments.mean**2 + within).sum(axis=1)),
                "mean": moments.mean.mean(axis=0),
                "sd": np.sqrt(within.mean(axis=0) + moments.mean.var(axis=0)),
                "rhat": array_stats.rhat(np.moveaxis(expected, -1, 0)),
                "kept": {include: values[keep] for include, values in sets.items()},
                "log_weight": left_out[0][:, keep],
                "weighed": left_out[0][:, [] if weigh is None else weigh],
            }
        )
    first, second = (np.sum([one["sums"][k] for one in each], axis=0) for k in (0, 1))
    count = len(design.diagnosis)
    return Pointwise(
        totals={s: np.sum([one["totals"][s] for one in each], axis=0) for s in each[0]["totals"]},
        scores=_together([one["scores"] for one in each]),
        averages=summed(one["averages"] for one in each),
        spread=second / count - (first / count) ** 2,
        mean=np.concatenate([one["mean"] for one in each]),
        sd=np.concatenate([one["sd"] for one in each]),
        rhat=np.concatenate([one["rhat"] for one in each]),
        kept=Kept(
            keep,
            {s: np.concatenate([one["kept"][s] for one in each], axis=1) for s in each[0]["kept"]},
            np.concatenate([one["log_weight"] for one in each]),
        ),
        log_weight=np.concatenate([one["weighed"] for one in each]),
    )


def _together(parts: list[Scores]) -> Scores:
    """Return the scores of everybody from those of some people after others."""
    names = parts[0].elpd
    return Scores(
        {name: np.concatenate([p.elpd[name] for p in parts]) for name in names},
        {name: float(np.sum([p.p_loo[name] for p in parts])) for name in names},
        np.concatenate([p.k_hat for p in parts]),
    )
