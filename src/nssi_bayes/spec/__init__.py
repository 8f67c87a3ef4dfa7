"""What a user writes: the run's parameters and the specs of models.

An unknown key gets a suggestion, and every message names file, key and cure.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator, model_validator

from nssi_bayes.errors import SpecError, did_you_mean
from nssi_bayes.spec.models import MOST_BESIDE, ConventionalSpec, JointSpec, ModelSpec, read_model
from nssi_bayes.spec.parts import OutcomeFrom
from nssi_bayes.spec.priors import Prior, read_priors
from nssi_bayes.spec.repeated import RepeatedSpec
from nssi_bayes.spec.settings import DEEPEST, CrossValidation, Refit, Sampler, Sensitivity, Simulate
from nssi_bayes.spec.strict import Strict, parse
from nssi_bayes.store import read_yaml

__all__ = [
    "DEEPEST", "MOST_BESIDE", "ConventionalSpec", "CrossValidation", "JointSpec", "ModelSpec", "OutcomeFrom",
    "Params", "Prior", "Refit", "RepeatedSpec", "Sampler", "Sensitivity", "Simulate", "Strict",
    "check_question", "parse", "read_model", "read_params", "read_priors",
]  # fmt: skip


class Params(Strict):
    """``params.yaml``: the study, its roster, the seed and the sampler.

    Parameters
    ----------
    study : str
        Name of the folder ``data/<study>``.
    source : pathlib.Path
        The cohort's folder, read unmodified.
    seed : int
        Root of every seed.
    roster : tuple of str
        ``question/model`` entries; nothing else is fitted or compared.
    questions : tuple of str
        Questions that get a comparison and a report.
    calibration : Sampler
        Of the fits of ``nssi-bayes calibrate``, which are many and short.
    cross_validation : CrossValidation
        Whether and how people are left out for real.
    sensitivity : Sensitivity
        Which models are fitted again under which changes.
    rope : float
        Region of practical equivalence for levels and contrasts, in sd of a function.
    interval : float
        Probability content of printed intervals (equal-tailed).
    """

    study: str
    source: Path
    seed: int = Field(ge=0)
    synthetic_cohorts: tuple[str, ...] = ()
    simulate: Simulate = Simulate()
    roster: tuple[str, ...]
    questions: tuple[str, ...]
    sampler: Sampler = Sampler()
    calibration: Sampler = Sampler(chains=2, tune=150, draws=250)
    cross_validation: CrossValidation = CrossValidation()
    sensitivity: Sensitivity = Sensitivity()
    allow_uncertified: bool = False
    min_cell: int = Field(default=11, ge=0)
    rope: float = Field(default=0.2, gt=0)
    interval: float = Field(default=0.9, gt=0, lt=1)

    @field_validator("roster")
    @classmethod
    def _entries(cls, roster: tuple[str, ...]) -> tuple[str, ...]:
        for entry in roster:
            if entry.count("/") != 1 or not all(entry.split("/")):
                raise ValueError(f"{entry!r} is not of the form question/model")
        if len(set(roster)) != len(roster):
            raise ValueError("an entry stands twice")
        return roster

    @model_validator(mode="after")
    def _questions_have_models(self) -> Params:
        asked = {entry.split("/")[0] for entry in self.roster}
        strangers = sorted(set(self.sensitivity.models) - set(self.roster))
        if strangers:
            raise ValueError(f"sensitivity.models: {strangers[0]!r} is not in the roster")
        for question in sorted(asked ^ set(self.questions)):
            missing = "under `questions`" if question in asked else "in the roster"
            raise ValueError(f"question {question!r} is not {missing}")
        return self

    def models_of(self, question: str) -> list[str]:
        """Return the roster entries of `question`, in order."""
        return [entry for entry in self.roster if entry.split("/")[0] == question]


def check_question(params: Params, question: str, *, where: str) -> None:
    """Refuse a question that the run does not ask.

    Parameters
    ----------
    params : Params
        The run.
    question : str
        Its name.
    where : str
        The parameters' file, for the message.

    Raises
    ------
    SpecError
        With the closest known name.
    """
    if question not in params.questions:
        raise SpecError(
            f"question {question!r} is unknown. {did_you_mean(question, params.questions)}",
            where=where,
            cure="mend the name, or add it to `questions`",
        )


def read_params(path: Path) -> Params:
    """Read ``params.yaml``.

    Raises
    ------
    SpecError
        If a key is unknown or a value wrong.
    """
    return parse(Params, read_yaml(path), where=str(path))
