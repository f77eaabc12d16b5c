"""LESS: selection by gradient similarity to a target set (Xia et al., 2024, arXiv:2402.04333)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from typing_extensions import Doc

from dataflex_core import ScoringSelector, SelectionRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class LessParams:
    """How a sample's update is reckoned."""

    gradient: Annotated[
        Literal["adam", "sgd"],
        Doc("the direction of a training sample: the running Adam's update, or the plain gradient"),
    ] = "adam"


class LessSelector(ScoringSelector[LessParams]):
    """Chooses the samples with the highest influence on the target set.

    A training sample's feature is the direction that the run's own Adam would take for it,
    ``Γ = m' / √(v' + eps)`` with ``m' = β₁m + (1 − β₁)g`` and ``v' = β₂v + (1 − β₂)g²``; a target sample's is its
    plain gradient. The score is the mean cosine to the samples of a target subtask, the largest over the subtasks;
    every evaluation data set is a subtask.

    Departs from the paper, which scores with random projections of gradients from several checkpoints of a separate
    warm-up run: a mean of cosines is linear in the unit target gradients, so the scores here are exact and need no
    projection, and they come from the model being trained. An optimizer without Adam moments gives ``Γ = g``, and the
    run says so; before its first step the moments are zero, as they are in Adam itself.
    """

    def score(self, request: SelectionRequest, shard: NDArray[np.int64]) -> NDArray[np.float32]:
        """The LESS score of each sample."""
        return request.signals.influence(shard, adam=self.params.gradient == "adam")
