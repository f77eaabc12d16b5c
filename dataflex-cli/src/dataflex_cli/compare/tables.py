"""A comparison as tables, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from dataflex_cli.compare.model import Comparison, Figure, Group, Member, Metric
from dataflex_cli.compare.words import shown

_DOMAINS = 30
"""Domains that are shown, the largest ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table of text. The first ``words`` columns are words, the others numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1


def tables_of(data: Comparison) -> list[Sheet]:
    """The runs, each metric, what was chosen, and what of that is the same."""
    found = [_runs(data), *(_metric(data, metric) for metric in data.metrics)]
    if domains := _domains(data):
        found.append(_shares(data, domains))
    if data.overlap.why_not is None:
        found.append(_overlap(data))
    return found


def _runs(data: Comparison) -> Sheet:
    rows = []
    for one in data.runs:
        steps = f"{one.step:,}" if one.step == one.steps else f"{one.step:,} of {one.steps:,}"
        deciding = "–" if one.deciding is None else f"{one.deciding:.0%}"
        group = data.groups[one.group].name
        rows.append((one.name, group, one.state, str(one.seed), steps, f"{one.work:,.0f}", deciding))
    columns = ("run", "decided by", "state", "seed", "steps", "work", "time deciding")
    return Sheet(title="Runs", columns=columns, rows=tuple(rows), words=3)


def _metric(data: Comparison, metric: Metric) -> Sheet:
    places = {
        "at step": None if metric.step is None else f"at step {metric.step:,.0f}",
        "at work": None if metric.work is None else f"at work {metric.work:,.0f}",
        "last": "last",
    }
    columns = [title for title in places.values() if title is not None]
    rows = [(one.name, *_values(one, metric)) for one in data.runs if metric.name in one.last]
    for group in data.groups:
        told = [group.at_step, group.at_work, group.last]
        most = max((figures[metric.name].count for figures in told if metric.name in figures), default=0)
        if most > 1:
            rows.append((f"{group.name}, mean of {most}", *_values(group, metric, most)))
    return Sheet(title=metric.name, columns=("", *columns), rows=tuple(rows))


def _values(one: Member | Group, metric: Metric, count: int = 1) -> Iterator[str]:
    """By place. A mean over fewer runs than ``count`` says over how many."""
    for is_there, values in (
        (metric.step is not None, one.at_step),
        (metric.work is not None, one.at_work),
        (True, one.last),
    ):
        if is_there:
            value = values.get(metric.name)
            if isinstance(value, Figure):
                yield shown(value) + (f" (of {value.count})" if value.count < count else "")
            else:
                yield "–" if value is None else f"{value:.3f}"


def _domains(data: Comparison) -> list[str]:
    names = list(dict.fromkeys([*data.pool_shares, *(name for one in data.groups for name in one.shares)]))
    largest = sorted(names, key=lambda name: -max(_share(one.shares, name) for one in data.groups))[:_DOMAINS]
    return [name for name in names if name in set(largest)] if len(names) > 1 else []


def _share(shares: Mapping[str, Figure], name: str) -> float:
    return shares[name].mean if name in shares else 0.0


def _shares(data: Comparison, domains: list[str]) -> Sheet:
    pool = ["pool"] if data.pool_shares else []
    rows = []
    for name in domains:
        there = [f"{data.pool_shares[name]:.1%}"] if data.pool_shares else []
        rows.append((name, *there, *(_percent(group.shares.get(name)) for group in data.groups)))
    columns = ("domain", *pool, *(group.name for group in data.groups))
    return Sheet(title="Shares of what was trained on after the warm-up", columns=columns, rows=tuple(rows))


def _percent(figure: Figure | None) -> str:
    if figure is None:
        return "–"
    return f"{figure.mean:.1%}" + ("" if figure.spread is None else f" ± {100 * figure.spread:.1f}")


def _overlap(data: Comparison) -> Sheet:
    rows = tuple((one.name, *(_between(data, one, other) for other in data.groups)) for one in data.groups)
    return Sheet(
        title=f"Overlap of what was chosen up to step {data.overlap.step:,}: Jaccard index, in brackets by chance",
        columns=("", *(group.name for group in data.groups)),
        rows=rows,
    )


def _between(data: Comparison, group: Group, other: Group) -> str:
    """The mean over pairs of different runs of two groups, or of one."""
    place = {one.name: i for i, one in enumerate(data.runs)}
    pairs = [(place[a], place[b]) for a in group.members for b in other.members if a != b]
    found = [(data.overlap.matrix[i][j], data.overlap.chance[i][j]) for i, j in pairs]
    known = [(shared, chance) for shared, chance in found if shared is not None and chance is not None]
    if not known:
        return "–"
    shared, chance = np.mean(known, axis=0)
    return f"{shared:.2f} ({chance:.2f})"
