"""What a run asks of a strategy, one question at a time, on one rank: through the functions that a run asks through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dataflex_core.contracts import (
    DomainStats,
    Mixer,
    MixRequest,
    Progress,
    SelectionRequest,
    Selector,
    SetupContext,
    TokenLosses,
    WeighRequest,
    Weighter,
)
from dataflex_core.errors import StrategyFault
from dataflex_core.planning.answers import selections, what_is_wrong
from dataflex_core.planning.plan import normalised
from dataflex_core.planning.schedule import Schedule
from dataflex_core.rng import derive
from dataflex_core.spec import Need, StrategySpec
from dataflex_core.testing import fakes
from dataflex_core.testing.errors import CheckFailed
from dataflex_core.testing.fake_signals import FakeSignals
from dataflex_core.testing.pools import Pool
from dataflex_core.testing.ranks import Meeting

Ids = NDArray[np.int64]
Answer = tuple[NDArray[Any], ...]
"""A decision, as a run would act on it: ids, proportions or weights; nothing where a strategy only watches."""

SCHEDULE = Schedule(warmup_steps=2, update_steps=6, total_steps=20)
DECISIONS = (2, 8, 14)
"""The steps of `SCHEDULE` at which a run decides."""


@dataclass(slots=True, kw_only=True, eq=False)
class Runner:
    """A run of ``spec`` over a pool as one rank sees it, and what was noticed on the way."""

    spec: StrategySpec
    pool: Pool
    seed: int
    rank: int
    meeting: Meeting
    shares: list[NDArray[np.float64]]
    """The proportions of every interval so far."""
    asked: set[Need] = field(default_factory=set)
    drew: bool = False
    """Whether the strategy drew from a generator that it was given."""
    touched: set[str] = field(default_factory=set)
    """What the strategy was given, and changed."""
    attached: bool = False
    """Whether an answer would be differentiated."""

    def context(self) -> SetupContext:
        """What a strategy is told once."""
        return SetupContext(
            domains=self.pool.domains,
            targets=tuple(self.pool.targets),
            total_steps=SCHEDULE.total_steps,
            seed=self.seed,
        )

    def progress(self, step: int) -> Progress:
        """Where the run stands."""
        return Progress(
            step=step,
            total_steps=SCHEDULE.total_steps,
            decision=SCHEDULE.interval_at(step).decision,
            decisions=SCHEDULE.decisions,
            epoch=step / SCHEDULE.total_steps,
            learning_rate=1e-3 * (1 - step / SCHEDULE.total_steps),
            seed=self.seed,
        )

    def rng(self, step: int, *key: int) -> np.random.Generator:
        """As a run derives it."""
        return derive(self.seed, self.spec.kind.value, self.spec.name, step, *key)

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

    @contextmanager
    def watching(self, given: Mapping[str, NDArray[Any]], *generators: np.random.Generator) -> Iterator[None]:
        """Note which of the arrays are changed meanwhile, and whether a generator is drawn from."""
        before = {name: value.tobytes() for name, value in given.items()}
        states = [repr(rng.bit_generator.state) for rng in generators]
        yield
        self.touched.update(name for name, value in given.items() if value.tobytes() != before[name])
        self.drew = self.drew or states != [repr(rng.bit_generator.state) for rng in generators]


class Step(Protocol):
    """One question of a run."""

    @property
    def title(self) -> str:
        """Where in the run, for people."""

    def ask(self, strategy: Any, runner: Runner) -> Answer:
        """Ask. Raises `CheckFailed` where the answer is none that a run would act on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """A selector's decision: ``wanted[k]`` samples of each group of ids."""

    step: int
    groups: tuple[Ids, ...]
    wanted: tuple[int, ...]

    @property
    def title(self) -> str:
        return f"step {self.step}"

    def ask(self, strategy: Selector[Any], runner: Runner) -> Answer:
        groups, wanted = [ids.copy() for ids in self.groups], np.array(self.wanted)
        rngs = [runner.rng(self.step, k) for k in range(len(groups))]
        every = np.sort(np.concatenate([groups[k] for k in np.flatnonzero(wanted)]))
        request = SelectionRequest(
            progress=runner.progress(self.step),
            domains=runner.pool.domains,
            candidates=every,
            count=min(int(wanted.sum()), len(every)),
            rng=runner.rng(self.step),
            signals=runner.signals(self.step),
        )
        given = {"request.candidates": every, **{f"request.candidates of group {k}": g for k, g in enumerate(groups)}}
        answer = []
        with runner.watching(given, request.rng, *rngs):
            for _, part, made in selections(strategy, request, groups, wanted, rngs.__getitem__):
                if wrong := what_is_wrong(made, part):
                    raise CheckFailed(f"{self.title}: {wrong}")
                if len(made.ids) == 0 and any(map(runner.pool.usable, part.candidates.tolist())):
                    raise CheckFailed(f"{self.title}: found no usable sample among {len(part.candidates)} candidates")
                answer.append(np.array(made.ids, dtype=np.int64))
        return tuple(answer)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixing:
    """A mixer's decision."""

    step: int

    @property
    def title(self) -> str:
        return f"step {self.step}"

    def ask(self, strategy: Mixer[Any], runner: Runner) -> Answer:
        request = MixRequest(
            progress=runner.progress(self.step),
            domains=runner.pool.domains,
            previous=runner.shares[-1].copy(),
            history=np.stack(runner.shares),
            rng=runner.rng(self.step),
            signals=runner.signals(self.step),
        )
        with runner.watching({"request.previous": request.previous, "request.history": request.history}, request.rng):
            answer = strategy.mix(request)
        try:
            shares = normalised(answer, len(runner.pool.domains))
        except StrategyFault as wrong:
            raise CheckFailed(f"{self.title}: {wrong.message}") from wrong
        runner.shares.append(shares)
        return (shares,)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observing:
    """A mixer is shown the losses of a step, which drew ``samples``."""

    step: int
    samples: Ids

    @property
    def title(self) -> str:
        return f"the losses of step {self.step}"

    def ask(self, strategy: Mixer[Any], runner: Runner) -> Answer:
        if type(strategy).observe is Mixer.observe:
            return ()
        size = len(runner.pool.domains)
        sums, tokens, counts = np.zeros(size), np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
        ends = [domain.start + domain.size for domain in runner.pool.domains]
        for sample, k in zip(self.samples.tolist(), np.searchsorted(ends, self.samples, side="right"), strict=True):
            losses = fakes.token_losses(runner.pool.samples[sample], self.step, None)
            sums[k], tokens[k], counts[k] = sums[k] + losses.sum(), tokens[k] + losses.size, counts[k] + 1
        stats = DomainStats(progress=runner.progress(self.step), loss_sum=sums, tokens=tokens, samples=counts)
        with runner.watching({"stats.loss_sum": sums, "stats.tokens": tokens, "stats.samples": counts}):
            strategy.observe(stats)
        return ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Weighing:
    """A weighter's answer to a global micro-batch of ``samples``."""

    step: int
    micro: int
    samples: Ids

    @property
    def title(self) -> str:
        return f"step {self.step}, micro-batch {self.micro}"

    def ask(self, strategy: Weighter[Any], runner: Runner) -> Answer:
        import torch

        from dataflex_core.trainer.token_weights import token_weights

        found = [fakes.token_losses(runner.pool.samples[i], self.step, None) for i in self.samples.tolist()]
        width = max(1, *(len(losses) for losses in found))
        values, mask = torch.zeros(len(found), width), torch.zeros(len(found), width, dtype=torch.bool)
        for row, losses in enumerate(found):
            values[row, : len(losses)], mask[row, : len(losses)] = torch.from_numpy(losses), True
        shown = TokenLosses(values=values, mask=mask)
        request = WeighRequest(
            progress=runner.progress(self.step),
            domains=runner.pool.domains,
            ids=torch.from_numpy(self.samples.copy()),
            rng=runner.rng(self.step, self.micro),
        )
        given = {"losses.values": values.numpy(), "losses.mask": mask.numpy(), "request.ids": request.ids.numpy()}
        with runner.watching(given, request.rng), torch.no_grad():
            answer = strategy.weigh(request, shown)
        runner.attached = runner.attached or bool(getattr(answer, "requires_grad", False))
        try:
            return (token_weights(answer, shown).numpy(),)
        except ValueError as wrong:
            raise CheckFailed(f"{self.title}: {wrong}") from wrong
