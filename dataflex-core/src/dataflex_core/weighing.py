"""What weighters are given and what they answer with: values, and nothing that computes.

Arrays are torch tensors on the training device: a weighter works inside the training step. torch is not imported here,
so declaring and describing a strategy stays light.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dataflex_core.columned import HasColumns
from dataflex_core.domains import Domain
from dataflex_core.requests import Notes, Progress

if TYPE_CHECKING:
    import numpy as np
    import torch

    from dataflex_core.columned import Columns
    from dataflex_core.requests import Ids
    from dataflex_core.signals import Signals


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalRequest(HasColumns):
    """An interval of ``steps`` optimizer steps begins: what a weighter may need throughout it is worked out now.

    ``ids`` Int64[steps x global_batch] is the interval's plan, in the order of training; None where the order is
    LLaMA-Factory's own (a weighter without a selector or mixer). ``rng`` is the same on every rank.
    """

    progress: Progress
    domains: tuple[Domain, ...]
    ids: Ids | None
    steps: int
    global_batch: int
    rng: np.random.Generator
    signals: Signals
    columns: Columns = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLosses:
    """Detached losses of B samples: ``values`` Float32[B, T], and ``mask`` Bool[B, T] of the target tokens.

    ``values[b, t]`` is the loss of predicting token t + 1 of sample b from its tokens up to t, and ``mask[b, t]`` is
    whether token t + 1 is a target token; where it is not, the value is 0. The last position predicts nothing and is
    always masked. T is the length of the longest sample, padding included.
    """

    values: torch.Tensor
    mask: torch.Tensor

    @property
    def counts(self) -> torch.Tensor:
        """Target tokens of each sample, Float32[B]."""
        return self.mask.sum(dim=1).to(self.values.dtype)

    @property
    def per_sample(self) -> torch.Tensor:
        """Mean loss over each sample's target tokens, Float32[B]; NaN where it has none."""
        return self.values.sum(dim=1) / self.counts


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighRequest(HasColumns):
    """Weigh B samples, on the training device: those of the accumulation window of all ranks, in training order.

    A weighter whose spec says ``compares=False`` may be given them in several parts. ``ids`` Int64[B]. ``targets``
    Int64[B, T], where ``Need.TARGET_TOKENS`` is declared, are the tokens that the positions of the losses predict,
    -100 where masked. ``reference``, where ``Need.REFERENCE_LOSSES`` is declared, are the losses of the reference
    model that the strategy's parameter names, at the same positions. ``embeddings`` Float32[B, H], where
    ``Need.BATCH_EMBEDDINGS`` is declared, are those of `Signals.embeddings` with ``pooling="weighted"``, but for the
    dropout of the training forward, which they are taken from. ``rng`` is the same on every rank.
    """

    progress: Progress
    domains: tuple[Domain, ...]
    ids: torch.Tensor
    rng: np.random.Generator
    targets: torch.Tensor | None = None
    reference: TokenLosses | None = None
    embeddings: torch.Tensor | None = None
    columns: Columns = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights with more: ``values`` Float32[B] or Float32[B, T], finite and >= 0; ``notes`` to journal and log."""

    values: torch.Tensor
    notes: Notes = field(default_factory=dict)
