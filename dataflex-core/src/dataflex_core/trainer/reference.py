"""What reference models say of the samples that are trained next: asked ahead of them, in passes over many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dataflex_core.signals import Signals

AHEAD = 4096
"""About how many samples are asked about at once: the losses of their tokens wait in memory."""

Ids = NDArray[np.int64]


class ReferenceAnswers:
    """The token losses of reference models ``paths``, of samples of the pool that were asked about ahead."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._asked = self._ids = np.zeros(0, dtype=np.int64)
        self._losses: dict[str, list[NDArray[np.float32]]] = {}

    def has(self, ids: Ids) -> bool:
        """Whether it was ``ids`` that were asked about last."""
        return np.array_equal(ids, self._asked)

    def ask(self, signals: Signals, ids: Ids) -> None:
        """Ask about ``ids``, and forget the others; the same on every rank. Collective; raises as `token_losses`."""
        self._asked, ids = ids, np.unique(ids)
        shard = signals.shard(ids)
        self._losses = {
            path: signals.gather(ids, shard, signals.token_losses(shard, model=path)) for path in self._paths
        }
        self._ids = ids

    def laid_out(self, path: str, ids: Ids, mask: torch.Tensor) -> torch.Tensor:
        """Losses Float32[b, T] of samples ``ids`` Int64[b] where ``mask`` has their target tokens, 0 elsewhere."""
        known = self._losses[path]
        flat = np.concatenate([known[place] for place in np.searchsorted(self._ids, ids)])
        values = torch.from_numpy(flat).to(mask.device)
        return torch.zeros(mask.shape, dtype=torch.float32, device=mask.device).masked_scatter(mask, values)
