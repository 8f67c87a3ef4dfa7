"""Scores of people and groups who were left out for real, in place of scores by PSIS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from nssi_bayes import names as n
from nssi_bayes.compare.scores import CLEAR, MIXED, SAME, Scores
from nssi_bayes.errors import ArtefactError
from nssi_bayes.spec import Params
from nssi_bayes.store import Layout, read_dataset, read_json

__all__ = ["told", "with_held_out"]

_MANY: Final = 8
"""Groups from which on a sum over them gets a standard error."""
_STRONG: Final = 3.0
"""Nats by which a marginal likelihood leads clearly: 20 to 1 (Kass & Raftery 1995, 10.2307/2291091)."""
_ERRORS: Final = 2.0
"""Monte Carlo errors past which one marginal likelihood is larger than another."""
_LOOSE: Final = 0.1
"""Monte Carlo error from which on a marginal likelihood is said to be loose, nats."""
_ERROR: Final = 0.5
"""Monte Carlo error from which on a group's score is no number to rely on, nats: where draws hardly meet, the
error that is stated is far too small (docs/comparison.md)."""


def with_held_out(
    layout: Layout, params: Params, question: str, scores: Sequence[Scores]
) -> tuple[list[Scores], list[str]]:
    """Return scores in which those who were left out for real stand as they were found.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        Study and question.
    question : str
        Whose models are compared.
    scores : sequence of Scores
        By PSIS.

    Returns
    -------
    tuple
        Scores, and what is to be said of them.

    Raises
    ------
    ArtefactError
        If the fits that left people out are of other models or people.
    """
    path = layout.held_out(params.study, question)
    held = read_dataset(path) if path.exists() else xr.Dataset(attrs={"scheme": "psis"})
    if held.attrs["scheme"] == "psis":
        return list(scores), []
    fits = json.loads(held.attrs["fits"])
    cure = f"run `dvc repro crossvalidate@{question}` again"
    found, said = [], []

    def refuse(what: str) -> ArtefactError:
        return ArtefactError(what, where=str(path), cure=cure)

    for score in scores:
        if not score.certified and score.model not in fits:
            found.append(score)  # it is not ranked
            continue
        if fits.get(score.model, {}).get("fingerprint") != score.data.attrs.get("fingerprint"):
            raise refuse(f"{score.model}: people were left out of another model")
        if set(held[n.PARTICIPANT].to_numpy()) != set(score.data[n.PARTICIPANT].to_numpy()):
            raise refuse(f"{score.model}: other people were left out")
        found.append(_replaced(score, held))
        said += _of_health(score.model, fits[score.model])
    return found, [*_of_scheme(held, fits), *said]


def _of_health(model: str, health: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with a model's fits without some of the people, not how few they are."""
    failed, worst = bool(health.get("failed", 0)), float(health["max_rhat"])
    if not (failed or health["divergences"] or not worst <= MIXED):
        return []
    rhat = "no number" if np.isnan(worst) else f"{worst:.2f}"
    text = (
        f"{model}: of fits without some of the people the largest R-hat is {rhat}, "
        f"and there are {health['divergences']} divergences"
    )
    why = (
        f"; people of those that failed (an R-hat over {MIXED:g}, or no number) count as over the k-hat limit"
    )
    return [text + why if failed else text]


def _of_scheme(held: xr.Dataset, fits: Mapping[str, Any]) -> list[str]:
    """Say how people were left out."""
    if held.attrs["scheme"].endswith("-fold"):
        why = f", because of {held.attrs['because']}" if held.attrs["because"] else ""
        return [f"scored by {held.attrs['scheme']} cross-validation, all models alike{why}"]
    ways = {m: _how(f.get("moved", 0), f["fits"], failed=bool(f.get("failed", 0))) for m, f in fits.items()}
    again = "; ".join(f"{m} by {how}" for m, how in ways.items() if how)
    return [f"people over the k-hat limit were scored again: {again}"] if again else []


def _how(moved: int, refitted: int, *, failed: bool = False) -> str:
    """Say how people were scored again, not how few they are."""
    ways = {"moment matching": moved, "refits of which some failed" if failed else "refits": refitted}
    return " and ".join(way for way, count in ways.items() if count)


def _replaced(score: Scores, held: xr.Dataset) -> Scores:
    people = score.data[n.PARTICIPANT]
    new = held[n.ELPD].sel({n.MODEL: score.model, n.PARTICIPANT: people, n.BLOCK: score.blocks})
    values, old = new.transpose(n.PARTICIPANT, n.BLOCK).to_numpy(), score.data[n.ELPD].to_numpy()
    known = np.isfinite(values)
    kept = np.where(known, values, old)
    data = score.data.copy()
    data[n.ELPD] = (score.data[n.ELPD].dims, kept)
    data[n.P_LOO] = (score.data[n.P_LOO].dims, score.data[n.P_LOO].to_numpy() + (old - kept).sum(axis=0))
    done = known.any(axis=1)
    # of those who were left out for real; draws that were moved have a k-hat, and failed fits an infinite one
    own = np.where(done, 0.0, np.nan)
    if n.K_HAT in held:
        own = held[n.K_HAT].sel({n.MODEL: score.model, n.PARTICIPANT: people}).to_numpy()
    data[n.K_HAT] = (score.data[n.K_HAT].dims, np.where(np.isnan(own), score.k_hat, own))
    method = str(held.attrs["scheme"])
    if not method.endswith("-fold"):
        moved = json.loads(held.attrs["fits"])[score.model].get("moved", 0)
        how = _how(moved, int(done.sum()) - moved)
        method = f"PSIS, {how}" if how else "PSIS"
    return replace(score, data=data, method=method)


def told(path: Path, *, comparable: bool) -> dict[str, Any]:
    """Return how well whole groups are foreseen, in numbers and sentences.

    Parameters
    ----------
    path : pathlib.Path
        ``left_out.json``.
    comparable : bool
        Whether the models observe the same blocks, so that their scores may be compared.

    Returns
    -------
    dict
        ``rows``, ``evidence`` and ``sentences``.
    """
    found = read_json(path) if path.exists() else {"groups": [], "skipped": []}
    rows = [_finite(r) for r in found["groups"]]
    evidence = [_finite(r) for r in found.get("evidence", [])]
    said = [f"{s['kind']} {s['label']} was not left out: {s['reason']}." for s in found["skipped"]]
    said += _of_evidence(evidence) if comparable else []
    if not rows:
        return {"rows": [], "sentences": said, "evidence": evidence}
    if not comparable:
        said.append("Models score other blocks: what they foresee of a group is not compared.")
        return {"rows": rows, "sentences": said, "evidence": evidence}
    # a file of a former version does not say it
    overlapping = found.get("overlapping", ["disorder"])
    kinds = list(dict.fromkeys(r["kind"] for r in rows))
    for kind in kinds:
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            if row["kind"] == kind:
                groups.setdefault(row["label"], []).append(row)
        said += [_of_group(kind, label, members) for label, members in groups.items()]
        said.append(_of_all(kind, list(groups.values()), overlapping=kind in overlapping))
    return {"rows": rows, "sentences": said, "evidence": evidence}


def _of_group(kind: str, label: str, rows: Sequence[Mapping[str, Any]]) -> str:
    ranked = sorted(rows, key=lambda r: -r["log_predictive"])
    best = ranked[0]
    gaps = [best["log_predictive"] - r["log_predictive"] for r in ranked[1:]]
    behind = [f"{r['model']} {gap:.1f} behind" for r, gap in zip(ranked[1:], gaps, strict=True)]
    said = (
        _foremost(best["model"], behind, clear=gaps[0] > SAME)
        if behind
        else f"{best['model']} alone, {best['log_predictive']:.1f}"
    )
    text = f"Without {kind} {label} ({best['participants']} people): {said}"
    worst = max(r["mcse"] for r in rows)
    if not worst < _ERROR:
        return f"{text}; not to be relied on, the Monte Carlo error is {worst:.1f}."
    failed = [r["model"] for r in rows if not r["max_rhat"] <= MIXED]
    if failed:
        return f"{text}; not to be relied on, chains without them have not mixed in {', '.join(failed)}."
    return f"{text} (Monte Carlo error up to {worst:.2f})."


def _foremost(best: str, behind: Sequence[str], *, clear: bool) -> str:
    """Say which model foresees people best; none does where the next one is behind by what may be nothing."""
    how = "foresees them best" if clear else "is foremost, not clearly"
    return f"{best} {how}; {', '.join(behind)}"


def _of_evidence(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say which model has the highest marginal likelihood, and whether the scale of priors decides that."""
    said, best = [], []
    for scale in dict.fromkeys(r["prior_scale"] for r in rows):
        ranked = sorted((r for r in rows if r["prior_scale"] == scale), key=lambda r: -r["log_marginal"])
        first = ranked[0]
        behind = [
            f"{r['model']} {first['log_marginal'] - r['log_marginal']:.1f} behind "
            f"(Monte Carlo error {np.hypot(r['mcse'], first['mcse']):.2f})"
            for r in ranked[1:]
        ]
        said.append(
            f"Log marginal likelihood, prior scales x {scale:g}: "
            + (
                f"{first['model']} has the highest; {', '.join(behind)}."
                if behind
                else f"{first['model']} alone."
            )
            + _unsound(ranked)
        )
        best.append({r["model"]: r for r in ranked})
    if any(_clear(a, over=next(iter(b))) and _clear(b, over=next(iter(a))) for a, b in combinations(best, 2)):
        said.append("Which model has the highest marginal likelihood depends on the scale of the priors.")
    return said


def disagreement(rows: Sequence[Mapping[str, Any]], evidence: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say where people who are left out and marginal likelihoods clearly speak for different models.

    Parameters
    ----------
    rows : sequence of mapping
        Of all data together, as in ``comparison.csv``, the best first.
    evidence : sequence of mapping
        As from `told`.

    Returns
    -------
    list of str
        One sentence, or none: if the model of the highest marginal likelihood under the priors as they are
        is worse in elpd by more than `CLEAR` standard errors, trusted, and the best in elpd is behind in
        marginal likelihood by more than `_STRONG` nats and its Monte Carlo error allows for.
    """
    given = {r["model"]: r for r in evidence if r["prior_scale"] == 1}
    if not rows or rows[0]["model"] not in given:
        return []
    first = max(given.values(), key=lambda r: r["log_marginal"])
    best, other = given[rows[0]["model"]], next((r for r in rows if r["model"] == first["model"]), None)
    lead, error = first["log_marginal"] - best["log_marginal"], np.hypot(first["mcse"], best["mcse"])
    sound = lead > max(_STRONG, _ERRORS * error) and not _unsound([first, best])
    if other is None or not other["verdict"].endswith(": worse") or not sound:
        return []
    said = (
        f"LOO and marginal likelihoods disagree: {best['model']} foresees people who are left out better "
        f"than {first['model']} (by {-other['elpd_diff']:.1f}, SE {other['diff_se']:.1f}), whose marginal "
        f"likelihood is the higher (by {lead:.1f}, Monte Carlo error {error:.2f}): LOO asks how well people "
        "are foreseen from the others, a marginal likelihood how well all are from the priors alone."
    )
    return [said]


def _unsound(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say whose marginal likelihood rests on chains that failed, and whose error is large."""
    failed = [r["model"] for r in rows if not r["max_rhat"] <= MIXED or r["divergences"]]
    wide = [r["model"] for r in rows if not r["mcse"] < _LOOSE]
    said = (
        f" Not to be relied on: chains of {', '.join(failed)} have not mixed or diverged." if failed else ""
    )
    return said + (f" The error of {', '.join(wide)} is over {_LOOSE:g}." if wide else "")


def _clear(ranked: Mapping[str, Mapping[str, Any]], *, over: str) -> bool:
    """Whether the first of these leads by more than its Monte Carlo error allows for."""
    first, other = next(iter(ranked.values())), ranked[over]
    lead = first["log_marginal"] - other["log_marginal"]
    return bool(lead > _ERRORS * np.hypot(first["mcse"], other["mcse"]))


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row in which what JSON cannot hold, an infinite error or score, stands again."""
    lost = {"mcse": np.inf, "log_predictive": -np.inf, "log_marginal": -np.inf, "max_rhat": np.nan}
    return {k: lost.get(k, v) if v is None else v for k, v in row.items()}


def _of_all(kind: str, groups: Sequence[Sequence[Mapping[str, Any]]], *, overlapping: bool) -> str:
    if len(groups) < _MANY:
        return f"{len(groups)} groups by {kind}: under {_MANY}, no standard error and no ranking over them."
    if overlapping:
        return (
            f"{len(groups)} groups by {kind}: people stand in several of them, which are not independent: no "
            "standard error and no ranking over them."
        )
    models = [r["model"] for r in groups[0]]
    if len(models) == 1:
        return f"{len(groups)} groups by {kind}: {models[0]} alone, there is nothing to compare it with."
    table = np.array([[{r["model"]: r for r in g}[m]["log_predictive"] for m in models] for g in groups])
    best = int(table.sum(axis=0).argmax())
    gaps = table - table[:, [best]]
    behind, errors = -gaps.sum(axis=0), np.sqrt(len(groups) * gaps.var(axis=0, ddof=1))
    others = [i for i in np.argsort(behind) if i != best]
    parts = [f"{models[i]} {behind[i]:.1f} behind (SE {errors[i]:.1f})" for i in others]
    clear = all(behind[i] > max(SAME, CLEAR * errors[i]) for i in others)
    doubted = any(not (r["mcse"] < _ERROR and r["max_rhat"] <= MIXED) for g in groups for r in g)
    end = "; not to be relied on, as some of them are not" if doubted else ""
    return f"Over {len(groups)} groups by {kind}: {_foremost(models[best], parts, clear=clear)}{end}."
