"""What a run asks of a strategy, one question at a time, on one rank: decisions through the very planner of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dataflex_core.contracts import Strategy
from dataflex_core.errors import DataError, StrategyFault
from dataflex_core.planning.budget import Budget
from dataflex_core.planning.plan import Plan
from dataflex_core.planning.planner import Planner
from dataflex_core.prepared import Chosen, Slot
from dataflex_core.requests import Notes, Progress, Selection, StepFacts
from dataflex_core.rng import strategy_rng
from dataflex_core.spec import Kind, Need
from dataflex_core.testing import fakes
from dataflex_core.testing.errors import CheckFailed
from dataflex_core.testing.fake_signals import FakeSignals
from dataflex_core.testing.pools import Pool
from dataflex_core.testing.ranks import Meeting

Ids = NDArray[np.int64]
Answer = tuple[NDArray[Any], ...]
"""A decision, as a run would act on it: ids, proportions or weights; nothing where a strategy only watches."""


@dataclass(slots=True, kw_only=True, eq=False)
class Runner:
    """A run of one strategy over a pool as one rank sees it, and what was noticed on the way."""

    chosen: Chosen
    pool: Pool
    budget: Budget
    planner: Planner
    seed: int
    rank: int
    meeting: Meeting
    asked: set[Need] = field(default_factory=set)
    drew: bool = False
    """Whether the strategy drew from a generator that it was given."""
    touched: set[str] = field(default_factory=set)
    """What the strategy was given, and changed."""
    attached: bool = False
    """Whether an answer would be differentiated."""
    selections: list[Selection] = field(default_factory=list)
    """A selector's answers at the last decision."""
    scores: list[tuple[str, Answer]] = field(default_factory=list)
    """The candidates and their scores, as a run journals them, by decision; nothing where it does not score."""
    disordered: set[str] = field(default_factory=set)
    """Where samples are not trained in the order that a selection asks for."""

    @property
    def slot(self) -> Slot:
        """The strategy's place in the run."""
        return Slot(self.chosen.record.spec.kind)

    def progress(self, step: int) -> Progress:
        """Where the run stands."""
        schedule = self.budget.schedule
        return Progress(
            step=step,
            total_steps=schedule.total_steps,
            decision=schedule.interval_at(step).decision,
            decisions=schedule.decisions,
            epoch=step / schedule.total_steps,
            learning_rate=1e-3 * (1 - step / schedule.total_steps),
            seed=self.seed,
        )

    def rng(self, step: int, *key: int | str) -> np.random.Generator:
        """As a run derives it."""
        return strategy_rng(self.seed, self.slot, self.chosen.record.spec.name, step, *key)

    def signals(self, step: int) -> FakeSignals:
        """Facts about the pool."""
        return FakeSignals(
            samples=self.pool.samples,
            subtasks=self.pool.targets,
            step=step,
            seed=self.seed,
            rank=self.rank,
            meeting=self.meeting,
            held=self.pool.held,
            asked=self.asked,
        )

    def proportions(self) -> NDArray[np.float64]:
        """Those in force."""
        if self.planner.plan is not None:
            return self.planner.plan.proportions.copy()
        sizes = np.array([domain.size for domain in self.pool.domains], dtype=np.float64)
        shares: NDArray[np.float64] = sizes / sizes.sum()
        return shares

    def beside_reference(self, samples: Ids, step: int) -> dict[str, NDArray[np.float32]]:
        """By how much samples' token losses exceed the reference model's, summed, and its means; empty without one."""
        if Need.REFERENCE_LOSSES not in self.chosen.needs or not len(samples):
            return {}
        rows = [self.pool.samples[i] for i in samples.tolist()]
        theirs = [fakes.token_losses(row, step, self.reference) for row in rows]
        over = [
            np.maximum(fakes.token_losses(row, step, None) - other, 0).sum()
            for row, other in zip(rows, theirs, strict=True)
        ]
        means = [other.mean() if other.size else np.nan for other in theirs]
        return {"excess": np.array(over, dtype=np.float32), "reference_losses": np.array(means, dtype=np.float32)}

    @property
    def reference(self) -> str | None:
        """The reference model that the parameters name."""
        return next(iter(self.chosen.references.values()), None)

    @contextmanager
    def watching(self, given: Mapping[str, NDArray[Any]], *generators: np.random.Generator) -> Iterator[None]:
        """Notice what of ``given`` is changed, and whether a generator is drawn from, while the block runs."""
        before = {name: array.copy() for name, array in given.items()}
        states = [repr(rng.bit_generator.state) for rng in generators]
        yield
        self.touched.update(
            name for name, array in given.items() if not np.array_equal(array, before[name], equal_nan=_is_float(array))
        )
        self.drew = self.drew or states != [repr(rng.bit_generator.state) for rng in generators]


def _is_float(array: NDArray[Any]) -> bool:
    return array.dtype.kind == "f"


class Step(Protocol):
    """One question of a run."""

    @property
    def title(self) -> str:
        """Where in the run, for people."""

    def ask(self, strategy: Any, runner: Runner) -> Answer:
        """Ask. Raises `CheckFailed` where the answer is none that a run would act on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Deciding:
    """An interval begins: the planner asks the strategy, be it a selector or a mixer."""

    step: int

    @property
    def title(self) -> str:
        return f"step {self.step}"

    def ask(self, strategy: Any, runner: Runner) -> Answer:
        interval = runner.budget.schedule.interval_at(self.step)
        runner.selections.clear()
        try:
            plan = runner.planner.decide(interval, runner.progress(self.step), runner.signals(self.step))
        except StrategyFault as wrong:
            raise CheckFailed(_without_title(wrong.message, runner.chosen.title)) from wrong
        except DataError as wrong:
            if any(map(runner.pool.usable, range(len(runner.pool)))):
                raise CheckFailed(f"{self.title}: {wrong.message.removeprefix(runner.chosen.title).strip()}") from wrong
            return ()
        runner.scores.append((self.title, plan.scored or ()))
        if any(made.ordered for made in runner.selections) and not _in_order(plan, runner.selections):
            runner.disordered.add(self.title)
        if plan.loss_weights is not None:
            runner.asked.add(Need.LOSS_WEIGHTS)
        return _decided(plan, runner.chosen.record.spec.kind)


def _without_title(message: str, title: str) -> str:
    return message.removeprefix(f"{title}, ")


def _in_order(plan: Plan, selections: Sequence[Selection]) -> bool:
    """Whether each selection's samples are trained in its own order; one that is too short is repeated."""
    for made in selections:
        trained = plan.ids[np.isin(plan.ids, made.ids)]
        if not made.ordered or not np.array_equal(trained, np.resize(made.ids, len(trained))):
            return False
    return True


def _decided(plan: Plan, kind: Kind) -> Answer:
    notes = figures(plan.notes.get(kind.value, {}))
    if kind is Kind.MIXER:
        return (plan.proportions, *(() if plan.loss_weights is None else (plan.loss_weights,)), *notes)
    # The order of training is a shuffle of the run's own, unless the selector asks for one.
    return (plan.ids if plan.ordered else np.sort(plan.ids), *notes)


def figures(notes: Notes) -> Answer:
    """Notes as a part of an answer: their names and values; nothing where there are none."""
    told = sorted(notes.items())
    return (np.array([name for name, _ in told]), np.array([float(value) for _, value in told])) if told else ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observing:
    """A strategy that learns from training is shown a step, which trained ``samples``."""

    step: int
    samples: Ids

    @property
    def title(self) -> str:
        return f"the losses of step {self.step}"

    def ask(self, strategy: Strategy[Any], runner: Runner) -> Answer:
        if type(strategy).observe is Strategy.observe:
            return ()
        found = [fakes.token_losses(runner.pool.samples[i], self.step, None) for i in self.samples.tolist()]
        means = [losses.mean() if losses.size else np.nan for losses in found]
        facts = StepFacts(
            progress=runner.progress(self.step),
            domains=runner.pool.domains,
            ids=self.samples.copy(),
            losses=np.array(means, dtype=np.float32),
            tokens=np.array([losses.size for losses in found], dtype=np.int64),
            proportions=runner.proportions(),
            **runner.beside_reference(self.samples, self.step),
        )
        names = ("ids", "losses", "tokens", "proportions", "excess", "reference_losses")
        arrays = {name: getattr(facts, name) for name in names}
        given = {f"step.{name}": array for name, array in arrays.items() if array is not None}
        with runner.watching(given):
            strategy.observe(facts)
        return ()
