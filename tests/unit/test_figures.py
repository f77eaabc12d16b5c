"""Figures about what was decided: worked numbers, and None where the numbers do not give one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflex_core.journal import Decision, Logged, ScoresFact, Start, Step, StrategyFact, Trained, WeightsFact
from dataflex_core.journal.figures import (
    break_even,
    effective_share,
    enrichment,
    epochs,
    finite,
    overlap,
    rank_correlation,
    shares,
    spread,
)
from dataflex_core.journal.tally import Tally


def test_shares_and_epochs():
    assert shares({"words": 3, "numbers": 1}) == {"words": 0.75, "numbers": 0.25}
    assert shares({"words": 0}) == {}
    assert epochs({"words": 3}, {"words": 6, "numbers": 4, "none": 0}) == {"words": 0.5, "numbers": 0.0}


def test_enrichment_is_the_share_of_the_chosen_by_that_of_the_pool():
    assert enrichment({"words": 9, "numbers": 1}, {"words": 60, "numbers": 40, "none": 0}) == {
        "words": pytest.approx(1.5),
        "numbers": pytest.approx(0.25),
    }


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [([1, 2, 3], [2, 3, 4], 0.5), ([1, 1, 2], [2, 1], 1.0), ([1], [2], 0.0), ([], [1], 0.0), ([], [], None)],
)
def test_the_overlap_of_two_choices(one, other, found):
    assert overlap(one, other) == overlap(other, one) == found


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ([1, 2, 3], [10, 20, 1000], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, np.nan, 3], [1, 3, 9, 2], 0.5),
        # Ties share their mean rank: 1, 2.5, 2.5, 4 against 1, 2, 3, 4.
        ([1, 2, 2, 3], [1, 2, 3, 4], 4.5 / np.sqrt(4.5 * 5)),
        ([1, 1, 1], [1, 2, 3], None),
        ([1], [1], None),
        ([], [], None),
        ([np.nan, np.nan], [1, 2], None),
    ],
)
def test_the_rank_correlation_of_worked_numbers(one, other, found):
    assert rank_correlation(one, other) == (None if found is None else pytest.approx(found))


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), max_size=30))
def test_a_rank_correlation_is_of_ranks_alone(pairs):
    one, other = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    found = rank_correlation(one, other)
    same = rank_correlation(np.unique(one, return_inverse=True)[1], other)
    assert found == same
    assert found is None or -1.0000001 <= found <= 1.0000001


def test_a_rank_correlation_of_many_looks_at_some():
    values = np.arange(300_000)
    assert rank_correlation(values, -values) == pytest.approx(-1.0)


def test_mean_and_spread_are_of_the_finite():
    assert spread([1.0, 3.0, np.nan, np.inf]) == (2.0, 1.0)
    assert spread([np.nan]) is None


def test_the_effective_share_of_the_worked_numbers():
    weights = np.array([0.5, 1.0, 1.5, 3.0])
    assert effective_share(4, weights.sum(), (weights**2).sum()) == pytest.approx(2.88 / 4)
    assert effective_share(0, 0.0, 0.0) is None


def test_costs_in_steps_and_what_they_must_gain():
    assert break_even(44, 10) == pytest.approx(5.4)
    assert break_even(1, 0) is None


def test_only_finite_numbers_are_told():
    assert finite({"a": 1, "b": float("nan"), "c": None, "d": "text", "e": np.float32(0.5)}) == {"a": 1.0, "e": 0.5}


pytestmark = pytest.mark.numeric

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
    ranks=1,
    judged=10,
    decision_cost=2.5,
    step_cost=0.0,
    seed=7,
)
DECISION = Decision(
    decision=1,
    step=2,
    until=4,
    chosen={"words": 3, "numbers": 1},
    proportions={"words": 0.7, "numbers": 0.3},
    judged=10,
    shortages=(),
    plan="2d720c494364f51a",
    seconds=0.25,
    overlap=0.25,
    scores=ScoresFact(count=9, lost=1, mean=0.5, spread=0.125, length_correlation=None),
)
TRAINED = Trained(
    after=0,
    step=2,
    samples={"words": 3, "numbers": 1},
    tokens={"words": 10, "numbers": 0},
    losses={"words": 25.0, "numbers": 0.0},
    weights={"words": 15.0, "numbers": None},
)
LOGGED = Logged(
    step=2,
    means={},
    seconds=4.0,
    deciding=1.0,
    weights=WeightsFact(count=4, lost=2, mean=1.0, spread=0.5, effective_share=0.75),
)


def tallied(*events):
    made = Tally()
    for event in events:
        made.add(event)
    return made


def test_a_tally_shows_what_was_trained_on_since_the_last_log():
    steps = (Step(step=1, samples=(0, 1)), Step(step=2, samples=(1, 6)))
    assert tallied(START, *steps, TRAINED, DECISION, LOGGED).figures() == {
        "dataflex/share/words": 0.75,
        "dataflex/share/numbers": 0.25,
        "dataflex/share_tokens/words": 1.0,
        "dataflex/share_tokens/numbers": 0.0,
        "dataflex/share_wanted/words": 0.7,
        "dataflex/share_wanted/numbers": 0.3,
        "dataflex/share_weight/words": 1.0,
        "dataflex/loss/words": 2.5,
        "dataflex/seen/words": 0.5,
        "dataflex/seen/numbers": 0.25,
        "dataflex/overlap": 0.25,
        "dataflex/score/mean": 0.5,
        "dataflex/score/spread": 0.125,
        "dataflex/score/nan": 1.0,
        "dataflex/deciding": 0.25,
        "dataflex/weight/mean": 1.0,
        "dataflex/weight/spread": 0.5,
        "dataflex/weight/nan": 2.0,
        "dataflex/coverage": 0.3,
    }


def test_a_decision_is_shown_once_and_what_is_counted_always():
    made = tallied(START, Step(step=1, samples=(0, 1)), DECISION, LOGGED, Step(step=2, samples=(7, 7)))
    made.add(Logged(step=4, means={}))
    assert made.figures() == {
        "dataflex/seen/words": pytest.approx(1 / 3),
        "dataflex/seen/numbers": 0.5,
        "dataflex/coverage": 0.3,
    }


def test_a_weighter_alone_decides_no_shares():
    weighter = StrategyFact(kind="weighter", name="loss", distribution="mine.py", version="")
    start = Start(**{name: getattr(START, name) for name in START.__dataclass_fields__} | {"strategies": (weighter,)})
    shown = tallied(start, TRAINED, LOGGED).figures()
    assert {"dataflex/loss/words", "dataflex/share_weight/words"} <= set(shown)
    assert not any(name.startswith(("dataflex/share/", "dataflex/share_tokens/")) for name in shown)


def test_a_tally_of_nothing_shows_nothing():
    assert tallied(LOGGED).figures() == {}
    assert tallied(START).figures() == {}
