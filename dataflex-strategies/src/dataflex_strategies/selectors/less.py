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

    A training sample's feature is the direction ``Γ`` that the run's own Adam would take for its gradient ``g``; a
    target sample's is its plain gradient ``gₜ``. The score of sample i is the mean cosine to the samples of a target
    subtask, the largest over the subtasks, every evaluation data set being a subtask::

        m' = β₁m + (1 − β₁)g        v' = β₂v + (1 − β₂)g²        Γ = m' / √(v' + eps)
        score(i) = max over subtasks of  mean over t in the subtask of  cos(Γᵢ, gₜ)

    Departs from the paper, which scores with random projections of gradients from several checkpoints of a separate
    warm-up run: a mean of cosines is linear in the unit target gradients, so the scores here are exact and need no
    projection, and they come from the model being trained. An optimizer without Adam moments gives ``Γ = g``, and the
    run says so; before its first step the moments are zero, as they are in Adam itself.

    When to use: with examples of the task that the model should become good at, from some dozens on, and a pool of
    which only a part helps with it. It costs the most of the selectors: bound it with ``candidates`` or
    ``selection_budget``. LoRA makes it cheaper, for gradients are those of the adapter.
    """

    def score(self, request: SelectionRequest, shard: NDArray[np.int64]) -> NDArray[np.float32]:
        """The LESS score of each sample."""
        return request.signals.influence(shard, adam=self.params.gradient == "adam")
