"""The reference problem that rivals are measured on, and what their densities are held against.

300 people, 39 items of three categories, three functions, two unreliable factors of history, five
disorders whose levels and slopes differ, three sites, 12 regions of which 46 % of the people have
none. Residuals of regions are independent: their shared factors would be much to state elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from cohort import isas, make_cohort

from nssi_bayes import names as n
from nssi_bayes.blocks import factors, neural, structure
from nssi_bayes.blocks.compiled import Slots
from nssi_bayes.blocks.design import make_design
from nssi_bayes.blocks.generate import generate, latents
from nssi_bayes.blocks.joint import parameters
from nssi_bayes.blocks.parameter import STEP, Parameter, draw
from nssi_bayes.build import Built, build_design
from nssi_bayes.fit.density import compile_density
from nssi_bayes.fit.unconstrained import Unconstrained
from nssi_bayes.integrate.gaussian import LOG_2PI
from nssi_bayes.spec import JointSpec, parse, read_priors

__all__ = ["Point", "as_sampled", "log_jacobian", "make_points", "problem"]

REGIONS: Final = (
    "AMY_L", "AMY_R", "HIP_L", "HIP_R", "AINS_L", "AINS_R", "DACC", "RACC", "VLPFC_L", "VLPFC_R",
    "VS_L", "VS_R",
)  # fmt: skip
RELIABILITY: Final = {"trauma": 0.9, "attachment": 0.7}
SCANNED: Final = 0.54
SPEC: Final[dict[str, Any]] = {
    "description": "the reference problem of the rivals",
    "functions": {
        "emotion_regulation": ["affect_regulation", "anti_dissociation", "anti_suicide", "marking_distress"],
        "self_punishment": ["self_punishment"],
        "social_signalling": [
            "interpersonal_boundaries", "self_care", "sensation_seeking", "peer_bonding",
            "interpersonal_influence", "toughness", "revenge", "autonomy",
        ],
    },
    "measurement": {"testlets": "none"},
    "factors": list(RELIABILITY),
    "disorder": {"levels": True, "slopes": True},
    "neural": {"residual": "independent"},
}  # fmt: skip
CORRELATIONS: Final = {(1, 0): 0.6, (2, 0): 0.5, (2, 1): 0.55}
PROBABILITY: Final = (0.45, 0.3, 0.25)

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


def problem(seed: int, people: int = 300, *, route: str = "auto") -> Built:
    """Return the model on data drawn from it.

    Parameters
    ----------
    seed : int
        Source of every random number.
    people : int
        How many there are.
    route : str
        As in a spec.

    Returns
    -------
    Built
        The model.
    """
    rng = np.random.default_rng([20261126, seed])
    cohort = make_cohort(rng, people, subscales=isas(), reliability=RELIABILITY, scanned=SCANNED)
    cohort = cohort.sel({n.ROI: list(REGIONS)})
    spec = parse(JointSpec, {**SPEC, "route": route}, where="rivals")
    design = make_design(cohort, spec)
    declared = parameters(spec, design, read_priors())
    theta = _truth(declared, {k: v[0] for k, v in draw(declared, design.coords, rng, 1).items()})
    return build_design(spec, generate(theta, design, rng))


def _truth(declared: list[Parameter], theta: Theta) -> Theta:
    """Put sane values where a draw from the prior may be extreme: scales, loadings, thresholds, noise."""
    fixed: Theta = {
        p.name: np.broadcast_to(0.7 * np.asarray(p.sigma), np.shape(theta[p.name]))
        for p in declared
        if p.family == "halfnormal"
    }
    items = len(theta["lambda"])
    fixed["lambda"] = np.exp(0.5 + 0.35 * np.linspace(-1.5, 1.5, items)[np.arange(items) * 7 % items])
    fixed["category_probability_3"] = np.tile(PROBABILITY, (items, 1))
    fixed |= {"sigma": np.full(len(theta["sigma"]), 0.9), "sigma_x": np.full(len(theta["sigma_x"]), 0.95)}
    for p in declared:
        if p.scale is not None:
            ratio = p.aligned_scale(fixed[p.scale] / theta[p.scale]) if p.scale_dims else (
                fixed[p.scale] / theta[p.scale]
            )  # fmt: skip
            fixed[p.name] = theta[p.name] * ratio
    correlation = np.eye(3)
    for (a, b), value in CORRELATIONS.items():
        correlation[a, b] = correlation[b, a] = value
    fixed["Omega"] = np.linalg.cholesky(correlation)
    return {**theta, **fixed}


class Point(dict[str, Any]):
    """A place in the space of everything that a rival samples.

    Parameters by name, standardised ones as ``<name>_raw`` and Cholesky factors as ``<name>_root``;
    ``x`` are the factors, ``e`` the functions as a rival samples them.

    Attributes
    ----------
    ours : float
        The log-density there by our blocks, by these coordinates, up to a constant.
    """

    ours: float


def make_points(built: Built, rng: np.random.Generator, count: int, *, centred: bool) -> Iterator[Point]:
    """Draw points, and say what our explicit route makes of them.

    Our route integrates the factors out; they are drawn here, and the density of what was drawn given
    all else, which is Gaussian, is added.

    Parameters
    ----------
    built : Built
        The model with ``route: explicit``.
    rng : numpy.random.Generator
        Source of randomness.
    count : int
        How many.
    centred : bool
        Whether ``e`` are the functions, or their deviations in units of `Omega`.

    Yields
    ------
    Point
        Every one elsewhere, the prior around it.
    """
    slots = Slots({p.name: p.shape(built.design.coords) for p in built.parameters})
    free, density = Unconstrained(built.parameters, slots), compile_density(built)
    for _ in range(count):
        x = free.start + 0.4 * rng.standard_normal(free.size)
        theta = slots.named(free(x)[1])
        who = latents(theta, built.design, rng)
        value = density.value_and_gradient(np.concatenate([x, who.function.ravel()]))[0]
        factor, log_given = _draw_factors(theta, built, who.function, rng)
        point = Point(as_sampled(theta, built.parameters), x=factor, e=who.function)
        point.ours = value + log_given - log_jacobian(theta, built.parameters, free, x)
        if not centred:
            root = theta["Omega"]
            mean = _level(theta, built, factor)
            point["e"] = np.linalg.solve(root, (who.function - mean).T).T
            point.ours += len(mean) * float(np.log(np.diag(root)).sum())
        yield point


def as_sampled(theta: Mapping[str, Array], declared: list[Parameter]) -> Theta:
    """Return parameters as rivals sample them: standardised, and correlations as Cholesky factors."""
    found: Theta = {}
    for p in declared:
        value = np.array(theta[p.name])
        if p.family == "lkj":
            found[f"{p.name}_root"] = value
        elif p.scale is not None:
            scale = np.asarray(theta[p.scale])
            found[f"{p.name}_raw"] = value / (p.aligned_scale(scale) if p.scale_dims else scale)
        else:
            found[p.name] = value
    return found


def log_jacobian(theta: Theta, declared: list[Parameter], free: Unconstrained, x: Array) -> float:
    """Return the log-determinant of the derivative of the parameters by our coordinates, up to a constant."""
    total = 0.0
    for p in declared:
        value = np.asarray(theta[p.name])
        if p.family == "lognormal" or p.family == "dirichlet":
            total += float(np.log(value).sum())
        elif p.family == "halfnormal":  # a multiple of log(1 + exp(x)), whose slope is 1 - exp(-it)
            steps = value / (STEP * np.asarray(p.sigma))
            total += float(np.log(-np.expm1(-steps)).sum())
        elif p.family == "lkj":  # rows (x, 1) of unit length
            total += float((np.arange(2, len(value) + 2) * np.log(np.diag(value))).sum())
    return total


def _level(theta: Theta, built: Built, factor: Array) -> Array:
    """Return the expected functions, given factors [`participant`, `function`]."""
    said = structure.linear(theta, built.design)
    slope = np.broadcast_to(said.own, (*factor.shape[:1], *said.own.shape[-2:]))
    return np.asarray(said.mean) + np.einsum("ifp,ip->if", slope, factor)


def _draw_factors(theta: Theta, built: Built, eta: Array, rng: np.random.Generator) -> tuple[Array, float]:
    """Draw factors given functions and data; return them and their log-density."""
    design = built.design
    parts = [structure.quadratic(theta, design), factors.quadratic(theta, design), factors.observed(design)]
    matrix = np.sum([np.asarray(p.matrix) for p in parts], axis=0)
    matrix[design.scanned] += np.asarray(neural.observed(theta, design).matrix)
    size = len(design.coords[n.FACTOR])
    precision = matrix[:, :size, :size]
    rest = np.concatenate([eta, -np.ones((len(eta), 1))], axis=1)
    mean = -np.linalg.solve(precision, matrix[:, :size, size:] @ rest[:, :, None])[:, :, 0]
    root = np.linalg.cholesky(precision)
    z = 1.5 * rng.standard_normal(mean.shape)
    value = mean + np.linalg.solve(np.swapaxes(root, 1, 2), z[:, :, None])[:, :, 0]
    log_det = np.log(np.diagonal(root, axis1=1, axis2=2)).sum()
    return value, float(log_det - 0.5 * (z**2).sum() - 0.5 * z.size * LOG_2PI)
