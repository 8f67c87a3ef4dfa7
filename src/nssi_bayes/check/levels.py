"""Levels of the functions by disorder, and how two disorders differ: as met, and adjusted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.integrate.quadrature import Moments

__all__ = ["Averages", "Met", "adjusted_levels", "as_met", "averages", "contrasts", "summed", "weights_of"]

type Array = np.ndarray[Any, Any]


class Met(NamedTuple):
    """What people of the cohort are like, by disorder; residual sd of a function.

    Parameters
    ----------
    level : numpy.ndarray
        Those who have a disorder less those who do not [sample, `disorder`, `function`]; NaN where
        everybody or nobody has it.
    contrast : numpy.ndarray
        Those who have one disorder less those who have another [sample, pair, `function`], pairs in the
        order of `itertools.combinations`; NaN where nobody has one of them.
    """

    level: Array
    contrast: Array


class Averages(NamedTuple):
    """Sums over people, weighted to be averages of one group less those of another.

    Parameters
    ----------
    mean, covariance : numpy.ndarray
        Of their functions [sample, sum, `function`] and [sample, sum, `function`, `function`]: the sums
        of `weights_of`.
    """

    mean: Array
    covariance: Array


def weights_of(design: Design) -> Array:
    """Return weights of people [`participant`, sum]: of every disorder, then of every pair of two.

    Those who have a disorder less those who do not; those who have one less those who have another, and
    who has both counts on both sides. NaN where nobody is on one side.

    Parameters
    ----------
    design : Design
        Who has what.
    """
    has = design.diagnosis > 0
    pairs = np.array(list(combinations(range(has.shape[1]), 2)), dtype=int).reshape(-1, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        those, others = has / has.sum(axis=0), ~has / (~has).sum(axis=0)
    return np.concatenate([those - others, those[:, pairs[:, 0]] - those[:, pairs[:, 1]]], axis=1)


def averages(moments: Moments, weight: Array) -> Averages:
    """Sum over people.

    Parameters
    ----------
    moments : Moments
        Of functions [sample, `participant`, ...].
    weight : numpy.ndarray
        Of the same people, from `weights_of`.

    Returns
    -------
    Averages
        Those of all people are the sums of those of some after others.
    """
    return Averages(
        np.einsum("ik,sif->skf", weight, moments.mean),
        np.einsum("ik,sifg->skfg", weight**2, moments.covariance),
    )


def summed(parts: Iterable[Averages]) -> Averages:
    """Return the sums over all people from those over some after others.

    Parameters
    ----------
    parts : iterable of Averages
        From `averages`.
    """
    return Averages(*(np.sum(each, axis=0) for each in zip(*parts, strict=True)))


def as_met(
    found: Averages, design: Design, rng: np.random.Generator, *, parameters: Collection[str]
) -> Met | None:
    """Draw how the average functions of people differ by disorder.

    Each person's functions are drawn from a Gaussian with the mean and covariance that the
    quadrature gives at each draw of the parameters; averages over a group need no more than these.

    Parameters
    ----------
    found : Averages
        Of all people.
    design : Design
        Who has what.
    rng : numpy.random.Generator
        Source of randomness.
    parameters : collection of str
        Names of what the model has. Where it has groups whose means are fixed, what people of different
        groups are like is not on one scale.

    Returns
    -------
    Met or None
        None where means of groups are fixed.
    """
    if design.coords[n.GROUP] and "level_group" not in parameters:
        return None
    first = design.diagnosis.shape[1]
    level, contrast = (
        _drawn(Averages(found.mean[:, at], found.covariance[:, at]), rng)
        for at in (slice(first), slice(first, None))
    )
    return Met(level, contrast)


def _drawn(found: Averages, rng: np.random.Generator) -> Array:
    """Draw the sums [sample, sum, `function`]."""
    mean, covariance = found
    root = np.linalg.cholesky(np.nan_to_num(covariance) + 1e-12 * np.eye(covariance.shape[-1]))
    return np.asarray(mean + (root @ rng.standard_normal((*mean.shape, 1)))[..., 0])


def adjusted_levels(draws: xr.Dataset) -> Array | None:
    """Return levels at equal everything else, of posterior or prior.

    Parameters
    ----------
    draws : xarray.Dataset
        [`chain`, `draw`, ...].

    Returns
    -------
    numpy.ndarray or None
        [sample, `disorder`, `function`], chain after chain; None where the model has no such levels.
    """
    if "A" not in draws:
        return None
    levels = draws["A"].transpose(n.CHAIN, n.DRAW, n.DISORDER, n.FUNCTION).to_numpy()
    return np.asarray(levels.reshape(-1, *levels.shape[2:]))


def contrasts(adjusted: Array | None, met: Met | None) -> Iterator[tuple[str, int, int, Array]]:
    """Yield the difference of every pair of disorders, by estimand.

    Parameters
    ----------
    adjusted : numpy.ndarray or None
        From `adjusted_levels`.
    met : Met or None
        From `as_met`.

    Yields
    ------
    tuple
        ``adjusted`` or ``as_met``, positions of both disorders, [sample, `function`]; what is not
        finite for any function is left out.
    """
    if adjusted is not None:
        for a, b in combinations(range(adjusted.shape[1]), 2):
            yield "adjusted", a, b, adjusted[:, a] - adjusted[:, b]
    if met is not None:
        for p, (a, b) in enumerate(combinations(range(met.level.shape[1]), 2)):
            if np.isfinite(met.contrast[:, p]).all():
                yield "as_met", a, b, met.contrast[:, p]
