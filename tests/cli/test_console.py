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


def test_what_decisions_judge_and_cost(capsys):
    selector = StrategyFact(kind="selector", name="loss", distribution="d", version="1")
    show_plan(replace(START, strategies=(selector,), judged=36, decision_cost=3.0))
    said = "a decision judges 36 samples, at the cost of about 3.0 training steps: 6 in all, 0.75x the training itself"
    assert said in capsys.readouterr().out


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
