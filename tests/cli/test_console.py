"""console.py: what a person is told of a run."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest

from dataflex_cli.console import say
from dataflex_cli.header import show_plan
from dataflex_cli.main import show_error
from dataflex_core.errors import DataflexError
from dataflex_core.journal import RowsFact, Start, StrategyFact
from dataflex_core.llamafactory.rows_told import of_pool, repeated

START = Start(
    run="",
    strategies=(StrategyFact(kind="weighter", name="loss", distribution="d", version="1"),),
    domains={"words": 60, "numbers": 40},
    targets={},
    steps=8,
    warmup_steps=2,
    update_steps=3,
    decisions=2,
    global_batch=4,
    ranks=1,
    judged=0,
    decision_cost=0.0,
    step_cost=0.0,
    seed=7,
)


def test_what_weighing_costs_is_said_where_it_costs(capsys):
    show_plan(START)
    assert "weighing" not in capsys.readouterr().out
    show_plan(replace(START, step_cost=0.333))
    assert "DataFlex: weighing adds 33% to each step\n" in capsys.readouterr().out


def test_what_is_held_out_and_what_a_mixer_asks_is_said(capsys):
    mixer = StrategyFact(kind="mixer", name="sheared", distribution="d", version="1")
    show_plan(replace(START, strategies=(mixer,), holdout={"words": 3, "numbers": 2}, mixing_cost=0.5))
    said = capsys.readouterr().out
    assert "DataFlex: 5 samples are kept out of training: words 3, numbers 2\n" in said
    assert "questions cost about 0.5 training steps a decision: 1 in all, 0.12x the training itself\n" in said


def test_what_decisions_judge_and_cost(capsys):
    selector = StrategyFact(kind="selector", name="loss", distribution="d", version="1")
    show_plan(replace(START, strategies=(selector,), judged=36, decision_cost=3.0, break_even=2.0))
    said = capsys.readouterr().out
    cost = "a decision judges 36 samples, at the cost of about 3.0 training steps: 6 in all, 0.75x the training itself"
    assert cost in said
    assert "DataFlex: to break even a chosen sample must be worth 2.0 random ones, by that cost\n" in said


def test_rows_that_are_left_out_or_cut_are_told_with_the_first_and_its_reason(capsys):
    show_plan(START)
    assert "row" not in capsys.readouterr().out
    wrong = RowsFact(count=2, dataset="words", file="data/words.jsonl", row=17, reason="Invalid role tag")
    long = RowsFact(count=1, dataset="words", file="data/words.jsonl", row=3, reason="longer than 64 tokens")
    show_plan(replace(START, dropped={"words": wrong}, cut={"words": long}))
    said = capsys.readouterr().out
    assert "2 rows of words are left out, the first is row 17 of data/words.jsonl: Invalid role tag\n" in said
    assert "1 row of words is cut, the first is row 3 of data/words.jsonl: longer than 64 tokens\n" in said
    show_plan(replace(START, targets={"held": 4}, target_dropped={"held": wrong}, target_cut={"held": long}))
    said = capsys.readouterr().out
    order = ["target set of 4 samples: held 4\n", "2 rows of held are left out", "1 row of held is cut"]
    assert [said.find(words) for words in order] == sorted(said.index(words) for words in order)


def test_what_becomes_of_the_rows_is_told_with_its_share():
    wrong = RowsFact(count=2, dataset="words", file="w.jsonl", row=17, reason="Invalid role tag")
    long = RowsFact(count=9, dataset="words", file="w.jsonl", row=3, reason="longer than 64 tokens")
    start = replace(START, rows={"words": 78, "numbers": 40}, dropped={"words": wrong}, cut={"words": long})
    assert [(remark.key, remark.text) for remark in of_pool(start)] == [
        ("dataset", "2 rows (2%) of words are left out, the first is row 17 of w.jsonl: Invalid role tag"),
        ("cutoff_len", "9 rows (12%) of words are cut, the first is row 3 of w.jsonl: longer than 64 tokens"),
        ("packing", "the 78 rows of words are packed into 60 samples"),
    ]
    few = replace(start, dropped={}, cut={"words": replace(long, count=1)}, rows={"words": 1000})
    assert next(of_pool(few)).text.startswith("1 row (under 1%) of words is cut")


def test_a_run_longer_than_its_pool_is_told():
    selector = StrategyFact(kind="selector", name="loss", distribution="d", version="1")
    long = replace(START, strategies=(selector,), steps=50)
    assert [remark.text for remark in repeated(long)] == [
        "the run trains on 200 samples, 2.0 times the pool: samples come again"
    ]
    assert not list(repeated(replace(long, steps=25)))
    assert not list(repeated(replace(START, steps=50))), "a weighter alone leaves LLaMA-Factory's order"


class _Pipe(io.RawIOBase):
    """A pipe that other processes write to as well, between any two writes of this one."""

    def __init__(self):
        self.writes = []

    def writable(self):
        return True

    def write(self, data):
        self.writes.append(bytes(data).decode())
        return len(data)


def _piped(monkeypatch):
    """Standard output and error into one pipe; in a fixture it would be undone before the test begins."""
    pipe = _Pipe()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(pipe)))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(pipe), line_buffering=True))
    return pipe


def test_a_line_of_ours_is_one_write_whatever_others_have_left_in_the_buffer(monkeypatch):
    pipe = _piped(monkeypatch)
    print("{'loss': 2.5}")
    say("done: 7 steps")
    assert pipe.writes[-1] == "DataFlex: done: 7 steps\n"


@pytest.mark.parametrize("hint", [None, "do that"])
def test_an_error_and_its_hint_are_one_write(monkeypatch, hint):
    pipe = _piped(monkeypatch)
    show_error(DataflexError("that is wrong", hint=hint))
    assert pipe.writes == ["Error: that is wrong\n" + (f"       {hint}\n" if hint else "")]
