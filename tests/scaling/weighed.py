"""What ranks send each other to weigh a step, counted: a window of made-up micro-batches, gathered as a run does it."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Any, cast

import torch

from dataflex_core.collectives import Ranks
from dataflex_core.spec import Need
from dataflex_core.trainer.losses import MicroBatch
from dataflex_core.trainer.window import gathered
from scaling.assumed import TARGET_TOKENS, TOKENS

_ROWS, _WORLD = 2, 2


@dataclass(slots=True, kw_only=True)
class _Mirror:
    """An accelerator of ranks that all bring the same. ``received`` counts bytes."""

    device: torch.device
    process_index: int = 0
    num_processes: int = _WORLD
    received: int = 0

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        found = torch.cat([tensor] * _WORLD)
        self.received += found.nbytes
        return found


def bytes_of(needs: Set[Need], hidden: int) -> float:
    """Bytes a sample of the step that every rank is given, of a weigher with these needs, padding included."""
    targets = torch.full((_ROWS, TOKENS), -100)
    targets[:, :TARGET_TOKENS] = 1
    losses = torch.zeros(_ROWS, TOKENS)
    micro = MicroBatch(
        ids=torch.arange(_ROWS),
        losses=losses,
        targets=targets,
        references={"reference": losses} if Need.REFERENCE_LOSSES in needs else {},
        embeddings=torch.zeros(_ROWS, hidden) if Need.BATCH_EMBEDDINGS in needs else None,
    )
    mirror = _Mirror(device=torch.device("cpu"))
    every = [[(_ROWS, TOKENS)] for _ in range(_WORLD)]
    gathered([micro], every, Ranks(cast("Any", mirror)), targets=Need.TARGET_TOKENS in needs)
    return mirror.received / (_ROWS * _WORLD)
