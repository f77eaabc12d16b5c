"""Ranks of a run as threads of this process, where every collective is a rendezvous that fails and never hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from dataflex_core.testing.errors import OutOfStep

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds without any rank getting anywhere, after which the ranks are taken to hang."""


class _Abandoned(BaseException):
    """Ends the thread of a rank whose others have failed; a strategy that catches every Exception lets it through."""


class Meeting:
    """Where ``world`` ranks meet. A rank that calls something else, or has ended, breaks it for all of them."""

    def __init__(self, world: int) -> None:
        self.world = world
        self._changed = threading.Condition()
        self._waiting: dict[int, tuple[str, object]] = {}
        self._met: list[object] = []
        self._rounds = 0
        self._ended: set[int] = set()
        self._failure: BaseException | None = None

    def meet(self, rank: int, call: str, value: T) -> list[T]:
        """Every rank's ``value``, in order of rank; where another rank makes another ``call``, all of them fail."""
        with self._changed:
            self._check()
            for other, (made, _) in self._waiting.items():
                if made != call:
                    self._fail(OutOfStep(f"rank {rank} {call} while rank {other} {made}"))
            for other in self._ended:
                self._fail(OutOfStep(f"rank {rank} {call} when rank {other} had ended"))
            self._waiting[rank] = call, value
            if len(self._waiting) == self.world:
                self._met = [self._waiting[r][1] for r in range(self.world)]
                self._waiting.clear()
                self._rounds += 1
                self._changed.notify_all()
            else:
                mine = self._rounds
                self._changed.wait_for(lambda: self._rounds > mine or self._failure is not None)
                self._check()
            return list(self._met)  # type: ignore[arg-type]  # ranks that make one call bring values of one type

    def end(self, rank: int, error: BaseException | None = None) -> None:
        """This rank has done its work, or has failed at it."""
        with self._changed:
            self._ended.add(rank)
            if error is not None and self._failure is None:
                self._failure = error
            elif self._waiting and self._failure is None:
                other, (made, _) = next(iter(self._waiting.items()))
                self._failure = OutOfStep(f"rank {rank} ended while rank {other} {made}")
            self._changed.notify_all()

    def wait(self, patience: float) -> None:
        """Until every rank has ended, or one has failed, which is raised."""
        with self._changed:
            while len(self._ended) < self.world and self._failure is None:
                if not self._changed.wait(patience):
                    late = sorted(set(range(self.world)) - set(self._waiting) - self._ended)
                    self._failure = OutOfStep(f"ranks {late} were not heard of for {patience:g} seconds")
            self._changed.notify_all()
            if self._failure is not None:
                raise self._failure

    def _fail(self, error: OutOfStep) -> None:
        self._failure = error
        self._changed.notify_all()
        raise _Abandoned

    def _check(self) -> None:
        if self._failure is not None:
            raise _Abandoned


def on_ranks(world: int, work: Callable[[int, Meeting], T], *, patience: float = PATIENCE) -> list[T]:
    """``work(rank, meeting)`` of every rank, a thread each; what it returns, in order of rank.

    Raises what the first rank to fail raised, or `OutOfStep`. One rank works in the caller's own thread.
    """
    meeting = Meeting(world)
    if world == 1:
        return [work(0, meeting)]
    results: dict[int, T] = {}

    def run(rank: int) -> None:
        try:
            results[rank] = work(rank, meeting)
        except _Abandoned:
            meeting.end(rank)
        except BaseException as error:
            error.add_note(f"on rank {rank} of {world}")
            meeting.end(rank, error)
        else:
            meeting.end(rank)

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(world)]
    for thread in threads:
        thread.start()
    meeting.wait(patience)
    return [results[rank] for rank in range(world)]
