"""The shelf of instruments: one YAML file a questionnaire, items by number only, never by wording."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import Field, model_validator

from nssi_bayes.errors import SpecError, did_you_mean
from nssi_bayes.spec import Strict, parse

__all__ = ["Composite", "Instrument", "Reference", "available", "read_instrument"]


class Reference(Strict):
    """Where an instrument was published.

    Parameters
    ----------
    citation : str
        Authors, year, journal.
    doi : str
        Without a resolver in front.
    """

    citation: str
    doi: str = Field(pattern=r"^10\.\d{4,9}/\S+$")


class Composite(Strict):
    """A scale made of subscales.

    Parameters
    ----------
    of : tuple of str
        The subscales.
    how : {"sum", "mean"}
        Of the subscales' scores.
    """

    of: tuple[str, ...] = Field(min_length=1)
    how: Literal["sum", "mean"]


class Instrument(Strict):
    """One form of one questionnaire.

    Parameters
    ----------
    name : str
        Public name, the file's name.
    title, form : str
        Full name, and which of its forms this is.
    items : int
        Number of items, numbered from 1.
    minimum, maximum : int
        Range of a raw response.
    subscales : dict of str to tuple of int
        Items of each subscale. An item belongs to one subscale at most.
    unscored : tuple of int
        Items that belong to no subscale (validity items).
    composites : dict of str to Composite
        Scales made of subscales.
    reverse : tuple of int
        Items whose raw response runs against their scale.
    already_reversed : tuple of int
        Items of `reverse` that files of this form store reversed; a study may say otherwise.
    missing : tuple of str
        Codes of a missing response.
    score : {"sum", "mean"}
        How a subscale is scored, in the unit of the raw responses.
    min_answered : float
        Share of a subscale's items that must be answered; the rest are prorated by the mean of
        the answered ones.
    polarity : dict of str to str
        What a high score of a scale means.
    functions : tuple of str
        Latent functions that the items can identify (three or more indicators each).
    verified : bool
        Whether key and range were read in a published source or checked against a file's own
        totals; a report names every instrument for which this is false.
    verified_by : str
        By what, or what is still to be checked.
    reference : Reference
        Where it was published.
    licence : str
        Who may use it.
    """

    name: str
    title: str
    form: str
    items: int = Field(ge=1)
    minimum: int
    maximum: int
    subscales: dict[str, tuple[int, ...]]
    unscored: tuple[int, ...] = ()
    composites: dict[str, Composite] = Field(default_factory=dict)
    reverse: tuple[int, ...] = ()
    already_reversed: tuple[int, ...] = ()
    missing: tuple[str, ...] = ()
    score: Literal["sum", "mean"]
    min_answered: float = Field(gt=0, le=1)
    polarity: dict[str, str]
    functions: tuple[str, ...] = ()
    verified: bool
    verified_by: str
    reference: Reference
    licence: str

    @model_validator(mode="after")
    def _keys_cover_items(self) -> Instrument:
        keyed = [i for items in self.subscales.values() for i in items] + list(self.unscored)
        every = set(range(1, self.items + 1))
        if len(keyed) != len(set(keyed)):
            raise ValueError("an item stands under two subscales, or twice")
        if set(keyed) != every:
            raise ValueError(
                f"items {sorted(set(keyed) ^ every)} are not (or should not be) in a subscale or `unscored`"
            )
        if not set(self.reverse) <= every or not set(self.already_reversed) <= set(self.reverse):
            raise ValueError("`reverse` must name items, `already_reversed` items of `reverse`")
        if self.maximum <= self.minimum:
            raise ValueError("`maximum` must be above `minimum`")
        for name, composite in self.composites.items():
            if not set(composite.of) <= set(self.subscales):
                raise ValueError(f"composites.{name}: not all of its parts are subscales")
            if name in self.subscales:
                raise ValueError(f"{name!r} is a subscale and a composite")
        if set(self.polarity) != {*self.subscales, *self.composites}:
            raise ValueError("`polarity` must name every subscale and composite, and nothing else")
        return self

    @property
    def numbers(self) -> tuple[int, ...]:
        """Item numbers, from 1."""
        return tuple(range(1, self.items + 1))

    @property
    def categories(self) -> int:
        """Number of response categories of an item."""
        return self.maximum - self.minimum + 1

    @property
    def scales(self) -> dict[str, tuple[int, ...]]:
        """Every scale, composites last, with its items."""
        parts = {
            name: tuple(i for part in rule.of for i in self.subscales[part])
            for name, rule in self.composites.items()
        }
        return {**self.subscales, **parts}

    def label(self, item: int) -> str:
        """Return the label of an item, such as ``isas_01``."""
        return f"{self.name}_{item:0{len(str(self.items))}d}"

    def oriented(
        self, raw: npt.NDArray[np.float64], *, already_reversed: tuple[int, ...] | None = None
    ) -> npt.NDArray[np.float64]:
        """Turn raw responses so that a high category means a high scale, counted from 0.

        Parameters
        ----------
        raw : ndarray
            (`participant`, `item`) raw responses of all items in order; NaN is missing.
        already_reversed : tuple of int, optional
            Items stored reversed; the instrument's own list if left out.

        Returns
        -------
        ndarray
            (`participant`, `item`) categories from 0.
        """
        stored = self.already_reversed if already_reversed is None else already_reversed
        turned = [i - 1 for i in self.reverse if i not in stored]
        category = raw - self.minimum
        category[:, turned] = self.maximum - self.minimum - category[:, turned]
        return category


def available() -> list[str]:
    """Return the names of the instruments on the shelf."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in files("nssi_bayes.instruments").iterdir()
        if entry.name.endswith(".yaml")
    )


@cache
def read_instrument(name: str) -> Instrument:
    """Read one instrument of the shelf.

    Parameters
    ----------
    name : str
        Its file's name without suffix.

    Returns
    -------
    Instrument
        The form.

    Raises
    ------
    SpecError
        If there is no such instrument, or its file breaks the shelf's contract.
    """
    if name not in available():
        raise SpecError(
            f"no instrument {name!r}. {did_you_mean(name, available())}", where="instruments",
            cure="mend the name under `instruments` of study.yaml, or add a file to the shelf",
        )  # fmt: skip
    resource = files("nssi_bayes.instruments").joinpath(f"{name}.yaml")
    content = yaml.safe_load(resource.read_text(encoding="utf-8"))
    return parse(Instrument, content, where=f"instruments/{name}.yaml")
