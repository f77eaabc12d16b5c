"""Signals that answer only what a strategy has declared that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataflex_core.errors import StrategyFault
from dataflex_core.signals import Signals
from dataflex_core.spec import Need


def needs_of_call(method: str, options: Mapping[str, Any]) -> tuple[Need, ...]:
    """What asking signals a question takes, by the method's name and options; nothing for what costs no pass."""
    moments = (Need.MOMENTS,) if options.get("adam", True) else ()
    targets = () if options.get("directions") is not None else (Need.TARGET_SET,)
    return {
        "target": (Need.TARGET_SET,),
        "losses": (Need.LOSSES,),
        "token_losses": (Need.LOSSES,),
        "influence": (Need.GRADIENTS, Need.TARGET_SET, *moments),
        "influences": (Need.GRADIENTS, *targets, *moments),
        "alignments": (Need.GRADIENTS, *targets, *moments),
        "products": (Need.GRADIENTS, *moments),
        "gradients": (Need.GRADIENTS, *moments),
        "embeddings": (Need.EMBEDDINGS,),
        "generations": (Need.GENERATIONS,),
    }.get(method, ())


class DeclaredSignals:
    """`Signals` as a strategy is given them: a question that its spec does not declare raises `StrategyFault`.

    By its needs a run is refused or reckoned before the model loads; one that asks for more would fail late, or cost
    what nobody was told.
    """

    def __init__(self, signals: Signals, needs: frozenset[Need], title: str) -> None:
        self._signals, self._needs, self._title = signals, needs, title

    def __len__(self) -> int:
        return len(self._signals)

    def __getattr__(self, name: str) -> Any:
        answer = getattr(self._signals, name)
        if not callable(answer):
            return answer

        def asked(*args: Any, **options: Any) -> Any:
            self._check(name, options)
            return self._wrapped(answer(*args, **options))

        return asked

    def _check(self, method: str, options: Mapping[str, Any]) -> None:
        missing = [need for need in needs_of_call(method, options) if need not in self._needs]
        if missing:
            names = ", ".join(f"Need.{need.name}" for need in missing)
            raise StrategyFault(
                f"{self._title} asks signals.{method}() and does not declare {names}",
                hint="add it to the needs of its StrategySpec",
            )

    def _wrapped(self, answer: Any) -> Any:
        """Signals of other samples are as declared as these."""
        is_signals = hasattr(answer, "shard") and hasattr(answer, "gather")
        return DeclaredSignals(answer, self._needs, self._title) if is_signals else answer
