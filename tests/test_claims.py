"""Section 1: every sentence says what the posterior says, by a computation of its own."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from nssi_bayes.check.summarised import Summary
from nssi_bayes.report import clinical
from nssi_bayes.report.claims import LABELS, Claim, answer, finding, judged
from nssi_bayes.report.sections.answer import _compared

ROPE = 0.2
FUNCTIONS = ("emotion_regulation", "self_punishment", "social_signalling")
DISORDERS = ("mood", "eating", "borderline", "anxiety")
SENTENCE = re.compile(
    r": (?P<mean>\S+)(?: sd| sd per sd)? "
    r"\((?P<content>\d+)% equal-tailed interval (?P<low>\S+) to (?P<high>\S+)\), "
    r"(?P<words>[^(]+) \((?P<sign>positive|negative) with probability (?P<p>\S+), "
    r"beyond ±0\.20 with probability (?P<over>[^)]+)\)\."
)


def _draws(seed: int) -> np.ndarray:
    """Draws of one quantity; every tenth is a case at a boundary."""
    rng = np.random.default_rng(seed)
    count = 400
    kind = seed % 10
    if kind == 0:
        return _with_share(count, positive=380)  # .95 exactly: no direction with a 90 % interval
    if kind == 1:
        return _with_share(count, positive=381)
    if kind == 2:
        return np.full(count, 0.0)  # fixed at zero: neither positive nor negative
    if kind == 3:
        return np.concatenate([np.full(20, 0.3), np.full(380, 0.1)])  # .05 beyond the ROPE exactly
    if kind == 4:
        return np.concatenate([np.full(19, -0.3), np.full(381, 0.1)])
    if kind == 5:
        return np.full(count, ROPE)  # on the edge, which is not beyond it
    return rng.normal(rng.normal(0, 0.3), rng.uniform(0.01, 0.5), count)


def _with_share(count: int, *, positive: int) -> np.ndarray:
    return np.concatenate([np.linspace(0.01, 1, positive), -np.linspace(0.01, 1, count - positive)])


def _estimates(seed: int, content: float) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return ``estimates.json`` as `check` summarises draws, and the draws by what a sentence begins with."""
    summary = Summary(content, ROPE, chains=4)
    made: dict[str, np.ndarray] = {}
    counter = iter(range(1000 * seed, 1000 * seed + 1000))

    def row(key: str) -> dict[str, float]:
        made[key] = _draws(next(counter))
        return summary.signed(made[key], rope=True)

    def pair(f: str, a: str, b: str) -> str:
        return f"{a.capitalize()} minus {b} in {f.replace('_', ' ')}, adjusted"

    found = {
        "rope": ROPE,
        "interval": content,
        "contrasts": [
            {"estimand": "adjusted", "function": f, "disorder": a, "other": b, **row(pair(f, a, b))}
            for f in FUNCTIONS
            for a, b in combinations(DISORDERS, 2)
        ],
        "slopes": [
            {"function": f, "factor": p, **row(f"{p.capitalize()} and {f.replace('_', ' ')}, association")}
            for f in FUNCTIONS
            for p in ("trauma", "attachment")
        ],
        "correlations": [
            {
                "function": a,
                "other": b,
                **row(f"{_said(a).capitalize()} and {_said(b)}, correlation given predictors"),
            }
            for a, b in combinations(FUNCTIONS, 2)
        ],
        "rois": [
            {"roi": f"R{i}", "function": f, **row(f"R{i} and {f.replace('_', ' ')}, association")}
            for i in range(3)
            for f in FUNCTIONS
        ],
        "edges": [
            {"edge": f"E{i}", "function": f, **row(f"E{i} and {f.replace('_', ' ')}, association")}
            for i in range(3)
            for f in FUNCTIONS
        ],
        "outcome": [
            {"term": t, **row(f"{t.capitalize()} and the outcome, association")} for t in ("trauma", "age")
        ],
        "heterogeneity": [],
    }
    return found, made


def _said(name: str) -> str:
    return name.replace("_", " ")


def _number(text: str) -> float:
    return float(text.replace("−", "-"))


def _quantile(values: list[float], p: float) -> float:
    """Linear interpolation between order statistics, written out."""
    ordered = sorted(values)
    at = p * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def _probability_agrees(text: str, share: float) -> bool:
    if text.startswith("<"):
        return share < 0.01
    if text.startswith(">"):
        return share > 0.99
    return abs(float(text) - share) <= 0.5 * 10 ** -len(text.split(".")[1]) + 1e-12


def _verdict(values: list[float], content: float) -> tuple[str, bool, str]:
    """Return verdict, whether there is a direction, and the sign, by counting in whole draws."""
    count = len(values)
    tail = round((1 - content) / 2, 10)
    positive = sum(v > 0 for v in values)
    over = sum(abs(v) > ROPE for v in values)
    limit = round(tail * count, 6)
    directed = positive < limit or count - positive < limit
    sign = "positive" if 2 * positive >= count else "negative"
    if over < limit:
        return "none", directed, sign
    if directed:
        return ("beyond" if count - over < limit else "direction"), True, sign
    return "open", False, sign


WORDS = {
    ("beyond", True): "{} and beyond practical equivalence",
    ("direction", True): "{}, size not settled",
    ("none", True): "{}, but practically none",
    ("none", False): "practically none",
    ("open", False): "direction not settled",
}


def _told(estimates: dict[str, Any]) -> Iterator[Claim]:
    for _, claims in answer([], estimates):
        yield from claims


@pytest.mark.parametrize("seed", range(200))
def test_every_sentence_agrees_with_the_draws(seed: int) -> None:
    content = (0.9, 0.9, 0.95, 0.8)[seed % 4]
    estimates, draws = _estimates(seed, content)
    checked = 0
    for claim in _told(estimates):
        if not claim.verdict:
            continue
        key = next(k for k in draws if claim.text.startswith((f"{k}:", f"{k},")))
        values = [float(v) for v in draws[key]]
        said = SENTENCE.search(claim.text)
        assert said is not None, claim.text
        tail = (1 - content) / 2
        assert abs(_number(said["mean"]) - sum(values) / len(values)) <= 0.005 + 1e-9
        assert abs(_number(said["low"]) - _quantile(values, tail)) <= 0.005 + 1e-9
        assert abs(_number(said["high"]) - _quantile(values, 1 - tail)) <= 0.005 + 1e-9
        assert int(said["content"]) == round(100 * content)
        verdict, directed, sign = _verdict(values, content)
        assert claim.verdict == verdict
        assert said["words"] == WORDS[verdict, directed].format(sign)
        assert said["sign"] == sign
        share = sum(v > 0 for v in values) / len(values)
        assert _probability_agrees(said["p"], share if sign == "positive" else 1 - share)
        assert _probability_agrees(said["over"], sum(abs(v) > ROPE for v in values) / len(values))
        checked += 1
    assert checked >= 14


@pytest.mark.parametrize("seed", range(40))
def test_a_direction_is_one_when_the_interval_leaves_zero_out(seed: int) -> None:
    """What a sentence calls a direction, and the interval beside it, never contradict each other."""
    values = np.random.default_rng(seed).normal(0.3, 0.2, 4000)
    row = Summary(0.9, ROPE, chains=4).signed(values, rope=True)
    directed = judged({**row, "p_over_rope": 0.5}, content=0.9) == "direction"
    assert directed == (row["low"] > 0 or row["high"] < 0)


def test_the_clearest_and_the_counts_of_regions_are_told() -> None:
    estimates, draws = _estimates(7, 0.9)
    first = next(c.text for c in _told(estimates) if c.text.startswith("Of 9 associations between a region"))
    verdicts = [
        _verdict(list(draws[f"R{i} and {f.replace('_', ' ')}, association"]), 0.9)[0]
        for i in range(3)
        for f in FUNCTIONS
    ]
    clear = sum(v in ("beyond", "direction") for v in verdicts)
    assert (
        f"{clear} {'has' if clear == 1 else 'have'} a direction, {verdicts.count('none')} are practically "
        "none" in first
    )
    assert f"{verdicts.count('open')} are not settled" in first


def test_the_largest_difference_is_the_one_that_is_told() -> None:
    estimates, draws = _estimates(3, 0.9)
    for function in FUNCTIONS:
        own = {
            k: abs(v.mean()) for k, v in draws.items() if f" in {function.replace('_', ' ')}, adjusted" in k
        }
        largest = max(own, key=lambda k: own[k])
        assert any(c.text.startswith(f"{largest}, the largest of 6") for c in _told(estimates))


def test_slopes_and_loadings_by_disorder_are_told_with_the_one_that_differs_most() -> None:
    side = {k: {"mean": 0.3, "low": 0.1, "high": 0.5} for k in ("finite_sd", "largest", "tau")}
    rows = [
        {"term": term, "function": "x", "detail": detail, "posterior": side, "prior": side, "p_over_rope": p}
        for term, detail, p in (("slopes", "trauma", 0.97), ("slopes", "stress", 0.5),
                                ("loadings", "limbic", 0.02), ("edge loadings", "limbic--reward", 0.3))
    ]  # fmt: skip
    empty: dict[str, Any] = {
        k: [] for k in ("contrasts", "slopes", "correlations", "rois", "edges", "outcome")
    }
    told = list(_told({"rope": ROPE, "interval": 0.9, "heterogeneity": rows, **empty}))
    assert [c.verdict for c in told] == ["", "beyond", "", "none", "", "open"]
    assert told[0].text.startswith("Of 2 slopes on a factor, 1 differ between disorders by more than ")
    assert told[1].text.startswith("Slopes of x on trauma have a standard deviation over disorders of 0.30")
    assert told[3].text.startswith("Loadings of limbic on x have")
    assert "and 1 are not settled" in told[4].text


@pytest.mark.parametrize(
    ("over", "verdict"), [(0.951, "beyond"), (0.95, "open"), (0.05, "open"), (0.049, "none")]
)
def test_heterogeneity_is_judged_by_the_largest_difference(over: float, verdict: str) -> None:
    side = {k: {"mean": 0.3, "low": 0.1, "high": 0.5} for k in ("finite_sd", "largest", "tau")}
    row = {
        "term": "levels",
        "function": "x",
        "detail": "",
        "posterior": side,
        "prior": side,
        "p_over_rope": over,
    }
    empty: dict[str, Any] = {
        k: [] for k in ("contrasts", "slopes", "correlations", "rois", "edges", "outcome")
    }
    (claim,) = _told({"rope": ROPE, "interval": 0.9, "heterogeneity": [row], **empty})
    assert claim.verdict == verdict
    printed = re.search(r"with probability (0\.\d+):", claim.text)
    assert printed is not None
    assert float(printed[1]) == pytest.approx(over, abs=1e-9)  # digits enough to see the side of the edge


def test_without_a_rope_neither_beyond_nor_none_is_said() -> None:
    for p in np.linspace(0, 1, 101):
        assert judged({"p_positive": p}, content=0.9) in ("direction", "open")
    assert "beyond ±0.20 with probability –" in finding({"p_positive": 0.5}, content=0.9, rope=0.2)


def test_every_verdict_has_a_word() -> None:
    assert set(LABELS) == {"beyond", "direction", "none", "open"}


@pytest.mark.parametrize(
    ("blocks", "told"),
    [
        (["total", "items"], ["All: a."]),
        (["items", "factors"], ["All: a.", "Items: b."]),
        ([], ["All: a.", "Items: b."]),
    ],
)
def test_where_all_data_are_not_compared_every_block_is_told(blocks: list[str], told: list[str]) -> None:
    """The first of several blocks is no answer to which model predicts best."""
    assert _compared({"blocks": blocks, "sentences": ["All: a.", "Items: b."]}) == told


def test_what_is_open_is_not_said_to_be_without_evidence() -> None:
    """19 to 1 for a direction is evidence, though an interval of 90 % holds zero."""
    row = {"mean": 0.17, "low": -0.001, "high": 0.34, "p_positive": 0.949, "p_over_rope": 0.38}
    assert finding(row, content=0.9, rope=ROPE).startswith("direction not settled (positive with")
    said = clinical._goes("trauma", "self punishment", row, {"interval": 0.9, "rope": ROPE}).text
    assert said == "Trauma and self punishment: these data do not settle it."
    assert not any("evidence" in label for label in LABELS.values())
