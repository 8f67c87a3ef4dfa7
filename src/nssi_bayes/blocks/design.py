"""From a cohort and a spec to the arrays and labels that the blocks use (NumPy, no randomness).

Missing values are 0 here, beside a mask; no NaN goes farther. Whether a spec can be identified on
this cohort is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.blocks.indicators import functions_of, make_indicators
from nssi_bayes.blocks.linked import check_linked
from nssi_bayes.blocks.named import unknown_mediators, unknown_names
from nssi_bayes.blocks.outcome_columns import make_outcome
from nssi_bayes.blocks.scans import columns_of, labels_of, make_edges, make_scans
from nssi_bayes.blocks.silent import check_told
from nssi_bayes.blocks.subscales import make_groups, make_scores
from nssi_bayes.errors import SpecError
from nssi_bayes.spec import JointSpec
from nssi_bayes.spec.pathways import ACTIVATION, backwards, networks_of

__all__ = ["Design", "make_design"]

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Design:
    """Arrays and labels of one model on one cohort.

    Parameters
    ----------
    coords : dict of str to list
        Labels of every dim of the model's parameters.
    diagnosis : numpy.ndarray
        c [`participant`, `disorder`], coded as the spec says.
    burden, none : numpy.ndarray
        Diagnoses beyond the first, and whether there is none [`participant`].
    covariate, site : numpy.ndarray
        z [`participant`, `covariate`]; indicator columns [`participant`, `site`].
    factor, factor_seen, factor_error : numpy.ndarray
        Scores and masks [`participant`, scored factor]; error variance [scored factor]. Factors that items
        measure have no score, and stand behind the others in the dim `factor`.
    response : numpy.ndarray
        Categories [`participant`, `indicator`]; the largest number of categories is "missing".
    categories : numpy.ndarray
        Number of categories [`indicator`].
    plain_of, testlets_of : list
        For each axis of the integral over a person, which are factors that items measure and, behind them,
        functions: indicators without a residual factor; (testlet, indicators) with one.
    biased : numpy.ndarray, optional
        Positions of the indicators whose meaning may differ by disorder.
    further_indicator, further_function : numpy.ndarray, optional
        Indicators that also load on another function, and which: all pairs of cross-loadings, or the
        general function.
    treatment, baseline : numpy.ndarray, optional
        What the outcome is regressed on: treatments as coded [`participant`, `treatment`]; what it was
        before, 0 where unknown, and behind that whether it is [`participant`, 1 or 2].
    outcome_family : str
        ``gaussian``, ``bernoulli``, ``negative_binomial``, ``hurdle_negative_binomial`` or ``ordinal``.
    mean_diagnosis : numpy.ndarray, optional
        The cohort's mean c, where items measure factors: these have mean 0 there [`disorder`].
    outcome_exposure : numpy.ndarray, optional
        Of a count, how long or over how much it was counted; 1 where it was not [`participant`].
    centred_diagnosis : numpy.ndarray, optional
        Diagnoses less the cohort's mean, where the spread of functions differs by disorder
        [`participant`, `disorder`].
    scanned : numpy.ndarray
        Positions of the people with a scan.
    activation, activation_se, activation_seen, confound : numpy.ndarray
        [scanned, `roi`], [scanned, `confound`].
    partner, network_of : numpy.ndarray
        Position of the homologous region or -1 [`roi`]; position of the network [`roi`].
    big_network : numpy.ndarray
        Membership of networks with a residual factor [`roi`, factor].
    connected : numpy.ndarray
        Positions of the people who have edges.
    connectivity, connectivity_se, connectivity_seen, confound_edge : numpy.ndarray
        [connected, `edge`], [connected, confound].
    edge_ends, hub : numpy.ndarray
        Which regions an edge joins [`edge`, region]; those of them with a residual factor.
    pair_of : numpy.ndarray
        Position of the pair of networks [`edge`].
    outcome, outcome_seen : numpy.ndarray
        [`participant`]; centred if it is Gaussian, else in its own unit.
    score, score_seen, score_function : numpy.ndarray
        Continuous indicators and masks [`participant`, `score`]; position of the function [`score`].
    group_of : numpy.ndarray
        Position of the group [`participant`]; empty without groups.
    """

    coords: dict[str, list[Any]]
    diagnosis: Array
    burden: Array
    none: Array
    covariate: Array
    site: Array
    factor: Array
    factor_seen: Array
    factor_error: Array
    response: Array
    categories: Array
    plain_of: list[Array]
    testlets_of: list[list[tuple[int, Array]]]
    scanned: Array
    activation: Array
    activation_se: Array
    activation_seen: Array
    confound: Array
    partner: Array
    network_of: Array
    big_network: Array
    connected: Array
    connectivity: Array
    connectivity_se: Array
    connectivity_seen: Array
    confound_edge: Array
    edge_ends: Array
    hub: Array
    pair_of: Array
    outcome: Array
    outcome_seen: Array
    score: Array
    score_seen: Array
    score_function: Array
    group_of: Array
    biased: Array | None = None
    further_indicator: Array | None = None
    further_function: Array | None = None
    centred_diagnosis: Array | None = None
    outcome_family: str = n.GAUSSIAN
    outcome_exposure: Array | None = None
    treatment: Array | None = None
    baseline: Array | None = None
    mean_diagnosis: Array | None = None

    @property
    def scored_factors(self) -> list[str]:
        """Labels of the factors that a score measures, which stand first."""
        return self.coords[n.FACTOR][: self.factor.shape[1]]

    @property
    def item_factors(self) -> list[str]:
        """Labels of the factors that items measure."""
        return self.coords[n.FACTOR][self.factor.shape[1] :]

    @property
    def axes(self) -> list[str]:
        """Labels of the axes of the integral over a person: factors that items measure, then functions."""
        return [*self.item_factors, *self.coords[n.FUNCTION]]

    @property
    def category_groups(self) -> list[int]:
        """The numbers of categories that occur."""
        return [int(c) for c in np.unique(self.categories)]

    @property
    def indicator_order(self) -> Array:
        """Where each indicator stands when groups of equally many categories are joined."""
        return np.argsort(np.argsort(self.categories, kind="stable"), kind="stable")

    @property
    def missing_response(self) -> int:
        """The category that stands for "missing"."""
        return max(self.category_groups, default=0)

    @property
    def scan_diagnosis(self) -> Array:
        """Diagnoses of the scanned people."""
        return self.diagnosis[self.scanned]

    @property
    def function_of(self) -> Array:
        """Position of the axis of each indicator: of its function, where items measure no factors."""
        found = np.zeros(len(self.categories), dtype=int)
        for f, plain in enumerate(self.plain_of):
            found[plain] = f
            for _, items in self.testlets_of[f]:
                found[items] = f
        return found

    @property
    def testlet_of(self) -> Array:
        """Position of the residual factor of each indicator, or -1."""
        found = np.full(len(self.categories), -1)
        for groups in self.testlets_of:
            for s, items in groups:
                found[items] = s
        return found


def make_design(cohort: xr.Dataset, spec: JointSpec, *, where: str = "spec") -> Design:
    """Arrange a cohort for a model.

    Parameters
    ----------
    cohort : xarray.Dataset
        Satisfies `schema`.
    spec : JointSpec
        The model.
    where : str
        The spec's file, for messages.

    Returns
    -------
    Design
        Arrays and labels.

    Raises
    ------
    SpecError
        If the spec names what the cohort does not have, a function or factor cannot be identified, or only
        the prior would speak of something.
    """
    problems = unknown_names(cohort, spec)
    functions = [] if problems else functions_of(cohort, spec)
    problems = problems or unknown_mediators(cohort, spec, functions)
    if problems:
        raise SpecError(problems, where=where, cure="name what the cohort has, or leave it out")
    site_of = cohort[n.SITE_OF].to_numpy().astype(str)
    people = len(site_of)
    coords: dict[str, list[Any]] = {
        n.DISORDER: labels_of(cohort, n.DISORDER),
        n.FUNCTION: functions,
        n.FUNCTION_OTHER: functions,
        n.COVARIATE: labels_of(cohort, n.COVARIATE),
        n.SITE: sorted(set(site_of)),
    }
    fields: dict[str, Any] = {}
    parts, answered = _parts(cohort, spec, functions, where)
    for part in [_factors(cohort, spec, functions), *parts]:
        coords.update(part.pop("coords"))
        fields.update(part)
    _check_regressed(spec, coords, where)
    outcome = make_outcome(cohort, spec, where)
    coords.update(outcome.pop("coords"))
    diagnoses = _diagnoses(cohort, spec.disorder.coding, where)
    check_told(
        spec, diagnosis=diagnoses["diagnosis"], disorders=coords[n.DISORDER], answered=answered, where=where
    )
    return Design(
        coords=coords,
        **diagnoses,
        mean_diagnosis=diagnoses["diagnosis"].mean(axis=0) if spec.factor_items else None,
        covariate=columns_of(cohort, n.COVARIATE_VALUE, n.COVARIATE, coords[n.COVARIATE], people),
        site=(site_of[:, None] == np.array(coords[n.SITE])[None, :]).astype(float),
        centred_diagnosis=_centred(cohort, spec, where) if spec.disorder.spread else None,
        **outcome,
        **fields,
    )


def _check_regressed(spec: JointSpec, coords: dict[str, list[Any]], where: str) -> None:
    """Refuse functions behind activation where some networks tell all of others."""
    own = {f"{label}{ACTIVATION}" for label in coords[n.BIG_NETWORK]}
    small, sources = len(networks_of(spec) - own), len(coords[n.FUNCTION]) + 1
    if backwards(spec) and small > sources:
        raise SpecError(
            f"pathways: functions cannot be regressed on activation: {small} networks have no residual "
            f"factor of their own and share {sources} sources, functions and the person's factor, so that "
            "some tell all of others",
            where=where,
            cure="name fewer networks of one or two regions, or let pathways go from functions to activation",
        )


def _factors(cohort: xr.Dataset, spec: JointSpec, functions: list[str]) -> dict[str, Any]:
    """Return fields of the factors' scores, and coords: factors with items stand behind those with scores."""
    scored = [f for f in spec.factors if f not in spec.factor_items]
    factors = [*scored, *spec.factor_items]
    factor = columns_of(cohort, n.FACTOR_SCORE, n.FACTOR, scored, cohort.sizes[n.PARTICIPANT])
    reliability = [float(cohort[n.FACTOR_RELIABILITY].sel({n.FACTOR: f})) for f in scored]
    return {
        "coords": {
            n.FACTOR: factors,
            n.FACTOR_OTHER: factors,
            n.FACTOR_SCORED: scored if spec.factor_items else [],
            n.LATENT: [*spec.factor_items, *functions] if spec.factor_items else [],
        },
        "factor": np.nan_to_num(factor),
        "factor_seen": np.isfinite(factor),
        "factor_error": np.maximum(1 - np.array(reliability), 1e-6),
    }


def _parts(
    cohort: xr.Dataset, spec: JointSpec, functions: list[str], where: str
) -> tuple[list[dict[str, Any]], dict[str, bool]]:
    """Return fields and coords of indicators, groups and images; and of which axes anything was answered."""
    scores = make_scores(cohort, spec, where=where)
    continuous = len(spec.factor_items) + np.asarray(scores["score_function"])
    items = make_indicators(cohort, spec, functions, continuous=continuous, where=where)
    residual_factors = items["coords"][n.TESTLET]
    groups = make_groups(cohort, spec, residual_factors=residual_factors, where=where)
    axes = [*(f"factor_items.{f}" for f in spec.factor_items), *(f"functions.{f}" for f in functions)]
    seen = np.concatenate(
        [items["response"] != max(items["categories"], default=0), scores["score_seen"]], axis=1
    )
    measures = _measures(items, continuous, axes=len(axes))
    labels = [*items["coords"][n.INDICATOR], *scores["coords"][n.SCORE]]
    check_linked(cohort, axes, measures, seen=seen, labels=labels, where=where)
    answered = {axis: bool(seen[:, own].any()) for axis, own in zip(axes, measures, strict=True)}
    return [items, scores, groups, make_scans(cohort, spec), make_edges(cohort, spec)], answered


def _measures(items: dict[str, Any], continuous: Array, *, axes: int) -> Array:
    """Return which axes each indicator measures [axis, indicator]: all indicators a general function."""
    found = np.concatenate([items.pop("axis_of"), continuous]) == np.arange(axes)[:, None]
    if n.GENERAL_INDICATOR in items["coords"]:
        found[items["further_function"], items["further_indicator"]] = True
    return found


def _centred(cohort: xr.Dataset, spec: JointSpec, where: str) -> Array:
    """Return diagnoses less their mean: the residual sd is 1 at the average diagnosis."""
    diagnosis = _diagnoses(cohort, spec.disorder.coding, where)["diagnosis"]
    return diagnosis - diagnosis.mean(axis=0)


def _diagnoses(cohort: xr.Dataset, coding: str, where: str) -> dict[str, Any]:
    raw = cohort[n.DIAGNOSIS].to_numpy().astype(float)
    count = raw.sum(axis=1)
    several = int((count > 1).sum())
    if coding == "primary" and n.PRIMARY in cohort:
        raw = cohort[n.PRIMARY].to_numpy().astype(float)
        count = raw.sum(axis=1)
    elif coding == "primary" and several:
        raise SpecError(
            f"disorder.coding: {several} people have several diagnoses, and the cohort does not say which "
            "one is primary",
            where=where,
            cure="write coding: additive or averaged, or tell it in study.yaml (disorders: {primary: ...})",
        )
    additive = coding == "additive"
    return {
        "diagnosis": raw / np.maximum(count, 1)[:, None] if coding == "averaged" else raw,
        "burden": np.maximum(count - 1, 0) if additive else np.zeros(len(count)),
        "none": (count == 0).astype(float),
    }
