"""Gaussian latents in information form: exp(-v'Qv/2 + h'v + c), integrated out exactly.

A block of Gaussian observations adds precision, information and a constant; what was not observed
adds precision zero. Missing and unreliable values, residual factors and outcomes all fold in here.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import pytensor.tensor as pt

__all__ = ["LOG_2PI", "Information", "eliminate", "normaliser", "observe"]

LOG_2PI: Final = float(np.log(2 * np.pi))


class Information(NamedTuple):
    """An unnormalised Gaussian over the latents of each person.

    Parameters
    ----------
    precision : tensor
        Q [`participant`, latent, latent].
    information : tensor
        h [`participant`, latent].
    constant : tensor
        c [`participant`].
    """

    precision: Any
    information: Any
    constant: Any


def observe(loadings: Any, scaled_loadings: Any, residual: Any, log_det: Any, count: Any) -> Information:
    """Return what Gaussian observations ``residual ~ N(loadings v, D)`` say of the latents v.

    Parameters
    ----------
    loadings : tensor
        [`participant`, observation, latent], or without `participant` when common to all.
    scaled_loadings : tensor
        D^-1 loadings [`participant`, observation, latent].
    residual : tensor
        Observation less its mean at v = 0 [`participant`, observation]; anything where missing.
    log_det : tensor
        log |D| over the observed ones [`participant`].
    count : tensor
        Number of observed ones [`participant`].

    Returns
    -------
    Information
        Its constant lacks -r' D^-1 r / 2, which the caller adds.
    """
    transposed = pt.swapaxes(scaled_loadings, -1, -2)
    precision = transposed @ loadings
    information = (transposed @ residual[:, :, None])[:, :, 0]
    return Information(precision, information, -0.5 * (log_det + count * LOG_2PI))


def eliminate(latent: Information, first: int) -> Information:
    """Integrate the first latents out.

    Parameters
    ----------
    latent : Information
        Over all latents.
    first : int
        How many of the leading latents to integrate out.

    Returns
    -------
    Information
        Over the remaining latents.
    """
    if first == 0:
        return latent
    precision, information, constant = latent
    chol = pt.linalg.cholesky(precision[:, :first, :first])
    right = pt.concatenate([precision[:, :first, first:], information[:, :first, None]], axis=2)
    solved = pt.linalg.solve_triangular(chol, right, lower=True, b_ndim=2)
    cross, white = solved[:, :, :-1], solved[:, :, -1]
    log_det = pt.log(pt.diagonal(chol, axis1=1, axis2=2)).sum(axis=1)
    constant = constant + 0.5 * (white**2).sum(axis=1) - log_det + 0.5 * first * LOG_2PI
    return Information(
        precision[:, first:, first:] - pt.swapaxes(cross, 1, 2) @ cross,
        information[:, first:] - (pt.swapaxes(cross, 1, 2) @ white[:, :, None])[:, :, 0],
        constant,
    )


def normaliser(latent: Information, size: int) -> Any:
    """Return the log-integral over all latents [`participant`]."""
    return eliminate(latent, size).constant
