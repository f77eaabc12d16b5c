"""The report in a real browser: what its samples, table and theme do, and what its policy stops."""

from __future__ import annotations


def test_a_script_in_a_sample_is_shown_and_not_run(opened):
    opened.page.locator("#table summary").first.click()
    shown = opened.page.locator("#table .piece.prompt").first
    assert "<script>document.title" in shown.inner_text()
    assert opened.page.title() == "run · DataFlex report"
    assert opened.page.locator("#table script, #table img").count() == 0
    assert opened.said == []


def test_the_policy_stops_what_would_ask_a_network_or_run_a_script_of_others(opened):
    page = opened.page
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
    page = opened.page
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
    opened.page.wait_for_selector("#plot-loss .main-svg")
    button = opened.page.locator("#theme")
    button.focus()
    colours = []
    for name, theme in (("light", "light"), ("dark", "dark"), ("auto", "light")):
        opened.page.keyboard.press("Enter")
        assert button.inner_text() == f"Theme: {name}"
        assert opened.page.evaluate("document.documentElement.dataset.theme") == theme
        colours.append(opened.page.evaluate("document.getElementById('plot-loss').data[0].line.color"))
    assert colours[0] == colours[2] != colours[1]
    opened.page.emulate_media(color_scheme="dark")
    told = opened.page.evaluate(
        "() => new Promise(done => { const root = document.documentElement; const look = () =>"
        " root.dataset.theme === 'dark' ? done('dark') : requestAnimationFrame(look); setTimeout(done, 5000); look() })"
    )
    assert told == "dark"


def test_the_target_sample_that_is_helped_most_is_shown_and_sorted_by(opened):
    page = opened.page
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
    assert opened.said == []
    assert page.title() == "run · DataFlex report"


def test_tokens_are_shaded_by_weight_with_the_numbers_beside_them(of_weighter):
    page = of_weighter.page
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
    assert of_weighter.said == []


def test_names_stand_in_charts_as_they_are_written(marked_up):
    marked_up.draw_all()
    wanted = {f"<b>&amp; & {letter}" for letter in "abc"}
    for texts in ("#plot-proportions .legendtext", "#plot-enrichment .ytick text"):
        assert set(marked_up.page.locator(texts).all_text_contents()) == wanted
    assert marked_up.said == []


def test_a_packed_sample_is_named_as_a_part_of_its_row(of_weighter, of_packed):
    names = [found.page.locator("#of-weighed option").first.inner_text() for found in (of_weighter, of_packed)]
    assert ["part 2 of domain" in name for name in names] == [False, True]
    assert of_packed.page.locator("#shaded span").count() == 35
