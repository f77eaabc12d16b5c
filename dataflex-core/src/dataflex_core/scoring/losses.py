"""Losses per token and per sample, with logits only where there is a target token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

import torch
from torch import nn

from dataflex_core.scoring.model_calls import base_of, inputs_of, takes

IGNORE = -100

_UNFIT: WeakSet[nn.Module] = WeakSet()
"""Output layers of models whose logits do not simply come out of them."""


def token_losses(model: nn.Module, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Float32[B, P] cross-entropies and their Bool[B, P] mask, at P positions that hold every target token.

    Differentiable when gradients are enabled. Runs one forward, also for a batch without any target token.
    """
    targets = next_tokens(batch["labels"])
    inputs = {**inputs_of(model, batch), "use_cache": False}
    head = _frozen_head(model)
    if head is not None:
        found = _at_targets(model, inputs, head, targets)
        if found is not None:
            return found, targets != IGNORE
    positions = (targets != IGNORE).any(dim=0).nonzero().squeeze(1)
    if positions.numel() == 0:
        positions = positions.new_zeros(1)
    if takes(model, "logits_to_keep"):
        logits = model(**inputs, logits_to_keep=positions).logits
    else:
        logits = model(**inputs).logits[:, positions]
    kept = targets[:, positions]
    return cross_entropy(logits, kept), kept != IGNORE


def _frozen_head(model: nn.Module) -> nn.Module | None:
    """The output layer, unless it is to be differentiated sample by sample, for which it must see whole samples."""
    find = getattr(base_of(model), "get_output_embeddings", None)
    head = find() if callable(find) else None
    if not isinstance(head, nn.Module) or head in _UNFIT:
        return None
    trains = torch.is_grad_enabled() and any(p.requires_grad for p in head.parameters())
    return None if trains else head


def _at_targets(
    model: nn.Module, inputs: dict[str, Any], head: nn.Module, targets: torch.Tensor
) -> torch.Tensor | None:
    """Cross-entropies Float32[B, T], with ``head`` run on hidden states of target tokens alone.

    None, for this batch and all later ones, where the model's logits do not simply come out of ``head``.
    """
    wanted = targets != IGNORE
    if not bool(wanted.any()):
        wanted = torch.zeros_like(wanted)
        wanted[0, 0] = True
    calls = 0

    def select(module: nn.Module, args: tuple[Any, ...]) -> Any:
        nonlocal calls
        calls += 1
        return (args[0][wanted].unsqueeze(0), *args[1:]) if args[0].shape[:2] == wanted.shape else None

    handle = head.register_forward_pre_hook(select)
    try:
        logits = model(**inputs).logits
    finally:
        handle.remove()
    if calls != 1 or logits.shape[:2] != (1, int(wanted.sum())):
        _UNFIT.add(head)
        return None
    flat = cross_entropy(logits, targets[wanted].unsqueeze(0)).squeeze(0)
    return flat.new_zeros(targets.shape).masked_scatter(wanted, flat)


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
