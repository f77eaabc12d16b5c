"""A comparison in words: who is ahead, where, and whether by more than chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dataflex_cli.compare.model import Comparison, Figure, Group, Metric
from dataflex_cli.report.words import counted, listed

_TOLD = 4


def words_of(data: Comparison) -> tuple[str, ...]:
    """A sentence or two each."""
    return tuple(_sentences(data))


def _sentences(data: Comparison) -> Iterator[str]:
    several = [group for group in data.groups if len(group.members) > 1]
    said = counted(len(data.runs), "run")
    if several:
        told = [f"{len(group.members)} of {group.name}" for group in several[:_TOLD]]
        said += f", of which {listed(told)} differ in the seed at most: they are one group"
        said += " each" if len(several) > 1 else ""
    yield f"{said}."
    for metric in data.metrics[:1]:
        if metric.work is not None:
            yield _ranked(data, metric, "at_work", f"At {metric.work:,.0f} training steps' worth of work")
        if metric.step is not None:
            yield _ranked(data, metric, "at_step", f"At step {metric.step:,.0f}")


def _ranked(data: Comparison, metric: Metric, where: str, place: str) -> str:
    found: list[tuple[Group, Figure]] = []
    for group in data.groups:
        figures: Mapping[str, Figure] = getattr(group, where)
        if metric.name in figures:
            found.append((group, figures[metric.name]))
    found.sort(key=lambda pair: pair[1].mean)
    told = [f"{shown(figure)} with {group.name}" for group, figure in found[:_TOLD]]
    said = f"{place}, as far as all of them went, {metric.name} is {'; '.join(told)}."
    return said if len(found) < 2 else f"{said} {ahead([figure for _, figure in found])}"


def ahead(figures: Sequence[Figure]) -> str:
    """Whether the first of figures in order is below the next by more than their spreads."""
    first, second = figures[0], figures[1]
    spreads = [one.spread for one in (first, second) if one.spread is not None]
    if not spreads:
        each = "one run" if first.count == second.count == 1 else "of one seed"
        return f"Each is {each}: another seed may make as much of a difference."
    spread = sum(one**2 for one in spreads) ** 0.5
    gap = second.mean - first.mean
    if gap > spread:
        return f"The first is ahead by {gap:.3f}, more than seeds make ({spread:.3f})."
    return f"The first two are {gap:.3f} apart, no more than seeds make ({spread:.3f}): neither is ahead."


def shown(figure: Figure) -> str:
    """``3.212``, or ``3.212 ± 0.030``."""
    return f"{figure.mean:.3f}" + ("" if figure.spread is None else f" ± {figure.spread:.3f}")
