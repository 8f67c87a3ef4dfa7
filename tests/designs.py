"""Small cohorts for the model rooms, with the people in whom integrals go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from cohort import isas, make_cohort

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.labelled import label
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.blocks.people import few
from nssi_bayes.build import Built
from nssi_bayes.spec import JointSpec, parse, read_model
from nssi_bayes.store import Layout

ROOT = Path(__file__).parents[1]
NOTHING, NO_ITEMS, ONE_ITEM, NO_FACTORS, NO_SCAN, ONE_SIDE, EXACT_SCAN, NO_FUNCTION = range(8)
"""What is missing of the first eight people."""

__all__ = [
    "few", "full_cohort", "full_design", "item_factor_cohort", "item_factor_spec", "joint_spec",
    "prior_tree", "small_cohort", "small_spec",
]  # fmt: skip

type Array = np.ndarray[Any, Any]


def joint_spec(model: str = "heterogeneity/disorder_circuits", **changes: Any) -> JointSpec:
    """Return a shipped spec with changes, without its pathways, which name what these may leave out."""
    content = read_model(Layout(ROOT), model).model_dump()
    return parse(JointSpec, {**content, "pathways": (), **changes}, where="test")


def small_spec(**changes: Any) -> JointSpec:
    """Return a model of two functions without scans."""
    content: dict[str, Any] = {
        "description": "small",
        "functions": {
            "self_related": ["affect_regulation", "anti_dissociation", "marking_distress"],
            "self_punishment": ["self_punishment"],
        },
        "factors": ["trauma"],
        "disorder": {"levels": True},
    }
    return parse(JointSpec, {**content, **changes}, where="test")


def full_cohort(participants: int = 40, *, seed: int = 5, scanned: float = 0.6) -> xr.Dataset:
    """Return a cohort with ISAS, both factors and scans, its first people with little data."""
    reliability = {"trauma": 0.9, "attachment": 0.7}
    cohort = make_cohort(
        np.random.default_rng(seed), participants, subscales=isas(), reliability=reliability, scanned=scanned
    )
    response, factor = cohort[n.RESPONSE].to_numpy(), cohort[n.FACTOR_SCORE].to_numpy()
    value, error = cohort[n.ACTIVATION].to_numpy(), cohort[n.ACTIVATION_SE].to_numpy()
    motion, quality = cohort[n.MOTION].to_numpy(), cohort[n.QUALITY].to_numpy()
    edge, edge_error = cohort[n.CONNECTIVITY].to_numpy(), cohort[n.CONNECTIVITY_SE].to_numpy()
    response[[NOTHING, NO_ITEMS]] = np.nan
    response[ONE_ITEM, 1:] = np.nan
    response[NO_FUNCTION, (cohort[n.ITEM_SUBSCALE] == "self_punishment").to_numpy()] = np.nan
    factor[[NOTHING, NO_FACTORS]] = np.nan
    value[[NOTHING, NO_SCAN]] = np.nan
    for who in (NO_ITEMS, ONE_SIDE, EXACT_SCAN):
        value[who], error[who], motion[who] = np.linspace(-1, 1, value.shape[1]), 0.3, 0.4
        edge[who], edge_error[who], quality[who] = np.linspace(1, -1, edge.shape[1]), 0.6, 0.1
    edge[[NOTHING, NO_SCAN]] = np.nan
    edge[ONE_SIDE, 3] = np.nan
    value[ONE_SIDE, 0] = np.nan
    error[EXACT_SCAN] = 0.0
    cohort[n.DIAGNOSIS][:] = _with_none(cohort[n.DIAGNOSIS].to_numpy())
    cohort[n.OUTCOME_VALUE][[NOTHING, 9]] = np.nan
    return cohort


def _with_none(diagnosis: Array) -> Array:
    """Take the diagnoses of two people away."""
    changed = diagnosis.copy()
    changed[-2:] = 0
    return changed


def small_cohort(
    participants: int = 60, *, seed: int = 6, factors: dict[str, float] | None = None
) -> xr.Dataset:
    """Return a cohort of four subscales and one factor."""
    subscales = {k: v for k, v in isas().items() if k in _SMALL}
    return make_cohort(
        np.random.default_rng(seed), participants, subscales=subscales,
        reliability={"trauma": 0.8} if factors is None else factors,
    )  # fmt: skip


CHILDHOOD: dict[str, tuple[int, ...]] = {
    "emotional_abuse": (101, 102, 103), "physical_abuse": (104, 105, 106),
    "emotional_neglect": (107, 108, 109), "physical_neglect": (110, 111, 112),
}  # fmt: skip
STRESS: dict[str, tuple[int, ...]] = {"stress": (121, 122, 123)}


def item_factor_cohort(participants: int = 40, *, seed: int = 8, scanned: float = 0.0) -> xr.Dataset:
    """Return a cohort of subscales that measure functions and of others that measure factors, with gaps.

    The first people answered nothing, nothing of the functions, or nothing of the factors.
    """
    subscales = {k: v for k, v in isas().items() if k in _SMALL} | CHILDHOOD | STRESS
    cohort = make_cohort(
        np.random.default_rng(seed), participants, subscales=subscales, reliability={"attachment": 0.7},
        scanned=scanned,
    )  # fmt: skip
    own = np.isin(cohort[n.ITEM_SUBSCALE].to_numpy().astype(str), _SMALL)
    response, factor = cohort[n.RESPONSE].to_numpy(), cohort[n.FACTOR_SCORE].to_numpy()
    response[0], factor[0] = np.nan, np.nan
    response[1, own], response[2, ~own], factor[3] = np.nan, np.nan, np.nan
    cohort[n.DIAGNOSIS][:] = _with_none(cohort[n.DIAGNOSIS].to_numpy())
    cohort[n.OUTCOME_VALUE][[0, 4]] = np.nan
    return cohort


def item_factor_spec(*items: str, **changes: Any) -> JointSpec:
    """Return a model of two functions, attachment by its score and `items` by items: trauma, stress."""
    every = {"trauma": list(CHILDHOOD), "stress": list(STRESS)}
    chosen = items or ("trauma",)
    content = {"factors": [*chosen, "attachment"], "factor_items": {f: every[f] for f in chosen}, **changes}
    return small_spec(**content)


_SMALL = ("affect_regulation", "anti_dissociation", "marking_distress", "self_punishment")


def full_design(spec: JointSpec | None = None, **cohort: Any) -> Design:
    """Return the design of the full cohort."""
    return make_design(full_cohort(**cohort), joint_spec() if spec is None else spec)


def prior_tree(built: Built, *, draws: int = 25, chains: int = 4, seed: int = 1) -> xr.DataTree:
    """Return what a fit writes, with draws of the prior in the place of the posterior's."""
    values = draw(built.parameters, built.design.coords, np.random.default_rng(seed), chains * draws)
    correlated = {p.name for p in built.parameters if p.is_correlation}
    values = {k: v @ v.mT if k in correlated else v for k, v in values.items()}
    shaped = {k: v.reshape(chains, draws, *v.shape[1:]) for k, v in values.items()}
    drawn = label(shaped, built.parameters, built.design)
    health = {"diverging": np.zeros((chains, draws), dtype=bool), "depth": np.full((chains, draws), 4)}
    health["energy"] = np.random.default_rng(seed).standard_normal((chains, draws))
    stats = xr.Dataset({k: ((n.CHAIN, n.DRAW), v) for k, v in health.items()})
    tree = xr.DataTree.from_dict({"posterior": drawn, "sample_stats": stats, "prior": drawn})
    tree.attrs.update(target_accept=0.8, rerun=0, tune=100, fine=0, parts=1)
    return tree
