"""How much varies by disorder: prior, posterior, and a world in which nothing does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from nssi_bayes import names as n
from nssi_bayes.report.draws import draws, values
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.figures import Dot, Image, intervals
from nssi_bayes.report.homogeneous import Homogeneous, homogeneous_world
from nssi_bayes.report.panels import Row, Rows, by, dot, span
from nssi_bayes.report.parts import Part, figure, tabulated, text
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import number, pretty, probability

__all__ = ["heterogeneity"]

_SD: Final = "sd of the function"
# term, effects and their scale; what has many effects a scale is not approximated well enough
_SCALES: Final = (("levels", "A", "tau_mean", ()), ("slopes", "B_disorder", "tau_slope", (n.FACTOR,)))
_TRUSTED: Final = 0.1  # share of tau by which the approximation may miss the posterior mean
_OUTCOME: Final = "slope of the outcome per sd of the function"
_NEURAL: Final = {
    "loadings": "sd of activation per sd of the function",
    "edge loadings": "sd of z per sd of the function",
}


def heterogeneity(e: Evidence, estimates: Row) -> list[Part]:
    """Return how much varies by disorder: before and after the data, and beside a homogeneous world."""
    rows = estimates["heterogeneity"]

    def side_by_side(title: str, group: Rows, label: Callable[[Row], str], unit: str) -> Image:
        dots = [
            dot(r[state]["finite_sd"], label(r), series=state)
            for r in group
            for state in ("posterior", "prior")
        ]
        return intervals(title, dots, unit=unit)

    def of_functions() -> list[Image]:
        return [
            side_by_side(
                f"{pretty(term)}: sd over disorders",
                group,
                _what,
                _OUTCOME if term == "outcome slopes" else f"{_SD} ({term})",
            )
            for term, group in by(rows, "term").items()
            if term not in _NEURAL
        ]

    def of_images(term: str) -> list[Image]:
        group = [r for r in rows if r["term"] == term]
        return [
            side_by_side(
                pretty(function), own, lambda r: pretty(r["detail"]), f"sd over disorders, {_NEURAL[term]}"
            )
            for function, own in by(group, "function").items()
        ]

    return [
        text(
            "The finite-population sd describes these disorders, τ a population of disorders. With few "
            "disorders the prior leads τ: read it with its contraction, 1 less the ratio of its variance "
            "after the data to that before (0: as wide as before; near 1: much narrower, wherever it lies)."
        ),
        figure("Heterogeneity between disorders, before and after the data", of_functions),
        *(
            figure(
                f"Heterogeneity of {term}, before and after the data", partial(of_images, term), folded=True
            )
            for term in _NEURAL
            if any(r["term"] == term for r in rows)
        ),
        *_beside_nothing(e, estimates),
        tabulated(
            "Heterogeneity: mean (interval)", lambda: _heterogeneity_table(rows, estimates), folded=True
        ),
    ]


def _heterogeneity_table(rows: Rows, estimates: Row) -> str:
    rope = number(estimates["rope"])
    shown = [
        {
            "term": pretty(r["term"]),
            "of": _what(r),
            **{
                f"{head}|{state}": f"{number(r[state][key]['mean'])} ({span(r[state][key])})"
                for key, head in (
                    ("finite_sd", "sd over disorders"),
                    ("largest", "largest contrast"),
                    ("tau", "scale τ"),
                )
                for state in ("posterior", "prior")
            },
            "contraction of τ": number(r["contraction"]),
            f"P(largest > {rope})": probability(r["p_over_rope"]),
        }
        for r in rows
    ]
    return table("heterogeneity", shown, group="term")


def _what(row: Row) -> str:
    return pretty(row["function"]) + (f", {pretty(row['detail'])}" if row["detail"] else "")


def _beside_nothing(e: Evidence, estimates: Row) -> list[Part]:
    """Return tau beside what it would be in a homogeneous world."""
    found: list[tuple[str, str, Row, Homogeneous]] = []

    def compute() -> list[tuple[str, str, Row, Homogeneous]]:
        if not found:
            found.extend(_worlds(e, estimates))
        return found

    return [
        text(
            "How large would τ look if disorders did not differ at all? The same information on each effect, "
            "with true effects of zero, gives the open squares, with the range over such worlds. "
            "A τ whose mean is inside that range is what a homogeneous world gives as well.",
            title="Beside a homogeneous world",
        ),
        figure("", lambda: [_drawn(compute(), estimates)]),
        tabulated("τ beside a homogeneous world", lambda: _world_table(compute(), estimates)),
    ]


def _worlds(e: Evidence, estimates: Row) -> Iterator[tuple[str, str, Row, Homogeneous]]:
    """Yield term, function, posterior of tau and homogeneous world of each scale that can be told."""
    mark = e.checks.get(str(e.main), {}).get("fingerprint")
    read = draws(e.posteriors[str(e.main)], [name for _, *both, _ in _SCALES for name in both], mark=mark)
    priors = e.priors[str(e.main)]
    for term, effect, scale, more in _SCALES:
        if effect not in read:
            continue
        functions = [str(f) for f in read[effect][n.FUNCTION].to_numpy()]
        for function in functions:
            row = next(
                r for r in estimates["heterogeneity"] if (r["term"], r["function"]) == (term, function)
            )
            at = {n.FUNCTION: function}
            world = homogeneous_world(
                values(read[effect].sel(at), n.DISORDER, *more),
                values(read[scale].sel(at)),
                prior_sigma=float(priors[scale].sigma or 0),
                content=estimates["interval"],
                seed=e.params.seed,
            )
            yield term, function, row["posterior"]["tau"], world


def _good(tau: Row, world: Homogeneous) -> bool:
    return abs(world.error) <= _TRUSTED * tau["mean"]


def _drawn(found: list[tuple[str, str, Row, Homogeneous]], estimates: Row) -> Image:
    dots = []
    for term, function, tau, world in found:
        label = f"{pretty(function)}, {term}"
        dots.append(dot(tau, label, series="τ: posterior"))
        if _good(tau, world):
            series = "posterior mean of τ in a homogeneous world"
            dots.append(Dot(label, world.mean, world.low, world.high, series=series))
    return intervals("scale τ", dots, unit="sd over disorders")


def _world_table(found: list[tuple[str, str, Row, Homogeneous]], estimates: Row) -> str:
    shown = [
        {
            "term": term,
            "function": pretty(function),
            "τ here|mean": number(tau["mean"]),
            "τ here|interval": span(tau),
            **_told(tau, world),
        }
        for term, function, tau, world in found
    ]
    return table("homogeneous", shown, group="term", words=("in words",))


def _told(tau: Row, world: Homogeneous) -> dict[str, str]:
    if not _good(tau, world):
        why = f"not told: the approximation misses τ by {number(abs(world.error))}"
        return {
            "homogeneous world|mean of τ": "–",
            "homogeneous world|interval": "–",
            "worlds with τ as large": "–",
            "in words": why,
        }
    inside = world.low <= world.observed <= world.high
    words = (
        "as in a homogeneous world"
        if inside
        else (
            "larger than in a homogeneous world"
            if world.observed > world.high
            else "smaller than in a homogeneous world"
        )
    )
    return {
        "homogeneous world|mean of τ": number(world.mean),
        "homogeneous world|interval": f"{number(world.low)} to {number(world.high)}",
        "worlds with τ as large": probability(world.p_larger),
        "in words": words,
    }
