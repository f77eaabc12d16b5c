"""What a person sees as a run begins: its strategies, and, once the data is loaded, its steps and costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import click

from dataflex_cli.console import counted, say
from dataflex_core import __version__
from dataflex_core.config.section import SECTION
from dataflex_core.errors import InvalidConfig, UsageError
from dataflex_core.journal import Start, to_record
from dataflex_core.llamafactory.rows_told import of_pool, of_targets, repeated
from dataflex_core.prepared import PreparedRun


def header(prepared: PreparedRun) -> None:
    """Before anything heavy is loaded: which strategies, with which parameters, when."""
    from importlib.metadata import version

    title, on = f"DataFlex {__version__}", f" on LLaMA-Factory {version('llamafactory')}"
    say(f"{title}{on}", event="header", plain=click.style(title, bold=True) + on)
    for line in _header_lines(prepared):
        say(line.strip(), event="header", plain=line)


def _header_lines(prepared: PreparedRun) -> Iterator[str]:
    if not prepared.strategies:
        yield "  no strategy: the run is LLaMA-Factory's own"
        return
    for slot, chosen in prepared.strategies.items():
        spec, record = chosen.record.spec, chosen.record
        given = " ".join(f"{f.name}={getattr(chosen.params, f.name)!r}" for f in fields(chosen.params))
        yield f"  {slot!s:<9} {spec.name:<12} {record.distribution} {record.version}  {given}".rstrip()
    config = prepared.config.dataflex
    warmup = counted(config.warmup_steps, "warm-up step")
    if not prepared.plans:
        yield f"  schedule  {warmup}, then weighted losses"
        return
    end = "until training ends" if config.updates is None else counted(config.updates, "decision") + " in all"
    every = counted(config.update_steps, "step")
    yield f"  schedule  {warmup}, then a decision every {every}, {end}"


def show_plan(start: Start) -> None:
    """Once the data is loaded: steps, samples, costs."""
    batch, update = start.global_batch, start.update_steps
    planned = any(strategy.kind != "weighter" for strategy in start.strategies)
    steps = f"{counted(start.steps, 'step')} of {batch} samples"
    warmup = f"{start.warmup_steps} of warm-up"
    if planned:
        decisions, length = counted(start.decisions, "decision"), counted(update, "step")
        steps = f"{steps}: {warmup}, then {decisions} for {length} each ({update * batch} samples)"
    elif start.strategies:
        steps = f"{steps}: {warmup}, then weighted losses"
    say(steps, event="start", fields=to_record(start))
    pool = ", ".join(f"{name} {size}" for name, size in start.domains.items())
    say(f"pool of {sum(start.domains.values())} samples: {pool}")
    if start.mean_tokens is not None:
        means = ", ".join(f"{name} {mean:.1f}" for name, mean in start.mean_tokens.items())
        say(f"proportions are shares of target tokens, of which a sample has on average: {means}")
    for remark in (*of_pool(start), *repeated(start)):
        say(remark.text, level="warning")
    if start.targets:
        parts = ", ".join(f"{name} {size}" for name, size in start.targets.items())
        say(f"target set of {sum(start.targets.values())} samples: {parts}")
        for remark in of_targets(start):
            say(remark.text, level="warning")
    if start.holdout:
        parts = ", ".join(f"{name} {size}" for name, size in start.holdout.items())
        say(f"{sum(start.holdout.values())} samples are kept out of training: {parts}")
    if start.mixing_cost:
        say(what_mixing_costs(start))
    if start.step_cost:
        say(f"weighing adds {start.step_cost:.0%} to each step")
    if start.judged:
        say(what_a_decision_costs(start))
        if start.break_even is not None:
            say(f"to break even a chosen sample must be worth {start.break_even:.1f} random ones, by that cost")
        if start.features_cost:
            say(
                "scores are predicted from the starting model's states, which take a forward pass of every sample "
                f"once, unless they are stored: about {start.features_cost:.1f} training steps"
            )
        if (idle := nothing_to_choose(start)) is not None:
            say(str(idle), level="warning")


def what_mixing_costs(start: Start) -> str:
    """Of a mixer that asks the model: what its decisions cost next to the training."""
    total = start.mixing_cost * start.decisions
    return (
        f"the mixer's questions cost about {start.mixing_cost:.1f} training steps a decision: {total:.0f} in all, "
        f"{total / start.steps:.2f}x the training itself"
    )


def what_a_decision_costs(start: Start) -> str:
    """Of a selector: what it judges, and what that costs next to the training."""
    if not start.decision_cost:
        return f"a decision draws from {start.judged} samples, at no cost"
    total = start.decision_cost * start.decisions
    scored = "" if start.exact is None else f", scores {start.exact} of them and predicts the rest"
    return (
        f"a decision judges {start.judged} samples{scored}, at the cost of about {start.decision_cost:.1f} training "
        f"steps: {total:.0f} in all, {total / start.steps:.2f}x the training itself"
    )


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
