"""Signals that pass each question on to others, and do something about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dataflex_core.signals import Signals


class RelayedSignals:
    """`Signals` whose methods are those of ``signals``, called through `_ask`."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def __len__(self) -> int:
        return len(self._signals)

    def __getattr__(self, name: str) -> Any:
        answer = getattr(self._signals, name)
        if not callable(answer):
            return answer

        def asked(*args: Any, **options: Any) -> Any:
            return self._ask(name, answer, args, options)

        return asked

    def _ask(self, method: str, answer: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Have a ``method`` of the others ``answer``."""
        return answer(*args, **options)


def are_signals(answer: Any) -> bool:
    """Whether a method has answered with signals of other samples."""
    return hasattr(answer, "shard") and hasattr(answer, "gather")
