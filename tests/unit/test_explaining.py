"""How much a decision spends on saying why, and which samples come first."""

from __future__ import annotations

import pytest

from dataflex_core.explaining import LIMIT, MOST, left_of, most_of, paid_for, reckoned
from dataflex_core.journal.shown import allowance
from dataflex_core.journal.texts import Shown
from dataflex_core.planning.schedule import candidates_for_budget
from dataflex_core.trainer.reasons import in_turn

pytestmark = pytest.mark.numeric


@pytest.mark.parametrize(
    ("wanted", "taken", "more", "samples", "gradients"),
    [
        (40, 700, {}, 40, 40),
        (40, 106, {}, 10, 10),
        (3, 700, {}, 3, 3),
        (90, 7000, {}, MOST, MOST),
        (40, 9, {}, 0, 0),
        (40, 10_000, {"targets": 60, "held": 3}, 40, 40 + 14 * 60),
        (40, 10_000, {"targets": 500, "held": 3}, 3, 503),
        (40, 10_000, {"targets": 500, "held": 30}, 30, 530),
        (40, 4_000, {"targets": 1000, "held": 3}, 0, 0),
        (0, 4_000, {"targets": 10, "held": 3}, 0, 0),
    ],
)
def test_as_many_samples_are_explained_as_a_tenth_pays_for(wanted, taken, more, samples, gradients):
    paid = paid_for(wanted, taken, **more)
    assert (paid.samples, paid.gradients) == (samples, gradients)
    assert paid.gradients <= taken / 10


@pytest.mark.parametrize("budget", [5.0, 110.0, 440.0, 1000.0])
def test_a_budget_pays_for_judging_and_for_saying_why(budget):
    for most in (0, 7, MOST):
        left = left_of(budget, most)
        assert left + reckoned(left, most) == pytest.approx(budget)


@pytest.mark.parametrize("decisions", [1, 30, 49, 50, 399, 5000])
def test_no_more_is_reckoned_than_a_run_shows(decisions):
    assert most_of(decisions) * (decisions + 1) <= LIMIT
    assert most_of(decisions) == allowance(0, decisions, 0)


def test_the_least_budget_that_is_named_suffices():
    asked = {"chosen": 20, "cost": 1.0, "fixed": 11.0, "explained": 40}
    with pytest.raises(Exception, match="does not pay") as refused:
        candidates_for_budget(budget=0.5, **asked)
    least = float(refused.value.hint.split()[3].rstrip(","))
    assert candidates_for_budget(budget=least, **asked) >= 1


def test_the_first_of_each_reason_comes_before_the_second_of_any():
    shown = [
        Shown(decision=1, sample=sample, why=why)
        for why, samples in {"highest": (7, 3, 9), "lowest": (4, 7), "random": (7, 8)}.items()
        for sample in samples
    ]
    assert in_turn(shown).tolist() == [7, 4, 3, 8, 9]
    assert in_turn([]).tolist() == []
