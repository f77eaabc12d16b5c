"""Patterns that an order of samples can be arranged by (arXiv:2605.30334)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

from dataflex_core import StrategyFault

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]

Pattern = Literal["sort", "fold", "zigzag", "stair", "saw", "segment", "shuffle"]


def arranged(
    order: Ids,
    pattern: Pattern,
    *,
    cycles: int = 3,
    sections: int = 2,
    rho: float = 0.15,
    low: float = 0.2,
    high: float = 0.2,
    window: int = 0,
    rng: np.random.Generator | None = None,
) -> Ids:
    """The samples of an ``order`` x, Int64[N] by ascending score, arranged by a ``pattern``, each of them once.

    ::

        sort           x
        fold           x[0::cycles], x[1::cycles], …
        zigzag         as fold, every second cycle reversed
        stair, saw     x, but within round(rho N) of each of the borders round(N s / sections) between
                       sections the stretch is folded (stair) or zigzagged (saw)
        segment        the first round(low N) of x, the others shuffled, the last round(high N) of x
        shuffle        x, shuffled

    Then each block of ``window`` samples is shuffled. Halves are rounded to even, and a stretch ends where the next
    begins. ``rng`` is needed where something is shuffled: else `StrategyFault` is raised.
    """
    if pattern == "sort":
        made = order.copy()
    elif pattern in ("fold", "zigzag"):
        made = _folded(order, cycles, turning=pattern == "zigzag")
    elif pattern in ("stair", "saw"):
        made = _by_section(order, sections, rho, lambda part: _folded(part, cycles, turning=pattern == "saw"))
    elif pattern == "segment":
        made = _segmented(order, low, high, _needed(rng))
    else:
        made = _needed(rng).permutation(order)
    return made if window < 2 else _joined(_needed(rng).permutation(part) for part in _blocks(made, window))


def overlaps(sections: int, rho: float) -> bool:
    """Whether stretches of ``rho`` N around the borders of that many sections reach into each other."""
    return sections > 1 and 2 * rho * sections >= 1


def _folded(order: Ids, cycles: int, *, turning: bool) -> Ids:
    parts = (order[first::cycles] for first in range(min(cycles, max(1, len(order)))))
    return _joined(part[::-1] if turning and number % 2 else part for number, part in enumerate(parts))


def _by_section(order: Ids, sections: int, rho: float, fold: Callable[[Ids], Ids]) -> Ids:
    size, reach, done = len(order), round(rho * len(order)), 0
    parts = []
    for section in range(1, sections):
        border = round(size * section / sections)
        start = max(done, border - reach)
        stop = max(start, min(size, border + reach))
        parts += [order[done:start], fold(order[start:stop])]
        done = stop
    return _joined([*parts, order[done:]])


def _segmented(order: Ids, low: float, high: float, rng: np.random.Generator) -> Ids:
    first = round(low * len(order))
    last = max(first, len(order) - round(high * len(order)))
    return _joined([order[:first], rng.permutation(order[first:last]), order[last:]])


def _blocks(order: Ids, size: int) -> Iterable[Ids]:
    return (order[start : start + size] for start in range(0, len(order), size))


def _joined(parts: Iterable[Ids]) -> Ids:
    import numpy as np

    return np.concatenate([np.empty(0, dtype=np.int64), *parts])


def _needed(rng: np.random.Generator | None) -> np.random.Generator:
    if rng is None:
        raise StrategyFault("something is to be shuffled without random numbers", hint="give rng")
    return rng
