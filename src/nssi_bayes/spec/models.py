"""Specs of models."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from nssi_bayes.errors import SpecError, did_you_mean
from nssi_bayes.spec.itemised import beyond
from nssi_bayes.spec.parts import Disorder, Groups, Measurement, Neural, OutcomeFrom
from nssi_bayes.spec.pathways import Pathway, not_there
from nssi_bayes.spec.priors import PriorChange, PriorSet, read_priors
from nssi_bayes.spec.repeated import RepeatedSpec
from nssi_bayes.spec.strict import Strict, parse
from nssi_bayes.store import Layout, read_yaml

__all__ = ["MOST_BESIDE", "ConventionalSpec", "JointSpec", "ModelSpec", "read_model"]


MOST_BESIDE: Final = 3
"""Functions beside which an outcome that is not Gaussian is integrated: one axis more, and four at most."""

FEWEST_SECOND_ORDER: Final = 4
"""Functions of a second-order factor: three correlations are those of three loadings."""


class JointSpec(Strict):
    """A joint model: measurement, structure, neural and outcome blocks.

    Parameters
    ----------
    description : str
        One line for the report.
    functions : dict of str to tuple of str
        Latent function: the subscales that measure it, of items or continuous (`scores` of the study).
    factors : tuple of str
        Psychosocial factors that the functions are regressed on.
    factor_items : dict of str to tuple of str
        Of some of them, the subscales of items that measure it, in place of a score with its reliability:
        a latent of its own, and one axis more of the integral over a person (`spec.itemised`).
    neural, connectivity : Neural, optional
        Regional activation and edges; a model without them does not observe them.
    outcome : str, optional
        An outcome of the cohort, of the family that the study says; without it the model says nothing
        about outcomes. One that is not Gaussian, beside more than `MOST_BESIDE` functions, takes the
        explicit route, and so does a count behind a hurdle.
    outcome_from : OutcomeFrom
        Further terms of the outcome: treatment, baseline, latent activation.
    pathways : tuple of tuple of str
        Indirect associations that `check` tells of the posterior: a factor or function, what it goes
        through, the outcome (`spec.pathways`). They change no posterior. In the model's own file only.
    general : {"none", "bifactor", "second_order"}
        ``bifactor``: a general function that all indicators load on beside specific ones, all
        uncorrelated given their predictors. A specific function of fewer than three items or of a
        single subscale is dropped: its indicators are of the general one alone. ``second_order``: what
        is left of the functions given their predictors correlates by one factor alone, Omega =
        g g' + diag(1 - g^2); of at least `FEWEST_SECOND_ORDER` functions.
    distribution : {"normal", "sinh_arcsinh"}
        Of what is left of the functions given their predictors. ``sinh_arcsinh``: skewed or heavy-tailed
        by as much as the data say (`integrate.sinh_arcsinh`), the rival of models with subtypes (Bauer &
        Curran 2003, 10.1037/1082-989X.8.3.338). Beside images functions are sampled then; outcomes and
        variation by disorder are not there.
    route : {"auto", "marginal", "explicit"}
        Whether people's functions are integrated out or sampled; ``auto`` integrates wherever data
        separate by function.
    prior_set : {"weak", "informed"}
        Which priors `priors` changes: ``informed`` ones say what the literature says of some parameters.
    priors : dict of str to PriorChange
        Changes, by name.
    sampler : dict of str to int
        Where this model needs more than ``params.yaml`` says: `tune`, `draws`.
    groups : Groups, optional
        A rung of the invariance ladder; without it people are one group.
    """

    kind: Literal["joint"] = "joint"
    description: str
    functions: dict[str, tuple[str, ...]]
    measurement: Measurement = Measurement()
    factors: tuple[str, ...] = ()
    factor_items: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    disorder: Disorder = Disorder()
    groups: Groups | None = None
    neural: Neural | None = None
    connectivity: Neural | None = None
    outcome: str | None = None
    outcome_from: OutcomeFrom = OutcomeFrom()
    pathways: tuple[Pathway, ...] = ()
    prior_set: PriorSet = "weak"
    priors: dict[str, PriorChange] = Field(default_factory=dict)
    sampler: dict[Literal["tune", "draws"], Annotated[int, Field(ge=100)]] = Field(default_factory=dict)
    general: Literal["none", "bifactor", "second_order"] = "none"
    distribution: Literal["normal", "sinh_arcsinh"] = "normal"
    route: Literal["auto", "marginal", "explicit"] = "auto"

    @property
    def separable(self) -> bool:
        """Whether every indicator is of one function."""
        return not self.measurement.cross_loadings and self.general != "bifactor"

    @property
    def explicit(self) -> bool:
        """Whether functions are sampled with everything else."""
        return self.route == "explicit" or not self.separable or self._skewed_beside_images

    @property
    def _skewed_beside_images(self) -> bool:
        """Whether there are data that are linear in functions that are not Gaussian."""
        images = self.neural is not None or self.connectivity is not None
        return self.distribution != "normal" and images

    @model_validator(mode="after")
    def _terms_of_an_outcome(self) -> JointSpec:
        terms = self.outcome_from
        asked = {f"outcome_from.{name}": getattr(terms, name) for name in OutcomeFrom.model_fields}
        asked["disorder.outcome"] = self.disorder.outcome
        found = [name for name, value in asked.items() if value]
        if found and self.outcome is None:
            raise ValueError(f"{', '.join(found)}: the model has no `outcome`; name one, or leave this out")
        if found and self.groups is not None:
            raise ValueError(f"{', '.join(found)}: not beside groups; leave one of them out")
        if terms.activation and (self.neural is None or self.neural.residual != "factor"):
            raise ValueError(
                "outcome_from.activation: without residual factors of regions latent activation is what "
                "functions tell anyway; write neural: {residual: factor}, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _pathways_lead_somewhere(self) -> JointSpec:
        problems = not_there(self)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _items_of_factors(self) -> JointSpec:
        if self.factor_items:
            problems = beyond(self)
            if problems:
                raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _route_exists(self) -> JointSpec:
        if self.route == "marginal" and not self.separable:
            raise ValueError(
                "route: marginal integrates items of one function each; write route: auto, or leave out "
                "cross_loadings and general: bifactor"
            )
        if self.general == "second_order" and len(self.functions) < FEWEST_SECOND_ORDER:
            raise ValueError(
                f"general: second_order needs {FEWEST_SECOND_ORDER} functions: the correlations of "
                "three are those of one factor anyway, and of two there are too few; leave it out"
            )
        if self.general == "second_order" and self.groups is not None:
            raise ValueError("general: second_order: not beside groups, each with correlations of its own")
        if self.measurement.cross_loadings and len(self.functions) < 2:
            raise ValueError(
                "measurement.cross_loadings: there is one function, and no other to load on; leave it out"
            )
        if self.general == "bifactor" and self.measurement.cross_loadings:
            raise ValueError("general: bifactor and cross_loadings are two models of the same; choose one")
        if self.general == "bifactor" and self.measurement.bias != "none":
            raise ValueError("measurement.bias: not beside general: bifactor; leave one of them out")
        if self.measurement.nonuniform:
            self._check_nonuniform()
        if self.distribution != "normal":
            self._check_alone()
        if self.general == "bifactor" and len(self.functions) < 2:
            raise ValueError("general: bifactor needs at least two functions beside the general one")
        if self.general == "bifactor" and "general" in self.functions:
            raise ValueError("functions.general: the name is the bifactor model's; choose another")
        return self

    def _check_alone(self) -> None:
        """Refuse what is stated for Gaussian functions only."""
        asked = {
            "outcome": self.outcome, "groups": self.groups, "general": self.general != "none",
            "measurement.cross_loadings": self.measurement.cross_loadings,
            "measurement.bias": self.measurement.bias != "none",
            **{f"disorder.{name}": getattr(self.disorder, name)
               for name in ("levels", "slopes", "loadings", "spread")},
        }  # fmt: skip
        found = [name for name, value in asked.items() if value]
        if found:
            raise ValueError(
                f"distribution: {self.distribution} is there for items, psychosocial factors and images, and "
                f"nothing varies by disorder; leave out {', '.join(found)} (write null for a block that the "
                "base has), or write distribution: normal"
            )
        if self.route == "marginal" and self._skewed_beside_images:
            raise ValueError(
                f"route: marginal: images are linear in the functions, and with distribution: "
                f"{self.distribution} these are not Gaussian; write route: auto, which samples them, or "
                "neural: null and connectivity: null"
            )

    def _check_nonuniform(self) -> None:
        if not self.disorder.levels:
            raise ValueError(
                "measurement.nonuniform: without levels, loadings would take up their differences; "
                "write disorder: {levels: true}"
            )
        if self.route == "explicit":
            raise ValueError("measurement.nonuniform: integrated by pattern of diagnoses; write route: auto")

    @field_validator("pathways", mode="before")
    @classmethod
    def _lists_of_names(cls, pathways: Any) -> Any:
        whole = isinstance(pathways, (list, tuple))
        if not whole or not all(isinstance(path, (list, tuple)) for path in pathways):
            raise ValueError("a list of lists, such as [[trauma, emotion_regulation, severity]]")
        return pathways

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
        An outcome of the cohort: Gaussian, Bernoulli or a count.
    functions : dict of str to tuple of str
        Sum score: the subscales whose answered items it is the mean of.
    factors : tuple of str
        Psychosocial factors, as observed.
    outcome_from : OutcomeFrom
        Treatments, with their products with the scores, and baseline; no latent activation.
    pooled : bool
        Whether intercept and slopes of the scores also vary by diagnostic pattern, uncorrelated.
    """

    kind: Literal["conventional"]
    description: str
    outcome: str
    functions: dict[str, tuple[str, ...]]
    factors: tuple[str, ...] = ()
    outcome_from: OutcomeFrom = OutcomeFrom()
    pooled: bool = False

    @model_validator(mode="after")
    def _nothing_latent(self) -> ConventionalSpec:
        if self.outcome_from.activation:
            raise ValueError("outcome_from.activation: sum scores have no latent activation; leave it out")
        return self


type ModelSpec = JointSpec | ConventionalSpec | RepeatedSpec
_OF_BAMBI: Final[dict[str, type[ConventionalSpec | RepeatedSpec]]] = {
    "conventional": ConventionalSpec,
    "repeated": RepeatedSpec,
}
_KINDS: Final = ("joint", *_OF_BAMBI)
_WHOLE: Final = ("functions", "factor_items")
"""What a model that says it replaces whole, in place of adding to what its base says."""


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
    JointSpec, ConventionalSpec or RepeatedSpec
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
        raise SpecError(problem, where=where, cure="write kind: joint, kind: conventional or kind: repeated")
    if kind in _OF_BAMBI:
        return parse(_OF_BAMBI[kind], content, where=where)
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
    if "pathways" in base:
        raise SpecError(
            "pathways: `check` watches a model's own file, and not what it copies from",
            where=str(layout.spec(str(parent))),
            cure="move them to the files of the models",
        )
    for key, value in content.items():
        merge = isinstance(value, dict) and isinstance(base.get(key), dict) and key not in _WHOLE
        base[key] = {**base[key], **value} if merge else value
    return base
