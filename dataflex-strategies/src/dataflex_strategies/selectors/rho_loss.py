"""RHO-LOSS: selection by what is left to learn (Mindermann et al., 2022, arXiv:2206.07137)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from typing_extensions import Doc

from dataflex_core import ReferenceModel, ScoringSelector, SelectionRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class RhoLossParams:
    """Who says what can be learnt."""

    reference_model: Annotated[ReferenceModel, Doc("the path of a model trained on held-out data, or base")]


class RhoLossSelector(ScoringSelector[RhoLossParams]):
    """Chooses the samples with the largest reducible loss: what the model does not know yet and can learn.

    With ``l`` the mean loss over a sample's target tokens of the model in training, and ``r`` that of a reference model
    that was trained on held-out data::

        score = l − r

    A sample that is mastered has a small ``l``; one that is noise, or that nothing held out has taught, has a large
    ``r`` too. Samples without a target token are never chosen.

    Costs two forward passes of each candidate: the reference's is taken once a sample, stored, and serves later
    decisions and other runs. The paper's own use is a choice at each step among ten times the samples that it trains:
    ``update_steps: 1`` and ``candidates: 10``.

    Departs from the paper, whose reference is a smaller model trained on held-out data from scratch: here it is any
    causal language model of the same vocabulary. It departs from the paper, too, in that losses are means over tokens,
    not of one label.

    When to use: with a pool of uneven or noisy quality, and a model that has been trained on some clean data of its
    kind. Not with ``reference_model: base`` where the model is to learn something new: that prefers what has been
    forgotten. DataFlex 1.x has no such selector.
    """

    def score(self, request: SelectionRequest, shard: NDArray[np.int64]) -> Scores:
        """The reducible loss of each sample."""
        losses = request.signals.losses
        return reducible(losses(shard), losses(shard, model=self.params.reference_model))


def reducible(losses: Scores, reference: Scores) -> Scores:
    """``losses`` less ``reference``, both Float32[N]: NaN where either is."""
    return losses - reference
