"""What a parameter is: name, dims and prior. `build` makes PyMC variables of it, `draw` NumPy draws.

A parameter with a `scale` is that scale times a standardised one, whatever the sampler's own
coordinates are; a parameter with `zero_sum` sums to zero along its last dim, and with
`zero_sum_groups` within every group of its first dim, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np

from nssi_bayes.spec import Prior

__all__ = ["STEP", "Parameter", "draw", "from_prior", "one_factor", "slabbed"]

STEP: Final = 0.2
"""A scale is sampled in steps of this share of its prior scale."""

type Coords = Mapping[str, Sequence[Any]]
type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a model.

    Parameters
    ----------
    name : str
        As in the contract, and in the posterior.
    dims : tuple of str
        Its dims; a correlation matrix has two, and is sampled by its Cholesky factor.
    family : str
        ``normal``, ``mixture`` (of normals), ``halfnormal``, ``halfcauchy``, ``lognormal``, ``gamma``,
        ``beta``, ``lkj``, ``dirichlet``, or ``one_factor``: no parameter of its own but the correlations
        of what loads g on one factor, g g' + diag(1 - g^2).
    mu, sigma : float or numpy.ndarray
        Constants, broadcast against `dims`; of a mixture against `dims` and, last, its components.
    weights : numpy.ndarray
        Of the components of a mixture, as `mu`.
    alpha : float
        Constant of ``lkj`` and ``dirichlet``, the shape of ``gamma``, and the first of ``beta``.
    beta : float
        Rate of ``gamma``, and the second constant of ``beta``.
    of : str, optional
        The loadings that a ``one_factor`` is computed from, declared before it.
    scale : str, optional
        Parameter that multiplies it, aligned by dim name.
    slab : str, optional
        Parameter that bounds the scale: the sd of a slab (`slabbed`).
    zero_sum : bool
        Whether it sums to zero along the last dim.
    zero_sum_groups : tuple of int
        Lengths of the groups of the first of two dims within each of which it sums to zero, too.
    unit, source : str
        For the report.
    """

    name: str
    dims: tuple[str, ...]
    family: Literal[
        "normal",
        "mixture",
        "halfnormal",
        "halfcauchy",
        "lognormal",
        "gamma",
        "beta",
        "lkj",
        "dirichlet",
        "one_factor",
    ] = "normal"
    mu: Any = 0.0
    sigma: Any = 1.0
    weights: Any = 1.0
    alpha: float = 1.0
    beta: float = 1.0
    of: str | None = None
    scale: str | None = None
    scale_dims: tuple[str, ...] = ()
    slab: str | None = None
    zero_sum: bool = False
    zero_sum_groups: tuple[int, ...] = ()
    unit: str = field(default="", compare=False)
    source: str = field(default="", compare=False)

    @property
    def is_correlation(self) -> bool:
        """Whether it is a correlation matrix, which the blocks take as its Cholesky factor."""
        return self.family in ("lkj", "one_factor")

    def shape(self, coords: Coords) -> tuple[int, ...]:
        """Return the lengths of `dims`."""
        return tuple(len(coords[d]) for d in self.dims)

    def aligned_scale(self, scale: Any) -> Any:
        """Return the values of the scale parameter, broadcastable against this one."""
        return scale[tuple(slice(None) if d in self.scale_dims else None for d in self.dims)]


def slabbed(scale: Any, slab: Any) -> Any:
    """Return the scale of a regularised horseshoe: the smaller, nearly, of `scale` and the slab's sd.

    It is that of the normal of this scale times that of the slab (Piironen & Vehtari 2017,
    10.1214/17-EJS1337SI, section 2.3).
    """
    return (scale**-2 + slab**-2) ** -0.5


def from_prior(
    name: str, dims: tuple[str, ...], prior: Prior, *, each: Sequence[Prior] | None = None
) -> Parameter:
    """Return a parameter with the constants of one entry of the prior set.

    Parameters
    ----------
    name : str
        As in the contract.
    dims : tuple of str
        Its dims.
    prior : Prior
        The entry.
    each : sequence of Prior, optional
        Entries by element of the last dim, in place of the one; normal, or mixtures of normals.

    Returns
    -------
    Parameter
        The declaration.
    """
    said: dict[str, Any] = {"unit": prior.unit, "source": prior.source}
    chosen = [prior] if each is None else each
    if any(p.family == "mixture" for p in chosen):
        width = max(len(p.components[0]) for p in chosen)
        weights, mu, sigma = np.stack([_padded(p, width) for p in chosen], axis=1)
        if each is None:
            weights, mu, sigma = weights[0], mu[0], sigma[0]
        return Parameter(name, dims, "mixture", mu=mu, sigma=sigma, weights=weights, **said)
    given: dict[str, Any] = {"mu": prior.mu, "sigma": prior.sigma, "alpha": prior.alpha, "beta": prior.beta}
    if each is not None:
        given |= {"mu": np.array([p.mu for p in each]), "sigma": np.array([p.sigma for p in each])}
    constants: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    return Parameter(name, dims, prior.family, **constants, **said)


def _padded(prior: Prior, width: int) -> Array:
    """Return weights, means and sds of `width` normals, the last of them in equal parts."""
    weights, mus, sigmas = (list(v) for v in prior.components)
    times = width - len(weights) + 1
    last = [weights.pop() / times] * times
    return np.array([weights + last, mus + mus[-1:] * (times - 1), sigmas + sigmas[-1:] * (times - 1)])


def draw(
    parameters: Sequence[Parameter], coords: Coords, rng: np.random.Generator, size: int
) -> dict[str, Array]:
    """Draw from the prior.

    Parameters
    ----------
    parameters : sequence of Parameter
        Scales before what they scale.
    coords : mapping
        Labels by dim.
    rng : numpy.random.Generator
        Source of randomness.
    size : int
        Number of draws.

    Returns
    -------
    dict of str to numpy.ndarray
        ``(size, *shape)`` by name; a correlation matrix as its Cholesky factor.
    """
    found: dict[str, Array] = {}
    for p in parameters:
        shape = (size, *p.shape(coords))
        if p.family == "lkj":
            found[p.name] = _draw_lkj(rng, size, shape[-1], p.alpha)
            continue
        if p.family == "one_factor":
            found[p.name] = np.linalg.cholesky(one_factor(found[str(p.of)]))
            continue
        if p.family == "beta":
            found[p.name] = rng.beta(p.alpha, p.beta, size=shape)
            continue
        if p.family == "dirichlet":
            found[p.name] = rng.dirichlet(np.full(shape[-1], p.alpha), size=shape[:-1])
            continue
        if p.family == "gamma":
            found[p.name] = rng.gamma(p.alpha, 1 / p.beta, size=shape)
            continue
        if p.family == "mixture":
            found[p.name] = _draw_mixture(rng, p, shape)
            continue
        value = p.mu + p.sigma * rng.standard_normal(shape)
        if p.zero_sum:
            value = value - value.mean(axis=-1, keepdims=True)
            for group in _slices(p.zero_sum_groups):
                value[:, group] -= value[:, group].mean(axis=1, keepdims=True)
        if p.family == "halfcauchy":
            value = p.sigma * np.abs(rng.standard_cauchy(shape))
        if p.family == "halfnormal":
            value = np.abs(value)
        if p.family == "lognormal":
            value = np.exp(value)
        if p.scale is not None:
            scale = found[p.scale]
            if p.slab is not None:
                scale = slabbed(scale, found[p.slab].reshape(-1, *[1] * (scale.ndim - 1)))
            value = value * np.stack([np.broadcast_to(p.aligned_scale(s), shape[1:]) for s in scale])
        found[p.name] = value
    return found


def one_factor(loading: Array) -> Array:
    """Return the correlations [..., i, j] of what loads so [..., i] on one factor, of variance 1 each."""
    product = loading[..., :, None] * loading[..., None, :]
    return np.where(np.eye(loading.shape[-1], dtype=bool), 1.0, product)


def _draw_mixture(rng: np.random.Generator, p: Parameter, shape: tuple[int, ...]) -> Array:
    weights, mu, sigma = np.broadcast_arrays(p.weights, p.mu, p.sigma)
    ends = np.cumsum(weights, axis=-1)
    which = (rng.random(shape)[..., None] * ends[..., -1:] > ends).sum(axis=-1)[..., None]
    mu, sigma = (
        np.take_along_axis(np.broadcast_to(v, (*shape, v.shape[-1])), which, axis=-1)[..., 0]
        for v in (mu, sigma)
    )
    return mu + sigma * rng.standard_normal(shape)


def _slices(lengths: Sequence[int]) -> list[slice]:
    ends = np.cumsum([0, *lengths])
    return [slice(int(a), int(b)) for a, b in pairwise(ends)]


def _draw_lkj(rng: np.random.Generator, size: int, n: int, eta: float) -> Array:
    """Cholesky factors by the onion method (Lewandowski 2009, 10.1016/j.jmva.2009.04.008)."""
    root = np.zeros((size, n, n))
    root[:, 0, 0] = 1
    beta = eta - 1 + n / 2
    if n > 1:
        r = 2 * rng.beta(beta, beta, size) - 1
        root[:, 1, 0], root[:, 1, 1] = r, np.sqrt(1 - r**2)
    for k in range(2, n):
        beta -= 0.5
        y = rng.beta(k / 2, beta, size)
        z = rng.standard_normal((size, k))
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        root[:, k, :k] = np.sqrt(y)[:, None] * z
        root[:, k, k] = np.sqrt(1 - y)
    return root
