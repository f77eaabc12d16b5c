"""`less-memory`: how much memory LESS scoring takes, in training steps."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.bench import Bench
from benchmarks.measure import Bound, Finding, Measure, Side, ratio
from benchmarks.memory import peak_bytes
from benchmarks.plain import loader, train_steps


def run(bench: Bench, repeats: int) -> Finding:
    """Peak bytes of scoring one batch, target directions included, and of a training step of that batch.

    The batch holds the longest samples. Weights and the optimizer's state count on both sides.
    """
    longest = np.argsort([-len(row["input_ids"]) for row in bench.pool], kind="stable")[: bench.scale.batch]
    signals = bench.signals()
    states = [value for state in bench.optimizer.state.values() for value in state.values()]
    resident = [*bench.model.parameters(), *bench.model.buffers(), *filter(torch.is_tensor, states)]

    def score() -> None:
        signals.new_decision(0)
        signals.influence(longest)

    def step() -> None:
        batch = loader(bench.pool, [longest.tolist()], bench.collate)
        train_steps(bench.model, bench.optimizer, batch, bench.device)

    taken: list[tuple[float, ...]] = []
    for call in (score, step):
        call()
        taken.append((peak_bytes(call, bench.device, resident) / 2**20,))
    return ratio(
        Side(label="LESS", unit="MiB", values=taken[0]),
        Side(label="training step", unit="MiB", values=taken[1]),
        notes=[f"{bench.scale.batch} samples of up to {bench.longest} tokens"],
    )


MEASURE = Measure(
    name="less-memory",
    what="peak memory of LESS scoring ÷ of a training step",
    bound=Bound(value=1.5, at_most=True),
    run=run,
)
