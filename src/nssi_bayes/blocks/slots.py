"""Where the parameters of a model stand in one flat vector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["Slots"]

type Array = np.ndarray[Any, Any]


class Slots:
    """Where the parameters stand in one flat vector.

    Parameters
    ----------
    shapes : mapping of str to tuple
        Shape by name, in the order of the vector.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = dict(shapes)
        edges = np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes.values())])
        self.size = int(edges[-1])
        self.where = {
            name: slice(int(a), int(b)) for name, a, b in zip(self.shapes, edges[:-1], edges[1:], strict=True)
        }

    def named(self, vector: Array) -> dict[str, Array]:
        """Return views of a vector [..., slot] by name."""
        lead = vector.shape[:-1]
        return {
            name: vector[..., self.where[name]].reshape((*lead, *shape))
            for name, shape in self.shapes.items()
        }

    def joined(self, theta: Mapping[str, Array]) -> Array:
        """Return the vector, or vectors [draw, slot] of draws."""
        name = next(iter(self.shapes))
        lead = np.shape(theta[name])[: np.ndim(theta[name]) - len(self.shapes[name])]
        return np.concatenate([np.asarray(theta[name]).reshape(*lead, -1) for name in self.shapes], axis=-1)
