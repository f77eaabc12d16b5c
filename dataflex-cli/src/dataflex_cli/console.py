"""What a person sees of a run: a header, a line per decision, a closing summary."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field, fields

import click

from dataflex_core import __version__
from dataflex_core.journal import Decision, Event, Notice, Resume, Start, Step
from dataflex_core.prepared import PreparedRun


def header(prepared: PreparedRun) -> None:
    """Before anything heavy is loaded: which strategies, with which parameters, when."""
    from importlib.metadata import version

    click.secho(f"DataFlex {__version__}", bold=True, nl=False)
    click.echo(f" on LLaMA-Factory {version('llamafactory')}")
    if not prepared.strategies:
        click.echo("  no strategy: the run is LLaMA-Factory's own")
        return
    for slot, chosen in prepared.strategies.items():
        spec, record = chosen.record.spec, chosen.record
        given = " ".join(f"{f.name}={getattr(chosen.params, f.name)!r}" for f in fields(chosen.params))
        click.echo(f"  {slot!s:<9} {spec.name:<12} {record.distribution} {record.version}  {given}".rstrip())
    config = prepared.config.dataflex
    end = "until training ends" if config.updates is None else counted(config.updates, "decision") + " in all"
    every = counted(config.update_steps, "step")
    click.echo(f"  schedule  {counted(config.warmup_steps, 'warm-up step')}, then a decision every {every}, {end}")


def show_plan(start: Start) -> None:
    """Once the data is loaded: steps, samples, costs."""
    batch, update = start.global_batch, start.update_steps
    planned = any(strategy.kind != "weighter" for strategy in start.strategies)
    steps = f"{counted(start.steps, 'step')} of {batch} samples"
    warmup = f"{start.warmup_steps} of warm-up"
    if planned:
        decisions, length = counted(start.decisions, "decision"), counted(update, "step")
        say(f"{steps}: {warmup}, then {decisions} for {length} each ({update * batch} samples)")
    else:
        say(f"{steps}: {warmup}, then weighted losses" if start.strategies else steps)
    pool = ", ".join(f"{name} {size}" for name, size in start.domains.items())
    say(f"pool of {sum(start.domains.values())} samples: {pool}")
    if start.targets:
        parts = ", ".join(f"{name} {size}" for name, size in start.targets.items())
        say(f"target set of {sum(start.targets.values())} samples: {parts}")
    if start.step_cost:
        say(f"weighing adds {start.step_cost:.0%} to each step")
    if start.judged:
        cost = start.decision_cost
        total = cost * start.decisions
        share = total / start.steps
        say(
            f"a decision judges {start.judged} samples, at the cost of about {cost:.1f} training steps: "
            f"{total:.0f} in all, {share:.2f}x the training itself"
            if cost
            else f"a decision draws from {start.judged} samples, at no cost"
        )


@dataclass(slots=True, kw_only=True)
class Narrator:
    """Told every event of the run on rank 0; prints those a person wants to see."""

    _start: Start | None = None
    _chosen: Counter[str] = field(default_factory=Counter)
    _decisions: int = 0
    _seconds: float = 0.0
    _steps: int = 0
    _samples: int = 0

    def __call__(self, event: Event, *, past: bool) -> None:
        match event:
            case Start():
                self._start = event
                show_plan(event)
            case Notice() if not past:
                say(event.text)
            case Decision():
                self._decided(event, past)
            case Resume():
                say(f"going on from {event.checkpoint}, after step {event.step}")
            case Step():
                self._steps = event.step
                self._samples += len(event.samples)

    def _decided(self, event: Decision, past: bool) -> None:
        if event.decision > 0:
            self._decisions += 1
            self._seconds += event.seconds
            self._chosen.update(event.chosen)
        if not past:
            self._tell(event)

    def _tell(self, event: Decision) -> None:
        assert self._start is not None
        total = sum(event.chosen.values())
        shares = ", ".join(f"{name} {count / total:.0%}" for name, count in event.chosen.items())
        steps = f"steps {event.step + 1} to {event.until}"
        if event.decision == 0:
            say(f"warm-up, {steps}: {shares}")
        else:
            of = f"decision {event.decision} of {self._start.decisions}"
            say(f"{of}, {steps}: {shares}  ({event.seconds:.1f} s)")
        for short in event.shortages:
            who = f"domain {short.domain}" if short.domain else "the pool"
            say(f"  {who} had {short.had} of {short.wanted} samples wanted: {short.action}")

    def summary(self) -> None:
        """After the run: what was trained on, and how the choice differs from the pool."""
        if self._start is None:
            return
        from rich.table import Table

        from dataflex_cli.tables import print_table

        took = f"{counted(self._decisions, 'decision')} in {self._seconds:.1f} s"
        say(f"done: {counted(self._steps, 'step')}, {self._samples} samples trained on, {took}")
        if not self._decisions:
            return
        pool = self._start.domains
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("domain")
        for column in ("pool", "% of pool", "chosen", "% of chosen", "ratio"):
            table.add_column(column, justify="right")
        for name, size in pool.items():
            share, taken = size / sum(pool.values()), self._chosen[name] / max(self._chosen.total(), 1)
            ratio = f"{taken / share:.2f}x" if share else "-"
            table.add_row(name, str(size), f"{share:.1%}", str(self._chosen[name]), f"{taken:.1%}", ratio)
        print_table(table)
        if self._samples > self._chosen.total():
            say(f"the {self._samples - self._chosen.total()} samples of the warm-up are not counted as chosen")


def counted(number: int, noun: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def say(text: str) -> None:
    """Print a line of ours."""
    line = click.style("DataFlex: ", fg="cyan") + text
    # Through tqdm where there may be a bar: a line of its own above it, not the rest of its line.
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
    if tqdm is not None:
        with tqdm.external_write_mode():
            click.echo(line)
    else:
        click.echo(line)
