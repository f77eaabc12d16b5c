"""What every composed trainer shares: the run, its progress, the journal of trained samples.

The mixins of this package extend LLaMA-Factory's own trainer class by ``super()``; none copies a training loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import TrainerCallback

from dataflex_core.collectives import Ranks
from dataflex_core.contracts import Progress
from dataflex_core.errors import RanksDisagree, StrategyFault
from dataflex_core.planning.schedule import Interval
from dataflex_core.rng import derive
from dataflex_core.spec import Kind
from dataflex_core.trainer.active_run import ActiveRun
from dataflex_core.trainer.loader import IDS, Identified, IdentifyingCollator
from dataflex_core.trainer.transformers_trainer import TransformersTrainer


class FlexTrainer(TransformersTrainer):
    """Carries the run; knows which samples each step trained on."""

    run: ClassVar[ActiveRun]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.train_dataset = Identified(self.train_dataset)
        self.data_collator = IdentifyingCollator(self.data_collator)
        self.ranks = Ranks(self.accelerator)
        self._scalars: dict[str, float] = {}
        self._window: list[torch.Tensor] = []
        self._micro = -1
        self.add_callback(_Steps(self))

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any:
        """Take the ids out of the batches: the model does not know them."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._window = [batch.pop(IDS) for batch in batches]
        self._micro = -1
        return batches, items

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Count the micro-batches of the accumulation window."""
        self._micro += 1
        return super().training_step(*args, **kwargs)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add what the strategies had to say since the last log of training, so that every tracker shows it."""
        # Only there: evaluations must keep one set of keys, of which transformers' model card makes a table.
        if "loss" in logs:
            logs, self._scalars = {**logs, **self._scalars}, {}
        super().log(logs, *args, **kwargs)

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

    def rng(self, kind: Kind, *key: int | str) -> np.random.Generator:
        """The generator of a strategy at this step: the same on every rank, and after a resume."""
        name = self.run.prepared.strategies[kind].record.spec.name
        return derive(self.run.seed, kind.value, name, self.state.global_step, *key)

    def fault(self, kind: Kind, what: str) -> StrategyFault:
        """The error for a strategy that broke its contract at this step."""
        return StrategyFault(f"{self.run.prepared.strategies[kind].title}, step {self.state.global_step}: {what}")

    def state_of_run(self) -> dict[str, Any]:
        """What must survive: JSON values and numpy arrays. The same on every rank."""
        return {
            "step": self.state.global_step,
            "run": self.run.journal.run,
            "journal": self.run.journal.size(),
            "provenance": self.run.provenance(),
            "scalars": dict(self._scalars),
            "strategies": {kind.value: made.state_dict() for kind, made in self.run.strategies.items()},
        }

    def take_up(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_of_run` gave."""
        self._scalars = dict(state["scalars"])
        known = self.run.provenance()["strategies"]
        for kind, strategy in self.run.strategies.items():
            if state["provenance"]["strategies"].get(kind.value) == known[kind.value]:
                strategy.load_state_dict(state["strategies"][kind.value])

    def asked_to_end(self) -> bool:
        """Whether this rank is to end as soon as it can."""
        return False

    def deciding(self) -> AbstractContextManager[None]:
        """Around every decision between two steps."""
        return nullcontext()

    def begin(self) -> None:
        """Before the first step: the number of steps is final."""
        self.run.lasts(self.state.max_steps)

    def finish_step(self) -> None:
        """After each optimizer step: the journal learns which samples it trained on, over all ranks."""
        mine = torch.cat(self._window).cpu().numpy()
        ids = np.concatenate(self.ranks.gather_arrays(mine)).tolist()
        self.run.journal.write("step", step=self.state.global_step, samples=ids)

    def finish(self) -> None:
        """After the last step."""
        self.run.journal.write("end", step=self.state.global_step)


def disagreement(who: str, step: int, ranks: Sequence[int]) -> RanksDisagree:
    """The error for ranks that decided otherwise than rank 0."""
    odd = ", ".join(map(str, ranks))
    return RanksDisagree(
        f"{who}, step {step}: rank{'s' * (len(ranks) > 1)} {odd} decided otherwise than rank 0",
        hint="draw from request.rng only, and give the same answer on every rank",
    )


class _Steps(TrainerCallback):  # type: ignore[misc]  # transformers' callbacks are untyped
    """Tells the trainer when training begins and steps end."""

    def __init__(self, trainer: FlexTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self._trainer.begin()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self._trainer.finish_step()

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        self._trainer.finish()
