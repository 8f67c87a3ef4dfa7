"""The contrasts of disorders as a square table that reads without colour as with it."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from nssi_bayes.report.claims import LABELS, judged
from nssi_bayes.report.panels import Row
from nssi_bayes.report.words import number, pretty, probability

__all__ = ["matrix"]


def matrix(name: str, rows: Sequence[Row], *, content: float, rope: float) -> str:
    """Return the contrasts of one function, the disorder of the row less that of the column.

    Parameters
    ----------
    name : str
        The function.
    rows : sequence of mapping
        Each pair of disorders once, with ``disorder``, ``other`` and a summary.
    content : float
        Content of the intervals.
    rope : float
        Half width of the region of practical equivalence.

    Returns
    -------
    str
        An HTML table; verdicts stand in words and in a colour.

    Raises
    ------
    ValueError
        If there is no contrast.
    """
    if not rows:
        raise ValueError("no contrast to print")
    labels = list(dict.fromkeys(d for r in rows for d in (r["disorder"], r["other"])))
    cells = {(r["disorder"], r["other"]): r for r in rows}
    cells |= {(r["other"], r["disorder"]): _turned(r) for r in rows}
    ident = "matrix-" + re.sub(r"[^a-z0-9]+", "-", name.lower())
    head = "".join(f'<th scope="col">{_text(d)}</th>' for d in labels)
    body = "".join(
        f'<tr><th scope="row">{_text(a)}</th>'
        + "".join(_cell(cells.get((a, b)), content=content) for b in labels)
        + "</tr>"
        for a in labels
    )
    told = (
        f"{_text(name).capitalize()}: mean, {content:.0%} interval, P(direction) and "
        f"P(|Δ| &gt; {number(rope)}); the sign is that of the row less the column."
    )
    return (
        f'<p id="{ident}-says">{told}</p><table class="matrix" id="{ident}" aria-describedby="{ident}-says">'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _turned(row: Row) -> Row:
    """Return a contrast the other way round."""
    return {
        **row,
        "mean": -row["mean"],
        "low": -row["high"],
        "high": -row["low"],
        "p_positive": 1 - row["p_positive"],
    }


def _cell(row: Row | None, *, content: float) -> str:
    if row is None:
        return '<td class="self">–</td>'
    sure = max(row["p_positive"], 1 - row["p_positive"])
    sign = "up" if row["mean"] > 0 else "down"
    verdict = judged(row, content=content)
    return (
        f'<td class="{verdict} {sign}"><b>{number(row["mean"])}</b><br>{number(row["low"])} to '
        f"{number(row['high'])}<br>{html.escape(probability(sure))}, "
        f"{html.escape(probability(row['p_over_rope']))}"
        f"<br><i>{LABELS[verdict]}</i></td>"
    )


def _text(name: str) -> str:
    return html.escape(pretty(name))
