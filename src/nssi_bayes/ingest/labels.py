"""Labels of people: how a folder's are written one way, and which two may be one person's."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from nssi_bayes.ingest.cells import canonical, says_nothing

__all__ = ["NOBODY", "almost_known", "person"]

NOBODY: Final = "sub-"
"""The label of a row that names nobody."""


def person(raw: str) -> str:
    """Return the label of a person: no blanks or underscores, ``sub-`` in front; ``1.0`` is the number 1.

    Parameters
    ----------
    raw : str
        As the folder writes it.

    Returns
    -------
    str
        The label; `NOBODY` for an empty cell or a code of a missing one.
    """
    if says_nothing(raw):
        return NOBODY
    return "sub-" + re.sub(r"[\s_]", "", canonical(raw)).removeprefix("sub-")


def almost_known(labels: pd.Index, known: pd.Index) -> npt.NDArray[np.bool_]:
    """Return which labels are nobody's, but would be without leading zeros, marks and case.

    Parameters
    ----------
    labels, known : pandas.Index
        Labels of a table, and those of the participants.

    Returns
    -------
    ndarray
        (label,) whether it is a participant's, written otherwise.
    """
    unknown = ~labels.isin(known)
    if not unknown.any():
        return unknown
    alike = {_loose(label) for label in known.difference(labels)}
    return unknown & np.array([_loose(label) in alike for label in labels])


def _loose(label: str) -> str:
    plain = re.sub(r"[\W_]", "", label.casefold()).removeprefix("sub").removeprefix("sub")
    return re.sub(r"(?<!\d)0+(?=\d)", "", plain)
