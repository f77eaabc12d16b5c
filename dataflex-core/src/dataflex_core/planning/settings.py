"""A few ways to set up a run's decisions, to be compared by what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from dataflex_core.prepared import SELECTOR, PreparedRun

CANDIDATES: tuple[float | str, ...] = (2.0, 4.0, "all")
EXACT = (0.1, 0.25, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """``name`` in words; ``prepared`` is the run with it, None without a decision: samples at random."""

    name: str
    prepared: PreparedRun | None


def settings_of(prepared: PreparedRun) -> Iterator[Setting]:
    """As configured; candidates as multiples of what is chosen, all scored; scores predicted; samples at random.

    Scores are predicted where the selector's can be. The selector and all else are the run's.
    """
    yield Setting(name="as configured", prepared=prepared)
    for candidates in CANDIDATES:
        told = candidates if isinstance(candidates, str) else f"{candidates:g}"
        yield Setting(name=f"candidates {told}", prepared=_with(prepared, candidates=candidates, exact="all"))
    selector = prepared.strategies[SELECTOR]
    if selector.scores and selector.record.spec.predictable:
        for exact in EXACT:
            yield Setting(name=f"exact {exact:g}", prepared=_with(prepared, candidates="all", exact=exact))
    yield Setting(name="random", prepared=None)


def _with(prepared: PreparedRun, **section: Any) -> PreparedRun:
    changed = replace(prepared.config.dataflex, selection_budget=None, **section)
    return replace(prepared, config=replace(prepared.config, dataflex=changed))
