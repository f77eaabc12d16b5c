"""What is added up between two logs: by domain, over ranks, across a resume; and who waits how long for signals."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from dataflex_core.domains import Domain
from dataflex_core.journal import Trained
from dataflex_core.trainer.sums import Sums, in_groups
from dataflex_core.trainer.timed import Clock, TimedSignals
from dataflex_core.trainer.trained import TrainedDomains

pytestmark = pytest.mark.numeric

DOMAINS = (Domain(name="words", start=0, size=6), Domain(name="numbers", start=6, size=4))


class Alone:
    """One rank."""

    def gather_arrays(self, values):
        return [values]


class Beside:
    """Two ranks, of which the other did the very same."""

    def gather_arrays(self, values):
        return [values, values]


def test_sums_are_of_all_that_was_added():
    sums = Sums()
    sums.add("a", torch.tensor([1, 2]))
    sums.add("a", torch.tensor([0.5, 0.25]))
    sums.add("b", torch.tensor([1e9, 1.0, 0.0], dtype=torch.float32))
    found = sums.read()
    np.testing.assert_array_equal(found["a"], [1.5, 2.25])
    np.testing.assert_array_equal(found["b"], [1e9, 1.0, 0.0])
    sums.clear()
    assert sums.read() == {}


def test_values_go_into_their_groups():
    found = in_groups(torch.tensor([0, 2, 0]), torch.tensor([1.0, 2.0, 4.0]), 4)
    assert found.tolist() == [5.0, 0.0, 2.0, 0.0]


def batch(*labels):
    return {"labels": torch.tensor(labels)}


def trained(ranks, sums):
    """Two steps of two micro-batches and one; target tokens are those that something predicts."""
    made = TrainedDomains(DOMAINS, ranks, sums)
    made.window([np.array([0, 7])], [batch([5, 5, -100], [-100, -100, 5])])
    made.losses(torch.tensor([0, 7]), torch.tensor([2.0, 0.5]))
    made.step(np.array([0, 7]))
    made.window([np.array([1]), np.array([6])], [batch([5, 5, 5]), batch([-100, 5, 5])])
    made.losses(torch.tensor([1]), torch.tensor([1.0]))
    made.losses(torch.tensor([6]), torch.tensor([float("nan")]))
    made.step(np.array([1, 6]))
    return made


COUNTS = {"samples": {"words": 2, "numbers": 2}, "tokens": {"words": 3, "numbers": 3}}


def test_what_was_trained_on_is_told_by_domain():
    sums = Sums()
    made = trained(Alone(), sums)
    losses = {"words": 3.0, "numbers": None}
    assert made.event(2, sums.read()) == Trained(after=0, step=2, **COUNTS, losses=losses)
    made.clear(2)
    sums.clear()
    assert made.event(2, sums.read()) is None


def test_of_several_ranks_it_is_the_sum():
    sums = Sums()
    told = trained(Beside(), sums).event(2, sums.read())
    assert told.tokens == {"words": 6, "numbers": 6}
    assert told.losses["words"] == 6.0


def test_a_step_that_is_not_finished_counts_for_nothing():
    sums = Sums()
    made = trained(Alone(), sums)
    made.window([np.array([0])], [batch([5, 5])])
    assert made.event(2, sums.read()).tokens == COUNTS["tokens"]


def test_a_run_that_goes_on_goes_on_counting():
    sums, later = Sums(), Sums()
    first = trained(Beside(), sums)
    again = TrainedDomains(DOMAINS, Beside(), later)
    again.load(first.state(sums.read()))
    again.window([np.array([0])], [batch([5, 5])])
    again.losses(torch.tensor([0]), torch.tensor([1.0]))
    again.step(np.array([0, 0]))
    told = again.event(3, later.read())
    assert (told.after, told.samples) == (0, {"words": 4, "numbers": 2})
    assert told.tokens == {"words": 8, "numbers": 6}
    assert told.losses["words"] == 8.0


def test_of_other_domains_there_is_nothing_to_go_on_from():
    sums = Sums()
    state = trained(Alone(), sums).state(sums.read())
    again = TrainedDomains(DOMAINS[:1], Alone(), Sums())
    again.load(state)
    assert again.event(3, {}) is None


class Slow:
    """Signals of which each answer takes a while."""

    targets = ("held",)

    def __len__(self):
        return 10

    def losses(self, shard):
        time.sleep(0.02)
        return shard

    def target(self, name):
        return self

    shard = gather = losses


def test_the_clock_runs_while_signals_are_asked_those_of_target_sets_too():
    clock = Clock()
    signals = TimedSignals(Slow(), clock)
    assert (len(signals), signals.targets, clock.seconds) == (10, ("held",), 0.0)
    assert signals.losses("ids") == "ids"
    first = clock.seconds
    assert first > 0.01
    assert signals.target("held").losses("ids") == "ids"
    assert clock.seconds > first + 0.01


def test_the_clock_counts_what_fails():
    clock = Clock()

    def fail():
        time.sleep(0.01)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), clock.running():
        fail()
    assert clock.seconds > 0.005
