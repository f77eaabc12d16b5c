"""What becomes of the rows of the data, in words: left out, cut, packed, and trained on more than once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dataflex_core.journal.events import Start
from dataflex_core.journal.facts import RowsFact

_LEFT_OUT = "correct them, or take them out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One line; ``hint`` is what could be done about it, ``key`` that of the configuration which could change it."""

    text: str
    hint: str
    key: str


def of_pool(start: Start) -> Iterator[Remark]:
    """Of the domains."""
    yield from _lost(start.dropped, start.cut, start.rows, "dataset")
    yield from _packed(start.rows, start.domains)


def of_targets(start: Start) -> Iterator[Remark]:
    """Of the target sets."""
    yield from _lost(start.target_dropped, start.target_cut, start.target_rows, "eval_dataset")
    yield from _packed(start.target_rows, start.targets)


def repeated(start: Start) -> Iterator[Remark]:
    """Where a run is longer than one pass over a pool that strategies plan from."""
    trained, pool = start.steps * start.global_batch, sum(start.domains.values())
    if trained > pool and any(strategy.kind != "weighter" for strategy in start.strategies):
        text = f"the run trains on {trained} samples, {trained / pool:.1f} times the pool: samples come again"
        yield Remark(text=text, hint="train for fewer steps, or add data", key="dataset")


def _lost(
    dropped: Mapping[str, RowsFact], cut: Mapping[str, RowsFact], rows: Mapping[str, int], key: str
) -> Iterator[Remark]:
    for name, fact in dropped.items():
        share = _share(fact.count, rows.get(name, 0) + fact.count if rows else 0)
        yield Remark(text=f"{_of(fact, name, share)} left out, {_first(fact)}", hint=_LEFT_OUT, key=key)
    for name, fact in cut.items():
        share = _share(fact.count, rows.get(name, 0))
        yield Remark(text=f"{_of(fact, name, share)} cut, {_first(fact)}", hint="raise cutoff_len", key="cutoff_len")


def _packed(rows: Mapping[str, int], samples: Mapping[str, int]) -> Iterator[Remark]:
    for name, count in rows.items():
        size = samples.get(name, count)
        if size != count:
            text = f"the {_counted(count, 'row')} of {name} are packed into {_counted(size, 'sample')}"
            yield Remark(text=text, hint="set packing: false to keep rows apart", key="packing")


def _share(count: int, of: int) -> str:
    if not of:
        return ""
    share = f"{count / of:.0%}"
    return f" ({'under 1%' if share == '0%' else share})"


def _of(fact: RowsFact, domain: str, share: str) -> str:
    return f"{_counted(fact.count, 'row')}{share} of {domain} {'is' if fact.count == 1 else 'are'}"


def _first(fact: RowsFact) -> str:
    return f"the first is row {fact.row} of {fact.file}: {fact.reason}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
