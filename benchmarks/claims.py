"""How often heterogeneity is claimed, where there is some and where there is none.

    python benchmarks/claims.py --kind levels --shard 0 --of 1 --out benchmarks/results/claims
    python benchmarks/claims.py --summarise --out benchmarks/results/claims

The rule, fixed before: a model is claimed over a simpler neighbour if the elpd of all data of all
people, each left out, is higher by more than 4 and by more than 2 standard errors. A cohort one of
whose fits cannot be certified claims nothing. Scores are those of the ladder that `crossvalidate`
climbs: PSIS, a refit without each person over the k-hat limit, ten folds for all models where these
are more than 5 %. What is no effect of the study (thresholds, loadings, correlations, slopes) is drawn
from the priors anew for each cohort. One file a cohort, written at its end; what is there is left alone.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats
from cohort import isas, make_cohort
from scipy.stats import binomtest

import nssi_bayes.integrate  # noqa: F401  (double precision)
from nssi_bayes import names as n
from nssi_bayes.blocks.design import Design, make_design
from nssi_bayes.blocks.generate import generate
from nssi_bayes.blocks.joint import blocks_of
from nssi_bayes.blocks.labelled import label, theta_of
from nssi_bayes.blocks.parameter import draw
from nssi_bayes.build import Built, build_design
from nssi_bayes.check.scores import leave_one_out
from nssi_bayes.compare import CLEAR, FAILED_SHARE, SAME, k_hat_limit
from nssi_bayes.crossvalidate.folds import stratified
from nssi_bayes.crossvalidate.refit import held_out, sets_of
from nssi_bayes.fit.sample import CONSTANT, FEWEST_EFFECTIVE, LARGEST_RHAT, sample
from nssi_bayes.spec import JointSpec, Sampler, Simulate, parse, read_model, read_params
from nssi_bayes.store import Layout, read_dataset, read_json, seed_sequence, write_json

__all__ = ["KINDS", "Kind", "Setting", "large", "run_one", "summarise"]

SEED: Final = 20261126
_COMMAND: Final = "python benchmarks/claims.py"
_LOG: Final = logging.getLogger(__name__)
_LEVEL: Final = 0.8
"""Difference of levels between two halves of the disorders, sd of a function."""
_SLOPE: Final = 0.4
_LOADING: Final = 0.5
_BIAS: Final = 0.8
"""Logits, between two halves of the disorders."""
_BIASED: Final = 0.25
"""Share of the indicators."""

_FULL: Final = Sampler(chains=4, tune=150, draws=1000)
_SHORT: Final = Sampler(chains=2, tune=150, draws=500)

PUBLISHED: Final = "published effects"
"""Of ``simulate/published.yaml``, as the demo has them: 163 of 304 people are scanned."""
_ROOT: Final = Path(__file__).parents[1]

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Kind:
    """What is true, and what may be claimed.

    Parameters
    ----------
    truth : str
        The model that data are drawn from; `PUBLISHED`: the shipped synthetic cohort, images and all.
    effects : tuple of str
        Parameters that are large by design; other effects of disorders are those of the prior.
    claims : tuple of tuple of str
        Pairs of a model and its simpler neighbour.
    right : tuple of tuple of str
        Those of `claims` that hold; the others are false.
    scanned : float
        Share of people with activation and edges; 0: the models observe items and factors.
    participants : int
        People of a cohort.
    cohorts : int
        How many are asked for.
    """

    truth: str
    effects: tuple[str, ...]
    claims: tuple[tuple[str, str], ...]
    right: tuple[tuple[str, str], ...] = ()
    scanned: float = 0.0
    participants: int = 400
    cohorts: int = 20

    @property
    def models(self) -> list[str]:
        """All that are fitted."""
        return list(dict.fromkeys(m for pair in self.claims for m in reversed(pair)))


_MEANS: Final = ("heterogeneity/disorder_means", "heterogeneity/shared")
_ROOTS: Final = ("heterogeneity/disorder_roots", "heterogeneity/disorder_means")
_BIASES: Final = ("heterogeneity/item_bias", "heterogeneity/disorder_means")
_CIRCUITS: Final = ("heterogeneity/disorder_circuits", "heterogeneity/disorder_roots")
_THREE: Final = ("structure/shared", "structure/two_function")
_PLACEBO: Final = ("structure/shared", "structure/placebo_function")

KINDS: Final = {
    "levels": Kind(_MEANS[0], ("A",), (_MEANS, _ROOTS, _BIASES), (_MEANS,)),
    "slopes": Kind(_ROOTS[0], ("A", "B_disorder"), (_ROOTS,), (_ROOTS,)),
    "bias": Kind(_BIASES[0], ("A", "delta"), (_BIASES,), (_BIASES,)),
    "circuits": Kind(_CIRCUITS[0], ("A", "B_disorder", "L_disorder"), (_CIRCUITS,), (_CIRCUITS,), 1.0),
    "nothing": Kind(_MEANS[1], (), (_MEANS, _ROOTS, _BIASES), cohorts=40),
    "placebo": Kind(_PLACEBO[1], (), (_THREE, _PLACEBO)),
    "published": Kind(
        PUBLISHED, (), (_MEANS, _ROOTS, _CIRCUITS, _BIASES), (_MEANS, _ROOTS, _CIRCUITS), 1.0, 304
    ),
}
"""Large effects (levels, slopes, bias, circuits), no effect (nothing), another third function, and what
power there is where effects are as published."""


@dataclass(frozen=True)
class Setting:
    """What a run costs; tests make it small.

    Parameters
    ----------
    sampler : Sampler
        Of every full fit.
    refits : Sampler
        Of every fit without somebody.
    scores : int
        Draws that scores are made of.
    """

    sampler: Sampler = _FULL
    refits: Sampler = _SHORT
    scores: int = 2000


@dataclass(frozen=True)
class _Fitted:
    """A model of one cohort, and what its posterior says of its people."""

    built: Built
    certified: bool
    health: dict[str, Any]
    elpd: Array
    over: Array


def spec_of(model: str, scanned: float) -> JointSpec:
    """Return a shipped model; without scans its neural blocks are left out."""
    content = read_model(Layout(_ROOT), model).model_dump()
    if not scanned:
        content |= {"neural": None, "connectivity": None}
    return parse(JointSpec, content, where=model)


def large(name: str, shape: tuple[int, ...], design: Design, rng: np.random.Generator) -> Array:
    """Return effects of one size whose sign differs between two halves of the disorders.

    Parameters
    ----------
    name : str
        A, B_disorder, L_disorder or delta.
    shape : tuple of int
        Of the parameter; disorders stand last.
    design : Design
        Says which regions are of one network.
    rng : numpy.random.Generator
        Chooses the halves, anew for each function, factor, network or indicator.

    Returns
    -------
    numpy.ndarray
        Sum to zero over disorders.
    """
    size = {"A": _LEVEL, "B_disorder": _SLOPE, "L_disorder": _LOADING, "delta": _BIAS}[name]
    networks = len(design.coords[n.NETWORK]) if name == "L_disorder" else 0
    rows = (networks, *shape[1:-1]) if networks else shape[:-1]
    signs = np.where(np.arange(shape[-1]) < shape[-1] // 2, 0.5, -0.5)
    found = size * rng.permuted(np.broadcast_to(signs, (*rows, shape[-1])), axis=-1)
    if networks:
        found = found[design.network_of]
    if name == "delta":
        chosen = rng.permutation(len(found)) < round(_BIASED * len(found))
        found = found * chosen[:, None]
    return found - found.mean(axis=-1, keepdims=True)


def make(kind: Kind, seeds: np.random.SeedSequence) -> tuple[xr.Dataset, dict[str, Built]]:
    """Draw a cohort and arrange it for every model.

    Parameters
    ----------
    kind : Kind
        What is true.
    seeds : numpy.random.SeedSequence
        Source of every random number.

    Returns
    -------
    tuple
        The people without their values, and the models by name, on the same values.
    """
    if kind.truth == PUBLISHED:
        cohort = published(seeds, kind.participants)
        return cohort, {m: _built(spec_of(m, kind.scanned), cohort) for m in kind.models}
    people, truth, effects, data = (np.random.default_rng(s) for s in seeds.spawn(4))
    reliability = {"trauma": 0.9, "attachment": 0.85}
    cohort = make_cohort(
        people, kind.participants, subscales=isas(), reliability=reliability, scanned=kind.scanned
    )
    spec = spec_of(kind.truth, kind.scanned)
    true = _built(spec, cohort)
    drawn = draw(true.parameters, true.design.coords, truth, 1)
    theta = {name: value[0] for name, value in drawn.items()}
    theta |= {name: large(name, theta[name].shape, true.design, effects) for name in kind.effects}
    seen = generate(theta, true.design, data)
    return cohort, {model: _with_values(spec_of(model, kind.scanned), cohort, seen) for model in kind.models}


def published(seeds: np.random.SeedSequence, participants: int) -> xr.Dataset:
    """Draw the shipped synthetic cohort anew and take it through the line, from files to `cohort.nc`.

    Parameters
    ----------
    seeds : numpy.random.SeedSequence
        Source of every random number.
    participants : int
        People of the cohort.

    Returns
    -------
    xarray.Dataset
        Satisfies the schema.
    """
    given = read_params(Layout(_ROOT).params)
    change = {"seed": int(seeds.generate_state(1)[0]), "simulate": Simulate(participants=participants)}
    params = given.model_copy(update=change)
    with TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        own = layout.study_folder(params.study)
        own.mkdir(parents=True)
        shutil.copy(Layout(_ROOT).study_folder(params.study) / "study.yaml", own)
        for stage in ("simulate", "ingest", "score", "extract", "assemble"):
            import_module(f"nssi_bayes.{stage}").run(layout, params)
        return read_dataset(layout.cohort(params.study))


def _built(spec: JointSpec, cohort: xr.Dataset) -> Built:
    return build_design(spec, make_design(cohort, spec))


def _with_values(spec: JointSpec, cohort: xr.Dataset, seen: Design) -> Built:
    design = make_design(cohort, spec)
    at = {label: j for j, label in enumerate(seen.coords[n.INDICATOR])}
    columns = [at[label] for label in design.coords[n.INDICATOR]]
    values = {"response": seen.response[:, columns], "factor": seen.factor}
    values |= {"activation": seen.activation, "connectivity": seen.connectivity} if len(seen.scanned) else {}
    return build_design(spec, replace(design, **values))


def _fitted(built: Built, setting: Setting, seeds: np.random.SeedSequence) -> _Fitted:
    drawn = sample(built, setting.sampler, seeds)
    stacked = np.concatenate([np.moveaxis(v.reshape(*v.shape[:2], -1), -1, 0) for v in drawn.values.values()])
    stacked = stacked[stacked.std(axis=(1, 2)) > CONSTANT]
    health = {
        "max_rhat": float(array_stats.rhat(stacked).max()),
        "min_ess": float(array_stats.ess(stacked).min()),
        "min_tail_ess": float(array_stats.ess(stacked, method="tail", prob=(0.05, 0.95)).min()),
        "divergences": int(drawn.statistics["diverging"].sum()),
        "rerun": drawn.rerun,
        "fine": drawn.fine,
    }
    certified = (
        health["max_rhat"] < LARGEST_RHAT
        and min(health["min_ess"], health["min_tail_ess"]) >= FEWEST_EFFECTIVE
        and not health["divergences"]
    )
    theta = theta_of(label(drawn.values, built.parameters, built.design), built.parameters)
    step = max(1, len(next(iter(theta.values()))) // setting.scores)
    theta = {name: value[::step] for name, value in theta.items()}
    found = sets_of(theta, built.design, np.arange(len(built.design.diagnosis)))
    scores = leave_one_out(found, blocks_of(built.design), chains=setting.sampler.chains)
    over = np.flatnonzero(~(scores.k_hat <= k_hat_limit(setting.scores)))
    return _Fitted(
        replace(built, fine=drawn.fine), bool(certified), health, scores.elpd["total"].copy(), over
    )


def run_one(kind: Kind, label_of: str, index: int, setting: Setting) -> dict[str, Any]:
    """Fit every model to one cohort and say what the rule claims.

    Parameters
    ----------
    kind : Kind
        What is true.
    label_of : str
        Its name.
    index : int
        Number of the cohort.
    setting : Setting
        What it may cost.

    Returns
    -------
    dict
        By pair: difference of elpd, its standard error and whether it is claimed; by model, its
        health and how its people were left out.
    """
    began = time.monotonic()
    for_data, for_folds, *for_fits = seed_sequence(SEED, f"claims {label_of} {index}").spawn(
        2 + 2 * len(kind.models)
    )
    cohort, models = make(kind, for_data)
    fits = {
        model: _fitted(built, setting, seeds)
        for (model, built), seeds in zip(models.items(), for_fits[::2], strict=True)
    }
    by_folds = any(len(f.over) > FAILED_SHARE * kind.participants for f in fits.values())
    folds = stratified(cohort, 10, np.random.default_rng(for_folds))
    for fitted, seeds in zip(fits.values(), for_fits[1::2], strict=True):
        groups = folds if by_folds else [np.array([p]) for p in fitted.over]
        for one in held_out(fitted.built, groups, setting.refits, seeds.spawn(len(groups))) if groups else ():
            fitted.elpd[groups[one.index]] = one.elpd(blocks_of(fitted.built.design))["total"]
    certified = all(f.certified for f in fits.values())
    return {
        "kind": label_of, "index": index, "seed": SEED, "participants": kind.participants,
        "scanned": kind.scanned, "synthetic": True, "certified": certified,
        "method": "10-fold" if by_folds else "PSIS and refits",
        "models": {m: {**f.health, "certified": f.certified, "k_hat_over": len(f.over),
                       "elpd": float(f.elpd.sum())} for m, f in fits.items()},
        "claims": [_claim(pair, fits, right=pair in kind.right, certified=certified) for pair in kind.claims],
        "minutes": (time.monotonic() - began) / 60,
    }  # fmt: skip


def _claim(
    pair: tuple[str, str], fits: dict[str, _Fitted], *, right: bool, certified: bool
) -> dict[str, Any]:
    gap = fits[pair[0]].elpd - fits[pair[1]].elpd
    difference, error = float(gap.sum()), float(np.sqrt(len(gap) * gap.var()))
    claimed = certified and difference > SAME and difference > CLEAR * error
    return {"model": pair[0], "over": pair[1], "true": right, "difference": difference,
            "standard_error": error, "claimed": bool(claimed)}  # fmt: skip


def summarise(cohorts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Count claims by kind and pair.

    Parameters
    ----------
    cohorts : iterable of dict
        From `run_one`.

    Returns
    -------
    dict
        By kind: cohorts, how many were certified, and of each claim the count with its 95 % interval
        (Clopper-Pearson); for `nothing` and `placebo` also cohorts with any claim, or with all.
    """
    kinds: dict[str, Any] = {}
    for one in cohorts:
        kinds.setdefault(one["kind"], []).append(one)
    found = {}
    for kind, members in kinds.items():
        pairs = [(c["model"], c["over"]) for c in members[0]["claims"]]
        claimed = np.array([[c["claimed"] for c in one["claims"]] for one in members])
        found[kind] = {
            "cohorts": len(members),
            "asked_for": KINDS[kind].cohorts,
            "certified": sum(one["certified"] for one in members),
            "by_folds": sum(one["method"] == "10-fold" for one in members),
            "any_claim": _counted(claimed.any(axis=1)),
            "all_claims": _counted(claimed.all(axis=1)),
            "claims": [
                {"model": model, "over": over, "true": (model, over) in KINDS[kind].right,
                 **_counted(claimed[:, j]),
                 "difference": float(np.mean([one["claims"][j]["difference"] for one in members]))}
                for j, (model, over) in enumerate(pairs)
            ],
        }  # fmt: skip
    return {"command": _COMMAND, "seed": SEED, "synthetic": True, "kinds": found,
            "rule": {"difference": SAME, "standard_errors": CLEAR}}  # fmt: skip


def _counted(values: Array) -> dict[str, Any]:
    hits = int(values.sum())
    found = binomtest(hits, len(values)).proportion_ci(method="exact")
    return {"count": hits, "low": float(found.low), "high": float(found.high)}


def main() -> None:
    """Run one shard of one kind, or pool what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--shard", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    parser.add_argument("--cohorts", type=int, help="instead of as many as the kind asks for")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--summarise", action="store_true")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("jax").setLevel(logging.WARNING)
    given.out.mkdir(parents=True, exist_ok=True)
    if given.summarise:
        cohorts = [read_json(path) for path in sorted(given.out.glob("*_[0-9]*.json"))]
        write_json(given.out / "summary.json", summarise(cohorts))
        return
    kinds = given.kind or list(KINDS)
    for index in range(given.shard, given.cohorts or max(KINDS[k].cohorts for k in kinds), given.of):
        for kind in kinds:
            path = given.out / f"{kind}_{index:03d}.json"
            if path.exists() or index >= (given.cohorts or KINDS[kind].cohorts):
                continue
            found = run_one(KINDS[kind], kind, index, Setting())
            write_json(path, {"command": _COMMAND, **found})
            _LOG.info("%s %d: %.1f minutes", kind, index, found["minutes"])


if __name__ == "__main__":
    main()
