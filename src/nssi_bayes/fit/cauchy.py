"""Half-Cauchy parameters of the flat vector, sampled by their logarithm, forwards and backwards."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

__all__ = ["Cauchy"]

type Array = np.ndarray[Any, Any]


class Cauchy:
    """A half-Cauchy parameter, whose scale may be a parameter, too.

    It is sampled by its own logarithm, not by that of its ratio to the scale: of a horseshoe the data know
    how large each local scale is, or at most is, and nothing of ratios, so that the global scale would be
    held where it is by all that it multiplies.

    Parameters
    ----------
    at, into : numpy.ndarray
        Coordinates, and slots of the parameter.
    sigma : float
        Its scale, times that of `owner`.
    owner : numpy.ndarray, optional
        Slots of the scale, one an element.
    """

    def __init__(self, at: Array, into: Array, sigma: float, *, owner: Array | None = None) -> None:
        self._at, self._into, self._owner = at, into, owner
        self._log_sigma = float(np.log(sigma))

    def begin(self, theta: Array, x: Array) -> None:
        """Write the median, given the scale in `theta`, into `x`."""
        x[self._at] = self._log_sigma + (0.0 if self._owner is None else np.log(theta[self._owner]))

    def forward(self, x: Array, theta: Array) -> tuple[float, Array]:
        """Put the values into `theta`; return the log-density and its slope by the coordinates.

        Without the constant log(2 / pi) - log(sigma). What is a scale stands in `theta` already.
        """
        away = x[self._at] - self._log_sigma
        theta[self._into] = np.exp(x[self._at])
        log_prior = 0.0
        if self._owner is not None:
            log_scale = np.log(theta[self._owner])
            away = away - log_scale
            log_prior -= float(log_scale.sum())
        log_prior += float((x[self._at] - np.logaddexp(0.0, 2 * away)).sum())
        return log_prior, 1.0 - 2 * expit(2 * away)

    def backward(self, theta: Array, slope: Array, by: Array) -> None:
        """Add the slope of the log-density by the scale to `by`."""
        if self._owner is not None:
            np.add.at(by, self._owner, -slope / theta[self._owner])

    def finish(self, theta: Array, slope: Array, by: Array, found: Array) -> None:
        """Add the slopes by the coordinates to `found`."""
        found[self._at] += by[self._into] * theta[self._into] + slope

    def invert(self, theta: Array, x: Array) -> None:
        """Write the coordinates whose values stand in `theta` into `x`."""
        x[self._at] = np.log(theta[self._into])
