"""Embeddings of samples: hidden states of one layer, pooled over a sample's tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import torch
from torch import nn

from dataflex_core.errors import UnmetNeed
from dataflex_core.scoring.last_layers import layers_of
from dataflex_core.scoring.model_calls import base_of, inputs_without_head
from dataflex_core.scoring.models import Encoder

Pooling = Literal["mean", "last", "weighted"]
POOLINGS: tuple[str, ...] = get_args(Pooling)


def embed(
    encoder: Encoder, batch: Mapping[str, Any], decode: Callable[[list[int]], str], *, layer: int, pooling: str
) -> torch.Tensor:
    """Pooled hidden states, Float32[B, H], of a batch of the run's samples, padded on either side.

    ``decode`` makes text of the run's token ids, for an encoder with its own tokenizer. Raises `UnmetNeed` where the
    encoder has no such layer.
    """
    if encoder.tokenizer is not None:
        batch = _retokenised(encoder.tokenizer, batch, decode)
    return pooled(_hidden(encoder.model, batch, layer), attended(batch), pooling)


def attended(inputs: Mapping[str, Any]) -> torch.Tensor:
    """Which tokens of a batch are no padding, Bool[b, T].

    Packed batches have masks of their own: numbers of pieces, or one mask [b, 1, T, T] that is added, which lets a
    token see itself where it is none of the padding.
    """
    tokens, mask = inputs["input_ids"], inputs.get("attention_mask")
    if not torch.is_tensor(mask):
        return torch.ones_like(tokens, dtype=torch.bool)
    if mask.ndim == 4:
        itself = mask[:, 0].diagonal(dim1=-2, dim2=-1)
        return itself if itself.dtype == torch.bool else itself == 0
    return mask != 0


def pooled(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """Pool Float[B, T, H] hidden states by their Int[B, T] mask, padded on either side, to Float32[B, H].

    ``mean`` over the tokens, the ``last`` token, or ``weighted``: a mean with weights 1, 2, … from the first token
    to the last, because a causal model's later states have seen more (SGPT, arXiv:2202.08904).
    """
    return torch.bmm(pooling_weights(mask, pooling).unsqueeze(1), states.float()).squeeze(1)


def pooling_weights(mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """What each token counts, Float32[B, T], of sum one where there is a token in Int[B, T] ``mask``."""
    mask = mask.long()
    places = mask.cumsum(dim=1) * mask
    weights = {"mean": mask, "last": (places == places.amax(dim=1, keepdim=True)) * mask, "weighted": places}[pooling]
    return weights.float() / weights.sum(dim=1, keepdim=True).clamp(min=1)


def _hidden(model: nn.Module, batch: Mapping[str, Any], layer: int) -> torch.Tensor:
    """Hidden states Float[B, T, H] after ``layer``: 0 is the input embedding, the last is normed.

    Taken by a hook: asked for them, transformers keeps those of all layers, and its own hooks on the model for good.
    """
    inputs = inputs_without_head(model, batch)
    inner: Any = base_of(model).base_model
    count = int(inner.config.get_text_config().num_hidden_layers)
    if not -count - 1 <= layer <= count:
        raise UnmetNeed(f"layer {layer} is out of the model's {count}", hint=f"use {-count - 1} to {count}; 0 embeds")
    kept: list[torch.Tensor] = []
    if layer in (-1, count):
        handle = inner.register_forward_hook(lambda module, args, output: kept.append(output[0]))
    else:
        into = layers_of(model)[layer % (count + 1)]
        handle = into.register_forward_pre_hook(
            lambda module, args, kwargs: kept.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
        )
    try:
        model(**inputs)
    finally:
        handle.remove()
    return kept[-1]


def _retokenised(tokenizer: Any, batch: Mapping[str, Any], decode: Callable[[list[int]], str]) -> dict[str, Any]:
    rows = zip(batch["input_ids"], attended(batch), strict=True)
    texts = [decode(ids[mask].tolist()) for ids, mask in rows]
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    device = batch["input_ids"].device
    return {key: value.to(device) for key, value in encoded.items()}
