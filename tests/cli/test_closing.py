"""closing.py: what a run came to, from its events."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dataflex_cli.closing import Closing
from dataflex_core.journal import Decision, Evaluated, Logged, Resume, Start, Step, StrategyFact

pytestmark = pytest.mark.numeric

START = Start(
    run="",
    strategies=(StrategyFact(kind="selector", name="less", distribution="d", version="1"),),
    domains={"words": 60, "numbers": 40},
    targets={},
    steps=8,
    warmup_steps=2,
    update_steps=3,
    decisions=2,
    global_batch=4,
    ranks=1,
    judged=36,
    decision_cost=9.0,
    step_cost=0.0,
    seed=7,
)
DECISION = Decision(
    decision=1,
    step=2,
    until=5,
    chosen={"words": 3, "numbers": 9},
    proportions=None,
    judged=36,
    shortages=(),
    plan="",
    seconds=6.0,
    cost=9.0,
)
WARMUP = replace(DECISION, decision=0, step=0, until=2, cost=0.0, seconds=0.5, chosen={"words": 5, "numbers": 3})
EVENTS = (
    START,
    WARMUP,
    *(Step(step=n, samples=(0, 1, 2, n)) for n in (1, 2)),
    Logged(step=2, means={}, training={"loss": 3.0, "epoch": 0.1}, seconds=4.0, deciding=0.0),
    Evaluated(step=2, figures={"eval_held_out_loss": 5.0, "eval_runtime": 1.0}),
    DECISION,
    replace(DECISION, decision=2, step=5, until=8, cost=3.0),
    *(Step(step=n, samples=(50, 61, 62, 63)) for n in range(3, 9)),
    Logged(step=8, means={}, training={"loss": 2.0}, seconds=24.0, deciding=12.0),
    Evaluated(step=8, figures={"eval_held_out_loss": 4.5}),
)


def closing(*events):
    made = Closing()
    for event in events:
        made.add(event)
    return made


def test_samples_losses_and_time_are_told():
    made = closing(*EVENTS)
    assert made.done() == (
        "done: 8 steps, 32 samples trained on, 7 different ones; loss 3.000 at first, 2.000 at last; "
        "eval_held_out_loss 5.000 at first, 4.500 at last"
    )
    took, had_to_be, worth = made.told("out")
    assert took == "2 decisions in 12.0 s, 43% of the time"
    assert had_to_be == (
        "to break even a chosen sample had to be worth 3.0 random ones, as declared; 2.0 by the time it took"
    )
    assert worth.endswith("without a run of random to compare with: dataflex report out --against RUN")
    assert list(made.told("my out"))[-1].endswith(": dataflex report 'my out' --against RUN")


def test_what_steps_took_is_told_by_those_that_were_timed():
    rare = closing(*(event for event in EVENTS if not isinstance(event, Logged)), replace(EVENTS[-2], seconds=24.0))
    assert rare.measured == pytest.approx(1 + 12 / (12 / 8) / 6)
    early = closing(*(event for event in EVENTS if not isinstance(event, Logged) or event.step == 2))
    assert early.measured == pytest.approx(1 + 12 / 2 / 6)
    assert early.share == pytest.approx(12 / (12 + 2 * 8))
    paused = closing(*(replace(e, seconds=e.seconds + 9, paused=9.0) if isinstance(e, Logged) else e for e in EVENTS))
    assert (paused.measured, paused.share) == (closing(*EVENTS).measured, closing(*EVENTS).share)


def test_of_a_run_that_went_on_with_other_data_samples_are_counted_since_then():
    resume = Resume(step=8, checkpoint="c", domains={"other": 200})
    chosen = replace(DECISION, decision=3, step=8, until=10, chosen={"other": 8})
    made = closing(*EVENTS, resume, chosen, *(Step(step=n, samples=(150, 151, 152, n)) for n in (9, 10)))
    assert made.done().startswith(
        "done: 10 steps, 8 samples trained on since step 8, on other data, 5 different ones; "
    )
    assert (made.pool, made.fields()["chosen"]) == ({"other": 200}, {"other": 8})
    assert made.fields()["enrichment"] == {"other": 1.0}
    assert next(made.told("out")).startswith("3 decisions in 18.0 s"), "what they took is of the whole run"


def test_programs_are_told_the_same():
    told = closing(*EVENTS).fields()
    assert told["break_even"] == {"measured": pytest.approx(2.0), "declared": pytest.approx(3.0)}
    assert told["enrichment"] == pytest.approx({"words": 0.25 / 0.6, "numbers": 0.75 / 0.4})
    assert (told["unique_samples"], told["deciding_share"]) == (7, pytest.approx(12 / 28, abs=1e-4))


def test_of_an_interval_that_was_not_trained_to_its_end_its_steps_count():
    """Killed after step 4; and decided anew there."""
    killed = [event for event in EVENTS if getattr(event, "step", 0) <= 4]
    assert closing(*killed).fields()["chosen"] == {"words": 2, "numbers": 6}
    anew = replace(DECISION, decision=2, step=4, until=8, chosen={"words": 0, "numbers": 16})
    steps = [Step(step=n, samples=(70, 71, 72, 73)) for n in range(5, 9)]
    told = closing(*killed, anew, *steps).fields()
    assert told["chosen"] == {"words": 2, "numbers": 22}
    assert told["enrichment"] == pytest.approx({"words": 2 / 24 / 0.6, "numbers": 22 / 24 / 0.4})
    assert closing(START, WARMUP, DECISION).fields()["enrichment"] == {}


def test_deciding_that_costs_nothing_has_nothing_to_gain():
    free = replace(DECISION, cost=0.0)
    assert list(closing(START, WARMUP, free).told("out")) == ["1 decision in 6.0 s"]
    assert list(closing(START).told("out")) == []
