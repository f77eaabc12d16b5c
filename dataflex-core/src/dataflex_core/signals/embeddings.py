"""Embeddings of samples: hidden states of one layer, pooled over a sample's tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import torch

from dataflex_core.errors import UnmetNeed
from dataflex_core.signals.forward import base_of, inputs_of, takes
from dataflex_core.signals.models import Encoder

Pooling = Literal["mean", "last", "weighted"]
POOLINGS: tuple[str, ...] = get_args(Pooling)


def embed(
    encoder: Encoder, batch: Mapping[str, Any], decode: Callable[[list[int]], str], *, layer: int, pooling: str
) -> torch.Tensor:
    """Float32[B, H] of a batch of the run's samples, on either side padded."""
    if encoder.tokenizer is not None:
        batch = _retokenised(encoder.tokenizer, batch, decode)
    return pooled(_hidden(encoder, batch, layer), batch["attention_mask"], pooling)


def pooled(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Float32[B, H] of Float[B, T, H] hidden states and their Int[B, T] mask, padded on either side.

    ``mean`` over the tokens, the ``last`` token, or ``weighted``: a mean with weights 1, 2, … from the first token
    to the last, because a causal model's later states have seen more (SGPT, arXiv:2202.08904).
    """
    mask = mask.long()
    places = mask.cumsum(dim=1) * mask
    weights = {"mean": mask, "last": (places == places.amax(dim=1, keepdim=True)) * mask, "weighted": places}[pooling]
    weights = weights.float() / weights.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.bmm(weights.unsqueeze(1), states.float()).squeeze(1)


def _hidden(encoder: Encoder, batch: Mapping[str, Any], layer: int) -> torch.Tensor:
    """Hidden states Float[B, T, H] after ``layer``: 0 is the input embedding, -1 the last, normed."""
    model = encoder.model
    inputs = inputs_of(model, batch)
    if takes(model, "logits_to_keep"):
        inputs["logits_to_keep"] = 1  # the head is not wanted
    if takes(model, "use_cache"):
        inputs["use_cache"] = False
    if layer == -1:
        return _last_hidden(model, inputs)
    states = model(**inputs, output_hidden_states=True).hidden_states
    if not -len(states) <= layer < len(states):
        raise UnmetNeed(
            f"layer {layer} is out of the model's {len(states) - 1}",
            hint=f"use {-len(states)} to {len(states) - 1}; 0 is the embedding",
        )
    chosen: torch.Tensor = states[layer]
    return chosen


def _last_hidden(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    # By a hook on the inner model: the outer one may run under autocast, and keeps no hidden state but all.
    inner: Any = base_of(model).base_model
    kept: list[torch.Tensor] = []
    handle = inner.register_forward_hook(lambda module, args, output: kept.append(output[0]))
    try:
        model(**inputs)
    finally:
        handle.remove()
    return kept[-1]


def _retokenised(tokenizer: Any, batch: Mapping[str, Any], decode: Callable[[list[int]], str]) -> dict[str, Any]:
    rows = zip(batch["input_ids"], batch["attention_mask"].bool(), strict=True)
    texts = [decode(ids[mask].tolist()) for ids, mask in rows]
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    device = batch["input_ids"].device
    return {key: value.to(device) for key, value in encoded.items()}
