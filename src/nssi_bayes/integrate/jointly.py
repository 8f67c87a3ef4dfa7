"""The integral over a person's functions where items load on several of them, for scores.

Nothing separates then: all items are evaluated at all nodes of the adaptive, rotated Gauss-Hermite
grid (`quadrature`). That is a hundred times the work of the kernel, too slow for a sampler, and
enough for the pointwise scores of a posterior. Residual factors of items are one more sum at each node.

So is what the predictor of an outcome that is not Gaussian has beside the functions: factors that were
integrated out leave it normal given them, and this normal z is one more axis of the rotated grid, the
innermost, along which no item changes. A count behind a hurdle has two predictors and two such axes, of
which the inner one moves the count's alone; who has none has one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nssi_bayes.integrate.compiling import compiled, inlined
from nssi_bayes.integrate.curve import FAR, SMALL, Outcome, no_outcome
from nssi_bayes.integrate.gaussian import LOG_2PI
from nssi_bayes.integrate.quadrature import Grid

__all__ = ["Items", "Outcome", "integrate", "make_nodes", "no_outcome"]

type Array = np.ndarray[Any, Any]

NEWTON_STEPS = 12
LARGE = 650.0  # whose exponential is a number
TIGHT = 1e-9
"""Spread of a predictor given the functions under which it has none."""


class Items(NamedTuple):
    """Items of everybody at one value of the parameters.

    Parameters
    ----------
    upper, lower : numpy.ndarray
        U and V of the responses, 0 if missing [`participant`, `indicator`].
    loading : numpy.ndarray
        [`indicator`, `function`].
    gamma : numpy.ndarray
        Size of the residual factors [`testlet`].
    testlet_of : numpy.ndarray
        Position of the residual factor, -1 if none [`indicator`].
    position, weight : numpy.ndarray
        Rule over a residual factor.
    shape : numpy.ndarray
        How functions are skewed, as `sinh_arcsinh.shape_of` [`function`, 4]; no rows: they are not.
    """

    upper: Array
    lower: Array
    loading: Array
    gamma: Array
    testlet_of: Array
    position: Array
    weight: Array
    shape: Array = np.zeros((0, 4))


def make_nodes(grid: Grid) -> tuple[Array, Array]:
    """Return positions [node, `function`] and log-weights [node] of a product rule."""
    mesh = np.meshgrid(*[grid.nodes] * grid.functions, indexing="ij")
    weights = np.stack(np.meshgrid(*[grid.log_weights] * grid.functions, indexing="ij")).sum(axis=0)
    return np.stack([m.ravel() for m in mesh], axis=1), weights.ravel()


@compiled
def integrate(
    matrix: Array, items: Items, outcome: Outcome, nodes: Array, log_weight: Array
) -> tuple[Array, Array, Array]:
    """Return log of the integral of exp(-u'Mu/2) times data over the functions, mean and covariance.

    Parameters
    ----------
    matrix : numpy.ndarray
        M [`participant`, `function` + 1, `function` + 1], as in `gaussian.Quadratic`; or over what is
        Gaussian, the functions that are skewed from it, and -1.
    items : Items
        Their likelihood.
    outcome : Outcome
        Its likelihood.
    nodes, log_weight : numpy.ndarray
        From `make_nodes`.

    Returns
    -------
    tuple of numpy.ndarray
        Nats, without the constants of prior and items [`participant`]; mean [`participant`,
        `function`] and covariance of the functions, skewed where they are, given all.
    """
    people, size, rows = matrix.shape[0], items.loading.shape[1], matrix.shape[1] - 1
    value, mean = np.empty(people), np.zeros((people, size))
    covariance = np.zeros((people, size, size))
    point, total, eta = np.empty((len(nodes), size)), np.empty(len(nodes)), np.empty((len(nodes), size))
    first = outcome.spread.shape[1]  # of the functions; z stands before them
    place = np.empty(first)
    for i in range(people):
        precision, information = matrix[i, :rows, :rows].copy(), matrix[i, :rows, rows].copy()
        mode, root = _mode(i, precision, information, items, outcome)
        inverse = np.linalg.inv(root).T.copy()
        for q in range(len(nodes)):
            for a in range(size):
                point[q, a] = mode[first + a]
                for b in range(size):
                    point[q, a] += inverse[first + a, first + b] * nodes[q, b]
            for a in range(size):
                eta[q, a] = _skewed(point[q, a], a, items)[0]
            total[q] = log_weight[q] + _log_items(i, eta[q], items)
            for a in range(first):
                place[a] = mode[a]
                for b in range(size):
                    place[a] += inverse[a, first + b] * nodes[q, b]
            total[q] += _log_outcome(i, eta[q], place, inverse, outcome)
            total[q] = _plus_gaussian(total[q], point[q], eta[q], precision, information)
        top = total.max()
        share = np.exp(total - top)
        whole = share.sum()
        value[i] = top + np.log(whole) - 0.5 * matrix[i, rows, rows]
        for a in range(size):
            value[i] -= np.log(root[first + a, first + a])
            mean[i, a] = (share * eta[:, a]).sum() / whole
        for a in range(size):
            for b in range(size):
                away = (eta[:, a] - mean[i, a]) * (eta[:, b] - mean[i, b])
                covariance[i, a, b] = (share * away).sum() / whole
    return value, mean, covariance


@inlined
def _plus_gaussian(total: float, point: Array, eta: Array, precision: Array, information: Array) -> float:
    """Add the log-density of what is Gaussian and, behind it, what images say of functions."""
    size = len(point)
    for a in range(len(information)):
        one = point[a] if a < size else eta[a - size]
        total += information[a] * one
        for b in range(len(information)):
            other = point[b] if b < size else eta[b - size]
            total -= 0.5 * precision[a, b] * one * other
    return total


@inlined
def _skewed(e: float, f: int, items: Items) -> tuple[float, float, float]:
    """Return a function, and its first and second derivative by what is Gaussian."""
    if len(items.shape) == 0:
        return e, 1.0, 0.0
    epsilon, rate, mean, over = items.shape[f]
    angle, square = (np.arcsinh(e) + epsilon) * rate, 1.0 + e * e
    rising = np.cosh(angle) * rate / np.sqrt(square)
    bend = (np.sinh(angle) * rate * rate - rising * e) / square
    return (np.sinh(angle) - mean) * over, rising * over, bend * over


@inlined
def _log_items(i: int, eta: Array, items: Items) -> float:
    """Return one person's item log-likelihood at one value of the functions."""
    total = 0.0
    plain, shared = np.float64(0.0), np.ones((len(items.gamma), len(items.position)))
    for j in range(len(items.loading)):
        up, low = items.upper[i, j], items.lower[i, j]
        if up == 0.0 and low == 0.0:
            continue
        predictor = 0.0
        for f in range(len(eta)):
            predictor += items.loading[j, f] * eta[f]
        s = items.testlet_of[j]
        if s < 0:
            edge = min(max(predictor, -LARGE), LARGE)
            odds = np.exp(edge)
            plain += np.log(1.0 + up * low + odds * up + low / odds)
            if (up if predictor > 0.0 else low) > 0.0:
                plain += abs(predictor - edge)  # a line from there on
            continue
        for t in range(len(items.position)):
            odds = np.exp(min(max(predictor + items.gamma[s] * items.position[t], -LARGE), LARGE))
            shared[s, t] /= 1.0 + up * low + odds * up + low / odds
    for s in range(len(items.gamma)):
        total += np.log((shared[s] * items.weight).sum())
    return total - plain


@inlined
def _log_outcome(i: int, eta: Array, place: Array, inverse: Array, outcome: Outcome) -> float:
    """Return one person's outcome log-likelihood at one value of the functions, z integrated out."""
    predictors, axes = outcome.spread.shape[0], outcome.spread.shape[1]
    mu = np.empty(predictors)
    for k in range(predictors):
        mu[k] = outcome.mean[k, i]
        for f in range(len(eta)):
            mu[k] += outcome.load[k, i, f] * eta[f]
    if axes < 2 or _is_tight(i, 1, outcome):
        return _log_along(i, mu, place, inverse, outcome)
    moved, inner, step = mu.copy(), place.copy(), inverse[1, 1]
    total, top = np.empty(len(outcome.position)), -np.inf
    for t in range(len(total)):
        z = place[1] + step * outcome.position[t]
        inner[0] = place[0] + inverse[0, 1] * outcome.position[t]
        for k in range(predictors):
            moved[k] = mu[k] + outcome.spread[k, 1, i] * z
        total[t] = outcome.log_weight[t] - 0.5 * z**2 + _log_along(i, moved, inner, inverse, outcome)
        top = max(top, total[t])
    whole = 0.0
    for t in range(len(total)):
        whole += np.exp(total[t] - top)
    return top + np.log(whole) + np.log(step) - 0.5 * LOG_2PI


@inlined
def _log_along(i: int, mu: Array, place: Array, inverse: Array, outcome: Outcome) -> float:
    """Return the same at one value of all but the innermost axis of z, or where there is none."""
    predictors, axes = outcome.spread.shape[0], outcome.spread.shape[1]
    if axes == 0 or _is_tight(i, 0, outcome):
        found = 0.0
        for k in range(predictors):
            found += _log_curve(k, i, mu[k], outcome)
        return found
    still = 0.0
    for k in range(predictors):
        if abs(outcome.spread[k, 0, i]) < TIGHT:
            still += _log_curve(k, i, mu[k], outcome)
    total, top, step = np.empty(len(outcome.position)), -np.inf, inverse[0, 0]
    for t in range(len(total)):
        z = place[0] + step * outcome.position[t]
        total[t] = outcome.log_weight[t] - 0.5 * z**2
        for k in range(predictors):
            if abs(outcome.spread[k, 0, i]) >= TIGHT:
                total[t] += _log_curve(k, i, mu[k] + outcome.spread[k, 0, i] * z, outcome)
        top = max(top, total[t])
    whole = 0.0
    for t in range(len(total)):
        whole += np.exp(total[t] - top)
    return still + top + np.log(whole) + np.log(step) - 0.5 * LOG_2PI


@inlined
def _is_tight(i: int, axis: int, outcome: Outcome) -> bool:
    """Return whether no predictor of a person changes along an axis of z."""
    largest = 0.0
    for k in range(outcome.spread.shape[0]):
        largest = max(largest, abs(outcome.spread[k, axis, i]))
    return largest < TIGHT


@inlined
def _log_curve(k: int, i: int, predictor: float, outcome: Outcome) -> float:
    """Evaluate one person's curve, as `curve.value`."""
    high, low = predictor + outcome.curve.at[k, i], outcome.curve.below[k, i] - predictor
    rising = max(high, 0.0) + np.log1p(np.exp(-abs(high)))
    falling = max(low, 0.0) + np.log1p(np.exp(-abs(low)))
    found = outcome.curve.slope[k, i] * predictor + outcome.curve.constant[k, i]
    found -= outcome.curve.over[k, i] * rising + outcome.curve.under[k, i] * falling
    cut = outcome.curve.cut[k, i]
    if cut > 0.0:
        hazard = cut * rising
        if hazard < SMALL:
            log_rise = high if high < FAR else np.log(rising)
            found -= log_rise + np.log(cut) - 0.5 * hazard
        else:
            found -= np.log(-np.expm1(-hazard))
    return found


@inlined
def _slopes(k: int, i: int, predictor: float, outcome: Outcome) -> tuple[float, float]:
    """Return slope and bend of one person's curve, as `curve.derivatives`; the bend not under 0."""
    high = 1.0 / (1.0 + np.exp(-predictor - outcome.curve.at[k, i]))
    low = 1.0 / (1.0 + np.exp(predictor - outcome.curve.below[k, i]))
    slope = outcome.curve.slope[k, i] - outcome.curve.over[k, i] * high + outcome.curve.under[k, i] * low
    bend = outcome.curve.over[k, i] * high * (1.0 - high) + outcome.curve.under[k, i] * low * (1.0 - low)
    cut = outcome.curve.cut[k, i]
    if cut > 0.0:
        place = predictor + outcome.curve.at[k, i]
        rising = max(place, 0.0) + np.log1p(np.exp(-abs(place)))
        hazard, rate = cut * rising, 1.0 if place < FAR else high / rising
        first, toward = rate, rate
        if hazard > SMALL:
            first = rate * hazard / np.expm1(min(hazard, LARGE))
            toward = rate * hazard / -np.expm1(-hazard)
        slope -= first
        bend = max(bend + first * (1.0 - high - toward), 0.0)
    return slope, bend


@inlined
def _mode(
    i: int, precision: Array, information: Array, items: Items, outcome: Outcome
) -> tuple[Array, Array]:
    """Return where the nodes go and the lower root of the precision there.

    Only positions depend on it: residual factors are taken at 0, less steep by what they blur. With an
    outcome z stands before the functions in both.
    """
    first = outcome.spread.shape[1]
    size = items.loading.shape[1]
    whole, known = np.eye(first + size), np.zeros(first + size)
    for a in range(size):
        known[first + a] = information[a]
        for b in range(size):
            whole[first + a, first + b] = precision[a, b]
    predictors = outcome.spread.shape[0]
    load = np.zeros((predictors, first + size))
    for k in range(predictors):
        for a in range(first):
            load[k, a] = outcome.spread[k, a, i]
        for a in range(size):
            load[k, first + a] = outcome.load[k, i, a]
    mode = np.linalg.solve(whole, known)
    root = np.linalg.cholesky(whole)
    for step in range(NEWTON_STEPS + 1):
        gradient = known - whole @ mode
        curvature = whole.copy()
        for k in range(predictors):
            slope, bend = _slopes(k, i, outcome.mean[k, i] + (load[k] * mode).sum(), outcome)
            for a in range(first + size):
                gradient[a] += slope * load[k, a]
                for b in range(first + size):
                    curvature[a, b] += bend * load[k, a] * load[k, b]
        _add_items(i, mode, items, gradient, curvature)
        if len(information) > size:
            _add_images(mode, precision, information, items, gradient, curvature)
        root = np.linalg.cholesky(curvature)
        if step < NEWTON_STEPS:
            move = np.linalg.solve(curvature, gradient)
            share = _share(mode, move, load, items)
            for a in range(first + size):
                mode[a] += share * move[a]
    return mode, root


@inlined
def _share(mode: Array, move: Array, load: Array, items: Items) -> float:
    """Return how much of a step is taken, so that it does not go down, see `quadrature.Newton`."""
    size = items.loading.shape[1]
    first, rising, change = len(mode) - size, np.ones(size), 1e-300
    for a in range(size):
        rising[a] = _skewed(mode[first + a], a, items)[1]
    for k in range(len(load)):
        along = 0.0
        for a in range(first + size):
            along += load[k, a] * move[a]
        change = max(change, abs(along))
    for j in range(len(items.loading)):
        along = 0.0
        for a in range(size):
            along += items.loading[j, a] * rising[a] * move[first + a]
        change = max(change, abs(along))
    return np.log1p(change) / change


@inlined
def _add_items(i: int, mode: Array, items: Items, gradient: Array, curvature: Array) -> None:
    """Add what one person's items say of the functions, which stand last, at `mode`."""
    size = items.loading.shape[1]
    first = len(mode) - size
    spot, rising, bent = np.zeros(size), np.zeros(size), np.zeros(size)
    gain, own = np.zeros(size), np.zeros(size)
    for a in range(size):
        spot[a], rising[a], bent[a] = _skewed(mode[first + a], a, items)
    for j in range(len(items.loading)):
        up, low = items.upper[i, j], items.lower[i, j]
        s = items.testlet_of[j]
        # a logistic curve blurred by a normal of sd gamma (Zeger, Liang & Albert 1988)
        blur = 1.0 if s < 0 else 1.0 / np.sqrt(1.0 + 0.346 * items.gamma[s] ** 2)
        predictor = 0.0
        for f in range(size):
            predictor += items.loading[j, f] * spot[f]
        odds = np.exp(min(max(predictor * blur, -LARGE), LARGE))
        over, under = 1.0 - 1.0 / (1.0 + odds * up), 1.0 - 1.0 / (1.0 + low / odds)
        score, weight = blur * (under - over), blur**2 * (under * (1 - under) + over * (1 - over))
        for a in range(size):
            along = items.loading[j, a] * rising[a]
            gradient[first + a] += along * score
            gain[a] += items.loading[j, a] * score
            own[a] += along * along * weight
            for b in range(size):
                curvature[first + a, first + b] += along * (items.loading[j, b] * rising[b]) * weight
    for a in range(size):  # what items add along an axis stays positive
        curvature[first + a, first + a] += max(-gain[a] * bent[a], -own[a])


@inlined
def _add_images(
    mode: Array, precision: Array, information: Array, items: Items, gradient: Array, curvature: Array
) -> None:
    """Add what images say, which are linear in the functions; the curvature of these is left out."""
    size = len(mode)
    spot, rising = np.zeros(size), np.zeros(size)
    for a in range(size):
        spot[a], rising[a], _ = _skewed(mode[a], a, items)
    for a in range(size):
        pull = information[size + a]
        for b in range(size):
            gradient[a] -= precision[a, size + b] * spot[b]
            pull -= precision[size + a, b] * mode[b] + precision[size + a, size + b] * spot[b]
            curvature[a, b] += precision[a, size + b] * rising[b] + rising[a] * precision[size + a, b]
            curvature[a, b] += rising[a] * rising[b] * precision[size + a, size + b]
        gradient[a] += rising[a] * pull
