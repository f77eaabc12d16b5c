"""A measure, the bound it must reach, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

Run = Callable[[Any, int], "Finding"]
"""Takes a `benchmarks.bench.Bench` and how often to repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a value must reach."""

    value: float
    at_most: bool

    def holds(self, value: float) -> bool:
        """Whether ``value`` is within the bound; NaN never is."""
        return value <= self.value if self.at_most else value >= self.value

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.value:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of a ratio in absolute terms: a value per repeat."""

    label: str
    unit: str
    values: tuple[float, ...]

    @property
    def middle(self) -> float:
        """The median over repeats."""
        return median(self.values)

    def __str__(self) -> str:
        digits = ",.0f" if self.middle >= 100 else ".3g"
        return f"{self.label} {self.middle:{digits}} {self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A value with its sides; ``repeats`` holds the value of each repeat (or seed) alone."""

    value: float
    repeats: tuple[float, ...]
    sides: tuple[Side, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One thing that is promised."""

    name: str
    what: str
    bound: Bound
    run: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A measure that was run, and how long that took."""

    measure: Measure
    finding: Finding
    seconds: float = field(default=0.0)

    @property
    def verdict(self) -> str:
        """``ok`` or ``missed``."""
        return "ok" if self.measure.bound.holds(self.finding.value) else "missed"


def ratio(over: Side, under: Side, *, notes: Sequence[str] = ()) -> Finding:
    """The median of ``over`` ÷ ``under`` over repeats: each pair was taken one after the other, under the same load."""
    repeats = tuple(a / b for a, b in zip(over.values, under.values, strict=True))
    return Finding(value=median(repeats), repeats=repeats, sides=(over, under), notes=tuple(notes))
