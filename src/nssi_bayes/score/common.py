"""Items that two instruments have in common: one indicator, which all who answered either have answered.

Common items put instruments on one scale as common people do (Kolen & Brennan 2014,
10.1007/978-1-4939-0317-7): they have one set of thresholds and one loading. Whether items are the same no
data tell; the study file says so (`same_as`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nssi_bayes.errors import did_you_mean
from nssi_bayes.instruments import Instrument
from nssi_bayes.study import Study

__all__ = ["joined", "problems_of"]


def problems_of(study: Study, forms: Mapping[str, Instrument]) -> list[str]:
    """Say what is wrong with the items that the study file calls the same.

    Parameters
    ----------
    study : Study
        The mapping.
    forms : mapping of str to Instrument
        By the study's name.

    Returns
    -------
    list of str
        One sentence a problem.
    """
    measured = {
        form.label(i): (name, form.categories_of(i))
        for name, form in forms.items()
        if name in study.items and study.instruments[name].totals is None
        for items in form.subscales.values()
        for i in items
    }
    pairs = [(name, *pair) for name, place in study.instruments.items() for pair in place.same_as.items()]
    declared = {item for _, item, _ in pairs}
    found, taken = [], set[tuple[str, str]]()
    for name, item, other in pairs:
        where = f"instruments.{name}.same_as: {item}"
        own = [label for label, (of, _) in measured.items() if of == name]
        others = [label for label in measured if label not in own]
        if item not in own:
            found.append(f"{where}: no item of {name} that measures a function. {did_you_mean(item, own)}")
        elif other not in others:
            said = did_you_mean(other, others)
            found.append(f"{where}: {other!r} is no such item of another instrument under `items`. {said}")
        elif other in declared:
            found.append(f"{where}: {other} is itself the same as another; name that one, and no circle")
        elif (name, other) in taken:
            found.append(f"{where}: another item of {name} is the same as {other} already")
        elif measured[item][1] != measured[other][1]:
            counts = f"{measured[item][1]} categories, {other} has {measured[other][1]}"
            found.append(f"{where} has {counts}; what is the same has the same answers")
        taken.add((name, other))
    return found


def joined(
    study: Study, labels: Sequence[str], response: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], dict[str, str], list[str]]:
    """Put the answers to items that are the same into one column each.

    Parameters
    ----------
    study : Study
        The mapping; `problems_of` has nothing against it.
    labels : sequence of str
        Of the items.
    response : ndarray
        (`participant`, `item`) categories from 0; NaN is missing.

    Returns
    -------
    ndarray
        The answers; an item that is another one keeps its own.
    dict of str to str
        Item that is another: that other item.
    list of str
        One sentence for every pair that somebody answered differently.
    """
    place, whole = {label: j for j, label in enumerate(labels)}, response.copy()
    same = {item: other for rule in study.instruments.values() for item, other in rule.same_as.items()}
    problems = []
    for item, other in same.items():
        own, known = response[:, place[item]], whole[:, place[other]]
        both = np.isfinite(own) & np.isfinite(known)
        if (own[both] != known[both]).any():  # by how many is not said: they may be few
            problems.append(f"{item} and {other}, which are the same: some answered both, and differently")
        whole[:, place[other]] = np.where(np.isfinite(known), known, own)
    return whole, same, problems
