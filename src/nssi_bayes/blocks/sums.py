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
from nssi_bayes.blocks.compiled import Slots
from nssi_bayes.blocks.design import Design
from nssi_bayes.integrate.gaussian import LOG_2PI

__all__ = ["Sums", "persons"]

type Array = np.ndarray[Any, Any]

BLOCKS: Final = ("factors", "items", "outcome")
"""Blocks that may have data here, in the order of `joint.BLOCKS`."""
_KNOWN: Final = frozenset({
    "Omega", "tau_mean", "A", "level_burden", "level_none", "B", "G", "tau_site", "u_site",
    "mu_x", "M", "N", "sigma_x", "Omega_x", "nu", "lambda_score", "sigma_score",
    "spread_group", "level_group", "a", "d", "w", "q", "outcome_covariate", "tau_site_outcome",
    "site_outcome", "sigma_outcome",
})  # fmt: skip
"""Parameters of which none makes people differ."""
_PERSON: Final = (
    "diagnosis", "burden", "none", "covariate", "site", "factor", "score", "group_of", "outcome",
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
        self._map = self._coefficients(group)
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
        first = np.array([np.flatnonzero(group == g)[0] for g in range(self.groups)])
        few = replace(self.design, **{f: v[first] for f in _PERSON if len(v := getattr(self.design, f))})
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

    def _stated(self, theta: Mapping[str, Array], few: Design) -> Array:
        """Return K, H, A and B of every group at one value of the parameters, as one vector."""
        measures, width, latents = self.sizes
        given, loads = np.zeros((self.groups, measures, width)), np.zeros((self.groups, measures, latents))
        level, slope = np.zeros((self.groups, latents, width)), np.zeros((self.groups, latents, latents))
        place = iter(self._place[1:])
        said = structure.linear(theta, few)
        np.add.at(level, (slice(None), slice(self.factors, None), next(place)), said.effect)
        slope[:, self.factors :, : self.factors] = said.own
        for g, row in enumerate(groups.levels(theta, few)):
            level[g, self.factors :, self._place[0][g]] += row
        if self.factors:
            np.add.at(
                level, (slice(None), slice(self.factors), next(place)), factors.linear(theta, few).effect
            )
        at = self.factors
        for block in self._blocks()[1 + (self.factors > 0) :]:
            said, to = block.linear(theta, few), at + len(block.linear(theta, few).effect)
            np.add.at(given, (slice(None), slice(at, to), next(place)), said.effect)
            loads[:, at:to, : said.common.shape[1]] = said.common
            loads[:, at:to, self.factors :] = said.own
            at = to
        return np.concatenate([v.ravel() for v in (given, loads, level, slope)])

    def _sums(self, group: Array) -> None:
        """Add up cross-products by pattern of group and missingness."""
        keys = np.column_stack([group, self.seen])
        pattern, self.pattern_of = np.unique(keys, axis=0, return_inverse=True)
        self.group, self.mask = pattern[:, 0], pattern[:, 1:].astype(float)
        self.count = np.bincount(self.pattern_of, minlength=len(pattern)).astype(float)
        self.starts = np.searchsorted(self.group, np.arange(self.groups))
        self.both = self.mask[:, :, None] * self.mask[:, None, :]
        self.absent = np.stack([np.diag(1 - m) for m in self.mask])
        order = np.argsort(self.pattern_of, kind="stable")
        whole = np.concatenate([self.value, self.columns], axis=1)[order]
        ends = np.cumsum(self.count).astype(int)
        products = np.stack([rows.T @ rows for rows in np.split(whole, ends[:-1])])
        m = self.sizes[0]
        self.vv, self.vd, self.dd = products[:, :m, :m], products[:, :m, m:], products[:, m:, m:]
        self.constant = -0.5 * LOG_2PI * float(self.count @ self.mask.sum(axis=1))
        # plain matrices cost a fraction of stacks of one
        self.lead = () if self.groups == 1 else (self.groups,)
        self.alone = self.groups == 1 and len(self.mask) == 1
        self.known = self.vv, self.vd, self.dd, self.count[:, None, None]
        if self.alone:
            self.known = tuple(v[0] for v in self.known)
            self.both, self.absent = self.both[0], self.absent[0]

    def _implied(self, theta: Array) -> dict[str, Array]:
        """Return what every group's data should look like."""
        coefficient, found, at = self._map @ theta, {}, 0
        measures, width, latents = self.sizes
        shapes = {
            "K": (measures, width),
            "H": (measures, latents),
            "A": (latents, width),
            "B": (latents, latents),
        }
        for name, shape in shapes.items():
            size = self.groups * shape[0] * shape[1]
            found[name] = coefficient[at : at + size].reshape(*self.lead, *shape)
            at += size
        diagonal = np.arange(self.factors)
        found["H"][..., diagonal, diagonal] = 1.0  # a factor's score is the factor and its error
        root = self._roots(theta)
        through = found["B"] + np.eye(latents)  # of (x, zeta) to (x, eta)
        half = through @ root
        latent = half @ half.mT
        level = through @ found["A"]
        loads = found["H"]
        weighted = loads @ latent
        covariance = weighted @ loads.mT + self._residual(theta)
        gamma = found["K"] + loads @ level
        return found | {"root": root, "through": through, "half": half, "latent": latent, "level": level,
                        "weighted": weighted, "covariance": covariance, "gamma": gamma}  # fmt: skip

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
        return found.reshape(*self.lead, *found.shape[1:])

    def _residual(self, theta: Array) -> Array:
        variance = np.tile(self.error, (self.groups, 1))
        variance[:, self.factors : self.factors + self.design.score.shape[1]] = (
            self._one("sigma_score", theta) ** 2
        )
        if "w" in self.slots.shapes:
            variance[:, -1] = self._one("sigma_outcome", theta) ** 2
        return variance.reshape(*self.lead, -1, 1) * np.eye(self.sizes[0])

    def _of_patterns(self, values: Array) -> Array:
        """Give every pattern what is its group's."""
        return values[self.group] if self.lead else values

    def _of_groups(self, values: Array) -> Array:
        """Add up over the patterns of each group."""
        if self.lead:
            return np.add.reduceat(values, self.starts, axis=0)
        return values if self.alone else values.sum(axis=0)

    def _precision(self, covariance: Array) -> tuple[Array, Array]:
        """Return inverses by pattern, 0 where a value is missing, and log-determinants."""
        own = self._of_patterns(covariance) * self.both + self.absent
        log_det = 2 * np.log(np.linalg.cholesky(own).diagonal(axis1=-2, axis2=-1)).sum(axis=-1)
        return np.linalg.inv(own) * self.both, log_det

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
        implied = self._implied(theta)
        try:
            precision, log_det = self._precision(implied["covariance"])
        except np.linalg.LinAlgError:
            return -np.inf, np.zeros(self.slots.size)
        vv, vd, dd, count = self.known
        gamma = self._of_patterns(implied["gamma"])
        fitted = gamma @ dd
        cross = vd @ gamma.mT
        about = vv - cross - cross.mT + fitted @ gamma.mT
        weighted = precision @ about
        total = float((self.count * log_det).sum() + weighted.trace(axis1=-2, axis2=-1).sum())
        by_covariance = -0.5 * (count * precision - weighted @ precision)
        by = self._of_groups(by_covariance), self._of_groups(precision @ (vd - fitted))
        return self.constant - 0.5 * total, self._back(theta, implied, *by)

    def _back(self, theta: Array, implied: dict[str, Array], by_covariance: Array, by_gamma: Array) -> Array:
        """Return the derivative by the parameters, from those by covariances and Gamma of the groups."""
        loads, through, half, level = (implied[k] for k in ("H", "through", "half", "level"))
        by_loads = 2 * by_covariance @ implied["weighted"] + by_gamma @ level.mT
        by_half = 2 * (loads.mT @ by_covariance @ loads) @ half
        by_level = loads.mT @ by_gamma
        by_through = by_half @ implied["root"].mT + by_level @ implied["A"].mT
        by_a, by_root = through.mT @ by_level, through.mT @ by_half
        parts = (by_gamma, by_loads, by_a, by_through)
        found = self._map.T @ np.concatenate([v.ravel() for v in parts])
        self._roots_back(theta, by_root.reshape(self.groups, *by_root.shape[-2:]), found)
        by_variance = by_covariance.diagonal(axis1=-2, axis2=-1).reshape(self.groups, -1)
        self._sd_back(
            "sigma_score", by_variance[:, self.factors :][:, : self.design.score.shape[1]], theta, found
        )
        if "w" in self.slots.shapes:
            self._sd_back("sigma_outcome", by_variance[:, -1], theta, found)
        return found

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
        implied = self._implied(theta)
        precision, log_det = self._precision(implied["covariance"])
        implied = {name: v.reshape(self.groups, *v.shape[-2:]) for name, v in implied.items()}
        precision = precision.reshape(-1, *precision.shape[-2:])
        one = self.pattern_of
        group = self.group[one]
        away, level = self.value.copy(), np.empty((len(group), self.sizes[2]))
        for g in range(self.groups):
            own = group == g
            away[own] -= self.columns[own] @ implied["gamma"][g].T
            level[own] = self.columns[own] @ implied["level"][g].T
        weighted = (away[:, None, :] @ precision[one])[:, 0]
        measured = self.mask.sum(axis=1) * LOG_2PI + np.ravel(log_det)
        log_likelihood = -0.5 * (measured[one] + (weighted * away).sum(axis=1))
        gain = implied["weighted"].mT[self.group][:, self.factors :]
        mean = level[:, self.factors :] + (gain[one] @ weighted[:, :, None])[:, :, 0]
        prior = implied["latent"][self.group][:, self.factors :, self.factors :]
        covariance = prior - gain @ precision @ gain.mT
        return log_likelihood, mean, covariance[one]


def _ones(slots: Slots) -> dict[str, Array]:
    return slots.named(np.ones(slots.size))


def _unique(parts: Sequence[Array]) -> tuple[Array, list[Array]]:
    """Join columns of people, each once; return them, and where those of each part stand."""
    kept: dict[bytes, int] = {}
    columns, places = [], []
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
