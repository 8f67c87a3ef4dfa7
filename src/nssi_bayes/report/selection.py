"""What a cohort cannot tell because of who is in it, and what overlaps in content."""

from __future__ import annotations

from nssi_bayes.report.evidence import Evidence
from nssi_bayes.report.words import pretty

__all__ = ["selection"]


def selection(e: Evidence) -> str:
    """Return the paragraph on selection, and on what study.yaml marks as overlapping.

    Parameters
    ----------
    e : Evidence
        What the page rests on; of one that leaves the lab reasons, which are free text, are left out.

    Returns
    -------
    str
        Sentences.
    """
    said = (
        "Where everybody in a cohort self-injures, nothing here says anything about the risk of self-injury. "
        "Where people were found because they are in treatment, such as inpatients, selection is a collider: "
        "what brings people into treatment may go together among them and not elsewhere."
    )
    marked = {} if e.study is None else e.study.overlaps
    if not marked:
        return said
    reasons = {} if e.shareable else marked
    named = "; ".join(pretty(m) + (f" ({reasons[m]})" if m in reasons else "") for m in marked)
    said += (
        f" Marked as overlapping in content with what is measured: {named}. Part of such an association is "
        "of one thing with itself."
    )
    refits = e.attacks.get(str(e.main), {}).get("sensitivity", {}).get("refits", [])
    done = {str(r["variant"]) for r in refits if r["changed"] is not None}
    again = [pretty(name) for name in marked if f"without {name}" in done]
    left = [pretty(name) for name in marked if f"without {name}" not in done]
    if again:
        said += f" The analysis was repeated without {' and without '.join(again)}."
    if left:
        said += f" It was not repeated without {' or '.join(left)}."
    return said
