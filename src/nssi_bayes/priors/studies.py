"""Published estimates as a user writes them: one YAML file, its table of studies inside or beside it."""

from __future__ import annotations

from math import atanh, cosh, log, pi, sinh, sqrt
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from pydantic import Field, model_validator

from nssi_bayes.spec.strict import Strict, parse
from nssi_bayes.store import read_table, read_yaml

__all__ = ["Published", "Study", "read_published"]

_WIDE: Final = 2 * 1.959963984540054
"""Standard errors between the ends of a 95 % interval."""
_WAYS: Final = (
    ("estimate", "se"),
    ("odds_ratio", "low", "high"),
    ("correlation", "people"),
    ("events", "people"),
)

type Array = np.ndarray[Any, Any]


class Study(Strict):
    """One published estimate, in one of four ways.

    An odds ratio of people with a high and a low factor becomes a slope per sd by d = log(OR) sqrt(3) / pi
    (Chinn 2000, 10.1002/1097-0258(20001130)19:22<3127::AID-SIM784>3.0.CO;2-M) and r = d / sqrt(d^2 + 4);
    the slope is r / sqrt(1 - r^2), per residual sd of the outcome, which is d / 2. A correlation becomes
    the same, with Fisher's standard error.

    Parameters
    ----------
    study : str
        Which one.
    estimate, se : float, optional
        In the unit of the parameter.
    odds_ratio, low, high : float, optional
        With its 95 % interval.
    correlation : float, optional
        With `people`.
    events, people : int, optional
        How many of how many; all studies or none.
    source : str
        Where it stands.
    """

    study: str
    estimate: float | None = None
    se: float | None = Field(default=None, gt=0)
    odds_ratio: float | None = Field(default=None, gt=0)
    low: float | None = Field(default=None, gt=0)
    high: float | None = Field(default=None, gt=0)
    correlation: float | None = Field(default=None, gt=-1, lt=1)
    events: int | None = Field(default=None, ge=0)
    people: int | None = Field(default=None, gt=3)
    source: str = ""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        said = set(self.model_dump(exclude_none=True, exclude={"study", "source"}))
        if said not in [set(way) for way in _WAYS]:
            ways = "; ".join(", ".join(way) for way in _WAYS)
            raise ValueError(f"an estimate is given in one of these ways: {ways}")
        if self.odds_ratio is not None and not (self.low or 0) < self.odds_ratio < (self.high or 0):
            raise ValueError("odds_ratio: it is not within its interval")
        if self.events is not None and self.events > (self.people or 0):
            raise ValueError("events: more than people")
        return self

    @property
    def normal(self) -> tuple[float, float]:
        """Estimate and standard error."""
        if self.odds_ratio is not None:
            factor = sqrt(3) / (2 * pi)
            return factor * log(self.odds_ratio), factor * log((self.high or 1) / (self.low or 1)) / _WIDE
        if self.correlation is not None:
            z = atanh(self.correlation)
            return sinh(z), cosh(z) / sqrt((self.people or 4) - 3)
        return float(self.estimate or 0), float(self.se or 1)


class Published(Strict):
    """Estimates of one quantity, and what was believed before them.

    Parameters
    ----------
    parameter : str
        The prior that is meant, as in the default set.
    unit : str
        Of the parameter.
    heterogeneity : float
        Scale of the half-normal prior of the sd between studies.
    mu, sigma : float
        Normal prior of the mean over studies.
    robust : float
        Share of the mixture that is left to what was known before any study.
    studies : tuple of Study
        The estimates, or in `table` a CSV or TSV file of them beside this one.
    """

    parameter: str = ""
    unit: str = ""
    heterogeneity: float = Field(gt=0)
    mu: float = 0.0
    sigma: float = Field(gt=0)
    robust: float = Field(default=0.2, ge=0, lt=1)
    studies: tuple[Study, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _alike(self) -> Self:
        counted = {s.events is not None for s in self.studies}
        if len(counted) > 1:
            raise ValueError("studies: events of all of them, or of none")
        return self

    @property
    def counted(self) -> bool:
        """Whether studies count events."""
        return self.studies[0].events is not None

    @property
    def estimates(self) -> tuple[Array, Array]:
        """Estimates and standard errors [study]."""
        found = np.array([s.normal for s in self.studies])
        return found[:, 0], found[:, 1]

    @property
    def events(self) -> tuple[Array, Array]:
        """Events and people [study]."""
        found = np.array([[s.events, s.people] for s in self.studies], dtype=float)
        return found[:, 0], found[:, 1]


def read_published(path: Path) -> Published:
    """Read a file of estimates.

    Parameters
    ----------
    path : pathlib.Path
        YAML, as `Published`; `table` may name a file of studies beside it.

    Returns
    -------
    Published
        The estimates.

    Raises
    ------
    SpecError
        If a key is unknown, or an estimate cannot be understood.
    """
    content = read_yaml(path)
    table = content.pop("table", None)
    if table is not None:
        rows = read_table(path.parent / str(table)).to_dict("records")
        kept = [{str(k): v for k, v in row.items() if v == v} for row in rows]
        content["studies"] = [*content.get("studies", []), *kept]
    return parse(Published, content, where=str(path))
