"""`dataflex compare`: runs side by side, at equal steps and at equal work, and what each chose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from report_runs import Shape, write_run

from dataflex_cli.compare.build import comparison_of
from dataflex_cli.compare.charts import charts_of
from dataflex_cli.compare.model import Figure
from dataflex_cli.compare.page import page_of
from dataflex_cli.compare.settings import grouped, settings_of
from dataflex_cli.compare.tables import tables_of
from dataflex_cli.compare.words import ahead
from dataflex_cli.main import cli
from dataflex_cli.pages.html import document_of
from dataflex_cli.report.choice import overlap_by_chance
from dataflex_cli.report.reading import names_of, read_run
from dataflex_core.errors import DataError, UsageError
from dataflex_core.journal import StrategyFact, open_run
from dataflex_core.journal.text_file import TextFile
from dataflex_core.journal.texts import Text

pytestmark = pytest.mark.numeric

LESS = Shape(pool=0)
MIXER = Shape(pool=0, kinds=("mixer",), decisions=9, evaluation=0.4)
RUNS = {
    "less-0": LESS,
    "less-1": replace(LESS, seed=1, evaluation=0.1),
    "mixer-0": replace(MIXER, seed=2),
    "mixer-1": replace(MIXER, seed=3),
    "killed": replace(LESS, seed=4, stop=17),
    "wide": replace(LESS, batch=16, step_cost=0.5),
    "elsewhere": replace(LESS, sizes=(400, 300), seed=5),
    "same sizes": replace(LESS, pool=1),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("runs")
    for name, shape in RUNS.items():
        write_run(made / name, shape)
    return made


@pytest.fixture
def compared(folder):
    """The comparison of some of the runs."""
    return lambda *names: comparison_of([(name, read_run(folder / name)) for name in names])


def called(*words):
    done = CliRunner().invoke(cli, ["compare", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def losses_of(path: Path) -> tuple[list[int], list[float]]:
    told = open_run(path).evaluations
    return [event.step for event in told], [event.figures["eval_loss"] for event in told]


def work_of(path: Path, step: int) -> float:
    """The steps, and the time of all decisions before their end in steps, by the journal alone."""
    run = open_run(path)
    step_seconds = sum(event.seconds - event.deciding for event in run.logged) / run.logged[-1].step
    deciding = sum(event.seconds for event in run.decisions if event.step < step)
    return (1 + run.start.step_cost) * (step + deciding / step_seconds)


def test_losses_are_compared_at_the_last_step_and_the_most_work_that_all_reached(folder, compared):
    data = compared("less-0", "mixer-0", "killed")
    (metric,) = data.metrics
    assert metric.step == 14, "the last evaluation of the killed one"
    ends = {one.name: losses_of(folder / one.name)[0][-1] for one in data.runs}
    assert metric.work == pytest.approx(min(work_of(folder / name, step) for name, step in ends.items()))
    for one in data.runs:
        steps, losses = losses_of(folder / one.name)
        work = [work_of(folder / one.name, step) for step in steps]
        assert one.at_step["eval_loss"] == pytest.approx(np.interp(14, steps, losses))
        assert one.at_work["eval_loss"] == pytest.approx(np.interp(metric.work, work, losses))
        assert one.last["eval_loss"] == losses[-1]
        assert one.work == pytest.approx(work_of(folder / one.name, one.step))


def test_a_step_of_more_samples_and_a_weighter_are_more_work(folder, compared):
    data = compared("less-0", "wide")
    assert data.batch == 8
    assert data.runs[1].work == pytest.approx(2 * work_of(folder / "wide", 34))
    assert any("work is counted in steps of 8" in text for text in data.remarks)


def test_runs_of_other_seeds_are_one_group_with_mean_and_spread(compared):
    data = compared("less-0", "mixer-0", "less-1", "killed", "mixer-1")
    assert [group.members for group in data.groups] == [("less-0", "less-1", "killed"), ("mixer-0", "mixer-1")]
    for group in data.groups:
        members = [one for one in data.runs if one.name in group.members]
        for where in ("at_step", "at_work"):
            values = [getattr(one, where)["eval_loss"] for one in members]
            figure = getattr(group, where)["eval_loss"]
            assert figure.mean == pytest.approx(np.mean(values))
            assert figure.spread == pytest.approx(np.std(values, ddof=1))
            assert figure.count == len(members)
        assert group.last["eval_loss"].count == 2, "a killed one has no last loss of its group"
    assert "3 of selector less and 2 of mixer doremi" in data.words[0]


def test_runs_of_one_seed_are_no_replicates(tmp_path, folder):
    copies = [("a", folder / "less-0"), ("b", write_run(tmp_path / "b", replace(LESS, evaluation=0.2, run="less-0")))]
    other, mixer = ("c", folder / "less-1"), ("m", folder / "mixer-0")
    two = comparison_of([(name, read_run(path)) for name, path in (*copies, mixer)])
    figure = two.groups[0].at_step["eval_loss"]
    a, b = (one.at_step["eval_loss"] for one in two.runs[:2])
    assert (figure.mean, figure.spread, figure.count) == (pytest.approx((a + b) / 2), None, 2)
    assert "Each is of one seed" in two.words[1]
    assert "Of one run, copied or continued, are a and b: together they say nothing of chance." in two.remarks
    three = comparison_of([(name, read_run(path)) for name, path in (*copies, other)])
    a, b, c = (one.at_step["eval_loss"] for one in three.runs)
    figure = three.groups[0].at_step["eval_loss"]
    assert figure.spread == pytest.approx(np.std([(a + b) / 2, c], ddof=1))
    assert (figure.mean, figure.count) == (pytest.approx(((a + b) / 2 + c) / 2), 3)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"seed": 7, "ranks": 2}, ["selector less"]),
        ({"config": {"store": "elsewhere", "keep": {"texts": False}}}, ["selector less"]),
        ({"config": {"report_texts": 3}}, ["selector less"]),
        ({"arguments": {"learning_rate": 0.03}}, ["selector less", "selector less, learning_rate 0.03"]),
        ({"arguments": {"warmup_steps": 9}}, ["selector less", "selector less, LLaMA-Factory's warmup_steps 9"]),
        ({"config": {"exact": 0.25}}, ["selector less", "selector less, exact 0.25"]),
        ({"steps": 99}, ["selector less, steps 34", "selector less, steps 99"]),
        ({"domains": {"a": 5}}, ["selector less, pool 900", "selector less, pool 5"]),
        ({"domains": {"a": 900}}, ["selector less (1)", "selector less (2)"]),
        ("top", ["selector less, selector.top 1", "selector less, selector.top 2"]),
    ],
)
def test_a_group_has_the_same_strategies_parameters_and_data(folder, changes, names):
    start = open_run(folder / "less-0").start
    if changes == "top":
        fact = StrategyFact(kind="selector", name="less", distribution="d", version="1", params={"top": 2})
        start = replace(start, strategies=(replace(fact, params={"top": 1}),))
        changes = {"strategies": (fact,)}
    of, found = grouped([settings_of(start), settings_of(replace(start, **changes))], lambda a, b: False)
    assert (found, of) == (names, [0, len(names) - 1])


def test_overlap_is_of_what_was_chosen_up_to_the_last_step_of_all(folder, compared):
    data = compared("less-0", "mixer-0", "killed")
    assert data.overlap.step == 17
    sets = [
        {sample for step in open_run(folder / one.name).steps if 4 < step.step <= 17 for sample in step.samples}
        for one in data.runs
    ]
    for i, one in enumerate(sets):
        for j, other in enumerate(sets):
            assert data.overlap.matrix[i][j] == pytest.approx(len(one & other) / len(one | other))
            assert data.overlap.chance[i][j] == overlap_by_chance(len(one), len(other), 900)


def test_chance_is_what_draws_share():
    rng = np.random.default_rng(0)
    draws = [(set(rng.choice(500, 200, replace=False)), set(rng.choice(500, 100, replace=False))) for _ in range(50)]
    shared = np.mean([len(one & other) / len(one | other) for one, other in draws])
    assert overlap_by_chance(200, 100, 500) == pytest.approx(shared, rel=0.1)


@pytest.mark.parametrize(
    ("other", "said"), [("elsewhere", "another pool than less-0: domain a 400"), ("same sizes", "of other lengths")]
)
def test_other_pools_and_target_sets_are_said_and_their_samples_not_compared(compared, other, said):
    data = compared("less-0", other)
    assert len(data.groups) == 2
    assert (data.overlap.matrix, data.pool_shares) == ((), {})
    assert said in (data.overlap.why_not or "")
    assert said in data.remarks[0]
    assert any("other target sets" in text for text in data.remarks)
    assert "overlap" not in {chart.id for chart in charts_of(data)}
    assert page_of(data)


def test_target_samples_that_one_run_alone_kept_make_no_other_target_set(tmp_path):
    """A run that tells whom a sample helps keeps the texts of those, too."""
    for name, seed in (("a", 0), ("b", 1)):
        folder = write_run(tmp_path / name, replace(LESS, seed=seed)) / "dataflex"
        text = Text(sample=120 + seed, pieces=(), tokens=1, trained=1, cut=False, target="held")
        TextFile(folder, name, print).write([text])
    data = comparison_of([(name, read_run(tmp_path / name)) for name in ("a", "b")])
    assert [group.members for group in data.groups] == [("a", "b")]
    assert not any("target sets" in text for text in data.remarks)


def test_domains_are_those_of_what_was_trained_on_after_the_warm_up(folder, compared):
    data = compared("mixer-0", "mixer-1")
    chosen = [sum(event.chosen["domain b"] for event in open_run(folder / one.name).decisions[1:]) for one in data.runs]
    shares = [count / (45 * 8) for count in chosen]
    assert [one.shares["domain b"] for one in data.runs] == pytest.approx(shares)
    assert data.groups[0].shares["domain b"].mean == pytest.approx(np.mean(shares))
    assert data.pool_shares["domain b"] == pytest.approx(300 / 900)


@pytest.mark.parametrize("names", [("mixer-0", "mixer-1"), ("mixer-0", "less-0")], ids=["two seeds", "one each"])
def test_a_spread_over_seeds_is_told_where_one_is_drawn(compared, names):
    (chart,) = [one for one in charts_of(compared(*names)) if one.id == "shares"]
    assert ("spread over seeds" in chart.says) == any("error_y" in bar for bar in chart.data) == (names[1] == "mixer-1")


def test_without_evaluations_nothing_is_ranked(tmp_path):
    for name in ("a", "b"):
        journal = write_run(tmp_path / name, LESS) / "dataflex" / "journal.jsonl"
        lines = [line for line in journal.read_text().splitlines(True) if "evaluated" not in line]
        journal.write_text("".join(lines))
    data = comparison_of([(name, read_run(tmp_path / name)) for name in ("a", "b")])
    assert data.metrics == ()
    assert "None of the runs was evaluated" in data.remarks[0]
    assert [chart.id for chart in charts_of(data)] == ["training", "shares", "overlap"]


def test_a_run_that_has_just_begun_is_compared_as_far_as_it_goes(tmp_path, folder):
    run = write_run(tmp_path / "begun", replace(LESS, stop=0))
    data = comparison_of([("less-0", read_run(folder / "less-0")), ("begun", read_run(run))])
    assert (data.runs[1].step, data.runs[1].work, data.runs[1].shares) == (0, 0.0, {})
    assert "begun has chosen nothing yet" in data.remarks[0]
    assert "eval_loss is not compared: of less-0 alone it is known." in data.remarks
    assert (data.metrics[0].step, data.metrics[0].work) == (None, None)
    assert page_of(data)


@pytest.mark.parametrize("names", [("early", "less-0"), ("less-0", "early"), ("late", "killed"), ("killed", "late")])
def test_a_warm_up_is_no_choice(tmp_path, folder, names):
    """Neither of a run that is amid it, nor where another run ends before it does."""
    paths = {
        "early": write_run(tmp_path / "early", replace(MIXER, seed=6, stop=3)),
        "late": write_run(tmp_path / "late", replace(MIXER, seed=7, warmup=20)),
    }
    data = comparison_of([(name, read_run(paths.get(name, folder / name))) for name in names])
    which, step = ("early", 3) if "early" in names else ("late", 17)
    assert data.overlap.why_not == f"{which} has chosen nothing yet, at step {step}"
    assert [one.name for one in data.runs if not one.shares] == (["early"] if which == "early" else [])


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ((1.0, None, 1.5, None), "another seed"),
        ((1.0, 0.1, 1.5, 0.1), "ahead by 0.500"),
        ((1.0, 0.4, 1.5, 0.4), "neither is ahead"),
        ((1.0, None, 1.5, 0.1), "ahead by 0.500"),
    ],
)
def test_ahead_is_what_seeds_do_not_explain(figures, said):
    first, spread, second, other = figures
    two = [Figure(mean=first, spread=spread, count=2), Figure(mean=second, spread=other, count=2)]
    assert said in ahead(two)


def test_the_command_prints_tables_and_writes_a_page_with_its_numbers(folder, tmp_path):
    runs = [folder / name for name in ("less-0", "less-1", "mixer-0")]
    for _ in range(2):  # the second in the place of the first
        done = called(*runs, "-o", tmp_path / "new" / "both.html")
    assert [line for line in done.stdout.splitlines() if line in ("Runs", "eval_loss")] == ["Runs", "eval_loss"]
    line = next(line for line in done.stdout.splitlines() if line.startswith("less-1 ") and "selector" in line)
    assert line.split()[:6] == ["less-1", "selector", "less", "finished", "1", "34"]
    assert "mixer doremi" in done.stdout
    assert done.stdout.splitlines()[-1] == f"Wrote {tmp_path / 'new' / 'both.html'} and both.json"
    numbers = (tmp_path / "new" / "both.json").read_text()
    assert json.loads(numbers) == json.loads(called(*runs, "--json").stdout)
    page = (tmp_path / "new" / "both.html").read_text()
    assert len(page) < 5_000_000
    assert "default-src &#39;none&#39;; script-src &#39;sha256-" in page


def test_a_mean_says_over_how_many_runs_it_is(tmp_path, compared):
    """Of the last loss over those that finished, and of any over those that have it."""
    data = compared("less-0", "less-1", "killed", "mixer-0")
    (sheet,) = [one for one in tables_of(data) if one.title == "eval_loss"]
    *_, (name, at_step, at_work, last) = sheet.rows
    assert name == "selector less, mean of 3"
    assert [text.endswith(" (of 2)") for text in (at_step, at_work, last)] == [False, False, True]
    without = write_run(tmp_path / "without", replace(LESS, seed=6)) / "dataflex" / "journal.jsonl"
    without.write_text("".join(line for line in without.read_text().splitlines(True) if "evaluated" not in line))
    runs = [*data.runs[:2], "without"]
    paths = [tmp_path / "without" if one == "without" else Path(one.folder) for one in runs]
    (sheet,) = [one for one in tables_of(comparison_of([(p.name, read_run(p)) for p in paths])) if "eval" in one.title]
    assert sheet.rows[-1][0] == "selector less, mean of 2"


def test_names_are_shown_as_they_are_written(tmp_path):
    runs = [write_run(tmp_path / name, LESS) for name in ("<script>a", "[b]")]
    assert "<script>a" in called(*runs).stdout
    assert "[b]" in called(*runs).stdout
    data = comparison_of([(path.name, read_run(path)) for path in runs])
    assert "<script>a" not in page_of(data)
    assert json.loads(document_of(data))["runs"][0]["name"] == "<script>a"


def test_runs_are_called_by_as_much_of_their_path_as_sets_them_apart(tmp_path):
    paths = [tmp_path / name for name in ("a/x/out", "b/x/out", "c/other")]
    assert names_of(paths) == ["a/x/out", "b/x/out", "other"]


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        ([], UsageError, "no run is named"),
        (["less-0"], UsageError, "one run cannot be compared"),
        (["less-0", "less-0"], UsageError, "is named twice"),
        (["less-0", "nothing"], DataError, "has no journal"),
        (["less-0", "less-1", "-o", "out.json"], UsageError, "is where the numbers would lie"),
        (["less-0", "less-1", "--open"], UsageError, "none is asked for"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_hint(folder, monkeypatch, words, kind, said):
    monkeypatch.chdir(folder)
    with pytest.raises(kind, match=said) as told:
        called(*words)
    assert told.value.hint
