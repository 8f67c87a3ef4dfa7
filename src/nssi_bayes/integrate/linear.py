"""What is linear in the parameters, evaluated for every person, and slopes gathered from there.

Coefficients are a sparse map of the parameters; the last axis of every array is the person.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nssi_bayes.integrate.compiling import compiled

__all__ = ["Linear", "Map", "gather", "spread"]

type Array = np.ndarray[Any, Any]


class Map(NamedTuple):
    """What is linear in the parameters: coefficients as a sparse map of them, and what they multiply.

    Parameters
    ----------
    sizes : tuple of int
        Measures, columns, factors, functions, contrasts and residual factors.
    start, slot, weight : numpy.ndarray
        Compressed rows: from parameters to the coefficients of mean [measure, column], of common
        loadings [measure, `factor`], of own loadings [measure, `function`, contrast] and of residual
        loadings [measure, residual factor], one after the other.
    column, contrast : numpy.ndarray
        [column, person], [contrast, person].
    """

    sizes: tuple[int, int, int, int, int, int]
    start: Array
    slot: Array
    weight: Array
    column: Array
    contrast: Array


class Linear(NamedTuple):
    """Means and loadings of measures.

    Parameters
    ----------
    mean : numpy.ndarray
        Where factors and functions are 0 [measure, person].
    own : numpy.ndarray
        Loadings on functions [measure, `function`, person].
    common, residual : numpy.ndarray
        Loadings on factors and on residual factors [measure, latent].
    """

    mean: Array
    own: Array
    common: Array
    residual: Array


@compiled
def spread(given: Map, theta: Array) -> Linear:
    """Evaluate what is linear in the parameters.

    Parameters
    ----------
    given : Map
        Of one block.
    theta : numpy.ndarray
        Parameters [slot].

    Returns
    -------
    Linear
        For every person.
    """
    measures, columns, factors, functions, contrasts, residuals = given.sizes
    coefficient = np.zeros(len(given.start) - 1)
    for c in range(len(coefficient)):
        for e in range(given.start[c], given.start[c + 1]):
            coefficient[c] += given.weight[e] * theta[given.slot[e]]
    people = given.column.shape[1]
    mean, own = np.zeros((measures, people)), np.zeros((measures, functions, people))
    at = 0
    for r in range(measures):
        for c in range(columns):
            for i in range(people):
                mean[r, i] += coefficient[at] * given.column[c, i]
            at += 1
    common = coefficient[at : at + measures * factors].reshape(measures, factors)
    at += measures * factors
    for r in range(measures):
        for f in range(functions):
            for k in range(contrasts):
                for i in range(people):
                    own[r, f, i] += coefficient[at] * given.contrast[k, i]
                at += 1
    return Linear(mean, own, common, coefficient[at:].reshape(measures, residuals))


@compiled
def gather(
    given: Map, by_mean: Array, by_own: Array, by_common: Array, by_residual: Array, found: Array
) -> None:
    """Add to `found` the derivative by the parameters, from those by what `spread` returns."""
    measures, _, _, functions, _, _ = given.sizes
    of_mean = by_mean @ given.column.T
    of_own = by_own.reshape(measures * functions, by_own.shape[2]) @ given.contrast.T
    by, at = np.empty(len(given.start) - 1), 0
    for part in (of_mean, by_common, of_own, by_residual):
        for value in part.flat:
            by[at] = value
            at += 1
    for c in range(len(by)):
        for e in range(given.start[c], given.start[c + 1]):
            found[given.slot[e]] += given.weight[e] * by[c]
