"""Ordinal indicators of two to four categories in three groups, and their likelihood by a dense grid."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr
from cohort import make_cohort
from scipy.special import expit, logit, logsumexp
from scipy.stats import multivariate_normal

from designs import small_spec
from nssi_bayes import names as n
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.spec import JointSpec, read_priors

__all__ = ["CATEGORIES", "RUNGS", "dense", "drawn", "ladder", "mixed_cohort", "two_schools"]

RUNGS: Final = ("configural", "thresholds", "metric", "scalar", "strict")
CATEGORIES: Final = (2, 3, 4, 4, 2, 3, 4)
STEP: Final = 0.1

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


def mixed_cohort(participants: int = 45, *, categories: tuple[int, ...] = CATEGORIES) -> xr.Dataset:
    """Return noise; group B has no answer to the second item and none of the third's last category."""
    rng = np.random.default_rng(8)
    items = {"inner": tuple(range(1, 5)), "outer": tuple(range(5, len(categories) + 1))}
    cohort = make_cohort(rng, participants, subscales=items, reliability={"trauma": 0.8})
    cohort[n.ITEM_CATEGORIES] = (n.ITEM, list(categories))
    value = rng.integers(0, categories, (participants, len(categories))).astype(float)
    value[rng.random(value.shape) < 0.1] = np.nan
    second = (cohort[n.SITE_OF] == "B").to_numpy()
    value[second, 1] = np.nan
    value[second, 2] = np.minimum(value[second, 2], categories[2] - 2)
    value[0] = np.nan
    cohort[n.RESPONSE][:] = value
    return cohort


def ladder(rung: str, **changes: Any) -> JointSpec:
    """Return one rung, of sites."""
    content: dict[str, Any] = {
        "functions": {"inner": ["inner"], "outer": ["outer"]},
        "groups": {"by": "site", "invariance": rung}, "disorder": {}, "factors": [],
    }  # fmt: skip
    return small_spec(**{**content, **changes})


def drawn(spec: JointSpec, design: Design, seed: int = 1) -> Theta:
    """Return one draw from the prior."""
    parameters = joint.parameters(spec, design, read_priors(spec.priors))
    found = draw(parameters, design.coords, np.random.default_rng(seed), 1)
    return {name: value[0] for name, value in found.items()}


def dense(theta: Theta, design: Design, i: int) -> float:
    """Return one person's log-likelihood by the formula of the ladder, written apart from the package."""
    g = int(design.group_of[i])
    label = design.coords[n.GROUP][g]
    root = theta["Omega" if g == 0 else f"Omega_group_{label}"]
    sd = theta["spread_group"][g - 1] if g and "spread_group" in theta else np.ones(2)
    mean = theta["level_group"][g - 1] if g and "level_group" in theta else np.zeros(2)
    cov = np.diag(sd) @ root @ root.T @ np.diag(sd)
    mean, cov, total = _gaussian(theta, design, i, mean + theta["G"] @ design.covariate[i], cov)
    axis = np.arange(-7, 7 + STEP / 2, STEP)
    z = np.stack([m.ravel() for m in np.meshgrid(axis, axis, indexing="ij")])
    eta = mean[:, None] + np.linalg.cholesky(cov) @ z
    each = -0.5 * (z**2).sum(axis=0) + 2 * np.log(STEP) - np.log(2 * np.pi)
    place: dict[int, int] = {}
    for j, count in enumerate(design.categories):
        row = place.get(int(count), 0)
        place[int(count)] = row + 1
        y = design.response[i, j]
        if y == design.missing_response:
            continue
        share = theta[f"category_probability_{count}"]
        kappa = logit(np.cumsum(share[g, row] if share.ndim == 3 else share[row])[:-1])
        size = theta["lambda"][g, j] if theta["lambda"].ndim == 2 else theta["lambda"][j]
        nu = theta["nu_group"][g - 1, j] if g and "nu_group" in theta else 0.0
        s = 1.0
        if g and count > 2 and "scale_group" in theta:
            s = theta["scale_group"][g - 1, design.coords[n.SCALED_INDICATOR].index(_name(design, j))]
        below = expit((np.append(kappa, np.inf)[:, None] - nu - size * eta[0 if j < 4 else 1]) / s)
        each = each + np.log(np.maximum(np.diff(below, axis=0, prepend=0.0)[y], 1e-300))
    return total + float(logsumexp(each))


def _name(design: Design, j: int) -> str:
    return str(design.coords[n.INDICATOR][j])


def _gaussian(theta: Theta, design: Design, i: int, level: Array, cov: Array) -> tuple[Array, Array, float]:
    """Condition the functions on the factor's score and the outcome; return their density, too."""
    if "mu_x" not in theta:
        return level, cov, 0.0
    c, z = design.diagnosis[i], design.covariate[i]
    x = theta["mu_x"][0] + theta["M"][0] @ c + theta["N"][0] @ z
    slope, variance = theta["B"][:, 0], theta["sigma_x"][0] ** 2
    # (x, eta)
    mean = np.concatenate([[x], level + slope * x])
    whole = np.zeros((3, 3))
    whole[0, 0] = variance
    whole[0, 1:] = whole[1:, 0] = slope * variance
    whole[1:, 1:] = cov + np.outer(slope, slope) * variance
    maps = np.array([[1.0, 0.0, 0.0], [theta["q"][0], *theta["w"]]])
    at = theta["a"] + theta["d"] @ c + theta["outcome_covariate"] @ z + theta["site_outcome"] @ design.site[i]
    offset, noise = np.array([0.0, at]), np.diag([design.factor_error[0], theta["sigma_outcome"] ** 2])
    seen = np.array([design.factor_seen[i, 0], design.outcome_seen[i]])
    value = np.array([design.factor[i, 0], design.outcome[i]])[seen]
    maps, offset, noise = maps[seen], offset[seen], noise[np.ix_(seen, seen)]
    expected, spread = maps @ mean + offset, maps @ whole @ maps.T + noise
    if not seen.any():
        return mean[1:], whole[1:, 1:], 0.0
    gain = whole @ maps.T @ np.linalg.inv(spread)
    density = float(multivariate_normal(expected, spread).logpdf(value))
    return (mean + gain @ (value - expected))[1:], (whole - gain @ maps @ whole)[1:, 1:], density


def two_schools(people: int = 300, *, seed: int = 4) -> tuple[xr.Dataset, dict[str, Array]]:
    """Return two groups who answered eight items of four categories, and what is true of them.

    Functions of the second group have mean .5 and sd 1.3; its residual scales differ.
    """
    rng = np.random.default_rng(seed)
    items = {"inner": (1, 2, 3, 4), "outer": (5, 6, 7, 8)}
    cohort = make_cohort(rng, 2 * people, subscales=items, categories=4, reliability={})
    cohort = cohort.drop_dims([n.COVARIATE, n.FACTOR, n.OUTCOME])
    later = np.arange(2 * people) >= people
    cohort[n.SITE_OF][:] = np.where(later, "B", "A")
    true = {
        "lambda": np.array([1.2, 1.6, 2.0, 2.4, 1.4, 1.8, 2.2, 1.6]),
        "scale_group": np.array([[0.8, 1.0, 1.2, 1.0, 1.25, 0.9, 1.0, 1.0]]),
        "level_group": np.full((1, 2), 0.5), "spread_group": np.full((1, 2), 1.3),
    }  # fmt: skip
    root = np.array([np.linalg.cholesky([[1.0, r], [r, 1.0]]) for r in (0.5, 0.3)])[later.astype(int)]
    eta = (root @ rng.standard_normal((2 * people, 2, 1)))[:, :, 0]
    eta[later] = 0.5 + 1.3 * eta[later]
    scale = np.where(later[:, None], true["scale_group"], 1.0)
    latent = eta[:, np.arange(8) // 4] * true["lambda"] + scale * rng.logistic(size=(2 * people, 8))
    shift = np.linspace(-0.5, 0.5, 8)[:, None]
    cohort[n.RESPONSE][:] = (latent[:, :, None] > shift + np.array([-1.5, 0.2, 1.8])).sum(axis=2)
    return cohort, true
