"""Short runs, as the questions that they ask of a strategy of each kind over some pool."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dataflex_core.planning.budget import Budget
from dataflex_core.planning.probe import SMALLEST, Probing
from dataflex_core.planning.schedule import Schedule
from dataflex_core.rng import derive
from dataflex_core.spec import Kind, StrategySpec
from dataflex_core.testing.pools import EVERYDAY, ONE_DOMAIN, Pool
from dataflex_core.testing.steps import Deciding, Observing, Step
from dataflex_core.testing.weighing import Preparing, Weighing

_BATCH = 6
SCHEDULE = Schedule(warmup_steps=2, update_steps=6, total_steps=20)
DECISIONS = (2, 8, 14)
"""The steps of `SCHEDULE` at which a run decides."""
Shares = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenario:
    """A run over a pool: ``global_batch`` samples a step, of which a selector judges ``judged`` (None: all).

    ``shares`` are those of the mixer beside a selector, one for each decision in turn; none: there is no mixer.
    ``probing`` is how scores are predicted; None: they are not.
    """

    name: str
    pool: Pool
    steps: tuple[Step, ...]
    schedule: Schedule = SCHEDULE
    global_batch: int = _BATCH
    judged: int | None = None
    shares: Shares = ()
    probing: Probing | None = None

    @property
    def budget(self) -> Budget:
        """As a run would work it out."""
        return Budget(
            schedule=self.schedule,
            domains=self.pool.domains,
            targets=tuple((name, len(samples)) for name, samples in self.pool.targets.items()),
            global_batch=self.global_batch,
            judged=len(self.pool) if self.judged is None else self.judged,
            decision_cost=0.0,
        )


def everyday(kind: Kind) -> tuple[Scenario, ...]:
    """Runs that nothing is special about: over three domains, and over one."""
    return (*scenarios_over(EVERYDAY, kind), *scenarios_over(ONE_DOMAIN, kind))


def everyday_and_fresh(spec: StrategySpec) -> tuple[Scenario, ...]:
    """The same, and for a selector that does with fewer, runs whose decisions judge the next unread samples only."""
    judges_fewer = spec.kind is Kind.SELECTOR and not spec.whole_pool
    return (*everyday(spec.kind), *(fresh(EVERYDAY) if judges_fewer else ()))


def scenarios_over(pool: Pool, kind: Kind) -> tuple[Scenario, ...]:
    """Runs of three decisions over a pool; of a selector without a mixer, and with one."""
    if kind is Kind.MIXER:
        return (Scenario(name=pool.name, pool=pool, steps=tuple(_mixed(pool))),)
    if kind is Kind.WEIGHTER:
        return (Scenario(name=pool.name, pool=pool, steps=tuple(_weighed(pool))),)
    batch = max(1, len(pool) // (2 * SCHEDULE.update_steps))
    steps = tuple(_chosen(pool))
    whole = Scenario(name=pool.name, pool=pool, steps=steps, global_batch=batch)
    mixed = Scenario(
        name=f"{pool.name}, with a mixer", pool=pool, steps=steps, global_batch=batch, shares=_some_shares(pool)
    )
    return (whole, mixed)


def fresh(pool: Pool) -> tuple[Scenario, ...]:
    """A selector's runs whose decisions judge twice as many unread samples as they choose, without and with a mixer."""
    batch = max(1, len(pool) // (4 * SCHEDULE.update_steps))
    steps, judged = tuple(_chosen(pool)), 2 * batch * SCHEDULE.update_steps
    return tuple(
        Scenario(
            name=f"{pool.name}, fresh candidates{', with a mixer' * bool(shares)}",
            pool=pool,
            steps=steps,
            global_batch=batch,
            judged=judged,
            shares=shares,
        )
        for shares in ((), _some_shares(pool))
    )


def predicted(pool: Pool) -> tuple[Scenario, ...]:
    """A scoring selector's runs, without and with a mixer, that predict what a probe does not score.

    A probe has `SMALLEST` samples, so that the pool must have more.
    """
    assert len(pool) > SMALLEST, "something is predicted"
    return tuple(
        replace(whole, name=f"{whole.name}, some scores predicted", probing=Probing(ratio=0.1, floor=0.0, paid=True))
        for whole in scenarios_over(pool, Kind.SELECTOR)
    )


def budgets(pool: Pool) -> tuple[Scenario, ...]:
    """Selections of one sample, of all and of more than there are; of three domains also of none in one of them."""
    whole = [(count, ()) for count in (1, len(pool), len(pool) + 5)]
    sizes = [domain.size for domain in pool.domains]
    uneven = [(0, 1, sizes[-1] + 5), (sizes[0] + 5, 0, 1), (*sizes[:-1], 0)] if len(sizes) == 3 else []
    return tuple(
        Scenario(
            name=f"{count} of {len(pool)} samples",
            pool=pool,
            steps=(Deciding(step=1),),
            schedule=Schedule(warmup_steps=1, update_steps=1, total_steps=2),
            global_batch=count,
            shares=(tuple(map(float, wanted)),) if wanted else (),
        )
        for count, wanted in [*whole, *((sum(wanted), wanted) for wanted in uneven)]
    )


def without_a_domain(pool: Pool) -> Scenario:
    """A mixer's run in which no step draws the last domain, and some steps draw a single one."""
    steps: list[Step] = []
    for step in range(1, DECISIONS[-1] + 1):
        drawn = [pool.domains[0]] if step % 3 == 0 else pool.domains[:-1]
        steps.append(Observing(step=step, samples=np.array([d.start + step % d.size for d in drawn])))
        if step in DECISIONS:
            steps.append(Deciding(step=step))
    return Scenario(name=f"{pool.name}, one of them never drawn", pool=pool, steps=tuple(steps))


def in_parts(pool: Pool) -> tuple[Scenario, Scenario]:
    """The windows of a weighter's run whole, and the same windows in micro-batches of one and two samples."""
    whole: list[Step] = [Preparing(step=DECISIONS[0], samples=_batch(pool, DECISIONS[0], 36))]
    split = list(whole)
    for step in range(DECISIONS[0], DECISIONS[0] + 3):
        samples = _batch(pool, step)
        whole.append(Weighing(step=step, samples=samples))
        cuts = [part for part in np.split(samples, [1, 3]) if len(part)]
        split.extend(Weighing(step=step, samples=part, part=index) for index, part in enumerate(cuts))
    first = Scenario(name=pool.name, pool=pool, steps=tuple(whole))
    return first, Scenario(name=f"{pool.name}, in micro-batches", pool=pool, steps=tuple(split))


def _chosen(pool: Pool) -> Iterable[Step]:
    """Three decisions, and the losses of every step."""
    for step in range(1, DECISIONS[-1] + 2):
        if step in DECISIONS:
            yield Deciding(step=step)
        yield Observing(step=step, samples=_batch(pool, step))


def _some_shares(pool: Pool) -> Shares:
    """Other proportions at each decision, of domains that have samples."""
    sizes = np.array([domain.size for domain in pool.domains])
    return tuple(
        tuple(np.where(sizes > 0, 1.0 + (np.arange(len(sizes)) + index) % 3, 0.0).tolist())
        for index in range(len(DECISIONS))
    )


def _mixed(pool: Pool) -> Iterable[Step]:
    """Losses of every step, and a decision now and then."""
    for step in range(1, DECISIONS[-1] + 3):
        yield Observing(step=step, samples=_batch(pool, step))
        if step in DECISIONS:
            yield Deciding(step=step)


def _weighed(pool: Pool) -> Iterable[Step]:
    """Steps of two intervals, and at last one of two samples."""
    for decision in DECISIONS[:2]:
        yield Preparing(step=decision, samples=_batch(pool, decision, 36))
        for step in range(decision, decision + 3):
            yield Weighing(step=step, samples=_batch(pool, step))
            yield Observing(step=step, samples=_batch(pool, step))
    yield Weighing(step=DECISIONS[1] + 3, samples=_batch(pool, DECISIONS[1] + 3)[:2])


def _batch(pool: Pool, step: int, size: int = _BATCH) -> NDArray[np.int64]:
    return derive("batch", pool.name, step).choice(len(pool), size=min(size, len(pool)), replace=False)
