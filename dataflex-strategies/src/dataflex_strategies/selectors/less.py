"""LESS: selection by gradient similarity to a target set (Xia et al., 2024, arXiv:2402.04333)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from dataflex_core import (
    Cost,
    CostRequest,
    Need,
    ScoringSelector,
    SelectionRequest,
    SetupContext,
    StrategyFault,
    last_layers,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FORWARD = 1 / 3  # of a training step


@dataclass(frozen=True, slots=True, kw_only=True)
class LessParams:
    """How a sample's update is reckoned, and what of that is left out."""

    gradient: Annotated[
        Literal["adam", "sgd"],
        Doc("the direction of a training sample: the running Adam's update, or the plain gradient"),
    ] = "adam"
    layers: Annotated[
        str | Annotated[float, Gt(0), Le(1)],
        Doc(
            "whose gradients count: all, those of the last layers (last-4), or of a share of the layers, from the last"
        ),
    ] = "all"
    refresh_target: Annotated[int, Ge(1), Doc("decisions from one pass over the target set to the next")] = 1
    prefilter: Annotated[
        Literal["losses", "embeddings"] | None,
        Doc("by what a forward pass keeps candidates before gradients are taken; null: it keeps all, and is not made"),
    ] = None
    prefilter_share: Annotated[float, Gt(0), Le(1), Doc("the share of the candidates that it keeps")] = 0.5

    def __post_init__(self) -> None:
        try:
            last_layers(self.layers, None if isinstance(self.layers, str) else 1)
        except StrategyFault as wrong:
            raise ValueError(f"layers={self.layers!r}: {wrong.hint}") from None


def needs_for(params: LessParams) -> set[Need]:
    """What the filter asks for."""
    return {"losses": {Need.LOSSES}, "embeddings": {Need.EMBEDDINGS}}.get(params.prefilter or "", set())


def cost_of(params: LessParams, request: CostRequest) -> Cost:
    """A forward pass, and a backward pass through the layers that count; of the target set, where it is not kept.

    All layers are reckoned where nobody knows how many the model has.
    """
    share = 1.0
    if request.layers is not None and (last := last_layers(params.layers, request.layers)) is not None:
        share = last / request.layers
    elif isinstance(params.layers, float):
        share = params.layers
    gradient = _FORWARD + (1 - _FORWARD) * share
    target = gradient if (request.decision - 1) % params.refresh_target == 0 else 0.0
    if params.prefilter is None:
        return Cost(candidate=gradient, target=target)
    embedded = _FORWARD if params.prefilter == "embeddings" else 0.0
    return Cost(candidate=_FORWARD + params.prefilter_share * gradient, target=target + embedded)


class LessSelector(ScoringSelector[LessParams]):
    """Chooses the samples with the highest influence on the target set.

    A training sample's feature is the direction ``Γ`` that the run's own Adam would take for its gradient ``g``; a
    target sample's is its plain gradient ``gₜ``. The score of sample i is the mean cosine to the samples of a target
    subtask, the largest over the subtasks, every evaluation data set being a subtask::

        m' = β₁m + (1 − β₁)g        v' = β₂v + (1 − β₂)g²        Γ = m' / √(v' + eps)
        score(i) = max over subtasks of  mean over t in the subtask of  cos(Γᵢ, gₜ)

    Departs from the paper, which scores with random projections of gradients from several checkpoints of a separate
    warm-up run: a mean of cosines is linear in the unit target gradients, so the scores here are exact and need no
    projection, and they come from the model being trained. An optimizer without Adam moments gives ``Γ = g``, and the
    run says so; before its first step the moments are zero, as they are in Adam itself.

    Three parameters make it cheaper for scores that are no longer the exact ones. A score costs a forward and a
    backward pass, ``1/3 + 2/3`` of a training step. With ``layers`` ``last-K``, of L, ``Γ`` and ``gₜ`` are of the
    parameters of the last K transformer layers and what is behind them alone, the backward pass ends there, and a score
    costs ``1/3 + 2/3 · K/L``. With ``refresh_target`` m the ``gₜ`` are those of the decisions 1, 1 + m, 1 + 2m …: their
    cosines at the decisions between are with the directions of an earlier model, which checkpoints carry, and a pass
    over the target set is made at one decision of m. With ``prefilter`` a forward pass comes first, and a share s of
    the candidates is scored, for ``1/3 + s`` a candidate: those with the highest losses, or those whose mean hidden
    state (of the last layer) has the highest cosine to a subtask's mean, which takes a forward pass of the target set,
    too. The others are never chosen. Under a mixer each domain keeps that share; with ``dataflex.exact`` only what
    is scored is filtered, and not what is predicted.

    When to use: with examples of the task that the model should become good at, from some dozens on, and a pool of
    which only a part helps with it. It costs the most of the selectors: bound it with ``candidates`` or
    ``selection_budget``. LoRA makes it cheaper, for gradients are those of the adapter.
    """

    _by_domain = False

    def setup(self, context: SetupContext) -> None:
        """Learn whether a mixer sets quotas."""
        self._by_domain = context.mixed

    def score(self, request: SelectionRequest, shard: NDArray[np.int64]) -> NDArray[np.float32]:
        """The LESS score of each sample; NaN of one that the filter leaves out."""
        signals, given = request.signals, self.params

        def influence(ids: NDArray[np.int64]) -> NDArray[np.float32]:
            adam, refresh = given.gradient == "adam", given.refresh_target
            return signals.influence(ids, adam=adam, layers=given.layers, refresh=refresh)

        if given.prefilter is None:
            return influence(shard)
        import numpy as np

        from dataflex_strategies.selectors.prefilter import kept

        ids = kept(request, shard, by=given.prefilter, share=given.prefilter_share, by_domain=self._by_domain)
        mine = signals.shard(ids)
        found = signals.gather(ids, mine, influence(mine))
        scores = np.full(len(shard), np.nan, dtype=np.float32)
        is_kept = np.isin(shard, ids)
        scores[is_kept] = found[np.searchsorted(ids, shard[is_kept])]
        return scores
