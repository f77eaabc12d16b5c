"""Pages of made-up runs in a headless Chromium, Debian's or Playwright's own.

Where there is none, or no axe-core, tests are skipped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from report_runs import Shape, write_run

from dataflex_cli.compare.build import comparison_of
from dataflex_cli.compare.charts import charts_of as comparison_charts
from dataflex_cli.compare.page import page_of as comparison_page
from dataflex_cli.pages.figures import Chart
from dataflex_cli.report.build import report_of
from dataflex_cli.report.charts import charts_of
from dataflex_cli.report.page import page_of
from dataflex_cli.report.reading import read_run

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
SHAPES = {
    "selector": Shape(),
    "mixer": Shape(kinds=("mixer",)),
    "weighter": Shape(kinds=("weighter",)),
    "all three": Shape(kinds=("selector", "mixer", "weighter"), leaked=(1, 2), exact=0.25),
    "killed": Shape(stop=17),
    "many domains": Shape(sizes=tuple(range(10, 50)), decisions=2),
    "one decision": Shape(decisions=1),
}
ODD = {
    "packed": Shape(kinds=("weighter",), decisions=1, packed=True),
    "marked up": Shape(decisions=1, named="<b>&amp; &"),
}
COMPARED = {
    "less-0": Shape(pool=0),
    "less-1": Shape(pool=0, seed=1, evaluation=0.1),
    "mixer": Shape(pool=0, kinds=("mixer",), decisions=9, evaluation=0.4, seed=2),
    "killed": Shape(pool=0, stop=17, seed=4),
    "elsewhere": Shape(pool=0, sizes=(400, 300)),
}
COMPARISONS = {"comparison": [*COMPARED][:4], "comparison of other pools": [*COMPARED][3:]}
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One for all tests."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: nox -s browser does")
    found = next((path for name in CHROMIUM if (path := shutil.which(name)) is not None), None)
    with playwright.sync_playwright() as started:
        if found is None and not Path(started.chromium.executable_path).exists():
            pytest.skip("there is no browser: apt-get install chromium, or playwright install chromium")
        options = {} if found is None else {"executable_path": found}
        made = started.chromium.launch(args=["--no-sandbox"], **options)
        yield made
        made.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    place = os.environ.get("AXE_CORE")
    if not place or not Path(place).is_file():
        pytest.skip("AXE_CORE names no axe.min.js: nox -s browser fetches it with npm")
    return Path(place).read_text(encoding="utf-8")


@dataclass(kw_only=True)
class Opened:
    """A page, with all that it said and asked for."""

    page: Any
    charts: list[Chart]
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def draw_all(self) -> None:
        """Scroll through the page, so that every chart is drawn."""
        for chart in self.charts:
            self.page.locator(f"#plot-{chart.id}").scroll_into_view_if_needed()
            self.page.wait_for_selector(f"#plot-{chart.id} .main-svg")


def compared(folder: Path, names: list[str]) -> tuple[str, list[Chart]]:
    data = comparison_of([(name, read_run(write_run(folder / name, COMPARED[name]))) for name in names])
    return comparison_page(data), comparison_charts(data)


def reported(folder: Path, name: str) -> tuple[str, list[Chart]]:
    others = []
    if name == "all three":
        other = Shape(kinds=("mixer",), decisions=12, evaluation=0.5, seed=3, pool=0)
        others = [("random", read_run(write_run(folder / "other", other)))]
    data = report_of(read_run(write_run(folder / "run", {**SHAPES, **ODD}[name])), others)
    return page_of(data), charts_of(data)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Pages by name, made once, with their charts."""
    found: dict[str, tuple[Path, list[Chart]]] = {}

    def get(name: str) -> tuple[Path, list[Chart]]:
        if name not in found:
            folder = tmp_path_factory.mktemp("pages")
            names = COMPARISONS.get(name)
            page, charts = reported(folder, name) if names is None else compared(folder, names)
            (folder / "page.html").write_text(page, encoding="utf-8")
            found[name] = (folder / "page.html", charts)
        return found[name]

    return get


@contextmanager
def window(browser: Any, made: Any, name: str, size: str, theme: str) -> Iterator[Opened]:
    """A page in a window of its own."""
    path, charts = made(name)
    width, height = SIZES[size]
    viewport = {"width": width, "height": height}
    context = browser.new_context(viewport=viewport, color_scheme=theme, reduced_motion="reduce")
    page = context.new_page()
    found = Opened(page=page, charts=charts)
    page.on("console", lambda message: found.said.append(message.text))
    page.on("pageerror", lambda error: found.said.append(str(error)))
    page.on("request", lambda request: found.asked.append(request.url))
    page.goto(path.resolve().as_uri())
    yield found
    context.close()


def page_of_run(shape: str) -> Any:
    """A fixture: the report of a run of that shape, on a desktop."""

    @pytest.fixture
    def opened(browser, made):
        with window(browser, made, shape, "desktop", "light") as found:
            yield found

    return opened


opened = page_of_run("selector")
of_weighter = page_of_run("weighter")
of_packed = page_of_run("packed")
marked_up = page_of_run("marked up")


def cases() -> Iterator[Any]:
    """Pages with window and theme, of which few are quick."""
    quick = {("all three", "phone", "dark"), ("comparison", "desktop", "light")}
    both = [("desktop", "light"), ("phone", "dark")]
    every = [(name, *how) for name, how in product([*SHAPES, *COMPARISONS], both)]
    rest = [("desktop", "dark"), ("phone", "light")]
    every += [(name, *how) for name, how in product(["all three", "comparison"], rest)]
    for case in every:
        yield pytest.param(case, id="-".join(case), marks=[] if case in quick else pytest.mark.slow)


@pytest.fixture(scope="module", params=cases())
def drawn(request, browser, made):
    """A page with all its charts drawn, opened once for all tests of a module."""
    with window(browser, made, *request.param) as found:
        found.draw_all()
        yield found
