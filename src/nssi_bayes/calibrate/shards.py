"""Long studies in shards: one file a replication, written at its end; what has its file is left alone.

A run that was cut off goes on where it was, and several machines may share the numbers among them.
"""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from nssi_bayes.errors import SpecError
from nssi_bayes.store import read_json, write_json

__all__ = ["fill", "open_workers", "parse_shard", "read_all"]

_LOG: Final = logging.getLogger(__name__)

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


@contextmanager
def open_workers(workers: int, dask: str | None = None) -> Iterator[Executor | None]:
    """Give what runs replications side by side: processes here, or those of a Dask cluster.

    Parameters
    ----------
    workers : int
        Processes; 1 is none beside this one.
    dask : str, optional
        Address of a scheduler, in place of processes.

    Yields
    ------
    concurrent.futures.Executor or None
        None where everything runs in this process.

    Raises
    ------
    SpecError
        If Dask is asked for and not installed.
    """
    if dask is not None:
        try:
            from distributed import Client
        except ImportError as error:
            raise SpecError(
                "Dask is not installed", where="--dask", cure="pip install 'nssi-bayes[dask]'"
            ) from error
        with Client(dask) as client, client.get_executor(pure=False) as executor:
            yield executor
        return
    if workers <= 1:
        yield None
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


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
