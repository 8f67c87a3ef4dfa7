"""From a model spec and a cohort to a model and its fingerprint.

The model as PyMC states it is made when somebody asks for it; sampling and scores need only its
parameters and its data.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks import conventional, joint, repeated
from nssi_bayes.blocks.beside import grid_beside, stands_beside
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.indicators import unused_answers
from nssi_bayes.blocks.marginal import evaluate, grid_settings
from nssi_bayes.blocks.parameter import Parameter, draw
from nssi_bayes.blocks.predicted import is_curved
from nssi_bayes.errors import SpecError
from nssi_bayes.schema import validate
from nssi_bayes.spec import ConventionalSpec, JointSpec, Params, RepeatedSpec, read_model, read_priors
from nssi_bayes.store import Layout, digest, read_dataset, read_json, seed_sequence, write_json

if TYPE_CHECKING:
    import pymc as pm

__all__ = ["Built", "build", "build_design", "fingerprint", "identity", "run"]

_LOG: Final = logging.getLogger(__name__)
_POINTS: Final = 3
_TOLERANCE: Final = 1e-6
_MANY_UNUSED: Final = 0.05
"""Share of answers given that a model does not use, from which on `run` warns."""
_SELDOM: Final = ("score", "score_seen", "score_function", "group_of")
_SELDOM_DIMS: Final = (n.SCORE, n.GROUP, n.GROUP_LATER, n.SCALED_INDICATOR, n.FACTOR_SCORED, n.LATENT)
"""Fields and dims of a design that are hashed only where there is something in them."""
_LIBRARIES: Final = ("pymc", "pytensor", "nutpie", "jax", "numpy", "bambi")


@dataclass(frozen=True)
class Built:
    """A model ready to be sampled.

    Parameters
    ----------
    spec : JointSpec
        What it was made from.
    parameters : list of Parameter
        What it declares, in order.
    design : Design
        The data it observes.
    fine : bool
        Whether the sampler integrates over functions with as many nodes as scores do.
    """

    spec: JointSpec
    parameters: list[Parameter]
    design: Design
    fine: bool = False

    @property
    def explicit(self) -> bool:
        """Whether functions are sampled with everything else, by choice or because nothing separates."""
        names = {p.name for p in self.parameters}
        curved = is_curved(self.design, names) and not stands_beside(self.design, names)
        return self.spec.explicit or curved

    @cached_property
    def model(self) -> pm.Model:
        """The PyMC model, with named dims; made when it is first asked for."""
        from nssi_bayes.graph import make_model

        return make_model(self.parameters, self.design, explicit=self.explicit)


def build_design(spec: JointSpec, design: Design) -> Built:
    """Make the model of a spec on data that are arranged already.

    Parameters
    ----------
    spec : JointSpec
        The model.
    design : Design
        From `make_design`.

    Returns
    -------
    Built
        The model, its parameters and data.

    Raises
    ------
    SpecError
        If two parameters have one name, which labels of groups can bring about.
    """
    parameters = joint.parameters(spec, design, read_priors(spec.priors, spec.prior_set))
    twice = [name for name, count in Counter(p.name for p in parameters).items() if count > 1]
    if twice:
        raise SpecError(
            [
                f"groups: two parameters are called {name!r}; in a name a slash is an underscore"
                for name in twice
            ],
            where="model",
            cure="give one of the groups another label in the cohort's tables or in study.yaml",
        )
    return Built(spec, parameters, design)


def build(spec: JointSpec, cohort: xr.Dataset, *, where: str = "spec") -> Built:
    """Make the model of a spec on a cohort.

    Parameters
    ----------
    spec : JointSpec
        The model.
    cohort : xarray.Dataset
        Satisfies `schema`.
    where : str
        The spec's file, for messages.

    Returns
    -------
    Built
        The model, its parameters and data.

    Raises
    ------
    SpecError
        If the spec names what the cohort does not have, or a function cannot be identified.
    """
    return build_design(spec, make_design(cohort, spec, where=where))


def fingerprint(built: Built, spec: JointSpec) -> str:
    """Hash everything that decides a posterior, apart from the sampler.

    Parameters
    ----------
    built : Built
        The model.
    spec : JointSpec
        Its spec.

    Returns
    -------
    str
        SHA-256 of priors, structure, labels, data and library versions. Not of the source: code
        that changes the density shows in the log-densities that stand beside it.
    """
    design = built.design
    arrays = {f: v for f in design.__dataclass_fields__ if isinstance(v := getattr(design, f), np.ndarray)}
    arrays = {f: v for f, v in arrays.items() if v.size or f not in _SELDOM}
    return digest(
        {
            "route": "explicit" if built.explicit else "marginal",
            "parameters": [_plain(p) for p in built.parameters],
            "coords": {d: v for d, v in design.coords.items() if v or d not in _SELDOM_DIMS},
            "data": {name: digest(np.ascontiguousarray(v).tobytes()) for name, v in arrays.items()},
            "testlets": [[(s, items.tolist()) for s, items in groups] for groups in design.testlets_of],
            "libraries": {name: version(name) for name in _LIBRARIES},
            "grid": grid_settings(len(design.plain_of), skewed=spec.distribution != "normal"),
            **({"axes": design.function_of.tolist()} if design.item_factors else {}),
            **({} if design.outcome_family == n.GAUSSIAN else {"outcome": design.outcome_family}),
            **({"grid beside": grid_beside(len(design.plain_of))} if _beside(built) else {}),
        }
    )


def _beside(built: Built) -> bool:
    return not built.explicit and stands_beside(built.design, {p.name for p in built.parameters})


def identity(prints: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells one posterior from another, the sampler apart.

    Parameters
    ----------
    prints : mapping
        ``fingerprint.json``.

    Returns
    -------
    dict
        The fingerprint, and the log-densities that show a change of the code.
    """
    return {
        "fingerprint": str(prints["fingerprint"]),
        "points": [f"{value:.6g}" for value in prints["points"]],
    }


def _plain(p: Parameter) -> dict[str, Any]:
    kept = ["name", "dims", "family", "mu", "sigma", "alpha", "scale", "zero_sum"]
    kept += ["zero_sum_groups"] if p.zero_sum_groups else []
    kept += ["slab"] if p.slab is not None else []
    kept += ["beta"] if p.family in ("beta", "gamma") else []
    kept += ["of"] if p.of else []
    kept += ["weights"] if p.family == "mixture" else []
    return {
        k: np.asarray(v).tolist() if k in ("mu", "sigma", "weights") else v
        for k in kept
        for v in [getattr(p, k)]
    }


def run(layout: Layout, params: Params, *, model: str) -> None:
    """Write the fingerprint of one model of the roster.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        Study and seed.
    model : str
        ``question/name``.

    Raises
    ------
    SpecError
        If the spec cannot be understood or identified.
    DataError
        If the cohort breaks the contract.
    """
    spec = read_model(layout, model)
    where = str(layout.cohort(params.study))
    cohort = validate(read_dataset(layout.cohort(params.study)), where=where)
    if isinstance(spec, ConventionalSpec | RepeatedSpec):
        where = str(layout.spec(model))
        mark = (
            repeated.fingerprint(spec, cohort, where=where)
            if isinstance(spec, RepeatedSpec)
            else conventional.fingerprint(spec, cohort, where=where)
        )
        content: dict[str, Any] = {"fingerprint": mark, "points": [], "sampler": {}}
    else:
        built = build(spec, cohort, where=str(layout.spec(model)))
        _tell_unused(spec, cohort, model)
        _tell_small_groups(built, params.min_cell, model)
        seeds = seed_sequence(params.seed, "build")
        content = {
            "fingerprint": fingerprint(built, spec),
            "points": log_densities(built, np.random.default_rng(seeds)),
            "parameters": {p.name: list(p.dims) for p in built.parameters},
            "sampler": dict(spec.sampler),
        }
    _write(layout, model, content)


def _tell_unused(spec: JointSpec, cohort: xr.Dataset, model: str) -> None:
    """Warn where many answers are in subscales that are not complete."""
    unused = unused_answers(cohort, spec)
    if unused.share > _MANY_UNUSED:
        _LOG.warning(
            "%s: %.0f %% of the answers given are not used: their subscale enters as a sum, which is missing "
            "where one of its items is. `measurement: {testlets: factor}` uses every answer",
            model, 100 * unused.share,
        )  # fmt: skip


def _tell_small_groups(built: Built, smallest: int, model: str) -> None:
    """Warn of groups with fewer people than parameters of their own, or than a page prints."""
    design = built.design
    groups = [str(g) for g in design.coords[n.GROUP]]
    if not groups:
        return
    own = _own_parameters(built)
    sizes = np.bincount(design.group_of, minlength=len(groups))
    few = [g for g, size in zip(groups, sizes, strict=True) if size < max(own, smallest)]
    if few:
        _LOG.warning(
            "%s: groups of fewer than %d people, the larger of %d, min_cell, and %d, the parameters that "
            "each group has of its own: %s. What is said of them rests mostly on priors",
            model, max(own, smallest), smallest, own, ", ".join(few),
        )  # fmt: skip


def _own_parameters(built: Built) -> int:
    """Return how many free parameters a later group has of its own."""
    coords, functions = built.design.coords, len(built.design.coords[n.FUNCTION])
    count = functions * (functions - 1) // 2
    for p in built.parameters:
        if n.GROUP in p.dims or n.GROUP_LATER in p.dims:
            shape = p.shape(coords)[1:]
            count += int(np.prod(shape[:-1])) * (shape[-1] - 1 if p.family == "dirichlet" else shape[-1])
    return count


def _write(layout: Layout, model: str, content: dict[str, Any]) -> None:
    """Keep the old file where only last digits of the log-densities differ (other machines)."""
    path = layout.fingerprint(model)
    if path.exists():
        old = read_json(path)
        same = old.get("fingerprint") == content["fingerprint"]
        if same and np.allclose(old.get("points", [np.nan]), content["points"], rtol=_TOLERANCE, atol=0):
            content["points"] = old["points"]
    write_json(path, content)


def log_densities(built: Built, rng: np.random.Generator) -> list[float]:
    """Return the log-likelihood at seeded draws from the prior: it shows a change of the code.

    Parameters
    ----------
    built : Built
        The model.
    rng : numpy.random.Generator
        Where the points come from.

    Returns
    -------
    list of float
        Nats.
    """
    theta = draw(built.parameters, built.design.coords, rng, _POINTS)
    grid = grid_settings(len(built.design.plain_of))
    found = evaluate(theta, built.design, include=joint.BLOCKS, grid=grid)
    return [float(v) for v in found.log_integral.sum(axis=1)]
