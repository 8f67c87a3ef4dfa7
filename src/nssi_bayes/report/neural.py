"""The sections on regions and edges: pictures, tables, contrasts of disorders and how reliable they are."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from nssi_bayes.report import brain
from nssi_bayes.report.brain_views import connectome, contrast_cuts, cuts
from nssi_bayes.report.cells import Cells
from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.figures import Image
from nssi_bayes.report.panels import Row, Rows, by, dot, panels, span
from nssi_bayes.report.parts import Part, figure, switch, tabulated, text
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import number, pretty, probability

__all__ = ["edges", "measured", "regions"]

_REGION: Final = "sd of activation per sd of the function"
_EDGE: Final = "sd of z per sd of the function"
_LESS: Final = "less the mean of the disorders"


def regions(e: Evidence, estimates: Row) -> list[Part]:
    """Return regional associations: glass brain, cuts, forest plots, table, networks and contrasts."""
    rows = sorted(estimates["rois"], key=lambda r: r["network"])
    top = _top(rows)

    def brains() -> list[Image]:
        drawn = [brain.glass_brain(pretty(f), group, top=top) for f, group in by(rows, "function").items()]
        return [*drawn, brain.legend(top=top, unit=_REGION)]

    def cut() -> list[Image]:
        return [cuts(pretty(f), group, top=top, unit=_REGION) for f, group in by(rows, "function").items()]

    return [
        text(
            "Regions are pooled within networks and over disorders; unreliability of a region's response "
            "is part of the residual, so raw associations are not weakened by it, standardised ones are."
        ),
        figure("On a glass brain", brains, wide=True),
        figure("Through the strongest region", cut, wide=True, folded=True),
        figure("By network", lambda: panels(
            rows, lambda r: dot(r, r["roi"], group=f"{pretty(r['network'])} network"), unit=_REGION)),
        tabulated("All regions", lambda: _neural("regions", rows, "roi", e, estimates), folded=True),
        *_reliable(e, "activation", "region"),
        *_means("Network means", estimates["networks"], "network", _REGION),
        *_contrasted(estimates, rows),
    ]  # fmt: skip


def _contrasted(estimates: Row, rows: Rows) -> list[Part]:
    """Return how each disorder's regional associations differ from the mean of the disorders."""
    if not estimates["rois_by_disorder"]:
        return []
    order = {r["roi"]: i for i, r in enumerate(rows)}
    shown = sorted(estimates["rois_by_disorder"], key=lambda r: order[r["roi"]])
    top = _top(shown)
    unit = f"{_REGION}, {_LESS}"

    def brains(function: str) -> list[Image]:
        groups = by([r for r in shown if r["function"] == function], "disorder")
        drawn = [
            replace(brain.glass_brain(f"{pretty(function)}, {pretty(d)} {_LESS}", group, top=top, small=True),
                    caption=pretty(d))
            for d, group in groups.items()
        ]  # fmt: skip
        return [*drawn, brain.legend(top=top, unit=unit)]

    def cut() -> list[Image]:
        return [
            contrast_cuts(
                pretty(f), {pretty(d): g for d, g in by(group, "disorder").items()}, top=top, unit=unit
            )
            for f, group in by(shown, "function").items()
        ]

    return [
        text(
            f"A disorder {_LESS}: how much stronger or weaker a region's association with a function is in "
            "people with that disorder, at equal other diagnoses. Zero-sum over disorders and pooled towards "
            "zero; colours have a scale of their own.",
            title="Contrasts of disorders",
        ),
        switch(
            f"Each disorder {_LESS}",
            [(pretty(f), [figure("", partial(brains, f))]) for f in by(shown, "function")],
        ),
        figure("Through the region that differs most", cut, wide=True, folded=True),
        tabulated("All contrasts of regions", lambda: _contrast_table(shown), folded=True),
    ]


def _contrast_table(rows: Rows) -> str:
    """Return one row a region and function, one column a disorder."""
    shown: dict[tuple[str, str], dict[str, str]] = {}
    for r in sorted(rows, key=lambda r: r["function"]):
        line = shown.setdefault(
            (r["function"], r["roi"]), {"function": pretty(r["function"]), "region": r["roi"]}
        )
        line[f"{pretty(r['disorder'])}|mean (interval)"] = f"{number(r['mean'])} ({span(r)})"
        line[f"{pretty(r['disorder'])}|P(> 0)"] = probability(r["p_positive"])
    return table("region-contrasts", list(shown.values()), group="function")


def edges(e: Evidence, estimates: Row) -> list[Part]:
    """Return associations of connectivity: connectomes, forest plots, table and pairs of networks."""
    rows = sorted(estimates["edges"], key=lambda r: r["network"])
    top = _top(rows)

    def connectomes() -> list[Image]:
        groups = by(rows, "function").items()
        return [connectome(pretty(f), group, top=top, unit=_EDGE) for f, group in groups]

    return [
        text(
            "Edges are pooled within pairs of networks, over the two regions that they join, and over "
            "disorders. An edge is Fisher's z, with its own standard error, from the effective number of "
            "frames."
        ),
        figure("Connectomes", connectomes, wide=True),
        figure("By pair of networks", lambda: panels(
            rows, lambda r: dot(r, r["edge"], group=pretty(r["network"])), unit=_EDGE)),
        tabulated("All edges", lambda: _neural("edges", rows, "edge", e, estimates), folded=True),
        *_reliable(e, "connectivity", "edge"),
        *_means("Means of pairs of networks", estimates["network_pairs"], "network_pair", _EDGE),
    ]  # fmt: skip


def _top(rows: Rows) -> float:
    """Return the value of the darkest colours."""
    return max((abs(r["mean"]) for r in rows), default=0.0) or 1.0


_KINDS: Final = {"roi": ("region", "activation"), "edge": ("edge", "connectivity")}


def _neural(name: str, rows: Rows, key: str, e: Evidence, estimates: Row) -> str:
    """Return the table of all regions or edges, with reliability where it is known."""
    title, block = _KINDS[key]
    known = _reliability(e, block)
    shown = [
        {
            "function": pretty(r["function"]), title: r[key], "network": pretty(r["network"]),
            "raw|mean": number(r["mean"]), "raw|interval": span(r),
            "standardised|mean (sd)": number(r["standardised"]["mean"]),
            "standardised|ends": span(r["standardised"]), "P(> 0)": probability(r["p_positive"]),
            f"P(|·| > {number(estimates['rope'])})": probability(r["p_over_rope"]),
            **({"reliability": _icc(known["icc"].get(r[key]))} if known else {}),
        }
        for r in rows
    ]  # fmt: skip
    return table(name, shown, group="function", words=("network",))


def _reliability(e: Evidence, block: str) -> Row | None:
    found: Row | None = ((e.flow or {}).get("imaging") or {}).get(block, {}).get("reliability")
    return found


def _icc(row: Row | None) -> str:
    if row is None or row.get("icc") is None:
        return "–"
    return number(row["icc"]) + (f" ({span(row)})" if row.get("low") is not None else "")


def _reliable(e: Evidence, block: str, one: str) -> list[Part]:
    """Return where the reliability comes from, and what it does and does not do."""
    known = _reliability(e, block)
    role = (
        f"It stands beside the effects of each {one} and enters no standard error: a raw association is one "
        "with the response itself, a standardised one shrinks with the square root of the reliability."
    )
    if known is None:
        article = "An" if one[0] in "aeiou" else "A"
        body = (
            f"Reliability is not known: nobody has two runs and study.yaml declares none. {article} {one}'s "
            "standardised association is smaller than that of an error-free measure by a factor nobody knows."
        )
    elif known["declared"]:
        body = f"Reliability is declared, not measured in this cohort: {known['declared']}. {role}"
    else:
        people = Cells(e.params.min_cell).show(int(known["people"]))
        body = (
            f"Reliability is the intraclass correlation ICC(1,1) of one run, from {people} people or more "
            f"with several runs, over all sites; 90 % confidence interval in brackets. {role}"
        )
    return [text(body, title="Reliability")]


def _means(title: str, rows: Rows, key: str, unit: str) -> list[Part]:
    """Return what regions or edges are pooled towards."""
    if not rows:
        return []
    return [figure(title, lambda: panels(
        rows, lambda r: dot(r, pretty(r[key]), note=probability(r["p_positive"])),
        unit=unit, note="P(> 0)"))]  # fmt: skip


_ORDER: Final = (
    "atlas", "template", "spaces", "source", "statistic", "estimator", "kind", "strategy", "motion", "wm_csf",
    "global_signal", "compcor", "n_compcor", "fd_threshold_mm", "std_dvars_threshold", "scrub_frames",
    "high_pass_hz", "low_pass_hz", "t_r_s", "nuisance",
)  # fmt: skip


def _place(setting: str) -> tuple[int, str]:
    """Return where a setting stands: in the order in which images are read, then by name."""
    return (_ORDER.index(setting) if setting in _ORDER else len(_ORDER), setting)


def measured(e: Evidence) -> list[Part]:
    """Return how images were turned into numbers: every setting that decides them."""
    imaging = (e.flow or {}).get("imaging") or {}
    rows = [
        {"of": block, "setting": pretty(key), "value": str(value)}
        for block, told in imaging.items()
        for key, value in sorted(told["settings"].items(), key=lambda kv: _place(kv[0]))
        if key != "cleaning" or "strategy" not in told["settings"]  # the same in one line
    ]
    if not rows:
        return []
    return [tabulated("How images became numbers", lambda: table(
        "imaging", rows, group="of", words=("value",)))]  # fmt: skip
