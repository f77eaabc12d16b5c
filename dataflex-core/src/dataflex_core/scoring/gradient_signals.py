"""The questions of `dataflex_core.Signals` that are about gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dataflex_core.errors import DataError, StrategyFault, UnmetNeed
from dataflex_core.explaining import paid_for
from dataflex_core.layers import ALL_LAYERS
from dataflex_core.questions import as_ids
from dataflex_core.scoring.context import ScoringContext
from dataflex_core.scoring.each_target import cosines_with_each
from dataflex_core.scoring.engine import Task
from dataflex_core.scoring.eval_mode import eval_mode
from dataflex_core.scoring.gradients import Gradients
from dataflex_core.scoring.influence import Counted, check_directions, compared, target_directions, zeros_of
from dataflex_core.scoring.moments import Moments, moments_of
from dataflex_core.scoring.own_directions import at_once, check_own, directions_of
from dataflex_core.scoring.products import products
from dataflex_core.scoring.projection import KeptPlane, Projection, projected
from dataflex_core.scoring.samples import Ids, Samples
from dataflex_core.scoring.sharded import shape_of
from dataflex_core.scoring.target_directions import Taken
from dataflex_core.signals import Direction, direction_of

Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reasons:
    """``cosines`` Float32[n, M] of samples ``ids`` Int64[n], ascending, with each of M target samples.

    These stand in order, subtask by subtask; NaN where one has no gradient. So many ``gradients`` were taken for it.
    """

    ids: Ids
    cosines: Rows
    gradients: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Asked:
    """``what`` samples are compared with: the target set, or ``directions``; the rest as `Signals.influences`."""

    what: str
    directions: Sequence[Direction] | None
    adam: bool
    unit: bool
    layers: str | float
    refresh: int


class GradientSignals(ABC):
    """Gradients of some samples, with the model in training; what the methods raise is said in `Signals`."""

    def __init__(self, context: ScoringContext, samples: Samples) -> None:
        self._context = context
        self._samples = samples

    @abstractmethod
    def losses(self, shard: Ids, *, model: str | None = None) -> Rows:
        """Mean loss over each sample's target tokens, Float32[n]: raises where the model has diverged."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the target set's subtasks."""
        return tuple(samples.name for samples in self._context.targets)

    def influence(self, shard: Ids, *, adam: bool = True, layers: str | float = ALL_LAYERS, refresh: int = 1) -> Rows:
        """Largest mean cosine with a target subtask's gradients, Float32[n]: the LESS score (arXiv:2402.04333)."""
        found: Rows = self.influences(shard, adam=adam, layers=layers, refresh=refresh).max(axis=1)
        return found

    def influences(
        self,
        shard: Ids,
        *,
        directions: Sequence[Direction] | None = None,
        adam: bool = True,
        layers: str | float = ALL_LAYERS,
        refresh: int = 1,
    ) -> Rows:
        """Mean cosine with each target subtask's gradients, or with each of ``directions``, Float32[n, K]."""
        asked = _Asked(what="influence", directions=directions, adam=adam, unit=True, layers=layers, refresh=refresh)
        return self._compared(shard, asked)

    def alignments(
        self,
        shard: Ids,
        *,
        directions: Sequence[Direction] | None = None,
        adam: bool = True,
        layers: str | float = ALL_LAYERS,
        refresh: int = 1,
    ) -> Rows:
        """Product with each target subtask's mean gradient, or with each of ``directions``, Float32[n, K]."""
        asked = _Asked(what="alignment", directions=directions, adam=adam, unit=False, layers=layers, refresh=refresh)
        return self._compared(shard, asked)

    def direction(self, ids: Ids, weights: NDArray[np.floating[Any]]) -> Direction:
        """A direction for the two, made of these samples' plain gradients."""
        return direction_of(self._samples, len(self._samples), ids, weights)

    def products(self, a: Ids, b: Ids, *, adam: bool = True) -> Rows:
        """Products of samples' gradients with each other, Float32[len(a), len(b)]."""
        context = self._context
        a, b = (as_ids(ids, len(self._samples)) for ids in (a, b))
        self._check_alike("products of other ids", a, b)
        moments = self._moments(context.gradients, adam=adam, unit=False)
        with eval_mode(context.models.training):
            found = products(context.gradients, context.engine, self._samples, a, b, moments)
        if a.size and b.size and not np.isfinite(found).any():
            self._look_at_losses(self._samples, np.union1d(a, b))
        return found

    def gradients(
        self, shard: Ids, *, dim: int = 8192, adam: bool = True, unit: bool = True, keep_targets: bool = True
    ) -> Rows:
        """Projected gradients, Float32[n, dim]."""
        context = self._context
        plane = len(context.targets) if keep_targets else 0
        if dim <= plane:
            raise StrategyFault(f"{plane} subtasks do not fit into {dim} dimensions", hint="give a larger dim")
        moments = self._moments(context.gradients, adam=adam, unit=unit)
        parameters = context.gradients.parameters
        projection = Projection(
            {name: shape_of(p).numel() for name, p in parameters.items()}, dim=dim - plane, seed=context.seed
        )
        with eval_mode(context.models.training):
            kept = None
            if plane:
                q, counts = self._of_targets(context.gradients, unit=True).counted
                self._check(counts, None)
                kept = KeptPlane.of(q, projection, {p: name for name, p in parameters.items()})
            task = Task(
                what="gradients",
                signal="gradients",
                request={"dim": dim, "adam": adam, "unit": unit, "targets": list(self.targets) if plane else []},
                state=lambda: context.state_of_gradients(context.gradients, moments, context.targets if plane else ()),
            )
            found = projected(
                context.gradients, context.engine, self._samples, shard, task, projection, kept, moments, unit=unit
            )
        self._check_rows(shard, found)
        return found

    def reasons(
        self, ids: Ids, taken: int, *, adam: bool, layers: str | float = ALL_LAYERS, refresh: int = 1
    ) -> Reasons:
        """The cosines of some of ``ids`` Int64[n], distinct, with each target sample, as the decision's `influences`.

        As many of them, from the front, as a tenth of what the decision cost pays for, ``taken`` in gradients
        (`dataflex_core.explaining`); none where the directions are those of an earlier model, for its gradients are
        gone. ``layers`` and ``refresh`` are those that influence was asked with. All ranks give the same. Collective;
        raises as `influences`.
        """
        context = self._context
        gradients, targets = context.gradients_of(layers), sum(map(len, context.targets))
        kept, context.target_units = context.target_units, None
        units = kept[1] if kept is not None and kept[0] == layers else None
        with eval_mode(context.models.training):
            now = self._of_targets(gradients, unit=True, layers=layers, refresh=refresh).step == context.step
        held = at_once(gradients)
        paid = paid_for(len(ids) if now else 0, taken, targets=None if units is not None else targets, held=held)
        some = np.sort(ids[: paid.samples])
        if not len(some):
            return Reasons(ids=some, cosines=np.zeros((0, targets), dtype=np.float32), gradients=0)
        moments = self._moments(gradients, adam=adam, unit=True)
        with eval_mode(context.models.training):
            found = cosines_with_each(
                gradients, context.engine, self._samples, some, context.targets, moments, kept=units
            )
        return Reasons(ids=some, cosines=found, gradients=paid.gradients)

    def _compared(self, shard: Ids, asked: _Asked) -> Rows:
        context, directions = self._context, asked.directions
        gradients = context.gradients_of(asked.layers)
        request: dict[str, object] = {"adam": asked.adam, "layers": asked.layers}
        if directions is None:
            if not context.targets:
                raise UnmetNeed(f"{asked.what} needs a target set and the run has none", hint="set eval_dataset")
            made_of = list(context.targets)
            request["targets"] = list(self.targets)
        else:
            if not directions:
                hint = "give one, or None for the target set"
                raise StrategyFault(f"{asked.what} is asked with no direction", hint=hint)
            made_of = [direction.samples for direction in directions]
            numbers = [array for direction in directions for array in (direction.ids, direction.weights)]
            request["directions"] = self._check_alike("other directions", *numbers)
        moments = self._moments(gradients, adam=asked.adam, unit=asked.unit)
        with eval_mode(context.models.training):
            if directions is None:
                taken = self._of_targets(gradients, unit=asked.unit, layers=asked.layers, refresh=asked.refresh)
                (q, counts), request["taken"] = taken.counted, taken.step
            else:
                q, counts = directions_of(gradients, context.engine, directions, unit=asked.unit)
            task = Task(
                what=asked.what,
                signal="gradients",
                request=request,
                state=lambda: context.state_of_gradients(gradients, moments, made_of),
            )
            found = compared(gradients, context.engine, self._samples, shard, task, q, moments, unit=asked.unit)
        ranks = context.engine.ranks
        if any(not ranks.largest(int(np.isfinite(column).any())) for column in found.T):
            self._check(counts, directions)
        self._check_rows(shard, found)
        return found

    def _of_targets(
        self, gradients: Gradients, *, unit: bool, layers: str | float = ALL_LAYERS, refresh: int = 1
    ) -> Taken:
        """The target subtasks' mean unit gradients, or their mean gradients, taken once a decision. Collective.

        With ``refresh`` m, once in m decisions.
        """
        context = self._context

        def take() -> Counted:
            count, each = sum(map(len, context.targets)), None
            if unit and context.explains and count <= at_once(gradients):
                each = zeros_of(gradients, count)
                context.target_units = layers, each
            return target_directions(gradients, context.engine, context.targets, unit=unit, each=each)

        question = f"{'unit' if unit else 'mean'} {layers}"
        return context.directions.of(question, gradients.parameters, take, step=context.step, refresh=refresh)

    def _check(self, counts: torch.Tensor, directions: Sequence[Direction] | None) -> None:
        """Raise `DataError` where a direction has no gradient, and `RunFailed` where the model is why. Collective."""
        try:
            if directions is None:
                check_directions(counts, self._context.targets)
            else:
                check_own(counts, directions)
        except DataError:  # on every rank
            for samples in self._context.targets if directions is None else ():
                self._look_at_losses(samples, np.arange(len(samples), dtype=np.int64))
            for direction in directions or ():
                self._look_at_losses(direction.samples, np.unique(direction.ids))
            raise

    def _look_at_losses(self, samples: Samples, ids: Ids) -> None:
        """Raise `RunFailed` where no loss of these is a number though they have target tokens. Collective."""
        view = type(self)(self._context, samples)
        view.losses(view._context.engine.shard(samples, ids))

    def _check_rows(self, shard: Ids, rows: Rows) -> None:
        """Where nothing of a pass over gradients is a number, look at the losses. Collective, and raises as those."""
        if len(self._samples) and not self._context.engine.ranks.largest(int(np.isfinite(rows).any())):
            self.losses(shard)

    def _check_alike(self, what: str, *numbers: NDArray[Any]) -> str:
        """A digest of what all ranks must give alike; raises `StrategyFault`, on all of them, where they do not."""
        digest = sha256()
        for array in numbers:
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        if odd := self._context.engine.ranks.differing(digest.digest()):
            raise StrategyFault(
                f"ranks {', '.join(map(str, odd))} ask for {what} than rank 0",
                hint="give every rank the same, gathered, and not what is of its own shard",
            )
        return digest.hexdigest()

    def _moments(self, gradients: Gradients, *, adam: bool, unit: bool) -> dict[nn.Parameter, Moments] | None:
        """What is made of length one has LESS's directions, the rest those of Adam's next step."""
        context = self._context
        moments = moments_of(context.optimizer(), gradients.parameters.values()) if adam else None
        if adam and moments is None:
            told = "the optimizer keeps no Adam moments: gradients are compared as they are"
            context.fall_back_once("plain-gradients", told)
        if moments is None or unit:
            return moments
        return {parameter: one.at_step(context.step + 1) for parameter, one in moments.items()}
