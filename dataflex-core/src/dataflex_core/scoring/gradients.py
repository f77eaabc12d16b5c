"""Per-sample gradients of a batch, by hooks where they reach and one sample at a time where they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from dataflex_core.scoring.gradient_rules import Unreachable
from dataflex_core.scoring.losses import IGNORE, next_tokens, sample_means, token_losses
from dataflex_core.scoring.samples import Batch
from dataflex_core.scoring.sharded import is_sharded
from dataflex_core.scoring.trace import GradientPart, Trace, trace

_AGREEMENT = 0.02  # relative, per parameter; hooks and autograd in bfloat16 agree to .003


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampleGradients:
    """Gradients of the mean losses of B samples: iterated over, any number of times, in parts that are then dropped.

    ``known`` Bool[B] is False, and the gradient zero, where a sample has no target token.
    """

    known: torch.Tensor
    parts: Callable[[], Iterator[GradientPart]]

    def __iter__(self) -> Iterator[GradientPart]:
        """Every trainable parameter's gradients of every sample, once."""
        return self.parts()

    def zeros(self, *row: int) -> torch.Tensor:
        """Float32[B, *row] to add up in."""
        return torch.zeros(len(self.known), *row, device=self.known.device)


class Gradients:
    """Per-sample gradients of one model, which must be at rest.

    Whether hooks reach every parameter, the first batch decides, and the first of several samples: there a weighted
    sum of their gradients is compared with autograd's own.
    """

    def __init__(self, model: nn.Module, notice: Callable[[str], None]) -> None:
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._model = model
        self._notice = notice
        self._sharded = any(map(is_sharded, self.parameters.values()))
        self._batched = True
        self._checked = 0

    def of(self, batch: Batch) -> SampleGradients:
        """Gradients of a batch's samples.

        Takes one forward and one backward pass; where hooks do not reach, one of each per sample and iteration.
        """
        size = len(batch["input_ids"])
        # A parameter that is sharded has no gradient here to compare with; of those only linear layers are let in.
        if self._batched and not self._sharded and self._checked < min(size, 2):
            self._batched, self._checked = self._hooks_reach(batch), size
        known = (next_tokens(batch["labels"]) != IGNORE).any(dim=1)
        if self._batched:
            return SampleGradients(known=known, parts=self._at_once(batch).parts)
        return SampleGradients(known=known, parts=partial(self._one_by_one, batch))

    def _at_once(self, batch: Batch) -> Trace:
        return trace(self._model, lambda: _means(self._model, batch))

    def _one_by_one(self, batch: Batch) -> Iterator[GradientPart]:
        size = len(batch["input_ids"])
        for index in range(size):
            alone = {key: _row(value, index, size) for key, value in batch.items()}
            for parameter, gradient in zip(self.parameters.values(), self._autograd(alone), strict=True):
                yield parameter, slice(index, index + 1), gradient.float().unsqueeze(0)

    def _autograd(self, batch: Batch, weights: torch.Tensor | None = None) -> list[torch.Tensor]:
        """Autograd's gradients of the sum of a batch's losses, times ``weights`` Float32[B] if given."""
        with torch.enable_grad():
            losses = _means(self._model, batch)
            total = (losses if weights is None else losses * weights).sum()
        parameters = list(self.parameters.values())
        if not total.requires_grad:
            return [torch.zeros_like(p) for p in parameters]
        grads = torch.autograd.grad(total, parameters, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, grads, strict=True)]

    def _hooks_reach(self, batch: Batch) -> bool:
        """Whether hooks and autograd agree on a weighted sum of the samples' gradients; says so where they do not."""
        sums = {p: torch.zeros(p.shape, device=p.device) for p in self.parameters.values()}
        places = torch.arange(len(batch["input_ids"]), device=batch["input_ids"].device)
        # No two alike, so that a gradient that is counted to another sample shows.
        weights = (1 + places / len(places)) * (1 - 2 * (places % 2))
        try:
            for parameter, rows, gradients in self._at_once(batch).parts():
                sums[parameter] += torch.tensordot(weights[rows], gradients, dims=1)
            for (name, parameter), grad in zip(self.parameters.items(), self._autograd(batch, weights), strict=True):
                off = (sums[parameter] - grad).norm() / grad.norm().clamp(min=1e-12)
                if float(off) > _AGREEMENT:
                    raise Unreachable(f"{name} is not used by its layer alone, or not sample by sample")
        except Unreachable as why:
            self._notice(f"gradients are taken one sample at a time, which is slower: {why}")
            return False
        return True


def squared_norms(rows: torch.Tensor) -> torch.Tensor:
    """Float32[b] of Float32[b, n], without a copy of ``rows``."""
    return torch.bmm(rows.unsqueeze(1), rows.unsqueeze(2)).flatten()


def _means(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Each sample's mean loss, Float32[B]; 0 where it has no target token."""
    losses, mask = token_losses(model, batch)
    return sample_means(losses, mask | ~mask.any(dim=1, keepdim=True))


def _row(value: object, index: int, size: int) -> object:
    batched = torch.is_tensor(value) and value.ndim > 0 and len(value) == size
    return value[index : index + 1] if batched and torch.is_tensor(value) else value
