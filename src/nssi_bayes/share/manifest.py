"""What went, what stayed and why, and what the export does not protect against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from nssi_bayes.share.posterior import Stripped
from nssi_bayes.spec import Params

__all__ = ["LIMITS", "manifest", "readable"]

LIMITS: Final = (
    (
        "Means and intervals of a small group are near to the data of its people; hiding counts does not "
        "change that."
    ),
    (
        "Who knows a person's data can test, with some success, whether that person was in the cohort "
        "(membership "
        "inference): every estimate rests on everybody."
    ),
    "Two exports that differ by few people can be compared; share one, or the same one again.",
    "There is no noise in the numbers: this is no differential privacy.",
    "Whether a law or a consent allows it is not decided here.",
)


def manifest(
    model: str,
    params: Params,
    stripped: Stripped,
    *,
    small: int,
    notes: Sequence[str],
    checks: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the list of what went and what did not.

    Parameters
    ----------
    model : str
        ``question/name``.
    params : Params
        The run.
    stripped : Stripped
        The posterior that goes.
    small : int
        Disorders of too few people.
    notes : sequence of str
        What was left out of the estimates.
    checks : mapping
        Verdicts of the model.

    Returns
    -------
    dict
        For ``manifest.json``.
    """
    return {
        "model": model,
        "made_with": f"nssi-bayes {version('nssi-bayes')}",
        "synthetic": bool(checks.get("synthetic")),
        "certified": bool(checks.get("certified")),
        "fingerprint": checks.get("fingerprint"),
        "smallest_count_printed": params.min_cell,
        "disorders_left_out": small,
        "went": {
            "draws.nc": stripped.kept,
            "summaries.json, verdicts.json, scores.csv, counts.json": "sums, means and verdicts; small "
            "counts hidden",
            "spec.yaml, card.md, report.html": "the specification as it was read, the model's card, the "
            "report",
        },
        "stayed": {
            **stripped.left_out,
            "pointwise scores, k-hat, latent values of people": "of persons",
            "tables, cohort, images, audit by file and column": "row level, or names of the lab's files",
            "hash of the cohort": "a hash lets others test guesses",
            **{f"estimates, {i}": note for i, note in enumerate(notes, start=1)},
        },
        "not_protected_against": list(LIMITS),
    }


def readable(told: Mapping[str, Any]) -> str:
    """Return a manifest as a page of Markdown."""
    lines = [
        f"# What is shared of {told['model']}",
        "",
        "Research results at the level of the population. Not a clinical device.",
        *(["", "**Synthetic data: the people are invented.**"] if told["synthetic"] else []),
        *([] if told["certified"] else ["", "**Not certified: the numbers are not to be believed.**"]),
        "",
        (
            f"Counts of 1 to {told['smallest_count_printed'] - 1} are hidden, and what would give them "
            "away; 0 is shown. "
            f"Disorders left out because too few people have them: {told['disorders_left_out']}."
        ),
        "",
        "## What went",
        "",
        *(f"- {k}: {', '.join(v) if isinstance(v, list) else v}" for k, v in told["went"].items()),
        "",
        "## What stayed, and why",
        "",
        *(f"- {k}: {v}" for k, v in told["stayed"].items()),
        "",
        "## What this does not protect against",
        "",
        *(f"- {line}" for line in told["not_protected_against"]),
        "",
        "Read it with `arviz`: `import xarray as xr; xr.open_datatree('draws.nc')`.",
    ]
    return "\n".join(lines) + "\n"
