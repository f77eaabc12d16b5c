"""What makes runs differ in more than what decided, or keeps them from being compared: said, not passed over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dataflex_cli.compare.model import Metric, Overlap
from dataflex_cli.report.changes import changes_of
from dataflex_cli.report.comparable import apart, are_one
from dataflex_cli.report.cost import training_seconds
from dataflex_cli.report.reading import Seen
from dataflex_cli.report.words import of_a_change, of_its_data


def remarks_of(
    names: Sequence[str], runs: Sequence[Seen], metrics: Sequence[Metric], overlap: Overlap
) -> tuple[str, ...]:
    """A sentence each."""
    why_not = overlap.why_not
    found = [] if why_not is None else [f"How much of what they chose is the same cannot be told: {why_not}."]
    return (*found, *_differences(names, runs), *_evaluations(names, metrics), *_work(names, runs), *_same(names, runs))


def _differences(names: Sequence[str], runs: Sequence[Seen]) -> Iterator[str]:
    first = runs[0]
    for name, seen in zip(names, runs, strict=True):
        yield from (f"{name}: {of_a_change(change)}" for change in changes_of(seen))
        if seen.since is not None:
            yield f"{name}: {of_its_data(seen.since)}"
    for name, seen in zip(names[1:], runs[1:], strict=True):
        yield from (f"{why}." for why in apart(names[0], first, name, seen))
        if seen.start.steps != first.start.steps:
            yield (
                f"{name} is to train {seen.start.steps:,} steps, {names[0]} {first.start.steps:,}: at one step their "
                "learning rates may differ."
            )
        if seen.start.global_batch != first.start.global_batch:
            yield (
                f"A step of {name} is {seen.start.global_batch} samples, one of {names[0]} {first.start.global_batch}: "
                f"work is counted in steps of {first.start.global_batch}."
            )


def _evaluations(names: Sequence[str], metrics: Sequence[Metric]) -> Iterator[str]:
    if not metrics:
        yield (
            "None of the runs was evaluated, and losses in training are of other samples: set eval_dataset, "
            "eval_strategy: steps and eval_steps."
        )
    for metric in metrics:
        without = [name for name in names if name not in metric.runs]
        if len(metric.runs) == 1:
            yield f"{metric.name} is not compared: of {metric.runs[0]} alone it is known."
        elif without:
            yield f"{metric.name} is compared without {', '.join(without)}, which {_has(without)} none."
        for at, what in ((metric.step, "step"), (metric.work, "work")):
            if len(metric.runs) > 1 and at is None:
                yield (
                    f"{metric.name} is not compared at equal {what}: one run ends before another is first evaluated. "
                    "Train it longer, or evaluate more often."
                )


def _same(names: Sequence[str], runs: Sequence[Seen]) -> Iterator[str]:
    for i, (name, seen) in enumerate(zip(names, runs, strict=True)):
        other = next((names[j] for j in range(i) if are_one(runs[j], seen)), None)
        if other is not None:
            yield f"Of one run, copied or continued, are {other} and {name}: together they say nothing of chance."


def _has(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _work(names: Sequence[str], runs: Sequence[Seen]) -> Iterator[str]:
    if guessed := [n for n, seen in zip(names, runs, strict=True) if seen.step and training_seconds(seen) is None]:
        yield f"Nobody timed {', '.join(guessed)}: what decisions cost is as their selectors declare it."
    for name, seen in zip(names, runs, strict=True):
        if seen.end is None:
            yield f"{name} is going on, or was killed, at step {seen.step:,} of {seen.start.steps:,}."
