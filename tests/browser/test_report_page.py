"""The report in a real browser: what it draws, that it asks for nothing, and that everybody can use it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from report_runs import Shape, write_run

from dataflex_cli.pages.figures import Chart
from dataflex_cli.report.build import report_of
from dataflex_cli.report.charts import charts_of
from dataflex_cli.report.page import page_of
from dataflex_cli.report.reading import read_run

SHAPES = {
    "selector": Shape(),
    "mixer": Shape(kinds=("mixer",)),
    "weighter": Shape(kinds=("weighter",)),
    "all three": Shape(kinds=("selector", "mixer", "weighter"), leaked=(1, 2)),
    "killed": Shape(stop=17),
    "many domains": Shape(sizes=tuple(range(10, 50)), decisions=2),
    "one decision": Shape(decisions=1),
}
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


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


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Pages by name, made once, with their charts."""
    found: dict[str, tuple[Path, list[Chart]]] = {}

    def get(name: str) -> tuple[Path, list[Chart]]:
        if name not in found:
            folder = tmp_path_factory.mktemp("report")
            others = []
            if name == "all three":
                other = Shape(kinds=("mixer",), decisions=12, evaluation=0.5, seed=3)
                others = [("random", read_run(write_run(folder / "other", other)))]
            data = report_of(read_run(write_run(folder / "run", SHAPES[name])), others)
            (folder / "page.html").write_text(page_of(data), encoding="utf-8")
            found[name] = (folder / "page.html", charts_of(data))
        return found[name]

    return get


@pytest.fixture
def opened(browser, made):
    """Open a page in a window of its own."""
    contexts = []

    def get(name: str, size: str = "desktop", theme: str = "light") -> Opened:
        path, charts = made(name)
        width, height = SIZES[size]
        viewport = {"width": width, "height": height}
        context = browser.new_context(viewport=viewport, color_scheme=theme, reduced_motion="reduce")
        contexts.append(context)
        page = context.new_page()
        found = Opened(page=page, charts=charts)
        page.on("console", lambda message: found.said.append(message.text))
        page.on("pageerror", lambda error: found.said.append(str(error)))
        page.on("request", lambda request: found.asked.append(request.url))
        page.goto(path.resolve().as_uri())
        return found

    yield get
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", SHAPES)
def test_every_chart_shows_the_numbers_of_the_report_and_nothing_is_asked_for(opened, name):
    found = opened(name)
    found.draw_all()
    for chart in found.charts:
        data = chart.frames[-1][1] if chart.frames else chart.data
        drawn = found.page.evaluate(
            "id => document.getElementById(id).data.map(t => ({name: t.name, x: t.x, y: t.y, z: t.z}))",
            f"plot-{chart.id}",
        )
        wanted = [{key: trace.get(key) for key in ("name", "x", "y", "z")} for trace in data]
        shown = [{key: trace.get(key) for key in ("name", "x", "y", "z")} for trace in drawn]
        assert shown == json.loads(json.dumps(wanted)), chart.id
    assert found.said == []
    assert [url for url in found.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in found.asked if url.startswith("file:")]) == 1


def test_a_script_in_a_sample_is_shown_and_not_run(opened):
    found = opened("selector")
    found.page.locator("#table summary").first.click()
    shown = found.page.locator("#table .piece.prompt").first
    assert "<script>document.title" in shown.inner_text()
    assert found.page.title() == "run · DataFlex report"
    assert found.page.locator("#table script, #table img").count() == 0
    assert found.said == []


def test_the_target_sample_that_is_helped_most_is_shown_and_sorted_by(opened):
    found = opened("selector")
    page = found.page
    assert page.locator("#table .helps").first.inner_text().count("cosine") == 1
    summary = page.locator("#table .helps summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert "<script>document.title" in page.locator("#table .helps .piece.prompt").first.inner_text()
    head = page.locator('#table th[data-key="helps"]')
    head.locator("button").focus()
    for order in ("ascending", "descending"):
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == order
        told = page.locator("#table .helps .where").all_inner_texts()
        cosines = [float(text.split()[1].rstrip(",")) for text in told]
        assert cosines == sorted(cosines, reverse=order == "descending")
        assert len(cosines) > 10
    losses = page.locator('#table td[data-label="loss"]').all_inner_texts()
    assert any(loss.startswith("1.") for loss in losses)
    assert found.said == []
    assert page.title() == "run · DataFlex report"


def test_tokens_are_shaded_by_weight_with_the_numbers_beside_them(opened):
    found = opened("weighter")
    page = found.page
    page.locator("#of-weighed").focus()
    page.keyboard.press("Home")
    assert page.locator("#of-weighed option").first.inner_text().startswith("step 4, sample ")
    tokens = page.locator("#shaded span")
    weights = [token.get_attribute("title") for token in tokens.all()]
    assert weights[:4] == ["weight 0", "weight 1.25", "weight 1.25", "weight 2.5"]
    assert tokens.nth(1).inner_text().strip().startswith("<script>document.title")
    lines = [tokens.nth(i).evaluate("e => parseFloat(getComputedStyle(e).borderBottomWidth)") for i in (0, 3, 34)]
    assert lines == sorted(lines)
    assert lines[0] == 0 < lines[2]
    assert tokens.nth(0).evaluate("e => getComputedStyle(e).textDecorationLine") == "line-through"
    page.locator("#tokens summary").focus()
    page.keyboard.press("Enter")
    rows = page.locator("#weights-table tbody tr").all_inner_texts()
    assert len(rows) == 35
    assert [row.split()[-1] for row in rows] == [weight.split()[1] for weight in weights]
    assert "7 tokens more" in page.locator("#weighed-more").inner_text()
    assert found.said == []


def test_the_policy_stops_what_would_ask_a_network_or_run_a_script_of_others(opened):
    page = opened("selector").page
    page.evaluate(
        "() => { window.ran = 0; const tag = document.createElement('script');"
        " tag.textContent = 'window.ran = 1'; document.body.append(tag) }"
    )
    assert page.evaluate("window.ran") == 0
    told = page.evaluate("() => fetch('http://127.0.0.1:9/').then(() => 'asked', error => String(error))")
    assert "asked" not in told
    loaded = page.evaluate(
        "() => new Promise(done => { const i = new Image(); i.onload = () => done(1); i.onerror = () => done(0);"
        " document.addEventListener('securitypolicyviolation', event => done(event.violatedDirective));"
        " i.src = 'http://127.0.0.1:9/x.png' })"
    )
    assert loaded == "img-src"


def test_the_table_is_searched_and_sorted_by_keyboard(opened):
    page = opened("selector").page
    total = int(page.locator("#found").inner_text().split(" of ")[1].split(" ")[0])
    page.locator("#search").focus()
    sample = page.locator("#table tbody tr").nth(3).get_attribute("data-sample")
    page.keyboard.type(f"sample {sample}?")
    assert {row.get_attribute("data-sample") for row in page.locator("#table tbody tr").all()} == {sample}
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    assert page.locator("#found").inner_text().startswith(f"{total} of {total}")

    head = page.locator('#table th[data-key="score"]')
    head.locator("button").focus()
    for order in ("ascending", "descending"):
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == order
        cells = page.locator('#table td[data-label="score"]').all_inner_texts()
        scores = [float(cell) for cell in cells if cell != "–"]
        assert scores == sorted(scores, reverse=order == "descending")
    page.locator("#of-why").focus()
    page.keyboard.type("marginal")
    assert all("marginal" in why for why in page.locator("#table .why").all_inner_texts())
    summary = page.locator("#table summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("#table details[open]").count() == 1


def test_the_theme_changes_by_keyboard_charts_and_all(opened):
    found = opened("selector")
    found.draw_all()
    button = found.page.locator("#theme")
    button.focus()
    colours = []
    for name, theme in (("light", "light"), ("dark", "dark"), ("auto", "light")):
        found.page.keyboard.press("Enter")
        assert button.inner_text() == f"Theme: {name}"
        assert found.page.evaluate("document.documentElement.dataset.theme") == theme
        colours.append(found.page.evaluate("document.getElementById('plot-loss').data[0].line.color"))
    assert colours[0] == colours[2] != colours[1]
    found.page.emulate_media(color_scheme="dark")
    told = found.page.evaluate(
        "() => new Promise(done => { const root = document.documentElement; const look = () =>"
        " root.dataset.theme === 'dark' ? done('dark') : requestAnimationFrame(look); setTimeout(done, 5000); look() })"
    )
    assert told == "dark"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["all three", "killed"])
def test_axe_finds_no_serious_violation(opened, axe, name, size, theme):
    found = opened(name, size, theme)
    found.draw_all()
    found.page.locator("#table summary").first.click()
    if found.page.locator("#tokens summary").count():
        found.page.locator("#tokens summary").click()
    found.page.evaluate(axe)  # past the policy, which stops a script tag
    told = found.page.evaluate("() => axe.run().then(found => found.violations)")
    bad = [
        (rule["id"], [node["html"][:120] for node in rule["nodes"]][:3])
        for rule in told
        if rule["impact"] in ("serious", "critical")
    ]
    assert bad == []


LAID_OUT = """() => {
  const wrong = [];
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) wrong.push(`the page is ${wide} wider than the window`);
  const scrolls = (e) => {
    for (; e; e = e.parentElement) if (/auto|scroll/.test(getComputedStyle(e).overflowX)) return true;
  };
  const all = "main h2, main h3, main p, main dt, main dd, .card, .plot, label, button";
  for (const e of document.querySelectorAll(all)) {
    const box = e.getBoundingClientRect();
    if (getComputedStyle(e).display === "none" || e.hidden || e.closest("[hidden]")) continue;
    if (box.right > innerWidth + 1 && !scrolls(e)) wrong.push(`${e.tagName} ${e.textContent.slice(0, 40)} is cut`);
    if (e.matches("p, h2, h3, dt") && box.height === 0) wrong.push(`${e.tagName} ${e.id} is empty`);
  }
  for (const plot of document.querySelectorAll(".plot")) {
    if (!plot.querySelector(".main-svg")) wrong.push(`${plot.id} is empty`);
    const texts = [...plot.querySelectorAll(".xtitle, .ytitle, .legendtext, .xtick text, .ytick text")];
    const boxes = texts.map((t) => [t.textContent, t.getBoundingClientRect()]).filter(([, b]) => b.width);
    const outer = plot.getBoundingClientRect();
    boxes.forEach(([name, a], i) => {
      if (a.left < outer.left - 2 || a.right > outer.right + 2 || a.bottom > outer.bottom + 2)
        wrong.push(`${plot.id}: ${name} is cut`);
      for (const [other, b] of boxes.slice(i + 1)) {
        const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (x > 2 && y > 2) wrong.push(`${plot.id}: ${name} and ${other} overlap`);
      }
    });
  }
  const cards = [...document.querySelectorAll(".card")].map((card) => [card, card.getBoundingClientRect()]);
  cards.forEach(([one, a], i) => cards.slice(i + 1).forEach(([other, b]) => {
    if (one.contains(other)) return;
    const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (x > 1 && y > 1)
      wrong.push(`${one.textContent.trim().slice(0, 30)} and ${other.textContent.trim().slice(0, 30)} overlap`);
  }));
  return wrong;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SHAPES)
def test_nothing_overlaps_is_cut_or_empty(opened, name, size, theme):
    found = opened(name, size, theme)
    found.draw_all()
    assert found.page.evaluate(LAID_OUT) == []
