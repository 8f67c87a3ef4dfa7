"""Models with pathways, and one draw of their prior."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from cohort import add_terms

from designs import full_cohort, joint_spec
from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build
from nssi_bayes.spec import JointSpec
from outcomes import with_family

TERMS = {"treatment": ["therapy", "dose"], "baseline": True, "activation": True}
BY_DISORDER = {"levels": True, "slopes": True, "loadings": True, "outcome": True, "burden": True}
EMOTION = ["trauma", "emotion_regulation", "severity"]
LIMBIC = ["trauma", "emotion_regulation", "limbic_activation", "severity"]

type Array = np.ndarray[Any, Any]
type Theta = dict[str, Array]


def cohort_of(family: str = n.GAUSSIAN) -> xr.Dataset:
    """Return thirty people with images, treatments and a baseline."""
    cohort = full_cohort(30)
    return add_terms(
        cohort if family == n.GAUSSIAN else with_family(cohort, family), np.random.default_rng(2)
    )


def made(
    *paths: list[str], family: str = n.GAUSSIAN, networks: tuple[str, ...] = (), **changes: Any
) -> tuple[Built, Theta]:
    """Return a model with pathways, of some networks or all, and one draw of its prior [1, ...]."""
    cohort = cohort_of(family)
    if networks:
        cohort = cohort.isel({n.ROI: np.isin(cohort[n.ROI_NETWORK].to_numpy().astype(str), networks)})
    content = {"outcome_from": TERMS, "disorder": BY_DISORDER, "pathways": paths, **changes}
    built = build(joint_spec("outcome/joint", **content), cohort)
    theta = draw(built.parameters, built.design.coords, np.random.default_rng(1), 1)
    for name in ("v", "v_some"):
        if name in theta:
            theta[name][:] = np.linspace(-0.6, 0.9, theta[name].shape[1])
    if "dispersion" in theta:
        theta["dispersion"][:] = 0.7
    return built, theta


def plain(theta: Theta) -> Theta:
    """Return the first draw."""
    return {name: value[0] for name, value in theta.items()}


def respelt(built: Built, paths: list[list[str]]) -> tuple[Design, JointSpec]:
    """Return data and spec of the same model with other pathways."""
    return built.design, built.spec.model_copy(update={"pathways": tuple(map(tuple, paths))})


def seen_mean(design: Design, values: Array) -> float:
    """Return the mean over who has the outcome."""
    return float(values[design.outcome_seen].mean())
