"""A posterior: chains of NUTS, judged, and continued or run once more where they are not good enough."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.beside import stands_beside
from nssi_bayes.blocks.labelled import label, theta_of
from nssi_bayes.build import Built
from nssi_bayes.fit.accuracy import FEW, LARGEST_ERROR, LOOKED_AT, NEARLY, errors
from nssi_bayes.fit.chains import ENOUGH, Chain, open_chains
from nssi_bayes.spec import Sampler

__all__ = ["Drawn", "continued", "sample"]

_LOG: Final = logging.getLogger(__name__)
CAREFUL: Final = 0.9
"""Target acceptance of the one rerun after a divergence; of a sampler near it, half as far from 1."""
LARGEST_RHAT: Final = 1.01
FEWEST_EFFECTIVE: Final = 400.0
"""What certification asks for; `check` judges again, over every reported quantity."""
_FURTHER: Final = 2
"""Runs after the first that was not good enough: two continuations cost what one of twice the length does."""
_FAR: Final = 1.05
"""R-hat of chains that have not only too few draws: what they began with is not kept."""
CONSTANT: Final = 1e-9
_SUSPECTS: Final = 100

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Drawn:
    """What a sampler leaves.

    Parameters
    ----------
    values : dict of str to numpy.ndarray
        Draws by parameter [`chain`, `draw`, ...].
    statistics : xarray.Dataset
        Of the sampler [`chain`, `draw`].
    target_accept : float
        Of the run that is kept.
    tune : int
        Warm-up draws of a chain of the run that is kept.
    rerun : bool
        Whether a first run was not good enough, so that chains were continued or run again.
    fine : bool
        Whether the run that is kept integrated over functions with more nodes.
    parts : int
        Runs that follow each other in a chain, each after a warm-up of its own.
    """

    values: dict[str, Array]
    statistics: xr.Dataset
    target_accept: float
    tune: int
    rerun: bool
    fine: bool = False
    parts: int = 1


def sample(built: Built, sampler: Sampler, seeds: np.random.SeedSequence) -> Drawn:
    """Draw from a posterior; more where the first run cannot be certified.

    After a divergence the chains run once more, more carefully. Where they have not mixed and the sampler
    asks for as many draws as certification needs, each is continued with as many draws again, at most
    twice; where they are far from it, they run once more instead, twice as long. Where items are too steep
    for the sampler's nodes, people are integrated out with more of them (`accuracy`): from the start where
    the normal distribution at the typical point says so, else once its draws do.

    Parameters
    ----------
    built : Built
        The model.
    sampler : Sampler
        Chains, draws and target acceptance.
    seeds : numpy.random.SeedSequence
        Source of every random number.

    Returns
    -------
    Drawn
        Draws and statistics.
    """
    *runs, for_look = seeds.spawn(2 + _FURTHER + 1)
    each = iter(runs)
    enough = sampler.chains * sampler.draws >= ENOUGH
    with open_chains(built, sampler) as opened:

        def run(sampler: Sampler, *, fine: bool, start: Sequence[Array] = ()) -> list[Chain]:
            return opened.run(sampler, next(each).spawn(sampler.chains), fine=fine, start=start)

        fine, judged, rerun, tried = built.fine, enough and _has_finer(built), False, list[_Need]()
        look = np.random.default_rng(for_look)
        if judged and _too_steep(built, opened.near(LOOKED_AT, look), limit=NEARLY * LARGEST_ERROR):
            _LOG.info("items or residual factors are too steep for the sampler's nodes: finer ones")
            fine, judged = True, False
        chains = run(sampler, fine=fine)
        if judged and _too_steep(built, _values(chains)):  # whatever else is wrong may be of the nodes
            _LOG.info(
                "items or residual factors are too steep for the sampler's nodes: once more, with finer ones"
            )
            fine = rerun = True
            chains = run(sampler, fine=fine)
        parts = 1
        for _ in range(_FURTHER):
            need = _need(chains, enough=enough)
            if need == _Need.NOTHING or need in tried:
                break
            _LOG.info(need.value)
            rerun = True
            if need == _Need.MORE:
                further = run(sampler, fine=fine, start=[chain.position[-1] for chain in chains])
                chains = [continued(*both) for both in zip(chains, further, strict=True)]
                parts += 1
                continue
            tried.append(need)
            parts = 1
            sampler = sampler.model_copy(update=_changed(sampler, need))
            chains = run(sampler, fine=fine)
        return _together(chains, sampler, rerun=rerun, fine=fine, parts=parts)


class _Need(Enum):
    """What chains need to be good, as it is logged."""

    NOTHING = "nothing"
    MORE = "chains have not mixed: each is continued with as many draws again"
    LONGER = "chains are far from mixed: once more, twice as long"
    CARE = "divergences: once more, more carefully"


def _changed(sampler: Sampler, need: _Need) -> dict[str, Any]:
    """Return the settings of another run."""
    if need == _Need.CARE:
        return {"target_accept": max(CAREFUL, (1 + sampler.target_accept) / 2)}
    return {"tune": 2 * sampler.tune, "draws": 2 * sampler.draws}


def _need(chains: list[Chain], *, enough: bool) -> _Need:
    """Judge a run; one that is too short to be certified is not asked whether it has mixed."""
    if any(bool(chain.statistics["diverging"].any()) for chain in chains):
        return _Need.CARE
    if not enough:
        return _Need.NOTHING
    rhat, effective = _mixing(_values(chains))
    if rhat < LARGEST_RHAT and effective >= FEWEST_EFFECTIVE:
        return _Need.NOTHING
    return _Need.MORE if rhat < _FAR else _Need.LONGER


def continued(chain: Chain, further: Chain) -> Chain:
    """Return a chain and what follows it as one.

    Parameters
    ----------
    chain, further : Chain
        The second begins where the first ends.

    Returns
    -------
    Chain
        Draws and statistics of both.
    """
    values = {name: np.concatenate([value, further.values[name]]) for name, value in chain.values.items()}
    both = [one.statistics.drop_vars(n.DRAW, errors="ignore") for one in (chain, further)]
    statistics = xr.concat(both, dim=n.DRAW)
    return Chain(
        values,
        statistics.assign_coords({n.DRAW: np.arange(statistics.sizes[n.DRAW])}),
        np.concatenate([chain.position, further.position]),
    )


def _has_finer(built: Built) -> bool:
    """Whether there are more nodes than those the sampler begins with."""
    if built.fine or built.explicit:
        return False
    beside = stands_beside(built.design, {p.name for p in built.parameters})  # has nodes of its own
    return bool(built.design.coords[n.TESTLET]) or not (beside or len(built.design.plain_of) <= FEW)


def _too_steep(built: Built, values: dict[str, Array], *, limit: float = LARGEST_ERROR) -> bool:
    """Whether the sampler's nodes are too few at these draws [`chain`, `draw`, ...]."""
    theta = theta_of(label(values, built.parameters, built.design), built.parameters)
    found = errors(theta, built)
    return found is not None and float(found.std()) > limit


def _values(chains: list[Chain]) -> dict[str, Array]:
    return {name: np.stack([chain.values[name] for chain in chains]) for name in chains[0].values}


def _together(chains: list[Chain], sampler: Sampler, *, rerun: bool, fine: bool, parts: int) -> Drawn:
    statistics = xr.concat([chain.statistics for chain in chains], dim=n.CHAIN)
    statistics = statistics.assign_coords({n.CHAIN: np.arange(len(chains))})
    return Drawn(_values(chains), statistics, sampler.target_accept, sampler.tune, rerun, fine, parts)


def _mixing(values: dict[str, Array]) -> tuple[float, float]:
    """Return the largest R-hat and the smallest effective size of all parameters.

    Those of ranks are slow. They are taken of the elements that look worst without ranks, in place
    or in spread; `check` takes them of all.
    """
    from arviz_stats.base import array_stats  # which takes seconds to load

    flat = [np.moveaxis(v.reshape(*v.shape[:2], -1), -1, 0) for v in values.values()]
    stacked = np.concatenate(flat)
    stacked = stacked[stacked.std(axis=(1, 2)) > CONSTANT]  # of a correlation matrix: its diagonal
    folded = np.abs(stacked - np.median(stacked, axis=(1, 2), keepdims=True))
    looks = [
        look
        for v in (stacked, folded)
        for look in (-array_stats.rhat(v, method="split"), array_stats.ess(v, method="mean"))
    ]
    worst = np.unique(np.concatenate([np.argsort(look)[:_SUSPECTS] for look in looks]))
    stacked = stacked[worst]
    sizes = array_stats.ess(stacked), array_stats.ess(stacked, method="tail", prob=(0.05, 0.95))
    return float(array_stats.rhat(stacked).max()), float(np.min(sizes))
