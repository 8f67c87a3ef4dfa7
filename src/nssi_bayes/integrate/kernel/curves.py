"""The curves of a person's functions at their nodes, and the derivatives of what they are made of."""

from __future__ import annotations

from typing import Final

import numpy as np

from nssi_bayes.integrate.compiling import inlined
from nssi_bayes.integrate.kernel.arrangement import Arrangement
from nssi_bayes.integrate.kernel.positions import exp, log
from nssi_bayes.integrate.kernel.room import R1, R2, R3, R4, Array, Room

__all__ = ["fill_curve", "plain_slopes", "raised_slopes", "shape_slopes", "testlet_slopes"]

FACTORS_A_LOG: Final = 4
"""Probabilities multiplied before a logarithm is taken; each may fall to 1e-77."""


@inlined
def fill_curve(f: int, loading: Array, shift: Array, room: Room, a: Arrangement) -> None:
    """Evaluate one function's log-likelihood where it is interpolated, or needed."""
    count, odds, response, row = len(a.chebyshev), room.odds, room.response, room.row
    point, curve, mode, half = room.point, room.curve, room.mode, room.half
    places = a.nodes if f == a.functions - 1 else a.chebyshev
    for k in range(len(places)):
        here = f * count + k
        place = places[k]
        for i in range(a.width):
            point[here, i] = mode[f, i] + half[f, i] * place
        if len(room.shape):
            _skew(f, here, room)
        curve[here] = 0.0
        waiting = 0
        row[0] = 1.0
        for j in a.plain[a.plain_start[f] : a.plain_start[f + 1]]:
            spot, size = j * count + k, loading[j]
            for i in range(a.width):
                up, low = response[j, i], response[j, R1 + i]
                e = exp(size * point[here, i])
                inverse = 1.0 / e
                odds[spot, i] = e
                odds[spot, R1 + i] = inverse
                row[0, i] *= 1.0 + up * low + up * e + low * inverse
            waiting += 1
            if waiting == FACTORS_A_LOG or j == a.plain[a.plain_start[f + 1] - 1]:
                for i in range(a.width):
                    curve[here, i] -= log(row[0, i])
                    row[0, i] = 1.0
                waiting = 0
        if a.raised and f == a.functions - 1:
            bare, tail = room.bare, room.tail
            for i in range(a.width):
                bare[k, i] = curve[here, i]
                curve[here, i] = curve[here, i] * tail[1, i] + tail[0, i] * point[here, i]
    for s in range(a.testlet_start[f], a.testlet_start[f + 1]):
        _fill_testlet(s, f, loading, shift, room, a)


@inlined
def _skew(f: int, here: int, room: Room) -> None:
    """Make a point, which is Gaussian, one of the function; keep what its derivatives need."""
    epsilon, rate, mean, over = room.shape[f]
    point, rise = room.point, room.rise
    for i in range(point.shape[1]):
        moved = np.arcsinh(point[here, i]) + epsilon
        rise[here, i] = moved
        rise[here, R1 + i] = np.cosh(moved * rate)
        point[here, i] = (np.sinh(moved * rate) - mean) * over


@inlined
def _fill_testlet(s: int, f: int, loading: Array, shift: Array, room: Room, a: Arrangement) -> None:
    """Add the log-likelihood of one residual factor's indicators; keep shares and parts of 1 / P."""
    count, nodes = len(a.chebyshev), len(a.position)
    work, odds, response, part = room.work, room.odds, room.response, room.part
    point, share_of, curve = room.point, room.share, room.curve
    members = a.member[a.member_start[s] : a.member_start[s + 1]]
    for k in range(len(a.nodes) if f == a.functions - 1 else count):
        here, first = f * count + k, (s * count + k) * nodes
        for j in members:
            spot, size = j * count + k, loading[j]
            for i in range(a.width):
                up, low = response[j, i], response[j, R1 + i]
                e = exp(size * point[here, i])
                inverse = 1.0 / e
                odds[spot, i] = e
                odds[spot, R1 + i] = inverse
                part[spot, i] = 1.0 + up * low
                part[spot, R1 + i] = up * e
                part[spot, R2 + i] = low * inverse
        work[R1:R2] = 0.0
        for t in range(nodes):
            move, weight = shift[a.testlet[s], t], a.weight[t]
            back = 1.0 / move
            work[:R1] = 1.0
            for j in members:
                spot = j * count + k
                for i in range(a.width):
                    work[i] *= part[spot, i] + part[spot, R1 + i] * move + part[spot, R2 + i] * back
            for i in range(a.width):
                share = weight / work[i]
                share_of[first + t, i] = share
                work[R1 + i] += share
        for i in range(a.width):
            curve[here, i] += log(work[R1 + i])
            work[R1 + i] = 1.0 / work[R1 + i]
        for t in range(nodes):
            for i in range(a.width):
                share_of[first + t, i] *= work[R1 + i]


@inlined
def raised_slopes(found: Array, batch: int, room: Room, a: Arrangement) -> None:
    """Derive by the power of the last function's indicators, and make its adjoints theirs."""
    first = (a.functions - 1) * len(a.chebyshev)
    work, adjoint, bare, tail = room.work, room.adjoint, room.bare, room.tail
    work[:R1] = 0.0
    for k in range(len(a.nodes)):
        for i in range(a.width):
            work[i] += adjoint[first + k, i] * bare[k, i]
            adjoint[first + k, i] *= tail[1, i]
    for i in range(batch):
        found[i] = work[i]


@inlined
def plain_slopes(f: int, loading: Array, room: Room, a: Arrangement) -> None:
    """Add derivatives by what belongs to the indicators without a residual factor."""
    count, odds, response, slope = len(a.chebyshev), room.odds, room.response, room.slope
    point, adjoint, pull = room.point, room.adjoint, room.pull
    for j in a.plain[a.plain_start[f] : a.plain_start[f + 1]]:
        for k in range(len(a.nodes) if f == a.functions - 1 else count):
            here, spot = f * count + k, j * count + k
            for i in range(a.width):
                up, low = response[j, i], response[j, R1 + i]
                e, inverse = odds[spot, i], odds[spot, R1 + i]
                r = adjoint[here, i] / (1.0 + up * low + up * e + low * inverse)
                slope[j, i] -= (low + e) * r
                slope[j, R1 + i] -= (up + inverse) * r
                slope[j, R2 + i] += point[here, i] * (low * inverse - up * e) * r
            if len(room.shape):
                size = loading[j]
                for i in range(a.width):
                    up, low = response[j, i], response[j, R1 + i]
                    e, inverse = odds[spot, i], odds[spot, R1 + i]
                    r = adjoint[here, i] / (1.0 + up * low + up * e + low * inverse)
                    pull[here, i] += size * (low * inverse - up * e) * r


@inlined
def shape_slopes(f: int, room: Room, a: Arrangement) -> None:
    """Derive by how the function is skewed, after all its indicators."""
    _, rate, _, over = room.shape[f]
    count, found = len(a.chebyshev), room.slope_shape
    pull_of, rise, point = room.pull, room.rise, room.point
    for k in range(len(a.nodes) if f == a.functions - 1 else count):
        here = f * count + k
        for i in range(a.width):
            pull, rising = pull_of[here, i], rise[here, R1 + i] * over
            found[4 * f, i] += pull * rising * rate
            found[4 * f + 1, i] += pull * rising * rise[here, i]
            found[4 * f + 2, i] -= pull * over
            found[4 * f + 3, i] += pull * point[here, i] / over


@inlined
def testlet_slopes(f: int, loading: Array, shift: Array, room: Room, a: Arrangement) -> None:
    """Add derivatives by what belongs to the indicators with a residual factor."""
    count, nodes = len(a.chebyshev), len(a.position)
    odds, response, slope, work = room.odds, room.response, room.slope, room.work
    point, pull, slope_gamma = room.point, room.pull, room.slope_gamma
    part, share, adjoint = room.part, room.share, room.adjoint
    for s in range(a.testlet_start[f], a.testlet_start[f + 1]):
        own = a.testlet[s]
        for j in a.member[a.member_start[s] : a.member_start[s + 1]]:
            size = loading[j]
            for k in range(len(a.nodes) if f == a.functions - 1 else count):
                here, spot, first = f * count + k, j * count + k, (s * count + k) * nodes
                work[:R4] = 0.0  # adjoint x share / D, the same x shift and / shift, the derivative by gamma
                for t in range(nodes):
                    move, position = shift[own, t], a.position[t]
                    back = 1.0 / move
                    for i in range(a.width):
                        over, under = part[spot, R1 + i] * move, part[spot, R2 + i] * back
                        r = share[first + t, i] * adjoint[here, i] / (part[spot, i] + over + under)
                        work[i] += r
                        work[R1 + i] += r * move
                        work[R2 + i] += r * back
                        work[R3 + i] += position * (under - over) * r
                for i in range(a.width):
                    up, low = response[j, i], response[j, R1 + i]
                    e, inverse = odds[spot, i], odds[spot, R1 + i]
                    none, more, less = work[i], work[R1 + i], work[R2 + i]
                    slope[j, i] -= low * none + e * more
                    slope[j, R1 + i] -= up * none + inverse * less
                    slope[j, R2 + i] += point[here, i] * (low * inverse * less - up * e * more)
                for i in range(a.width):
                    slope_gamma[own, i] += work[R3 + i]
                if len(room.shape):
                    for i in range(a.width):
                        up, low = response[j, i] * odds[spot, i], response[j, R1 + i] * odds[spot, R1 + i]
                        pull[here, i] += size * (low * work[R2 + i] - up * work[R1 + i])
