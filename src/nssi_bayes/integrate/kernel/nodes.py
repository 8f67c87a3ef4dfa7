"""The sum over the nodes: the integral, the weight of every node, and moments under the weights."""

from __future__ import annotations

import numpy as np

from nssi_bayes.integrate.compiling import inlined
from nssi_bayes.integrate.kernel.arrangement import Arrangement
from nssi_bayes.integrate.kernel.positions import exp, log
from nssi_bayes.integrate.kernel.room import R1, R2, R3, R4, R5, Array, Room

__all__ = ["integrate", "weigh"]


@inlined
def integrate(value: Array, batch: int, room: Room, a: Arrangement) -> None:
    """Evaluate the log joint at the nodes, the integral, and the weight of every node."""
    functions, row, weight, root, matrix = a.functions, room.row, room.weight, room.root, room.matrix
    few = 1
    for f in range(functions - 1, -1, -1):
        if f < functions - 1:
            _transform(f, room, a)
        _place(f, few, room, a)
        if f < functions - 1:
            _interpolate(f, few, room, a)
        few *= len(a.nodes)
    for i in range(a.width):
        row[0, i] = weight[0, 0, i]
        row[1, i] = 0.0
    for r in range(room.level[1]):
        for z in range(len(a.nodes)):
            for i in range(a.width):
                row[0, i] = max(row[0, i], weight[r, z, i])
    for r in range(room.level[1]):
        for z in range(len(a.nodes)):
            for i in range(a.width):
                share = exp(weight[r, z, i] - row[0, i])
                weight[r, z, i] = share
                row[1, i] += share
    last = len(matrix) - 1
    for i in range(a.width):
        row[2, i] = row[0, i] + log(row[1, i]) - 0.5 * matrix[last, i]
    for f in range(functions):
        for i in range(a.width):
            row[2, i] -= log(root[f * functions + f, i])
    for i in range(batch):
        value[i] = row[2, i] if np.isfinite(row[2, i]) else np.nan
    for i in range(a.width):
        row[1, i] = 1.0 / row[1, i]
    for r in range(room.level[1]):
        for z in range(len(a.nodes)):
            for i in range(a.width):
                weight[r, z, i] *= row[1, i]


@inlined
def _transform(f: int, room: Room, a: Arrangement) -> None:
    """Chebyshev coefficients of one curve, as `terms` keeps them."""
    count, terms, curve, half = len(a.chebyshev), room.terms, room.curve, room.half
    terms[:] = 0.0
    for k in range(count):
        for c in range(count):
            factor = a.to_coefficients[k, c]
            for i in range(a.width):
                terms[c, i] += factor * curve[f * count + k, i]
    for i in range(a.width):
        terms[-1, i] = 1.0 / half[f, i]


@inlined
def _place(f: int, few: int, room: Room, a: Arrangement) -> None:
    """Place the nodes of function f beside each of `few` nodes of the later ones; add prior and weight."""
    functions, order, work, offset = a.functions, len(a.nodes), room.work, room.offset
    matrix, mode, root, curve = room.matrix, room.mode, room.root, room.curve
    size, weight = functions + 1, room.weight
    for i in range(a.width):
        work[R2 + i] = mode[f, i]
        work[R3 + i] = 1.0 / root[f * functions + f, i]
        work[R4 + i] = 0.5 * matrix[f * size + f, i]
    for r in range(few):
        here = room.level[f] + r
        for i in range(a.width):
            work[i] = 0.0
            work[R1 + i] = matrix[f * size + functions, i]
            work[R5 + i] = 0.0
        rest = r
        for g in range(f + 1, functions):
            there, own = room.level[g] + rest // order, rest % order
            rest //= order
            for i in range(a.width):
                work[i] += root[g * functions + f, i] * offset[there, own, i]
                work[R1 + i] -= matrix[f * size + g, i] * (mode[g, i] + offset[there, own, i])
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
                at = f * len(a.chebyshev) + z
                for i in range(a.width):
                    weight[here, z, i] += curve[at, i]


@inlined
def _interpolate(f: int, few: int, room: Room, a: Arrangement) -> None:
    """Add the curve of function f at its nodes: Clenshaw's sum, four terms at a time."""
    work, offset, weight, terms = room.work, room.offset, room.weight, room.terms
    last = len(terms) - 1
    for node in range(few * len(a.nodes)):
        here, z = room.level[f] + node // len(a.nodes), node % len(a.nodes)
        for i in range(a.width):
            double = 2.0 * min(max(offset[here, z, i] * terms[last, i], -1.0), 1.0)
            work[i] = double
            work[R1 + i] = double * terms[last - 1, i] + terms[last - 2, i]
            work[R2 + i] = terms[last - 1, i]
        for c in range(last - 3, 3, -4):
            for i in range(a.width):
                double, before = work[i], work[R1 + i]
                b = double * before - work[R2 + i] + terms[c, i]
                before = double * b - before + terms[c - 1, i]
                b = double * before - b + terms[c - 2, i]
                work[R1 + i] = double * b - before + terms[c - 3, i]
                work[R2 + i] = b
        for i in range(a.width):
            weight[here, z, i] += 0.5 * work[i] * work[R1 + i] - work[R2 + i] + terms[0, i]


@inlined
def weigh(f: int, room: Room, a: Arrangement) -> None:
    """Add moments of function f with itself and the later ones, and the derivative by its curve."""
    functions, order, count = a.functions, len(a.nodes), len(a.chebyshev)
    size, moment, weight, work, offset = functions + 1, room.moment, room.weight, room.work, room.offset
    mode, half, terms, adjoint = room.mode, room.half, room.terms, room.adjoint
    terms[:] = 0.0
    for i in range(a.width):
        terms[-1, i] = 1.0 / half[f, i]
    for r in range(room.level[f + 1] - room.level[f]):
        here = room.level[f] + r
        work[:R3] = 0.0
        for z in range(order):
            for i in range(a.width):
                share, u = weight[here, z, i], mode[f, i] + offset[here, z, i]
                work[i] += share
                work[R1 + i] += share * u
                work[R2 + i] += share * u * u
        for i in range(a.width):
            moment[f * size + f, i] += work[R2 + i]
        for i in range(a.width):
            moment[f * size + functions, i] -= work[R1 + i]
        rest = r
        for g in range(f + 1, functions):
            there, own = room.level[g] + rest // order, rest % order
            rest //= order
            for i in range(a.width):
                moment[f * size + g, i] += work[R1 + i] * (mode[g, i] + offset[there, own, i])
            if g == f + 1:
                for i in range(a.width):
                    weight[there, own, i] = work[i]
    for g in range(f + 1, size):
        for i in range(a.width):
            moment[g * size + f, i] = moment[f * size + g, i]
    if f == functions - 1:
        for z in range(order):
            for i in range(a.width):
                adjoint[f * count + z, i] = weight[room.level[f], z, i]
        return
    _spread(f, room, a)
    for k in range(count):
        here = f * count + k
        adjoint[here] = 0.0
        for c in range(count):
            factor = a.to_coefficients[k, c]
            for i in range(a.width):
                adjoint[here, i] += factor * terms[c, i]


@inlined
def _spread(f: int, room: Room, a: Arrangement) -> None:
    """Sum weight times Chebyshev polynomials over the nodes of function f, four terms at a time."""
    work, offset, weight, sums = room.work, room.offset, room.weight, room.terms
    last = len(sums) - 1
    for node in range((room.level[f + 1] - room.level[f]) * len(a.nodes)):
        here, z = room.level[f] + node // len(a.nodes), node % len(a.nodes)
        for i in range(a.width):
            place, share = min(max(offset[here, z, i] * sums[last, i], -1.0), 1.0), weight[here, z, i]
            one = share * place
            two = 2.0 * place * one - share
            sums[0, i] += share
            sums[1, i] += one
            sums[2, i] += two
            work[i] = 2.0 * place
            work[R1 + i] = one
            work[R2 + i] = two
        for c in range(3, last, 4):
            for i in range(a.width):
                double, before = work[i], work[R2 + i]
                one = double * before - work[R1 + i]
                two = double * one - before
                sums[c, i] += one
                sums[c + 1, i] += two
                one = double * two - one
                two = double * one - two
                sums[c + 2, i] += one
                sums[c + 3, i] += two
                work[R1 + i] = one
                work[R2 + i] = two
