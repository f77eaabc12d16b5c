"""The trainers: mixins over LLaMA-Factory's own trainer class, composed for the strategies that a run has."""

from __future__ import annotations

from typing import Any

from dataflex_core.spec import Kind
from dataflex_core.trainer.active_run import ActiveRun
from dataflex_core.trainer.checkpoints import CheckpointTrainer
from dataflex_core.trainer.mix import MixTrainer
from dataflex_core.trainer.select import SelectTrainer
from dataflex_core.trainer.weight import WeightTrainer

_MIXINS = {Kind.SELECTOR: SelectTrainer, Kind.MIXER: MixTrainer, Kind.WEIGHTER: WeightTrainer}


def compose(base: type[Any], run: ActiveRun) -> type[Any]:
    """``base`` with the mixins that ``run``'s strategies need; ``base`` itself where there are none."""
    mixins = tuple(_MIXINS[kind] for kind in Kind if kind in run.strategies)
    if not mixins:
        return base
    return type(f"DataFlex{base.__name__}", (CheckpointTrainer, *mixins, base), {"run": run})
