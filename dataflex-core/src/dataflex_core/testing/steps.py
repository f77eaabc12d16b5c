"""What a run asks of a strategy, one question at a time, on one rank: decisions through the very planner of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dataflex_core.contracts import Strategy, Weighter
from dataflex_core.errors import DataError, StrategyFault
from dataflex_core.planning.budget import Budget
from dataflex_core.planning.plan import Plan
from dataflex_core.planning.planner import Planner
from dataflex_core.prepared import Chosen, Slot
from dataflex_core.requests import IntervalRequest, Progress, StepFacts, TokenLosses, WeighRequest, Weights
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
            asked=self.asked,
        )

    def proportions(self) -> NDArray[np.float64]:
        """Those in force."""
        if self.planner.plan is not None:
            return self.planner.plan.proportions.copy()
        sizes = np.array([domain.size for domain in self.pool.domains], dtype=np.float64)
        shares: NDArray[np.float64] = sizes / sizes.sum()
        return shares

    def excess(self, sample: int, step: int) -> float | None:
        """By how much a sample's token losses exceed the reference model's, summed; None without one."""
        if Need.REFERENCE_LOSSES not in self.chosen.record.spec.needs:
            return None
        row = self.pool.samples[sample]
        ours, theirs = fakes.token_losses(row, step, None), fakes.token_losses(row, step, self.reference)
        return float(np.maximum(ours - theirs, 0).sum())

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
        try:
            plan = runner.planner.decide(interval, runner.progress(self.step), runner.signals(self.step))
        except StrategyFault as wrong:
            raise CheckFailed(_without_title(wrong.message, runner.chosen.title)) from wrong
        except DataError as wrong:
            if any(map(runner.pool.usable, range(len(runner.pool)))):
                raise CheckFailed(f"{self.title}: {wrong.message.removeprefix(runner.chosen.title).strip()}") from wrong
            return ()
        return _decided(plan, runner.chosen.record.spec.kind)


def _without_title(message: str, title: str) -> str:
    return message.removeprefix(f"{title}, ")


def _decided(plan: Plan, kind: Kind) -> Answer:
    notes = np.array([value for figures in plan.notes.values() for _, value in sorted(figures.items())])
    if kind is Kind.MIXER:
        weights = np.zeros(0) if plan.loss_weights is None else plan.loss_weights
        return (plan.proportions, weights, notes)
    # The order of training is a shuffle of the run's own, unless the selector asks for one.
    return (plan.ids if plan.ordered else np.sort(plan.ids), notes)


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
        excess = [runner.excess(i, self.step) for i in self.samples.tolist()]
        facts = StepFacts(
            progress=runner.progress(self.step),
            domains=runner.pool.domains,
            ids=self.samples.copy(),
            losses=np.array(means, dtype=np.float32),
            tokens=np.array([losses.size for losses in found], dtype=np.int64),
            proportions=runner.proportions(),
            excess=None if None in excess or not excess else np.array(excess, dtype=np.float32),
        )
        given = {f"step.{name}": getattr(facts, name) for name in ("ids", "losses", "tokens", "proportions")}
        with runner.watching(given):
            strategy.observe(facts)
        return ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Preparing:
    """A weighter is told that an interval begins, which trains ``samples``."""

    step: int
    samples: Ids

    @property
    def title(self) -> str:
        return f"the interval of step {self.step}"

    def ask(self, strategy: Weighter[Any], runner: Runner) -> Answer:
        request = IntervalRequest(
            progress=runner.progress(self.step),
            domains=runner.pool.domains,
            ids=self.samples.copy(),
            steps=runner.budget.schedule.interval_at(self.step).steps,
            global_batch=runner.budget.global_batch,
            rng=runner.rng(self.step, "interval"),
            signals=runner.signals(self.step),
        )
        assert request.ids is not None
        with runner.watching({"request.ids": request.ids}, request.rng):
            strategy.prepare(request)
        return ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weighing:
    """A weighter's answer to the window of an optimizer step, or to a ``part`` of it that is one micro-batch."""

    step: int
    samples: Ids
    part: int | None = None

    @property
    def title(self) -> str:
        return f"step {self.step}" if self.part is None else f"step {self.step}, micro-batch {self.part}"

    def ask(self, strategy: Weighter[Any], runner: Runner) -> Answer:
        import torch

        from dataflex_core.trainer.token_weights import checked, token_weights

        losses, targets = self._losses(runner, None), self._targets(runner)
        needs, key = runner.chosen.record.spec.needs, () if self.part is None else (self.part,)
        referenced = Need.REFERENCE_LOSSES in needs
        request = WeighRequest(
            progress=runner.progress(self.step),
            domains=runner.pool.domains,
            ids=torch.from_numpy(self.samples.copy()),
            rng=runner.rng(self.step, *key),
            targets=targets if Need.TARGET_TOKENS in needs else None,
            reference=self._losses(runner, runner.reference) if referenced else None,
        )
        given = {
            "losses.values": losses.values.numpy(),
            "losses.mask": losses.mask.numpy(),
            "request.ids": request.ids.numpy(),
            "request.targets": targets.numpy(),
        }
        if request.reference is not None:
            given["request.reference.values"] = request.reference.values.numpy()
        with runner.watching(given, request.rng), torch.no_grad():
            answer = strategy.weigh(request, losses)
        values = answer.values if isinstance(answer, Weights) else answer
        runner.attached = runner.attached or bool(getattr(values, "requires_grad", False))
        try:
            compares = runner.chosen.record.spec.compares
            weights, notes = checked(answer, losses)
            kept = token_weights(answer, losses) if compares else weights
        except ValueError as wrong:
            raise CheckFailed(f"{self.title}: {wrong}") from wrong
        return (kept.numpy(), np.array([value for _, value in sorted(notes.items())]))

    def _losses(self, runner: Runner, model: str | None) -> TokenLosses:
        import torch

        found = [fakes.token_losses(runner.pool.samples[i], self.step, model) for i in self.samples.tolist()]
        width = max(1, *(len(losses) for losses in found))
        values, mask = torch.zeros(len(found), width), torch.zeros(len(found), width, dtype=torch.bool)
        for row, losses in enumerate(found):
            values[row, : len(losses)], mask[row, : len(losses)] = torch.from_numpy(losses), True
        return TokenLosses(values=values, mask=mask)

    def _targets(self, runner: Runner) -> Any:
        import torch

        answers = [runner.pool.samples[i].answer for i in self.samples.tolist()]
        targets = torch.full((len(answers), max(1, *map(len, answers))), fakes.IGNORE)
        for row, answer in enumerate(answers):
            targets[row, : len(answer)] = torch.tensor(answer, dtype=torch.int64)
        return targets
