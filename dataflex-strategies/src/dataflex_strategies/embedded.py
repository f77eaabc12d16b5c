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


@dataclass(slots=True, kw_only=True)
class Embedder:
    """Asks for embeddings of a layer of the model in training; those of the target set once a decision."""

    layer: int
    pooling: Pooling
    _targets: tuple[int, Rows] | None = field(default=None, init=False)

    def candidates(self, request: SelectionRequest) -> Rows:
        """Of the request's candidates, Float32[N, H]. Collective."""
        return self._of(request.signals, request.candidates)

    def targets(self, request: SelectionRequest) -> Rows:
        """Of the samples of all subtasks of the target set, in order, Float32[M, H]. Collective.

        A mixer has a selector choose in each domain by itself: they are asked for once, by the step.
        """
        import numpy as np

        step = request.progress.step
        if self._targets is None or self._targets[0] != step:
            subtasks = [request.signals.target(name) for name in request.signals.targets]
            rows = np.concatenate([self._of(subtask, np.arange(len(subtask))) for subtask in subtasks])
            self._targets = step, rows
        return self._targets[1]

    def _of(self, signals: Signals, ids: Ids) -> Rows:
        shard = signals.shard(ids)
        return signals.gather(ids, shard, signals.embeddings(shard, layer=self.layer, pooling=self.pooling))
