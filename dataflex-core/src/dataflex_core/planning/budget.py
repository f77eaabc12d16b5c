"""What a run has to work with: steps, samples and costs, known once the data is loaded and before the model is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dataflex_core.config.section import SECTION
from dataflex_core.domains import Domain
from dataflex_core.errors import DataError, InvalidConfig, UnmetNeed
from dataflex_core.planning.candidates import candidates_of
from dataflex_core.planning.probe import Probing
from dataflex_core.planning.schedule import Schedule, total_steps
from dataflex_core.prepared import MIXER, Chosen, PreparedRun
from dataflex_core.requests import SetupContext
from dataflex_core.spec import FORWARD, Kind, Need

_LONGEST = 10**9  # samples of an interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What will happen when: everything that is known once the data is, before the model loads.

    ``global_batch`` counts samples per optimizer step over all ranks. ``judged`` is how many samples a decision judges
    (0 without a selector) and ``decision_cost`` what that costs, in training steps. ``exact`` is how many of them are
    scored where the others' scores are predicted, and that holds, ``probing`` how that is done: else None.
    ``step_cost`` is what weighing the loss adds to each step, in training steps, by passes of its own. ``layers`` are
    the model's transformer layers, None where nobody knows; ``features_cost`` is that of the features that scores are
    predicted from, once in the run. ``holdout`` samples are kept out of each domain, and ``mixing_cost`` is what a
    mixer's questions cost at a decision, as at the first, in training steps.
    ``mean_tokens`` are the mean target tokens of a sample of each domain where proportions are shares of tokens, None
    where they are of samples.
    """

    schedule: Schedule
    domains: tuple[Domain, ...]
    targets: tuple[tuple[str, int], ...]
    global_batch: int
    judged: int
    decision_cost: float
    step_cost: float = 0.0
    exact: int | None = None
    probing: Probing | None = None
    layers: int | None = None
    features_cost: float = 0.0
    holdout: tuple[tuple[str, int], ...] = ()
    mixing_cost: float = 0.0
    mean_tokens: tuple[float, ...] | None = None

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
    micro_batches: int,
    max_steps: int,
    epochs: float,
    drop_last: bool = False,
    layers: int | None = None,
    holdout: Mapping[str, int] | None = None,
    mean_tokens: tuple[float, ...] | None = None,
) -> Budget:
    """Work the run out, and refuse what cannot be. ``micro_batches`` make up a rank's accumulation window.

    ``holdout`` counts the samples that are kept out of each domain.

    ``drop_last`` is whether an epoch of LLaMA-Factory's own order leaves out what fills no micro-batch of every rank;
    a plan has full batches anyway. Raises a `UsageError`.
    """
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
        steps_per_epoch=(
            _full_steps(pool, global_batch, micro_batches)
            if drop_last and not prepared.plans
            else math.ceil(pool / global_batch)
        ),
    )
    if prepared.strategies:
        schedule = Schedule(warmup_steps=config.warmup_steps, update_steps=config.update_steps, total_steps=steps)
    else:
        schedule = Schedule(warmup_steps=0, update_steps=steps, total_steps=steps)
    if prepared.plans:
        _check_plans(schedule, global_batch)
        _check_warmup(config.warmup_proportions, domains)
    _check_window(prepared, global_batch)
    _check_targets(prepared, targets)
    judged, probing, cost = candidates_of(prepared, pool, targets, global_batch, schedule, layers)
    budget = Budget(
        schedule=schedule,
        domains=tuple(domains),
        targets=tuple(targets.items()),
        global_batch=global_batch,
        judged=judged,
        decision_cost=cost / global_batch,
        step_cost=_step_cost(prepared, micro_batches) + _preparing(prepared, targets, schedule, global_batch),
        exact=None if probing is None else min(judged, probing.size(schedule.longest * global_batch)),
        probing=probing,
        layers=layers,
        features_cost=0.0 if probing is None or config.features == "tokens" else cost_of_features(pool, global_batch),
        holdout=tuple((holdout or {}).items()),
        mean_tokens=mean_tokens,
    )
    return replace(budget, mixing_cost=cost_of_mixing(prepared.strategies.get(MIXER), budget, decision=1))


def _full_steps(pool: int, global_batch: int, micro_batches: int) -> int:
    """An epoch's steps of full micro-batches: of the last step some may be missing."""
    batch = global_batch // micro_batches
    full = pool // batch
    if full == 0:
        raise DataError(
            f"dataloader_drop_last leaves none of {pool} samples: they fill no batch of {batch}",
            hint="use a smaller batch, or set dataloader_drop_last: false",
        )
    return math.ceil(full / micro_batches)


def cost_of_judging(selector: Chosen, budget: Budget, *, decision: int, judged: int) -> float:
    """What judging ``judged`` samples costs at a decision, in plain training steps of one sample.

    With the pass over the target set, where one is made at it.
    """
    targets = sum(size for _, size in budget.targets) * selector.target_cost(decision, layers=budget.layers)
    return judged * selector.cost(decision, layers=budget.layers) + targets


def cost_of_decision(
    selector: Chosen | None, budget: Budget, *, decision: int, judged: int, explaining: int = 0
) -> float:
    """What judging ``judged`` samples costs at a decision, in training steps: 0 of the warm-up's, and of a mixer's.

    With the gradients that ``explaining`` it takes, each as dear as training on a sample.
    """
    if selector is None or not judged:
        return 0.0
    judging = cost_of_judging(selector, budget, decision=decision, judged=judged)
    return (judging + explaining) / budget.global_batch


def cost_of_mixing(mixer: Chosen | None, budget: Budget, *, decision: int) -> float:
    """What a mixer's questions cost at a decision, in training steps: 0 of the warm-up's, and without a mixer."""
    if mixer is None or not decision:
        return 0.0
    counts = {"domains": len(budget.domains), "holdout": sum(size for _, size in budget.holdout)}
    targets = sum(size for _, size in budget.targets)
    return mixer.mixing_cost(decision, layers=budget.layers, targets=targets, **counts) / budget.global_batch


def cost_of_features(passed: int, global_batch: int) -> float:
    """What features cost for which so many samples take a forward pass, in training steps."""
    return passed * FORWARD / global_batch


def _step_cost(prepared: PreparedRun, micro_batches: int) -> float:
    """What weighing adds to a step: a forward for a window's losses, where they come first, and one of a reference."""
    chosen = prepared.strategies.values()
    first = FORWARD if micro_batches > 1 and any(c.compares for c in chosen) else 0.0
    references = {path for c in chosen if Need.REFERENCE_LOSSES in c.needs for path in c.references.values()}
    return first + FORWARD * len(references)


def _preparing(prepared: PreparedRun, targets: Mapping[str, int], schedule: Schedule, global_batch: int) -> float:
    """What weighters ask about the target set as an interval begins, by step."""
    weighters = [chosen for slot, chosen in prepared.strategies.items() if slot.kind is Kind.WEIGHTER]
    asked = sum(chosen.cost(decision=1) for chosen in weighters if Need.TARGET_SET in chosen.needs)
    return asked * sum(targets.values()) / (schedule.update_steps * global_batch)


def _check_plans(schedule: Schedule, global_batch: int) -> None:
    """An interval's sample ids lie in memory."""
    for key, steps in (("warmup_steps", schedule.warmup_steps), ("update_steps", schedule.update_steps)):
        if min(steps, schedule.total_steps) * global_batch > _LONGEST:
            raise InvalidConfig(
                f"dataflex.{key} is {steps}, and an interval plans {steps} steps of {global_batch} samples at once",
                hint=f"set it to at most {_LONGEST // global_batch}",
                key=(SECTION, key),
            )


def _check_window(prepared: PreparedRun, global_batch: int) -> None:
    for slot, chosen in prepared.strategies.items():
        if chosen.compares and global_batch == 1:
            raise UnmetNeed(
                f"weighter {chosen.record.spec.name} compares the samples of an optimizer step, and a step has one",
                hint="raise per_device_train_batch_size or gradient_accumulation_steps",
                key=(SECTION, slot.kind.value),
            )


def _check_targets(prepared: PreparedRun, targets: Mapping[str, int]) -> None:
    for slot, chosen in prepared.strategies.items():
        if Need.TARGET_SET in chosen.needs and not targets:
            name = f"{slot.kind} {chosen.record.spec.name}"
            raise UnmetNeed(f"{name} needs a target set, and the run has none", hint="set eval_dataset")


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


def context_of(
    budget: Budget,
    *,
    mixed: bool,
    seed: int,
    columns: Mapping[str, Any] | None = None,
    earlier: Callable[[str], Mapping[str, float]] | None = None,
) -> SetupContext:
    """What strategies are told of the run; ``mixed`` is whether a mixer sets quotas, ``columns`` those of the pool.

    ``earlier`` looks up what the mixer of another run came to.
    """
    schedule = budget.schedule
    return SetupContext(
        domains=budget.domains,
        targets=tuple(name for name, _ in budget.targets),
        target_sizes=tuple(size for _, size in budget.targets),
        warmup_steps=schedule.warmup_steps,
        update_steps=schedule.update_steps,
        total_steps=schedule.total_steps,
        decisions=schedule.decisions,
        global_batch=budget.global_batch,
        judged=budget.judged,
        mixed=mixed,
        seed=seed,
        columns={} if columns is None else columns,
        earlier=earlier,
    )


def shares_of(proportions: str | Mapping[str, float], domains: Sequence[Domain]) -> list[float]:
    """What ``size``, ``uniform`` or shares by name mean for ``domains``, in their order."""
    if isinstance(proportions, str):
        return [1.0 if proportions == "uniform" else float(domain.size) for domain in domains]
    return [float(proportions[domain.name]) for domain in domains]
