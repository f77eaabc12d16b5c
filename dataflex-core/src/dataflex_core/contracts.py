"""The contracts: what a strategy implements. Its requests and answers are in `dataflex_core.requests`.

A strategy never sees the trainer. It asks ``request.signals`` for facts about the model, ``request.rng`` for random
numbers, and answers with a value. New needs become new fields on a request; the signatures below never grow.

The order of calls, on every rank, is that of the classes' docstrings. Between two calls nothing of a strategy runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, final

from dataflex_core.choosing import top
from dataflex_core.errors import StrategyFault
from dataflex_core.requests import MixRequest, Mixture, Selection, SelectionRequest, SetupContext, StepFacts
from dataflex_core.weighing import IntervalRequest, TokenLosses, WeighRequest, Weights

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Scores = NDArray[np.float32]

P = TypeVar("P")


class Strategy(ABC, Generic[P]):
    """What the three kinds share.

    ``params`` is an instance of the strategy's parameter dataclass, validated; it is not to be changed. Calls::

        __init__(params)                 once, before the data is loaded
        setup(context)                   once, when it is
        load_state_dict(state)           once, where the run goes on from a checkpoint
        ...                              what the kind decides
        observe(step)                    for each optimizer step, warm-up included, if overridden: before anything else
                                         is asked of the strategy, but maybe several steps later
        state_dict()                     at each checkpoint, and before each decision, for one that is cut short

    All ranks make the same calls in the same order and are to give the same answers. A call leaves the process as it
    found it (whether torch takes gradients, its default dtype, numpy's handling of errors, the working folder): else
    the run ends with a `StrategyFault`.
    """

    def __init__(self, params: P) -> None:
        self.params = params

    def setup(self, context: SetupContext) -> None:
        """Learn what the run is. Raise `UsageError` here where the strategy does not fit it."""

    def observe(self, step: StepFacts) -> None:
        """Learn from an optimizer step, whose facts are the same on every rank.

        Steps come in their order, each once; several at a time where nothing was asked in between, since facts are read
        from the device together.

        Overriding it makes the run compute token losses (`Need.TRAINING_LOSSES` follows), so that a fused loss is
        refused.
        """

    def state_dict(self) -> dict[str, Any]:
        """What must survive a restart: JSON values and numpy arrays in any nesting, keys text. Changes nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where `state_dict` was taken."""


class Selector(Strategy[P]):
    """Chooses which samples the next interval trains on.

    Calls, beside those of `Strategy`: `select` once a decision, where a mixer sets quotas once for each domain that
    has one, in the order of domains.
    """

    @abstractmethod
    def select(self, request: SelectionRequest) -> Selection:
        """Choose. Called on every rank; must give the same answer on every rank.

        Asking for signals that the spec does not declare raises `StrategyFault`.
        """


class ScoringSelector(Selector[P]):
    """A selector that scores samples one by one: what most authors want, with no collective in sight.

    Calls, beside those of `Strategy`, at each decision::

        score(request, shard)            once, for this rank's part of all candidates of all domains; with ``exact``
                                         several times, for parts of those candidates that are scored
        choose(request, scores)          once, where a mixer sets quotas once for each domain that has one
    """

    @abstractmethod
    def score(self, request: SelectionRequest, shard: Ids) -> Scores:
        """Score this rank's samples: ``shard`` Int64[n] to Float32[n], or Float32[n, K] for several columns.

        A sample with a NaN is never chosen. The answer must not depend on how samples are dealt to ranks.
        """

    def choose(self, request: SelectionRequest, scores: Scores) -> Selection:
        """Choose from Float32[N] (or [N, K]) scores of ``request.candidates``. Pure; the default is `top`.

        ``scores`` are the same on every rank. Raises `StrategyFault` where the default is asked about columns.
        """
        if scores.ndim != 1:
            raise StrategyFault(
                f"{type(self).__name__} scores {scores.shape[1]} columns and does not say how to choose by them",
                hint="override choose()",
            )
        return Selection(ids=top(request.candidates, scores, request.count))

    @final
    def scores(self, request: SelectionRequest) -> Scores:
        """Float32[N] or [N, K] scores of all candidates, gathered; the same answer on every rank.

        Collective. Raises `StrategyFault` when `score` does not answer with one score, or row, per sample.
        """
        import numpy as np

        candidates = request.candidates.copy()  # `score` may work in place on what it is given
        shard = request.signals.shard(candidates)
        answer = self.score(request, shard.copy())
        who, hint = f"{type(self).__name__}.score", "give one score, or row, each"
        try:
            scored = np.asarray(answer, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise StrategyFault(f"{who} gave a {type(answer).__name__}, not scores: {error}", hint=hint) from error
        if answer is None or scored.ndim not in (1, 2) or 0 in scored.shape[1:]:
            raise StrategyFault(f"{who} gave a {type(answer).__name__} of shape {scored.shape}, not scores", hint=hint)
        if len(scored) != len(shard):
            raise StrategyFault(f"{who} gave {len(scored)} scores for {len(shard)} samples", hint=hint)
        return request.signals.gather(candidates, shard, scored)

    @final
    def select(self, request: SelectionRequest) -> Selection:
        """Score, gather, choose."""
        return self.choose(request, self.scores(request))


class Mixer(Strategy[P]):
    """Decides in what proportion of domains the next interval trains.

    Calls, beside those of `Strategy`: `mix` once a decision, before a selector is asked.
    """

    @abstractmethod
    def mix(self, request: MixRequest) -> NDArray[np.float64] | Mixture:
        """Proportions Float64[K], finite and >= 0, in the order of ``request.domains``, or a `Mixture` with more.

        Core normalises them. Called on every rank; must give the same answer on every rank.
        """


class Weighter(Strategy[P]):
    """Decides with what weight each sample, or token, counts in the loss.

    Calls, beside those of `Strategy`, from the first decision on::

        prepare(request)                 as an interval of ``update_steps`` begins, if overridden
        weigh(request, losses)           at each optimizer step: once for the accumulation window of all ranks

    A weighter whose spec says ``compares=False``, for its weights do not depend on the other samples of the window, is
    asked at each micro-batch instead. Weights of several weighters multiply.
    """

    def prepare(self, request: IntervalRequest) -> None:
        """Work out once an interval, with signals, what `weigh` needs throughout it: anchors, statistics."""

    @abstractmethod
    def weigh(self, request: WeighRequest, losses: TokenLosses) -> torch.Tensor | Weights:
        """Weights Float32[B] or Float32[B, T], finite and >= 0, or `Weights` with more.

        The samples are those of all ranks, so it never reduces; must give the same answer on every rank. Core
        normalises the product of all weighters to a mean of one over the window's target tokens, unless none of them
        compares samples: then weights count as they are. Called without gradients, after the warm-up.
        """
