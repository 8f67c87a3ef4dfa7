"""The page in a real browser: Debian's chromium, driven by playwright; skipped where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from artefacts import make_params, write_project
from nssi_bayes import compare, report
from nssi_bayes.store import Layout

CHROMIUM = shutil.which("chromium")
ORDER = ["answer", "profiles", "brain", "history", "outcome", "comparison", "criticism", "cohort", "methods",
         "guidelines", "provenance"]  # fmt: skip
WIDTHS = [390, 1280]

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no chromium here: apt-get install chromium"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A project with the report that has every section, the short version, and the page of all questions."""
    layout = write_project(tmp_path_factory.mktemp("pages"))
    compare.run(layout, make_params(), "outcome")
    report.run(layout, make_params(), "outcome")
    report.run(layout, make_params(), "outcome", audience="clinical")
    return layout


def _open(browser: Browser, path: Path, *, width: int = 1280, script: bool = True) -> tuple[Page, list[str]]:
    """Open a page; return it with what went wrong and every address that it asked for."""
    context = browser.new_context(viewport={"width": width, "height": 900}, java_script_enabled=script)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.on("request", lambda r: wrong.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    page.goto(path.as_uri())
    return page, wrong


def _pages(layout: Layout) -> list[Path]:
    return [layout.report("outcome"), layout.report_for("outcome", "clinical"), layout.index]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_section_is_there_and_nothing_leaves_the_page(
    browser: Browser, layout: Layout, width: int
) -> None:
    page, wrong = _open(browser, layout.report("outcome"), width=width)
    assert [s.get_attribute("id") for s in page.query_selector_all("main > section")] == ORDER
    for section in ORDER:
        assert page.locator(f"#{section}").is_visible()
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    assert wrong == []


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_screen(browser: Browser, layout: Layout, width: int) -> None:
    for path in _pages(layout):
        page, _ = _open(browser, path, width=width)
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path.name


def test_a_table_sorts_by_numbers_and_keeps_its_groups(browser: Browser, layout: Layout) -> None:
    page, _ = _open(browser, layout.report("outcome"))
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    head = page.locator("#table-levels th", has=page.locator("button", has_text="mean"))
    groups = page.locator("#table-levels .gt_group_heading_row").all_inner_texts()

    def means() -> list[list[float]]:
        """Return the means under each heading."""
        found: list[list[float]] = []
        for row in page.query_selector_all("#table-levels tbody tr"):
            cells = row.query_selector_all("th, td")
            if len(cells) == 1:
                found.append([])
            else:
                found[-1].append(float(cells[1].inner_text().replace("−", "-")))
        return found

    before = means()
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert means() == [sorted(group) for group in before]
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert means() == [sorted(group, reverse=True) for group in before]
    assert page.locator("#table-levels .gt_group_heading_row").all_inner_texts() == groups


def test_a_switch_shows_one_and_hides_the_other(browser: Browser, layout: Layout) -> None:
    page, _ = _open(browser, layout.report("outcome"))
    switch = page.locator("#profiles .switch").first
    by_function, by_disorder = switch.locator(".option").all()
    assert by_function.is_visible()
    assert not by_disorder.is_visible()
    button = switch.get_by_role("button", name="by disorder")
    button.press("Enter")
    assert by_disorder.is_visible()
    assert not by_function.is_visible()
    assert button.get_attribute("aria-pressed") == "true"


def test_a_plot_tells_its_values(browser: Browser, layout: Layout) -> None:
    page, _ = _open(browser, layout.report("outcome"))
    spot = page.locator("#profiles .spot:visible").first
    spot.scroll_into_view_if_needed()
    spot.hover()
    assert page.locator("#tip").is_visible()
    assert page.locator("#tip").inner_text() == spot.get_attribute("data-v")
    page.mouse.move(2, 450)
    assert not page.locator("#tip").is_visible()


def test_without_script_everything_is_there(browser: Browser, layout: Layout) -> None:
    page, _ = _open(browser, layout.report("outcome"), script=False)
    for option in page.locator("#profiles .switch .option").all():
        assert option.is_visible()
    assert page.locator(".choice").count() == 0
    assert page.locator("#profiles .switch h4").first.is_visible()


def test_it_prints(browser: Browser, layout: Layout, tmp_path: Path) -> None:
    page, _ = _open(browser, layout.report("outcome"))
    page.emulate_media(media="print")
    for option in page.locator("#profiles .switch .option").all():
        assert option.is_visible()  # what a switch hides on the screen is on paper
    assert not page.locator("nav").is_visible()
    page.pdf(path=tmp_path / "page.pdf", format="A4")
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert content.count(b"/Type /Page\n") + content.count(b"/Type /Page ") > 5


def test_the_keyboard_reaches_the_content_and_the_tables(browser: Browser, layout: Layout) -> None:
    page, _ = _open(browser, layout.report("outcome"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#content"
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName"))
    assert {"BUTTON", "DIV", "SUMMARY"} <= reached


def test_the_index_leads_to_the_report(browser: Browser, layout: Layout) -> None:
    page, wrong = _open(browser, layout.index)
    page.get_by_role("link", name="What goes with the outcome?").click()
    assert page.locator("h1").inner_text() == "What goes with the outcome?"
    assert wrong == []


@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_serious(browser: Browser, layout: Layout, width: int) -> None:
    for path in _pages(layout):
        page, _ = _open(browser, path, width=width)
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        found = Axe().run(page).response["violations"]
        serious = [(v["id"], len(v["nodes"]), v["nodes"][0]["html"][:160]) for v in found
                   if v["impact"] in ("serious", "critical")]  # fmt: skip
        assert serious == [], path.name
