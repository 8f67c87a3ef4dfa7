"""Long studies in shards: one file a cohort, written at its end; what has its file is left alone."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nssi_bayes.store import read_json, write_json

__all__ = ["run_shards"]

_LOG = logging.getLogger(__name__)


def run_shards(
    description: str | None, command: str, *, one: Callable[[int], dict[str, Any]],
    pool: Callable[[list[dict[str, Any]]], dict[str, Any]], cohorts: int,
) -> None:  # fmt: skip
    """Run one shard of a study, or pool what is there, as the command line says.

    Parameters
    ----------
    description : str or None
        For ``--help``.
    command : str
        Is written into every file.
    one : callable
        From the number of a cohort to what is found.
    pool : callable
        From all that was found to the summary.
    cohorts : int
        How many there are unless the command line says otherwise.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shard", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    parser.add_argument("--cohorts", type=int, default=cohorts)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--summarise", action="store_true")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("jax").setLevel(logging.WARNING)
    given.out.mkdir(parents=True, exist_ok=True)
    if given.summarise:
        paths = sorted(given.out.glob("cohort_*.json"))
        write_json(given.out / "summary.json", pool([read_json(path) for path in paths]))
        return
    for index in range(given.shard, given.cohorts, given.of):
        path = given.out / f"cohort_{index:03d}.json"
        if path.exists():
            continue
        found = one(index)
        write_json(path, {"command": command, **found})
        _LOG.info("cohort %d: %d divergences", index, found.get("divergences", 0))
