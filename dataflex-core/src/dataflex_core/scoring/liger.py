"""Liger's fused linear cross-entropy, where it can do what token losses need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dataflex_core.scoring.sharded import is_sharded
from dataflex_core.scoring.targets import IGNORE, cross_entropy

Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
"""Float32[n] losses of hidden states Float[n, H], a head's weight Float[V, H], targets Int64[n], its bias Float[V]."""

RUNS_ON = frozenset({"cuda"})
"""The types of devices that its kernels run on; on a CPU they do not."""

_AGREEMENT = 1e-3  # of losses and gradients near one, in float32: a GPU may multiply in TF32


def fits(head: nn.Module) -> bool:
    """Whether a head is what the kernel takes: one linear layer, whole on this rank, without an adapter."""
    return type(head) is nn.Linear and not any(map(is_sharded, head.parameters()))


def kernel_for(device: torch.device, cap: float | None) -> Kernel | None:
    """The kernel on ``device`` for logits softly capped at ``cap``; None where it is not there, or wrong.

    Its losses, and the gradients of a sum with uneven weights, are compared with torch's own: releases of Liger scale
    gradients of losses that are not reduced by one number for all tokens.
    """
    if device.type not in RUNS_ON:
        return None
    try:
        from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

        module = LigerFusedLinearCrossEntropyLoss(ignore_index=IGNORE, reduction="none", softcap=cap)

        def kernel(
            states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, bias: torch.Tensor | None
        ) -> torch.Tensor:
            losses: torch.Tensor = module(weight, states, targets, bias)
            return losses

        right = _is_right(kernel, device, cap)
    except Exception:  # whatever a kernel's compiler says: there is another way
        return None
    return kernel if right else None


def _is_right(kernel: Kernel, device: torch.device, cap: float | None) -> bool:
    def plain(states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, bias: Any) -> torch.Tensor:
        logits = nn.functional.linear(states, weight, bias)
        logits = logits if cap is None else torch.tanh(logits / cap) * cap
        return cross_entropy(logits.unsqueeze(0), targets.unsqueeze(0)).squeeze(0)

    rows, width, words = 6, 16, 64
    places = torch.arange(words * width, device=device, dtype=torch.float32)
    targets = torch.arange(rows, device=device)
    with torch.enable_grad(), torch.autocast(device.type, enabled=False):
        found = []
        for losses_of in (kernel, plain):
            weight = places.sin().view(words, width).requires_grad_()
            states = places[: rows * width].cos().view(rows, width).requires_grad_()
            losses = losses_of(states, weight, targets, None)
            total = (losses * (targets + 1)).sum() / rows
            found.append((losses, *torch.autograd.grad(total, (states, weight))))
    return all(torch.allclose(a, b, rtol=_AGREEMENT, atol=_AGREEMENT) for a, b in zip(*found, strict=True))
