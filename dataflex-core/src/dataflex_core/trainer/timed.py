"""Signals that tell how long strategies wait for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dataflex_core.signals import Signals


@dataclass(slots=True, kw_only=True)
class Clock:
    """Adds up the ``seconds`` of blocks."""

    seconds: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """A block whose time counts, also where it raises."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - began


class TimedSignals:
    """`Signals`, with ``clock`` running while one of their methods does; likewise of target sets and own samples."""

    def __init__(self, signals: Signals, clock: Clock) -> None:
        self._signals, self._clock = signals, clock

    def __len__(self) -> int:
        return len(self._signals)

    def __getattr__(self, name: str) -> Any:
        answer = getattr(self._signals, name)
        if not callable(answer):
            return answer

        def asked(*args: Any, **options: Any) -> Any:
            with self._clock.running():
                given = answer(*args, **options)
            is_signals = hasattr(given, "shard") and hasattr(given, "gather")
            return TimedSignals(given, self._clock) if is_signals else given

        return asked
