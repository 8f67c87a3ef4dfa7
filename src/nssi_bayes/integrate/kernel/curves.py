"""The curves of a person's functions at their nodes, and the derivatives of what they are made of."""

from __future__ import annotations

from typing import Final

import numpy as np

from nssi_bayes.integrate.compiling import inlined
from nssi_bayes.integrate.kernel.arrangement import Arrangement
from nssi_bayes.integrate.kernel.positions import exp
from nssi_bayes.integrate.kernel.room import R1, R2, R3, R4, Array, Room

__all__ = ["fill_curve", "plain_slopes", "raised_slopes", "shape_slopes", "testlet_slopes"]

FACTORS_A_LOG: Final = 4
"""Probabilities multiplied before a logarithm is taken; each may fall to 1e-77."""


@inlined
def fill_curve(f: int, loading: Array, shift: Array, room: Room, a: Arrangement) -> None:
    """Evaluate one function's log-likelihood where it is interpolated, or needed."""
    count, odds, response, row = len(a.chebyshev), room.odds, room.response, room.row
    places = a.nodes if f == a.functions - 1 else a.chebyshev
    for k in range(len(places)):
        here = f * count + k
        place = places[k]
        for i in range(a.width):
            room.point[here, i] = room.mode[f, i] + room.half[f, i] * place
        if len(room.shape):
            _skew(f, here, room)
        room.curve[here] = 0.0
        waiting = 0
        row[0] = 1.0
        for j in a.plain[a.plain_start[f] : a.plain_start[f + 1]]:
            spot = j * count + k
            _fill_odds(loading[j], here, spot, room)
            for i in range(a.width):
                up, low = response[j, i], response[j, R1 + i]
                row[0, i] *= 1.0 + up * low + up * odds[spot, i] + low * odds[spot, R1 + i]
            waiting += 1
            if waiting == FACTORS_A_LOG or j == a.plain[a.plain_start[f + 1] - 1]:
                for i in range(a.width):
                    room.curve[here, i] -= np.log(row[0, i])
                    row[0, i] = 1.0
                waiting = 0
        if a.raised and f == a.functions - 1:
            for i in range(a.width):
                room.bare[k, i] = room.curve[here, i]
                room.curve[here, i] *= room.tail[1, i]
                room.curve[here, i] += room.tail[0, i] * room.point[here, i]
        for s in range(a.testlet_start[f], a.testlet_start[f + 1]):
            _fill_testlet(s, k, here, loading, shift, room, a)


@inlined
def _skew(f: int, here: int, room: Room) -> None:
    """Make a point, which is Gaussian, one of the function; keep what its derivatives need."""
    epsilon, rate, mean, over = room.shape[f]
    for i in range(room.point.shape[1]):
        moved = np.arcsinh(room.point[here, i]) + epsilon
        room.rise[here, i] = moved
        room.rise[here, R1 + i] = np.cosh(moved * rate)
        room.point[here, i] = (np.sinh(moved * rate) - mean) * over


@inlined
def _fill_odds(size: float, here: int, spot: int, room: Room) -> None:
    for i in range(room.point.shape[1]):
        odds = exp(size * room.point[here, i])
        room.odds[spot, i] = odds
        room.odds[spot, R1 + i] = 1.0 / odds


@inlined
def _fill_testlet(
    s: int, k: int, here: int, loading: Array, shift: Array, room: Room, a: Arrangement
) -> None:
    """Add the log-likelihood of one residual factor's indicators; keep shares and parts of 1 / P."""
    count, nodes = len(a.chebyshev), len(a.position)
    work, odds, response = room.work, room.odds, room.response
    members = a.member[a.member_start[s] : a.member_start[s + 1]]
    for j in members:
        spot, own = j * count + k, j * count + k
        _fill_odds(loading[j], here, spot, room)
        for i in range(a.width):
            up, low = response[j, i], response[j, R1 + i]
            room.part[own, i] = 1.0 + up * low
            room.part[own, R1 + i] = up * odds[spot, i]
            room.part[own, R2 + i] = low * odds[spot, R1 + i]
    work[R1:R2] = 0.0
    first = (s * count + k) * nodes
    for t in range(nodes):
        move = shift[a.testlet[s], t]
        back = 1.0 / move
        work[:R1] = 1.0
        for j in members:
            own = j * count + k
            for i in range(a.width):
                work[i] *= room.part[own, i] + room.part[own, R1 + i] * move + room.part[own, R2 + i] * back
        for i in range(a.width):
            share = a.weight[t] / work[i]
            room.share[first + t, i] = share
            work[R1 + i] += share
    for i in range(a.width):
        room.curve[here, i] += np.log(work[R1 + i])
        work[R1 + i] = 1.0 / work[R1 + i]
    for t in range(nodes):
        for i in range(a.width):
            room.share[first + t, i] *= work[R1 + i]


@inlined
def raised_slopes(found: Array, batch: int, room: Room, a: Arrangement) -> None:
    """Derive by the power of the last function's indicators, and make its adjoints theirs."""
    first = (a.functions - 1) * len(a.chebyshev)
    room.work[:R1] = 0.0
    for k in range(len(a.nodes)):
        for i in range(a.width):
            room.work[i] += room.adjoint[first + k, i] * room.bare[k, i]
            room.adjoint[first + k, i] *= room.tail[1, i]
    for i in range(batch):
        found[i] = room.work[i]


@inlined
def plain_slopes(f: int, loading: Array, room: Room, a: Arrangement) -> None:
    """Add derivatives by what belongs to the indicators without a residual factor."""
    count, odds, response, slope = len(a.chebyshev), room.odds, room.response, room.slope
    for j in a.plain[a.plain_start[f] : a.plain_start[f + 1]]:
        for k in range(len(a.nodes) if f == a.functions - 1 else count):
            here, spot = f * count + k, j * count + k
            for i in range(a.width):
                up, low = response[j, i], response[j, R1 + i]
                e, inverse = odds[spot, i], odds[spot, R1 + i]
                r = room.adjoint[here, i] / (1.0 + up * low + up * e + low * inverse)
                slope[j, i] -= (low + e) * r
                slope[j, R1 + i] -= (up + inverse) * r
                slope[j, R2 + i] += room.point[here, i] * (low * inverse - up * e) * r
            if len(room.shape):
                for i in range(a.width):
                    up, low = response[j, i], response[j, R1 + i]
                    e, inverse = odds[spot, i], odds[spot, R1 + i]
                    r = room.adjoint[here, i] / (1.0 + up * low + up * e + low * inverse)
                    room.pull[here, i] += loading[j] * (low * inverse - up * e) * r


@inlined
def shape_slopes(f: int, room: Room, a: Arrangement) -> None:
    """Derive by how the function is skewed, after all its indicators."""
    _, rate, _, over = room.shape[f]
    count, found = len(a.chebyshev), room.slope_shape
    for k in range(len(a.nodes) if f == a.functions - 1 else count):
        here = f * count + k
        for i in range(a.width):
            pull, rising = room.pull[here, i], room.rise[here, R1 + i] * over
            found[4 * f, i] += pull * rising * rate
            found[4 * f + 1, i] += pull * rising * room.rise[here, i]
            found[4 * f + 2, i] -= pull * over
            found[4 * f + 3, i] += pull * room.point[here, i] / over


@inlined
def testlet_slopes(f: int, loading: Array, shift: Array, room: Room, a: Arrangement) -> None:
    """Add derivatives by what belongs to the indicators with a residual factor."""
    count, nodes = len(a.chebyshev), len(a.position)
    odds, response, slope = room.odds, room.response, room.slope
    for s in range(a.testlet_start[f], a.testlet_start[f + 1]):
        for j in a.member[a.member_start[s] : a.member_start[s + 1]]:
            for k in range(len(a.nodes) if f == a.functions - 1 else count):
                here, spot = f * count + k, j * count + k
                _testlet_sums((s * count + k) * nodes, j * count + k, here, shift[a.testlet[s]], room, a)
                for i in range(a.width):
                    up, low = response[j, i], response[j, R1 + i]
                    e, inverse = odds[spot, i], odds[spot, R1 + i]
                    none, more, less = room.work[i], room.work[R1 + i], room.work[R2 + i]
                    slope[j, i] -= low * none + e * more
                    slope[j, R1 + i] -= up * none + inverse * less
                    slope[j, R2 + i] += room.point[here, i] * (low * inverse * less - up * e * more)
                if len(room.shape):
                    for i in range(a.width):
                        up, low = response[j, i] * odds[spot, i], response[j, R1 + i] * odds[spot, R1 + i]
                        more, less = room.work[R1 + i], room.work[R2 + i]
                        room.pull[here, i] += loading[j] * (low * less - up * more)
                for i in range(a.width):
                    room.slope_gamma[a.testlet[s], i] += room.work[R3 + i]


@inlined
def _testlet_sums(first: int, own: int, here: int, shift: Array, room: Room, a: Arrangement) -> None:
    """Sum adjoint x share / D, the same x shift and / shift, and the derivative by gamma."""
    work, part = room.work, room.part
    work[:R4] = 0.0
    for t in range(len(a.position)):
        move, position = shift[t], a.position[t]
        back = 1.0 / move
        for i in range(a.width):
            over, under = part[own, R1 + i] * move, part[own, R2 + i] * back
            r = room.share[first + t, i] * room.adjoint[here, i] / (part[own, i] + over + under)
            work[i] += r
            work[R1 + i] += r * move
            work[R2 + i] += r * back
            work[R3 + i] += position * (under - over) * r
