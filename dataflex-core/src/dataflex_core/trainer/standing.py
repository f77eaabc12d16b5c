"""Where a run stands, as strategies are told it, and what names them where they fail."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import ClassVar

import numpy as np

from dataflex_core.errors import StrategyFault
from dataflex_core.planning.schedule import Interval
from dataflex_core.prepared import Slot
from dataflex_core.requests import Progress
from dataflex_core.rng import strategy_rng
from dataflex_core.strategy_faults import FAULT_HINT
from dataflex_core.trainer.active_run import ActiveRun
from dataflex_core.trainer.transformers_trainer import TransformersTrainer


class StandingTrainer(TransformersTrainer):
    """Carries the run, and says where it stands."""

    run: ClassVar[ActiveRun]

    def progress(self, interval: Interval) -> Progress:
        """Where the run stands."""
        schedule = self.run.budget.schedule
        rate = self.lr_scheduler.get_last_lr()[0] if self.lr_scheduler is not None else self.args.learning_rate
        return Progress(
            step=self.state.global_step,
            total_steps=schedule.total_steps,
            decision=interval.decision,
            decisions=schedule.decisions,
            epoch=float(self.state.epoch or 0.0),
            learning_rate=float(rate),
            seed=self.run.seed,
        )

    def current_progress(self) -> Progress:
        """Where the run stands at the step under way."""
        return self.progress(self.run.budget.schedule.interval_at(self.state.global_step))

    def rng(self, slot: Slot, *key: int | str) -> np.random.Generator:
        """The generator of a strategy at this step: the same on every rank, and after a resume."""
        name = self.run.prepared.strategies[slot].record.spec.name
        return strategy_rng(self.run.seed, slot, name, self.state.global_step, *key)

    def fault(self, slot: Slot, step: int, what: str) -> StrategyFault:
        """The error for a strategy that broke its contract after optimizer step ``step``."""
        title = self.run.prepared.strategies[slot].title
        return StrategyFault(f"{title}, step {step}: {what}", hint=FAULT_HINT)

    def asking(self, *slots: Slot) -> AbstractContextManager[None]:
        """For a block that asks the strategies at ``slots``: an error of one names it, the step and the line."""
        return self.run.asking(f"step {self.state.global_step}", *slots)
