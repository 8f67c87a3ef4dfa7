"""How well a model foresees a whole group of people whom it never saw.

The score is log p(all data of the group | everybody else). Draws of both posteriors are there, with
the group and without it, and their ratio of constants is that density: the bridge of Meng & Wong
(1996, Statistica Sinica 6:831), which is Bennett's acceptance ratio. A mean over draws of the
posterior without the group would rest on its few luckiest draws.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from arviz_stats.base import array_stats
from scipy.special import expit, logsumexp

__all__ = ["log_ratio"]

_ITERATIONS: Final = 1000
_CLOSE: Final = 1e-10

type Array = np.ndarray[Any, Any]


def log_ratio(without: Array, everybody: Array) -> tuple[float, float]:
    """Return log p(group | everybody else) and its Monte Carlo standard error.

    Parameters
    ----------
    without : numpy.ndarray
        Log-likelihood of the group at draws that never saw it [`chain`, `draw`], nats.
    everybody : numpy.ndarray
        The same at draws that did [`chain`, `draw`].

    Returns
    -------
    tuple of float
        Nats. The error is that of Frühwirth-Schnatter (2004, 10.1111/j.1368-423X.2004.00125.x), with
        effective numbers of draws; infinite where the two sets of draws do not overlap.
    """
    sizes = [float(array_stats.ess(d, method="mean")) for d in (without, everybody)]
    share = np.log(sizes) - np.log(sum(sizes))  # of draws without and with the group
    outside, inside = without.ravel(), everybody.ravel()
    log_r = float(np.median(inside))
    for _ in range(_ITERATIONS):
        # the optimal bridge between p0 and p1 = p0 e^l / r
        above = logsumexp(outside - np.logaddexp(share[1] + outside, share[0] + log_r)) - np.log(len(outside))
        below = logsumexp(-np.logaddexp(share[1] + inside, share[0] + log_r)) - np.log(len(inside))
        new = float(above - below)
        if abs(new - log_r) < _CLOSE:
            break
        log_r = new
    # f = p1 / (s1 p1 + s0 p0) at draws of p0, and p0 / (s1 p1 + s0 p0) at draws of p1
    odds = share[1] - share[0]
    f = expit(odds + without - log_r)
    g = expit(-(odds + everybody - log_r))
    variance = _relative(f) + _relative(g)
    return log_r, float(np.sqrt(variance))


def _relative(values: Array) -> float:
    """Return the squared relative error of a mean of correlated draws."""
    mean = float(values.mean())
    if mean <= 0:
        return float("inf")
    if np.ptp(values) == 0:
        return 0.0
    return float(values.var()) / mean**2 / float(array_stats.ess(values, method="mean"))
