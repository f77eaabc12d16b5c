"""What deciding cost in training steps' worth of work, and runs side by side at equal work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dataflex_cli.pages.figures import Curve
from dataflex_cli.report.curves import curve
from dataflex_cli.report.model import Against, Cost, Verdict
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


def work_at(seen: Seen, steps: Sequence[float]) -> list[float]:
    """The work done by the end of each step, decisions and all, in training steps of a run without a weighter."""
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
    return [step * own + float(total[np.searchsorted(at, step, side="left")]) for step in steps]


def over_work(seen: Seen, points: Sequence[Point], name: str) -> Curve:
    """A curve over work in place of steps."""
    steps, values = [p[0] for p in points], [p[1] for p in points]
    return curve(name, list(zip(work_at(seen, steps), values, strict=True)))


def compared(seen: Seen, other: Seen, name: str) -> Against:
    """Another run beside this one, at the most work that both have done."""
    common = sorted(seen.evaluations.keys() & other.evaluations.keys())
    metric = common[0] if common else "loss"
    own = over_work(seen, seen.evaluations.get(metric, seen.losses), "this run")
    theirs = over_work(other, other.evaluations.get(metric, other.losses), name)
    why_not = None
    if not common:
        why_not = (
            "not both were evaluated: set eval_strategy and eval_dataset, since losses in training are of other samples"
        )
    elif min(own.steps[0], theirs.steps[0]) > min(own.steps[-1], theirs.steps[-1]):
        why_not = "they were never evaluated at the same work"
    at = None if why_not else min(own.steps[-1], theirs.steps[-1])
    if at is not None and at < max(own.steps[0], theirs.steps[0]):
        at, why_not = None, "one ends before the other is first evaluated: train it longer, or evaluate more often"
    return Against(
        name=name,
        strategies=tuple(f"{fact.kind} {fact.name}" for fact in other.start.strategies) or ("no strategy",),
        metric=metric,
        curve=theirs,
        own=own,
        at=at,
        theirs=None if at is None else value_at(theirs, at),
        ours=None if at is None else value_at(own, at),
        why_not=why_not,
    )


def value_at(curve: Curve, work: float) -> float:
    """A curve's value between its points."""
    known = [(x, y) for x, y in zip(curve.steps, curve.values, strict=True) if y is not None]
    return float(np.interp(work, [x for x, _ in known], [y for _, y in known]))


def verdict_of(against: Sequence[Against]) -> Verdict:
    """Whether it paid. Undecided where the difference is no larger than the spread of those it is compared with."""
    known = [one for one in against if one.ours is not None and one.theirs is not None]
    if not known:
        return Verdict(paid=None, metric=None, difference=None, spread=None, runs=len(against))
    differences = np.array([float(one.ours or 0.0) - float(one.theirs or 0.0) for one in known])
    mean = float(differences.mean())
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else None
    clear = spread is None or abs(mean) > spread
    return Verdict(
        paid=mean < 0 if clear else None,
        metric=known[0].metric,
        difference=mean,
        spread=spread,
        runs=len(known),
        at=min(one.at or 0.0 for one in known),
    )
