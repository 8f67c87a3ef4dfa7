"""People left out for real where PSIS fails: moved draws, refits, folds where it fails often; whole groups.

`compare` takes what stands here in place of scores by PSIS. Every fit's scores are kept on this
machine as soon as they are there, so that a run that was cut off goes on where it was.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.compare import FAILED_SHARE, k_hat_limit
from nssi_bayes.crossvalidate.kept import Kept
from nssi_bayes.spec import JointSpec, Params, RepeatedSpec, check_question, read_model
from nssi_bayes.store import (
    Layout,
    digest,
    read_arrays,
    read_dataset,
    read_json,
    read_tree,
    seed_sequence,
    write_arrays,
    write_dataset,
    write_json,
)

if TYPE_CHECKING:
    from nssi_bayes.blocks.design import Design
    from nssi_bayes.build import Built

__all__ = ["run"]

_LOG: Final = logging.getLogger(__name__)

_SCALES: Final = (0.5, 1.0, 2.0)
_MATCHED_SHARE: Final = 0.2
"""Share of people over the limit up to which draws are moved: for more, ten folds cost less."""

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Model:
    """A model of the question, and its scores by PSIS."""

    entry: str
    spec: Any
    loo: xr.Dataset
    prints: dict[str, Any]

    @property
    def name(self) -> str:
        return self.entry.split("/")[1]

    @property
    def over(self) -> Array:
        """Positions of the people whose k-hat is over the limit, or no number."""
        limit = k_hat_limit(int(self.loo.attrs["draws"]))
        return np.flatnonzero(~(self.loo[n.K_HAT].to_numpy() <= limit))


def run(layout: Layout, params: Params, *, question: str) -> None:
    """Write scores of people who were left out, and of groups that were.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        Seed, roster and what is left out.
    question : str
        One of the run's questions.

    Raises
    ------
    SpecError
        If the run does not ask `question`.
    ArtefactError
        If scores or posteriors are missing.
    """
    check_question(params, question, where=str(layout.params))
    asked = params.cross_validation
    if asked.scheme == "psis" and not asked.leave and not asked.evidence:
        write_dataset(layout.held_out(params.study, question), xr.Dataset(attrs={"scheme": "psis"}))
        write_json(
            layout.left_out(question), {"groups": [], "skipped": [], "overlapping": [], "evidence": []}
        )
        return
    cohort = read_dataset(layout.cohort(params.study))
    models = []
    for entry in params.models_of(question):
        loo = read_dataset(layout.loo(entry))
        if int(loo.attrs["certified"]) or params.allow_uncertified:
            prints = read_json(layout.fingerprint(entry))
            models.append(_Model(entry, read_model(layout, entry), loo, prints))
    work = _Work(layout, params, cohort)
    write_dataset(layout.held_out(params.study, question), _people(work, models, question))
    joint_models = [m for m in models if not _plain(m)]
    evidence = [row for m in joint_models for row in work.evidence(m)] if asked.evidence else []
    write_json(layout.left_out(question), {**_groups(work, joint_models), "evidence": evidence})


def _plain(model: _Model) -> bool:
    return not isinstance(model.spec, JointSpec)


def _people(work: _Work, models: Sequence[_Model], question: str) -> xr.Dataset:
    """Score single people, or folds of all of them, as the scheme and k-hat ask."""
    from nssi_bayes.crossvalidate.folds import stratified

    asked = work.params.cross_validation
    people = work.cohort[n.PARTICIPANT].to_numpy()
    moved = {m.name: _moved(work, m) if asked.scheme == "auto" else {} for m in models}
    over = {m.name: np.setdiff1d(m.over, list(moved[m.name])) for m in models}
    too_many = [name for name, who in over.items() if len(who) > FAILED_SHARE * len(people)]
    by_folds = asked.scheme == "folds" or (asked.scheme == "auto" and bool(too_many))
    scheme = f"{asked.folds}-fold" if by_folds else "refits" if asked.scheme == "auto" else "psis"
    folds = stratified(
        work.cohort, asked.folds, np.random.default_rng(seed_sequence(work.params.seed, f"folds {question}"))
    )
    blocks = list(dict.fromkeys(str(b) for m in models for b in m.loo[n.BLOCK].to_numpy()))
    found = np.full((len(models), len(people), len(blocks)), np.nan)
    k_hat = np.full(found.shape[:2], np.nan)
    notes = {}
    for i, model in enumerate(models):
        groups = (
            folds if by_folds else [np.array([p]) for p in over[model.name]] if scheme == "refits" else []
        )
        held = list(work.held(model, groups))
        for one in held:
            k_hat[i, groups[one.index]] = np.inf if one.failed else 0.0
            for block, values in one.elpd.items():
                found[i, groups[one.index], blocks.index(block)] = values
        kept = {} if by_folds else moved[model.name]
        for person, (elpd, own) in kept.items():
            k_hat[i, person] = own
            found[i, person, [blocks.index(b) for b in elpd]] = list(elpd.values())
        notes[model.name] = {
            "fits": len(held),
            "moved": len(kept),
            "failed": sum(h.failed for h in held),
            "divergences": sum(h.divergences for h in held),
            "max_rhat": float(np.max([h.max_rhat for h in held], initial=1.0)),
            "fingerprint": str(model.loo.attrs["fingerprint"]),
        }
        _LOG.info("%s: %d fits without some of the people (%s)", model.entry, len(held), scheme)
    because = f"more than {FAILED_SHARE:.0%} of people over the k-hat limit in {', '.join(too_many)}"
    return xr.Dataset(
        {
            n.ELPD: ((n.MODEL, n.PARTICIPANT, n.BLOCK), found, {"units": "nats"}),
            n.K_HAT: ((n.MODEL, n.PARTICIPANT), k_hat),
        },
        coords={n.MODEL: [m.name for m in models], n.PARTICIPANT: people, n.BLOCK: blocks},
        attrs={
            "scheme": scheme,
            "because": because if too_many and asked.scheme == "auto" else "",  # else they were asked for
            "fits": json.dumps(notes),
        },
    )


def _moved(work: _Work, model: _Model) -> dict[int, tuple[dict[str, float], float]]:
    """Score people over the limit by moved draws, where these are few: scores and k-hat by position."""
    from nssi_bayes.crossvalidate.matched import can_match

    few = 0 < len(model.over) <= _MATCHED_SHARE * len(work.cohort[n.PARTICIPANT])
    if not few or _plain(model) or not can_match(work.built(model)):
        return {}
    found = dict(work.moved(model))
    _LOG.info("%s: draws were moved for %d of %d people", model.entry, len(found), len(model.over))
    return found


def _groups(work: _Work, models: Sequence[_Model]) -> dict[str, Any]:
    """Score each site or disorder that is left out as a whole, by every joint model."""
    from nssi_bayes.crossvalidate import folds

    makers = {"site": folds.by_site, "disorder": folds.by_disorder}
    found, skipped, overlapping = [], [], []
    designs = [work.built(model).design for model in models]
    for kind in work.params.cross_validation.leave:
        groups = makers[kind](work.cohort)
        for label, out in list(groups.items()):
            reason = work.unfit(designs, out)
            if reason:
                skipped.append({"kind": kind, "label": label, "reason": reason})
                del groups[label]
        labels, people = list(groups), list(groups.values())
        if folds.overlap(people):
            overlapping.append(kind)
        for model in models:
            for label, out, row in zip(labels, people, work.foreseen(model, people), strict=True):
                common = {"kind": kind, "label": label, "model": model.name, "participants": len(out)}
                found.append(common | row)
    order = {m.name: i for i, m in enumerate(models)}
    found.sort(key=lambda row: (row["kind"], row["label"], order[str(row["model"])]))
    return {"groups": found, "skipped": skipped, "overlapping": overlapping}


@dataclass(frozen=True)
class _Work:
    """What all fits share."""

    layout: Layout
    params: Params
    cohort: xr.Dataset
    known: dict[str, Built] = field(default_factory=dict)

    def built(self, model: _Model) -> Built:
        """Return the model of everybody, made once."""
        from nssi_bayes.build import build

        if model.entry not in self.known:
            found = build(model.spec, self.cohort, where=str(self.layout.spec(model.entry)))
            root = read_dataset(self.layout.posterior(model.entry))
            self.known[model.entry] = replace(found, fine=bool(root.attrs.get("fine", 0)))
        return self.known[model.entry]

    def nodes(self, model: _Model) -> dict[str, Any]:
        """Return what the keys of kept fits say of the sampler's nodes: nothing unless these are finer."""
        return {} if _plain(model) or not self.built(model).fine else {"fine": True}

    def unfit(self, designs: Sequence[Design], out: Array) -> str:
        """Say why a group cannot be left out; empty if it can."""
        from nssi_bayes.blocks import joint
        from nssi_bayes.crossvalidate.refit import without

        smallest = max(self.params.min_cell, 1)
        if len(out) < smallest:
            return f"fewer than {smallest} people"
        for design in designs:
            if len(design.diagnosis) - len(out) < smallest:
                return f"fewer than {smallest} people are left"
            lost = set(joint.blocks_of(design)) - set(joint.blocks_of(without(design, out)))
            if lost:
                return f"nobody else has data of {', '.join(sorted(lost))}"
        return ""

    def seen(self, model: _Model, groups: Sequence[Array]) -> list[Array]:
        """Log-likelihood of each group's people at draws that saw everybody [`chain`, `draw`, person]."""
        from nssi_bayes.blocks.labelled import theta_of
        from nssi_bayes.crossvalidate.refit import sets_of

        built = self.built(model)
        posterior = read_tree(self.layout.posterior(model.entry))["posterior"].to_dataset()
        theta, chains = theta_of(posterior, built.parameters), posterior.sizes[n.CHAIN]
        found = sets_of(theta, built.design, np.arange(len(built.design.diagnosis)), last=True)
        (total,) = found.values()
        return [total[:, out].reshape(chains, -1, len(out)) for out in groups]

    def foreseen(self, model: _Model, groups: Sequence[Array]) -> list[dict[str, Any]]:
        """Return how well each group is foreseen, and the health of the fits that this rests on."""
        from nssi_bayes.crossvalidate.steps import foreseen

        def held(out: Sequence[Array], among: Sequence[Array] | None = None) -> list[Kept]:
            return sorted(self.held(model, out, among=among), key=lambda one: one.index)

        # people are added in an order of their own; a group stands in the cohort's
        order = [np.random.default_rng(len(out)).permutation(len(out)) for out in groups]
        return foreseen(groups, order, self.seen(model, groups), held)

    def evidence(self, model: _Model) -> list[dict[str, Any]]:
        """Return the log marginal likelihood under the model's priors, and under half and double scales."""
        from nssi_bayes.build import identity
        from nssi_bayes.fit.bridge import log_marginal
        from nssi_bayes.sensitivity.variants import scaled

        sampler = self.params.sampler.model_copy(update=dict(model.spec.sampler)).resolved()
        rows = []
        for factor in _SCALES:
            key = digest({**identity(model.prints), "marginal": factor, "seed": self.params.seed,
                          "sampler": sampler.model_dump(), **self.nodes(model)})  # fmt: skip
            path = self.layout.held_note(key)
            if not path.exists():
                found = log_marginal(
                    scaled(self.built(model), factor), sampler, seed_sequence(self.params.seed, key)
                )
                write_arrays(path, {"found": np.array(found)})
                _LOG.info("%s: log marginal likelihood, prior scales x %g", model.entry, factor)
            value, error, max_rhat, divergences = read_arrays(path)["found"].tolist()
            rows.append(
                {"model": model.name, "prior_scale": factor, "log_marginal": value, "mcse": error,
                 "max_rhat": max_rhat, "divergences": int(divergences)}
            )  # fmt: skip
        return rows

    def moved(self, model: _Model) -> Iterator[tuple[int, tuple[dict[str, float], float]]]:
        """Yield, of the people over the limit, position, scores and k-hat of who can be believed."""
        from nssi_bayes.crossvalidate.matched import matched

        tree = read_tree(self.layout.posterior(model.entry))
        common = {"fit": str(tree.attrs["fit"]), **self.nodes(model)}
        keys = {int(p): digest({"moved": int(p), **common}) for p in model.over}
        left = [p for p, key in keys.items() if not self.layout.held_note(key).exists()]
        if left:
            of_left = matched(self.built(model), tree["posterior"].to_dataset(), np.array(left))
            for person, one in zip(left, of_left, strict=True):
                health = {"k_hat": one.k_hat, "mcse": one.mcse, "believed": one.believed}
                kept = {f"elpd {k}": v for k, v in one.elpd.items()} | health
                write_arrays(self.layout.held_note(keys[person]), {k: np.array(v) for k, v in kept.items()})
        for person, key in keys.items():
            kept_of = read_arrays(self.layout.held_note(key))
            if bool(kept_of["believed"]):
                elpd = {
                    k.removeprefix("elpd "): float(v) for k, v in kept_of.items() if k.startswith("elpd ")
                }
                yield person, (elpd, float(kept_of["k_hat"]))

    def held(
        self, model: _Model, groups: Sequence[Array], *, among: Sequence[Array] | None = None
    ) -> Iterator[Kept]:
        """Fit without each group and score it; what is known from before is not fitted again.

        With `among`, all of these are scored, whom the fit saw or not.
        """
        from nssi_bayes.build import identity

        sampler = self.params.cross_validation.sampler
        common = {**identity(model.prints), "seed": self.params.seed, "sampler": sampler.model_dump(),
                  **self.nodes(model)}  # fmt: skip
        keys = [digest({**common, "out": out.tolist()}) for out in groups]
        if among is not None:
            keys = [digest({"key": k, "among": who.tolist()}) for k, who in zip(keys, among, strict=True)]
        left = []
        for i, key in enumerate(keys):
            path = self.layout.held_note(key)
            if path.exists():
                yield Kept.read(i, read_arrays(path))
            else:
                left.append(i)
        if not left:
            return
        out, of_left = [groups[i] for i in left], [keys[i] for i in left]
        if _plain(model):
            make = self._plain_held(model, out, of_left)
        else:
            make = self._joint_held(model, out, of_left, None if among is None else [among[i] for i in left])
        for done, one in enumerate(make, start=1):
            write_arrays(self.layout.held_note(keys[left[one.index]]), one.arrays())
            _LOG.info("%s: %d of %d fits", model.entry, done, len(left))
            yield replace(one, index=left[one.index])

    def _joint_held(
        self, model: _Model, groups: Sequence[Array], keys: Sequence[str], among: Sequence[Array] | None
    ) -> Iterator[Kept]:
        from nssi_bayes.blocks import joint
        from nssi_bayes.crossvalidate.refit import held_out

        built = self.built(model)
        blocks = joint.blocks_of(built.design)
        seeds = [seed_sequence(self.params.seed, f"held out {key}") for key in keys]
        sampler = self.params.cross_validation.sampler
        for one in held_out(built, groups, sampler, seeds, scored=among):
            elpd = one.elpd(blocks) if among is None else {}
            single = one.by_person.shape[2] == 1  # there is nothing to be added in steps
            by_person = None if single else one.by_person
            yield Kept(one.index, elpd, one.of_group, by_person, one.divergences, one.max_rhat)

    def _plain_held(self, model: _Model, groups: Sequence[Array], keys: Sequence[str]) -> Iterator[Kept]:
        from nssi_bayes.crossvalidate import conventional, repeated

        repeats = isinstance(model.spec, RepeatedSpec)
        held_out: Any = repeated.held_out if repeats else conventional.held_out
        for i, (out, key) in enumerate(zip(groups, keys, strict=True)):
            seeds = seed_sequence(self.params.seed, f"held out {key}")
            elpd, diverged, worst = held_out(
                model.spec, self.cohort, out, self.params.cross_validation.sampler, seeds=seeds
            )
            (block,) = (str(b) for b in model.loo[n.BLOCK].to_numpy())
            yield Kept(i, {block: elpd}, np.zeros((1, 1)), None, diverged, worst)
