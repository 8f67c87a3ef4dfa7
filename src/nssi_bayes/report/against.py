"""What changed between two revisions: parameters, conclusions, predictive scores, figures side by side."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from nssi_bayes.errors import ArtefactError, NssiBayesError, SpecError
from nssi_bayes.report.claims import LABELS, judged
from nssi_bayes.report.evidence import Evidence, gather
from nssi_bayes.report.figures import Image, intervals
from nssi_bayes.report.panels import Row, by, dot, limits
from nssi_bayes.report.parts import Part, Section, figure, guarded, lines, tabulated, text
from nssi_bayes.report.render import asked, render_page
from nssi_bayes.report.sections.answer import banner
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import number, pretty, split_name
from nssi_bayes.spec import read_params
from nssi_bayes.store import Layout

__all__ = ["changed", "conclusions", "revision"]

# part of estimates.json: what names one of its rows
_KEYS: Final = {
    "contrasts": ("estimand", "function", "disorder", "other"),
    "levels": ("estimand", "function", "disorder"),
    "slopes": ("function", "factor"),
    "slopes_by_disorder": ("function", "factor", "disorder"),
    "outcome_by_disorder": ("function", "disorder", "part"),
    "heterogeneity": ("term", "function", "detail"),
    "correlations": ("function", "other"),
    "networks": ("network", "function"),
    "network_pairs": ("network_pair", "function"),
    "rois_by_disorder": ("roi", "function", "disorder"),
    "skewness": ("function",),
    "rois": ("roi", "function"),
    "edges": ("edge", "function"),
    "outcome": ("term", "part"),
    "pathways": ("pathway", "way"),
    "pathways_by_disorder": ("pathway", "disorder"),
    "groups": ("what", "group", "function", "other"),
    "spread": ("disorder", "function"),
    "item_bias": ("indicator", "disorder"),
}
_JUDGED: Final = (
    "contrasts", "heterogeneity", "slopes", "slopes_by_disorder", "correlations", "outcome",
    "outcome_by_disorder", "networks", "network_pairs", "rois", "edges", "skewness", "groups", "spread",
    "item_bias",
    "pathways", "pathways_by_disorder",
)  # fmt: skip
_LIKELY: Final = 0.5  # probability of more than negligible bias, from which on a page states it
_MOVED: Final = 0.005  # what is printed with two digits has not moved below it


def changed(layout: Layout, now: Evidence, rev: str) -> str:
    """Return the page of what changed in one question since a revision.

    Parameters
    ----------
    layout : Layout
        Of the checkout.
    now : Evidence
        Of the checkout.
    rev : str
        A revision of Git.

    Returns
    -------
    str
        One self-contained page.

    Raises
    ------
    SpecError
        If there is no such revision.
    ArtefactError
        If it has no results of this question.
    """
    with tempfile.TemporaryDirectory() as folder:
        commit = revision(layout, rev, Path(folder))
        before = Layout(Path(folder))
        then = gather(before, read_params(before.params), now.question)
        if not then.estimates and not then.checks:
            raise ArtefactError(
                f"revision {commit} has no results of question {now.question}",
                where="Git",
                cure=(
                    "commit estimates.json, checks.json and reports/ after a run; dvc.yaml keeps them in Git"
                ),
            )
    sections = [
        guarded(Section("parameters", "Parameters and specifications"), lambda: _parameters(now, then)),
        guarded(Section("conclusions", "Conclusions"), lambda: _conclusions(now, then)),
        guarded(Section("scores", "Predictive scores"), lambda: _scores(now, then)),
        guarded(Section("estimates", "Estimates"), lambda: _estimates(now, then)),
        guarded(Section("figures", "Figures side by side"), lambda: _figures(now, then, commit)),
    ]
    lead = (
        f"Question “{now.question}”: this checkout against revision {commit}. Only what is in Git is "
        "compared."
    )
    return render_page(
        f"{asked(now.question)} What changed",
        sections,
        lead=lead,
        banner=banner(now),
        synthetic=now.synthetic,
    )


def revision(layout: Layout, rev: str, folder: Path) -> str:
    """Put the committed results of a revision into a folder.

    Parameters
    ----------
    layout : Layout
        Of the checkout.
    rev : str
        A revision of Git.
    folder : pathlib.Path
        Where to put them.

    Returns
    -------
    str
        The short name of the commit.

    Raises
    ------
    SpecError
        If there is no such revision.
    """
    if rev.startswith("-"):
        raise SpecError(
            "a revision does not begin with a dash", where="--against", cure="name a commit, branch or tag"
        )
    code, named = _git(layout, "rev-parse", "--short=10", "--verify", "--quiet", f"{rev}^{{commit}}")
    if code:
        raise SpecError(
            f"Git has no revision {rev!r}", where="--against", cure="`git log --oneline` lists them"
        )
    commit = named.decode().strip()
    prefix = _git(layout, "rev-parse", "--show-prefix")[1].decode().strip()
    code, content = _git(layout, "archive", "--format=tar", f"{commit}:{prefix}" if prefix else commit)
    if code:
        raise ArtefactError(f"revision {commit} cannot be read", where="Git", cure="fetch it in full")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        kept = [
            m
            for m in archive.getmembers()
            if m.name.split("/")[0] in ("params.yaml", "models", "reports", "data")
        ]
        archive.extractall(folder, members=kept, filter="data")
    return commit


def _git(layout: Layout, *arguments: str) -> tuple[int, bytes]:
    done = subprocess.run(  # noqa: S603
        ["git", "-C", str(layout.root), *arguments],  # noqa: S607
        capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def _parameters(now: Evidence, then: Evidence) -> list[Part]:
    left, right = (e.params.model_dump(mode="json", exclude={"source"}) for e in (then, now))
    rows = [
        {"what": key, "then": str(left.get(key)), "now": str(right.get(key))}
        for key in right
        if left.get(key) != right.get(key)
    ]
    for entry in dict.fromkeys([*then.entries, *now.entries]):
        pair = [(e.checks.get(entry) or {}).get("fingerprint", "not there")[:12] for e in (then, now)]
        if pair[0] != pair[1]:
            rows.append({"what": f"fingerprint of {split_name(entry)}", "then": pair[0], "now": pair[1]})
        specs = [e.specs.get(entry, "not there") for e in (then, now)]
        if specs[0] != specs[1]:
            rows.append({"what": f"specification of {split_name(entry)}", "then": specs[0], "now": specs[1]})
    if not rows:
        return [text("Nothing changed: the same parameters, specifications and fingerprints.")]
    return [tabulated("", lambda: table("changed-parameters", rows, words=("then", "now")))]


def conclusions(now: Row, then: Row) -> list[dict[str, str]]:
    """Return every judged association whose verdict or direction changed.

    Parameters
    ----------
    now, then : mapping
        ``estimates.json`` of two revisions.

    Returns
    -------
    list of dict
        With what, then and now, in words.
    """
    found = []
    for part in _JUDGED:
        for name, new, old in _pairs(part, now, then):
            words = [_word(row, estimates) for row, estimates in ((old, then), (new, now))]
            if words[0] != words[1]:
                found.append({"what": f"{pretty(part)}: {name}", "then": words[0], "now": words[1]})
    return found


def _word(row: Row | None, estimates: Row) -> str:
    if row is None:
        return "not there"
    verdict = judged(row, content=estimates["interval"])
    if row.get("unsigned"):
        return LABELS[verdict]
    sign = ("positive, " if row["mean"] > 0 else "negative, ") if verdict in ("beyond", "direction") else ""
    return f"{sign}{LABELS[verdict]}"


def _pairs(part: str, now: Row, then: Row) -> list[tuple[str, Row | None, Row | None]]:
    keys = _KEYS[part]
    new, old = (
        {tuple(str(r[k]) for k in keys if r.get(k)): _one(r) for r in side.get(part, []) if not r.get("few")}
        for side in (now, then)
    )
    return [
        (", ".join(map(pretty, key)), new.get(key), old.get(key))
        for key in dict.fromkeys([*new, *old])
        if any(
            row.get("p_moderate", 1.0) > _LIKELY for row in (new.get(key), old.get(key)) if row is not None
        )
    ]


def _one(row: Row) -> Row:
    """Return a row as it is judged: of heterogeneity the largest difference, which has no sign."""
    if "posterior" not in row:
        return row
    over = row["p_over_rope"]
    return {**row["posterior"]["largest"], "p_over_rope": over, "p_positive": over, "unsigned": True}


def _conclusions(now: Evidence, then: Evidence) -> list[Part]:
    if now.shown is None or then.shown is None:
        raise ArtefactError("one of the two has no estimates", cure="run `dvc repro`")
    found = conclusions(now.shown, then.shown)
    parts = [text(f"{len(found)} conclusions changed." if found else "No conclusion changed.")]
    if found:
        parts.append(tabulated("", lambda: table("changed-conclusions", found, words=("then", "now"))))
    sides = [(e.notes or {}).get("sentences", []) for e in (then, now)]
    if sides[0] != sides[1]:
        parts += [lines(sides[0], title="Comparison, then"), lines(sides[1], title="Comparison, now")]
    return parts


def _scores(now: Evidence, then: Evidence) -> list[Part]:
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for side, e in (("then", then), ("now", now)):
        for r in e.table.to_dict("records") if e.table is not None else []:
            rows.setdefault((r["block"], r["model"]), {})[side] = float(r["elpd"])
    if not rows:
        raise ArtefactError("neither has a comparison", cure="run `dvc repro`")
    shown = [
        {
            "block": pretty(block),
            "model": model,
            "elpd then": number(v.get("then"), 1),
            "elpd now": number(v.get("now"), 1),
            "change": number(v["now"] - v["then"], 1) if len(v) == 2 else "–",
        }
        for (block, model), v in rows.items()
    ]
    return [tabulated("", lambda: table("changed-scores", shown, group="block"))]


def _estimates(now: Evidence, then: Evidence) -> list[Part]:
    a, b = now.shown or {}, then.shown or {}
    shown = [
        {
            "part": pretty(part),
            "what": name,
            "then|mean": number(old["mean"]),
            "then|interval": f"{number(old['low'])} to {number(old['high'])}",
            "now|mean": number(new["mean"]),
            "now|interval": f"{number(new['low'])} to {number(new['high'])}",
            "change": number(new["mean"] - old["mean"]),
        }
        for part in _KEYS
        for name, new, old in _pairs(part, a, b)
        if new is not None and old is not None and abs(new["mean"] - old["mean"]) >= _MOVED
    ]
    if not shown:
        return [text(f"No mean moved by {_MOVED} or more.")]
    return [
        tabulated(
            f"{len(shown)} means that moved",
            lambda: table("changed-estimates", shown, group="part"),
            folded=True,
        )
    ]


def _figures(now: Evidence, then: Evidence, commit: str) -> list[Part]:
    plots: tuple[tuple[str, str, Callable[[Any], str], str], ...] = (
        ("levels", "Adjusted levels", lambda r: pretty(r["disorder"]), "sd of the function"),
        ("slopes", "Trauma and attachment", lambda r: pretty(r["factor"]), "sd of the function per sd"),
        ("rois", "Regions", lambda r: str(r["roi"]), "sd of activation per sd"),
    )
    parts = []
    for part, title, label, unit in plots:
        sides = [
            [r for r in (e.shown or {}).get(part, []) if r.get("estimand", "adjusted") == "adjusted"]
            for e in (then, now)
        ]
        if not any(sides):
            continue
        parts.append(figure(title, lambda s=sides, label=label, unit=unit: _both(s, label, unit, commit)))  # type: ignore[misc]
    if not parts:
        raise NssiBayesError("neither has anything to draw", cure="run `dvc repro`")
    return parts


def _both(sides: list[list[Row]], label: Callable[[Any], str], unit: str, commit: str) -> list[Image]:
    """Return one panel a function and revision, all with one axis."""
    ends = limits([row for side in sides for row in side])
    drawn = []
    for function in dict.fromkeys(r["function"] for side in sides for r in side):
        for name, side in zip((commit, "now"), sides, strict=True):
            rows = by(side, "function").get(function)
            if rows:
                title = f"{pretty(function)}, {name}"
                drawn.append(intervals(title, [dot(r, label(r)) for r in rows], unit=unit, limits=ends))
    return drawn
