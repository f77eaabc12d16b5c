"""schedule.py: when a run decides, how long it is, and how many candidates a budget pays for."""

import itertools
import math
import re

import pytest

from dataflex_core.errors import InvalidConfig
from dataflex_core.planning.schedule import Interval, Schedule, candidates_for_budget, total_steps

RUNS = [
    (warmup, update, total)
    for warmup, update, total in itertools.product([0, 1, 2, 5, 10], [1, 2, 3, 7, 10, 50], [1, 2, 3, 11, 12, 20, 101])
    if warmup < total
]


@pytest.mark.parametrize(("warmup", "update", "total"), RUNS)
def test_intervals_tile_the_run_exactly(warmup, update, total):
    schedule = Schedule(warmup_steps=warmup, update_steps=update, total_steps=total)
    intervals = list(schedule.intervals())
    assert [step for i in intervals for step in range(i.start, i.stop)] == list(range(total))
    assert all(i.steps == i.stop - i.start > 0 for i in intervals)
    assert [schedule.interval_at(step) for step in range(total)] == [i for i in intervals for _ in range(i.steps)]
    decided = [i for i in intervals if not i.is_warmup]
    assert [i.decision for i in decided] == list(range(1, schedule.decisions + 1))
    assert decided[0].start == warmup
    assert all(i.steps == update for i in decided[:-1])
    assert decided[-1].steps <= update


def test_a_worked_run():
    schedule = Schedule(warmup_steps=2, update_steps=3, total_steps=9)
    assert [(i.decision, i.start, i.stop, i.is_warmup) for i in schedule.intervals()] == [
        (0, 0, 2, True),
        (1, 2, 5, False),
        (2, 5, 8, False),
        (3, 8, 9, False),
    ]
    assert schedule.interval_at(7) == Interval(decision=2, start=5, stop=8)


@pytest.mark.parametrize(("warmup", "total"), [(10, 10), (11, 10), (1, 1), (0, 0)])
def test_a_warmup_as_long_as_the_run_is_refused(warmup, total):
    with pytest.raises(InvalidConfig, match=f"{total} steps and warmup_steps is {warmup}"):
        Schedule(warmup_steps=warmup, update_steps=5, total_steps=total)


@pytest.mark.parametrize(
    ("updates", "max_steps", "epochs", "steps"),
    [(3, 7, 2.0, 22), (3, -1, 2.0, 22), (None, 7, 2.0, 7), (None, -1, 2.0, 18), (None, 0, 0.5, 5), (None, -1, 0.01, 1)],
    ids=["updates", "updates, no max", "max_steps", "epochs", "part of a step rounds up", "never none"],
)
def test_total_steps(updates, max_steps, epochs, steps):
    found = total_steps(
        warmup_steps=10, update_steps=4, updates=updates, max_steps=max_steps, epochs=epochs, steps_per_epoch=9
    )
    assert found == steps


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("budget", "chosen", "cost", "fixed", "multiple"),
    [
        (0.5, 100, 1 / 3, 0.0, 1.5),
        (1.0, 100, 1 / 3, 0.0, 3.0),
        (0.5, 100, 1 / 3, 10.0, 1.2),
        (4.0, 64, 4 / 3, 64.0, 2.25),
        (1.0, 100, 1.0, 0.0, 1.0),
        (0.5, 100, 0.0, 0.0, math.inf),
    ],
)
def test_a_budget_pays_for_so_many_candidates(budget, chosen, cost, fixed, multiple):
    found = candidates_for_budget(budget=budget, chosen=chosen, cost=cost, fixed=fixed)
    assert found == pytest.approx(multiple)


@pytest.mark.parametrize("chosen", [7, 4096])
@pytest.mark.parametrize("cost", [1 / 3, 1.0, 4 / 3])
@pytest.mark.parametrize("fixed", [0.0, 123.0])
def test_a_budget_too_small_is_refused_and_the_hint_is_enough(chosen, cost, fixed):
    with pytest.raises(InvalidConfig, match=r"selection_budget 0\.01 does not pay") as caught:
        candidates_for_budget(budget=0.01, chosen=chosen, cost=cost, fixed=fixed)
    least = float(re.search(r"at least ([\d.]+)", caught.value.hint)[1])
    assert 1 <= candidates_for_budget(budget=least, chosen=chosen, cost=cost, fixed=fixed) < 1.1
