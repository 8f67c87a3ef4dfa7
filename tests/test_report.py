"""The report: self-contained, loud about what is wrong, silent about individuals."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from artefacts import (
    DISORDERS,
    FUNCTIONS,
    make_checks,
    make_estimates,
    make_flow,
    make_params,
    write_project,
)
from nssi_bayes import compare, report
from nssi_bayes.errors import SpecError
from nssi_bayes.report import brain, figures
from nssi_bayes.report.cells import Cells
from nssi_bayes.report.claims import answer, finding
from nssi_bayes.report.figures import Dot, intervals
from nssi_bayes.report.tables import table
from nssi_bayes.report.words import number, pretty, probability
from nssi_bayes.store import Layout, read_json, write_json

CAUSAL = re.compile(r"\b(caus\w+|leads? to|due to|because of|effect of|impact\w*|drives?|protects?)\b", re.I)
DATA = re.compile(r'src="data:image/(svg\+xml|png);base64,([^"]+)"')


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A complete project with the report of the question that has every section, made once."""
    layout = write_project(tmp_path_factory.mktemp("whole"))
    compare.run(layout, make_params(), "outcome")
    report.run(layout, make_params(), "outcome")
    return layout


@pytest.fixture
def bare(tmp_path: Path) -> Layout:
    """A project whose one model has no regions, so that a page is made quickly."""
    layout = write_project(tmp_path, roster=ONE)
    estimates = read_json(layout.estimates(ONE[0]))
    write_json(
        layout.estimates(ONE[0]), {**estimates, "rois": [], "networks": [], "edges": [], "network_pairs": []}
    )
    return layout


ONE = ("heterogeneity/disorder_means",)
ORDER = ["answer", "profiles", "brain", "history", "outcome", "comparison", "criticism", "cohort", "methods",
         "guidelines", "provenance"]  # fmt: skip


def _page(layout: Layout, **changes: object) -> str:
    params = make_params(roster=ONE, questions=("heterogeneity",), **changes)
    report.run(layout, params, "heterogeneity")
    return layout.report("heterogeneity").read_text()


def _text(page: str) -> str:
    page = re.sub(r"<(style|script)>.*?</\1>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_the_page_needs_no_other_file_and_asks_for_none(layout: Layout) -> None:
    page = layout.report("outcome").read_text()
    assert not re.search(r"https?://|@import|url\(|<script [^>]*src|XMLHttpRequest|fetch\(|import\(", page)
    assert all(s.startswith("data:") for s in re.findall(r'src="([^"]*)"', page))
    assert re.findall(r"<link [^>]*>", page) == ['<link rel="icon" href="data:,">']
    assert "default-src 'none'" in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert all(f'id="{anchor}"' in page for anchor in re.findall(r'href="#([^"]+)"', page))
    assert str(layout.root) not in page


def test_nothing_is_missing_from_a_complete_page(layout: Layout) -> None:
    page = layout.report("outcome").read_text()
    assert 'class="missing"' not in page
    kinds = [kind for kind, _ in DATA.findall(page)]
    # a glass brain, cuts and a connectome; a glass brain a disorder, and all of them in one picture of cuts
    assert kinds.count("png") == (3 + len(DISORDERS) + 1) * len(FUNCTIONS)
    assert kinds.count("svg+xml") >= 16
    assert re.findall(r'<section id="(\w+)"', page) == ORDER


def test_what_a_model_does_not_have_is_said(bare: Layout) -> None:
    page = _page(bare)
    for what in ("disorder_means has no regional activation.", "disorder_means has no connectivity.",
                 "disorder_means has no outcome",
                 "Course over waves, and subtypes: this version has no such models.",
                 "Sensitivity: which conclusions move: not run for disorder_means."):  # fmt: skip
        assert what in _text(page)


def test_images_carry_no_clock_and_all_have_words(layout: Layout) -> None:
    page = layout.report("outcome").read_text()
    for kind, content in DATA.findall(page):
        raw = base64.b64decode(content)
        assert b"<dc:date>" not in raw
        assert b"Software" not in raw if kind == "png" else b"<svg" in raw
    alts = re.findall(r'<img [^>]*alt="([^"]*)"', page)
    assert len(alts) == len(DATA.findall(page))
    assert all(len(alt) > 30 for alt in alts)


def test_two_processes_write_equal_bytes(bare: Layout) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\nfrom artefacts import make_params\n"
        "from nssi_bayes import report\nfrom nssi_bayes.store import Layout\n"
        "params = make_params(roster=(sys.argv[3],), questions=('heterogeneity',))\n"
        "report.run(Layout(Path(sys.argv[1])), params, 'heterogeneity')\n"
        "heavy = {'pymc', 'pytensor', 'arviz', 'jax', 'nilearn', 'bambi'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    here = hashlib.sha256(_page(bare).encode()).hexdigest()
    bare.report("heterogeneity").unlink()
    subprocess.run(
        [sys.executable, "-c", code, str(bare.root), str(Path(__file__).parent), ONE[0]],
        check=True, env={**os.environ, "PYTHONHASHSEED": "5"},
    )  # fmt: skip
    assert hashlib.sha256(bare.report("heterogeneity").read_bytes()).hexdigest() == here


def test_a_glass_brain_has_equal_bytes_and_names_its_largest_region() -> None:
    rows = [r for r in make_estimates()["rois"] if r["function"] == FUNCTIONS[0]]
    first, second = (brain.glass_brain("a function", rows, top=0.3) for _ in range(2))
    assert first == second
    assert max(rows, key=lambda r: abs(r["mean"]))["roi"] in first.alt


def test_a_legend_is_marked_as_one(layout: Layout) -> None:
    """Its width is that of a legend, not of the pictures before it."""
    page = layout.report("outcome").read_text()
    assert re.search(r'<div class="legend">\s*<div class="plot"><img', page)


def test_contrasts_of_disorders_stand_in_pictures_words_and_a_table(layout: Layout) -> None:
    """Disorder less the mean of the disorders; the cuts go through the region that differs most."""
    rows = [r for r in make_estimates()["rois_by_disorder"] if r["function"] == FUNCTIONS[0]]
    strongest = max(rows, key=lambda r: abs(r["mean"]))
    page = layout.report("outcome").read_text()
    alt = next(
        a for a in re.findall(r'alt="([^"]*)"', page)
        if f"{pretty(FUNCTIONS[0])}, {pretty(strongest['disorder'])} less the mean of the disorders" in a
    )  # fmt: skip
    assert f"Largest: {strongest['roi']} {number(strongest['mean'])}, positive" in alt
    text = _text(page).replace(" ", "\u00a0")
    ends = f"{number(strongest['low'])} to {number(strongest['high'])}"
    assert f"{number(strongest['mean'])} ({ends})".replace(" ", "\u00a0") in text
    assert f"through\u00a0{strongest['roi']}" in text


def test_reliability_stands_beside_raw_and_standardised_effects(layout: Layout) -> None:
    text = _text(layout.report("outcome").read_text()).replace("\u00a0", " ")
    row = re.search(r" AMY_L limbic [^A-Z]*0\.41 \(0\.21 to 0\.58\) AMY_R limbic", text)
    assert row is not None
    assert "ICC(1,1) of one run, from 14 people or more" in text
    assert "enters no standard error" in text
    assert "Reliability is not known: nobody has two runs" in text  # of edges


def test_a_declared_reliability_names_its_source_and_few_people_are_hidden(bare: Layout) -> None:
    flow = make_flow()
    flow["imaging"]["activation"]["reliability"] = {"people": 0, "declared": "10.1000/invented",
                                                    "icc": {"AMY_L": {"icc": 0.41}}}  # fmt: skip
    write_json(bare.flow("demo"), flow)
    write_json(bare.estimates(ONE[0]), make_estimates())
    assert "declared, not measured in this cohort: 10.1000/invented" in _text(_page(bare))
    flow["imaging"]["activation"]["reliability"] |= {"people": 7, "declared": ""}
    write_json(bare.flow("demo"), flow)
    assert "from &lt;11 people or more" in _page(bare)


def test_how_images_were_read_is_printed(layout: Layout) -> None:
    text = _text(layout.report("outcome").read_text())
    told = text[text.index("How images became numbers") :][:600]
    assert re.search(r"atlas nssi_spheres.*strategy scrubbing.*fd threshold mm 0\.5.*low pass hz 0\.1", told)
    assert "scrubbing in one line" not in text


def test_synthetic_is_said_visibly_before_anything_else(layout: Layout) -> None:
    page = layout.report("outcome").read_text()
    assert "<title>Synthetic: " in page
    assert page.index("Synthetic data.") < page.index("<h1>")
    assert 'aria-label="Kind of data"' in page


def test_a_real_cohort_is_not_called_synthetic(bare: Layout) -> None:
    write_json(bare.flow("demo"), {**make_flow(), "synthetic": False, "title": "A real cohort"})
    checks = read_json(bare.checks(ONE[0]))
    write_json(bare.checks(ONE[0]), {**checks, "synthetic": False})
    page = _page(bare, synthetic_cohorts=())
    assert "Synthetic" not in _text(page)
    assert 'aria-label="Kind of data"' not in page


def test_an_uncertified_model_is_the_first_thing_read(bare: Layout) -> None:
    write_json(bare.checks(ONE[0]), make_checks(ONE[0], certified=False))
    page = _page(bare)
    line = "disorder_means is not certified: failed rhat."
    assert page.index(line) < page.index("Synthetic data.") < page.index("<h1>")
    assert "A posterior to believe: disorder_means is not certified" in page


def test_unverified_instruments_are_named(layout: Layout) -> None:
    page = layout.report("outcome").read_text()
    assert page.index("Scoring key not verified") < page.index("<h1>")


def test_missing_artefacts_appear_and_none_vanishes(bare: Layout) -> None:
    for path in (bare.flow("demo"), bare.checks(ONE[0]), bare.estimates(ONE[0]), bare.cohort("demo")):
        path.unlink()
    text = _text(_page(bare))
    assert "The cohort flow is missing" in text
    assert "The checks of disorder_means are missing" in text
    assert "The estimates of disorder_means are missing" in text
    assert "The comparison of the models is missing" in text
    assert text.count("There are no estimates to show") == 4
    for place in ("data/demo/flow.json", "models/heterogeneity/disorder_means/estimates.json",
                  "reports/heterogeneity/comparison.csv"):  # fmt: skip
        assert f"{place}: the file does not exist" in text
    assert str(bare.root) not in text


def test_a_figure_that_fails_is_named_and_the_rest_stands(bare: Layout) -> None:
    estimates = read_json(bare.estimates(ONE[0]))
    estimates["slopes"][0]["mean"] = None
    write_json(bare.estimates(ONE[0]), estimates)
    text = _text(_page(bare))
    assert "The figure “Associations with the functions” could not be made" in text
    assert "Function profiles" in text


def test_small_cells_are_hidden_with_what_reveals_them(layout: Layout) -> None:
    text = _text(layout.report("outcome").read_text())
    assert re.search(r"eating <11|eating &lt;11", text)
    assert "in the participants table within 10 of 120" in text
    assert re.search(r"isas_01 within 10 of 120 &lt;11 –", text)
    assert "isas_02 120 0 0%" in text
    assert "isas_01 phenotype/isas.tsv missing code &lt;11 0 0" in text
    assert "SGACC maps coverage under 0.5 0 0 14" in text
    assert "polarity" not in text
    assert "As met is not printed where it describes too few people: eating" in text


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (1, "<11"), (10, "<11"), (11, "11"), (100, "100"), (111, "within 10 of 120"), (120, "120")],
)
def test_cells(count: int, shown: str) -> None:
    assert Cells(11, total=120).show(count) == shown


def test_cells_remember_and_share() -> None:
    cells = Cells(11)
    assert [cells.show(n) for n in (130, 125, 100)] == ["130", "within 10 of 130", "100"]
    assert Cells(11).share(4, 120) == "–" == Cells(11).share(116, 120)
    assert Cells(11).share(30, 120) == "25%"
    assert Cells(0).show(3) == "3"


@pytest.mark.parametrize(
    ("p", "over", "expected"),
    [
        (
            0.98,
            0.6,
            "positive, size not settled (positive with probability 0.98, beyond ±0.20 with probability 0.60)",
        ),
        (0.01, 0.6, "negative, size not settled (negative with probability 0.99"),
        (0.5, 0.3, "direction not settled"),
        (0.95, 0.3, "direction not settled"),
        (0.5, 0.02, "practically none (positive with probability 0.50, beyond ±0.20 with probability 0.02)"),
        (0.99, 0.02, "positive, but practically none"),
        (0.99, 0.97, "positive and beyond practical equivalence"),
    ],
)
def test_findings(p: float, over: float, expected: str) -> None:
    assert finding({"p_positive": p, "p_over_rope": over}, rope=0.2, content=0.9).startswith(expected)


def test_numbers_in_words() -> None:
    assert finding({"p_positive": 0.5}, rope=0.2, content=0.9).startswith("direction not settled")
    assert number(-0.001) == "0.00"
    assert number(-0.126) == "−0.13"
    assert number(None) == probability(None) == "–"
    assert probability(0.9999) == ">0.99"
    assert probability(0.0001) == "<0.01"


def test_the_answer_names_interval_kind_and_direction_and_is_not_causal(layout: Layout) -> None:
    estimates = make_estimates()
    told = [c.text for _, found in answer([], estimates) for c in found]
    assert any("90% equal-tailed interval" in s for s in told)
    assert any("not settled" in s for s in told)
    assert len([s for s in told if "adjusted, the largest of 10 differences" in s]) == len(FUNCTIONS)
    text = _text(layout.report("outcome").read_text())
    assert not CAUSAL.search(text), CAUSAL.search(text)


def test_every_number_of_the_page_comes_from_the_estimates(layout: Layout) -> None:
    page = layout.report("outcome").read_text()
    level = make_estimates()["levels"][0]
    row = re.search(r'id="table-levels".*?emotion regulation, adjusted.*?</tr>(.*?)</tr>', page, flags=re.S)
    assert row is not None
    shown = _text(row.group(1))
    assert level["disorder"] == DISORDERS[0]
    for key in ("mean", "low", "high"):
        assert number(level[key]) in shown


def test_no_person_is_named(layout: Layout) -> None:
    assert "sub-0" not in layout.report("outcome").read_text()


def test_tables_escape_and_need_rows() -> None:
    made = table("A name", [{"model": "<b>x</b>", "a|one": "1", "a|two": "2"}])
    assert "<b>" not in made
    assert 'id="table-a-name"' in made
    with pytest.raises(ValueError, match="no row"):
        table("none", [])


def test_a_long_figure_is_described_by_its_range_and_an_empty_one_refused() -> None:
    dots = [Dot(str(i), i, i - 1, i + 1) for i in range(20)]
    assert "means from 0.00 to 19.00" in intervals("many", dots, unit="mm").alt
    with pytest.raises(ValueError, match="no estimate"):
        intervals("none", [], unit="mm")


UNIT = "sd of the outcome per unit of the term, or more"


def test_nothing_is_drawn_beyond_the_edge_of_a_figure() -> None:
    """The margins are the report's own: long labels, units, notes and a legend of two rows must fit."""
    dots = [
        Dot(f"a label as long as labels get {i}", i, i - 1, i + 1, series=s, group="a group", note="0.99")
        for i in range(3) for s in ("one series", "another series", "a third series", "a fourth series")
    ]  # fmt: skip
    svg = base64.b64decode(intervals("a title", dots, unit=UNIT, note="P(> 0)").source.split(",")[1])
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn: list[Figure] = []
    real = figures._fit

    def kept(figure: Figure, axes: Axes) -> None:
        real(figure, axes)
        drawn.append(figure)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "_fit", kept)
        assert base64.b64decode(intervals("a title", dots, unit=UNIT, note="P(> 0)").source[26:]) == svg
    renderer = FigureCanvasAgg(drawn[0]).get_renderer()
    axes, legend = drawn[0].axes[0], drawn[0].legends[0]
    whole, width, height = axes.get_tightbbox(renderer), *drawn[0].bbox.size
    assert whole is not None
    assert min(whole.x0, whole.y0) >= 0
    assert whole.x1 <= width + 1
    assert whole.y1 <= height + 1
    assert legend.get_window_extent(renderer).y1 <= whole.y0
    assert axes.get_window_extent(renderer).width > 0.3 * width


def test_an_unknown_question_gets_a_suggestion(bare: Layout) -> None:
    with pytest.raises(SpecError, match="Did you mean 'heterogeneity'"):
        report.run(bare, make_params(roster=ONE, questions=("heterogeneity",)), "heterogenity")
