"""The likelihood of Gaussian data by sums of cross-products, with its gradient, in compiled loops.

What `blocks.sums` states in NumPy, for the hundred thousands of evaluations of a fit: with matrices
of ten rows NumPy spends its time between the operations.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nssi_bayes.integrate.compiling import compiled, inlined
from nssi_bayes.integrate.rows import inverse

__all__ = ["Products", "Stated", "value_and_slopes"]

type Array = np.ndarray[Any, Any]


class Products(NamedTuple):
    """Sums over the people of each pattern of group and missingness.

    Parameters
    ----------
    group : numpy.ndarray
        Group of a pattern [pattern].
    mask : numpy.ndarray
        1 where a measure is there [pattern, measure].
    people : numpy.ndarray
        People [pattern].
    vv, vd, dd : numpy.ndarray
        Cross-products of data and columns [pattern, ., .], missing data as 0.
    """

    group: Array
    mask: Array
    people: Array
    vv: Array
    vd: Array
    dd: Array


class Stated(NamedTuple):
    """What a group's data should look like, or derivatives by it.

    Parameters
    ----------
    given : numpy.ndarray
        Coefficients of the columns in the measures [group, measure, column].
    loads : numpy.ndarray
        Loadings [group, measure, latent].
    level : numpy.ndarray
        Coefficients of the columns in (x, zeta) [group, latent, column].
    through : numpy.ndarray
        From (x, zeta) to (x, eta) [group, latent, latent].
    root : numpy.ndarray
        Root of the covariance of (x, zeta) [group, latent, latent].
    variance : numpy.ndarray
        Residual variances [group, measure].
    """

    given: Array
    loads: Array
    level: Array
    through: Array
    root: Array
    variance: Array


@inlined
def _root(matrix: Array) -> bool:
    """Replace a matrix by its lower triangular root; say whether it has one."""
    size = len(matrix)
    for a in range(size):
        for b in range(a + 1):
            for c in range(b):
                matrix[a, b] -= matrix[a, c] * matrix[b, c]
            if a > b:
                matrix[a, b] /= matrix[b, b]
            elif matrix[a, a] > 0.0:
                matrix[a, a] = np.sqrt(matrix[a, a])
            else:
                return False
    return True


@inlined
def _implied(stated: Stated) -> tuple[Array, Array, Array, Array, Array]:
    """Return root and means of the latents, loadings times their covariance, and what data have."""
    groups, measures, latents = stated.loads.shape
    width = stated.given.shape[2]
    covariance = np.empty((groups, measures, measures))
    half, level = np.empty((groups, latents, latents)), np.empty((groups, latents, width))
    weighted, gamma = np.empty((groups, measures, latents)), np.empty((groups, measures, width))
    for g in range(groups):
        half[g] = stated.through[g] @ stated.root[g]
        level[g] = stated.through[g] @ stated.level[g]
        weighted[g] = (stated.loads[g] @ half[g]) @ half[g].T
        covariance[g] = weighted[g] @ stated.loads[g].T
        gamma[g] = stated.given[g] + stated.loads[g] @ level[g]
        for j in range(measures):
            covariance[g, j, j] += stated.variance[g, j]
    return half, level, weighted, covariance, gamma


@compiled
def value_and_slopes(stated: Stated, known: Products) -> tuple[float, Stated]:
    """Return the log-likelihood, without its powers of 2 pi, and its derivatives.

    Parameters
    ----------
    stated : Stated
        Of every group.
    known : Products
        The data.

    Returns
    -------
    tuple of float and Stated
        Minus infinity where a covariance has no root.
    """
    groups, measures, _ = stated.loads.shape
    half, level, weighted, covariance, gamma = _implied(stated)
    total = 0.0
    by_covariance, by_gamma = np.zeros_like(covariance), np.zeros_like(gamma)
    for p in range(len(known.group)):
        g = known.group[p]
        own = covariance[g].copy()
        for a in range(measures):
            for b in range(measures):
                if known.mask[p, a] * known.mask[p, b] == 0.0:
                    own[a, b] = 1.0 if a == b else 0.0
        if not _root(own):
            return -np.inf, Stated(gamma, weighted, level, half, half, stated.variance)
        precision, log_det = inverse(own)
        for a in range(measures):
            if known.mask[p, a] == 0.0:
                precision[a, a] = 0.0
        fitted = gamma[g] @ known.dd[p]
        cross = known.vd[p] @ gamma[g].T
        about = known.vv[p] - cross - cross.T + fitted @ gamma[g].T
        pulled = precision @ about
        total += 0.5 * known.people[p] * log_det
        for a in range(measures):
            total -= 0.5 * pulled[a, a]
        by_covariance[g] += 0.5 * (pulled @ precision - known.people[p] * precision)
        by_gamma[g] += precision @ (known.vd[p] - fitted)
    by_loads, by_level = np.empty_like(weighted), np.empty_like(level)
    by_through, by_root = np.empty_like(half), np.empty_like(half)
    by_variance = np.empty((groups, measures))
    for g in range(groups):
        turned = stated.loads[g].T
        by_loads[g] = 2.0 * (by_covariance[g] @ weighted[g]) + by_gamma[g] @ level[g].T
        by_half = 2.0 * ((turned @ by_covariance[g] @ stated.loads[g]) @ half[g])
        lifted = turned @ by_gamma[g]
        by_through[g] = by_half @ stated.root[g].T + lifted @ stated.level[g].T
        by_level[g] = stated.through[g].T @ lifted
        by_root[g] = stated.through[g].T @ by_half
        for j in range(measures):
            by_variance[g, j] = by_covariance[g, j, j]
    return total, Stated(by_gamma, by_loads, by_level, by_through, by_root, by_variance)
