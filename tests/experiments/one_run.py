"""One run of an arm on a corpus: trained in this process, measured as it goes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from support import of_kind, train

from dataflex_core.planning.probe import SMALLEST
from dataflex_core.shares import rounded_up
from dataflex_core.spec import FORWARD
from experiments.arms import Arm
from experiments.corpora import HELD_OUT, PER_DOMAIN, TARGET_SIZE, Corpus
from experiments.held_out import held_out_loss
from experiments.meter import Meter, as_callback
from experiments.results import Result

SHARES = (0.125, 0.25, 0.375, 0.5, 0.75, 1.0)
"""Of the budget: after these a run is evaluated."""
_WARMUP, _UPDATE = 10, 10


def run(corpus: Corpus, arm: Arm, args: Mapping[str, Any], folder: Path, *, seed: int, data: str) -> Result:
    """Train ``arm`` with LLaMA-Factory's ``args`` and an output folder below ``folder``, which is removed again.

    The learning rate is constant: one run says what shorter ones would come to.
    """
    import transformers

    section = {"warmup_steps": _WARMUP, "update_steps": _UPDATE, **arm.section}
    warmup, update = section["warmup_steps"], section["update_steps"]
    batch = args["per_device_train_batch_size"]
    cost = partial(expected_cost, section, pool=_pool(args), batch=batch)
    events: list[dict[str, Any]] = []
    meter = Meter(
        budgets=corpus.within(*SHARES),
        evaluate=held_out_loss(args, HELD_OUT),
        decided=lambda: sum(event["cost"] for event in of_kind(events, "decision")),
        ahead=lambda step: cost((step - warmup) // update + 1) if begins(step, warmup, update) else 0.0,
    )
    output = folder / f"output-{arm.name}-{seed}"
    steps = steps_within(corpus.budget, warmup=warmup, update=update, cost=cost)
    changes = {"output_dir": str(output), "max_steps": steps, "dataflex": section}
    callbacks = [*transformers.trainer.DEFAULT_CALLBACKS, as_callback(meter)]
    with patch.object(transformers.trainer, "DEFAULT_CALLBACKS", callbacks):
        train({**args, **changes}, events=events)
    shutil.rmtree(output)
    decisions = [event for event in of_kind(events, "decision") if event["decision"]]
    return Result(
        corpus=corpus.name,
        arm=arm.name,
        section=dict(arm.section),
        seed=seed,
        points=tuple(meter.points),
        share=_share(decisions, corpus.domain),
        scored=tuple(event["judged"] if event["exact"] is None else event["exact"] for event in decisions),
        correlations=tuple(event["correlation"] for event in decisions if event["correlation"] is not None),
        data=data,
    )


def expected_cost(section: Mapping[str, Any], decision: int, *, pool: int, batch: int) -> float:
    """What a decision, from 1, costs in training steps where prediction holds.

    Scores, the target set's pass, and at the first one that of the features.
    """
    selector = section["selector"]
    if selector["name"] == "random":
        return 0.0
    chosen = section["update_steps"] * batch
    candidates = section.get("candidates", "all")
    judged = pool if candidates == "all" else min(pool, rounded_up(candidates * chosen))
    if section.get("exact", "all") != "all":
        judged = min(judged, max(SMALLEST, rounded_up(section["exact"] * chosen)))
    if selector["name"] == "loss":
        return float(judged * FORWARD / batch)
    refreshed = (decision - 1) % selector.get("refresh_target", 1) == 0
    passed = pool if decision == 1 and section.get("features", "tokens") != "tokens" else 0
    return float((judged + TARGET_SIZE * refreshed + passed * FORWARD) / batch)


def steps_within(budget: float, *, warmup: int, update: int, cost: Callable[[int], float]) -> int:
    """The most steps within ``budget``, of which decisions take their part: the n-th, from 1, ``cost(n)``."""
    steps, spent = 0, 0.0
    while True:
        spent += 1 + (cost((steps - warmup) // update + 1) if begins(steps, warmup, update) else 0.0)
        if spent > budget:
            return steps
        steps += 1


def begins(step: int, warmup: int, update: int) -> bool:
    """Whether a decision is due after so many steps."""
    return step >= warmup and (step - warmup) % update == 0


def _pool(args: Mapping[str, Any]) -> int:
    return PER_DOMAIN * len(args["dataset"].split(","))


def _share(decisions: Sequence[Mapping[str, Any]], domain: str) -> float:
    """Of all that was decided to be trained on; what an early end left out counts, too."""
    chosen = [event["chosen"] for event in decisions]
    of_domain = sum(each.get(domain, 0) for each in chosen)
    return float(of_domain / max(1, sum(sum(each.values()) for each in chosen)))
