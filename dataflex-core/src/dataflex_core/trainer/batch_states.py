"""Embeddings of the samples that are trained on, taken from the forward that trains on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from dataflex_core.scoring.embeddings import attended, pooled, pooling_weights
from dataflex_core.scoring.model_calls import base_of
from dataflex_core.trainer.pieces import Pieces

POOLING = "weighted"
"""As in `Signals.embeddings`."""


@contextmanager
def batch_embeddings(
    model: nn.Module, inputs: Mapping[str, Any], pieces: Pieces | None = None
) -> Iterator[list[torch.Tensor]]:
    """A list that has, after a forward of ``inputs`` within, the embeddings of its samples, detached, Float32[b, H].

    They are of the last layer's normed hidden states, which nobody computes for it: a hook pools what passes. Of packed
    rows they are of the ``pieces``.
    """
    found: list[torch.Tensor] = []

    def take(module: nn.Module, args: Any, output: Any) -> None:
        states: torch.Tensor = output[0].detach()
        if pieces is None:
            found[:] = [pooled(states, attended(inputs), POOLING)]
            return
        weights = pooling_weights(pieces.masks(states.device), POOLING)
        # Row by row: hidden states are not repeated for each piece.
        parts = [weights[np.flatnonzero(pieces.rows == row)] for row in range(len(states))]
        found[:] = [torch.cat([part @ states[row].float() for row, part in enumerate(parts)])]

    inner: Any = base_of(model).base_model
    handle = inner.register_forward_hook(take)
    try:
        yield found
    finally:
        handle.remove()
