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

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import pytensor.tensor as pt
from numpy.polynomial.hermite_e import hermegauss
from pytensor.gradient import disconnected_grad

from nssi_bayes.integrate.gaussian import Information

__all__ = ["Curve", "Grid", "Moments", "integrate", "make_grid"]

NEWTON_STEPS: Final = 6
LARGEST_STEP: Final = 1.5
"""Newton steps are clipped to this, in residual sd of a function."""
REACH: Final = 4.3
"""Half-width of the interpolated stretch of each curve, in posterior sd."""

type Curve = Callable[[Any], Any]
"""Points [`participant`, `function`, node] to log-likelihood of the same shape."""
type Slope = Callable[[Any], tuple[Any, Any]]
"""Points [`participant`, `function`] to first and negative second derivative."""


class Grid(NamedTuple):
    """Constants of the quadrature.

    Parameters
    ----------
    nodes : numpy.ndarray
        Standard normal positions [node, `function`].
    log_weights : numpy.ndarray
        Logarithm of weight over standard normal density, so that the sum approximates the
        Lebesgue integral [node].
    chebyshev : numpy.ndarray
        Interpolation nodes in [-1, 1].
    to_coefficients : numpy.ndarray
        From values at `chebyshev` to coefficients [node, coefficient].
    """

    nodes: np.ndarray[Any, Any]
    log_weights: np.ndarray[Any, Any]
    chebyshev: np.ndarray[Any, Any]
    to_coefficients: np.ndarray[Any, Any]


class Moments(NamedTuple):
    """What the quadrature says of a person's functions.

    Parameters
    ----------
    log_integral : tensor
        [`participant`].
    mean : tensor
        [`participant`, `function`].
    covariance : tensor
        [`participant`, `function`, `function`].
    """

    log_integral: Any
    mean: Any
    covariance: Any


def make_grid(functions: int, *, order: int = 7, curve_nodes: int = 15, radius: float = 4.6) -> Grid:
    """Return a product rule, without the corners that weigh nothing.

    Parameters
    ----------
    functions : int
        Number of functions, 1 to 4.
    order : int
        Gauss-Hermite nodes an axis.
    curve_nodes : int
        Chebyshev nodes a curve.
    radius : float
        Nodes farther from the mode than this, in posterior sd, are left out (Jaeckel 2005).

    Returns
    -------
    Grid
        The constants.
    """
    position, weight = hermegauss(order)
    mesh = np.stack(np.meshgrid(*[position] * functions, indexing="ij"), axis=-1)
    nodes = mesh.reshape(-1, functions)
    log_weight = sum(
        np.meshgrid(*[np.log(weight)] * functions, indexing="ij"), np.zeros((order,) * functions)
    ).reshape(-1)
    inside = (nodes**2).sum(axis=1) <= max(radius**2, position[-1] ** 2)
    nodes, log_weight = nodes[inside], log_weight[inside]
    angle = (np.arange(curve_nodes) + 0.5) * np.pi / curve_nodes
    basis = np.cos(np.outer(angle, np.arange(curve_nodes)))
    scale = np.full(curve_nodes, 2.0 / curve_nodes)
    scale[0] /= 2
    return Grid(
        nodes, log_weight + 0.5 * (nodes**2).sum(axis=1), np.cos(angle), basis * scale[None, :]
    )


def integrate(prior: Information, curve: Curve, slope: Slope, grid: Grid) -> Any:
    """Return the log of the integral of prior times items over the functions.

    Parameters
    ----------
    prior : Information
        Over the functions of each person.
    curve : callable
        Item log-likelihood at points [`participant`, `function`, node].
    slope : callable
        Derivatives of (an approximation of) the same; only positions depend on them.
    grid : Grid
        From `make_grid`.

    Returns
    -------
    tensor
        [`participant`].
    """
    log_joint, _, _ = _log_joint(prior, curve, slope, grid)
    return pt.logsumexp(log_joint, axis=1)


def moments(prior: Information, curve: Curve, slope: Slope, grid: Grid) -> Moments:
    """Return integral, mean and covariance of each person's functions given the person's data."""
    log_joint, nodes, _ = _log_joint(prior, curve, slope, grid)
    total = pt.logsumexp(log_joint, axis=1)
    weight = pt.exp(log_joint - total[:, None])
    mean = (weight[:, :, None] * nodes).sum(axis=1)
    centred = nodes - mean[:, None, :]
    covariance = pt.swapaxes(weight[:, :, None] * centred, 1, 2) @ centred
    return Moments(total, mean, covariance)


def _log_joint(prior: Information, curve: Curve, slope: Slope, grid: Grid) -> tuple[Any, Any, Any]:
    """Log of weight times prior times items at the nodes [`participant`, node], and the nodes."""
    functions = grid.nodes.shape[1]
    mode, root, log_det = _proposal(prior, slope, functions)
    # node = mode + R^-T z, root = R lower Cholesky of the posterior precision
    offset = _back_substitute(root, [grid.nodes[None, :, f] for f in range(functions)])
    nodes = disconnected_grad(pt.stack([mode[f][:, None] + offset[f] for f in range(functions)], axis=2))
    spread = _marginal_sd(root, functions)
    reach = [disconnected_grad(REACH * s) for s in spread]
    centre = [disconnected_grad(m) for m in mode]
    points = pt.stack(
        [c[:, None] + r[:, None] * grid.chebyshev[None, :] for c, r in zip(centre, reach, strict=True)],
        axis=1,
    )
    coefficients = curve(points) @ pt.as_tensor(grid.to_coefficients)
    items = sum(
        _clenshaw(
            coefficients[:, f, :],
            pt.clip((nodes[:, :, f] - centre[f][:, None]) / reach[f][:, None], -1, 1),
            len(grid.chebyshev),
        )
        for f in range(functions)
    )
    quadratic = (nodes @ prior.precision * nodes).sum(axis=2)
    linear = (nodes @ prior.information[:, :, None])[:, :, 0]
    log_prior = prior.constant[:, None] - 0.5 * quadratic + linear
    return (
        items + log_prior + grid.log_weights[None, :] - disconnected_grad(log_det)[:, None],
        nodes,
        spread,
    )


def _proposal(prior: Information, slope: Slope, functions: int) -> tuple[list[Any], Any, Any]:
    precision = [[prior.precision[:, a, b] for b in range(functions)] for a in range(functions)]
    information = [prior.information[:, a] for a in range(functions)]
    root = _cholesky(precision)
    mode = _solve(root, information)
    for _ in range(NEWTON_STEPS):
        first, curvature = slope(pt.stack(mode, axis=1))
        gradient = [
            information[a] - sum(precision[a][b] * mode[b] for b in range(functions)) + first[:, a]
            for a in range(functions)
        ]
        step = _solve(_cholesky(_plus_diagonal(precision, curvature)), gradient)
        mode = [m + pt.clip(s, -LARGEST_STEP, LARGEST_STEP) for m, s in zip(mode, step, strict=True)]
    _, curvature = slope(pt.stack(mode, axis=1))
    root = _cholesky(_plus_diagonal(precision, curvature))
    log_det = pt.log(pt.stack([root[a][a] for a in range(functions)], axis=0)).sum(axis=0)
    return mode, root, log_det


def _plus_diagonal(matrix: list[list[Any]], diagonal: Any) -> list[list[Any]]:
    return [
        [value + diagonal[:, a] if a == b else value for b, value in enumerate(row)]
        for a, row in enumerate(matrix)
    ]


def _cholesky(matrix: list[list[Any]]) -> list[list[Any]]:
    """Lower Cholesky of a small matrix whose entries are vectors over people."""
    size = len(matrix)
    root: list[list[Any]] = [[None] * size for _ in range(size)]
    for a in range(size):
        for b in range(a + 1):
            rest = matrix[a][b] - sum((root[a][c] * root[b][c] for c in range(b)), start=0.0)
            root[a][b] = pt.sqrt(rest) if a == b else rest / root[b][b]
    return root


def _forward_substitute(root: list[list[Any]], right: list[Any]) -> list[Any]:
    found: list[Any] = []
    for a, row in enumerate(root):
        found.append((right[a] - sum((row[b] * found[b] for b in range(a)), start=0.0)) / row[a])
    return found


def _back_substitute(root: list[list[Any]], right: list[Any]) -> list[Any]:
    """Solve R' v = right; `right` may have a node axis."""
    size = len(root)
    found: list[Any] = [None] * size
    for a in reversed(range(size)):
        rest = right[a]
        for b in range(a + 1, size):
            rest = rest - (root[b][a][:, None] if rest.ndim == 2 else root[b][a]) * found[b]
        found[a] = rest / (root[a][a][:, None] if rest.ndim == 2 else root[a][a])
    return found


def _solve(root: list[list[Any]], right: list[Any]) -> list[Any]:
    return _back_substitute(root, _forward_substitute(root, right))


def _marginal_sd(root: list[list[Any]], functions: int) -> list[Any]:
    """Square roots of the diagonal of (R R')^-1: column norms of R^-1 ."""
    spread = []
    for a in range(functions):
        unit = [pt.ones_like(root[0][0]) if b == a else pt.zeros_like(root[0][0]) for b in range(functions)]
        column = _forward_substitute(root, unit)
        spread.append(pt.sqrt(sum((v**2 for v in column), start=0.0)))
    return spread


def _clenshaw(coefficients: Any, position: Any, count: int) -> Any:
    """Chebyshev series [`participant`, coefficient] at positions [`participant`, node]."""
    later = pt.zeros_like(position)
    latest = coefficients[:, count - 1][:, None] + later
    for k in range(count - 2, 0, -1):
        latest, later = coefficients[:, k][:, None] + 2 * position * latest - later, latest
    return coefficients[:, 0][:, None] + position * latest - later
