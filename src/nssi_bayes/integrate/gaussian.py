"""Gaussian latents integrated out exactly, by sweeps of an augmented precision matrix.

What is known of a person's latents v is kept as log c - u' M u / 2 with u = (v, -1): M holds the
precision, the information vector and the squared residual of one quadratic form. Independent
pieces of data add; a missing value adds zero; a latent is integrated out by one sweep, which is the
Woodbury identity where the latent is a residual factor.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
    "LOG_2PI",
    "Measured",
    "Quadratic",
    "add",
    "eliminate",
    "fold",
    "log_integral",
    "moments",
    "observe",
]

LOG_2PI: Final = float(np.log(2 * np.pi))


class Quadratic(NamedTuple):
    """An unnormalised Gaussian over the latents of each person.

    Parameters
    ----------
    matrix : array
        M [`participant`, latent + 1, latent + 1], symmetric.
    constant : array
        log c [`participant`].
    """

    matrix: Any
    constant: Any


def observe(rows: Any, weight: Any, log_det: Any, count: Any) -> Quadratic:
    """Return what independent Gaussian observations say of the latents.

    Parameters
    ----------
    rows : array
        [`participant`, observation, latent + 1]: loadings, and in the last column the observation
        less its mean where all latents are 0.
    weight : array
        Precision of each observation [`participant`, observation] or [observation]; 0 if missing.
    log_det : array
        Log-determinant of the covariance of the observed ones [`participant`].
    count : array
        How many were observed [`participant`].

    Returns
    -------
    Quadratic
        Normalised in the observations.
    """
    weighted = rows * weight[..., None]
    matrix = jnp.swapaxes(weighted, -1, -2) @ rows
    return Quadratic(matrix, -0.5 * (log_det + count * LOG_2PI))


class Measured(NamedTuple):
    """Gaussian measurements of scanned people, less their mean where all latents are 0.

    Parameters
    ----------
    centred : array
        [scanned, measure]; 0 where missing.
    precision : array
        Diagonal of the inverse residual covariance [scanned, measure]; 0 where missing.
    log_det, count : array
        Log-determinant of that covariance, and how many were measured [scanned].
    across : array, optional
        The element of the inverse with the partner [scanned, measure].
    partner : numpy.ndarray, optional
        Position of the one measure whose residual is correlated with this one's [measure].
    """

    centred: Any
    precision: Any
    log_det: Any
    count: Any
    across: Any = None
    partner: Any = None


def fold(residual: Any, common: Any, own: Any, measured: Measured) -> Quadratic:
    """Return what measurements say of the latents, the person's residual factors integrated out.

    Parameters
    ----------
    residual : array
        Loadings on residual factors N(0, 1) [measure, residual factor].
    common : array
        Loadings on the leading latents, the same for everyone [measure, latent].
    own : array
        Loadings on the other latents [measure, latent] or [scanned, measure, latent].
    measured : Measured
        The data.

    Returns
    -------
    Quadratic
        Over the latents.
    """
    centred, precision, log_det, seen, across, partner = measured
    weighted = precision * centred
    if across is not None:
        weighted = weighted + across * centred[:, partner]
    if own.ndim == 2:
        load = jnp.concatenate([residual, common, own], axis=1)
        latent = _sums(precision, load, load)
        if across is not None:
            latent = latent + _sums(across, load[partner], load)
        information = weighted @ load
    else:
        wide = (jnp.broadcast_to(part, (*centred.shape, part.shape[1])) for part in (residual, common))
        load = jnp.concatenate([*wide, own], axis=2)
        left = precision[:, :, None] * load
        if across is not None:
            left = left + across[:, :, None] * load[:, partner]
        latent = jnp.swapaxes(left, 1, 2) @ load
        information = (weighted[:, None, :] @ load)[:, 0]
    count = residual.shape[1]
    latent = latent + np.diag(np.arange(latent.shape[1]) < count).astype(float)
    square = (weighted * centred).sum(axis=1)
    upper = jnp.concatenate([latent, information[:, :, None]], axis=2)
    lower = jnp.concatenate([information, square[:, None]], axis=1)[:, None, :]
    matrix = jnp.concatenate([upper, lower], axis=1)
    constant = -0.5 * (log_det + (seen + count) * LOG_2PI)
    return eliminate(Quadratic(matrix, constant), count)


def _sums(weight: Any, left: Any, right: Any) -> Any:
    """Return the sum over measures of weight_ij left_j right_j' [scanned, latent, latent]."""
    products = (left[:, :, None] * right[:, None, :]).reshape(left.shape[0], -1)
    return (weight @ products).reshape(-1, left.shape[1], right.shape[1])


def add(*parts: Quadratic) -> Quadratic:
    """Return the product of the densities of `parts`, over the same latents."""
    matrix, constant = parts[0]
    for part in parts[1:]:
        matrix = matrix + part.matrix
        constant = constant + part.constant
    return Quadratic(matrix, constant)


def eliminate(quadratic: Quadratic, count: int) -> Quadratic:
    """Integrate the first `count` latents out.

    Parameters
    ----------
    quadratic : Quadratic
        Over all latents.
    count : int
        How many of the leading latents to integrate out.

    Returns
    -------
    Quadratic
        Over the rest.
    """
    rest, log_det = _schur(quadratic.matrix, count)
    return Quadratic(rest, quadratic.constant + 0.5 * (count * LOG_2PI - log_det))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _schur(matrix: Any, count: int) -> tuple[Any, Any]:
    """Return Schur complement and log-determinant of the first `count` rows and columns.

    The derivative of the former is W dS W', W = (-inverse @ cross, I), of the latter the inverse:
    a tenth of the operations of differentiating pivot by pivot.
    """
    swept, log_det = _sweep(matrix, count)
    return swept[:, count:, count:], log_det


def _sweep(matrix: Any, count: int) -> tuple[Any, Any]:
    """Sweep on the first `count` latents (Goodnight 1979, 10.1080/00031305.1979.10482685).

    Returns minus their inverse, the regression of the others on them and, where the others meet,
    the Schur complement; and the log-determinant.
    """
    log_det = jnp.zeros(matrix.shape[0])
    for k in range(count):
        one = np.eye(matrix.shape[-1])[k]
        pivot = matrix[:, k, k]
        row = matrix[:, k, :] - one
        scaled = row / pivot[:, None]
        matrix = matrix - row[:, :, None] * scaled[:, None, :] - 2 * np.outer(one, one)
        log_det = log_det + jnp.log(pivot)
    return matrix, log_det


def _schur_forward(matrix: Any, count: int) -> tuple[Any, Any]:
    swept, log_det = _sweep(matrix, count)
    return (swept[:, count:, count:], log_det), swept[:, :count, :]


def _schur_backward(count: int, swept: Any, slopes: tuple[Any, Any]) -> tuple[Any]:
    by_rest, by_log_det = slopes
    people, _, size = swept.shape
    identity = jnp.broadcast_to(jnp.eye(size - count), (people, size - count, size - count))
    through = jnp.concatenate([-swept[:, :, count:], identity], axis=1)
    by_matrix = through @ by_rest @ jnp.swapaxes(through, 1, 2)
    inverse = jnp.pad(swept[:, :, :count], [(0, 0), (0, size - count), (0, size - count)])
    return (by_matrix - by_log_det[:, None, None] * inverse,)


_schur.defvjp(_schur_forward, _schur_backward)


def log_integral(quadratic: Quadratic) -> Any:
    """Integrate all latents out [`participant`]."""
    rest = eliminate(quadratic, quadratic.matrix.shape[-1] - 1)
    return rest.constant - 0.5 * rest.matrix[:, 0, 0]


def moments(matrix: Any) -> tuple[Any, Any]:
    """Return mean and covariance of latents of which M is known, NumPy or JAX.

    Parameters
    ----------
    matrix : array
        M [`participant`, latent + 1, latent + 1].

    Returns
    -------
    tuple of array
        [`participant`, latent] and [`participant`, latent, latent].
    """
    own = jnp if isinstance(matrix, jax.Array) else np
    covariance = own.linalg.inv(matrix[:, :-1, :-1])
    return (covariance @ matrix[:, :-1, -1:])[:, :, 0], covariance
