"""What was chosen, in numbers: shares, enrichment, overlap, coverage, repeats. Pure functions of what a run left."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dataflex_cli.report.model import Enrichment, Taken
from dataflex_cli.report.reading import Ids, Seen
from dataflex_core.journal import Decision, ShortageFact
from dataflex_core.journal.figures import enrichment, overlap, shares
from dataflex_core.planning.exhaustion import ACTIONS

_MOST = 60


def taken_of(seen: Seen) -> tuple[Taken, ...]:
    """Every decision, with how much of what it chose was new to the run, and how much of the pool was seen by then."""
    known = np.zeros(pool_size(seen), dtype=np.bool_)
    found = []
    for event in seen.decisions:
        trained = seen.chosen(event)
        ids = np.unique(trained)
        new = int((~known[ids]).sum())
        known[ids] = True
        found.append(
            Taken(
                decision=event.decision,
                step=event.step,
                until=event.until,
                judged=event.judged,
                chosen=dict(event.chosen),
                trained=len(trained),
                shares=shares(trained_on(trained, seen.start.domains)),
                wanted=None if event.proportions is None else dict(event.proportions),
                seconds=event.seconds,
                signal_seconds=event.signal_seconds,
                new=new,
                seen=int(known.sum()),
                notes={slot: dict(notes) for slot, notes in event.notes.items()},
                shortages=tuple(
                    f"{f'domain {short.domain}' if short.domain else 'the pool'} had {short.had} of {short.wanted} "
                    f"samples wanted: {short.action}"
                    for short in event.shortages
                    if not _is_instead(short)
                ),
                instead=tuple(dict.fromkeys(short.action for short in event.shortages if _is_instead(short))),
                learning_rate=event.learning_rate,
                exact=event.exact,
                correlation=event.correlation,
            )
        )
    return tuple(found)


def _is_instead(short: ShortageFact) -> bool:
    """Whether a selector had nothing to choose by, as it says itself, and not the pool too few samples."""
    return short.had == 0 and short.action not in ACTIONS


def pool_size(seen: Seen) -> int:
    """Samples of the pool."""
    return sum(seen.start.domains.values())


def by_decision(seen: Seen) -> list[Decision]:
    """The decisions that strategies were asked for: all but the warm-up."""
    return [event for event in seen.decisions if event.decision > 0]


def trained_on(ids: Ids, domains: Mapping[str, int]) -> dict[str, int]:
    """How many of ``ids``, which a run trained on, are of each domain."""
    owners = np.searchsorted(np.cumsum(list(domains.values())), ids, side="right")
    counts = np.bincount(owners[owners < len(domains)], minlength=len(domains))
    return dict(zip(domains, counts.tolist(), strict=True))


def after_warmup(seen: Seen, until: int) -> Ids:
    """What a run trained on after its warm-up up to a step; all of it where nobody decides which samples."""
    events = by_decision(seen)
    begin = events[0].step if events else until if seen.decisions else 0
    return seen.trace.between(begin, until)


def enriched(counts: Mapping[str, int], pool: Mapping[str, int]) -> tuple[Enrichment, ...]:
    """Each domain's share of what was chosen against that of the pool, the most enriched first."""
    there, taken, ratios = shares(pool), shares(counts), enrichment(counts, pool)
    if not taken:
        return ()
    found = [
        Enrichment(name=name, pool=there[name], chosen=taken.get(name, 0.0), ratio=ratio)
        for name, ratio in ratios.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.ratio))


def overlaps(seen: Seen) -> tuple[tuple[int, ...], tuple[tuple[float, ...], ...]]:
    """Decisions, and the Jaccard index of what each two chose; of very many, some evenly spread."""
    events = [event for event in by_decision(seen) if len(seen.chosen(event))]
    if len(events) > _MOST:
        events = [events[i] for i in np.unique(np.linspace(0, len(events) - 1, _MOST).round().astype(int))]
    sets = [np.unique(seen.chosen(event)) for event in events]
    matrix = [[1.0] * len(sets) for _ in sets]
    for i, one in enumerate(sets):
        for j in range(i):
            matrix[i][j] = matrix[j][i] = overlap(one, sets[j]) or 0.0
    return tuple(event.decision for event in events), tuple(tuple(row) for row in matrix)


def overlap_by_chance(one: int, other: int, pool: int) -> float:
    """The Jaccard index of two draws without replacement, of ``one`` and ``other`` samples, as it is expected."""
    common = one * other / pool
    return common / (one + other - common)


def repeats(ids: Ids) -> tuple[tuple[int, int], ...]:
    """How often samples were trained on, and how many so often."""
    if not len(ids):
        return ()
    _, times = np.unique(ids, return_counts=True)
    values, counts = np.unique(times, return_counts=True)
    return tuple(zip(values.tolist(), counts.tolist(), strict=True))
