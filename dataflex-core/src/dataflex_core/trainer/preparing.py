"""Weighters work out once an interval what they need throughout it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch

from dataflex_core.contracts import Weighter
from dataflex_core.planning.schedule import Interval
from dataflex_core.prepared import Slot
from dataflex_core.spec import Kind
from dataflex_core.trainer.losses import LossTrainer
from dataflex_core.weighing import IntervalRequest


class PreparingTrainer(LossTrainer):
    """Lets the run's weighters prepare before they are asked: as an interval begins, or as they come new to one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._weighters = {
            slot: cast("Weighter[Any]", made)
            for slot, made in self.run.strategies.items()
            if slot.kind is Kind.WEIGHTER
        }
        self._unprepared = list[Slot]()

    def begins_afresh(self, slot: Slot) -> None:
        """As below; a weighter is prepared before the next step, for the rest of the interval."""
        super().begins_afresh(slot)
        if slot in self._weighters:
            self._unprepared.append(slot)

    def begin_interval(self, interval: Interval) -> None:
        """As below; calls `Weighter.prepare`, from the first decision on. Collective."""
        super().begin_interval(interval)
        self._unprepared.clear()
        if not interval.is_warmup:
            self._prepare(self._weighters, interval)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """As below; calls `Weighter.prepare` of those that are new to the interval. Collective then."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self._unprepared and self.asks_weighters() and self.interval is not None:
            with self.since_log.deciding.running(), self.deciding():
                self._prepare(self._unprepared, self.interval)
            self._unprepared.clear()
        return batches, items

    def asks_weighters(self) -> bool:
        """Whether weighters are asked about this step."""
        return bool(self._weighters) and self.state.global_step >= self.run.budget.schedule.warmup_steps

    def _prepare(self, slots: Iterable[Slot], interval: Interval) -> None:
        for slot in slots:
            weighter = self._weighters[slot]
            if type(weighter).prepare is Weighter.prepare:
                continue
            request = IntervalRequest(
                progress=self.progress(interval),
                domains=self.run.budget.domains,
                ids=self.planned_ids(),
                steps=interval.steps,
                global_batch=self.run.budget.global_batch,
                rng=self.rng(slot, "interval"),
                signals=self.declared_signals(slot),
                columns=self.run.columns,
            )
            with self.asking(slot):
                weighter.prepare(request)
