"""`decide-step`: what a decision at every step costs beyond its passes, in training steps."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any
from unittest.mock import patch

from support import base_args, train

from benchmarks.bench import Bench
from benchmarks.clock import now
from benchmarks.measure import Bound, Finding, Measure, Side, ratio
from benchmarks.samples import Row

POOL = 100_000
_CANDIDATES = 4
_NAME = "many"
_TOKENS = 128


def run(bench: Bench, repeats: int) -> Finding:
    """Seconds of all that a run does beside stock's steps and the passes of decisions, over its steps' seconds.

    The selector is ``loss``: after every step it judges four times as many samples as the step trains on. Counted is
    the time in the hooks of the trainer: what is decided, fed, journalled and checked. Not counted is what the passes
    are: loading and collating the candidates, and the model's losses of them. Steps are those of `train_step`, and
    their seconds are what is left of the time from one to the next.
    """
    _write(bench)
    own, steps = [], []
    for index in range(repeats):
        with _clocked(bench) as spent, redirect_stdout(io.StringIO()):
            train(_arguments(bench, f"decide-{index}"), selector="loss")
        total = spent.ended - spent.began
        count = bench.scale.train_steps - 1
        own.append(1000 * (spent.hooks - spent.passes) / count)
        steps.append(1000 * (total - spent.hooks) / count)
    sides = [Side(label=label, unit="ms/step", values=tuple(each)) for label, each in (("own", own), ("step", steps))]
    return ratio(*sides, notes=(f"{POOL:,} samples in the pool, {_CANDIDATES} judged for one that is chosen",))


class _Spent:
    """Seconds in the trainer's hooks, and in passes within them, from the end of the first step to that of the last."""

    def __init__(self) -> None:
        self.hooks = self.passes = self.began = self.ended = 0.0


@contextmanager
def _clocked(bench: Bench) -> Iterator[_Spent]:
    from transformers import Trainer

    from dataflex_core.scoring.attempts import Attempts
    from dataflex_core.scoring.engine import Engine
    from dataflex_core.trainer import base

    spent = _Spent()
    callback = base._Steps.on_step_end

    def timed(call: Callable[..., Any], name: str, sign: int = 1) -> Callable[..., Any]:
        def timing(*args: Any, **kwargs: Any) -> Any:
            start = now(bench.device)
            try:
                return call(*args, **kwargs)
            finally:
                setattr(spent, name, getattr(spent, name) + sign * (now(bench.device) - start))

        return timing

    def loading(engine: Any, *args: Any) -> Iterator[Any]:
        batches = load(engine, *args)
        step = timed(lambda: next(batches, None), "passes")
        while (batch := step()) is not None:
            yield batch

    def stepped(steps: Any, *args: Any, **kwargs: Any) -> None:
        timed(callback, "hooks")(steps, *args, **kwargs)
        if not spent.began:
            spent.hooks = spent.passes = 0.0
            spent.began = now(bench.device)
        spent.ended = now(bench.device)

    load, fetch = Engine._load, base.FlexTrainer.get_batch_samples
    with (
        patch.object(base._Steps, "on_step_end", stepped),
        patch.object(base.FlexTrainer, "get_batch_samples", timed(fetch, "hooks")),
        # Within ours: stock's own, which loads the batches that are trained on.
        patch.object(Trainer, "get_batch_samples", timed(Trainer.get_batch_samples, "hooks", -1)),
        patch.object(base.FlexTrainer, "training_step", timed(base.FlexTrainer.training_step, "hooks")),
        patch.object(Trainer, "training_step", timed(Trainer.training_step, "hooks", -1)),
        patch.object(base.FlexTrainer, "log", timed(base.FlexTrainer.log, "hooks")),
        patch.object(Trainer, "log", timed(Trainer.log, "hooks", -1)),
        patch.object(Attempts, "make", timed(Attempts.make, "passes")),
        patch.object(Engine, "_load", loading),
    ):
        yield spent


def _write(bench: Bench) -> None:
    """The pool, tokenised: a few hundred samples of one length, over and over."""
    from datasets import Dataset, DatasetDict

    folder = bench.folder / _NAME
    if folder.exists():
        return
    rows = [row for row in _long(bench) if len(row["input_ids"]) >= _TOKENS]
    columns = {key: [rows[n % len(rows)][key][:_TOKENS] for n in range(POOL)] for key in rows[0]}
    DatasetDict({"train": Dataset.from_dict(columns)}).save_to_disk(folder)


def _long(bench: Bench) -> list[Row]:
    """The samples of `long_a`, all of whose tokens are target tokens."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bench.folder / "model")
    texts = json.loads((bench.folder / "data" / "long_a.json").read_text(encoding="utf-8"))
    every = [tokenizer(row["output"], add_special_tokens=False).input_ids for row in texts]
    return [{"input_ids": ids, "attention_mask": [1] * len(ids), "labels": ids} for ids in every]


def _arguments(bench: Bench, output: str) -> dict[str, Any]:
    cuda = bench.device.type == "cuda"
    return base_args(
        bench.folder / "model",
        bench.folder / "data",
        bench.folder / output,
        dataset="long_a",
        tokenized_path=str(bench.folder / _NAME),
        cutoff_len=_TOKENS,
        lora_rank=8,
        learning_rate=1e-4,
        per_device_train_batch_size=bench.scale.train_batch,
        max_steps=bench.scale.train_steps,
        logging_steps=8,
        disable_gradient_checkpointing=True,
        dataloader_pin_memory=cuda,
        use_cpu=not cuda,
        bf16=cuda,
        dataflex={"warmup_steps": 1, "update_steps": 1, "candidates": _CANDIDATES},
    )


MEASURE = Measure(
    name="decide-step",
    what="our own code ÷ training step, a decision at every step",
    bound=Bound(value=0.05, at_most=True),
    run=run,
)
