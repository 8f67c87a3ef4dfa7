"""Pathways: what of an association with the outcome goes with functions or activation of the brain.

Given diagnoses, factors x*, functions eta and latent activation a of a person are one linear system,

    eta = B_i x* + ...,     a = D x* + Lambda_i eta + ...,     link(mu) = q . x* + w_i . eta + v . a + ...

What goes along a pathway is the product of the coefficients on it, of each person: slopes may differ by
disorder, burden and treatment. It is told as what the expected outcome is when so much is added to the
person's predictor, less what it is: averaged over the people who have the outcome, with diagnoses,
covariates, sites, treatments and baseline as they are, and factors, functions and activation integrated out
given these (g-computation; the natural indirect effect of Pearl 2001, arXiv:1301.2300, of one unit more for
everybody). Of a Gaussian outcome it is the averaged product, and ways add up to the total.

Functions and activation are Gaussian together, so that either may come first. Where pathways lead from
regions to functions, functions are regressed on activation, and the density is the same.

That nothing unobserved goes with both mediator and outcome is an assumption. If the residual of the outcome
correlates by r with what of the last mediator the other ones do not tell, what is left of its coefficient
b is b - r s / sqrt((1 - r^2) d), where d is the variance of that part and s the outcome's residual sd on
the scale of the link: the density of what is observed is the same for every r (Imai, Keele & Yamamoto 2010,
10.1214/10-STS321). A yes and a category have a logistic residual and a count a gamma factor, for which the
nearest normal and the lognormal factor of the same variance are taken.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod, sqrt
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks import outcomes
from nssi_bayes.blocks.design import Design
from nssi_bayes.check.expected_outcome import NODES, changed, residual_sd
from nssi_bayes.check.linear_system import System, system_of
from nssi_bayes.check.summarised import Row, Summary
from nssi_bayes.spec import JointSpec
from nssi_bayes.spec.pathways import ACTIVATION, ARROW, Pathway, backwards, networks_of

__all__ = ["CORRELATIONS", "Told", "pathways", "rows"]

CORRELATIONS: Final = tuple(round(0.1 * k, 1) for k in range(-5, 6))
"""Residual correlations of the last mediator and the outcome."""
_TILT: Final = np.array([r / sqrt(1 - r**2) for r in CORRELATIONS])
_WAYS: Final = ("indirect", "direct", "total")
_AT_ONCE: Final = 4_000_000
"""Numbers by draw, person and node that are held at once."""
_VARYING: Final = ("B_disorder", "B_burden", "w_disorder", "w_burden")
_VARYING_ACTIVATION: Final = ("L_disorder", "L_burden")
_SCALES: Final = {
    n.GAUSSIAN: "sd of the outcome",
    n.BERNOULLI: "difference in probability",
    n.ORDINAL: "difference in expected category",
    **dict.fromkeys(n.COUNTS, "log of the ratio of expected rates"),
}

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Any]


class Told(NamedTuple):
    """Draws of one pathway.

    Parameters
    ----------
    path : tuple of str
        As the spec has it.
    ways : numpy.ndarray
        Through it, by no mediator at all, and by all ways together [sample, 3, group of people].
    by_correlation : numpy.ndarray or None
        Through it, of everybody, at each of `CORRELATIONS` [sample, correlation]; None where the other
        mediators leave nothing of the last, or the outcome has two residuals.
    """

    path: Pathway
    ways: Array
    by_correlation: Array | None


def pathways(theta: dict[str, Array], design: Design, spec: JointSpec) -> list[Told]:
    """Return the draws of every pathway of a spec, in its order.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter.
    design : Design
        The data.
    spec : JointSpec
        With `pathways`, or without.

    Returns
    -------
    list of Told
        In sd of a Gaussian outcome, as differences in the probability of a yes and in the expected category,
        and as logarithms of the ratio of expected rates of a count.
    """
    if not spec.pathways or not design.outcome_seen.any():
        return []
    told = [_leaves_something(path[-2], design, spec) for path in spec.pathways]
    predictors = len(outcomes.endings(design.outcome_family))
    each = len(design.diagnosis) * NODES[predictors - 1] ** predictors
    _, weight = _groups(theta, design)

    def of_one(one: Theta) -> tuple[Any, Any]:
        return _of_one(one, design, spec, weight, told)

    samples = len(theta["w"])
    at_once = max(k for k in range(1, max(1, _AT_ONCE // each) + 1) if samples % k == 0)
    run = jax.jit(lambda draws: jax.lax.map(of_one, draws, batch_size=at_once))
    ways, moved = (np.asarray(found) for found in run(theta))
    place = np.cumsum(told) - 1
    return [
        Told(path, ways[:, k], moved[:, place[k]] if told[k] else None)
        for k, path in enumerate(spec.pathways)
    ]


def rows(
    summary: Summary, found: list[Told], theta: dict[str, Array], design: Design, *, min_cell: int
) -> dict[str, list[Row]]:
    """Summarise pathways, of everybody and, where slopes differ, of the people who have each disorder.

    Parameters
    ----------
    summary : Summary
        Interval and ROPE.
    found : list of Told
        From `pathways`.
    theta : dict of str to numpy.ndarray
        Draws by parameter.
    design : Design
        The data.
    min_cell : int
        Of a disorder that fewer people with the outcome have, or do not have, there is a mark and no number.

    Returns
    -------
    dict
        ``pathways``, ``pathways_by_correlation`` and ``pathways_by_disorder`` of ``estimates.json``. Of where
        pathways begin, ``total`` and ``direct`` once, then each ``indirect`` way, on which, a product of
        slopes, no ROPE is laid. Nothing where nothing was found.
    """
    if not found:
        return {}
    labels, weight = _groups(theta, design)
    groups = list(zip(labels[1:], _few(weight, min_cell)[1:], strict=True))
    ways: list[Row] = []
    for start in dict.fromkeys(one.path[0] for one in found):
        own = [one for one in found if one.path[0] == start]
        whole = (start, own[0].path[-1])
        told = [(own[0], "total", whole), (own[0], "direct", whole), *((o, "indirect", o.path) for o in own)]
        ways += [_way(summary, one, way, path, family=design.outcome_family) for one, way, path in told]
    return {
        "pathways": ways,
        "pathways_by_correlation": [row for one in found for row in _by_correlation(summary, one)],
        "pathways_by_disorder": [row for one in found for row in _by_disorder(summary, one, groups)],
    }


def _way(summary: Summary, one: Told, way: str, path: Pathway, *, family: str) -> Row:
    """Summarise one way, of everybody."""
    rope = family == n.GAUSSIAN and way != "indirect"
    found = summary.signed(one.ways[:, _WAYS.index(way), 0], rope=rope)
    return {"pathway": ARROW.join(path), "way": way, "scale": _SCALES[family], **found}


def _by_correlation(summary: Summary, one: Told) -> list[Row]:
    """Summarise a pathway at each residual correlation."""
    if one.by_correlation is None:
        return []
    name = ARROW.join(one.path)
    return [
        {"pathway": name, "correlation": r, "median": float(np.median(draws)), **summary.signed(draws)}
        for r, draws in zip(CORRELATIONS, one.by_correlation.T, strict=True)
    ]


def _by_disorder(summary: Summary, one: Told, groups: list[tuple[str, bool]]) -> list[Row]:
    """Summarise a pathway of the people who have each disorder, or mark that they are too few."""
    name = ARROW.join(one.path)
    return [
        {"pathway": name, "disorder": label, **({"few": True} if few else summary.signed(draws))}
        for (label, few), draws in zip(groups, one.ways[:, 0, 1:].T, strict=True)
    ]


def _groups(theta: Theta, design: Design) -> tuple[list[str], Array]:
    """Return who is averaged over: labels, and weights [group, `participant`]. Everybody comes first."""
    seen = np.asarray(design.outcome_seen, dtype=bool)
    labels, members = [""], [seen]
    varying = _VARYING + (_VARYING_ACTIVATION if "v" in theta else ())
    if not theta.keys().isdisjoint(varying):
        for label, has in zip(design.coords[n.DISORDER], design.diagnosis.T > 0, strict=True):
            if (seen & has).any():
                labels.append(str(label))
                members.append(seen & has)
    found = np.stack(members).astype(float)
    return labels, found / found.sum(axis=1, keepdims=True)


def _few(weight: Array, smallest: int) -> Array:
    """Return of which groups there are too few people, or too few others [group]."""
    sizes = (weight > 0).sum(axis=1)
    others = sizes[0] - sizes
    return np.asarray((sizes < smallest) | ((others > 0) & (others < smallest)))


def _of_one(
    theta: Theta, design: Design, spec: JointSpec, weight: Array, told: list[bool]
) -> tuple[Any, Any]:
    """Return ways [pathway, 3, group], and those that are `told` by correlation [pathway, correlation]."""
    system, places = system_of(theta, design, _first(design, spec)), _places(design)
    shifts, moved = [], []
    for path, leaves in zip(spec.pathways, told, strict=True):
        (kind, start), (last_kind, last) = places[path[0]], places[path[-2]]
        steps = [_step(system, places[a], places[b]) for a, b in pairwise(path[:-1])]
        before = prod(steps[1:], start=steps[0])[:, None]
        coefficient = getattr(system, last_kind)[:, :, last]
        others = (getattr(system, name)[:, :, start] for name in (kind, f"all_of_{kind}"))
        shifts.append(jnp.stack([before * coefficient, *others]))
        if leaves:
            change = residual_sd(theta, design) / jnp.sqrt(system.left[last_kind][:, last])[:, None]
            moved.append(before * (coefficient - _TILT[:, None, None] * change))
    ways = changed(theta, design, shifts, weight)
    return ways, changed(theta, design, moved, weight[:1])[:, :, 0] if moved else jnp.zeros(1)


def _places(design: Design) -> dict[str, tuple[str, int]]:
    """Return kind and position of everything that a pathway may name."""
    networks = [f"{label}{ACTIVATION}" for label in design.coords[n.NETWORK]]
    kinds = {"network": networks, "factor": design.coords[n.FACTOR], "function": design.coords[n.FUNCTION]}
    return {str(label): (kind, k) for kind, labels in kinds.items() for k, label in enumerate(labels)}


def _first(design: Design, spec: JointSpec) -> Array:
    """Return positions of the networks that come before functions: those that pathways name, or none."""
    if not backwards(spec):
        return np.zeros(0, dtype=int)
    places = _places(design)
    return np.array(sorted(places[name][1] for name in networks_of(spec)), dtype=int)


def _step(system: System, first: tuple[str, int], second: tuple[str, int]) -> Any:
    """Return the coefficient of one mediator on what stands before it [`participant`]."""
    return getattr(system, f"{first[0]}_{second[0]}")[:, second[1], first[1]]


def _leaves_something(mediator: str, design: Design, spec: JointSpec) -> bool:
    """Return whether the other mediators leave something of one, and the outcome has one residual.

    Networks of fewer than three regions have no residual factor but the person's. Given functions two of them
    tell each other; before functions they tell a combination of these.
    """
    if design.outcome_family == n.HURDLE:
        return False
    first, networks = _first(design, spec), design.coords[n.NETWORK]
    of_network = mediator.removesuffix(ACTIVATION) if _places(design)[mediator][0] == "network" else None
    small = [label for label in networks if label not in design.coords[n.BIG_NETWORK]]
    if len(first):
        return of_network is not None or sum(networks[k] in small for k in first) <= 1
    return of_network is None or of_network not in small or len(small) == 1
