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
    r"(missing|not (assessed|available|applicable|answered|administered|asked|known|recorded|reported)|n/?a|"
    r"refused( to answer)?|(don.?t|do not|did(n.?t| not)) know|unknown|no (answer|data)|"
    r"prefer(s|red)? not( to (answer|say))?)"
    r"(?=$|\s*[^\w\s]|\s+(or|and|data|values?|codes?|answers?|responses?)\b)",
    re.IGNORECASE,
)
_MAYBE: Final = re.compile(r"(no response|declined|skip(ped)?|not done)\b", re.IGNORECASE)
_CODE_OF_NOTHING: Final = re.compile(r"-\d+(\.0)?|([789])\2+(\.0)?|95(\.0)?|\D*")
_PAIR: Final = re.compile(r"(-?\d+(?:\.\d+)?)\s*=\s*([^;|=]+?)\s*(?=;|\||$|,\s*-?\d+\s*=)")


def means_missing(label: str, code: str) -> bool:
    """Return whether a level says that nothing was observed.

    Parameters
    ----------
    label : str
        Its label. Some words may be an answer as well (no response to treatment, a state that declined).
    code : str
        Its code; such words mean missing only with one that is used for nothing else (-9, 99, 777).

    Returns
    -------
    bool
        Whether its cells are missing.
    """
    said = label.strip()
    if _MISSING.match(said):
        return True
    return _MAYBE.match(said) is not None and _CODE_OF_NOTHING.fullmatch(code.strip()) is not None


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
    elif sidecar.is_symlink():
        unread.append(
            f"the sidecar {sidecar.name} was not fetched (`datalad get`), so its levels are not known"
        )
    for dictionary in sorted([*path.parent.glob(f"{path.stem}_definitions.*"), *_redcap(path)]):
        try:
            rows = read_source_table(dictionary).to_dict("records")
        except DataError as error:
            unread.append(f"the dictionary {dictionary.name}: {'; '.join(error.problems)}")
            continue
        for row in rows:
            cells = {str(k).lower(): str(v) for k, v in row.items()}
            name = cells.get("elementname") or cells.get("variable / field name") or ""
            if name and "elementname" in cells:
                found[name] = _nda(cells)
            elif name:
                found |= _field(name, cells)
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


def _field(name: str, cells: dict[str, str]) -> dict[str, About]:
    """Read a row of a REDCap dictionary: ``1, Yes | 0, No`` and the column *Identifier?*.

    A field of checkboxes is exported as one column a choice, ``name___1``, with 0 and 1.
    """
    labels = {}
    for choice in cells.get("choices, calculations, or slider labels", "").split("|"):
        code, comma, label = choice.partition(",")
        if comma and re.fullmatch(r"-?\w+", code.strip()):
            labels[code.strip()] = label.strip()
    identifier = cells.get("identifier?", "").strip().lower() in ("y", "yes", "1")
    if cells.get("field type", "").strip().lower() != "checkbox":
        return {name: About(labels, identifier=identifier)}
    box = About({"0": "Unchecked", "1": "Checked"}, identifier=identifier)
    return {f"{name}___{code.lower().replace('-', '_')}": box for code in labels}
