"""Journals: what is written is read again, those of the schema before as well, and what is no journal is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from dataflex_core.errors import DataError
from dataflex_core.journal import (
    SCHEMA,
    Decision,
    End,
    Evaluated,
    Event,
    Failed,
    Fallback,
    Logged,
    Notice,
    Resume,
    RowsFact,
    ScoresFact,
    ShortageFact,
    Start,
    Step,
    StrategyFact,
    Trained,
    WeightsFact,
    from_record,
    read_journal,
    to_record,
)
from dataflex_core.journal.events import EVENTS
from dataflex_core.journal.reader import journal_of, run_of
from dataflex_core.journal.writer import Journal

OLD = sorted((Path(__file__).parents[1] / "data" / "journal-1").glob("*.jsonl"))

START = Start(
    run="a",
    strategies=(StrategyFact(kind="mixer", name="random", distribution="mine.py", version=""),),
    domains={"words": 60, "numbers": 40},
    targets={},
    steps=3,
    warmup_steps=1,
    update_steps=2,
    decisions=1,
    global_batch=2,
    ranks=1,
    judged=0,
    decision_cost=0.0,
    step_cost=0.25,
    seed=7,
    dropped={"words": RowsFact(count=2, dataset="words", file="words.jsonl", row=17, reason="Invalid role tag")},
    target_cut={"held": RowsFact(count=1, dataset="held", file="held.json", row=3, reason="longer than 64 tokens")},
    cut={"numbers": RowsFact(count=1, dataset="numbers", file="n.csv", row=1, reason="longer than 64 tokens")},
    config={"update_steps": 2, "columns": ["quality"], "mixer": {"name": "random", "params": {}}, "store": None},
    versions={"torch": "2.11.0"},
)
DECISION = Decision(
    decision=1,
    step=1,
    until=3,
    chosen={"words": 4, "numbers": 0},
    proportions={"words": 1.0, "numbers": 0.0},
    judged=0,
    shortages=(ShortageFact(domain=None, wanted=5, had=4, action="repeated"),),
    plan="2d720c494364f51a",
    seconds=0.25,
    overlap=0.5,
    scores=ScoresFact(count=3, lost=1, mean=0.5, spread=0.25, length_correlation=None),
)
STEPS = tuple(Step(step=number, samples=(number, 70)) for number in (1, 2, 3))
TOLD: tuple[Event, ...] = (START, Notice(text="by the way"), STEPS[0], DECISION, *STEPS[1:], End(step=3))
EVERY = (
    *TOLD,
    Logged(step=2, means={"dataflex/mixer/entropy": 0.5}),
    Logged(
        step=2,
        means={},
        training={"loss": 2.5},
        seconds=1.5,
        weights=WeightsFact(count=4, lost=0, mean=1.0, spread=0.5, effective_share=0.75),
    ),
    Trained(after=0, step=2, samples={"words": 4}, tokens={"words": 9}, losses={"words": None}),
    Trained(after=2, step=3, samples={"words": 2}, tokens={"words": 5}),
    Evaluated(step=2, figures={"eval_loss": 2.5}),
    Fallback(step=2, kind="batches-halved", text="halved"),
    Resume(step=2, checkpoint="out/checkpoint-2"),
    Failed(step=2, error="it broke", hint="mend it", kind="RunFailed"),
)


def lines_of(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def journal(tmp_path):
    """Writes a journal of such lines; its path."""

    def write(text):
        path = tmp_path / "journal.jsonl"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def told():
    return []


@pytest.fixture
def report(told):
    def listen(event, *, past):
        told.append((event, past))

    return listen


def written(folder, report, events=TOLD):
    made = Journal(folder, owner=True, report=report)
    for event in events:
        made.write(event)
    return made


def test_the_examples_are_of_every_event():
    assert {type(event) for event in EVERY} == set(EVENTS.values())


@pytest.mark.parametrize("event", EVERY, ids=lambda event: event.event)
def test_an_event_is_read_as_it_was_written(event):
    assert from_record(json.loads(json.dumps(to_record(event)))) == event


def test_a_new_event_is_one_class(tmp_path, report):
    before = dict(EVENTS)

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Pause(Event):
        minutes: int

    try:
        made = written(tmp_path, report, [START, Pause(minutes=3)])
        assert list(read_journal(made.path)) == [START, Pause(minutes=3)]
    finally:
        EVENTS.clear()
        EVENTS.update(before)


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_a_journal_of_schema_1_is_read_into_the_same_classes(path):
    old = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    start = {**old[0], "schema": SCHEMA, "judged": old[0]["candidates"], "step_cost": 0.0}
    del start["candidates"]
    read = [to_record(event) for event in read_journal(path)]
    assert [_of_then(now, then) for now, then in zip(read, [start, *old[1:]], strict=True)] == [start, *old[1:]]


def _of_then(now, then):
    """What there was at the time: fields that were added since have their defaults."""
    kept = {key: value for key, value in now.items() if key in then}
    if "strategies" in kept:
        known = then["strategies"][0]
        kept["strategies"] = [{key: fact[key] for key in known} for fact in kept["strategies"]]
    return kept


def test_there_are_journals_of_schema_1():
    assert [path.stem for path in OLD] == ["all", "mix", "select"]


def test_a_start_says_its_schema():
    assert to_record(START)["schema"] == SCHEMA


@pytest.mark.parametrize("before", [(), (to_record(START),)], ids=["at the start", "after a resume"])
def test_a_journal_of_a_later_schema_is_refused_in_one_line(journal, before):
    path = journal(lines_of(*before, {"event": "resume" if before else "begin", "schema": SCHEMA + 1}))
    with pytest.raises(DataError, match=f"schema {SCHEMA + 1}, this version reads up to {SCHEMA}") as refused:
        list(read_journal(path))
    assert str(path) in refused.value.message
    assert "\n" not in str(refused.value)
    assert refused.value.hint == "read it with the version that wrote it"


def test_keys_and_events_that_were_added_are_passed_over(journal):
    end = {**to_record(TOLD[-1]), "mood": "good"}
    path = journal(lines_of(to_record(START), {"event": "pause", "minutes": 3}, end))
    assert list(read_journal(path)) == [START, TOLD[-1]]


def test_a_key_that_is_not_written_has_its_fields_default():
    record = to_record(START)
    del record["schema"]
    assert from_record(record) == START


def test_a_torn_last_line_is_passed_over(journal):
    path = journal(lines_of(to_record(START), to_record(STEPS[0]))[:-5])
    assert list(read_journal(path)) == [START]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no event of a journal"),
        ("[]", "no event of a journal"),
        ('{"event": "start", "schema": "new"}', "no event of a journal"),
        ('{"event": "step", "step": 1}', "step of a journal lacks samples"),
        ('{"event": "step", "step": "1", "samples": []}', "step.step of a journal is '1'"),
        ('{"event": "step", "step": 1, "samples": [true]}', "step.samples of a journal is True"),
    ],
)
def test_a_line_that_is_no_event_is_named(journal, line, said):
    path = journal(lines_of(to_record(START)) + line + "\n")
    with pytest.raises(DataError) as refused:
        list(read_journal(path))
    assert refused.value.message == f"{path}, line 2: {said}"


DAMAGED = {
    "no UTF-8": b'{"event": "\xff\xfe"}',
    "zeros": b"\0" * 40,
    "the event is a list": b'{"event": ["step"]}',
    "the event is an object": b'{"event": {}}',
    "the event is null": b'{"event": null}',
    "too deep a list": b"[" * 100_000,
    "too deep an object": b'{"a":' * 100_000,
    "too long a number": b'{"event": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_line_is_named_wherever_a_journal_is_read(journal, line, report):
    path = journal(lines_of(to_record(START)))
    path.write_bytes(path.read_bytes() + line + b"\n" + lines_of(to_record(STEPS[0])).encode())
    said = f"{path}, line 2: no event of a journal"
    with pytest.raises(DataError) as refused:
        list(read_journal(path))
    assert (refused.value.message, bool(refused.value.hint)) == (said, True)
    with pytest.raises(DataError) as refused:
        Journal(path.parent, owner=True, report=report).go_on(path, path.stat().st_size, EVERY[-1])
    assert refused.value.message == said
    path.write_bytes(lines_of(to_record(START)).encode() + line)
    assert list(read_journal(path)) == [START], "torn"


@pytest.mark.parametrize("name", [["stop"], None, 3])
def test_what_names_no_event_is_none(name):
    with pytest.raises(DataError):
        from_record({"event": name})


def test_an_unknown_event_is_no_event():
    with pytest.raises(DataError, match="'stop'"):
        from_record({"event": "stop"})


def test_what_is_written_is_read_and_reported(tmp_path, report, told):
    made = written(tmp_path, report)
    assert list(read_journal(made.path)) == list(TOLD)
    assert told == [(event, False) for event in TOLD]
    assert made.size() == made.path.stat().st_size


def test_the_other_ranks_write_and_report_nothing(tmp_path, report, told):
    other = Journal(tmp_path / "other", owner=False, report=report)
    other.write(START)
    other.go_on(tmp_path / "journal.jsonl", 0, EVERY[-1])
    assert (other.size(), told, list(tmp_path.iterdir())) == (0, [], [])


def test_going_on_drops_what_came_later_and_tells_the_past_as_past(tmp_path, report, told):
    made = written(tmp_path, report, TOLD[:5])
    size = made.size()
    made.write(STEPS[2])
    told.clear()
    again = Journal(tmp_path, owner=True, report=report)
    again.go_on(made.path, size, EVERY[-1])
    assert told == [*((event, True) for event in TOLD[:5]), (EVERY[-1], False)]
    assert list(read_journal(again.path)) == [*TOLD[:5], EVERY[-1]]
    assert again.run == START.run


def test_a_journal_that_cannot_be_read_is_left_as_it_is(journal, report):
    path = journal(lines_of({**to_record(START), "schema": SCHEMA + 1}, {"event": "more"}))
    before = path.read_bytes()
    with pytest.raises(DataError):
        Journal(path.parent, owner=True, report=report).go_on(path, len(before) - 5, EVERY[-1])
    assert path.read_bytes() == before


def test_a_runs_journal_is_found_where_a_later_one_moved_it(tmp_path, report):
    written(tmp_path, report)
    (tmp_path / "journal-2.jsonl").write_text(lines_of({**to_record(START), "schema": SCHEMA + 1}))
    (tmp_path / "journal-3.jsonl").write_text(lines_of({**to_record(START), "run": "b"}))
    assert journal_of(tmp_path, "b").name == "journal-3.jsonl"
    assert journal_of(tmp_path, "c").name == "journal.jsonl"
    assert run_of(tmp_path / "journal-3.jsonl") == "b"


def test_a_journal_that_was_killed_before_its_start_is_of_no_run(journal):
    assert run_of(journal('{"event": "sta')) is None
