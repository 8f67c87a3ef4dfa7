"""From the sampler's vector to the parameters: priors and transforms of all of them at once.

PyMC states priors and transforms (`build`), one operation for each parameter. There are ten
families of parameters and a thousand elements; here every family is one array operation, forwards
and backwards. `density.reference`, which is PyMC's own, is the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import betaln, expit, gammaln

from nssi_bayes.blocks.parameter import STEP, Parameter, one_factor
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.families.mixture import log_density as log_mixture
from nssi_bayes.fit.cauchy import Cauchy
from nssi_bayes.fit.roots import Root, by_loading
from nssi_bayes.fit.slabbed import Slabbed
from nssi_bayes.fit.whiten import Scaled

__all__ = ["Unconstrained"]

type Array = np.ndarray[Any, Any]


class Unconstrained:
    """Log prior and parameters of an unconstrained vector.

    Parameters
    ----------
    parameters : sequence of Parameter
        What the model declares.
    slots : Slots
        Where they stand; a correlation matrix as its Cholesky factor.

    Attributes
    ----------
    size : int
        Length of the vector.
    start : numpy.ndarray
        Where the priors are, in one sense or another, in the middle.
    scaled : list of Scaled
        As in `density.Density`.
    constant : float
        What the log prior holds that does not depend on the vector.
    """

    def __init__(self, parameters: Sequence[Parameter], slots: Slots) -> None:
        self._slots = slots
        self._free = Slots({p.name: _free_shape(p, slots.shapes[p.name]) for p in parameters})
        where, self.size = self._free.where, self._free.size
        self.start = np.zeros(self.size)
        self.scaled = self._all_scaled(parameters)
        self._mean, self._weight = np.zeros(self.size), np.zeros(self.size)
        self._scale = np.full(slots.size, slots.size)  # slot of the scale; behind the last one stands 1
        self._half: list[Array] = []
        self._exp: list[Array] = []
        self._gammas: list[tuple[Array, Array, float, float]] = []
        self._cauchys: list[Cauchy] = []
        self._slabs: list[Slabbed] = []
        self._mixtures: list[tuple[Array, Parameter, tuple[int, ...]]] = []
        self._simplex: list[tuple[slice, slice, tuple[int, ...], float]] = []
        self._betas: list[tuple[Array, Array, float, float]] = []
        self._roots: list[Root] = []
        self._one_factors: list[tuple[slice, slice]] = []
        self.constant = 0.0
        none = np.zeros(0, int)
        entries: list[tuple[Array, Array, Array]] = [(none, none, np.zeros(0))]
        for p in parameters:
            x, slot, shape = where[p.name], slots.where[p.name], slots.shapes[p.name]
            at, into = np.arange(x.start, x.stop), np.arange(slot.start, slot.stop)
            if p.family == "lkj":
                self._roots.append(Root(x, slot, shape[0], p.alpha))
                self.constant += self._roots[-1].constant
            elif p.family == "dirichlet":
                self._simplex.append((x, slot, shape, p.alpha))
                count = shape[-1]
                constant = gammaln(p.alpha * count) - count * gammaln(p.alpha) + np.log(count)
                self.constant += float(constant) * int(np.prod(shape[:-1]))
            elif p.family == "halfnormal":
                factor = np.broadcast_to(STEP * np.asarray(p.sigma), shape).ravel()
                self._half.append(np.stack([at, into, factor]))
                self.constant += len(at) * float(0.5 * np.log(2 / np.pi) + np.log(STEP))
                self.start[at] = np.log(np.expm1(1 / STEP))
            elif p.family == "gamma":
                self._add_gamma(p, at, into)
            elif p.family == "beta":  # by its log-odds
                self._betas.append((at, into, p.alpha, p.beta))
                self.constant -= len(at) * float(betaln(p.alpha, p.beta))
                self.start[at] = np.log(p.alpha / p.beta)
            elif p.family == "one_factor":
                self._one_factors.append((slots.where[str(p.of)], slot))
            elif p.family == "halfcauchy":
                self._add_cauchy(p, at, into)
            elif p.family == "mixture":
                self._mixtures.append((at, p, shape))
                self.start[at] = np.broadcast_to((p.weights * p.mu).sum(axis=-1), shape).ravel()
                entries.append((into, at, np.ones(len(at))))
            else:
                entries += self._add_normal(p, at, into, shape)
            if p.scale is not None and p.family != "halfcauchy":
                self._multiply(p, p.scale, slots)
        self._join(entries)
        for cauchy in self._cauchys:
            cauchy.begin(self(self.start)[1], self.start)

    def _multiply(self, p: Parameter, scale: str, slots: Slots) -> None:
        """Note what a parameter is multiplied by."""
        into = np.arange(slots.size)[slots.where[p.name]]
        if p.slab is not None:
            self._slabs.append(Slabbed(into, slots.where[scale], slots.where[p.slab]))
            return
        owner = np.arange(slots.size)[slots.where[scale]].reshape(slots.shapes[scale])
        aligned = p.aligned_scale(owner) if p.scale_dims else owner
        self._scale[into] = np.broadcast_to(aligned, slots.shapes[p.name]).ravel()

    def _join(self, entries: list[tuple[Array, Array, Array]]) -> None:
        """Make one array of what was collected parameter by parameter."""
        rows, columns, values = (np.concatenate(part) for part in zip(*entries, strict=True))
        self._linear = sparse.csr_array((values, (rows, columns)), shape=(self._slots.size, self.size))
        self._back = self._linear.T.tocsr()
        halves = np.concatenate(self._half, axis=1) if self._half else np.zeros((3, 0))
        self._half_x, self._half_slot = halves[:2].astype(int)
        self._half_factor = halves[2]
        exps = np.concatenate(self._exp, axis=1) if self._exp else np.zeros((2, 0), int)
        self._exp_x, self._exp_slot = exps
        self._scaled = np.flatnonzero(self._scale < self._slots.size)
        self._owner = self._scale[self._scaled]

    def _add_normal(
        self, p: Parameter, at: Array, into: Array, shape: tuple[int, ...]
    ) -> list[tuple[Array, Array, Array]]:
        """Add what is normal, or whose logarithm is, and return how it becomes the parameter."""
        mean = 0.0 if p.zero_sum else np.broadcast_to(p.mu, shape).ravel()
        sd = np.ones(len(at)) if p.zero_sum else np.broadcast_to(p.sigma, shape).ravel()
        self._mean[at], self._weight[at] = mean, 1 / sd**2
        self.start[at] = mean
        self.constant -= float(np.log(sd).sum()) + 0.5 * len(at) * float(np.log(2 * np.pi))
        if p.family == "lognormal":
            self._exp.append(np.stack([at, into]))
            return []
        if p.zero_sum:
            return _zero_sum(at, into, shape[-1], p.zero_sum_groups)
        return [(into, at, np.ones(len(at)))]

    def _add_gamma(self, p: Parameter, at: Array, into: Array) -> None:
        self._gammas.append((at, into, p.alpha, p.beta))
        self.constant += len(at) * float(p.alpha * np.log(p.beta) - gammaln(p.alpha))
        self.start[at] = np.log(p.alpha / p.beta)

    def _add_cauchy(self, p: Parameter, at: Array, into: Array) -> None:
        """Add what is half-Cauchy; a scale of it is of its prior and multiplies nothing."""
        owner = None
        if p.scale is not None:
            slots = self._slots
            owner = np.arange(slots.size)[slots.where[p.scale]].reshape(slots.shapes[p.scale])
            aligned = p.aligned_scale(owner) if p.scale_dims else owner
            owner = np.broadcast_to(aligned, slots.shapes[p.name]).ravel()
        self._cauchys.append(Cauchy(at, into, p.sigma, owner=owner))
        self.constant += len(at) * float(np.log(2 / np.pi) - np.log(p.sigma))

    def _of_mixtures(self, x: Array, pull: Array) -> float:
        """Return the log-density of mixtures, and put its negative slope into `pull`."""
        total = 0.0
        for at, p, shape in self._mixtures:
            each, slope = log_mixture(x[at].reshape(shape), p.weights, p.mu, p.sigma)
            total += float(each.sum())
            pull[at] = -slope.ravel()
        return total

    def _of_bounded(self, x: Array, theta: Array) -> float:
        """Put shares, positive numbers and what is computed into `theta`; return their log-density."""
        log_prior = 0.0
        for x_at, slot, shape, alpha in self._simplex:
            p, log_sum = _softmax(x[x_at].reshape(*shape[:-1], -1))
            theta[slot] = p.ravel()
            log_prior -= alpha * shape[-1] * float(log_sum.sum())
        for at, into, alpha, beta in self._gammas:  # by its logarithm
            theta[into] = np.exp(x[at])
            log_prior += alpha * float(x[at].sum()) - beta * float(theta[into].sum())
        for at, into, alpha, beta in self._betas:
            theta[into] = expit(x[at])
            log_prior -= alpha * float(np.logaddexp(0.0, -x[at]).sum())
            log_prior -= beta * float(np.logaddexp(0.0, x[at]).sum())
        for loading, slot in self._one_factors:
            theta[slot] = np.linalg.cholesky(one_factor(theta[loading])).ravel()
        return log_prior

    def _back_of_bounded(self, x: Array, theta: Array, by: Array, found: Array) -> None:
        """Add to the slopes by `x` what goes through shares and positive numbers."""
        for x_at, slot, shape, alpha in self._simplex:
            p = theta[slot].reshape(shape)
            slope = by[slot].reshape(shape)
            by_w = p * (slope - (slope * p).sum(axis=-1, keepdims=True) - alpha * shape[-1])
            found[x_at] = (by_w[..., :-1] - by_w[..., -1:]).ravel()
        for at, into, alpha, beta in self._gammas:
            found[at] += (by[into] - beta) * theta[into] + alpha
        for at, into, alpha, beta in self._betas:
            p = theta[into]
            found[at] += by[into] * p * (1 - p) + alpha * (1 - p) - beta * p

    def _multiplied(self, theta: Array) -> tuple[Array, list[Array]]:
        """Multiply what has a scale in place, and return what was multiplied."""
        raw = theta[self._scaled]
        theta[self._scaled] = raw * theta[self._owner]
        return raw, [slab.forward(theta) for slab in self._slabs]

    def _multiplied_back(self, theta: Array, by_theta: Array, raw: Array, units: list[Array]) -> Array:
        """Return the derivative by what was multiplied and by its scales."""
        by = by_theta.copy()
        for slab, unit in zip(self._slabs, units, strict=True):
            slab.backward(theta, unit, by)
        by_scaled = by[self._scaled]
        by += np.bincount(self._owner, by_scaled * raw, self._slots.size)
        by[self._scaled] = by_scaled * theta[self._owner]
        return by

    def positions(self, name: str) -> list[int]:
        """Return where the coordinates of a parameter stand; none of one that there is not."""
        where = self._free.where.get(name, slice(0, 0))
        return list(range(where.start, where.stop))

    def _all_scaled(self, parameters: Sequence[Parameter]) -> list[Scaled]:
        """Match scales with what they multiply."""
        pairs = [(p, p.scale) for p in parameters if p.scale and p.family != "halfcauchy"]
        return [pair for p, scale in pairs for pair in self._coordinates(p, scale)]

    def _coordinates(self, p: Parameter, scale: str) -> list[Scaled]:
        """Match each element of a parameter's scale with the coordinates that it multiplies."""
        place = self._free.named(np.arange(self.size))
        owner, raw = place[scale], place[p.name]
        slab = -1 if p.slab is None else int(place[p.slab].item())
        which = np.broadcast_to(p.aligned_scale(owner) if p.scale_dims else owner, raw.shape)
        return [Scaled(int(one), raw[which == one], slab) for one in owner.ravel()]

    def invert(self, theta: Array) -> Array:
        """Return the vector whose parameters are these.

        Parameters
        ----------
        theta : numpy.ndarray
            Parameters [slot], as `__call__` returns them: a correlation matrix by its Cholesky factor.

        Returns
        -------
        numpy.ndarray
            Unconstrained.
        """
        raw = theta.copy()
        raw[self._scaled] = theta[self._scaled] / theta[self._owner]
        for slab in self._slabs:
            slab.invert(theta, raw)
        # normal ones stand for themselves; the maps to zero sums have orthonormal columns
        x = np.asarray(self._back @ raw)
        x[self._exp_x] = np.log(theta[self._exp_slot])
        steps = theta[self._half_slot] / self._half_factor
        x[self._half_x] = steps + np.log(-np.expm1(-steps))
        for x_at, slot, shape, _ in self._simplex:
            w = np.log(theta[slot]).reshape(shape)
            x[x_at] = (w - w.mean(axis=-1, keepdims=True))[..., :-1].ravel()
        for at, into, _, _ in self._gammas:
            x[at] = np.log(theta[into])
        for at, into, _, _ in self._betas:
            x[at] = np.log(theta[into]) - np.log1p(-theta[into])
        for cauchy in self._cauchys:
            cauchy.invert(theta, x)
        for root in self._roots:
            root.invert(theta[root.slot], x)
        return x

    def __call__(self, x: Array) -> tuple[float, Array, Callable[[Array], Array]]:
        """Return log prior, parameters, and the pull-back of their slopes.

        Parameters
        ----------
        x : numpy.ndarray
            Unconstrained.

        Returns
        -------
        tuple
            The log prior with the Jacobians; parameters [slot]; a function from the derivative of
            a log-likelihood by the parameters to that of the log-posterior by `x`.
        """
        away = x - self._mean
        pull = self._weight * away
        log_prior = self.constant - 0.5 * float(away @ pull) + self._of_mixtures(x, pull)
        theta = self._linear @ x
        theta[self._exp_slot] = np.exp(x[self._exp_x])
        half = x[self._half_x]
        steps = np.logaddexp(0.0, half)
        theta[self._half_slot] = self._half_factor * steps
        # half-normal in steps, and the slope of the softplus, whose logarithm is x - softplus(x)
        log_prior += float((half - steps - 0.5 * (STEP * steps) ** 2).sum())
        log_prior += self._of_bounded(x, theta)
        peaks = [cauchy.forward(x, theta) for cauchy in self._cauchys]
        log_prior += sum(log_density for log_density, _ in peaks)
        kept = [root.forward(x) for root in self._roots]
        for root, (value, log_density, _) in zip(self._roots, kept, strict=True):
            theta[root.slot] = value.ravel()
            log_prior += log_density
        multiplied = self._multiplied(theta)

        def pull_back(by_theta: Array) -> Array:
            by = self._multiplied_back(theta, by_theta, *multiplied)
            for cauchy, (_, slope) in zip(self._cauchys, peaks, strict=True):
                cauchy.backward(theta, slope, by)
            for loading, slot in self._one_factors:
                by[loading] += by_loading(theta[loading], theta[slot], by[slot])
            found = self._back @ by - pull
            found[self._exp_x] += by[self._exp_slot] * theta[self._exp_slot]
            rising = expit(half)
            by_steps = by[self._half_slot] * self._half_factor - STEP**2 * steps - 1.0
            found[self._half_x] = by_steps * rising + 1.0
            self._back_of_bounded(x, theta, by, found)
            for cauchy, (_, slope) in zip(self._cauchys, peaks, strict=True):
                cauchy.finish(theta, slope, by, found)
            for root, (value, _, norm) in zip(self._roots, kept, strict=True):
                root.backward(value, norm, by[root.slot], found)
            return found

        return log_prior, theta, pull_back


def _free_shape(p: Parameter, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a parameter in the unconstrained vector."""
    if p.family == "lkj":
        return (shape[0] * (shape[0] - 1) // 2,)
    if p.family == "one_factor":
        return (0,)
    if p.zero_sum_groups:
        return (shape[0] - len(p.zero_sum_groups), shape[1] - 1)
    if p.zero_sum or p.family == "dirichlet":
        return (*shape[:-1], shape[-1] - 1)
    return shape


def _zero_sum(
    at: Array, into: Array, count: int, groups: tuple[int, ...]
) -> list[tuple[Array, Array, Array]]:
    """Entries of PyMC's orthonormal maps from coordinates to elements that sum to zero.

    Along the last dim, of length `count`; with `groups`, within each of these groups of rows, too.
    """
    rows, columns = into.reshape(-1, count), at.reshape(-1, count - 1)
    if not groups:
        r, c, v = np.broadcast_arrays(rows[:, :, None], columns[:, None, :], _extension(count))
        return [(r.ravel(), c.ravel(), v.ravel())]
    found, row, column = [], 0, 0
    for length in groups:
        both = np.kron(_extension(length), _extension(count))
        own = rows[row : row + length].ravel(), columns[column : column + length - 1].ravel()
        r, c, v = np.broadcast_arrays(own[0][:, None], own[1][None, :], both)
        found.append((r.ravel(), c.ravel(), v.ravel()))
        row, column = row + length, column + length - 1
    return found


def _extension(count: int) -> Array:
    root = np.sqrt(count)
    extend = np.eye(count, count - 1) - 1 / (root + count)
    extend[-1] = -1 / root
    return extend


def _softmax(x: Array) -> tuple[Array, Array]:
    """PyMC's simplex of count - 1 coordinates: probabilities and the log of their sum of exponentials."""
    w = np.concatenate([x, -x.sum(axis=-1, keepdims=True)], axis=-1)
    most = w.max(axis=-1, keepdims=True)
    e = np.exp(w - most)
    total = e.sum(axis=-1, keepdims=True)
    return e / total, np.log(total) + most
