"""Chains of NUTS on a compiled density, in the coordinates of `whiten`, each alone on its core.

Chains that share an interpreter wait for its lock. A fit of certified length therefore runs its
chains in processes of their own, which load what they need while the coordinates are found here; a
short one runs them one after the other where it is. A chain depends on its seed alone, not on where
it runs.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.sums import persons
from nssi_bayes.build import Built
from nssi_bayes.fit.density import Density, compile_density
from nssi_bayes.fit.whiten import Coordinates, find_coordinates
from nssi_bayes.progress import Count
from nssi_bayes.spec import DEEPEST, Sampler

__all__ = [
    "ENOUGH", "Chain", "Opened", "Run", "draw_chain", "end_with_parent", "open_chains", "run_nuts",
    "statistics", "typical_coordinates",
]  # fmt: skip

ENOUGH: Final = 4000
"""Draws that certification needs; from here on chains get processes of their own."""
_POSITION: Final = "position"
_STATISTICS: Final = ("diverging", "energy", "n_steps", "step_size", "tree_depth", "depth", "logp")
_QUIET: Final[dict[str, Any]] = {"save_warmup": False, "progress_bar": False, "progress_rate": 1000}
_EVERY: Final = 2.0  # seconds between two looks at the chains

type Array = np.ndarray[Any, Any]
type Seeds = Sequence[np.random.SeedSequence]
type Say = Callable[[int, int], None]


class Chain(NamedTuple):
    """Draws of one chain.

    Parameters
    ----------
    values : dict of str to numpy.ndarray
        By parameter [`draw`, ...].
    statistics : xarray.Dataset
        Of the sampler [`chain`, `draw`], one chain.
    position : numpy.ndarray
        In the coordinates that were walked in [`draw`, coordinate].
    """

    values: dict[str, Array]
    statistics: xr.Dataset
    position: Array


class Run(Protocol):
    """Runs a chain for each seed; may be called again: nothing is compiled twice."""

    def __call__(
        self, sampler: Sampler, seeds: Seeds, *, fine: bool, start: Sequence[Array] = ()
    ) -> list[Chain]:
        """Return the chains; `fine`: with finer nodes; `start`: where each begins."""
        ...


class Opened(NamedTuple):
    """A model compiled where its chains will run.

    Parameters
    ----------
    run : Run
        What runs them.
    near : callable
        From a number of draws and a generator to values by name [1, `draw`, ...] from the normal
        distribution at the typical point, before any chain has run.
    """

    run: Run
    near: Callable[[int, np.random.Generator], dict[str, Array]]


@contextmanager
def open_chains(built: Built, sampler: Sampler) -> Iterator[Opened]:
    """Compile a model where its chains will run.

    Parameters
    ----------
    built : Built
        The model.
    sampler : Sampler
        Chains and draws; decides whether there is enough to do for processes.

    Yields
    ------
    Opened
        What runs chains.
    """
    cores = min(sampler.chains, os.cpu_count() or 1)
    quick = persons(built.design, {p.name: p for p in built.parameters}) is None
    if quick or cores == 1 or sampler.chains * sampler.draws < ENOUGH:
        densities = _Densities(built)
        found = _coordinates(densities.of(fine=built.fine))

        def one_by_one(
            sampler: Sampler, seeds: Seeds, *, fine: bool, start: Sequence[Array] = ()
        ) -> list[Chain]:
            density = densities.of(fine=fine)
            with _counted(sampler, len(seeds)) as count:
                return [
                    draw_chain(density, found, sampler, seed, start=at, say=_of_part(count, i))
                    for i, seed, at in _each(seeds, start)
                ]

        yield Opened(one_by_one, partial(_near, densities.of(fine=built.fine), found))
        return
    context = multiprocessing.get_context("spawn")
    done, compiled = context.Array("l", sampler.chains), context.Event()
    given = (replace(built), done, compiled)  # without what it keeps
    with ProcessPoolExecutor(cores, mp_context=context, initializer=_prepare, initargs=given) as pool:
        for _ in range(cores):  # each starts a process now, which loads while coordinates are found here
            pool.submit(os.getpid)
        try:
            density = compile_density(built)
            density.value_and_gradient(density.start)
            compiled.set()  # loops are on disk: a new machine compiles them once, and not in each process
            found = _coordinates(density)

            def side_by_side(
                sampler: Sampler, seeds: Seeds, *, fine: bool, start: Sequence[Array] = ()
            ) -> list[Chain]:
                done[:] = [0] * len(seeds)
                job = partial(_draw_here, found, sampler, fine=fine)
                calls = [pool.submit(job, seed, i, at) for i, seed, at in _each(seeds, start)]
                with _counted(sampler, len(seeds)) as count:
                    return _results(calls, lambda: count.say(sum(done[:])))

            yield Opened(side_by_side, partial(_near, density, found))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _results(calls: list[Future[Chain]], say: Callable[[], None]) -> list[Chain]:
    """Wait for chains elsewhere, and say now and then how far they are."""
    while wait(calls, _EVERY, return_when=FIRST_EXCEPTION).not_done:
        if any(call.done() and call.exception() for call in calls):
            break
        say()
    return [call.result() for call in calls]


def _each(seeds: Seeds, start: Sequence[Array]) -> Iterator[tuple[int, np.random.SeedSequence, Array | None]]:
    """Yield the number of a chain, its seed and where it begins; None: nobody says."""
    begin: list[Array | None] = [*start] or [None] * len(seeds)
    yield from zip(range(len(seeds)), seeds, begin, strict=True)


_here: dict[str, Any] = {}
"""What a worker process keeps between chains."""


def _prepare(built: Built, done: Any, compiled: Any) -> None:
    """Load the sampler in a worker, and the model's loops once they are `compiled`."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    import_module("nutpie")
    compiled.wait()
    densities = _Densities(built)
    density = densities.of(fine=built.fine)
    density.value_and_gradient(density.start)
    _here.update(densities=densities, done=done)


class _Densities:
    """A model compiled with the nodes that are asked for, each kind once."""

    def __init__(self, built: Built) -> None:
        self._built, self._known = built, dict[bool, Density]()

    def of(self, *, fine: bool) -> Density:
        if fine not in self._known:
            self._known[fine] = compile_density(replace(self._built, fine=fine))
        return self._known[fine]


def end_with_parent() -> None:
    """Leave no worker behind when the command is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _draw_here(
    coordinates: Coordinates,
    sampler: Sampler,
    seed: np.random.SeedSequence,
    index: int,
    start: Array | None,
    *,
    fine: bool,
) -> Chain:
    def say(_: int, finished: int) -> None:
        _here["done"][index] = finished

    return draw_chain(_here["densities"].of(fine=fine), coordinates, sampler, seed, start=start, say=say)


def _near(
    density: Density, coordinates: Coordinates, draws: int, rng: np.random.Generator
) -> dict[str, Array]:
    found = density.constrain(coordinates.to_x(rng.standard_normal((draws, density.size))))
    return {name: value[None] for name, value in found.items()}


def _coordinates(density: Density) -> Coordinates:
    return find_coordinates(
        density.value_and_gradient, density.start, scaled=density.scaled, held=density.held
    )


def typical_coordinates(built: Built) -> Coordinates:
    """Return the coordinates in which a model's posterior is nearly round."""
    return _coordinates(compile_density(built))


def draw_chain(
    density: Density,
    coordinates: Coordinates,
    sampler: Sampler,
    seed: np.random.SeedSequence,
    *,
    start: Array | None = None,
    say: Say = lambda _, __: None,
) -> Chain:
    """Run one chain where this is called.

    Parameters
    ----------
    density : Density
        The compiled model.
    coordinates : Coordinates
        From `typical_coordinates`, of this model or of one that is nearly it.
    sampler : Sampler
        Draws and target acceptance.
    seed : numpy.random.SeedSequence
        Source of every random number.
    start : numpy.ndarray, optional
        Where to begin, in these coordinates; else at a draw from the standard normal.
    say : callable, optional
        Is told, now and then, how many draws there will be and how many are finished.

    Returns
    -------
    Chain
        Draws and statistics, without warm-up.
    """
    from nutpie.compiled_pyfunc import from_pyfunc

    of_y = coordinates.pull_back(density.value_and_gradient)

    def begin(seed: int) -> Array:
        return np.random.default_rng(seed).standard_normal(density.size) if start is None else start

    compiled = from_pyfunc(
        density.size,
        lambda: lambda y, **_: of_y(y),
        lambda *_: lambda y, **_: {_POSITION: y},
        [np.dtype("float64")],
        [(density.size,)],
        [_POSITION],
        coords={"coordinate": np.arange(density.size)},
        dims={_POSITION: ("coordinate",)},
        make_initial_point_fn=begin,
    )
    alone = sampler.model_copy(update={"chains": 1})
    trace = run_nuts(compiled, alone, accept=sampler.target_accept, seeds=seed, say=say)
    y = trace.posterior[_POSITION].to_numpy()[0]
    values = density.constrain(coordinates.to_x(y))
    return Chain(values, statistics(trace, 1, len(y)), y)


def run_nuts(
    compiled: Any,
    sampler: Sampler,
    *,
    accept: float,
    seeds: np.random.SeedSequence,
    say: Say | None = None,
    adaptation: str = "diag",
) -> xr.DataTree:
    """Run nutpie on a compiled model.

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
    say : callable, optional
        Is told, now and then, how many draws there will be and how many are finished.
    adaptation : str
        nutpie's way to a mass matrix.

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

    with _told(sampler, say) as tell:

        def callback(chains: list[Any]) -> None:
            tell(sum(c.total_draws for c in chains), sum(c.finished_draws for c in chains))

        trace = nutpie.sample(
            compiled,
            chains=sampler.chains,
            cores=min(sampler.chains, os.cpu_count() or 1),
            tune=sampler.tune,
            draws=sampler.draws,
            target_accept=accept,
            maxdepth=DEEPEST,
            adaptation=adaptation,
            seed=int(seeds.generate_state(1)[0]),
            progress_callback=callback,
            **_QUIET,
        )
    if trace.posterior.sizes[n.DRAW] < sampler.draws:
        raise KeyboardInterrupt  # nutpie returns what it has when it is interrupted
    return trace


def _counted(sampler: Sampler, chains: int) -> Count:
    return Count(chains * (sampler.tune + sampler.draws), parts=chains)


@contextmanager
def _told(sampler: Sampler, say: Say | None) -> Iterator[Say]:
    """Yield who is told of draws: who asked to be, or else whoever looks on."""
    if say is not None:
        yield say
        return
    with _counted(sampler, sampler.chains) as count:
        yield lambda _, finished: count.say(finished)


def _of_part(count: Count, index: int) -> Say:
    """Return what chain `index` reports to."""

    def say(_: int, finished: int) -> None:
        count.say(finished, part=index)

    return say


def statistics(trace: xr.DataTree, chains: int, draws: int) -> xr.Dataset:
    """Return what the sampler says of itself [`chain`, `draw`]."""
    kept = {
        name: ((n.CHAIN, n.DRAW), trace.sample_stats[name].to_numpy())
        for name in _STATISTICS
        if name in trace.sample_stats
    }
    return xr.Dataset(kept, coords={n.CHAIN: np.arange(chains), n.DRAW: np.arange(draws)})
