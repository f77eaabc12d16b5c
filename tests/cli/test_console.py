"""console.py: what a person is told of a run."""

from __future__ import annotations

from dataclasses import replace

from dataflex_cli.header import show_plan
from dataflex_core.journal.events import Start, StrategyFact

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
