"""Interval plots as inline SVG: equal numbers give equal bytes, and each figure has words."""

from __future__ import annotations

import io
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nssi_bayes.report.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "STYLE", "Dot", "Image", "Spot", "embed", "intervals"]

# Okabe & Ito: told apart with any colour vision; the markers differ as well
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS: Final = ("o", "s", "D", "^", "v", "P")
_GREY: Final = "#8a8f98"
STYLE: Final = {
    "svg.hashsalt": "nssi-bayes",
    "svg.fonttype": "path",
    "text.parse_math": False,  # a label is no formula
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "xtick.color": "#40464f",
    "ytick.color": "#1c2026",
    "figure.facecolor": "white",
}
_WIDTH: Final = 4.3  # inches: read at the width of a phone, three abreast on a screen
_PAD: Final = 3 / 72  # inches
_LONG: Final = 12  # rows a description spells out
_STEP: Final = 0.5  # of a row, over which the series of it are spread
_SPOT: Final = 0.16  # inches: how tall the place is that tells a value


@dataclass(frozen=True)
class Dot:
    """One estimate: a point, its interval and where it stands.

    Parameters
    ----------
    label : str
        The row.
    mean, low, high : float
        Point and ends of the interval.
    series : str
        What tells dots of one row apart.
    group : str
        A heading over rows.
    note : str
        Text at the right edge.
    """

    label: str
    mean: float
    low: float
    high: float
    series: str = ""
    group: str = ""
    note: str = ""


@dataclass(frozen=True)
class Spot:
    """A place of an image, in per cent of its width and height, and what stands there."""

    left: float
    top: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class Image:
    """An image for the page.

    Parameters
    ----------
    source : str
        A ``data:`` address that holds the whole image.
    alt : str
        What it shows, in words and numbers.
    caption : str
        Text over it, for an image that has no title of its own.
    legend : bool
        Whether it says only what the images before it mean.
    spots : sequence of Spot
        Places that tell their value to who points at them; all of it stands in a table as well.
    """

    source: str
    alt: str
    caption: str = ""
    legend: bool = False
    spots: Sequence[Spot] = ()


def embed(content: bytes, kind: str) -> str:
    """Return `content` as an address that needs no other file; an SVG loses what nobody sees."""
    if kind == "svg+xml":
        content = _lean(content.decode()).encode()
    return f"data:image/{kind};base64,{b64encode(content).decode()}"


def _lean(svg: str) -> str:
    """Return an SVG without metadata, comments, and digits under a hundredth of a point."""
    for what in (r"<metadata>.*?</metadata>", r"<!--.*?-->"):
        svg = re.sub(what, "", svg, flags=re.DOTALL)
    svg = re.sub(
        r"-?\d+\.\d{3,}", lambda m: f"{float(m[0]):.4g}" if abs(float(m[0])) < 1 else _short(m[0]), svg
    )
    return re.sub(r"\s*\n\s*", "\n", svg)


def _short(number: str) -> str:
    return f"{float(number):.2f}".rstrip("0").rstrip(".")


def intervals(
    title: str,
    dots: Sequence[Dot],
    *,
    unit: str,
    rope: float | None = None,
    limits: tuple[float, float] | None = None,
    note: str = "",
) -> Image:
    """Draw estimates with their intervals, one row a label.

    Parameters
    ----------
    title : str
        Over the plot.
    dots : sequence of Dot
        In order from the top; dots with one label share a row.
    unit : str
        Under the axis.
    rope : float, optional
        Half width of the region of practical equivalence, shaded.
    limits : tuple of float, optional
        Ends of the axis, for panels that are read together.
    note : str
        Heading of the notes at the right edge.

    Returns
    -------
    Image
        An SVG.

    Raises
    ------
    ValueError
        If there is nothing to draw, or an estimate without its numbers.
    """
    _check(dots)
    place, headings, rows = _places(dots)
    series = list(dict.fromkeys(d.series for d in dots))
    with mpl.rc_context(STYLE):
        legend = len(series) > 1
        height = 0.95 + 0.225 * rows * (1.15 if legend else 1.0) + (0.25 if legend else 0)
        figure = Figure(figsize=(_WIDTH, height))
        axes = figure.subplots()
        _draw(axes, dots, place, series)
        _frame(axes, place, headings, rows=rows, rope=rope)
        axes.set_xlabel(unit)
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        if note:
            axes.set_title(note, loc="right", fontsize=8, color="#40464f")
        if limits is not None:
            axes.set_xlim(*limits)
        if legend:
            figure.legend(loc="lower center", ncols=3, frameon=False, fontsize=8, borderpad=0)
        _fit(figure, axes)
        content = io.BytesIO()
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
        spots = _spots(figure, axes, dots, place=place, series=series)
    return Image(embed(content.getvalue(), "svg+xml"), _describe(title, dots, unit=unit), spots=spots)


def _spots(
    figure: Figure, axes: Axes, dots: Sequence[Dot], *, place: dict[str, float], series: Sequence[str]
) -> list[Spot]:
    """Return where each estimate is drawn, in per cent of the figure from its left and its top."""
    to_share = axes.transData + figure.transFigure.inverted()
    row = abs(np.diff(to_share.transform([(0, 0), (0, 1)])[:, 1])[0])
    tall = 100 * min(_SPOT / figure.get_figheight(), row * (1 if len(series) < 2 else _STEP / len(series)))
    found = []
    for dot in dots:
        y = place[dot.label] + _offset(dot.series, series)
        (left, up), (right, _) = to_share.transform([(dot.low, y), (dot.high, y)])
        wide = max(100 * (right - left), 2.0)
        middle = 50 * (left + right)
        name = ", ".join(part for part in (dot.group, dot.label, dot.series) if part)
        text = f"{name}: {number(dot.mean)} ({number(dot.low)} to {number(dot.high)})"
        found.append(
            Spot(round(middle - wide / 2, 1), round(100 * (1 - up) - tall / 2, 1), round(wide, 1),
                 round(tall, 1), f"{text}; {dot.note}" if dot.note else text)
        )  # fmt: skip
    return found


def _offset(name: str, series: Sequence[str]) -> float:
    """Return how far under its row a series is drawn, in rows."""
    return _STEP / max(len(series), 2) * (series.index(name) - (len(series) - 1) / 2)


def _check(dots: Sequence[Dot]) -> None:
    if not dots:
        raise ValueError("no estimate to draw")
    if any(value is None for d in dots for value in (d.mean, d.low, d.high)):
        raise ValueError("an estimate has no mean or no interval")


def _fit(figure: Figure, axes: Axes) -> None:
    """Give the axes what labels and legend leave; texts are measured once, not thrice as by matplotlib."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    own = axes.get_window_extent(renderer)
    whole = axes.get_tightbbox(renderer) or own
    width, height = figure.bbox.size
    foot = sum(legend.get_window_extent(renderer).height for legend in figure.legends)
    pad = _PAD * figure.dpi
    left, bottom = own.x0 - whole.x0 + pad, own.y0 - whole.y0 + foot + pad * (2 if foot else 1)
    right, top = width - pad - (whole.x1 - own.x1), height - pad - (whole.y1 - own.y1)
    axes.set_position((left / width, bottom / height, (right - left) / width, (top - bottom) / height))
    unit = axes.xaxis.label  # beside long labels of rows it may be wider than the axis
    half = unit.get_window_extent(renderer).width / 2
    middle = max(min((left + right) / 2, width - pad - half), pad + half)
    unit.set_x((middle - left) / (right - left))


def _places(dots: Sequence[Dot]) -> tuple[dict[str, float], dict[str, float], int]:
    """Return where rows and headings stand, and how many lines there are."""
    place: dict[str, float] = {}
    headings: dict[str, float] = {}
    line = 0
    for dot in dots:
        if dot.group and dot.group not in headings:
            headings[dot.group] = line
            line += 1
        if dot.label not in place:
            place[dot.label] = line
            line += 1
    return place, headings, line


def _frame(
    axes: Axes, place: dict[str, float], headings: dict[str, float], *, rows: int, rope: float | None
) -> None:
    for group, y in headings.items():
        axes.text(0.015, y, group, transform=axes.get_yaxis_transform(), va="center", ha="left",
                  fontweight="bold", fontsize=8, color="#40464f")  # fmt: skip
    axes.axvline(0, color=_GREY, lw=0.8, zorder=0)
    if rope is not None:
        axes.axvspan(-rope, rope, color="#eef0f3", zorder=-1, lw=0)
    axes.set_yticks(list(place.values()), list(place))
    axes.set_ylim(rows - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))


def _draw(axes: Axes, dots: Sequence[Dot], place: dict[str, float], series: Sequence[str]) -> None:
    for k, name in enumerate(series):
        own = [d for d in dots if d.series == name]
        y = [place[d.label] + _offset(name, series) for d in own]
        colour = COLOURS[k % len(COLOURS)]
        axes.hlines(y, [d.low for d in own], [d.high for d in own], color=colour, lw=1.6, capstyle="round")
        axes.plot([d.mean for d in own], y, _MARKERS[k % len(_MARKERS)], color=colour, ms=4.5, zorder=3,
                  label=name if len(series) > 1 else None,
                  markerfacecolor=colour if k == 0 else "white")  # fmt: skip
        for dot, at in zip(own, y, strict=True):
            if dot.note:
                axes.text(1.0, at, dot.note, transform=axes.get_yaxis_transform(), va="center", ha="right",
                          fontsize=7.5, color="#40464f")  # fmt: skip


def _describe(title: str, dots: Sequence[Dot], *, unit: str) -> str:
    head = f"{title}, in {unit}. "
    if len(dots) > _LONG:
        low, high = min(d.mean for d in dots), max(d.mean for d in dots)
        return (
            f"{head}{len(dots)} estimates with intervals; means from {number(low)} to {number(high)}. "
            "The table beside it lists them."
        )
    told = [
        f"{d.label}{f', {d.series}' if d.series else ''}: {number(d.mean)} "
        f"({number(d.low)} to {number(d.high)})"
        for d in dots
    ]
    return head + "; ".join(told) + "."
