"""NUTS on a compiled density, in the coordinates of `whiten`."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats

from nssi_bayes import names as n
from nssi_bayes.fit.density import Density
from nssi_bayes.fit.whiten import Coordinates, find_coordinates
from nssi_bayes.spec import Sampler

__all__ = ["CAREFUL", "Drawn", "run_nuts", "sample", "statistics"]

_LOG: Final = logging.getLogger(__name__)
_POSITION: Final = "position"
_STATISTICS: Final = ("diverging", "energy", "n_steps", "step_size", "tree_depth", "depth", "logp")
CAREFUL: Final = 0.97
"""Target acceptance of the one rerun after a divergence."""
ENOUGH: Final = 4000
LARGEST_RHAT: Final = 1.01
FEWEST_EFFECTIVE: Final = 400.0
"""What certification asks for; `check` judges again, over every reported quantity."""
CONSTANT: Final = 1e-9

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
        Whether a first run was not good enough.
    """

    values: dict[str, Array]
    statistics: xr.Dataset
    target_accept: float
    tune: int
    rerun: bool


def sample(density: Density, sampler: Sampler, seeds: np.random.SeedSequence) -> Drawn:
    """Draw from a posterior; once more where the first run cannot be certified.

    After a divergence the second run is more careful; where chains have not mixed and the sampler
    asks for as many draws as certification needs, it is twice as long.

    Parameters
    ----------
    density : Density
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
    coordinates = find_coordinates(density.value_and_gradient, density.start, scaled=density.scaled)
    first, second = seeds.spawn(2)
    drawn = _run(density, coordinates, sampler, seeds=first)
    if bool(drawn.statistics["diverging"].any()):
        _LOG.info("divergences: once more at target acceptance %.2f", CAREFUL)
        sampler = sampler.model_copy(update={"target_accept": CAREFUL})
    elif sampler.chains * sampler.draws >= ENOUGH and not _mixed(drawn.values):
        _LOG.info("chains have not mixed: once more, twice as long")
        sampler = sampler.model_copy(update={"tune": 2 * sampler.tune, "draws": 2 * sampler.draws})
    else:
        return drawn
    return replace(_run(density, coordinates, sampler, seeds=second), rerun=True)


def _mixed(values: dict[str, Array]) -> bool:
    """Whether R-hat and effective sizes of all parameters allow certification."""
    flat = [np.moveaxis(v.reshape(*v.shape[:2], -1), -1, 0) for v in values.values()]
    stacked = np.concatenate(flat)
    stacked = stacked[stacked.std(axis=(1, 2)) > CONSTANT]  # of a correlation matrix: its diagonal
    sizes = array_stats.ess(stacked), array_stats.ess(stacked, method="tail", prob=(0.05, 0.95))
    return bool(array_stats.rhat(stacked).max() < LARGEST_RHAT and np.min(sizes) >= FEWEST_EFFECTIVE)


def _run(
    density: Density, coordinates: Coordinates, sampler: Sampler, *, seeds: np.random.SeedSequence
) -> Drawn:
    trace = _nuts(density, coordinates, sampler, accept=sampler.target_accept, seeds=seeds)
    y = trace.posterior[_POSITION].to_numpy()
    x = coordinates.mode + y @ coordinates.transform.T
    chains, draws = x.shape[:2]
    flat = density.constrain(x.reshape(chains * draws, -1))
    values = {name: v.reshape(chains, draws, *v.shape[1:]) for name, v in flat.items()}
    accept, tune = sampler.target_accept, sampler.tune
    return Drawn(values, statistics(trace, chains, draws), accept, tune, rerun=False)


def _nuts(
    density: Density,
    coordinates: Coordinates,
    sampler: Sampler,
    *,
    accept: float,
    seeds: np.random.SeedSequence,
) -> xr.DataTree:
    from nutpie.compiled_pyfunc import from_pyfunc

    of_y = coordinates.pull_back(density.value_and_gradient)
    size = density.size

    def start(seed: int) -> Array:
        return np.random.default_rng(seed).standard_normal(size)

    compiled = from_pyfunc(
        size,
        lambda: lambda y, **_: of_y(y),
        lambda *_: lambda y, **_: {_POSITION: y},
        [np.dtype("float64")],
        [(size,)],
        [_POSITION],
        coords={"coordinate": np.arange(size)},
        dims={_POSITION: ("coordinate",)},
        make_initial_point_fn=start,
    )
    return run_nuts(compiled, sampler, accept=accept, seeds=seeds)


def run_nuts(compiled: Any, sampler: Sampler, *, accept: float, seeds: np.random.SeedSequence) -> xr.DataTree:
    """Run nutpie on a compiled model, all chains side by side.

    Parameters
    ----------
    compiled : nutpie.CompiledModel
        The model.
    sampler : Sampler
        Chains and draws.
    accept : float
        Target acceptance.
    seeds : numpy.random.SeedSequence
        Source of every random number.

    Returns
    -------
    xarray.DataTree
        Draws and statistics, without warm-up.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted; nutpie itself returns what it has.
    """
    import nutpie

    trace = nutpie.sample(
        compiled,
        chains=sampler.chains,
        cores=min(sampler.chains, os.cpu_count() or 1),
        tune=sampler.tune,
        draws=sampler.draws,
        target_accept=accept,
        seed=int(seeds.generate_state(1)[0]),
        save_warmup=False,
        progress_bar=False,
        progress_rate=5000,
        progress_callback=_Progress(),
    )
    if trace.posterior.sizes[n.DRAW] < sampler.draws:
        raise KeyboardInterrupt  # nutpie returns what it has when it is interrupted
    return trace


class _Progress:
    """Say now and then how far the chains are; a callback of nutpie's background thread."""

    def __init__(self) -> None:
        self._said = 0.0

    def __call__(self, chains: list[Any]) -> None:
        total = sum(c.total_draws for c in chains)
        done = sum(c.finished_draws for c in chains)
        share = done / total if total else 0.0
        if share - self._said >= 0.2 and share < 1:
            self._said = share
            left = max(c.runtime_ms for c in chains) / 1000 * (1 - share) / share
            _LOG.info("%d of %d draws, about %.0f s to go", done, total, left)


def statistics(trace: xr.DataTree, chains: int, draws: int) -> xr.Dataset:
    """Return what the sampler says of itself [`chain`, `draw`]."""
    kept = {
        name: ((n.CHAIN, n.DRAW), trace.sample_stats[name].to_numpy())
        for name in _STATISTICS
        if name in trace.sample_stats
    }
    return xr.Dataset(kept, coords={n.CHAIN: np.arange(chains), n.DRAW: np.arange(draws)})
