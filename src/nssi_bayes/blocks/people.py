"""Designs of other people: some of them, or those of two designs together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np

from nssi_bayes.blocks.design import Design

__all__ = ["few", "join"]

_BY_PERSON: Final = (
    "diagnosis", "burden", "none", "covariate", "site", "factor", "factor_seen", "response", "outcome",
    "outcome_seen", "score", "score_seen",
)  # fmt: skip
_BY_SCAN: Final = ("activation", "activation_se", "activation_seen", "confound")
_BY_CONNECTOME: Final = ("connectivity", "connectivity_se", "connectivity_seen", "confound_edge")
_SELDOM: Final = ("group_of", "centred_diagnosis", "outcome_exposure", "treatment", "baseline")
"""What only some models have of a person: empty or None without."""
_WHO: Final = {"scanned": _BY_SCAN, "connected": _BY_CONNECTOME}

type Array = np.ndarray[Any, Any]


def few(design: Design, keep: Array) -> Design:
    """Return the design of some of the people.

    Parameters
    ----------
    design : Design
        Of all.
    keep : numpy.ndarray
        Their positions, each once.

    Returns
    -------
    Design
        In the order of `keep`; labels and constants stay.
    """
    place = {int(person): i for i, person in enumerate(keep)}
    changed: dict[str, Any] = {name: getattr(design, name)[keep] for name in _BY_PERSON}
    for who, arrays in _WHO.items():
        rows = [i for i, person in enumerate(getattr(design, who)) if int(person) in place]
        changed[who] = np.array([place[int(getattr(design, who)[i])] for i in rows], dtype=int)
        changed |= {name: getattr(design, name)[rows] for name in arrays}
    changed |= {name: values[keep] for name in _SELDOM if _there(values := getattr(design, name))}
    return replace(design, **changed)


def join(one: Design, other: Design) -> Design:
    """Return the design of the people of both, who share labels and constants.

    Parameters
    ----------
    one, other : Design
        Of one model.

    Returns
    -------
    Design
        First the people of `one`.
    """
    rows = (*_BY_PERSON, *_BY_SCAN, *_BY_CONNECTOME)
    changed: dict[str, Any] = {f: np.concatenate([getattr(one, f), getattr(other, f)]) for f in rows}
    people = len(one.diagnosis)
    for who in _WHO:
        changed[who] = np.concatenate([getattr(one, who), getattr(other, who) + people])
    for name in _SELDOM:
        both = getattr(one, name), getattr(other, name)
        if all(_there(values) for values in both):
            changed[name] = np.concatenate(both)
    return replace(one, **changed)


def _there(values: Array | None) -> bool:
    return values is not None and len(values) > 0
