"""Participant-level scores: leave one person out with everything observed on them.

The unit left out is the person: functions, factors and residual factors are integrated out of
log p(all data of i | theta), so that no latent value of the person who is left out was fitted to
their own data. Conditional scores (one response left out, latents kept) reward overfitting of the
latents (Merkle, Furr & Rabe-Hesketh 2019, 10.1007/s11336-019-09679-0). Blocks of a person's data
are scored with the same weights 1 / p(all data of i | theta), smoothed by PSIS (Vehtari et al.
2024, JMLR 25:72).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from scipy.special import logsumexp

from nssi_bayes import names as n
from nssi_bayes.blocks import joint, marginal
from nssi_bayes.blocks.design import Design
from nssi_bayes.integrate.quadrature import Moments
from nssi_bayes.spec import OutcomeFrom
from nssi_bayes.store import digest

__all__ = [
    "GIVEN", "OUTCOME_GIVEN", "TOTAL", "Scores", "evaluate", "leave_one_out", "leave_out", "observed_digests",
    "sets_of", "steps_of", "to_dataset",
]  # fmt: skip

OUTCOME_GIVEN: Final = "outcome_given_items_factors"
TOTAL: Final = "total"
GIVEN: Final = ("factors", "items")
_CONSTANT: Final = 1e-9

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Scores:
    """Leave-one-out scores of one model.

    Parameters
    ----------
    elpd : dict of str to numpy.ndarray
        By block [`participant`], nats.
    p_loo : dict of str to float
        By block.
    k_hat : numpy.ndarray
        [`participant`].
    """

    elpd: dict[str, Array]
    p_loo: dict[str, float]
    k_hat: Array


def evaluate(
    theta: dict[str, Array], design: Design, *, blocks: Sequence[str] | None = None, last: bool = False
) -> tuple[dict[tuple[str, ...], Array], Moments]:
    """Return the log-likelihood of every person at every draw, for growing sets of blocks.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter.
    design : Design
        The data.
    blocks : sequence of str, optional
        Those of the model, where these are some of its people and may lack one.
    last : bool
        All blocks together only.

    Returns
    -------
    dict of tuple to numpy.ndarray
        By set of blocks [sample, `participant`].
    Moments
        Mean and covariance of each person's axes given all data [sample, `participant`, ...].
    """
    blocks = joint.blocks_of(design) if blocks is None else blocks
    found, grid = {}, marginal.grid_settings(len(design.plain_of), fine=True)
    for include in sets_of(blocks)[-1 if last else 0 :]:
        everything = include == tuple(blocks)
        moments = marginal.evaluate(theta, design, include=include, grid=grid, moments=everything)
        found[include] = moments.log_integral
    return found, moments


def sets_of(blocks: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the sets of blocks whose likelihoods all scores are made of; all blocks stand last."""
    sets = [tuple(blocks[:end]) for end in range(1, len(blocks) + 1)]
    with_outcome = (*_given(blocks), "outcome")
    if "outcome" in blocks and with_outcome not in sets:
        sets.insert(0, with_outcome)
    return sets


def steps_of(blocks: Sequence[str]) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return, by name of a score, the sets of blocks before and after what it scores."""
    steps: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {TOTAL: ((), tuple(blocks))}
    steps |= {b: (tuple(blocks[:i]), tuple(blocks[: i + 1])) for i, b in enumerate(blocks)}
    if "outcome" in blocks and "items" in blocks:
        steps[OUTCOME_GIVEN] = (_given(blocks), (*_given(blocks), "outcome"))
    return steps


def leave_one_out(
    log_likelihood: dict[tuple[str, ...], Array],
    blocks: Sequence[str],
    *,
    chains: int,
    weights: tuple[Array, Array] | None = None,
) -> Scores:
    """Score every block of every person, given the blocks before it.

    Parameters
    ----------
    log_likelihood : dict of tuple to numpy.ndarray
        From `evaluate` [sample, `participant`].
    blocks : sequence of str
        Blocks in order; their scores add up to the total.
    chains : int
        Number of chains that the samples come from, one after the other.
    weights : tuple of numpy.ndarray, optional
        From `leave_out`, where they are there already.

    Returns
    -------
    Scores
        By block, by ``total`` and, where there is an outcome, by `OUTCOME_GIVEN`.
    """
    total = log_likelihood[tuple(blocks)]
    samples, people = total.shape
    log_weight, k_hat = leave_out(total, chains=chains) if weights is None else weights

    def expected(key: tuple[str, ...]) -> tuple[Array, Array]:
        if not key:
            return np.zeros(people), np.zeros(people)
        values = log_likelihood[key].T
        return logsumexp(log_weight + values, axis=1), logsumexp(values, axis=1) - np.log(samples)

    elpd, p_loo = {}, {}
    for name, (before, after) in steps_of(blocks).items():
        (loo_before, fit_before), (loo_after, fit_after) = expected(before), expected(after)
        elpd[name] = loo_after - loo_before
        p_loo[name] = float((fit_after - fit_before - elpd[name]).sum())
    return Scores(elpd, p_loo, k_hat)


def leave_out(total: Array, *, chains: int) -> tuple[Array, Array]:
    """Return the weights of all draws with each person left out, smoothed.

    Parameters
    ----------
    total : numpy.ndarray
        Log-likelihood of all data of a person [sample, `participant`], nats.
    chains : int
        Number of chains that the samples come from, one after the other.

    Returns
    -------
    tuple of numpy.ndarray
        Logarithms of weights that sum to 1 [`participant`, sample], and k-hat [`participant`].
    """
    samples, people = total.shape
    shaped = np.exp(total - total.max(axis=0)).T.reshape(people, chains, -1)
    r_eff = np.clip(array_stats.ess(shaped, method="mean") / samples, 1e-3, 1.0)
    # who has nothing that is scored has the likelihood 1, but for rounding: equal weights, nothing to smooth
    log_weight, k_hat = np.zeros_like(total.T), np.zeros(people)
    for i in np.flatnonzero(np.ptp(total, axis=0) > _CONSTANT):
        log_weight[i], k_hat[i] = array_stats.psislw(total[:, i], r_eff=float(r_eff[i]))
    return log_weight - logsumexp(log_weight, axis=1, keepdims=True), k_hat


def _given(blocks: Sequence[str]) -> tuple[str, ...]:
    """Return what the outcome is predicted from: items, and factors where the cohort has any."""
    return tuple(b for b in GIVEN if b in blocks)


def observed_digests(design: Design, outcome: str | None) -> dict[str, str]:
    """Hash the values that each block scores, whatever the order of columns and functions."""
    of_factors = design.function_of < len(design.item_factors)
    found = {"items": _responses(design, ~of_factors)}
    items = not of_factors.all()
    if design.coords[n.SCORE]:
        names, value = design.coords[n.SCORE], np.where(design.score_seen, design.score, np.nan)
        order = np.argsort(names)
        scores = _hash([names[j] for j in order], value[:, order])
        found["items"] = digest({"ordinal": found["items"], "continuous": scores}) if items else scores
    if design.coords[n.FACTOR]:
        values = np.where(design.factor_seen, design.factor, np.nan)
        found["factors"] = _hash(design.scored_factors, np.vstack([values, design.factor_error]))
        if design.item_factors:
            responses = _responses(design, of_factors)
            found["factors"] = digest({"scores": found["factors"], "items": responses})
    if len(design.scanned):
        seen = np.where(design.activation_seen, design.activation, np.nan)
        found["activation"] = _hash(design.coords[n.ROI], np.vstack([seen, design.activation_se]))
    if len(design.connected):
        seen = np.where(design.connectivity_seen, design.connectivity, np.nan)
        found["connectivity"] = _hash(design.coords[n.EDGE], np.vstack([seen, design.connectivity_se]))
    if design.outcome_seen.any():
        found["outcome"] = outcome_digest(str(outcome), design.outcome, design.outcome_seen)
        found[OUTCOME_GIVEN] = found["outcome"]
    found[TOTAL] = digest({k: v for k, v in found.items() if k != OUTCOME_GIVEN})
    return found


def _responses(design: Design, chosen: Array) -> str:
    """Hash responses to some indicators, whatever their order."""
    labels = np.array(design.coords[n.INDICATOR], dtype=object)[chosen].tolist()
    order = np.argsort(labels)
    response = np.where(design.response == design.missing_response, -1, design.response)[:, chosen][:, order]
    return _hash([labels[j] for j in order], response)


def outcome_digest(name: str, values: Array, seen: Array) -> str:
    """Hash an outcome and who has it."""
    return _hash([name], np.where(seen, values, np.nan))


def _hash(labels: Sequence[Any], values: Array) -> str:
    return digest({"labels": list(labels), "values": digest(np.ascontiguousarray(values, float).tobytes())})


def conditions(blocks: Sequence[str], terms: OutcomeFrom) -> dict[str, str]:
    """Say what each block is conditional on, beside diagnoses, covariates and site.

    Parameters
    ----------
    blocks : sequence of str
        In the order in which they are conditioned on each other.
    terms : OutcomeFrom
        Of the outcome: treatments and what it was before are known of a person, and scored by nobody.

    Returns
    -------
    dict of str to str
        By block, names with commas between.
    """
    given: dict[str, Sequence[str]] = {b: blocks[:i] for i, b in enumerate(blocks)} | {TOTAL: ()}
    if "outcome" in blocks:
        known = [
            *(f"treatment {t}" for t in sorted(terms.treatment)),
            *["the outcome before"] * terms.baseline,
        ]
        given |= {OUTCOME_GIVEN: _given(blocks)}
        given |= {name: [*given[name], *known] for name in ("outcome", OUTCOME_GIVEN, TOTAL)}
    return {name: ", ".join(names) for name, names in given.items()}


def to_dataset(scores: Scores, participants: Array, attrs: dict[str, Any]) -> xr.Dataset:
    """Label scores as ``loo.nc`` wants them."""
    blocks = list(scores.elpd)
    return xr.Dataset(
        {
            n.ELPD: (
                (n.PARTICIPANT, n.BLOCK),
                np.column_stack([scores.elpd[b] for b in blocks]),
                {"units": "nats"},
            ),
            n.P_LOO: ((n.BLOCK,), [scores.p_loo[b] for b in blocks]),
            n.K_HAT: ((n.PARTICIPANT,), scores.k_hat),
        },
        coords={n.PARTICIPANT: participants, n.BLOCK: blocks},
        attrs=attrs,
    )
