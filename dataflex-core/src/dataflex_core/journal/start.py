"""The event that a run begins with, from what is known once the data is loaded."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version

from dataflex_core.config.plain import plain_values
from dataflex_core.journal.events import Start
from dataflex_core.journal.facts import StrategyFact
from dataflex_core.journal.figures import break_even, rounded
from dataflex_core.llamafactory.args import RunArgs
from dataflex_core.llamafactory.recorded import recorded
from dataflex_core.planning.budget import Budget
from dataflex_core.prepared import PreparedRun

_TOLD = ("dataflex-core", "llamafactory", "transformers", "peft", "accelerate", "datasets", "torch", "numpy")


def start_of(prepared: PreparedRun, budget: Budget, *, run: str, ranks: int, seed: int) -> Start:
    """Strategies with their versions, data, schedule and costs of the run that is called ``run``."""
    deciding = budget.decision_cost + budget.mixing_cost
    return Start(
        run=run,
        strategies=strategies_of(prepared),
        domains={domain.name: domain.size for domain in budget.domains},
        targets=dict(budget.targets),
        steps=budget.schedule.total_steps,
        warmup_steps=budget.schedule.warmup_steps,
        update_steps=budget.schedule.update_steps,
        decisions=budget.schedule.decisions,
        global_batch=budget.global_batch,
        ranks=ranks,
        judged=budget.judged,
        decision_cost=round(budget.decision_cost, 3),
        step_cost=round(budget.step_cost, 3),
        features_cost=round(budget.features_cost, 3),
        seed=seed,
        exact=budget.exact,
        break_even=rounded(break_even(deciding, budget.schedule.longest)) if deciding else None,
        holdout=dict(budget.holdout),
        mixing_cost=round(budget.mixing_cost, 3),
        exhaustion=prepared.config.dataflex.exhaustion,
        warmup_proportions=prepared.config.dataflex.warmup_proportions,
        mean_tokens=(
            None
            if budget.mean_tokens is None
            else {domain.name: mean for domain, mean in zip(budget.domains, budget.mean_tokens, strict=True)}
        ),
        model=RunArgs(written=prepared.config.args).model,
        config=json.loads(json.dumps(asdict(prepared.config.dataflex), default=str)),
        versions=_versions(prepared),
        arguments=recorded(prepared.config.args),
    )


def strategies_of(prepared: PreparedRun) -> tuple[StrategyFact, ...]:
    """The strategies of a run, in the order of kinds."""
    return tuple(
        StrategyFact(
            kind=slot.kind.value,
            name=chosen.record.spec.name,
            distribution=chosen.record.distribution,
            version=chosen.record.version,
            params=plain_values(chosen.params),
            position=slot.position,
        )
        for slot, chosen in sorted(prepared.strategies.items())
    )


def _versions(prepared: PreparedRun) -> Mapping[str, str]:
    """Of what decides and of what trains: Python's, and those of distributions that are installed."""
    found = {"python": platform.python_version()}
    for name in dict.fromkeys([*_TOLD, *(chosen.record.distribution for chosen in prepared.strategies.values())]):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a strategy of a file
            continue
    return found
