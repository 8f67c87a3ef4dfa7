"""Section 1: the answer in words, and what a reader must know before it."""

from __future__ import annotations

from typing import Any

from nssi_bayes.report.claims import LABELS, Claim
from nssi_bayes.report.claims import answer as answered
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.parts import Part, claims, missing, text
from nssi_bayes.report.words import number, pretty, split_name

__all__ = ["answer", "banner"]


def banner(e: Evidence) -> list[str]:
    """Return what a reader must know before anything else, the first line for what is worst."""
    found = []
    for entry in e.uncertified:
        checks = e.checks.get(entry)
        if checks is None:
            found.append(f"{split_name(entry)}: its checks are missing; do not read its numbers.")
            continue
        failed = [pretty(c["name"]) for c in checks["checks"] if c["passed"] is False]
        found.append(
            f"{split_name(entry)} is not certified: failed {', '.join(failed) or 'the gate'}. "
            "Its numbers are not to be believed."
        )
    if e.synthetic:
        found.append(
            "Synthetic data. The people of this cohort are invented; no number on this page says anything "
            "about real people."
        )
    if e.small_disorders:
        named = ", ".join(pretty(d) for d in e.small_disorders)
        found.append(
            f"Fewer than {e.params.min_cell} people have, or do not have: {named}. What is said of so few "
            "rests mostly on what was assumed before, and is near to saying it of persons."
        )
    if e.unverified:
        named = "; ".join(said.split(":")[0] for said in e.unverified)
        found.append(
            f"Scoring key not verified against a published source: {named}. Section 8 of the report says "
            "what is open."
        )
    if e.missing:
        found.append(f"{len(e.missing)} artefacts are missing; they are listed under Provenance.")
    return found


def answer(e: Evidence) -> list[Part]:
    """Return the answer in words: what was found, how sure it is, and whose numbers these are."""
    parts: list[Part] = []
    if e.main is None:
        parts.append(text("No joint model is in this question's roster; there are no estimates to show."))
    elif e.shown is None:
        parts.append(missing(f"The estimates of {split_name(e.main)} are missing."))
    else:
        parts.append(text(_whose(e)))
    if e.main in e.uncertified:
        parts.append(missing(f"A posterior to believe: {split_name(str(e.main))} is not certified."))
    if e.notes is None:
        parts.append(missing("The comparison of the models is missing."))
    told = answered(_compared(e.notes or {}), e.shown)
    counted = summary([claim for _, found in told for claim in found])
    if counted:
        parts.insert(0, text(counted))
    return [*parts, *(claims(found, title=topic) for topic, found in told)]


def _compared(notes: dict[str, Any]) -> list[str]:
    """Return what is said of all data together, or else of each block, and of placebos."""
    sentences = list(notes.get("sentences", []))
    if notes.get("blocks", ["total"])[:1] == ["total"]:
        sentences = sentences[:1]
    return [*sentences, *notes.get("placebos", [])]


def summary(told: list[Claim]) -> str:
    """Return how many of the sentences say what; empty where none judges anything."""
    counts = {v: sum(c.verdict == v for c in told) for v in LABELS}
    if not any(counts.values()):
        return ""
    parts = [f"{count} {LABELS[verdict]}" for verdict, count in counts.items() if count]
    return f"Of {sum(counts.values())} judged sentences below: {', '.join(parts)}."


def _whose(e: Evidence) -> str:
    main = str(e.main)
    description = str(e.checks.get(main, {}).get("description", "")).rstrip(".")
    shown = e.shown or {}
    content, rope = float(shown["interval"]), float(shown["rope"])
    return (
        f"Estimates are those of {split_name(main)}, the last joint model of the roster"
        f"{f' ({description})' if description else ''}. They describe associations in this cohort, not "
        "effects "
        f"of one thing on another. A direction is one when the {content:.0%} equal-tailed interval leaves "
        "0 out; "
        f"±{number(rope)} is the region of practical equivalence (ROPE); “sd” is the residual standard "
        "deviation of a function, or the sd of a measure."
    )
