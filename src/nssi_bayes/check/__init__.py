"""From a posterior to numbers that can be believed, compared and printed (no pictures).

Reads the posterior, the cohort and the fingerprint; writes the verdicts (``checks.json``), the
participant-level scores (``loo.nc``), the person-level latents (``predictive.nc``), the
population-level summaries (``estimates.json``) and the predictive checks (``predictive_checks.json``).
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from typing import Any, Final

import numpy as np
import xarray as xr

import nssi_bayes.integrate  # noqa: F401  (double precision)
from nssi_bayes import names as n
from nssi_bayes.blocks import conventional, joint
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.indicators import unused_answers
from nssi_bayes.blocks.labelled import theta_of
from nssi_bayes.build import build_design
from nssi_bayes.check import estimates, pathways, predictive, projection, repeated, scores, twin
from nssi_bayes.check.by_person import Pointwise, pointwise
from nssi_bayes.check.gate import Gate, judge, judge_ends, judge_integral
from nssi_bayes.check.groups import mark_few
from nssi_bayes.check.levels import as_met
from nssi_bayes.check.loo_pit import LeftOut
from nssi_bayes.check.printed import derived
from nssi_bayes.check.summarised import Summary
from nssi_bayes.compare import k_hat_limit
from nssi_bayes.errors import ArtefactError
from nssi_bayes.fit.accuracy import errors
from nssi_bayes.marks import read_posterior
from nssi_bayes.report.card import card
from nssi_bayes.spec import ConventionalSpec, JointSpec, ModelSpec, Params, RepeatedSpec, read_model
from nssi_bayes.store import (
    Layout,
    read_dataset,
    read_json,
    seed_sequence,
    write_dataset,
    write_json,
    write_text,
)

__all__ = ["run"]

_LOG: Final = logging.getLogger(__name__)


def run(layout: Layout, params: Params, *, model: str) -> None:
    """Check one fit of the roster.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        Seed, interval, ROPE, and whether an uncertified posterior may pass.
    model : str
        ``question/name``.

    Raises
    ------
    ArtefactError
        If the posterior is missing or of another model, if single counts of a repeated one are to be
        scored, or if it is not certified and `params`
        does not say ``allow_uncertified``; verdicts are written all the same.
    """
    spec = read_model(layout, model)
    cohort = read_dataset(layout.cohort(params.study))
    mark = str(read_json(layout.fingerprint(model))["fingerprint"])
    tree = read_posterior(layout, model, mark)
    rng = np.random.default_rng(seed_sequence(params.seed, f"check {mark}"))
    if isinstance(spec, RepeatedSpec):  # before a twin, whose posterior may be asked for something else
        repeated.refuse(spec, cohort, tree["posterior"].to_dataset(), rng=rng, where=str(layout.spec(model)))
    asked = spec.pathways if isinstance(spec, JointSpec) else ()
    made_from = twin.made_from(layout, params, tree, pathways=asked)
    other = twin.find(layout, params, model=model, made_from=made_from)
    if other is not None:
        _LOG.info("%s has the posterior of %s, which is judged and scored: copied", model, other)
        twin.copy(layout, other, model=model, description=spec.description)
    else:
        if isinstance(spec, ConventionalSpec):
            found = _conventional(spec, cohort, tree)
        elif isinstance(spec, RepeatedSpec):
            found = repeated.found(spec, cohort, tree, params=params)
        else:
            found = _joint(spec, cohort, tree, params=params, rng=rng, where=str(layout.spec(model)))
        _write(layout, params, model, spec=spec, tree=tree, found=found, cohort=cohort)
    twin.note(layout, model=model, made_from=made_from)
    verdicts = read_json(layout.checks(model))
    write_text(layout.card(model), card(model, spec, verdicts, title=str(cohort.attrs.get("title", ""))))
    if not verdicts["certified"]:
        failed = [c for c in verdicts["checks"] if c["passed"] is False]
        problems = [f"not certified: {c['name']} is {c['value']:.4g} ({c['text']})" for c in failed]
        if not params.allow_uncertified:
            cure = "raise sampler.tune or sampler.draws, or set allow_uncertified: true in params.yaml"
            raise ArtefactError(problems, where=model, cure=cure)
        for problem in problems:
            _LOG.warning("%s: %s", model, problem)


def _joint(
    spec: JointSpec, cohort: xr.Dataset, tree: xr.DataTree, *, params: Params,
    rng: np.random.Generator, where: str,
) -> dict[str, Any]:  # fmt: skip
    design = make_design(cohort, spec, where=where)
    built = replace(build_design(spec, design), fine=bool(tree.attrs.get("fine", 0)))
    posterior = tree["posterior"].to_dataset()
    chains = posterior.sizes[n.CHAIN]
    theta = theta_of(posterior, built.parameters)
    blocks = joint.blocks_of(design)
    replicated_at = predictive.chosen_draws(theta, design, min_cell=params.min_cell)
    keep = projection.chosen_draws(theta, design)
    person = pointwise(theta, design, chains=chains, keep=keep, weigh=replicated_at)
    met = as_met(person.averages, design, rng, parameters=theta)
    printed: list[np.ndarray] = []
    summaries = estimates.estimate(
        tree, design, person.spread, met, params=params, cohort=cohort, printed=printed
    )
    own: list[np.ndarray] = []
    of_pathways = Summary(params.interval, params.rope, chains=chains, printed=own)
    summaries |= pathways.rows(
        of_pathways, pathways.pathways(theta, design, spec), theta, design, min_cell=params.min_cell
    )
    if own:
        summaries["min_ess_of_ends"] = min(summaries["min_ess_of_ends"], of_pathways.fewest())
        printed += own
    quantities = {"log_likelihood": person.total.reshape(chains, -1)}
    quantities |= derived(summaries, printed, posterior)
    gate = judge(tree, quantities, person_rhat=person.rhat)
    summaries["groups"] = mark_few(summaries["groups"], design, params.min_cell)
    summaries["projection"] = projection.project(theta, design, person.kept)
    accuracy = judge_integral(errors(theta, built))
    ends = judge_ends(summaries["min_ess_of_ends"])
    limit = k_hat_limit(len(person.total))
    left_out = LeftOut(replicated_at, person.log_weight, person.scores.k_hat, limit)
    replicated = predictive.check(theta, design, rng, min_cell=params.min_cell, left_out=left_out)
    return {
        "predictive": replicated,
        "gate": Gate([*gate.checks, *accuracy, ends, *predictive.rows(replicated)], gate.sampling),
        "scores": person.scores,
        "observed": scores.observed_digests(design, spec.outcome),
        "conditioned": scores.conditions(blocks, spec.outcome_from),
        "blocks": blocks,
        "estimates": summaries,
        "person": _person(person, cohort, design),
        "participants": design.diagnosis.shape[0],
        "unused_answers": _unused(spec, cohort, params.min_cell),
    }


def _unused(spec: JointSpec, cohort: xr.Dataset, min_cell: int) -> float | None:
    """Return the share of given answers that are not used; None where they are of too few people."""
    unused = unused_answers(cohort, spec)
    return None if 0 < unused.people < min_cell else unused.share


def _person(found: Pointwise, cohort: xr.Dataset, design: Design) -> xr.Dataset:
    """Person-level functions with their uncertainty, parameters integrated out."""
    units = {"units": "residual sd of a function"}
    return xr.Dataset(
        {
            "function_mean": ((n.PARTICIPANT, n.FUNCTION), found.mean, units),
            "function_sd": ((n.PARTICIPANT, n.FUNCTION), found.sd, units),
        },
        coords={
            n.PARTICIPANT: cohort[n.PARTICIPANT].to_numpy(), n.FUNCTION: design.coords[n.FUNCTION],
        },
    )  # fmt: skip


def _conventional(spec: ConventionalSpec, cohort: xr.Dataset, tree: xr.DataTree) -> dict[str, Any]:
    posterior = tree["posterior"].to_dataset()
    values = cohort[n.OUTCOME_VALUE].sel({n.OUTCOME: spec.outcome}).to_numpy().astype(float)
    seen = np.isfinite(values)
    whole = np.zeros((posterior.sizes[n.CHAIN] * posterior.sizes[n.DRAW], len(values)))
    whole[:, seen] = conventional.log_likelihood(posterior, spec, cohort)
    chains = posterior.sizes[n.CHAIN]
    left_out = scores.leave_one_out({("outcome",): whole}, ("outcome",), chains=chains)
    total = whole.sum(axis=1).reshape(chains, -1)
    name, given = scores.OUTCOME_GIVEN, [*(["factors"] if spec.factors else []), "items"]
    return {
        "gate": judge(tree, {"log_likelihood": total}),
        "scores": scores.Scores(
            {name: left_out.elpd["outcome"]}, {name: left_out.p_loo["outcome"]}, left_out.k_hat
        ),
        "observed": {name: scores.outcome_digest(spec.outcome, np.nan_to_num(values), seen)},
        "conditioned": {name: scores.conditions([*given, "outcome"], spec.outcome_from)[name]},
        "blocks": ["outcome"],
        "predictive": {"checks": []},
        "estimates": {part: [] for part in estimates.PARTS},
        "person": xr.Dataset(),
        "participants": int(seen.sum()),
    }


def _write(
    layout: Layout, params: Params, model: str, *, spec: ModelSpec,
    tree: xr.DataTree, found: dict[str, Any], cohort: xr.Dataset,
) -> None:  # fmt: skip
    question, name = model.split("/")
    gate: Gate = found["gate"]
    common = {
        "model": name, "question": question, "fingerprint": tree.attrs["fingerprint"],
        "kind": spec.kind, "certified": int(gate.certified), "synthetic": int(tree.attrs["synthetic"]),
    }  # fmt: skip
    posterior = tree["posterior"]
    attrs = {
        **common,
        "observed": json.dumps(found["observed"], sort_keys=True),
        "conditioned": json.dumps(found["conditioned"], sort_keys=True),
        "draws": posterior.sizes[n.CHAIN] * posterior.sizes[n.DRAW],
    }
    people = cohort[n.PARTICIPANT].to_numpy()
    write_dataset(layout.loo(model), scores.to_dataset(found["scores"], people, attrs))
    write_dataset(layout.predictive(model), found["person"].assign_attrs(common))
    write_json(
        layout.estimates(model), {"rope": params.rope, "interval": params.interval, **found["estimates"]}
    )
    write_json(layout.numbers("predictive_checks", model), found["predictive"])
    write_json(
        layout.checks(model),
        {
            **common, "certified": gate.certified, "synthetic": bool(common["synthetic"]),
            "description": spec.description, "fit": str(tree.attrs.get("fit", "")), "sampling": gate.sampling,
            "checks": [c.as_dict() for c in gate.checks],
            "training": {
                key: found[key] for key in ("participants", "blocks", "unused_answers") if key in found
            },
        },
    )  # fmt: skip
