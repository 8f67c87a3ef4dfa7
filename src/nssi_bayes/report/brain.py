"""Regional associations on a glass brain."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from nssi_bayes.report.figures import STYLE, Image, embed
from nssi_bayes.report.glass import DIVERGING, SMALL, WIDTH, colours, on_glass
from nssi_bayes.report.words import number, probability

__all__ = ["direction", "glass_brain", "largest", "legend"]

_SMALL, _LARGE = 18.0, 170.0  # points^2 at a direction probability of .5 and of 1
_EDGE: Final = {"edgecolors": "#40464f", "linewidths": 0.7}

type Row = Mapping[str, Any]


def direction(row: Row) -> float:
    """Return the probability of the sign that is the more probable, from .5 to 1."""
    return float(max(row["p_positive"], 1 - row["p_positive"]))


def largest(rows: Sequence[Row], name: str) -> str:
    """Return the five largest in words."""
    strongest = sorted(rows, key=lambda r: -abs(r["mean"]))[:5]
    return "; ".join(
        f"{r[name]} {number(r['mean'])}, positive with probability {probability(r['p_positive'])}"
        for r in strongest
    )


def _size(probability_of_direction: np.ndarray) -> np.ndarray:
    return np.asarray(_SMALL + (_LARGE - _SMALL) * (probability_of_direction - 0.5) / 0.5)


def glass_brain(title: str, rows: Sequence[Row], *, top: float, small: bool = False) -> Image:
    """Draw the regional associations of one function or contrast.

    Parameters
    ----------
    title : str
        The function or contrast.
    rows : sequence of mapping
        With ``roi``, ``x``, ``y``, ``z`` (mm, MNI152), ``mean`` and ``p_positive``.
    top : float
        Value of the darkest colours, equal in all panels.
    small : bool
        Whether several stand abreast.

    Returns
    -------
    Image
        A PNG; the surest region lies on top.
    """
    ordered = sorted(rows, key=direction)
    colour = colours(top).to_rgba(np.array([r["mean"] for r in ordered]))
    place = np.array([[r["x"], r["y"], r["z"]] for r in ordered], dtype=float)
    size = _size(np.array([direction(r) for r in ordered])) / (2 if small else 1)
    return Image(
        on_glass(
            lambda display: display.add_markers(place, colour, size, alpha=0.95, **_EDGE),
            width=SMALL if small else WIDTH,
        ),
        f"Glass brain for {title} with {len(rows)} regions. Largest: {largest(rows, 'roi')}.",
        caption=title,
    )


@cache
def legend(*, top: float, unit: str) -> Image:
    """Draw what colour and size of a region mean."""
    under = unit.replace(", ", ",\n")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.3, 1.15 + 0.15 * under.count("\n")), layout="constrained")
        bar, sizes = figure.subplots(1, 2, width_ratios=(3, 2))
        norm = mpl.colors.Normalize(-top, top)
        figure.colorbar(
            mpl.cm.ScalarMappable(norm, DIVERGING), cax=bar, orientation="horizontal", label=under
        ).outline.set_visible(False)
        bar.set_box_aspect(0.08)
        levels = np.array([0.5, 0.75, 0.95, 1.0])
        sizes.scatter(range(len(levels)), np.zeros(len(levels)), s=_size(levels), color="white",
                      edgecolors="#40464f")  # fmt: skip
        sizes.set_xticks(range(len(levels)), [f"{v:.2f}".lstrip("0") for v in levels], fontsize=8)
        sizes.set_xlim(-0.6, len(levels) - 0.4)
        sizes.set_ylim(-1, 1)
        sizes.set_yticks([])
        sizes.set_xlabel("P(direction)")
        for side in ("left", "bottom"):
            sizes.spines[side].set_visible(False)
        sizes.tick_params(length=0)
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return Image(
        embed(content.getvalue(), "svg+xml"),
        f"Colour: {unit}, from {number(-top)} (blue) to {number(top)} (red). "
        "Size: probability of the direction, from .5 (small) to 1 (large).",
        legend=True,
    )
