"""What is added up between two logs: by domain, across a resume; and who waits how long for signals."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

from dataflex_core.domains import Domain
from dataflex_core.journal import Trained
from dataflex_core.rows import Origins, Source
from dataflex_core.trainer.groups import groups_of
from dataflex_core.trainer.timed import Clock, TimedSignals
from dataflex_core.trainer.trained import TrainedDomains, in_groups

pytestmark = pytest.mark.numeric

DOMAINS = (Domain(name="words", start=0, size=6), Domain(name="numbers", start=6, size=4))
CPU = torch.device("cpu")


def test_values_go_into_their_groups():
    found = in_groups(torch.tensor([0, 2, 0]), torch.tensor([1.0, 2.0, 4.0]), 4)
    assert found.tolist() == [5.0, 0.0, 2.0, 0.0]


def batch(*labels):
    return {"labels": torch.tensor(labels)}


def stepped(made, *ids):
    made.count(np.array(ids))
    made.take_up(made.step().numpy())


def trained():
    """Two steps, of a micro-batch and of two; target tokens are those that something predicts."""
    made = TrainedDomains(groups_of(DOMAINS, None), CPU)
    made.window([np.array([0, 7])], [batch([5, 5, -100], [-100, -100, 5])])
    made.losses(np.array([0, 7]), torch.tensor([2.0, 0.5]), torch.tensor([0.5, 2.5]))
    stepped(made, 0, 7)
    made.window([np.array([1]), np.array([6])], [batch([5, 5, 5]), batch([-100, 5, 5])])
    made.losses(np.array([1]), torch.tensor([1.0]), torch.tensor([2.0]))
    made.losses(np.array([6]), torch.tensor([float("nan")]), torch.tensor([2.0]))
    stepped(made, 1, 6)
    return made


COUNTS = {"samples": {"words": 2, "numbers": 2}, "tokens": {"words": 3, "numbers": 3}}


def test_what_was_trained_on_is_told_by_domain():
    made = trained()
    losses, weights = {"words": 3.0, "numbers": None}, {"words": 2.5, "numbers": 4.5}
    assert made.event(2) == Trained(after=0, step=2, **COUNTS, losses=losses, weights=weights)
    made.clear(2)
    assert made.event(2) is None


def test_a_step_that_is_not_finished_counts_for_nothing():
    made = trained()
    made.window([np.array([0])], [batch([5, 5])])
    made.losses(np.array([0]), torch.tensor([9.0]), torch.tensor([9.0]))
    made.window([np.array([0])], [batch([5, 5, 5])])
    made.losses(np.array([0]), torch.tensor([1.0]), torch.tensor([1.5]))
    stepped(made, 0)
    told = made.event(3)
    assert (told.tokens["words"], told.losses["words"], told.weights["words"]) == (5, 4.0, 4.0)


def test_weights_that_are_all_one_are_not_told():
    made = TrainedDomains(groups_of(DOMAINS, None), CPU)
    made.window([np.array([0, 7])], [batch([5, 5, -100], [-100, -100, 5])])
    made.losses(np.array([0, 7]), torch.tensor([2.0, 0.5]), torch.tensor([1.0, 1.0]))
    stepped(made, 0, 7)
    told = made.event(1)
    assert (told.losses, told.weights) == ({"words": 2.0, "numbers": 0.5}, None)


def test_a_run_that_goes_on_goes_on_counting():
    again = TrainedDomains(groups_of(DOMAINS, None), CPU)
    again.load(trained().state())
    again.window([np.array([0])], [batch([5, 5])])
    again.losses(np.array([0]), torch.tensor([1.0]), torch.tensor([1.5]))
    stepped(again, 0)
    told = again.event(3)
    assert (told.after, told.samples) == (0, {"words": 3, "numbers": 2})
    assert told.tokens == {"words": 4, "numbers": 3}
    assert (told.losses["words"], told.weights["words"]) == (4.0, 4.0)


def test_a_run_that_goes_on_without_losses_tells_none():
    again = TrainedDomains(groups_of(DOMAINS, None), CPU)
    again.load(trained().state())
    again.window([np.array([0])], [batch([5, 5])])
    stepped(again, 0)
    told = again.event(3)
    assert (told.tokens["words"], told.losses, told.weights) == (4, None, None)


def test_of_other_domains_there_is_nothing_to_go_on_from():
    again = TrainedDomains(groups_of(DOMAINS[:1], None), CPU)
    again.load(trained().state())
    assert again.event(3) is None


WHOLE = (Domain(name="words+numbers", start=0, size=4),)


def origins(rows, starts=(0, 1, 2, 3, 4)):
    sizes = {"words": 3, "numbers": 2}
    sources = tuple(Source(dataset=name, files=(), size=size, count=len) for name, size in sizes.items())
    return Origins(sources=sources, starts=np.array(starts), rows=np.array(rows))


def test_data_in_one_piece_is_told_by_data_set():
    groups = groups_of(WHOLE, origins([3, 0, 4, 2]))
    assert groups.names == ("words", "numbers")
    assert groups.of(np.array([0, 1, 2, 3, 1])).tolist() == [1, 0, 1, 0, 0]
    packed = groups_of(WHOLE, origins([3, 0, 0, 1, 4], starts=(0, 2, 3, 4, 5)))
    assert packed.of(np.arange(4)).tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("domains", "known"),
    [
        (WHOLE, None),
        (WHOLE, origins([3, 0, -1, 2])),
        (WHOLE, origins([3, 0, 4], starts=(0, 1, 1, 2, 3))),
        (DOMAINS, origins([3, 0, 4, 2])),
    ],
    ids=["nobody knows", "of one nobody knows", "one has no row", "there are domains"],
)
def test_else_by_domain(domains, known):
    groups = groups_of(domains, known)
    assert groups.names == tuple(domain.name for domain in domains)
    assert groups.of(np.array([0, 3])).tolist() == [0, 0]


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


def test_a_clock_counts_a_block_within_another_once(monkeypatch):
    now = iter([1.0, 2.0, 4.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    clock = Clock()
    with clock.running(), clock.running():
        pass
    assert clock.seconds == 3.0
