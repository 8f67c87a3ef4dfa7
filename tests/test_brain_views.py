"""Pictures of regions, edges and coverage: readable, with words and a unit, equal on every run."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from matplotlib import image as mpl_image

from nssi_bayes.atlases import read_atlas
from nssi_bayes.names import EDGE_SEPARATOR
from nssi_bayes.report import brain, brain_views, glass
from nssi_bayes.report.figures import Image

ATLAS = read_atlas("nssi_spheres")
UNIT = "sd of activation per sd of the function"


def regions(*, sure: float = 0.99) -> list[dict[str, Any]]:
    return [
        {"roi": r.roi, "x": r.x, "y": r.y, "z": r.z, "mean": 0.2 if r.roi == "AMY_L" else -0.05,
         "p_positive": sure if r.roi == "AMY_L" else 1 - sure, "coverage": 0.4 if r.roi == "VMPFC" else 1.0}
        for r in ATLAS.regions
    ]  # fmt: skip


def edges(*, sure: float = 0.99) -> list[dict[str, Any]]:
    at = {r.roi: (r.x, r.y, r.z) for r in ATLAS.regions}
    rows = []
    for edge in ATLAS.edges:
        a, b = edge.split(EDGE_SEPARATOR)
        strong = edge == "AMY_L--SGACC"
        rows.append({"edge": edge, "from": at[a], "to": at[b], "mean": 0.2 if strong else -0.02,
                     "p_positive": sure if strong else 0.5})  # fmt: skip
    return rows


def pixels(picture: Image) -> np.ndarray:
    content = next(v for v in vars(picture).values() if isinstance(v, str) and "base64," in v)
    return mpl_image.imread(io.BytesIO(base64.b64decode(content.split("base64,")[1].split('"')[0])))


def redness(picture: Image) -> int:
    """Number of pixels of the strong positive colour, the colour bar left out."""
    values = pixels(picture)
    values = values[: int(0.8 * len(values))]
    return int(((values[..., 0] > values[..., 1] + 0.25) & (values[..., 0] > values[..., 2] + 0.2)).sum())


MADE = {
    "cuts": lambda sure: brain_views.cuts("a function", regions(sure=sure), top=0.2, unit=UNIT),
    "connectome": lambda sure: brain_views.connectome("a function", edges(sure=sure), top=0.2, unit=UNIT),
}


@pytest.mark.parametrize("kind", sorted(MADE))
class TestEffects:
    def test_says_the_unit_and_the_strongest(self, kind: str) -> None:
        picture = MADE[kind](0.99)
        assert UNIT in picture.alt
        assert ("AMY_L" if kind == "cuts" else "AMY_L--SGACC") in picture.alt.split("Largest: ")[1].split(
            ";"
        )[0]

    def test_what_is_surer_is_seen_more(self, kind: str) -> None:
        assert redness(MADE[kind](0.99)) > 2 * redness(MADE[kind](0.6))

    def test_equal_numbers_give_equal_bytes(self, kind: str) -> None:
        assert MADE[kind](0.9) == MADE[kind](0.9)

    def test_is_readable_at_the_width_of_a_report(self, kind: str) -> None:
        assert pixels(MADE[kind](0.9)).shape[1] >= 1200


def test_coverage_names_the_least_covered() -> None:
    picture = brain_views.coverage_map(regions())
    assert picture.alt.split("Least covered: ")[1].startswith("VMPFC 0.40")
    assert picture == brain_views.coverage_map(regions())


def contrasts() -> dict[str, list[dict[str, Any]]]:
    """Two contrasts, the second the first with its sign turned."""
    first = regions()
    return {
        "one": first,
        "two": [{**r, "mean": -r["mean"], "p_positive": 1 - r["p_positive"]} for r in first],
    }


class TestContrasts:
    def test_cuts_go_through_the_region_that_differs_most(self) -> None:
        picture = brain_views.contrast_cuts("a function", contrasts(), top=0.2, unit=UNIT)
        assert picture.alt.startswith("Cuts through AMY_L")
        assert "one: 0.20; two: −0.20" in picture.alt
        assert UNIT in picture.alt
        assert pixels(picture).shape[1] >= 1200
        assert picture == brain_views.contrast_cuts("a function", contrasts(), top=0.2, unit=UNIT)

    def test_left_is_left_and_colour_is_the_sign(self) -> None:
        """AMY_L lies left of the middle in the coronal and the axial cut of its column."""
        values = pixels(brain_views.contrast_cuts("a function", contrasts(), top=0.2, unit=UNIT))
        values = values[: int(0.85 * len(values))]
        red = (values[..., 0] > values[..., 1] + 0.25) & (values[..., 0] > values[..., 2] + 0.2)
        half = values.shape[1] // 2
        assert red[:, :half].sum() > 50 * max(red[:, half:].sum(), 1)
        lower = red[len(red) // 3 :, :half]
        assert np.flatnonzero(lower.any(axis=0)).max() < half / 2


def test_a_glass_brain_does_not_remember_the_one_before() -> None:
    alone = brain.glass_brain("a function", regions(), top=0.2)
    brain_views.connectome("a function", edges(), top=0.2, unit=UNIT)
    brain_views.coverage_map(regions())
    assert brain.glass_brain("a function", regions(), top=0.2) == alone


def test_markers_stand_where_nilearn_puts_them() -> None:
    """The outline is drawn once and the views are emptied: the picture is that of nilearn all the same."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from nilearn.plotting import plot_glass_brain

    from nssi_bayes.report.glass import DPI, WIDTH

    nothing: Any = None
    figure = Figure(figsize=(WIDTH, WIDTH * 3.2 / 9), dpi=DPI, facecolor="white")
    display = plot_glass_brain(nothing, display_mode="lyrz", figure=figure, axes=(0.0, 0.2, 1.0, 0.8))
    place = np.array([[-24.0, -4.0, -20.0], [46.0, 30.0, -8.0], [0.0, 50.0, 10.0]])
    shown = {"marker_color": np.array([[1.0, 0, 0, 1]] * 3), "marker_size": 60}
    display.add_markers(place, **shown)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    whole = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    ours = Image(glass.on_glass(lambda d: d.add_markers(place, **shown)), "")
    near = np.abs(pixels(ours)[..., :3] - whole[: len(pixels(ours))]) < 0.1
    assert near.all(axis=2).mean() > 0.99
