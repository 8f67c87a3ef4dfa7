"""What the file of an instrument holds, and how its responses are turned and counted."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from nssi_bayes.spec import Strict

__all__ = ["Composite", "Cutoffs", "Identifies", "Instrument", "Reference"]

_MOST_ITEMS: Final = 1000


class Reference(Strict):
    """Where an instrument was published.

    Parameters
    ----------
    citation : str
        Authors, year, journal.
    doi : str, optional
        Without a resolver in front; chapters and manuals have none.
    """

    citation: str
    doi: str | None = Field(default=None, pattern=r"^10\.\d{4,9}/\S+$")


class Composite(Strict):
    """A scale made of subscales.

    Parameters
    ----------
    of : tuple of str
        The subscales.
    minus : tuple of str
        Subscales that count against it.
    how : {"sum", "mean"}
        Of the subscales' scores.
    """

    of: tuple[str, ...] = Field(min_length=1)
    minus: tuple[str, ...] = ()
    how: Literal["sum", "mean"]


class Cutoffs(Strict):
    """One published set of bands of a scale's score.

    Parameters
    ----------
    bands : dict of str to float
        Band: its lowest score, in the unit in which the scale is scored, rising.
    source : str
        Where it was published; several sets of one scale may circulate.
    """

    bands: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = Field(min_length=1)
    source: str

    @model_validator(mode="after")
    def _rising(self) -> Cutoffs:
        lowest = list(self.bands.values())
        if any(a >= b for a, b in pairwise(lowest)):
            raise ValueError("`bands` must rise")
        return self


class Identifies(Strict):
    """How well the items identify a latent function.

    Parameters
    ----------
    by : tuple of str
        The subscales that measure it.
    how : {"free", "weak"}
        ``free``: three indicators or more. ``weak``: fewer, so that its reliability is fixed or it is
        merged with another.
    """

    by: tuple[str, ...] = Field(min_length=1)
    how: Literal["free", "weak"]


class Instrument(Strict):
    """One form of one questionnaire.

    Parameters
    ----------
    name : str
        Public name, the file's name.
    title, form : str
        Full name, and which of its forms this is.
    respondent : str
        Who answers: ``self``, ``parent``, ``clinician``.
    timeframe : str
        The time that the answers are about.
    key_needed : bool
        Whether the form is known and its scoring key is not: it is on the shelf with what is known,
        and scored only from a file of the study's own.
    items : int
        Number of items, numbered from 1.
    response : {"ordinal", "count"}
        Categories, or numbers without a largest one (acts, days), which can be no items of a function.
    minimum, maximum : int
        Range of a raw response; a count may have no maximum.
    step : float
        Distance of two neighbouring responses (half points: .5).
    ranges : dict of int to tuple of int
        Range of the items that have another one.
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
    item_missing : dict of int to tuple of str
        Codes of single items ("not assessed").
    confusable : tuple of str
        Other forms with as many items and the same range, from which the answers must tell this one.
    cutoffs : dict of str to tuple of Cutoffs
        By scale; never used in a model.
    score : {"sum", "mean"}
        How a subscale is scored, in the unit of the raw responses.
    min_answered : float
        Share of a subscale's items that must be answered; the rest are prorated by the mean of
        the answered ones.
    polarity : dict of str to str
        What a high score of a scale means.
    functions : dict of str to Identifies
        Latent functions that the items can identify, and how well.
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
    respondent: str = "self"
    timeframe: str
    key_needed: bool = False
    items: int = Field(default=0, ge=0, le=_MOST_ITEMS)
    response: Literal["ordinal", "count"] = "ordinal"
    minimum: int
    maximum: int | None = None
    step: float = Field(default=1, gt=0, allow_inf_nan=False)
    ranges: dict[int, tuple[int, int]] = Field(default_factory=dict)
    subscales: dict[str, Annotated[tuple[int, ...], Field(min_length=1)]] = Field(default_factory=dict)
    unscored: tuple[int, ...] = ()
    composites: dict[str, Composite] = Field(default_factory=dict)
    reverse: tuple[int, ...] = ()
    already_reversed: tuple[int, ...] = ()
    missing: tuple[str, ...] = ()
    item_missing: dict[int, tuple[str, ...]] = Field(default_factory=dict)
    confusable: tuple[str, ...] = ()
    score: Literal["sum", "mean"]
    min_answered: float = Field(gt=0, le=1)
    cutoffs: dict[str, tuple[Cutoffs, ...]] = Field(default_factory=dict)
    polarity: dict[str, str] = Field(default_factory=dict)
    functions: dict[str, Identifies] = Field(default_factory=dict)
    verified: bool
    verified_by: str
    reference: Reference
    licence: str

    @model_validator(mode="after")
    def _keys_cover_items(self) -> Instrument:
        keyed = [i for items in self.subscales.values() for i in items] + list(self.unscored)
        every = set(range(1, self.items + 1))
        if self.key_needed:
            if keyed or self.composites or self.verified:
                raise ValueError("`key_needed` says that there is no key: no subscales, and not verified")
            return self
        if not self.subscales:
            raise ValueError("`subscales` is empty; write `key_needed: true` where the key is not known")
        if len(keyed) != len(set(keyed)):
            raise ValueError("an item stands under two subscales, or twice")
        if set(keyed) != every:
            raise ValueError(
                f"items {sorted(set(keyed) ^ every)} are not (or should not be) in a subscale or `unscored`"
            )
        named = {*self.reverse, *self.ranges, *self.item_missing}
        if not named <= every or not set(self.already_reversed) <= set(self.reverse):
            raise ValueError(
                "`reverse`, `ranges`, `item_missing` must name items, `already_reversed` items of `reverse`"
            )
        for name, composite in self.composites.items():
            if not {*composite.of, *composite.minus} <= set(self.subscales):
                raise ValueError(f"composites.{name}: not all of its parts are subscales")
            if name in self.subscales:
                raise ValueError(f"{name!r} is a subscale and a composite")
            if len({*composite.of, *composite.minus}) < len(composite.of) + len(composite.minus):
                raise ValueError(f"composites.{name}: a part stands in it twice")
        if self.name in self.confusable:
            raise ValueError("`confusable` names the form itself")
        return self

    @model_validator(mode="after")
    def _codes_and_steps(self) -> Instrument:
        """Refuse codes of missing answers that are answers, and a range that steps do not fill."""
        if self.response == "count" or self.maximum is None:
            return self
        for item, (low, high) in {0: (self.minimum, self.maximum), **self.ranges}.items():
            steps = (high - low) / self.step
            if abs(steps - round(steps)) > 1e-9:
                raise ValueError(f"`step` does not lead from {low} to {high}")
            codes = self.item_missing.get(item, ()) if item else self.missing
            if any(self._is_answer(code, low, high) for code in codes):
                raise ValueError(f"a code of a missing answer lies within the range of {low} to {high}")
        for item in self.item_missing.keys() - self.ranges.keys():
            if any(self._is_answer(code, self.minimum, self.maximum) for code in self.item_missing[item]):
                raise ValueError(f"item_missing.{item}: a code lies within the range of the item")
        return self

    def _is_answer(self, code: str, low: float, high: float) -> bool:
        try:
            steps = (float(code) - low) / self.step
        except ValueError:
            return False
        return low <= float(code) <= high and steps == round(steps)

    @model_validator(mode="after")
    def _ranges_and_scales(self) -> Instrument:
        if self.maximum is None and (self.response == "ordinal" or self.reverse):
            raise ValueError("`maximum` is left out for counts only, and nothing of these is reversed")
        tops = [(self.minimum, self.maximum), *self.ranges.values()]
        if any(high is not None and high <= low for low, high in tops):
            raise ValueError("`maximum` must be above `minimum`")
        scales = {*self.subscales, *self.composites}
        if set(self.polarity) != scales:
            raise ValueError("`polarity` must name every subscale and composite, and nothing else")
        if not set(self.cutoffs) <= scales:
            raise ValueError("`cutoffs` must name scales")
        for name, link in self.functions.items():
            if self.key_needed:
                continue
            if not set(link.by) <= set(self.subscales):
                raise ValueError(f"functions.{name}: not all of `by` are subscales")
            count = len(link.by) if len(link.by) > 1 else len(self.subscales[link.by[0]])
            if (count >= 3) != (link.how == "free"):
                raise ValueError(
                    f"functions.{name}: {count} indicators are not {link.how!r} (three are free)"
                )
        return self

    @property
    def numbers(self) -> tuple[int, ...]:
        """Item numbers, from 1."""
        return tuple(range(1, self.items + 1))

    @property
    def categories(self) -> int:
        """Number of response categories of an item that has no range of its own."""
        return self.categories_of(0)

    def range_of(self, item: int) -> tuple[float, float]:
        """Return smallest and largest raw response of an item."""
        top = float("inf") if self.maximum is None else self.maximum
        return self.ranges.get(item, (self.minimum, top))

    def categories_of(self, item: int) -> int:
        """Return the number of response categories of an item; 0 for a count."""
        low, high = self.range_of(item)
        return round((high - low) / self.step) + 1 if np.isfinite(high) else 0

    def total_range(self, scale: str) -> tuple[float, float]:
        """Return smallest and largest score of a subscale, as a sum of its raw responses."""
        ends = [self.range_of(item) for item in self.subscales[scale]]
        return sum(low for low, _ in ends), sum(high for _, high in ends)

    @property
    def scales(self) -> dict[str, tuple[int, ...]]:
        """Every scale, composites last, with its items."""
        parts = {
            name: tuple(i for part in (*rule.of, *rule.minus) for i in self.subscales[part])
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
            Items stored turned round, reverse-keyed or not; the instrument's own list if left out.

        Returns
        -------
        ndarray
            (`participant`, `item`) categories from 0.
        """
        stored = self.already_reversed if already_reversed is None else already_reversed
        low = np.array([self.range_of(i)[0] for i in self.numbers])
        category = (raw - low) / self.step
        for item in set(self.reverse) ^ set(stored):
            category[:, item - 1] = self.categories_of(item) - 1 - category[:, item - 1]
        return category

    def called(self, name: str) -> Instrument:
        """Return the same form under another name, which its scales carry in front.

        Parameters
        ----------
        name : str
            Such as ``ari_parent`` for one of two informants.

        Returns
        -------
        Instrument
            With scales such as ``ari_parent_irritability``; itself if the name is its own.
        """
        if name == self.name:
            return self

        def new(scale: str) -> str:
            return f"{name}_{scale}"

        changes: dict[str, Any] = {
            "name": name,
            "subscales": {new(k): v for k, v in self.subscales.items()},
            "composites": {
                new(k): c.model_copy(update={"of": tuple(map(new, c.of)), "minus": tuple(map(new, c.minus))})
                for k, c in self.composites.items()
            },
            "polarity": {new(k): v for k, v in self.polarity.items()},
            "cutoffs": {new(k): v for k, v in self.cutoffs.items()},
            "functions": {
                k: f.model_copy(update={"by": tuple(map(new, f.by))}) for k, f in self.functions.items()
            },
        }
        return self.model_copy(update=changes)
