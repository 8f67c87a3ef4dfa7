"""What only the authors can say: one text an item of a reporting guideline, in a file beside the report."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field

from nssi_bayes.errors import SpecError, did_you_mean
from nssi_bayes.report.items import items
from nssi_bayes.spec import Strict, parse
from nssi_bayes.store import read_yaml

__all__ = ["DRAFT", "read_author"]

DRAFT: Final = """\
# What only you can say, for section "Reporting guidelines" of the report. One line an item, for instance
#   texts:
#     barg.why_bayesian: "Few people a disorder; partial pooling over disorders."
# Items and their keys stand in the report. No names, dates or other traits of persons: the page prints this.
texts: {}
"""


class _Author(Strict):
    texts: dict[str, str] = Field(default_factory=dict)


def read_author(path: Path) -> dict[str, str]:
    """Read ``author.yaml``; a file that is not there says nothing.

    Parameters
    ----------
    path : pathlib.Path
        Beside the report.

    Returns
    -------
    dict of str to str
        By item.

    Raises
    ------
    SpecError
        If a key is no item of a guideline.
    """
    if not path.exists():
        return {}
    texts = parse(_Author, read_yaml(path), where=f"{path.parent.name}/{path.name}").texts
    known = [item.key for item in items()]
    unknown = [f"texts.{key}: no such item. {did_you_mean(key, known)}" for key in texts if key not in known]
    if unknown:
        raise SpecError(unknown, where=f"{path.parent.name}/{path.name}", cure="mend the key")
    return {key: text.strip() for key, text in texts.items() if text.strip()}
