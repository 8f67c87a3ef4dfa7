"""What a cohort's folder says about its columns: BIDS sidecars, NDA definitions, REDCap dictionaries."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from nssi_bayes.errors import DataError
from nssi_bayes.sources import About, read_source_table

__all__ = ["describe", "means_missing"]

_MISSING: Final = re.compile(
    r"^(missing|not (assessed|available|applicable|answered|administered|done|known|asked)|n/?a|refused|"
    r"(don.?t|do not|did not) know|unknown|skip(ped)?|no (answer|response|data)|prefer not|declined)\b",
    re.IGNORECASE,
)
_PAIR: Final = re.compile(r"(-?\d+(?:\.\d+)?)\s*=\s*([^;|=]+?)\s*(?=;|\||$|,\s*-?\d+\s*=)")


def means_missing(label: str) -> bool:
    """Return whether a level's label says that nothing was observed."""
    return _MISSING.match(label.strip()) is not None


def describe(path: Path) -> tuple[dict[str, About], list[str]]:
    """Read everything that stands beside a table and describes it.

    Parameters
    ----------
    path : pathlib.Path
        The table.

    Returns
    -------
    dict of str to About
        By column.
    list of str
        Sidecars that could not be understood, one sentence each.
    """
    found: dict[str, About] = {}
    unread: list[str] = []
    sidecar = path.with_suffix(".json")
    if sidecar.exists():
        try:
            content = json.loads(sidecar.read_text(encoding="utf-8-sig"))
            found |= {str(k): _bids(v) for k, v in content.items() if isinstance(v, dict)}
        except (OSError, ValueError, AttributeError):
            unread.append(f"the sidecar {sidecar.name} is no JSON that BIDS knows")
    for dictionary in sorted([*path.parent.glob(f"{path.stem}_definitions.*"), *_redcap(path)]):
        try:
            rows = read_source_table(dictionary).to_dict("records")
        except DataError as error:
            unread.append(f"the dictionary {dictionary.name}: {'; '.join(error.problems)}")
            continue
        for row in rows:
            cells = {str(k).lower(): str(v) for k, v in row.items()}
            name = cells.get("elementname") or cells.get("variable / field name") or ""
            if name:
                found[name] = _nda(cells) if "elementname" in cells else _field(cells)
    return found, unread


def _redcap(path: Path) -> list[Path]:
    return [p for p in path.parent.glob("*DataDictionary*.csv") if p != path]


def _bids(entry: dict[str, Any]) -> About:
    levels = entry.get("Levels")
    unit = entry.get("Units")
    labels = {str(k).strip(): _text(v) for k, v in levels.items()} if isinstance(levels, dict) else {}
    return About(labels, unit=str(unit) if isinstance(unit, str) else "")


def _text(level: object) -> str:
    return str(level.get("Description", "")) if isinstance(level, dict) else str(level)


def _nda(cells: dict[str, str]) -> About:
    labels = dict(_PAIR.findall(cells.get("notes", "")))
    description = cells.get("elementdescription", "").lower()
    return About(labels, unit="months" if "in months" in description else "")


def _field(cells: dict[str, str]) -> About:
    """Read a row of a REDCap dictionary: ``1, Yes | 0, No`` and the column *Identifier?*."""
    labels = {}
    for choice in cells.get("choices, calculations, or slider labels", "").split("|"):
        code, comma, label = choice.partition(",")
        if comma and re.fullmatch(r"-?\w+", code.strip()):
            labels[code.strip()] = label.strip()
    return About(labels, identifier=cells.get("identifier?", "").strip().lower() in ("y", "yes", "1"))
