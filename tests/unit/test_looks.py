"""How often ranks look whether one of them wants something: by the clock, and all after the same round."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dataflex_core import collectives
from dataflex_core.collectives import LOOK_EVERY, Looks


class Together:
    """This rank and another, which offers ``other``."""

    def __init__(self, world: int, other: int = 10**9) -> None:
        self.world, self.other, self.exchanges = world, other, 0

    def largest(self, value: int) -> int:
        self.exchanges += 1
        return max(value, -self.other)


@pytest.fixture
def clock(monkeypatch):
    """What time it is, to be set."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(collectives.time, "monotonic", lambda: now.seconds)
    return now


def looked(looks: Looks, ranks: Together, clock: SimpleNamespace, rounds: int, each: float) -> list[int]:
    """The rounds after which there was an exchange, of ``rounds`` that take ``each`` seconds."""
    found = []
    for number in range(rounds):
        before, clock.seconds = ranks.exchanges, clock.seconds + each
        assert not looks.any_wants(False)
        if ranks.exchanges > before:
            found.append(number)
    return found


def test_a_rank_by_itself_is_answered_at_once_and_asks_nobody():
    ranks = Together(1)
    looks = Looks(ranks)
    assert [looks.any_wants(wants) for wants in (False, True)] == [False, True]
    assert ranks.exchanges == 0


@pytest.mark.parametrize(("each", "between"), [(LOOK_EVERY / 8, 8), (LOOK_EVERY * 3, 1)])
def test_ranks_look_after_about_so_many_seconds(clock, each, between):
    ranks = Together(2)
    looks = Looks(ranks)
    assert looked(looks, ranks, clock, 1 + 3 * between, each) == list(range(0, 1 + 3 * between, between))


def test_the_slowest_rank_decides_when(clock):
    ranks = Together(2, other=3)
    looks = Looks(ranks)
    assert looked(looks, ranks, clock, 7, LOOK_EVERY / 1000) == [0, 3, 6]


def test_what_one_rank_wants_all_know_at_the_same_look(clock):
    ranks = Together(2, other=2)
    looks = Looks(ranks)
    assert looked(looks, ranks, clock, 1, LOOK_EVERY / 1000) == [0]
    assert not looks.any_wants(True), "it is not due"
    ranks.other = 0
    assert looks.any_wants(False), "another wants it"
