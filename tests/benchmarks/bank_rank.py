"""`bank-rank`: whether projected gradients rank samples as exact scores do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench import TARGETS, Bench
from benchmarks.measure import Bound, Finding, Measure, Side

DIM = 8192
SEEDS = (0, 1, 2)


def run(bench: Bench, repeats: int) -> Finding:
    """Spearman's correlation of `signals.influence` and of scores from 8192 dimensions: the lowest of three seeds."""
    from scipy.stats import spearmanr  # type: ignore[import-untyped]

    ids = np.arange(len(bench.pool))
    signals = bench.signals()
    exact = signals.influence(ids)

    def agreement(seed: int, *, keep_targets: bool) -> float:
        found = scores(bench.signals(seed=seed), ids, keep_targets=keep_targets)
        return float(spearmanr(exact, found).statistic)

    found = tuple(agreement(seed, keep_targets=True) for seed in SEEDS)
    chance = agreement(SEEDS[0], keep_targets=False)
    return Finding(
        value=min(found),
        repeats=found,
        sides=(
            Side(label="exact, spread", unit="", values=(float(exact.std()),)),
            Side(label="samples", unit="", values=(len(ids),)),
        ),
        notes=(f"without the target subtasks' own coordinates, left to chance: {chance:.3f}",),
    )


def scores(signals: Any, ids: NDArray[np.int64], *, keep_targets: bool) -> NDArray[np.float32]:
    """Largest mean product with a subtask's targets, Float32[n], from projected rows."""
    asked = {"dim": DIM, "keep_targets": keep_targets}
    rows = signals.gradients(ids, adam=True, **asked)
    every = np.arange(TARGETS)
    means = [signals.target(name).gradients(every, adam=False, **asked).mean(axis=0) for name in signals.targets]
    best: NDArray[np.float32] = (rows @ np.stack(means).T).max(axis=1)
    return best


MEASURE = Measure(
    name="bank-rank",
    what=f"Spearman, exact and bank scores (d = {DIM}), lowest of {len(SEEDS)} seeds",
    bound=Bound(value=0.98, at_most=False),
    run=run,
)
