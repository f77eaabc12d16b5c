"""The tokens that positions predict, and their cross-entropies."""

from __future__ import annotations

import torch
from torch import nn

IGNORE = -100


def next_tokens(labels: torch.Tensor) -> torch.Tensor:
    """The token that each position predicts, Int64[B, T]; `IGNORE` where there is none."""
    return nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORE)


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Float32[B, T] cross-entropies of Float[B, T, V] logits; 0 where the target is `IGNORE`."""
    flat = nn.functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="none"
    )
    return flat.view(targets.shape)
