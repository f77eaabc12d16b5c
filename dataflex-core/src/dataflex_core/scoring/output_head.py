"""A causal language model's output head, and what becomes of its logits behind it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dataflex_core.scoring.eval_mode import random_state_kept
from dataflex_core.scoring.model_calls import base_of

_RANGE = 100.0  # of the made-up logits: a soft cap shows, in whatever numbers the model computes
_ROUNDING = 4  # of the numbers that logits are of


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """What a model makes of the logits that its head gives: nothing; or it scales them, or caps them softly."""

    factor: float | None = None
    cap: float | None = None

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """Float[..., V] of the same shape."""
        if self.factor is not None:
            logits = logits * self.factor
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap


def head_of(model: nn.Module) -> nn.Module | None:
    """The layer that makes logits of hidden states, with what adapters have laid around it; None where it has none."""
    find = getattr(base_of(model), "get_output_embeddings", None)
    head = find() if callable(find) else None
    return head if isinstance(head, nn.Module) else None


@torch.no_grad()
def behind_head(model: nn.Module, forward: Callable[[], Any]) -> Behind | None:
    """What ``model`` does to logits behind its head, found out by one ``forward`` with made-up ones.

    None where that is something else, or logits do not come out of one call of the head on all hidden states. The
    random state is left as it was. Collective where ranks share the model.
    """
    head, calls = head_of(model), 0
    if head is None:
        return None
    made: list[torch.Tensor] = []

    def first_only(head: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        nonlocal calls
        calls += 1
        return ((args[0][:, :1],), {}) if len(args) == 1 and args[0].ndim == 3 and not options else None

    def make_up(head: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        values = torch.linspace(-_RANGE, _RANGE, output.numel(), device=output.device)
        made.append(values.to(output.dtype).view(output.shape))
        return made[-1]

    handles = [
        head.register_forward_pre_hook(first_only, with_kwargs=True),
        head.register_forward_hook(make_up),
    ]
    try:
        with random_state_kept():
            logits = forward()["logits"]
    finally:
        for handle in handles:
            handle.remove()
    if calls != 1 or logits is None or logits.shape != made[0].shape or logits.shape[1] != 1:
        return None
    return next((behind for behind in _candidates(model) if _is_alike(behind(made[0]), logits)), None)


def _candidates(model: nn.Module) -> Iterator[Behind]:
    """Nothing at all, and what the numbers of a configuration may mean that are about logits."""
    yield Behind()
    config: Any = base_of(model).config
    for name, value in config.get_text_config().to_dict().items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number and 0 < value < math.inf and ("logit" in name or "lm_head" in name):
            yield from (Behind(factor=value), Behind(factor=1 / value), Behind(cap=value))


def _is_alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether logits are the same but for rounding, in the coarser numbers of the two."""
    rounding = max(torch.finfo(one.dtype).eps, torch.finfo(other.dtype).eps)
    one, other = one.float(), other.float()
    return bool(((one - other).abs() <= _ROUNDING * rounding * other.abs()).all())
