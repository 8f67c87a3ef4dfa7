"""One person's functions given their data, drawn exactly: a test quantity of calibration.

The Gaussian that the quadrature gives is only the proposal; weights of importance correct it for the
items and an outcome that is not Gaussian, so that the drawn value is one from the person's posterior.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from scipy.special import logsumexp

from nssi_bayes import names as n
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.answers import Answers, all_loadings
from nssi_bayes.blocks.compiled import Part, compile_people
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.marginal import evaluate, grid_settings
from nssi_bayes.blocks.people import few
from nssi_bayes.blocks.predicted import Observed, given_functions, is_curved
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.integrate.quadrature import normal_rule
from nssi_bayes.integrate.sinh_arcsinh import invert

__all__ = ["draw_functions", "most_complete"]

_PROPOSALS: Final = 256
_DEGREES: Final = 5.0
"""Degrees of freedom of the proposal, whose tails must be heavier than the target's."""
_TESTLET_NODES: Final = 31

type Array = np.ndarray[Any, Any]


def most_complete(design: Design) -> int:
    """Return the position of the person of whom most is observed."""
    seen = (design.response != design.missing_response).sum(axis=1) + design.factor_seen.sum(axis=1)
    seen = seen + design.score_seen.sum(axis=1) + design.outcome_seen
    for who, values in (
        (design.scanned, design.activation_seen),
        (design.connected, design.connectivity_seen),
    ):
        if len(who):
            np.add.at(seen, who, values.sum(axis=1))
    return int(np.argmax(seen))


def draw_functions(theta: dict[str, Array], design: Design, person: int, rng: np.random.Generator) -> Array:
    """Draw one person's functions once for each draw of the parameters.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter.
    design : Design
        The data.
    person : int
        Position of the person.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        Residual sd [sample, `function`].
    """
    one = few(design, np.array([person]))
    slots = Slots({name: np.shape(draws)[1:] for name, draws in theta.items()})
    fitted = evaluate(theta, one, include=joint.BLOCKS, grid=grid_settings(len(one.plain_of), fine=True))
    observed = Observed(one) if is_curved(one, slots.where) else None
    if observed is None and not one.coords[n.INDICATOR]:  # all data are Gaussian: there is nothing to correct
        root = np.linalg.cholesky(fitted.covariance[:, 0])
        return fitted.mean[:, 0] + (root @ rng.standard_normal((*fitted.mean[:, 0].shape, 1)))[..., 0]
    part_of, answers = compile_people(one, slots), Answers(one)
    found = np.empty((len(fitted.mean), len(one.plain_of)))
    for s, vector in enumerate(slots.joined(theta)):
        part, _ = part_of(vector)
        mean, root = fitted.mean[s, 0], np.linalg.cholesky(fitted.covariance[s, 0])
        wide = np.sqrt(_DEGREES / rng.chisquare(_DEGREES, _PROPOSALS))[:, None]
        z = rng.standard_normal((_PROPOSALS, len(mean))) * wide
        eta = mean + z @ root.T
        log_proposal = -0.5 * (_DEGREES + len(mean)) * np.log1p((z**2).sum(axis=1) / _DEGREES)
        gaussian, log_slope = (eta, 0.0) if part.shape is None else _gaussian(eta, part.shape)
        both = [gaussian, eta] if part.matrix.shape[1] > len(mean) + 1 else [gaussian]
        whole = np.column_stack([*both, -np.ones(_PROPOSALS)])
        log_weight = -0.5 * ((whole @ part.matrix[0]) * whole).sum(axis=1) + log_slope
        log_weight += _items(eta, one, part, answers) - log_proposal
        if observed is not None and part.predictor is not None:
            log_weight += given_functions(observed.curves(slots.named(vector)), part.predictor, eta)
        found[s] = eta[rng.choice(_PROPOSALS, p=np.exp(log_weight - logsumexp(log_weight)))]
    return found[:, len(one.item_factors) :]


def _gaussian(eta: Array, shape: Array) -> tuple[Array, Array]:
    """Return what is Gaussian, and the logarithm of the volume that it has beside the functions."""
    latent, log_slope = invert(eta, shape)
    return latent, log_slope.sum(axis=1)


def _items(eta: Array, one: Design, part: Part, answers: Answers) -> Array:
    """Return the log-likelihood of one person's responses at [proposal, `function`]."""
    upper, lower = (constants[0] for constants in answers.constants(part))
    load = all_loadings(part, one)
    predictor = eta @ load[one.group_of[0] if len(load) > 1 else 0].T
    plain = one.testlet_of < 0
    total = _log_probability(upper[plain], lower[plain], predictor[:, plain]).sum(axis=1)
    position, weight = normal_rule(_TESTLET_NODES)
    for groups in one.testlets_of:
        for s, items in groups:
            shifted = predictor[:, None, items] + part.gamma[s] * position[:, None]
            each = _log_probability(upper[items], lower[items], shifted).sum(axis=2)
            total = total + logsumexp(each, axis=1, b=weight)
    return total


def _log_probability(upper: Array, lower: Array, predictor: Array) -> Array:
    """Return log P(y) without its constant, as `families.ordinal.log_probability`, in NumPy."""
    odds = np.exp(np.clip(predictor, -500, 500))
    return -np.log1p(upper * lower + odds * upper + lower / odds)
