"""Where the nodes of a person go: mode and curvature by a fixed number of Newton steps."""

from __future__ import annotations

import numpy as np

from nssi_bayes.integrate.compiling import inlined
from nssi_bayes.integrate.kernel.arrangement import Arrangement
from nssi_bayes.integrate.kernel.room import R1, R2, R3, R4, R5, Array, Room

__all__ = ["exp", "log", "propose"]


@inlined
def exp(x: float) -> float:
    """Exponential that vectorises, within three units in the last place; from exp(-708) to exp(709)."""
    x = min(max(x, -708.0), 709.0)
    shifted = np.float64(x * 1.4426950408889634 + 6755399441055744.0)  # + 1.5 x 2^52 rounds
    whole = shifted - 6755399441055744.0
    r = (x - whole * 6.93147180369123816490e-01) - whole * 1.90821492927058770002e-10  # ln 2
    r2 = r * r
    r4 = r2 * r2
    y = (1 / 3628800 + r * (1 / 39916800)) + r2 * (1 / 479001600)
    y = (1 / 720 + r * (1 / 5040)) + r2 * (1 / 40320 + r * (1 / 362880)) + r4 * y
    y = (1 / 2 + r * (1 / 6)) + r2 * (1 / 24 + r * (1 / 120)) + r4 * y
    power = np.int64((shifted.view(np.int64) + np.int64(1023)) << np.int64(52))
    return (1.0 + (r + r2 * y)) * power.view(np.float64)


@inlined
def log(x: float) -> float:
    """Logarithm that vectorises, within two units in the last place; of what is smaller that of 2e-308."""
    bits = np.float64(max(x, 2.2250738585072014e-308)).view(np.int64)
    high = (bits - np.int64(0x3FE6A09E667F3BCD)) >> np.int64(52)  # of x over the root of 1/2
    m = np.int64(bits - (high << np.int64(52))).view(np.float64)
    whole = np.int64(high + np.int64(0x4338000000000000)).view(np.float64) - 6755399441055744.0
    s = (m - 1.0) / (m + 1.0)
    r = s * s
    r2 = r * r
    r4 = r2 * r2
    y = (1 / 11 + r * (1 / 13)) + r2 * (1 / 15 + r * (1 / 17)) + r4 * (1 / 19 + r * (1 / 21))
    y = (1 / 3 + r * (1 / 5)) + r2 * (1 / 7 + r * (1 / 9)) + r4 * y
    s += s
    found = whole * 1.90821492927058770002e-10 + (s * (r * y) + s) + whole * 6.93147180369123816490e-01
    return found + (x - x)  # of what is infinite: not a number


@inlined
def propose(loading: Array, shift: Array, room: Room, a: Arrangement) -> None:
    """Find mode, root of the precision there, and the half-width of each curve's stretch."""
    functions, size = a.functions, a.functions + 1
    first, curvature = room.row[:functions], room.row[functions : 2 * functions]
    step = room.row[2 * functions : 3 * functions]
    matrix, mode, half, root = room.matrix, room.mode, room.half, room.root
    curvature[:] = 0.0
    for f in range(functions):
        room.steep[f] = _steepest(f, loading, a)
        for i in range(a.width):
            mode[f, i] = matrix[f * size + functions, i]
    _factorise(curvature, room)
    _solve(root, mode)
    most = a.largest_step
    for _ in range(a.newton_steps):
        _slopes(loading, shift, first, curvature, room, a)
        _factorise(curvature, room)
        for f in range(functions):
            for i in range(a.width):
                step[f, i] = matrix[f * size + functions, i] + first[f, i]
            for g in range(functions):
                for i in range(a.width):
                    step[f, i] -= matrix[f * size + g, i] * mode[g, i]
        _solve(root, step)
        _shorten(step, room, a)
        for f in range(functions):
            for i in range(a.width):
                mode[f, i] += min(max(step[f, i], -most), most)
    _slopes(loading, shift, first, curvature, room, a)
    _factorise(curvature, room)
    for f in range(functions):
        if f == functions - 1:  # evaluated at its own nodes, not interpolated
            for i in range(a.width):
                half[f, i] = 1.0 / root[f * functions + f, i]
            continue
        step[:] = 0.0
        step[f] = 1.0
        _forward(root, step)
        half[f] = 0.0
        for g in range(functions):
            for i in range(a.width):
                half[f, i] += step[g, i] ** 2
        for i in range(a.width):
            half[f, i] = a.reach * np.sqrt(half[f, i])


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
def _shorten(step: Array, room: Room, a: Arrangement) -> None:
    """Shorten steps by what they change of a predictor, see `quadrature.Newton`."""
    functions, w = step.shape
    change, steep = room.work, room.steep
    for i in range(w):
        change[i] = 1e-300
    for f in range(functions):
        for i in range(w):
            change[i] = max(change[i], steep[f] * abs(step[f, i]))
    if a.raised:
        for i in range(w):
            change[i] = np.log1p(change[i]) / change[i]
    else:
        most = a.largest_change
        for i in range(w):
            change[i] = min(1.0, most / change[i])
    for f in range(functions):
        for i in range(w):
            step[f, i] *= change[i]


@inlined
def _factorise(curvature: Array, room: Room) -> None:
    """Lower Cholesky of prior precision plus curvature."""
    functions, w = curvature.shape
    root, matrix = room.root, room.matrix
    for p in range(functions):
        for q in range(p + 1):
            here = p * functions + q
            for i in range(w):
                root[here, i] = matrix[p * (functions + 1) + q, i]
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
    work, response, spot, tail = room.work, room.response, room.spot, room.tail
    mode = room.mode
    for f in range(a.functions):
        for i in range(a.width):
            spot[f, i] = mode[f, i]
        if len(room.shape):
            _skew(f, room)
        work[:R2] = 0.0
        for j in a.plain[a.plain_start[f] : a.plain_start[f + 1]]:
            size = loading[j]
            for i in range(a.width):
                odds = exp(size * spot[f, i])
                over, low = odds * response[j, i], response[j, R1 + i]
                r = 1.0 / ((1.0 + over) * (odds + low))
                over, under = over * (odds + low) * r, low * (1.0 + over) * r
                work[i] += size * (under - over)
                work[R1 + i] += size * size * (under * (1.0 - under) + over * (1.0 - over))
        if a.raised and f == a.functions - 1:
            for i in range(a.width):
                work[i] = tail[1, i] * work[i] + tail[0, i]
                work[R1 + i] *= tail[1, i]
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
    mode, spot = room.mode, room.spot
    for i in range(spot.shape[1]):
        angle = (np.arcsinh(mode[f, i]) + epsilon) * rate
        spot[f, i] = (np.sinh(angle) - mean) * over


@inlined
def _chain(f: int, room: Room) -> None:
    """Make derivatives by the function those by what is Gaussian."""
    epsilon, rate, _, over = room.shape[f]
    mode, work = room.mode, room.work
    for i in range(mode.shape[1]):
        e = mode[f, i]
        angle, square = (np.arcsinh(e) + epsilon) * rate, 1.0 + e * e
        rising = np.cosh(angle) * rate / np.sqrt(square)
        bend = (np.sinh(angle) * rate * rate - rising * e) / square * over
        rising *= over
        work[R1 + i] = work[R1 + i] * rising * rising - work[i] * bend
        work[i] *= rising


@inlined
def _testlet_slope(s: int, f: int, loading: Array, shift: Array, room: Room, a: Arrangement) -> None:
    """Add the derivatives of one residual factor's indicators to the first rows of `work`."""
    work, response, spot = room.work, room.response, room.spot
    work[R5:] = 0.0  # total, score, information
    for t in range(len(a.rough_position)):
        work[R2:R5] = 0.0
        weight = a.rough_weight[t]
        for i in range(a.width):
            work[R2 + i] = weight
        for j in a.member[a.member_start[s] : a.member_start[s + 1]]:
            size, move = loading[j], shift[a.testlet[s], t]
            for i in range(a.width):
                odds = exp(size * spot[f, i]) * move
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
