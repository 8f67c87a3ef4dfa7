"""An outcome, from functions, factors, diagnoses, covariates and site.

    link(mu_i) = a + d . c_i + q . x_i* + w . eta_i + covariates + site

Gaussian with the identity link and y_i ~ N(mu_i, sigma_outcome^2); Bernoulli and ordinal with the
logit, of which the ordinal one has category probabilities instead of `a`; negative binomial with the
logarithm of the rate per unit of exposure. The Gaussian one folds into what is Gaussian of a person.
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

__all__ = ["linear", "log_probability", "observed", "parameters"]

_LINK: Final = {n.GAUSSIAN: "", n.BERNOULLI: "_logit", n.ORDINAL: "_logit", n.NEGATIVE_BINOMIAL: "_log"}
"""What the names of priors end with, by family: their unit is that of the link."""


def parameters(spec: JointSpec, design: Design, priors: dict[str, Prior]) -> list[Parameter]:
    """Declare the parameters of the outcome."""
    if spec.outcome is None:
        return []
    family = design.outcome_family
    own = {name: priors[name + _LINK[family]] for name in ("a", "d", "w", "q", "outcome_covariate")}
    found = [from_prior("a", (), own["a"])]
    if family == n.ORDINAL:
        probability = priors["category_probability"]
        found = [from_prior("outcome_probability", (n.OUTCOME_CATEGORY,), probability)]
    found += [from_prior("d", (n.DISORDER,), own["d"]), from_prior("w", (n.FUNCTION,), own["w"])]
    if family == n.GAUSSIAN:
        found.append(from_prior("sigma_outcome", (), priors["sigma_outcome"]))
    if family == n.NEGATIVE_BINOMIAL:
        found.append(from_prior("dispersion", (), priors["dispersion"]))
    if design.coords[n.FACTOR]:
        found.append(from_prior("q", (n.FACTOR,), own["q"]))
    if design.coords[n.COVARIATE]:
        found.append(from_prior("outcome_covariate", (n.COVARIATE,), own["outcome_covariate"]))
    if len(design.coords[n.SITE]) > 1:
        found.append(from_prior("tau_site_outcome", (), priors["tau_site" + _LINK[family]]))
        found.append(Parameter("site_outcome", (n.SITE,), scale="tau_site_outcome", zero_sum=True))
    return found


def linear(theta: dict[str, Any], design: Design) -> Linear:
    """Return what is linear in the parameters: of one measure, the outcome."""
    people = design.outcome.shape[0]
    columns = {
        "a": np.ones(people),
        "d": design.diagnosis,
        "outcome_covariate": design.covariate,
        "site_outcome": design.site,
    }
    loading = theta["w"].reshape(1, -1, 1), np.ones((people, 1))
    common = theta["q"].reshape(1, -1) if "q" in theta else None
    return make_linear(effects(theta, columns, 1), loading, common=common)


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
        Predictor [`participant`].

    Returns
    -------
    array
        [`participant`], nats; 0 where it is missing.
    """
    y = design.outcome
    if design.outcome_family == n.BERNOULLI:
        found = jax.nn.log_sigmoid((2 * y - 1) * mu)
    elif design.outcome_family == n.NEGATIVE_BINOMIAL:
        size = 1 / theta["dispersion"] ** 2
        log_rate = mu + jnp.log(design.outcome_exposure)
        found = gammaln(y + size) - gammaln(size) - gammaln(y + 1)
        found += y * log_rate + size * jnp.log(size) - (y + size) * jnp.logaddexp(log_rate, jnp.log(size))
    else:
        below = jnp.cumsum(theta["outcome_probability"])[:-1]
        inside = jnp.log(below) - jnp.log1p(-below)
        kappa = jnp.concatenate([jnp.full(1, -jnp.inf), inside, jnp.full(1, jnp.inf)])
        chosen = jnp.asarray(y).astype(int)
        over, under = kappa[chosen + 1] - mu, kappa[chosen] - mu
        # the logarithm of a difference of logistics, which is not 0 in the tails
        found = jax.nn.log_sigmoid(over) + jax.nn.log_sigmoid(-under) + jnp.log1p(-jnp.exp(under - over))
    return jnp.where(design.outcome_seen, found, 0.0)
