"""When a run decides: warm-up, then an interval of steps after each decision. Arithmetic only."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from dataflex_core.errors import InvalidConfig
from dataflex_core.explaining import left_of, reckoned
from dataflex_core.finite import MOST


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Optimizer steps ``start`` (included) to ``stop`` (not included) that share one plan.

    ``decision`` is 0 for the warm-up, and k for the interval after the k-th decision.
    """

    decision: int
    start: int
    stop: int

    @property
    def steps(self) -> int:
        """How many optimizer steps it spans."""
        return self.stop - self.start

    @property
    def is_warmup(self) -> bool:
        """Whether no decision has been taken yet."""
        return self.decision == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """``warmup_steps`` steps without a decision, then one every ``update_steps`` until ``total_steps``."""

    warmup_steps: int
    update_steps: int
    total_steps: int

    def __post_init__(self) -> None:
        if self.warmup_steps >= self.total_steps:
            raise InvalidConfig(
                f"the run has {self.total_steps} steps and warmup_steps is {self.warmup_steps}: "
                "no step is left for a decision",
                hint="lower dataflex.warmup_steps, or train for longer",
                key=("dataflex", "warmup_steps"),
            )

    @property
    def decisions(self) -> int:
        """How many decisions the run takes."""
        return -(-(self.total_steps - self.warmup_steps) // self.update_steps)

    @property
    def longest(self) -> int:
        """Optimizer steps of the longest interval that a decision is taken for."""
        return min(self.update_steps, self.total_steps - self.warmup_steps)

    def interval_at(self, step: int) -> Interval:
        """The interval that optimizer step ``step`` (from 0) belongs to."""
        if step < self.warmup_steps:
            return Interval(decision=0, start=0, stop=self.warmup_steps)
        index = (step - self.warmup_steps) // self.update_steps
        start = self.warmup_steps + index * self.update_steps
        return Interval(decision=index + 1, start=start, stop=min(start + self.update_steps, self.total_steps))

    def intervals(self) -> Iterator[Interval]:
        """Every interval of the run, in order."""
        step = 0
        while step < self.total_steps:
            interval = self.interval_at(step)
            yield interval
            step = interval.stop


def total_steps(
    *, warmup_steps: int, update_steps: int, updates: int | None, max_steps: int, epochs: float, steps_per_epoch: int
) -> int:
    """How many optimizer steps a run has: ``updates`` decides, then ``max_steps`` (> 0), then ``epochs``.

    Raises `InvalidConfig` where they are more than a run can count.
    """
    if updates is not None:
        steps = warmup_steps + updates * update_steps
    elif max_steps > 0:
        steps = max_steps
    else:
        steps = max(1, math.ceil(min(epochs * steps_per_epoch, 2 * MOST)))
    if steps > MOST:
        by = "dataflex.updates or dataflex.update_steps" if updates is not None else "the number of steps or epochs"
        raise InvalidConfig(f"the run has more than {MOST:.0e} steps", hint=f"lower {by}")
    return steps


def affordable(*, budget: float, chosen: int, cost: float, fixed: float, explained: int = 0) -> float:
    """How many samples a selection budget pays for judging; negative where it does not even pay for what is fixed.

    ``budget`` is the share of the interval's training cost that a decision may take; ``chosen`` the samples it
    chooses; ``cost`` the declared cost of judging one candidate and ``fixed`` that of the target set, both in plain
    training steps of one sample. It pays for having ``explained`` so many samples, too.
    """
    return (left_of(budget * chosen, explained) - fixed) / cost if cost else math.inf


def candidates_for_budget(
    *, budget: float, chosen: int, cost: float, fixed: float, explained: int = 0, least: int | None = None
) -> float:
    """The candidate multiple K that a selection budget pays for, all of them being scored: see `affordable`.

    Raises `InvalidConfig` when not even one candidate per chosen sample is paid for. ``least`` samples would do where
    the others' scores can be predicted, if they are fewer: that is for the hint.
    """
    multiple = affordable(budget=budget, chosen=chosen, cost=cost, fixed=fixed, explained=explained) / chosen
    if multiple < 1.0:
        needed = cost * (chosen if least is None else min(least, chosen)) + fixed
        needed = math.ceil((needed + reckoned(needed, explained)) / chosen * 100) / 100
        raise InvalidConfig(
            f"selection_budget {budget:g} does not pay for judging as many samples as an interval trains on",
            hint=f"give at least {needed:.2f}, or set candidates instead",
        )
    return multiple
