"""What a selector asks about the pool at a decision, and is told: kept for who shows what it chose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.layers import ALL_LAYERS
from dataflex_core.relayed import RelayedSignals
from dataflex_core.signals import Signals

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """How influence on the target set was asked for, as `dataflex_core.Signals.influences`."""

    adam: bool
    layers: str | float
    refresh: int


class Heard:
    """Of one decision. ``influence`` is how that on the target set was asked for last, None where it was not."""

    def __init__(self) -> None:
        self.influence: Influence | None = None
        self._losses: list[tuple[Ids, Scores]] = []

    def tell(self, method: str, args: tuple[Any, ...], options: dict[str, Any], answer: Any) -> None:
        """A method of `Signals` was called, and answered."""
        if method in ("influence", "influences") and options.get("directions") is None:
            self.influence = Influence(
                adam=bool(options.get("adam", True)),
                layers=options.get("layers", ALL_LAYERS),
                refresh=int(options.get("refresh", 1)),
            )
        elif method == "losses" and options.get("model") is None:
            shard = args[0] if args else options["shard"]
            self._losses.append((np.array(shard, dtype=np.int64), np.array(answer, dtype=np.float32)))

    @property
    def has_losses(self) -> bool:
        """Whether losses of the model in training were asked for: the same on every rank."""
        return bool(self._losses)

    def losses_of(self, ids: Ids) -> tuple[Ids, Scores]:
        """Those of ``ids`` whose loss this rank was told, and the losses, Float32[n]: the last ones."""
        known: dict[int, float] = {}
        for shard, losses in self._losses:
            for place in np.flatnonzero(np.isin(shard, ids)):
                known[int(shard[place])] = float(losses[place])
        return np.array(list(known), dtype=np.int64), np.array(list(known.values()), dtype=np.float32)


class HeardSignals(RelayedSignals):
    """`Signals` of the pool whose answers are told to ``heard``, too; those of other samples are not."""

    def __init__(self, signals: Signals, heard: Heard) -> None:
        super().__init__(signals)
        self._heard = heard

    def _ask(self, method: str, answer: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        given = super()._ask(method, answer, args, options)
        self._heard.tell(method, args, options, given)
        return given
