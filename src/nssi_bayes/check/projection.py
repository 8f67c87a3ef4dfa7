"""Which terms the outcome needs: projections of the joint model on regressions of fewer terms.

The reference is the joint model's own prediction of a person's outcome from items and factors, with
functions and true factors integrated out. For each subset of terms and each draw the regression that
predicts most like it is a least squares fit to the *predictions*, not to the outcome, so that no term
is chosen for the noise of the data (Piironen, Paasiniemi & Vehtari 2020, 10.1214/20-EJS1711). Terms
are added one by one, the one that loses least first. Scores are leave-one-person-out with the
reference's weights; the search has seen everybody, which favours the submodels a little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import jax
import numpy as np
from scipy.special import logsumexp

from nssi_bayes import names as n
from nssi_bayes.blocks import joint, marginal, outcomes
from nssi_bayes.blocks.design import Design
from nssi_bayes.check.by_person import Kept
from nssi_bayes.check.scores import GIVEN
from nssi_bayes.compare import CLEAR, SAME

__all__ = ["Reference", "Terms", "chosen_draws", "make_terms", "project", "reference", "search"]

_DRAWS: Final = 1000
_VALUES: Final = 2_000_000  # draws times people: what is held in memory at once
_FEWEST: Final = 100
_RIDGE: Final = 1e-9  # of the largest diagonal: columns of a site or disorder may be collinear
type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Terms:
    """Columns of the largest regression, and which term each belongs to.

    Parameters
    ----------
    latent : numpy.ndarray
        Expected functions and factors of those whose outcome was seen, and functions times treatments and
        diagnoses where the outcome has such terms [sample, person, column].
    known : numpy.ndarray
        Intercept, diagnoses, covariates, sites, treatments and baseline [person, column].
    of : dict of str to list of int
        Columns of each term, of `latent` and behind them `known`; the intercept is in none.
    """

    latent: Array
    known: Array
    of: dict[str, list[int]]

    @property
    def intercept(self) -> int:
        """Its column."""
        return self.latent.shape[2]

    def columns(self, s: int) -> Array:
        """Return all columns at one draw [person, column]."""
        return np.concatenate([self.latent[s], self.known], axis=1)


@dataclass(frozen=True)
class Reference:
    """What the joint model predicts for each person whose outcome was seen.

    Parameters
    ----------
    mean, variance : numpy.ndarray
        Given items and factors [sample, person], sd of the outcome.
    log_weight : numpy.ndarray
        Of each draw when the person is left out and then given items and factors [sample, person].
    log_density : numpy.ndarray
        Of the outcome [sample, person], nats.
    outcome : numpy.ndarray
        [person].
    """

    mean: Array
    variance: Array
    log_weight: Array
    log_density: Array
    outcome: Array


def chosen_draws(theta: dict[str, Array], design: Design) -> Array:
    """Return positions of the draws that are projected; none without a Gaussian outcome.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter.
    design : Design
        The data.
    """
    if "sigma_outcome" not in theta or not design.outcome_seen.any():
        return np.zeros(0, dtype=int)
    samples = len(theta["w"])
    size = min(samples, _DRAWS, max(_FEWEST, _VALUES // len(design.diagnosis)))
    return np.linspace(0, samples - 1, size).round().astype(int)


def project(theta: dict[str, Array], design: Design, kept: Kept) -> list[dict[str, Any]]:
    """Return the path from the intercept to the largest regression.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter.
    design : Design
        The data.
    kept : Kept
        Of everybody at the draws of `chosen_draws`.

    Returns
    -------
    list of dict
        A row a size: the term that is added, the loss of information (nats a person), elpd, its
        difference from the reference with its standard error, whether it is enough (the reference is not
        better by the rule of `compare`), and whether it is the smallest that is. Empty for a model
        without a Gaussian outcome.
    """
    if not len(kept.draws):
        return []
    people = np.flatnonzero(design.outcome_seen)
    few = {name: value[kept.draws] for name, value in theta.items()}
    expected, spread = _expected(few, design)
    terms = make_terms(design, expected[:, people], people, by_disorder="w_disorder" in theta)
    given = tuple(b for b in joint.blocks_of(design) if b in GIVEN)
    before = kept.log_likelihood[given][:, people]
    after = kept.log_likelihood[(*given, "outcome")][:, people]
    weight = kept.log_weight[people].T + before
    target = reference(few, design, expected[:, people], spread[:, people], people)
    return search(
        terms,
        Reference(*target, weight - logsumexp(weight, axis=0), after - before, design.outcome[people]),
    )


def make_terms(design: Design, expected: Array, people: Array, *, by_disorder: bool = False) -> Terms:
    """Name the columns of the largest regression.

    Parameters
    ----------
    design : Design
        Diagnoses, covariates and sites.
    expected : numpy.ndarray
        Expected functions and factors [sample, person, column].
    people : numpy.ndarray
        Positions of these people.
    by_disorder : bool
        Whether slopes on functions differ by diagnosis.

    Returns
    -------
    Terms
        Functions, factors, covariates and treatments one by one, and functions times treatments;
        diagnoses, sites, the baseline and, of each function, its products with diagnoses, as one term each.
    """
    latent = [*design.coords[n.FUNCTION], *design.coords[n.FACTOR]]
    of = {str(label): [j] for j, label in enumerate(latent)}
    products: list[Array] = []
    for f, function in enumerate(design.coords[n.FUNCTION]):
        times = {f"{function}{n.TIMES}{t}": [j] for j, t in enumerate(design.coords[n.TREATMENT])}
        column = np.zeros((len(people), 0)) if design.treatment is None else design.treatment[people]
        if by_disorder:
            times[f"{function} by diagnosis"] = [
                column.shape[1] + k for k in range(design.diagnosis.shape[1])
            ]
            column = np.concatenate([column, design.diagnosis[people]], axis=1)
        at = len(latent) + sum(p.shape[2] for p in products)
        of |= {name: [at + j for j in own] for name, own in times.items()}
        products.append(expected[:, :, [f]] * column)
    expected = np.concatenate([expected, *products], axis=2)
    parts, at = [np.ones((len(people), 1))], expected.shape[2] + 1

    def put(values: Array, names: list[str]) -> None:
        nonlocal at
        for j, name in enumerate(names):
            of.setdefault(name, []).append(at + j)
        parts.append(values[people])
        at += values.shape[1]

    put(design.diagnosis, ["diagnoses"] * design.diagnosis.shape[1])
    put(design.covariate, [str(label) for label in design.coords[n.COVARIATE]])
    if len(design.coords[n.SITE]) > 1:
        put(design.site, ["site"] * design.site.shape[1])
    if design.treatment is not None:
        put(design.treatment, [str(label) for label in design.coords[n.TREATMENT]])
    if design.baseline is not None:
        put(design.baseline, ["baseline"] * design.baseline.shape[1])
    return Terms(expected, np.concatenate(parts, axis=1), of)


def reference(
    theta: dict[str, Array], design: Design, expected: Array, spread: Array, people: Array
) -> tuple[Array, Array]:
    """Return mean and variance of the outcome given items and factors [sample, person].

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter.
    design : Design
        Says which of them the model has.
    expected : numpy.ndarray
        Functions and factors given the data [sample, person, latent].
    spread : numpy.ndarray
        Their covariance [sample, person, latent, latent].
    people : numpy.ndarray
        Positions of these people.

    Returns
    -------
    tuple of numpy.ndarray
        In sd of the outcome, and its square. Images are not given: residual factors of activation, where
        the outcome loads on them, are standard normal.
    """
    mean, variance = np.empty(expected.shape[:2]), np.empty(expected.shape[:2])
    for s in range(len(expected)):
        said = outcomes.linear({name: value[s] for name, value in theta.items()}, design)
        everybody = (len(design.diagnosis), *np.shape(said.own)[-2:])
        own = np.broadcast_to(np.asarray(said.own), everybody)[people, 0]
        common = np.broadcast_to(said.common[0], (len(people), said.common.shape[1]))
        latent = np.concatenate([own, common], axis=1)
        mean[s] = said.mean[people, 0] + (expected[s] * latent).sum(axis=1)
        variance[s] = np.einsum("pa,pab,pb->p", latent, spread[s], latent)
        variance[s] += theta["sigma_outcome"][s] ** 2 + (said.residual**2).sum()
    return mean, variance


def search(terms: Terms, target: Reference) -> list[dict[str, Any]]:
    """Add the term that loses least, until all are in.

    Parameters
    ----------
    terms : Terms
        Columns.
    target : Reference
        What the regressions are to predict like.

    Returns
    -------
    list of dict
        As `project`.
    """
    samples, people = target.mean.shape
    everything = [terms.columns(s) for s in range(samples)]
    gram = np.stack([x.T @ x for x in everything]) / people
    cross = np.stack([x.T @ m for x, m in zip(everything, target.mean, strict=True)]) / people
    square = (target.mean**2).mean(axis=1) + target.variance.mean(axis=1)
    entropy = 0.5 * np.log(target.variance).mean(axis=1)
    found = logsumexp(target.log_weight + target.log_density, axis=0)

    def fitted(columns: list[int]) -> tuple[Array, Array]:
        own = gram[:, columns][:, :, columns]
        own = own + _RIDGE * np.diagonal(own, axis1=1, axis2=2).max(axis=1)[:, None, None] * np.eye(
            len(columns)
        )
        slope = np.linalg.solve(own, cross[:, columns, None])[..., 0]
        return slope, square - (slope * cross[:, columns]).sum(axis=1)

    columns, left, name = [terms.intercept], dict(terms.of), "intercept"
    rows: list[dict[str, Any]] = []
    while True:
        slope, variance = fitted(columns)
        centre = np.stack([x[:, columns] @ b for x, b in zip(everything, slope, strict=True)])
        log_density = -0.5 * (
            np.log(2 * np.pi * variance)[:, None] + (target.outcome - centre) ** 2 / variance[:, None]
        )
        scored = logsumexp(target.log_weight + log_density, axis=0)
        gap = scored - found
        error = float(np.sqrt(people * gap.var()))
        behind = -float(gap.sum())
        rows.append(
            {
                "size": len(rows), "term": name, "loss": float((0.5 * np.log(variance) - entropy).mean()),
                "elpd": float(scored.sum()), "elpd_diff": -behind, "diff_se": error,
                "enough": not (behind > SAME and behind > CLEAR * error),
            }
        )  # fmt: skip
        if not left:
            break
        losses = {term: float(np.log(fitted([*columns, *more])[1]).mean()) for term, more in left.items()}
        name = min(losses, key=lambda term: losses[term])
        columns = [*columns, *left.pop(name)]
    first = next((row["size"] for row in rows if row["enough"]), None)
    return [{**row, "suggested": row["size"] == first} for row in rows]


def _expected(theta: dict[str, Array], design: Design) -> tuple[Array, Array]:
    """Return mean and covariance of functions and factors given items and factor scores.

    Given the axes, factors with scores are Gaussian with a mean that is linear in them, so that both moments
    follow from those of the axes exactly. Columns are functions, then factors as in the dim `factor`.
    """
    given = tuple(b for b in joint.blocks_of(design) if b in GIVEN)
    grid = marginal.grid_settings(len(design.plain_of), fine=True)
    found = marginal.evaluate(theta, design, include=given, grid=grid)
    if not design.coords[n.FACTOR]:
        return found.mean, found.covariance
    at = jax.jit(lambda one: joint.factors_given(one, design))
    draws = [at({name: value[s] for name, value in theta.items()}) for s in range(len(found.mean))]
    constant, slope, own = (np.stack([np.asarray(d[k]) for d in draws]) for k in range(3))
    factor = constant + (slope @ found.mean[..., None])[..., 0]
    across = slope @ found.covariance
    whole = np.block([
        [found.covariance, np.swapaxes(across, -1, -2)],
        [across, own + across @ np.swapaxes(slope, -1, -2)],
    ])  # fmt: skip
    first, size = len(design.item_factors), len(design.axes)  # of the axes, factors with items stand first
    order = np.r_[first:size, size : whole.shape[-1], :first]
    mean = np.concatenate([found.mean, factor], axis=2)
    return mean[..., order], whole[..., order[:, None], order]
