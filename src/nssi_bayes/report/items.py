"""The items of reporting guidelines, read from one table."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml

from nssi_bayes.spec import Strict, parse

__all__ = ["Item", "items"]


class Item(Strict):
    """One item of a guideline.

    Parameters
    ----------
    guideline : str
        Its short name.
    key : str
        Under which the authors' text for it stands.
    asks : str
        What is to be reported, in our words.
    place : str
        Anchor of the section that holds it.
    rule : str
        Name of the rule that says how far the page has it; see `nssi_bayes.report.sections.guidelines`.
    """

    guideline: str
    key: str
    asks: str
    place: str
    rule: str


@cache
def items() -> tuple[Item, ...]:
    """Return all items, in the order of the table."""
    text = files("nssi_bayes.report").joinpath("guidelines.yaml").read_text(encoding="utf-8")
    found = []
    for guideline, rows in yaml.safe_load(text).items():
        for key, (place, rule, asks) in rows.items():
            content = {"guideline": guideline, "key": f"{guideline.lower()}.{key}", "asks": asks,
                       "place": place, "rule": rule}  # fmt: skip
            found.append(parse(Item, content, where="report/guidelines.yaml"))
    return tuple(found)
