"""What a person sees as a run begins: its strategies, and, once the data is loaded, its steps and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import click

from dataflex_cli.console import counted, say
from dataflex_core import __version__
from dataflex_core.config.section import SECTION
from dataflex_core.errors import InvalidConfig, UsageError
from dataflex_core.journal import RowsFact, Start
from dataflex_core.prepared import PreparedRun


def header(prepared: PreparedRun) -> None:
    """Before anything heavy is loaded: which strategies, with which parameters, when."""
    from importlib.metadata import version

    click.echo(click.style(f"DataFlex {__version__}", bold=True) + f" on LLaMA-Factory {version('llamafactory')}")
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
    _say_what_is_missing(start.dropped, start.cut)
    if start.targets:
        parts = ", ".join(f"{name} {size}" for name, size in start.targets.items())
        say(f"target set of {sum(start.targets.values())} samples: {parts}")
        _say_what_is_missing(start.target_dropped, start.target_cut)
    if start.step_cost:
        say(f"weighing adds {start.step_cost:.0%} to each step")
    if start.judged:
        cost = start.decision_cost
        total = cost * start.decisions
        share = total / start.steps
        scored = "" if start.exact is None else f", scores {start.exact} of them and predicts the rest"
        say(
            f"a decision judges {start.judged} samples{scored}, at the cost of about {cost:.1f} training steps: "
            f"{total:.0f} in all, {share:.2f}x the training itself"
            if cost
            else f"a decision draws from {start.judged} samples, at no cost"
        )
        if (idle := nothing_to_choose(start)) is not None:
            say(str(idle))


def nothing_to_choose(start: Start) -> UsageError | None:
    """What to say of decisions that judge no more samples than they choose; None where they choose among more."""
    longest = min(start.update_steps, start.steps - start.warmup_steps) * start.global_batch
    if not start.decision_cost or not start.judged or start.judged > longest:
        return None
    return InvalidConfig(
        f"a decision chooses {longest} of the {start.judged} samples that it judges: it decides nothing, at that cost",
        hint=f"raise {SECTION}.candidates or selection_budget, or lower update_steps",
        key=[SECTION, "candidates"],
    )


def _say_what_is_missing(dropped: Mapping[str, RowsFact], cut: Mapping[str, RowsFact]) -> None:
    for name, fact in dropped.items():
        say(f"{_of(fact, name)} left out, the first is row {fact.row} of {fact.file}: {fact.reason}")
    for name, fact in cut.items():
        say(f"{_of(fact, name)} cut, the first is row {fact.row} of {fact.file}: {fact.reason}")


def _of(fact: RowsFact, domain: str) -> str:
    return f"{counted(fact.count, 'row')} of {domain} {'is' if fact.count == 1 else 'are'}"
