"""Outcomes and continuous scores as ``study.yaml`` writes them: column or scale, family, exposure."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import field_validator, model_validator

from nssi_bayes import names as n
from nssi_bayes.errors import did_you_mean
from nssi_bayes.spec import Strict

__all__ = ["Outcome", "Score"]

type Family = Literal["gaussian", "bernoulli", "negative_binomial", "hurdle_negative_binomial", "ordinal"]


class Score(Strict):
    """A continuous score: a column, or a scale of an instrument of the study.

    Parameters
    ----------
    column : str, optional
        Its column.
    table : str, optional
        Its table; the table of participants if left out.
    instrument, scale : str, optional
        Instead of `column`.
    missing : tuple of str
        Codes of a missing value.
    minimum, maximum : float, optional
        Possible range; a value outside is an error.
    """

    column: str | None = None
    table: str | None = None
    instrument: str | None = None
    scale: str | None = None
    missing: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Score:
        if (self.column is None) == (self.instrument is None) or (self.instrument is None) != (
            self.scale is None
        ):
            raise ValueError("write either `column`, or `instrument` and `scale`")
        return self


class Outcome(Score):
    """An outcome: a column, or a scale of an instrument of the study.

    Parameters
    ----------
    family : {"gaussian", "bernoulli", "negative_binomial", "hurdle_negative_binomial", "ordinal"}
        ``gaussian`` outcomes are centred and scaled. ``bernoulli`` is 0 or 1, ``negative_binomial`` a
        count, ``hurdle_negative_binomial`` one of which whether there is any has a predictor of its own,
        ``ordinal`` a whole number from `minimum` to `maximum`, which it needs; these stay as they are.
    codes : dict of str to float, optional
        Numbers for a column of words, such as ``{yes: 1, no: 0}``.
    exposure : str, optional
        Of a count: the column, of the same table, of how long or over how much it was counted (months
        observed). Without it everybody was observed equally long. Behind a hurdle it is of the counts of
        those who have any.
    baseline : str, optional
        Another outcome of the study: what this one was before treatment; models may regress on it.
    """

    family: Family = "gaussian"
    codes: dict[str, float] | None = None
    exposure: str | None = None
    baseline: str | None = None

    @property
    def categories(self) -> int:
        """How many categories there are; 0 unless it is ordinal."""
        if self.family != "ordinal" or self.minimum is None or self.maximum is None:
            return 0
        return int(self.maximum - self.minimum) + 1

    @field_validator("family", mode="before")
    @classmethod
    def _known(cls, family: Any) -> Any:
        known = get_args(Family.__value__)
        if family in known:
            return family
        said = str(family).lower()
        hint = f"Did you mean {n.HURDLE!r}?" if said.startswith("hurdle") else did_you_mean(said, known)
        raise ValueError(f"no family {str(family)!r}. {hint}")

    @model_validator(mode="after")
    def _family_has_what_it_needs(self) -> Outcome:
        if self.exposure is not None and self.family not in n.COUNTS:
            cure = "write family: negative_binomial or hurdle_negative_binomial, or leave it out"
            raise ValueError(f"`exposure` is of a count: {cure}")
        if self.family == "ordinal" and (self.minimum is None or self.maximum is None):
            raise ValueError("an ordinal outcome needs `minimum` and `maximum`, its first and last category")
        if self.codes is not None and self.column is None:
            raise ValueError("`codes` are of a `column`; an instrument has its own")
        return self
