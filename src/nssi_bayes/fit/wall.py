"""A coordinate in which the wall before a small scale is not steep.

Where data know the effects of a scale, and these are not nothing, the scale cannot be small: to the left
the log-density of its logarithm falls as exp(-2 x). Steps that are right elsewhere jump into that, and
diverge. With w the coordinate and x = 0 the typical point,

    w = x - (exp(-2 x / 3) - 1),

so that w is x to the right, and to the left the power -2/3 of the scale, which is nearly normal where its
power -2 is gamma (Wilson & Hilferty 1931, 10.1073/pnas.17.12.684): the wall is a cubic there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.special import lambertw

__all__ = ["HIGH", "Wall"]

HIGH: Final = 100.0
"""Nats that a scale of nothing would cost its effects; below, what lies behind the wall counts, and stays
as it is: a power of the scale has long tails there."""
_POWER: Final = 2 / 3
_FARTHEST: Final = 700.0

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Wall:
    """Scales that stand before a wall.

    Parameters
    ----------
    at : numpy.ndarray
        Positions of their coordinates.
    foot : numpy.ndarray
        Where these are at the typical point, which the map leaves where it is.
    """

    at: Array
    foot: Array

    def forward(self, w: Array) -> tuple[Array, float, Callable[[Array], Array]]:
        """Return the vector with x in place of w, the log-volume, and the pull-back of slopes.

        Parameters
        ----------
        w : numpy.ndarray
            A vector; of the scales w.

        Returns
        -------
        tuple
            A vector; nats; a function from slopes by that vector to slopes by `w`, the volume's among
            them.
        """
        if not len(self.at):  # nearly always, and this is asked at every gradient
            return w, 0.0, lambda slope: slope
        away = w[self.at] - self.foot - 1.0
        steep = lambertw(_POWER * np.exp(np.minimum(-_POWER * away, _FARTHEST))).real  # 2/3 exp(-2 x / 3)
        found = w.copy()
        found[self.at] = self.foot + away + steep / _POWER
        rising = 1.0 / (1.0 + steep)

        def pull_back(slope: Array) -> Array:
            result = slope.copy()
            result[self.at] = rising * (slope[self.at] + _POWER * steep * rising)
            return result

        return found, float(np.log(rising).sum()), pull_back

    def backward(self, x: Array) -> Array:
        """Return what `forward` takes to `x`."""
        found, away = x.copy(), x[self.at] - self.foot
        found[self.at] = self.foot + away - np.expm1(-_POWER * away)
        return found
