"""What deciding cost, and what a run has done by a step, in training steps' worth of work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dataflex_cli.pages.figures import Curve
from dataflex_cli.report.curves import curve
from dataflex_cli.report.model import Cost
from dataflex_cli.report.reading import Point, Seen
from dataflex_core.journal.figures import break_even


def cost_of(seen: Seen) -> Cost:
    """What the decisions so far cost, as declared and as measured, beside all the work that was done."""
    events = [event for event in seen.every if event.decision > 0]
    each = step_seconds(seen)
    seconds = sum(event.seconds for event in seen.every)
    steps = sum(event.until - event.step for event in events)
    measured = None if each is None else seconds / each
    declared = sum(declared_costs(seen))
    judging = any(event.judged for event in events) or any(event.signal_seconds for event in events)
    paid = (declared if measured is None else measured) if judging else 0.0
    return Cost(
        declared=declared,
        measured=measured,
        chosen_steps=steps,
        deciding_seconds=seconds,
        signal_seconds=sum(event.signal_seconds for event in seen.every),
        training_seconds=training_seconds(seen),
        break_even=break_even(paid, steps * of_a_step(seen)) if events else None,
        work=work_at(seen, [seen.step], seen.start.global_batch)[0],
    )


def of_a_step(seen: Seen) -> float:
    """The work of a step without its decisions, weighing included, in training steps."""
    return 1 + seen.start.step_cost


def step_seconds(seen: Seen) -> float | None:
    """What an unweighted training step of the run takes; None where nobody timed any."""
    return None if seen.pace.step is None else seen.pace.step / of_a_step(seen)


def training_seconds(seen: Seen) -> float | None:
    """What the steps alone took, those that nobody timed as long as the others; None where nobody timed any."""
    return None if seen.pace.step is None or not seen.step else seen.pace.step * seen.step


def declared_costs(seen: Seen) -> list[float]:
    """What each decision was to cost, in training steps. Journals of before say it of the first alone."""
    of_first = seen.start.decision_cost + seen.start.mixing_cost
    known = any(event.cost for event in seen.every)
    return [(event.cost if known else of_first) * (event.decision > 0) for event in seen.every]


def work_at(seen: Seen, steps: Sequence[float], batch: int) -> list[float]:
    """The work done by the end of each step, decisions and all, in training steps of ``batch`` samples, unweighted."""
    each = step_seconds(seen)
    at = np.array([event.step for event in seen.every], dtype=np.float64)
    costs = declared_costs(seen) if each is None else [event.seconds / each for event in seen.every]
    total = np.concatenate([[0.0], np.cumsum(costs)])
    scale = seen.start.global_batch / batch
    return [(step * of_a_step(seen) + float(total[np.searchsorted(at, step, side="left")])) * scale for step in steps]


def over_work(seen: Seen, points: Sequence[Point], name: str, batch: int) -> Curve:
    """A curve over work, as `work_at` has it, in place of steps."""
    steps, values = [p[0] for p in points], [p[1] for p in points]
    return curve(name, list(zip(work_at(seen, steps, batch), values, strict=True)))


def value_at(curve: Curve, work: float) -> float:
    """A curve's value between its points."""
    known = [(x, y) for x, y in zip(curve.steps, curve.values, strict=True) if y is not None]
    return float(np.interp(work, [x for x, _ in known], [y for _, y in known]))
