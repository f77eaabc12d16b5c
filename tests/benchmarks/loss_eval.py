"""`loss-eval`: how much faster losses of samples are than a stock evaluation."""

from __future__ import annotations

import numpy as np

from benchmarks.bench import Bench
from benchmarks.clock import alternate
from benchmarks.measure import Bound, Finding, Measure, Side, ratio
from benchmarks.plain import evaluator


def run(bench: Bench, repeats: int) -> Finding:
    """Seconds a sample of `Trainer.evaluate` and of `signals.losses`, over samples of mixed length, prompts masked.

    The Trainer's batch has as many samples as a full batch of DataFlex at the longest length.
    How much sorting by length saves depends on how many samples there are to sort: thousands save more than these.
    """
    signals, ids = bench.signals(), np.arange(len(bench.pool))
    trainer = evaluator(bench.model, bench.pool, bench.collate, batch_size=bench.scale.batch)
    ours, stock = alternate(lambda: signals.losses(ids), trainer.evaluate, device=bench.device, repeats=repeats)
    lengths = [len(row["input_ids"]) for row in bench.pool]
    each = 1000 / len(ids)
    return ratio(
        Side(label="Trainer.evaluate", unit="ms/sample", values=tuple(s * each for s in stock)),
        Side(label="losses", unit="ms/sample", values=tuple(s * each for s in ours)),
        notes=[f"{len(ids)} samples of {min(lengths)} to {max(lengths)} tokens, {np.mean(lengths):.0f} on average"],
    )


MEASURE = Measure(
    name="loss-eval",
    what="stock evaluation ÷ loss scoring, per sample",
    bound=Bound(value=1.5, at_most=False),
    run=run,
)
