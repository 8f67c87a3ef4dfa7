"""What a user writes: the run's parameters and the specs of models.

An unknown key gets a suggestion, and every message names file, key and cure.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from nssi_bayes.errors import SpecError, did_you_mean
from nssi_bayes.settings import Sampler, Sensitivity, Simulate, Strict
from nssi_bayes.store import Layout, read_yaml

__all__ = [
    "ConventionalSpec", "JointSpec", "ModelSpec", "Params", "Prior", "Sampler", "Simulate", "Strict", "parse",
    "read_model", "read_params", "read_priors",
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


class Measurement(Strict):
    """How functions are measured.

    Parameters
    ----------
    testlets : {"sum", "none"}
        ``sum``: a subscale enters as one graded indicator (Thissen 1989). ``none``: every item is
        an indicator of its own.
    keep_items : tuple of str
        Subscales whose items stay. In a model where such a subscale is not a function by itself
        its items share a residual factor, so that all models of a question observe the same.
    """

    testlets: Literal["sum", "none"] = "sum"
    keep_items: tuple[str, ...] = ()


class Disorder(Strict):
    """What varies by disorder.

    Parameters
    ----------
    coding : {"additive", "averaged", "primary"}
        How several diagnoses of one person combine.
    levels, slopes, loadings : bool
        Function levels, psychosocial slopes, neural loadings.
    """

    coding: Literal["additive", "averaged", "primary"] = "additive"
    levels: bool = False
    slopes: bool = False
    loadings: bool = False


class Neural(Strict):
    """The block of regional activation, or of connectivity.

    `residual`: whether residuals of one person's regions, or edges, share factors.
    """

    residual: Literal["factor", "independent"] = "factor"


class JointSpec(Strict):
    """A joint model: measurement, structure, neural and outcome blocks.

    Parameters
    ----------
    description : str
        One line for the report.
    functions : dict of str to tuple of str
        Latent function: the subscales (or ``item:<label>``) that measure it.
    factors : tuple of str
        Psychosocial factors that the functions are regressed on.
    neural, connectivity : Neural, optional
        Regional activation and edges; a model without them does not observe them.
    outcome : str, optional
        A Gaussian outcome of the cohort; without it the model says nothing about outcomes.
    sampler : dict of str to int
        Where this model needs more than ``params.yaml`` says: `tune`, `draws`.
    """

    kind: Literal["joint"] = "joint"
    description: str
    functions: dict[str, tuple[str, ...]]
    measurement: Measurement = Measurement()
    factors: tuple[str, ...] = ()
    disorder: Disorder = Disorder()
    neural: Neural | None = None
    connectivity: Neural | None = None
    outcome: str | None = None
    priors: dict[str, PriorChange] = Field(default_factory=dict)
    sampler: dict[Literal["tune", "draws"], Annotated[int, Field(ge=100)]] = Field(default_factory=dict)
    route: Literal["marginal", "explicit"] = "marginal"

    @field_validator("functions")
    @classmethod
    def _disjoint(cls, functions: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if not functions:
            raise ValueError("at least one function is needed")
        seen: dict[str, str] = {}
        for function, subscales in functions.items():
            if not subscales:
                raise ValueError(f"function {function!r} has no subscale")
            for subscale in subscales:
                if subscale in seen:
                    raise ValueError(f"{subscale!r} measures {seen[subscale]!r} and {function!r}")
                seen[subscale] = function
        return functions


class ConventionalSpec(Strict):
    """The field's practice: a Bambi formula on observed scores, the baseline to beat.

    Parameters
    ----------
    description : str
        One line for the report.
    outcome : str
        A Gaussian outcome of the cohort.
    functions : dict of str to tuple of str
        Sum score: the subscales whose answered items it is the mean of.
    factors : tuple of str
        Psychosocial factors, as observed.
    pooled : bool
        Whether intercept and slopes of the scores also vary by diagnostic pattern, uncorrelated.
    """

    kind: Literal["conventional"]
    description: str
    outcome: str
    functions: dict[str, tuple[str, ...]]
    factors: tuple[str, ...] = ()
    pooled: bool = False


type ModelSpec = JointSpec | ConventionalSpec
_KINDS: Final = ("joint", "conventional")


def parse[T: BaseModel](kind: type[T], content: Mapping[str, Any], *, where: str) -> T:
    """Validate `content` and say all that is wrong with it at once.

    Parameters
    ----------
    kind : type of pydantic.BaseModel
        What `content` should be.
    content : mapping
        As read from YAML.
    where : str
        The file, for the message.

    Returns
    -------
    pydantic.BaseModel
        An instance of `kind`.

    Raises
    ------
    SpecError
        With every unknown key (and the closest known one) and every wrong value.
    """
    try:
        return kind.model_validate(dict(content))
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False, include_context=False, include_input=False):
            key = ".".join(str(part) for part in item["loc"])
            if item["type"] == "extra_forbidden":
                known = _keys_at(kind, item["loc"][:-1])
                problems.append(f"unknown key {key!r}. {did_you_mean(str(item['loc'][-1]), known)}")
            else:
                text = item["msg"].removeprefix("Value error, ")
                problems.append(f"{key or 'the file'}: {text}")
        raise SpecError(problems, where=where, cure="mend these keys in the file") from error


def _keys_at(kind: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    model: Any = kind
    for part in loc:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            continue
        options = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), model)
    return list(getattr(model, "model_fields", {}))


def read_params(path: Path) -> Params:
    """Read ``params.yaml``.

    Raises
    ------
    SpecError
        If a key is unknown or a value wrong.
    """
    return parse(Params, read_yaml(path), where=str(path))


def read_model(layout: Layout, model: str) -> ModelSpec:
    """Read the spec of ``question/model``; ``extends: bases/<name>`` names what it starts from.

    Bases lie in a folder of their own, which `build` depends on: a model never goes stale because
    a model that it copies from has changed.

    Parameters
    ----------
    layout : Layout
        Where specs lie.
    model : str
        ``question/model``.

    Returns
    -------
    JointSpec or ConventionalSpec
        The resolved spec.

    Raises
    ------
    SpecError
        If the file is missing, extends itself, or holds an unknown key.
    """
    content = _resolved(layout, model, seen=())
    where = str(layout.spec(model))
    kind = content.setdefault("kind", "joint")
    if kind not in _KINDS:
        problem = f"kind: {kind!r} is unknown. {did_you_mean(str(kind), _KINDS)}"
        raise SpecError(problem, where=where, cure="write kind: joint or kind: conventional")
    if kind == "conventional":
        return parse(ConventionalSpec, content, where=where)
    spec = parse(JointSpec, content, where=where)
    known = read_priors()
    unknown = [f"priors.{p}: no such prior. {did_you_mean(p, known)}" for p in spec.priors if p not in known]
    if unknown:
        cure = "mend the name; all priors stand in priors/weak.yaml"
        raise SpecError(unknown, where=where, cure=cure)
    return spec


def _resolved(layout: Layout, model: str, *, seen: tuple[str, ...]) -> dict[str, Any]:
    path = layout.spec(model)
    if model in seen:
        raise SpecError("extends itself", where=str(path), cure="break the circle of `extends`")
    content = read_yaml(path)
    parent = content.pop("extends", None)
    if parent is None:
        return content
    if not str(parent).startswith("bases/"):
        raise SpecError(
            f"extends: {parent!r} is not of the form bases/name",
            where=str(path),
            cure="move what the models share to models/bases/<name>.yaml, which the pipeline watches",
        )
    base = _resolved(layout, str(parent), seen=(*seen, model))
    for key, value in content.items():
        merge = isinstance(value, dict) and isinstance(base.get(key), dict) and key != "functions"
        base[key] = {**base[key], **value} if merge else value
    return base


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
