"""A glass brain that is drawn once: every picture puts its regions or edges on the same outline."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nssi_bayes.report.figures import STYLE, embed

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["DIVERGING", "DPI", "SMALL", "WIDTH", "add_bar", "colours", "on_glass", "pixels", "png"]

DIVERGING: Final = "RdBu_r"  # blue to red over white: told apart with any colour vision
DPI: Final = 140
WIDTH: Final = 9.0  # inches: alone in a row
SMALL: Final = 4.5  # for panels abreast
_HEIGHT: Final = 3.2 / 9.0  # of the width
_GREYS, _COLOURS = 64, 128
_GREYISH: Final = 10  # difference of channels under which a pixel is a grey
_FOOT: Final = 0.2  # share of the height that holds the colour bar


class _Glass(NamedTuple):
    """An empty glass brain: nilearn's four views, the outline already turned into pixels."""

    figure: Figure
    display: Any


def colours(top: float, *, cmap: str = DIVERGING, low: float | None = None) -> mpl.cm.ScalarMappable:
    """Return the colours from -`top`, or from `low`, to `top`."""
    return mpl.cm.ScalarMappable(mpl.colors.Normalize(-top if low is None else low, top), cmap)


def add_bar(figure: Figure, of: mpl.cm.ScalarMappable, unit: str, *, foot: float = 0.13) -> None:
    """Add a colour bar that states the unit, under everything."""
    bar = figure.colorbar(
        of, cax=figure.add_axes((0.3, foot, 0.4, 0.112 / figure.get_figheight())), orientation="horizontal"
    )
    bar.set_label(unit, fontsize=8)
    bar.outline.set_visible(False)


def png(values: npt.NDArray[np.uint8]) -> str:
    """Return pixels as an address of a PNG without a clock.

    A palette of greys, and of the colours that a picture has, makes the file a third of what it was.
    """
    from PIL import Image as Picture

    opaque = np.ascontiguousarray(values[..., :3])
    vivid = np.ptp(opaque, axis=2) > _GREYISH
    index = np.round(opaque.mean(axis=2) / 255 * (_GREYS - 1)).astype(np.uint8)
    palette = np.repeat(np.linspace(0, 255, _GREYS).round().astype(np.uint8), 3)
    if vivid.any():
        few = Picture.fromarray(opaque[vivid][None]).quantize(_COLOURS, method=Picture.Quantize.MAXCOVERAGE)
        palette = np.concatenate([palette, np.array(few.getpalette(), dtype=np.uint8)[: 3 * _COLOURS]])
        index[vivid] = _GREYS + np.asarray(few)[0]
    chosen = Picture.fromarray(index)
    chosen.putpalette(palette.tolist())
    content = io.BytesIO()
    chosen.save(content, format="png", optimize=True)
    return embed(content.getvalue(), "png")


@cache
def _empty(width: float) -> _Glass:
    """Draw the outline of the brain once; it is most of the work of a picture."""
    from nilearn.plotting import plot_glass_brain

    nothing: Any = None  # nilearn draws the outline alone
    with mpl.rc_context({**STYLE, "backend": "agg"}):
        figure = Figure(figsize=(width, _HEIGHT * width), dpi=DPI)
        display = plot_glass_brain(
            nothing, display_mode="lyrz", figure=figure, colorbar=False, axes=(0.0, _FOOT, 1.0, 1 - _FOOT)
        )
        outline = pixels(figure)
    for view in display.axes.values():
        for patch in list(view.ax.patches):
            patch.remove()
        for letter in list(view.ax.texts):
            letter.remove()
    figure.figimage(outline, zorder=-1)  # under the views, whose backgrounds are off
    return _Glass(figure, display)


def pixels(figure: Figure) -> npt.NDArray[np.uint8]:
    """Return a figure as (row, column, colour), 0 to 255."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())


def on_glass(
    draw: Callable[[Any], None],
    *,
    bar: tuple[mpl.cm.ScalarMappable, str] | None = None,
    width: float = WIDTH,
) -> str:
    """Draw on a glass brain seen from the left, from behind, from the right and from above.

    Parameters
    ----------
    draw : callable
        Puts markers or graphs on nilearn's display.
    bar : tuple of ScalarMappable and str, optional
        Colours and their unit, for a bar under the brain.
    width : float
        Inches.

    Returns
    -------
    str
        A PNG as an address, equal on every run and whatever was drawn before.
    """
    figure, display = _empty(width)
    before = set(figure.axes)
    with mpl.rc_context({**STYLE, "backend": "agg"}):
        try:
            draw(display)
            if bar is not None:
                add_bar(figure, *bar)
            drawn = pixels(figure)
        finally:
            for axes in set(figure.axes) - before:
                axes.remove()
            for view in display.axes.values():
                for artist in (*view.ax.collections, *view.ax.lines):
                    artist.remove()
    return png(drawn if bar is not None else drawn[: round((1 - _FOOT) * len(drawn))])
