"""What every measure works on: a model with LoRA and a stepped AdamW, a pool, and two target subtasks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.models import WRITERS, load_lora
from benchmarks.ours import make_signals
from benchmarks.plain import loader, train_steps
from benchmarks.samples import Row, long_rows, mixed, tokenised
from dataflex_cli.demo.texts import collect_texts
from dataflex_cli.demo.write import write_demo

_WARMUP = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of everything: a larger model is measured on fewer samples."""

    pool: int  # samples
    timed: int  # of them, where gradients are timed
    batch: int  # samples of a full batch at the longest length
    train_batch: int  # samples of a training step under LLaMA-Factory
    train_steps: int  # of one training run


SCALES = {
    "hidden256": Scale(pool=256, timed=128, batch=8, train_batch=8, train_steps=24),
    "smollm2": Scale(pool=64, timed=16, batch=8, train_batch=2, train_steps=10),
}
TARGETS = 16  # samples of each target subtask


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One model in training, and its data."""

    folder: Path
    scale: Scale
    device: torch.device
    model: Any
    optimizer: torch.optim.Optimizer
    pool: list[Row]
    targets: dict[str, list[Row]]
    collate: Callable[[list[Row]], Any]

    @property
    def timed(self) -> NDArray[np.int64]:
        """The samples whose gradients are timed, as many of every domain as in the pool."""
        return np.arange(self.scale.timed)

    @property
    def longest(self) -> int:
        """Tokens of the longest sample, padded."""
        return -(-max(len(row["input_ids"]) for row in self.pool) // 8) * 8

    def signals(self, *, seed: int = 0) -> Any:
        """DataFlex's signals with the token budget of a full batch at the longest length."""
        return make_signals(
            self.model,
            self.optimizer,
            self.pool,
            self.targets,
            token_budget=self.scale.batch * self.longest,
            seed=seed,
            collate=self.collate,
        )


def build(name: str, folder: Path, *, bf16: bool = False) -> Bench:
    """Write model and data of ``name`` below ``folder``, and train the model for four steps.

    In bfloat16 on a GPU; where ``bf16`` asks for it on a CPU, too.
    """
    from accelerate import Accelerator
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq

    home = write_demo(folder / name).parent
    WRITERS[name](home / "model")
    scale, texts, cuda = SCALES[name], collect_texts(), torch.cuda.is_available()
    half = cuda or bf16
    _write_long(home / "data", long_rows(texts, 2 * scale.train_batch * scale.train_steps, characters=1200))

    tokenizer = AutoTokenizer.from_pretrained(home / "model")
    accelerator = Accelerator(cpu=not cuda, mixed_precision="bf16" if half else "no")
    model = load_lora(home / "model", dtype=torch.bfloat16 if half else torch.float32)
    chosen = mixed(texts, scale.pool + TARGETS)
    bench = Bench(
        folder=home,
        scale=scale,
        device=accelerator.device,
        model=accelerator.prepare_model(model),
        optimizer=torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4),
        pool=tokenised(tokenizer, chosen[: scale.pool]),
        targets={
            "signatures": tokenised(tokenizer, texts.target[:TARGETS]),
            "mixed": tokenised(tokenizer, chosen[scale.pool :]),
        },
        collate=DataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=8),
    )
    batches = [range(step * scale.batch, (step + 1) * scale.batch) for step in range(_WARMUP)]
    train_steps(bench.model, bench.optimizer, loader(bench.pool, batches, bench.collate), bench.device)
    return bench


def _write_long(folder: Path, rows: list[dict[str, str]]) -> None:
    index = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    for half, name in enumerate(("long_a", "long_b")):
        (folder / f"{name}.json").write_text(json.dumps(rows[half::2]), encoding="utf-8")
        index[name] = {"file_name": f"{name}.json"}
    (folder / "dataset_info.json").write_text(json.dumps(index), encoding="utf-8")
