"""The kernel where loadings differ between people: once for each pattern of people who share them.

A pattern is a group of the invariance ladder or, where bias is of loadings, a pattern of diagnoses; the
kernel takes one loading an indicator. Where all loadings agree everybody is of one pattern.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nssi_bayes.blocks.compiled import Part
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.tables import people_by_pattern
from nssi_bayes.integrate import kernel
from nssi_bayes.integrate.kernel import Arrangement

__all__ = ["Patterns"]

type Array = np.ndarray[Any, Any]


class Patterns:
    """Who has which loadings, in the order of `Part.loading`.

    Parameters
    ----------
    design : Design
        Who is in which group, and has which diagnoses.
    arrangement : Arrangement
        Of the kernel.
    """

    def __init__(self, design: Design, arrangement: Arrangement) -> None:
        self._who, self._arrangement = people_by_pattern(design), arrangement

    def value_and_gradient(
        self, part: Part, upper: Array, lower: Array
    ) -> tuple[Array, Array, Array, Array, Array, Array, Array | None]:
        """Return what `kernel.value_and_gradient` does, and the derivative by `Part.shape`.

        Parameters
        ----------
        part : Part
            Everybody's.
        upper, lower : numpy.ndarray
            U and V [`participant`, `indicator`].
        """
        if part.loading.ndim == 1:
            given = part.matrix, upper, lower, part.loading, part.gamma
            if part.shape is not None:
                return kernel.value_and_gradient_skewed(*given, self._arrangement, part.shape)
            return (*kernel.value_and_gradient(*given, self._arrangement), None)
        value, by_matrix = np.empty(len(upper)), np.empty_like(part.matrix)
        by_upper, by_lower = np.empty_like(upper), np.empty_like(lower)
        by_loading, by_gamma = np.zeros_like(part.loading), np.zeros_like(part.gamma)
        for q, who in enumerate(self._who):
            if not len(who):
                continue
            given = part.matrix[who], upper[who], lower[who], part.loading[q], part.gamma
            found = kernel.value_and_gradient(*given, self._arrangement)
            value[who], by_matrix[who], by_upper[who], by_lower[who], by_loading[q] = found[:5]
            by_gamma += found[5]
        return value, by_matrix, by_upper, by_lower, by_loading, by_gamma, None

    def value_and_moments(
        self, part: Part, upper: Array, lower: Array, *, moments: bool
    ) -> tuple[Array, Array]:
        """Return what `kernel.value_and_moments` does."""
        if part.loading.ndim == 1:
            given = part.matrix, upper, lower, part.loading, part.gamma
            return kernel.value_and_moments(*given, self._arrangement, moments=moments)
        value, by_matrix = np.empty(len(upper)), np.empty_like(part.matrix)
        for q, who in enumerate(self._who):
            if len(who):
                given = part.matrix[who], upper[who], lower[who], part.loading[q], part.gamma
                found = kernel.value_and_moments(*given, self._arrangement, moments=moments)
                value[who], by_matrix[who] = found
        return value, by_matrix
