"""Numbers in words, by rule: sizes, probabilities and findings, in terms of association only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["EVEN", "answer", "finding", "interval", "number", "pretty", "probability", "split_name"]

EVEN: Final = 0.05  # a direction with a probability between this and 1 - this is no finding
PRACTICALLY_NONE: Final = 0.05  # below it, what lies outside the region of equivalence is improbable
_SHOWN: Final = 3  # how many single associations are spelt out in the answer

type Row = Mapping[str, Any]


def pretty(name: str) -> str:
    """Return a name of the data set as words."""
    return name.replace("--", " – ").replace("_", " ")


def split_name(model: str) -> str:
    """Return the model's own name from ``question/model``."""
    return model.split("/")[-1]


def number(value: float | None, digits: int = 2) -> str:
    """Return a number with a real minus sign; an absent one as a dash."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def probability(value: float | None) -> str:
    """Return a probability with two digits that never reads 0 or 1."""
    if value is None:
        return "–"
    if value < 0.01:
        return "<0.01"
    return ">0.99" if value > 0.99 else f"{value:.2f}"


def interval(row: Row, *, content: float) -> str:
    """Return the kind and the ends of an interval."""
    return f"{content:.0%} equal-tailed interval {number(row['low'])} to {number(row['high'])}"


def finding(row: Row, *, rope: float | None = None) -> str:
    """Say what the posterior tells about the direction of one association.

    Parameters
    ----------
    row : mapping
        With ``p_positive`` and, where it is known, ``p_over_rope``, the probability that the
        absolute value is over the region of practical equivalence.
    rope : float, optional
        That region's half width.

    Returns
    -------
    str
        A clause; "no evidence either way" is a finding of its own.
    """
    p, over = row.get("p_positive"), row.get("p_over_rope")
    if p is None:
        return ""
    size = ""
    if rope is not None and over is not None and over < PRACTICALLY_NONE:
        size = f"practically none: within ±{number(rope)} with probability {probability(1 - over)}"
    if p > 1 - EVEN:
        text = f"positive with probability {probability(p)}"
    elif p < EVEN:
        text = f"negative with probability {probability(1 - p)}"
    else:
        return size or f"no evidence either way (positive with probability {probability(p)})"
    return f"{text}; {size}" if size else text


def _effect(row: Row, *, content: float, rope: float | None = None) -> str:
    return f"{number(row['mean'])} ({interval(row, content=content)}): {finding(row, rope=rope)}"


def _correlations(estimates: Row, content: float) -> list[str]:
    return [
        f"{pretty(r['function']).capitalize()} and {pretty(r['other'])} correlate "
        f"{number(r['mean'])} ({interval(r, content=content)}) after predictors."
        for r in estimates["correlations"]
    ]


def _heterogeneity(estimates: Row, content: float) -> list[str]:
    found = []
    for r in estimates["heterogeneity"]:
        if r["term"] != "levels":
            continue
        after, before = r["posterior"]["finite_sd"], r["prior"]["finite_sd"]
        over = r["p_over_rope"]
        found.append(
            f"Levels of {pretty(r['function'])} differ between disorders with a standard deviation of "
            f"{number(after['mean'])} ({interval(after, content=content)}; a priori "
            f"{number(before['low'])} to {number(before['high'])}); the largest contrast is over "
            f"{number(estimates['rope'])} sd with probability {probability(over)}."
        )
    return found


def _contrasts(estimates: Row, content: float) -> list[str]:
    adjusted = [r for r in estimates["contrasts"] if r["estimand"] == "adjusted"]
    found = []
    for function in dict.fromkeys(r["function"] for r in adjusted):
        row = max((r for r in adjusted if r["function"] == function), key=lambda r: abs(r["mean"]))
        found.append(
            f"The largest adjusted contrast in {pretty(function)} is {pretty(row['disorder'])} against "
            f"{pretty(row['other'])}: {_effect(row, content=content, rope=estimates['rope'])}; the largest "
            "of many contrasts is read with the whole list below."
        )
    return found


def _slopes(estimates: Row, content: float) -> list[str]:
    return [
        f"{pretty(r['factor']).capitalize()} and {pretty(r['function'])}: association "
        f"{_effect(r, content=content)}."
        for r in estimates["slopes"]
    ]


def _imaging(rows: Sequence[Row], key: str, what: str, content: float) -> list[str]:
    """Say how many associations have a direction, and the clearest of them."""
    if not rows:
        return []
    clear = [r for r in rows if not EVEN <= r["p_positive"] <= 1 - EVEN]
    clear.sort(key=lambda r: -abs(r["p_positive"] - 0.5))
    first = (
        f"Of {len(rows)} associations between {what} and a function, {len(clear)} have a direction with "
        f"a probability over {1 - EVEN:.2f}; for the other {len(rows) - len(clear)} there is no evidence "
        "either way."
    )
    return [first] + [
        f"{r[key]} and {pretty(r['function'])}: association {_effect(r, content=content)}."
        for r in clear[:_SHOWN]
    ]


def _outcome(estimates: Row, content: float) -> list[str]:
    return [
        f"{pretty(r['term']).capitalize()} and the outcome: association {_effect(r, content=content)}."
        for r in estimates["outcome"]
    ]


def answer(sentences: Sequence[str], estimates: Row | None) -> list[tuple[str, list[str]]]:
    """Return the question's answer in words, by topic.

    Parameters
    ----------
    sentences : sequence of str
        What the comparison says.
    estimates : mapping or None
        ``estimates.json`` of the model that answers; None when it is missing.

    Returns
    -------
    list of (str, list of str)
        Topic and its sentences; a topic without a sentence is left out.
    """
    topics = [("Which model predicts unseen people best", list(sentences))]
    if estimates is not None:
        content = estimates["interval"]
        topics += [
            ("The outcome", _outcome(estimates, content)),
            ("How separate the functions are", _correlations(estimates, content)),
            ("How much disorders differ", _heterogeneity(estimates, content)),
            ("Largest differences", _contrasts(estimates, content)),
            ("Psychosocial factors and the functions", _slopes(estimates, content)),
            ("Regions", _imaging(estimates["rois"], "roi", "a region", content)),
            ("Connectivity", _imaging(estimates["edges"], "edge", "an edge", content)),
        ]
    return [(topic, found) for topic, found in topics if found]
