"""Long studies in shards: one file a replication, written at its end; what has its file is left alone.

A run that was cut off goes on where it was, and several machines may share the numbers among them.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from nssi_bayes.errors import SpecError
from nssi_bayes.store import read_json, write_json

__all__ = ["fill", "open_workers", "parse_shard", "parse_workers", "read_all"]

_LOG: Final = logging.getLogger(__name__)
_PATIENCE: Final = 5.0
"""Seconds that a scheduler has to answer."""

type One = Callable[[int], dict[str, Any]]


def parse_shard(text: str) -> tuple[int, int]:
    """Return (number, of how many) of ``i/n``, counted from 0.

    Raises
    ------
    SpecError
        If it is not of that form.
    """
    first, _, second = text.partition("/")
    if first.isdigit() and second.isdigit() and int(first) < int(second):
        return int(first), int(second)
    raise SpecError(
        f"{text!r} is no shard", where="--shard", cure="write i/n with i from 0 to n - 1, such as 0/4"
    )


def parse_workers(text: str) -> int | str:
    """Return how many processes of this machine, or the address of a Dask scheduler.

    Raises
    ------
    SpecError
        If it is neither.
    """
    if text.isdecimal() and int(text) >= 1:
        return int(text)
    if "://" in text:
        return text
    raise SpecError(
        f"{text!r} is neither a number of processes nor an address",
        where="--workers",
        cure="write how many processes of this machine, such as 2, or where a Dask scheduler is, such as "
        "tcp://scheduler:8786",
    )


@contextmanager
def open_workers(workers: str = "1") -> Iterator[Executor | None]:
    """Give what runs replications side by side: processes here, or those of a Dask cluster.

    Parameters
    ----------
    workers : str
        As `parse_workers` reads it; one process is none beside this one.

    Yields
    ------
    concurrent.futures.Executor or None
        None where everything runs in this process.

    Raises
    ------
    SpecError
        If it is neither a number nor an address, Dask is asked for and not installed, or no scheduler
        answers at the address.
    """
    chosen = parse_workers(workers)
    if isinstance(chosen, str):
        try:
            from distributed import Client
        except ImportError as error:
            raise SpecError(
                "Dask is not installed", where="--workers", cure="pip install 'nssi-bayes[dask]'"
            ) from error
        _reach(chosen)
        with Client(chosen) as client, client.get_executor(pure=False) as executor:
            yield executor
    elif chosen == 1:
        yield None
    else:
        with ProcessPoolExecutor(chosen, mp_context=multiprocessing.get_context("spawn")) as executor:
            yield executor


def _reach(address: str) -> None:
    """Raise where no scheduler answers. A `Client` would wait without end for one that is silent."""
    from distributed import Security
    from distributed.core import connect

    async def call() -> None:
        arguments = Security().get_connection_args("client")
        comm = await asyncio.wait_for(connect(address, timeout=_PATIENCE, **arguments), _PATIENCE + 1)
        await comm.close()

    try:
        asyncio.run(call())
    # what Dask raises for an address without port, TLS without a key, an answer that is not its own
    except (OSError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        raise SpecError(
            f"no Dask scheduler answers at {address}",
            where="--workers",
            cure="write the address that `dask scheduler` prints, such as tcp://scheduler:8786, and see that "
            "this machine reaches it",
        ) from error


def fill(
    one: One, numbers: Iterable[int], *, path_of: Callable[[int], Path], executor: Executor | None = None
) -> int:
    """Run the replications that have no file yet.

    Parameters
    ----------
    one : callable
        From the number of a replication to what is found.
    numbers : iterable of int
        Which.
    path_of : callable
        Where each is written.
    executor : concurrent.futures.Executor, optional
        From `open_workers`.

    Returns
    -------
    int
        How many were run.
    """
    left = [index for index in numbers if not path_of(index).exists()]
    if executor is None:
        for done, index in enumerate(left, start=1):
            _keep(path_of(index), one(index), done, len(left))
        return len(left)
    calls = {executor.submit(one, index): index for index in left}
    for done, call in enumerate(as_completed(calls), start=1):
        _keep(path_of(calls[call]), call.result(), done, len(left))
    return len(left)


def _keep(path: Path, found: dict[str, Any], done: int, total: int) -> None:
    write_json(path, found)
    _LOG.info("%d of %d replications%s", done, total, ": one failed" if "failed" in found else "")


def read_all(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """Return what is there, in order."""
    return [read_json(path) for path in paths if path.exists()]
