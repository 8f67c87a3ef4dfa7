"""The answer in words: one sentence a claim, by rule, in terms of association only.

A posterior gives a claim its verdict: *beyond* the region of practical equivalence (ROPE), a *direction*,
*practically none*, or *open*, which reads "not settled": a direction of probability .94 is open under
intervals of 90 %, and there is evidence for it. A direction is one when an equal-tailed interval of the
run's content leaves zero out, so that interval and verdict never contradict each other.

References
----------
Kruschke (2018), Rejecting or accepting parameter values in Bayesian estimation. doi:10.1177/2515245918771304
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from nssi_bayes.report.words import interval, number, outcome_of, pretty, probability

__all__ = ["LABELS", "Claim", "answer", "finding", "judged", "tail"]

type Row = Mapping[str, Any]
type Verdict = Literal["beyond", "direction", "none", "open"]

LABELS: Final[dict[str, str]] = {
    "beyond": "beyond the ROPE", "direction": "a direction", "none": "practically none",
    "open": "not settled",
}  # fmt: skip
_SHOWN: Final = 3  # how many single associations are spelt out in the answer
_ALSO_VARY: Final = {
    "slopes": ("slopes on a factor", "Slopes of {function} on {detail}", "sd per sd"),
    "loadings": ("loadings of a network", "Loadings of {detail} on {function}", "sd per sd"),
    "edge loadings": ("loadings of a pair of networks", "Loadings of {detail} on {function}", "sd per sd"),
    "outcome slopes": ("slopes of the outcome", "Slopes of the outcome on {function}", "per sd"),
}
"""Terms beside levels: what they are, how the one that differs most is called, and its unit."""
_EPSILON: Final = 1e-12  # (1 - .9) / 2 is no exact .05


@dataclass(frozen=True)
class Claim:
    """One sentence of the answer.

    Parameters
    ----------
    text : str
        With size, interval and its kind, probability of direction and of leaving the ROPE.
    verdict : str
        A key of `LABELS`; empty for a sentence that judges nothing.
    """

    text: str
    verdict: Verdict | Literal[""] = ""


def tail(content: float) -> float:
    """Return the probability that an equal-tailed interval leaves at each side."""
    return (1 - content) / 2


def judged(row: Row, *, content: float) -> Verdict:
    """Return the verdict on one association.

    Parameters
    ----------
    row : mapping
        With ``p_positive`` and, where it is known, ``p_over_rope``.
    content : float
        Content of the printed interval.

    Returns
    -------
    str
        A key of `LABELS`. Without ``p_over_rope`` neither ``beyond`` nor ``none`` is said.
    """
    edge, over = tail(content) - _EPSILON, row.get("p_over_rope")
    if over is not None and over < edge:
        return "none"
    directed = row["p_positive"] < edge or row["p_positive"] > 1 - edge
    if directed and over is not None and over > 1 - edge:
        return "beyond"
    return "direction" if directed else "open"


def finding(row: Row, *, content: float, rope: float | None = None) -> str:
    """Say what the posterior tells about the direction and size of one association.

    Parameters
    ----------
    row : mapping
        With ``p_positive`` and, where it is known, ``p_over_rope``.
    content : float
        Content of the printed interval.
    rope : float, optional
        Half width of the region of practical equivalence.

    Returns
    -------
    str
        A clause; that the direction is not settled is a finding of its own.
    """
    p, over = row["p_positive"], row.get("p_over_rope")
    edges = (tail(content), 1 - tail(content))
    sign, sure = ("positive", p) if p >= 0.5 else ("negative", 1 - p)
    told = f"{sign} with probability {probability(sure, edges=edges)}"
    if rope is not None:
        told += f", beyond ±{number(rope)} with probability {probability(over, edges=edges)}"
    verdict = judged(row, content=content)
    return f"{_words(verdict, sign, directed=not edges[0] <= p <= edges[1])} ({told})"


def _words(verdict: Verdict, sign: str, *, directed: bool) -> str:
    if verdict == "none":
        return f"{sign}, but practically none" if directed else "practically none"
    return {
        "beyond": f"{sign} and beyond practical equivalence",
        "direction": f"{sign}, size not settled",
        "open": "direction not settled",
    }[verdict]


def _claim(subject: str, row: Row, estimates: Row, *, unit: str) -> Claim:
    content = estimates["interval"]
    told = finding(row, content=content, rope=estimates["rope"])
    size = f"{number(row['mean'])} {unit}".strip()
    return Claim(
        f"{subject}: {size} ({interval(row, content=content)}), {told}.", judged(row, content=content)
    )


def _correlations(estimates: Row) -> list[Claim]:
    """Functions that are one correlate about 1: the size tells more than the direction."""
    return [
        _claim(f"{pretty(r['function']).capitalize()} and {pretty(r['other'])}, correlation given predictors",
               r, estimates, unit="")
        for r in estimates["correlations"]
    ]  # fmt: skip


def _heterogeneity(estimates: Row) -> list[Claim]:
    rows = estimates["heterogeneity"]
    found = [_differs(r, "Levels of {function}", "sd", estimates) for r in rows if r["term"] == "levels"]
    for term, (what, head, unit) in _ALSO_VARY.items():
        own = [r for r in rows if r["term"] == term]
        if not own:
            continue
        said = [_alike(r, estimates) for r in own]
        limit = f"{number(estimates['rope'])} {unit}"
        summary = (
            f"Of {len(own)} {what}, {said.count('beyond')} differ between disorders by more than {limit}, "
            f"{said.count('none')} are practically alike, and {said.count('open')} are not settled."
        )
        largest = max(own, key=lambda r: r["p_over_rope"])
        found += [Claim(summary), _differs(largest, head, unit, estimates)]
    return found


def _alike(row: Row, estimates: Row) -> Verdict:
    """Judge how much disorders differ by the largest difference between two of them."""
    over, edge = row["p_over_rope"], tail(estimates["interval"]) - _EPSILON
    return "beyond" if over > 1 - edge else "none" if over < edge else "open"


def _differs(row: Row, head: str, unit: str, estimates: Row) -> Claim:
    content = estimates["interval"]
    after, before, verdict = row["posterior"]["finite_sd"], row["prior"]["finite_sd"], _alike(row, estimates)
    words = {
        "beyond": "disorders differ beyond practical equivalence",
        "none": "disorders are practically alike",
        "open": "not settled",
    }[verdict]
    of = head.format(function=pretty(row["function"]), detail=pretty(row["detail"]))
    over = probability(row["p_over_rope"], edges=(tail(content), 1 - tail(content)))
    return Claim(
        f"{of} have a standard deviation over disorders of "
        f"{number(after['mean'])} ({interval(after, content=content)}; a priori "
        f"{number(before['low'])} to {number(before['high'])}); the largest difference exceeds "
        f"{number(estimates['rope'])} {unit} with probability {over}: {words}.",
        verdict,
    )


def _contrasts(estimates: Row) -> list[Claim]:
    rows = [r for r in estimates["contrasts"] if r["estimand"] == "adjusted"]
    found = []
    for function in dict.fromkeys(r["function"] for r in rows):
        row = max((r for r in rows if r["function"] == function), key=lambda r: abs(r["mean"]))
        subject = (
            f"{pretty(row['disorder']).capitalize()} minus {pretty(row['other'])} in {pretty(function)}, "
            f"adjusted, the largest of {sum(r['function'] == function for r in rows)} differences"
        )
        found.append(_claim(subject, row, estimates, unit="sd"))
    return found


def _slopes(estimates: Row) -> list[Claim]:
    return [
        _claim(f"{pretty(r['factor']).capitalize()} and {pretty(r['function'])}, association", r, estimates,
               unit="sd per sd")
        for r in estimates["slopes"]
    ]  # fmt: skip


def _imaging(rows: Sequence[Row], key: str, what: str, estimates: Row) -> list[Claim]:
    """Say how many associations have a direction, and the clearest of them."""
    if not rows:
        return []
    content = estimates["interval"]
    verdicts = [judged(r, content=content) for r in rows]
    clear = [r for r, v in zip(rows, verdicts, strict=True) if v in ("beyond", "direction")]
    counted = {v: verdicts.count(v) for v in ("none", "open")}
    first = (
        f"Of {len(rows)} associations between {what} and a function, {len(clear)} "
        f"{'has' if len(clear) == 1 else 'have'} a direction, "
        f"{counted['none']} are practically none (within ±{number(estimates['rope'])}), and "
        f"{counted['open']} are not settled."
    )
    ordered = sorted(clear, key=lambda r: -abs(r["p_positive"] - 0.5))[:_SHOWN]
    return [Claim(first)] + [
        _claim(f"{r[key]} and {pretty(r['function'])}, association", r, estimates, unit="sd per sd")
        for r in ordered
    ]


def _outcome(estimates: Row) -> list[Claim]:
    return [
        _claim(f"{pretty(r['term']).capitalize()} and the outcome, association", r, estimates, unit="sd")
        if "ratio" not in r
        else _ratio(f"{pretty(r['term']).capitalize()} and {outcome_of(r)}, association", r, estimates)
        for r in estimates["outcome"]
    ]


def _ratio(subject: str, row: Row, estimates: Row) -> Claim:
    """Say how often a yes or how many counts go with a unit more; nothing of what follows from what."""
    content, ratio = estimates["interval"], row["ratio"]
    told = finding(row, content=content, rope=estimates["rope"])
    size = f"{ratio['kind']} {number(ratio['median'])}"
    text = f"{subject}: {size} ({interval(ratio, content=content)}), {told} on the log scale."
    return Claim(text, judged(row, content=content))


def answer(sentences: Sequence[str], estimates: Row | None) -> list[tuple[str, list[Claim]]]:
    """Return the question's answer in words, by topic.

    Parameters
    ----------
    sentences : sequence of str
        What the comparison says.
    estimates : mapping or None
        ``estimates.json`` of the model that answers; None when it is missing.

    Returns
    -------
    list of (str, list of Claim)
        Topic and its sentences; a topic without a sentence is left out.
    """
    topics = [("Which model predicts unseen people best", [Claim(s) for s in sentences])]
    if estimates is not None:
        topics += [
            ("The outcome", _outcome(estimates)),
            ("How much disorders differ", _heterogeneity(estimates)),
            ("Largest differences between disorders", _contrasts(estimates)),
            ("Trauma, attachment and the functions", _slopes(estimates)),
            ("How separate the functions are", _correlations(estimates)),
            ("Regions", _imaging(estimates["rois"], "roi", "a region", estimates)),
            ("Connectivity", _imaging(estimates["edges"], "edge", "an edge", estimates)),
        ]
    return [(topic, found) for topic, found in topics if found]
