"""Every person's constants U and V, looked up in the indicators' tables, and slopes taken back there."""

from __future__ import annotations

from typing import Any

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.compiled import Part
from nssi_bayes.blocks.design import Design

__all__ = ["Answers", "all_loadings"]

type Array = np.ndarray[Any, Any]


def all_loadings(part: Part, design: Design) -> Array:
    """Return the loadings on every axis [pattern, `indicator`, axis]; one pattern if all agree."""
    own = np.atleast_2d(part.loading)
    found = np.zeros((*own.shape, len(design.plain_of)))
    found[:, np.arange(own.shape[1]), design.function_of] = own
    if part.further is not None:
        found[:, design.further_indicator, design.further_function] = part.further
    return found


class Answers:
    """Who answered what, as positions in the tables of the indicators.

    Parameters
    ----------
    design : Design
        Responses, groups, and which indicators may be biased.

    Attributes
    ----------
    counts : numpy.ndarray
        How often each response occurs [indicator, response]; with groups one row an indicator and group.
    """

    def __init__(self, design: Design) -> None:
        response = np.asarray(design.response)
        indicators, groups = response.shape[1], max(len(design.coords[n.GROUP]), 1)
        self._shape = groups * indicators, max(design.category_groups, default=0) + 1
        row = np.arange(indicators)
        if groups > 1:
            row = row + indicators * np.asarray(design.group_of)[:, None]
        self._places = response + row * self._shape[1]
        self._flat, self._size = self._places.ravel(), self._shape[0] * self._shape[1]
        self._biased = design.biased
        self.counts = self._sums(np.ones(self._places.shape))

    def constants(self, part: Part) -> tuple[Array, Array]:
        """Return U and V of every response, moved by bias [`participant`, `indicator`]."""
        upper, lower = part.upper.ravel()[self._places], part.lower.ravel()[self._places]
        if part.shift is not None:
            odds = np.exp(part.shift)
            upper[:, self._biased] *= odds
            lower[:, self._biased] /= odds
        return upper, lower

    def log_gap(self, part: Part, counted: Array) -> Array:
        """Return what does not depend on the functions, of the indicators that count [`participant`]."""
        return (part.log_gap.ravel()[self._places] * counted).sum(axis=1)

    def back(
        self, part: Part, constants: tuple[Array, Array], by_constants: tuple[Array, Array]
    ) -> tuple[Array, Array, Array | None]:
        """Pull derivatives by the constants back to the tables, and to the shifts of biased indicators.

        Parameters
        ----------
        part : Part
            What the constants were taken from.
        constants : tuple of numpy.ndarray
            From `constants`.
        by_constants : tuple of numpy.ndarray
            Derivatives by both; changed in place.

        Returns
        -------
        tuple
            By both tables [indicator, response], and by the shifts [`participant`, biased
            indicator] or None.
        """
        (upper, lower), (by_upper, by_lower) = constants, by_constants
        by_shift = None
        if part.shift is not None:
            odds, moved = np.exp(part.shift), self._biased
            by_shift = by_upper[:, moved] * upper[:, moved] - by_lower[:, moved] * lower[:, moved]
            by_upper[:, moved] *= odds
            by_lower[:, moved] /= odds
        return self._sums(by_upper), self._sums(by_lower), by_shift

    def _sums(self, values: Array) -> Array:
        """Sum over the people who gave each response."""
        return np.bincount(self._flat, values.ravel(), self._size).reshape(self._shape)
