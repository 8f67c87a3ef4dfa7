"""Compare the models of one question by the participant-level scores that `check` wrote.

Only people, values and conditions that are the same in all models are compared; anything else is
refused with the difference named. Nothing stored is rounded.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from nssi_bayes import names as n
from nssi_bayes.compare.held import disagreement, told, with_held_out
from nssi_bayes.compare.placebo import against_placebos
from nssi_bayes.compare.scores import CLEAR, FAILED_SHARE, SAME, Scores, k_hat_limit, read_scores
from nssi_bayes.errors import ArtefactError
from nssi_bayes.report.author import DRAFT
from nssi_bayes.spec import JointSpec, Params, check_question, read_model
from nssi_bayes.store import Layout, read_json, write_json, write_table, write_text

__all__ = ["CLEAR", "COLUMNS", "FAILED_SHARE", "SAME", "k_hat_limit", "run", "stacking_weights"]

COLUMNS: Final = (
    "question", "block", "model", "rank", "elpd", "se", "elpd_diff", "diff_se", "p_loo", "weight",
    "participants", "k_hat_max", "k_hat_over", "k_hat_limit", "certified", "verdict", "method",
)  # fmt: skip

FEW: Final = 100  # people: under it the normal approximation of the standard error is poor
_NOTHING: Final = 1e-9  # elpd: log 1 is a difference of two sums, and right but for their last digits
_GAP: Final = 1e-3  # elpd per person; a bound, the objective is concave


def stacking_weights(elpd: np.ndarray) -> np.ndarray:
    """Return the weights of the mixture of predictive distributions that predicts best.

    They are no probabilities of models: two models that predict alike share a weight in any way.

    Parameters
    ----------
    elpd : numpy.ndarray
        (`participant`, `model`) pointwise log predictive densities.

    Returns
    -------
    numpy.ndarray
        (`model`,) weights, 0 or more, with sum 1.

    Raises
    ------
    ArtefactError
        If the optimiser does not converge.

    References
    ----------
    Yao, Vehtari, Simpson & Gelman (2018), Bayesian Analysis 13(3), 10.1214/17-BA1091.
    """
    models = elpd.shape[1]
    if models == 1:
        return np.ones(1)
    density = np.exp(elpd - elpd.max(axis=1, keepdims=True))  # scaled by person: no underflow

    def loss(weights: np.ndarray) -> float:
        return -float(np.log(density @ weights).mean())

    def slope(weights: np.ndarray) -> np.ndarray:
        return -np.asarray((density / (density @ weights)[:, None]).mean(axis=0))

    found = minimize(
        loss,
        np.full(models, 1 / models),
        jac=slope,
        method="SLSQP",
        bounds=[(1e-12, 1.0)] * models,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    weights = np.where(found.x < 1e-9, 0.0, found.x)
    weights = np.asarray(weights / weights.sum())
    gap = float(-slope(weights).min()) - 1  # what better weights could gain at most, per person
    if gap > _GAP:
        raise ArtefactError(
            f"stacking weights did not converge ({found.message})", cure="look at the models' loo.nc"
        )
    return weights


def _compared_blocks(scores: Sequence[Scores]) -> tuple[list[str], list[str]]:
    """Return the blocks that all models have, and a sentence for each that is left out."""
    every = list(dict.fromkeys(b for s in scores for b in s.blocks))
    common = [b for b in every if all(b in s.blocks for s in scores)]
    lacking: dict[str, list[str]] = {}
    for block in (b for b in every if b not in common):
        without = ", ".join(s.model for s in scores if block not in s.blocks)
        lacking.setdefault(without, []).append(block)
    left_out = [f"not compared, not scored by {m}: {', '.join(blocks)}" for m, blocks in lacking.items()]
    parts = [set(s.blocks) - {"total"} for s in scores]
    if "total" in common and any(p != parts[0] for p in parts):
        common.remove("total")
        left_out.append("the total is not compared: it sums other blocks in other models")
    return common, left_out


def _differences(scores: Sequence[Scores], blocks: Sequence[str]) -> list[str]:
    """Name what differs between the models although it must be equal."""
    first, found = scores[0], []
    people = set(first.data[n.PARTICIPANT].to_numpy().tolist())
    for other in scores[1:]:
        theirs = set(other.data[n.PARTICIPANT].to_numpy().tolist())
        if theirs != people:
            found.append(
                f"{first.model} and {other.model} score other people: {len(people - theirs)} only in "
                f"the first, {len(theirs - people)} only in the second"
            )
        for block in blocks:
            if first.observed.get(block) != other.observed.get(block):
                found.append(f"{first.model} and {other.model} observed different values in block {block!r}")
            if first.conditioned.get(block) != other.conditioned.get(block):
                found.append(
                    f"{first.model} and {other.model} condition block {block!r} on different information"
                    + _only(first, other, block)
                )
    return found


def _only(first: Scores, other: Scores, block: str) -> str:
    """Name what only one of two models is given of a block."""
    given = [set(filter(None, s.conditioned.get(block, "").split(", "))) for s in (first, other)]
    told = [
        f"only {s.model} is given {', '.join(sorted(mine - theirs))}"
        for s, mine, theirs in zip((first, other), given, given[::-1], strict=True)
        if mine - theirs
    ]
    return f": {'; '.join(told)}" if told else ""


def _comparable(scores: Sequence[Scores], question: str) -> tuple[list[str], list[str]]:
    """Return the compared blocks and what is left out, or refuse."""
    blocks, left_out = _compared_blocks(scores)
    problems = _differences(scores, blocks)
    if not blocks:
        problems.append("no block is scored by all models")
    if problems:
        raise ArtefactError(
            problems,
            where=f"question {question}",
            cure="let all models of a question observe the same data, or move one to another question",
        )
    return blocks, left_out


def _rows(question: str, block: str, scores: Sequence[Scores]) -> list[dict[str, Any]]:
    people = scores[0].data[n.PARTICIPANT]
    pointwise = np.column_stack(
        [s.data[n.ELPD].sel({n.PARTICIPANT: people, n.BLOCK: block}).to_numpy() for s in scores]
    )
    answered = (np.abs(pointwise) > _NOTHING).any(axis=1)  # who has data of the block; others' score is log 1
    pointwise, count = pointwise[answered], int(answered.sum())
    over = [s.over(answered) for s in scores]
    elpd = pointwise.sum(axis=0)
    best = int(elpd.argmax())
    gap = pointwise - pointwise[:, [best]]
    weights = stacking_weights(pointwise)
    order = sorted(range(len(scores)), key=lambda i: (-elpd[i], i))
    rows = []
    for rank, i in enumerate(order, start=1):
        score = scores[i]
        row = {
            "question": question, "block": block, "model": score.model, "rank": rank,
            "elpd": float(elpd[i]),
            "se": float(np.sqrt(count * pointwise[:, i].var())),
            "elpd_diff": float(gap[:, i].sum()),
            "diff_se": float(np.sqrt(count * gap[:, i].var())),
            "p_loo": float(score.data[n.P_LOO].sel({n.BLOCK: block})),
            "weight": float(weights[i]), "participants": count,
            "k_hat_max": float(score.k_hat[answered].max(initial=-np.inf)), "k_hat_over": over[i],
            "k_hat_limit": score.limit, "certified": score.certified, "method": score.method,
        }  # fmt: skip
        failed = {s.model: o for s, o in zip(scores, over, strict=True)}
        row["verdict"] = _verdict(row, best=scores[best].model, failed=failed)
        rows.append(row)
    return rows


def _doubts(row: dict[str, Any], failed: dict[str, int]) -> str:
    """Say why a difference is not to be trusted; empty if nothing speaks against it."""
    found = []
    if row["participants"] < FEW:
        found.append(f"under {FEW} people")
    over = [model for model, count in failed.items() if count]  # how many may be too few to be printed
    if over:
        found.append("people over the k-hat limit in " + ", ".join(over))
    return "; ".join(found)


def _verdict(row: dict[str, Any], *, best: str, failed: dict[str, int]) -> str:
    if row["model"] == best:
        return "best on this block"
    unreliable = [model for model, count in failed.items() if count > FAILED_SHARE * row["participants"]]
    if unreliable:
        return (
            f"not trusted: over {FAILED_SHARE:.0%} of people over the k-hat limit in {', '.join(unreliable)}"
        )
    amount, error = -row["elpd_diff"], row["diff_se"]
    if amount < SAME:
        return f"no difference from {best} ({amount:.1f}, under {SAME:.0f})"
    size = f"{amount:.1f} behind {best} (SE {error:.1f})"
    if amount < CLEAR * error:
        return f"{size}: within {CLEAR:.0f} SE, not settled"
    doubts = _doubts(row, {model: failed[model] for model in (best, row["model"])})
    return f"{size}: over {CLEAR:.0f} SE, but not trusted ({doubts})" if doubts else f"{size}: worse"


def _sentence(block: str, rows: Sequence[dict[str, Any]]) -> str:
    """Say in one sentence what the ranking of one block tells."""
    name = "All data together" if block == "total" else block.replace("_", " ").capitalize()
    best = rows[0]["model"]
    if len(rows) == 1:
        return f"{name}: only {best} is scored, there is nothing to compare it with."
    doubted = [r["model"] for r in rows[1:] if "not trusted" in r["verdict"]]
    alike = [r["model"] for r in rows[1:] if r["verdict"].startswith("no difference")]
    open_ = [r["model"] for r in rows[1:] if r["verdict"].endswith("not settled")]
    worse = [r["model"] for r in rows[1:] if r["verdict"].endswith(": worse")]
    parts = []
    if alike:
        parts.append(f"{', '.join(alike)}: no difference (under {SAME:.0f})")
    if open_:
        parts.append(f"{', '.join(open_)}: lower, but within {CLEAR:.0f} standard errors, not settled")
    if doubted:
        parts.append(f"{', '.join(doubted)}: lower, but the comparison cannot be trusted")
    if worse:
        parts.append(f"{', '.join(worse)}: worse, by more than {CLEAR:.0f} standard errors")
    return f"{name}: {best} has the highest score. {'; '.join(parts)}."


def _placebos(layout: Layout, entries: Sequence[str], scores: Sequence[Scores]) -> list[str]:
    """Say how the hypothesised functions do against placebos, on all data together."""
    specs = {entry.split("/")[1]: read_model(layout, entry) for entry in entries}
    scored = {s.model: s for s in scores}

    def worse(model: str, placebo: str) -> bool | None:
        if not {model, placebo} <= set(scored):
            return None
        rows = _rows("", "total", [scored[model], scored[placebo]])
        return rows[0]["model"] == model and rows[1]["verdict"].endswith(": worse")

    return against_placebos({m: s for m, s in specs.items() if isinstance(s, JointSpec)}, worse)


def _warnings(scores: Sequence[Scores]) -> list[str]:
    found = []
    for s in scores:
        if s.unreliable:
            found.append(
                f"{s.model}: {s.failed / len(s.k_hat):.0%} of people are over the k-hat limit "
                f"{s.limit:.2f}; with more than {FAILED_SHARE:.0%} this comparison is not to be trusted"
            )
        if not s.certified:
            found.append(f"{s.model} is not certified: its scores are compared because the run allows it")
    if scores and scores[0].data.sizes[n.PARTICIPANT] < FEW:
        found.append(
            f"{scores[0].data.sizes[n.PARTICIPANT]} people: under {FEW}, standard errors of "
            "differences are too small and no difference is trusted"
        )
    return found


def run(layout: Layout, params: Params, question: str) -> None:
    """Write ``comparison.csv`` and ``comparison.json`` of one question.

    The models are those of the roster, never those found on disk. A model that is not certified
    is left out of the ranking, and named, unless the run allows uncertified posteriors.

    Parameters
    ----------
    layout : Layout
        Where everything lies.
    params : Params
        The run; its roster says which models are compared.
    question : str
        One of the run's questions.

    Raises
    ------
    SpecError
        If the run does not ask `question`.
    ArtefactError
        If scores are missing or broken, or if two models scored other people, observed other
        values or conditioned on other information.
    """
    check_question(params, question, where=str(layout.params))
    entries = params.models_of(question)
    scores = [read_scores(layout, entry) for entry in entries]
    scores, said = with_held_out(layout, params, question, scores)
    blocks, left_out = _comparable(scores, question)
    believed = [s for s in scores if s.certified or params.allow_uncertified]
    refused = [f"{s.model}: not certified, left out of the ranking" for s in scores if s not in believed]
    rows: list[dict[str, Any]] = []
    sentences = []
    for block in blocks if believed else ():
        ranked = _rows(question, block, believed)
        rows += ranked
        sentences.append(_sentence(block, ranked))
    groups = told(layout.left_out(question), comparable="total" in blocks)
    groups["sentences"] += disagreement([r for r in rows if r["block"] == "total"], groups["evidence"])
    training = {e.split("/")[1]: read_json(layout.checks(e)).get("training", {}) for e in entries}
    write_table(layout.comparison(question), pd.DataFrame(rows, columns=list(COLUMNS)))
    write_json(
        layout.comparison_notes(question),
        {
            "question": question, "blocks": blocks, "sentences": sentences,
            "warnings": _warnings(believed) + said + left_out, "training": training, "refused": refused,
            "groups": groups,
            "placebos": _placebos(layout, entries, believed) if "total" in blocks else [],
        },
    )  # fmt: skip
    if not layout.author(question).exists():  # what only the authors can say; `report` depends on the file
        write_text(layout.author(question), DRAFT)
    logging.getLogger(__name__).info(
        "%s: compared %d models on %d blocks", question, len(believed), len(blocks)
    )
