"""Whether a folder may leave the lab: every file is looked through, and what they say together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nssi_bayes import names as n
from nssi_bayes.errors import ArtefactError
from nssi_bayes.share.counts import cells_of
from nssi_bayes.share.files import Seen, look
from nssi_bayes.share.patterns import machine_words

__all__ = ["Finding", "audit"]

_WHOLE: Final = "the folder"


@dataclass(frozen=True)
class Finding:
    """Something that must not leave the lab; what it is, not what it says.

    Parameters
    ----------
    place : str
        The file; a name that gives somebody away is replaced by its number.
    kind : str
        What it is.
    count : int
        How often.
    """

    place: str
    kind: str
    count: int

    def __str__(self) -> str:
        """Return the finding as a line."""
        return f"{self.place}: {self.kind}{f' ({self.count} times)' if self.count > 1 else ''}"


def audit(
    folder: Path, *, min_cell: int, known: Iterable[str] = (), people: int | None = None
) -> list[Finding]:
    """Look for everything that must not leave the lab.

    Parameters
    ----------
    folder : pathlib.Path
        Any folder.
    min_cell : int
        The smallest count of people that may be printed.
    known : iterable of str
        Labels of the cohort's people, where the cohort is at hand.
    people : int, optional
        How many they are.

    Returns
    -------
    list of Finding
        Empty if nothing was found, which is no proof that there is nothing.

    Raises
    ------
    ArtefactError
        If there is no such folder, or nothing in it.
    """
    paths = (
        sorted(p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()) if folder.is_dir() else []
    )
    if not paths:
        raise ArtefactError(
            "there is no file to look through",
            where=str(folder),
            cure="name the folder that is to leave the lab",
        )
    known, words = tuple(known), machine_words()
    found: list[Finding] = []
    seen: list[Seen] = []
    for number, path in enumerate(paths, start=1):
        name = path.relative_to(folder).as_posix()
        one = look(path, name=name, known=known, words=words, people=people)
        place = f"file {number}" if any(kind.endswith(" in its name") for kind in one.leaks) else name
        found += [Finding(place, kind, count) for kind, count in one.leaks.items()]
        seen.append(one)
        found += [Finding(place, kind, count) for kind, count in cells_of(one.tables, min_cell).items()]
    together = cells_of([rows for one in seen for rows in one.tables], min_cell).get(_COMPUTED, 0)
    alone = sum(f.count for f in found if f.kind == _COMPUTED)
    if together > alone:
        found.append(Finding(_WHOLE, f"{_COMPUTED} from several files", together - alone))
    return found + _groups(seen, min_cell)


_COMPUTED: Final = "a hidden count that can be computed"


def _groups(seen: Iterable[Seen], min_cell: int) -> list[Finding]:
    """Return what is said of disorders of too few people."""
    seen = list(seen)
    counts = _sizes(rows for one in seen for rows in one.tables)
    told = set().union(*(one.disorders for one in seen))
    few = {d for d in told if any(_small(c, min_cell) for c in counts.get(d, ()))}
    unknown = {d for d in told - {n.NONE_LEVEL} if d not in counts}
    found = []
    if few:
        found.append(Finding(_WHOLE, "estimates or draws of a disorder of too few people", len(few)))
    if unknown:
        found.append(
            Finding(
                _WHOLE, "estimates or draws of a disorder whose number of people is not told", len(unknown)
            )
        )
    left_out = (
        {d for d, own in counts.items() if any(_small(c, min_cell) for c in own)} - told - {n.NONE_LEVEL}
    )
    if left_out and not all(one.centred for one in seen):
        found.append(
            Finding(_WHOLE, "effects that give away those of a disorder that is left out", len(left_out))
        )
    return found


def _sizes(tables: Iterable[list[Mapping[str, Any]]]) -> dict[str, set[str]]:
    """Return how many people have each disorder, as each table of the folder tells it."""
    found: dict[str, set[str]] = {}
    for rows in tables:
        for row in rows:
            count = row.get("participants", row.get("people"))
            if isinstance(row.get("disorder"), str) and count is not None:
                found.setdefault(str(row["disorder"]), set()).add(str(count))
    return found


def _small(count: str, min_cell: int) -> bool:
    return count.startswith(("<", "within")) or (count.isdigit() and 0 < int(count) < min_cell)
