"""Facts about the model in training: what a strategy's ``request.signals`` answers with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dataflex_core.errors import UnmetNeed
from dataflex_core.signals.engine import Engine, Samples, in_order
from dataflex_core.signals.influence import Directions, GradientPass
from dataflex_core.signals.losses import sample_means, token_losses
from dataflex_core.signals.moments import moments_of
from dataflex_core.signals.rest import at_rest

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]


class ModelSignals:
    """`dataflex_core.Signals` of one model, pool and target set, on every rank.

    Target gradients are computed once per decision: `new_decision` forgets them.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: Callable[[], object],
        engine: Engine,
        pool: Samples,
        targets: Sequence[Samples],
        notice: Callable[[str], None],
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._engine = engine
        self._pool = pool
        self._targets = tuple(targets)
        self._notice = notice
        self._gradients = GradientPass(model, engine, notice)
        self._directions: Directions | None = None
        self._told: set[str] = set()

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the target set's subtasks."""
        return tuple(samples.name for samples in self._targets)

    def new_decision(self) -> None:
        """The model has moved on: forget what was computed with it."""
        self._directions = None

    def shard(self, ids: Ids) -> Ids:
        """This rank's part of ``ids``, by whole batches."""
        return self._engine.shard(self._pool, ids)

    def gather(self, ids: Ids, shard: Ids, values: Scores) -> Scores:
        """Float32[N], one value per ``ids``, from every rank's shard."""
        ranks = self._engine.ranks
        found = np.concatenate(ranks.concatenate(shard))
        scores = np.concatenate(ranks.concatenate(np.asarray(values, dtype=np.float32)))
        return in_order(ids, found.astype(np.int64), scores.astype(np.float32))

    def losses(self, shard: Ids) -> Scores:
        """Mean loss over each sample's target tokens, Float32[n]; NaN where it has none. One forward each."""
        with at_rest(self._model), torch.no_grad():
            return self._engine.map(
                self._pool, shard, "losses of candidates", lambda batch: sample_means(*token_losses(self._model, batch))
            )

    def influence(self, shard: Ids, *, adam: bool = True) -> Scores:
        """Largest mean cosine with a target subtask's gradients, Float32[n]: the LESS score (arXiv:2402.04333).

        With ``adam`` a sample's gradient becomes the direction that the running Adam would take for it; where the
        optimizer keeps no Adam moments the gradient itself is compared, and the run says so. Raises `UnmetNeed`
        without a target set.
        """
        if not self._targets:
            raise UnmetNeed("influence needs a target set and the run has none", hint="set eval_dataset")
        moments = moments_of(self._optimizer(), self._gradients.parameters) if adam else None
        if adam and moments is None:
            self._say_once("the optimizer keeps no Adam moments: gradients are compared as they are")
        with at_rest(self._model):
            if self._directions is None:
                self._directions = self._gradients.targets(self._targets)
            return self._gradients.scores(self._pool, shard, self._directions, moments)

    def _say_once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._notice(text)
