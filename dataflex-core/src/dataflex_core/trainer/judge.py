"""A trainer that judges the whole pool where training would begin, and does not train.

The stock trainer has by then prepared model and optimizer for the engine, and loaded them from the checkpoint that it
was given: whatever it can go on from can judge.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dataflex_core.contracts import ScoringSelector
from dataflex_core.declared import DeclaredSignals
from dataflex_core.errors import Interrupted, InvalidConfig, UnmetNeed
from dataflex_core.judging import Judge, Judged, mean_rate
from dataflex_core.llamafactory.args import LEARNING_RATE
from dataflex_core.prepared import SELECTOR
from dataflex_core.requests import Progress, SelectionRequest
from dataflex_core.signals import Signals
from dataflex_core.spec import Need
from dataflex_core.trainer.active_run import ActiveRun
from dataflex_core.trainer.checkpoints import restore_to_numbered_cpus
from dataflex_core.trainer.complete import CompleteTrainer
from dataflex_core.trainer.interrupt import Termination
from dataflex_core.trainer.signals import SignalTrainer

Ids = NDArray[np.int64]
Scores = NDArray[np.float32]


class PoolJudged(Exception):
    """Raised through the stock trainer once the pool is judged: nothing of what comes after is wanted."""

    def __init__(self, judged: Judged, *, first: bool) -> None:
        """``first`` is whether this is rank 0."""
        super().__init__("the pool is judged")
        self.judged, self.first = judged, first


class JudgingTrainer(CompleteTrainer, SignalTrainer):
    """Judges with the model of ``judge``, by ``signal``, or the run's selector where that is None."""

    judge: ClassVar[Judge]
    signal: ClassVar[str | None]

    keeps_passes = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        restore_to_numbered_cpus()
        self._termination = Termination()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        try:
            self.check_saved(Path(resume_from_checkpoint))
        except InvalidConfig as other:  # another precision judges as well
            self.run.journal.notice(other.message)

    def begin(self) -> None:
        """Called on every rank. Raises `PoolJudged`, or `Interrupted` where one was asked to end. Collective."""
        self._termination.watch()
        try:
            judged = self._judge()
        except Interrupted as cut_short:
            hint = "the same command goes on from what was judged"
            raise Interrupted(f"stopped by SIGTERM: {cut_short.message}", hint=hint) from cut_short
        finally:
            self._termination.restore()
        raise PoolJudged(judged, first=self.ranks.rank == 0)

    def asked_to_end(self) -> bool:
        return self._termination.asked

    def asked_optimizer(self) -> object:
        """Raises `UnmetNeed` where the checkpoint has no moments that could be asked for."""
        if not self.judge.has_optimizer:
            raise UnmetNeed(
                f"{self.judge.checkpoint} has no optimizer state, and its moments are asked for",
                hint="train with save_only_model: false, or choose a parameter that does without (less: gradient=sgd)",
            )
        return self.optimizer

    def _judge(self) -> Judged:
        pool = np.arange(self.run.budget.pool, dtype=np.int64)
        made = self._by_selector(pool) if self.signal is None else self._by_signal(pool, self.signal)
        step = int(self.state.global_step)
        rate = mean_rate(self.state.log_history, LEARNING_RATE, self.judge.since, step)
        return replace(made, step=step, learning_rate=self._rate() if rate is None else rate)

    def _by_signal(self, pool: Ids, name: str) -> Judged:
        signals = self.signals()
        shard = signals.shard(pool)
        found: Scores = getattr(signals, name)(shard)
        return Judged(values=signals.gather(pool, shard, found)[:, None])

    def _by_selector(self, pool: Ids) -> Judged:
        selector, chosen = self.run.strategies[SELECTOR], self.run.prepared.strategies[SELECTOR]
        assert isinstance(selector, ScoringSelector), "others are refused before"
        signals = BySubtask(self.signals(), chosen.needs, chosen.title)
        with self.asking(SELECTOR):
            scores = selector.scores(self._request(pool, signals))
        if scores.ndim == 2:
            return Judged(values=scores, names=tuple(map(str, range(scores.shape[1]))))
        by_subtask = self._by_subtask(pool, signals, scores)
        if by_subtask is None:
            return Judged(values=scores[:, None])
        return Judged(values=by_subtask, names=signals.targets, largest=True)

    def _request(self, pool: Ids, signals: Signals) -> SelectionRequest:
        """As the first decision of a run would ask, about the whole pool."""
        progress = Progress(
            step=int(self.state.global_step),
            total_steps=max(int(self.state.max_steps), 1),
            decision=1,
            decisions=1,
            epoch=float(self.state.epoch or 0.0),
            learning_rate=self._rate(),
            seed=self.run.seed,
        )
        return SelectionRequest(
            progress=progress,
            domains=self.run.budget.domains,
            candidates=pool,
            count=len(pool),
            steps=1,
            global_batch=self.run.budget.global_batch,
            rng=self.rng(SELECTOR),
            signals=signals,
            columns=self.run.columns,
        )

    def _by_subtask(self, pool: Ids, signals: BySubtask, scores: Scores) -> Scores | None:
        """Float32[N, K] for K > 1 subtasks whose largest influence is the score; else None. Collective."""
        if len(signals.targets) < 2 or self.ranks.largest(int(len(signals.asked) != 1)):
            return None
        if sum(map(len, self.ranks.gather_arrays(signals.asked[0][0]))) != len(pool):  # some were left out before
            return None
        ((shard, rows),) = signals.asked
        found: Scores = signals.gather(pool, shard, rows)
        return found if np.array_equal(found.max(axis=1), scores, equal_nan=True) else None

    def _rate(self) -> float:
        return float(self.lr_scheduler.get_last_lr()[0])


class BySubtask(DeclaredSignals):
    """Declared signals that keep, where influence is asked for, what it is the largest of: ``asked``."""

    def __init__(self, signals: Signals, needs: frozenset[Need], title: str) -> None:
        super().__init__(signals, needs, title)
        self.asked: list[tuple[Ids, Scores]] = []

    @property
    def targets(self) -> tuple[str, ...]:
        """As `Signals.targets`."""
        return self._signals.targets

    def influence(self, shard: Ids, **options: Any) -> Scores:
        """As `Signals.influence`."""
        rows: Scores = self.influences(shard, **options)
        self.asked.append((shard, rows))
        largest: Scores = rows.max(axis=1)
        return largest


def compose_judging(base: type[Any], run: ActiveRun, judge: Judge, signal: str | None) -> type[Any]:
    """``base``, LLaMA-Factory's trainer, as one that judges."""
    settings = {"run": run, "judge": judge, "signal": signal}
    return type(f"DataFlexJudging{base.__name__}", (JudgingTrainer, base), settings)
