"""Reducible holdout loss: what is not learnt yet and can be learnt (Mindermann et al., 2022, arXiv:2206.07137)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from typing_extensions import Doc

from dataflex_core import Kind, Need, ReferenceModel, ScoringSelector, StrategySpec, hookimpl


@hookimpl
def dataflex_strategies():
    """The one strategy of this file."""
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="reducible-loss",
        target="rho_loss:RhoLoss",
        params="rho_loss:Params",
        summary="the samples whose loss exceeds a reference model's by most",
        reference="arXiv:2206.07137",
        needs={Need.LOSSES},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Who says what can be learnt."""

    reference_model: Annotated[ReferenceModel, Doc("a model trained on held-out data")]


class RhoLoss(ScoringSelector[Params]):
    """Chooses the samples with the largest loss less the loss of the reference model."""

    def score(self, request, shard):
        """The reducible loss of each sample."""
        return request.signals.losses(shard) - request.signals.losses(shard, model=self.params.reference_model)
