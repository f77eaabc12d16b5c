"""`less-step`: what a LESS score costs, in training steps."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.clock import alternate
from benchmarks.measure import Bound, Finding, Measure, Side, ratio
from benchmarks.plain import loader, train_steps
from dataflex_core.scoring.batching import lengths_of, pack


def run(bench: Bench, repeats: int) -> Finding:
    """Seconds a sample of `signals.influence` and of plain training, over the same sequences in the same batches.

    The batches are DataFlex's: sorted by length, all as large in tokens as 8 of the longest sequence. The targets'
    directions are known beforehand, as they are computed once a decision; the moments are those of a stepped AdamW.
    """
    signals, ids = bench.signals(), bench.timed
    batches = pack(ids, lengths_of(bench.pool)[ids], bench.scale.batch * bench.longest)
    same = [batch.tolist() for batch in batches]

    ours, plain = alternate(
        lambda: signals.influence(ids),
        lambda: train_steps(bench.model, bench.optimizer, loader(bench.pool, same, bench.collate), bench.device),
        device=bench.device,
        repeats=repeats,
    )
    each = 1000 / len(ids)
    return ratio(
        Side(label="LESS", unit="ms/sample", values=tuple(s * each for s in ours)),
        Side(label="training step", unit="ms/sample", values=tuple(s * each for s in plain)),
        notes=[f"{len(ids)} samples in batches of {', '.join(str(len(batch)) for batch in batches)}"],
    )


MEASURE = Measure(
    name="less-step",
    what="LESS scoring ÷ training step, per sample",
    bound=Bound(value=1.3, at_most=True),
    run=run,
)
