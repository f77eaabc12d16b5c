"""What deciding cost, and what a run has done by a step, in training steps' worth of work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dataflex_cli.pages.figures import Curve
from dataflex_cli.report.curves import curve
from dataflex_cli.report.model import Cost
from dataflex_cli.report.reading import Point, Seen
from dataflex_core.journal.figures import break_even, cost_in_steps


def cost_of(seen: Seen) -> Cost:
    """What the decisions so far cost, as declared and as measured."""
    events = [event for event in seen.every if event.decision > 0]
    seconds = sum(event.seconds for event in seen.every)
    training = training_seconds(seen)
    steps = max(0, seen.step - events[0].step) if events else 0
    measured = None if training is None else cost_in_steps(seconds, training, seen.step)
    declared = (seen.start.decision_cost + seen.start.mixing_cost) * len(events)
    judging = any(event.judged for event in events) or any(event.signal_seconds for event in events)
    paid = (declared if measured is None else measured) if judging else 0.0
    return Cost(
        declared=declared,
        measured=measured,
        chosen_steps=steps,
        deciding_seconds=seconds,
        signal_seconds=sum(event.signal_seconds for event in seen.every),
        training_seconds=training,
        break_even=break_even(paid, steps) if events else None,
    )


def training_seconds(seen: Seen) -> float | None:
    """What the steps alone took; None where nobody timed them."""
    if told := [event for event in seen.logged if event.seconds]:
        return sum(event.seconds - event.deciding for event in told) or None
    if seen.seconds is None:
        return None
    left = seen.seconds - sum(event.seconds for event in seen.every)
    return left if left > 0 else None


def work_at(seen: Seen, steps: Sequence[float], batch: int) -> list[float]:
    """The work done by the end of each step, decisions and all, in training steps of ``batch`` samples, unweighted."""
    training = training_seconds(seen)
    own = 1 + seen.start.step_cost
    each = None if training is None or not seen.step else training / seen.step / own
    at = np.array([event.step for event in seen.every], dtype=np.float64)
    costs = [
        (seen.start.decision_cost + seen.start.mixing_cost) * (event.decision > 0)
        if each is None
        else event.seconds / each
        for event in seen.every
    ]
    total = np.concatenate([[0.0], np.cumsum(costs)])
    scale = seen.start.global_batch / batch
    return [(step * own + float(total[np.searchsorted(at, step, side="left")])) * scale for step in steps]


def over_work(seen: Seen, points: Sequence[Point], name: str, batch: int) -> Curve:
    """A curve over work, as `work_at` has it, in place of steps."""
    steps, values = [p[0] for p in points], [p[1] for p in points]
    return curve(name, list(zip(work_at(seen, steps, batch), values, strict=True)))


def value_at(curve: Curve, work: float) -> float:
    """A curve's value between its points."""
    known = [(x, y) for x, y in zip(curve.steps, curve.values, strict=True) if y is not None]
    return float(np.interp(work, [x for x, _ in known], [y for _, y in known]))
