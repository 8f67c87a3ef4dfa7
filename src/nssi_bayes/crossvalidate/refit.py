"""One model fitted again and again without some people, who are then scored.

What a posterior needs before its first draw, coordinates in which it is nearly round, is found once,
with everybody; where functions are sampled there is one for each person, and every fit finds its own.
What is compiled is compiled once a process. Parameters, labels and constants of the whole cohort stay: a
disorder, a site or an effect that loses its people is still in the model, where only its prior speaks.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from arviz_stats.base import array_stats
from scipy.special import logsumexp

from nssi_bayes.blocks import joint, marginal
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.labelled import label, theta_of
from nssi_bayes.blocks.people import few
from nssi_bayes.build import Built
from nssi_bayes.check import scores
from nssi_bayes.errors import DataError
from nssi_bayes.fit.chains import draw_chain, end_with_parent, typical_coordinates
from nssi_bayes.fit.density import compile_density
from nssi_bayes.spec import Sampler

__all__ = ["Held", "held_out", "largest_rhat", "of_others", "sets_of", "without"]

_CONSTANT: Final = 1e-9

type Array = np.ndarray[Any, Any]
type Sets = dict[tuple[str, ...], Array]


@dataclass(frozen=True)
class Held:
    """What a fit without some people says of them.

    Parameters
    ----------
    index : int
        Which of the groups.
    log_likelihood : dict of tuple to numpy.ndarray
        By growing set of blocks [sample, person left out], nats.
    chains : int
        From which the samples come, one after the other.
    divergences : int
        Of all chains.
    max_rhat : float
        Of what the scores rest on: log-likelihood of those left out, and of every parameter.
    """

    index: int
    log_likelihood: Sets
    chains: int
    divergences: int
    max_rhat: float

    def elpd(self, blocks: Sequence[str]) -> dict[str, Array]:
        """Return the log predictive density of each person's data, by name of a score.

        Parameters
        ----------
        blocks : sequence of str
            Of the model, in order.

        Returns
        -------
        dict of str to numpy.ndarray
            As `check.scores.leave_one_out` [person left out], nats.
        """
        means = {k: logsumexp(v, axis=0) - np.log(len(v)) for k, v in self.log_likelihood.items()}
        means[()] = np.zeros_like(next(iter(means.values())))
        return {
            name: means[after] - means[before] for name, (before, after) in scores.steps_of(blocks).items()
        }

    @property
    def by_person(self) -> Array:
        """Log-likelihood of all data of each who was scored [`chain`, `draw`, person]."""
        total = self.log_likelihood[max(self.log_likelihood, key=len)]
        return total.reshape(self.chains, -1, total.shape[1])

    @property
    def of_group(self) -> Array:
        """Log-likelihood of all data of all who were scored, together [`chain`, `draw`]."""
        return np.asarray(self.by_person.sum(axis=2))


def without(design: Design, out: Array) -> Design:
    """Return the design of everybody else."""
    return few(design, np.setdiff1d(np.arange(len(design.diagnosis)), out))


def of_others(built: Built, out: Array) -> Built:
    """Return the model of everybody else, with everybody's parameters, whoever has data of them."""
    return replace(built, design=without(built.design, out))


def held_out(
    built: Built,
    groups: Sequence[Array],
    sampler: Sampler,
    seeds: Sequence[np.random.SeedSequence],
    *,
    scored: Sequence[Array] | None = None,
) -> Iterator[Held]:
    """Fit a model without each group of people and score those who were left out.

    Parameters
    ----------
    built : Built
        The model of everybody.
    groups : sequence of numpy.ndarray
        Positions of those who are left out together.
    sampler : Sampler
        Of each fit.
    seeds : sequence of numpy.random.SeedSequence
        Source of every random number of each fit.
    scored : sequence of numpy.ndarray, optional
        Positions of those who are scored, all data together only; those who were left out, by every
        set of blocks, if it is not given.

    Yields
    ------
    Held
        As they are finished, not in order.

    Raises
    ------
    DataError
        If nobody is left.
    """
    _refuse_everybody(built, groups)
    coordinates = None if built.explicit else typical_coordinates(built)
    workers = min(os.cpu_count() or 1, len(groups))
    who = [None] * len(groups) if scored is None else scored
    calls = list(zip(range(len(groups)), groups, who, seeds, strict=True))
    if workers <= 1:
        _keep(built, coordinates, sampler)
        for call in calls:
            yield _one(*call)
        return
    given = (replace(built), coordinates, sampler)  # without what it keeps
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_keep, initargs=given) as pool:
        waiting = [pool.submit(_one, *call) for call in calls]
        try:
            for done in as_completed(waiting):
                yield done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _refuse_everybody(built: Built, groups: Sequence[Array]) -> None:
    if any(len(np.unique(out)) == len(built.design.diagnosis) for out in groups):
        raise DataError(
            "all people are to be left out together, and nobody is left to fit the model to",
            where="cross_validation",
            cure="leave out smaller groups: more folds, or no `leave` of a kind of which there is one",
        )


_here: dict[str, Any] = {}
"""What a process keeps between fits."""


def _keep(built: Built, coordinates: Any, sampler: Sampler) -> None:
    if multiprocessing.parent_process() is not None:
        threading.Thread(target=end_with_parent, daemon=True).start()
    _here.update(built=built, coordinates=coordinates, sampler=sampler)


def _one(index: int, out: Array, scored: Array | None, seeds: np.random.SeedSequence) -> Held:
    whole, sampler = _here["built"], _here["sampler"]
    design = whole.design
    built = of_others(whole, out)
    density = compile_density(built)
    # where functions are sampled, each of those who are left has some of the coordinates
    coordinates = _here["coordinates"] or typical_coordinates(built)
    chains = [draw_chain(density, coordinates, sampler, s) for s in seeds.spawn(sampler.chains)]
    values = {name: np.stack([c.values[name] for c in chains]) for name in chains[0].values}
    theta = theta_of(label(values, built.parameters, built.design), built.parameters)
    found = sets_of(theta, design, out if scored is None else scored, last=scored is not None)
    diverged = sum(int(c.statistics["diverging"].sum()) for c in chains)
    held = Held(index, found, len(chains), diverged, np.nan)
    return replace(held, max_rhat=largest_rhat([held.of_group, *values.values()]))


def sets_of(theta: dict[str, Array], design: Design, people: Array, *, last: bool = False) -> Sets:
    """Return the log-likelihood of some people's data in every set of blocks that is scored.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter.
    design : Design
        Of everybody; its blocks are those of the model, also where these people lack one.
    people : numpy.ndarray
        Their positions.
    last : bool
        All blocks together only.

    Returns
    -------
    dict of tuple to numpy.ndarray
        By set of blocks [sample, person].
    """
    blocks, part = joint.blocks_of(design), few(design, people)
    grid = marginal.grid_settings(len(design.plain_of), fine=True)
    return {
        include: marginal.evaluate(theta, part, include=include, grid=grid, moments=False).log_integral
        for include in scores.sets_of(blocks)[-1 if last else 0 :]
    }


def largest_rhat(draws: Iterable[Array]) -> float:
    """Return the largest R-hat of all elements that vary; NaN if a draw is no number.

    Parameters
    ----------
    draws : iterable of numpy.ndarray
        [`chain`, `draw`, ...].

    Returns
    -------
    float
        Rank-normalised and split.
    """
    flat = [np.moveaxis(v.reshape(*v.shape[:2], -1), -1, 0) for v in draws]
    stacked = np.concatenate(flat)
    if np.isnan(stacked).any():
        return np.nan
    return float(array_stats.rhat(stacked[np.ptp(stacked, axis=(1, 2)) > _CONSTANT]).max())
