"""Losses per token and per sample, with logits only where there is a target token."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

IGNORE = -100


def token_losses(model: nn.Module, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Float32[B, P] cross-entropies and their Bool[B, P] mask, at the P positions where any sample has a target.

    Differentiable when gradients are enabled. Runs one forward, also for a batch without any target token.
    """
    inputs = dict(batch)
    targets = next_tokens(inputs.pop("labels"))
    positions = (targets != IGNORE).any(dim=0).nonzero().squeeze(1)
    if positions.numel() == 0:
        positions = positions.new_zeros(1)
    if takes_logits_to_keep(base_of(model)):
        logits = model(**inputs, use_cache=False, logits_to_keep=positions).logits
    else:
        logits = model(**inputs, use_cache=False).logits[:, positions]
    kept = targets[:, positions]
    return cross_entropy(logits, kept), kept != IGNORE


def next_tokens(labels: torch.Tensor) -> torch.Tensor:
    """The token that each position predicts, Int64[B, T]; `IGNORE` where there is none."""
    return nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORE)


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Float32[B, T] cross-entropies of Float[B, T, V] logits; 0 where the target is `IGNORE`."""
    flat = nn.functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="none"
    )
    return flat.view(targets.shape)


def sample_means(losses: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over each sample's target tokens, Float32[B]; NaN where it has none."""
    return losses.sum(dim=1) / mask.sum(dim=1)


def base_of(model: nn.Module) -> nn.Module:
    """The transformers model inside a PEFT wrapper, or the model itself."""
    unwrap = getattr(model, "get_base_model", None)
    base: nn.Module = unwrap() if callable(unwrap) else model
    return base


def takes_logits_to_keep(model: nn.Module) -> bool:
    """Whether the model can compute logits at chosen positions only."""
    return "logits_to_keep" in inspect.signature(type(model).forward).parameters
