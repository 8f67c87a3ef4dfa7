"""Small cohorts for the model rooms, with the people in whom integrals go wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from cohort import isas, make_cohort

from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.spec import JointSpec, parse, read_model
from nssi_bayes.store import Layout

ROOT = Path(__file__).parents[1]
NOTHING, NO_ITEMS, ONE_ITEM, NO_FACTORS, NO_SCAN, ONE_SIDE, EXACT_SCAN, NO_FUNCTION = range(8)
"""What is missing of the first eight people."""

type Array = np.ndarray[Any, Any]


def joint_spec(model: str = "heterogeneity/disorder_circuits", **changes: Any) -> JointSpec:
    """Return a shipped spec, with changes."""
    content = read_model(Layout(ROOT), model).model_dump()
    return parse(JointSpec, {**content, **changes}, where="test")


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


_SMALL = ("affect_regulation", "anti_dissociation", "marking_distress", "self_punishment")


def few(design: Design, keep: Array) -> Design:
    """Return the design of some of the people."""
    scanned = [i for i, person in enumerate(design.scanned) if person in set(keep.tolist())]
    place = {int(person): i for i, person in enumerate(keep)}
    by_person = ("diagnosis", "burden", "none", "covariate", "site", "factor", "factor_seen", "response",
                 "outcome", "outcome_seen", "score", "score_seen")  # fmt: skip
    by_scan = ("activation", "activation_se", "activation_seen", "confound")
    connected = [i for i, person in enumerate(design.connected) if person in set(keep.tolist())]
    by_edge = ("connectivity", "connectivity_se", "connectivity_seen", "confound_edge")
    return replace(
        design,
        scanned=np.array([place[int(design.scanned[i])] for i in scanned], dtype=int),
        **{name: getattr(design, name)[keep] for name in by_person},
        connected=np.array([place[int(design.connected[i])] for i in connected], dtype=int),
        **{name: getattr(design, name)[scanned] for name in by_scan},
        **{name: getattr(design, name)[connected] for name in by_edge},
    )


def full_design(spec: JointSpec | None = None, **cohort: Any) -> Design:
    """Return the design of the full cohort."""
    return make_design(full_cohort(**cohort), joint_spec() if spec is None else spec)
