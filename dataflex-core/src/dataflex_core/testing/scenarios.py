"""Short runs, as the questions that they ask of a strategy of each kind over some pool."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dataflex_core.planning.plan import quotas
from dataflex_core.rng import derive
from dataflex_core.spec import Kind
from dataflex_core.testing.pools import EVERYDAY, ONE_DOMAIN, Pool
from dataflex_core.testing.steps import DECISIONS, Choice, Mixing, Observing, Step, Weighing

_BATCH = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scenario:
    """A run over a pool."""

    name: str
    pool: Pool
    steps: tuple[Step, ...]


def everyday(kind: Kind) -> tuple[Scenario, ...]:
    """Runs that nothing is special about: over three domains, and over one."""
    return (*scenarios_over(EVERYDAY, kind), *scenarios_over(ONE_DOMAIN, kind))


def scenarios_over(pool: Pool, kind: Kind) -> tuple[Scenario, ...]:
    """Runs of three decisions over a pool; of a selector without a mixer, and with one."""
    if kind is Kind.MIXER:
        return (Scenario(name=pool.name, pool=pool, steps=tuple(_mixed(pool))),)
    if kind is Kind.WEIGHTER:
        return (Scenario(name=pool.name, pool=pool, steps=tuple(_weighed(pool))),)
    whole = Scenario(name=pool.name, pool=pool, steps=tuple(_chosen(pool)))
    return (whole, Scenario(name=f"{pool.name}, with a mixer", pool=pool, steps=tuple(_chosen_by_domain(pool))))


def budgets(pool: Pool) -> tuple[Scenario, ...]:
    """Selections of one sample, of all and of more than there are; of three domains also of none in one of them."""
    every = np.arange(len(pool))
    whole = [Choice(step=DECISIONS[0], groups=(every,), wanted=(n,)) for n in (1, len(pool), len(pool) + 5)]
    groups = tuple(np.arange(d.start, d.start + d.size) for d in pool.domains)
    sizes = [len(group) for group in groups]
    uneven = [(0, 1, sizes[-1] + 5), (sizes[0] + 5, 0, 1), (*sizes[:-1], 0)] if len(sizes) == 3 else []
    split = [Choice(step=DECISIONS[0], groups=groups, wanted=wanted) for wanted in uneven]
    return tuple(
        Scenario(name=f"{sum(step.wanted)} of {len(pool)} samples", pool=pool, steps=(step,))
        for step in [*whole, *split]
    )


def without_a_domain(pool: Pool) -> Scenario:
    """A mixer's run in which no step draws the last domain, and some steps draw a single one."""
    steps: list[Step] = []
    for step in range(1, DECISIONS[-1] + 1):
        drawn = [pool.domains[0]] if step % 3 == 0 else pool.domains[:-1]
        steps.append(Observing(step=step, samples=np.array([d.start + step % d.size for d in drawn])))
        if step in DECISIONS:
            steps.append(Mixing(step=step))
    return Scenario(name=f"{pool.name}, one of them never drawn", pool=pool, steps=tuple(steps))


def _chosen(pool: Pool) -> Iterable[Step]:
    """All samples, some of them, all of them again."""
    every = np.arange(len(pool))
    for step, candidates in zip(DECISIONS, (every, every[::2], every), strict=True):
        yield Choice(step=step, groups=(candidates,), wanted=(-(-len(candidates) // 3),))


def _chosen_by_domain(pool: Pool) -> Iterable[Step]:
    sizes = np.array([d.size for d in pool.domains])
    groups = tuple(np.arange(d.start, d.start + d.size) for d in pool.domains)
    for index, step in enumerate(DECISIONS):
        shares = 1.0 + (np.arange(len(sizes)) + index) % 3
        wanted = quotas(shares, -(-len(pool) // 2), sizes)
        yield Choice(step=step, groups=groups, wanted=tuple(wanted.tolist()))


def _mixed(pool: Pool) -> Iterable[Step]:
    """Losses of every step, and a decision now and then."""
    for step in range(1, DECISIONS[-1] + 3):
        yield Observing(step=step, samples=_batch(pool, step))
        if step in DECISIONS:
            yield Mixing(step=step)


def _weighed(pool: Pool) -> Iterable[Step]:
    """Two micro-batches a step, and at last one of a single sample."""
    for step in range(DECISIONS[0], DECISIONS[0] + 3):
        for micro in range(2):
            yield Weighing(step=step, micro=micro, samples=_batch(pool, step, micro))
    yield Weighing(step=DECISIONS[1], micro=0, samples=_batch(pool, DECISIONS[1])[:1])


def _batch(pool: Pool, *key: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return derive("batch", pool.name, *key).choice(len(pool), size=min(_BATCH, len(pool)), replace=False)
