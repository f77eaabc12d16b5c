"""A weighter's answer as the weights of tokens, held to its contract: by a run, and by the conformance kit."""

from __future__ import annotations

from typing import Any

import torch

from dataflex_core.contracts import TokenLosses


def token_weights(weights: Any, losses: TokenLosses) -> torch.Tensor:
    """Float32[B, T] weights whose mean over the target tokens is one; raises ValueError saying how they cannot be."""
    rows, width = losses.values.shape
    shape = tuple(weights.shape) if torch.is_tensor(weights) else type(weights).__name__
    if shape not in {(rows,), (rows, width)}:
        raise ValueError(f"answers with {shape}, not with {rows} or {rows} x {width} weights")
    if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
        raise ValueError("answers with weights that are not finite and >= 0")
    tokens = weights.detach().to(losses.values)
    tokens = tokens[:, None].expand(rows, width) if tokens.ndim == 1 else tokens
    if not bool(losses.mask.any()):
        return torch.ones_like(losses.values)
    mean = tokens[losses.mask].mean()
    if not bool(mean > 0):
        raise ValueError("answers with zero for every target token")
    normalised: torch.Tensor = tokens / mean
    return normalised
