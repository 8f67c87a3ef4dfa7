"""The constants of `kernel`: which indicator belongs where, and the grid, in the kernel's order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from nssi_bayes.integrate.quadrature import Grid

__all__ = ["BATCH", "Arrangement", "arrange", "side_by_side"]

type Array = np.ndarray[Any, Any]

BATCH: Final = 152
"""Most people whom the kernel works on side by side: no power of two, whose rows would share cache lines."""
_LANES: Final = 8
"""Numbers in a register."""


class Arrangement(NamedTuple):
    """What does not change between calls: which indicator belongs where, and the grid.

    Parameters
    ----------
    functions, width : int
        Number of functions; people side by side, see `side_by_side` (not a constant of the code: the
        compiler would unroll the loops instead of vectorising them).
    plain, plain_start : numpy.ndarray
        Indicators without a residual factor, by function; where each function starts.
    member, member_start : numpy.ndarray
        Indicators with one, by residual factor; where each residual factor starts.
    testlet, testlet_start : numpy.ndarray
        Residual factors, by function; where each function starts in `testlet` and `member_start`.
    nodes, log_weights, chebyshev, to_coefficients : numpy.ndarray
        As in `quadrature.Grid`.
    position, weight, rough_position, rough_weight : numpy.ndarray
        Rules over the residual factor: in the integral, and for the node positions.
    newton_steps : int
        Steps to the mode.
    largest_step, largest_change, reach : float
        Of a step, residual sd, and of what it changes of a predictor, logits; half-width of the
        interpolated stretch, posterior sd.
    raised : bool
        Whether the last function's indicators are raised to a power and tilted; steps are then damped
        instead of shortened, see `quadrature.Newton`.
    """

    functions: int
    width: int
    plain: Array
    plain_start: Array
    member: Array
    member_start: Array
    testlet: Array
    testlet_start: Array
    nodes: Array
    log_weights: Array
    chebyshev: Array
    to_coefficients: Array
    position: Array
    weight: Array
    rough_position: Array
    rough_weight: Array
    newton_steps: int
    largest_step: float
    largest_change: float
    reach: float
    raised: bool = False


def arrange(
    function_of: Array,
    testlet_of: Array,
    *,
    grid: Grid,
    testlet_nodes: int,
    position_nodes: int,
) -> Arrangement:
    """Put a model's constants in the order in which the kernel walks them.

    Parameters
    ----------
    function_of : numpy.ndarray
        Position of the function [`indicator`].
    testlet_of : numpy.ndarray
        Position of the residual factor, -1 if none [`indicator`].
    grid : Grid
        From `quadrature.make_grid`.
    testlet_nodes, position_nodes : int
        Nodes over the residual factor: in the integral, and for the node positions.

    Returns
    -------
    Arrangement
        The constants.

    Raises
    ------
    ValueError
        If the reference would interpolate other curves than all but the last function's.
    """
    from nssi_bayes.integrate import quadrature

    order, count = len(grid.nodes), len(grid.chebyshev)
    if not (order <= count and (grid.functions == 1 or count < order**2)):
        raise ValueError(f"order {order} with {count} curve nodes: need order <= curve nodes < order^2")
    owner, testlet_of, functions = np.asarray(function_of), np.asarray(testlet_of), range(grid.functions)
    plain = [np.flatnonzero((owner == f) & (testlet_of < 0)) for f in functions]
    testlets = [np.unique(testlet_of[(owner == f) & (testlet_of >= 0)]) for f in functions]
    members = [np.flatnonzero(testlet_of == s) for own in testlets for s in own]
    return Arrangement(
        grid.functions,
        _LANES,
        *_joined(plain),
        *_joined(members),
        *_joined(testlets),
        grid.nodes,
        grid.log_weights,
        grid.chebyshev,
        np.ascontiguousarray(grid.to_coefficients),
        *quadrature.normal_rule(testlet_nodes),
        *quadrature.normal_rule(position_nodes),
        quadrature.NEWTON_STEPS,
        quadrature.LARGEST_STEP,
        quadrature.LARGEST_CHANGE,
        quadrature.REACH,
    )


def side_by_side(arrangement: Arrangement, people: int) -> Arrangement:
    """Return the arrangement for so many people: as few batches as there is room for, equally full.

    Parameters
    ----------
    arrangement : Arrangement
        From `arrange`.
    people : int
        How many.

    Returns
    -------
    Arrangement
        With another `width`.
    """
    batches = max(1, -(-people // BATCH))
    return arrangement._replace(width=max(1, -(-people // (batches * _LANES))) * _LANES)


def _joined(parts: list[Array]) -> tuple[Array, Array]:
    start = np.cumsum([0, *(len(part) for part in parts)])
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts]).astype(np.int64), start.astype(np.int64)
