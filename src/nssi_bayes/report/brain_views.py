"""Cuts through the brain, connectomes and coverage: pictures beside the glass brain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from nssi_bayes.report.brain import direction, largest
from nssi_bayes.report.figures import STYLE, Image
from nssi_bayes.report.glass import DPI, WIDTH, add_bar, colours, on_glass, pixels, png
from nssi_bayes.report.words import number

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

__all__ = ["connectome", "contrast_cuts", "coverage_map", "cuts"]

type Row = Mapping[str, Any]
type Point = tuple[float, float, float]

_SPHERE_MM: Final = 8.0  # drawn a little larger than measured, to be seen at report width
_THIN, _THICK = 0.8, 5.0  # points, at a probability of direction of .5 and of 1
_SEQUENTIAL: Final = "cividis"  # even in lightness and made for colour-blind readers
_GREY: Final = "#40464f"
_BRAIN: Final = 0.02  # the template is 0 outside the brain
_VIEWS: Final = ((1, 2), (0, 2), (0, 1))  # axes along and up, of the cut across the third


class _Template(NamedTuple):
    """The MNI152 template, cropped to the brain, and the mm of its first voxel."""

    values: npt.NDArray[np.float32]
    first: npt.NDArray[np.float64]


@cache
def _template() -> _Template:
    from nilearn.datasets import load_mni152_template

    image = load_mni152_template(resolution=1)
    values, affine = np.asarray(image.dataobj, dtype=np.float32), np.asarray(image.affine)
    inside = values > _BRAIN
    ends = [np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {a})))[[0, -1]] for a in range(3)]
    crop = tuple(slice(low, high + 1) for low, high in ends)
    return _Template(values[crop], affine[:3, 3] + np.array([low for low, _ in ends]))


def _cut(axes: Axes, rows: Sequence[Row], *, across: int, at: float, top: float) -> None:
    """Draw one cut: the template, and the circle in which it meets each region's sphere."""
    template, first = _template()
    along, up = _VIEWS[across]
    k = int(np.clip(round(at - first[across]), 0, template.shape[across] - 1))
    plane = template[(slice(None),) * across + (k,)].T
    left, low = first[along] - 0.5, first[up] - 0.5
    axes.imshow(
        np.ma.masked_less_equal(plane, _BRAIN), cmap="gray", origin="lower", vmin=0, vmax=1.05,
        extent=(left, left + plane.shape[1], low, low + plane.shape[0]), interpolation="bilinear",
    )  # fmt: skip
    colour = colours(top)
    for row in sorted(rows, key=direction):
        place = (row["x"], row["y"], row["z"])
        reach = _SPHERE_MM**2 - (place[across] - at) ** 2
        sure = 2 * direction(row) - 1
        if reach > 0:
            axes.add_patch(Circle((place[along], place[up]), reach**0.5, edgecolor=_GREY, linewidth=0.6,
                                  facecolor=colour.to_rgba(row["mean"]), alpha=sure))  # fmt: skip
    axes.set_axis_off()
    if across:  # the left of the brain is on the left
        for side, letter in ((0.02, "L"), (0.98, "R")):
            axes.text(side, 0.98, letter, transform=axes.transAxes, fontsize=8, va="top",
                      ha="left" if letter == "L" else "right", color=_GREY)  # fmt: skip
    axes.text(0.5, -0.01, f"{'xyz'[across]} = {number(at, 0)} mm", transform=axes.transAxes, fontsize=7.5,
              va="top", ha="center", color=_GREY)  # fmt: skip


def _panels(
    groups: Mapping[str, Sequence[Row]], *, centre: Point, top: float, unit: str, upright: bool
) -> str:
    """Return cuts through one point, those of a group side by side, or under each other."""
    cell = WIDTH / (len(groups) if upright else 3)
    height = (3 if upright else 1) * cell * 0.9
    head, foot = (0.25 if upright else 0.05), 0.75
    figure = Figure(figsize=(WIDTH, head + height + foot), dpi=DPI)
    whole = head + height + foot
    with mpl.rc_context(STYLE):
        grid = figure.subplots(
            3 if upright else 1, len(groups) if upright else 3, squeeze=False,
            gridspec_kw={"left": 0.01, "right": 0.99, "bottom": foot / whole, "top": 1 - head / whole,
                         "wspace": 0.03, "hspace": 0.12},
        )  # fmt: skip
        for g, (name, rows) in enumerate(groups.items()):
            for across in range(3):
                axes = grid[across, g] if upright else grid[0, across]
                _cut(axes, rows, across=across, at=centre[across], top=top)
            if upright:
                grid[0, g].set_title(name, fontsize=9, fontweight="bold")
        add_bar(figure, colours(top), f"{unit}; opacity: probability of direction", foot=0.42 / whole)
        return png(pixels(figure))


def _centre(row: Row) -> Point:
    return float(row["x"]), float(row["y"]), float(row["z"])


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
    strongest = max(rows, key=lambda r: abs(r["mean"]) * (2 * direction(r) - 1))
    return Image(
        _panels({title: rows}, centre=_centre(strongest), top=top, unit=unit, upright=False),
        f"Cuts through {strongest['roi']} for {title}, {len(rows)} regions; colour: {unit}, opacity: "
        f"probability of direction. Largest: {largest(rows, 'roi')}.",
        caption=f"{title}, through {strongest['roi']}",
    )


def contrast_cuts(title: str, groups: Mapping[str, Sequence[Row]], *, top: float, unit: str) -> Image:
    """Draw the contrasts of several disorders side by side, on the same three cuts.

    The cuts go through the region whose contrasts are the most spread.

    Parameters
    ----------
    title : str
        The function.
    groups : mapping of str to sequence of mapping
        By contrast; rows as of `cuts`, the same regions in each.
    top : float
        As of `cuts`.
    unit : str
        As of `cuts`.

    Returns
    -------
    Image
        A PNG.
    """
    spread: dict[str, float] = {}
    place: dict[str, Point] = {}
    for row in (r for rows in groups.values() for r in rows):
        spread[row["roi"]] = spread.get(row["roi"], 0.0) + row["mean"] ** 2
        place[row["roi"]] = _centre(row)
    widest = max(spread, key=lambda roi: spread[roi])
    told = "; ".join(
        f"{name}: {number(row['mean'])}"
        for name, rows in groups.items()
        for row in rows
        if row["roi"] == widest
    )
    return Image(
        _panels(groups, centre=place[widest], top=top, unit=unit, upright=True),
        f"Cuts through {widest} for {title}, {len(groups)} contrasts; colour: {unit}, opacity: probability "
        f"of direction. There: {told}.",
        caption=f"{title}, through {widest}",
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
    nodes = np.unique(np.array([row[end] for row in rows for end in ("from", "to")], dtype=float), axis=0)
    colour = colours(top)

    def draw(display: Any) -> None:
        display.add_graph(np.zeros((len(nodes), len(nodes))), nodes, node_size=14, node_color=_GREY)
        for row in sorted(rows, key=direction):
            sure = 2 * direction(row) - 1
            display.add_graph(
                np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([row["from"], row["to"]], dtype=float),
                node_size=0,
                edge_kwargs={"color": colour.to_rgba(row["mean"]), "alpha": 0.25 + 0.75 * sure,
                             "linewidth": _THIN + (_THICK - _THIN) * sure},
            )  # fmt: skip

    return Image(
        on_glass(draw, bar=(colour, f"{unit}; width: probability of direction")),
        f"Connectome for {title} with {len(rows)} edges; colour: {unit}, width: probability of direction. "
        f"Largest: {largest(rows, 'edge')}.",
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
    colour = colours(1.0, cmap=_SEQUENTIAL, low=0.0)
    place = np.array([_centre(row) for row in rows])
    shade = colour.to_rgba(np.array([row["coverage"] for row in rows]))
    least = sorted(rows, key=lambda r: r["coverage"])[:5]
    told = "; ".join(f"{r['roi']} {number(r['coverage'])}" for r in least)
    return Image(
        on_glass(
            lambda display: display.add_markers(place, shade, 60, edgecolors=_GREY, linewidths=0.7),
            bar=(colour, "mean share of a region's voxels with data"),
        ),
        f"Coverage of {len(rows)} regions. Least covered: {told}.",
        caption="Coverage of the cohort",
    )
