"""Embeddings of candidates and of the target set, gathered: the same on every rank."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dataflex_core import SelectionRequest, Signals

    Ids = NDArray[np.int64]
    Rows = NDArray[np.float32]

Pooling = Literal["mean", "last", "weighted"]


def gathered(signals: Signals, ids: Ids, *, layer: int = -1, pooling: Pooling = "mean") -> Rows:
    """Embeddings of samples ``ids``, Float32[N, H], by the model in training: the same on every rank. Collective."""
    shard = signals.shard(ids)
    return signals.gather(ids, shard, signals.embeddings(shard, layer=layer, pooling=pooling))


def of_targets(signals: Signals, *, layer: int = -1, pooling: Pooling = "mean") -> list[Rows]:
    """Those of the samples of each subtask of the target set, Float32[m, H] each, in order. Collective."""
    import numpy as np

    subtasks = [signals.target(name) for name in signals.targets]
    return [gathered(each, np.arange(len(each)), layer=layer, pooling=pooling) for each in subtasks]


def trainable(request: SelectionRequest) -> SelectionRequest:
    """The same request for the candidates that have a target token: training on any other changes nothing."""
    found = request.candidates[request.signals.target_tokens(request.candidates) > 0]
    return request.narrowed(found, min(request.count, len(found)), request.rng)


@dataclass(slots=True, kw_only=True)
class Embedder:
    """Asks for embeddings of a layer of the model in training; those of the target set once a decision."""

    layer: int
    pooling: Pooling
    _targets: tuple[int, Rows] | None = field(default=None, init=False)

    def candidates(self, request: SelectionRequest) -> Rows:
        """Of the request's candidates, Float32[N, H]. Collective."""
        return gathered(request.signals, request.candidates, layer=self.layer, pooling=self.pooling)

    def targets(self, request: SelectionRequest) -> Rows:
        """Of the samples of all subtasks of the target set, in order, Float32[M, H]. Collective.

        A mixer has a selector choose in each domain by itself: they are asked for once, by the step.
        """
        import numpy as np

        step = request.progress.step
        if self._targets is None or self._targets[0] != step:
            rows = np.concatenate(of_targets(request.signals, layer=self.layer, pooling=self.pooling))
            self._targets = step, rows
        return self._targets[1]
