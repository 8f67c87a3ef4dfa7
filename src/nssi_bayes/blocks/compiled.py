"""A person's Gaussian data and item constants, with their gradient, in NumPy and compiled loops.

The same numbers as `joint.functions_given` and `measurement.tables`, which state the model in JAX,
for the hundred thousands of evaluations of a fit: every block says once what is linear in the
parameters (`linear`), which is a sparse map here, and what is left is a handful of inverses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks import (
    bias,
    connectivity,
    continuous,
    factors,
    groups,
    joint,
    measurement,
    neural,
    outcomes,
    structure,
)
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.maps import Plain, Stated, state, turned
from nssi_bayes.blocks.predicted import Predictor, is_curved
from nssi_bayes.blocks.residuals import Residuals
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.blocks.tables import Tables
from nssi_bayes.integrate import folding
from nssi_bayes.integrate.gaussian import LOG_2PI
from nssi_bayes.integrate.sinh_arcsinh import places, shape_back, shape_of

__all__ = ["Part", "People", "Slots", "compile_people"]

type Array = np.ndarray[Any, Any]


class Part(NamedTuple):
    """What the kernel takes, and the log-density that it does not see.

    Parameters
    ----------
    constant : numpy.ndarray
        [`participant`].
    matrix : numpy.ndarray
        [`participant`, axis + 1, axis + 1] over (factors that items measure, functions, -1). Of functions
        that are skewed, beside images, over
        (what is Gaussian, functions, -1).
    upper, lower, log_gap : numpy.ndarray
        Constants by response [indicator, response], as in `ordinal.Table`; with groups one row an
        indicator and group.
    loading : numpy.ndarray
        [`indicator`], or [pattern, `indicator`] where people differ (`tables.people_by_pattern`).
    gamma : numpy.ndarray
        [`testlet`].
    further : numpy.ndarray, optional
        Loadings on further functions, where items do not separate.
    shift : numpy.ndarray, optional
        What bias adds to each predictor [`participant`, biased indicator].
    predictor : Predictor, optional
        Of an outcome that is not Gaussian.
    shape : numpy.ndarray, optional
        How functions are skewed, as `sinh_arcsinh.shape_of` [`function`, 4].
    """

    constant: Array
    matrix: Array
    upper: Array
    lower: Array
    log_gap: Array
    loading: Array
    gamma: Array
    further: Array | None = None
    shift: Array | None = None
    predictor: Predictor | None = None
    shape: Array | None = None


class _Measures(NamedTuple):
    """Gaussian measures, and the names of their residual sd and of what two of them share."""

    data: folding.Measured
    sigma: str
    shared: str | None


type PullBack = Callable[[Part], Array]
type People = Callable[[Array], tuple[Part, PullBack]]


def compile_people(design: Design, slots: Slots, *, include: Sequence[str] = joint.BLOCKS) -> People:
    """Return a function of the parameters: every person's part, and how to pull slopes back.

    Parameters
    ----------
    design : Design
        The data.
    slots : Slots
        Where the parameters stand.
    include : sequence of str
        Blocks whose data count.

    Returns
    -------
    callable
        From the parameters [slot] to `Part` and a function from derivatives by each of its fields
        (that by `constant` is 1) to the derivative by the parameters [slot].

    Raises
    ------
    ValueError
        If people are in groups and indicators continuous, whose residual sds by group are not stated here.
    """
    if len(design.group_of) and design.coords[n.SCORE]:
        raise ValueError("a ladder of groups enters by sums of cross-products alone (blocks.sums)")
    return _People(design, slots, set(include))


class _People:
    def __init__(self, design: Design, slots: Slots, include: set[str]) -> None:
        self.slots = slots
        self.functions, self.factors = len(design.coords[n.FUNCTION]), len(design.coords[n.FACTOR])
        self.shared = neural.shared(slots.where, design)
        # factors that items measure stay, for the kernel
        self.swept = self.shared + design.factor.shape[1]
        self.people = design.diagnosis.shape[0]
        self.shifts = bias.Shifts(design, slots)
        self.centred: Any = design.centred_diagnosis
        self.further_name = next((v for v in measurement.FURTHER if v in slots.where), "")
        of_functions = groups if design.coords[n.GROUP] else structure
        self.latents = {"structure": Plain(of_functions.linear, design, slots)}
        if self.factors:
            self.latents["factors"] = Plain(factors.linear, design, slots)
        self.measures = [
            (state(block, design, slots), measures)
            for name, block, measures in _measures(design, slots)
            if name in include
        ]
        # of functions that are skewed, images are linear in these, and the rest in what is Gaussian
        self.apart = "epsilon" in slots.where and bool(self.measures)
        self.places = [np.ix_(p, p) for p in places(self.factors, self.functions)]
        curved = "outcome" in include and is_curved(design, slots.where)
        self.outcome = state(outcomes, design, slots) if curved else None
        self.base, self.constant = _known(design, self.shared, observed="factors" in include)
        self.tables = Tables(design, slots, self.shifts)
        self.residuals = Residuals(design, slots)

    def __call__(self, theta: Array) -> tuple[Part, PullBack]:
        matrix, constant = self.base.copy(), self.constant.copy()
        kept = []
        for name, linear in self.latents.items():
            said = linear(theta)
            rows = self._rows(name, said.mean, said.own)
            if name == "structure" and self.centred is not None:
                log_sd = self._of("h", theta) @ self.centred.T
                rows *= np.exp(-log_sd)[:, None, :]
                constant -= log_sd.sum(axis=0)
            kept.append((name, rows, self.residuals.weigh(name, theta, rows, matrix, constant)))
        measured = np.zeros_like(matrix) if self.apart else matrix
        folded = [self._fold(one, theta, measured, constant) for one in self.measures]
        if self.apart:
            size, parts = self.factors + 2 * self.functions + 1, (matrix, measured)
            matrix = np.zeros((size, size, self.people))
            for place, own in zip(self.places, parts, strict=True):
                matrix[place] += own
        constant += 0.5 * (self.swept * LOG_2PI - folding.eliminate(matrix, self.swept))
        rest = np.ascontiguousarray(matrix[self.swept :, self.swept :].transpose(2, 0, 1))
        loading, gamma = self.tables.loadings(theta), self._of("gamma", theta)
        items = *self.tables.constants(theta), loading, gamma, self._further(theta), self.shifts(theta)
        part = Part(constant, rest, *items, self._predictor(theta, matrix), self._shape(theta))

        def pull_back(by: Part) -> Array:
            found = self._items_back(theta, by)
            by_rest = np.ascontiguousarray(by.matrix.transpose(1, 2, 0))
            by_matrix = folding.eliminate_back(matrix, self.swept, by_rest)
            self._predictor_back(theta, by.predictor, matrix, by_matrix, found)
            by_measured = by_matrix
            if self.apart:
                by_matrix, by_measured = (np.ascontiguousarray(by_matrix[p]) for p in self.places)
            for name, rows, weighed in kept:
                by_rows = self.residuals.weigh_back(name, theta, weighed, by_matrix, found)
                if name == "structure" and self.centred is not None:
                    by_rows *= self._spread_back(theta, by_rows, rows, found)
                slopes = self.factors if name == "structure" else 0
                none = np.zeros((len(rows), 0)), np.zeros((len(rows), 0))
                by_own = -by_rows[:, self.shared : self.shared + slopes]
                self.latents[name].back(theta, (by_rows[:, -1].copy(), by_own, *none), found)
            for (linear, m), one in zip(self.measures, folded, strict=True):
                count = m.data.loads.shape[1]
                by_mean, by_own, by_common, by_residual, by_variance, by_shared = folding.fold_back(
                    by_measured, one, count, self.shared + self.factors, m.data
                )
                linear.back(theta, (by_mean, by_own, by_common, by_residual), found)
                where = self.slots.where[m.sigma]
                found[where] += 2 * theta[where] * by_variance
                if m.shared:
                    found[self.slots.where[m.shared]] += 2 * self._one(theta, m.shared) * by_shared
            return found

        return part, pull_back

    def _fold(
        self, one: tuple[Stated, _Measures], theta: Array, matrix: Array, constant: Array
    ) -> folding.Folded:
        linear, m = one
        shared = self._one(theta, m.shared) ** 2 if m.shared else 0.0
        sigma = theta[self.slots.where[m.sigma]]
        return folding.fold(linear(theta), sigma, shared, m.data, matrix, constant)

    def _items_back(self, theta: Array, by: Part) -> Array:
        """Return the derivative by the parameters, as far as it comes through the items."""
        found = np.zeros(self.slots.size)
        self.tables.loadings_back(theta, by.loading, found)
        if len(by.gamma):
            found[self.slots.where["gamma"]] = by.gamma
        if by.further is not None:
            found[self.slots.where[self.further_name]] = by.further
        if by.shift is not None:
            self.shifts.back(theta, by.shift, found)
        if by.shape is not None:
            back = shape_back(self._of("epsilon", theta), self._of("tailweight", theta), by.shape)
            found[self.slots.where["epsilon"]], found[self.slots.where["tailweight"]] = back
        self.tables.constants_back(theta, (by.upper, by.lower, by.log_gap), found)
        return found

    def _spread_back(self, theta: Array, by_rows: Array, rows: Array, found: Array) -> Array:
        """Add the derivative by what differs in spread; return what rows were multiplied by."""
        by_log_sd = -(by_rows * rows).sum(axis=1) - 1.0
        found[self.slots.where["h"]] = (by_log_sd @ self.centred).ravel()
        return np.exp(-(self._of("h", theta) @ self.centred.T))[:, None, :]

    def _predictor(self, theta: Array, swept: Array) -> Predictor | None:
        """Return the outcome's predictor given the functions."""
        if self.outcome is None:
            return None
        said = self.outcome(theta)
        return Predictor(said.mean, said.common, said.own).given_functions(swept)

    def _predictor_back(
        self, theta: Array, by: Predictor | None, swept: Array, by_matrix: Array, found: Array
    ) -> None:
        """Add the derivative by what comes through the outcome's predictor, to that by M first."""
        if self.outcome is None or by is None:
            return
        said = self.outcome(theta)
        whole = Predictor(said.mean, said.common, said.own)
        mean, common, own, _ = whole.given_functions_back(by, swept, by_matrix)
        self.outcome.back(theta, (mean, own, common, np.zeros((len(mean), 0))), found)

    def _further(self, theta: Array) -> Array | None:
        return self._of(self.further_name, theta) if self.further_name else None

    def _shape(self, theta: Array) -> Array | None:
        if "epsilon" not in self.slots.where:
            return None
        found: Array = shape_of(self._of("epsilon", theta), self._of("tailweight", theta))
        return found

    def _one(self, theta: Array, name: str) -> float:
        return float(theta[self.slots.where[name].start])

    def _of(self, name: str, theta: Array) -> Array:
        where = self.slots.where.get(name)
        return np.zeros(0) if where is None else theta[where].reshape(self.slots.shapes[name])

    def _rows(self, name: str, mean: Array, own: Array) -> Array:
        """Return residuals of functions or factors as rows over (shared, factors, functions, -1)."""
        factors = self.shared + self.factors
        rows = np.zeros((len(mean), factors + self.functions + 1, self.people))
        first = factors if name == "structure" else self.shared
        if name == "structure":
            rows[:, self.shared : factors] = -own
        rows[np.arange(len(mean)), first + np.arange(len(mean))] = 1.0
        rows[:, -1] = mean
        return rows


def _measures(design: Design, slots: Slots) -> list[tuple[str, Any, _Measures]]:
    """Return the blocks of Gaussian measures that the cohort has and the model observes."""
    found = []

    def add(
        name: str, block: Any, who: Array, value: Array, se: Array, seen: Array, *, sigma: str,
        partner: Array | None = None, shared: str | None = None,
    ) -> None:  # fmt: skip
        partner = np.full(value.shape[1], -1) if partner is None else partner
        everything = np.ones(slots.size)
        loads = state(block, design, slots)(everything).residual != 0
        data = folding.Measured(who, turned(value), turned(se**2), turned(seen), partner, loads)
        found.append((name, block, _Measures(data, sigma, shared)))

    if design.coords[n.SCORE]:
        add("items", continuous, np.arange(len(design.score)), design.score, np.zeros_like(design.score),
            design.score_seen, sigma="sigma_score")  # fmt: skip
    if len(design.scanned):
        pairs: dict[str, Any] = {}
        if "loading_homologous" in slots.shapes:
            pairs = {"partner": design.partner, "shared": "loading_homologous"}
        add("activation", neural, design.scanned, design.activation, design.activation_se,
            design.activation_seen, sigma="sigma", **pairs)  # fmt: skip
    if len(design.connected):
        add("connectivity", connectivity, design.connected, design.connectivity, design.connectivity_se,
            design.connectivity_seen, sigma="sigma_edge")  # fmt: skip
    if "sigma_outcome" in slots.shapes:
        value = design.outcome[:, None]
        add("outcome", outcomes, np.arange(len(value)), value, np.zeros_like(value),
            design.outcome_seen[:, None], sigma="sigma_outcome")  # fmt: skip
    return found


def _known(design: Design, shared: int, *, observed: bool) -> tuple[Array, Array]:
    """Return what factor scores say, and that shared residual factors are N(0, 1)."""
    people, count = design.factor.shape
    size = shared + count + len(design.axes) + 1
    matrix, constant = np.zeros((size, size, people)), np.full(people, -0.5 * shared * LOG_2PI)
    matrix[np.arange(shared), np.arange(shared)] = 1.0
    if not observed:
        return matrix, constant
    seen = design.factor_seen.astype(float)
    weight = (seen / design.factor_error).T
    value = design.factor.T
    for p in range(count):
        at = shared + p
        matrix[at, at] = weight[p]
        matrix[at, -1] = matrix[-1, at] = weight[p] * value[p]
        matrix[-1, -1] += weight[p] * value[p] ** 2
    if count:
        constant -= 0.5 * (seen @ np.log(design.factor_error) + seen.sum(axis=1) * LOG_2PI)
    return matrix, constant
