"""What a run has to work with: steps, samples and costs, known once the data is loaded and before the model is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataflex_core.config.config import SECTION
from dataflex_core.contracts import Domain
from dataflex_core.errors import DataError, InvalidConfig, UnmetNeed
from dataflex_core.planning.schedule import Schedule, candidates_for_budget, total_steps
from dataflex_core.prepared import PreparedRun
from dataflex_core.spec import Kind, Need


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What will happen when: everything that is known once the data is, before the model loads.

    ``global_batch`` counts samples per optimizer step over all ranks. ``candidates`` is how many samples a decision
    judges (0 without a selector) and ``decision_cost`` what that costs, in training steps.
    """

    schedule: Schedule
    domains: tuple[Domain, ...]
    targets: tuple[tuple[str, int], ...]
    global_batch: int
    candidates: int
    decision_cost: float

    @property
    def pool(self) -> int:
        """Samples in all domains."""
        return sum(domain.size for domain in self.domains)


def budget_of(
    prepared: PreparedRun,
    *,
    domains: Sequence[Domain],
    targets: Mapping[str, int],
    global_batch: int,
    max_steps: int,
    epochs: float,
) -> Budget:
    """Work the run out, and refuse what cannot be. Raises a `UsageError`."""
    config = prepared.config.dataflex
    pool = sum(domain.size for domain in domains)
    if pool == 0:
        raise DataError("no training sample is left", hint="check the data sets, cutoff_len and packing")
    steps = total_steps(
        warmup_steps=config.warmup_steps,
        update_steps=config.update_steps,
        updates=config.updates if prepared.strategies else None,
        max_steps=max_steps,
        epochs=epochs,
        steps_per_epoch=math.ceil(pool / global_batch),
    )
    if prepared.strategies:
        schedule = Schedule(warmup_steps=config.warmup_steps, update_steps=config.update_steps, total_steps=steps)
    else:
        schedule = Schedule(warmup_steps=0, update_steps=steps, total_steps=steps)
    _check_warmup(config.warmup_proportions, domains)
    candidates, cost = _selection(prepared, pool, targets, global_batch, schedule)
    return Budget(
        schedule=schedule,
        domains=tuple(domains),
        targets=tuple(targets.items()),
        global_batch=global_batch,
        candidates=candidates,
        decision_cost=cost / global_batch,
    )


def _selection(
    prepared: PreparedRun, pool: int, targets: Mapping[str, int], global_batch: int, schedule: Schedule
) -> tuple[int, float]:
    """Candidates per decision, and the cost of judging them in samples trained on."""
    config, selector = prepared.config.dataflex, prepared.strategies.get(Kind.SELECTOR)
    if selector is None:
        return 0, 0.0
    spec = selector.record.spec
    if Need.TARGET_SET in spec.needs and not targets:
        raise UnmetNeed(f"selector {spec.name} needs a target set, and the run has none", hint="set eval_dataset")
    chosen = min(schedule.update_steps, schedule.total_steps - schedule.warmup_steps) * global_batch
    if chosen > pool:
        raise DataError(
            f"an interval trains on {chosen} samples ({chosen // global_batch} steps of {global_batch}), "
            f"the pool has {pool}",
            hint=f"set dataflex.update_steps to at most {pool // global_batch}"
            if pool >= global_batch
            else "use a smaller batch, or more data",
            key=(SECTION, "update_steps"),
        )
    fixed = sum(targets.values()) if Need.TARGET_SET in spec.needs else 0
    if config.selection_budget is not None:
        multiple = candidates_for_budget(
            budget=config.selection_budget, chosen=chosen, cost=spec.cost, fixed=fixed * spec.cost
        )
    else:
        multiple = math.inf if config.candidates == "all" else config.candidates
    candidates = min(pool, math.ceil(multiple * chosen)) if math.isfinite(multiple) else pool
    return candidates, (candidates + fixed) * spec.cost


def _check_warmup(proportions: str | Mapping[str, float], domains: Sequence[Domain]) -> None:
    if isinstance(proportions, str):
        return
    names = [domain.name for domain in domains]
    if odd := sorted(set(proportions) ^ set(names)):
        raise InvalidConfig(
            f"dataflex.warmup_proportions and the domains differ in {', '.join(odd)}",
            hint=f"the domains are {', '.join(names)}",
            key=(SECTION, "warmup_proportions"),
        )
    if sum(proportions.values()) <= 0:
        key = (SECTION, "warmup_proportions")
        raise InvalidConfig(
            "dataflex.warmup_proportions are all zero", hint="give at least one domain a share", key=key
        )


def shares_of(proportions: str | Mapping[str, float], domains: Sequence[Domain]) -> list[float]:
    """What ``size``, ``uniform`` or shares by name mean for ``domains``, in their order."""
    if isinstance(proportions, str):
        return [1.0 if proportions == "uniform" else float(domain.size) for domain in domains]
    return [float(proportions[domain.name]) for domain in domains]


def start_details(prepared: PreparedRun, known: Budget, *, ranks: int, seed: int) -> dict[str, Any]:
    """The journal's ``start`` event: strategies with their versions, data, schedule and costs."""
    strategies = [
        {
            "kind": kind.value,
            "name": chosen.record.spec.name,
            "distribution": chosen.record.distribution,
            "version": chosen.record.version,
        }
        for kind, chosen in prepared.strategies.items()
    ]
    return {
        "strategies": strategies,
        "domains": {d.name: d.size for d in known.domains},
        "targets": dict(known.targets),
        "steps": known.schedule.total_steps,
        "warmup_steps": known.schedule.warmup_steps,
        "update_steps": known.schedule.update_steps,
        "decisions": known.schedule.decisions,
        "global_batch": known.global_batch,
        "ranks": ranks,
        "candidates": known.candidates,
        "decision_cost": round(known.decision_cost, 3),
        "seed": seed,
    }
