"""The contracts: what a strategy implements, and the requests it is given.

Arrays in requests are numpy, except in a weighter's, which are torch tensors on the training device: a weighter
works inside the training step. Neither library is imported here, so declaring and describing a strategy stays light.

A strategy never sees the trainer. It asks ``request.signals`` for facts about the model, ``request.rng`` for random
numbers, and answers with a value. New needs become new fields on a request; the signatures below never grow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

from dataflex_core.errors import StrategyFault

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from dataflex_core.signals import Signals

    Ids = NDArray[np.int64]
    Scores = NDArray[np.float32]

P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where the run stands when a strategy is asked.

    ``step`` optimizer steps are done of ``total_steps``; this is decision ``decision`` (from 1; 0 during warm-up) of
    ``decisions``. ``epoch`` counts passes over the pool, ``learning_rate`` is the current one, ``seed`` the run's.
    """

    step: int
    total_steps: int
    decision: int
    decisions: int
    epoch: float
    learning_rate: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """One data set of the run: samples ``start`` to ``start + size - 1`` of the pool."""

    name: str
    start: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupContext:
    """What a strategy is told once, on every rank: the data is loaded, the model is not yet.

    ``targets`` names the subtasks of the target set: the evaluation data sets, in order.
    """

    domains: tuple[Domain, ...]
    targets: tuple[str, ...]
    total_steps: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionRequest:
    """Choose ``count`` of ``candidates``.

    ``candidates``: Int64[N] sample ids, distinct, ascending. ``count`` is at least 1 and at most N. ``rng`` is the
    same on every rank, derived from the seed, the strategy, the step and the domain asked about.
    """

    progress: Progress
    domains: tuple[Domain, ...]
    candidates: Ids
    count: int
    rng: np.random.Generator
    signals: Signals

    def narrowed(self, candidates: Ids, count: int, rng: np.random.Generator) -> SelectionRequest:
        """The same request for fewer candidates."""
        return replace(self, candidates=candidates, count=count, rng=rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Chosen samples: ``ids`` Int64[n], distinct, of the candidates. Fewer than asked for is a journalled shortage.

    ``ordered=True`` trains them in this order; otherwise the order of training is a seeded shuffle.
    """

    ids: Ids
    ordered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MixRequest:
    """Give the proportions of the next interval.

    ``previous`` is Float64[K], what the last interval used; ``history`` Float64[t, K], what all intervals used so far.
    """

    progress: Progress
    domains: tuple[Domain, ...]
    previous: NDArray[np.float64]
    history: NDArray[np.float64]
    rng: np.random.Generator
    signals: Signals


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainStats:
    """Raw training losses of one optimizer step, by domain, summed over the accumulation window and all ranks.

    ``loss_sum`` Float64[K] sums unweighted token losses, ``tokens`` Int64[K] the target tokens they come from,
    ``samples`` Int64[K] the samples. A domain that the step did not draw has zeros.
    """

    progress: Progress
    loss_sum: NDArray[np.float64]
    tokens: NDArray[np.int64]
    samples: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLosses:
    """Detached losses of a global micro-batch: ``values`` Float32[B, T], and ``mask`` Bool[B, T] of the target tokens.

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
class WeighRequest:
    """Weigh a global micro-batch. ``ids`` Int64[B] are its sample ids, on the training device."""

    progress: Progress
    domains: tuple[Domain, ...]
    ids: torch.Tensor
    rng: np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class NoParams:
    """The parameters of a strategy that takes none."""


class Strategy(ABC, Generic[P]):
    """What the three kinds share. ``params`` is an instance of the strategy's parameter dataclass, validated."""

    def __init__(self, params: P) -> None:
        self.params = params

    def setup(self, context: SetupContext) -> None:
        """Called once on every rank. Raise `UsageError` here where the strategy does not fit the run."""

    def state_dict(self) -> dict[str, Any]:
        """What must survive a restart: JSON values and numpy arrays, no objects."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where `state_dict` was taken."""


class Selector(Strategy[P]):
    """Chooses which samples the next interval trains on."""

    @abstractmethod
    def select(self, request: SelectionRequest) -> Selection:
        """Called on every rank, once per decision (once per domain where a mixer sets quotas).

        Must give the same answer on every rank.
        """


class ScoringSelector(Selector[P]):
    """A selector that scores samples one by one: what most authors want, with no collective in sight."""

    @abstractmethod
    def score(self, request: SelectionRequest, shard: Ids) -> Scores:
        """Score this rank's samples: ``shard`` Int64[n] to Float32[n]. NaN is never chosen."""

    def choose(self, request: SelectionRequest, scores: Scores) -> Selection:
        """Choose from Float32[N] scores of ``request.candidates``. Pure; the default is `top`."""
        return Selection(ids=top(request.candidates, scores, request.count))

    @final
    def scores(self, request: SelectionRequest) -> Scores:
        """Float32[N] scores of all candidates, gathered; the same answer on every rank.

        Raises `StrategyFault` when `score` does not answer with one score per sample.
        """
        shard = request.signals.shard(request.candidates)
        scored = self.score(request, shard)
        if len(scored) != len(shard):
            raise StrategyFault(f"{type(self).__name__}.score gave {len(scored)} scores for {len(shard)} samples")
        return request.signals.gather(request.candidates, shard, scored)

    @final
    def select(self, request: SelectionRequest) -> Selection:
        """Score, gather, choose."""
        return self.choose(request, self.scores(request))


class Mixer(Strategy[P]):
    """Decides in what proportion of domains the next interval trains."""

    def observe(self, stats: DomainStats) -> None:
        """Called on every rank after each optimizer step, if overridden; ``stats`` are the same on every rank.

        A mixer that overrides it declares ``Need.TRAINING_LOSSES``.
        """

    @abstractmethod
    def mix(self, request: MixRequest) -> NDArray[np.float64]:
        """Proportions Float64[K], finite and >= 0, in the order of ``request.domains``; core normalises them.

        Called on every rank, once per decision; must give the same answer on every rank.
        """


class Weighter(Strategy[P]):
    """Decides with what weight each sample, or token, counts in the loss."""

    @abstractmethod
    def weigh(self, request: WeighRequest, losses: TokenLosses) -> torch.Tensor:
        """Weights Float32[B] or Float32[B, T], finite and >= 0; core normalises them to a token-weighted mean of one.

        Called on every rank for every global micro-batch after the warm-up, with the samples of all ranks, so it
        never reduces; must give the same answer on every rank.
        """


def top(candidates: Ids, scores: Scores, count: int) -> Ids:
    """The ``count`` candidates with the highest scores, best first; NaN never, ties by lower index."""
    order = (-scores).argsort(kind="stable")[:count]
    # NaN sorts last and differs from itself; numpy is not imported here.
    chosen: Ids = candidates[order[scores[order] == scores[order]]]
    return chosen
