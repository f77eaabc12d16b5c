"""Losses of tokens without the whole logits: of some tokens at a time, and again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from dataflex_core.scoring.kept_weights import frozen_weights_kept
from dataflex_core.scoring.liger import Kernel, fits, kernel_for
from dataflex_core.scoring.output_head import Behind, behind_head, head_of
from dataflex_core.scoring.targets import cross_entropy

LARGE = 1024**3
"""From how many bytes of logits on, as float32, a batch is not to have them whole."""

_PIECES, _BYTES = 16, 64 * 1024**2
"""In how many pieces tokens are taken at the least, and the most bytes of float32 logits of one."""


def is_large(tokens: int, vocabulary: int) -> bool:
    """Whether the logits of a batch of so many tokens are `LARGE`."""
    return tokens * vocabulary * 4 >= LARGE


@dataclass(slots=True, kw_only=True, eq=False)
class ChunkedLosses:
    """Computes losses of tokens, of the model in training and of others, in pieces of its target tokens.

    A model's own code runs up to its head. That is then called for a piece at a time, with what adapters and engines
    have laid around it, under `torch.utils.checkpoint`; what follows it in the model is done here, if it is known.
    With ``lockstep`` every forward calls the head equally often, as ranks must that share it. ``fused`` is whether
    Liger's kernel is asked first. ``fallback`` is told, once a model, where the logits have to be had whole.
    """

    lockstep: bool = False
    fused: bool = False
    fallback: Callable[[str], None] = lambda text: None
    _known: WeakKeyDictionary[nn.Module, Behind | None] = field(default_factory=WeakKeyDictionary, init=False)
    _kernels: dict[tuple[torch.device, float | None], Kernel | None] = field(default_factory=dict, init=False)

    def knows(self, model: nn.Module, forward: Callable[[], Any]) -> bool:
        """Whether it is known what ``model`` does to logits, so that they need not be whole.

        The first time that a model is asked about, ``forward``, a whole one of its own, is made without gradients to
        find that out: see `behind_head`. Collective where ranks share the model.
        """
        head = head_of(model)
        if head is None:
            return False
        if head not in self._known:
            self._known[head] = behind_head(model, forward)
            if self._known[head] is None:
                self.fallback("what the model does to its logits is not known: losses are computed from whole ones")
        return self._known[head] is not None

    @contextmanager
    def during(self, model: nn.Module, targets: torch.Tensor, places: torch.Tensor) -> Iterator[list[torch.Tensor]]:
        """A list that has, after a forward within, Float32[B, T] losses of ``targets`` Int64[B, T]; 0 without one.

        ``places`` Int64[n] are those with a target, in the flat batch. ``model`` is one that is known; the logits that
        its forward returns, of the first tokens, are of no use.
        """
        head = head_of(model)
        assert head is not None, "known"
        behind = self._known[head]
        assert behind is not None, "known"
        found: list[torch.Tensor] = []
        states: list[torch.Tensor] = []
        within = False

        def first_only(head: nn.Module, args: tuple[Any, ...]) -> Any:
            if within:
                return None
            states.append(args[0])
            return (args[0][:, :1], *args[1:])

        def take(head: nn.Module, args: Any, output: Any) -> None:
            # After its own call, not before: only then has an engine let go of the head's weights again.
            nonlocal within
            if within:
                return
            within = True
            try:
                wanted, kept = targets.to(states[0].device), places.to(states[0].device)
                pieces = self._pieces(len(kept), output.shape[-1])
                flat = self._losses(head, behind, states.pop().flatten(0, 1)[kept], wanted.flatten()[kept], pieces)
            finally:
                within = False
            found[:] = [flat.new_zeros(wanted.numel()).scatter(0, kept, flat).view(wanted.shape)]

        handles = [head.register_forward_pre_hook(first_only), head.register_forward_hook(take)]
        try:
            yield found
        finally:
            for handle in handles:
                handle.remove()

    def _pieces(self, tokens: int, vocabulary: int) -> int:
        if self.lockstep:
            return _PIECES
        return min(max(_PIECES, -(-tokens * vocabulary * 4 // _BYTES)), max(1, tokens))

    def _losses(
        self, head: Any, behind: Behind, states: torch.Tensor, targets: torch.Tensor, pieces: int
    ) -> torch.Tensor:
        """Float32[n] of hidden states Float[n, H]."""
        if self.fused and behind.factor is None and fits(head):
            key = (states.device, behind.cap)
            if key not in self._kernels:
                self._kernels[key] = kernel_for(*key)
            if (kernel := self._kernels[key]) is not None:
                return kernel(states, head.weight, targets, head.bias)

        def losses(states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            with frozen_weights_kept(head) if self.lockstep and torch.is_grad_enabled() else nullcontext():
                return cross_entropy(behind(head(states.unsqueeze(0))), targets.unsqueeze(0)).squeeze(0)

        each = zip(states.tensor_split(pieces), targets.tensor_split(pieces), strict=True)
        if not torch.is_grad_enabled():
            return torch.cat([losses(*piece) for piece in each])
        return torch.cat([checkpoint(losses, *piece, use_reentrant=False) for piece in each])
