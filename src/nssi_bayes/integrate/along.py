"""An outcome that is not Gaussian at one value of the functions, the rest of its predictors integrated out.

Factors that were integrated out leave predictors normal given the functions: mean + load . functions +
spread . z. Each axis of z is one of the rotated grid of `jointly`, innermost, along which no item changes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nssi_bayes.integrate.compiling import inlined
from nssi_bayes.integrate.curve import FAR, SMALL, Curve, nothing
from nssi_bayes.integrate.gaussian import LOG_2PI

__all__ = ["Outcome", "log_outcome", "no_outcome", "slopes_of"]

type Array = np.ndarray[Any, Any]

LARGE = 700.0
TIGHT = 1e-9
"""Spread of a predictor given the functions under which it has none."""


class Outcome(NamedTuple):
    """An outcome of everybody at one value of the parameters; no people: there is none.

    Parameters
    ----------
    mean, load, spread : numpy.ndarray
        A predictor is mean + load . functions + spread . z, z ~ N(0, 1): [predictor, `participant`],
        [predictor, `participant`, `function`], [predictor, axis, `participant`]. There are up to two
        axes; of two the first is nested in the second.
    curve : Curve
        Of each predictor [predictor, `participant`].
    position, log_weight : numpy.ndarray
        One axis of the rule, over z.
    """

    mean: Array
    load: Array
    spread: Array
    curve: Curve
    position: Array
    log_weight: Array


def no_outcome(functions: int) -> Outcome:
    """Return the outcome of a model that has none, or whose outcome is Gaussian."""
    shape, rule = (0, 0), np.zeros(0)
    load, spread = np.zeros((*shape, functions)), np.zeros((*shape, 0))
    return Outcome(np.zeros(shape), load, spread, nothing(shape), rule, rule)


@inlined
def log_outcome(i: int, eta: Array, place: Array, inverse: Array, outcome: Outcome) -> float:
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
def slopes_of(k: int, i: int, predictor: float, outcome: Outcome) -> tuple[float, float]:
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
