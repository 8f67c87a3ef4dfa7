"""An outcome, from functions, factors, diagnoses, covariates and site.

    link(mu_i) = a + d . c_i + q . x_i* + w . eta_i + covariates + site

Gaussian with the identity link and y_i ~ N(mu_i, sigma_outcome^2); Bernoulli and ordinal with the
logit, of which the ordinal one has category probabilities instead of `a`; negative binomial with the
logarithm of the rate per unit of exposure. A count behind a hurdle has two predictors of the same terms:
that of any in logits, whose parameters end with `SOME`, and the logarithm of the rate, whose parameters
are named like those of any count. The Gaussian one folds into what is Gaussian of a person.
Of the others this page states the density in JAX, as its family's textbook has it; what samples and
scores them is in `predicted`.
"""

from __future__ import annotations

from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.linear import Linear, effects, joined, make_linear
from nssi_bayes.blocks.parameter import Parameter, from_prior
from nssi_bayes.integrate.gaussian import Quadratic, observe
from nssi_bayes.spec import JointSpec, Prior

__all__ = ["SOME", "endings", "linear", "log_probability", "observed", "parameters"]

type Array = np.ndarray[Any, Any]

SOME: Final = "_some"
"""What parameters of the predictor of any count end with, behind a hurdle."""
_LINK: Final = {
    n.GAUSSIAN: "", n.BERNOULLI: "_logit", n.ORDINAL: "_logit", **dict.fromkeys(n.COUNTS, "_log"),
}  # fmt: skip
"""What the names of priors end with, by family: their unit is that of the link."""
_BEHIND: Final = 3
"""Where the further parameter of a family stands: behind the intercept, d and w."""


def parameters(spec: JointSpec, design: Design, priors: dict[str, Prior]) -> list[Parameter]:
    """Declare the parameters of the outcome."""
    if spec.outcome is None:
        return []
    family = design.outcome_family
    found = [p for end in endings(family) for p in _of_predictor(design, priors, end)]
    if family == n.GAUSSIAN:
        found.insert(_BEHIND, from_prior("sigma_outcome", (), priors["sigma_outcome"]))
    if family == n.NEGATIVE_BINOMIAL:
        found.insert(_BEHIND, from_prior("dispersion", (), priors["dispersion"]))
    if family == n.HURDLE:
        found.append(from_prior("dispersion", (), priors["dispersion"]))
    return found


def endings(family: str) -> tuple[str, ...]:
    """Return what the parameters of each predictor of a family end with, in the predictors' order."""
    return (SOME, "") if family == n.HURDLE else ("",)


def _of_predictor(design: Design, priors: dict[str, Prior], end: str) -> list[Parameter]:
    """Declare what is linear in one predictor."""
    link = "_logit" if end else _LINK[design.outcome_family]
    own = {name: priors[name + link] for name in ("a", "d", "w", "q", "outcome_covariate")}
    found = [from_prior("a" + end, (), own["a"])]
    if design.outcome_family == n.ORDINAL:
        probability = priors["category_probability"]
        found = [from_prior("outcome_probability", (n.OUTCOME_CATEGORY,), probability)]
    found += [from_prior("d" + end, (n.DISORDER,), own["d"]), from_prior("w" + end, (n.FUNCTION,), own["w"])]
    if design.coords[n.FACTOR]:
        found.append(from_prior("q" + end, (n.FACTOR,), own["q"]))
    if design.coords[n.COVARIATE]:
        found.append(from_prior("outcome_covariate" + end, (n.COVARIATE,), own["outcome_covariate"]))
    if len(design.coords[n.SITE]) > 1:
        scale = "tau_site_outcome" + end
        found.append(from_prior(scale, (), priors["tau_site" + link]))
        found.append(Parameter("site_outcome" + end, (n.SITE,), scale=scale, zero_sum=True))
    return found


def linear(theta: dict[str, Any], design: Design) -> Linear:
    """Return what is linear in the parameters: a row for each predictor of the outcome."""
    people = design.outcome.shape[0]
    columns: dict[str, Array] = {
        "a": np.ones(people),
        "d": design.diagnosis,
        "outcome_covariate": design.covariate,
        "site_outcome": design.site,
    }
    named = [
        {name: theta[name + end] for name in (*columns, "w", "q") if name + end in theta}
        for end in endings(design.outcome_family)
    ]
    coefficients, shared = zip(*(effects(one, columns, 1) for one in named), strict=True)
    effect = joined(coefficients, 0), shared[0]
    loading = joined([one["w"].reshape(1, -1, 1) for one in named], 0), np.ones((people, 1))
    common = joined([one["q"].reshape(1, -1) for one in named], 0) if "q" in named[0] else None
    return make_linear(effect, loading, common=common)


def observed(theta: dict[str, Any], design: Design) -> Quadratic:
    """Return what the observed Gaussian outcome says, over (factors, functions)."""
    people = design.outcome.shape[0]
    said = linear(theta, design)
    loading = joined([said.common, said.own], 1)
    rows = jnp.concatenate(
        [
            jnp.broadcast_to(loading, (people, *loading.shape)),
            (design.outcome[:, None] - said.mean)[:, :, None],
        ],
        axis=2,
    )
    seen = jnp.asarray(design.outcome_seen, dtype=float)
    variance = theta["sigma_outcome"] ** 2
    return observe(rows, seen[:, None] / variance, seen * jnp.log(variance), seen)


def log_probability(theta: dict[str, Any], design: Design, mu: Any) -> Any:
    """Return the log-probability of an outcome that is not Gaussian, given its predictor.

    Parameters
    ----------
    theta : dict of str to array
        One value of every parameter.
    design : Design
        The data.
    mu : array
        Predictors [predictor, `participant`]: two behind a hurdle, of any and of the count; else one.

    Returns
    -------
    array
        [`participant`], nats; 0 where it is missing.
    """
    y, some, mu = design.outcome, mu[0], mu[-1]
    if design.outcome_family == n.BERNOULLI:
        found = jax.nn.log_sigmoid((2 * y - 1) * mu)
    elif design.outcome_family in n.COUNTS:
        size = 1 / theta["dispersion"] ** 2
        log_rate = mu + jnp.log(design.outcome_exposure)
        found = gammaln(y + size) - gammaln(size) - gammaln(y + 1)
        found += y * log_rate + size * jnp.log(size) - (y + size) * jnp.logaddexp(log_rate, jnp.log(size))
        if design.outcome_family == n.HURDLE:
            none = -size * jnp.logaddexp(0.0, log_rate - jnp.log(size))
            found = jnp.where(y > 0, found - jnp.log(-jnp.expm1(none)), 0.0)
            found += jax.nn.log_sigmoid(jnp.where(y > 0, some, -some))
    else:
        below = jnp.cumsum(theta["outcome_probability"])[:-1]
        inside = jnp.log(below) - jnp.log1p(-below)
        kappa = jnp.concatenate([jnp.full(1, -jnp.inf), inside, jnp.full(1, jnp.inf)])
        chosen = jnp.asarray(y).astype(int)
        over, under = kappa[chosen + 1] - mu, kappa[chosen] - mu
        # the logarithm of a difference of logistics, which is not 0 in the tails
        found = jax.nn.log_sigmoid(over) + jax.nn.log_sigmoid(-under) + jnp.log1p(-jnp.exp(under - over))
    return jnp.where(design.outcome_seen, found, 0.0)
