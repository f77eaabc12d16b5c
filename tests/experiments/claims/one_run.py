"""One run of an arm: its held-out losses as it goes, what it cost, and whom it chose."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from support import of_kind, train

from experiments.claims.arms import REFERENCE, Claim
from experiments.claims.drawn import of_domains, of_samples, weighed
from experiments.claims.outcome import Outcome
from experiments.claims.planted import Planted
from experiments.held_out import held_out_loss

REFERENCE_STEPS, EVERY = 150, 15
_WARMUP, _UPDATE = 10, 10


def run(
    corpus: str, claim: Claim, texts: Planted, args: Mapping[str, Any], folder: Path, *, seed: int, steps: int
) -> Outcome:
    """Train ``claim`` for ``steps``, with an output folder below ``folder``, which is removed again."""
    import transformers

    reference = folder / "reference"
    if REFERENCE in json.dumps(claim.section) and not reference.exists():
        train_reference(texts, args, reference)
    section = json.loads(json.dumps(claim.section).replace(REFERENCE, str(reference)))
    output = folder / "output"
    points: dict[int, dict[str, float]] = {}
    evaluate = {name: held_out_loss(args, name) for name in texts.held_out}

    class Evaluating(transformers.TrainerCallback):  # type: ignore[misc]  # transformers' callbacks are untyped
        def on_step_end(self, _args: Any, state: Any, control: Any, *, model: Any, **kwargs: Any) -> None:
            if state.global_step % EVERY == 0:
                points[state.global_step] = {name: loss(model) for name, loss in evaluate.items()}

    events: list[dict[str, Any]] = []
    dataflex = {"warmup_steps": _WARMUP, "update_steps": _UPDATE, **section}
    callbacks = [*transformers.trainer.DEFAULT_CALLBACKS, Evaluating]
    with patch.object(transformers.trainer, "DEFAULT_CALLBACKS", callbacks):
        changes = {"output_dir": str(output), "max_steps": steps, "logging_steps": _WARMUP, "dataflex": dataflex}
        train({**args, **claim.args, **changes}, events=events)
    shutil.rmtree(output)
    (start,) = of_kind(events, "start")
    trained = [event for event in of_kind(events, "step") if event["step"] > _WARMUP]
    decided = [event for event in of_kind(events, "decision") if event["decision"]]
    drawn = of_domains(texts, decided) if "holdout" in section else of_samples(texts, trained, start["domains"])
    if "weighter" in section:
        tokens, weight = weighed(texts, [event for event in of_kind(events, "trained") if event["after"] >= _WARMUP])
        drawn = replace(drawn, marked_tokens=tokens, marked_weight=weight)
    elif "mixer" in section:
        drawn = replace(drawn, last=decided[-1]["proportions"])
    return Outcome(
        corpus=corpus,
        arm=claim.name,
        section={**claim.section, **claim.args},
        seed=seed,
        steps=tuple(points),
        losses={name: tuple(point[name] for point in points.values()) for name in evaluate},
        cost=sum(event["cost"] for event in decided) + start["step_cost"] * steps,
        drawn=drawn,
    )


def train_reference(texts: Planted, args: Mapping[str, Any], output: Path) -> None:
    """The same model, trained on the clean samples, all alike."""
    dataset = ",".join(f"clean_{name}" for name in texts.clean)
    section = {"selector": {"name": "random"}}
    train({**args, "dataset": dataset, "output_dir": str(output), "max_steps": REFERENCE_STEPS, "dataflex": section})
