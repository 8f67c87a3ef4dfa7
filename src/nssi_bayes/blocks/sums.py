"""Gaussian models whose people differ in data alone: cross-products say all there is to know.

With common loadings and residual variances a person's observed data v are normal with mean Gamma d,
where d holds constants, diagnoses, covariates and sites, and with a covariance that is the same for
everyone with the same values missing. The log-likelihood of all of them is

    -1/2 sum_p (n_p log |2 pi Sigma_p| + tr(inverse(Sigma_p) T_p)),
    T_p = S_vv - S_vd Gamma' - Gamma S_dv + Gamma S_dd Gamma'

over patterns p of group and missingness, S being sums of cross-products: its cost does not depend on
the number of people (Anderson 2003, An Introduction to Multivariate Statistical Analysis, 3.2; by
pattern: Little & Rubin 2019, 10.1002/9781119482260, 11.3). The same numbers as `joint`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from scipy import sparse

from nssi_bayes import names as n
from nssi_bayes.blocks import continuous, factors, groups, outcomes, structure
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.integrate.crossproducts import Products, Stated, value_and_slopes
from nssi_bayes.integrate.gaussian import LOG_2PI

__all__ = ["Sums", "persons"]

type Array = np.ndarray[Any, Any]

BLOCKS: Final = ("factors", "items", "outcome")
"""Blocks that may have data here, in the order of `joint.BLOCKS`."""
_KNOWN: Final = frozenset({
    "Omega", "tau_mean", "A", "level_burden", "level_none", "B", "G", "tau_site", "u_site",
    "mu_x", "M", "N", "sigma_x", "Omega_x", "nu", "lambda_score", "sigma_score",
    "spread_group", "level_group", "a", "d", "w", "q", "outcome_covariate", "tau_site_outcome",
    "site_outcome", "sigma_outcome", "baseline", "baseline_missing", "theta",
})  # fmt: skip
"""Parameters of which none makes people differ."""
_PERSON: Final = (
    "diagnosis", "burden", "none", "covariate", "site", "factor", "score", "group_of", "outcome", "treatment",
    "baseline",
)  # fmt: skip


def persons(design: Design, names: Mapping[str, Any]) -> str | None:
    """Say why a model needs its people one by one, or None if sums of cross-products are enough.

    Parameters
    ----------
    design : Design
        The data.
    names : mapping
        The model's parameters by name.

    Returns
    -------
    str or None
        For the log.
    """
    if design.coords[n.INDICATOR]:
        return f"{len(design.coords[n.INDICATOR])} indicators are ordinal"
    if len(design.scanned) or len(design.connected):
        return "images have standard errors of their own"
    if "w" in names and "sigma_outcome" not in names:
        return "the outcome is not Gaussian"
    beyond = sorted(set(names) - _KNOWN - set(groups.correlation_names(design)))
    return f"{', '.join(beyond)} make people differ" if beyond else None


class Sums:
    """Cross-products of all people, and the likelihood that they give.

    Parameters
    ----------
    design : Design
        The data; `persons` has nothing against it.
    slots : Slots
        Where the parameters stand.
    include : sequence of str
        Blocks whose data count.
    """

    def __init__(self, design: Design, slots: Slots, *, include: Sequence[str] = BLOCKS) -> None:
        self.slots, self.design = slots, design
        self.factors, self.functions = len(design.coords[n.FACTOR]), len(design.coords[n.FUNCTION])
        self.groups = max(len(design.coords[n.GROUP]), 1)
        self.correlations = groups.correlation_names(design)
        group = design.group_of if len(design.group_of) else np.zeros(len(design.diagnosis), int)
        columns = [
            np.eye(self.groups)[group],
            *(b.linear(_ones(slots), design).column for b in self._blocks()),
        ]
        self.columns, self._place = _unique(columns)
        self.value, self.seen = self._observed(include)
        self.error = np.concatenate([design.factor_error, np.zeros(self.value.shape[1] - self.factors)])
        self.sizes = self.value.shape[1], self.columns.shape[1], self.factors + self.functions
        self._diagonal = np.arange(self.factors)
        self._map = self._coefficients(group)
        self._back = self._map.T.tocsr()
        self._sums(group)

    def _blocks(self) -> list[Any]:
        has = {
            structure: True,
            factors: self.factors > 0,
            continuous: True,
            outcomes: "w" in self.slots.shapes,
        }
        return [block for block, there in has.items() if there]

    def _observed(self, include: Sequence[str]) -> tuple[Array, Array]:
        """Return all data [`participant`, measure], missing 0, and which of them count."""
        d = self.design
        parts = [("factors", d.factor, d.factor_seen), ("items", d.score, d.score_seen)]
        if "w" in self.slots.shapes:
            parts.append(("outcome", d.outcome[:, None], d.outcome_seen[:, None]))
        seen = np.concatenate([s if name in include else np.zeros_like(s) for name, _, s in parts], axis=1)
        return np.where(seen, np.concatenate([v for _, v, _ in parts], axis=1), 0.0), seen

    def _coefficients(self, group: Array) -> sparse.csr_array:
        """Return what turns parameters into Gamma's parts, loadings, levels and slopes of all groups."""
        # anybody stands for a group: nothing but the group makes people's coefficients differ
        first = np.array([np.argmax(group == g) for g in range(self.groups)])
        every = {name: getattr(self.design, name) for name in _PERSON}
        own = {name: values[first] for name, values in every.items() if values is not None and len(values)}
        few = replace(self.design, **own)
        if len(self.design.group_of):
            few = replace(few, group_of=np.arange(self.groups))
        columns, rows, values = [], [], []
        for slot in range(self.slots.size):
            point = np.zeros(self.slots.size)
            point[slot] = 1.0
            value = self._stated(self.slots.named(point), few)
            there = np.flatnonzero(value)
            rows.append(there)
            columns.append(np.full(len(there), slot))
            values.append(value[there])
        entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
        return sparse.csr_array(entries, shape=(len(value), self.slots.size))

    def _stated(self, theta: dict[str, Array], few: Design) -> Array:
        """Return K, H, A and B of every group at one value of the parameters, as one vector."""
        measures, width, latents = self.sizes
        given, loads = np.zeros((self.groups, measures, width)), np.zeros((self.groups, measures, latents))
        level, slope = np.zeros((self.groups, latents, width)), np.zeros((self.groups, latents, latents))
        place = iter(self._place[1:])
        said = structure.linear(theta, few)
        _add(level[:, self.factors :], next(place), said.effect)
        slope[:, self.factors :, : self.factors] = said.own
        for g, row in enumerate(groups.levels(theta, few)):
            level[g, self.factors :, self._place[0][g]] += row
        if self.factors:
            _add(level[:, : self.factors], next(place), factors.linear(theta, few).effect)
        at = self.factors
        for block in self._blocks()[1 + (self.factors > 0) :]:
            said = block.linear(theta, few)
            to = at + len(said.effect)
            _add(given[:, at:to], next(place), said.effect)
            loads[:, at:to, : self.factors] = said.common
            loads[:, at:to, self.factors :] = said.own
            at = to
        return np.concatenate([v.ravel() for v in (given, loads, level, slope)])

    def _sums(self, group: Array) -> None:
        """Add up cross-products by pattern of group and missingness."""
        keys = np.column_stack([group, self.seen])
        pattern, self.pattern_of = np.unique(keys, axis=0, return_inverse=True)
        self.group, self.mask = pattern[:, 0], pattern[:, 1:].astype(float)
        self.count = np.bincount(self.pattern_of, minlength=len(pattern)).astype(float)
        self.both = self.mask[:, :, None] * self.mask[:, None, :]
        self.absent = np.stack([np.diag(1 - m) for m in self.mask])
        order = np.argsort(self.pattern_of, kind="stable")
        whole = np.concatenate([self.value, self.columns], axis=1)[order]
        ends = np.cumsum(self.count).astype(int)
        products = np.stack([rows.T @ rows for rows in np.split(whole, ends[:-1])])
        m = self.sizes[0]
        parts = products[:, :m, :m], products[:, :m, m:], products[:, m:, m:]
        vv, vd, dd = (np.ascontiguousarray(part) for part in parts)
        self.constant = -0.5 * LOG_2PI * float(self.count @ self.mask.sum(axis=1))
        self.known = Products(self.group, self.mask, self.count, vv, vd, dd)

    def _state(self, theta: Array) -> Stated:
        """Return what every group's data should look like."""
        coefficient, found, at = self._map @ theta, [], 0
        measures, width, latents = self.sizes
        for shape in ((measures, width), (measures, latents), (latents, width), (latents, latents)):
            size = self.groups * shape[0] * shape[1]
            found.append(coefficient[at : at + size].reshape(self.groups, *shape))
            at += size
        given, loads, level, slope = found
        loads[:, self._diagonal, self._diagonal] = 1.0  # a factor's score is the factor and its error
        through = slope + np.eye(latents)  # of (x, zeta) to (x, eta)
        return Stated(given, loads, level, through, self._roots(theta), self._residual(theta))

    def _one(self, name: str, theta: Array) -> Array:
        return theta[self.slots.where[name]].reshape(self.slots.shapes[name])

    def _roots(self, theta: Array) -> Array:
        """Return the root of the covariance of (x, zeta), by group."""
        found = np.zeros((self.groups, self.sizes[2], self.sizes[2]))
        p = self.factors
        if p:
            correlation = self._one("Omega_x", theta) if "Omega_x" in self.slots.shapes else np.eye(p)
            found[:, :p, :p] = self._one("sigma_x", theta)[:, None] * correlation
        for g, name in enumerate(self.correlations):
            found[g, p:, p:] = self._one(name, theta) if name in self.slots.shapes else np.eye(self.functions)
        if "spread_group" in self.slots.shapes:
            found[1:, p:, p:] *= self._one("spread_group", theta)[:, :, None]
        return found

    def _residual(self, theta: Array) -> Array:
        variance = np.tile(self.error, (self.groups, 1))
        variance[:, self.factors : self.factors + self.design.score.shape[1]] = (
            self._one("sigma_score", theta) ** 2
        )
        if "w" in self.slots.shapes:
            variance[:, -1] = self._one("sigma_outcome", theta) ** 2
        return variance

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Return the log-likelihood of all people and its derivative by the parameters [slot].

        Parameters
        ----------
        theta : numpy.ndarray
            Parameters [slot].

        Returns
        -------
        tuple of float and numpy.ndarray
            Nats; minus infinity where the covariance has no root.
        """
        total, by = value_and_slopes(self._state(theta), self.known)
        found = self._back @ np.concatenate([by.given, by.loads, by.level, by.through], axis=None)
        self._roots_back(theta, by.root, found)
        by_scores = by.variance[:, self.factors : self.factors + self.design.score.shape[1]]
        self._sd_back("sigma_score", by_scores, theta, found)
        if "w" in self.slots.shapes:
            self._sd_back("sigma_outcome", by.variance[:, -1], theta, found)
        return self.constant + total, found

    def _sd_back(self, name: str, by_variance: Array, theta: Array, found: Array) -> None:
        where = self.slots.where[name]
        size = where.stop - where.start
        found[where] += 2 * theta[where] * by_variance.reshape(-1, size).sum(axis=0)

    def _roots_back(self, theta: Array, by_root: Array, found: Array) -> None:
        p, where, shapes = self.factors, self.slots.where, self.slots.shapes
        if p:
            by, sd = by_root[:, :p, :p].sum(axis=0), self._one("sigma_x", theta)
            correlation = self._one("Omega_x", theta) if "Omega_x" in shapes else np.eye(p)
            found[where["sigma_x"]] += (by * correlation).sum(axis=1)
            if "Omega_x" in shapes:
                found[where["Omega_x"]] += (by * np.tri(p) * sd[:, None]).ravel()
        for g, name in enumerate(self.correlations):
            by, spread = by_root[g, p:, p:], np.ones(self.functions)
            correlation = self._one(name, theta) if name in shapes else np.eye(self.functions)
            if g and "spread_group" in shapes:
                spread = self._one("spread_group", theta)[g - 1]
                at = where["spread_group"].start + (g - 1) * self.functions
                found[at : at + self.functions] += (by * correlation).sum(axis=1)
            if name in shapes:
                found[where[name]] += (by * np.tri(self.functions) * spread[:, None]).ravel()

    def each(self, theta: Array) -> tuple[Array, Array, Array]:
        """Return every person's log-likelihood, and mean and covariance of their functions.

        Parameters
        ----------
        theta : numpy.ndarray
            Parameters [slot].

        Returns
        -------
        tuple of numpy.ndarray
            [`participant`], [`participant`, `function`], [`participant`, `function`, `function`].
        """
        stated = self._state(theta)
        half, level = stated.through @ stated.root, stated.through @ stated.level
        latent = half @ half.mT
        weighted, gamma = stated.loads @ latent, stated.given + stated.loads @ level
        covariance = weighted @ stated.loads.mT + stated.variance[:, :, None] * np.eye(self.sizes[0])
        both = self.mask[:, :, None] * self.mask[:, None, :]
        own = covariance[self.group] * both + (1 - self.mask)[:, :, None] * np.eye(self.sizes[0])
        precision, log_det = np.linalg.inv(own) * both, np.linalg.slogdet(own)[1]
        one = self.pattern_of
        group = self.group[one]
        away, expected = self.value.copy(), np.empty((len(group), self.sizes[2]))
        for g in range(self.groups):
            mine = group == g
            away[mine] -= self.columns[mine] @ gamma[g].T
            expected[mine] = self.columns[mine] @ level[g].T
        pulled = (away[:, None, :] @ precision[one])[:, 0]
        measured = self.mask.sum(axis=1) * LOG_2PI + log_det
        log_likelihood = -0.5 * (measured[one] + (pulled * away).sum(axis=1))
        gain = weighted.mT[self.group][:, self.factors :]
        mean = expected[:, self.factors :] + (gain[one] @ pulled[:, :, None])[:, :, 0]
        prior = latent[self.group][:, self.factors :, self.factors :]
        return log_likelihood, mean, (prior - gain @ precision @ gain.mT)[one]


def _ones(slots: Slots) -> dict[str, Array]:
    return slots.named(np.ones(slots.size))


def _add(into: Array, where: Array, effect: Array) -> None:
    """Add coefficients [row, column] of columns that stand at `where`, some of them twice."""
    for c, column in enumerate(where):
        into[..., column] += effect[:, c]


def _unique(parts: Sequence[Array]) -> tuple[Array, list[Array]]:
    """Join columns of people, each once; return them, and where those of each part stand."""
    kept: dict[bytes, int] = {}
    columns: list[Array] = []
    places: list[Array] = []
    for part in parts:
        place = []
        for column in np.ascontiguousarray(part.T, dtype=float):
            key = column.tobytes()
            if key not in kept:
                kept[key] = len(columns)
                columns.append(column)
            place.append(kept[key])
        places.append(np.array(place, dtype=int))
    return np.stack(columns, axis=1), places
