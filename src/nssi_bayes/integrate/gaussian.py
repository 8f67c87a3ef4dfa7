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

__all__ = ["LOG_2PI", "Quadratic", "add", "eliminate", "observe"]

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
