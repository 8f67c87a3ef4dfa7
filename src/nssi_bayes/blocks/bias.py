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
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.parameter import Parameter, from_prior

if TYPE_CHECKING:
    from nssi_bayes.blocks.compiled import Slots
    from nssi_bayes.blocks.design import Design
    from nssi_bayes.spec import JointSpec, Prior

__all__ = ["Shifts", "effects", "is_biased", "parameters"]

type Array = np.ndarray[Any, Any]


def parameters(spec: JointSpec, design: Design, priors: dict[str, Prior]) -> list[Parameter]:
    """Declare effects and their scales."""
    if design.biased is None:
        return []
    both = (n.BIASED_INDICATOR, n.DISORDER)
    if spec.measurement.bias == "dense":
        groups = () if _anchored(design) else tuple(map(int, np.bincount(design.function_of)))
        return [
            from_prior("tau_bias", (), priors["tau_bias"]),
            Parameter("delta", both, scale="tau_bias", zero_sum=True, zero_sum_groups=groups),
        ]
    each = both[:1]
    return [
        from_prior("tau_bias_sparse", (), priors["tau_bias_sparse"]),
        from_prior("slab_bias", (), priors["slab_bias"]),
        Parameter("scale_bias", each, "halfcauchy", scale="tau_bias_sparse", unit="logits"),
        Parameter(
            "delta_free", both, scale="scale_bias", scale_dims=each, slab="slab_bias", zero_sum=True,
            unit="logits",
        ),
    ]  # fmt: skip


def is_biased(names: Any) -> bool:
    """Return whether a model with these parameters allows bias."""
    return "delta" in names or "delta_free" in names


def effects(theta: Any, design: Design) -> Any:
    """Return delta of one value of the parameters, or of many.

    Parameters
    ----------
    theta : mapping of str to array
        Parameters by name [..., dims], NumPy or JAX.
    design : Design
        Which indicator belongs to which function.

    Returns
    -------
    array
        Logits [..., biased indicator, `disorder`].
    """
    if "delta" in theta:
        return theta["delta"]
    free = theta["delta_free"]
    if _anchored(design):
        return free
    same, loading = _same_function(design), theta["lambda"]
    return free - (loading / (loading @ same))[..., None] * (same @ free)


def _effects_back(theta: dict[str, Array], design: Design, by: Array) -> dict[str, Array]:
    """Return derivatives by parameters from those by delta [biased indicator, `disorder`]."""
    if "delta" in theta:
        return {"delta": by}
    if _anchored(design):
        return {"delta_free": by}
    same, loading = _same_function(design), theta["lambda"]
    whole = loading @ same
    weight = loading / whole
    by_weight = -(by * (same @ theta["delta_free"])).sum(axis=1)
    by_free = by - same @ (weight[:, None] * by)
    return {"delta_free": by_free, "lambda": (by_weight - same @ (by_weight * weight)) / whole}


class Shifts:
    """What bias adds to each predictor of everybody, and slopes taken back (NumPy).

    Parameters
    ----------
    design : Design
        Who has what.
    slots : Slots
        Where the parameters stand.
    """

    def __init__(self, design: Design, slots: Slots) -> None:
        self._design, self._slots = design, slots
        self._used = [name for name in ("delta", "delta_free", "lambda") if name in slots.where]

    def __call__(self, theta: Array) -> Array | None:
        """Return logits [`participant`, biased indicator], or None without bias."""
        if not is_biased(self._used):
            return None
        return np.asarray(self._design.diagnosis @ effects(self._named(theta), self._design).T)

    def back(self, theta: Array, by: Array, found: Array) -> None:
        """Add the derivative by the parameters [slot] to `found`."""
        slopes = _effects_back(self._named(theta), self._design, by.T @ self._design.diagnosis)
        for name, slope in slopes.items():
            found[self._slots.where[name]] += slope.ravel()

    def _named(self, theta: Array) -> dict[str, Array]:
        return {k: theta[self._slots.where[k]].reshape(self._slots.shapes[k]) for k in self._used}


def _anchored(design: Design) -> bool:
    return design.biased is not None and len(design.biased) < len(design.categories)


def _same_function(design: Design) -> Array:
    """Return which indicators share a function [`indicator`, `indicator`]."""
    own = design.function_of
    return (own[:, None] == own[None, :]).astype(float)
