"""The page in a real browser: what it shows, sorts, filters and copies, and what axe-core finds.

`make test-page` installs what this needs; without it these tests are skipped.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from experiments.matrix.load import load
from experiments.matrix.model import Matrix
from experiments.store.store import Results
from reports.blocks import Grid, Section
from reports.figures.select import select
from reports.page import html
from reports.report import write
from tests.pages import named_store
from tests.records import results_of
from tests.reports.test_answers import fail, matrix_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (1280, 768, 360)
DIGITS = Path(__file__).parents[2] / "reports" / "digits"
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    playwright = pytest.importorskip("playwright.sync_api", reason="no browser: make test-page")
    pytest.importorskip("axe_playwright_python", reason="no axe-core: make test-page")
    if found is None:
        pytest.skip("no browser: make test-page")
    with playwright.sync_playwright() as running:
        # As root, and in containers, there is no sandbox.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = running.chromium.launch(executable_path=found, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two models and three seeds; a training of one failed."""
    tmp = tmp_path_factory.mktemp("page")
    matrix = matrix_of(tmp, models="ghostnet, mobilenetv2")
    results = named_store(matrix, tmp / "runs", ("cat", "dog", "<script>alert(1)</script>", "a|b"))
    return _written(matrix, results, tmp)


def _written(matrix: Matrix, results: Results, folder: Path, is_live: bool = False) -> Path:
    write(select(matrix, results), folder, is_live=is_live)
    return folder / matrix.name


class Opened:
    """A page with all that its browser has to say."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(file.as_uri())

    def column(self, table: int, column: int) -> list[str]:
        """The texts of its visible rows, without marks."""
        cells = self.page.locator("table").nth(table).locator("tbody tr:visible")
        return [
            row.locator("th, td")
            .nth(column)
            .evaluate("cell => (cell.querySelector('.figure') || cell).textContent.trim()")
            for row in cells.all()
        ]


@pytest.fixture
def opened(browser: Browser, folder: Path) -> Iterator[Opened]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Opened(context.new_page(), folder / "index.html")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_quiet_whole_and_accessible(
    width: int, scheme: str, browser: Browser, folder: Path
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
    )
    opened = Opened(context.new_page(), folder / "index.html")
    for is_open in (False, True):
        if is_open:
            opened.page.evaluate(
                "document.querySelectorAll('details').forEach(each => { each.open = true; })"
            )
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        faults = [
            (each["id"], each["impact"], [node["html"] for node in each["nodes"]][:3])
            for each in Axe().run(opened.page).response["violations"]
            if each["impact"] in SERIOUS
        ]
        assert not faults
    assert opened.said == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [
        (folder / "index.html").as_uri()
    ]
    context.close()


def test_tables_of_three_models_fit_a_laptop(browser: Browser) -> None:
    """Those of verdicts too; the data of a plot scroll beneath it."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = Opened(context.new_page(), DIGITS / "index.html").page
    page.evaluate(
        "document.querySelectorAll('section > details').forEach(each => { each.open = true; })"
    )
    cut = (
        "[...document.querySelectorAll('section > .table, section > details > .table')]"
        ".map(each => each.querySelector('.scroll'))"
        ".filter(each => each.scrollWidth > each.clientWidth).map(each => each.ariaLabel)"
    )
    assert page.evaluate(cut) == []
    page.set_viewport_size({"width": 1000, "height": 900})
    assert len(page.evaluate(cut)) > 3
    context.close()


def test_figures_are_those_of_the_csv(opened: Opened, folder: Path) -> None:
    rows = list(csv.DictReader((folder / "verdicts.csv").open()))
    for position, header in enumerate(("plain", "r-drop"), start=1):
        expected = [f"{float(r['figure']):.5f}" for r in rows if r["column"] == header and r["row"]]
        assert opened.column(0, position) == expected
    badges = opened.page.locator("table").nth(0).locator("tbody .badge")
    assert badges.all_inner_texts() == [
        row["verdict"] for row in rows if row["row"] and row["verdict"]
    ]
    records = list(csv.DictReader((folder / "results.csv").open()))
    trainings = {(row["model"], row["seed"], row["rdrop"]) for row in records if row["seed"]}
    cost = opened.page.locator("section[aria-labelledby=cost] tbody tr")
    assert cost.count() == len(trainings) == 12


def test_columns_are_sorted_up_down_and_back(opened: Opened) -> None:
    opened.page.locator("details", has_text="All figures").first.evaluate(
        "each => each.open = true"
    )
    table = opened.page.locator("table").nth(1)
    before = opened.column(1, 2)
    button = table.get_by_role("button", name="Sort by figure")
    head = table.locator("th[scope=col]").nth(2)
    filled = sorted(float(each) for each in before if each)
    for order, expected in (("ascending", filled), ("descending", filled[::-1])):
        button.click()
        assert head.get_attribute("aria-sort") == order
        now = opened.column(1, 2)
        assert [float(each) for each in now if each] == expected
        assert now[len(filled) :] == [""] * (len(before) - len(filled))  # what is empty stays last
    button.press("Enter")
    assert head.get_attribute("aria-sort") is None and opened.column(1, 2) == before


@pytest.mark.parametrize("width", WIDTHS)
def test_the_arrow_is_beside_the_last_word(width: int, browser: Browser, folder: Path) -> None:
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        page = context.new_page()
        page.goto((folder / "index.html").as_uri())
        apart = page.evaluate(
            """[...document.querySelectorAll('thead th:has(button)')].filter(head => {
                const text = document.createRange(), button = head.lastChild.getBoundingClientRect()
                text.setStart(head, 0)
                text.setEndBefore(head.lastChild)
                const last = [...text.getClientRects()].at(-1)
                return last && (button.top > last.bottom || button.left < last.right - 1
                    || button.right > head.getBoundingClientRect().right)
            }).map(head => head.textContent)"""
        )
        assert not apart


def test_times_are_sorted_by_their_length(browser: Browser, tmp_path: Path) -> None:
    times = ["2 h 05", "9 s", "1 d 00 h", "1 min 40", "59 min 59", "30 s"]
    grid = Grid(("job", "time"), [(str(i), time) for i, time in enumerate(times)])
    file = tmp_path / "times.html"
    file.write_text(html.page([Section(1, "T"), Section(2, "S", (grid,))], datetime.now(UTC)))
    page = browser.new_page()
    opened = Opened(page, file)
    page.get_by_role("button", name="Sort by time").click()
    assert opened.column(0, 1) == ["9 s", "30 s", "1 min 40", "59 min 59", "2 h 05", "1 d 00 h"]
    page.close()


def test_rows_are_filtered_by_words(opened: Opened) -> None:
    opened.page.locator("details", has_text="All figures").first.evaluate(
        "each => each.open = true"
    )
    every = opened.column(1, 0)
    box = opened.page.get_by_role("searchbox", name="Filter the rows of t: All figures")
    box.fill("ghostnet r-drop")
    assert opened.column(1, 0) == ["ghostnet"] and opened.column(1, 1) == ["r-drop"]
    assert opened.page.get_by_text(f"1 of {len(every)} rows").is_visible()
    box.fill("")
    assert opened.column(1, 0) == every


def test_a_table_is_copied_to_the_byte(browser: Browser, folder: Path) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    opened = Opened(context.new_page(), folder / "index.html")
    opened.page.get_by_role("button", name="Copy as Markdown: t", exact=True).click()
    opened.page.get_by_text("Copied").wait_for()
    copied = opened.page.evaluate("navigator.clipboard.readText()")
    assert copied == (folder / "t.md").read_text()
    context.close()


def test_figures_show_on_hover_and_go_with_escape(opened: Opened) -> None:
    cell = opened.page.locator("td:has(.badge)").first
    said = cell.locator(".cell > p").first.text_content()
    told = opened.page.locator(".told")
    for show in (cell.hover, cell.locator("summary").focus):
        show()
        assert told.inner_text() == f"{said}\nClick: the runs that it rests on."
        box = told.bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 1280
        opened.page.keyboard.press("Escape")
        assert told.is_hidden()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_cell_opens_by_keyboard(scripts: bool, browser: Browser, folder: Path) -> None:
    context = browser.new_context(java_script_enabled=scripts)
    page = context.new_page()
    page.goto((folder / "index.html").as_uri())
    sources = page.locator("td .sources").first
    assert sources.is_hidden()
    page.locator("td summary").first.press("Enter")
    assert sources.is_visible() and "seed 0: " in sources.inner_text()
    page.emulate_media(media="print")  # where there is room for what is open only
    assert sources.is_visible() and page.locator("td .sources").nth(1).is_hidden()
    context.close()


def test_a_table_has_one_button_for_markdown(browser: Browser, opened: Opened) -> None:
    tables = opened.page.locator(".table:visible")
    for each in tables.all():
        assert each.get_by_text("Markdown").locator("visible=true").count() == 1
    assert tables.count() > 2


def test_a_refused_clipboard_opens_what_is_to_be_copied(opened: Opened) -> None:
    opened.page.evaluate(
        "() => { navigator.clipboard.writeText = () => Promise.reject(new Error()); }"
    )
    opened.page.get_by_role("button", name="Copy as Markdown: t", exact=True).click()
    assert opened.page.locator(".markdown pre").first.is_visible()


def _darkness(page: Page, x: float, y: float) -> float:
    """Of a pixel of the screen: 0 is white."""
    shot = page.screenshot(clip={"x": x, "y": y, "width": 1, "height": 1})
    red, green, blue = Image.open(io.BytesIO(shot)).convert("RGB").getpixel((0, 0))  # type: ignore[misc]
    return 255 - (red + green + blue) / 3


def test_a_shade_tells_that_a_table_goes_on(browser: Browser, folder: Path) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 900}, color_scheme="light")
    page.goto((folder / "index.html").as_uri())
    page.evaluate(
        "document.querySelectorAll('main details').forEach(each => { each.open = true; })"
    )
    scroll = page.locator(".scroll", has=page.locator("table.wide")).first
    scroll.scroll_into_view_if_needed()
    box = scroll.bounding_box()
    row = scroll.locator("tbody tr").first.bounding_box()
    assert box is not None and row is not None
    edge = box["x"] + box["width"] - 3, row["y"] + row["height"] - 4
    assert _darkness(page, *edge) > 20
    scroll.evaluate("each => { each.scrollLeft = each.scrollWidth; }")
    page.wait_for_timeout(100)
    assert _darkness(page, *edge) == 0  # there is no more
    page.close()


def test_the_rows_names_stay_above_what_goes_past_under_them(
    browser: Browser, folder: Path
) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 900})
    page = context.new_page()
    page.goto((folder / "index.html").as_uri())
    seen = page.evaluate(
        """async () => {
            const box = document.querySelector('.scroll'), seen = []
            box.scrollIntoView()
            for (let at = 0; at < box.scrollWidth - box.clientWidth; at += 20) {
                box.scrollLeft = at
                await new Promise(requestAnimationFrame)
                for (const head of box.querySelectorAll('tr > :first-child')) {
                    const of = head.getBoundingClientRect()
                    for (let x = of.left + 4; x < of.right; x += 8)
                        for (let y = of.top + 4; y < of.bottom; y += 4)
                            seen.push(head.contains(document.elementFromPoint(x, y)))
                }
            }
            return seen
        }"""
    )
    assert len(seen) > 1000 and all(seen)
    context.close()


def test_no_verdict_is_cut_at_1280(opened: Opened) -> None:
    opened.page.evaluate(
        "document.querySelectorAll('main details').forEach(each => { each.open = true; })"
    )
    badges = opened.page.locator(".scroll .badge")
    right = "getBoundingClientRect().right"
    inside = f"each => each.{right} <= each.closest('.scroll').{right}"
    assert badges.count() > 4 and all(each.evaluate(inside) for each in badges.all())


def test_all_is_there_without_scripts_and_on_paper(browser: Browser, folder: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "index.html").as_uri())
    assert page.locator("table").first.is_visible() and page.locator("button").count() == 0
    summary = page.locator("summary", has_text="All figures and verdicts").first
    summary.click()
    assert page.locator("table").nth(1).is_visible()
    summary.click()
    assert page.locator("table").nth(1).is_hidden()
    page.emulate_media(media="print")
    assert page.locator("table").nth(1).is_visible()
    assert page.locator("nav").is_hidden()
    assert page.locator(".markdown").first.is_hidden()
    context.close()


def test_a_name_runs_nothing(browser: Browser, tmp_path: Path) -> None:
    """Even a page whose escaping failed would run no script but its own."""
    matrix = matrix_of(tmp_path)
    file = _written(matrix, named_store(matrix, tmp_path / "runs", "abcd"), tmp_path) / "index.html"
    broken = file.read_text().replace("<h1>", "<h1><script>window.ran = 1</script>", 1)
    file.write_text(broken.replace("<h1>", "<h1><img src=x onerror='window.ran = 1'>", 1))
    page = browser.new_page()
    page.goto(file.as_uri())
    assert page.evaluate("window.ran") is None
    assert page.locator("thead button").count() > 0  # its own ran
    page.close()


def _live(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page that reloads itself each second, with a job to do still."""
    monkeypatch.setattr(html, "RELOAD_SECONDS", 1)
    matrix = matrix_of(folder, models="ghostnet, mobilenetv2")
    results = named_store(matrix, folder / "runs", "abcd")
    fail(matrix, results, column=0, seed=0)
    results.failures.clear()
    return _written(matrix, results, folder, is_live=True) / "index.html"


def test_a_live_page_keeps_what_was_sorted_filtered_opened_and_scrolled(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _live(tmp_path, monkeypatch)
    page = browser.new_page(viewport={"width": 400, "height": 600})
    opened = Opened(page, file)
    page.get_by_text("All figures and verdicts").first.click()
    page.locator("td summary").nth(2).click()
    page.get_by_role("button", name="Sort by figure").first.click()
    box = page.get_by_role("searchbox", name="Filter the rows of t: All figures")
    box.fill("ghostnet")
    page.locator(".scroll").nth(1).evaluate("each => { each.scrollLeft = 40; }")
    page.evaluate("scrollTo(0, 333)")
    before = opened.column(1, 0), opened.column(1, 2)
    assert set(before[0]) == {"ghostnet"} and len(before[0]) > 1
    # What is new comes between, and moves what was there.
    file.write_text(
        file.read_text().replace("<main", "<details><summary>New</summary></details><main")
    )
    with page.expect_navigation(timeout=20_000):
        pass
    page.wait_for_load_state()
    assert page.get_by_text("New", exact=True).is_visible()
    assert [page.locator("td details").nth(at).evaluate("each => each.open") for at in (1, 2)] == [
        False,
        True,
    ]
    assert (opened.column(1, 0), opened.column(1, 2)) == before
    assert box.input_value() == "ghostnet"
    assert page.locator("th[aria-sort=ascending]").count() == 1
    assert page.locator(".scroll").nth(1).evaluate("each => each.scrollLeft") == 40
    assert page.evaluate("scrollY") == 333
    assert opened.said == []
    page.close()


def test_a_page_opened_anew_is_as_it_was_written(opened: Opened, folder: Path) -> None:
    opened.page.locator("main > section > details").first.locator("summary").first.click()
    opened.page.goto("about:blank")
    opened.page.goto((folder / "index.html").as_uri())
    assert opened.page.locator("details[open]").count() == 0


def test_without_a_store_nothing_is_kept_and_nothing_breaks(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = browser.new_page()
    page.add_init_script(
        "Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('refused'); } })"
    )
    opened = Opened(page, _live(tmp_path, monkeypatch))
    page.get_by_text("All figures and verdicts").first.click()
    with page.expect_navigation(timeout=20_000):
        pass
    page.wait_for_load_state()
    assert page.locator("main details[open]").count() == 0
    page.get_by_role("button", name="Sort by model").first.click()
    assert opened.said == []
    page.close()


@pytest.mark.parametrize(
    ("minutes", "seconds", "says"),
    [
        (0, 10, None),
        (1, 10, None),
        (20, 120, "20 minutes"),
        (600, 3600, "10 hours"),
        (1500, None, "25 hours"),
    ],
)
def test_an_old_page_reloads_ever_more_seldom(
    minutes: int, seconds: int | None, says: str | None, browser: Browser, tmp_path: Path
) -> None:
    """The page of a runner that was killed."""
    made = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    file = tmp_path / "old.html"
    file.write_text(html.page([Section(1, "T")], made, "It runs.", reloads=True))
    page = browser.new_page()
    page.clock.install(time=made + timedelta(minutes=minutes))
    loads: list[str] = []
    page.on("load", lambda loaded: loads.append(loaded.url))
    opened = Opened(page, file)
    assert len(loads) == 1
    said = page.locator(".age").all_inner_texts()
    assert [says in each for each in said] == [True] if says else said == []
    if seconds is None:
        page.clock.fast_forward(timedelta(days=3) // timedelta(milliseconds=1))
        page.wait_for_timeout(300)
        assert len(loads) == 1
    else:
        page.clock.fast_forward(1000 * seconds - 2000)
        page.wait_for_timeout(200)
        assert len(loads) == 1
        with page.expect_event("load", timeout=20_000):
            page.clock.fast_forward(3000)
    assert opened.said == []
    page.close()


def test_pages_of_other_kinds_fit_too(browser: Browser, tmp_path: Path) -> None:
    """One seed, speeds only, nothing done yet: at each width nothing is wider than the page."""
    speeds = tmp_path / "speeds.yaml"
    speeds.write_text(
        "title: Speeds\ndata: digits\ntrain: {model: ghostnet}\nmatrix: {model: [ghostnet]}\n"
        "tables: {t: {rows: model, columns: [{header: FPS, metric: fps}]}}\n"
    )
    one = matrix_of(tmp_path, seeds="5")
    files = [
        _written(one, named_store(one, tmp_path / "runs", "abcd"), tmp_path / "one"),
        _written(load(speeds), results_of(load(speeds)), tmp_path / "speeds"),
        _written(one, Results(), tmp_path / "none", is_live=True),
    ]
    for file in files:
        for width in WIDTHS:
            page = browser.new_page(viewport={"width": width, "height": 900})
            opened = Opened(page, file / "index.html")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert opened.said == []
            page.close()
