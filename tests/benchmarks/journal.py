"""`journal`: what share of a run goes into its journal, and into what it tells of domains and weights."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from statistics import median
from typing import Any
from unittest import mock

import torch
from support import train

from benchmarks.bench import Bench
from benchmarks.clock import now
from benchmarks.measure import Bound, Finding, Measure, Side
from benchmarks.train_step import arguments, steps_timed


def run(bench: Bench, repeats: int) -> Finding:
    """Both sides are of the same runs: the journal's time from first to last, and that of the steps after the first.

    They train LoRA, as `train-step` does, with the selector ``loss`` and the weighter ``loss``, decide after every 8
    steps, and log every step: by domain, and the weights in short.
    """
    spent, taken = [], []
    for index in range(repeats):
        args = {**arguments(bench, f"journal-{index}"), "logging_steps": 1}
        args["dataflex"] = {"warmup_steps": 2, "update_steps": 8, "candidates": 2}
        with steps_timed(bench.device) as steps, journal_timed(bench.device) as clock, redirect_stdout(io.StringIO()):
            train(args, selector="loss", weighter="loss")
        spent.append(clock.seconds)
        taken.append(sum(steps))
    return Finding(
        value=median(spent) / median(taken),
        repeats=tuple(ours / whole for ours, whole in zip(spent, taken, strict=True)),
        sides=(
            Side(label="journal", unit="ms", values=tuple(1000 * seconds for seconds in spent)),
            Side(label="run", unit="ms", values=tuple(1000 * seconds for seconds in taken)),
        ),
        notes=(f"{repeats} runs that log every step",),
    )


@dataclass(slots=True, kw_only=True)
class Clock:
    """Seconds spent in what is timed; ``inside`` is whether one of it runs."""

    seconds: float = 0.0
    inside: bool = False


@contextmanager
def journal_timed(device: torch.device) -> Iterator[Clock]:
    """Collects the seconds that runs in the block spend on their journal, on its figures, and on what they add up."""
    from dataflex_core.journal.tally import Tally
    from dataflex_core.journal.writer import Journal
    from dataflex_core.trainer import planned, weight
    from dataflex_core.trainer.since_log import SinceLog
    from dataflex_core.trainer.trained import TrainedDomains

    clock = Clock()
    parts: list[tuple[Any, str]] = [(Journal, "write"), (Tally, "add"), (SinceLog, "tell"), (SinceLog, "take_up")]
    parts += [(TrainedDomains, name) for name in ("window", "losses", "count", "step")]
    parts += [(planned, "decision_of"), (weight, "added_up")]
    with ExitStack() as stack:
        for owner, name in parts:
            stack.enter_context(mock.patch.object(owner, name, _timed(getattr(owner, name), clock, device)))
        yield clock


def _timed(function: Any, clock: Clock, device: torch.device) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        if clock.inside:
            return function(*args, **kwargs)
        began, clock.inside = now(device), True
        try:
            return function(*args, **kwargs)
        finally:
            clock.inside = False
            clock.seconds += now(device) - began

    return call


MEASURE = Measure(
    name="journal",
    what="time for the journal ÷ time of the run, logging every step",
    bound=Bound(value=0.01, at_most=True),
    run=run,
)
