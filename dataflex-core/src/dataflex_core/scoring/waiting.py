"""Results of batches that stay on the device until there are enough to be worth a read."""

from __future__ import annotations

import torch

from dataflex_core.scoring.host import read_together
from dataflex_core.scoring.results import Ids, Part

_LARGE = 1 << 24  # bytes


class Waiting:
    """Results of batches, in their order."""

    def __init__(self) -> None:
        self._kept: list[tuple[Ids, torch.Tensor, torch.Tensor | None]] = []
        self._bytes = 0

    @property
    def is_large(self) -> bool:
        """Whether they take so much memory that they are to be read."""
        return self._bytes >= _LARGE

    def add(self, ids: Ids, values: torch.Tensor, lengths: torch.Tensor | None) -> None:
        """Keep what a batch came to: ``values`` and ``lengths`` as in `Part`."""
        self._kept.append((ids, values.detach(), lengths))
        self._bytes += values.numel() * values.element_size()

    def read(self) -> list[Part]:
        """All of them, which are gone then: one copy from the device."""
        kept, self._kept, self._bytes = self._kept, [], 0
        tensors = [tensor for _, *both in kept for tensor in both if tensor is not None]
        found = iter(read_together(tensors))
        return [
            Part(ids=ids, values=next(found), lengths=None if lengths is None else next(found))
            for ids, _, lengths in kept
        ]
