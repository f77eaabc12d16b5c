"""Pages in a real browser: they draw their numbers, ask for nothing, and everybody can use them, on any screen.

Of each kind of page one case is quick; the others are marked slow.
"""

from __future__ import annotations

import json


def test_every_chart_shows_its_numbers_and_nothing_is_asked_for(drawn):
    for chart in drawn.charts:
        data = chart.frames[-1][1] if chart.frames else chart.data
        there = drawn.page.evaluate(
            "id => document.getElementById(id).data.map(t => ({name: t.name, x: t.x, y: t.y, z: t.z}))",
            f"plot-{chart.id}",
        )
        wanted = [{key: trace.get(key) for key in ("name", "x", "y", "z")} for trace in data]
        shown = [{key: trace.get(key) for key in ("name", "x", "y", "z")} for trace in there]
        assert shown == json.loads(json.dumps(wanted)), chart.id
    assert drawn.said == []
    assert [url for url in drawn.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in drawn.asked if url.startswith("file:")]) == 1


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


def test_nothing_overlaps_is_cut_or_empty(drawn):
    assert drawn.page.evaluate(LAID_OUT) == []


def test_axe_finds_no_serious_violation(drawn, axe):
    for summary in drawn.page.locator("#table summary").all()[:1]:
        summary.click()
    drawn.page.evaluate(axe)  # past the policy, which stops a script tag
    told = drawn.page.evaluate("() => axe.run().then(found => found.violations)")
    bad = [
        (rule["id"], [node["html"][:120] for node in rule["nodes"]][:3])
        for rule in told
        if rule["impact"] in ("serious", "critical")
    ]
    assert bad == []
