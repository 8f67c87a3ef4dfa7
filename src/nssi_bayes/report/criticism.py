"""Parts of a report on what was done to attack a model: predictive checks, sensitivity, calibration.

Every function takes one artefact of one model and returns parts; what has not been run is said.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nssi_bayes.report.figures import COLOURS, STYLE, Image, embed
from nssi_bayes.report.parts import Part, figure, lines, tabulated, text
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import number

__all__ = ["calibrated", "predicted", "prior_expects", "sensitive"]

_WORDS: Final = {True: "as the model draws", False: "not as the model draws", None: "no verdict"}
_SHOWN: Final = 20
_ABREAST: Final = 6
_LEVEL: Final = 0.05

type Artefact = Mapping[str, Any]


def predicted(name: str, found: Artefact) -> list[Part]:
    """Return the predictive checks of one model.

    Parameters
    ----------
    name : str
        The model, in words; unique on the page.
    found : mapping
        ``predictive_checks.json``.

    Returns
    -------
    list of Part
        The rule, the verdicts and, folded, the elements that lie farthest off.
    """
    checks = found["checks"]
    if not checks:
        return [text(f"{name}: predictive checks are made of joint models only.")]
    verdicts = [
        {"check": c["name"].replace("_", " "), "verdict": _WORDS[c["passed"]], "p": number(c["p"]),
         "p adjusted": "" if c["p_adjusted"] is None else number(c["p_adjusted"]),
         "elements": _elements(c), "compares": c["about"]}
        for c in checks
    ]  # fmt: skip
    farthest = [
        {"element": w["element"], "check": c["name"].replace("_", " "),
         "observed": number(w["observed"]), "model": number(w["expected"]),
         "90 %": f"{number(w['low'])} to {number(w['high'])}", "z": number(w["z"])}
        for c in checks for w in c["worst"][:2]
    ]  # fmt: skip
    words = ("verdict", "compares")
    parts = [
        text(found["rule"]),
        tabulated(f"Predictive checks of {name}", lambda: table(f"checks {name}", verdicts, words=words)),
    ]
    if farthest:  # a page that leaves the lab has none
        parts.append(
            tabulated(
                f"Farthest from what {name} draws",
                lambda: table(f"farthest {name}", farthest, words=("check",)),
                folded=True,
            )
        )
    parts += _left_out(name, found)
    rootograms = found.get("rootograms", [])
    if rootograms:
        make = lambda: [_hanging(name, rootograms)]  # noqa: E731
        parts.append(figure(f"Rootograms, {name}", make, folded=True, wide=True))
    return parts


def _elements(one: dict[str, Any]) -> str:
    """Return how many elements a check has, and of how many of them nothing is told."""
    hidden = one["elements"] - one.get("told", one["elements"])
    return f"{one['elements']} ({hidden} of few people, not listed)" if hidden else str(one["elements"])


def _left_out(name: str, found: Artefact) -> list[Part]:
    """Return the curves of LOO-PIT, and which of them are not judged."""
    parts = [
        text(
            "LOO-PIT is not judged, for over 5 % of people are over the k-hat limit, of "
            + ", ".join(one["unreliable"]).replace("_", " ")
            + "."
        )
        for one in found["checks"]
        if one.get("unreliable")
    ]
    curves = [c for c in found.get("loo_pit", []) if c["place"]]
    if curves:
        make = lambda: [_places(name, curves)]  # noqa: E731
        parts.append(figure(f"LOO-PIT: ECDF less uniform, {name}", make, folded=True, wide=True))
    return parts


def _places(name: str, curves: Sequence[Artefact]) -> Image:
    """Draw where people lie in what is said of them when they are left out: ECDF less the diagonal."""

    def curve(axes: Axes, one: Artefact) -> None:
        axes.fill_between(one["place"], one["low"], one["high"], color="#d5d9df", lw=0)
        colour = COLOURS[0] if one["reliable"] else "#8a919c"
        axes.plot(one["place"], one["difference"], color=colour, lw=1, marker=".", ms=2)
        axes.set_title(one["column"].replace("_", " "), fontsize=6)
        axes.set_xlim(0, 1)

    labels = "place in what is predicted of a person who is left out", "share of people below, less place"
    drawn = _small_multiples(curves, curve, labels=labels, sharex=True)
    worst = min(curves, key=lambda one: one["p"])
    alt = (
        f"LOO-PIT of {len(curves)} columns of {name}: ECDF less the diagonal, with the simultaneous 95 % "
        "band of independent places; points between which few people lie are left out. Farthest from "
        f"uniform is {worst['column']} (p {number(worst['p'])}, before any adjustment). A curve under zero "
        "on the left and over it on the right has too few people in the tails; grey ones are not judged."
    )
    return Image(drawn, alt)


def _hanging(name: str, rows: Sequence[Artefact]) -> Image:
    """Draw roots of observed less roots of expected counts, by category (Kleiber & Zeileis 2016)."""

    def bars(axes: Axes, row: Artefact) -> None:
        height = np.array(row["root_difference"], dtype=float)  # None: too few people
        axes.bar(np.arange(len(height)), np.nan_to_num(height), color=COLOURS[0], width=0.8)
        axes.axhspan(-1, 1, color="#d5d9df", lw=0, zorder=0)
        axes.set_title(row["indicator"].replace("_", " "), fontsize=6)
        ends = [0, len(height) - 1]
        axes.set_xticks(ends, [row["answers"][e] for e in ends])

    labels = "answer, or count", "root of observed less root of expected count"
    drawn = _small_multiples(rows, bars, labels=labels)
    worst = max(rows, key=_largest)
    alt = (
        f"Of {len(rows)} indicators or counts of {name}, by answer: the root of how many people gave it less "
        f"the root of how many the model expects. The root of a count has an sd of about 1/2; the band "
        f"is 1 to either side of 0. Farthest is {worst['indicator']} ({number(_largest(worst))})."
    )
    return Image(drawn, alt)


def _small_multiples(
    rows: Sequence[Artefact],
    draw: Callable[[Axes, Artefact], None],
    *,
    labels: tuple[str, str],
    sharex: bool = False,
) -> str:
    """Return a panel a row, `_ABREAST` beside each other; `labels` are those of all x and of all y."""
    down = -(-len(rows) // _ABREAST)
    with mpl.rc_context(STYLE):
        canvas = Figure(figsize=(1.25 * _ABREAST, 1.05 * down + 0.4), layout="constrained")
        grid = canvas.subplots(down, _ABREAST, sharex=sharex, sharey=True, squeeze=False).ravel()
        for axes, row in zip(grid, rows, strict=False):
            axes.tick_params(labelsize=5, length=2)
            draw(axes, row)
        for axes in grid[len(rows) :]:
            axes.remove()
        canvas.supxlabel(labels[0], fontsize=7)
        canvas.supylabel(labels[1], fontsize=7)
        return _svg(canvas)


def _svg(canvas: Figure) -> str:
    content = io.BytesIO()
    canvas.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return embed(content.getvalue(), "svg+xml")


def _largest(row: Artefact) -> float:
    return max((abs(v) for v in row["root_difference"] if v is not None), default=0.0)


def prior_expects(name: str, found: Artefact) -> list[Part]:
    """Return what cohorts the priors of one model expect, from ``prior_predictive.json``."""
    rows = [
        {"statistic": r["about"], "median": number(r["median"]),
         "90 %": f"{number(r['low'])} to {number(r['high'])}", "implausible": r["text"]}
        for r in found["statistics"]
    ]  # fmt: skip
    make = lambda: table(f"prior {name}", rows, words=("implausible",))  # noqa: E731
    parts = [tabulated(f"What the priors of {name} expect", make)]
    shares = [
        {"indicator": h["indicator"], "who": h["disorder"] or "everybody", "responses": "; ".join(
            f"{c}: {number(middle)} ({number(low)} to {number(high)})"
            for c, (low, middle, high) in enumerate(zip(h["low"], h["median"], h["high"], strict=True))
        )}
        for h in found.get("histograms", [])
    ]  # fmt: skip
    if shares:
        responses = lambda: table(f"prior responses {name}", shares, words=("responses",), group="indicator")  # noqa: E731
        title = f"Share of each response that the priors of {name} expect (90 %), by indicator and disorder"
        parts.append(tabulated(title, responses, folded=True))
    return parts


def sensitive(name: str, found: Artefact) -> list[Part]:
    """Return how far the conclusions of one model depend on priors, blocks and assumptions.

    Parameters
    ----------
    name : str
        The model, in words; unique on the page.
    found : mapping
        ``sensitivity.json``.

    Returns
    -------
    list of Part
        How many conclusions change, and what the most sensitive depend on.
    """
    scaling = found["power_scaling"]
    parts = [
        text(
            f"Of {len(scaling)} conclusions of {name}, {found['sensitive_to_a_prior']} move with the "
            f"weight of a prior ({found['threshold']:g} or more, and more than by chance); "
            f"for {found['led_by_a_prior']} of these the data say little."
        )
    ]
    refits = [
        {"change": r["variant"], "conclusions that change": _changed(r),
         "to the other sign": "" if r["changed"] is None else str(r["reversed"]),
         "largest shift, sd": "" if r["changed"] is None else number(r["largest_shift"]),
         "remark": _remark(r)}
        for r in found["refits"]
    ]  # fmt: skip
    if refits:
        parts.append(
            text(
                f"Two runs of the same posterior would state about {found['change_by_chance']:.1f} of them "
                "differently, by Monte Carlo error alone: as many changes, and fewer, say nothing."
            )
        )
        make = lambda: table(f"refits {name}", refits, words=("remark",))  # noqa: E731
        parts.append(tabulated(f"How many conclusions of {name} change", make))
    else:
        parts.append(text("No refit under other assumptions was asked for."))
    rows = [
        {"conclusion": r["conclusion"], "prior": number(r["prior"]), "data": number(r["likelihood"]),
         "strongest prior": r["strongest_prior"],
         "strongest block": _strongest(r["blocks"]),
         "reads": r["diagnosis"]}
        for r in scaling[:_SHOWN]
    ]  # fmt: skip
    words = ("strongest prior", "strongest block", "reads")
    scaled = lambda: table(f"scaling {name}", rows, words=words)  # noqa: E731
    parts.append(tabulated(f"Most sensitive conclusions of {name}", scaled, folded=True))
    contraction = [
        {"parameter": r["parameter"], "elements": str(r["elements"]), "smallest": number(r["smallest"]),
         "median": number(r["median"]), "largest": number(r["largest"])}
        for r in found["contraction"]
    ]  # fmt: skip
    contracted = lambda: table(f"contraction {name}", contraction)  # noqa: E731
    parts.append(tabulated(f"Contraction from prior to posterior, {name}", contracted, folded=True))
    return parts


def _strongest(blocks: Mapping[str, float]) -> str:
    return max(blocks, key=lambda block: blocks[block])


def _remark(refit: Artefact) -> str:
    """Return what else there is to say of a refit: why there is none, or what it found."""
    told = str(refit["text"]).split(": ", 1)[1]
    if refit["changed"] is None:
        return told
    return "; ".join(told.split("; ")[1:])


def _changed(refit: Artefact) -> str:
    return "not done" if refit["changed"] is None else f"{refit['changed']} of {refit['conclusions']}"


def calibrated(name: str, found: Artefact) -> list[Part]:
    """Return what simulation-based calibration of one model found.

    Parameters
    ----------
    name : str
        The model, in words; unique on the page.
    found : mapping
        ``calibration.json``.

    Returns
    -------
    list of Part
        Verdict and failures, ECDF of ranks with their band, recovery.
    """
    failures = found["failures"]
    said = [
        f"{name}: {found['text']}.",
        f"fits that broke: {failures['broken']}, diverged: {failures['diverged']}, did not mix: "
        + str(failures["not_mixed"]),
        found["rule"],
    ]
    if failures.get("which"):
        said.insert(2, f"these are the replications {', '.join(map(str, failures['which']))}")
    if not found["ecdf"]:
        return [lines(said)]
    recovery = [
        {"parameter": r["parameter"], "elements": str(r["elements"]), "bias": number(r["bias"]),
         "RMSE": number(r["rmse"]), "sd of the truth": number(r["sd_of_truth"]),
         "coverage": f"{number(r['coverage'])} ({number(r['low'])} to {number(r['high'])})"}
        for r in found["recovery"]
    ]  # fmt: skip
    return [
        lines(said),
        figure(f"Ranks of the truth, {name}: ECDF less uniform", lambda: [_ecdf(name, found)]),
        *_reliable(name, found.get("reliability", [])),
        tabulated(
            f"Recovery and coverage of {found['interval']:.0%} intervals, {name}",
            lambda: table(f"recovery {name}", recovery),
            folded=True,
        ),
    ]


def _reliable(name: str, rows: Sequence[Artefact]) -> list[Part]:
    """Return how often statements of a probability are true."""
    if not rows:
        return []
    shown = [
        {"statement": r["says"], "stated": f"{number(r['from'], 1)} to {number(r['to'], 1)}",
         "mean stated": number(r["stated"]), "true": number(r["true"]),
         "95 %": "too few" if r["low"] is None else f"{number(r['low'])} to {number(r['high'])}",
         "statements": str(r["statements"]), "replications": str(r["replications"])}
        for r in rows
    ]  # fmt: skip
    off = sum(r["p"] is not None and r["p"] < _LEVEL for r in rows)
    judged = sum(r["p"] is not None for r in rows)
    said = (
        f"Stated probabilities: in {off} of {judged} bins the share of true statements differs from what was "
        "stated (.05 after Holm, errors over replications)."
    )
    return [
        text(said),
        figure(f"Reliability of stated probabilities, {name}", lambda: [_diagram(rows, said)]),
        tabulated(
            f"Stated and true, {name}",
            lambda: table(f"reliability {name}", shown, group="statement"),
            folded=True,
        ),
    ]


def _diagram(rows: Sequence[Artefact], said: str) -> Image:
    with mpl.rc_context(STYLE):
        canvas = Figure(figsize=(3.2, 3.0), layout="constrained")
        axes = canvas.add_subplot()
        axes.plot([0, 1], [0, 1], color="#8a919c", lw=0.8)
        for colour, says in zip(COLOURS, dict.fromkeys(r["says"] for r in rows), strict=False):
            own = [r for r in rows if r["says"] == says and r["low"] is not None]
            at, share = [r["stated"] for r in own], [r["true"] for r in own]
            ends = [[r["true"] - r["low"] for r in own], [r["high"] - r["true"] for r in own]]
            axes.errorbar(at, share, yerr=ends, fmt="o", color=colour, ms=3.5, lw=1, label=says)
        axes.set(
            xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="stated probability", ylabel="share that is true"
        )
        axes.legend(fontsize=6, frameon=False, loc="upper left")
        drawn = _svg(canvas)
    return Image(drawn, f"Reliability diagram with 95 % intervals. {said}")


def _ecdf(name: str, found: Artefact) -> Image:
    shown = found["ecdf"][: len(COLOURS)]
    with mpl.rc_context(STYLE):
        canvas = Figure(figsize=(4.3, 2.8), layout="constrained")
        axes = canvas.add_subplot()
        first = shown[0]
        axes.fill_between(first["share"], first["low"], first["high"], color="#d5d9df", lw=0)
        for colour, one in zip(COLOURS, shown, strict=False):
            axes.plot(one["share"], one["difference"], color=colour, lw=1, label=one["quantity"])
        axes.set_xlabel("rank of the truth, share")
        axes.set_ylabel("ECDF less uniform")
        axes.legend(fontsize=6, frameon=False)
        quantities = ", ".join(one["quantity"] for one in shown)
        alt = (
            f"ECDF of ranks less the diagonal, with the simultaneous band, of {quantities}; {found['text']}."
        )
        drawn = _svg(canvas)
    return Image(drawn, alt)
