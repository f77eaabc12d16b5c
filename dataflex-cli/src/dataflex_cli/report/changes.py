"""By which strategies a run decided, and where it went on otherwise than it began."""

from __future__ import annotations

from collections.abc import Sequence

from dataflex_cli.report.model import Change
from dataflex_cli.report.reading import Seen
from dataflex_core.journal import StrategyFact


def named(strategies: Sequence[StrategyFact]) -> tuple[str, ...]:
    """In words, in their order."""
    return tuple(f"{fact.kind} {fact.name}" for fact in strategies) or ("no strategy",)


def changes_of(seen: Seen) -> tuple[Change, ...]:
    """Where it went on with other strategies, parameters or plans; other data is told by ``since``."""
    return tuple(
        Change(
            step=event.step,
            strategies=None if event.strategies is None else named(event.strategies),
            told=event.changed,
        )
        for event in seen.resumes
        if event.changed
    )
