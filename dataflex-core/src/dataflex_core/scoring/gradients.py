"""Per-sample gradients of a batch, by hooks where they reach and one sample at a time where they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from dataflex_core.errors import RunFailed
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
    sum of their gradients is compared with autograd's own. It is decided anew where other parameters train.

    ``in_blocks`` is whether the optimizer is known to train one block of layers at a time; that, or else the first
    change of what trains, is told in a ``notice``.
    """

    def __init__(self, model: nn.Module, notice: Callable[[str], None], *, in_blocks: bool = False) -> None:
        self._model = model
        self._notice = notice
        self._in_blocks = in_blocks
        self._told = False
        self._current: dict[str, nn.Parameter] | None = None
        self._before: list[str] | None = None
        self._sharded = False
        self._batched = True
        self._checked = 0

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that train, by name, as they were when first asked for after `new_decision`.

        Raises `RunFailed` where nothing trains.
        """
        if self._current is None:
            self._current = self._ask()
        return self._current

    def new_decision(self) -> None:
        """What trains may have changed: an optimizer has gone on to its next block, a callback has frozen layers."""
        self._current = None

    def _ask(self) -> dict[str, nn.Parameter]:
        every = dict(self._model.named_parameters())
        found = {name: p for name, p in every.items() if p.requires_grad}
        if not found:
            raise RunFailed(
                "no parameter trains at this decision: there is nothing to take gradients of",
                hint="look at what freezes layers in this run, or use a strategy that takes losses",
            )
        if self._in_blocks and not self._told:
            self._tell("the optimizer trains one block of layers at a time: a decision sees that block's gradients")
        if self._before is not None and self._before != list(found):
            self._batched, self._checked = True, 0
            if not self._told:
                self._tell(
                    f"{len(found)} of {len(every)} parameters train now, before it were {len(self._before)}: "
                    "a decision sees the gradients of those that train as it is taken"
                )
        self._before = list(found)
        self._sharded = any(map(is_sharded, found.values()))
        return found

    def _tell(self, text: str) -> None:
        self._told = True
        self._notice(text)

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
