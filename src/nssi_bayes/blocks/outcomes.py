"""An outcome, from functions, factors, diagnoses, covariates and site.

    link(mu_i) = a + d . c_i + q . x_i* + (w + sum_k c_ik w_k) . eta_i + v . a_i + baseline_i
                 + treatment_i . (theta + phi eta_i) + covariates + site

where a_i is the latent activation of networks (`neural.networks`). Treatments are as coded: of 0 and 1, w
is of people without, and phi what treatment adds to it. Every further diagnosis may change w, too.
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
from nssi_bayes.blocks import neural
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.linear import Linear, contrasts, effects, joined, make_linear
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
    found = [p for end in endings(family) for p in _of_predictor(spec, design, priors, end)]
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


def _of_predictor(spec: JointSpec, design: Design, priors: dict[str, Prior], end: str) -> list[Parameter]:
    """Declare what is linear in one predictor."""
    link = "_logit" if end else _LINK[design.outcome_family]

    def own(name: str, *dims: str) -> Parameter:
        return from_prior(name + end, dims, priors[name + link])

    found = [own("a")]
    if design.outcome_family == n.ORDINAL:
        probability = priors["category_probability"]
        found = [from_prior("outcome_probability", (n.OUTCOME_CATEGORY,), probability)]
    found += [own("d", n.DISORDER), own("w", n.FUNCTION)]
    if spec.disorder.outcome:
        scale, dims = own("tau_w", n.FUNCTION), (n.FUNCTION, n.DISORDER)
        by_disorder = Parameter(
            "w_disorder" + end, dims, scale=scale.name, scale_dims=(n.FUNCTION,), zero_sum=True
        )
        found += [scale, by_disorder]
        if spec.disorder.burden and design.burden.any():
            found.append(own("w_burden", n.FUNCTION))
    if design.coords[n.FACTOR]:
        found.append(own("q", n.FACTOR))
    if design.coords[n.COVARIATE]:
        found.append(own("outcome_covariate", n.COVARIATE))
    if spec.outcome_from.activation and len(design.scanned):
        found.append(own("v", n.NETWORK))
    if design.baseline is not None:
        found += [own(name) for name in ("baseline", "baseline_missing")[: design.baseline.shape[1]]]
    if design.treatment is not None:
        found += [own("theta", n.TREATMENT), own("phi", n.TREATMENT, n.FUNCTION)]
    if len(design.coords[n.SITE]) > 1:
        scale = from_prior("tau_site_outcome" + end, (), priors["tau_site" + link])
        found += [scale, Parameter("site_outcome" + end, (n.SITE,), scale=scale.name, zero_sum=True)]
    return found


def linear(theta: dict[str, Any], design: Design) -> Linear:
    """Return a row for each predictor of the outcome, linear in the parameters but for v.

    Where latent activation is a predictor the rows also load on the residual factors of activation, and
    are linear in v times the parameters of activation.
    """
    people = design.outcome.shape[0]
    columns: dict[str, Array] = {
        "a": np.ones(people),
        "d": design.diagnosis,
        "outcome_covariate": design.covariate,
        "site_outcome": design.site,
    }
    if design.baseline is not None:
        columns |= {"baseline": design.baseline[:, 0], "baseline_missing": design.baseline[:, -1]}
    if design.treatment is not None:
        columns["theta"] = design.treatment
    further = (*columns, "w", "w_disorder", "w_burden", "phi", "q", "v")
    named = [
        {name: theta[name + end] for name in further if name + end in theta}
        for end in endings(design.outcome_family)
    ]
    coefficients, shared = zip(*(effects(one, columns, 1) for one in named), strict=True)
    effect = joined(coefficients, 0), shared[0]
    loadings, contrast = zip(*(_slopes(one, design) for one in named), strict=True)
    common = joined([one["q"].reshape(1, -1) for one in named], 0) if "q" in named[0] else None
    said = make_linear(effect, (joined(loadings, 0), contrast[0]), common=common)
    if "v" not in named[0]:
        return said
    v = joined([one["v"].reshape(1, -1) for one in named], 0)
    return _through(said, v, neural.networks(theta, design))


def _slopes(one: dict[str, Any], design: Design) -> tuple[Any, Array]:
    """Return loadings on functions [1, `function`, contrast] and whose they are [`participant`, contrast]."""
    found, column = contrasts(
        one["w"][None],
        one["w_disorder"][None] if "w_disorder" in one else None,
        design.diagnosis,
        burden=(one["w_burden"][None] if "w_burden" in one else None, design.burden),
    )
    if "phi" in one:
        found = joined([found, one["phi"].T[None]], 2)
        column = np.concatenate([column, np.asarray(design.treatment)], axis=1)
    return found, column


def _through(said: Linear, v: Any, networks: Linear) -> Linear:
    """Add what goes through latent activation, v [predictor, `network`] times that of the networks."""
    by_function = (v @ networks.loading.reshape(len(networks.loading), -1)).reshape(
        len(v), *networks.loading.shape[1:]
    )
    return Linear(
        joined([said.effect, v @ networks.effect], 1),
        np.concatenate([said.column, networks.column], axis=1),
        said.common + v @ networks.common,
        joined([said.loading, by_function], 2),
        np.concatenate([said.contrast, networks.contrast], axis=1),
        v @ networks.residual,
    )


def observed(theta: dict[str, Any], design: Design) -> Quadratic:
    """Return what the observed Gaussian outcome says, over (factors, functions).

    Where latent activation is a predictor, over (residual factors of activation, factors, functions).
    """
    people = design.outcome.shape[0]
    said = linear(theta, design)
    own = jnp.broadcast_to(said.own, (people, 1, said.loading.shape[1]))
    common = jnp.broadcast_to(said.with_residual, (people, *said.with_residual.shape))
    rows = jnp.concatenate([common, own, (design.outcome[:, None] - said.mean)[:, :, None]], axis=2)
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
