"""Effects of a regularised horseshoe in the flat vector of parameters, forwards and backwards."""

from __future__ import annotations

from typing import Any

import numpy as np

from nssi_bayes.blocks.parameter import slabbed

__all__ = ["Slabbed"]

type Array = np.ndarray[Any, Any]


class Slabbed:
    """Standardised effects times their scale within a slab.

    Parameters
    ----------
    into : numpy.ndarray
        Slots of the effects, one scale after the other.
    scale, slab : slice
        Slots of the scales, and of the sd of the slab.
    """

    def __init__(self, into: Array, scale: slice, slab: slice) -> None:
        self._into = into.reshape(scale.stop - scale.start, -1)
        self._scale, self._slab = scale, slab

    def _size(self, theta: Array) -> Array:
        return np.asarray(slabbed(theta[self._scale], theta[self._slab]))[:, None]

    def forward(self, theta: Array) -> Array:
        """Multiply in place, and return what was multiplied."""
        unit = theta[self._into]
        theta[self._into] = self._size(theta) * unit
        return unit

    def invert(self, theta: Array, raw: Array) -> None:
        """Write what was multiplied into `raw`."""
        raw[self._into] = theta[self._into] / self._size(theta)

    def backward(self, theta: Array, unit: Array, by: Array) -> None:
        """Turn the derivative by the effects into that by what was multiplied, and by both scales."""
        size = self._size(theta)[:, 0]
        by_size = (by[self._into] * unit).sum(axis=1) * size**3
        by[self._into] *= size[:, None]
        by[self._scale] += by_size / theta[self._scale] ** 3
        by[self._slab] += by_size.sum() / theta[self._slab] ** 3
