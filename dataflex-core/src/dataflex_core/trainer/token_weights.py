"""Weighters' answers as the weights of tokens, held to their contract: by a run, and by the conformance kit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from dataflex_core.planning.answers import wrong_notes
from dataflex_core.requests import Notes, TokenLosses, Weights


def checked(answer: Any, losses: TokenLosses) -> tuple[torch.Tensor, Notes]:
    """A weighter's answer as Float32[B, T] weights, and its notes; raises ValueError saying how it is none."""
    weights, notes = (answer.values, answer.notes) if isinstance(answer, Weights) else (answer, {})
    rows, width = losses.values.shape
    shape = tuple(weights.shape) if torch.is_tensor(weights) else type(weights).__name__
    if shape not in {(rows,), (rows, width)}:
        raise ValueError(f"answers with {shape}, not with {rows} or {rows} x {width} weights")
    if weights.is_complex():
        raise ValueError(f"answers with {weights.dtype} weights")
    if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
        raise ValueError("answers with weights that are not finite and >= 0")
    tokens = weights.detach().to(losses.values)
    tokens = tokens[:, None].expand(rows, width) if tokens.ndim == 1 else tokens
    if bool(losses.mask.any()) and not bool((tokens * losses.mask).sum() > 0):
        raise ValueError("answers with zero for every target token")
    if wrong := wrong_notes(notes):
        raise ValueError(wrong)
    return tokens, notes


def multiplied(weights: Sequence[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
    """The product of several weighters' Float32[B, T], as it is; ones of the shape of ``mask`` where there is none."""
    product = torch.ones(mask.shape, dtype=torch.float32, device=mask.device)
    for each in weights:
        product = product * each
    return product


def combined(weights: Sequence[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
    """The product of several weighters' Float32[B, T], normalised to a mean of one over the target tokens of ``mask``.

    Raises ValueError where nothing is left of it.
    """
    product = multiplied(weights, mask)
    if not bool(mask.any()):
        return torch.ones_like(product)
    mean = product[mask].mean()
    if not bool(mean > 0):
        raise ValueError("leave no target token with a weight above zero")
    normalised: torch.Tensor = product / mean
    return normalised


def token_weights(answer: Any, losses: TokenLosses) -> torch.Tensor:
    """Float32[B, T] weights of one weighter, whose mean over the target tokens is one; raises ValueError."""
    return combined([checked(answer, losses)[0]], losses.mask)
