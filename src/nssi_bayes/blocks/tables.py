"""Constants of the answers and loadings of the indicators, and slopes taken back (NumPy).

One row an indicator; with groups of the invariance ladder one an indicator and group, group by group.
Loadings have a row for each pattern of people who share them: a group or, where bias is of loadings, a
pattern of diagnoses.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks import ladder
from nssi_bayes.blocks.bias import Shifts
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.families import ordinal

__all__ = ["Tables", "people_by_pattern"]

type Array = np.ndarray[Any, Any]
type Constants = tuple[Array, Array, Array]


def people_by_pattern(design: Design) -> list[Array]:
    """Return the positions of the people of each group or, without groups, pattern of diagnoses."""
    if len(design.coords[n.GROUP]):
        return [np.flatnonzero(design.group_of == g) for g in range(len(design.coords[n.GROUP]))]
    which = np.unique(design.diagnosis, axis=0, return_inverse=True)[1].ravel()
    return [np.flatnonzero(which == q) for q in range(which.max() + 1)]


class Tables:
    """What `measurement.tables` and loadings are, in NumPy.

    Parameters
    ----------
    design : Design
        Indicators, categories and groups.
    slots : Slots
        Where the parameters stand.
    shifts : Shifts
        Bias, which may be of loadings.
    """

    def __init__(self, design: Design, slots: Slots, shifts: Shifts) -> None:
        self._design, self._slots, self._shifts = design, slots, shifts
        self._groups = max(len(design.coords[n.GROUP]), 1)
        counts = design.category_groups
        self._columns = max(counts, default=0) + 1
        sets = {slots.shapes[f"category_probability_{count}"][:-2] for count in counts}
        self._sets = next(iter(sets), ()) or (1,)
        self._categories = np.tile(design.categories, self._sets[0])
        start = np.zeros((self._sets[0], len(design.categories)), int)
        for count in counts:
            own, at = np.flatnonzero(design.categories == count), slots.where[f"category_probability_{count}"]
            each = np.arange(self._sets[0] * len(own)).reshape(-1, len(own))
            start[:, own] = at.start + count * each
        self._start = start.ravel()
        self._moves = not slots.shapes.keys().isdisjoint(("nu_group", "scale_group"))

    def constants(self, theta: Array) -> Constants:
        """Return U, V and the rest [indicator, response], as `ordinal.Table`."""
        one: Constants = ordinal.tabulate(theta, self._start, self._categories, self._columns)
        if self._groups == self._sets[0]:
            return one
        if not self._moves:
            return _tiled(one, self._groups)
        later = ordinal.rescale(_tiled(one, self._groups - 1), *self._intercepts_and_scales(theta))
        upper, lower, gap = (np.concatenate(both) for both in zip(one, later, strict=True))
        return upper, lower, gap

    def constants_back(self, theta: Array, by: Constants, found: Array) -> None:
        """Add the derivative by the parameters [slot] to `found`."""
        if self._groups > self._sets[0]:
            by = self._of_first(theta, by, found)
        ordinal.tabulate_back(theta, self._start, self._categories, *by, found)

    def loadings(self, theta: Array) -> Array:
        """Return loadings [`indicator`], or [pattern, `indicator`] where they differ."""
        named = self._named(theta)
        if "lambda" not in named:
            return np.zeros(0)
        if len(self._design.coords[n.GROUP]):
            return np.asarray(ladder.loadings(named, self._design))
        tilt = self._shifts.tilt(theta)
        return named["lambda"] if tilt is None else named["lambda"] * self._ratio(tilt)

    def loadings_back(self, theta: Array, by: Array, found: Array) -> None:
        """Add the derivative by the parameters [slot] to `found`."""
        if not by.size:
            return
        size = self._named(theta)["lambda"]
        if len(self._design.coords[n.GROUP]):
            scale = ladder.intercepts_and_scales(self._named(theta), self._design)[1]
            by_lambda = by / scale
            found[self._slots.where["lambda"]] += (
                by_lambda.ravel() if size.ndim == 2 else by_lambda.sum(axis=0)
            )
            self._scales_back((-by * size / scale**2)[1:], found)
            return
        tilt = self._shifts.tilt(theta)
        if tilt is None:
            found[self._slots.where["lambda"]] += by
            return
        ratio = self._ratio(tilt)
        found[self._slots.where["lambda"]] += (by * ratio).sum(axis=0)
        self._shifts.tilt_back(theta, (by * ratio * size)[:, self._design.biased], found)

    def _of_first(self, theta: Array, by: Constants, found: Array) -> Constants:
        """Return derivatives by the constants of the first group, of which the others' are made."""
        rows = len(self._design.categories)
        first, later = [b[:rows] for b in by], [b[rows:] for b in by]
        if self._moves:
            one = ordinal.tabulate(theta, self._start, self._categories, self._columns)
            given, (nu, scale) = _tiled(one, self._groups - 1), self._intercepts_and_scales(theta)
            made = ordinal.rescale(given, nu, scale)
            pulled, by_nu, by_scale = ordinal.rescale_back(given, scale, made, (later[0], later[1], later[2]))
            later = list(pulled)
            if "nu_group" in self._slots.where:
                found[self._slots.where["nu_group"]] += by_nu
            self._scales_back(by_scale.reshape(-1, rows), found)
        upper, lower, gap = (
            one + other.reshape(-1, *one.shape).sum(axis=0) for one, other in zip(first, later, strict=True)
        )
        return upper, lower, gap

    def _intercepts_and_scales(self, theta: Array) -> tuple[Array, Array]:
        """Return nu and s of later groups, group by group."""
        nu, scale = ladder.intercepts_and_scales(self._named(theta), self._design)
        return np.asarray(nu)[1:].ravel(), np.asarray(scale)[1:].ravel()

    def _scales_back(self, by: Array, found: Array) -> None:
        if "scale_group" in self._slots.where:
            found[self._slots.where["scale_group"]] += by[:, self._design.categories > 2].ravel()

    def _ratio(self, tilt: Array) -> Array:
        """Return by what bias multiplies loadings [pattern, `indicator`]."""
        found = np.ones((len(tilt), len(self._design.categories)))
        found[:, self._design.biased] = np.exp(tilt)
        return found

    def _named(self, theta: Array) -> dict[str, Array]:
        names = ("lambda", "nu_group", "scale_group")
        where, shapes = self._slots.where, self._slots.shapes
        return {k: theta[where[k]].reshape(shapes[k]) for k in names if k in where}


def _tiled(constants: Constants, times: int) -> Constants:
    upper, lower, gap = (np.tile(part, (times, 1)) for part in constants)
    return upper, lower, gap
