"""A run held against others: by one metric, at one amount of work, and whether it paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dataflex_cli.pages.figures import Curve
from dataflex_cli.report.changes import named
from dataflex_cli.report.comparable import apart, are_one, pool_differs
from dataflex_cli.report.cost import over_work, value_at
from dataflex_cli.report.model import Against, Verdict
from dataflex_cli.report.reading import Seen

_NOT_BOTH = "not both were evaluated: set eval_strategy and eval_dataset, since losses in training are of other samples"


def held_against(seen: Seen, others: Sequence[tuple[str, Seen]]) -> tuple[Against, ...]:
    """Other runs, by name, beside this one.

    Those that can be compared are by one metric, the one that most of them have, and at one amount of work: the most
    that this run and all of them have done, in training steps of this run's batch. Each of the rest says why not.
    """
    bars = [_bar(seen, other) for _, other in others]
    metric = _metric_of(seen, [other for (_, other), bar in zip(others, bars, strict=True) if bar is None])
    beside = [_beside(seen, other, name, metric, bar) for (name, other), bar in zip(others, bars, strict=True)]
    ends = [min(one.own.steps[-1], one.curve.steps[-1]) for one in beside if one.why_not is None]
    return tuple(_read_at(one, min(ends)) if one.why_not is None else one for one in beside)


def _metric_of(seen: Seen, others: Sequence[Seen]) -> str | None:
    """The one of this run's evaluations that most others have, of several the first by name; None where none has."""
    counts = {name: sum(name in other.evaluations for other in others) for name in sorted(seen.evaluations)}
    best = max(counts, key=counts.__getitem__, default=None)
    return best if best is not None and counts[best] else None


def _bar(seen: Seen, other: Seen) -> str | None:
    """What keeps two runs from being compared, whatever they were evaluated by."""
    if are_one(seen, other):
        return "they are one run, copied or continued: together they say nothing"
    return next(apart("this run", seen, "it", other), None)


def _beside(seen: Seen, other: Seen, name: str, metric: str | None, bar: str | None) -> Against:
    """Both runs over work, by ``metric`` where they have it, else by what they have; not read anywhere yet."""
    common = sorted(seen.evaluations.keys() & other.evaluations.keys())
    shown = metric if metric in common else common[0] if common else "loss"
    batch = seen.start.global_batch
    own = over_work(seen, seen.evaluations.get(shown, seen.losses), "this run", batch)
    theirs = over_work(other, other.evaluations.get(shown, other.losses), name, batch)
    return Against(
        name=name,
        strategies=named(other.start.strategies),
        metric=shown,
        batch=other.start.global_batch,
        seed=other.start.seed,
        curve=theirs,
        own=own,
        at=None,
        theirs=None,
        ours=None,
        why_not=bar or _why_not(own, theirs, common, metric),
        pool=pool_differs("this run", seen, name, other),
    )


def _why_not(own: Curve, theirs: Curve, common: Sequence[str], metric: str | None) -> str | None:
    """Why two runs cannot be compared by their evaluations; None where they can be."""
    if not common:
        return _NOT_BOTH
    if metric not in common:
        return f"it has no {metric}, by which the others are compared"
    if min(own.steps[-1], theirs.steps[-1]) < max(own.steps[0], theirs.steps[0]):
        return "one ends before the other is first evaluated: train it longer, or evaluate more often"
    return None


def _read_at(one: Against, work: float) -> Against:
    if one.curve.steps[0] > work:
        ends = f"at {work:,.0f}, where another of them ends, it was not evaluated yet"
        return replace(one, why_not=f"{ends}: evaluate more often, or leave that one out")
    return replace(one, at=work, theirs=value_at(one.curve, work), ours=value_at(one.own, work))


def by_seed(values: Sequence[tuple[int, float]]) -> NDArray[np.float64]:
    """The mean of each seed's values, Float64[n]: what runs of one seed have in common is no chance."""
    seeds = dict.fromkeys(seed for seed, _ in values)
    return np.array([np.mean([value for other, value in values if other == seed]) for seed in seeds])


def verdict_of(against: Sequence[Against]) -> Verdict:
    """Whether it paid. Undecided where the difference is no larger than the spread of those it is compared with."""
    known = [one for one in against if one.ours is not None and one.theirs is not None]
    if not known:
        return Verdict(paid=None, metric=None, difference=None, spread=None, runs=len(against))
    differences = by_seed([(one.seed, float(one.ours or 0.0) - float(one.theirs or 0.0)) for one in known])
    mean = float(differences.mean())
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else None
    clear = mean != 0 if spread is None else abs(mean) > spread
    return Verdict(
        paid=mean < 0 if clear else None,
        metric=known[0].metric,
        difference=mean,
        spread=spread,
        runs=len(known),
        at=known[0].at,
    )
