"""A short version in plain words: no formula, no jargon, nothing causal, nothing on one person."""

from __future__ import annotations

from typing import Final

from nssi_bayes.report.claims import Claim, judged
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.figures import intervals
from nssi_bayes.report.panels import Row, dot, limits
from nssi_bayes.report.parts import Part, Section, claims, figure, guarded, missing, text
from nssi_bayes.report.render import asked, render_page
from nssi_bayes.report.sections.answer import banner
from nssi_bayes.report.words import outcome_of, pretty

__all__ = ["clinical", "sure"]

_SURE: Final = ((0.99, "almost surely"), (0.95, "very probably"), (0.8, "probably"), (0.0, "perhaps"))


def clinical(e: Evidence) -> str:
    """Return the short version of a question's page.

    Parameters
    ----------
    e : Evidence
        What the page rests on.

    Returns
    -------
    str
        One self-contained page.
    """
    sections = [
        guarded(Section("found", "What was found"), lambda: _found(e)),
        guarded(Section("trust", "How far it can be trusted"), lambda: _trust(e)),
        guarded(Section("not", "What it does not say"), lambda: _not()),
    ]
    lead = (
        f"{(e.flow or {}).get('title', e.params.study)}. A short version in plain words; the report has "
        "the numbers."
    )
    return render_page(asked(e.question), sections, lead=lead, banner=banner(e), synthetic=e.synthetic)


def sure(p: float) -> str:
    """Return in words how probable a direction is.

    Parameters
    ----------
    p : float
        Probability of the more probable direction.

    Returns
    -------
    str
        An adverb.
    """
    return next(word for limit, word in _SURE if max(p, 1 - p) >= limit)


def _found(e: Evidence) -> list[Part]:
    if e.shown is None:
        return [missing("There are no estimates to show.")]
    told = [
        ("Differences between diagnoses", _differences(e, e.shown)),
        ("Trauma and attachment", _together(e.shown)),
        ("The outcome", _with_outcome(e.shown)),
        ("Brain", _brain(e.shown)),
    ]
    parts: list[Part] = [claims(found, title=title) for title, found in told if found]
    rows = [
        r for r in e.shown["levels"] if r["estimand"] == "adjusted" and r["disorder"] not in e.small_disorders
    ]
    if rows:
        low, high = limits(rows)
        parts.append(
            figure(
                "How much each reason for self-injury is endorsed, by diagnosis",
                lambda: [
                    intervals(
                        pretty(f),
                        [dot(r, pretty(r["disorder"])) for r in rows if r["function"] == f],
                        unit="less than average        more than average",
                        limits=(low, high),
                    )
                    for f in dict.fromkeys(r["function"] for r in rows)
                ],
            )
        )
        parts.append(text("A dot is the best estimate, a line where the true value very probably lies."))
    return parts or [text("The model has nothing that differs between people with different diagnoses.")]


def _size(value: float, rope: float) -> str:
    size = abs(value)
    return (
        "a very small"
        if size < rope / 2
        else "a small"
        if size < 2.5 * rope
        else "a moderate"
        if size < 4 * rope
        else "a large"
    )


def _differences(e: Evidence, estimates: Row) -> list[Claim]:
    rope, content, small = estimates["rope"], estimates["interval"], set(e.small_disorders)
    rows = [
        r
        for r in estimates["contrasts"]
        if r["estimand"] == "adjusted" and not {r["disorder"], r["other"]} & small
    ]
    found = []
    for r in sorted(rows, key=lambda r: -abs(r["p_positive"] - 0.5)):
        if judged(r, content=content) not in ("beyond", "direction"):
            continue
        more, less = (r["disorder"], r["other"]) if r["mean"] > 0 else (r["other"], r["disorder"])
        found.append(
            Claim(
                f"People with {pretty(more)} disorders {sure(r['p_positive'])} report "
                f"{pretty(r['function'])} as a reason "
                f"more than people with {pretty(less)} disorders do: {_size(r['mean'], rope)} difference."
            )
        )
    rest = len(rows) - len(found)
    if rest:
        found.append(Claim(f"For {rest} of {len(rows)} comparisons the data do not settle who reports more."))
    return found


def _together(estimates: Row) -> list[Claim]:
    return [_goes(f"{pretty(r['factor'])}", pretty(r["function"]), r, estimates) for r in estimates["slopes"]]


def _with_outcome(estimates: Row) -> list[Claim]:
    return [_goes(pretty(r["term"]), outcome_of(r), r, estimates) for r in estimates["outcome"]]


def _goes(one: str, other: str, row: Row, estimates: Row) -> Claim:
    verdict = judged(row, content=estimates["interval"])
    if verdict == "none":
        return Claim(f"{one.capitalize()} and {other} are practically unrelated.")
    if verdict == "open":
        return Claim(f"{one.capitalize()} and {other}: these data do not settle it.")
    direction = "more" if row["mean"] > 0 else "less"
    return Claim(
        f"Higher scores of {one} {sure(row['p_positive'])} go with {direction} {other}; "
        f"{_size(row['mean'], estimates['rope'])} association."
    )


def _brain(estimates: Row) -> list[Claim]:
    found = []
    for key, what in (("rois", "brain regions"), ("edges", "connections between regions")):
        rows = estimates[key]
        if rows:
            clear = sum(judged(r, content=estimates["interval"]) in ("beyond", "direction") for r in rows)
            found.append(
                Claim(
                    f"Of {len(rows)} associations between {what} and reasons for self-injury, {clear} have "
                    "a direction; "
                    "for the others there is no evidence, or they are practically none."
                )
            )
    return found


def _trust(e: Evidence) -> list[Part]:
    checks = e.checks.get(e.main or "")
    if checks is None:
        return [missing("The checks of the model are missing: do not use these sentences.")]
    told = [
        "The computation passed its checks."
        if checks["certified"]
        else "The computation did not pass its checks: do not use these sentences."
    ]
    if (e.notes or {}).get("warnings"):
        told.append("The comparison of rival models has doubts; the report lists them.")
    told.append(
        "What a higher score means is what the study's questionnaires say, for instance more insecure "
        "attachment."
    )
    told.append("“Very probably” means a probability over 95 %, “almost surely” over 99 %.")
    return [claims([Claim(t) for t in told])]


def _not() -> list[Part]:
    return [
        claims(
            [
                Claim(
                    "It does not say what brings self-injury about, nor what would happen if something "
                    "changed."
                ),
                Claim("It does not say anything about one person: averages of groups overlap widely."),
                Claim(
                    "It does not estimate risk, and must not be used to diagnose or to choose a treatment."
                ),
            ]
        )
    ]
