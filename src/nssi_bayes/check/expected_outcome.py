"""The expected outcome of people, and what a shift of its predictors changes in it."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.check.linear_system import predictors_of

__all__ = ["NODES", "changed", "residual_sd"]

NODES: Final = (21, 13)
"""Gauss-Hermite nodes an axis, of one predictor and of two."""
_OF_LOGISTIC: Final = 1.702
"""Sd of the normal variable whose distribution is nearest to the logistic one (Haley 1952; Camilli 1994,
10.3102/10769986019003293)."""

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Any]


def changed(theta: Theta, design: Design, shifts: list[Any], weight: Array) -> Any:
    """Return what shifts of the predictors change in the expected outcome.

    Parameters
    ----------
    theta : dict of str to array
        One value of every parameter.
    design : Design
        The data.
    shifts : list of array
        Of each pathway [shift, `participant`, predictor].
    weight : numpy.ndarray
        Of people [group, `participant`].

    Returns
    -------
    array
        [pathway, shift, group]: in sd of a Gaussian outcome, as differences in the probability of a yes and
        in the expected category, and as logarithms of the ratio of expected rates of a count.
    """
    whole = jnp.stack(shifts)
    if design.outcome_family == n.GAUSSIAN:
        return whole[..., 0] @ weight.T
    mean, root = predictors_of(theta, design)
    size = mean.shape[1]
    z, w = np.polynomial.hermite_e.hermegauss(NODES[size - 1])
    nodes = np.array(list(product(z, repeat=size)))
    share = np.array([prod(each) for each in product(w / w.sum(), repeat=size)])
    points = mean[:, None] + jnp.einsum("qk,ilk->iql", nodes, root)

    def met(shift: Any) -> Any:
        found = weight @ (_response(theta, design, points + shift[:, None]) @ share)
        return jnp.log(found) if design.outcome_family in n.COUNTS else found

    each = jax.lax.map(met, whole.reshape(-1, *mean.shape))
    return (each - met(jnp.zeros_like(mean))).reshape(*whole.shape[:2], -1)


def residual_sd(theta: Theta, design: Design) -> Any:
    """Return the sd of what predictors leave of an outcome, on the scale of the link."""
    if design.outcome_family == n.GAUSSIAN:
        return theta["sigma_outcome"]
    if design.outcome_family in n.COUNTS:
        return jnp.sqrt(jnp.log1p(theta["dispersion"] ** 2))
    return _OF_LOGISTIC


def _response(theta: Theta, design: Design, mu: Any) -> Any:
    """Return the expected outcome given predictors [`participant`, node, predictor].

    Of a count per unit of exposure, of people observed as long as they were: behind a hurdle that counts.
    """
    rate = jnp.exp(mu[..., -1])
    if design.outcome_family == n.BERNOULLI:
        return jax.nn.sigmoid(mu[..., 0])
    if design.outcome_family == n.ORDINAL:
        below = jnp.cumsum(theta["outcome_probability"])[:-1]
        return jax.nn.sigmoid(mu - (jnp.log(below) - jnp.log1p(-below))).sum(axis=-1)
    if design.outcome_family == n.NEGATIVE_BINOMIAL:
        return rate
    size = 1 / theta["dispersion"] ** 2
    exposure = jnp.asarray(design.outcome_exposure)[:, None]
    none = -size * jnp.log1p(rate * exposure / size)
    return jax.nn.sigmoid(mu[..., 0]) * rate / -jnp.expm1(none)
