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

from nssi_bayes.integrate.compiling import compiled, inlined
from nssi_bayes.integrate.gaussian import LOG_2PI
from nssi_bayes.integrate.linear import Linear

__all__ = ["Folded", "Measured", "eliminate", "eliminate_back", "fold", "fold_back"]

type Array = np.ndarray[Any, Any]

_FACTORS_A_LOG: Final = 4
"""Measures whose variances are multiplied before a logarithm is taken."""


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


@compiled
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


@compiled
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
            for i in range(people):
                found[a, b, i] = by_rest[a - count, b - count, i]
    for k in range(count):
        for b in range(count, size):
            found[k, b] = 0.0
            for c in range(count, size):
                for i in range(people):
                    found[k, b, i] -= swept[k, c, i] * by_rest[c - count, b - count, i]
            for i in range(people):
                found[b, k, i] = found[k, b, i]
    for k in range(count):
        for m in range(k + 1):
            for i in range(people):
                found[k, m, i] = 0.5 * swept[k, m, i]
            for c in range(count, size):
                for i in range(people):
                    found[k, m, i] -= found[k, c, i] * swept[m, c, i]
            for i in range(people):
                found[m, k, i] = found[k, m, i]
    return found


@compiled
def fold(
    said: Linear, sigma: Array, shared: float, measured: Measured, matrix: Array, constant: Array
) -> Folded:
    """Add what measures say of factors and functions, the residual factors integrated out.

    Parameters
    ----------
    said : Linear
        Means and loadings.
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
    count, people = said.residual.shape[1], said.mean.shape[1]
    precision, across, log_c = _precision(sigma, shared, measured)
    rows, active = _rows(said, measured)
    whole = _form(rows, active, precision, across, measured.partner, count)
    log_det = eliminate(whole, count)
    for i in range(people):
        constant[measured.who[i]] += log_c[i] - 0.5 * log_det[i]
    for a in range(len(whole) - count):
        for b in range(len(whole) - count):
            for i in range(people):
                matrix[a, b, measured.who[i]] += whole[count + a, count + b, i]
    return Folded(precision, across, rows, whole, active)


@inlined
def _rows(said: Linear, measured: Measured) -> tuple[Array, Array]:
    """Return the rows [measure, latent + 1, person], and which of their elements may differ from 0."""
    measures, people = said.mean.shape
    count, factors, functions = said.residual.shape[1], said.common.shape[1], said.own.shape[1]
    size = count + factors + functions + 1
    rows, active = np.zeros((measures, size, people)), np.ones((measures, size), np.bool_)
    for r in range(measures):
        p = measured.partner[r]
        for a in range(count):
            active[r, a] = measured.loads[r, a] or (p >= 0 and measured.loads[p, a])
            rows[r, a] = said.residual[r, a]
        for a in range(factors):
            rows[r, count + a] = said.common[r, a]
        for a in range(functions):
            for i in range(people):
                rows[r, count + factors + a, i] = said.own[r, a, i]
        for i in range(people):
            rows[r, size - 1, i] = measured.value[r, i] - said.mean[r, i]
    return rows, active


@inlined
def _form(rows: Array, active: Array, precision: Array, across: Array, partner: Array, count: int) -> Array:
    """Return H' K H, with the prior precision 1 of the first `count` latents."""
    measures, size, people = rows.shape
    whole, weighted = np.zeros((size, size, people)), np.empty((size, people))
    for a in range(count):
        whole[a, a] = 1.0
    for r in range(measures):
        p = partner[r]
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
            for i in range(people):
                whole[b, a, i] = whole[a, b, i]
    return whole


@inlined
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


@compiled
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
    slope = eliminate_back(folded.whole, count, _pick(by_whole, measured.who))
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
        for i in range(people):
            by_mean[r, i] = -by_row[size - 1, i]
            for a in range(count + factors, size - 1):
                by_own[r, a - count - factors, i] = by_row[a, i]
    by_variance, by_shared = _precision_back(folded, half, measured)
    return by_mean, by_own, by_common, by_residual, by_variance, by_shared


@inlined
def _pick(matrix: Array, who: Array) -> Array:
    """Return the matrices of some people."""
    found = np.empty((matrix.shape[0], matrix.shape[1], len(who)))
    for a in range(found.shape[0]):
        for b in range(found.shape[1]):
            for i in range(len(who)):
                found[a, b, i] = matrix[a, b, who[i]]
    return found


@inlined
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
