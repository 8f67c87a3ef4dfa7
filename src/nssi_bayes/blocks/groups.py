"""Groups of the invariance ladder: means, spreads and correlations of the functions by group.

    eta_i ~ N(alpha_g + G z_i + B x_i*, S_g Omega_g S_g)   for person i of group g

In the first group alpha is 0 and S is 1. What identifies them in later groups is what the rung makes
equal: spreads need equal loadings, means equal intercepts (Meredith 1993, 10.1007/BF02294825).
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from nssi_bayes import names as n
from nssi_bayes.blocks import structure
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.linear import Linear, joined
from nssi_bayes.blocks.parameter import Parameter, from_prior
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.integrate.gaussian import Quadratic, observe
from nssi_bayes.spec import JointSpec, Prior

__all__ = ["Roots", "correlation_names", "levels", "linear", "parameters", "quadratic", "roots"]

type Array = np.ndarray[Any, Any]


def correlation_names(design: Design) -> list[str]:
    """Return the names of the groups' correlation matrices, in order; a file allows no slash in a name."""
    return ["Omega", *(f"Omega_group_{str(g).replace('/', '_')}" for g in design.coords[n.GROUP_LATER])]


def parameters(spec: JointSpec, design: Design, priors: dict[str, Prior]) -> list[Parameter]:
    """Declare what differs between groups, beside measurement."""
    if spec.groups is None:
        return []
    f, later = n.FUNCTION, n.GROUP_LATER
    found = []
    if len(design.coords[f]) > 1:
        names = correlation_names(design)[1:]
        found += [from_prior(name, (f, n.FUNCTION_OTHER), priors["Omega"]) for name in names]
    if spec.groups.invariance not in ("configural", "thresholds"):
        found.append(from_prior("spread_group", (later, f), priors["spread_group"]))
    if spec.groups.invariance in ("scalar", "strict"):
        found.append(from_prior("level_group", (later, f), priors["level_group"]))
    return found


def levels(theta: dict[str, Any], design: Design) -> Any:
    """Return the means of the functions [`group`, `function`]."""
    groups, functions = max(len(design.coords[n.GROUP]), 1), len(design.coords[n.FUNCTION])
    if "level_group" not in theta:
        return np.zeros((groups, functions))
    return joined([np.zeros((1, functions)), theta["level_group"]], 0)


def linear(theta: dict[str, Any], design: Design) -> Linear:
    """Return what is linear in the parameters: `structure.linear`, and the means of later groups."""
    said = structure.linear(theta, design)
    if "level_group" not in theta:
        return said
    later = np.eye(len(design.coords[n.GROUP]))[design.group_of][:, 1:]
    effect = joined([said.effect, theta["level_group"].T], 1)
    return said._replace(effect=effect, column=np.concatenate([said.column, later], axis=1))


def roots(theta: dict[str, Any], design: Design) -> Any:
    """Return lower triangular roots of the covariances of the functions [`group`, `function`, `function`]."""
    functions = len(design.coords[n.FUNCTION])
    one = np.eye(functions)
    found = joined([theta.get(name, one)[None] for name in correlation_names(design)], 0)
    if "spread_group" not in theta:
        return found
    return joined([np.ones((1, functions)), theta["spread_group"]], 0)[:, :, None] * found


def quadratic(theta: dict[str, Any], design: Design) -> Quadratic:
    """Return the density of the functions given the factors, over (factors, functions)."""
    said, who = linear(theta, design), design.group_of
    people, functions = len(who), len(design.coords[n.FUNCTION])
    slope = jnp.broadcast_to(said.own, (people, functions, said.loading.shape[1]))
    identity = jnp.broadcast_to(jnp.eye(functions), (people, functions, functions))
    rows = jnp.concatenate([-slope, identity, said.mean[:, :, None]], axis=2)
    root = jnp.asarray(roots(theta, design))
    log_det = 2 * jnp.log(jnp.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    white = solve_triangular(root, jnp.broadcast_to(jnp.eye(functions), root.shape), lower=True)
    rows = white[who] @ rows
    return observe(rows, jnp.ones(functions), log_det[who], jnp.full(people, functions))


class Roots:
    """Roots of the functions' covariance, one a group or one for all, and slopes taken back (NumPy).

    Parameters
    ----------
    design : Design
        Who is in which group.
    slots : Slots
        Where the parameters stand.
    """

    def __init__(self, design: Design, slots: Slots) -> None:
        self._slots, self._functions = slots, len(design.coords[n.FUNCTION])
        self._names = correlation_names(design)
        groups = range(len(design.coords[n.GROUP]))
        self._who: list[Any] = [np.flatnonzero(design.group_of == g) for g in groups] or [slice(None)]

    def __call__(self, theta: Array) -> list[tuple[Any, Array]]:
        """Return whose covariance has which root [`function`, `function`]."""
        return [
            (who, self._spread(theta, g)[:, None] * self._correlation(theta, g))
            for g, who in enumerate(self._who)
        ]

    def back(self, theta: Array, group: int, by_root: Array, found: Array) -> None:
        """Add the derivative by the parameters [slot] to `found`."""
        if self._names[group] in self._slots.where:
            by_correlation = by_root * self._spread(theta, group)[:, None]
            found[self._slots.where[self._names[group]]] += by_correlation.ravel()
        if group and "spread_group" in self._slots.where:
            found[self._of_spread(group)] += (by_root * self._correlation(theta, group)).sum(axis=1)

    def _correlation(self, theta: Array, group: int) -> Array:
        where = self._slots.where.get(self._names[group])
        size = self._functions
        return np.eye(size) if where is None else theta[where].reshape(size, size)

    def _spread(self, theta: Array, group: int) -> Array:
        there = group and "spread_group" in self._slots.where
        return theta[self._of_spread(group)] if there else np.ones(self._functions)

    def _of_spread(self, group: int) -> slice:
        first = self._slots.where["spread_group"].start + (group - 1) * self._functions
        return slice(first, first + self._functions)
