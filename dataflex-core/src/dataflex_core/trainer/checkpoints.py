"""Checkpoints that a run can go on from exactly: what is decided, beside what is learnt."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

from dataflex_core.collectives import Looks
from dataflex_core.errors import DataflexError, Interrupted, RunFailed
from dataflex_core.planning.budget import Budget
from dataflex_core.prepared import SELECTOR, PreparedRun
from dataflex_core.spec import PASSES, Need
from dataflex_core.trainer.carried import held, state_of, take_up
from dataflex_core.trainer.checkpoint_files import seal, what_is_torn, write_state
from dataflex_core.trainer.complete import WEIGHTS, CompleteTrainer
from dataflex_core.trainer.interrupt import Termination
from dataflex_core.trainer.rotation import remove_torn, rotate
from dataflex_core.wording import first_line

NO_BLOCK = "BAdam does not write into a checkpoint which block trains"
_BRIEF = 16
"""Global batches that a decision may judge and still be brief."""


class CheckpointTrainer(CompleteTrainer):
    """Writes its state into every checkpoint, and takes it up again from the one that the run goes on from."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        restore_to_numbered_cpus()
        self._termination = Termination()
        self._looks = Looks(self.ranks)
        self._saved_at = 0
        self._before_deciding: dict[str, Any] | None = None
        self._is_brief = False

    def state_of_run(self) -> dict[str, Any]:
        """As it is between two steps; while a decision is taken, as it was before that."""
        return state_of(self) if self._before_deciding is None else self._before_deciding

    def _run_epoch(self, **kwargs: Any) -> None:
        """As stock, but for a checkpoint after the run's last step: then no step is made.

        The stock loop looks for the end only after a step.
        """
        if self.stopped or self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
        else:
            super()._run_epoch(**kwargs)

    def begin(self) -> None:
        """Put back the state of the checkpoint that the run goes on from, and begin to remember SIGTERM."""
        super().begin()
        if self.run.resumed is not None:
            if not self._is_checked:  # DeepSpeed has loaded it
                self.check_loaded(Path(self.args.resume_from_checkpoint), self.trained())
            if self.trains_in_blocks():
                self.run.journal.notice(f"{NO_BLOCK}: the run goes on, and not quite as if it had not been stopped")
            take_up(self, self.run.resumed)
            self._saved_at = self.state.global_step
            if self.ranks.rank == 0 and (self.args.save_total_limit or 0) > 0:
                remove_torn(Path(self._get_output_dir(trial=None)), self.run.journal.notice)
        self._termination.watch()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        self.check_loaded(Path(resume_from_checkpoint), self.trained())

    def asked_to_end(self) -> bool:
        return self._termination.asked and not self._is_brief

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """A decision may be long: whoever asks for the end meanwhile gets a checkpoint of what was before it.

        One that is brief is waited for, so that its state need not be held.
        """
        self._is_brief = is_brief(self.run.prepared, self.run.budget)
        if not self._is_brief:
            self.settle()
        self._before_deciding = None if self._is_brief else held(self)
        try:
            with self.passing():
                yield
        finally:
            self._before_deciding, self._is_brief = None, False

    @contextmanager
    def passing(self) -> Iterator[None]:
        """A pass may be long, too: whoever asks for the end meanwhile gets a checkpoint of what was trained."""
        try:
            yield
        except Interrupted as cut_short:
            self._end_before_deciding(cut_short)

    def _end_before_deciding(self, cut_short: Interrupted) -> None:
        step = self.state.global_step
        if step > self._saved_at:
            self._termination.agreed = True
            self._save_checkpoint(self.model, trial=None)
        self._termination.restore()
        left = f"checkpoint-{step} is complete" if step else "nothing was trained yet"
        raise Interrupted(
            f"stopped by SIGTERM after step {step}: {cut_short.message}, {left}",
            hint="dataflex run … --resume goes on from it, and from what was judged",
        ) from cut_short

    def finish_step(self) -> None:
        """As below; where a rank was sent SIGTERM, ask for a checkpoint of this step, and end the run. Collective.

        Several ranks look about once a second whether one of them was.
        """
        super().finish_step()
        if self._looks.any_wants(self._termination.asked) and self.state.global_step < self.state.max_steps:
            self._termination.agreed = True
            self.control.should_save = True

    def finish(self) -> None:
        super().finish()
        self._termination.restore()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.settle()
        with self.since_log.paused.running():
            self._write_checkpoint(model, trial)

    def _write_checkpoint(self, model: Any, trial: Any) -> None:
        checkpoint = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        state = self.state_of_run()
        first = self.ranks.rank == 0
        try:
            if first:
                if checkpoint.exists() and what_is_torn(checkpoint) is not None:
                    shutil.rmtree(checkpoint)  # as an earlier, killed run left it
                write_state(checkpoint, {**state, WEIGHTS: self.digests(self.trained())})
            self.accelerator.wait_for_everyone()
            with self._unrotated():
                super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if first:
                seal(checkpoint)
        except DataflexError:
            raise
        except Exception as error:
            if first:
                shutil.rmtree(checkpoint, ignore_errors=True)
            raise RunFailed(
                f"{checkpoint} could not be written: {first_line(error)}",
                hint="make room or choose another output_dir; dataflex run … --resume goes on from the one before",
            ) from error
        if first:
            self._rotate(checkpoint)
        self._saved_at = self.state.global_step
        if self._termination.agreed:
            self._termination.restore()
            raise Interrupted(
                f"stopped by SIGTERM after step {self.state.global_step}: {checkpoint} is complete",
                hint="dataflex run … --resume goes on from it",
            )

    @contextmanager
    def _unrotated(self) -> Iterator[None]:
        # An older checkpoint may go only when this one is sealed.
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            yield
        finally:
            self.args.save_total_limit = limit

    def _rotate(self, written: Path) -> None:
        limit, best = self.args.save_total_limit, self.state.best_model_checkpoint
        if limit is not None and limit > 0:
            remove_torn(written.parent, self.run.journal.notice)
            rotate(written.parent, limit, kept=[written, *([Path(best)] if best else [])])


def is_brief(prepared: PreparedRun, budget: Budget) -> bool:
    """Whether a decision judges so few samples that it is as soon done as a few steps: then it judges no whole pool."""
    asked = {slot: chosen.needs & PASSES for slot, chosen in prepared.strategies.items()}
    if any(needs for slot, needs in asked.items() if slot != SELECTOR) or Need.GENERATIONS in asked.get(SELECTOR, ()):
        return False
    if not asked.get(SELECTOR):
        return True
    passed = budget.judged + sum(size for _, size in budget.targets)
    if budget.features_cost:  # a decision may make those of the whole pool
        return False
    return budget.judged < budget.pool and passed <= _BRIEF * budget.global_batch


@cache
def restore_to_numbered_cpus() -> None:
    """Several ranks on CPU load the optimizer to ``cpu:0``, as accelerate calls it; torch knows only ``cpu``."""

    def restored(storage: Any, location: str) -> Any:
        return storage if location.startswith("cpu:") else None

    torch.serialization.register_package(1000, lambda storage: None, restored)
