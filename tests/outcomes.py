"""Cohorts, designs and drawn data with an outcome that is a yes, a count or a category."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from brute_force import Person
from designs import full_cohort, joint_spec, small_cohort, small_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import generate, joint
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.schema import VARIABLES
from nssi_bayes.spec import JointSpec, read_priors

__all__ = ["CATEGORIES", "FAMILIES", "Dense", "drawn", "full", "small", "with_family"]

FAMILIES = (n.BERNOULLI, n.NEGATIVE_BINOMIAL, n.ORDINAL)
"""Those of one predictor."""
CATEGORIES = 4

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


class Dense(Person):
    """One person's log-likelihood with the outcome, on a fine grid over functions."""

    axis = np.arange(-30, 31) * 0.2

    def outcome(self, eta: Array) -> Array:
        """Return that of the outcome given the functions [`function`, value], factors integrated out."""
        raise NotImplementedError

    def parts(self, *, include: tuple[str, ...] = joint.BLOCKS) -> tuple[float, Array, Array]:
        """Return log-likelihood, mean and covariance of the functions."""
        size, step = len(self.mean), self.axis[1] - self.axis[0]
        z = np.stack([m.ravel() for m in np.meshgrid(*[self.axis] * size, indexing="ij")])
        total = -0.5 * (z**2).sum(axis=0) + size * (np.log(step) - 0.5 * np.log(2 * np.pi))
        eta = self.mean[:, None] + np.linalg.cholesky(self.cov) @ z
        if "items" in include:
            for f in range(size):
                order = np.argsort(eta[f])
                curve = np.empty(len(order))
                curve[order] = self.item_curve(f, eta[f][order])
                total = total + curve
        if "outcome" in include and self.design.outcome_seen[self.i]:
            total = total + self.outcome(eta)
        log_like = float(logsumexp(total))
        share = np.exp(total - log_like)
        mean = eta @ share
        return self.gaussian + log_like, mean, ((eta - mean[:, None]) * share) @ (eta - mean[:, None]).T

    def factors_given(self, eta: Array) -> tuple[Array, Array]:
        """Return mean [`factor`, value] and covariance of the factors given the functions."""
        factors = len(self.whole_mean) - len(self.mean)
        gain = self.whole_cov[:factors, factors:] @ np.linalg.inv(self.cov)
        left = self.whole_cov[:factors, :factors] - gain @ self.whole_cov[factors:, :factors]
        return self.whole_mean[:factors, None] + gain @ (eta - self.mean[:, None]), left


def with_family(cohort: xr.Dataset, family: str, *, seed: int = 3) -> xr.Dataset:
    """Put an outcome of a family in place of the cohort's Gaussian one; who has it stays."""
    rng = np.random.default_rng(seed)
    seen = np.isfinite(cohort[n.OUTCOME_VALUE].to_numpy())
    value = {
        n.BERNOULLI: rng.integers(0, 2, seen.shape),
        n.NEGATIVE_BINOMIAL: rng.poisson(3.0, seen.shape),
        n.ORDINAL: rng.integers(0, CATEGORIES, seen.shape),
        n.HURDLE: rng.poisson(3.0, seen.shape) * rng.integers(0, 2, seen.shape),
    }[family]
    cohort = cohort.copy(deep=True)
    cohort[n.OUTCOME_VALUE][:] = np.where(seen, value.astype(float), np.nan)
    cohort = cohort.assign_coords(
        {
            n.OUTCOME_FAMILY: (n.OUTCOME, [family]),
            n.OUTCOME_CATEGORIES: (n.OUTCOME, [CATEGORIES if family == n.ORDINAL else 0]),
        }
    )
    if family in n.COUNTS:
        exposure = np.where(seen, rng.uniform(0.25, 2.0, seen.shape), np.nan)
        rule = VARIABLES[n.OUTCOME_EXPOSURE]
        cohort[n.OUTCOME_EXPOSURE] = (rule.dims, exposure, {"units": rule.unit})
    return cohort


def small(family: str, *, participants: int = 24, **changes: Any) -> tuple[JointSpec, Design]:
    """Return a model of two functions and one factor, and its data."""
    spec = small_spec(outcome="severity", **changes)
    return spec, make_design(with_family(small_cohort(participants), family), spec)


def full(family: str, *, participants: int = 24) -> tuple[JointSpec, Design]:
    """Return a model of three functions with images, and its data, of some people little."""
    spec = joint_spec("outcome/joint")
    return spec, make_design(with_family(full_cohort(participants), family), spec)


def drawn(spec: JointSpec, design: Design, *, seed: int = 1, **fixed: Any) -> tuple[Theta, Design]:
    """Draw parameters from the prior, some of them `fixed`, and data from the model."""
    declared = joint.parameters(spec, design, read_priors(spec.priors))
    theta = {k: v[0] for k, v in draw(declared, design.coords, np.random.default_rng(seed), 1).items()}
    for name, values in fixed.items():
        theta[name] = np.broadcast_to(values, theta[name].shape).astype(float)
    return theta, generate.generate(theta, design, np.random.default_rng(seed + 1))
