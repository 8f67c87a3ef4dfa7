"""Which indicator measures which function or factor; whether that can be identified is decided here.

Positions are those of the axes of the integral over a person: factors that items measure come first, then
functions. Indicators come in another order, those of functions first, so that these are the same columns in
every model of a question.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.errors import SpecError, did_you_mean
from nssi_bayes.spec import JointSpec

__all__ = ["Unused", "common_items", "functions_of", "lost_items", "make_indicators", "unused_answers"]

type Array = np.ndarray[Any, Any]

FEWEST_INDICATORS: Final = 3
"""Indicators that a function or factor needs (with one or two its loadings are not identified)."""


def functions_of(cohort: xr.Dataset, spec: JointSpec) -> list[str]:
    """Return the labels of the functions: those of the spec, or the general and the specific ones.

    A specific function of fewer than three items or of a single subscale is dropped: beside the
    general function its loadings are not identified.
    """
    if spec.general != "bifactor":
        return list(spec.functions)
    subscale = cohort[n.ITEM_SUBSCALE].to_numpy().astype(str)
    kept = [
        function
        for function, members in spec.functions.items()
        if len(members) > 1 and np.isin(subscale, members).sum() >= FEWEST_INDICATORS
    ]
    return [n.GENERAL, *kept]


def make_indicators(
    cohort: xr.Dataset, spec: JointSpec, functions: list[str], *, continuous: Array, where: str
) -> dict[str, Any]:
    """Arrange the indicators of every function.

    Parameters
    ----------
    cohort : xarray.Dataset
        Satisfies `schema`.
    spec : JointSpec
        The model.
    functions : list of str
        From `functions_of`.
    continuous : numpy.ndarray
        Axis of each continuous indicator, which counts where a function has to be identified.
    where : str
        The spec's file, for messages.

    Returns
    -------
    dict
        Fields of `Design`, their ``coords``, and the axis of every indicator, ``axis_of``.

    Raises
    ------
    SpecError
        If a function or factor cannot be identified.
    """
    _check_common(cohort, spec, where=where)
    taken = _taken(cohort, spec, functions)
    axes = len(spec.factor_items) + len(functions)
    place, owner = np.array(taken.function_of, dtype=int), np.array(taken.testlet_of, dtype=int)
    items = cohort[n.ITEM_SUBSCALE].to_numpy().astype(str)
    _check_identified(spec, functions, np.concatenate([place, continuous]), items=items, where=where)
    biased = _biased(spec, functions, taken.labels, place, where=where)
    further = _further(spec, functions, place)
    matrix = np.array(taken.columns).reshape(len(place), cohort.sizes[n.PARTICIPANT]).T
    return {
        "coords": _coords(spec, functions, taken, further=further, biased=biased),
        "response": np.where(np.isfinite(matrix), matrix, max(taken.counts, default=0)).astype(int),
        "categories": np.array(taken.counts, dtype=int),
        "biased": biased,
        "further_indicator": further[0] if len(further) else None,
        "further_function": further[1] if len(further) else None,
        "axis_of": place,
        "plain_of": [np.flatnonzero((place == f) & (owner < 0)) for f in range(axes)],
        "testlets_of": [
            [(int(s), np.flatnonzero(owner == s)) for s in np.unique(owner[(place == f) & (owner >= 0)])]
            for f in range(axes)
        ],
    }


def _check_common(cohort: xr.Dataset, spec: JointSpec, *, where: str) -> None:
    """Refuse an item that two instruments share and that would measure two functions or factors, or none."""
    of = {
        name: f"{key}.{latent}"
        for key, each in (("functions", spec.functions), ("factor_items", spec.factor_items))
        for latent, members in each.items()
        for name in members
    }
    problems = [
        f"{item}: it is of {own!r}, under {of[own]}, and of {other!r}, under {of[other]}"
        for item, own, other in common_items(cohort)
        if own in of and other in of and of[own] != of[other]
    ]
    problems += lost_items(cohort, of)
    if problems:
        cure = "put both subscales under one function, or take the item out of `same_as` in study.yaml"
        raise SpecError(problems, where=where, cure=cure)


def common_items(cohort: xr.Dataset) -> Iterator[tuple[str, str, str]]:
    """Yield items that are counted as the same in another instrument, with its subscale and that one's.

    Parameters
    ----------
    cohort : xarray.Dataset
        Satisfies `schema`.

    Yields
    ------
    tuple of str
        Item, its subscale, a subscale of the other instrument.
    """
    if n.ITEM_ALSO not in cohort.coords:
        return
    columns = (cohort[c].to_numpy().astype(str).tolist() for c in (n.ITEM, n.ITEM_SUBSCALE, n.ITEM_ALSO))
    for item, own, others in zip(*columns, strict=True):
        for other in others.split():
            yield item, own, other


def lost_items(cohort: xr.Dataset, measured: Container[str]) -> list[str]:
    """Say which items of subscales that are measured stand under subscales that are not, and would be lost.

    Parameters
    ----------
    cohort : xarray.Dataset
        Satisfies `schema`.
    measured : container of str
        Subscales of a spec.

    Returns
    -------
    list of str
        One sentence an item.
    """
    return [
        f"{item}: it is an item of {other!r}, too, but stands under {own!r}, which is not measured here"
        for item, own, other in common_items(cohort)
        if other in measured and own not in measured
    ]


class Unused(NamedTuple):
    """Answers of subscales that enter as sums, and that are missing since another item is."""

    answers: int
    given: int
    people: int

    @property
    def share(self) -> float:
        """Of all answers that were given to the model's items."""
        return self.answers / max(self.given, 1)


def unused_answers(cohort: xr.Dataset, spec: JointSpec) -> Unused:
    """Count the answers that a model does not use: a sum is missing where one of its items is.

    Parameters
    ----------
    cohort : xarray.Dataset
        Satisfies `schema`.
    spec : JointSpec
        The model.

    Returns
    -------
    Unused
        Answers that are lost, answers given, and people who lose one.
    """
    there = np.isfinite(cohort[n.RESPONSE].to_numpy())
    subscale = cohort[n.ITEM_SUBSCALE].to_numpy().astype(str)
    lost, given = np.zeros(len(there), dtype=int), 0
    for members in [*spec.functions.values(), *spec.factor_items.values()]:
        for name in members:
            own = there[:, subscale == name]
            given += int(own.sum())
            if _is_sum(spec, name, members):
                lost += np.where(own.all(axis=1), 0, own.sum(axis=1))
    return Unused(int(lost.sum()), given, int((lost > 0).sum()))


def _is_sum(spec: JointSpec, name: str, members: tuple[str, ...]) -> bool:
    """Return whether a subscale of items enters as one graded indicator."""
    kept = spec.measurement.testlets != "sum" or name in spec.measurement.keep_items
    return not kept and len(members) > 1


class _Taken(NamedTuple):
    """Indicators as they are taken from the cohort, each with its axis and residual factor."""

    labels: list[str]
    columns: list[Array]
    counts: list[int]
    function_of: list[int]
    testlet_of: list[int]
    testlets: list[str]


def _taken(cohort: xr.Dataset, spec: JointSpec, functions: list[str]) -> _Taken:
    response = cohort[n.RESPONSE].to_numpy()
    subscale = cohort[n.ITEM_SUBSCALE].to_numpy().astype(str)
    categories = cohort[n.ITEM_CATEGORIES].to_numpy()
    found = labels, columns, counts, function_of, testlet_of, testlets = _Taken([], [], [], [], [], [])
    for f, members in _members(spec, functions):
        for name in members:
            items = np.flatnonzero(subscale == name)
            if not len(items):
                continue  # continuous
            whole = spec.measurement.testlets == "factor"
            if _is_sum(spec, name, members):
                labels.append(name)
                columns.append(response[:, items].sum(axis=1))
                counts.append(int((categories[items] - 1).sum()) + 1)
                function_of.append(f)
                testlet_of.append(-1)
                continue
            own = (whole or name in spec.measurement.keep_items) and len(members) > 1
            if own:
                testlets.append(name)
            labels += [str(v) for v in cohort[n.ITEM].to_numpy()[items]]
            columns += list(response[:, items].T)
            counts += [int(c) for c in categories[items]]
            function_of += [f] * len(items)
            testlet_of += [len(testlets) - 1 if own else -1] * len(items)
    return found


def _members(spec: JointSpec, functions: list[str]) -> list[tuple[int, tuple[str, ...]]]:
    """Return the axis and the subscales of every function, then of every factor that items measure."""
    factors = len(spec.factor_items)
    found = [
        (factors + functions.index(function if function in functions else n.GENERAL), members)
        for function, members in spec.functions.items()
    ]
    return found + list(enumerate(spec.factor_items.values()))


def _coords(
    spec: JointSpec, functions: list[str], taken: _Taken, *, further: tuple[Array, ...], biased: Array | None
) -> dict[str, list[Any]]:
    labels, counts = taken.labels, taken.counts
    coords: dict[str, list[Any]] = {n.INDICATOR: labels, n.TESTLET: taken.testlets}
    if spec.measurement.cross_loadings:
        pairs = zip(*further, strict=True)
        coords[n.CROSS_LOADED] = [f"{labels[j]}{n.EDGE_SEPARATOR}{functions[f]}" for j, f in pairs]
    if spec.general == "bifactor":
        coords[n.GENERAL_INDICATOR] = [labels[j] for j in further[0]]
    if biased is not None:
        coords[n.BIASED_INDICATOR] = [labels[j] for j in biased]
    if spec.groups is not None:
        coords[n.SCALED_INDICATOR] = [v for v, c in zip(labels, counts, strict=True) if c > 2]
    for group in sorted(set(counts)):
        coords[f"{n.INDICATOR}_{group}"] = [v for v, c in zip(labels, counts, strict=True) if c == group]
        coords[f"{n.CATEGORY}_{group}"] = list(range(group))
    return coords


def _check_identified(
    spec: JointSpec, functions: list[str], function_of: Array, *, items: Array, where: str
) -> None:
    problems, cure = [], "merge the function with another, or add subscales"
    if spec.factor_items:
        cure += "; a factor may be its score with a reliability instead"
    keys = [*(f"functions.{f}" for f in spec.functions), *(f"factor_items.{f}" for f in spec.factor_items)]
    for key, (axis, members) in zip(keys, _members(spec, functions), strict=True):
        what, name = key.split(".", 1)
        if what == "functions" and name not in functions:  # dropped, its indicators are of the general one
            continue
        count = int((function_of == axis).sum())
        if count < FEWEST_INDICATORS:
            problems.append(f"{key}: {count} indicators, at least {FEWEST_INDICATORS} are needed")
        ordinal = [m for m in members if m in items]  # a continuous one is alone, as if it had a factor
        factored = spec.measurement.testlets == "factor" or all(
            m in spec.measurement.keep_items for m in ordinal
        )
        if ordinal and 1 < len(members) < FEWEST_INDICATORS and factored:
            problems.append(
                f"{key}: every subscale has a residual factor; nothing but their "
                f"correlation would measure the {what.removesuffix('s').removesuffix('_item')}"
            )
    if problems:
        raise SpecError(problems, where=where, cure=cure)


def _biased(
    spec: JointSpec, functions: list[str], labels: list[str], function_of: Array, *, where: str
) -> Array | None:
    """Return the positions of the indicators that may be biased."""
    measurement = spec.measurement
    if measurement.bias == "none":
        return None
    problems = [
        f"measurement.anchors: no indicator {a!r}. {did_you_mean(a, labels)}"
        for a in measurement.anchors
        if a not in labels
    ]
    anchored = np.isin(labels, measurement.anchors)
    if measurement.anchors and not problems:
        problems += [
            f"measurement.anchors: none of {function!r}; its mean bias cannot be told from its levels"
            for f, function in enumerate(functions)
            if (function_of == f).any() and not anchored[function_of == f].any()
        ]
    if problems:
        raise SpecError(
            problems, where=where, cure="name an indicator of every function, or no anchor at all"
        )
    return np.flatnonzero(~anchored)


def _further(spec: JointSpec, functions: list[str], function_of: Array) -> tuple[Array, ...]:
    """Return which indicators also load on which other functions."""
    if spec.separable:
        return ()
    pairs = [
        (j, f)
        for j, own in enumerate(function_of)
        for f in range(len(functions))
        if f != own and (spec.measurement.cross_loadings or functions[f] == n.GENERAL)
    ]
    return tuple(np.array(pairs, dtype=int).reshape(-1, 2).T)
