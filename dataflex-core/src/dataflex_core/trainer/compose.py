"""From a run's strategies to its trainer class."""

from __future__ import annotations

from typing import Any

from dataflex_core.spec import Kind, Need
from dataflex_core.trainer.active_run import ActiveRun
from dataflex_core.trainer.base import FlexTrainer
from dataflex_core.trainer.checkpoints import CheckpointTrainer
from dataflex_core.trainer.losses import LossTrainer
from dataflex_core.trainer.planned import PlannedTrainer
from dataflex_core.trainer.weight import WeightTrainer


def compose(base: type[Any], run: ActiveRun) -> type[Any]:
    """``base`` with the mixins that ``run``'s strategies need; ``base`` itself where there are none."""
    if not run.strategies:
        return base
    return type(f"DataFlex{base.__name__}", (CheckpointTrainer, *_mixins(run), base), {"run": run})


def _mixins(run: ActiveRun) -> tuple[type[FlexTrainer], ...]:
    planned: tuple[type[FlexTrainer], ...] = (PlannedTrainer,) if run.prepared.plans else ()
    if run.prepared.needs(Need.LOSS_WEIGHTS) or any(slot.kind is Kind.WEIGHTER for slot in run.strategies):
        return (*planned, WeightTrainer)
    return (*planned, LossTrainer) if run.prepared.takes_token_losses else planned
