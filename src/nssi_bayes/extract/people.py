"""One person after the other: in parallel, and never twice for the same files."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from nssi_bayes.extract.find import Found, existing, split_volume
from nssi_bayes.extract.problems import Problem, Problems
from nssi_bayes.store import Layout, digest, read_arrays, write_arrays

__all__ = ["Arrays", "extracted"]

log = logging.getLogger(__name__)

type Arrays = dict[str, np.ndarray]

_ABSENT: Final = {"variance": "variance", "t": "t", "confounds": "confounds"}


def extracted(
    images: Sequence[Found], work: Callable[[Found], Arrays], *, recipe: Mapping[str, Any], layout: Layout,
    problems: Problems,
) -> list[tuple[Found, Arrays]]:  # fmt: skip
    """Run `work` on every image, or take its result of an earlier run.

    A result is known by the content of its files, by `recipe` and by the code and libraries that
    made it; so a person who is added costs one person, and a file that was replaced is read again.
    Results are kept in a folder of the machine, which may be deleted at any time.

    Parameters
    ----------
    images : sequence of Found
        What there is.
    work : callable
        From one image to arrays; raises `Problem`.
    recipe : mapping
        Everything of the study that decides the result.
    layout : Layout
        Where results are kept.
    problems : Problems
        Where people are counted.

    Returns
    -------
    list of tuple
        Image and arrays, in order, for whoever has no problem.
    """
    base = digest({**recipe, "code": _code(), "nilearn": version("nilearn"), "numpy": np.__version__})
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        known = list(pool.map(_contents, images))
        owners = _owners(images, known)
        copies = Counter(next(iter(c.values())) for c in known if not isinstance(c, Problem))
        jobs = []
        for image, content in zip(images, known, strict=True):
            if isinstance(content, Problem):
                problems.add(content.kind, image.participant)
            elif len(owners[main := next(iter(content.values()))]) > 1:
                problems.add("twice", image.participant)
            elif copies[main] > 1:
                problems.add("again", image.participant)
            else:
                jobs.append((image, layout.extracted(digest({"base": base, "files": content}))))
        read = Counter[str]()
        outcomes = list(pool.map(lambda job: _result(job[0], job[1], work, read), jobs))
    log.info("%d image(s): %d read, %d known from before", len(images), read["new"], read["known"])
    results = []
    for (image, _), outcome in zip(jobs, outcomes, strict=True):
        if isinstance(outcome, Problem):
            problems.add(outcome.kind, image.participant)
        else:
            results.append((image, outcome))
    return results


def _result(
    image: Found, kept: Path, work: Callable[[Found], Arrays], read: Counter[str]
) -> Arrays | Problem:
    if kept.exists():
        read["known"] += 1
        return read_arrays(kept)
    try:
        result = work(image)
    except Problem as problem:
        return problem
    read["new"] += 1
    write_arrays(kept, result)
    return result


def _contents(image: Found) -> dict[str, str] | Problem:
    """Return a digest of every file of an image, by role; the main one first."""
    if not image.paths or not image.space:
        return Problem("space")
    found = {}
    try:
        for role, path in image.paths.items():
            plain, wanted = split_volume(str(existing(path, kind=_ABSENT.get(role, "absent"))))
            found[role] = f"{_digest_of(Path(plain))} {wanted or ''}"
            found[role] += "".join(_digest_of(part) for part in _belonging(plain) if part.exists())
    except Problem as problem:
        return problem
    return found


def _belonging(plain: str) -> list[Path]:
    """Return files that may belong to an image: the other half of a pair, and the sidecar."""
    halves = {".HEAD": (".BRIK", ".BRIK.gz"), ".BRIK": (".HEAD",), ".hdr": (".img", ".img.gz", ".mat"),
              ".img": (".hdr", ".mat")}  # fmt: skip
    path = Path(plain.removesuffix(".gz"))
    return [path.with_suffix(s) for s in (*halves.get(path.suffix, ()), ".json")]


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _owners(images: Sequence[Found], known: Sequence[dict[str, str] | Problem]) -> dict[str, set[str]]:
    """Return the people of every main file, by its content."""
    owners: dict[str, set[str]] = {}
    for image, content in zip(images, known, strict=True):
        if not isinstance(content, Problem):
            owners.setdefault(next(iter(content.values())), set()).add(image.participant)
    return owners


def _code() -> str:
    """Return a digest of the code that decides a result."""
    room = Path(__file__).parent
    files = sorted([*room.glob("*.py"), *(room.parent / "atlases").glob("*.py")])
    return digest(b"".join(path.read_bytes() for path in files))
