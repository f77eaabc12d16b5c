"""`less-dense`: how much faster LESS scores are than with public tools."""

from __future__ import annotations

from statistics import median

from benchmarks.bench import Bench
from benchmarks.clock import alternate
from benchmarks.dense import features
from benchmarks.measure import Bound, Finding, Measure, Side, ratio

DIM = 4096
SAMPLES = 16  # as many as share one projection


def run(bench: Bench, repeats: int) -> Finding:
    """Seconds a sample of a backward pass and a dense projection to 4096 dimensions, and of `signals.influence`.

    The projection scores 16 samples, of every length that the timed samples have; DataFlex scores all of those.
    """
    signals, ids = bench.signals(), bench.timed
    by_length = sorted((bench.pool[i] for i in ids), key=lambda row: len(row["input_ids"]))
    some = by_length[len(by_length) // (2 * SAMPLES) :: len(by_length) // SAMPLES][:SAMPLES]

    def dense(*, quick: bool) -> None:
        features(bench.model, some, dim=DIM, optimizer=bench.optimizer, quick=quick)

    ours, published = alternate(
        lambda: signals.influence(ids), lambda: dense(quick=False), device=bench.device, repeats=min(repeats, 3)
    )
    parameters = sum(p.numel() for group in bench.optimizer.param_groups for p in group["params"])
    notes = [f"projects {parameters:,} parameters"]
    if bench.device.type == "cpu":
        (quick,), _ = alternate(lambda: dense(quick=True), lambda: None, device=bench.device, repeats=1)
        speedup = (quick / len(some)) / (median(ours) / len(ids))
        notes.append(f"with signs from a table, which nobody publishes, it would be {speedup:.1f}")
    return ratio(
        Side(label="dense projection", unit="ms/sample", values=tuple(1000 * s / len(some) for s in published)),
        Side(label="LESS", unit="ms/sample", values=tuple(1000 * s / len(ids) for s in ours)),
        notes=notes,
    )


MEASURE = Measure(
    name="less-dense",
    what=f"dense projection (d = {DIM}) ÷ LESS scoring, per sample",
    bound=Bound(value=20, at_most=False),
    run=run,
)
