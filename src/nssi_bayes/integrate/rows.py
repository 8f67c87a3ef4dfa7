"""Residuals of latents with one precision for everyone: quadratic forms H' K H, K = inverse(R R').

The last axis of every array but K and R is the person.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nssi_bayes.integrate.compiling import compiled

__all__ = ["inverse", "inverse_back", "weigh", "weigh_back"]

type Array = np.ndarray[Any, Any]


@compiled
def weigh(rows: Array, precision: Array, matrix: Array) -> Array:
    """Add H' K H to `matrix`, with one K for everyone.

    Parameters
    ----------
    rows : numpy.ndarray
        H [row, latent + 1, person].
    precision : numpy.ndarray
        K, symmetric [row, row].
    matrix : numpy.ndarray
        [latent + 1, latent + 1, person].

    Returns
    -------
    numpy.ndarray
        K H.
    """
    count, size, people = rows.shape
    weighted = np.zeros_like(rows)
    for r in range(count):
        for s in range(count):
            factor = precision[r, s]
            for a in range(size):
                for i in range(people):
                    weighted[r, a, i] += factor * rows[s, a, i]
    for r in range(count):
        for a in range(size):
            for b in range(size):
                for i in range(people):
                    matrix[a, b, i] += rows[r, a, i] * weighted[r, b, i]
    return weighted


@compiled
def weigh_back(by_matrix: Array, rows: Array, weighted: Array) -> tuple[Array, Array]:
    """Return the derivatives of f(M) by rows and precision.

    Parameters
    ----------
    by_matrix : numpy.ndarray
        Derivative of f by M, symmetric.
    rows, weighted : numpy.ndarray
        H, and K H from `weigh`.

    Returns
    -------
    tuple of numpy.ndarray
        By H, and by K.
    """
    count, size, people = rows.shape
    by_rows, half = np.zeros_like(rows), np.empty((size, people))
    by_precision = np.zeros((count, count))
    for r in range(count):
        half[:] = 0.0
        for a in range(size):
            for b in range(size):
                for i in range(people):
                    by_rows[r, a, i] += 2.0 * by_matrix[a, b, i] * weighted[r, b, i]
                    half[a, i] += by_matrix[a, b, i] * rows[r, b, i]
        for s in range(count):
            for a in range(size):
                for i in range(people):
                    by_precision[r, s] += rows[s, a, i] * half[a, i]
    return by_rows, by_precision


@compiled
def inverse(root: Array) -> tuple[Array, float]:
    """Return the inverse of R R' and the log of its determinant, R lower triangular [row, row]."""
    size = len(root)
    white, log_det = np.zeros((size, size)), 0.0
    for k in range(size):
        log_det -= 2.0 * np.log(root[k, k])
        for r in range(k, size):
            total = 1.0 if r == k else 0.0
            for s in range(k, r):
                total -= root[r, s] * white[s, k]
            white[r, k] = total / root[r, r]
    found = np.zeros((size, size))
    for r in range(size):
        for s in range(size):
            for k in range(size):
                found[r, s] += white[k, r] * white[k, s]
    return found, log_det


@compiled
def inverse_back(root: Array, precision: Array, by_precision: Array, count: float) -> Array:
    """Return the derivative of f(inverse) + `count` / 2 times its log-determinant by R.

    Parameters
    ----------
    root, precision : numpy.ndarray
        R, and what `inverse` made of it.
    by_precision : numpy.ndarray
        Derivative of f, symmetric.
    count : float
        How often the log-determinant counts.

    Returns
    -------
    numpy.ndarray
        Lower triangular [row, row].
    """
    size = len(root)
    through, by_covariance = np.zeros((size, size)), np.zeros((size, size))
    for r in range(size):
        for s in range(size):
            for k in range(size):
                through[r, s] += precision[r, k] * by_precision[k, s]
    for r in range(size):
        for s in range(size):
            by_covariance[r, s] -= 0.5 * count * precision[r, s]
            for k in range(size):
                by_covariance[r, s] -= through[r, k] * precision[k, s]
    found = np.zeros((size, size))
    for r in range(size):
        for s in range(r + 1):
            for k in range(size):
                found[r, s] += 2.0 * by_covariance[r, k] * root[k, s]
    return found
