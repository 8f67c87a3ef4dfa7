"""Cholesky factors of correlation matrices: from the sampler's vector, or from loadings, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln

__all__ = ["Root", "by_loading"]

type Array = np.ndarray[Any, Any]


class Root:
    """PyMC's Cholesky factor of a correlation matrix: rows of unit length over (x, 1)."""

    def __init__(self, x: slice, slot: slice, size: int, eta: float) -> None:
        self.slot, self.size = slot, size
        self.place = _triangle(size, x.start)
        k = np.arange(1, size)
        self.constant = float(
            (size - 1) * gammaln(eta + 0.5 * (size - 1))
            - (0.5 * k * np.log(np.pi) + gammaln(eta + 0.5 * (size - 1 - k))).sum()
        )
        # from correlations to their root, and from the root to the vector
        self.exponent = 2 * eta - 2 + size - np.arange(1, size + 1) + np.arange(2, size + 2)

    def forward(self, x: Array) -> tuple[Array, float, Array]:
        """Return the root, its log-density without the constant, and the lengths of the rows."""
        rows = np.eye(self.size)
        for r in range(1, self.size):
            rows[r, :r] = x[self.place[r]]
        norm = np.sqrt((rows**2).sum(axis=1))
        return rows / norm[:, None], -float(self.exponent @ np.log(norm)), norm

    def invert(self, root: Array, x: Array) -> None:
        """Write the vector whose root this is into `x`."""
        rows = root.reshape(self.size, self.size)
        for r in range(1, self.size):
            x[self.place[r]] = rows[r, :r] / rows[r, r]

    def backward(self, root: Array, norm: Array, by_root: Array, found: Array) -> None:
        """Write the derivative by the vector into `found`."""
        by = by_root.reshape(root.shape)
        along = (by * root).sum(axis=1)
        by_rows = (by - (along + self.exponent)[:, None] * root) / norm[:, None]
        for r in range(1, self.size):
            found[self.place[r]] = by_rows[r, :r]


def by_loading(loading: Array, root: Array, by_root: Array) -> Array:
    """Return the derivative by the loadings, of a function of the root of their `one_factor`.

    Through the Cholesky factor as in Murray 2016 (arXiv 1602.07527), equation 8.
    """
    size = len(loading)
    lower, by = root.reshape(size, size), np.tril(by_root.reshape(size, size))
    inner = np.tril(lower.T @ by)
    inner[np.diag_indices(size)] /= 2
    inverse = np.linalg.inv(lower)
    by_matrix = inverse.T @ inner @ inverse
    by_matrix = by_matrix + by_matrix.T
    np.fill_diagonal(by_matrix, 0.0)
    return by_matrix @ loading


def _triangle(size: int, start: int) -> list[Array]:
    """Where the elements below the diagonal stand: TensorFlow's spiral, which PyMC uses."""
    n = size - 1
    order = np.arange(size * n // 2)
    filled = np.concatenate([order[n:], order[::-1]]).reshape(n, n) if n else np.zeros((0, 0), int)
    return [np.zeros(0, int), *(start + filled[r, : r + 1] for r in range(n))]
