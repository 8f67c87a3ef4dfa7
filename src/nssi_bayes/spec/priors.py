"""Priors as a user changes them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final, Literal

import yaml
from pydantic import Field, model_validator

from nssi_bayes.errors import SpecError
from nssi_bayes.spec.strict import Strict, parse

__all__ = ["POSITIVE", "REAL", "Prior", "PriorChange", "PriorSet", "read_priors"]

type PriorSet = Literal["weak", "informed"]
_CONSTANTS: Final = {
    "normal": ("mu", "sigma"),
    "mixture": ("weights", "mus", "sigmas"),
    "halfnormal": ("sigma",),
    "halfcauchy": ("sigma",),
    "lognormal": ("mu", "sigma"),
    "gamma": ("alpha", "beta"),
    "beta": ("alpha", "beta"),
    "lkj": ("alpha",),
    "dirichlet": ("alpha",),
}
_ALL: Final = ("mu", "sigma", "alpha", "beta", "weights", "mus", "sigmas")
REAL: Final = ("normal", "mixture")
POSITIVE: Final = ("halfnormal", "halfcauchy", "lognormal", "gamma")
"""Families that may stand for each other, of any number and of positive ones."""
_ROUNDED: Final = 1e-6


class Prior(Strict):
    """One default prior.

    Parameters
    ----------
    family : str
        ``normal``, ``mixture``, ``halfnormal``, ``halfcauchy``, ``lognormal``, ``gamma``, ``beta``, ``lkj``
        or ``dirichlet``.
    mu, sigma : float, optional
        Its constants; for ``lkj`` and ``dirichlet`` `alpha`.
    alpha, beta : float, optional
        Of ``gamma`` shape and rate, and the two of ``beta``.
    weights, mus, sigmas : tuple of float, optional
        Of the normals of a ``mixture``; weights sum to 1.
    unit : str
        Unit of the parameter.
    source : str
        Where the choice comes from.
    """

    family: Literal[
        "normal", "mixture", "halfnormal", "halfcauchy", "lognormal", "gamma", "beta", "lkj", "dirichlet"
    ]
    mu: float | None = None
    sigma: float | None = None
    alpha: float | None = None
    beta: float | None = None
    weights: tuple[float, ...] | None = None
    mus: tuple[float, ...] | None = None
    sigmas: tuple[float, ...] | None = None
    unit: str
    source: str

    @model_validator(mode="after")
    def _whole(self) -> Prior:
        parts = [v for v in (self.weights, self.mus, self.sigmas) if v is not None]
        if parts:
            _check_mixture(self.weights or (), self.mus or (), self.sigmas or ())
        return self

    @property
    def components(self) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
        """Weights, means and sds of a normal or a mixture of them."""
        if self.family == "mixture":
            return self.weights or (), self.mus or (), self.sigmas or ()
        return (1.0,), (float(self.mu or 0),), (float(self.sigma or 1),)


def _check_mixture(weights: tuple[float, ...], mus: tuple[float, ...], sigmas: tuple[float, ...]) -> None:
    if not len(weights) == len(mus) == len(sigmas) > 0:
        raise ValueError("a mixture has as many weights as mus and sigmas")
    if min(weights) <= 0 or abs(sum(weights) - 1) > _ROUNDED or min(sigmas) <= 0:
        raise ValueError("the weights of a mixture are positive and sum to 1; its sigmas are positive")


class PriorChange(Strict):
    """What a spec changes in a default prior; what it leaves out stays.

    A positive parameter may be given another family of positive numbers, ``halfnormal``,
    ``halfcauchy``, ``lognormal`` or ``gamma``, and one of any sign ``normal`` or ``mixture``, with all of
    that family's constants.
    """

    family: Literal["normal", "mixture", "halfnormal", "halfcauchy", "lognormal", "gamma"] | None = None
    mu: float | None = None
    sigma: float | None = Field(default=None, gt=0)
    alpha: float | None = Field(default=None, gt=0)
    beta: float | None = Field(default=None, gt=0)
    weights: tuple[float, ...] | None = None
    mus: tuple[float, ...] | None = None
    sigmas: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _whole(self) -> PriorChange:
        if self.family == "mixture":
            _check_mixture(self.weights or (), self.mus or (), self.sigmas or ())
        return self


def read_priors(
    changes: Mapping[str, PriorChange] | None = None, prior_set: PriorSet = "weak"
) -> dict[str, Prior]:
    """Return a set of priors, with the changes of one spec.

    Parameters
    ----------
    changes : mapping of str to PriorChange, optional
        ``priors`` of a spec.
    prior_set : {"weak", "informed"}
        Where the others come from; what ``informed`` does not name is weak.

    Returns
    -------
    dict of str to Prior
        By parameter name.

    Raises
    ------
    SpecError
        If a change names constants that its family does not have, or lacks some that it needs.
    """
    priors = _read("weak")
    if prior_set != "weak":
        priors |= _read(prior_set)
    problems: list[str] = []
    for name, change in (changes or {}).items():
        problems += _problems(name, priors[name], change)
        said = change.model_dump(exclude_none=True)
        if change.family is not None and change.family != priors[name].family:
            said = {**dict.fromkeys(_ALL), **said}
        priors[name] = priors[name].model_copy(update=said)
    if problems:
        raise SpecError(problems, where="priors", cure="write the constants of the family, and only these")
    return priors


def _read(prior_set: PriorSet) -> dict[str, Prior]:
    resource = files("nssi_bayes.priors").joinpath(f"{prior_set}.yaml")
    content = yaml.safe_load(resource.read_text(encoding="utf-8"))
    return {name: parse(Prior, p, where=f"priors/{prior_set}.yaml: {name}") for name, p in content.items()}


def _problems(name: str, prior: Prior, change: PriorChange) -> list[str]:
    family = change.family or prior.family
    given = set(change.model_dump(exclude_none=True, exclude={"family"}))
    needed = _CONSTANTS[family]
    found = [f"priors.{name}.{key}: a {family} prior has no {key}" for key in sorted(given - set(needed))]
    if family != prior.family:
        found += [f"priors.{name}: a {family} prior needs {key}" for key in needed if key not in given]
        if not any(family in alike and prior.family in alike for alike in (REAL, POSITIVE)):
            found.append(f"priors.{name}.family: {prior.family} cannot become {family}")
    return found
