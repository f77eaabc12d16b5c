"""A run of many ranks without a model: the planner, the ranks' agreement and the journal are those of a run.

Ranks are threads, whose collectives are meetings of `dataflex_core.testing.ranks`. What the model would say of a sample
is a number drawn by its id.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from dataflex_core.catalog import discover
from dataflex_core.collectives import Ranks
from dataflex_core.config import params
from dataflex_core.domains import Domain
from dataflex_core.journal.decision import Took, decision_of
from dataflex_core.journal.events import Step
from dataflex_core.journal.writer import Journal
from dataflex_core.planning.budget import Budget, context_of
from dataflex_core.planning.planner import Planner, Rules
from dataflex_core.planning.schedule import Schedule
from dataflex_core.prepared import MIXER, SELECTOR, Chosen, Slot, choose, make_strategy
from dataflex_core.requests import Progress
from dataflex_core.scoring.batching import deal, pack
from dataflex_core.scoring.results import in_order
from dataflex_core.signals import Signals
from dataflex_core.testing.ranks import Meeting, on_ranks
from dataflex_core.trainer.agreement import agree

_NAMES = {SELECTOR: "loss", MIXER: "temperature"}
_SEED, _DOMAINS, _BUDGET, _LONGEST = 0, 8, 4096, 512  # tokens of a batch of signals, and of a sample
_PATIENCE = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """So many ranks, samples in the pool, decisions, samples of a step, steps of an interval, and judged samples."""

    ranks: int
    pool: int
    decisions: int
    batch: int
    steps: int
    judged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What rank 0 spent, on average over decisions: seconds of its thread, and bytes.

    ``planning`` is in the planner, gathering scores included, ``agreeing`` in the agreement, ``journalling`` in writing
    the decision and the steps of its interval. ``gathered`` are bytes that it was given by the others while planning,
    ``agreed`` while agreeing, ``decision`` and ``steps`` are those of the journal's lines.
    """

    planning: float
    agreeing: float
    journalling: float
    gathered: float
    agreed: float
    decision: float
    steps: float


@dataclass(slots=True, kw_only=True)
class _Accelerator:
    """A rank's side of an `Accelerator` over threads. ``received`` counts bytes."""

    process_index: int
    num_processes: int
    meeting: Meeting
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    received: int = 0

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        everyones = torch.cat(self.meeting.meet(self.process_index, "gather", tensor))
        self.received += everyones.nbytes
        return everyones


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """`Signals`, as far as a selector by losses asks: dealt and gathered as in a run, of made-up lengths and losses."""

    ranks: Ranks
    lengths: NDArray[np.int64]

    def shard(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        mine = deal(pack(ids, self.lengths[ids], _BUDGET), self.ranks.rank, self.ranks.world)
        return np.concatenate([ids[:0], *mine])

    def losses(self, shard: NDArray[np.int64], *, model: str | None = None) -> NDArray[np.float32]:
        return (shard * 2654435761 % 2**32 / 2**32).astype(np.float32)

    def gather(self, ids: Any, shard: Any, values: Any) -> NDArray[np.float32]:
        found, scores = (np.concatenate(self.ranks.gather_arrays(part)) for part in (shard, values))
        return in_order(ids, found, scores)


def simulated(setting: Setting) -> Spent:
    """What rank 0 spends. Raises `RanksDisagree` where ranks decide otherwise than each other."""
    lengths = np.random.default_rng(_SEED).integers(16, _LONGEST, setting.pool)
    with TemporaryDirectory() as folder:
        return on_ranks(
            setting.ranks,
            lambda rank, meeting: _run(setting, lengths, rank, meeting, Path(folder)),
            patience=_PATIENCE,
        )[0]


def _run(setting: Setting, lengths: NDArray[np.int64], rank: int, meeting: Meeting, folder: Path) -> Spent:
    accelerator = _Accelerator(process_index=rank, num_processes=setting.ranks, meeting=meeting)
    ranks = Ranks(cast("Any", accelerator))
    budget, chosen = _budget(setting), _chosen()
    planner = _planner(budget, chosen)
    journal = Journal(folder, owner=rank == 0, report=lambda event, *, past: None)
    signals = cast("Signals", _Drawn(ranks=ranks, lengths=lengths))
    seconds, size = np.zeros(3), np.zeros(4)
    for interval in budget.schedule.intervals():
        progress = _progress(budget, interval.decision, interval.start)
        clock = [time.thread_time()]
        received = [accelerator.received]
        plan = planner.decide(interval, progress, signals)
        clock.append(time.thread_time())
        received.append(accelerator.received)
        agree(plan, chosen, ranks, interval.start)
        clock.append(time.thread_time())
        received.append(accelerator.received)
        written = [journal.size()]
        journal.write(decision_of(plan, budget.domains, progress, Took(seconds=1.0)))
        written.append(journal.size())
        for step, ids in enumerate(plan.ids.reshape(interval.steps, setting.batch), start=interval.start + 1):
            journal.write(Step(step=step, samples=tuple(ids.tolist())))
        clock.append(time.thread_time())
        written.append(journal.size())
        seconds += np.diff(clock)
        size += [*np.diff(received), *np.diff(written)]
    return Spent(
        **dict(
            zip(
                ("planning", "agreeing", "journalling", "gathered", "agreed", "decision", "steps"),
                (np.concatenate([seconds, size]) / setting.decisions).tolist(),
                strict=True,
            )
        )
    )


def _budget(setting: Setting) -> Budget:
    size = setting.pool // _DOMAINS
    steps = setting.decisions * setting.steps
    return Budget(
        schedule=Schedule(warmup_steps=0, update_steps=setting.steps, total_steps=steps),
        domains=tuple(Domain(name=f"domain-{k}", start=k * size, size=size) for k in range(_DOMAINS)),
        targets=(),
        global_batch=setting.batch,
        judged=setting.judged,
        decision_cost=0.0,
    )


def _chosen() -> Mapping[Slot, Chosen]:
    catalog = discover()
    records = {slot: catalog.resolve(slot.kind, name) for slot, name in _NAMES.items()}
    return {
        slot: choose(record, params.validate(record.load_params(), {}, owner=_NAMES[slot]))
        for slot, record in records.items()
    }


def _planner(budget: Budget, chosen: Mapping[Slot, Chosen]) -> Planner:
    strategies = {slot: make_strategy(one) for slot, one in chosen.items()}
    for strategy in strategies.values():
        strategy.setup(context_of(budget, mixed=True, seed=_SEED))
    return Planner(budget, Rules(), seed=_SEED, chosen=chosen, strategies=strategies)


def _progress(budget: Budget, decision: int, step: int) -> Progress:
    schedule = budget.schedule
    return Progress(
        step=step,
        total_steps=schedule.total_steps,
        decision=decision,
        decisions=schedule.decisions,
        epoch=0.0,
        learning_rate=1e-4,
        seed=_SEED,
    )
