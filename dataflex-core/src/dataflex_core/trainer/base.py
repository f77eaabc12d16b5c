"""What every composed trainer shares: the run, its progress, the journal of trained samples.

The mixins of this package extend LLaMA-Factory's own trainer class by ``super()``; none copies a training loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import TrainerCallback

from dataflex_core.collectives import Ranks, between_hosts
from dataflex_core.errors import DataflexError
from dataflex_core.journal.events import End, Evaluated, Step
from dataflex_core.journal.figures import finite
from dataflex_core.planning.schedule import Interval
from dataflex_core.prepared import Slot
from dataflex_core.scoring.divergence import diverged, weights_are_dead
from dataflex_core.trainer.figures import Figures
from dataflex_core.trainer.kept_texts import KeptTexts
from dataflex_core.trainer.ledger import MOST, Entry, Ledger, filled
from dataflex_core.trainer.loader import IDS, PIECES, PLACES, Identified, IdentifyingCollator
from dataflex_core.trainer.pieces import Pieces
from dataflex_core.trainer.printed import SHORT
from dataflex_core.trainer.since_log import SinceLog
from dataflex_core.trainer.standing import StandingTrainer
from dataflex_core.trainer.text_tables import TextTables
from dataflex_core.trainer.trained import TRAINED

_LOST, _SAMPLES = "lost", "samples"
"""What a step leaves: whether a micro-batch had a loss that is no finite number; the ids that a rank trained on."""


class FlexTrainer(StandingTrainer):
    """Knows which samples each step trained on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.train_dataset = Identified(self.train_dataset)
        self.data_collator = IdentifyingCollator(self.data_collator)
        self.ranks = Ranks(self.accelerator, between_hosts(self.args.ddp_timeout_delta))
        self.figures = Figures()
        self.ledger = Ledger(self.ranks)
        self.since_log = SinceLog(self.run, self.ranks.device, self.figures)
        self.interval: Interval | None = None
        """The interval under way, None before the first step."""
        self.stopped = False
        """Whether the run that this one goes on from had been ended before its last step."""
        self._window: list[NDArray[np.int64]] = []
        self._pieces: list[Pieces | None] = []
        self._places: list[NDArray[np.int64] | None] = []
        self._micro = -1
        self._lost: torch.Tensor | None = None
        self.texts: KeptTexts | None = None
        """What a report shows of samples; on rank 0 alone."""
        self.tables: TextTables | None = None
        """What trackers show of them, where that is asked for; likewise."""
        self.add_callback(_Steps(self))
        for stock, short in SHORT.items():
            if self.pop_callback(stock) is not None:
                self.add_callback(short)

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        """The batches of the next optimizer step; an interval begins first where one is due.

        The ids, and what else was known on the host, are taken out of the batches: the model does not know them.
        """
        step = self.state.global_step
        if self.interval is None or step >= self.interval.stop:
            # Later than its start only where a run goes on with another schedule, or other data.
            interval = replace(self.run.budget.schedule.interval_at(step), start=step)
            if self.is_awaited():
                self.settle()
            with self.since_log.deciding.running(), self.deciding():
                self.begin_interval(interval)
            self.interval = interval
        iterator, count = self.source(epoch_iterator, num_batches)
        batches, items = super().get_batch_samples(iterator, count, device)
        about = ([batch.pop(key) for batch in batches] for key in (IDS, PIECES, PLACES))
        self._window, self._pieces, self._places = about
        self._micro = -1
        self.since_log.trained.window(self._window, batches)
        return batches, items

    def begin_interval(self, interval: Interval) -> None:
        """Called on every rank as an interval begins, between two optimizer steps; mixins decide here. Collective."""

    def source(self, epoch_iterator: Iterator[Any], num_batches: int) -> tuple[Iterator[Any], int]:
        """Where the next optimizer step's batches come from, and how many they are: by default the stock loader."""
        return epoch_iterator, num_batches

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Train on a micro-batch as stock does, and keep its number in the accumulation window, from 0."""
        self._micro += 1
        loss = super().training_step(*args, **kwargs)
        lost = ~torch.isfinite(loss.detach())
        self._lost = lost if self._lost is None else self._lost | lost
        return loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Journal what is logged, and add what there is to tell since the last log of training. Collective.

        Every tracker shows it; of a run without one, shares and what strategies noted stand in ``trainer_state.json``.
        """
        # Only there: evaluations must keep one set of keys, of which transformers' model card makes a table.
        if "loss" in logs:
            self.settle()
            logs = {**logs, **self.since_log.tell(self.state.global_step, logs)}
        elif evaluated := finite({name: value for name, value in logs.items() if name.startswith("eval_")}):
            self.run.journal.write(Evaluated(step=self.state.global_step, figures=evaluated))
        super().log(logs, *args, **kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As stock, and no time of training."""
        with self.since_log.paused.running():
            return super().evaluate(*args, **kwargs)

    def loss_weights(self) -> NDArray[np.float64] | None:
        """What the mixer wants each domain's loss to count in this interval, Float64[K], or None."""
        return None

    def planned_ids(self) -> NDArray[np.int64] | None:
        """The plan in force, or None where LLaMA-Factory's own order is kept."""
        return None

    def ids_ahead(self, count: int) -> NDArray[np.int64] | None:
        """About ``count`` ids that this step and the next ones train on, over all ranks; None where nobody knows.

        The same for some steps: where these end depends on the plan alone.
        """
        return None

    def is_stopped(self) -> bool:
        """Whether somebody, as early stopping does, has ended the run before its last step."""
        return bool(self.control.should_training_stop) and self.state.global_step < self.state.max_steps

    def trained_ids(self) -> NDArray[np.int64] | None:
        """The samples of the step that is done, over all ranks; None where other ranks would have to be asked."""
        return self.window_ids() if self.ranks.world == 1 else None

    def planner_state(self) -> dict[str, Any] | None:
        """The planner's state, None where LLaMA-Factory's own order is kept."""
        return None

    def take_up_plan(self, state: Mapping[str, Any] | None) -> None:
        """Go on from what `planner_state` gave."""

    def begins_afresh(self, slot: Slot) -> None:
        """Called where a run goes on from a checkpoint that has nothing of the strategy at ``slot``."""

    def signal_state(self) -> dict[str, Any]:
        """What signals keep from one decision to a later one."""
        return {}

    def take_up_signals(self, state: Mapping[str, Any]) -> None:
        """Go on from what `signal_state` gave."""

    def asked_to_end(self) -> bool:
        """Whether this rank is to end as soon as it can."""
        return False

    def deciding(self) -> AbstractContextManager[None]:
        """Around every decision between two steps."""
        return nullcontext()

    def passing(self) -> AbstractContextManager[None]:
        """Around a pass between two steps that decides nothing."""
        return nullcontext()

    def begin(self) -> None:
        """Called on every rank before the first step: makes ``max_steps``, which is final now, the schedule's total."""
        self.run.lasts(self.state.max_steps)
        self.since_log.begin()
        if self.ranks.rank == 0:
            self.texts = KeptTexts(self.run, self.processing_class, self.ranks.device)
            self.texts.begin()
            if (count := self.run.prepared.config.dataflex.report_texts) is not None:
                trackers, notice = self.callback_handler.callbacks, self.run.journal.notice
                self.tables = TextTables(self.run, count, self.texts.text_of, trackers, notice)

    def finish_step(self) -> None:
        """After each optimizer step: the journal learns which samples it trained on, over all ranks.

        Where only the others know theirs, it learns so as the ledger is read: to ask them makes the host wait.
        """
        step, ids = self.state.global_step, self.trained_ids()
        if ids is None:
            mine = torch.from_numpy(self.window_ids()).to(self.ranks.device, non_blocking=True)
            self.ledger.add(_SAMPLES, step, filled(mine, self.most_samples()), about=self.interval)
        else:
            self._tell_trained(step, ids, self.interval)
        self.ledger.add(TRAINED, step, self.since_log.trained.step())
        if self._lost is not None:
            self.ledger.add(_LOST, step, self._lost)
            self._lost = None

    def _tell_trained(self, step: int, ids: NDArray[np.int64], interval: Interval | None) -> None:
        self.run.journal.write(Step(step=step, samples=tuple(ids.tolist())))
        self.since_log.trained.count(ids)
        if interval is None or step != interval.start + 1 or self.planned_ids() is not None:
            return
        if self.texts is not None:
            self.texts.trained(interval, ids)
        if self.tables is not None:
            self.tables.trained(interval, step, ids)

    def settle_in_time(self) -> None:
        """After a step: settle where the host waits for the device anyway, or too much has gathered. Collective."""
        if self.waits_anyway() or len(self.ledger) >= MOST:
            self.settle()

    def waits_anyway(self) -> bool:
        """Whether stock, after this step, does what has the host wait for the device: the same on every rank."""
        now = self.control
        return any((now.should_log, now.should_save, now.should_evaluate, now.should_training_stop))

    def settle(self) -> None:
        """Read what the steps of all ranks have left on the device, and act upon it. Collective; one read.

        Raises what the earliest step that went wrong is to raise: `RunFailed` where nothing can come of the run any
        more, and what mixins add.
        """
        entries = self.ledger.read()
        if not entries:
            return
        for entry in entries:
            if entry.kind == _SAMPLES:
                self._tell_trained(entry.step, entry.everyones[entry.everyones >= 0], entry.about)
        if faults := sorted(self.faults(entries), key=lambda found: found[0]):
            raise faults[0][1]
        self.take_up(entries)

    def is_awaited(self) -> bool:
        """Whether a decision has to know what is left on the device: the same on every rank."""
        return False

    def faults(self, entries: Sequence[Entry]) -> list[tuple[int, DataflexError]]:
        """What went wrong, by step, the first cause of a step first. Collective."""
        lost = [entry.step for entry in entries if entry.kind == _LOST and entry.everyones.any()]
        if lost and self.ranks.largest(int(weights_are_dead(self.model))):
            return [(lost[0], diverged(lost[0], "its loss, and now its weights, are not finite"))]
        return []

    def take_up(self, entries: Sequence[Entry]) -> None:
        """Use what nothing is wrong with. Collective."""
        self.since_log.take_up(entries)

    def most_samples(self) -> int:
        """How many samples a rank's accumulation window has at the most, the same on every rank."""
        # Stock's own order goes by the second, which may be a checkpoint's.
        most = max(self.args.train_batch_size, self._train_batch_size)
        return int(self.args.gradient_accumulation_steps * most)

    def window_ids(self) -> NDArray[np.int64]:
        """The samples of this rank's accumulation window, Int64[b], in order."""
        return np.concatenate(self._window)

    def finish(self) -> None:
        """After the last step. The model is not saved yet, and a journal that cannot be written is no reason not to.

        Raises as `settle`. Collective.
        """
        self.settle()
        step = self.state.global_step
        unlogged = self.since_log.trained.event(step)
        self.run.journal.end(*([] if unlogged is None else [unlogged]), End(step=step))


class _Steps(TrainerCallback):  # type: ignore[misc]  # transformers' callbacks are untyped
    """Calls the trainer's `begin`, `finish_step` and `finish` at transformers' events."""

    def __init__(self, trainer: FlexTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self._trainer.begin()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self._trainer.finish_step()
        self._trainer.settle_in_time()

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        self._trainer.finish()
