"""The experiment counts what runs cost, keeps their results apart, and writes them into the page."""

from dataclasses import replace

import pytest
from experiments.__main__ import main
from experiments.arms import ARMS
from experiments.corpora import CORPORA, PER_DOMAIN, distinct, set_apart
from experiments.figures import ahead, loss_after, loss_within, over_seeds, seconds_per_step
from experiments.meter import Meter, Point
from experiments.one_run import expected_cost, steps_within
from experiments.page import PAGE, replaced, section
from experiments.pictures import draw
from experiments.results import Result, load_all, path_of, save

from dataflex_cli.demo.sample import Sample

pytestmark = pytest.mark.numeric

POOL = 4 * PER_DOMAIN


def result(losses, *, arm="random", seed=0, decision=0.0):
    """A run that is evaluated every 50 steps, with a decision's cost before each."""
    points = tuple(
        Point(steps=50 * n, passes=(50 + decision) * n, training=20.0 * n, deciding=0.4 * decision * n, loss=loss)
        for n, loss in enumerate(losses, start=1)
    )
    return Result(
        corpus="demo-25",
        arm=arm,
        section=dict(ARMS[arm].section),
        seed=seed,
        points=points,
        share=0.5,
        scored=(40,),
        correlations=(0.5,),
        data="d",
    )


@pytest.mark.parametrize(
    ("section", "costs"),
    [
        ({"selector": {"name": "random"}}, [0, 0]),
        ({"selector": {"name": "loss"}, "candidates": 3}, [10, 10]),
        ({"selector": {"name": "less"}, "candidates": 2}, [23.75, 23.75]),
        ({"selector": {"name": "less"}, "candidates": "all", "exact": 0.25}, [6.25, 6.25]),
        ({"selector": {"name": "less"}, "candidates": "all", "exact": 0.01}, [5.75, 5.75]),
        ({"selector": {"name": "less"}, "candidates": "all", "exact": 0.25, "features": "both"}, [43.75, 6.25]),
        ({"selector": {"name": "less", "refresh_target": 2}, "candidates": "all", "exact": 0.25}, [6.25, 2.5]),
    ],
)
def test_what_decisions_are_expected_to_cost(section, costs):
    section = {"update_steps": 10, **section}
    assert [expected_cost(section, n, pool=POOL, batch=16) for n in (1, 2)] == pytest.approx(costs)


def test_a_budget_holds_steps_and_decisions():
    assert steps_within(210, warmup=10, update=10, cost=lambda n: 0.0) == 210
    assert steps_within(42, warmup=10, update=10, cost=lambda n: 6.0) == 30
    assert steps_within(48, warmup=10, update=10, cost=lambda n: 6.0) == 30, "no step after a decision is affordable"
    assert steps_within(49, warmup=10, update=10, cost=lambda n: 6.0) == 31


@pytest.mark.parametrize(
    ("expected", "points"), [(2.0, [(4, 4.0, 4.0), (6, 8.0, 6.0)]), (0.0, [(4, 4.0, 4.0), (6, 8.0, 6.0)])]
)
def test_a_meter_evaluates_at_the_last_step_within_each_budget_and_ends_the_run(expected, points):
    """Also where a decision costs more than was to be expected of it."""
    spent = {"decisions": 0.0}
    meter = Meter(
        budgets=(5, 8),
        evaluate=lambda model: model,
        decided=lambda: spent["decisions"],
        ahead=lambda step: expected if step == 4 else 0.0,
    )
    meter.begin()
    for step in range(1, 20):
        if step == 5:
            spent["decisions"] = 2.0
        meter.decided_and_loaded(float(step - 1))
        if meter.stepped(step, float(step)):
            break
    assert [(point.steps, point.passes, point.loss) for point in meter.points] == points


def test_figures_compare_at_equal_compute():
    plain, dear = result([4.0, 3.0, 2.0]), result([3.5, 2.5], arm="less-4", decision=50.0)
    assert [loss_within(dear, budget) for budget in (100, 199, 200)] == [3.5, 3.5, 2.5]
    assert loss_within(dear, 99) != loss_within(dear, 99), "there is no loss before the first evaluation"
    assert loss_after(plain, 75.0) == pytest.approx(3.5)
    assert loss_after(dear, 150.0) == pytest.approx(3.0)
    assert seconds_per_step(dear) == pytest.approx(0.4)
    assert ahead({0: dear, 1: dear}, {0: plain}, 100) == (0, 1)
    assert str(over_seeds([1.0, 2.0])) == "1.500 ± 0.707"


def test_results_are_kept_by_what_they_depend_on(tmp_path):
    first = result([4.0, 3.0])
    paths = {
        path_of(tmp_path, corpus=corpus, arm=ARMS[arm], seed=seed, data=data)
        for corpus, arm, seed, data in [
            ("demo-25", "random", 0, "d"),
            ("demo-6", "random", 0, "d"),
            ("demo-25", "less-4", 0, "d"),
            ("demo-25", "random", 1, "d"),
            ("demo-25", "random", 0, "e"),
        ]
    }
    assert len(paths) == 5
    for path, kept in zip(sorted(paths), [first, replace(first, protocol=0)], strict=False):
        save(path, kept)
    assert load_all(tmp_path) == [first], "those of an older protocol are passed over"


def test_a_section_of_the_page_has_a_row_for_each_arm_and_is_put_in_its_place():
    runs = {
        name: {seed: result([4.0, 3.0, 2.0, 1.0, 1.0], arm=name, seed=seed) for seed in (0, 1)}
        for name in ("random", "less-4")
    }
    lines = list(section(CORPORA["demo-25"], runs))
    rows = [line for line in lines if line.startswith("| `")]
    assert len(rows) == 4, "by count and by seconds"
    assert rows[1].startswith("| `less-4`: ")
    assert rows[1].endswith(" | 4.000 ± 0.000 | 3.000 ± 0.000 | 1.000 ± 0.000 | 0 of 2 · 0 of 2 · 0 of 2 | 50% |")
    assert list(section(CORPORA["demo-25"], {})) == ["This has not been run."]
    page = PAGE.read_text(encoding="utf-8")
    for name in CORPORA:
        assert "INSIDE" in replaced(page, name, "INSIDE")


def test_a_picture_is_the_same_each_time(tmp_path):
    runs = {name: {0: result([4.0, 3.0, 2.0, 1.0, 1.0], arm=name)} for name in ("random", "less-4")}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        draw(runs, (52.5, 105.0, 210.0), tmp_path / name / "same.svg", title="losses")
    first, second = ((tmp_path / name / "same.svg").read_text(encoding="utf-8") for name in ("a", "b"))
    assert first == second
    assert "less-4" in first


def test_what_is_held_out_shares_no_topic_with_the_rest():
    samples = [
        Sample(instruction=f"q{n}", output=f"an answer that is long enough {n}", topic=f"t{n % 9}") for n in range(90)
    ]
    held_out, rest = set_apart(distinct([*samples, *samples]), 15)
    assert len(held_out) == 15
    assert len(rest) == 70
    assert {sample.topic for sample in held_out}.isdisjoint(sample.topic for sample in rest)


@pytest.mark.parametrize("words", [["pays", "--arms", "nobody"], ["pays", "--corpora", "nothing"], ["other"]])
def test_unknown_names_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        main(words)
    assert "nobody" in (said := capsys.readouterr().err) or "nothing" in said or "other" in said
