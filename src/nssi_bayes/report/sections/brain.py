"""Section 3: regions and edges."""

from __future__ import annotations

from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.neural import edges, regions
from nssi_bayes.report.parts import Part, missing, text
from nssi_bayes.report.words import split_name

__all__ = ["brain"]


def brain(e: Evidence) -> list[Part]:
    """Return regional activation and connectivity; what the model does not have is said."""
    estimates = e.shown
    if estimates is None:
        return [missing("There are no estimates to show.")]
    parts: list[Part] = []
    for title, keys, build in (
        ("Regional activation", ("rois", "networks"), regions),
        ("Connectivity", ("edges", "network_pairs"), edges),
    ):
        if any(estimates.get(key) for key in keys):
            first, *rest = build(e, estimates)
            parts += [text(first.body, title=title), *rest]
        else:
            parts.append(text(f"{split_name(str(e.main))} has no {title.lower()}."))
    return parts
