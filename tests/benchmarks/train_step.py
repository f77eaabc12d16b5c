"""`train-step`: what a training step costs under DataFlex, in steps of LLaMA-Factory."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from statistics import median, quantiles
from typing import Any

import torch
from support import base_args, train, train_plain

from benchmarks.bench import Bench
from benchmarks.clock import now
from benchmarks.measure import Bound, Finding, Measure, Side, ratio

_SKIPPED = 3  # steps at a run's begin


def run(bench: Bench, repeats: int) -> Finding:
    """Seconds from one optimizer step to the next, so that loading data counts; runs of the two in turns.

    The value compares the lower quartiles of all steps; the range is that of the medians of one run each.

    Both train LoRA on two domains whose samples are all cut to 128 tokens, so that every step computes equally much.
    DataFlex runs the selector ``random`` and decides after every 8 steps; the steps that wait for a decision count too.
    On a GPU a step accumulates four batches, to take the 100 ms of a step in practice.
    """
    times: dict[str, list[tuple[float, ...]]] = {"ours": [], "plain": []}
    calls: dict[str, Callable[[dict[str, Any]], object]] = {
        "ours": lambda args: train({**args, "dataflex": {"warmup_steps": 2, "update_steps": 8}}, selector="random"),
        "plain": train_plain,
    }
    for index in range(repeats):
        for side in ("ours", "plain") if index % 2 == 0 else ("plain", "ours"):
            with steps_timed(bench.device) as taken, redirect_stdout(io.StringIO()):
                calls[side](arguments(bench, f"{side}-{index}"))
            times[side].append(tuple(taken[_SKIPPED:]))
    found = ratio(_side("DataFlex", times["ours"]), _side("LLaMA-Factory", times["plain"]))
    short = ["a step takes under 100 ms: any overhead weighs more than in practice"] * (found.sides[1].middle < 100)
    return Finding(
        value=_undisturbed(times["ours"]) / _undisturbed(times["plain"]),
        repeats=found.repeats,
        sides=found.sides,
        notes=(f"{repeats} runs of {len(times['ours'][0])} steps on each side", *short),
    )


def _undisturbed(runs: list[tuple[float, ...]]) -> float:
    """The lower quartile of all steps: whatever else the machine does only ever adds to one."""
    return quantiles([step for steps in runs for step in steps], n=4)[0]


def _side(label: str, runs: list[tuple[float, ...]]) -> Side:
    return Side(label=label, unit="ms/step", values=tuple(1000 * median(steps) for steps in runs))


def arguments(bench: Bench, output: str) -> dict[str, Any]:
    """Of a run whose steps all compute equally much."""
    cuda = bench.device.type == "cuda"
    return base_args(
        bench.folder / "model",
        bench.folder / "data",
        bench.folder / output,
        dataset="long_a,long_b",
        cutoff_len=128,
        lora_rank=8,
        learning_rate=1e-4,
        per_device_train_batch_size=bench.scale.train_batch,
        gradient_accumulation_steps=4 if cuda else 1,
        max_steps=bench.scale.train_steps,
        logging_steps=1000,
        disable_gradient_checkpointing=True,
        dataloader_pin_memory=cuda,
        use_cpu=not cuda,
        bf16=cuda,
    )


@contextmanager
def steps_timed(device: torch.device) -> Iterator[list[float]]:
    """Collects the seconds between the ends of consecutive steps of whatever Trainer runs in the block."""
    from transformers import TrainerCallback, trainer

    ends: list[float] = []
    taken: list[float] = []

    class StepClock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            ends.append(now(device))
            taken.extend([ends[-1] - ends[-2]] if len(ends) > 1 else [])

    trainer.DEFAULT_CALLBACKS.append(StepClock)
    try:
        yield taken
    finally:
        trainer.DEFAULT_CALLBACKS.remove(StepClock)


MEASURE = Measure(
    name="train-step",
    what="step under DataFlex (random) ÷ step of LLaMA-Factory",
    bound=Bound(value=1.03, at_most=True),
    run=run,
)
