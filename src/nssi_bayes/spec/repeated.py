"""Specs of models of a count that was taken several times of everybody."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from nssi_bayes.spec.strict import Strict

__all__ = ["DIAGNOSES", "INTERACTION", "OCCASION", "SITE", "RepeatedSpec"]

SITE, DIAGNOSES, OCCASION, INTERACTION = "site", "diagnoses", "occasion", ":"


class RepeatedSpec(Strict):
    """A regression of a repeated count with an effect of every person, in Bambi.

    Parameters
    ----------
    description : str
        One line for the report.
    outcome : str
        What was counted; a name for the report.
    occasions : tuple of str
        Outcomes of the cohort, one for each occasion, in order; each a count
        (``family: negative_binomial`` in study.yaml). Who lacks one is in with the others.
    family : {"poisson", "negative_binomial"}
        What a count is given its predictor and effects.
    predictors : tuple of str
        Covariates, factors and diagnoses of the cohort; ``site``, ``diagnoses`` (all of them) and
        ``occasion`` (0, 1, ... in order); ``a:b`` is the product of two, whose own terms are named too.
    occasion_effect : bool
        Whether every count of a person has a normal effect of its own beside the person's.
    left_out : {"participant", "occasion"}
        What a score leaves out. ``occasion`` is refused by `check`, with the share of counts for
        which it fails: the effects would have seen what they are to foresee.
    """

    kind: Literal["repeated"]
    description: str
    outcome: str
    occasions: tuple[str, ...] = Field(min_length=2)
    family: Literal["poisson", "negative_binomial"] = "poisson"
    predictors: tuple[str, ...] = ()
    occasion_effect: bool = False
    left_out: Literal["participant", "occasion"] = "participant"

    @field_validator("occasions", "predictors")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} stands twice")
        return names

    @model_validator(mode="after")
    def _fits_together(self) -> RepeatedSpec:
        if self.family == "negative_binomial" and self.occasion_effect:
            raise ValueError(
                "occasion_effect: the negative binomial has its own spread of every count; write family: "
                "poisson, or leave the effect out"
            )
        for term in self.predictors:
            parts = term.split(INTERACTION)
            if len(parts) > 2 or not all(parts):
                raise ValueError(f"predictors: {term!r} is not of the form a or a:b")
            lacking = [p for p in parts if len(parts) == 2 and p not in self.predictors]
            if lacking:
                raise ValueError(f"predictors: {term!r} without {lacking[0]!r} itself; name it too")
        return self
