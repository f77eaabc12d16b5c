"""Per-sample gradients of a batch, by hooks where they reach and one sample at a time where they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from dataflex_core.errors import RunFailed
from dataflex_core.scoring.chunked import ChunkedLosses
from dataflex_core.scoring.last_layers import layers_of, parameters_behind
from dataflex_core.scoring.layouts import layouts_of
from dataflex_core.scoring.losses import sample_means, token_losses
from dataflex_core.scoring.rules.layout import Unreachable
from dataflex_core.scoring.rules.owners import Owner, owners_of
from dataflex_core.scoring.rules.registry import Registry
from dataflex_core.scoring.rules.rule import Rule
from dataflex_core.scoring.samples import Batch
from dataflex_core.scoring.sharded import is_sharded
from dataflex_core.scoring.targets import IGNORE, next_tokens
from dataflex_core.scoring.trace import GradientPart, Trace, trace

_AGREEMENT = 0.02  # relative, per parameter; hooks and autograd in bfloat16 agree to .003
_ADDED = {"cpu": 1 << 16}
"""Squares that are added up one after the other: a CPU, which does no more at once, loses digits of a longer sum."""
_NOTHING = 1e-6  # of the whole gradient: a parameter with less, such as a bias before a softmax, has rounding alone


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

    Whether hooks reach a parameter, the first batch decides that uses it, and the first of several samples: there a
    weighted sum of their gradients is compared with autograd's own. ``beyond`` are the parameters that they do not
    reach, by name, with the reason; where there is one, gradients are taken one sample at a time. It is decided anew
    where other parameters train.

    ``last`` of several layers, and what lies behind them, are all that counts; the backward pass ends there.
    Losses are ``chunked`` as far as the head does not train.
    ``rules`` are plugins' own. ``in_blocks`` is whether the optimizer is known to train one block of layers at a time;
    that, or else the first change of what trains, is told in a ``notice``; that hooks do not reach, by ``fallback``,
    or without one likewise.
    """

    def __init__(
        self,
        model: nn.Module,
        notice: Callable[[str], None],
        rules: Sequence[Rule] = (),
        *,
        in_blocks: bool = False,
        fallback: Callable[[str], None] | None = None,
        last: int | None = None,
        chunked: ChunkedLosses | None = None,
    ) -> None:
        self.beyond: dict[str, str] = {}
        self._model = model
        self._notice = notice
        self._fallback = notice if fallback is None else fallback
        self._registry = Registry(rules)
        self._in_blocks = in_blocks
        self._last = last
        self._chunked = chunked
        self._told = False
        self._current: dict[str, nn.Parameter] | None = None
        self._before: list[str] | None = None
        self._owners: list[Owner] | None = None
        self._checks = True
        self._checked: dict[nn.Parameter, int] = {}

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
        behind = set(every.values()) if self._last is None else parameters_behind(self._model, self._last)
        found = {name: p for name, p in every.items() if p.requires_grad and p in behind}
        if not found:
            where = "" if self._last is None else f" of the last {self._last} layers, or behind them,"
            raise RunFailed(
                f"no parameter{where} trains at this decision: there is nothing to take gradients of",
                hint="look at what freezes layers in this run, or use a strategy that takes losses",
            )
        if self._in_blocks and not self._told:
            self._tell("the optimizer trains one block of layers at a time: a decision sees that block's gradients")
        if self._before is not None and self._before != list(found):
            self.beyond, self._owners, self._checked = {}, None, {}
            if not self._told:
                self._tell(
                    f"{len(found)} of {len(every)} parameters train now, before it were {len(self._before)}: "
                    "a decision sees the gradients of those that train as it is taken"
                )
        self._before = list(found)
        # A parameter that is sharded has no gradient here to compare with; of those only linear layers are let in.
        self._checks = not any(map(is_sharded, found.values()))
        return found

    def _tell(self, text: str) -> None:
        self._told = True
        self._notice(text)

    def of(self, batch: Batch) -> SampleGradients:
        """Gradients of a batch's samples.

        Takes one forward and one backward pass; where hooks do not reach, one of each per sample and iteration.
        """
        known = (next_tokens(batch["labels"]) != IGNORE).any(dim=1)
        _ = self.parameters  # what trains decides what hooks have to reach
        found = None if self.beyond else self._at_once(batch)
        parts = partial(self._one_by_one, batch) if found is None else found.parts
        return SampleGradients(known=known, parts=parts)

    def _at_once(self, batch: Batch) -> Trace | None:
        """The trace of a batch; None, and a notice, where hooks do not reach."""
        if self._owners is None:
            among = set(self.parameters.values())
            self._owners, self.beyond = owners_of(self._model, self._registry, among)
        found = None
        if not self.beyond:
            layouts = layouts_of(self._model, batch)
            try:
                found = trace(self._model, self._owners, layouts, lambda: self._means(batch), start=self._start())
                self.beyond = self._check(batch, found)
            except Unreachable as error:
                self.beyond = {"": str(error)}
        if self.beyond:
            why = next(iter(self.beyond.values()))
            self._fallback(f"gradients are taken one sample at a time, which is slower: {why}")
        return None if self.beyond else found

    def _start(self) -> nn.Module | None:
        return None if self._last is None else layers_of(self._model)[-self._last]

    def _check(self, batch: Batch, found: Trace) -> dict[str, str]:
        """What is beyond the hooks' reach, looked at where a parameter is used as it was not yet."""
        seen = {p: min(use.call.layout.witnesses, 2) for p, uses in found.uses.items() for use in uses}
        fresh = {p: size for p, size in seen.items() if self._checked.get(p, 0) < size}
        if not fresh or not self._checks:
            return {}
        self._checked.update(fresh)
        return self._disagreeing(batch, found)

    def _disagreeing(self, batch: Batch, found: Trace) -> dict[str, str]:
        """The parameters of which hooks and autograd disagree on a weighted sum of the samples' gradients."""
        sums = {p: torch.zeros(p.shape, device=p.device) for p in self.parameters.values()}
        places = torch.arange(found.size, device=batch["input_ids"].device)
        # Neighbours' differ, so that a gradient that is counted to another sample shows. They are powers of two, with
        # which this pass rounds as the other did: through a deep model in bfloat16 rounding comes to what faults do.
        weights = (-2.0) ** (places % 3)
        for parameter, rows, gradients in found.parts():
            sums[parameter] += torch.tensordot(weights[rows], gradients, dims=1)
        expected = self._autograd(batch, weights)
        whole = float(torch.stack([grad.float().norm() for grad in expected]).norm())
        beyond = {}
        for (name, parameter), grad in zip(self.parameters.items(), expected, strict=True):
            off = float((sums[parameter] - grad).norm())
            if off > _AGREEMENT * float(grad.norm()) + max(_NOTHING, torch.finfo(grad.dtype).eps / 4) * whole:
                beyond[name] = f"{name} is not used by its layer alone, or not sample by sample"
        return beyond

    def _one_by_one(self, batch: Batch) -> Iterator[GradientPart]:
        for index in range(len(batch["input_ids"])):
            gradients = self._autograd(batch.alone(index))
            for parameter, gradient in zip(self.parameters.values(), gradients, strict=True):
                yield parameter, slice(index, index + 1), gradient.float().unsqueeze(0)

    def _autograd(self, batch: Batch, weights: torch.Tensor | None = None) -> list[torch.Tensor]:
        """Autograd's gradients of the sum of a batch's losses, times ``weights`` Float32[B] if given."""
        with torch.enable_grad():
            losses = self._means(batch)
            total = (losses if weights is None else losses * weights).sum()
        parameters = list(self.parameters.values())
        if not total.requires_grad:
            return [torch.zeros_like(p) for p in parameters]
        grads = torch.autograd.grad(total, parameters, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, grads, strict=True)]

    def _means(self, batch: Batch) -> torch.Tensor:
        """Each sample's mean loss, Float32[B]; 0 where it has no target token."""
        losses, mask = token_losses(self._model, batch, self._chunked)
        return sample_means(losses, mask | ~mask.any(dim=1, keepdim=True))


def squared_norms(rows: torch.Tensor) -> torch.Tensor:
    """Float32[b] of Float32[b, n], without a copy of ``rows``."""
    step = _ADDED.get(rows.device.type, max(1, rows.shape[1]))
    parts = [torch.linalg.vector_norm(part, dim=1) for part in torch.split(rows, step, dim=1)]
    return torch.stack(parts).square().sum(dim=0)
