"""Runs read back: going, killed, resumed, of earlier formats; what a resume has undone is not counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dataflex_core.errors import DataError
from dataflex_core.journal import (
    Decision,
    End,
    Evaluated,
    Failed,
    Fallback,
    Logged,
    Notice,
    Resume,
    Start,
    Step,
    StrategyFact,
    Trained,
    open_run,
    to_record,
)

DATA = Path(__file__).parents[1] / "data"

START = Start(
    run="a",
    strategies=(StrategyFact(kind="selector", name="less", distribution="mine.py", version=""),),
    domains={"words": 6, "numbers": 4},
    targets={},
    steps=4,
    warmup_steps=2,
    update_steps=2,
    decisions=1,
    global_batch=2,
    ranks=2,
    judged=10,
    decision_cost=2.5,
    step_cost=0.0,
    seed=7,
)


def decided(number, step):
    return Decision(
        decision=number,
        step=step,
        until=step + 2,
        chosen={"words": 4, "numbers": 0},
        proportions=None,
        judged=10 * (number > 0),
        shortages=(),
        plan="2d720c494364f51a",
        seconds=0.25,
    )


STEPS = tuple(Step(step=number, samples=(number, 9 - number)) for number in (1, 2, 3, 4))
LOGGED = Logged(step=2, means={}, training={"loss": 2.5})
TRAINED = Trained(after=0, step=2, samples={"words": 2, "numbers": 2}, tokens={"words": 9, "numbers": 1})
WHOLE = (START, decided(0, 0), *STEPS[:2], TRAINED, LOGGED, decided(1, 2), *STEPS[2:], End(step=4))


@pytest.fixture
def folder(tmp_path):
    """Leaves a journal of such events in an output folder; the folder."""

    def write(*events, torn=""):
        path = tmp_path / "dataflex" / "journal.jsonl"
        path.parent.mkdir()
        lines = "".join(json.dumps(to_record(event)) + "\n" for event in events)
        path.write_text(lines + torn, encoding="utf-8")
        return tmp_path

    return write


def test_a_run_is_read_as_its_journal_tells_it(folder):
    run = open_run(folder(*WHOLE))
    assert run.events == WHOLE
    assert run.start == START
    assert [made.decision for made in run.decisions] == [0, 1]
    assert (run.steps, run.logged, run.trained) == (STEPS, (LOGGED,), (TRAINED,))
    assert (run.step, run.end) == (4, End(step=4))
    assert run.path.name == "journal.jsonl"


def test_samples_are_those_of_all_steps_and_of_an_interval(folder):
    run = open_run(str(folder(*WHOLE)))
    np.testing.assert_array_equal(np.asarray(run.samples), [1, 8, 2, 7, 3, 6, 4, 5])
    assert list(run.samples_of(run.decisions[1])) == [3, 6, 4, 5]


@pytest.mark.parametrize("inside", ["dataflex", "dataflex/journal.jsonl"])
def test_a_run_is_found_by_folder_and_by_file(folder, inside):
    assert open_run(folder(*WHOLE) / inside).events == WHOLE


def test_a_run_that_is_still_going_ends_where_it_is_written_to(folder):
    run = open_run(folder(*WHOLE[:3], torn='{"event": "step", "step": 2, "sam'))
    assert run.events == WHOLE[:3]
    assert (run.step, run.end) == (1, None)


def test_an_evaluation_of_the_trained_model_comes_after_the_end(folder):
    evaluated = Evaluated(step=4, figures={"eval_loss": 2.5})
    run = open_run(folder(*WHOLE, evaluated))
    assert (run.end, run.evaluations) == (End(step=4), (evaluated,))


def test_a_run_that_failed_says_why(folder):
    failed = Failed(step=2, error="it broke", kind="RunFailed")
    assert open_run(folder(*WHOLE[:6], failed)).end == failed


def test_what_a_resume_has_undone_is_not_counted_twice(folder):
    """As where a journal was not cut back to its checkpoint."""
    before = (*WHOLE[:6], Notice(text="by the way"), decided(1, 2), STEPS[2], Failed(step=3, error="killed"))
    resume = Resume(step=2, checkpoint="out/checkpoint-2")
    late = Fallback(step=3, kind="batches-halved", text="halved")
    run = open_run(folder(*before[:9], late, before[9], resume, *WHOLE[6:]))
    assert run.events == (*WHOLE[:6], before[6], resume, *WHOLE[6:])
    assert run.resumes == (resume,)
    assert len(run.samples) == 8


def test_a_decision_amid_which_the_run_goes_on_is_kept(folder):
    resume = Resume(step=3, checkpoint="out/checkpoint-3")
    run = open_run(folder(*WHOLE[:8], STEPS[3], resume, *WHOLE[8:]))
    assert [made.decision for made in run.decisions] == [0, 1]
    assert run.steps == STEPS


def test_a_decision_that_the_checkpoint_has_is_kept_before_its_first_step(folder):
    """As where a signal came between the two: it is not taken again."""
    resume = Resume(step=2, checkpoint="out/checkpoint-2")
    run = open_run(folder(*WHOLE[:7], resume, *WHOLE[7:]))
    assert [made.decision for made in run.decisions] == [0, 1]
    assert run.steps == STEPS


def test_an_interval_ends_where_the_run_decides_anew(folder):
    resume = Resume(step=3, checkpoint="out/checkpoint-3")
    run = open_run(folder(*WHOLE[:8], resume, decided(1, 3), STEPS[3], End(step=4)))
    assert [(made.step, made.until) for made in run.decisions] == [(0, 2), (2, 3), (3, 5)]
    assert [list(run.samples_of(made)) for made in run.decisions] == [[1, 8, 2, 7], [3, 6], [4, 5]]
    assert run.of(Decision)[1] == decided(1, 2), "events are as they were written"


def test_a_run_that_went_on_with_other_data_is_read_since_then(folder):
    start = replace(START, holdout={"words": 1}, rows={"words": 9}, mean_tokens={"words": 4.0})
    resume = Resume(step=3, checkpoint="out/checkpoint-3", domains={"words": 4, "more": 1})
    before = (start, *WHOLE[1:8])
    run = open_run(folder(*before, resume))
    assert (run.changed_data_at, run.step, run.on_its_data.step) == (3, 3, 3)
    assert (len(run.samples), len(run.on_its_data.samples)) == (6, 0)
    (run.path).write_text("".join(json.dumps(to_record(e)) + "\n" for e in (*before, resume, decided(1, 3), STEPS[3])))
    run = open_run(run.path)
    since = run.on_its_data
    assert since.events[1:] == (resume, decided(1, 3), STEPS[3])
    assert since.start == replace(START, domains={"words": 4, "more": 1}, mean_tokens={}), "still shares of tokens"
    assert (since.changed_data_at, since.on_its_data) == (3, since)
    assert list(since.samples_of(since.decisions[0])) == [4, 5]


def test_a_run_that_goes_on_from_before_it_had_other_data_is_on_its_first_again(folder):
    other = Resume(step=3, checkpoint="out/checkpoint-3", domains={"more": 5})
    run = open_run(folder(*WHOLE[:8], other, Resume(step=2, checkpoint="out/checkpoint-2"), *WHOLE[6:]))
    assert run.changed_data_at is None
    assert run.on_its_data is run
    assert [resume.step for resume in run.resumes] == [2]


def test_fallbacks_are_notices(folder):
    fallback = Fallback(step=0, kind="batches-halved", text="halved")
    run = open_run(folder(START, Notice(text="by the way"), fallback))
    assert run.fallbacks == (fallback,)
    assert run.notices == (Notice(text="by the way"), fallback)


@pytest.mark.parametrize("name", ["all", "resumed"])
def test_a_run_of_the_format_before_is_read(name):
    path = DATA / "journal-2" / f"{name}.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    run = open_run(path)
    assert [event.event for event in run.events] == [line["event"] for line in lines]
    assert [list(step.samples) for step in run.steps] == [line["samples"] for line in lines if line["event"] == "step"]
    assert run.step == 8
    assert run.start.domains == lines[0]["domains"]
    assert [made.step for made in run.resumes] == ([4] if name == "resumed" else [])
    assert [made.judged for made in run.decisions] == ([0, 18, 18] if name == "all" else [0, 100, 100])
    assert run.decisions[1].scores is None, "what was added since is not known"
    assert isinstance(run.end, End)


@pytest.mark.parametrize("path", sorted((DATA / "journal-1").glob("*.jsonl")), ids=lambda path: path.stem)
def test_a_run_of_schema_1_is_read(path):
    run = open_run(path)
    assert len(run.samples) == sum(len(step.samples) for step in run.steps) > 0


def test_a_folder_without_a_journal_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no journal of a run") as refused:
        open_run(tmp_path)
    assert refused.value.hint == "give the output_dir of a run with a strategy"


def test_a_run_that_was_killed_before_its_start_is_refused(folder):
    with pytest.raises(DataError, match="does not begin with a run's start"):
        open_run(folder(torn='{"event": "sta'))


def test_the_second_run_of_a_folder_is_opened(folder):
    output = folder(*WHOLE)
    (output / "dataflex" / "journal.jsonl").rename(output / "dataflex" / "journal-1.jsonl")
    other = replace(START, run="b")
    (output / "dataflex" / "journal.jsonl").write_text(json.dumps(to_record(other)) + "\n")
    assert open_run(output).start.run == "b"
    assert open_run(output / "dataflex" / "journal-1.jsonl").start.run == "a"
