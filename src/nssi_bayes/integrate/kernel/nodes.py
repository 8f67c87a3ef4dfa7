"""The sum over the nodes: the integral, the weight of every node, and moments under the weights."""

from __future__ import annotations

import numpy as np

from nssi_bayes.integrate.compiling import inlined
from nssi_bayes.integrate.kernel.arrangement import Arrangement
from nssi_bayes.integrate.kernel.positions import exp
from nssi_bayes.integrate.kernel.room import R1, R2, R3, R4, R5, W1, W2, Array, Room

__all__ = ["integrate", "weigh"]


@inlined
def integrate(value: Array, batch: int, room: Room, a: Arrangement) -> None:
    """Evaluate the log joint at the nodes, the integral, and the weight of every node."""
    functions, row = a.functions, room.row
    few = 1
    for f in range(functions - 1, -1, -1):
        if f < functions - 1:
            _transform(f, room, a)
        for r in range(few):
            _place(f, r, room, a)
            if f < functions - 1:
                _interpolate(room.level[f] + r, room)
        few *= len(a.nodes)
    for i in range(a.width):
        row[0, i] = room.weight[0, 0, i]
        row[1, i] = 0.0
    for r in range(room.level[1]):
        for z in range(len(a.nodes)):
            for i in range(a.width):
                row[0, i] = max(row[0, i], room.weight[r, z, i])
    for r in range(room.level[1]):
        for z in range(len(a.nodes)):
            for i in range(a.width):
                share = exp(room.weight[r, z, i] - row[0, i])
                room.weight[r, z, i] = share
                row[1, i] += share
    for i in range(batch):
        found = row[0, i] + np.log(row[1, i]) - 0.5 * room.matrix[len(room.matrix) - 1, i]
        for f in range(functions):
            found -= np.log(room.root[f * functions + f, i])
        value[i] = found if np.isfinite(found) else np.nan
    for i in range(a.width):
        row[1, i] = 1.0 / row[1, i]
    for r in range(room.level[1]):
        for z in range(len(a.nodes)):
            for i in range(a.width):
                room.weight[r, z, i] *= row[1, i]


@inlined
def _transform(f: int, room: Room, a: Arrangement) -> None:
    """Chebyshev coefficients of one curve, the same beside each of a function's own nodes."""
    count, coefficient = len(a.chebyshev), room.coefficient
    coefficient[:] = 0.0
    for k in range(count):
        for c in range(count):
            factor = a.to_coefficients[k, c]
            for i in range(a.width):
                coefficient[c, 0, i] += factor * room.curve[f * count + k, i]
    for i in range(a.width):
        coefficient[-1, 0, i] = 1.0 / room.half[f, i]
    for c in range(len(coefficient)):
        for z in range(1, len(a.nodes)):
            for i in range(a.width):
                coefficient[c, z, i] = coefficient[c, 0, i]


@inlined
def _place(f: int, r: int, room: Room, a: Arrangement) -> None:
    """Place the nodes of function f beside node `r` of the later functions; add prior and weight."""
    functions, order, work, offset = a.functions, len(a.nodes), room.work, room.offset
    size, here, weight = functions + 1, room.level[f] + r, room.weight
    for i in range(a.width):
        work[i] = 0.0
        work[R1 + i] = room.matrix[f * size + functions, i]
        work[R2 + i] = room.mode[f, i]
    for i in range(a.width):
        work[R3 + i] = 1.0 / room.root[f * functions + f, i]
        work[R4 + i] = 0.5 * room.matrix[f * size + f, i]
        work[R5 + i] = 0.0
    rest = r
    for g in range(f + 1, functions):
        there, own = room.level[g] + rest // order, rest % order
        rest //= order
        for i in range(a.width):
            work[i] += room.root[g * functions + f, i] * offset[there, own, i]
            work[R1 + i] -= room.matrix[f * size + g, i] * (room.mode[g, i] + offset[there, own, i])
        if g == f + 1:
            for i in range(a.width):
                work[R5 + i] = weight[there, own, i]
    for z in range(order):
        node, log_weight = a.nodes[z], a.log_weights[z]
        for i in range(a.width):
            move = (node - work[i]) * work[R3 + i]
            u = work[R2 + i] + move
            offset[here, z, i] = move
            weight[here, z, i] = work[R5 + i] + log_weight + u * (work[R1 + i] - work[R4 + i] * u)
        if f == functions - 1:
            for i in range(a.width):
                weight[here, z, i] += room.curve[f * len(a.chebyshev) + z, i]


@inlined
def _interpolate(here: int, room: Room) -> None:
    """Add a curve at the nodes in row `here`: Clenshaw's sum, two terms at a time."""
    wide, offset, weight = room.wide, room.offset[here].reshape(-1), room.weight[here].reshape(-1)
    top = len(room.coefficient) - 1
    terms = room.coefficient.reshape(top + 1, -1)
    for i in range(len(offset)):
        wide[i] = 2.0 * min(max(offset[i] * terms[top, i], -1.0), 1.0)
        wide[W1 + i] = 0.0
        wide[W2 + i] = 0.0
    for c in range(top - 1, 1, -2):
        for i in range(len(offset)):
            b = wide[i] * wide[W1 + i] - wide[W2 + i] + terms[c, i]
            wide[W1 + i], wide[W2 + i] = wide[i] * b - wide[W1 + i] + terms[c - 1, i], b
    for i in range(len(offset)):
        weight[i] += 0.5 * wide[i] * wide[W1 + i] - wide[W2 + i] + terms[0, i]


@inlined
def weigh(f: int, room: Room, a: Arrangement) -> None:
    """Add moments of function f with itself and the later ones, and the derivative by its curve."""
    functions, order, count = a.functions, len(a.nodes), len(a.chebyshev)
    size, moment, weight, work, offset = functions + 1, room.moment, room.weight, room.work, room.offset
    room.coefficient[:-1] = 0.0
    for i in range(a.width):
        for z in range(order):
            room.coefficient[-1, z, i] = 1.0 / room.half[f, i]
    for r in range(room.level[f + 1] - room.level[f]):
        here = room.level[f] + r
        work[:R3] = 0.0
        for z in range(order):
            for i in range(a.width):
                share, u = weight[here, z, i], room.mode[f, i] + offset[here, z, i]
                work[i] += share
                work[R1 + i] += share * u
                work[R2 + i] += share * u * u
        for i in range(a.width):
            moment[f * size + f, i] += work[R2 + i]
            moment[f * size + functions, i] -= work[R1 + i]
        rest = r
        for g in range(f + 1, functions):
            there, own = room.level[g] + rest // order, rest % order
            rest //= order
            for i in range(a.width):
                moment[f * size + g, i] += work[R1 + i] * (room.mode[g, i] + offset[there, own, i])
            if g == f + 1:
                for i in range(a.width):
                    weight[there, own, i] = work[i]
        if f < functions - 1:
            _spread(here, room)
    for g in range(f + 1, size):
        for i in range(a.width):
            moment[g * size + f, i] = moment[f * size + g, i]
    if f == functions - 1:
        for z in range(order):
            for i in range(a.width):
                room.adjoint[f * count + z, i] = weight[room.level[f], z, i]
        return
    for c in range(len(room.coefficient)):
        for z in range(1, order):
            for i in range(a.width):
                room.coefficient[c, 0, i] += room.coefficient[c, z, i]
    for k in range(count):
        here = f * count + k
        room.adjoint[here] = 0.0
        for c in range(count):
            factor = a.to_coefficients[k, c]
            for i in range(a.width):
                room.adjoint[here, i] += factor * room.coefficient[c, 0, i]


@inlined
def _spread(here: int, room: Room) -> None:
    """Add weight times Chebyshev polynomials at the nodes in row `here`, two terms at a time."""
    wide, offset, weight = room.wide, room.offset[here].reshape(-1), room.weight[here].reshape(-1)
    top = len(room.coefficient) - 1
    sums = room.coefficient.reshape(top + 1, -1)
    for i in range(len(offset)):
        place, share = min(max(offset[i] * sums[top, i], -1.0), 1.0), weight[i]
        wide[i] = 2.0 * place
        wide[W1 + i] = share
        wide[W2 + i] = share * place
    for i in range(len(offset)):
        sums[0, i] += weight[i]
    for c in range(1, top, 2):
        for i in range(len(offset)):
            one = wide[W2 + i]
            two = wide[i] * one - wide[W1 + i]
            sums[c, i] += one
            sums[c + 1, i] += two
            wide[W1 + i], wide[W2 + i] = two, wide[i] * two - one
