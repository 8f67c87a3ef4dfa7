"""What a block says of its measures, for everyone at once, and slopes taken back (NumPy).

A block's `linear` is asked once for its coefficients at each unit vector of the parameters: a sparse map.
Where the outcome goes through latent activation it is linear in v times parameters of activation: two maps
and a product. Residual factors on which the outcome loads, too, stand before the factors then, and loadings
on them are common ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from nssi_bayes.blocks import connectivity, neural, outcomes
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.linear import Linear, joined
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.integrate.linear import Linear as Said
from nssi_bayes.integrate.linear import Map, gather, spread

__all__ = ["Plain", "Stated", "state", "turned"]

type Array = np.ndarray[Any, Any]
type By = tuple[Array, Array, Array, Array]
"""Derivatives by mean, own, common and residual loadings, as in `integrate.linear.Linear`."""


class Stated(Protocol):
    """What a block says of its measures."""

    def __call__(self, theta: Array) -> Said:
        """Return means and loadings of everyone at parameters [slot]."""

    def back(self, theta: Array, by: By, found: Array) -> None:
        """Add the derivative by the parameters [slot] to `found`."""


def state(block: Any, design: Design, slots: Slots) -> Stated:
    """Return what a block says of its measures.

    Parameters
    ----------
    block : module
        With `linear`.
    design : Design
        The data.
    slots : Slots
        Where the parameters stand.

    Returns
    -------
    Stated
        Common loadings are on residual factors that activation and outcome share, if any, and factors.
    """
    count = neural.shared(slots.where, design)
    if not count:
        return Plain(block.linear, design, slots)

    def behind(linear: Callable[..., Linear]) -> Callable[..., Linear]:
        def arranged(theta: dict[str, Any], design: Design) -> Linear:
            said = linear(theta, design)
            none = np.zeros((len(said.effect), count))
            if block is connectivity:  # nothing else loads on its residual factors
                return said._replace(common=joined([none, said.common], 1))
            first = said.residual if said.residual.shape[1] else none
            return said._replace(common=joined([first, said.common], 1), residual=none[:, :0])

        return arranged

    plain = Plain(behind(block.linear), design, slots)
    if block is not outcomes:
        return plain
    weights = [slots.where["v" + end] for end in outcomes.endings(design.outcome_family)]
    return _Through(plain, Plain(behind(neural.networks), design, slots), weights)


class Plain:
    """What is linear in the parameters, as a block's `linear` has it.

    Parameters
    ----------
    linear : callable
        From named parameters and the design to `blocks.linear.Linear`.
    design : Design
        The data.
    slots : Slots
        Where the parameters stand.
    """

    def __init__(self, linear: Callable[..., Linear], design: Design, slots: Slots) -> None:
        self._given = _make_map(linear, design, slots)

    def __call__(self, theta: Array) -> Said:
        """Return means and loadings of everyone at parameters [slot]."""
        found: Said = spread(self._given, theta)
        return found

    def back(self, theta: Array, by: By, found: Array) -> None:
        """Add the derivative by the parameters [slot] to `found`."""
        gather(self._given, *by, found)


class _Through:
    """Linear in the parameters, and in v [predictor, `network`] times what is linear in others."""

    def __init__(self, given: Plain, networks: Plain, weights: list[slice]) -> None:
        self._given, self._networks, self._weights = given, networks, weights

    def __call__(self, theta: Array) -> Said:
        said, through, v = self._given(theta), self._networks(theta), self._v(theta)
        own = said.own + np.einsum("kn,nfi->kfi", v, through.own)
        return Said(said.mean + v @ through.mean, own, said.common + v @ through.common, said.residual)

    def back(self, theta: Array, by: By, found: Array) -> None:
        self._given.back(theta, by, found)
        mean, own, common, _ = by
        through, v = self._networks(theta), self._v(theta)
        by_v = mean @ through.mean.T + np.einsum("kfi,nfi->kn", own, through.own) + common @ through.common.T
        for where, slope in zip(self._weights, by_v, strict=True):
            found[where] += slope
        by_own = np.einsum("kn,kfi->nfi", v, own)
        self._networks.back(theta, (v.T @ mean, by_own, v.T @ common, np.zeros((v.shape[1], 0))), found)

    def _v(self, theta: Array) -> Array:
        return np.stack([theta[where] for where in self._weights])


def _make_map(linear: Callable[..., Linear], design: Design, slots: Slots) -> Map:
    """Ask for the coefficients at each unit vector of the parameters."""

    def at(where: Any) -> Linear:
        point = np.zeros(slots.size)
        point[where] = 1.0
        return linear(slots.named(point), design)

    form = at([])
    none = np.zeros(0, int)  # a block may have no parameter
    columns, rows, values = [none], [none], [np.zeros(0)]
    for where in slots.where.values():
        if not _coefficients(at(where)).any():
            continue
        for j in range(where.start, where.stop):
            value = _coefficients(at(j))
            there = np.flatnonzero(value)
            rows.append(there)
            columns.append(np.full(len(there), j))
            values.append(value[there])
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    matrix = sparse.csr_array(entries, shape=(len(_coefficients(form)), slots.size))
    sizes = (*form.effect.shape, form.common.shape[1], *form.loading.shape[1:], form.residual.shape[1])
    column, contrast = turned(form.column), turned(form.contrast)
    return Map(sizes, matrix.indptr, matrix.indices, matrix.data, column, contrast)


def _coefficients(form: Linear) -> Array:
    return np.concatenate([np.ravel(v) for v in (form.effect, form.common, form.loading, form.residual)])


def turned(values: Array) -> Array:
    """Make people the last axis."""
    return np.ascontiguousarray(values.T, dtype=float)
