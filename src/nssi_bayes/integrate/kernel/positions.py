"""Where the nodes of a person go: mode and curvature by a fixed number of Newton steps."""

from __future__ import annotations

import numpy as np

from nssi_bayes.integrate.compiling import inlined
from nssi_bayes.integrate.kernel.arrangement import Arrangement
from nssi_bayes.integrate.kernel.room import R1, R2, R3, R4, R5, Array, Room

__all__ = ["exp", "propose"]


@inlined
def exp(x: float) -> float:
    """Exponential that vectorises, within two units in the last place; from exp(-708) to exp(709)."""
    x = min(max(x, -708.0), 709.0)
    shifted = np.float64(x * 1.4426950408889634 + 6755399441055744.0)  # + 1.5 x 2^52 rounds
    whole = shifted - 6755399441055744.0
    r = (x - whole * 6.93147180369123816490e-01) - whole * 1.90821492927058770002e-10  # ln 2
    y = r / 479001600 + 1 / 39916800
    y = ((y * r + 1 / 3628800) * r + 1 / 362880) * r + 1 / 40320
    y = ((y * r + 1 / 5040) * r + 1 / 720) * r + 1 / 120
    y = (((y * r + 1 / 24) * r + 1 / 6) * r + 0.5) * r + 1.0
    power = np.int64((shifted.view(np.int64) + np.int64(1023)) << np.int64(52))
    return (y * r + 1.0) * power.view(np.float64)


@inlined
def propose(loading: Array, shift: Array, room: Room, a: Arrangement) -> None:
    """Find mode, root of the precision there, and the half-width of each curve's stretch."""
    functions, size = a.functions, a.functions + 1
    first, curvature = room.row[:functions], room.row[functions : 2 * functions]
    step = room.row[2 * functions : 3 * functions]
    curvature[:] = 0.0
    for f in range(functions):
        if a.raised:
            room.steep[f] = _steepest(f, loading, a)
        for i in range(a.width):
            room.mode[f, i] = room.matrix[f * size + functions, i]
    _factorise(curvature, room)
    _solve(room.root, room.mode)
    for _ in range(a.newton_steps):
        _slopes(loading, shift, first, curvature, room, a)
        _factorise(curvature, room)
        for f in range(functions):
            for i in range(a.width):
                step[f, i] = room.matrix[f * size + functions, i] + first[f, i]
            for g in range(functions):
                for i in range(a.width):
                    step[f, i] -= room.matrix[f * size + g, i] * room.mode[g, i]
        _solve(room.root, step)
        if a.raised:
            _damp(step, room)
        for f in range(functions):
            for i in range(a.width):
                room.mode[f, i] += min(max(step[f, i], -a.largest_step), a.largest_step)
    _slopes(loading, shift, first, curvature, room, a)
    _factorise(curvature, room)
    for f in range(functions):
        if f == functions - 1:  # evaluated at its own nodes, not interpolated
            for i in range(a.width):
                room.half[f, i] = 1.0 / room.root[f * functions + f, i]
            continue
        step[:] = 0.0
        step[f] = 1.0
        _forward(room.root, step)
        room.half[f] = 0.0
        for g in range(functions):
            for i in range(a.width):
                room.half[f, i] += step[g, i] ** 2
        for i in range(a.width):
            room.half[f, i] = a.reach * np.sqrt(room.half[f, i])


@inlined
def _steepest(f: int, loading: Array, a: Arrangement) -> float:
    found = 0.0
    for j in a.plain[a.plain_start[f] : a.plain_start[f + 1]]:
        found = max(found, abs(loading[j]))
    for s in range(a.testlet_start[f], a.testlet_start[f + 1]):
        for j in a.member[a.member_start[s] : a.member_start[s + 1]]:
            found = max(found, abs(loading[j]))
    return found


@inlined
def _damp(step: Array, room: Room) -> None:
    """Shorten steps so that none goes down, see `quadrature.Newton`."""
    functions, w = step.shape
    change = room.work
    for i in range(w):
        change[i] = 1e-300
    for f in range(functions):
        for i in range(w):
            change[i] = max(change[i], room.steep[f] * abs(step[f, i]))
    for i in range(w):
        change[i] = np.log1p(change[i]) / change[i]
    for f in range(functions):
        for i in range(w):
            step[f, i] *= change[i]


@inlined
def _factorise(curvature: Array, room: Room) -> None:
    """Lower Cholesky of prior precision plus curvature."""
    functions, w = curvature.shape
    root = room.root
    for p in range(functions):
        for q in range(p + 1):
            here = p * functions + q
            for i in range(w):
                root[here, i] = room.matrix[p * (functions + 1) + q, i]
            for c in range(q):
                for i in range(w):
                    root[here, i] -= root[p * functions + c, i] * root[q * functions + c, i]
            if p == q:
                for i in range(w):
                    root[here, i] = np.sqrt(root[here, i] + curvature[p, i])
            else:
                for i in range(w):
                    root[here, i] /= root[q * functions + q, i]


@inlined
def _forward(root: Array, right: Array) -> None:
    functions, w = right.shape
    for p in range(functions):
        for q in range(p):
            for i in range(w):
                right[p, i] -= root[p * functions + q, i] * right[q, i]
        for i in range(w):
            right[p, i] /= root[p * functions + p, i]


@inlined
def _solve(root: Array, right: Array) -> None:
    """Solve R R' x = right in place."""
    _forward(root, right)
    functions, w = right.shape
    for p in range(functions - 1, -1, -1):
        for q in range(p + 1, functions):
            for i in range(w):
                right[p, i] -= root[q * functions + p, i] * right[q, i]
        for i in range(w):
            right[p, i] /= root[p * functions + p, i]


@inlined
def _slopes(loading: Array, shift: Array, first: Array, curvature: Array, room: Room, a: Arrangement) -> None:
    """First and negative second derivative of each function's log-likelihood at the mode."""
    work, response = room.work, room.response
    for f in range(a.functions):
        for i in range(a.width):
            room.spot[f, i] = room.mode[f, i]
        if len(room.shape):
            _skew(f, room)
        work[:R2] = 0.0
        for j in a.plain[a.plain_start[f] : a.plain_start[f + 1]]:
            size = loading[j]
            for i in range(a.width):
                odds = exp(size * room.spot[f, i])
                over, low = odds * response[j, i], response[j, R1 + i]
                r = 1.0 / ((1.0 + over) * (odds + low))
                over, under = over * (odds + low) * r, low * (1.0 + over) * r
                work[i] += size * (under - over)
                work[R1 + i] += size * size * (under * (1.0 - under) + over * (1.0 - over))
        if a.raised and f == a.functions - 1:
            for i in range(a.width):
                work[i] = room.tail[1, i] * work[i] + room.tail[0, i]
                work[R1 + i] *= room.tail[1, i]
        for s in range(a.testlet_start[f], a.testlet_start[f + 1]):
            _testlet_slope(s, f, loading, shift, room, a)
        if len(room.shape):
            _chain(f, room)
        for i in range(a.width):
            first[f, i] = work[i]
            curvature[f, i] = max(work[R1 + i], 0.0)


@inlined
def _skew(f: int, room: Room) -> None:
    """Put the function at the mode into `spot`."""
    epsilon, rate, mean, over = room.shape[f]
    for i in range(room.spot.shape[1]):
        angle = (np.arcsinh(room.mode[f, i]) + epsilon) * rate
        room.spot[f, i] = (np.sinh(angle) - mean) * over


@inlined
def _chain(f: int, room: Room) -> None:
    """Make derivatives by the function those by what is Gaussian."""
    epsilon, rate, _, over = room.shape[f]
    for i in range(room.spot.shape[1]):
        e = room.mode[f, i]
        angle, square = (np.arcsinh(e) + epsilon) * rate, 1.0 + e * e
        rising = np.cosh(angle) * rate / np.sqrt(square)
        bend = (np.sinh(angle) * rate * rate - rising * e) / square * over
        rising *= over
        room.work[R1 + i] = room.work[R1 + i] * rising * rising - room.work[i] * bend
        room.work[i] *= rising


@inlined
def _testlet_slope(s: int, f: int, loading: Array, shift: Array, room: Room, a: Arrangement) -> None:
    """Add the derivatives of one residual factor's indicators to the first rows of `work`."""
    work, response = room.work, room.response
    work[R5:] = 0.0  # total, score, information
    for t in range(len(a.rough_position)):
        work[R2:R5] = 0.0
        for i in range(a.width):
            work[R2 + i] = a.rough_weight[t]
        for j in a.member[a.member_start[s] : a.member_start[s + 1]]:
            size, move = loading[j], shift[a.testlet[s], t]
            for i in range(a.width):
                odds = exp(size * room.spot[f, i]) * move
                over, low = odds * response[j, i], response[j, R1 + i]
                r = 1.0 / ((1.0 + over) * (odds + low))
                work[R2 + i] *= odds * r
                over, under = over * (odds + low) * r, low * (1.0 + over) * r
                work[R3 + i] += size * (under - over)
                work[R4 + i] += size * size * (under * (1.0 - under) + over * (1.0 - over))
        for i in range(a.width):
            share, score = work[R2 + i], work[R3 + i]
            work[R5 + i] += share
            work[R5 + R1 + i] += share * score
            work[R5 + R2 + i] += share * (work[R4 + i] - score * score)
    for i in range(a.width):
        mean = work[R5 + R1 + i] / work[R5 + i]
        work[i] += mean
        work[R1 + i] += work[R5 + R2 + i] / work[R5 + i] + mean * mean
