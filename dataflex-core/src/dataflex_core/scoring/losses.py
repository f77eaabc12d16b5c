"""Losses per token and per sample, with logits only where there is a target token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakSet

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dataflex_core.scoring.chunked import ChunkedLosses
from dataflex_core.scoring.host import on_host
from dataflex_core.scoring.model_calls import inputs_of, takes
from dataflex_core.scoring.output_head import head_of
from dataflex_core.scoring.targets import IGNORE, cross_entropy, next_tokens, predicting

_UNFIT: WeakSet[nn.Module] = WeakSet()
"""Output layers of models whose logits do not simply come out of them."""


def token_losses(
    model: nn.Module, batch: Mapping[str, Any], chunked: ChunkedLosses | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Float32[B, P] cross-entropies and their Bool[B, P] mask, at P positions that hold every target token.

    Differentiable when gradients are enabled. Runs one forward, also for a batch without any target token. The logits
    of all target tokens are there at once, unless they are ``chunked``.
    """
    targets = next_tokens(batch["labels"])
    inputs = {**inputs_of(model, batch), "use_cache": False}
    head = _frozen_head(model)
    if head is not None:
        places = _placed(np.flatnonzero(_wanted(batch)), batch)
        found = None
        if chunked is not None and chunked.knows(model, lambda: model(**inputs)):
            with chunked.during(model, targets, places) as taken:
                model(**inputs)
            found = taken[0]
        else:
            found = _at_targets(model, inputs, head, targets, places)
        if found is not None:
            return found, targets != IGNORE
    positions = _placed(np.flatnonzero(_wanted(batch).any(axis=0)), batch)
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
    head = head_of(model)
    if head is None or head in _UNFIT:
        return None
    trains = torch.is_grad_enabled() and any(p.requires_grad for p in head.parameters())
    return None if trains else head


def at_targets(losses: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
    """Of `token_losses` Float32[B, P] those of target tokens, Float32[n], sample by sample."""
    wanted = _wanted(batch)
    if losses.shape[1] != wanted.shape[1]:
        wanted = wanted[:, wanted.any(axis=0)]
    return losses.flatten()[_placed(np.flatnonzero(wanted), batch)]


def _wanted(batch: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which positions predict a target token, Bool[B, T]; asked of the host, for a shape depends on it."""
    return predicting(on_host(batch, "labels"))


def _placed(places: NDArray[np.int64], batch: Mapping[str, Any]) -> torch.Tensor:
    return torch.from_numpy(places).to(batch["labels"].device)


def _at_targets(
    model: nn.Module, inputs: dict[str, Any], head: nn.Module, targets: torch.Tensor, places: torch.Tensor
) -> torch.Tensor | None:
    """Cross-entropies Float32[B, T], with ``head`` run on hidden states at ``places`` Int64[n] alone.

    None, for this batch and all later ones, where the model's logits do not simply come out of ``head``.
    """
    if not len(places):
        places = places.new_zeros(1)
    calls = 0

    def select(module: nn.Module, args: tuple[Any, ...]) -> Any:
        nonlocal calls
        calls += 1
        states = args[0]
        return (states.flatten(0, 1)[places].unsqueeze(0), *args[1:]) if states.shape[:2] == targets.shape else None

    handle = head.register_forward_pre_hook(select)
    try:
        logits = model(**inputs).logits
    finally:
        handle.remove()
    if calls != 1 or logits.shape[:2] != (1, len(places)):
        _UNFIT.add(head)
        return None
    flat = cross_entropy(logits, targets.flatten()[places].unsqueeze(0)).squeeze(0)
    return flat.new_zeros(targets.numel()).scatter(0, places, flat).view(targets.shape)


def sample_means(losses: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over each sample's target tokens, Float32[B]; NaN where it has none."""
    return losses.sum(dim=1) / mask.sum(dim=1)
