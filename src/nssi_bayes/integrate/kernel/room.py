"""The working arrays of one batch of people.

The last axis of every working array is the person, and the innermost loops run along it without
branches, so that one instruction serves several people. Parts of an array that are written in the
same loop stand at constant distances (`R1`, `R2`, ...): the compiler must know that they do not
overlap. Arrays are taken out of the room before a loop, and functions that are given the room walk
over nodes themselves: an array reached through it inside a loop, and each call that passes it, cost
counts of references, and the former the vectorising (measured: 2.5 times the whole kernel).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from nssi_bayes.integrate.compiling import inlined
from nssi_bayes.integrate.kernel.arrangement import BATCH, Arrangement

__all__ = [
    "R1",
    "R2",
    "R3",
    "R4",
    "R5",
    "Array",
    "Room",
    "load",
    "make_room",
]

type Array = np.ndarray[Any, Any]

R1: Final = BATCH
R2: Final = 2 * BATCH
R3: Final = 3 * BATCH
R4: Final = 4 * BATCH
R5: Final = 5 * BATCH


class Room(NamedTuple):
    """Working arrays of one batch.

    Nodes are kept as [later node, own node, person]: each node of the later functions has
    `order` nodes of a function beside it.
    """

    response: Array  # U and V [indicator, 2 x BATCH]
    matrix: Array  # M, symmetric [entry, person]
    tail: Array  # of the last function: what is added times it, and the power of its indicators [2, person]
    bare: Array  # log-likelihood of its indicators before it is raised [curve node, person]
    steep: Array  # largest loading, in size [function]
    shape: Array  # how functions are skewed, as `sinh_arcsinh.shape_of` [function, 4]; no rows: they are not
    mode: Array  # [function, person]
    spot: Array  # the function there: the mode itself, or skewed [function, person]
    root: Array  # lower Cholesky of the posterior precision [entry, person]
    half: Array  # half-width of the stretch of a curve [function, person]
    point: Array  # where curves are evaluated [function x curve node, person]
    odds: Array  # E and 1 / E there [indicator x curve node, 2 x BATCH]
    part: Array  # 1 + U V, E U and V / E beside a residual factor [the same, 3 x BATCH]
    share: Array  # of a node of a residual factor [residual factor x curve node x node, person]
    curve: Array  # log-likelihood [function x curve node, person]
    adjoint: Array  # derivative of the log of the integral by `curve`
    rise: Array  # asinh of the point before it is skewed, moved; cosh of that, scaled [.., 2 x BATCH]
    pull: Array  # derivative of the log of the integral by `point`
    slope_shape: Array  # by `shape` [function x 4, person]
    terms: Array  # of Chebyshev's series, 3, 7, 11, ..; then 1 / half-width [term, person]
    offset: Array  # of the nodes from the mode
    weight: Array  # log joint of the nodes, later their normalised weight
    level: Array  # where the nodes of a function start in `offset`
    slope: Array  # derivatives by U, V and loading [indicator, 3 x BATCH]
    slope_gamma: Array  # [residual factor, person]
    moment: Array  # E[u u'] [entry, person]
    row: Array  # [row, person]
    work: Array  # [row x BATCH]


@inlined
def make_room(indicators: int, testlets: int, shape: Array, a: Arrangement) -> Room:
    """Allocate."""
    w, functions, order, count = a.width, a.functions, len(a.nodes), len(a.chebyshev)
    level = np.zeros(functions + 1, np.int64)
    for f in range(functions):
        level[f + 1] = level[f] + order ** (functions - 1 - f)
    entries = (functions + 1) ** 2
    return Room(
        np.zeros((indicators, 2 * BATCH)),
        np.zeros((entries, w)),
        np.zeros((2, w)),
        np.zeros((count, w)),
        np.zeros(functions),
        shape,
        np.zeros((functions, w)),
        np.zeros((functions, w)),
        np.zeros((functions * functions, w)),
        np.zeros((functions, w)),
        np.zeros((functions * count, w)),
        np.zeros((indicators * count, 2 * BATCH)),
        np.zeros((indicators * count, 3 * BATCH)),
        np.zeros((testlets * count * len(a.position), w)),
        np.zeros((functions * count, w)),
        np.zeros((functions * count, w)),
        np.zeros((len(shape) * count, 2 * BATCH)),
        np.zeros((len(shape) * count, w)),
        np.zeros((len(shape) * 4, w)),
        np.zeros((count // 4 * 4 + 4, w)),
        np.zeros((level[functions], order, w)),
        np.zeros((level[functions], order, w)),
        level,
        np.zeros((indicators, 3 * BATCH)),
        np.zeros((testlets, w)),
        np.zeros((entries, w)),
        np.zeros((3 * functions, w)),
        np.zeros(8 * BATCH),
    )


@inlined
def load(matrix: Array, upper: Array, lower: Array, tail: Array, batch: int, room: Room) -> None:
    """Turn people into the last axis; what is left of the batch is people who answered nothing."""
    size, w = matrix.shape[1], room.mode.shape[1]
    for i in range(w):
        for p in range(size):
            for q in range(size):
                own = 0.5 * (matrix[i, p, q] + matrix[i, q, p]) if i < batch else (1.0 if p == q else 0.0)
                room.matrix[p * size + q, i] = own
        for p in range(2):
            room.tail[p, i] = tail[i, p] if i < min(batch, len(tail)) else 0.0
        for j in range(upper.shape[1]):
            room.response[j, i] = upper[i, j] if i < batch else 0.0
            room.response[j, R1 + i] = lower[i, j] if i < batch else 0.0
