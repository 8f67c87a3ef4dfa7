"""The kernel where loadings differ by disorder: once for each pattern of diagnoses.

People of one pattern have the same loadings, and the kernel takes one loading an indicator. Where no
loading is biased everybody is of one pattern.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nssi_bayes.blocks.compiled import Part
from nssi_bayes.blocks.design import Design
from nssi_bayes.integrate import kernel
from nssi_bayes.integrate.kernel import Arrangement

__all__ = ["Patterns"]

type Array = np.ndarray[Any, Any]


class Patterns:
    """Who has which pattern of diagnoses, in the order of `Part.tilt`.

    Parameters
    ----------
    design : Design
        Who has what, and which indicators may be biased.
    arrangement : Arrangement
        Of the kernel.
    """

    def __init__(self, design: Design, arrangement: Arrangement) -> None:
        which = np.unique(design.diagnosis, axis=0, return_inverse=True)[1].ravel()
        self._who = [np.flatnonzero(which == q) for q in range(which.max() + 1)]
        self._biased, self._arrangement = design.biased, arrangement

    def value_and_gradient(
        self, part: Part, upper: Array, lower: Array
    ) -> tuple[Array, Array, Array, Array, Array, Array, Array | None, Array | None]:
        """Return what `kernel.value_and_gradient` does, and the derivatives by `Part.tilt` and `Part.shape`.

        Parameters
        ----------
        part : Part
            Everybody's.
        upper, lower : numpy.ndarray
            U and V [`participant`, `indicator`].
        """
        given = part.matrix, upper, lower, part.loading, part.gamma
        if part.shape is not None:
            skewed = kernel.value_and_gradient_skewed(*given, self._arrangement, part.shape)
            return (*skewed[:-1], None, skewed[-1])
        if part.tilt is None:
            return (*kernel.value_and_gradient(*given, self._arrangement), None, None)
        value, by_matrix = np.empty(len(upper)), np.empty_like(part.matrix)
        by_upper, by_lower = np.empty_like(upper), np.empty_like(lower)
        by_loading, by_gamma = np.zeros_like(part.loading), np.zeros_like(part.gamma)
        by_tilt = np.empty_like(part.tilt)
        for q, who in enumerate(self._who):
            ratio = self._ratio(part.tilt[q], len(part.loading))
            found = kernel.value_and_gradient(
                part.matrix[who], upper[who], lower[who], ratio * part.loading, part.gamma, self._arrangement
            )
            value[who], by_matrix[who], by_upper[who], by_lower[who] = found[:4]
            by_loading += ratio * found[4]
            by_gamma += found[5]
            by_tilt[q] = (ratio * part.loading * found[4])[self._biased]
        return value, by_matrix, by_upper, by_lower, by_loading, by_gamma, by_tilt, None

    def value_and_moments(
        self, part: Part, upper: Array, lower: Array, *, moments: bool
    ) -> tuple[Array, Array]:
        """Return what `kernel.value_and_moments` does."""
        if part.tilt is None:
            given = part.matrix, upper, lower, part.loading, part.gamma
            return kernel.value_and_moments(*given, self._arrangement, moments=moments)
        value, by_matrix = np.empty(len(upper)), np.empty_like(part.matrix)
        for q, who in enumerate(self._who):
            loading = self._ratio(part.tilt[q], len(part.loading)) * part.loading
            given = part.matrix[who], upper[who], lower[who], loading, part.gamma
            value[who], by_matrix[who] = kernel.value_and_moments(*given, self._arrangement, moments=moments)
        return value, by_matrix

    def _ratio(self, tilt: Array, indicators: int) -> Array:
        found = np.ones(indicators)
        found[self._biased] = np.exp(tilt)
        return found
