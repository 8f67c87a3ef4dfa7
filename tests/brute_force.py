"""The likelihood of one person by dense matrices and a dense grid, written apart from the package.

Everything Gaussian of a person is one multivariate normal vector together with the functions; the
items are multiplied in on a grid over the functions, and a residual factor of items is a sum of
its own over a fine grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.linalg import block_diag
from scipy.special import expit, kv, logsumexp
from scipy.stats import multivariate_normal

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]

STEP, REACH = 0.22, 6.6


def skewed(theta: Theta, f: int, e: Array) -> Array:
    """Return a function at values of what is Gaussian, standardised by the moments of Jones & Pewsey."""
    if "epsilon" not in theta:
        return e
    epsilon, delta = theta["epsilon"][f], theta["tailweight"][f]

    def bessel(q: float) -> float:
        both = kv((q + 1) / 2, 0.25) + kv((q - 1) / 2, 0.25)
        return float(np.exp(0.25) / np.sqrt(8 * np.pi) * both)

    mean = np.sinh(epsilon / delta) * bessel(1 / delta)
    square = (np.cosh(2 * epsilon / delta) * bessel(2 / delta) - 1) / 2
    return (np.sinh((np.arcsinh(e) + epsilon) / delta) - mean) / np.sqrt(square - mean**2)


class Person:
    """One person's joint normal of functions and Gaussian data.

    Parameters
    ----------
    theta : dict of str to numpy.ndarray
        One value of every parameter; correlations as Cholesky factors.
    design : Design
        The data.
    i : int
        Position of the person.
    include : tuple of str
        Blocks whose Gaussian data count.
    """

    def __init__(self, theta: Theta, design: Design, i: int, include: tuple[str, ...]) -> None:
        self.theta, self.design, self.i = theta, design, i
        self.everybody = design.diagnosis.mean(axis=0)
        c, z, site = design.diagnosis[i], design.covariate[i], design.site[i]
        factors, functions = len(design.coords[n.FACTOR]), len(design.coords[n.FUNCTION])
        mean, cov = self._latents(c, z, site)
        self.with_regions: Array | None = None
        rows, offset, noise, value = [], [], [], []
        if "factors" in include:
            for p in np.flatnonzero(design.factor_seen[i]):
                rows.append(np.eye(factors + functions)[p])
                offset.append(0.0)
                noise.append([design.factor_error[p]])
                value.append(design.factor[i, p])
        for j in np.flatnonzero(design.score_seen[i]) if "items" in include else []:
            where = np.arange(factors + functions) == factors + design.score_function[j]
            rows.append(where * theta["lambda_score"][j])
            offset.append(theta["nu"][j])
            noise.append([theta["sigma_score"][j] ** 2])
            value.append(design.score[i, j])
        if "outcome" in include and "sigma_outcome" in theta and design.outcome_seen[i]:
            load, at, self.with_regions, more = self._outcome_terms(c, factors)
            rows.append(np.concatenate([theta.get("q", np.zeros(0)), theta["w"]]) + load)
            offset.append(self._outcome_mean(c, z, site) + at)
            noise.append([theta["sigma_outcome"] ** 2 + more])
            value.append(design.outcome[i])
        residual = np.diag([v[0] for v in noise]) if noise else np.zeros((0, 0))
        if "activation" in include and i in design.scanned:
            seen, load, where, cov_r = self._scan(c, site, factors)
            rows += list(load[seen])
            offset += list(where[seen])
            value += list(design.activation[list(design.scanned).index(i)][seen])
            size = len(residual)
            whole = np.zeros((size + len(seen), size + len(seen)))
            whole[:size, :size], whole[size:, size:] = residual, cov_r[np.ix_(seen, seen)]
            if self.with_regions is not None:  # the outcome stands last of what is before
                whole[size - 1, size:] = whole[size:, size - 1] = self.with_regions[seen]
            residual = whole
        if "connectivity" in include and i in design.connected:
            row = list(design.connected).index(i)
            seen = np.flatnonzero(design.connectivity_seen[row])
            load, where, cov_e = self._edges(c, site, factors, row)
            rows += list(load[seen])
            offset += list(where[seen])
            value += list(design.connectivity[row][seen])
            residual = block_diag(residual, cov_e[np.ix_(seen, seen)])
        H = np.array(rows).reshape(len(rows), factors + functions)
        y, at = np.array(value), H @ mean + np.array(offset)
        S = H @ cov @ H.T + residual
        self.gaussian = float(multivariate_normal(at, S, allow_singular=False).logpdf(y)) if len(y) else 0.0
        gain = cov @ H.T @ np.linalg.inv(S) if len(y) else np.zeros((len(mean), 0))
        self.whole_mean, self.whole_cov = mean + gain @ (y - at), cov - gain @ H @ cov
        # factors with items stand behind those with scores, and are axes as functions are
        scored = design.factor.shape[1]
        self.mean, self.cov = self.whole_mean[scored:], self.whole_cov[scored:, scored:]

    def _latents(self, c: Array, z: Array, site: Array) -> tuple[Array, Array]:
        """Return mean and covariance of (x, eta) before any data."""
        theta, design = self.theta, self.design
        factors, functions = len(design.coords[n.FACTOR]), len(design.coords[n.FUNCTION])
        mean_x, cov_x = self._factors(c, z, factors)
        root = theta.get("Omega", np.eye(functions))
        if "h" in theta:
            mean_c = design.diagnosis[0] - design.centred_diagnosis[0]  # of the whole cohort
            root = np.diag([np.exp(theta["h"][f] @ (c - mean_c)) for f in range(functions)]) @ root
        slope = theta.get("B", np.zeros((functions, 0))).copy()
        for k in range(len(c)):
            if "B_disorder" in theta:
                slope = slope + c[k] * theta["B_disorder"][:, :, k]
        slope = slope + design.burden[self.i] * theta.get("B_burden", np.zeros_like(slope))
        level = self._level(c, z, site, functions)
        mean = np.concatenate([mean_x, level + slope @ mean_x])
        cov = np.block([[cov_x, cov_x @ slope.T], [slope @ cov_x, slope @ cov_x @ slope.T + root @ root.T]])
        return mean, cov

    def _factors(self, c: Array, z: Array, factors: int) -> tuple[Array, Array]:
        theta = self.theta
        if not factors:
            return np.zeros(0), np.zeros((0, 0))
        mean = theta["M"] @ c + theta.get("N", np.zeros((factors, 0))) @ z[: theta["N"].shape[1]]
        sizes = []
        for p in range(factors):
            if p < self.design.factor.shape[1]:
                mean[p] += theta["mu_x"][p]
                sizes.append(theta["sigma_x"][p])
            else:  # measured by items: unit residual sd, and mean 0 over the diagnoses of the cohort
                mean[p] -= theta["M"][p] @ self.everybody
                sizes.append(1.0)
        root = theta.get("Omega_x", np.eye(factors))
        sd = np.diag(sizes)
        return mean, sd @ root @ root.T @ sd

    def _level(self, c: Array, z: Array, site: Array, functions: int) -> Array:
        theta, design, i = self.theta, self.design, self.i
        level = np.zeros(functions)
        for f in range(functions):
            level[f] += c @ theta["A"][f] if "A" in theta else 0
            level[f] += z @ theta["G"][f] if "G" in theta else 0
            level[f] += site @ theta["u_site"][f] if "u_site" in theta else 0
            level[f] += design.burden[i] * theta["level_burden"][f] if "level_burden" in theta else 0
            level[f] += design.none[i] * theta["level_none"][f] if "level_none" in theta else 0
        return level

    def _outcome_mean(self, c: Array, z: Array, site: Array) -> float:
        theta = self.theta
        total = theta["a"] + theta["d"] @ c + theta["outcome_covariate"] @ z
        return float(total + (theta["site_outcome"] @ site if "site_outcome" in theta else 0))

    def _outcome_terms(self, c: Array, factors: int) -> tuple[Array, float, Array | None, float]:
        """Return loadings, mean, covariance with regions and variance of what `outcome_from` asks for."""
        theta, design, i = self.theta, self.design, self.i
        functions, at = len(theta["w"]), 0.0
        load = np.zeros(functions)
        for f in range(functions):
            load[f] += theta["w_disorder"][f] @ c if "w_disorder" in theta else 0
            load[f] += design.burden[i] * theta["w_burden"][f] if "w_burden" in theta else 0
            for t in range(len(theta.get("theta", []))):
                load[f] += design.treatment[i, t] * theta["phi"][t, f]
        for t in range(len(theta.get("theta", []))):
            at += design.treatment[i, t] * theta["theta"][t]
        if "baseline" in theta:
            at += design.baseline[i, 0] * theta["baseline"]
        if "baseline_missing" in theta:
            at += design.baseline[i, 1] * theta["baseline_missing"]
        whole = np.concatenate([np.zeros(factors), load])
        if "v" not in theta:
            return whole, at, None, 0.0
        regions = len(design.coords[n.ROI])
        weight = np.zeros(regions)  # of each region in the outcome
        for r in range(regions):
            network = design.network_of[r]
            weight[r] = theta["v"][network] / np.sum(design.network_of == network)
        common = np.outer(theta["loading_person"], theta["loading_person"])
        for w, size in enumerate(theta["loading_network"]):
            common += size**2 * np.outer(design.big_network[:, w], design.big_network[:, w])
        for r in range(regions):
            own = theta["L_network"][design.network_of[r]] + theta["L_offset"][r]
            for k in range(len(c)):
                own = own + c[k] * theta["L_disorder"][r, :, k] if "L_disorder" in theta else own
            own = own + design.burden[i] * theta["L_burden"][r] if "L_burden" in theta else own
            slope = theta["D"][r] if "D" in theta else np.zeros(factors)
            whole = whole + weight[r] * np.concatenate([slope, own])
            at += weight[r] * (theta["m"][r] @ c if "m" in theta else 0)
            at += weight[r] * design.burden[i] * (theta["m_burden"][r] if "m_burden" in theta else 0)
            at += weight[r] * design.none[i] * (theta["m_none"][r] if "m_none" in theta else 0)
        return whole, float(at), common @ weight, float(weight @ common @ weight)

    def _scan(self, c: Array, site: Array, factors: int) -> tuple[Array, Array, Array, Array]:
        theta, design = self.theta, self.design
        row = list(design.scanned).index(self.i)
        regions = len(design.coords[n.ROI])
        load = theta["L_offset"] + np.array([theta["L_network"][w] for w in design.network_of])
        for k in range(len(c)):
            if "L_disorder" in theta:
                load = load + c[k] * theta["L_disorder"][:, :, k]
        load = load + design.burden[self.i] * theta.get("L_burden", np.zeros_like(load))
        where = theta["mu"] + theta["m"] @ c + theta["confound_slope"] @ design.confound[row]
        where = where + design.burden[self.i] * theta.get("m_burden", np.zeros(regions))
        where = where + design.none[self.i] * theta.get("m_none", np.zeros(regions))
        where = where + (theta["site_neural"] @ site if "site_neural" in theta else 0)
        cov = np.diag(theta["sigma"] ** 2 + design.activation_se[row] ** 2)
        if "loading_person" in theta:
            cov = cov + np.outer(theta["loading_person"], theta["loading_person"])
            for r in range(regions):
                for q in range(regions):
                    for w, size in enumerate(theta["loading_network"]):
                        cov[r, q] += size**2 * design.big_network[r, w] * design.big_network[q, w]
            for r in range(regions):
                for q in range(regions):
                    pair = design.coords[n.ROI][r].rsplit("_", 1), design.coords[n.ROI][q].rsplit("_", 1)
                    mirrored = {pair[0][-1], pair[1][-1]} == {"L", "R"} and pair[0][0] == pair[1][0]
                    if mirrored:
                        cov[r, q] += theta["loading_homologous"] ** 2
                        cov[r, r] += theta["loading_homologous"] ** 2
        rows = np.concatenate([theta.get("D", np.zeros((regions, factors))), load], axis=1)
        return np.flatnonzero(design.activation_seen[row]), rows, where, cov

    def _edges(self, c: Array, site: Array, factors: int, row: int) -> tuple[Array, Array, Array]:
        theta, design = self.theta, self.design
        edges, regions = design.coords[n.EDGE], design.coords[n.EDGE_REGION]
        load, where = [], []
        cov = np.diag(theta["sigma_edge"] ** 2 + design.connectivity_se[row] ** 2)
        meets = {r: [e for e, edge in enumerate(edges) if r in edge.split("--")] for r in regions}
        for e, edge in enumerate(edges):
            a, b = (regions.index(r) for r in edge.split("--"))
            one = theta["L_pair"][design.pair_of[e]] + theta["L_end"][a] + theta["L_end"][b]
            one = one + theta["L_edge_offset"][e]
            at = theta["mu_edge"][e] + theta["m_edge"][e] @ c
            at += theta["confound_slope_edge"][e] @ design.confound_edge[row]
            for name, times in (("m_edge_burden", design.burden), ("m_edge_none", design.none)):
                at += times[self.i] * theta[name][e] if name in theta else 0
            at += theta["site_edge"][e] @ site if "site_edge" in theta else 0
            if "L_edge_disorder" in theta:
                one = one + theta["L_edge_disorder"][e] @ c
            if "L_edge_burden" in theta:
                one = one + design.burden[self.i] * theta["L_edge_burden"][e]
            load.append(np.concatenate([theta["D_edge"][e] if "D_edge" in theta else np.zeros(factors), one]))
            where.append(at)
            for q in range(len(edges)):
                if "loading_person_edge" in theta:
                    cov[e, q] += theta["loading_person_edge"][e] * theta["loading_person_edge"][q]
        for joined in meets.values():
            if len(joined) >= 3 and "loading_hub" in theta:
                cov[np.ix_(joined, joined)] += theta["loading_hub"] ** 2
        return np.array(load), np.array(where), cov

    def log_likelihood(self, **grid: Any) -> float:
        """Return the log-likelihood of the included Gaussian data and of all items."""
        return self.gaussian + float(logsumexp(self._integrand(**grid)[1]))

    def posterior(self, **grid: Any) -> tuple[Array, Array]:
        """Return mean and covariance of the axes given the included Gaussian data and all items."""
        eta, total = self._integrand(**grid)
        weight = np.exp(total - logsumexp(total))
        mean = eta @ weight
        return mean, (eta - mean[:, None]) * weight @ (eta - mean[:, None]).T

    def _integrand(
        self, *, step: float = STEP, reach: float = REACH, of: tuple[int, ...] | None = None
    ) -> tuple[Array, Array]:
        """Return points [axis, point] and the logarithm of density times items times cell there.

        `of`: the axes whose items count; all by default.
        """
        functions = len(self.mean)
        axis = np.arange(-reach, reach + step / 2, step)
        mesh = np.meshgrid(*[axis] * functions, indexing="ij")
        z = np.stack([m.ravel() for m in mesh])
        total = -0.5 * (z**2).sum(axis=0) + functions * (np.log(step) - 0.5 * np.log(2 * np.pi))
        eta = self.mean[:, None] + np.linalg.cholesky(self.cov) @ z
        for f in range(functions) if of is None else of:
            places = np.linspace(eta[f].min(), eta[f].max(), 1201)
            curve = self.item_curve(f, skewed(self.theta, f, places))
            total = total + CubicSpline(places, curve)(eta[f])
        return eta, total

    def item_curve(self, f: int, eta: Array) -> Array:
        """Return the log-likelihood of one function's items at values of the function."""
        design, theta = self.design, self.theta
        total = np.zeros(len(eta))
        t = np.arange(-7.5, 7.51, 0.125)
        log_t = -0.5 * t**2 + np.log(0.125) - 0.5 * np.log(2 * np.pi)
        for j in np.flatnonzero((design.function_of == f) & (design.testlet_of < 0)):
            total = total + self._item(int(j), self._load(int(j)) * eta)
        for s in {int(s) for s in design.testlet_of[design.function_of == f] if s >= 0}:
            both = np.zeros((len(eta), len(t))) + log_t
            for j in np.flatnonzero(design.testlet_of == s):
                predictor = self._load(int(j)) * eta[:, None] + theta["gamma"][s] * t
                both = both + self._item(int(j), predictor)
            total = total + logsumexp(both, axis=1)
        return total

    def _load(self, j: int) -> float:
        """Loading of one indicator, which may differ by disorder."""
        design, theta = self.design, self.theta
        size = float(theta["lambda"][j])
        if design.biased is None or j not in design.biased:
            return size
        row, c = list(design.biased).index(j), design.diagnosis[self.i]
        if "delta_loading" in theta:
            size *= np.exp(theta["delta_loading"][row] @ c)
        if "delta_loading_free" in theta:
            free = theta["delta_loading_free"]
            mates = [m for m in range(len(free)) if design.function_of[m] == design.function_of[j]]
            whole = len(design.biased) == len(design.categories)
            size *= np.exp((free[row] - whole * free[mates].mean(axis=0)) @ c)
        return size

    def _bias(self, j: int) -> Array:
        """Bias of one indicator [disorder]; of sparse effects the level that they have in common is gone."""
        design, theta = self.design, self.theta
        row = list(design.biased).index(j)
        if "delta" in theta:
            return np.asarray(theta["delta"][row])
        free, found = theta["delta_free"], np.array(theta["delta_free"][row])
        if len(design.biased) == len(design.categories):
            mates = [m for m in range(len(free)) if design.function_of[m] == design.function_of[j]]
            level = sum(free[m] for m in mates) / sum(theta["lambda"][m] for m in mates)
            found = found - theta["lambda"][j] * level
        return found

    def _item(self, j: int, predictor: Array) -> Array:
        design = self.design
        y, count = design.response[self.i, j], design.categories[j]
        if y == design.missing_response:
            return np.zeros(predictor.shape)
        group = np.flatnonzero(design.categories == count)
        if design.biased is not None and j in design.biased:
            predictor = predictor + self._bias(j) @ design.diagnosis[self.i]
        p = self.theta[f"category_probability_{count}"][list(group).index(j)]
        below, above = np.cumsum(p)[:-1], np.cumsum(p[::-1])[::-1][1:]
        edges = np.concatenate([[-np.inf], np.log(below / above), [np.inf]])
        high, low = edges[y + 1] - predictor, edges[y] - predictor
        mass = np.where(low > 0, expit(-low) - expit(-high), expit(high) - expit(low))
        return np.log(np.maximum(mass, 1e-300))
