"""The integral over a person's functions: adaptive, rotated Gauss-Hermite quadrature.

Each item loads on one function, so the item log-likelihood is a sum of one-dimensional curves.
They are evaluated at a few Chebyshev nodes around the person's mode (cost: people x items x
nodes) and interpolated to a grid that is rotated and scaled by the person's posterior precision.
Gauss-Hermite nodes fitted per axis fail where little is answered and functions correlate; the
rotated grid is exact there, since the integrand is then Gaussian.

Node positions are constants of the gradient: the value does not depend on them beyond the
quadrature error, and mode and curvature move smoothly with the parameters (a fixed number of
safeguarded Newton steps), so that NUTS sees one smooth density (Pinheiro & Bates 1995,
10.1080/10618600.1995.10474663; Rabe-Hesketh, Skrondal & Pickles 2005,
10.1016/j.jeconom.2004.08.017).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from numpy.polynomial.hermite_e import hermegauss

from nssi_bayes.integrate.gaussian import Quadratic

__all__ = ["NEWTON", "Grid", "Moments", "Newton", "integrate", "make_grid", "moments", "normal_rule"]

NEWTON_STEPS: Final = 6
LARGEST_STEP: Final = 1.5
LARGEST_CHANGE: Final = 3.0
"""Newton steps are clipped to the first, in residual sd of a function, and shortened so that none changes
the predictor of an item by more than the second, in logits: steps that are right for flat items jump to
and fro over the mode of steep ones."""
TINY: Final = 1e-300
REACH: Final = 4.5
"""Half-width of the interpolated stretch of each curve, in posterior sd."""

type Small = list[list[Any]]
"""A small matrix whose entries are vectors over people."""


class Newton(NamedTuple):
    """How the mode is found.

    Parameters
    ----------
    steps : int
        How many.
    largest : float
        They are clipped to this, in residual sd of a function.
    change : float, optional
        They are shortened to this, the largest change of a predictor, in logits. None: they are damped.
        Third derivatives of logistic and Poisson-like curves are no larger than loading times second
        ones, and with steps of log(1 + d) / d, d the largest change of a predictor by a whole step, no
        step goes down and none jumps over the mode (Sun & Tran-Dinh 2019, 10.1007/s10107-018-1282-4).
    """

    steps: int
    largest: float
    change: float | None = None


NEWTON: Final = Newton(NEWTON_STEPS, LARGEST_STEP, LARGEST_CHANGE)


class Grid(NamedTuple):
    """Constants of the quadrature.

    Parameters
    ----------
    functions : int
        Number of functions.
    nodes : numpy.ndarray
        Gauss-Hermite positions of one axis, standard normal.
    log_weights : numpy.ndarray
        Logarithm of weight over standard normal density, so that the sum approximates the
        Lebesgue integral.
    chebyshev : numpy.ndarray
        Interpolation nodes in [-1, 1].
    to_coefficients : numpy.ndarray
        From values at `chebyshev` to coefficients [node, coefficient].
    testlet_nodes : int
        Nodes over a residual factor of items.
    """

    functions: int
    nodes: np.ndarray[Any, Any]
    log_weights: np.ndarray[Any, Any]
    chebyshev: np.ndarray[Any, Any]
    to_coefficients: np.ndarray[Any, Any]
    testlet_nodes: int


class Moments(NamedTuple):
    """What the quadrature says of a person's functions given the person's data.

    Parameters
    ----------
    log_integral : array
        [`participant`].
    mean : array
        [`participant`, `function`].
    covariance : array
        [`participant`, `function`, `function`].
    """

    log_integral: Any
    mean: Any
    covariance: Any


def make_grid(functions: int, *, order: int = 7, curve_nodes: int = 15, testlet_nodes: int = 15) -> Grid:
    """Return the constants of a product rule.

    Parameters
    ----------
    functions : int
        Number of functions, 1 to 4.
    order : int
        Gauss-Hermite nodes an axis.
    curve_nodes : int
        Chebyshev nodes a curve.
    testlet_nodes : int
        Nodes over a residual factor of items, odd.

    Returns
    -------
    Grid
        The constants.
    """
    position, weight = hermegauss(order)
    angle = (np.arange(curve_nodes) + 0.5) * np.pi / curve_nodes
    basis = np.cos(np.outer(angle, np.arange(curve_nodes)))
    scale = np.full(curve_nodes, 2.0 / curve_nodes)
    scale[0] /= 2
    log_weights, coefficients = np.log(weight) + 0.5 * position**2, basis * scale[None, :]
    return Grid(functions, position, log_weights, np.cos(angle), coefficients, testlet_nodes)


def normal_rule(count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return positions and weights for the mean of a logistic-like function of a standard normal.

    Equal steps of sqrt(2 pi / count), which balance the step's error with that of the cut tails.
    Gauss-Hermite nodes crowd where such a function is flat: of a residual factor of size 3 a
    person's log-likelihood is .018 off with 15 of them, .003 with as many equal steps.

    Parameters
    ----------
    count : int
        Number of nodes, odd.

    Returns
    -------
    tuple of numpy.ndarray
        Positions, and weights that sum to 1.
    """
    position = (np.arange(count) - (count - 1) / 2) * np.sqrt(2 * np.pi / count)
    weight = np.exp(-0.5 * position**2)
    return position, weight / weight.sum()


class Items(Protocol):
    """What items say of people's functions."""

    @property
    def steepest(self) -> Any:
        """Largest loading of each function, in size [`participant` or 1, `function`]."""

    def curve(self, function: int, points: Any) -> Any:
        """Return the log-likelihood of one function at points [`participant`, node]."""

    def slope(self, points: Any) -> tuple[Any, Any]:
        """Return first and negative second derivative at points [`participant`, `function`]."""


def integrate(prior: Quadratic, items: Items, grid: Grid, *, newton: Newton = NEWTON) -> Any:
    """Return the log of the integral of prior times items over the functions.

    Parameters
    ----------
    prior : Quadratic
        Over the functions of each person.
    items : Items
        Only positions depend on slopes and on what is steepest.
    grid : Grid
        From `make_grid`.
    newton : Newton
        To the mode.

    Returns
    -------
    array
        [`participant`].
    """
    log_joint, _ = _log_joint(prior, items, grid, newton)
    return _log_sum_exp(log_joint)


def moments(prior: Quadratic, items: Items, grid: Grid) -> Moments:
    """Return integral, mean and covariance of each person's functions given the person's data."""
    log_joint, nodes = _log_joint(prior, items, grid, NEWTON)
    total = _log_sum_exp(log_joint)
    weight = jnp.exp(log_joint - total[:, None])
    mean = (weight[:, None, :] * nodes).sum(axis=2)
    centred = nodes - mean[:, :, None]
    covariance = (weight[:, None, :] * centred) @ jnp.swapaxes(centred, 1, 2)
    return Moments(total, mean, covariance)


def _log_sum_exp(log_joint: Any) -> Any:
    top = stop_gradient(log_joint.max(axis=1))
    return top + jnp.log(jnp.exp(log_joint - top[:, None]).sum(axis=1))


def _log_joint(prior: Quadratic, items: Items, grid: Grid, newton: Newton) -> tuple[Any, Any]:
    """Log of weight times prior times items [`participant`, node], and the nodes."""
    functions, order = grid.functions, len(grid.nodes)
    mode, root = _proposal(stop_gradient(prior.matrix), items, functions, newton)
    log_det = sum((jnp.log(root[a][a]) for a in range(functions)), start=0.0)
    spread = _marginal_sd(root, functions)
    # node = mode + R^-T z, root = R lower Cholesky of the posterior precision: a function's
    # position depends on its own z and the later ones only, so the last curve is needed at
    # `order` points, the one before at order^2, the first at order^functions
    mesh = np.meshgrid(*[grid.nodes] * functions, indexing="ij")
    offset = _back_substitute(root, [m.reshape(1, -1) for m in mesh])
    nodes = stop_gradient(jnp.stack([m[:, None] + o for m, o in zip(mode, offset, strict=True)], axis=1))
    total = np.stack(np.meshgrid(*[grid.log_weights] * functions, indexing="ij")).sum(axis=0).reshape(1, -1)
    for f in range(functions):
        few = order ** (functions - f)
        own = stop_gradient(offset[f][:, :few])
        values = _values_of(f, items, stop_gradient(mode[f]), own, REACH * stop_gradient(spread[f]), grid)
        total = total + jnp.tile(values, (1, order**f))
    whole = jnp.concatenate([nodes, -jnp.ones_like(nodes[:, :1, :])], axis=1)
    quadratic = (whole * (prior.matrix @ whole)).sum(axis=1)
    log_prior = prior.constant[:, None] - 0.5 * quadratic
    return total + log_prior - stop_gradient(log_det)[:, None], nodes


def _values_of(f: int, items: Items, mode: Any, offset: Any, reach: Any, grid: Grid) -> Any:
    """Evaluate a function's curve at `mode` + `offset`, by interpolation where that is cheaper."""
    count = len(grid.chebyshev)
    if offset.shape[1] <= count:
        return items.curve(f, mode[:, None] + offset)
    coefficients = items.curve(f, mode[:, None] + reach[:, None] * grid.chebyshev) @ grid.to_coefficients
    place = jnp.clip(offset / reach[:, None], -1, 1)
    return jnp.einsum("kiq,ik->iq", stop_gradient(_chebyshev(place, count)), coefficients)


def _proposal(matrix: Any, items: Items, functions: int, newton: Newton) -> tuple[list[Any], Small]:
    precision = [[matrix[:, a, b] for b in range(functions)] for a in range(functions)]
    information = [matrix[:, a, functions] for a in range(functions)]
    mode = _solve(_cholesky(precision), information)
    for _ in range(newton.steps):
        first, curvature = items.slope(stop_gradient(jnp.stack(mode, axis=1)))
        gradient = [
            information[a] - sum(precision[a][b] * mode[b] for b in range(functions)) + first[:, a]
            for a in range(functions)
        ]
        step = _solve(_cholesky(_plus_diagonal(precision, curvature)), gradient)
        mode = [m + s for m, s in zip(mode, _shortened(step, items.steepest, newton), strict=True)]
    _, curvature = items.slope(stop_gradient(jnp.stack(mode, axis=1)))
    return mode, _cholesky(_plus_diagonal(precision, curvature))


def _shortened(step: list[Any], steepest: Any, newton: Newton) -> list[Any]:
    size = jnp.abs(jnp.stack(step, axis=1)) * stop_gradient(steepest)
    change = jnp.maximum(jnp.max(size, axis=1), TINY)
    share = jnp.log1p(change) / change if newton.change is None else jnp.minimum(1.0, newton.change / change)
    return [jnp.clip(share * s, -newton.largest, newton.largest) for s in step]


def _plus_diagonal(matrix: Small, diagonal: Any) -> Small:
    return [
        [value + diagonal[:, a] if a == b else value for b, value in enumerate(row)]
        for a, row in enumerate(matrix)
    ]


def _cholesky(matrix: Small) -> Small:
    """Lower Cholesky; the upper triangle of the result is unused."""
    size = len(matrix)
    root: Small = [[None] * size for _ in range(size)]
    for a in range(size):
        for b in range(a + 1):
            rest = matrix[a][b] - sum((root[a][c] * root[b][c] for c in range(b)), start=0.0)
            root[a][b] = jnp.sqrt(rest) if a == b else rest / root[b][b]
    return root


def _forward_substitute(root: Small, right: list[Any]) -> list[Any]:
    found: list[Any] = []
    for a, row in enumerate(root):
        found.append((right[a] - sum((row[b] * found[b] for b in range(a)), start=0.0)) / row[a])
    return found


def _back_substitute(root: Small, right: list[Any]) -> list[Any]:
    """Solve R' v = right; `right` may have a node axis."""
    size = len(root)
    nodes = right[0].ndim == 2
    found: list[Any] = [None] * size
    for a in reversed(range(size)):
        rest = right[a]
        for b in range(a + 1, size):
            rest = rest - (root[b][a][:, None] if nodes else root[b][a]) * found[b]
        found[a] = rest / (root[a][a][:, None] if nodes else root[a][a])
    return found


def _solve(root: Small, right: list[Any]) -> list[Any]:
    return _back_substitute(root, _forward_substitute(root, right))


def _marginal_sd(root: Small, functions: int) -> list[Any]:
    """Square roots of the diagonal of (R R')^-1: column norms of R^-1."""
    spread = []
    for a in range(functions):
        unit = [jnp.full_like(root[0][0], float(b == a)) for b in range(functions)]
        column = _forward_substitute(root, unit)
        spread.append(jnp.sqrt(sum((v**2 for v in column), start=0.0)))
    return spread


def _chebyshev(place: Any, count: int) -> Any:
    """Chebyshev polynomials at `place` [coefficient, ...]."""
    values = [jnp.ones_like(place), place]
    while len(values) < count:
        values.append(2 * place * values[-1] - values[-2])
    return jnp.stack(values[:count])
