"""Gaussian latents integrated out, compiled by Numba, with the gradient: `gaussian` for many draws.

The same numbers as `gaussian.fold`, `gaussian.observe` and `gaussian.eliminate`. The last axis of
every array is the person, along which the innermost loops run. A row h of a measure holds its
loadings on residual factors, factors and functions and, last, the measure less its mean; with the
measures' precision K the person's quadratic form is H' K H, whose derivative by H is 2 K H dM and
by K is H dM H'. A covariance's own derivative follows from d inverse(C) = -K dC K.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit

from nssi_bayes.integrate.gaussian import LOG_2PI

__all__ = [
    "Folded",
    "Map",
    "Measured",
    "eliminate",
    "eliminate_back",
    "fold",
    "fold_back",
    "gather",
    "inverse",
    "inverse_back",
    "spread",
    "weigh",
    "weigh_back",
]

type Array = np.ndarray[Any, Any]

_OPTIONS: Final[dict[str, Any]] = {"cache": True, "nogil": True, "error_model": "numpy"}

_FACTORS_A_LOG: Final = 4
"""Measures whose variances are multiplied before a logarithm is taken."""


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


class Measured(NamedTuple):
    """Gaussian measures of some people.

    Parameters
    ----------
    who : numpy.ndarray
        Positions of the people.
    value, error, seen : numpy.ndarray
        Values, squared standard errors, and 1 where there is a value [measure, person].
    partner : numpy.ndarray
        Position of the one measure whose residual is correlated with this one's, or -1 [measure].
    loads : numpy.ndarray
        Whether there is a loading on a residual factor [measure, residual factor].
    """

    who: Array
    value: Array
    error: Array
    seen: Array
    partner: Array
    loads: Array


class Folded(NamedTuple):
    """What `fold` leaves for `fold_back`."""

    precision: Array
    across: Array
    rows: Array
    whole: Array
    active: Array


@njit(**_OPTIONS)
def eliminate(matrix: Array, count: int) -> Array:
    """Sweep the first `count` latents in place (see `gaussian.eliminate`).

    Parameters
    ----------
    matrix : numpy.ndarray
        M [latent + 1, latent + 1, person]; becomes minus the inverse, the regression of the other
        latents and, where these meet, the Schur complement.
    count : int
        How many.

    Returns
    -------
    numpy.ndarray
        Log-determinant of what was integrated out [person].
    """
    size, people = matrix.shape[0], matrix.shape[2]
    log_det, row = np.zeros(people), np.empty((size, people))
    for k in range(count):
        for i in range(people):
            log_det[i] += np.log(matrix[k, k, i])
            row[-1, i] = 1.0 / matrix[k, k, i]
        inverse = row[-1].copy()
        for b in range(size):
            for i in range(people):
                row[b, i] = matrix[k, b, i]
        for a in range(size):
            if a == k:
                continue
            for i in range(people):
                factor = row[a, i] * inverse[i]
                matrix[a, k, i] = factor
                matrix[k, a, i] = factor
            for b in range(a + 1):
                if b == k:
                    continue
                for i in range(people):
                    matrix[a, b, i] -= row[a, i] * row[b, i] * inverse[i]
                for i in range(people):
                    matrix[b, a, i] = matrix[a, b, i]
        for i in range(people):
            matrix[k, k, i] = -inverse[i]
    return log_det


@njit(**_OPTIONS)
def eliminate_back(swept: Array, count: int, by_rest: Array) -> Array:
    """Return the derivative of f(Schur complement) - log-determinant / 2 by the matrix.

    Parameters
    ----------
    swept : numpy.ndarray
        What `eliminate` left.
    count : int
        As there.
    by_rest : numpy.ndarray
        Derivative of f, symmetric [rest, rest, person].

    Returns
    -------
    numpy.ndarray
        [latent + 1, latent + 1, person].
    """
    size, people = swept.shape[0], swept.shape[2]
    found = np.empty_like(swept)
    for a in range(count, size):
        for b in range(count, size):
            found[a, b] = by_rest[a - count, b - count]
    for k in range(count):
        for b in range(count, size):
            found[k, b] = 0.0
            for c in range(count, size):
                for i in range(people):
                    found[k, b, i] -= swept[k, c, i] * by_rest[c - count, b - count, i]
            found[b, k] = found[k, b]
    for k in range(count):
        for m in range(k + 1):
            for i in range(people):
                found[k, m, i] = 0.5 * swept[k, m, i]
            for c in range(count, size):
                for i in range(people):
                    found[k, m, i] -= found[k, c, i] * swept[m, c, i]
            found[m, k] = found[k, m]
    return found


@njit(**_OPTIONS)
def spread(given: Map, theta: Array) -> tuple[Array, Array, Array, Array]:
    """Evaluate what is linear in the parameters.

    Parameters
    ----------
    given : Map
        Of one block.
    theta : numpy.ndarray
        Parameters [slot].

    Returns
    -------
    tuple of numpy.ndarray
        Mean [measure, person], loadings on functions [measure, `function`, person], on factors and
        on residual factors [measure, latent].
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
    return mean, own, common, coefficient[at:].reshape(measures, residuals)


@njit(**_OPTIONS)
def gather(
    given: Map, by_mean: Array, by_own: Array, by_common: Array, by_residual: Array, found: Array
) -> None:
    """Add to `found` the derivative by the parameters, from those by what `spread` returns."""
    measures, columns, factors, functions, contrasts, _ = given.sizes
    by = np.empty(len(given.start) - 1)
    at = measures * columns
    by[:at] = (by_mean @ given.column.T).ravel()
    by[at : at + measures * factors] = by_common.ravel()
    at += measures * factors
    flat = by_own.reshape(measures * functions, by_own.shape[2])
    by[at : at + measures * functions * contrasts] = (flat @ given.contrast.T).ravel()
    at += measures * functions * contrasts
    by[at:] = by_residual.ravel()
    for c in range(len(by)):
        for e in range(given.start[c], given.start[c + 1]):
            found[given.slot[e]] += given.weight[e] * by[c]


@njit(**_OPTIONS)
def fold(
    mean: Array,
    own: Array,
    common: Array,
    residual: Array,
    sigma: Array,
    shared: float,
    measured: Measured,
    matrix: Array,
    constant: Array,
) -> Folded:
    """Add what measures say of factors and functions, the residual factors integrated out.

    Parameters
    ----------
    mean, own, common, residual : numpy.ndarray
        From `spread`.
    sigma : numpy.ndarray
        Residual sd [measure].
    shared : float
        Covariance of a measure and its partner, which is part of the variance of both.
    measured : Measured
        The data.
    matrix, constant : numpy.ndarray
        M [latent + 1, latent + 1, person] and log c [person], of everyone; added to.

    Returns
    -------
    Folded
        What `fold_back` needs.
    """
    measures, people = mean.shape
    count, factors, functions = residual.shape[1], common.shape[1], own.shape[1]
    size = count + factors + functions + 1
    precision, across, log_c = _precision(sigma, shared, measured)
    rows, whole = np.zeros((measures, size, people)), np.zeros((size, size, people))
    active = np.ones((measures, size), np.bool_)
    for r in range(measures):
        p = measured.partner[r]
        for a in range(count):
            active[r, a] = measured.loads[r, a] or (p >= 0 and measured.loads[p, a])
            rows[r, a] = residual[r, a]
        for a in range(factors):
            rows[r, count + a] = common[r, a]
        for a in range(functions):
            rows[r, count + factors + a] = own[r, a]
        for i in range(people):
            rows[r, size - 1, i] = measured.value[r, i] - mean[r, i]
    for a in range(count):
        whole[a, a] = 1.0
    weighted = np.empty((size, people))
    for r in range(measures):
        p = measured.partner[r]
        for a in range(size):
            if not active[r, a]:
                continue
            for i in range(people):
                weighted[a, i] = precision[r, i] * rows[r, a, i]
            if p >= 0:
                for i in range(people):
                    weighted[a, i] += across[r, i] * rows[p, a, i]
        for a in range(size):
            if not active[r, a]:
                continue
            for b in range(a + 1):  # of a pair, the sum of both is symmetric
                if active[r, b]:
                    for i in range(people):
                        whole[a, b, i] += rows[r, a, i] * weighted[b, i]
    for a in range(size):
        for b in range(a):
            whole[b, a] = whole[a, b]
    log_det = eliminate(whole, count)
    for i in range(people):
        constant[measured.who[i]] += log_c[i] - 0.5 * log_det[i]
    for a in range(size - count):
        for b in range(size - count):
            for i in range(people):
                matrix[a, b, measured.who[i]] += whole[count + a, count + b, i]
    return Folded(precision, across, rows, whole, active)


@njit(**_OPTIONS)
def _precision(sigma: Array, shared: float, measured: Measured) -> tuple[Array, Array, Array]:
    """Inverse of the residual covariance: diagonal, element with the partner; and the constant."""
    measures, people = measured.value.shape
    partner, seen = measured.partner, measured.seen
    precision, across = np.zeros((measures, people)), np.zeros((measures, people))
    constant, determinant = np.zeros(people), np.ones(people)
    for r in range(measures):
        p = partner[r]
        for i in range(people):
            if seen[r, i] == 0.0:
                continue
            constant[i] -= 0.5 * LOG_2PI
            one = sigma[r] ** 2 + measured.error[r, i] + (shared if p >= 0 else 0.0)
            if p >= 0 and seen[p, i] > 0.0:
                other = sigma[p] ** 2 + measured.error[p, i] + shared
                both = one * other - shared**2
                precision[r, i] = other / both
                across[r, i] = -shared / both
                if r < p:  # a pair has one determinant
                    determinant[i] *= both
            else:
                precision[r, i] = 1.0 / one
                determinant[i] *= one
        if r % _FACTORS_A_LOG == _FACTORS_A_LOG - 1 or r == measures - 1:
            for i in range(people):
                constant[i] -= 0.5 * np.log(determinant[i])
                determinant[i] = 1.0
    return precision, across, constant


@njit(**_OPTIONS)
def fold_back(
    by_whole: Array, folded: Folded, count: int, factors: int, measured: Measured
) -> tuple[Array, Array, Array, Array, Array, float]:
    """Return the derivatives of f(M) + sum log c by what `fold` was given.

    Parameters
    ----------
    by_whole : numpy.ndarray
        Derivative of f by M of everyone, symmetric [latent + 1, latent + 1, person].
    folded : Folded
        From `fold`.
    count, factors : int
        Residual factors and factors.
    measured : Measured
        The data.

    Returns
    -------
    tuple
        By mean [measure, person], own loadings [measure, `function`, person], common and residual
        loadings [measure, latent], variance [measure] and shared variance.
    """
    measures, size, people = folded.rows.shape
    rest = size - count
    by_matrix = np.empty((rest, rest, people))
    for a in range(rest):
        for b in range(rest):
            for i in range(people):
                by_matrix[a, b, i] = by_whole[a, b, measured.who[i]]
    slope = eliminate_back(folded.whole, count, by_matrix)
    rows, active = folded.rows, folded.active
    half = np.zeros((measures, size, people))  # rows times slope
    for r in range(measures):
        for a in range(size):
            if not active[r, a]:
                continue
            for b in range(size):
                if active[r, b]:
                    for i in range(people):
                        half[r, a, i] += slope[a, b, i] * rows[r, b, i]
    by_row = np.zeros((size, people))
    by_residual, by_common = np.zeros((measures, count)), np.zeros((measures, factors))
    by_own, by_mean = np.empty((measures, rest - 1 - factors, people)), np.empty((measures, people))
    for r in range(measures):
        p = measured.partner[r]
        for a in range(size):
            if not active[r, a]:
                continue
            for i in range(people):
                by_row[a, i] = 2.0 * folded.precision[r, i] * half[r, a, i]
            if p >= 0:
                for i in range(people):
                    by_row[a, i] += 2.0 * folded.across[r, i] * half[p, a, i]
        for a in range(count):
            if active[r, a]:
                by_residual[r, a] = by_row[a].sum()
        for a in range(factors):
            by_common[r, a] = by_row[count + a].sum()
        by_own[r] = by_row[count + factors : size - 1]
        by_mean[r] = -by_row[size - 1]
    by_variance, by_shared = _precision_back(folded, half, measured)
    return by_mean, by_own, by_common, by_residual, by_variance, by_shared


@njit(**_OPTIONS)
def _precision_back(folded: Folded, half: Array, measured: Measured) -> tuple[Array, float]:
    precision, across, rows = folded.precision, folded.across, folded.rows
    partner, seen = measured.partner, measured.seen
    measures, size, people = rows.shape
    alone, cross = np.empty((measures, people)), np.empty(people)
    for r in range(measures):
        alone[r] = 0.0
        for a in range(size):
            for i in range(people):
                alone[r, i] += rows[r, a, i] * half[r, a, i]
    by_variance, by_shared = np.zeros(measures), 0.0
    for r in range(measures):
        p = partner[r]
        if p > r:
            cross[:] = 0.0
            for a in range(size):
                for i in range(people):
                    cross[i] += rows[p, a, i] * half[r, a, i]
        for i in range(people):
            if seen[r, i] == 0.0:
                continue
            if p >= 0 and seen[p, i] > 0.0:
                if p > r:  # both of a pair at once
                    k, m, x = precision[r, i], precision[p, i], across[r, i]
                    first, second = k * alone[r, i] + x * cross[i], k * cross[i] + x * alone[p, i]
                    third, fourth = x * alone[r, i] + m * cross[i], x * cross[i] + m * alone[p, i]
                    one = -(first * k + second * x) - 0.5 * k
                    other = -(third * x + fourth * m) - 0.5 * m
                    by_variance[r] += one
                    by_variance[p] += other
                    by_shared += one + other - 2.0 * (first * x + second * m) - x
            else:
                one = -(precision[r, i] ** 2) * alone[r, i] - 0.5 * precision[r, i]
                by_variance[r] += one
                if p >= 0:
                    by_shared += one
    return by_variance, by_shared


@njit(**_OPTIONS)
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


@njit(**_OPTIONS)
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


@njit(**_OPTIONS)
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


@njit(**_OPTIONS)
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
