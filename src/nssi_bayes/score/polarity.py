"""Whether answers run as the key says, and fit this form better than its likes.

A flag is never corrected: the study file says what the file stores, or accepts it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from nssi_bayes.instruments import Instrument

__all__ = ["Verdict", "against", "item_rest", "other_forms"]

_AGAINST: Final = -0.2  # an item-rest correlation below this is refused ...
_SURE: Final = -1.645  # ... if it is also below 0 beyond chance (one-sided 5 %, Fisher z)
_MIN_PAIRS: Final = 10  # people who answered the item and the rest
_MIN_PEOPLE: Final = 20  # people who answered half of the items, for a comparison of forms
_CLEAR: Final = 0.05  # difference of mean item-rest correlations that tells two forms apart

type _Row = tuple[str, str, str, str, int, int, int, int, int, str]


@dataclass
class Verdict:
    """What was found in the answers to one instrument.

    Parameters
    ----------
    problems : list of str
        What the study file must say something about.
    audit : list of tuple
        Lines of the audit.
    """

    problems: list[str] = field(default_factory=list)
    audit: list[_Row] = field(default_factory=list)


def against(
    form: Instrument, category: npt.NDArray[np.float64], *, stored: tuple[int, ...], accepted: tuple[str, ...]
) -> Verdict:
    """Find items that run against the rest of their subscale.

    Parameters
    ----------
    form : Instrument
        The form.
    category : ndarray
        (`participant`, `item`) oriented categories from 0; NaN is missing.
    stored : tuple of int
        Items that the file stores turned round, as study or form say.
    accepted : tuple of str
        Items that may run against their scale.

    Returns
    -------
    Verdict
        A problem for every item whose correlation is under -.2 and under 0 beyond chance.
    """
    found = Verdict()
    for subscale, items in form.subscales.items():
        columns = category[:, [i - 1 for i in items]]
        for item, (r, pairs) in zip(items, item_rest(columns, of=_majority(columns)), strict=True):
            if not r < 0:
                continue
            label = form.label(item)
            strong = r < _AGAINST and np.arctanh(max(r, -0.9999)) * np.sqrt(pairs - 3) < _SURE
            if strong and label not in accepted:
                found.problems.append(
                    f"{label} runs against the rest of {subscale} (correlation {r:.2f}): "
                    f"{_explained(form, item, stored)}"
                )
            note = f"runs against its subscale (correlation {r:.2f}){', accepted' if strong else ''}"
            found.audit.append(("score", form.name, label, "polarity", pairs, 0, 0, 0, 0, note))
    return found


def _majority(category: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return the items that run the way most of them do, by the signs of the first component.

    Half of a scale stored turned round leaves no item against the mean of all others, so the others
    that an item is held against are those of the larger group.
    """
    items = category.shape[1]
    correlation = pd.DataFrame(category).corr(min_periods=_MIN_PAIRS).fillna(0.0).to_numpy(copy=True)
    np.fill_diagonal(correlation, 1.0)
    first = np.linalg.eigh(correlation)[1][:, -1]
    up = first > 0
    if up.sum() * 2 == items:
        up = up if first[up].sum() >= -first[~up].sum() else ~up
    return up if up.sum() * 2 >= items else ~up


def _explained(form: Instrument, item: int, stored: tuple[int, ...]) -> str:
    if item in stored:
        return "the study says that the file stores it turned round, and it seems not to"
    if item in form.reverse:
        return "the key reverses it, and the file seems to store it reversed already"
    return "it is reversed in the file and not in the key"


def other_forms(
    form: Instrument, others: dict[str, Instrument], *, raw: npt.NDArray[np.float64],
    stored: tuple[int, ...], confirmed: bool,
) -> Verdict:  # fmt: skip
    """Ask whether the answers fit another form with as many items and the same range better.

    Parameters
    ----------
    form : Instrument
        The form that the study names.
    others : dict of str to Instrument
        The forms that it may be taken for.
    raw : ndarray
        (`participant`, `item`) raw responses; NaN is missing.
    stored : tuple of int
        Items that the file stores turned round.
    confirmed : bool
        Whether the study says that somebody looked.

    Returns
    -------
    Verdict
        A problem where another form fits better, or as well, and nobody looked.
    """
    found = Verdict()
    people = int((np.isfinite(raw).mean(axis=1) >= 0.5).sum())
    alike = {k: f for k, f in others.items() if f.items == form.items and _range(f) == _range(form)}
    if not alike:
        return found
    own = _fit(form, raw, stored)
    for name, other in alike.items():
        fit = _fit(other, raw, stored)
        enough = people >= _MIN_PEOPLE and np.isfinite(own) and np.isfinite(fit)
        clear = enough and own > fit + _CLEAR
        verdict = "is" if clear else "may not be"
        note = f"{verdict} told from {name} (mean item-rest correlation {own:.2f}, as {name} {fit:.2f})"
        found.audit.append(("score", form.name, "all items", "form", people, 0, 0, 0, 0, note))
        if clear or confirmed:
            continue
        better = "the answers fit {0} better" if enough and fit > own + _CLEAR else "it may be {0}"
        found.problems.append(
            f"{form.name}: {better.format(name)} (mean item-rest correlation {own:.2f}, as {name} {fit:.2f}, "
            f"{people} people); look at the form and name it, or write confirmed: true under "
            f"instruments.{form.name}"
        )
    return found


def _range(form: Instrument) -> tuple[int, int | None]:
    return form.minimum, form.maximum


def _fit(form: Instrument, raw: npt.NDArray[np.float64], stored: tuple[int, ...]) -> float:
    """Return the mean item-rest correlation over all subscales of a form."""
    category = form.oriented(raw, already_reversed=stored)
    found = [
        r for items in form.subscales.values() for r, _ in item_rest(category[:, [i - 1 for i in items]])
    ]
    held = [r for r in found if np.isfinite(r)]
    return float(np.mean(held)) if held else float("nan")


def item_rest(
    category: npt.NDArray[np.float64], *, of: npt.NDArray[np.bool_] | None = None
) -> list[tuple[float, int]]:
    """Correlate every item with the mean of the other answered items.

    Parameters
    ----------
    category : ndarray
        (`participant`, `item`) oriented categories of one scale; NaN is missing.
    of : ndarray, optional
        (`item`,) the items that make up the rest; all of them if left out.

    Returns
    -------
    list of tuple of float and int
        Correlation and number of people it rests on, item by item; the correlation is NaN for
        a scale of one item, fewer than ten people or a constant.
    """
    found = []
    seen = np.isfinite(category)
    held = seen if of is None else seen & of
    filled = np.where(held, category, 0.0)
    answers, total = held.sum(axis=1), filled.sum(axis=1)
    for j in range(category.shape[1]):
        count = answers - held[:, j]
        use = seen[:, j] & (count > 0)
        pairs = int(use.sum())
        rest = (total - filled[:, j])[use] / count[use]
        item = category[use, j]
        if pairs < _MIN_PAIRS or np.ptp(item) == 0 or np.ptp(rest) == 0:
            found.append((float("nan"), pairs))
        else:
            found.append((float(np.corrcoef(item, rest)[0, 1]), pairs))
    return found
