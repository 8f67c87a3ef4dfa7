"""How far conclusions depend on priors, on each block of the data, and on what was assumed.

Power-scaling and contraction need no fit. Refits are off unless ``sensitivity.models`` of
``params.yaml`` names the model.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final

import numpy as np
import xarray as xr

import nssi_bayes.integrate  # noqa: F401  (double precision)
from nssi_bayes import names as n
from nssi_bayes.blocks import joint
from nssi_bayes.blocks.labelled import label, theta_of
from nssi_bayes.blocks.marginal import evaluate, grid_settings
from nssi_bayes.blocks.parameter import Parameter
from nssi_bayes.build import Built, build, fingerprint
from nssi_bayes.check.by_person import in_parts
from nssi_bayes.check.gate import judge, judge_integral
from nssi_bayes.check.levels import Averages, Met, as_met, averages, summed, weights_of
from nssi_bayes.check.pathways import pathways
from nssi_bayes.errors import SpecError
from nssi_bayes.fit.accuracy import errors
from nssi_bayes.fit.sample import sample
from nssi_bayes.marks import read_posterior
from nssi_bayes.sensitivity.conclusions import by_chance, changes, conclusions, state
from nssi_bayes.sensitivity.scaling import THRESHOLD, is_flat, log_priors, power_scale
from nssi_bayes.sensitivity.variants import Fitted, Variant, variants, without_overlaps
from nssi_bayes.spec import JointSpec, Params, read_model
from nssi_bayes.spec.pathways import ARROW
from nssi_bayes.store import Layout, read_dataset, seed_sequence, write_json
from nssi_bayes.study import read_study

__all__ = ["contraction", "run", "scaled"]

_LOG: Final = logging.getLogger(__name__)
_TO_FILL_IN: Final = 20
"""Draws among which one is chosen to fill in what is missing."""

type Array = np.ndarray[Any, Any]


def run(layout: Layout, params: Params, *, model: str) -> None:
    """Write how sensitive the conclusions of one fit are.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        Seed, sampler, interval, ROPE, and which refits are asked for.
    model : str
        ``question/name``.

    Raises
    ------
    SpecError
        If the model is a conventional one.
    ArtefactError
        If the posterior is missing or of another model.
    """
    spec = read_model(layout, model)
    where = str(layout.spec(model))
    if not isinstance(spec, JointSpec):
        raise SpecError("only a joint model is analysed here", where=where, cure="ask it of a joint one")
    cohort = read_dataset(layout.cohort(params.study))
    built = build(spec, cohort, where=where)
    mark = fingerprint(built, spec)
    tree = read_posterior(layout, model, mark)
    built = replace(built, fine=bool(tree.attrs.get("fine", 0)))  # refits begin with the posterior's nodes
    seeds = seed_sequence(params.seed, f"sensitivity {mark}")
    for_met, for_variants, for_fits = seeds.spawn(3)
    posterior = tree["posterior"].to_dataset()
    theta = theta_of(posterior, built.parameters)
    totals, met = _everybody(theta, built, np.random.default_rng(for_met))
    labels = built.design.coords
    before = conclusions(posterior, met, disorders=labels[n.DISORDER], functions=labels[n.FUNCTION])
    before |= _indirect(theta, built, posterior)
    found = {
        "model": model, "fingerprint": mark, "interval": params.interval, "rope": params.rope,
        **scaled(built, theta, totals, before),
        "contraction": contraction(tree, built.parameters), "refits": [],
        "change_by_chance": by_chance(before, interval=params.interval, rope=params.rope),
        "states": {k: state(v, interval=params.interval, rope=params.rope) for k, v in before.items()},
    }  # fmt: skip
    if model in params.sensitivity.models:
        chosen = variants(built, params.sensitivity, _some(theta, built), np.random.default_rng(for_variants))
        overlaps: Iterable[Variant] = ()
        if "overlaps" in params.sensitivity.refits:
            overlaps = without_overlaps(built, cohort, read_study(layout, params.study).overlaps)
        for variant in chain(chosen, overlaps):
            own = np.random.SeedSequence([*for_fits.generate_state(2), len(found["refits"])])
            found["refits"].append(_refit(params, variant, before, own))
            _LOG.info("%s: %s", model, found["refits"][-1]["text"])
    write_json(layout.numbers("sensitivity", model), found)


def scaled(
    built: Built,
    theta: dict[str, Array],
    log_likelihood: Mapping[tuple[str, ...], Array],
    before: dict[str, Array],
) -> dict[str, Any]:
    """Power-scale every top-level prior and every block.

    Parameters
    ----------
    built : Built
        The model.
    theta : dict of str to numpy.ndarray
        Draws [sample, ...] by parameter.
    log_likelihood : mapping of tuple to numpy.ndarray
        Of everybody, by growing set of blocks [sample].
    before : dict of str to numpy.ndarray
        Conclusions [`chain`, `draw`].

    Returns
    -------
    dict
        ``power_scaling``, one row a conclusion, and how many are sensitive.
    """
    blocks = joint.blocks_of(built.design)
    ends = [tuple(blocks[: i + 1]) for i in range(len(blocks))]
    totals = [np.zeros(len(next(iter(theta.values()))))] + [log_likelihood[e] for e in ends]
    likelihoods = {b: totals[i + 1] - totals[i] for i, b in enumerate(blocks)}
    rows, limits = power_scale(before, log_priors(theta, built.parameters), likelihoods)
    return {
        "power_scaling": rows, "threshold": THRESHOLD, "limits": limits,
        "sensitive_to_a_prior": sum(r["sensitive"] for r in rows),
        "led_by_a_prior": sum("led by" in r["diagnosis"] for r in rows),
        "flat_priors": [p.name for p in built.parameters
                        if is_flat(p)],
    }  # fmt: skip


def contraction(tree: xr.DataTree, parameters: Sequence[Parameter]) -> list[dict[str, Any]]:
    """Return 1 less the ratio of posterior to prior variance, by parameter, over its elements.

    Half-Cauchy priors have no variance: their parameters have no contraction.
    """
    posterior, prior = (tree[g].to_dataset() for g in ("posterior", "prior"))
    rows, without = [], {p.name for p in parameters if p.family == "halfcauchy"}
    for name, array in posterior.data_vars.items():
        if name in without:
            continue
        variances = [v.var((n.CHAIN, n.DRAW)).to_numpy().ravel() for v in (array, prior[name])]
        kept = variances[1] > 1e-12
        if kept.any():
            values = 1 - variances[0][kept] / variances[1][kept]
            rows.append(
                {"parameter": str(name), "elements": int(kept.sum()), "smallest": float(values.min()),
                 "median": float(np.median(values)), "largest": float(values.max())}
            )  # fmt: skip
    return rows


def _refit(
    params: Params, variant: Variant, before: dict[str, Array], seeds: np.random.SeedSequence
) -> dict[str, Any]:
    if variant.built is None:
        return {"variant": variant.name, "text": f"{variant.name}: not done, {variant.note}", "changed": None}
    built = variant.built
    for_fit, for_met = seeds.spawn(2)
    sampler = params.sampler.model_copy(update={str(k): v for k, v in built.spec.sampler.items()}).resolved()
    drawn = sample(built, sampler, for_fit)
    posterior = label(drawn.values, built.parameters, built.design)
    theta = theta_of(posterior, built.parameters)
    _, met = _everybody(theta, built, np.random.default_rng(for_met), last=True)
    labels = built.design.coords
    after = conclusions(
        posterior, met, disorders=labels[n.DISORDER], functions=labels[n.FUNCTION], also=before
    )
    after |= _indirect(theta, built, posterior)
    found = changes(before, after, interval=params.interval, rope=params.rope)
    tree = xr.DataTree.from_dict({"posterior": posterior, "sample_stats": drawn.statistics})
    tree.attrs.update(target_accept=drawn.target_accept, rerun=int(drawn.rerun), tune=drawn.tune)
    gate = judge(tree, after)
    integral = judge_integral(errors(theta, replace(built, fine=drawn.fine)))
    certified = gate.certified and all(one.passed for one in integral)
    text = f"{variant.name}: {found['changed']} of {found['conclusions']} conclusions change"
    text += f", {found['reversed']} of them to the other sign" if found["reversed"] else ""
    text += "" if certified else "; this refit is not certified"
    if variant.with_slopes:
        text += f"; {_selected(after, params.interval)}"
    return {
        "variant": variant.name, "text": text, "certified": certified,
        "max_rhat": gate.sampling["max_rhat"], "divergences": gate.sampling["divergences"], **found,
    }  # fmt: skip


def _indirect(theta: dict[str, Array], built: Built, posterior: xr.Dataset) -> dict[str, Array]:
    """Return the draws of every pathway [`chain`, `draw`], which are conclusions, too."""
    if not built.spec.pathways:
        return {}
    shape = posterior.sizes[n.CHAIN], posterior.sizes[n.DRAW]
    found = pathways(theta, built.design, built.spec)
    return {f"pathway[{ARROW.join(one.path)}]": one.ways[:, 0, 0].reshape(shape) for one in found}


def _selected(after: dict[str, Array], interval: float) -> str:
    """Say how being scanned goes with each function."""
    tails = ((1 - interval) / 2, (1 + interval) / 2)
    told = []
    for name, draws in after.items():
        if name.startswith("w["):
            low, high = np.quantile(draws, tails)
            told.append(f"{name[2:-1].replace('_', ' ')} {draws.mean():.2f} ({low:.2f} to {high:.2f})")
    return (
        f"logits of being scanned per residual sd of a function, {interval:.0%} intervals: {', '.join(told)}"
    )


def _everybody(
    theta: dict[str, Array], built: Built, rng: np.random.Generator, *, last: bool = False
) -> tuple[dict[tuple[str, ...], Array], Met | None]:
    """Return the log-likelihood of everybody by set of blocks [sample], and what people are like."""
    weights, totals, sums = weights_of(built.design), dict[tuple[str, ...], Array](), list[Averages]()
    for people, sets, moments in in_parts(theta, built.design, last=last):
        for include, values in sets.items():
            totals[include] = totals.get(include, 0.0) + values.sum(axis=1)
        sums.append(averages(moments, weights[people]))
    return totals, as_met(summed(sums), built.design, rng, parameters={p.name for p in built.parameters})


def _some(theta: dict[str, Array], built: Built) -> Fitted:
    """Return draws to fill in data from, evenly spaced, and what they say of everybody."""
    samples = len(next(iter(theta.values())))
    chosen = np.linspace(0, samples - 1, min(samples, _TO_FILL_IN)).round().astype(int)
    few = {name: values[chosen] for name, values in theta.items()}
    grid = grid_settings(len(built.design.plain_of), fine=True)
    return Fitted(few, evaluate(few, built.design, include=joint.BLOCKS, grid=grid))
