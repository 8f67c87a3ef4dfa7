"""Whose image is which: paths by pattern, or by a mapping table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Final

from nssi_bayes.errors import DataError, did_you_mean
from nssi_bayes.extract.problems import Problem
from nssi_bayes.sources import read_source_table

__all__ = ["SPACE", "Found", "by_mapping", "by_pattern", "existing", "split_volume"]

SPACE: Final = re.compile(r"space-[A-Za-z0-9+]+")
_VOLUME: Final = re.compile(r"^(?P<path>.*\.(?:nii|nii\.gz|HEAD|BRIK|BRIK\.gz))\[(?P<volume>[^\]]+)\]$")
_LETTERS: Final = {"participant": "[^/]+", "run": "[A-Za-z0-9]+", "contrast": "[^/_]+"}


@dataclass(frozen=True)
class Found:
    """One image of one person, with what belongs to it.

    Parameters
    ----------
    participant, run, contrast : str
        Whose and which; run and contrast are empty where a study has one.
    space : str
        The ``space-`` entity; empty when it is none that is accepted.
    paths : mapping of str to pathlib.Path
        By role: ``effect``, ``variance``, ``t``, ``bold``, ...
    """

    participant: str
    run: str
    contrast: str
    space: str
    paths: Mapping[str, Path]


def split_volume(path: str) -> tuple[str, str | None]:
    """Split ``file.nii[label]`` into file and volume."""
    match = _VOLUME.match(path)
    return (match["path"], match["volume"]) if match else (path, None)


def _matcher(pattern: str) -> tuple[re.Pattern[str], str]:
    """Return the regular expression and the glob of a pattern; any space fits."""
    text, wild, seen = "", "", set()
    for literal, field, _, _ in Formatter().parse(pattern):
        text += re.escape(literal)
        wild += re.sub(r"([*?[])", r"[\1]", literal)
        if field is not None:
            text += f"(?P={field})" if field in seen else f"(?P<{field}>{_LETTERS[field]})"
            wild += "*"
            seen.add(field)
    text = SPACE.sub("space-(?P<space>[A-Za-z0-9+]+)", text.replace(r"\-", "-"), count=1)
    return re.compile(SPACE.sub("space-(?P=space)", text)), SPACE.sub("space-*", wild)


def by_pattern(
    source: Path, patterns: Mapping[str, str | None], *, main: str, spaces: tuple[str, ...]
) -> list[Found]:
    """Find every image that fits the main pattern, the best space of each.

    Parameters
    ----------
    source : pathlib.Path
        The cohort's folder.
    patterns : mapping of str to str
        By role. The other patterns are filled with what the main one found.
    main : str
        The role that is searched for.
    spaces : tuple of str
        Accepted spaces, best first.

    Returns
    -------
    list of Found
        By person, contrast and run. Who has a map in other spaces only has an empty `space`.
    """
    pattern = split_volume(str(patterns[main]))[0]
    matcher, wild = _matcher(pattern)
    default = spaces[0] if spaces else ""
    found: dict[tuple[str, str, str], dict[str, Path]] = {}
    for path in source.glob(wild):
        match = matcher.fullmatch(path.relative_to(source).as_posix())
        if match:
            told = match.groupdict()
            key = (told["participant"], told.get("contrast") or "", told.get("run") or "")
            found.setdefault(key, {})[told.get("space") or default] = path
    images = []
    for (participant, contrast, run), maps in sorted(found.items()):
        space = next((s for s in spaces or ("",) if s in maps), "")
        fields = {"participant": participant, "run": run, "contrast": contrast}
        paths = {main: _with_volume(maps[space], str(patterns[main]))} if space or not spaces else {}
        for role, other in patterns.items():
            if role != main and other is not None:
                paths[role] = source / SPACE.sub(f"space-{space}", other).format(**fields)
        images.append(Found(participant, run, contrast, space, paths))
    return images


def _with_volume(path: Path, pattern: str) -> Path:
    volume = split_volume(pattern)[1]
    return path if volume is None else path.with_name(f"{path.name}[{volume}]")


def by_mapping(source: Path, table: str, *, roles: tuple[str, ...], spaces: tuple[str, ...]) -> list[Found]:
    """Read whose image is which from a table.

    Parameters
    ----------
    source : pathlib.Path
        The cohort's folder; paths are relative to it.
    table : str
        Path of the table.
    roles : tuple of str
        Columns with paths that may be there; the first must.
    spaces : tuple of str
        Accepted spaces; the first is that of rows without one.

    Returns
    -------
    list of Found
        One a row.

    Raises
    ------
    DataError
        If a column is missing or unknown.
    """
    path = source / table
    rows = read_source_table(path)
    known = {"participant_id", "run", "contrast", "space", *roles}
    problems = [f"unknown column {c!r}. {did_you_mean(c, known)}" for c in map(str, rows) if c not in known]
    problems += [f"no column {c!r}" for c in ("participant_id", roles[0]) if c not in rows]
    if problems:
        raise DataError(problems, where=str(path), cure="mend the head of the mapping")
    rows = rows.mask(rows.isin(["", "n/a"]))
    images = []
    for row in rows.to_dict(orient="records"):
        told = {str(k): str(v) for k, v in row.items() if isinstance(v, str)}
        space = told.get("space", spaces[0])
        paths = {role: source / told[role] for role in roles if role in told}
        images.append(
            Found(told.get("participant_id", ""), told.get("run", ""), told.get("contrast", ""),
                  space if space in spaces else "", paths)
        )  # fmt: skip
    return sorted(images, key=lambda image: (image.participant, image.contrast, image.run))


def existing(path: Path, *, kind: str) -> Path:
    """Return the path if the file is there.

    Parameters
    ----------
    path : pathlib.Path
        With or without a volume in brackets.
    kind : str
        The problem if it is not.

    Returns
    -------
    pathlib.Path
        The same.

    Raises
    ------
    Problem
        If there is no file, or a link to none.
    """
    plain = Path(split_volume(str(path))[0])
    if plain.is_symlink() and not plain.exists():
        raise Problem("link")
    if not plain.exists():
        raise Problem(kind)
    return path
