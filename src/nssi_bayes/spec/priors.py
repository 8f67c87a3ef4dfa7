"""Priors as a user changes them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final, Literal

import yaml
from pydantic import Field

from nssi_bayes.errors import SpecError
from nssi_bayes.spec.strict import Strict, parse

__all__ = ["POSITIVE", "Prior", "PriorChange", "read_priors"]

_CONSTANTS: Final = {
    "normal": ("mu", "sigma"),
    "halfnormal": ("sigma",),
    "lognormal": ("mu", "sigma"),
    "gamma": ("alpha", "beta"),
    "lkj": ("alpha",),
    "dirichlet": ("alpha",),
}
POSITIVE: Final = ("halfnormal", "lognormal", "gamma")
"""Families that may stand for each other."""


class Prior(Strict):
    """One default prior.

    Parameters
    ----------
    family : str
        ``normal``, ``halfnormal``, ``lognormal``, ``gamma``, ``lkj`` or ``dirichlet``.
    mu, sigma : float, optional
        Its constants; for ``lkj`` and ``dirichlet`` `alpha`.
    alpha, beta : float, optional
        Of ``gamma`` shape and rate.
    unit : str
        Unit of the parameter.
    source : str
        Where the choice comes from.
    """

    family: Literal["normal", "halfnormal", "lognormal", "gamma", "lkj", "dirichlet"]
    mu: float | None = None
    sigma: float | None = None
    alpha: float | None = None
    beta: float | None = None
    unit: str
    source: str


class PriorChange(Strict):
    """What a spec changes in a default prior; what it leaves out stays.

    A positive parameter may be given another family of positive numbers, ``halfnormal``,
    ``lognormal`` or ``gamma``, with all of that family's constants.
    """

    family: Literal["halfnormal", "lognormal", "gamma"] | None = None
    mu: float | None = None
    sigma: float | None = Field(default=None, gt=0)
    alpha: float | None = Field(default=None, gt=0)
    beta: float | None = Field(default=None, gt=0)


def read_priors(changes: Mapping[str, PriorChange] | None = None) -> dict[str, Prior]:
    """Return the default priors, with the changes of one spec.

    Parameters
    ----------
    changes : mapping of str to PriorChange, optional
        ``priors`` of a spec.

    Returns
    -------
    dict of str to Prior
        By parameter name.

    Raises
    ------
    SpecError
        If a change names constants that its family does not have, or lacks some that it needs.
    """
    resource = files("nssi_bayes.priors").joinpath("weak.yaml")
    content = yaml.safe_load(resource.read_text(encoding="utf-8"))
    priors = {name: parse(Prior, p, where=f"priors/weak.yaml: {name}") for name, p in content.items()}
    problems: list[str] = []
    for name, change in (changes or {}).items():
        problems += _problems(name, priors[name], change)
        said = change.model_dump(exclude_none=True)
        if change.family is not None and change.family != priors[name].family:
            said = {**dict.fromkeys(("mu", "sigma", "alpha", "beta")), **said}
        priors[name] = priors[name].model_copy(update=said)
    if problems:
        raise SpecError(problems, where="priors", cure="write the constants of the family, and only these")
    return priors


def _problems(name: str, prior: Prior, change: PriorChange) -> list[str]:
    family = change.family or prior.family
    given = set(change.model_dump(exclude_none=True, exclude={"family"}))
    needed = _CONSTANTS[family]
    found = [f"priors.{name}.{key}: a {family} prior has no {key}" for key in sorted(given - set(needed))]
    if family != prior.family:
        found += [f"priors.{name}: a {family} prior needs {key}" for key in needed if key not in given]
        if prior.family not in POSITIVE:
            found.append(f"priors.{name}.family: {prior.family} cannot become {family}")
    return found
