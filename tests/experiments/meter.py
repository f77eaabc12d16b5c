"""Held-out loss as a run goes, against what the run has cost so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The state of a run after ``steps``.

    ``passes`` is what it has cost in training steps, by count: the steps, and what decisions say they cost.
    ``training`` and ``deciding`` are seconds of this process's processors, without those of the evaluations.
    """

    steps: int
    passes: float
    training: float
    deciding: float
    loss: float


@dataclass(slots=True, kw_only=True)
class Spent:
    """What a run has cost so far."""

    steps: int = 0
    decisions: float = 0.0  # in training steps
    training: float = 0.0
    deciding: float = 0.0

    @property
    def passes(self) -> float:
        """In training steps."""
        return self.steps + self.decisions


def is_due(spent: float, upcoming: float, budgets: Sequence[float]) -> bool:
    """Whether one of ``budgets`` is enough for what was spent, and not for ``upcoming``, with the next step."""
    return any(spent <= budget < upcoming for budget in budgets)


@dataclass(slots=True, kw_only=True)
class Meter:
    """Evaluates by ``evaluate(model)`` at the last step that each of ``budgets``, in training steps, is enough for.

    ``decided()`` is what decisions have cost so far, ``ahead(step)`` what is to be expected of one before the step
    after ``step``: both in training steps. Where one costs more, and a budget ends in it, the model is evaluated
    before the next step: as it was after the last. Ends the run after the last budget.
    """

    budgets: Sequence[float]
    evaluate: Callable[[Any], float]
    decided: Callable[[], float]
    ahead: Callable[[int], float]
    spent: Spent = field(default_factory=Spent)
    points: list[Point] = field(default_factory=list)
    _since: float = 0.0

    def begin(self) -> None:
        """As training begins."""
        self._since = time.process_time()

    def decided_and_loaded(self, model: Any) -> None:
        """Before a step: what is due between two steps is done."""
        lap, decisions = self._lap(), self.decided()
        if self.spent.steps and decisions > self.spent.decisions:
            self._evaluate_if_due(self.spent.steps + decisions + 1, model)
        self.spent.deciding += lap

    def stepped(self, step: int, model: Any) -> bool:
        """After optimizer step ``step``, from 1; returns whether no budget is enough for another one."""
        spent = self.spent
        spent.training += self._lap()
        spent.steps, spent.decisions = step, self.decided()
        upcoming = spent.passes + 1 + self.ahead(step)
        self._evaluate_if_due(upcoming, model)
        return upcoming > max(self.budgets)

    def _evaluate_if_due(self, upcoming: float, model: Any) -> None:
        """Of what was spent so far, before ``upcoming``; once a step."""
        spent = self.spent
        known = bool(self.points) and self.points[-1].steps == spent.steps
        if known or not is_due(spent.passes, upcoming, self.budgets):
            return
        point = Point(
            steps=spent.steps,
            passes=spent.passes,
            training=spent.training,
            deciding=spent.deciding,
            loss=self.evaluate(model),
        )
        self.points.append(point)
        self._lap()

    def _lap(self) -> float:
        now = time.process_time()
        lap, self._since = now - self._since, now
        return lap


def as_callback(meter: Meter) -> Any:
    """For transformers' trainer."""
    from transformers import TrainerCallback

    class Metering(TrainerCallback):  # type: ignore[misc]  # transformers' callbacks are untyped
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            meter.begin()

        def on_step_begin(self, *args: Any, model: Any, **kwargs: Any) -> None:
            meter.decided_and_loaded(model)

        def on_step_end(self, _args: Any, state: Any, control: Any, *, model: Any, **kwargs: Any) -> None:
            control.should_training_stop |= meter.stepped(state.global_step, model)

    return Metering()
