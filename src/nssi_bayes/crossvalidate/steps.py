"""How well a large group is foreseen: by posteriors between the one without it and the one with it.

Where a fifth of a cohort is left out the two hardly meet, and a bridge between them has a large Monte Carlo
error. log p(group | others) is then taken in steps, log p(some of the group | others) + log p(the rest |
others and these), and so on: each bridge that errs too much is parted in the middle by one more fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nssi_bayes.fit.bridge import log_ratio

__all__ = ["Foreseen", "foreseen", "in_steps"]

SMALL: Final = 0.3
"""Monte Carlo error that is aimed at, nats."""
MOST: Final = 8
"""Steps at most."""

type Array = np.ndarray[Any, Any]
type Held = Callable[[Sequence[Array], Sequence[Array] | None], Sequence[Any]]
type Fits = Callable[[Sequence[tuple[int, Array]]], Sequence[Array]]


@dataclass(frozen=True, eq=False)
class _Step:
    """From a posterior that knows the first `start` people of a group to one that knows `end` of them."""

    start: int
    end: int
    before: Array
    after: Array
    score: float
    error: float

    @classmethod
    def of(cls, start: int, end: int, before: Array, after: Array) -> _Step:
        """Take the bridge; log-likelihoods at the draws of both [`chain`, `draw`, person]."""
        some = slice(start, end)
        score, error = log_ratio(before[:, :, some].sum(axis=2), after[:, :, some].sum(axis=2))
        return cls(start, end, before, after, score, error)


@dataclass(frozen=True)
class Foreseen:
    """What is known of a group.

    Parameters
    ----------
    score, error : float
        log p(group | others) and its Monte Carlo standard error, nats.
    steps : int
        Bridges that it is made of.
    """

    score: float
    error: float
    steps: int


def in_steps(without: Sequence[Array], everybody: Sequence[Array], fits: Fits) -> list[Foreseen]:
    """Return how well groups are foreseen, by as many steps as each needs.

    Parameters
    ----------
    without : sequence of numpy.ndarray
        By group: log-likelihood of each of its people, at draws that saw none of them
        [`chain`, `draw`, person]. People are added in this order.
    everybody : sequence of numpy.ndarray
        The same at draws that saw all of them.
    fits : callable
        From groups and positions in them of who is left out, to log-likelihoods of all people of the
        group at draws that saw the others.

    Returns
    -------
    list of Foreseen
        By group.
    """
    chains = [
        [_Step.of(0, before.shape[2], before, after)]
        for before, after in zip(without, everybody, strict=True)
    ]
    while True:
        parted = [(g, step) for g, chain in enumerate(chains) for step in _too_wide(chain)]
        if not parted:
            return [_together(chain) for chain in chains]
        middles = [(step.start + step.end) // 2 for _, step in parted]
        asked = [(g, np.arange(m, without[g].shape[2])) for (g, _), m in zip(parted, middles, strict=True)]
        for (g, step), middle, between in zip(parted, middles, fits(asked), strict=True):
            at = chains[g].index(step)
            chains[g][at : at + 1] = [
                _Step.of(step.start, middle, step.before, between),
                _Step.of(middle, step.end, between, step.after),
            ]


def foreseen(
    groups: Sequence[Array], order: Sequence[Array], everybody: Sequence[Array], held: Held
) -> list[dict[str, Any]]:
    """Return how well groups are foreseen, by as many fits as that needs.

    Parameters
    ----------
    groups : sequence of numpy.ndarray
        Positions of the people of each.
    order : sequence of numpy.ndarray
        In which they are added.
    everybody : sequence of numpy.ndarray
        By group: log-likelihood of its people at draws that saw everybody [`chain`, `draw`, person].
    held : callable
        From those who are left out, and those who are scored where these are others, to fits.

    Returns
    -------
    list of dict
        Rows of ``left_out.json``, without the names of group and model.
    """
    first = held(groups, None)
    used = [[one] for one in first]

    def fits(asked: Sequence[tuple[int, Array]]) -> list[Array]:
        if not asked:
            return []
        out = [groups[g][order[g][at]] for g, at in asked]
        found = held(out, [groups[g] for g, _ in asked])
        for (g, _), one in zip(asked, found, strict=True):
            used[g].append(one)
        return [one.by_person[:, :, order[g]] for (g, _), one in zip(asked, found, strict=True)]

    without: list[Any] = []
    whole: list[Array] = []
    again: list[int] = []
    for g, (one, seen) in enumerate(zip(first, everybody, strict=True)):
        without.append(None if one.by_person is None else one.by_person[:, :, order[g]])
        whole.append(seen[:, :, order[g]])
        if one.by_person is not None:
            continue
        # a note of a former version has the sum over the group alone, which is enough for one step
        if len(order[g]) == 1 or log_ratio(one.of_group, seen.sum(axis=2))[1] <= SMALL:
            without[g], whole[g] = one.of_group[:, :, None], seen.sum(axis=2, keepdims=True)
        else:
            again.append(g)
    for g, values in zip(again, fits([(g, np.arange(len(order[g]))) for g in again]), strict=True):
        without[g] = values
    return [
        {"log_predictive": one.score, "mcse": one.error, "steps": one.steps,
         "by_person": float(fit.elpd["total"].sum()), "max_rhat": float(np.max([f.max_rhat for f in all_of])),
         "divergences": sum(f.divergences for f in all_of)}
        for one, fit, all_of in zip(in_steps(without, whole, fits), first, used, strict=True)
    ]  # fmt: skip


def _together(chain: Sequence[_Step]) -> Foreseen:
    # posteriors between two steps serve both, whose errors are nearly independent: they are of other people
    error = float(np.sqrt(sum(step.error**2 for step in chain)))
    return Foreseen(sum(step.score for step in chain), error, len(chain))


def _too_wide(chain: Sequence[_Step]) -> list[_Step]:
    """Return the steps that are to be parted, worst first, as many as there is room for."""
    if _together(chain).error <= SMALL:
        return []
    share = SMALL / np.sqrt(len(chain))
    wide = [step for step in chain if step.end - step.start > 1 and not step.error <= share]
    return sorted(wide, key=lambda step: -step.error)[: MOST - len(chain)]
