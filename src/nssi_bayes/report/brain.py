"""Regional associations on a glass brain."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from nssi_bayes.report.figures import STYLE, Image, embed
from nssi_bayes.report.words import number, probability

__all__ = ["DIVERGING", "glass_brain", "legend"]

DIVERGING: Final = "RdBu_r"  # blue to red over white: told apart with any colour vision
_SMALL, _LARGE = 18.0, 170.0  # points^2 at a direction probability of .5 and of 1

type Row = Mapping[str, Any]


def _size(p_positive: np.ndarray) -> np.ndarray:
    direction = np.maximum(p_positive, 1 - p_positive)
    return np.asarray(_SMALL + (_LARGE - _SMALL) * (direction - 0.5) / 0.5)


def glass_brain(title: str, rows: Sequence[Row], *, top: float) -> Image:
    """Draw one function's regional associations.

    Parameters
    ----------
    title : str
        The function.
    rows : sequence of mapping
        With ``roi``, ``x``, ``y``, ``z`` (mm, MNI152), ``mean`` and ``p_positive``.
    top : float
        Value of the darkest colours, equal in all panels.

    Returns
    -------
    Image
        A PNG.
    """
    import matplotlib.pyplot as plt
    from nilearn.plotting import plot_markers

    with mpl.rc_context({**STYLE, "backend": "agg"}):
        figure = plt.figure(figsize=(9, 2.5))
        try:
            plot_markers(
                np.array([r["mean"] for r in rows]),
                np.array([[r["x"], r["y"], r["z"]] for r in rows]),
                node_size=_size(np.array([r["p_positive"] for r in rows])),
                node_cmap=DIVERGING, node_vmin=-top, node_vmax=top, alpha=0.95, display_mode="lyrz",
                figure=figure, colorbar=False, node_kwargs={"edgecolors": "#40464f", "linewidths": 0.7},
            )  # fmt: skip
            content = io.BytesIO()
            figure.savefig(content, format="png", dpi=140, metadata={"Software": None})
        finally:
            plt.close(figure)
    strongest = sorted(rows, key=lambda r: -abs(r["mean"]))[:5]
    told = "; ".join(
        f"{r['roi']} {number(r['mean'])}, positive with probability {probability(r['p_positive'])}"
        for r in strongest
    )
    return Image(
        embed(content.getvalue(), "png"),
        f"Glass brain for {title} with {len(rows)} regions. Largest: {told}.",
        caption=title,
    )


def legend(*, top: float, unit: str) -> Image:
    """Draw what colour and size of a region mean."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.3, 1.15), layout="constrained")
        bar, sizes = figure.subplots(1, 2, width_ratios=(3, 2))
        norm = mpl.colors.Normalize(-top, top)
        figure.colorbar(
            mpl.cm.ScalarMappable(norm, DIVERGING), cax=bar, orientation="horizontal", label=unit
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
    )
