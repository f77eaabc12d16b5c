"""The tokens that positions predict, and their cross-entropies."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

IGNORE = -100


def next_tokens(labels: torch.Tensor) -> torch.Tensor:
    """The token that each position predicts, Int64[B, T]; `IGNORE` where there is none."""
    return nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORE)


def predicting(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which positions predict a token, Bool[B, T], of labels on the host: where `next_tokens` has no `IGNORE`."""
    wanted: NDArray[np.bool_] = labels != IGNORE
    return np.concatenate([wanted[:, 1:], np.zeros_like(wanted[:, :1])], axis=1)


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Float32[B, T] cross-entropies of Float[B, T, V] logits; 0 where the target is `IGNORE`."""
    flat = nn.functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="none"
    )
    return flat.view(targets.shape)
