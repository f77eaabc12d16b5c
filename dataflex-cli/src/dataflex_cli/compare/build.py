"""From what runs left to the numbers of their comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from dataflex_cli.compare.choices import overlap_of, pools_differ, shares_of
from dataflex_cli.compare.measures import (
    figures_of,
    last_of,
    mean_curves,
    metrics_of,
    steps_curves,
    values_at,
    work_curves,
)
from dataflex_cli.compare.model import Comparison, Group, Member
from dataflex_cli.compare.remarks import remarks_of
from dataflex_cli.compare.settings import grouped, settings_of
from dataflex_cli.compare.words import words_of
from dataflex_cli.report.build import state_of
from dataflex_cli.report.changes import changes_of, named
from dataflex_cli.report.comparable import pool_differs, targets_differ
from dataflex_cli.report.cost import training_seconds, work_at
from dataflex_cli.report.curves import curve
from dataflex_cli.report.reading import Seen
from dataflex_core.journal.figures import shares

Places = Mapping[str, float | None]


def comparison_of(runs: Sequence[tuple[str, Seen]]) -> Comparison:
    """Two or more runs, by name, side by side."""
    names, seen = [name for name, _ in runs], [one for _, one in runs]
    batch = seen[0].start.global_batch
    over_steps, over_work = [steps_curves(one) for one in seen], [work_curves(one, batch) for one in seen]
    metrics = metrics_of(names, over_steps, over_work)
    of, titles = grouped(
        [settings_of(one.start, changes_of(one)) for one in seen], lambda a, b: _apart(seen[a], seen[b])
    )
    steps, work = {one.name: one.step for one in metrics}, {one.name: one.work for one in metrics}
    members = []
    for name, one, number, by_step, by_work in zip(names, seen, of, over_steps, over_work, strict=True):
        member = replace(
            _member(name, one, number, batch),
            at_step=values_at(by_step, steps),
            at_work=values_at(by_work, work),
            last=last_of(by_step),
            over_steps=by_step,
            over_work=by_work,
        )
        members.append(member)
    overlap = overlap_of(names, seen)
    data = Comparison(
        batch=batch,
        runs=tuple(members),
        groups=tuple(_group(title, [m for m in members if m.group == i]) for i, title in enumerate(titles)),
        metrics=metrics,
        pool_shares={} if pools_differ(names, seen) else shares(seen[0].start.domains),
        overlap=overlap,
        remarks=remarks_of(names, seen, metrics, overlap),
    )
    return replace(data, words=words_of(data))


def _apart(one: Seen, other: Seen) -> bool:
    if one.since != other.since:
        return True
    return pool_differs("one", one, "other", other) is not None or targets_differ(one, other)


def _member(name: str, seen: Seen, group: int, batch: int) -> Member:
    training, deciding = training_seconds(seen), sum(event.seconds for event in seen.every)
    return Member(
        name=name,
        folder=str(seen.folder.resolve()),
        run=seen.start.run,
        group=group,
        strategies=named(seen.start.strategies),
        state=state_of(seen),
        step=seen.step,
        steps=seen.start.steps,
        seed=seen.start.seed,
        samples=len(seen.trace.ids),
        unique=len(np.unique(seen.trace.ids)),
        work=work_at(seen, [seen.step], batch)[0],
        deciding=None if training is None else deciding / (deciding + training),
        shares=shares_of(seen),
        losses=curve(name, seen.losses),
    )


def _group(title: str, members: Sequence[Member]) -> Group:
    ended, seeds = [one for one in members if one.state == "finished"], [one.seed for one in members]
    return Group(
        name=title,
        members=tuple(one.name for one in members),
        shares=figures_of([one.shares for one in members], seeds),
        at_step=figures_of([one.at_step for one in members], seeds),
        at_work=figures_of([one.at_work for one in members], seeds),
        last=figures_of([one.last for one in ended], [one.seed for one in ended]),
        over_steps=mean_curves([one.over_steps for one in members], title),
        over_work=mean_curves([one.over_work for one in members], title),
    )
