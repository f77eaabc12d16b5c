"""What transformers' models are called with, and the one inside a wrapper."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from dataflex_core.scoring.host import on_host


def base_of(model: nn.Module) -> nn.Module:
    """The transformers model inside a PEFT wrapper, or the model itself."""
    unwrap = getattr(model, "get_base_model", None)
    base: nn.Module = unwrap() if callable(unwrap) else model
    return base


def inputs_of(model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """What ``model`` is called with: the batch without labels, with position ids where the padding is on the left.

    Without them a model that knows absolute positions would count the padding.
    """
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    mask = inputs.get("attention_mask")
    if not torch.is_tensor(mask) or mask.ndim != 2 or "position_ids" in inputs or not takes(model, "position_ids"):
        return inputs
    if not on_host(batch, "attention_mask")[:, 0].all():
        inputs["position_ids"] = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
    return inputs


def inputs_without_head(model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Any]:
    """The same for who wants no logits: as few as the model will make, and no cache."""
    inputs = inputs_of(model, batch)
    if takes(model, "logits_to_keep"):
        inputs["logits_to_keep"] = 1
    if takes(model, "use_cache"):
        inputs["use_cache"] = False
    return inputs


def takes(model: nn.Module, argument: str) -> bool:
    """Whether the model's own ``forward`` has that argument."""
    return argument in inspect.signature(type(base_of(model)).forward).parameters
