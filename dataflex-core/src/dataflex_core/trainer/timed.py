"""Signals that tell how long strategies wait for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dataflex_core.relayed import RelayedSignals, are_signals
from dataflex_core.signals import Signals


@dataclass(slots=True, kw_only=True)
class Clock:
    """Adds up the ``seconds`` of blocks; of one within another once."""

    seconds: float = 0.0
    _within: int = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """A block whose time counts, also where it raises."""
        began = time.monotonic()
        self._within += 1
        try:
            yield
        finally:
            self._within -= 1
            if not self._within:
                self.seconds += time.monotonic() - began


class TimedSignals(RelayedSignals):
    """`Signals`, with ``clock`` running while one of their methods does; likewise of target sets and own samples."""

    def __init__(self, signals: Signals, clock: Clock) -> None:
        super().__init__(signals)
        self._clock = clock

    def _ask(self, method: str, answer: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        with self._clock.running():
            given = super()._ask(method, answer, args, options)
        return TimedSignals(given, self._clock) if are_signals(given) else given
