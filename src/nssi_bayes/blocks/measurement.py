"""Measurement: graded-response indicators, each of one function, or of one factor with items of its own.

    P(y_ij <= c) = logistic(kappa_jc - lambda_j eta_if(j) - delta_j . c_i)

A subscale enters as one graded indicator, its sum (Thissen 1989, 10.1111/j.1745-3984.1989.tb00331.x):
items of one published subscale are near-parallel, so that a latent of its own would improve the
fit of any subscale. Where a subscale's items stay and it is no function by itself, they share a
residual factor gamma_s t_is, t ~ N(0, 1), which is integrated out in one dimension at each point
of the function's curve, so that the item likelihood still separates by function.

Item bias `delta` moves an indicator's thresholds by disorder (`blocks.bias`); what differs between groups
of the invariance ladder is in `blocks.ladder`.
"""

from __future__ import annotations

from typing import Any, Final

import jax.numpy as jnp
import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks import bias, ladder
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.parameter import Parameter, from_prior
from nssi_bayes.families import ordinal
from nssi_bayes.integrate import sinh_arcsinh
from nssi_bayes.integrate.quadrature import normal_rule
from nssi_bayes.spec import JointSpec, Prior

__all__ = ["FURTHER", "Items", "parameters", "tables"]

FURTHER: Final = ("cross_loading", "lambda_general")
"""Loadings on further functions; a model has one of them at most."""

TESTLET_NODES: Final = 15
POSITION_NODES: Final = 7
FINE_TESTLET_NODES: Final = 31
"""Nodes for the residual factor: in the integral, where only node positions depend on it, and for scores.
With a dozen factors of size 3.5 a person is .1 off with 15 nodes and .02 with 31; at size 5 .4 and .05."""


def parameters(spec: JointSpec, design: Design, priors: dict[str, Prior]) -> list[Parameter]:
    """Declare loadings, thresholds (as category probabilities) and residual factors."""
    if not design.coords[n.INDICATOR]:  # all are continuous
        return []
    by_group = dict.fromkeys(ladder.free(spec), (n.GROUP,))
    found = [from_prior("lambda", (*by_group.get("lambda", ()), n.INDICATOR), priors["lambda"])]
    name = "category_probability"
    found += [
        from_prior(
            f"{name}_{count}",
            (*by_group.get(name, ()), f"{n.INDICATOR}_{count}", f"{n.CATEGORY}_{count}"),
            priors[name],
        )
        for count in design.category_groups
    ]
    found += ladder.parameters(spec, design, priors)
    if n.CROSS_LOADED in design.coords:
        found.append(from_prior("cross_loading", (n.CROSS_LOADED,), priors["cross_loading"]))
    if n.GENERAL_INDICATOR in design.coords:
        found.append(from_prior("lambda_general", (n.GENERAL_INDICATOR,), priors["lambda"]))
    if design.coords[n.TESTLET]:
        found.append(from_prior("gamma", (n.TESTLET,), priors["gamma"]))
    return [*found, *bias.parameters(spec, design, priors)]


def tables(theta: dict[str, Any], design: Design) -> ordinal.Table:
    """Return the constants of every response [`indicator`, response]; the last column is "missing"."""
    columns = max(design.category_groups) + 1
    groups = [
        ordinal.table(theta[f"category_probability_{count}"], columns) for count in design.category_groups
    ]
    return ordinal.stack(groups, design.indicator_order)


class Items:
    """The item likelihood of all people at one value of the parameters.

    Parameters
    ----------
    theta : dict of str to array
        Parameters by name.
    design : Design
        Responses and which indicator belongs where.
    counted : numpy.ndarray, optional
        1 for the indicators whose responses count, 0 for those that are as if missing; by default all count.
    testlet_nodes : int
        Nodes over a residual factor.
    """

    def __init__(
        self,
        theta: dict[str, Any],
        design: Design,
        *,
        counted: Any = None,
        testlet_nodes: int = TESTLET_NODES,
    ) -> None:
        self._rule = normal_rule(testlet_nodes)
        if design.coords[n.GROUP]:
            by_group, who = ladder.tables(theta, design), design.group_of
            own = ordinal.Table(*(jnp.asarray(part)[who] for part in by_group))
            self.constants = ordinal.look_up(own, design.response)
            self.loading = ladder.loadings(theta, design)[who]
        else:
            self.constants = ordinal.look_up(tables(theta, design), design.response)
            self.loading = bias.loadings(theta, design)
        if design.biased is not None:
            shift = design.diagnosis @ bias.effects(theta, design).T
            odds = jnp.ones(design.response.shape).at[:, design.biased].set(jnp.exp(shift))
            self.constants = self.constants._replace(
                upper=self.constants.upper * odds, lower=self.constants.lower / odds
            )
        if counted is not None and not counted.all():
            self.constants = ordinal.Table(*(part * counted for part in self.constants))
        self.gamma: Any = theta.get("gamma")
        self.shape: Any = None
        if "epsilon" in theta:
            self.shape = sinh_arcsinh.shape_of(theta["epsilon"], theta["tailweight"], xp=jnp)
        self.further: Any = next((theta[name] for name in FURTHER if name in theta), None)
        self.design = design
        self.log_gap = self.constants.log_gap.sum(axis=1)

    def curve(self, function: int, points: Any) -> Any:
        """Return the log-likelihood of one axis's items, less `log_gap`.

        Parameters
        ----------
        function : int
            Position of the axis.
        points : array
            Where, of what is Gaussian [`participant`, node].

        Returns
        -------
        array
            [`participant`, node].
        """
        position, weight = self._rule
        if self.shape is not None:
            points = sinh_arcsinh.transform(points[..., None], self.shape[function : function + 1], xp=jnp)[
                ..., 0
            ]
        total = jnp.zeros_like(points)
        plain = self.design.plain_of[function]
        if len(plain):
            upper, lower = self._pick(plain)
            predictor = self.loading[:, plain, None] * points[:, None, :]
            total = ordinal.log_probability(upper[:, :, None], lower[:, :, None], predictor).sum(axis=1)
        for s, items in self.design.testlets_of[function]:
            total = total + jnp.log(self._testlet(s, items, points, position) @ weight)
        return total

    def jointly(self, eta: Any, testlet: Any) -> Any:
        """Return the log-likelihood at functions and residual factors, less `log_gap`.

        Parameters
        ----------
        eta, testlet : array
            [`participant`, `function`], before they are skewed; [`participant`, `testlet`].

        Returns
        -------
        array
            [`participant`].
        """
        if self.shape is not None:
            eta = sinh_arcsinh.transform(eta, self.shape, xp=jnp)
        predictor = jnp.asarray(self.loading * eta[:, self.design.function_of])
        if self.further is not None:
            part = self.further * eta[:, self.design.further_function]
            predictor = predictor.at[:, self.design.further_indicator].add(part)
        for s, items in (one for groups in self.design.testlets_of for one in groups):
            predictor = predictor.at[:, items].add(self.gamma[s] * testlet[:, [s]])
        return ordinal.log_probability(self.constants.upper, self.constants.lower, predictor).sum(axis=1)

    @property
    def steepest(self) -> Any:
        """Largest loading on each axis, in size [`participant` or 1, `function`]."""
        size, owner = jnp.abs(self.loading), np.asarray(self.design.function_of)
        axes = range(len(self.design.plain_of))
        return jnp.stack([size[:, owner == f].max(axis=1, initial=0.0) for f in axes], axis=1)

    def slope(self, points: Any) -> tuple[Any, Any]:
        """Return first and negative second derivative of the curves at [`participant`, `function`]."""
        first, second, given = [], [], points
        if self.shape is not None:
            points = sinh_arcsinh.transform(given, self.shape, xp=jnp)
        for f, plain in enumerate(self.design.plain_of):
            one, two = jnp.zeros_like(points[:, f]), jnp.zeros_like(points[:, f])
            if len(plain):
                upper, lower = self._pick(plain)
                loading = self.loading[:, plain]
                score, information = ordinal.derivatives(upper, lower, loading * points[:, f, None])
                one, two = (score * loading).sum(axis=1), (information * loading**2).sum(axis=1)
            for s, items in self.design.testlets_of[f]:
                score, information = self._testlet_slope(s, items, points[:, f])
                one, two = one + score, two + information
            first.append(one)
            second.append(two)
        score, information = jnp.stack(first, axis=1), jnp.stack(second, axis=1)
        if self.shape is not None:
            rising, bend = sinh_arcsinh.slopes(given, self.shape, xp=jnp)
            score, information = score * rising, information * rising**2 - score * bend
        return score, jnp.maximum(information, 0)

    def _pick(self, items: Any) -> tuple[Any, Any]:
        return self.constants.upper[:, items], self.constants.lower[:, items]

    def _testlet(self, s: int, items: Any, points: Any, position: Any) -> Any:
        """Probability of a subscale's items [`participant`, node, residual node]."""
        upper, lower = self._pick(items)
        shift = jnp.exp(self.gamma[s] * position)
        density = 1.0
        for j, item in enumerate(items):
            odds = jnp.exp(self.loading[:, item, None] * points)[:, :, None] * shift
            u, v = upper[:, j, None, None], lower[:, j, None, None]
            density = density / (1 + u * v + odds * u + v / odds)
        return density

    def _testlet_slope(self, s: int, items: Any, points: Any) -> tuple[Any, Any]:
        position, weight = normal_rule(POSITION_NODES)
        share = self._testlet(s, items, points[:, None], position)[:, 0, :] * weight
        share = share / share.sum(axis=1, keepdims=True)
        upper, lower = self._pick(items)
        loading = self.loading[:, items, None]
        predictor = loading * points[:, None, None] + self.gamma[s] * position
        score, information = ordinal.derivatives(upper[:, :, None], lower[:, :, None], predictor)
        score, information = (loading * score).sum(axis=1), (loading**2 * information).sum(axis=1)
        mean = (share * score).sum(axis=1)
        spread = (share * (score - mean[:, None]) ** 2).sum(axis=1)
        return mean, (share * information).sum(axis=1) - spread
