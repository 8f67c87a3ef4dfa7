"""Value and exact gradient of `quadrature.integrate` in one pass over people, compiled by Numba.

The same approximation as the reference in JAX: same node positions, which are constants of the
gradient. By Fisher's identity the gradient is then the expectation of the complete-data score
under the normalised weights of the nodes, and nothing is differentiated by machine.

People are worked on side by side (see `room`). What a person gets does not depend on who shares
the batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from nssi_bayes.integrate.compiling import compiled
from nssi_bayes.integrate.kernel.arrangement import Arrangement, arrange, side_by_side
from nssi_bayes.integrate.kernel.curves import (
    fill_curve,
    plain_slopes,
    raised_slopes,
    shape_slopes,
    testlet_slopes,
)
from nssi_bayes.integrate.kernel.nodes import integrate, weigh
from nssi_bayes.integrate.kernel.positions import propose
from nssi_bayes.integrate.kernel.room import R1, R2, Array, load, make_room

__all__ = [
    "Arrangement",
    "arrange",
    "value_and_gradient",
    "value_and_gradient_raised",
    "value_and_gradient_skewed",
    "value_and_moments",
]

_VALUE, _MOMENTS, _SLOPES = range(3)
_NO_TAIL, _NO_SHAPE = np.zeros((0, 2)), np.zeros((0, 4))


def value_and_gradient(
    matrix: Array, upper: Array, lower: Array, loading: Array, gamma: Array, arrangement: Arrangement
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Return log of the integral of exp(-u'Mu/2) times items over the functions, and its gradient.

    Parameters
    ----------
    matrix : numpy.ndarray
        M [`participant`, `function` + 1, `function` + 1], as in `gaussian.Quadratic`.
    upper, lower : numpy.ndarray
        U and V of the responses, 0 if missing [`participant`, `indicator`].
    loading : numpy.ndarray
        [`indicator`].
    gamma : numpy.ndarray
        Size of the residual factors [`testlet`].
    arrangement : Arrangement
        From `arrange`.

    Returns
    -------
    tuple of numpy.ndarray
        Value [`participant`], NaN where it is not finite, without the constants of prior and
        items; derivatives of its sum by `matrix`, `upper`, `lower`, `loading` and `gamma`.
    """
    given = _required(matrix, upper, lower, loading, gamma, _NO_TAIL)
    found = _walk(*given, _NO_SHAPE, side_by_side(arrangement, len(upper)), _SLOPES)
    return (*found[:6],)


def value_and_gradient_raised(
    matrix: Array,
    upper: Array,
    lower: Array,
    loading: Array,
    gamma: Array,
    arrangement: Arrangement,
    tail: Array,
) -> tuple[Array, Array, Array, Array, Array, Array, Array]:
    """Return the same where the last function's indicators are raised to a power, and tilted.

    Parameters
    ----------
    matrix, upper, lower, loading, gamma : numpy.ndarray
        As in `value_and_gradient`.
    arrangement : Arrangement
        As there, `raised`.
    tail : numpy.ndarray
        What is added to the log-likelihood times the last function, and the power of its indicators
        without a residual factor [`participant`, 2]. A count has both: y and y + 1 / dispersion^2.

    Returns
    -------
    tuple of numpy.ndarray
        As there, and the derivative by the power [`participant`].
    """
    given = _required(matrix, upper, lower, loading, gamma, tail)
    found = _walk(*given, _NO_SHAPE, side_by_side(arrangement, len(upper)), _SLOPES)
    return (*found[:7],)


def value_and_gradient_skewed(
    matrix: Array,
    upper: Array,
    lower: Array,
    loading: Array,
    gamma: Array,
    arrangement: Arrangement,
    shape: Array,
) -> tuple[Array, Array, Array, Array, Array, Array, Array]:
    """Return the same where items measure skewed functions of what is Gaussian, and integrated out.

    Parameters
    ----------
    matrix, upper, lower, loading, gamma : numpy.ndarray
        As in `value_and_gradient`.
    arrangement : Arrangement
        As there.
    shape : numpy.ndarray
        How functions are skewed, as `sinh_arcsinh.shape_of` [`function`, 4].

    Returns
    -------
    tuple of numpy.ndarray
        As there, and the derivative by `shape`.
    """
    given = _required(matrix, upper, lower, loading, gamma, _NO_TAIL, shape)
    found = _walk(*given, side_by_side(arrangement, len(upper)), _SLOPES)
    return (*found[:6], found[7])


def value_and_moments(
    matrix: Array,
    upper: Array,
    lower: Array,
    loading: Array,
    gamma: Array,
    arrangement: Arrangement,
    *,
    moments: bool = True,
) -> tuple[Array, Array]:
    """Return the value as `value_and_gradient` does, and of its derivatives that by `matrix` alone.

    Parameters
    ----------
    matrix, upper, lower, loading, gamma : numpy.ndarray
        As there.
    arrangement : Arrangement
        As there.
    moments : bool
        Whether the derivative is wanted; without it there are zeros, in half the time.

    Returns
    -------
    tuple of numpy.ndarray
        Value [`participant`] and derivative, which is -E[u u'] / 2 of u = (functions, -1).
    """
    wanted = _MOMENTS if moments else _VALUE
    given = _required(matrix, upper, lower, loading, gamma, _NO_TAIL)
    value, slope = _walk(*given, _NO_SHAPE, side_by_side(arrangement, len(upper)), wanted)[:2]
    return value, slope


def _required(*given: Array) -> list[Array]:
    return [np.require(x, np.float64, ["C", "W"]) for x in given]


def _compile(text: int) -> Any:
    """Compile the walk over people; `text` ties Numba's cache, which looks at this file, to the others."""

    def walk(
        matrix: Array, upper: Array, lower: Array, loading: Array, gamma: Array, tail: Array,
        shape: Array, a: Arrangement, wanted: int,
    ) -> Any:  # fmt: skip
        _ = text
        (people, indicators), size = upper.shape, matrix.shape[1]
        value, d_matrix = np.empty(people), np.zeros_like(matrix)
        d_upper, d_lower = np.zeros_like(upper), np.zeros_like(lower)
        d_loading, d_gamma, d_power = np.zeros_like(loading), np.zeros_like(gamma), np.zeros(people)
        shift = np.exp(gamma.reshape(-1, 1) * a.position)
        rough_shift = np.exp(gamma.reshape(-1, 1) * a.rough_position)
        d_shape = np.zeros_like(shape)
        room = make_room(indicators, len(gamma), shape, a)
        for start in range(0, people, a.width):
            batch = min(a.width, people - start)
            load(matrix[start:], upper[start:], lower[start:], tail[start:], batch, room)
            propose(loading, rough_shift, room, a)
            for f in range(a.functions):
                fill_curve(f, loading, shift, room, a)
            integrate(value[start:], batch, room, a)
            if wanted == _VALUE:
                continue
            room.slope[:] = 0.0
            room.slope_gamma[:] = 0.0
            room.pull[:] = 0.0
            room.slope_shape[:] = 0.0
            room.moment[:] = 0.0
            room.moment[-1] = 1.0
            for f in range(a.functions):
                weigh(f, room, a)
                if wanted == _SLOPES:
                    testlet_slopes(f, loading, shift, room, a)
                    if a.raised and f == a.functions - 1:
                        raised_slopes(d_power[start:], batch, room, a)
                    plain_slopes(f, loading, room, a)
                    if len(shape):
                        shape_slopes(f, room, a)
            for i in range(batch):
                for p in range(size):
                    for q in range(size):
                        d_matrix[start + i, p, q] = -0.5 * room.moment[p * size + q, i]
                for j in range(indicators):
                    d_upper[start + i, j] = room.slope[j, i]
                    d_lower[start + i, j] = room.slope[j, R1 + i]
                    d_loading[j] += room.slope[j, R2 + i]
                for s in range(len(gamma)):
                    d_gamma[s] += room.slope_gamma[s, i]
                for f in range(len(shape)):
                    for c in range(4):
                        d_shape[f, c] += room.slope_shape[4 * f + c, i]
        return value, d_matrix, d_upper, d_lower, d_loading, d_gamma, d_power, d_shape

    return compiled(walk)


_walk = _compile(crc32(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))))
