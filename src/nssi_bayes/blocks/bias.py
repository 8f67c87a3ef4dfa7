"""Item bias: what an indicator means differs by disorder.

    P(y_ij <= c) = logistic(kappa_jc - lambda_j eta_if(j) - delta_j . c_i)

`delta` sums to zero over disorders and over the indicators of a function, since a mean bias cannot be
told from a level; where anchors are named, these have none and identify the levels. People without a
diagnosis have no bias. Two priors:

- ``dense``: every indicator has some, normal with one scale tau_bias.
- ``sparse``: most have next to none and a few have much, a regularised horseshoe (Piironen & Vehtari 2017,
  10.1214/17-EJS1337SI) with one scale an indicator. An indicator is biased as a whole: over disorders its
  effects are contrasts, and a multiple of what sums to zero sums to zero, too.

A sparse vector whose indicators sum to zero is no sparse vector: if one of J is biased by d, the others
stand at -d / J, and a horseshoe on these (or on coordinates of the subspace) would shrink what is not
there. What is sparse are the effects before a level is taken out. With b_j ~ N(0, s_j^2), zero-sum over
disorders, and Lambda the sum of a function's loadings,

    delta_j = b_j - lambda_j (sum of b over the function) / Lambda,

which is the projection along the loadings, for along these, and no other direction, bias and level are
the same: b with level a says of data what delta with level a + (sum of b) / Lambda says. Given scales
and loadings delta is normal with covariance P S^2 P', P = I - lambda 1' / Lambda, in the subspace. Data
leave the function's part of b open, and the prior fills it: it prefers the b that is sparsest.

Non-uniform bias changes how strongly an indicator goes with its function,

    P(y_ij <= c) = logistic(kappa_jc - lambda_j exp(delta_loading_j . c_i) eta_if(j) - delta_j . c_i),

under the same two priors and constraints: on log loadings all indicators of a function together are the
spread of the function, and what is taken out of sparse effects is their mean. People of one pattern of
diagnoses have the same loadings, so that the integral is that of each pattern with loadings of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.parameter import Parameter, from_prior

if TYPE_CHECKING:
    from nssi_bayes.blocks.design import Design
    from nssi_bayes.blocks.slots import Slots
    from nssi_bayes.spec import JointSpec, Prior

__all__ = ["Shifts", "effects", "is_biased", "loadings", "parameters"]

type Array = np.ndarray[Any, Any]


def parameters(spec: JointSpec, design: Design, priors: dict[str, Prior]) -> list[Parameter]:
    """Declare effects and their scales, of thresholds and of log loadings."""
    if design.biased is None:
        return []
    both, dense = (n.BIASED_INDICATOR, n.DISORDER), spec.measurement.bias == "dense"
    groups = () if _anchored(design) else tuple(map(int, np.bincount(design.function_of)))
    found: list[Parameter] = []
    for kind in ("", "_loading") if spec.measurement.nonuniform else ("",):
        tau, slab, scale = f"tau_bias{kind}", f"slab_bias{kind}", f"scale_bias{kind}"
        if dense:
            found.append(from_prior(tau, (), priors[tau]))
            found.append(Parameter(f"delta{kind}", both, scale=tau, zero_sum=True, zero_sum_groups=groups))
            continue
        tau = f"{tau}_sparse"
        found += [from_prior(name, (), priors[name]) for name in (tau, slab)]
        each: dict[str, Any] = {"scale": scale, "scale_dims": both[:1], "slab": slab}
        found += [
            Parameter(scale, both[:1], "halfcauchy", scale=tau, unit=priors[tau].unit),
            Parameter(f"delta{kind}_free", both, zero_sum=True, unit=priors[tau].unit, **each),
        ]
    return found


def is_biased(names: Any, *, kind: str = "") -> bool:
    """Return whether a model with these parameters allows bias; with kind ``_loading``, of loadings."""
    return f"delta{kind}" in names or f"delta{kind}_free" in names


def effects(theta: Any, design: Design, *, kind: str = "") -> Any:
    """Return delta of one value of the parameters, or of many.

    Parameters
    ----------
    theta : mapping of str to array
        Parameters by name [..., dims], NumPy or JAX.
    design : Design
        Which indicator belongs to which function.
    kind : {"", "_loading"}
        Of thresholds, or of log loadings.

    Returns
    -------
    array
        Logits, or logarithms of a loading [..., biased indicator, `disorder`].
    """
    if f"delta{kind}" in theta:
        return theta[f"delta{kind}"]
    free = theta[f"delta{kind}_free"]
    if _anchored(design):
        return free
    same, along = _same_function(design), _along(theta, design, kind)
    return free - (along / (along @ same))[..., None] * (same @ free)


def loadings(theta: Any, design: Design) -> Any:
    """Return the loadings of everybody [`participant` or 1, `indicator`] (JAX)."""
    if not is_biased(theta, kind="_loading"):
        return theta["lambda"][None]
    tilt = design.diagnosis @ effects(theta, design, kind="_loading").T
    log_ratio = jnp.zeros(design.response.shape).at[:, design.biased].set(tilt)
    return theta["lambda"] * jnp.exp(log_ratio)


def _effects_back(theta: dict[str, Array], design: Design, by: Array, kind: str) -> dict[str, Array]:
    """Return derivatives by parameters from those by delta [biased indicator, `disorder`]."""
    if f"delta{kind}" in theta:
        return {f"delta{kind}": by}
    if _anchored(design):
        return {f"delta{kind}_free": by}
    same, along = _same_function(design), _along(theta, design, kind)
    whole = along @ same
    weight = along / whole
    found = {f"delta{kind}_free": by - same @ (weight[:, None] * by)}
    if not kind:
        by_weight = -(by * (same @ theta["delta_free"])).sum(axis=1)
        found["lambda"] = (by_weight - same @ (by_weight * weight)) / whole
    return found


class Shifts:
    """What bias adds to predictors and to log loadings, and slopes taken back (NumPy).

    Parameters
    ----------
    design : Design
        Who has what.
    slots : Slots
        Where the parameters stand.
    """

    def __init__(self, design: Design, slots: Slots) -> None:
        self._design, self._slots = design, slots
        names = ("delta", "delta_free", "delta_loading", "delta_loading_free", "lambda")
        self._used = [name for name in names if name in slots.where]
        self._pattern = np.unique(design.diagnosis, axis=0)

    def __call__(self, theta: Array) -> Array | None:
        """Return logits [`participant`, biased indicator], or None without bias."""
        return self._of(theta, self._design.diagnosis, "")

    def back(self, theta: Array, by: Array, found: Array) -> None:
        """Add the derivative by the parameters [slot] to `found`."""
        self._back(theta, by.T @ self._design.diagnosis, found, "")

    def tilt(self, theta: Array) -> Array | None:
        """Return logarithms [pattern, biased indicator], or None where loadings have no bias."""
        return self._of(theta, self._pattern, "_loading")

    def tilt_back(self, theta: Array, by: Array, found: Array) -> None:
        """Add the derivative by the parameters [slot] to `found`."""
        self._back(theta, by.T @ self._pattern, found, "_loading")

    def _of(self, theta: Array, diagnosis: Array, kind: str) -> Array | None:
        if not is_biased(self._used, kind=kind):
            return None
        return np.asarray(diagnosis @ effects(self._named(theta), self._design, kind=kind).T)

    def _back(self, theta: Array, by: Array, found: Array, kind: str) -> None:
        for name, slope in _effects_back(self._named(theta), self._design, by, kind).items():
            found[self._slots.where[name]] += slope.ravel()

    def _named(self, theta: Array) -> dict[str, Array]:
        return {k: theta[self._slots.where[k]].reshape(self._slots.shapes[k]) for k in self._used}


def _along(theta: Any, design: Design, kind: str) -> Any:
    """Return the direction in which bias of a function's indicators is no bias."""
    return np.ones(len(design.categories)) if kind else theta["lambda"]


def _anchored(design: Design) -> bool:
    return design.biased is not None and len(design.biased) < len(design.categories)


def _same_function(design: Design) -> Array:
    """Return which indicators share a function [`indicator`, `indicator`]."""
    own = design.function_of
    return (own[:, None] == own[None, :]).astype(float)
