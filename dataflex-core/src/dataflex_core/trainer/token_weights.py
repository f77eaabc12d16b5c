"""Weighters' answers as the weights of tokens, held to their contract: by a run, and by the conformance kit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from dataflex_core.planning.answers import wrong_notes
from dataflex_core.requests import Notes
from dataflex_core.weighing import TokenLosses, Weights

NOT_FINITE = "answers with weights that are not finite and >= 0"
ALL_ZERO = "answers with zero for every target token"
NOTHING_LEFT = "leave no target token with a weight above zero"


def answered(answer: Any, losses: TokenLosses) -> tuple[torch.Tensor, Notes]:
    """A weighter's answer as Float32[B, T] weights, and its notes; raises ValueError saying how it is none.

    Of the weights' values nothing is asked: `wrongs` says on the device what is wrong with those.
    """
    weights, notes = (answer.values, answer.notes) if isinstance(answer, Weights) else (answer, {})
    rows, width = losses.values.shape
    shape = tuple(weights.shape) if torch.is_tensor(weights) else type(weights).__name__
    if shape not in {(rows,), (rows, width)}:
        raise ValueError(f"answers with {shape}, not with {rows} or {rows} x {width} weights")
    if weights.is_complex():
        raise ValueError(f"answers with {weights.dtype} weights")
    if wrong := wrong_notes(notes):
        raise ValueError(wrong)
    tokens = weights.detach().to(losses.values, copy=True)  # it may be the weighter's own, or the losses
    return tokens[:, None].expand(rows, width) if tokens.ndim == 1 else tokens, notes


def is_by_token(answer: Any) -> bool:
    """Whether a weighter's answer weighs tokens, and not samples."""
    weights = answer.values if isinstance(answer, Weights) else answer
    return torch.is_tensor(weights) and weights.ndim > 1


def wrongs(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Bool[2] of weights Float32[B, T] of one weighter: whether they are `NOT_FINITE`, and whether they are `ALL_ZERO`.

    ``mask`` Bool[B, T] are the target tokens.
    """
    unfit = ~(torch.isfinite(tokens) & (tokens >= 0)).all()
    return torch.stack([unfit, mask.any() & ~((tokens > 0) & mask).any()])


def checked(answer: Any, losses: TokenLosses) -> tuple[torch.Tensor, Notes]:
    """As `answered`, and raises ValueError for values that are wrong, too."""
    tokens, notes = answered(answer, losses)
    for text, wrong in zip((NOT_FINITE, ALL_ZERO), wrongs(tokens, losses.mask).tolist(), strict=True):
        if wrong:
            raise ValueError(text)
    return tokens, notes


def multiplied(weights: Sequence[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
    """The product of several weighters' Float32[B, T], as it is; ones of the shape of ``mask`` where there is none.

    Float64 where the device has it: the weights are finite, their product may not be in fewer digits.
    """
    wide = torch.float32 if mask.device.type == "mps" else torch.float64
    product = torch.ones(mask.shape, dtype=wide, device=mask.device)
    for each in weights:
        product = product * each
    return product


def normalised(product: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A product Float[B, T] divided by its mean over the target tokens of ``mask``, and whether `NOTHING_LEFT`, Bool.

    Ones where there is no target token.
    """
    mean = torch.where(mask, product, 0.0).sum() / mask.sum()
    return torch.where(mask.any(), product / mean, 1.0).float(), mask.any() & ~(mean > 0)


def token_weights(answer: Any, losses: TokenLosses) -> torch.Tensor:
    """Float32[B, T] weights of one weighter, whose mean over the target tokens is one; raises ValueError."""
    product = multiplied([checked(answer, losses)[0]], losses.mask)
    weights, nothing_left = normalised(product, losses.mask)
    if bool(nothing_left):
        raise ValueError(NOTHING_LEFT)
    return weights
