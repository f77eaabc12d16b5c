"""Losses of evaluations at one step, and at one amount of work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dataflex_cli.compare.model import Figure, Metric
from dataflex_cli.pages.figures import Curve
from dataflex_cli.report.cost import over_work, value_at
from dataflex_cli.report.curves import curve
from dataflex_cli.report.reading import Seen
from dataflex_cli.report.versus import by_seed


def steps_curves(seen: Seen) -> dict[str, Curve]:
    """The losses of a run's evaluations over its steps, by metric."""
    return {name: curve(name, points) for name, points in seen.evaluations.items() if points}


def work_curves(seen: Seen, batch: int) -> dict[str, Curve]:
    """The same over work, in training steps of ``batch`` samples."""
    return {name: over_work(seen, points, name, batch) for name, points in seen.evaluations.items() if points}


def metrics_of(
    names: Sequence[str], over_steps: Sequence[Mapping[str, Curve]], over_work: Sequence[Mapping[str, Curve]]
) -> tuple[Metric, ...]:
    """All metrics that any run has, those that most have first. ``names`` are the runs'."""
    found = []
    for metric in dict.fromkeys(metric for one in over_steps for metric in one):
        runs = tuple(name for name, one in zip(names, over_steps, strict=True) if metric in one)
        step, work = (
            last_common([one[metric] for one in curves if metric in one]) for curves in (over_steps, over_work)
        )
        found.append(Metric(name=metric, step=step, work=work, runs=runs))
    return tuple(sorted(found, key=lambda one: (-len(one.runs), one.name)))


def last_common(curves: Sequence[Curve]) -> float | None:
    """The last place that all of two or more curves reach; None where one ends before another begins."""
    if len(curves) < 2:
        return None
    last, first = min(one.steps[-1] for one in curves), max(one.steps[0] for one in curves)
    return last if last >= first else None


def values_at(curves: Mapping[str, Curve], places: Mapping[str, float | None]) -> dict[str, float]:
    """The value of each metric at its place, between evaluations on the line; without those that have no place."""
    return {name: value_at(one, at) for name, one in curves.items() if (at := places.get(name)) is not None}


def last_of(curves: Mapping[str, Curve]) -> dict[str, float]:
    """The last value of each metric."""
    found = {name: [v for v in one.values if v is not None] for name, one in curves.items()}
    return {name: values[-1] for name, values in found.items() if values}


def figures_of(given: Sequence[Mapping[str, float]], seeds: Sequence[int]) -> dict[str, Figure]:
    """Mean and spread of each figure over the runs that have it, by their seeds: runs of one seed count as one."""
    found = {}
    for name in dict.fromkeys(name for one in given for name in one):
        values = by_seed([(seed, one[name]) for seed, one in zip(seeds, given, strict=True) if name in one])
        count = sum(name in one for one in given)
        spread = float(values.std(ddof=1)) if len(values) > 1 else None
        found[name] = Figure(mean=float(values.mean()), spread=spread, count=count)
    return found


def mean_curves(given: Sequence[Mapping[str, Curve]], name: str) -> dict[str, Curve]:
    """The mean of each metric's curves, where all of them are: at every place where one of them has a point."""
    found = {}
    for metric in dict.fromkeys(metric for one in given for metric in one):
        curves = [one[metric] for one in given if metric in one]
        first, last = max(one.steps[0] for one in curves), min(one.steps[-1] for one in curves)
        places = sorted({step for one in curves for step in one.steps if first <= step <= last})
        means = [float(np.mean([value_at(one, place) for one in curves])) for place in places]
        found[metric] = Curve(name=name, steps=tuple(places), values=tuple(means))
    return found
