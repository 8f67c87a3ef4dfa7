"""Ordinal indicators on the invariance ladder: thresholds, loadings, intercepts and scales by group.

    P(y_ij <= c) = logistic((kappa_gjc - nu_gj - lambda_gj eta_if(j)) / s_gj)   for person i of group g

In the first group nu is 0 and s is 1. What a rung leaves free (Wu & Estabrook 2016,
10.1007/s11336-016-9506-0):

- `configural`: kappa and lambda in every group; nu is 0, s is 1, functions have mean 0 and sd 1.
- `thresholds`: lambda, and in later groups nu and s; kappa is one. With C categories an indicator has C - 1
  thresholds a group. Four categories and more say something of equal thresholds; the two thresholds of
  three categories become nu and s, and the one of two categories becomes nu, so that such indicators fit as
  they do at `configural`.
- `metric`: nu and s in later groups, and the sd of functions; lambda is one, too.
- `scalar`: s in later groups, and sd and mean of functions; nu is 0 everywhere.
- `strict`: sd and mean of functions; s is 1 everywhere.

Of an indicator of two categories s is 1 on every rung. One threshold has no distance to another that would
tell s, and with s free equal loadings alone would say nothing: what `metric` tests of such indicators is
loadings given equal scales, and `scalar` and `strict` are one.

Kernel and statement take the constants of the answers by group, with kappa_gjc' = (kappa_jc - nu_gj) / s_gj
and lambda_gj' = lambda_gj / s_gj; what nobody of a group chose or was asked has its prior.
"""

from __future__ import annotations

from typing import Any, Final

import jax.numpy as jnp
import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.linear import joined
from nssi_bayes.blocks.parameter import Parameter, from_prior
from nssi_bayes.families import ordinal
from nssi_bayes.spec import JointSpec, Prior

__all__ = ["free", "intercepts_and_scales", "loadings", "parameters", "tables"]

FREE: Final[dict[str, tuple[str, ...]]] = {
    "configural": ("category_probability", "lambda"),
    "thresholds": ("lambda", "nu_group", "scale_group"),
    "metric": ("nu_group", "scale_group"),
    "scalar": ("scale_group",),
    "strict": (),
}
"""What differs by group in the measurement of ordinal indicators."""


def free(spec: JointSpec) -> tuple[str, ...]:
    """Return which parameters of ordinal indicators differ by group."""
    return () if spec.groups is None else FREE[spec.groups.invariance]


def parameters(spec: JointSpec, design: Design, priors: dict[str, Prior]) -> list[Parameter]:
    """Declare intercepts and residual scales of later groups."""
    indicators = {"nu_group": n.INDICATOR, "scale_group": n.SCALED_INDICATOR}
    return [
        from_prior(name, (n.GROUP_LATER, dim), priors[name])
        for name, dim in indicators.items()
        if name in free(spec) and design.coords[dim]
    ]


def intercepts_and_scales(theta: dict[str, Any], design: Design) -> tuple[Any, Any]:
    """Return nu and s [`group`, `indicator`], of NumPy or JAX."""
    later, count = len(design.coords[n.GROUP_LATER]), len(design.categories)
    nu, scale = np.zeros((later, count)), np.ones((later, count))
    if "scale_group" in theta:  # the last column is of those that have none
        scale = joined([theta["scale_group"], np.ones((later, 1))], 1)[:, scaled(design)]
    first = np.zeros((1, count))
    return joined([first, theta.get("nu_group", nu)], 0), joined([first + 1, scale], 0)


def scaled(design: Design) -> Any:
    """Return where each indicator stands among those with a scale, or behind them [`indicator`]."""
    some = design.categories > 2
    return np.where(some, np.cumsum(some) - 1, some.sum())


def tables(theta: dict[str, Any], design: Design) -> ordinal.Table:
    """Return the constants of every response [`group`, `indicator`, response] (JAX)."""
    counts, columns = design.category_groups, max(design.category_groups) + 1
    nu, scale = intercepts_and_scales(theta, design)
    found = []
    for g in range(len(design.coords[n.GROUP])):
        own = [theta[f"category_probability_{c}"] for c in counts]
        own = [p[g] if p.ndim == 3 else p for p in own]
        same = ordinal.stack([ordinal.table(p, columns) for p in own], design.indicator_order)
        found.append(ordinal.rescaled(same, nu[g], scale[g]) if g else same)
    return ordinal.Table(*(jnp.stack(parts) for parts in zip(*found, strict=True)))


def loadings(theta: dict[str, Any], design: Design) -> Any:
    """Return lambda / s [`group`, `indicator`], of NumPy or JAX."""
    return theta["lambda"] / intercepts_and_scales(theta, design)[1]
