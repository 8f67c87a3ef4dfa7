"""Cuts through the brain, connectomes and coverage: pictures beside the glass brain."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np

from nssi_bayes.report.brain import DIVERGING
from nssi_bayes.report.figures import STYLE, Image, embed
from nssi_bayes.report.words import number, probability

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["connectome", "coverage_map", "cuts"]

type Row = Mapping[str, Any]

_SPHERE_MM: Final = 8.0  # drawn a little larger than measured, to be seen at report width
_STEP_MM: Final = 2
_THIN, _THICK = 0.8, 5.0  # points, at a probability of direction of .5 and of 1
_SEQUENTIAL: Final = "cividis"  # even in lightness and made for colour-blind readers
_DPI: Final = 140
_ABOVE: Final = (0.0, 0.2, 1.0, 0.8)  # where the brain is; the colour bar stands under it


def _drawn(size: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    """Return a PNG that is the same on every run."""
    import matplotlib.pyplot as plt

    with mpl.rc_context({**STYLE, "backend": "agg"}):
        figure = plt.figure(figsize=size)
        try:
            draw(figure)
            content = io.BytesIO()
            figure.savefig(content, format="png", dpi=_DPI, metadata={"Software": None})
        finally:
            plt.close(figure)
    return embed(content.getvalue(), "png")


def _bar(figure: Figure, colours: mpl.cm.ScalarMappable, unit: str) -> None:
    """Add a colour bar that states the unit, under everything."""
    bar = figure.colorbar(colours, cax=figure.add_axes((0.3, 0.13, 0.4, 0.035)), orientation="horizontal")
    bar.set_label(unit, fontsize=8)
    bar.outline.set_visible(False)


def _direction(row: Row) -> float:
    """Return the probability of the sign that is the more probable, from .5 to 1."""
    return float(max(row["p_positive"], 1 - row["p_positive"]))


def _told(rows: Sequence[Row], name: str) -> str:
    """Return the five largest in words."""
    strongest = sorted(rows, key=lambda r: -abs(r["mean"]))[:5]
    return "; ".join(
        f"{r[name]} {number(r['mean'])}, positive with probability {probability(r['p_positive'])}"
        for r in strongest
    )


@cache
def _template() -> Any:
    from nilearn.datasets import load_mni152_template

    return load_mni152_template(resolution=_STEP_MM)


def cuts(title: str, rows: Sequence[Row], *, top: float, unit: str) -> Image:
    """Draw regional effects on three cuts through the MNI152 template, where the strongest one is.

    Colour is the posterior mean, opacity the probability of direction: at .5 a region is not seen.

    Parameters
    ----------
    title : str
        The function or contrast.
    rows : sequence of mapping
        With ``roi``, ``x``, ``y``, ``z`` (mm, MNI152), ``mean`` and ``p_positive``.
    top : float
        Value of the darkest colours, equal in all panels.
    unit : str
        Of the means; stands at the colour bar.

    Returns
    -------
    Image
        A PNG.
    """
    from nibabel import Nifti1Image
    from nilearn.plotting import plot_stat_map

    template = _template()
    shape, affine = template.shape, np.asarray(template.affine)
    place = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) @ affine[:3, :3].T
    place += affine[:3, 3]
    value, opacity = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    for row in rows:
        inside = ((place - (row["x"], row["y"], row["z"])) ** 2).sum(axis=-1) <= _SPHERE_MM**2
        value[inside], opacity[inside] = row["mean"], 2 * _direction(row) - 1

    opacity[0, 0, 0] = 1  # nilearn takes the largest for opaque; this corner is in no cut
    strongest = max(rows, key=lambda r: abs(r["mean"]) * (2 * _direction(r) - 1))
    centre = (strongest["x"], strongest["y"], strongest["z"])

    def draw(figure: Figure) -> None:
        plot_stat_map(
            Nifti1Image(value, affine), bg_img=template, display_mode="ortho", cut_coords=centre,
            cmap=DIVERGING, vmax=top, vmin=-top, transparency=Nifti1Image(opacity, affine),
            figure=figure, axes=_ABOVE, colorbar=False, draw_cross=False, threshold=None,
        )  # fmt: skip
        colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(-top, top), DIVERGING)
        _bar(figure, colours, f"{unit}; opacity: probability of direction")

    return Image(
        _drawn((9, 3.6), draw),
        f"Cuts through {strongest['roi']} for {title}, {len(rows)} regions; colour: {unit}, opacity: "
        f"probability of direction. Largest: {_told(rows, 'roi')}.",
        caption=f"{title}, through {strongest['roi']}",
    )


def connectome(title: str, rows: Sequence[Row], *, top: float, unit: str) -> Image:
    """Draw effects on edges in a glass brain.

    Colour is the posterior mean, width and opacity the probability of direction.

    Parameters
    ----------
    title : str
        The function or contrast.
    rows : sequence of mapping
        With ``edge``, ``from`` and ``to`` as (x, y, z) in mm, MNI152, ``mean`` and ``p_positive``; see
        `schema.edge_table`.
    top : float
        Value of the darkest colours, equal in all panels.
    unit : str
        Of the means; stands at the colour bar.

    Returns
    -------
    Image
        A PNG.
    """
    from nilearn.plotting import plot_connectome

    nodes = np.unique(np.array([row[end] for row in rows for end in ("from", "to")], dtype=float), axis=0)

    def draw(figure: Figure) -> None:
        display = plot_connectome(
            np.zeros((len(nodes), len(nodes))), nodes, node_size=14, node_color="#40464f",
            display_mode="lyrz", figure=figure, axes=_ABOVE, colorbar=False,
        )  # fmt: skip
        colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(-top, top), DIVERGING)
        for row in sorted(rows, key=_direction):
            sure = 2 * _direction(row) - 1
            display.add_graph(
                np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([row["from"], row["to"]], dtype=float),
                node_size=0,
                edge_kwargs={"color": colours.to_rgba(row["mean"]), "alpha": 0.25 + 0.75 * sure,
                             "linewidth": _THIN + (_THICK - _THIN) * sure},
            )  # fmt: skip
        _bar(figure, colours, f"{unit}; width: probability of direction")

    return Image(
        _drawn((9, 3.2), draw),
        f"Connectome for {title} with {len(rows)} edges; colour: {unit}, width: probability of direction. "
        f"Largest: {_told(rows, 'edge')}.",
        caption=f"{title}; width: probability of direction",
    )


def coverage_map(rows: Sequence[Row]) -> Image:
    """Draw how much of each region the cohort's images hold.

    Parameters
    ----------
    rows : sequence of mapping
        With ``roi``, ``x``, ``y``, ``z`` (mm, MNI152) and ``coverage``, the mean over people of the
        share of voxels with data.

    Returns
    -------
    Image
        A PNG.
    """
    from nilearn.plotting import plot_markers

    share = np.array([row["coverage"] for row in rows], dtype=float)

    def draw(figure: Figure) -> None:
        plot_markers(
            share, np.array([[row["x"], row["y"], row["z"]] for row in rows]), node_size=60,
            node_cmap=_SEQUENTIAL, node_vmin=0, node_vmax=1, display_mode="lyrz", figure=figure,
            axes=_ABOVE, colorbar=False, node_kwargs={"edgecolors": "#40464f", "linewidths": 0.7},
        )  # fmt: skip
        colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), _SEQUENTIAL)
        _bar(figure, colours, "mean share of a region's voxels with data")

    least = sorted(rows, key=lambda r: r["coverage"])[:5]
    told = "; ".join(f"{r['roi']} {number(r['coverage'])}" for r in least)
    return Image(_drawn((9, 3.2), draw), f"Coverage of {len(rows)} regions. Least covered: {told}.",
                 caption="Coverage of the cohort")  # fmt: skip
