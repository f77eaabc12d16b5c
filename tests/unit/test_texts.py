"""Texts beside a journal: which samples are shown, what of them is written, and read back."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_run import made_run

from dataflex_core.explaining import LIMIT
from dataflex_core.journal import Decision, open_run
from dataflex_core.journal.kept import texts_of
from dataflex_core.journal.pool_facts import PoolFacts, read_pool_facts, write_pool_facts
from dataflex_core.journal.shown import WEIGHED, allowance, highest_of, shown_of, weighed_allowance
from dataflex_core.journal.text_file import TextFile
from dataflex_core.journal.texts import Helps, Piece, Shown, Text, Weighed, read_texts
from dataflex_core.planning.plan import Plan
from dataflex_core.planning.schedule import Interval
from dataflex_core.trainer.kept_texts import KeptTexts


def text(sample: int, words: str = "hello", **more) -> Text:
    pieces = (Piece(role="prompt", text="ask"), Piece(role="answer", text=words))
    return Text(sample=sample, pieces=pieces, tokens=9, trained=4, cut=False, **more)


def plan_of(ids, scored=None, decision=1) -> Plan:
    interval = Interval(decision=decision, start=10, stop=20)
    return Plan(interval=interval, ids=np.array(ids), proportions=np.ones(1), scored=scored)


@pytest.fixture
def told():
    return []


def test_what_is_written_is_read(tmp_path, told):
    texts = [text(3, "line\u2028break <script>"), text(4, file="a.json", row=7, dataset="a"), text(0, target="held")]
    helps = Helps(target="held", sample=0, cosine=0.75, means={"held": 0.5})
    shown = [Shown(decision=1, sample=3, why="highest", score=0.5, rank=1, judged=8, loss=2.5, helps=helps)]
    weighed = [Weighed(step=step, sample=3, tokens=("a", "\n"), weights=(0.0, 1.5)) for step in (4, 2, 4)]
    weighed.append(replace(weighed[0], part=2))
    TextFile(tmp_path, "r", told.append).write(texts, shown, weighed)
    found = read_texts(tmp_path / "texts" / "r.jsonl")
    assert [(one.step, one.part) for one in found.weighed] == [(2, 0), (4, 0), (4, 2)], "as it was made last"
    assert found.weighed[1] == weighed[0]
    assert (list(found.samples.values()), found.targets, found.shown) == (texts[:2], texts[2:], shown)
    assert told == []


def test_a_text_is_there_once_and_a_decision_as_it_was_taken_last(tmp_path, told):
    TextFile(tmp_path, "r", told.append).write([text(1)], [Shown(decision=1, sample=1, why="random")])
    with (tmp_path / "texts" / "r.jsonl").open("a") as file:
        file.write('{"text": {"sam')  # killed
    again = TextFile(tmp_path, "r", told.append)
    assert again.has(1)
    assert not again.has(1, "held")
    again.write([text(1), text(2)], [Shown(decision=2, sample=2, why="random")])
    again.write([], [Shown(decision=1, sample=2, why="random")])
    found = read_texts(again.path)
    assert list(found.samples) == [1, 2]
    assert [(one.decision, one.sample) for one in found.shown] == [(1, 2), (2, 2)]
    assert sum('"text"' in line and line.startswith('{"text"') for line in again.path.read_text().splitlines()) == 3


@pytest.mark.parametrize("again", [[2, 3], [3, 1], []])
def test_a_decision_that_is_taken_again_at_once_shows_nothing_of_the_first_time(tmp_path, told, again):
    for samples in ([1, 2], again):
        file = TextFile(tmp_path, "r", told.append)
        file.write([text(i) for i in samples], [Shown(decision=1, sample=i, why="random") for i in samples], decided=1)
    assert [one.sample for one in read_texts(file.path).shown] == again


def test_what_was_shown_of_later_decisions_is_none_of_a_run_that_went_on_from_before_them(tmp_path, told):
    for taken in (((1, 2), (2, 5), (3, 8)), ((2, 4),)):
        file = TextFile(tmp_path, "r", told.append)
        for decision, step in taken:
            shown = [Shown(decision=decision, step=step, sample=step, why="random")]
            file.write([text(step)], shown, decided=decision, after=step)
    assert [(one.decision, one.step) for one in read_texts(file.path).shown] == [(1, 2), (2, 4)]
    assert (file.had(2, 4), file.had(3, 5)) == (1, 2)


def test_nothing_is_shown_for_what_a_run_has_undone(tmp_path, told):
    """Of the plans in its journal, and of intervals that were not planned, those that it has gone through."""
    run = open_run(made_run(tmp_path))  # it has decided after steps 0, 1 and 2, and made three
    file = TextFile(run.path.parent, run.start.run, told.append)
    shown = [Shown(decision=d, step=step, sample=d, why="random") for d, step in ((1, 1), (3, 2), (2, 2), (3, 3))]
    file.write([], [*shown, Shown(decision=9, sample=9, why="random")])
    assert [one.decision for one in texts_of(run).shown] == [9, 1, 2]
    unplanned = replace(run, events=tuple(event for event in run.events if not isinstance(event, Decision)))
    assert [one.decision for one in texts_of(unplanned).shown] == [9, 1, 2]


def test_a_run_that_goes_on_elsewhere_takes_its_texts_along(tmp_path, told):
    here, there = tmp_path / "here", tmp_path / "there"
    TextFile(here, "r", told.append).write([text(1)], [Shown(decision=1, step=2, sample=1, why="random")])
    for folder in (here, there):
        file = TextFile(folder, "r", told.append, source=here)
        assert file.has(1)
        file.write([text(2)], [Shown(decision=2, step=4, sample=2, why="random")], decided=2, after=4)
        assert [one.step for one in read_texts(file.path).shown] == [2, 4]
    assert not TextFile(there, "r", told.append, source=tmp_path).has(9)


def test_a_step_that_is_made_again_at_once_shows_no_weights_of_the_first_time(tmp_path, told):
    for samples in ([1, 2], [2, 3]):
        file = TextFile(tmp_path, "r", told.append)
        file.write([], weighed=[Weighed(step=4, sample=i, tokens=(), weights=()) for i in samples])
    assert [one.sample for one in read_texts(file.path).weighed] == [2, 3]


def test_what_is_taken_again_may_show_as_much_as_the_first_time(tmp_path, told):
    file = TextFile(tmp_path, "r", told.append)
    for step, decision in ((0, 0), (2, 1), (4, 2)):
        shown = [Shown(decision=decision, sample=i, why="random") for i in (decision, 7)]
        file.write([text(one.sample) for one in shown], shown, decided=decision)
        file.write([text(9)], weighed=[Weighed(step=step + 2, sample=9, tokens=(), weights=())])
    again = TextFile(tmp_path, "r", told.append)
    for there in (file, again):
        assert [there.had(decision, step) for step, decision in ((0, 0), (2, 1), (4, 2), (6, 3))] == [0, 3, 4, 5]
        assert [there.had_weighed(step) for step in (2, 4, 6, 7)] == [0, 1, 2, 3]
    again.write([text(8)], weighed=[Weighed(step=4, sample=8, tokens=(), weights=())])
    for there in (again, TextFile(tmp_path, "r", told.append)):
        assert there.had_weighed(9) == 2, "one of step 2, and that of step 4 in place of all that came later"
    assert [(one.step, one.sample) for one in read_texts(file.path).weighed] == [(2, 9), (4, 8)]


def test_where_a_run_goes_on_with_other_data_its_texts_are_of_that(tmp_path, told):
    def begun(since, other, sample):
        file = TextFile(tmp_path, "r", told.append)
        file.go_on(since, other=other)
        if not file.has(sample):
            shown = Shown(decision=1, sample=sample, why="random")
            file.write([text(sample), text(0, target="held")], [shown], decided=1)
            file.write([], weighed=[Weighed(step=2, sample=sample, tokens=(), weights=())])
        found = read_texts(file.path)
        assert found.since == since
        assert {one.sample for one in (*found.shown, *found.weighed)} == set(found.samples)
        assert len(found.targets) == 1
        return list(found.samples)

    assert begun(None, False, 1) == [1]
    assert begun(4, True, 2) == [2]
    assert begun(4, False, 2) == [2], "killed, and gone on from after that"
    assert begun(4, True, 3) == [3], "again from before that, with still other data"
    assert begun(None, False, 1) == [1], "again from before that, with the data that it began with"


def test_a_file_of_before_does_not_say_that_a_decision_was_taken(tmp_path):
    shown = [{"decision": n, "sample": i, "why": "random"} for n, i in ((1, 1), (1, 2), (2, 3), (1, 4), (1, 5))]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps({"shown": one}) + "\n" for one in shown))
    assert [(one.decision, one.sample) for one in read_texts(tmp_path / "r.jsonl").shown] == [(1, 4), (1, 5), (2, 3)]


def test_a_file_that_cannot_be_written_is_told_once(tmp_path, told):
    (tmp_path / "texts").write_text("in the way")
    file = TextFile(tmp_path, "r", told.append)
    file.write([text(1)])
    file.write([text(2)])
    assert len(told) == 1
    assert "the report will lack texts" in told[0]


def test_a_line_that_is_no_record_is_passed_over(tmp_path):
    (tmp_path / "r.jsonl").write_text(
        'nonsense\n[]\n{"later": 1}\n' + json.dumps({"shown": {"decision": 0, "sample": 1, "why": "random"}}) + "\n"
    )
    assert [one.sample for one in read_texts(tmp_path / "r.jsonl").shown] == [1]
    assert read_texts(tmp_path / "nosuch.jsonl").samples == {}


@pytest.mark.parametrize(
    "record",
    [
        {"text": 5},
        {"text": {"sample": 1}},
        {"text": {"sample": 1, "pieces": [{"role": "answer"}], "tokens": 1, "trained": 1, "cut": False}},
        {"decided": "2"},
        {"shown": {"decision": "2", "sample": 1, "why": "random"}},
        {"shown": {"decision": 1, "sample": 1, "why": "random", "helps": {"target": "held"}}},
        {"step": None},
        {"weighed": {"step": 1, "sample": 1, "tokens": "ab", "weights": [1.0, 1.0]}},
        {"since": "2"},
    ],
)
def test_a_record_of_another_version_takes_nothing_from_the_others(tmp_path, told, record):
    file = TextFile(tmp_path, "r", told.append)
    file.write(
        [text(3)], [Shown(decision=1, sample=3, why="random")], [Weighed(step=2, sample=3, tokens=(), weights=())]
    )
    before = read_texts(file.path)
    with file.path.open("a") as lines:
        lines.write(json.dumps(record) + "\n")
    assert read_texts(file.path) == before
    TextFile(tmp_path, "r", told.append).write([text(4)], [Shown(decision=2, sample=4, why="random")])
    assert [one.sample for one in read_texts(file.path).shown] == [3, 4]


def test_keys_of_another_version_are_passed_over(tmp_path, told):
    file = TextFile(tmp_path, "r", told.append)
    file.write([text(3)], [Shown(decision=1, sample=3, why="random")])
    before = read_texts(file.path)
    records = [json.loads(line) for line in file.path.read_text().splitlines()]
    file.path.write_text("".join(json.dumps({k: {**v, "more": 1} for k, v in r.items()}) + "\n" for r in records))
    assert read_texts(file.path) == before


def test_of_several_scores_those_that_are_none_do_not_count():
    scores = np.array([[np.nan, 2.0], [1.0, 0.5], [np.nan, np.nan]], dtype=np.float32)
    shown = highest_of(plan_of([0, 1, 2], (np.arange(3), scores)), seed=0, count=3)
    assert [(one.sample, one.rank) for one in shown][:2] == [(0, 1), (1, 2)]


def test_a_table_has_the_highest_of_what_was_chosen():
    ids, scores = np.arange(10), np.arange(10, dtype=np.float32)
    shown = highest_of(plan_of([1, 9, 4], (ids, scores)), seed=0, count=2)
    assert [(one.sample, one.rank, one.why) for one in shown] == [(9, 1, "highest"), (4, 6, "highest")]
    assert {one.sample for one in highest_of(plan_of([1, 9, 4]), seed=0, count=20)} == {1, 4, 9}


def test_highest_lowest_marginal_and_random_are_shown():
    ids, scores = np.arange(100), np.arange(100, dtype=np.float32)
    scores[50] = np.nan
    shown = shown_of(plan_of(range(60, 100), (ids, scores)), seed=0, count=40)
    by = {why: [one for one in shown if one.why == why] for why in ("highest", "lowest", "marginal", "random")}
    assert [one.sample for one in by["highest"]] == list(range(99, 89, -1))
    assert [one.sample for one in by["lowest"]] == list(range(60, 70))
    assert sorted(one.sample for one in by["marginal"]) == list(range(55, 65))
    assert {one.sample: one.chosen for one in by["marginal"]} == {i: i >= 60 for i in range(55, 65)}
    assert len(by["random"]) == 10
    assert all(one.chosen for one in by["random"])
    best = by["highest"][0]
    assert (best.rank, best.score, best.judged) == (1, 99.0, 100)


@pytest.mark.parametrize(
    "scored",
    [
        None,
        (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)),
        (np.arange(3), np.full(3, np.nan, dtype=np.float32)),
    ],
)
def test_without_scores_what_is_shown_is_random(scored):
    shown = shown_of(plan_of([5, 5, 6], scored), seed=0, count=40)
    assert sorted(one.sample for one in shown) == [5, 6]
    assert {one.why for one in shown} == {"random"}


@pytest.mark.parametrize(("steps", "every"), [(8, 2), (100, 10), (5000, 10), (3, 1)])
def test_samples_that_were_weighed_are_bounded_and_spread_over_a_run(steps, every):
    had, counts = 0, []
    for step in range(every, steps + 1, every):
        counts.append(weighed_allowance(step, steps, had))
        had += counts[-1]
    assert 0 < had <= WEIGHED
    assert sum(counts[len(counts) // 2 :]) >= had // 3


@pytest.mark.parametrize("decisions", [1, 4, 50, 400, 5000])
def test_the_texts_of_a_run_are_bounded_and_spread_over_it(decisions):
    had, counts = 0, []
    for decision in range(decisions + 1):
        counts.append(allowance(decision, decisions, had))
        had += counts[-1]
    assert had <= LIMIT
    assert sum(counts[len(counts) // 2 :]) >= had // 3


def test_facts_that_cannot_be_written_leave_none_of_another_pool(tmp_path, told, monkeypatch):
    def fails(*given):
        raise OSError(28, "No space left on device")

    facts = PoolFacts(lengths=np.array([3, 9]), cutoff_len=9)
    write_pool_facts(tmp_path, "r", facts, told.append)
    monkeypatch.setattr("os.replace", fails)
    write_pool_facts(tmp_path, "r", facts, told.append)
    assert read_pool_facts(tmp_path, "r") is None
    assert ["No space left on device" in text for text in told] == [True]


def test_a_run_that_keeps_none_leaves_none_of_another_pool(tmp_path, told):
    write_pool_facts(tmp_path, "r", PoolFacts(lengths=np.array([3, 9]), cutoff_len=9), told.append)
    journal = SimpleNamespace(path=tmp_path / "journal.jsonl", run="r", notice=told.append)
    config = SimpleNamespace(args={}, dataflex=SimpleNamespace(keep=SimpleNamespace(scores=False, texts=False)))
    run = SimpleNamespace(journal=journal, prepared=SimpleNamespace(config=config))
    KeptTexts(run, None, torch.device("cpu")).begin()
    assert read_pool_facts(tmp_path, "r") is None
    assert told == []


def test_the_facts_of_a_pool_are_read_as_written(tmp_path, told):
    facts = PoolFacts(lengths=np.array([3, 9]), cutoff_len=9, in_target=np.array([1]), machine={"device": "cpu"})
    write_pool_facts(tmp_path, "r", facts, told.append)
    found = read_pool_facts(tmp_path, "r")
    assert found is not None
    assert (found.lengths.tolist(), found.in_target.tolist()) == ([3, 9], [1])
    assert (found.cutoff_len, found.machine) == (9, {"device": "cpu"})
    (tmp_path / "pool" / "r.safetensors").write_bytes(b"torn")
    assert read_pool_facts(tmp_path, "r") is None
    assert told == []
