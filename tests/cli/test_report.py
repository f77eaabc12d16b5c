"""`dataflex report`: the numbers of the page, its alerts, and what it says."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from report_runs import SCRIPT, STRATEGIES, Shape, write_run

from dataflex_cli.commands.report import report
from dataflex_cli.compare.build import comparison_of
from dataflex_cli.pages.figures import Curve
from dataflex_cli.pages.html import PLOTLY, PLOTLY_SHA256, document_of
from dataflex_cli.report.alerts import CHECKS, alerts_of
from dataflex_cli.report.alike import pairs_alike, twins_of
from dataflex_cli.report.build import report_of
from dataflex_cli.report.charts import charts_of
from dataflex_cli.report.curves import domain_weights, fitted_losses, weights_over_run
from dataflex_cli.report.judged import BANDS, judged_of
from dataflex_cli.report.model import Alert, Enrichment, Lengths, Scores
from dataflex_cli.report.page import _domains, page_of
from dataflex_cli.report.reading import read_run
from dataflex_cli.report.single import Leaks, Sample, Twins
from dataflex_cli.report.versus import verdict_of
from dataflex_cli.report.words import times, words_of
from dataflex_core.errors import DataError, UsageError
from dataflex_core.journal import Trained
from dataflex_core.journal.pool_facts import PoolFacts, write_pool_facts
from dataflex_core.journal.scores import DecisionScores, read_scores
from dataflex_core.planning.exhaustion import ACTIONS

pytestmark = pytest.mark.numeric

KINDS = [("selector",), ("mixer",), ("weighter",), ("selector", "mixer", "weighter")]


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", Shape())


@pytest.fixture
def data(run):
    return report_of(read_run(run))


def test_the_command_writes_a_page_and_the_same_numbers_as_json(run):
    result = CliRunner().invoke(report, [str(run)])
    assert result.exit_code == 0, result.output
    page, numbers = run / "dataflex" / "report.html", run / "dataflex" / "report.json"
    assert "It decided by selector less." in result.output
    assert f"Wrote {page} and report.json" in result.output
    assert json.loads(numbers.read_text())["run"]["steps"] == 34
    assert page.stat().st_size < 5_000_000


@pytest.mark.parametrize("kinds", KINDS, ids="+".join)
@pytest.mark.parametrize("stop", [None, 17, 5], ids=["finished", "killed", "killed early"])
def test_figures_are_those_of_the_journal(tmp_path, kinds, stop):
    data = report_of(read_run(write_run(tmp_path, Shape(kinds=kinds, stop=stop))))
    steps = [json.loads(line) for line in (tmp_path / "dataflex" / "journal.jsonl").read_text().splitlines()[:-1]]
    ids = [sample for record in steps if record["event"] == "step" for sample in record["samples"]]
    assert (data.run.samples, data.run.unique) == (len(ids), len(set(ids)))
    assert data.run.state == ("finished" if stop is None else "unfinished")
    assert data.run.step == (stop or 34)
    assert sum(times * count for times, count in data.repeats) == len(ids)
    decided = [record for record in steps if record["event"] == "decision"]
    assert [one.chosen for one in data.decisions] == [record["chosen"] for record in decided]
    if decided:
        assert data.decisions[-1].seen == len(set(ids))
        for one in data.decisions:
            names = [np.repeat(list(data.run.domains), [400, 300, 200])[i] for i in ids[8 * one.step : 8 * one.until]]
            assert one.trained == len(names)
            assert one.shares == pytest.approx({name: names.count(name) / len(names) for name in data.run.domains})
        (drawn,) = [chart for chart in charts_of(data) if chart.id == "proportions"]
        assert drawn.data[0]["x"][-1] == data.run.step, "and no step that is planned alone"
        pool, owners = sum(data.run.domains.values()), np.repeat(list(data.run.domains), [400, 300, 200])
        trained, after = owners[ids].tolist(), owners[ids[4 * 8 :]].tolist()
        assert data.trained == {name: trained.count(name) for name in data.run.domains}
        for row in _domains(data):
            assert row["epochs"] == pytest.approx(trained.count(row["name"]) / row["size"])
        chosen, every = {name: after.count(name) for name in data.run.domains}, len(after)
        for one in data.enrichment:
            share = data.run.domains[one.name] / pool
            assert one.ratio == pytest.approx(chosen[one.name] / every / share)
        (coverage,) = [chart for chart in charts_of(data) if chart.id == "coverage"]
        assert coverage.data[0]["x"][-1] == data.run.step, "and no step that is not done yet"
    assert bool(data.weights) == bool(data.domain_losses) == bool(data.domain_weights) == ("weighter" in kinds)
    page = page_of(data)
    assert all(f'id="plot-{chart.id}"' in page for chart in charts_of(data)), "every chart has its place"
    assert json.loads(document_of(data))


def test_overlap_is_of_what_two_decisions_trained_on(run, data):
    seen = read_run(run)
    first, second = (set(seen.chosen(event).tolist()) for event in seen.decisions[1:3])
    decisions, matrix = data.overlap
    assert decisions == (1, 2, 3, 4, 5, 6)
    assert matrix[0][1] == matrix[1][0] == pytest.approx(len(first & second) / len(first | second))
    assert all(row[i] == 1.0 for i, row in enumerate(matrix))


def test_scores_are_counted_as_they_were_kept(run, data):
    kept = {one.decision: one for one in read_scores(run / "dataflex")}
    assert [one.decision for one in data.scores] == [1, 2, 3, 4, 5, 6]
    for one in data.scores:
        scores = kept[one.decision].scores
        assert (one.count, one.lost) == (len(scores), 0)
        assert one.judged == tuple(np.histogram(scores, one.edges)[0].tolist())
        assert sum(one.chosen) == len(set(read_run(run).chosen(read_run(run).decisions[one.decision]).tolist()))
        assert one.mean == pytest.approx(scores.mean(), rel=1e-5)
    assert [band.name for band in data.bands] == list(reversed(BANDS))
    assert [round(band.chosen, 2) for band in data.bands] == [0.8, 0.2, 0, 0, 0]


def test_lengths_of_another_pool_are_not_taken_for_those_of_the_run(tmp_path, run):
    facts = PoolFacts(lengths=np.arange(15, dtype=np.int32), cutoff_len=100)
    write_pool_facts(run / "dataflex", "run", facts, print)
    data = report_of(read_run(run))
    assert data.lengths is None
    assert {one.length_correlation for one in data.scores} == {None}


@pytest.mark.numeric
def test_of_several_scores_the_largest_that_is_a_number_counts():
    scores = np.array([[1, 3], [2, np.nan], [np.nan, np.nan]], dtype=np.float32)
    told = DecisionScores(
        decision=1, ids=np.arange(3), scores=scores, chosen=np.array([1, 0, 0]), stands_for=np.ones(3)
    )
    (one,), _ = judged_of([told], 1, None)
    assert (one.count, one.lost, one.mean) == (2, 1, 2.5)


def test_samples_that_stand_for_many_count_as_many():
    ids, scores = np.arange(6), np.array([0, 1, 2, 3, 9, np.nan], dtype=np.float32)
    told = DecisionScores(
        decision=1,
        ids=ids,
        scores=scores,
        chosen=np.array([0, 0, 0, 0, 2, 0]),
        stands_for=np.array([10.0, 10.0, 10.0, 10.0, 10.0, 3.0]),
    )
    (one,), bands = judged_of([told], 1, np.array([5, 4, 3, 2, 1, 9], dtype=np.int32))
    assert (one.count, one.lost, sum(one.judged)) == (50, 3, 50)
    assert one.mean == pytest.approx(3.0)
    assert one.length_correlation == pytest.approx(-1.0)
    assert [band.chosen for band in bands] == [1, 0, 0, 0, 0]


@pytest.mark.parametrize("others", [[], [2.0]], ids=["a decision of equal scores", "beside one of others"])
def test_scores_that_are_all_the_same_have_no_fifths(others):
    told = [
        DecisionScores(
            decision=number,
            ids=np.arange(5),
            scores=np.arange(5, dtype=np.float32) * slope + 1,
            chosen=np.array([0, 0, 0, 0, 2]) if slope else np.array([2, 0, 0, 0, 0]),
            stands_for=np.ones(5),
        )
        for number, slope in enumerate([0.0, *others])
    ]
    judged, bands = judged_of(told, len(told), None)
    assert len(judged) == len(told)
    assert [band.chosen for band in bands] == ([1, 0, 0, 0, 0] if others else [])


def test_scores_of_what_was_chosen_alone_are_not_taken_for_those_of_all(tmp_path):
    def twice(record):
        return record | {"judged": 2 * record["judged"]} if record["event"] == "decision" else record

    data = report_of(read_run(_changed(write_run(tmp_path / "run", Shape()), twice)))
    assert [one.of_all for one in data.scores] == [False] * 6
    assert data.bands == ()
    assert not {"no-better-than-chance", "constant-scores"} & {alert.id for alert in data.alerts}
    assert "constant-scores" not in _alerts(data, scores=(replace(data.scores[0], spread=0.0),))
    (chart,) = [one for one in charts_of(data) if one.id == "scores"]
    assert {trace["name"] for _, frame in chart.frames for trace in frame} == {"chosen"}
    assert chart.says.startswith("Of the samples that were chosen")


@pytest.mark.parametrize(("chosen", "by_number"), [([1, 1, 0, 0], True), ([0, 1, 0, 1], False), ([1, 1, 1, 1], False)])
def test_of_equal_scores_it_is_told_whether_numbers_decided(data, chosen, by_number):
    equal = DecisionScores(
        decision=1,
        ids=np.array([3, 5, 8, 9]),
        scores=np.ones(4, dtype=np.float32),
        chosen=np.array(chosen),
        stands_for=np.ones(4),
    )
    told, _ = judged_of([equal], 1, None)
    alert = _alerts(data, scores=told)["constant-scores"]
    assert ("sample numbers" in alert.detail) == by_number
    assert "target set" in alert.todo
    free = replace(data.run, targets={})
    assert "target set" not in _alerts(data, scores=told, run=free)["constant-scores"].todo


@pytest.mark.parametrize(
    ("action", "is_instead"), [("drawn: all are alike", True), *((str(action), False) for action in sorted(ACTIONS))]
)
def test_a_selector_that_had_nothing_to_choose_by_is_not_told_of_equal_scores(tmp_path, action, is_instead):
    short = {"domain": None, "wanted": 40, "had": 0, "action": action}

    def drawn(record):
        return record | {"shortages": [short]} if record.get("decision") == 1 else record

    data = report_of(read_run(_changed(write_run(tmp_path / "run", Shape()), drawn)))
    found = _alerts(data, scores=(scores(spread=0.0),))
    assert ("constant-scores" in found, "shortages" in found) == (not is_instead, not is_instead)
    assert ("nothing-to-choose-by" in found) == is_instead
    if is_instead:
        assert found["nothing-to-choose-by"].detail == f"What was trained on was {action}."


def test_cost_is_measured_in_training_steps(data):
    # 7 logs of 4 s beside their steps', 3 s of each for deciding; 6 decisions of 3 s and a warm-up of .01 s.
    training = 34 + 7 * 4 - 7 * 3
    assert data.cost.training_seconds == pytest.approx(training)
    assert data.cost.measured == pytest.approx(18.01 * 34 / training)
    assert data.cost.break_even == pytest.approx(1 + data.cost.measured / 30)
    assert data.cost.declared == pytest.approx(6 * 17.5)


def _changed(folder: Path, change) -> Path:
    """The run in ``folder`` with each record of its journal as ``change`` gives it, without those that are None."""
    journal = folder / "dataflex" / "journal.jsonl"
    records = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
    kept = [found for record in records if (found := change(record)) is not None]
    journal.write_text("".join(json.dumps(record) + "\n" for record in kept))
    return folder


@pytest.mark.parametrize(
    ("stop", "logs"),
    [(None, {34}), (None, {4}), (None, {4, 14}), (17, {4}), (9, {4, 9}), (33, {29})],
    ids=["seldom", "the first alone", "the last ones missing", "killed", "killed at a log", "killed before one"],
)
def test_what_a_step_took_is_told_by_those_that_were_timed(tmp_path, stop, logs):
    since = 0

    def few(record):
        nonlocal since
        if record["event"] != "logged":
            return record
        if record["step"] not in logs:
            return None
        steps, since = record["step"] - since, record["step"]
        return record | {"seconds": steps + 30.0, "deciding": 30.0}

    seen = read_run(_changed(write_run(tmp_path / "run", Shape(stop=stop)), few))
    cost, done = report_of(seen).cost, stop or 34
    deciding = sum(event.seconds for event in seen.every)
    assert cost.training_seconds == pytest.approx(done)
    assert cost.measured == pytest.approx(deciding)
    assert cost.work == pytest.approx(done + deciding)
    assert cost.break_even == pytest.approx(1 + deciding / (5 * (len(seen.every) - 1)))


def test_a_process_that_went_on_has_timed_its_own_steps_alone(tmp_path):
    """The first timed four steps; the second went on after step 30, and timed four more."""

    def resumed(record):
        if record["event"] == "logged":
            return record | {"seconds": 8.0, "deciding": 0.0} if record["step"] in (4, 34) else None
        return record

    run = _changed(write_run(tmp_path / "run", Shape()), resumed)
    journal = run / "dataflex" / "journal.jsonl"
    lines = journal.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if json.loads(line).get("step") == 31)
    resume = json.dumps({"event": "resume", "schema": 2, "step": 30, "checkpoint": "checkpoint-30"})
    journal.write_text("\n".join([*lines[:at], resume, *lines[at:]]) + "\n")
    assert report_of(read_run(run)).cost.training_seconds == pytest.approx(2 * 34)


def test_evaluations_and_checkpoints_are_no_training(tmp_path):
    def slower(record):
        if record["event"] == "logged":
            record |= {"seconds": record["seconds"] + 30.0, "paused": 30.0}
        return record

    plain = report_of(read_run(write_run(tmp_path / "plain", Shape()))).cost
    cost = report_of(read_run(_changed(write_run(tmp_path / "paused", Shape()), slower))).cost
    assert (cost.training_seconds, cost.measured, cost.work, cost.break_even) == pytest.approx(
        (plain.training_seconds, plain.measured, plain.work, plain.break_even)
    )


@pytest.mark.parametrize("step_cost", [0.0, 0.5, 2.0])
def test_all_work_of_a_report_is_in_one_unit(tmp_path, step_cost):
    own = read_run(write_run(tmp_path / "own", Shape(pool=0, step_cost=step_cost)))
    short = read_run(write_run(tmp_path / "short", Shape(pool=0, seed=1, decisions=3)))
    data = report_of(own, [("short", short)])
    assert data.cost.work == pytest.approx(34 * (1 + step_cost) + data.cost.steps)
    assert data.cost.work == pytest.approx(data.against[0].own.steps[-1])
    assert f"This run went on to {data.cost.work:,.0f}" in data.words[-1]
    same = report_of(read_run(write_run(tmp_path / "plain", Shape(pool=0))))
    assert data.cost.break_even == pytest.approx(same.cost.break_even), "in steps of its own it cost as much"


@pytest.mark.parametrize("told", [True, False], ids=["of each decision", "of the first alone"])
def test_what_nobody_timed_costs_what_was_declared_of_each_decision(tmp_path, told):
    def untimed(record):
        if record["event"] == "decision":
            record["cost"] = float(record["decision"]) if told else 0.0
        return None if record["event"] == "logged" else record

    seen = read_run(_changed(write_run(tmp_path / "run", Shape()), untimed))
    cost = report_of(seen).cost
    assert (cost.measured, cost.training_seconds) == (None, None)
    assert cost.declared == (1 + 2 + 3 + 4 + 5 + 6 if told else 6 * 17.5)
    assert cost.work == 34 + cost.declared


def test_of_an_older_run_in_the_folder_nothing_is_told(run):
    """LLaMA-Factory appends to its log, so that this one may be that of another run."""
    journal = run / "dataflex" / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    kept = [record for record in lines if record["event"] not in ("trained", "evaluated", "logged")]
    journal.write_text("".join(json.dumps(record) + "\n" for record in kept))
    log = {"current_steps": 10, "loss": 4.5, "eval_loss": 4.4, "elapsed_time": "0:00:20"}
    (run / "trainer_log.jsonl").write_text(json.dumps(log) + "\n")
    data = report_of(read_run(run))
    assert (data.losses.steps, data.evaluations, data.cost.training_seconds) == ((), (), None)


@pytest.mark.parametrize(
    ("name", "page"),
    [("journal.jsonl", "report.html"), ("journal-1.jsonl", "report-1.html"), ("kept.jsonl", "kept.html")],
)
def test_the_page_of_an_earlier_run_of_a_folder_is_not_that_of_the_last(run, name, page):
    last = run / "dataflex" / "report.html"
    (run / "dataflex" / "journal.jsonl").rename(run / "dataflex" / name)
    if page != last.name:
        last.write_text("<!-- a page -->")
    done = CliRunner().invoke(report, [str(run / "dataflex" / name)])
    assert done.exit_code == 0, done.output
    assert (run / "dataflex" / page).with_suffix(".json").is_file()
    assert (last.read_text() == "<!-- a page -->") == (page != last.name)


def test_the_table_has_text_rank_and_row_of_what_was_shown(data):
    whys = {why for row in data.samples for why in row.why}
    assert whys == {"highest", "lowest", "marginal", "random"}
    best = next(row for row in data.samples if row.decision == 6 and row.rank == 1)
    assert (best.why[0], best.chosen, best.judged) == ("highest", True, 160)
    assert best.pieces[0] == ("prompt", f"Sample {best.sample}? {SCRIPT}")
    assert (best.file, best.row) == ("/data/some.jsonl", best.sample + 1)
    assert len({(row.decision, row.sample) for row in data.samples}) == len(data.samples)


def test_without_texts_there_are_none(run, tmp_path):
    for _ in range(2):  # the second in the place of the first
        result = CliRunner().invoke(report, [str(run), "--no-texts", "-o", str(tmp_path / "new" / "page.html")])
    assert result.exit_code == 0, result.output
    for file in ("page.html", "page.json"):
        assert "document.title = 'run'" not in (tmp_path / "new" / file).read_text()
    samples = json.loads((tmp_path / "new" / "page.json").read_text())["samples"]
    assert {row["file"] for row in samples} == {"/data/some.jsonl"}
    assert all(row["pieces"] == [] for row in samples)
    told = json.loads((tmp_path / "new" / "page.json").read_text())
    assert (told["leaks"]["near"], told["twins"]) == ([], []), "nothing is the same as nothing"


def test_texts_are_data_and_never_markup(data):
    page = page_of(data)
    assert SCRIPT not in page
    assert page.count("<script") == 5
    assert "\\u003cscript\\u003edocument.title" in page


def test_the_policy_lets_nothing_in_but_the_pages_own_scripts(data):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page_of(data))
    assert policy is not None
    words = dict(part.strip().split(" ", 1) for part in policy[1].replace("&#39;", "'").split(";"))
    assert words["default-src"] == "'none'"
    assert re.fullmatch(r"('sha256-[\w+/=]{44}' ?){3}", words["script-src"])
    assert not re.search(r"http|unsafe-eval|connect", policy[1])


def test_plotly_is_the_file_of_the_registry():
    vendor = files("dataflex_cli.pages").joinpath("vendor")
    assert sha256(vendor.joinpath(PLOTLY).read_bytes()).hexdigest() == PLOTLY_SHA256
    assert "MIT" in vendor.joinpath("plotly-LICENSE").read_text()


def test_proportions_are_yaml_of_a_static_mixer(data):
    section = yaml.safe_load(data.proportions)["dataflex"]
    assert section["mixer"]["name"] == "static"
    shares = section["mixer"]["proportions"]
    assert shares == pytest.approx({one.name: one.chosen for one in data.enrichment}, abs=1e-4)


@pytest.mark.parametrize(
    ("added", "paid", "word"), [((0.5, 0.6), True, "It paid"), ((-2.0, -2.1), False, "It did not pay")]
)
def test_whether_it_paid_is_told_at_equal_work(tmp_path, run, added, paid, word):
    others = []
    for i, more in enumerate(added):
        shape = Shape(kinds=("mixer",), decisions=20, evaluation=more, seed=i + 1, pool=0)
        others.append(write_run(tmp_path / f"other-{i}", shape))
    result = CliRunner().invoke(report, [str(run), *(w for other in others for w in ("--against", str(other)))])
    assert result.exit_code == 0, result.output
    assert word in result.output
    data = json.loads((run / "dataflex" / "report.json").read_text())
    one = data["against"][0]
    assert one["at"] == min(one["own"]["steps"][-1], one["curve"]["steps"][-1])
    assert one["ours"] == pytest.approx(np.interp(one["at"], one["own"]["steps"], one["own"]["values"]))
    assert data["verdict"]["paid"] is paid
    differences = [other["ours"] - other["theirs"] for other in data["against"]]
    assert data["verdict"]["difference"] == pytest.approx(np.mean(differences))
    assert data["verdict"]["spread"] == pytest.approx(np.std(differences, ddof=1))


def _evaluated(folder: Path, figures: dict[int, dict[str, float]]) -> Path:
    """The run in ``folder``, evaluated at these steps alone."""
    journal = folder / "dataflex" / "journal.jsonl"
    lines = [line for line in journal.read_text().splitlines() if '"evaluated"' not in line]
    lines += [json.dumps({"event": "evaluated", "step": step, "figures": told}) for step, told in figures.items()]
    journal.write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def against(tmp_path):
    """The report of a run against others, by the figures that each was evaluated with; 8 samples a step or ``batch``.

    None of them decides, so that their work is their steps.
    """

    def held(first, *others, batch=8):
        def write(name, figures, batch):
            shape = Shape(kinds=(), warmup=4, decisions=6, pool=0, batch=batch)
            return read_run(_evaluated(write_run(tmp_path / name, shape), figures))

        seen = write("own", first, 8)
        return report_of(seen, [(f"{i}", write(f"{i}", figures, batch)) for i, figures in enumerate(others)])

    return held


def _losses(values: dict[int, float], name: str = "eval_loss") -> dict[int, dict[str, float]]:
    return {step: {name: value} for step, value in values.items()}


def test_a_step_of_more_samples_is_more_work(against):
    data = against(_losses({10: 2.0, 20: 1.5}), _losses({5: 2.4, 10: 1.9}), batch=16)
    (one,) = data.against
    assert (one.batch, one.curve.steps) == (16, (10.0, 20.0))
    assert (one.at, one.ours, one.theirs) == (20.0, 1.5, 1.9)
    assert data.verdict.paid is True
    assert "counted in steps of 8 samples" in data.words[-1]
    same = against(_losses({10: 2.0}), _losses({10: 2.4}))
    assert "counted in steps" not in same.words[-1]


def test_a_report_and_a_comparison_tell_the_same_work(tmp_path):
    runs = [("a", read_run(write_run(tmp_path / "a", Shape(pool=0))))]
    runs.append(("b", read_run(write_run(tmp_path / "b", Shape(pool=0, seed=1, batch=16, step_cost=0.5)))))
    held, told = report_of(runs[0][1], runs[1:]), comparison_of(runs)
    (one,) = held.against
    assert one.at == told.metrics[0].work
    assert [one.ours, one.theirs] == [run.at_work["eval_loss"] for run in told.runs]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pool": 1}, "other target sets than"),
        ({"model": "another/model"}, "trains another/model"),
        ({"run": "own"}, "one run, copied or continued"),
    ],
    ids=["target sets", "model", "itself"],
)
def test_no_verdict_is_given_where_a_comparison_says_that_losses_say_nothing(tmp_path, changes, said):
    own = write_run(tmp_path / "own", Shape(pool=0))
    other = write_run(tmp_path / "other", replace(Shape(pool=0, seed=1, evaluation=0.5), **changes))
    third = write_run(tmp_path / "third", Shape(pool=0, seed=2, evaluation=0.5))
    remarks = comparison_of([("own", read_run(own)), ("other", read_run(other))]).remarks
    assert any(said.removeprefix("one run, ") in text for text in remarks)
    runs = [(path.name, read_run(path, texts=False)) for path in (other, third)]
    data = report_of(read_run(own), runs)
    assert said in (data.against[0].why_not or "")
    assert data.against[1].why_not is None
    assert data.verdict.runs == 1
    assert "Not compared: other (below)." in data.words[-1]
    alone = report_of(read_run(own), runs[:1])
    assert alone.verdict.paid is None
    assert "cannot be compared" in alone.words[-1]


def test_a_verdict_names_another_pool(tmp_path):
    own = read_run(write_run(tmp_path / "own", Shape(pool=0)))
    facts = PoolFacts(lengths=np.arange(900, dtype=np.int32), cutoff_len=100)
    other = write_run(tmp_path / "other", Shape(pool=0, seed=1, evaluation=0.5))
    write_pool_facts(other / "dataflex", "other", facts, print)
    data = report_of(own, [("other", read_run(other))])
    assert data.verdict.paid is True
    assert "other has another pool than this run" in data.words[-1]


def test_several_runs_are_compared_at_the_work_that_all_have_done(against):
    data = against(_losses({5: 3.0, 10: 2.0, 20: 1.0}), _losses({5: 3.0, 20: 1.5}), _losses({5: 2.9, 10: 1.9}))
    assert [(one.at, one.ours) for one in data.against] == [(10.0, 2.0)] * 2
    assert [one.theirs for one in data.against] == [pytest.approx(2.5), 1.9]
    assert (data.verdict.at, data.verdict.difference) == (10.0, pytest.approx(-0.2))
    assert "at 10 training steps' worth" in data.words[-1]


def test_several_runs_are_compared_by_the_metric_that_most_have(against):
    both = {10: {"eval_a_loss": 2.0, "eval_b_loss": 1.0}}
    only_a, only_b = _losses({10: 2.5}, "eval_a_loss"), _losses({10: 1.7}, "eval_b_loss")
    data = against(both, only_a, only_b, _losses({10: 1.4}, "eval_b_loss"))
    assert [one.theirs for one in data.against] == [None, 1.7, 1.4]
    assert "has no eval_b_loss" in (data.against[0].why_not or "")
    assert (data.verdict.metric, data.verdict.runs) == ("eval_b_loss", 2)
    assert data.verdict.difference == pytest.approx(-0.55)
    assert "Not compared: 0 (below)" in data.words[-1]
    assert page_of(data)


def test_a_run_that_begins_where_another_ends_is_not_compared_with_it(against):
    data = against(_losses({5: 3.0, 20: 1.0}), _losses({5: 3.2, 10: 2.0}), _losses({15: 1.7, 20: 1.5}))
    assert [one.at for one in data.against] == [10.0, None]
    assert "not evaluated yet" in (data.against[1].why_not or "")
    assert data.verdict.runs == 1


def test_a_spread_is_one_over_seeds(against):
    """All of these have one."""
    data = against(_losses({10: 2.0}), _losses({10: 2.4}), _losses({10: 2.6}))
    assert (data.verdict.spread, data.verdict.runs) == (None, 2)
    assert "This is one seed of each" in data.words[-1]
    data = replace(data, against=tuple(replace(one, seed=i) for i, one in enumerate(data.against)))
    assert verdict_of(data.against).spread == pytest.approx(np.std([0.4, 0.6], ddof=1))


def test_runs_that_end_alike_are_not_called_better_or_worse(against):
    data = against(_losses({10: 2.0}), _losses({10: 2.0}))
    assert (data.verdict.paid, data.verdict.difference) == (None, 0.0)
    assert "Whether it paid cannot be told" in data.words[-1]
    assert "eval_loss is the same as that of 1 other run." in data.words[-1]


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(0.0, "never"), (0.0049, "0.0049 times as often"), (0.25, "0.25 times as often"), (3.0, "3.0 times as often")],
)
def test_how_often_is_never_only_where_it_is(ratio, said):
    assert times(ratio) == said


@pytest.mark.parametrize("others", [["other", "other"], ["run"], ["link"]])
def test_a_run_is_not_held_against_itself_nor_against_one_twice(tmp_path, run, others):
    write_run(tmp_path / "other", Shape(seed=1))
    (tmp_path / "link").symlink_to(run)
    words = [word for name in others for word in ("--against", str(tmp_path / name))]
    told = CliRunner().invoke(report, [str(run), *words]).exception
    assert isinstance(told, UsageError)
    assert "is named twice" in told.message
    assert not (run / "dataflex" / "report.html").exists()


def test_runs_without_evaluations_are_not_compared(tmp_path, run):
    other = write_run(tmp_path / "other", Shape(seed=1, pool=0))
    journal = other / "dataflex" / "journal.jsonl"
    journal.write_text("".join(line for line in journal.read_text().splitlines(True) if "evaluated" not in line))
    data = report_of(read_run(run), [("other", read_run(other))])
    assert data.verdict.paid is None
    assert "eval_strategy" in (data.against[0].why_not or "")
    assert "not known" in data.words[-1]
    assert page_of(data)


@pytest.mark.parametrize("missing", ["folder", "journal", "start"])
def test_what_is_no_run_is_refused(tmp_path, missing):
    if missing != "folder":
        (tmp_path / "run" / "dataflex").mkdir(parents=True)
    if missing == "start":
        (tmp_path / "run" / "dataflex" / "journal.jsonl").write_text('{"event": "sta')
    with pytest.raises(DataError) as told:
        read_run(tmp_path / "run")
    assert told.value.hint


def test_a_large_run_makes_a_small_page(tmp_path):
    shape = Shape(sizes=(60_000, 30_000, 10_000), batch=40, update=49, decisions=50, warmup=50, words=200)
    data = report_of(read_run(write_run(tmp_path, shape)))
    assert len({row.sample for row in data.samples}) > 500
    assert data.samples[0].decision == 50, "the latest have their texts where not all fit"
    assert len(data.scores) == 50
    assert max(len(one.lengths) for one in data.scores) <= 400
    assert len(page_of(data).encode()) < 5_000_000


def _alerts(data, **changes) -> dict[str, Alert]:
    return {alert.id: alert for alert in alerts_of(replace(data, **changes))}


def scores(**changes) -> Scores:
    given = {"decision": 1, "step": 2, "edges": (0.0, 1.0), "judged": (9,), "chosen": (3,), "count": 9, "lost": 0,
             "mean": 0.5, "spread": 0.2, "length_correlation": None}  # fmt: skip
    return Scores(**{**given, **changes})


def lengths(**changes) -> Lengths:
    given = {"edges": (0.0, 1.0), "pool": (1.0,), "chosen": (1.0,), "pool_mean": 100.0, "chosen_mean": 100.0,
             "cutoff_len": 190, "pool_cut": 0.0, "chosen_cut": 0.0}  # fmt: skip
    return Lengths(**{**given, **changes})


def bands(*ratios: float) -> tuple[Enrichment, ...]:
    return tuple(Enrichment(name=f"{i}", pool=0.2, chosen=0.2 * ratio, ratio=ratio) for i, ratio in enumerate(ratios))


def sample(number: int, text: str) -> Sample:
    return Sample(
        sample=number, decision=1, step=2, why=("highest",), chosen=True, score=0.1, rank=1, judged=9, domain="a",
        dataset="a", file="a.json", row=1, times=1, tokens=9, trained=4, cut=False, left_out=0,
        pieces=(("answer", text),),
    )  # fmt: skip


WORDS = " ".join(f"word{i}" for i in range(60))
ODD = {
    "never-chosen": {"enrichment": (*bands(1.5), Enrichment(name="x", pool=0.3, chosen=0.0, ratio=0.0))},
    "same-samples": {"overlap": ((1, 2), ((1.0, 0.9), (0.9, 1.0)))},
    "no-better-than-chance": {"bands": bands(1.0, 1.02, 0.98)},
    "constant-scores": {"scores": (scores(spread=0.0),)},
    "nan-scores": {"scores": (scores(lost=3),)},
    "chosen-truncated": {"lengths": lengths(chosen_cut=0.4)},
    "near-duplicates": {"twins": (Twins(sample=1, other=2, same=False),)},
    "leak": {"leaks": Leaks(pool=2, trained=1, some=(4, 7))},
    "near-leak": {"leaks": Leaks(near=(Twins(sample=1, other=0, same=False),))},
    "lengths": {"lengths": lengths(chosen_mean=30.0)},
    "effective-share": {"weights": (Curve(name="effective share", steps=(1,), values=(0.05,)),)},
}
CALM = {
    "enrichment": bands(1.5, 0.5),
    "overlap": ((1, 2), ((1.0, 0.1), (0.1, 1.0))),
    "bands": bands(0.0, 0.1, 0.2, 0.7, 4.0),
    "scores": (scores(),),
    "lengths": lengths(),
    "samples": (sample(1, WORDS), sample(2, "something else")),
    "weights": (Curve(name="effective share", steps=(1,), values=(0.5,)),),
    "provenance": {},
    "twins": (),
    "leaks": Leaks(),
}


@pytest.mark.parametrize("alert", ODD)
def test_an_alert_is_raised_where_there_is_cause_and_says_what_to_do(data, alert):
    assert alert not in _alerts(data, **CALM)
    assert len(_alerts(data, **{**CALM, **ODD[alert]})[alert].todo) > 10


def test_decisions_that_train_on_the_whole_pool_do_not_choose_the_same_again(data):
    every = [replace(one, trained=900) for one in data.decisions]
    same = {**CALM, **ODD["same-samples"]}
    assert "same-samples" in _alerts(data, **same)
    assert "same-samples" not in _alerts(data, **same, decisions=tuple(every))


def test_a_domain_that_is_planned_and_not_trained_on_yet_is_not_left_out(data):
    never = {**CALM, **ODD["never-chosen"]}
    planned = tuple(replace(one, chosen={**one.chosen, "x": 3}) for one in data.decisions)
    assert "never-chosen" not in _alerts(data, **never, decisions=planned)


def test_what_to_do_about_a_domain_that_a_mixer_leaves_out_is_about_the_mixer(data):
    never = {**CALM, **ODD["never-chosen"]}
    told = [_alerts(data, **never, run=replace(data.run, kinds=(kind,)))["never-chosen"] for kind in STRATEGIES]
    assert ["beside the selector" in alert.todo for alert in told] == [True, False, True]


@pytest.mark.parametrize(("rows", "share"), [({}, "50%"), ({"domain a": 270}, "25%")], ids=["samples", "packed"])
def test_rows_that_are_lost_are_a_share_of_rows(data, rows, share):
    fact = {"count": 90, "row": 3, "file": "a.json", "reason": "no answer"}
    run = replace(data.run, domains={"domain a": 90}, rows=rows)
    found = _alerts(data, provenance={"dropped": {"domain a": fact}}, run=run)
    assert f"({share})" in found["rows-dropped-domain a"].title


def test_one_is_not_many(data):
    fact = {"count": 1, "row": 3, "file": "a.json", "reason": "no answer"}
    few = replace(data.run, domains={"domain a": 20})
    found = _alerts(
        data, leaks=Leaks(pool=1, trained=1, some=(4,)), provenance={"dropped": {"domain a": fact}}, run=few
    )
    assert found["leak"].title == "1 sample of the pool is in the target set, too"
    assert found["leak"].detail.startswith("1 of them was trained on.")
    assert found["rows-dropped-domain a"].title == "1 row of domain a became no sample (5%)"


@pytest.mark.numeric
def test_curves_that_a_mixer_fitted_are_drawn_beside_the_losses(data):
    figures = {"exponent/domain a": 0.5, "scale/domain a": 4.0, "irreducible/domain a": 1.5}
    told = [{}, {"mixer": dict.fromkeys(figures, 9.0)}, {"mixer": figures}]
    seen = SimpleNamespace(decisions=[SimpleNamespace(notes=n) for n in told], start=SimpleNamespace(global_batch=16))
    measured = [Curve(name=f"domain {k}", steps=(1, 4), values=(5.0, 3.0)) for k in "ab"]
    (fitted,) = fitted_losses(seen, measured)
    assert fitted.values == pytest.approx((1.5 + 4 / 4, 1.5 + 4 / 8))
    assert fitted.name == "domain a, fitted: exponent 0.50, irreducible 1.50"
    shown = replace(data, domain_losses=tuple(measured), fitted_losses=(fitted,))
    (chart,) = [one for one in charts_of(shown) if one.id == "domain-loss"]
    assert [line["name"] for line in chart.data] == ["domain a", "domain b", fitted.name]
    assert chart.data[2]["line"]["color"] == chart.data[0]["line"]["color"]
    assert fitted_losses(SimpleNamespace(decisions=[], start=None), measured) == ()


@pytest.mark.numeric
def test_it_says_whom_weighting_favoured(data):
    events = [
        Trained(after=step - 1, step=step, samples=dict.fromkeys("ab", 1), tokens={"a": 30, "b": 10}, weights=weights)
        for step, weights in enumerate([None, {"a": 20.0, "b": 20.0}, {"a": 30.0, "b": None}], start=1)
    ]
    seen = SimpleNamespace(trained=events)
    assert [(one.name, one.steps) for one in domain_weights(seen)] == [("a", (2,)), ("b", (2,))]
    assert [one.values[0] for one in domain_weights(seen)] == pytest.approx([20 / 30, 2.0])
    over_run = weights_over_run(seen)
    assert over_run == pytest.approx({"a": 50 / 70 / (60 / 70), "b": 20 / 70 / (10 / 70)})
    shown = replace(data, domain_weights=domain_weights(seen), weights_over_run=over_run)
    (chart,) = [one for one in charts_of(shown) if one.id == "domain-weight"]
    assert [line["name"] for line in chart.data] == ["a", "b"]
    said = "Weighting made a token of b count 2.00 times the mean, and one of a 0.83 times."
    assert said in words_of(shown)
    alike = replace(data, weights_over_run={"a": 1.001, "b": 0.999})
    assert "Weighting made the tokens of every domain count alike." in words_of(alike)
    absent = replace(events[1], tokens={"a": 80, "b": 0}, weights={"a": 79.9, "b": 0.0})
    assert weights_over_run(SimpleNamespace(trained=[absent])) == {}
    one_domain = SimpleNamespace(trained=[replace(events[2], weights={"a": 3.0})])
    assert domain_weights(one_domain) == ()


def test_rows_shortages_fallbacks_and_failures_are_alerts(tmp_path, data):
    fact = {"count": 90, "row": 3, "file": "a.json", "reason": "no answer"}
    told = {"fallbacks": [{"kind": "batches-halved", "text": "out of memory"}], "dropped": {"domain a": fact}}
    short = replace(data.decisions[1], shortages=("the pool had 3 of 4 samples wanted: repeat",))
    found = _alerts(data, provenance=told, decisions=(data.decisions[0], short))
    assert "the pool had 3 of 4" in found["shortages"].detail
    assert "row 3 of a.json: no answer" in found["rows-dropped-domain a"].detail
    assert found["fallback-batches-halved"].detail == "out of memory"
    assert "token_budget" in found["fallback-batches-halved"].todo
    failed = report_of(read_run(write_run(tmp_path / "failed", Shape(stop=9, error="disk full"))))
    assert failed.alerts[0].id == "failed"
    assert (failed.alerts[0].detail, failed.alerts[0].todo) == ("disk full", "mend it")


def test_a_calm_run_has_no_alert(data):
    assert _alerts(data, **CALM) == {}
    assert len(CHECKS) == 14


def texts_of(count: int, words: int = 40, before: str = "") -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join([before, *map(str, rng.integers(0, 9999, words))]) for _ in range(count)]


def test_the_same_text_is_found_whatever_its_case_and_spaces():
    given = [*texts_of(20), "One two  THREE", "one\ntwo three ", "one two four"]
    assert pairs_alike(given) == [(20, 21, True)]
    assert pairs_alike(["a b"] * 500) == [(0, i, True) for i in range(1, 500)]


def test_texts_that_share_four_fifths_of_their_shingles_are_nearly_the_same():
    given = texts_of(1000)
    twin, cousin = f"{given[7]} end", " ".join([*given[9].split()[:20], *given[11].split()[:20]])
    assert pairs_alike([*given, twin, cousin]) == [(7, 1000, False)]


def test_what_many_texts_begin_with_makes_no_two_alike():
    assert pairs_alike(texts_of(100, words=8, before=WORDS)) == []
    twins = texts_of(100, words=20, before=WORDS)
    assert pairs_alike([*twins, f"{twins[3]} end"]) == [(3, 100, False)]


def test_each_of_many_alike_is_in_a_pair_and_few_pairs_are_named():
    given = [f"{text} {i}" for i in range(40) for text in texts_of(20, words=200)]
    found = pairs_alike(given)
    assert {place for pair in found for place in pair[:2]} == set(range(800))
    assert len(found) < 800


def test_across_a_line_only_pairs_of_both_sides_count():
    given = texts_of(30)
    twins = [f"{given[2]} end", f"{given[5]} end"]
    found = pairs_alike([*given, f"{given[2]} more", *twins], across=31)
    assert found == [(2, 31, False), (5, 32, False), (30, 31, False)], "and not 2 with 30"


def test_twins_are_of_what_was_chosen():
    rows = [sample(1, WORDS), sample(2, f"{WORDS} more"), sample(3, "something else"), sample(1, WORDS)]
    assert twins_of(rows) == (Twins(sample=1, other=2, same=False),)
    assert twins_of([rows[0], replace(rows[1], chosen=False)]) == ()


def test_samples_shown_are_held_against_the_target_set(tmp_path):
    run = write_run(tmp_path / "run", Shape(leaked=(0, 1, 899)))
    file = next((run / "dataflex" / "texts").iterdir())
    records = [json.loads(line) for line in file.read_text().split("\n") if line]
    target = next(r["text"] for r in records if "text" in r and r["text"]["target"])
    text = next(r["text"] for r in records if "text" in r and not r["text"]["target"])
    for piece in text["pieces"]:
        piece["text"] = WORDS
    target["pieces"] = [{"role": "answer", "text": f"{WORDS} {WORDS} more"}]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    data = report_of(read_run(run))
    assert data.leaks.near == (Twins(sample=text["sample"], other=target["sample"], same=False),)
    trained = set(read_run(run).trace.ids.tolist())
    assert (data.leaks.pool, data.leaks.trained) == (3, len({0, 1, 899} & trained))
    assert {"leak", "near-leak"} <= {alert.id for alert in data.alerts}


@pytest.mark.parametrize(("decisions", "word", "alert"), [(3, "0.56", None), (7, "2 of 7", "predictions-unused")])
def test_predicted_scores_are_told_in_words_and_drawn(tmp_path, decisions, word, alert):
    data = report_of(read_run(write_run(tmp_path, Shape(exact=0.25, decisions=decisions))))
    (said,) = (text for text in data.words if "predicted the rest" in text)
    assert said.startswith("It scored 25% of what it judged")
    assert word in said
    chart = next(chart for chart in charts_of(data) if chart.id == "prediction")
    assert chart.data[0]["y"] == [round(0.8 - 0.12 * (i + 1), 2) for i in range(decisions)]
    assert chart.layout["shapes"][0]["y0"] == 0.2
    found = {one.id for one in data.alerts}
    assert {name for name in found if name.startswith("predictions")} == ({alert} if alert else set())


@pytest.mark.parametrize(("known", "said"), [([0.5, None, 0.9], "0.70."), ([None, None, None], "the rest.")])
def test_a_correlation_that_nobody_knows_is_none(data, known, said):
    decided = [
        replace(one, exact=10, judged=100, correlation=correlation)
        for one, correlation in zip(data.decisions[1:4], known, strict=True)
    ]
    (told,) = (text for text in words_of(replace(data, decisions=tuple(decided))) if "predicted the rest" in text)
    assert told.endswith(said)


def test_rough_predictions_are_an_alert(data):
    rough = tuple(replace(one, exact=10, judged=100, correlation=0.25) for one in data.decisions)
    assert _alerts(data, **CALM, decisions=rough)["predictions-weak"].level == "hint"


def test_many_domains_are_drawn_as_the_largest_and_all_others(tmp_path):
    run = write_run(tmp_path, Shape(sizes=tuple(range(10, 50)), decisions=2))
    data = report_of(read_run(run))
    chart = next(chart for chart in charts_of(data) if chart.id == "proportions")
    assert len(chart.data) == 12
    assert chart.data[-1]["name"] == "all others"
    assert sum(trace["y"][1] for trace in chart.data) == pytest.approx(1)


def test_names_that_are_no_plain_yaml_are_quoted(tmp_path):
    run = write_run(tmp_path, Shape())
    journal = run / "dataflex" / "journal.jsonl"
    journal.write_text(
        journal.read_text().replace("domain a", "a: {b} #").replace("domain b", "off").replace("domain c", "1")
    )
    shares = yaml.safe_load(report_of(read_run(run)).proportions)["dataflex"]["mixer"]["proportions"]
    assert set(shares) == {"a: {b} #", "off", "1"}


def test_names_that_look_like_numbers_are_pasted_as_names(tmp_path):
    omegaconf = pytest.importorskip("omegaconf")
    run = write_run(tmp_path, Shape())
    journal = run / "dataflex" / "journal.jsonl"
    text = journal.read_text()
    journal.write_text(text.replace("domain a", "1e5").replace("domain b", "-0x10").replace("domain c", "nan"))
    pasted = omegaconf.OmegaConf.create(report_of(read_run(run)).proportions)
    assert {type(name) for name in pasted.dataflex.mixer.proportions} == {str}
    assert set(pasted.dataflex.mixer.proportions) == {"1e5", "-0x10", "nan"}


def test_a_folder_may_be_the_journals_own(run):
    assert read_run(run / "dataflex").folder == read_run(run).folder == Path(run)


def test_rows_name_the_target_sample_that_they_help_most_and_the_loss(run, data):
    shown = {(one.decision, one.sample): one for one in read_run(run).texts.shown}
    assert len(data.targets) == 2
    for row in data.samples:
        told = shown[row.decision, row.sample]
        assert row.loss == told.loss
        assert (row.helps is None) == (told.helps is None)
        if row.helps is not None:
            target = data.targets[row.helps.place]
            assert (target.target, target.sample) == (told.helps.target, told.helps.sample)
            assert (row.helps.cosine, row.helps.means) == (told.helps.cosine, told.helps.means)
            assert SCRIPT in target.pieces[0][1]


@pytest.mark.parametrize("texts", [True, False])
def test_tokens_and_their_weights_are_in_the_report_where_texts_are(tmp_path, texts):
    made = report_of(read_run(write_run(tmp_path, Shape(kinds=("weighter",), stop=17)), texts=texts))
    assert [one.step for one in made.weighed] == ([4, 9, 14] if texts else [])
    assert all(len(one.tokens) == len(one.weights) and one.domain.startswith("domain") for one in made.weighed)


def test_a_run_of_weights_is_to_be_set_beside_one_without(tmp_path):
    for kind, word in (("weighter", "with weighter uniform"), ("mixer", "with selector random")):
        made = report_of(read_run(write_run(tmp_path / kind, Shape(kinds=(kind,)))))
        assert word in made.words[-1]


@pytest.mark.parametrize(("size", "is_small"), [(90_000, True), (900, False)])
def test_a_small_part_of_the_pool_is_told_with_a_digit_more(tmp_path, size, is_small):
    made = report_of(read_run(write_run(tmp_path, Shape(sizes=(size,), kinds=("mixer",)))))
    (chart,) = [one for one in charts_of(made) if one.id == "coverage"]
    assert ("." in chart.says.partition("%")[0]) == is_small


def test_proportions_of_one_domain_are_not_offered(tmp_path):
    for sizes in ((50,), (50, 30)):
        page = page_of(report_of(read_run(write_run(tmp_path / str(len(sizes)), Shape(sizes=sizes)))))
        assert ('id="yaml"' in page) == (len(sizes) == 2)


def test_tokens_of_the_warm_up_are_not_among_those_chosen(run, data):
    seen = read_run(run)
    first, *rest = seen.trained
    assert first.step == seen.start.warmup_steps
    every = sum(sum(event.tokens.values()) for event in rest)
    for name, share in data.token_shares.items():
        assert share == pytest.approx(sum(event.tokens[name] for event in rest) / every)


@pytest.mark.parametrize("packed", [False, True])
def test_which_part_of_a_row_was_weighed_is_in_the_report(tmp_path, packed):
    made = report_of(read_run(write_run(tmp_path, Shape(kinds=("weighter",), packed=packed))))
    assert {one.part for one in made.weighed} == {2 if packed else 0}


def test_without_texts_no_word_of_a_target_sample_stands_in_the_page(run):
    page = page_of(report_of(read_run(run, texts=False)))
    assert "helps most" in page
    assert "document.title = 'run'" not in page.replace("\\u003c", "<")
