"""The density of a model whose functions are sampled with everything else, and its gradient.

Behind the parameters the vector holds every person's functions and, where items of a subscale share
one, residual factors. Latent factors x* are integrated out in closed form. The predictor of an outcome
that is not Gaussian holds q . x*, which is normal given functions and Gaussian data: its standardised
rest z is sampled, one number a person, so that nothing is approximated. (To sample x* itself would have a
mode at sigma_x = 0, without bound.) A hurdle has two predictors, and as many rests as there are factors.
Functions that are skewed are sampled as what is Gaussian, and factors with items of their own as functions
are. Gaussian data are folded in as on the marginal
route, so that both have one text; what the kernel integrates is evaluated at the functions here.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, NamedTuple

import numpy as np

from nssi_bayes import names as n
from nssi_bayes.blocks.answers import Answers, all_loadings
from nssi_bayes.blocks.compiled import Part, compile_people
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.predicted import Observed, Predictor, rests
from nssi_bayes.blocks.slots import Slots
from nssi_bayes.blocks.tables import people_by_pattern
from nssi_bayes.fit.unconstrained import Unconstrained
from nssi_bayes.integrate.compiling import compiled
from nssi_bayes.integrate.curve import derivatives, value
from nssi_bayes.integrate.gaussian import LOG_2PI
from nssi_bayes.integrate.sinh_arcsinh import slopes, slopes_by_shape, transform

__all__ = ["Latents", "density"]

type Array = np.ndarray[Any, Any]


class Latents(NamedTuple):
    """How many latents the vector holds behind the parameters.

    Parameters
    ----------
    people, functions, testlets, rests : int
        People, and of each what items measure (functions, and factors with items), residual factors of
        items, and rests of the outcome's predictor.
    """

    people: int
    functions: int
    testlets: int
    rests: int

    @classmethod
    def of(cls, design: Design, names: Container[str]) -> Latents:
        """Count the latents of a design and a model's parameters."""
        functions, testlets = len(design.axes), len(design.coords[n.TESTLET])
        return cls(len(design.diagnosis), functions, testlets, rests(design, names))

    @property
    def size(self) -> int:
        """Length of their part of the vector."""
        return self.people * (self.functions + self.testlets + self.rests)

    def split(self, tail: Array) -> tuple[Array, Array, Array]:
        """Return functions, residual factors of items and rests, each [`participant`, ...]."""
        ends = self.people * np.cumsum([self.functions, self.testlets])
        eta, testlet, rest = (part.reshape(self.people, -1) for part in np.split(tail, ends))
        return eta, testlet, rest


def density(free: Unconstrained, slots: Slots, design: Design) -> Callable[[Array], tuple[float, Array]]:
    """Return vector to log-density and gradient.

    Parameters
    ----------
    free : Unconstrained
        Priors and transforms of the parameters.
    slots : Slots
        Where the parameters stand.
    design : Design
        The data.

    Returns
    -------
    callable
        Of the parameters' vector and, behind it, `Latents`.
    """
    latents, answers = Latents.of(design, slots.where), Answers(design)
    people, outcome = compile_people(design, slots), _Outcome(Observed(design), slots)
    predictors, ones = _Predictors(design, latents.testlets), np.ones(latents.people)

    @np.errstate(all="ignore")  # a trajectory may end where nothing is finite: the sampler sees it
    def value_and_gradient(x: Array) -> tuple[float, Array]:
        log_prior, theta, to_x = free(x[: free.size])
        latent, testlet, rest = latents.split(x[free.size :])
        part, to_theta = people(theta)
        eta = latent if part.shape is None else transform(latent, part.shape)
        constants = answers.constants(part)
        items, d_predictor, d_upper, d_lower = _answers(predictors(part, eta, testlet), *constants)
        apart = part.matrix.shape[1] > latents.functions + 1
        whole = np.concatenate([latent, *[eta] * apart, -np.ones((latents.people, 1))], axis=1)
        pulled = np.einsum("iab,ib->ia", part.matrix, whole)
        total = log_prior + part.constant.sum() + (answers.counts * part.log_gap).sum() + items
        total += -0.5 * (pulled * whole).sum() - 0.5 * (testlet**2).sum() - 0.5 * testlet.size * LOG_2PI
        by_upper, by_lower, by_shift = answers.back(part, constants, (d_upper, d_lower))
        by_items, d_eta, d_testlet = predictors.back(part, eta, testlet, d_predictor)
        d_eta -= pulled[:, latents.functions : -1] if apart else 0.0
        d_eta, by_shape = _before_skewing(latent, part.shape, d_eta)
        by = Part(
            ones, -0.5 * whole[:, :, None] * whole[:, None, :], by_upper, by_lower, answers.counts,
            *by_items, by_shift, shape=by_shape,
        )  # fmt: skip
        d_eta, d_rest, d_theta = d_eta - pulled[:, : latents.functions], rest, np.zeros(slots.size)
        if part.predictor is not None:
            said, by_eta, d_rest, back, d_theta = outcome(theta, part.predictor, eta, rest)
            total, d_eta, by = total + said, d_eta + by_eta, by._replace(predictor=back)
        tail = np.concatenate([d_eta.ravel(), (d_testlet - testlet).ravel(), d_rest.ravel()])
        return float(total), np.concatenate([to_x(to_theta(by) + d_theta), tail])

    return value_and_gradient


class _Predictors:
    """Predictors of all indicators from functions and residual factors, and slopes taken back."""

    def __init__(self, design: Design, testlets: int) -> None:
        self._design, self._shared = design, design.testlet_of >= 0
        self._who: list[Any] = people_by_pattern(design) if design.coords[n.GROUP] else [slice(None)]
        self._of_shared = design.testlet_of[self._shared]
        self._members = (self._of_shared[:, None] == np.arange(testlets)).astype(float)

    def __call__(self, part: Part, eta: Array, testlet: Array) -> Array:
        """Return them [`participant`, `indicator`]."""
        found = self._by_pattern(eta, all_loadings(part, self._design).mT)
        found[:, self._shared] += testlet[:, self._of_shared] * part.gamma[self._of_shared]
        return found

    def back(
        self, part: Part, eta: Array, testlet: Array, by: Array
    ) -> tuple[tuple[Array, Array, Array | None], Array, Array]:
        """Return derivatives by loadings, sizes and further loadings; by functions; by residual factors."""
        design, shared = self._design, by[:, self._shared]
        by_loads = np.stack([by[one].T @ eta[one] for one in self._who])
        by_loading = by_loads[:, np.arange(len(design.function_of)), design.function_of]
        further = None
        if part.further is not None:
            further = by_loads[0, design.further_indicator, design.further_function]
        by_gamma = (shared * testlet[:, self._of_shared]).sum(axis=0) @ self._members
        by_eta = self._by_pattern(by, all_loadings(part, design))
        by_testlet = (shared * part.gamma[self._of_shared]) @ self._members
        return (by_loading.reshape(part.loading.shape), by_gamma, further), by_eta, by_testlet

    def _by_pattern(self, values: Array, maps: Array) -> Array:
        """Return every person's values times the map of those who share loadings with them."""
        found = np.empty((len(values), maps.shape[2]))
        for one, own in zip(self._who, maps, strict=True):
            found[one] = values[one] @ own
        return found


def _before_skewing(latent: Array, shape: Array | None, by_eta: Array) -> tuple[Array, Array | None]:
    """Return derivatives by what is Gaussian, and by how it is skewed, from those by the functions."""
    if shape is None:
        return by_eta, None
    return by_eta * slopes(latent, shape)[0], slopes_by_shape(latent, shape, by_eta)


class _Outcome:
    """The log-likelihood of an outcome that is not Gaussian, and its derivatives."""

    def __init__(self, observed: Observed, slots: Slots) -> None:
        self.observed, self.slots = observed, slots

    def __call__(
        self, theta: Array, predictor: Predictor, eta: Array, rest: Array
    ) -> tuple[float, Array, Array, Predictor, Array]:
        """Return nats, derivatives by functions and rests, by the predictor, and by its own parameters."""
        mean, common, own, spread = predictor
        if spread is None:
            raise ValueError("the factors are not integrated out of the outcome's predictor")
        mu = mean + np.einsum("if,kfi->ki", eta, own) + np.einsum("ir,kri->ki", rest, spread)
        named = self.slots.named(theta)
        curves = self.observed.curves(named)
        by_mu = np.array([derivatives(*pair)[0] for pair in zip(curves, mu, strict=True)])
        by_theta = np.zeros(self.slots.size)
        for name, slope in self.observed.slopes(named, mu).items():
            by_theta[self.slots.where[name]] = slope
        by_own = np.ascontiguousarray(by_mu[:, None] * eta.T)
        back = Predictor(by_mu, common, by_own, by_mu[:, None] * rest.T)
        by_rest = np.einsum("ki,kri->ir", by_mu, spread) - rest
        nats = sum(value(*pair).sum() for pair in zip(curves, mu, strict=True))
        nats -= 0.5 * (rest**2).sum() + 0.5 * rest.size * LOG_2PI
        return float(nats), np.einsum("ki,kfi->if", by_mu, own), by_rest, back, by_theta


@compiled
def _answers(predictor: Array, upper: Array, lower: Array) -> tuple[float, Array, Array, Array]:
    """Return the log-probability of all responses without their gaps, and its derivatives.

    Parameters
    ----------
    predictor, upper, lower : numpy.ndarray
        Predictor, U and V [`participant`, `indicator`]; U and V are 0 where missing.

    Returns
    -------
    tuple
        Nats; derivatives by each of the arguments.
    """
    total = 0.0
    by_predictor, by_upper, by_lower = np.empty_like(predictor), np.empty_like(upper), np.empty_like(lower)
    for i in range(predictor.shape[0]):
        for j in range(predictor.shape[1]):
            u, v = upper[i, j], lower[i, j]
            odds = np.exp(predictor[i, j])
            whole = 1.0 + u * v + odds * u + v / odds
            total -= np.log(whole)
            by_predictor[i, j] = (v / odds - odds * u) / whole
            by_upper[i, j] = -(v + odds) / whole
            by_lower[i, j] = -(u + 1.0 / odds) / whole
    return total, by_predictor, by_upper, by_lower
