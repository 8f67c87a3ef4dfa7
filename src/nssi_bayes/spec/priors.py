"""Priors as a user changes them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import Field

from nssi_bayes.spec.strict import Strict, parse

__all__ = ["Prior", "PriorChange", "read_priors"]


class Prior(Strict):
    """One default prior.

    Parameters
    ----------
    family : str
        ``normal``, ``halfnormal``, ``lognormal``, ``lkj`` or ``dirichlet``.
    mu, sigma : float, optional
        Its constants; for ``lkj`` and ``dirichlet`` `alpha`.
    unit : str
        Unit of the parameter.
    source : str
        Where the choice comes from.
    """

    family: Literal["normal", "halfnormal", "lognormal", "lkj", "dirichlet"]
    mu: float | None = None
    sigma: float | None = None
    alpha: float | None = None
    unit: str
    source: str


class PriorChange(Strict):
    """What a spec changes in a default prior; what it leaves out stays."""

    mu: float | None = None
    sigma: float | None = Field(default=None, gt=0)
    alpha: float | None = Field(default=None, gt=0)


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
    """
    resource = files("nssi_bayes.priors").joinpath("weak.yaml")
    content = yaml.safe_load(resource.read_text(encoding="utf-8"))
    priors = {name: parse(Prior, p, where=f"priors/weak.yaml: {name}") for name, p in content.items()}
    for name, change in (changes or {}).items():
        priors[name] = priors[name].model_copy(update=change.model_dump(exclude_none=True))
    return priors
