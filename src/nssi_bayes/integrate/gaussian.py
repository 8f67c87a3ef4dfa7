"""Gaussian latents integrated out exactly, by pivots of an augmented precision matrix.

What is known of a person's latents v is kept as log c - u' M u / 2 with u = (v, -1): M holds the
precision, the information vector and the squared residual of one quadratic form. Independent
pieces of data add; a missing value adds zero; a latent is integrated out by one pivot
(Gaussian elimination), which is the Woodbury identity where the latent is a residual factor.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

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
    matrix, constant = quadratic
    for _ in range(count):
        pivot = matrix[:, 0, 0]
        row = matrix[:, 0, 1:]
        matrix = matrix[:, 1:, 1:] - row[:, :, None] * (row / pivot[:, None])[:, None, :]
        constant = constant + 0.5 * (LOG_2PI - jnp.log(pivot))
    return Quadratic(matrix, constant)


def log_integral(quadratic: Quadratic) -> Any:
    """Integrate all latents out [`participant`]."""
    rest = eliminate(quadratic, quadratic.matrix.shape[-1] - 1)
    return rest.constant - 0.5 * rest.matrix[:, 0, 0]
