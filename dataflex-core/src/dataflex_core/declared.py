"""Signals that answer only what a strategy has declared that it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dataflex_core.errors import StrategyFault
from dataflex_core.relayed import RelayedSignals, are_signals
from dataflex_core.signals import Signals
from dataflex_core.spec import Need


def needs_of_call(method: str, options: Mapping[str, Any]) -> tuple[Need, ...]:
    """What asking signals a question takes, by the method's name and options; nothing for what costs no pass."""
    moments = (Need.MOMENTS,) if options.get("adam", True) else ()
    targets = () if options.get("directions") is not None else (Need.TARGET_SET,)
    return {
        "target": (Need.TARGET_SET,),
        "holdout": (Need.HOLDOUT,),
        "losses": (Need.LOSSES,),
        "token_losses": (Need.LOSSES,),
        "influence": (Need.GRADIENTS, Need.TARGET_SET, *moments),
        "influences": (Need.GRADIENTS, *targets, *moments),
        "alignments": (Need.GRADIENTS, *targets, *moments),
        "products": (Need.GRADIENTS, *moments),
        "gradients": (Need.GRADIENTS, *moments),
        "embeddings": (Need.EMBEDDINGS,),
        "expert_loads": (Need.EXPERT_LOADS,),
        "generations": (Need.GENERATIONS,),
    }.get(method, ())


class DeclaredSignals(RelayedSignals):
    """`Signals` as a strategy is given them: a question that its spec does not declare raises `StrategyFault`.

    By its needs a run is refused or reckoned before the model loads; one that asks for more would fail late, or cost
    what nobody was told.
    """

    def __init__(self, signals: Signals, needs: frozenset[Need], title: str) -> None:
        super().__init__(signals)
        self._needs, self._title = needs, title

    def _ask(self, method: str, answer: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        self._check(method, options)
        return self._wrapped(super()._ask(method, answer, args, options))

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
        return DeclaredSignals(answer, self._needs, self._title) if are_signals(answer) else answer
